//! A handoff to a person: every end of it.

use std::time::Duration;

use call::{
    After, Command, Departure, Event, FailReason, Fallback, NoAnswer, Opening, Outcome,
    PersonAnswer, Phase, PhaseName, RequestId, SpecialistKind, Splice, SteerRefusal, Timer,
};

use crate::harness::{Bench, config, grant, no_answer, outcome, rejected, target};

const ACCEPT_MS: u64 = 30_000;

/// `support` is a person, and everybody leaves who has no task.
fn with_a_person() -> call::CallConfig {
    let mut config = config();
    for (name, specialist) in &mut config.specialists {
        specialist.after = After::Leave;
        if name.as_str() == "support" {
            specialist.kind = SpecialistKind::Human {
                accept_timeout_ms: ACCEPT_MS,
            };
        }
    }
    config
}

/// A call in which triage has asked for the person, and is put aside.
fn ringing() -> Bench {
    let mut bench = Bench::active(with_a_person());
    bench.asks("triage", target("support"));
    assert_eq!(
        bench.holder().as_deref(),
        Some("triage"),
        "until a splice point"
    );
    bench.fire_until(Timer::Splice);
    assert_eq!(bench.phase(), PhaseName::Preparing);
    assert_eq!((bench.holder(), bench.admitted()), (None, vec![]));
    assert!(bench.call.voice_is_due(), "the caller hears the filler");
    bench.released("triage");
    bench
}

/// As [`ringing`], and the person hears what it is about.
fn briefed() -> Bench {
    let mut bench = ringing();
    let out = bench.comes("support");
    let prepared = out.iter().any(|command| {
        matches!(
            command,
            Command::Prepare {
                opening: Opening::Wait,
                ..
            }
        )
    });
    assert!(prepared, "{out:?}");
    bench
}

/// Nobody has accepted: the one that was put aside has the baton again, as the same instance.
fn triage_goes_on(bench: &mut Bench) {
    bench.goes_on("triage");
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
    assert_eq!(bench.call.snapshot().previous, None, "nobody came between");
}

fn talking() -> Bench {
    let mut bench = briefed();
    let out = bench.gets_ready("support");
    assert_eq!(
        grant(&out).map(|(who, _)| who),
        Some("agent-support-2".to_owned())
    );
    let out = bench.takes("support");
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
    bench
}

#[test]
fn a_person_that_accepts_talks_with_the_caller_and_the_agent_leaves() {
    let mut bench = talking();
    assert_eq!(bench.phase(), PhaseName::Active, "it need not speak first");
    assert_eq!(bench.admitted(), ["agent-support-2"]);
    assert_eq!(bench.audience(), ["agent-support-2"]);
    assert_eq!(bench.call.snapshot().previous, Some("triage".into()));
    let released = bench.log.iter().any(|(_, command)| {
        matches!(command, Command::Release { identity, .. } if identity.as_str() == "agent-triage-1")
    });
    assert!(released, "it was kept for this alone");
    bench.pass_ms(120_000);
    assert_eq!(bench.holder().as_deref(), Some("support"));
}

#[test]
fn until_it_accepts_the_person_hears_nothing_of_the_caller_but_what_the_gates_of_a_target_allow() {
    let bench = briefed();
    assert_eq!(
        bench.admitted(),
        Vec::<String>::new(),
        "the caller hears nobody"
    );
    assert!(!bench.call.snapshot().counts.dead_airs > 0);
}

#[test]
fn a_person_that_accepts_before_the_splice_point_takes_over_as_any_target_does() {
    let mut bench = Bench::active(with_a_person());
    bench.asks("triage", target("support"));
    bench.comes("support");
    bench.gets_ready("support");
    assert_eq!(bench.phase(), PhaseName::Ready);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = bench.splices();
    assert!(grant(&out).is_some(), "{out:?}");
}

#[test]
fn a_splice_point_puts_the_holder_aside_and_a_cut_does_so_at_once() {
    let mut bench = Bench::active(with_a_person());
    let out = bench.asks("triage", target("support"));
    let watched = out.iter().find_map(|command| match command {
        Command::WatchSplice { handoff, .. } => Some(*handoff),
        _ => None,
    });
    let handoff = watched.expect("a splice point is looked for");
    bench.on(Event::SpliceReached { handoff });
    assert_eq!(bench.holder(), None);

    let mut config = with_a_person();
    config.routes[0].splice = Splice::Now;
    let mut bench = Bench::active(config);
    bench.asks("triage", target("support"));
    assert_eq!(bench.holder(), None);
}

