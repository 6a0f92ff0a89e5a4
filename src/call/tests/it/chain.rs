//! The fallbacks of a route: while nothing has changed for the caller, and when the one that it led to is lost.

use call::{
    CallConfig, Command, Departure, Event, Fact, Fallback, Outcome, PhaseName, RefuseReason, Route,
    Timer,
};

use crate::harness::{Bench, config, grant, outcome, target};

/// Any route, with these to be tried in the place of its target.
fn with_chain(fallback: Vec<Fallback>) -> CallConfig {
    let mut config = config();
    config.routes = vec![Route {
        fallback,
        ..Route::default()
    }];
    config
}

fn dispatched(out: &[Command]) -> Vec<String> {
    let name = |command: &Command| match command {
        Command::Dispatch { specialist, .. } => Some(specialist.to_string()),
        _ => None,
    };
    out.iter().filter_map(name).collect()
}

#[test]
fn the_next_of_the_chain_is_tried_while_the_holder_goes_on() {
    let mut bench = Bench::active(with_chain(vec![Fallback::Specialist("support".into())]));
    bench.asks("triage", target("billing"));
    let dispatch = bench.dispatch("billing");
    let out = bench.on(Event::DispatchFailed {
        dispatch,
        detail: "full".to_owned(),
    });
    assert_eq!(dispatched(&out), ["support"]);
    assert_eq!(outcome(&out), None, "the request is still under way");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    bench.comes("support");
    bench.gets_ready("support");
    bench.splices();
    bench.takes("support");
    bench.sounds("support");
    let out = bench.faded();
    let Some(Outcome::Done { holder, .. }) = outcome(&out) else {
        panic!("not done: {out:?}")
    };
    assert_eq!(holder.as_str(), "support");
}

#[test]
fn a_request_is_answered_once_when_all_of_the_chain_has_failed() {
    let chain = vec![
        Fallback::AnotherInstance,
        Fallback::Previous,
        Fallback::Specialist("support".into()),
    ];
    let mut bench = Bench::active(with_chain(chain));
    bench.asks("triage", target("billing"));
    let mut tried = Vec::new();
    let out = loop {
        let Some((timer, out)) = bench.fire() else {
            panic!("it never ended")
        };
        assert!(matches!(timer, Timer::Join(_)), "{timer:?}");
        tried.extend(dispatched(&out));
        if outcome(&out).is_some() {
            break out;
        }
    };
    assert_eq!(
        tried,
        ["billing", "support"],
        "the holder itself is not tried"
    );
    assert!(matches!(outcome(&out), Some(Outcome::Failed { .. })));
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.at_ms(), 30_000);
}

#[test]
fn a_target_that_does_not_take_its_grant_gives_way_to_the_next() {
    let mut bench = Bench::active(with_chain(vec![Fallback::Specialist("support".into())]));
    bench.switches_to("triage", "billing");
    let out = bench.fire_until(Timer::Switch);
    assert_eq!(dispatched(&out), ["support"]);
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 3)));
    assert_eq!(outcome(&out), None);
    bench.takes("triage");
    bench.comes("support");
    bench.gets_ready("support");
    bench.splices();
    bench.takes("support");
    bench.sounds("support");
    bench.faded();
    assert_eq!(bench.holder().as_deref(), Some("support"));
}

#[test]
fn a_holder_that_came_by_the_route_is_replaced_by_its_chain_first() {
    let mut bench = Bench::active(with_chain(vec![Fallback::Specialist("support".into())]));
    bench.hands_off("triage", "billing");
    let out = bench.leaves(bench.identity("billing"), Departure::Final);
    assert_eq!(dispatched(&out), ["support"]);
    let out = bench.fire_until(Timer::Join(bench.dispatch("support")));
    assert_eq!(
        dispatched(&out),
        ["billing"],
        "then the configuration's own"
    );
}

#[test]
fn another_process_knows_the_chain() {
    let mut bench = Bench::active(with_chain(vec![Fallback::Specialist("support".into())]));
    bench.hands_off("triage", "billing");
    bench.restarts();
    bench.caller_hears();
    bench.pass_ms(3_000);
    let commands = bench.log.iter().map(|(_, command)| command.clone());
    let all: Vec<Command> = commands.collect();
    assert_eq!(dispatched(&all), ["triage", "billing", "support"]);
}

#[test]
fn a_specialist_that_has_had_its_handoffs_is_refused_to_all_but_operators() {
    let mut config = config();
    if let Some(billing) = config.specialists.get_mut(&"billing".into()) {
        billing.handoffs_max = Some(1);
    }
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    bench.hands_off("billing", "triage");
    let out = bench.asks("triage", target("billing"));
    assert_eq!(
        outcome(&out),
        Some(Outcome::Refused(RefuseReason::TooManyTo {
            to: "billing".into(),
            max: 1
        }))
    );
    let out = bench.request(call::Asker::Operator, target("billing"));
    let started =
        |command: &Command| matches!(command, Command::Record(Fact::HandoffStarted { .. }));
    assert!(out.iter().any(started), "{out:?}");
}
