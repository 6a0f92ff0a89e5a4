//! Prepared sounds: at the opening, on the way to another specialist, and where there is no place for the call.

use std::sync::Arc;
use std::time::Instant;

use call::{
    Answer, CLIP_MS_MAX, Call, CallConfig, CallId, Clip, Command, EndReason, Event, Fact,
    FailReason, Fallback, Outcome, ParticipantKind, PhaseName, Plan, Route, RouteNumber, Splice,
    Timer,
};

use crate::harness::{Bench, CALLER, config, grant, outcome, rejected, target};

const ROUTE: Clip = Clip::Route(RouteNumber(0));

fn announcing(fallback: Vec<Fallback>) -> CallConfig {
    CallConfig {
        routes: vec![Route {
            announces: true,
            fallback,
            ..Route::default()
        }],
        ..config()
    }
}

fn opening(answer: Answer) -> CallConfig {
    CallConfig {
        opening_clip: true,
        answer,
        ..config()
    }
}

fn begun(out: &[Command]) -> Vec<Clip> {
    let begun = out.iter().filter_map(|command| match command {
        Command::Announce { clip, .. } => Some(*clip),
        _ => None,
    });
    begun.collect()
}

/// The holder's sentence has come to its end.
fn splices(bench: &mut Bench) -> Vec<Command> {
    let handoff = bench.call.phase().handoff().expect("one is under way").id;
    bench.on(Event::SpliceReached { handoff })
}

fn over(bench: &mut Bench, clip: Clip) -> Vec<Command> {
    bench.on(Event::Announced { clip })
}

#[test]
fn an_announcement_is_heard_alone_and_the_target_is_granted_when_it_is_over() {
    let mut bench = Bench::active(announcing(vec![]));
    let out = bench.asks("triage", target("billing"));
    assert_eq!(begun(&out), [], "the holder has not ended its sentence");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = splices(&mut bench);
    assert_eq!(begun(&out), [ROUTE]);
    assert_eq!((bench.holder(), bench.admitted()), (None, vec![]));
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(grant(&out), None, "the sound is not over");
    assert_eq!(bench.phase(), PhaseName::Ready);
    let out = over(&mut bench, ROUTE);
    assert!(grant(&out).is_some_and(|(who, _)| who.starts_with("agent-billing")));
    let out = bench.takes("billing");
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
    assert_eq!(bench.call.snapshot().previous, Some("triage".into()));
    assert!(rejected(&over(&mut bench, ROUTE)), "it is over");
}

#[test]
fn one_that_is_ready_before_the_splice_point_waits_for_the_announcement_too() {
    let mut bench = Bench::active(announcing(vec![]));
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    assert_eq!(begun(&bench.gets_ready("billing")), []);
    let out = splices(&mut bench);
    assert_eq!((begun(&out), grant(&out)), (vec![ROUTE], None));
    assert_eq!(bench.admitted(), Vec::<String>::new());
    assert!(grant(&over(&mut bench, ROUTE)).is_some());
}

#[test]
fn an_announcement_that_does_not_end_is_waited_for_no_longer_than_the_longest_sound() {
    let mut config = announcing(vec![]);
    config.routes[0].splice = Splice::Now;
    let mut bench = Bench::active(config);
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    let began = bench.at_ms();
    let out = bench.fire_until(Timer::Announcement);
    assert_eq!(bench.at_ms() - began, u128::from(CLIP_MS_MAX));
    assert!(grant(&out).is_some());
}

#[test]
fn whoever_is_tried_in_its_place_is_not_announced_again() {
    let mut bench = Bench::active(announcing(vec![Fallback::Specialist("support".into())]));
    bench.asks("triage", target("billing"));
    assert_eq!(begun(&splices(&mut bench)), [ROUTE]);
    let out = bench.on(Event::DispatchFull {
        dispatch: bench.dispatch("billing"),
        max: 2,
    });
    assert_eq!(outcome(&out), None, "the chain goes on");
    bench.comes("support");
    assert_eq!(grant(&bench.gets_ready("support")), None);
    let out = over(&mut bench, ROUTE);
    assert!(grant(&out).is_some_and(|(who, _)| who.starts_with("agent-support")));
    let announced = bench
        .log
        .iter()
        .filter(|(_, command)| matches!(command, Command::Record(Fact::Announced { .. })));
    assert_eq!(announced.count(), 1);
}

