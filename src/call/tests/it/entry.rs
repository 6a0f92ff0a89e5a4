//! Who takes the call, and when its phone is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use call::{
    Answer, Call, CallConfig, CallId, CallerFacts, Canary, Command, Condition, EndReason,
    EntryRule, Event, Fact, ParticipantKind, PhaseName, Plan, Timer,
};
use serde_json::json;

use crate::harness::{Bench, CALLER, config};

fn rule(when: &str, to: &str) -> EntryRule {
    EntryRule {
        when: Some(Condition::compile(when, None).expect("it compiles")),
        share_percent: 100,
        to: to.into(),
    }
}

fn known(number: &str) -> Event {
    let attributes = BTreeMap::from([("sip.phoneNumber".to_owned(), number.to_owned())]);
    Event::CallerKnown {
        facts: Arc::new(CallerFacts {
            kind: "sip".to_owned(),
            attributes,
            ..CallerFacts::default()
        }),
    }
}

fn by_number() -> CallConfig {
    CallConfig {
        entry_rules: vec![
            rule("caller.attributes['vip'] == 'yes'", "support"),
            rule("caller.number.startsWith('+49')", "billing"),
            rule("caller.number.startsWith('+')", "support"),
        ],
        ..config()
    }
}

fn dispatched(commands: &[Command]) -> Vec<String> {
    let dispatched = commands.iter().filter_map(|command| match command {
        Command::Dispatch { specialist, .. } => Some(specialist.to_string()),
        _ => None,
    });
    dispatched.collect()
}

fn commands(bench: &Bench) -> Vec<Command> {
    let log = bench.log.iter();
    log.map(|(_, command)| command.clone()).collect()
}

fn chosen(commands: &[Command]) -> Option<(String, Option<usize>, u32)> {
    commands.iter().find_map(|command| match command {
        Command::Record(Fact::EntryChosen {
            specialist,
            rule,
            unanswered,
        }) => Some((specialist.to_string(), *rule, *unanswered)),
        _ => None,
    })
}

fn answered(commands: &[Command]) -> bool {
    commands.contains(&Command::Answer)
}

#[test]
fn the_first_rule_that_fits_the_caller_decides_and_one_without_an_answer_is_passed_over() {
    let mut bench = Bench::new(by_number());
    assert!(dispatched(&commands(&bench)).is_empty(), "nobody is yet");
    assert!(dispatched(&bench.joins(CALLER, ParticipantKind::Sip)).is_empty());
    let out = bench.on(known("+4930123"));
    assert_eq!(chosen(&out), Some(("billing".to_owned(), Some(1), 1)));
    assert_eq!(dispatched(&out), ["billing"]);
    let again = bench.on(known("+1555"));
    assert!(dispatched(&again).is_empty(), "it is decided once");
    assert_eq!(bench.call.snapshot().counts.conditions_failed, 1);
}

#[test]
fn without_a_rule_that_fits_the_entry_takes_the_call() {
    let mut bench = Bench::new(by_number());
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.on(known("anonymous"));
    assert_eq!(chosen(&out), Some(("triage".to_owned(), None, 1)));
    assert_eq!(dispatched(&out), ["triage"]);
}

#[test]
fn a_caller_of_whom_nothing_is_told_is_not_waited_for_long() {
    let mut bench = Bench::new(by_number());
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.fire_until(Timer::Entry);
    assert_eq!(dispatched(&out), ["triage"]);
    assert_eq!(bench.at_ms(), 1_000);
}

#[test]
fn without_a_caller_nobody_is_dispatched_and_the_call_ends() {
    let mut bench = Bench::new(by_number());
    bench.fire_until(Timer::CallerJoin);
    assert_eq!(bench.call.ended(), Some(EndReason::NoCaller));
    assert!(dispatched(&commands(&bench)).is_empty());
}

#[test]
fn what_is_known_elsewhere_is_awaited_within_its_time() {
    let config = || CallConfig {
        entry_rules: vec![rule("has(state.plan) && state.plan == 'gold'", "support")],
        entry_state_ms: Some(800),
        ..config()
    };
    let mut bench = Bench::new(config());
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.on(known("+1555"));
    assert!(out.contains(&Command::AskEntryState));
    assert!(dispatched(&out).is_empty());
    let state = Arc::new(json!({"plan": "gold"}));
    bench.on(Event::StateChanged { state, version: 1 });
    let out = bench.on(Event::EntryStateSettled);
    assert_eq!(dispatched(&out), ["support"]);

    let mut late = Bench::new(config());
    late.joins(CALLER, ParticipantKind::Sip);
    late.on(known("+1555"));
    let out = late.fire_until(Timer::Entry);
    assert_eq!(
        (dispatched(&out), late.at_ms()),
        (vec!["triage".to_owned()], 800)
    );
    assert!(dispatched(&late.on(Event::EntryStateSettled)).is_empty());
}