#[test]
fn a_person_that_declines_leaves_the_baton_with_whoever_had_it() {
    let mut bench = briefed();
    let (identity, handoff) = (bench.identity("support"), bench.handoff());
    let out = bench.on(Event::PrepareRefused {
        identity,
        handoff,
        detail: "declined".to_owned(),
    });
    assert_eq!(no_answer(&out), NoAnswer::Declined);
    triage_goes_on(&mut bench);
}

#[test]
fn one_clock_runs_from_the_first_ring_until_the_person_has_accepted() {
    let mut bench = Bench::active(with_a_person());
    let asked = bench.at_ms();
    bench.asks("triage", target("support"));
    bench.fire_until(Timer::Splice);
    bench.released("triage");
    bench.pass_ms(15_000);
    bench.comes("support");
    let dispatch = bench.dispatch("support");
    let out = bench.fire_until(Timer::Ready(dispatch));
    assert_eq!(bench.at_ms() - asked, u128::from(ACCEPT_MS));
    assert_eq!(
        no_answer(&out),
        NoAnswer::TimedOut {
            after_ms: ACCEPT_MS
        }
    );
    triage_goes_on(&mut bench);
}

#[test]
fn a_person_that_never_comes_is_no_answer() {
    let mut bench = ringing();
    let dispatch = bench.dispatch("support");
    let out = bench.fire_until(Timer::Join(dispatch));
    assert_eq!(
        no_answer(&out),
        NoAnswer::TimedOut {
            after_ms: ACCEPT_MS
        }
    );
    triage_goes_on(&mut bench);
}

#[test]
fn a_person_that_leaves_before_accepting_is_no_answer() {
    let mut bench = briefed();
    let identity = bench.identity("support");
    let out = bench.leaves(identity, Departure::Final);
    assert_eq!(no_answer(&out), NoAnswer::Left);
    triage_goes_on(&mut bench);
}

#[test]
fn a_person_that_cannot_be_rung_is_no_answer() {
    let mut bench = ringing();
    let dispatch = bench.dispatch("support");
    let detail = "486 Busy Here".to_owned();
    let out = bench.on(Event::DispatchFailed {
        dispatch,
        detail: detail.clone(),
    });
    assert_eq!(no_answer(&out), NoAnswer::Unreachable { detail });
    triage_goes_on(&mut bench);
}

#[test]
fn whoever_was_put_aside_comes_before_every_fallback_and_is_had_anew_if_it_is_gone() {
    let mut config = with_a_person();
    config.fallbacks = vec![Fallback::Specialist("billing".into())];
    let mut bench = Bench::active(config);
    bench.asks("triage", target("support"));
    bench.fire_until(Timer::Splice);
    let triage = bench.identity("triage");
    bench.leaves(triage, Departure::Final);
    let dispatch = bench.dispatch("support");
    bench.on(Event::DispatchFailed {
        dispatch,
        detail: String::new(),
    });
    let handoff = bench
        .call
        .phase()
        .handoff()
        .map(|handoff| handoff.to.clone());
    assert_eq!(handoff, Some("triage".into()));
    let dispatch = bench.dispatch("triage");
    bench.on(Event::DispatchFailed {
        dispatch,
        detail: String::new(),
    });
    let handoff = bench
        .call
        .phase()
        .handoff()
        .map(|handoff| handoff.to.clone());
    assert_eq!(handoff, Some("billing".into()));
}

#[test]
fn an_agent_whom_the_route_names_in_the_persons_place_opens_as_the_route_says() {
    let mut config = with_a_person();
    config.routes[0].fallback = ["triage", "billing"]
        .map(|name| Fallback::Specialist(name.into()))
        .to_vec();
    config.routes[0].opening = Opening::Greet;
    let mut bench = Bench::active(config);
    bench.asks("triage", target("support"));
    bench.fire_until(Timer::Splice);
    bench.released("triage");
    let dispatch = bench.dispatch("support");
    let out = bench.on(Event::DispatchFailed {
        dispatch,
        detail: String::new(),
    });
    assert_eq!(outcome(&out), None, "for its asker it is the same request");
    let out = bench.comes("billing");
    let opens = out.iter().find_map(|command| match command {
        Command::Prepare { opening, .. } => Some(opening.clone()),
        _ => None,
    });
    assert_eq!(
        opens,
        Some(Opening::Greet),
        "whoever was put aside is passed over"
    );
    bench.gets_ready("billing");
    bench.takes("billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    let rests = bench.log.iter().any(|(_, command)| {
        matches!(command, Command::Release { identity, .. } if identity.as_str() == "agent-triage-1")
    });
    assert!(rests, "nobody needs it any more");
}

