//! A holder of which nothing comes any more.

use call::{
    Command, Departure, Event, Fact, Identity, LossReason, ParticipantKind, PhaseName,
    RemoveReason, Timer,
};

use crate::harness::{Bench, config, grant, target};

fn quiet(bench: &mut Bench, name: &str) -> Vec<Command> {
    let identity = bench.identity(name);
    bench.on(Event::Quiet { identity })
}

fn heard(bench: &mut Bench, name: &str) {
    let identity = bench.identity(name);
    bench.on(Event::Heard { identity });
}

fn asked(out: &[Command]) -> Vec<Identity> {
    let asked = out.iter().filter_map(|command| match command {
        Command::AskHolder { identity, .. } => Some(identity.clone()),
        _ => None,
    });
    asked.collect()
}

fn lost(out: &[Command]) -> Option<LossReason> {
    out.iter().find_map(|command| match command {
        Command::Record(Fact::HolderLost { reason, .. }) => Some(*reason),
        _ => None,
    })
}

/// The entry specialist has the baton, and another one rests in the room.
fn bench() -> Bench {
    let mut config = config();
    config.fallbacks = vec![call::Fallback::Specialist("billing".into())];
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    bench.hands_off("billing", "triage");
    bench
}

#[test]
fn a_holder_that_gives_no_sign_of_life_is_lost_and_the_fallback_prepares() {
    let mut bench = bench();
    let start = bench.at_ms();
    let triage = bench.identity("triage");
    assert_eq!(asked(&quiet(&mut bench, "triage")), vec![triage.clone()]);
    assert_eq!(
        asked(&quiet(&mut bench, "triage")),
        [],
        "it is asked already"
    );
    bench.on(Event::ServerHeard);
    let out = bench.fire_until(Timer::Answer(bench.dispatch("triage")));
    assert_eq!(bench.at_ms() - start, 500);
    assert_eq!(lost(&out), Some(LossReason::Silent { after_ms: 900 }));
    let remove = Command::Remove {
        identity: triage.clone(),
        reason: RemoveReason::Unresponsive,
    };
    assert!(out.contains(&remove), "it cannot come back: {out:?}");
    let epoch = bench.epoch();
    let drop = Command::Drop {
        identity: triage,
        epoch,
    };
    assert!(out.contains(&drop), "{out:?}");
    let out = bench.gets_ready("billing");
    let granted = grant(&out).map(|(identity, _)| identity);
    assert_eq!(granted, Some(bench.identity("billing").to_string()));
    bench.takes("billing");
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn a_stalled_holder_that_answers_is_asked_again_and_never_lost() {
    let mut bench = bench();
    for _ in 0..100 {
        assert_eq!(asked(&quiet(&mut bench, "triage")).len(), 1);
        bench.on(Event::ServerHeard);
        bench.pass_ms(499);
        heard(&mut bench, "triage");
        bench.pass_ms(501);
    }
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.call.snapshot().counts.losses, 0);
}

#[test]
fn while_nothing_comes_from_the_server_nobody_is_lost() {
    let mut bench = bench();
    let dispatch = bench.dispatch("triage");
    for _ in 0..20 {
        assert_eq!(asked(&quiet(&mut bench, "triage")).len(), 1, "asked anew");
        let out = bench.fire_until(Timer::Answer(dispatch));
        assert_eq!(lost(&out), None);
    }
    // The network is back, and brings what it kept from us.
    bench.on(Event::ServerHeard);
    heard(&mut bench, "triage");
    bench.pass_ms(60_000);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_network_of_ours_that_comes_back_gives_the_holder_all_of_its_time() {
    let mut bench = bench();
    let dispatch = bench.dispatch("triage");
    quiet(&mut bench, "triage");
    bench.fire_until(Timer::Answer(dispatch));
    // Heard between two questions: that says nothing of the next one.
    bench.on(Event::ServerHeard);
    let start = bench.at_ms();
    quiet(&mut bench, "triage");
    let out = bench.fire_until(Timer::Answer(dispatch));
    assert_eq!((bench.at_ms() - start, lost(&out)), (500, None));
}

#[test]
fn a_reconnect_of_ours_ends_every_doubt() {
    let mut bench = bench();
    quiet(&mut bench, "triage");
    bench.on(Event::ServerHeard);
    bench.on(Event::Reconnecting);
    bench.pass_ms(60_000);
    bench.on(Event::Reconnected);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(
        asked(&quiet(&mut bench, "triage")).len(),
        1,
        "it may be asked anew"
    );
}

#[test]
fn a_quiet_holder_that_leaves_has_its_time_to_return() {
    let mut bench = bench();
    quiet(&mut bench, "triage");
    bench.on(Event::ServerHeard);
    bench.pass_ms(400);
    bench.leaves(bench.identity("triage"), Departure::MayReturn);
    bench.pass_ms(2_900);
    assert_eq!(bench.holder().as_deref(), Some("triage"), "away, not lost");
    let identity = bench.identity("triage");
    bench.joins(identity.as_str(), ParticipantKind::Agent);
    bench.hello("triage");
    bench.takes("triage");
    bench.pass_ms(60_000);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn only_who_has_the_baton_is_asked() {
    let mut bench = bench();
    assert_eq!(asked(&quiet(&mut bench, "billing")), [], "it rests");
    bench.switches_to("triage", "billing");
    assert_eq!(
        asked(&quiet(&mut bench, "triage")),
        [],
        "it is on its way out"
    );
    bench.on(Event::ServerHeard);
    bench.takes("billing");
    bench.sounds("billing");
    bench.faded();
    bench.pass_ms(400);
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn a_new_holder_that_falls_silent_in_the_switch_gives_the_baton_back() {
    let mut bench = bench();
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    assert_eq!(asked(&quiet(&mut bench, "billing")).len(), 1);
    bench.on(Event::ServerHeard);
    let out = bench.fire_until(Timer::Answer(bench.dispatch("billing")));
    let granted = grant(&out).map(|(identity, _)| identity);
    assert_eq!(granted, Some(bench.identity("triage").to_string()));
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_holder_that_falls_silent_while_its_successor_prepares_is_not_waited_for() {
    let mut bench = bench();
    bench.asks("triage", target("billing"));
    quiet(&mut bench, "triage");
    bench.on(Event::ServerHeard);
    bench.fire_until(Timer::Answer(bench.dispatch("triage")));
    let out = bench.gets_ready("billing");
    let granted = grant(&out).map(|(identity, _)| identity);
    assert_eq!(granted, Some(bench.identity("billing").to_string()));
}
