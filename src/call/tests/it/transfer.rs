//! A handoff to a SIP address: every end of it.

use call::{
    After, Answer, CallConfig, Clip, Command, ConfigError, Departure, DispatchId, EndReason, Event,
    Fallback, Lifetime, NoAnswer, Outcome, ParticipantKind, PhaseName, Plan, RequestId,
    SpecialistKind, Splice, Timer,
};

use crate::harness::{Bench, CALLER, config, no_answer, outcome, rejected, target};

const ANSWER_MS: u64 = 30_000;

/// `support` is an address, and everybody leaves who has no task.
fn with_an_address() -> CallConfig {
    let mut config = config();
    for (name, specialist) in &mut config.specialists {
        specialist.after = After::Leave;
        if name.as_str() == "support" {
            specialist.kind = SpecialistKind::Sip {
                answer_timeout_ms: ANSWER_MS,
            };
        }
    }
    config
}

/// Which address the caller's phone was asked to call, if it was.
fn asked(out: &[Command]) -> Option<DispatchId> {
    out.iter().find_map(|command| match command {
        Command::Transfer {
            dispatch,
            specialist,
            caller,
            answer_timeout_ms: ANSWER_MS,
            epoch: _,
        } if specialist.as_str() == "support" && caller.as_str() == CALLER => Some(*dispatch),
        _ => None,
    })
}

/// A call in which triage has asked for the address, and the caller's phone calls it.
fn transferring() -> (Bench, DispatchId) {
    let mut bench = Bench::active(with_an_address());
    let out = bench.asks("triage", target("support"));
    assert_eq!(asked(&out), None, "triage finishes its sentence");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = bench.fire_until(Timer::Splice);
    let dispatch = asked(&out).expect("the phone is asked at the splice point");
    assert_eq!((bench.holder(), bench.admitted()), (None, vec![]));
    assert!(bench.call.voice_is_due(), "the caller hears the filler");
    bench.released("triage");
    (bench, dispatch)
}

fn fails(bench: &mut Bench, dispatch: DispatchId, how: NoAnswer) {
    let out = bench.on(Event::Unanswered {
        dispatch,
        how: how.clone(),
    });
    assert_eq!(no_answer(&out), how);
}

fn triage_goes_on(bench: &mut Bench) {
    assert_eq!(bench.phase(), PhaseName::Preparing);
    bench.goes_on("triage");
    let instances = bench.log.iter().filter(|(_, command)| {
        matches!(command, Command::Dispatch { specialist, .. } if specialist.as_str() == "triage")
    });
    assert_eq!(instances.count(), 1, "the same instance goes on");
}

#[test]
fn a_caller_whose_phone_is_answered_there_has_left_and_the_asker_is_told() {
    let (mut bench, dispatch) = transferring();
    let out = bench.on(Event::Transferred { dispatch });
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { ref holder, .. }) if holder.as_str() == "support"),
        "{out:?}"
    );
    assert_eq!(bench.call.ended(), Some(EndReason::Transferred));
    let released = out
        .iter()
        .any(|command| matches!(command, Command::Release { .. }));
    assert!(released, "triage is let go: {out:?}");
    assert_eq!(bench.call.snapshot().counts.handoffs_failed, 0);
    let dispatched = bench.log.iter().any(|(_, command)| {
        matches!(command, Command::Dispatch { specialist, .. } if specialist.as_str() == "support")
            || matches!(command, Command::DeleteDispatch { dispatch: it } if *it == dispatch)
    });
    assert!(!dispatched, "nobody is dispatched for an address");
}

#[test]
fn each_way_of_not_answering_is_told_and_whoever_had_the_baton_has_it_again() {
    let detail = "the phone's side answered 404 Not Found".to_owned();
    for how in [
        NoAnswer::Busy,
        NoAnswer::Declined,
        NoAnswer::TimedOut {
            after_ms: ANSWER_MS,
        },
        NoAnswer::Unreachable { detail },
    ] {
        let (mut bench, dispatch) = transferring();
        fails(&mut bench, dispatch, how);
        triage_goes_on(&mut bench);
        let late = bench.on(Event::Transferred { dispatch });
        assert!(rejected(&late), "{late:?}");
        assert_eq!(bench.call.ended(), None);
    }
}

#[test]
fn without_a_word_it_has_not_answered_a_little_after_it_may_ring_no_longer() {
    let (mut bench, dispatch) = transferring();
    let asked_at = bench.at_ms();
    let out = bench.fire_until(Timer::Join(dispatch));
    assert_eq!(bench.at_ms() - asked_at, u128::from(ANSWER_MS + 5_000));
    assert_eq!(
        no_answer(&out),
        NoAnswer::TimedOut {
            after_ms: ANSWER_MS
        }
    );
    triage_goes_on(&mut bench);
}

