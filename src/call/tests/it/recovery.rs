//! Nobody has the baton: the fallbacks, the hold, the end.

use call::{Command, Departure, EndReason, Event, Fallback, Limits, LossReason, PhaseName, Timer};

use crate::caller::nothing_left;
use crate::harness::{Bench, config, grant, outcome, target};

fn dispatched(out: &[Command]) -> Vec<String> {
    let name = |command: &Command| match command {
        Command::Dispatch { specialist, .. } => Some(specialist.to_string()),
        _ => None,
    };
    out.iter().filter_map(name).collect()
}

#[test]
fn a_lost_holder_is_replaced_by_another_instance() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(dispatched(&out), ["billing"]);
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(
        grant(&out),
        Some(("agent-billing-3".to_owned(), 3)),
        "without waiting for a splice point"
    );
    bench.takes("billing");
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn the_fallbacks_are_tried_in_their_order() {
    let mut config = config();
    config.fallbacks = vec![
        Fallback::AnotherInstance,
        Fallback::Specialist("support".into()),
        Fallback::Previous,
    ];
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(dispatched(&out), ["billing"]);
    let out = bench.fire_until(Timer::Join(bench.dispatch("billing")));
    assert_eq!(dispatched(&out), ["support"]);
    let dispatch = bench.dispatch("support");
    bench.on(Event::DispatchFailed {
        dispatch,
        detail: String::new(),
    });
    bench.gets_ready("triage");
    bench.takes("triage");
    assert_eq!(
        bench.holder().as_deref(),
        Some("triage"),
        "the previous one, still parked"
    );
}

#[test]
fn a_holder_that_does_not_return_is_lost() {
    let mut bench = Bench::active(config());
    bench.leaves("agent-triage-1", Departure::MayReturn);
    let out = bench.fire_until(Timer::Return(call::DispatchId(1)));
    assert_eq!(bench.at_ms(), 3_000);
    let lost = Command::Record(call::Fact::HolderLost {
        specialist: "triage".into(),
        reason: LossReason::DidNotReturn { after_ms: 3_000 },
    });
    assert!(out.contains(&lost), "{out:?}");
    assert_eq!(dispatched(&out), ["triage"]);
}

#[test]
fn a_holder_lost_while_its_successor_prepares_needs_no_fallback() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    let out = bench.leaves("agent-triage-1", Departure::Final);
    assert_eq!(dispatched(&out), Vec::<String>::new());
    bench.comes("billing");
    assert_eq!(
        grant(&bench.gets_ready("billing")),
        Some(("agent-billing-2".to_owned(), 2))
    );
    let out = bench.takes("billing");
    assert!(
        outcome(&out).is_some(),
        "the request is answered although its asker is gone: {out:?}"
    );
}

#[test]
fn a_holder_and_its_successor_are_both_lost() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.leaves("agent-triage-1", Departure::Final);
    let out = bench.leaves("agent-billing-2", Departure::Final);
    assert_eq!(dispatched(&out), ["triage"]);
}

#[test]
fn when_all_fail_the_call_holds_tries_again_and_ends() {
    let mut config = config();
    config.limits = Limits {
        hold_rounds_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::new(config);
    bench.caller_hears();
    let (mut holds, mut tries) = (0, 0);
    while let Some((timer, _)) = bench.fire() {
        match timer {
            Timer::Hold => holds += 1,
            Timer::Join(_) => tries += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(
        (holds, tries),
        (2, 4),
        "the entry, then one round and two more"
    );
    assert_eq!(bench.call.ended(), Some(EndReason::NoSpecialist));
    assert_eq!(bench.at_ms(), 4 * 10_000 + 2 * 2_000);
    nothing_left(&bench);
}

#[test]
fn an_operator_can_end_a_hold_with_a_handoff() {
    let mut config = config();
    config.fallbacks = Vec::new();
    let mut bench = Bench::active(config);
    bench.leaves("agent-triage-1", Departure::Final);
    assert_eq!(bench.phase(), PhaseName::Idle);
    bench.request(call::Asker::Operator, target("support"));
    bench.comes("support");
    bench.gets_ready("support");
    let out = bench.takes("support");
    assert!(
        matches!(outcome(&out), Some(call::Outcome::Done { .. })),
        "{out:?}"
    );
}

#[test]
fn the_number_of_lost_holders_is_bounded() {
    let mut config = config();
    config.limits.losses_max = 3;
    let mut bench = Bench::active(config);
    for _ in 0..3 {
        bench.leaves(bench.identity("triage"), Departure::Final);
        bench.comes("triage");
        bench.gets_ready("triage");
        bench.takes("triage");
    }
    bench.leaves(bench.identity("triage"), Departure::Final);
    assert_eq!(
        bench.call.ended(),
        Some(EndReason::TooManyLosses { max: 3 })
    );
    nothing_left(&bench);
}

#[test]
fn one_that_is_granted_out_of_nothing_and_does_not_answer_is_replaced() {
    let mut bench = Bench::new(config());
    bench.caller_hears();
    bench.comes("triage");
    bench.gets_ready("triage");
    let out = bench.fire_until(Timer::Switch);
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Remove { .. })),
        "{out:?}"
    );
    assert_eq!(dispatched(&out), ["triage"]);
}

#[test]
fn a_request_is_answered_once_when_the_loss_of_its_target_ends_the_call() {
    let mut config = config();
    config.limits.losses_max = 1;
    let mut bench = Bench::active(config);
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.leaves("agent-triage-1", Departure::Final);
    bench.gets_ready("billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    let results = |command: &&Command| matches!(command, Command::HandoffResult { .. });
    assert_eq!(out.iter().filter(results).count(), 1, "{out:?}");
    assert_eq!(
        bench.call.ended(),
        Some(EndReason::TooManyLosses { max: 1 })
    );
}
