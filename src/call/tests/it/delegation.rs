//! Delegations: the baton goes for a task and comes back with its result, or one of the other ends comes.

use call::{
    After, Asker, Command, DELEGATIONS_MAX, Delegating, DelegationFailure, Departure, EndReason,
    Event, Fact, Outcome, PAYLOAD_BYTES_MAX, Payload, PayloadError, PhaseName, RefuseReason,
    RequestId, Stage, Target, Timer,
};

use crate::harness::{Bench, config, grant, outcome, target};

const TOOL_CALL: &str = "call-of-identify";

fn json(text: &str) -> Result<Payload, PayloadError> {
    Payload::new(text.as_bytes())
}

fn asker(bench: &Bench, name: &str) -> Asker {
    Asker::Specialist {
        identity: bench.identity(name),
        epoch: bench.epoch(),
    }
}

/// Asks for a delegation, by a tool call.
fn asks_for(bench: &mut Bench, from: &str, to: &str, tool_call: &str) -> Vec<Command> {
    let asker = asker(bench, from);
    let task = Delegating::Task(json(r#"{"level":2}"#));
    bench.request_with(asker, target(to), Some(tool_call), Some(task))
}

fn finishes(bench: &mut Bench, name: &str, result: &str) -> Vec<Command> {
    let asker = asker(bench, name);
    let result = Delegating::Result(json(result));
    bench.request_with(asker, Target::Previous, None, Some(result))
}

/// From the request until the handoff is done; the commands.
fn arrives(bench: &mut Bench, from: &str, to: &str) -> Vec<Command> {
    let mut out = Vec::new();
    let comes = bench.call.phase().target().is_some_and(|target| {
        bench.call.snapshot().specialists[&target]
            .identity
            .is_none()
    });
    if comes {
        out.extend(bench.comes(to));
    }
    out.extend(bench.gets_ready(to));
    out.extend(bench.splices());
    out.extend(bench.takes(to));
    out.extend(bench.sounds(to));
    out.extend(bench.faded());
    out.extend(bench.released(from));
    assert_eq!(
        bench.holder().as_deref(),
        Some(to),
        "{}",
        bench.text.join("\n")
    );
    out
}

/// `from` has delegated to `to`, who has the baton.
fn delegates(bench: &mut Bench, from: &str, to: &str, tool_call: &str) -> Vec<Command> {
    let mut out = asks_for(bench, from, to, tool_call);
    out.extend(arrives(bench, from, to));
    out
}

fn delegated() -> Bench {
    let mut bench = Bench::active(config());
    delegates(&mut bench, "triage", "billing", TOOL_CALL);
    bench
}

/// What the delegator of the request with this number was told, and whether anybody was there to be told.
fn ended(out: &[Command], number: u64) -> Option<(bool, Result<Payload, DelegationFailure>)> {
    out.iter().find_map(|command| match command {
        Command::DelegationResult {
            identity,
            request,
            outcome,
            ..
        } if *request == RequestId(number) => Some((identity.is_some(), outcome.clone())),
        _ => None,
    })
}

fn failed(failure: DelegationFailure) -> Option<(bool, Result<Payload, DelegationFailure>)> {
    Some((true, Err(failure)))
}

fn refused(out: &[Command]) -> RefuseReason {
    match outcome(out) {
        Some(Outcome::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn open(bench: &Bench) -> usize {
    bench.call.memory().delegations.len()
}

#[test]
fn a_result_comes_back_with_the_baton() {
    let mut bench = Bench::active(config());
    let out = delegates(&mut bench, "triage", "billing", TOOL_CALL);
    let told = out.iter().find_map(|command| match command {
        Command::Prepare { task, .. } => task.clone(),
        _ => None,
    });
    assert_eq!(told, json(r#"{"level":2}"#).ok());
    assert_eq!(open(&bench), 1);
    bench.pass_ms(40_000);

    let mut out = finishes(&mut bench, "billing", r#"{"known":true}"#);
    out.extend(arrives(&mut bench, "billing", "triage"));
    let result = json(r#"{"known":true}"#).expect("it is json");
    assert_eq!(ended(&out, 1), Some((true, Ok(result))));
    let place = |wanted: fn(&Command) -> bool| out.iter().position(wanted);
    let told = place(|command| matches!(command, Command::DelegationResult { .. }));
    let granted = place(|command| matches!(command, Command::Grant { .. }));
    assert!(told < granted, "the result comes before the baton");
    assert!(matches!(outcome(&out), Some(Outcome::Done { .. })));
    assert_eq!(open(&bench), 0);
}

#[test]
fn the_tool_call_that_asked_is_neither_waited_for_nor_cancelled() {
    let mut config = config();
    config.routes[0].tools_wait_ms = 1_000;
    let mut bench = Bench::active(config);
    let mut out = delegates(&mut bench, "triage", "billing", "outer");
    out.extend(delegates(&mut bench, "billing", "support", "inner"));
    out.extend(finishes(&mut bench, "support", "1"));
    out.extend(arrives(&mut bench, "support", "billing"));
    let waits = out.iter().filter_map(|command| match command {
        Command::AwaitTools { except, .. } => Some(except.clone()),
        _ => None,
    });
    assert_eq!(
        waits.collect::<Vec<_>>(),
        [
            vec!["outer"],
            vec!["inner", "outer"],
            vec!["outer", "inner"]
        ]
    );
    let grants = out.iter().filter_map(|command| match command {
        Command::Grant { except, .. } => Some(except.clone()),
        _ => None,
    });
    assert_eq!(
        grants.collect::<Vec<_>>(),
        [vec!["outer"], vec!["inner", "outer"], vec!["outer"]]
    );
}

#[test]
fn delegations_lie_on_each_other_and_end_in_order() {
    let mut bench = delegated();
    delegates(&mut bench, "billing", "support", "inner");
    assert_eq!(open(&bench), 2);
    finishes(&mut bench, "support", "2");
    let out = arrives(&mut bench, "support", "billing");
    assert_eq!(ended(&out, 2), Some((true, Ok(json("2").expect("json")))));
    assert_eq!(ended(&out, 1), None, "the outer one goes on");
    finishes(&mut bench, "billing", "1");
    let out = arrives(&mut bench, "billing", "triage");
    assert_eq!(ended(&out, 1), Some((true, Ok(json("1").expect("json")))));
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_lost_delegate_gives_the_baton_to_who_delegated() {
    let mut bench = delegated();
    let delegate = bench.identity("billing");
    bench.leaves(delegate, Departure::Final);
    let delegator = bench.dispatch("triage");
    assert_eq!(
        bench.call.phase().target(),
        Some(delegator),
        "before another instance"
    );
    bench.gets_ready("triage");
    let out = bench.takes("triage");
    let all: Vec<Command> = bench
        .log
        .iter()
        .map(|(_, command)| command.clone())
        .collect();
    assert_eq!(ended(&all, 1), failed(DelegationFailure::Lost), "{out:?}");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_delegate_that_hangs_loses_the_baton_in_time() {
    let mut bench = delegated();
    let out = bench.fire_until(Timer::Delegation);
    let after_ms = bench.plan().config().timers.delegation_timeout_ms;
    assert_eq!(
        ended(&out, 1),
        failed(DelegationFailure::TimedOut { after_ms })
    );
    assert_eq!(bench.phase(), PhaseName::Preparing);
    arrives(&mut bench, "billing", "triage");
    assert_eq!(
        refused(&finishes(&mut bench, "triage", "1")),
        RefuseReason::NoDelegation
    );
}

#[test]
fn the_time_of_an_outer_delegation_ends_what_lies_on_it() {
    let mut bench = delegated();
    bench.pass_ms(1_000);
    delegates(&mut bench, "billing", "support", "inner");
    let out = bench.fire_until(Timer::Delegation);
    let after_ms = bench.plan().config().timers.delegation_timeout_ms;
    for number in [1, 2] {
        assert_eq!(
            ended(&out, number),
            failed(DelegationFailure::TimedOut { after_ms })
        );
    }
    arrives(&mut bench, "support", "triage");
}

#[test]
fn a_delegate_that_hands_off_elsewhere_ends_the_delegation() {
    let mut bench = delegated();
    bench.asks("billing", target("support"));
    let out = arrives(&mut bench, "billing", "support");
    let to = "support".into();
    assert_eq!(ended(&out, 1), failed(DelegationFailure::Elsewhere { to }));
    assert_eq!(
        refused(&finishes(&mut bench, "support", "1")),
        RefuseReason::NoDelegation
    );
}

#[test]
fn a_handoff_elsewhere_that_fails_leaves_the_delegation_open() {
    let mut bench = delegated();
    bench.asks("billing", target("support"));
    bench.comes("support");
    let (identity, handoff, detail) = (bench.identity("support"), bench.handoff(), "no".to_owned());
    bench.on(Event::PrepareRefused {
        identity,
        handoff,
        detail,
    });
    assert_eq!(open(&bench), 1);
    finishes(&mut bench, "billing", "1");
    arrives(&mut bench, "billing", "triage");
}

#[test]
fn the_baton_may_come_back_without_a_result() {
    let mut bench = delegated();
    bench.asks("billing", Target::Previous);
    let out = arrives(&mut bench, "billing", "triage");
    assert_eq!(ended(&out, 1), failed(DelegationFailure::NoResult));
}

#[test]
fn the_result_for_a_delegator_that_is_gone_goes_to_another_instance() {
    let mut bench = delegated();
    let gone = bench.identity("triage");
    bench.leaves(gone.clone(), Departure::Final);
    assert_eq!(open(&bench), 1, "the delegate goes on");
    finishes(&mut bench, "billing", "1");
    let out = arrives(&mut bench, "billing", "triage");
    assert_ne!(bench.identity("triage"), gone);
    assert_eq!(ended(&out, 1), Some((false, Ok(json("1").expect("json")))));
}

#[test]
fn a_delegate_that_finishes_before_it_has_been_heard_is_told_that_its_task_is_still_coming() {
    let mut bench = Bench::active(config());
    asks_for(&mut bench, "triage", "billing", TOOL_CALL);
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.splices();
    bench.takes("billing");
    let refusal = refused(&finishes(&mut bench, "billing", "1"));
    let RefuseReason::InProgress { target, .. } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(target.as_str(), "billing");
    bench.sounds("billing");
    bench.faded();
    bench.released("triage");
    finishes(&mut bench, "billing", "1");
    arrives(&mut bench, "billing", "triage");
    assert_eq!(open(&bench), 0);
}

#[test]
fn nothing_to_finish_is_refused() {
    let mut bench = Bench::active(config());
    assert_eq!(
        refused(&finishes(&mut bench, "triage", "1")),
        RefuseReason::NoDelegation
    );
    let operator = Some(Delegating::Result(json("1")));
    let out = bench.request_with(Asker::Operator, target("billing"), None, operator);
    assert_eq!(refused(&out), RefuseReason::NoDelegation);
}

#[test]
fn delegations_that_lie_too_deep_are_refused() {
    let mut bench = Bench::active(config());
    let names = ["triage", "billing"];
    for depth in 0..DELEGATIONS_MAX {
        let (from, to) = (names[depth % 2], names[(depth + 1) % 2]);
        delegates(&mut bench, from, to, TOOL_CALL);
    }
    let holder = names[DELEGATIONS_MAX % 2];
    let out = asks_for(&mut bench, holder, "support", TOOL_CALL);
    let max = DELEGATIONS_MAX;
    assert_eq!(refused(&out), RefuseReason::TooDeep { max });
    for depth in (0..DELEGATIONS_MAX).rev() {
        let (to, from) = (names[depth % 2], names[(depth + 1) % 2]);
        finishes(&mut bench, from, "1");
        arrives(&mut bench, from, to);
    }
    assert_eq!(open(&bench), 0);
}

#[test]
fn bad_and_long_json_is_refused_and_changes_nothing() {
    let largest = format!("\"{}\"", "a".repeat(PAYLOAD_BYTES_MAX - 2));
    assert!(json(&largest).is_ok());
    let bytes = PAYLOAD_BYTES_MAX + 1;
    assert_eq!(
        json(&"1".repeat(bytes)),
        Err(PayloadError::TooLarge { bytes })
    );
    for bad in ["", "{", "nought", "1 2", &"[".repeat(4_000)] {
        let error = json(bad).expect_err("it is no json");
        assert!(matches!(error, PayloadError::NotJson { .. }), "{bad}");
        let mut bench = Bench::active(config());
        let triage = asker(&bench, "triage");
        let task = Some(Delegating::Task(json(bad)));
        let out = bench.request_with(triage, target("billing"), None, task);
        assert_eq!(
            refused(&out),
            RefuseReason::BadPayload {
                error: error.clone()
            }
        );
        let mut bench = delegated();
        assert_eq!(
            refused(&finishes(&mut bench, "billing", bad)),
            RefuseReason::BadPayload { error }
        );
        assert_eq!(open(&bench), 1);
        assert_eq!(bench.holder().as_deref(), Some("billing"));
    }
    assert!(Payload::new(&[b'"', 0xff, b'"']).is_err());
}

#[test]
fn a_task_and_a_result_are_not_printed() {
    assert_eq!(
        format!("{:?}", json("\"4111\"").expect("json")),
        "Payload(6 bytes)"
    );
}

#[test]
fn a_delegator_waits_in_the_room_and_then_does_what_it_is_configured_to() {
    let mut config = config();
    for specialist in config.specialists.values_mut() {
        specialist.after = After::Leave;
    }
    let mut bench = Bench::active(config);
    delegates(&mut bench, "triage", "billing", TOOL_CALL);
    let delegator = bench.dispatch("triage");
    bench.pass_ms(60_000);
    let stage = bench.call.snapshot().specialists[&delegator].stage;
    assert_eq!(stage, Stage::Parked { until: None });
    bench.asks("billing", target("support"));
    arrives(&mut bench, "billing", "support");
    let stage = bench.call.snapshot().specialists[&delegator].stage;
    assert!(matches!(stage, Stage::Leaving { .. }), "{stage:?}");
}

#[test]
fn a_hold_leaves_a_delegation_open() {
    let mut bench = delegated();
    bench.on(Event::HoldRequested {
        request: RequestId(90),
    });
    bench.released("billing");
    bench.on(Event::ResumeRequested {
        request: RequestId(91),
    });
    bench.gets_ready("billing");
    bench.takes("billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    assert_eq!(open(&bench), 1);
    finishes(&mut bench, "billing", "1");
    arrives(&mut bench, "billing", "triage");
}

#[test]
fn a_delegation_goes_on_in_another_process() {
    let mut bench = delegated();
    bench.restarts();
    bench.joins(crate::harness::CALLER, call::ParticipantKind::Sip);
    bench.returns("billing");
    bench.takes("billing");
    bench.returns("triage");
    bench.released("triage");
    assert_eq!(open(&bench), 1);
    finishes(&mut bench, "billing", "1");
    let out = arrives(&mut bench, "billing", "triage");
    assert_eq!(ended(&out, 1), Some((true, Ok(json("1").expect("json")))));
    assert!(grant(&out).is_some());
}

#[test]
fn the_end_of_the_call_ends_it_without_a_word() {
    let mut bench = delegated();
    let out = bench.on(Event::Stop);
    assert_eq!(ended(&out, 1), None);
    assert_eq!(bench.call.ended(), Some(EndReason::Stopped));
    let over = |command: &Command| matches!(command, Command::Record(Fact::DelegationEnded { .. }));
    assert!(!out.iter().any(over));
}
