//! Who may be heard, who may hear, and what becomes of those who do not keep to it.

use call::{
    Command, Departure, Epoch, Event, Misbehaviour, ParticipantKind, RemoveReason, SHUT_MAX,
};

use crate::harness::{Bench, CALLER, config, target};

fn audiences(out: &[Command]) -> usize {
    out.iter()
        .filter(|command| matches!(command, Command::CallerAudience { .. }))
        .count()
}

#[test]
fn the_callers_audience_is_said_again_whenever_somebody_joins_publishes_or_reconnects() {
    let mut bench = Bench::active(config());
    assert_eq!(
        audiences(&bench.joins("somebody", ParticipantKind::Agent)),
        1
    );
    assert_eq!(
        audiences(&bench.joins("somebody-else", ParticipantKind::Other)),
        1
    );
    assert_eq!(
        audiences(&bench.on(Event::TrackPublished {
            identity: "agent-triage-1".into()
        })),
        1
    );
    assert_eq!(audiences(&bench.on(Event::Reconnected)), 1);
    assert_eq!(audiences(&bench.hello("triage")), 0, "but not otherwise");
}

#[test]
fn at_the_start_nobody_hears_the_caller() {
    let bench = Bench::new(config());
    assert!(bench.log.iter().any(|(_, command)| {
        matches!(command, Command::CallerAudience { allowed, epoch: Epoch(0) } if allowed.is_empty())
    }));
}

#[test]
fn a_rogue_is_shut_counted_and_removed() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let identity = bench.identity("triage");
    let what = Misbehaviour::SoundsWithoutBaton;
    let out = bench.on(Event::Misbehaved {
        identity: identity.clone(),
        what,
    });
    assert!(out.iter().any(|command| matches!(command, Command::Shut { identities, .. } if identities.contains(&identity))));
    assert!(out.contains(&Command::Remove {
        identity: identity.clone(),
        reason: RemoveReason::Misbehaved(what)
    }));
    assert_eq!(bench.call.snapshot().counts.misbehaved, 1);
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    let out = bench.on(Event::TrackPublished {
        identity: identity.clone(),
    });
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Shut { .. })),
        "as long as it is there"
    );
    bench.leaves(identity, Departure::Final);
    assert!(bench.call.snapshot().shut.is_empty());
}

#[test]
fn a_rogue_holder_loses_the_baton() {
    let mut bench = Bench::active(config());
    let identity = bench.identity("triage");
    bench.on(Event::Misbehaved {
        identity,
        what: Misbehaviour::OpenTrack,
    });
    assert_eq!(bench.holder(), None);
    assert_eq!(bench.admitted(), Vec::<String>::new());
    assert_eq!(bench.call.snapshot().counts.losses, 1);
}

#[test]
fn a_rogue_that_had_the_baton_is_cut_off_in_the_switch() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    let identity = bench.identity("triage");
    bench.on(Event::Misbehaved {
        identity,
        what: Misbehaviour::OpenTrack,
    });
    assert_eq!(bench.admitted(), ["agent-billing-2"]);
    bench.takes("billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn a_strange_agent_is_shut_but_not_removed() {
    let mut bench = Bench::active(config());
    let out = bench.on(Event::Misbehaved {
        identity: "transcriber".into(),
        what: Misbehaviour::OpenTrack,
    });
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Shut { .. })),
        "{out:?}"
    );
    assert!(
        !out.iter()
            .any(|command| matches!(command, Command::Remove { .. })),
        "{out:?}"
    );
}

#[test]
fn the_number_of_shut_strangers_is_bounded() {
    let mut bench = Bench::active(config());
    for number in 0..=SHUT_MAX {
        let identity = format!("stranger-{number}").as_str().into();
        bench.on(Event::Misbehaved {
            identity,
            what: Misbehaviour::OpenTrack,
        });
    }
    assert_eq!(bench.call.snapshot().shut.len(), SHUT_MAX);
    let removed = |(_, command): &&(u128, Command)| matches!(command, Command::Remove { .. });
    assert_eq!(
        bench.log.iter().filter(removed).count(),
        1,
        "one more is removed instead"
    );
}

#[test]
fn the_caller_is_never_shut() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.on(Event::Misbehaved {
        identity: CALLER.into(),
        what: Misbehaviour::OpenTrack,
    });
    assert!(bench.call.snapshot().shut.is_empty());
}
