use std::sync::Arc;

use call::{
    Asker, CallConfig, CallerFacts, Command, Condition, Departure, Digit, Event, Fact, FailReason,
    LocalTime, Names, Opening, Outcome, ParticipantKind, PhaseName, RefuseReason, Route, Rule,
    Target, Timer, Trigger,
};
use serde_json::{Value as Json, json};

use crate::harness::{Bench, CALLER, config, outcome, target};

fn when(source: &str) -> Option<Condition> {
    Some(Condition::compile(source, None).unwrap_or_else(|error| panic!("{source}: {error}")))
}

fn rule(on: Trigger, to: &str) -> Rule {
    Rule {
        on,
        from: Names::Any,
        when: None,
        to: target(to),
        reason: "the rule says so".to_owned(),
    }
}

fn routed(routes: Vec<Route>) -> CallConfig {
    CallConfig { routes, ..config() }
}

fn ruled(rules: Vec<Rule>) -> CallConfig {
    CallConfig { rules, ..config() }
}

fn state(bench: &mut Bench, version: u64, state: Json) -> Vec<Command> {
    let state = Arc::new(state);
    bench.on(Event::StateChanged { state, version })
}

fn talks(bench: &mut Bench, who: &str, talking: bool) {
    let identity = match who {
        CALLER => CALLER.into(),
        name => bench.identity(name),
    };
    bench.on(Event::Talking { identity, talking });
}

fn fired(out: &[Command]) -> Option<usize> {
    out.iter().find_map(|command| match command {
        Command::Record(Fact::RuleFired { rule }) => Some(*rule),
        _ => None,
    })
}

fn heading_for(bench: &Bench) -> Option<String> {
    let handoff = bench.call.phase().handoff();
    handoff.map(|handoff| handoff.to.to_string())
}

#[test]
fn a_route_is_open_only_while_its_condition_holds() {
    let mut bench = Bench::active(routed(vec![Route {
        when: when("has(state.verified) && state.verified"),
        ..Route::default()
    }]));
    let out = bench.asks("triage", target("billing"));
    let Some(Outcome::Refused(reason)) = outcome(&out) else {
        panic!("{out:?}");
    };
    assert_eq!(
        reason.to_string(),
        "the way from triage to billing is closed: `has(state.verified) && state.verified` does not hold"
    );
    state(&mut bench, 1, json!({"verified": true}));
    assert_eq!(outcome(&bench.asks("triage", target("billing"))), None);
    assert_eq!(bench.phase(), PhaseName::Preparing);
}

#[test]
fn the_first_route_whose_condition_holds_decides() {
    let routes = vec![
        Route {
            when: when("time.hour >= 18"),
            opening: Opening::Greet,
            ..Route::default()
        },
        Route {
            opening: Opening::Wait,
            ..Route::default()
        },
    ];
    for (hour, expected) in [(12, Opening::Wait), (19, Opening::Greet)] {
        let mut bench = Bench::active(routed(routes.clone()));
        let time = LocalTime {
            hour,
            ..LocalTime::default()
        };
        bench.on(Event::Clock { time });
        bench.asks("triage", target("billing"));
        let handoff = bench.call.phase().handoff().expect("it has begun");
        assert_eq!(handoff.opening, expected);
    }
}

