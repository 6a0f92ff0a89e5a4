//! Who the caller is, when it is answered, and what its leaving means in each phase.

use call::{
    Command, Departure, EndReason, Epoch, Event, FailReason, Outcome, ParticipantKind, PhaseName,
    Timer,
};

use crate::harness::{Bench, CALLER, config, grant, outcome, target};

fn pinned(bench: &Bench) -> Option<String> {
    bench
        .call
        .snapshot()
        .caller
        .map(|caller| caller.identity.to_string())
}

fn ended(out: &[Command]) -> Option<EndReason> {
    match out.last() {
        Some(Command::Ended { reason }) => Some(*reason),
        _ => None,
    }
}

#[test]
fn the_entry_specialist_is_granted_when_the_caller_hears() {
    let mut bench = Bench::new(config());
    bench.comes("triage");
    assert_eq!(grant(&bench.gets_ready("triage")), None);
    assert_eq!(bench.phase(), PhaseName::Ready);
    assert_eq!(grant(&bench.joins(CALLER, ParticipantKind::Sip)), None);
    let out = bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 1)));
}

#[test]
fn a_caller_that_never_reports_hearing_is_greeted_all_the_same() {
    let mut bench = Bench::new(config());
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.fire_until(Timer::CallerListen);
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 1)));
}

#[test]
fn without_a_caller_the_call_ends() {
    let mut bench = Bench::new(config());
    bench.comes("triage");
    bench.gets_ready("triage");
    let out = bench.fire_until(Timer::CallerJoin);
    assert_eq!(ended(&out), Some(EndReason::NoCaller));
    assert_eq!(bench.at_ms(), 60_000);
}

#[test]
fn a_phone_comes_before_a_browser_until_the_first_grant() {
    let mut bench = Bench::new(config());
    bench.joins("supervisor", ParticipantKind::Standard);
    assert_eq!(pinned(&bench).as_deref(), Some("supervisor"));
    bench.joins(CALLER, ParticipantKind::Sip);
    assert_eq!(pinned(&bench).as_deref(), Some(CALLER));

    let mut bench = Bench::new(config());
    bench.joins("web", ParticipantKind::Standard);
    bench.on(Event::CallerListening {
        identity: "web".into(),
    });
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.joins(CALLER, ParticipantKind::Sip);
    assert_eq!(
        pinned(&bench).as_deref(),
        Some("web"),
        "once the baton was granted, the caller is who it is"
    );
}

#[test]
fn agents_and_recorders_are_never_the_caller() {
    let mut bench = Bench::new(config());
    bench.joins("agent", ParticipantKind::Agent);
    bench.joins("egress", ParticipantKind::Other);
    assert_eq!(pinned(&bench), None);
}

#[test]
fn a_second_phone_is_never_taken_for_the_caller() {
    let mut bench = Bench::active(config());
    bench.joins("sip_+15550777", ParticipantKind::Sip);
    assert_eq!(pinned(&bench).as_deref(), Some(CALLER));
    bench.leaves("sip_+15550777", Departure::Final);
    assert_eq!(bench.call.ended(), None);
    bench.joins("sip_+15550777", ParticipantKind::Sip);
    bench.leaves(CALLER, Departure::MayReturn);
    bench.joins("sip_+15550888", ParticipantKind::Sip);
    assert_eq!(
        pinned(&bench).as_deref(),
        Some(CALLER),
        "nor while the caller is away"
    );
    let out = bench.fire_until(Timer::CallerReturn);
    assert_eq!(ended(&out), Some(EndReason::CallerGone));
}

#[test]
fn the_caller_may_return_under_its_identity() {
    let mut bench = Bench::active(config());
    bench.leaves(CALLER, Departure::MayReturn);
    bench.pass_ms(4_999);
    let out = bench.joins(CALLER, ParticipantKind::Sip);
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::CallerAudience { .. })),
        "gates are applied again"
    );
    bench.pass_ms(60_000);
    assert_eq!(bench.call.ended(), None);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.epoch(), Epoch(1));
}

#[test]
fn another_kind_under_the_callers_identity_is_not_the_caller() {
    let mut bench = Bench::active(config());
    bench.leaves(CALLER, Departure::MayReturn);
    bench.joins(CALLER, ParticipantKind::Standard);
    let out = bench.fire_until(Timer::CallerReturn);
    assert_eq!(ended(&out), Some(EndReason::CallerGone));
}

