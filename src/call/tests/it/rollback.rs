//! Handoffs that fail: before the switch everything stays as it was, after it the old holder takes the baton back.

use call::{
    Command, Departure, Epoch, Event, FailReason, LossReason, Misbehaviour, Outcome, PhaseName,
    Timer,
};

use crate::harness::{Bench, config, grant, outcome, target};

fn failed(out: &[Command]) -> FailReason {
    match outcome(out) {
        Some(Outcome::Failed { reason, .. }) => reason,
        other => panic!("not failed: {other:?} in {out:#?}"),
    }
}

/// Triage still has the baton as if nothing had been asked, and can ask again.
fn rolled_back(mut bench: Bench) {
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.epoch(), Epoch(1));
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
    assert_eq!(bench.audience(), ["agent-triage-1"]);
    bench.hands_off("triage", "support");
}

fn asking() -> Bench {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench
}

#[test]
fn the_dispatch_fails() {
    let mut bench = asking();
    let dispatch = bench.dispatch("billing");
    let out = bench.on(Event::DispatchFailed {
        dispatch,
        detail: "503".to_owned(),
    });
    assert_eq!(
        failed(&out),
        FailReason::DispatchFailed {
            detail: "503".to_owned()
        }
    );
    rolled_back(bench);
}

#[test]
fn the_target_never_joins() {
    let mut bench = asking();
    let dispatch = bench.dispatch("billing");
    let out = bench.fire_until(Timer::Join(dispatch));
    assert_eq!(failed(&out), FailReason::NeverJoined { after_ms: 10_000 });
    assert_eq!(bench.at_ms(), 10_000);
    assert!(out.contains(&Command::DeleteDispatch { dispatch }));
    let late = bench.joined("billing");
    assert!(
        matches!(late[0], Command::Remove { .. }),
        "one that comes too late is removed: {late:?}"
    );
    rolled_back(bench);
}

#[test]
fn the_target_joins_and_never_says_hello() {
    let mut bench = asking();
    bench.joined("billing");
    let dispatch = bench.dispatch("billing");
    let out = bench.fire_until(Timer::Hello(dispatch));
    assert_eq!(failed(&out), FailReason::NeverGreeted { after_ms: 5_000 });
    rolled_back(bench);
}

#[test]
fn the_target_joins_and_never_says_ready() {
    let mut bench = asking();
    bench.comes("billing");
    let dispatch = bench.dispatch("billing");
    let out = bench.fire_until(Timer::Ready(dispatch));
    assert_eq!(failed(&out), FailReason::NeverReady { after_ms: 10_000 });
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Release { .. })),
        "{out:?}"
    );
    rolled_back(bench);
}

#[test]
fn the_target_dies_while_preparing() {
    let mut bench = asking();
    bench.comes("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(
        failed(&out),
        FailReason::LostWhilePreparing {
            reason: LossReason::Left
        }
    );
    rolled_back(bench);
}