#[test]
fn a_person_that_hangs_up_is_not_rung_again() {
    let mut bench = talking();
    let identity = bench.identity("support");
    bench.leaves(identity, Departure::Final);
    let handoff = bench
        .call
        .phase()
        .handoff()
        .map(|handoff| handoff.to.clone());
    assert_eq!(
        handoff,
        Some("triage".into()),
        "whoever had the baton before"
    );
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_person_hands_back_to_whoever_had_the_baton_before_without_a_route() {
    let mut config = with_a_person();
    config.hand_back = false;
    config.routes[0].to = call::Names::Only(vec!["support".into()]);
    let mut bench = Bench::active(config);
    bench.asks("triage", target("support"));
    bench.fire_until(Timer::Splice);
    bench.released("triage");
    bench.comes("support");
    bench.gets_ready("support");
    bench.takes("support");

    let stranger = bench.identity("triage");
    assert!(rejected(
        &bench.on(Event::HandedBack { identity: stranger })
    ));
    let identity = bench.identity("support");
    bench.on(Event::HandedBack { identity });
    assert_eq!(
        bench.holder().as_deref(),
        Some("support"),
        "as before any switch"
    );
    let out = bench.comes("triage");
    let opens = out.iter().find_map(|command| match command {
        Command::Prepare { opening, .. } => Some(opening.clone()),
        _ => None,
    });
    assert_eq!(opens, Some(Opening::Continue), "it does not greet");
    bench.gets_ready("triage");
    bench.splices();
    bench.takes("triage");
    bench.sounds("triage");
    bench.faded();
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = bench.released("support");
    let left = out
        .iter()
        .any(|command| matches!(command, Command::Release { .. }));
    assert!(left, "the person is let go: {out:?}");
}

#[test]
fn a_caller_that_hangs_up_ends_it_for_the_person_too() {
    let mut bench = briefed();
    let support = bench.dispatch("support");
    let out = bench.leaves(crate::harness::CALLER, Departure::Final);
    assert_eq!(
        outcome(&out).map(|outcome| matches!(
            outcome,
            Outcome::Failed {
                reason: FailReason::CallEnded,
                ..
            }
        )),
        Some(true)
    );
    let deleted = out.iter().any(
        |command| matches!(command, Command::DeleteDispatch { dispatch } if *dispatch == support),
    );
    assert!(deleted, "{out:?}");
}

#[test]
fn from_a_hold_a_person_that_does_not_answer_leaves_it_to_whoever_was_held() {
    let mut bench = Bench::active(with_a_person());
    bench.on(Event::HoldRequested {
        request: RequestId(7),
    });
    bench.released("triage");
    bench.request(call::Asker::Operator, target("support"));
    let dispatch = bench.dispatch("support");
    bench.pass_ms(1_000);
    let out = bench.on(Event::DispatchFailed {
        dispatch,
        detail: "no".to_owned(),
    });
    assert!(matches!(no_answer(&out), NoAnswer::Unreachable { .. }));
    triage_goes_on(&mut bench);
}

#[test]
fn an_escalation_rings_the_person_whom_the_configuration_names() {
    let mut config = with_a_person();
    config.escalation = Some("support".into());
    let mut bench = Bench::active(config);
    let out = bench.on(Event::EscalationRequested {
        request: RequestId(3),
        reason: "a person is asked for".to_owned(),
        splice: None,
    });
    assert!(
        matches!(bench.call.phase(), Phase::Preparing { .. }),
        "{out:?}"
    );
    bench.fire_until(Timer::Splice);
    bench.comes("support");
    bench.gets_ready("support");
    let out = bench.takes("support");
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
}

#[test]
fn a_process_that_is_killed_while_a_person_is_rung_leaves_the_call_to_the_fallbacks() {
    let mut bench = ringing();
    bench.restarts();
    let end = Duration::from_secs(600);
    bench.joins(crate::harness::CALLER, call::ParticipantKind::Sip);
    bench.pass_ms(u64::try_from(end.as_millis()).expect("it is small"));
    assert!(
        bench.call.ended().is_some(),
        "nobody came back, and nobody could be had"
    );
}

const OPERATOR: RequestId = RequestId(70);

/// What an operator that answers for the person is told, and all that comes of it.
fn answered_for(
    bench: &mut Bench,
    answer: PersonAnswer,
) -> (Result<(), SteerRefusal>, Vec<Command>) {
    let out = bench.on(Event::PersonAnswered {
        request: OPERATOR,
        answer,
    });
    (steered(&out).expect("each wish is answered"), out)
}

fn steered(out: &[Command]) -> Option<Result<(), SteerRefusal>> {
    out.iter().find_map(|command| match command {
        Command::SteerResult {
            request: OPERATOR,
            outcome,
            ..
        } => Some(outcome.clone()),
        _ => None,
    })
}

fn hand_back(bench: &mut Bench) -> Vec<Command> {
    bench.on(Event::HandBackRequested { request: OPERATOR })
}

#[test]
fn an_operator_accepts_for_a_person_that_is_there() {
    let mut bench = briefed();
    assert_eq!(bench.call.snapshot().rung, Some("support".into()));
    let (told, out) = answered_for(&mut bench, PersonAnswer::Accept);
    assert_eq!(told, Ok(()));
    let accepted = out.iter().any(|command| {
        matches!(command, Command::Accepted { identity, .. } if identity.as_str() == "agent-support-2")
    });
    assert!(accepted, "it is heard, and briefed no more: {out:?}");
    assert_eq!(bench.call.snapshot().rung, None);
    let key = Event::Ready {
        identity: bench.identity("support"),
        handoff: call::HandoffId(2),
        applied: true,
    };
    let crossed = bench.on(key);
    assert!(rejected(&crossed), "its key comes too late: {crossed:?}");
    bench.takes("support");
    assert_eq!(bench.holder().as_deref(), Some("support"));
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn nobody_accepts_for_a_person_that_is_not_there() {
    let mut bench = ringing();
    let person = || "support".into();
    let (told, _) = answered_for(&mut bench, PersonAnswer::Accept);
    assert_eq!(told, Err(SteerRefusal::NotThere { person: person() }));
    assert_eq!(bench.phase(), PhaseName::Preparing, "it rings on");
    bench.comes("support");
    let (told, _) = answered_for(&mut bench, PersonAnswer::Accept);
    assert_eq!(told, Ok(()));
    for answer in [PersonAnswer::Accept, PersonAnswer::Decline] {
        let (told, _) = answered_for(&mut bench, answer);
        let accepted = SteerRefusal::AlreadyAccepted { person: person() };
        assert_eq!(told, Err(accepted));
    }
    bench.takes("support");
    let (told, _) = answered_for(&mut bench, PersonAnswer::Decline);
    let accepted = SteerRefusal::AlreadyAccepted { person: person() };
    assert_eq!(told, Err(accepted), "who talks has accepted");
}

#[test]
fn an_operator_declines_for_a_person_whether_it_is_there_or_not() {
    for mut bench in [ringing(), briefed()] {
        let (told, out) = answered_for(&mut bench, PersonAnswer::Decline);
        assert_eq!(told, Ok(()));
        assert_eq!(no_answer(&out), NoAnswer::Declined);
        let closed = out
            .iter()
            .any(|command| matches!(command, Command::DeleteDispatch { .. }));
        assert!(closed, "it is rung no longer: {out:?}");
        triage_goes_on(&mut bench);
        let (told, _) = answered_for(&mut bench, PersonAnswer::Decline);
        assert_eq!(told, Err(SteerRefusal::NobodyRung));
    }
}

#[test]
fn an_operator_answers_for_nobody_else() {
    let mut bench = Bench::active(with_a_person());
    bench.asks("triage", target("billing"));
    for answer in [PersonAnswer::Accept, PersonAnswer::Decline] {
        let (told, _) = answered_for(&mut bench, answer);
        assert_eq!(told, Err(SteerRefusal::NobodyRung), "billing is no person");
    }
    assert_eq!(bench.phase(), PhaseName::Preparing);
}

#[test]
fn an_operator_hands_back_for_the_person_and_is_told_what_became_of_it() {
    let mut bench = briefed();
    let out = hand_back(&mut bench);
    assert_eq!(steered(&out), Some(Err(SteerRefusal::NoPersonHolds)));
    let mut bench = talking();
    bench.released("triage");
    let out = hand_back(&mut bench);
    assert_eq!(steered(&out), None, "it is a handoff");
    assert_eq!(bench.phase(), PhaseName::Preparing, "{out:?}");
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.splices();
    bench.takes("triage");
    bench.sounds("triage");
    let done = bench.log.iter().any(|(_, command)| {
        matches!(
            command,
            Command::HandoffResult {
                request: OPERATOR,
                outcome: Outcome::Done { .. },
                ..
            }
        )
    });
    assert!(!done, "not before the fade is over");
    let out = bench.faded();
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = hand_back(&mut bench);
    assert_eq!(steered(&out), Some(Err(SteerRefusal::NoPersonHolds)));
}