#[test]
fn a_share_of_the_calls_is_taken_and_a_call_is_answered_alike_everywhere() {
    let config = CallConfig {
        entry_rules: vec![EntryRule {
            when: None,
            share_percent: 10,
            to: "billing".into(),
        }],
        ..config()
    };
    let plan = Arc::new(Plan::new(config).expect("it is valid"));
    let entry_of = |number: u32| {
        let (now, mut out) = (Instant::now(), Vec::new());
        let id = CallId::from(format!("call-{number}"));
        let mut call = Call::new(plan.clone(), id, now, &mut out);
        let (identity, kind) = (CALLER.into(), ParticipantKind::Sip);
        call.handle_event(now, Event::ParticipantJoined { identity, kind }, &mut out);
        call.handle_event(now, known("+1555"), &mut out);
        dispatched(&out).concat()
    };
    let entries: Vec<String> = (0..10_000).map(entry_of).collect();
    let taken = entries.iter().filter(|entry| *entry == "billing").count();
    assert!(
        (900..=1_100).contains(&taken),
        "{taken} of 10000 are not a tenth"
    );
    assert_eq!(entries[..50], (0..50).map(entry_of).collect::<Vec<_>>());
}

#[test]
fn a_canary_takes_its_share_of_a_specialists_calls() {
    let mut config = config();
    let triage = config
        .specialists
        .get_mut(&"triage".into())
        .expect("it is there");
    triage.canary = Some(Canary {
        agent_name: "triage-next".into(),
        share_percent: 25,
    });
    let plan = Arc::new(Plan::new(config).expect("it is valid"));
    let mut names = BTreeMap::new();
    for number in 0..4_000 {
        let mut out = Vec::new();
        let id = CallId::from(format!("call-{number}"));
        let _ = Call::new(plan.clone(), id, Instant::now(), &mut out);
        for command in out {
            if let Command::Dispatch { agent_name, .. } = command {
                *names.entry(agent_name.to_string()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(names.keys().collect::<BTreeSet<_>>().len(), 2, "{names:?}");
    assert!((900..=1_100).contains(&names["triage-next"]), "{names:?}");
}

#[test]
fn a_restart_keeps_what_was_chosen_and_asks_again_what_was_not() {
    let mut bench = Bench::new(by_number());
    bench.joins(CALLER, ParticipantKind::Sip);
    bench.restarts();
    assert_eq!(bench.phase(), PhaseName::Idle);
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.on(known("+4930123"));
    assert_eq!(dispatched(&out), ["billing"]);
    bench.restarts();
    bench.joins(CALLER, ParticipantKind::Sip);
    assert!(chosen(&bench.on(known("+1555"))).is_none());
    assert_eq!(bench.memory.entry, Some("billing".into()));
}

fn rings() -> CallConfig {
    CallConfig {
        answer: Answer::EntryReady {
            ring_max_ms: 15_000,
        },
        ..config()
    }
}

#[test]
fn a_phone_rings_until_the_entry_is_ready() {
    let mut bench = Bench::new(rings());
    assert!(!answered(&bench.joins(CALLER, ParticipantKind::Sip)));
    assert!(!answered(&bench.comes("triage")));
    bench.pass_ms(5_000);
    let out = bench.gets_ready("triage");
    assert!(answered(&out));
    assert_eq!(bench.holder(), None, "the caller does not hear yet");
    bench.on(Event::CallerListening {
        identity: CALLER.into(),
    });
    bench.takes("triage");
    assert_eq!(bench.holder().as_deref(), Some("triage"));
}

#[test]
fn a_phone_does_not_ring_for_ever() {
    let mut bench = Bench::new(rings());
    bench.joins(CALLER, ParticipantKind::Sip);
    let out = bench.fire_until(Timer::Ring);
    assert!(answered(&out));
    assert_eq!(bench.at_ms(), 15_000);
    bench.fire_until(Timer::CallerListen);
    assert_eq!(
        bench.at_ms(),
        25_000,
        "it is not waited for to hear while it rings"
    );
}

#[test]
fn who_has_no_phone_does_not_wait_for_it_to_be_answered() {
    let mut bench = Bench::new(rings());
    assert!(answered(&bench.joins("web", ParticipantKind::Standard)));
}