#[test]
fn the_targets_connection_breaks_and_it_does_not_come_back() {
    let mut bench = asking();
    bench.comes("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::MayReturn);
    assert_eq!(outcome(&out), None);
    let dispatch = bench.dispatch("billing");
    let out = bench.fire_until(Timer::Return(dispatch));
    let reason = LossReason::DidNotReturn { after_ms: 3_000 };
    assert_eq!(failed(&out), FailReason::LostWhilePreparing { reason });
    rolled_back(bench);
}

#[test]
fn the_target_dies_while_the_splice_point_is_awaited() {
    let mut bench = asking();
    bench.comes("billing");
    bench.gets_ready("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(
        failed(&out),
        FailReason::LostWhilePreparing {
            reason: LossReason::Left
        }
    );
    rolled_back(bench);
}

#[test]
fn the_target_refuses() {
    let mut bench = asking();
    bench.comes("billing");
    let (identity, handoff) = (bench.identity("billing"), bench.handoff());
    let out = bench.on(Event::PrepareRefused {
        identity,
        handoff,
        detail: "x".repeat(10_000),
    });
    let FailReason::Refused { detail } = failed(&out) else {
        panic!("{out:?}")
    };
    assert_eq!(
        detail.len(),
        call::TEXT_CHARS_MAX,
        "a peer's text is bounded"
    );
    rolled_back(bench);
}

#[test]
fn the_target_no_longer_answers() {
    let mut bench = asking();
    bench.comes("billing");
    let identity = bench.identity("billing");
    let out = bench.on(Event::Unresponsive { identity });
    assert_eq!(
        failed(&out),
        FailReason::LostWhilePreparing {
            reason: LossReason::Unresponsive
        }
    );
    rolled_back(bench);
}

#[test]
fn the_target_misbehaves() {
    let mut bench = asking();
    bench.comes("billing");
    let identity = bench.identity("billing");
    let out = bench.on(Event::Misbehaved {
        identity,
        what: Misbehaviour::OpenTrack,
    });
    let reason = LossReason::Misbehaved(Misbehaviour::OpenTrack);
    assert_eq!(failed(&out), FailReason::LostWhilePreparing { reason });
    rolled_back(bench);
}

#[test]
fn there_is_no_room_for_another_specialist() {
    let mut config = config();
    config.limits.instances_max = 2;
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    let out = bench.asks("billing", target("support"));
    assert_eq!(failed(&out), FailReason::TooManyInstances { max: 2 });
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

/// Triage has the baton again, in an epoch of its own, and was never silent.
fn taken_back(bench: &mut Bench, out: &[Command]) {
    assert_eq!(grant(out), Some(("agent-triage-1".to_owned(), 3)));
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
    assert!(bench.audience().contains(&"agent-triage-1".to_owned()));
    let silenced = Command::Drop {
        identity: "agent-triage-1".into(),
        epoch: Epoch(3),
    };
    assert!(!out.contains(&silenced));
    bench.takes("triage");
    bench.hands_off("triage", "support");
}

#[test]
fn the_new_one_never_takes_its_grant() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    let out = bench.fire_until(Timer::Switch);
    assert_eq!(bench.at_ms(), 2_000);
    assert_eq!(failed(&out), FailReason::NeverGranted { after_ms: 2_000 });
    let revoked = Command::Revoke {
        identity: "agent-billing-2".into(),
        epoch: Epoch(3),
    };
    assert!(out.contains(&revoked), "{out:?}");
    taken_back(&mut bench, &out);
    let late = bench.on(Event::Granted {
        identity: "agent-billing-2".into(),
        epoch: Epoch(2),
    });
    assert!(matches!(&late[..], [Command::Reject { .. }]), "{late:?}");
}

#[test]
fn the_new_one_sounds_but_never_takes_its_grant() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.pass_ms(1_900);
    bench.sounds("billing");
    let dispatch = bench.dispatch("billing");
    let out = bench.fire_until(Timer::Grant(dispatch));
    assert_eq!(failed(&out), FailReason::NeverGranted { after_ms: 2_000 });
    taken_back(&mut bench, &out);
}

#[test]
fn the_new_one_dies_before_it_sounds() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::MayReturn);
    assert_eq!(
        failed(&out),
        FailReason::LostWhileSwitching {
            reason: LossReason::Left
        }
    );
    taken_back(&mut bench, &out);
}

#[test]
fn the_new_one_dies_in_the_fade() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.sounds("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(
        failed(&out),
        FailReason::LostWhileSwitching {
            reason: LossReason::Left
        }
    );
    taken_back(&mut bench, &out);
}

#[test]
fn the_old_one_that_should_take_it_back_does_not_answer() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.fire_until(Timer::Switch);
    let out = bench.fire_until(Timer::Grant(call::DispatchId(1)));
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Remove { .. })),
        "{out:?}"
    );
    assert_eq!(bench.holder(), None);
    assert_eq!(
        bench.phase(),
        PhaseName::Preparing,
        "a fallback is on its way"
    );
}