#[test]
fn a_condition_without_an_answer_refuses_and_is_counted() {
    let mut bench = Bench::active(routed(vec![Route {
        when: when("state.verified == true"),
        ..Route::default()
    }]));
    let out = bench.asks("triage", target("billing"));
    let Some(Outcome::Refused(reason @ RefuseReason::NoAnswer { .. })) = outcome(&out) else {
        panic!("{out:?}");
    };
    let text = "`state.verified == true` has no answer: there is no field `verified`";
    assert_eq!(reason.to_string(), text);
    assert_eq!(bench.call.snapshot().counts.conditions_failed, 1);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn an_older_version_of_the_state_changes_nothing() {
    let mut bench = Bench::active(routed(vec![Route {
        when: when("state.verified"),
        ..Route::default()
    }]));
    state(&mut bench, 5, json!({"verified": true}));
    state(&mut bench, 4, json!({"verified": false}));
    assert_eq!(outcome(&bench.asks("triage", target("billing"))), None);
}

#[test]
fn a_condition_sees_the_caller_and_the_attempt() {
    let mut bench = Bench::active(routed(vec![Route {
        when: when("caller.number.startsWith('+1') && attempt <= 1"),
        ..Route::default()
    }]));
    let facts = CallerFacts {
        attributes: [("sip.phoneNumber".to_owned(), "+15550199".to_owned())].into(),
        ..CallerFacts::default()
    };
    bench.on(Event::CallerKnown {
        facts: Arc::new(facts),
    });
    bench.asks("triage", target("billing"));
    let out = bench.fire_until(Timer::Join(bench.dispatch("billing")));
    let failed = matches!(
        outcome(&out),
        Some(Outcome::Failed {
            reason: FailReason::NeverJoined { .. },
            ..
        })
    );
    assert!(failed, "{out:?}");
    let out = bench.asks("triage", target("billing"));
    assert!(
        matches!(
            outcome(&out),
            Some(Outcome::Refused(RefuseReason::Closed { .. }))
        ),
        "{out:?}"
    );
}

#[test]
fn a_rule_fires_when_the_state_makes_its_condition_true_and_not_again() {
    let mut bench = Bench::active(ruled(vec![Rule {
        when: when("state.verified == true"),
        ..rule(Trigger::State, "billing")
    }]));
    assert_eq!(
        fired(&state(&mut bench, 1, json!({"verified": false}))),
        None
    );
    let out = state(&mut bench, 2, json!({"verified": true}));
    assert_eq!(fired(&out), Some(0));
    let handoff = bench.call.phase().handoff().cloned().expect("it has begun");
    assert_eq!(
        (handoff.to.as_str(), handoff.reason.as_str()),
        ("billing", "the rule says so")
    );
    bench.fire_until(Timer::Join(bench.dispatch("billing")));
    assert_eq!(bench.phase(), PhaseName::Active);
    assert_eq!(
        fired(&state(&mut bench, 3, json!({"verified": true, "more": 1}))),
        None
    );
    state(&mut bench, 4, json!({"verified": false}));
    assert_eq!(
        fired(&state(&mut bench, 5, json!({"verified": true}))),
        Some(0)
    );
}

#[test]
fn a_rule_needs_no_route_and_takes_the_way_of_one_that_fits() {
    let rules = vec![rule(Trigger::HolderFor { ms: 5_000 }, "billing")];
    let mut closed = Bench::active(CallConfig {
        routes: Vec::new(),
        ..ruled(rules.clone())
    });
    let out = closed.fire_until(Timer::Rule(0));
    assert_eq!((closed.at_ms(), fired(&out)), (5_000, Some(0)));
    let mut open = Bench::active(CallConfig {
        routes: vec![Route {
            fade_ms: 77,
            ..Route::default()
        }],
        ..ruled(rules)
    });
    open.fire_until(Timer::Rule(0));
    assert_eq!(
        open.call.phase().handoff().map(|handoff| handoff.fade_ms),
        Some(77)
    );
}

#[test]
fn a_silent_caller_is_waited_for_only_after_the_holder_has_spoken() {
    let mut bench = Bench::active(ruled(vec![
        rule(Trigger::CallerSilent { ms: 8_000 }, "billing"),
        rule(Trigger::HolderSilent { ms: 6_000 }, "support"),
    ]));
    talks(&mut bench, "triage", true);
    bench.pass_ms(20_000);
    assert_eq!(bench.phase(), PhaseName::Active, "it speaks");
    talks(&mut bench, "triage", false);
    bench.pass_ms(7_000);
    talks(&mut bench, CALLER, true);
    bench.pass_ms(30_000);
    talks(&mut bench, CALLER, false);
    bench.pass_ms(5_000);
    talks(&mut bench, "triage", true);
    talks(&mut bench, "triage", false);
    let spoken = bench.at_ms();
    let out = bench.fire_until(Timer::Rule(0));
    assert_eq!((bench.at_ms() - spoken, fired(&out)), (8_000, Some(0)));
    assert_eq!(heading_for(&bench).as_deref(), Some("billing"));
}

#[test]
fn a_holder_that_does_not_answer_the_caller_is_relieved() {
    let mut bench = Bench::active(ruled(vec![rule(
        Trigger::HolderSilent { ms: 6_000 },
        "support",
    )]));
    talks(&mut bench, CALLER, true);
    talks(&mut bench, CALLER, false);
    let said = bench.at_ms();
    let out = bench.fire_until(Timer::Rule(0));
    assert_eq!((bench.at_ms() - said, fired(&out)), (6_000, Some(0)));
    assert_eq!(heading_for(&bench).as_deref(), Some("support"));
}

#[test]
fn after_so_many_failed_handoffs_a_rule_takes_over() {
    let mut bench = Bench::active(ruled(vec![rule(
        Trigger::HandoffsFailed { count: 2 },
        "support",
    )]));
    for _ in 0..2 {
        bench.asks("triage", target("billing"));
        let dispatch = bench.dispatch("billing");
        bench.fire_until(Timer::Join(dispatch));
    }
    assert_eq!(heading_for(&bench).as_deref(), Some("support"));
    bench.fire_until(Timer::Join(bench.dispatch("support")));
    assert_eq!(
        bench.phase(),
        PhaseName::Active,
        "it fires once in a holding"
    );
}

#[test]
fn a_rule_names_who_takes_the_place_of_a_lost_holder() {
    let mut bench = Bench::active(ruled(vec![Rule {
        from: Names::Only(vec!["triage".into()]),
        ..rule(Trigger::HolderFailed, "support")
    }]));
    bench.leaves(bench.identity("triage"), Departure::Final);
    assert_eq!(heading_for(&bench).as_deref(), Some("support"));
}

#[test]
fn two_specialists_do_not_throw_a_caller_to_and_fro() {
    let mut config = config();
    config.limits.cool_down_ms = 10_000;
    let mut bench = Bench::active(config.clone());
    bench.hands_off("triage", "billing");
    bench.pass_ms(4_000);
    let out = bench.asks("billing", Target::Previous);
    let Some(Outcome::Refused(RefuseReason::CoolingDown { left_ms, .. })) = outcome(&out) else {
        panic!("{out:?}");
    };
    assert!((5_000..=6_000).contains(&left_ms), "{left_ms}");
    let out = bench.request(Asker::Operator, Target::Previous);
    assert_eq!(outcome(&out), None, "an operator may");
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    bench.pass_ms(10_000);
    assert_eq!(outcome(&bench.asks("billing", Target::Previous)), None);
}

#[test]
fn a_key_of_the_caller_hands_off_and_one_of_anybody_else_does_not() {
    let zero = Digit::new('0').expect("it is a key");
    let mut bench = Bench::active(ruled(vec![rule(Trigger::Digit(zero), "support")]));
    let mut presses = |identity: &str, key: char| {
        bench.on(Event::DtmfPressed {
            identity: identity.into(),
            digit: Digit::new(key).expect("it is a key"),
        })
    };
    assert_eq!(fired(&presses("stranger", '0')), None);
    assert_eq!(fired(&presses(CALLER, '1')), None);
    assert_eq!(fired(&presses(CALLER, '0')), Some(0));
    assert_eq!(heading_for(&bench).as_deref(), Some("support"));
}

#[test]
fn what_was_true_before_a_restart_sets_no_rule_off_again() {
    let mut bench = Bench::active(ruled(vec![Rule {
        when: when("state.verified == true"),
        ..rule(Trigger::State, "billing")
    }]));
    state(&mut bench, 1, json!({"verified": true}));
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.splices();
    bench.takes("billing");
    bench.sounds("billing");
    bench.faded();
    bench.hands_off("billing", "support");
    bench.restarts();
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.returns("support");
    bench.takes("support");
    assert_eq!(bench.phase(), PhaseName::Active);
    let verified = json!({"verified": true});
    assert_eq!(fired(&state(&mut bench, 2, verified.clone())), None);
    assert_eq!(fired(&state(&mut bench, 3, json!({}))), None);
    assert_eq!(fired(&state(&mut bench, 4, verified)), Some(0));
}

#[test]
fn a_holder_that_speaks_since_its_grant_is_not_missed_when_the_caller_keeps_silent() {
    let mut bench = Bench::active(ruled(vec![rule(
        Trigger::CallerSilent { ms: 4_000 },
        "support",
    )]));
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.sounds("billing");
    talks(&mut bench, "billing", true);
    bench.faded();
    bench.pass_ms(1_000);
    talks(&mut bench, "billing", false);
    bench.fire_until(Timer::Rule(0));
    assert_eq!(bench.call.phase().target(), Some(bench.dispatch("support")));
}

#[test]
fn a_holder_that_has_the_baton_again_is_known_to_speak() {
    let mut bench = Bench::active(ruled(vec![rule(
        Trigger::HolderSilent { ms: 4_000 },
        "support",
    )]));
    talks(&mut bench, "triage", true);
    bench.switches_to("triage", "billing");
    bench.fire_until(Timer::Switch);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    bench.takes("triage");
    bench.pass_ms(20_000);
    assert_eq!(bench.phase(), PhaseName::Active, "it speaks");
    talks(&mut bench, "triage", false);
    bench.pass_ms(20_000);
    assert_eq!(bench.phase(), PhaseName::Active, "it is the caller's turn");
}

#[test]
fn a_digit_that_is_pressed_in_a_switch_sets_off_its_rule_when_the_switch_is_over() {
    let zero = Digit::new('0').expect("a key of a phone");
    let mut bench = Bench::active(ruled(vec![rule(Trigger::Digit(zero), "support")]));
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    let press = |bench: &mut Bench, digit| {
        bench.on(Event::DtmfPressed {
            identity: CALLER.into(),
            digit,
        })
    };
    let given = |out: &[Command]| {
        let given = out.iter().filter_map(|command| match command {
            Command::Dtmf {
                identity, digit, ..
            } => Some((identity.to_string(), digit.as_char())),
            _ => None,
        });
        given.collect::<Vec<_>>()
    };
    let seven = Digit::new('7').expect("a key of a phone");
    assert_eq!(
        given(&press(&mut bench, seven)).len(),
        1,
        "no rule is for it"
    );
    assert_eq!(given(&press(&mut bench, zero)), []);
    assert_eq!(given(&press(&mut bench, seven)), [], "it keeps its place");
    bench.sounds("billing");
    let out = bench.faded();
    assert_eq!(given(&out), [("agent-billing-2".to_owned(), '7')]);
    assert_eq!(bench.call.snapshot().counts.rules_fired, 1);
    assert_eq!(bench.call.phase().target(), Some(bench.dispatch("support")));
}
