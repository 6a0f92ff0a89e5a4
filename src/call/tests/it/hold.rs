//! An operator puts the caller on hold, ends the hold, escalates.

use call::{
    After, Command, Departure, Event, Fact, IdleWait, Outcome, Phase, PhaseName, RefuseReason,
    RequestId, SteerRefusal, Timer,
};

use crate::harness::{Bench, config, grant, outcome, target};

const REQUEST: RequestId = RequestId(7);

fn hold(bench: &mut Bench) -> Vec<Command> {
    bench.on(Event::HoldRequested { request: REQUEST })
}

fn resume(bench: &mut Bench) -> Vec<Command> {
    bench.on(Event::ResumeRequested { request: REQUEST })
}

fn escalate(bench: &mut Bench) -> Vec<Command> {
    bench.on(Event::EscalationRequested {
        request: REQUEST,
        reason: "the caller asks for a person".to_owned(),
        splice: None,
    })
}

fn steered(out: &[Command]) -> Option<Result<(), SteerRefusal>> {
    out.iter().find_map(|command| match command {
        Command::SteerResult {
            request: REQUEST,
            outcome,
            ..
        } => Some(outcome.clone()),
        _ => None,
    })
}

fn is_held(bench: &Bench) -> bool {
    matches!(
        bench.call.phase(),
        Phase::Idle {
            wait: IdleWait::Held(_)
        }
    )
}

#[test]
fn on_hold_nobody_has_the_baton_and_the_holder_has_it_again_afterwards() {
    let mut config = config();
    // It stays for the hold, whatever it does after a handoff.
    for specialist in config.specialists.values_mut() {
        specialist.after = After::Leave;
    }
    let mut bench = Bench::active(config);
    let out = hold(&mut bench);
    assert_eq!(steered(&out), Some(Ok(())));
    assert!(is_held(&bench) && bench.call.voice_is_due());
    assert_eq!(
        (bench.holder(), bench.admitted(), bench.audience()),
        (None, vec![], vec![]),
        "nobody is heard, and nobody hears"
    );
    assert_eq!(bench.epoch().0, 2, "what was under way is stale");
    bench.released("triage");
    bench.pass_ms(60_000);
    assert!(is_held(&bench));

    let out = resume(&mut bench);
    assert_eq!(steered(&out), None, "it is a handoff");
    assert!(
        !out.iter()
            .any(|command| matches!(command, Command::Dispatch { .. })),
        "the same instance: {out:?}"
    );
    let out = bench.gets_ready("triage");
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 3)));
    let out = bench.takes("triage");
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.call.snapshot().previous, None, "nobody came between");
}

#[test]
fn a_resume_before_the_holder_has_answered_its_revoke_is_a_resume_all_the_same() {
    let mut bench = Bench::active(config());
    hold(&mut bench);
    resume(&mut bench);
    bench.released("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_forgotten_hold_ends_by_its_timer() {
    let mut bench = Bench::active(config());
    hold(&mut bench);
    bench.released("triage");
    bench.fire_until(Timer::Held);
    assert_eq!(bench.at_ms(), 600_000);
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn the_filler_of_a_hold_is_no_dead_air() {
    let mut bench = Bench::active(config());
    hold(&mut bench);
    bench.on(Event::DeadAirBegan);
    bench.released("triage");
    resume(&mut bench);
    bench.gets_ready("triage");
    bench.takes("triage");
    bench.on(Event::DeadAirEnded { false_start: false });
    assert_eq!(bench.call.snapshot().counts.dead_airs, 0);
    let dead_air = |(_, command): &(u128, Command)| {
        matches!(
            command,
            Command::Record(Fact::DeadAirBegan { .. } | Fact::DeadAirEnded { .. })
        )
    };
    assert!(!bench.log.iter().any(dead_air));
}

#[test]
fn an_operator_may_hand_over_from_a_hold_and_who_was_kept_rests() {
    let mut config = config();
    for specialist in config.specialists.values_mut() {
        specialist.after = After::Leave;
    }
    let mut bench = Bench::active(config);
    hold(&mut bench);
    bench.released("triage");
    let out = bench.request(call::Asker::Operator, target("billing"));
    let leaves = |command: &Command| matches!(command, Command::Release { identity, .. } if identity.as_str() == "agent-triage-1");
    assert!(out.iter().any(leaves), "{out:?}");
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.takes("billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    assert_eq!(bench.call.snapshot().previous, Some("triage".into()));
}

#[test]
fn a_kept_specialist_that_is_lost_is_replaced_when_the_hold_ends() {
    let mut bench = Bench::active(config());
    hold(&mut bench);
    bench.released("triage");
    bench.leaves("agent-triage-1", Departure::Final);
    assert!(is_held(&bench), "the caller waits as before");
    resume(&mut bench);
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_hold_is_over_when_another_process_goes_on() {
    let mut bench = Bench::active(config());
    hold(&mut bench);
    bench.released("triage");
    bench.restarts();
    assert!(!is_held(&bench));
    bench.caller_hears();
    assert_eq!(bench.call.memory(), bench.memory);
    bench.comes("triage");
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let mut bench = Bench::active(config());
    let refused = |out: Vec<Command>| steered(&out).and_then(Result::err);
    assert_eq!(refused(resume(&mut bench)), Some(SteerRefusal::NotHeld));
    assert_eq!(
        refused(escalate(&mut bench)),
        Some(SteerRefusal::NoEscalation)
    );
    hold(&mut bench);
    assert_eq!(refused(hold(&mut bench)), Some(SteerRefusal::AlreadyHeld));
    bench.released("triage");
    resume(&mut bench);
    let handoff = bench.handoff();
    let target = "triage".into();
    assert_eq!(
        refused(hold(&mut bench)),
        Some(SteerRefusal::InProgress { handoff, target })
    );
    bench.on(Event::Stop);
    assert!(hold(&mut bench).is_empty(), "the call is over");
}

#[test]
fn an_escalation_needs_no_route() {
    let mut config = config();
    config.routes.clear();
    config.escalation = Some("support".into());
    let mut bench = Bench::active(config);
    let out = bench.request(call::Asker::Operator, target("support"));
    assert!(
        matches!(
            outcome(&out),
            Some(Outcome::Refused(RefuseReason::NoRoute { .. }))
        ),
        "{out:?}"
    );
    escalate(&mut bench);
    bench.comes("support");
    bench.gets_ready("support");
    bench.splices();
    bench.sounds("support");
    bench.faded();
    assert_eq!(bench.holder().as_deref(), Some("support"));
    let again = escalate(&mut bench);
    assert!(
        matches!(
            outcome(&again),
            Some(Outcome::Refused(RefuseReason::AlreadyHolder { .. }))
        ),
        "{again:?}"
    );
}