#[test]
fn a_target_that_fails_gives_the_baton_back_once_the_announcement_is_over() {
    let mut bench = Bench::active(announcing(vec![]));
    bench.asks("triage", target("billing"));
    splices(&mut bench);
    bench.released("triage");
    let out = bench.fire_until(Timer::Join(bench.dispatch("billing")));
    assert!(matches!(
        outcome(&out),
        Some(Outcome::Failed {
            reason: FailReason::NeverJoined { .. },
            ..
        })
    ));
    assert_eq!(
        grant(&bench.gets_ready("triage")),
        None,
        "it is still heard"
    );
    assert!(grant(&over(&mut bench, ROUTE)).is_some());
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn before_the_splice_point_a_failure_changes_nothing_for_the_caller() {
    let mut bench = Bench::active(announcing(vec![]));
    bench.asks("triage", target("billing"));
    let epoch = bench.epoch();
    bench.on(Event::DispatchFull {
        dispatch: bench.dispatch("billing"),
        max: 1,
    });
    assert_eq!((bench.phase(), bench.epoch()), (PhaseName::Active, epoch));
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
}

#[test]
fn a_call_that_restarts_goes_on_without_what_was_heard_already() {
    let mut bench = Bench::active(announcing(vec![]));
    bench.asks("triage", target("billing"));
    splices(&mut bench);
    bench.comes("billing");
    bench.restarts();
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.returns("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(begun(&out), []);
    assert!(grant(&out).is_some());
}

#[test]
fn the_opening_is_heard_before_the_entry_specialist_whoever_is_first() {
    let mut bench = Bench::new(opening(Answer::AtOnce));
    assert_eq!(begun(&bench.caller_hears()), [Clip::Opening]);
    bench.comes("triage");
    assert_eq!(grant(&bench.gets_ready("triage")), None);
    assert!(grant(&over(&mut bench, Clip::Opening)).is_some());

    let mut bench = Bench::new(opening(Answer::AtOnce));
    bench.comes("triage");
    bench.gets_ready("triage");
    let out = bench.caller_hears();
    assert_eq!((begun(&out), grant(&out)), (vec![Clip::Opening], None));
    assert!(grant(&over(&mut bench, Clip::Opening)).is_some());
}

#[test]
fn a_phone_that_rings_until_somebody_is_ready_hears_no_opening_unless_it_takes_too_long() {
    let answer = Answer::EntryReady { ring_max_ms: 3_000 };
    let mut bench = Bench::new(opening(answer));
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.comes("triage");
    bench.gets_ready("triage");
    let out = bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    assert_eq!(begun(&out), []);
    assert!(grant(&out).is_some());

    let mut bench = Bench::new(opening(answer));
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.fire_until(Timer::Ring);
    let out = bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    assert_eq!(begun(&out), [Clip::Opening]);
}

#[test]
fn a_specialist_in_as_many_calls_as_it_may_be_is_a_failure_of_its_own() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    let dispatch = bench.dispatch("billing");
    let out = bench.on(Event::DispatchFull { dispatch, max: 3 });
    let Some(Outcome::Failed { reason, .. }) = outcome(&out) else {
        panic!("{out:?}");
    };
    assert_eq!(reason, FailReason::TooManyCalls { max: 3 });
    assert_eq!(reason.code(), "too_many_calls");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert!(rejected(
        &bench.on(Event::DispatchFull { dispatch, max: 3 })
    ));
}

/// A call for which there is no place, with what it does when a phone comes.
fn turned_away(busy_clip: bool) -> (Call, Vec<Command>) {
    let (now, mut out) = (Instant::now(), Vec::new());
    let plan = Arc::new(Plan::new(config()).expect("it is valid"));
    let mut call = Call::turn_away(plan, CallId::from("call-1"), busy_clip, now, &mut out);
    for event in [
        Event::ParticipantJoined {
            identity: CALLER.into(),
            kind: ParticipantKind::Sip,
        },
        Event::CallerListening {
            identity: CALLER.into(),
        },
    ] {
        call.handle_event(now, event, &mut out);
    }
    let dispatched = |command: &Command| matches!(command, Command::Dispatch { .. });
    assert!(!out.iter().any(dispatched), "{out:?}");
    (call, out)
}

#[test]
fn a_caller_without_a_place_hears_that_it_is_busy_and_the_call_ends() {
    let (mut call, out) = turned_away(true);
    assert_eq!((begun(&out), call.ended()), (vec![Clip::Busy], None));
    let mut out = Vec::new();
    call.handle_event(
        Instant::now(),
        Event::Announced { clip: Clip::Busy },
        &mut out,
    );
    assert_eq!(call.ended(), Some(EndReason::Full));
    assert!(out.contains(&Command::Ended {
        reason: EndReason::Full
    }));
}

#[test]
fn without_a_sound_for_it_such_a_call_ends_before_the_phone_is_answered() {
    let (call, out) = turned_away(false);
    assert_eq!(call.ended(), Some(EndReason::Full));
    assert_eq!(begun(&out), []);
}