#[test]
fn a_caller_that_hangs_up_is_not_waited_for() {
    let mut bench = Bench::active(config());
    let out = bench.leaves(CALLER, Departure::Final);
    assert_eq!(ended(&out), Some(EndReason::CallerGone));
}

#[test]
fn a_handoff_goes_on_while_the_caller_reconnects() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.leaves(CALLER, Departure::MayReturn);
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.splices();
    bench.takes("billing");
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.sounds("billing");
    bench.faded();
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn the_callers_leaving_ends_the_call_in_each_phase_and_leaves_nothing_behind() {
    let steps: [fn(&mut Bench); 7] = [
        |bench| drop(bench.asks("triage", target("billing"))),
        |bench| drop(bench.joined("billing")),
        |bench| drop(bench.hello("billing")),
        |bench| drop(bench.gets_ready("billing")),
        |bench| drop(bench.splices()),
        |bench| {
            bench.takes("billing");
            bench.sounds("billing");
        },
        |bench| drop(bench.faded()),
    ];
    for done in 0..=steps.len() {
        let mut bench = Bench::active(config());
        for step in &steps[..done] {
            step(&mut bench);
        }
        let admitted = bench.admitted();
        let asked = bench.call.phase().handoff().is_some();
        bench.leaves(CALLER, Departure::MayReturn);
        let out = bench.fire_until(Timer::CallerReturn);
        assert_eq!(ended(&out), Some(EndReason::CallerGone));
        assert!(bench.at_ms() <= 5_000);
        // A target's own timer may end the handoff in the same instant or before.
        if asked && bench.at_ms() < 2_000 {
            assert!(
                matches!(
                    outcome(&out),
                    Some(Outcome::Failed {
                        reason: FailReason::CallEnded,
                        ..
                    })
                ),
                "{out:?}"
            );
        }
        assert!(!admitted.is_empty());
        assert_eq!(bench.admitted(), Vec::<String>::new());
        nothing_left(&bench);
        assert_eq!(bench.call.poll_timeout(), None);
    }
}

#[test]
fn a_closed_room_is_not_tidied_up() {
    let mut bench = Bench::active(config());
    let out = bench.on(Event::RoomClosed);
    assert_eq!(ended(&out), Some(EndReason::RoomClosed));
    let acts = |command: &Command| !matches!(command, Command::Record(_) | Command::Ended { .. });
    assert!(!out.iter().any(acts), "{out:?}");
}

#[test]
fn a_call_that_another_process_has_is_not_touched() {
    let mut bench = Bench::active(config());
    let out = bench.on(Event::TakenOver);
    let harmless =
        |command: &Command| matches!(command, Command::Record(_) | Command::Ended { .. });
    assert!(out.iter().all(harmless), "{out:?}");
    assert_eq!(bench.call.ended(), Some(EndReason::TakenOver));
}

#[test]
fn after_the_end_nothing_happens() {
    let mut bench = Bench::active(config());
    bench.on(Event::Stop);
    assert_eq!(bench.joined("triage"), []);
    assert_eq!(bench.hello("triage"), []);
    assert_eq!(bench.request(call::Asker::Operator, target("billing")), []);
    assert_eq!(bench.joins(CALLER, ParticipantKind::Sip), []);
    assert!(bench.fire().is_none());
}

/// Every dispatch was deleted once, and every specialist in the room was told to leave.
pub(crate) fn nothing_left(bench: &Bench) {
    let count = |wanted: &dyn Fn(&Command) -> bool| {
        bench
            .log
            .iter()
            .filter(|(_, command)| wanted(command))
            .count()
    };
    for (_, command) in &bench.log {
        if let Command::Dispatch { dispatch, .. } = command {
            let deleted = count(&|other| {
                *other
                    == Command::DeleteDispatch {
                        dispatch: *dispatch,
                    }
            });
            // A new process makes a deletion again that a former one may not have made.
            let restarts = bench.text.iter().filter(|line| line.ends_with("> restart"));
            let text = || bench.text.join("\n");
            assert!(deleted >= 1, "dispatch {dispatch}\n{}", text());
            assert!(
                deleted <= 1 + restarts.count(),
                "dispatch {dispatch}\n{}",
                text()
            );
        }
    }
    assert!(bench.call.snapshot().specialists.is_empty());
}
