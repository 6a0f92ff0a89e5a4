//! Calls that go on in another process.

use call::{
    Command, Departure, Epoch, Event, Fact, ParticipantKind, Phase, PhaseName, Target, Timer,
};

use crate::harness::{Bench, CALLER, config, grant, outcome, target};

/// Everybody that a new process finds in the room, the caller first.
fn caller_is_there(bench: &mut Bench) {
    bench.joins(CALLER, ParticipantKind::Sip);
}

fn revoked(out: &[Command]) -> bool {
    out.iter()
        .any(|command| matches!(command, Command::Revoke { .. }))
}

#[test]
fn the_holder_goes_on_in_a_newer_epoch() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let before = bench.epoch();
    bench.restarts();
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    assert!(bench.epoch() > before);
    assert_eq!(
        bench.admitted(),
        [""; 0],
        "nobody is heard before it is back"
    );

    caller_is_there(&mut bench);
    let out = bench.returns("billing");
    let (identity, epoch) = grant(&out).expect("the holder is granted again");
    assert_eq!(identity, bench.identity("billing").as_str());
    assert!(Epoch(epoch) > before);
    assert!(!revoked(&out));
    bench.takes("billing");
    let out = bench.returns("triage");
    assert!(revoked(&out), "it might take itself for the holder");
    bench.released("triage");

    bench.hands_off("billing", "triage");
    assert_eq!(bench.call.snapshot().counts.handoffs_done, 3);
}

#[test]
fn an_old_grant_is_worth_nothing_after_a_restart() {
    let mut bench = Bench::active(config());
    let (identity, epoch) = (bench.identity("triage"), bench.epoch());
    bench.restarts();
    bench.returns("triage");
    bench.on(Event::Granted {
        identity: identity.clone(),
        epoch,
    });
    let dispatch = bench.dispatch("triage");
    let out = bench.fire_until(Timer::Grant(dispatch));
    let lost = |command: &Command| matches!(command, Command::Record(Fact::HolderLost { .. }));
    assert!(out.iter().any(lost), "only the new epoch counts: {out:?}");
}

#[test]
fn a_target_is_prepared_again_for_the_same_handoff() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    let handoff = bench.handoff();
    bench.restarts();
    caller_is_there(&mut bench);
    bench.returns("triage");
    bench.takes("triage");
    let out = bench.returns("billing");
    let prepared = out.iter().find_map(|command| match command {
        Command::Prepare { handoff, .. } => Some(*handoff),
        _ => None,
    });
    assert_eq!(prepared, Some(handoff));
    bench.gets_ready("billing");
    bench.splices();
    bench.takes("billing");
    bench.sounds("billing");
    let out = bench.faded();
    assert!(outcome(&out).is_some(), "whoever asked is told");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn a_switch_under_way_counts_as_done() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    assert_eq!(bench.phase(), PhaseName::Switching);
    let out = bench.restarts();
    assert!(outcome(&out).is_some(), "whoever asked is told");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.call.snapshot().previous, Some("triage".into()));
    let out = bench.returns("triage");
    assert!(revoked(&out) && grant(&out).is_none());
    assert!(grant(&bench.returns("billing")).is_some());
}

#[test]
fn a_holder_that_does_not_come_back_is_lost() {
    let mut bench = Bench::active(config());
    let dispatch = bench.dispatch("triage");
    bench.restarts();
    caller_is_there(&mut bench);
    let out = bench.fire_until(Timer::Return(dispatch));
    let lost = |command: &Command| matches!(command, Command::Record(Fact::HolderLost { .. }));
    assert!(out.iter().any(lost), "{out:?}");
    assert!(matches!(
        bench.call.phase(),
        Phase::Preparing { from: None, .. }
    ));
}

#[test]
fn a_caller_that_does_not_come_back_ends_the_call() {
    let mut bench = Bench::active(config());
    bench.restarts();
    bench.returns("triage");
    bench.fire_until(Timer::CallerReturn);
    assert_eq!(bench.call.ended(), Some(call::EndReason::CallerGone));
}

#[test]
fn nobody_else_is_taken_for_the_caller() {
    let mut bench = Bench::active(config());
    bench.restarts();
    bench.joins("sip_+15550777", ParticipantKind::Sip);
    let caller = bench.call.snapshot().caller.expect("there is one");
    assert_eq!((caller.identity.as_str(), caller.present), (CALLER, false));
}

#[test]
fn a_specialist_that_was_on_its_way_is_still_expected() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.restarts();
    caller_is_there(&mut bench);
    bench.returns("triage");
    bench.takes("triage");
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.splices();
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn a_call_before_its_first_grant_goes_on_as_well() {
    let mut bench = Bench::new(config());
    bench.caller_hears();
    bench.joined("triage");
    bench.restarts();
    caller_is_there(&mut bench);
    bench.returns("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn one_that_was_told_to_leave_is_told_again() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let dispatch = bench.dispatch("triage");
    bench.fire_until(Timer::Park(dispatch));
    let out = bench.restarts();
    let deleted = |command: &Command| matches!(command, Command::DeleteDispatch { dispatch: deleted } if *deleted == dispatch);
    assert!(out.iter().any(deleted), "{out:?}");
    caller_is_there(&mut bench);
    bench.returns("billing");
    bench.takes("billing");
    let identity = bench.identity("triage");
    bench.leaves(identity, Departure::Final);
    bench.asks("billing", Target::Previous);
    assert_eq!(bench.phase(), PhaseName::Preparing, "a new instance comes");
}

#[test]
fn a_second_restart_goes_on_from_the_first() {
    let mut bench = Bench::active(config());
    let mut epoch = bench.epoch();
    for _ in 0..3 {
        bench.restarts();
        caller_is_there(&mut bench);
        bench.returns("triage");
        bench.takes("triage");
        assert!(bench.epoch() > epoch);
        epoch = bench.epoch();
    }
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}
