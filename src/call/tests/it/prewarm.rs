//! Specialists that are dispatched because a handoff to them is likely.

use std::sync::Arc;

use call::{After, CallConfig, Command, Condition, Event, Lifetime, Names, Route, Stage};
use serde_json::json;

use crate::harness::{Bench, config, target};

fn dispatched(bench: &Bench, name: &str) -> usize {
    let of = |command: &&(u128, Command)| match &command.1 {
        Command::Dispatch { specialist, .. } => specialist.as_str() == name,
        _ => false,
    };
    bench.log.iter().filter(of).count()
}

fn when(source: &str) -> Option<Condition> {
    Some(Condition::compile(source, None).expect("it compiles"))
}

/// From triage to billing once the state says so; billing is prewarmed.
fn prewarmed() -> CallConfig {
    let mut config = config();
    config.routes = vec![Route {
        from: Names::Only(vec!["triage".into()]),
        to: Names::Only(vec!["billing".into()]),
        when: when("has(state.verified) && state.verified"),
        ..Route::default()
    }];
    if let Some(billing) = config.specialists.get_mut(&"billing".into()) {
        billing.lifetime = Lifetime::Prewarmed;
    }
    config
}

fn verified(bench: &mut Bench, verified: bool, version: u64) {
    let state = Arc::new(json!({"verified": verified}));
    bench.on(Event::StateChanged { state, version });
}

fn stage(bench: &Bench, name: &str) -> Option<Stage> {
    let snapshot = bench.call.snapshot();
    let mut all = snapshot.specialists.values();
    all.find(|view| view.specialist.as_str() == name)
        .map(|view| view.stage)
}

#[test]
fn it_comes_when_the_way_to_it_opens_and_is_there_when_it_is_asked_for() {
    let mut bench = Bench::active(prewarmed());
    assert_eq!(dispatched(&bench, "billing"), 0, "the way is shut");
    verified(&mut bench, true, 1);
    assert_eq!(dispatched(&bench, "billing"), 1);
    bench.comes("billing");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    let out = bench.asks("triage", target("billing"));
    let prepares = |command: &Command| matches!(command, Command::Prepare { .. });
    assert!(out.iter().any(prepares), "it is prepared at once: {out:?}");
    assert_eq!(dispatched(&bench, "billing"), 1);
}

#[test]
fn it_rests_when_the_way_shuts_and_leaves_in_time() {
    let mut bench = Bench::active(prewarmed());
    verified(&mut bench, true, 1);
    bench.comes("billing");
    verified(&mut bench, false, 2);
    assert!(
        matches!(
            stage(&bench, "billing"),
            Some(Stage::Parked { until: Some(_) })
        ),
        "{:?}",
        stage(&bench, "billing")
    );
    verified(&mut bench, true, 3);
    assert_eq!(dispatched(&bench, "billing"), 1, "it is still there");
    bench.pass_ms(60_000);
    assert!(matches!(
        stage(&bench, "billing"),
        Some(Stage::Leaving { .. })
    ));
}

#[test]
fn its_own_condition_decides_whatever_routes_say() {
    let mut config = prewarmed();
    if let Some(billing) = config.specialists.get_mut(&"billing".into()) {
        billing.prewarm_when = when("from == 'triage' && call.handoffs >= 1");
        billing.after = After::Stay;
    }
    config.routes.push(Route::default());
    let mut bench = Bench::active(config);
    verified(&mut bench, true, 1);
    assert_eq!(dispatched(&bench, "billing"), 0);
    bench.hands_off("triage", "support");
    bench.hands_off("support", "triage");
    assert_eq!(dispatched(&bench, "billing"), 1);
}

#[test]
fn one_that_does_not_come_is_dispatched_once_in_a_holding() {
    let mut bench = Bench::active(prewarmed());
    verified(&mut bench, true, 1);
    bench.pass_ms(10_000);
    assert_eq!(stage(&bench, "billing"), None);
    verified(&mut bench, true, 2);
    assert_eq!(dispatched(&bench, "billing"), 1);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_place_is_kept_for_a_handoff_that_nobody_has_foreseen() {
    let mut config = prewarmed();
    config.limits.instances_max = 2;
    let mut bench = Bench::active(config);
    verified(&mut bench, true, 1);
    assert_eq!(dispatched(&bench, "billing"), 0);
    bench.asks("triage", target("billing"));
    assert_eq!(dispatched(&bench, "billing"), 1);
}