#[test]
fn a_caller_without_a_phone_is_not_put_on_hold_for_it() {
    let mut bench = Bench::new(with_an_address());
    bench.joins("web", ParticipantKind::Standard);
    bench.on(Event::CallerListening {
        identity: "web".into(),
    });
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    let out = bench.asks("triage", target("support"));
    assert_eq!(no_answer(&out), NoAnswer::NoPhone);
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn whom_the_route_names_in_its_place_is_tried_before_whoever_was_put_aside() {
    let mut config = with_an_address();
    config.routes[0].fallback = vec![Fallback::Specialist("billing".into())];
    config.routes[0].splice = Splice::Now;
    let mut bench = Bench::active(config);
    let out = bench.asks("triage", target("support"));
    let dispatch = asked(&out).expect("a cut does not wait");
    let out = bench.on(Event::Unanswered {
        dispatch,
        how: NoAnswer::Busy,
    });
    assert_eq!(outcome(&out), None, "it is the same request");
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.takes("billing");
    bench.sounds("billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn what_the_route_announces_is_heard_before_the_phone_calls() {
    let mut config = with_an_address();
    config.routes[0].announces = true;
    let mut bench = Bench::active(config);
    bench.asks("triage", target("support"));
    let out = bench.fire_until(Timer::Splice);
    assert_eq!(asked(&out), None);
    let clip = out.iter().find_map(|command| match command {
        Command::Announce { clip, .. } => Some(*clip),
        _ => None,
    });
    let clip = clip.expect("it is announced");
    assert!(matches!(clip, Clip::Route(_)));
    let out = bench.on(Event::Announced { clip });
    assert!(asked(&out).is_some(), "{out:?}");
}

#[test]
fn an_address_may_take_the_call_and_its_phone_is_answered_for_that() {
    let mut config = with_an_address();
    config.entry = "support".into();
    config.answer = Answer::EntryReady {
        ring_max_ms: 20_000,
    };
    let mut bench = Bench::new(config);
    let out = bench.joins(CALLER, ParticipantKind::Sip);
    assert!(out.contains(&Command::Answer), "{out:?}");
    assert_eq!(asked(&out), None, "it is no call yet that could leave");
    let out = bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    let dispatch = asked(&out).expect("the phone is asked");
    bench.on(Event::Transferred { dispatch });
    assert_eq!(bench.call.ended(), Some(EndReason::Transferred));
}

#[test]
fn when_nobody_is_left_the_call_may_leave_to_an_address() {
    let mut config = with_an_address();
    config.fallbacks = vec![Fallback::Specialist("support".into())];
    let mut bench = Bench::active(config);
    let triage = bench.identity("triage");
    let out = bench.leaves(triage, Departure::Final);
    let dispatch = asked(&out).expect("the phone is asked at once");
    fails_quietly(&mut bench, dispatch);
    let out = bench.fire_until(Timer::Hold);
    assert!(asked(&out).is_some(), "and again in the next round");
}

fn fails_quietly(bench: &mut Bench, dispatch: DispatchId) {
    let out = bench.on(Event::Unanswered {
        dispatch,
        how: NoAnswer::Busy,
    });
    assert_eq!(outcome(&out), None, "nobody has asked");
    assert_eq!(bench.phase(), PhaseName::Idle);
}

#[test]
fn a_caller_that_leaves_before_the_word_comes_was_transferred_if_it_says_so() {
    let (mut bench, dispatch) = transferring();
    bench.leaves(CALLER, Departure::Final);
    assert_eq!(bench.call.ended(), None);
    bench.on(Event::Transferred { dispatch });
    assert_eq!(bench.call.ended(), Some(EndReason::Transferred));

    let (mut bench, dispatch) = transferring();
    bench.leaves(CALLER, Departure::Final);
    let out = bench.on(Event::Unanswered {
        dispatch,
        how: NoAnswer::Declined,
    });
    assert_eq!(no_answer(&out), NoAnswer::Declined);
    bench.fire_until(Timer::CallerReturn);
    assert_eq!(bench.call.ended(), Some(EndReason::CallerGone));

    let (mut bench, _) = transferring();
    bench.leaves(CALLER, Departure::Final);
    bench.fire_until(Timer::CallerReturn);
    assert_eq!(bench.call.ended(), Some(EndReason::CallerGone));
}

#[test]
fn from_a_hold_an_address_that_does_not_answer_leaves_it_to_whoever_was_held() {
    let mut bench = Bench::active(with_an_address());
    bench.on(Event::HoldRequested {
        request: RequestId(7),
    });
    bench.released("triage");
    let out = bench.request(call::Asker::Operator, target("support"));
    let dispatch = asked(&out).expect("nobody has to be put aside");
    fails(&mut bench, dispatch, NoAnswer::Busy);
    triage_goes_on(&mut bench);
}

#[test]
fn after_a_crash_the_phone_is_not_asked_again_and_somebody_goes_on() {
    let (mut bench, _) = transferring();
    let out = bench.restarts();
    assert_eq!(asked(&out), None);
    let out = bench.joins(CALLER, ParticipantKind::Sip);
    assert_eq!(asked(&out), None, "it may be calling");
    bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    let dispatch = bench.call.phase().target().expect("it is under way");
    bench.fire_until(Timer::Join(dispatch));
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    bench.sounds("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn nobody_can_come_in_the_name_of_an_address() {
    let (mut bench, dispatch) = transferring();
    let out = bench.on(Event::SpecialistJoined {
        dispatch,
        identity: "agent-nobody".into(),
    });
    let removed = out
        .iter()
        .any(|command| matches!(command, Command::Remove { .. }));
    assert!(removed, "{out:?}");
    assert_eq!(bench.phase(), PhaseName::Preparing);
}

#[test]
fn an_address_is_not_called_before_anybody_asks() {
    let mut config = with_an_address();
    let support = config.specialists.get_mut(&"support".into());
    support.expect("it is defined").lifetime = Lifetime::Resident;
    assert_eq!(
        Plan::new(config),
        Err(ConfigError::AddressNotOnDemand {
            name: "support".into()
        })
    );
}
