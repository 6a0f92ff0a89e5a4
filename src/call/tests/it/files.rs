//! Random configuration files that are valid, with everything in them that the core goes by.
//!
//! They are written as JSON, which YAML reads, and read by the same loader as an operator's.

use call::CallConfig;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NAMES: &[&str] = &["triage", "billing", "support"];

/// What the core is told by such a file.
pub(crate) fn read(file: &str) -> CallConfig {
    let loaded = config::parse("random.yaml", file);
    let loaded = loaded.unwrap_or_else(|report| panic!("refused:\n{report}\n{file}"));
    loaded.config.call
}

/// Three specialists called `triage` (who takes the call), `billing` and `support`, and all else by chance.
pub(crate) fn files() -> impl Strategy<Value = String> {
    let parts = (
        (specialists(), routes(), rules(), entry_rules()),
        (answer(), timers(), limits()),
        (
            chain(),
            any::<bool>(),
            prop::option::of(name()),
            prop::option::weighted(0.2, 1..3_000_u64),
        ),
    );
    parts.prop_map(|(people, call, rest)| {
        let (specialists, routes, rules, entry_rules) = people;
        let (answer, timers, limits) = call;
        let (fallbacks, hand_back, escalation, lookup_ms) = rest;
        let mut file = json!({
            "entry": "triage",
            "entry_rules": entry_rules,
            "specialists": specialists,
            "answer": answer,
            "rules": rules,
            "hand_back": hand_back,
            "fallbacks": fallbacks,
            "escalation": escalation,
            "timers": timers,
            "limits": limits,
        });
        // None at all is a file of its own: then anyone may hand over to anyone.
        if !routes.is_empty() {
            file["routes"] = Value::Array(routes);
        }
        if let Some(timeout_ms) = lookup_ms {
            file["caller_lookup"] =
                json!({"url": "https://crm.example.com/callers", "timeout_ms": timeout_ms});
        }
        serde_json::to_string_pretty(&file).expect("JSON can be written")
    })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES)
}

/// One name, several, or all of them.
fn names() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!("*")),
        2 => name().prop_map(|name| json!(name)),
        1 => prop::sample::subsequence(NAMES, 1..3).prop_map(|names| json!(names)),
    ]
}

fn specialists() -> impl Strategy<Value = Value> {
    (agent(), agent(), prop_oneof![2 => agent(), 2 => person(), 1 => address()]).prop_map(
        |(triage, billing, support)| json!({"triage": triage, "billing": billing, "support": support}),
    )
}

fn agent() -> impl Strategy<Value = Value> {
    let after = prop::sample::select(&["leave", "park", "stay"][..]);
    let lifetime = prop_oneof![
        3 => Just("on_demand"),
        1 => Just("resident"),
        2 => Just("prewarmed"),
    ];
    let kind = prop_oneof![5 => Just("baton"), 1 => Just("livekit_agent")];
    (
        (after, 1..2_000_u64),
        (lifetime, prop::option::of(condition())),
        kind,
        prop::option::weighted(0.2, 1..4_u32),
        prop::option::weighted(0.2, 0..=100_u8),
    )
        .prop_map(|(after, (lifetime, likely), kind, handoffs_max, canary)| {
            let mut agent = json!({
                "kind": kind,
                "lifetime": lifetime,
                "after_handoff": after.0,
                "park_ms": after.1,
                "handoffs_max": handoffs_max,
            });
            if lifetime == "prewarmed" {
                agent["prewarm_when"] = json!(likely);
            }
            if let Some(percent) = canary {
                agent["canary_agent_name"] = json!("canary");
                agent["canary_percent"] = json!(percent);
            }
            agent
        })
}

fn person() -> impl Strategy<Value = Value> {
    (1_000..9_000_u64).prop_map(|ms| json!({"kind": "human", "accept_timeout_ms": ms}))
}

fn address() -> impl Strategy<Value = Value> {
    (1_000..9_000_u64).prop_map(
        |ms| json!({"kind": "sip", "transfer_to": "tel:+15550177", "answer_timeout_ms": ms}),
    )
}

/// The first leads on, so that most calls get somewhere.
fn routes() -> impl Strategy<Value = Vec<Value>> {
    let everywhere = (route(), any::<bool>()).prop_map(|(mut route, open)| {
        route["from"] = json!("*");
        route["to"] = if open {
            json!("*")
        } else {
            json!(["billing", "support"])
        };
        route
    });
    let some = (prop::collection::vec(route(), 0..3), everywhere).prop_map(|(mut routes, last)| {
        routes.push(last);
        routes
    });
    prop_oneof![1 => Just(Vec::new()), 9 => some]
}

fn route() -> impl Strategy<Value = Value> {
    let splice = prop::sample::select(&["now", "end_of_utterance", "caller_silent"][..]);
    let rest = prop::sample::select(&["finish", "cut"][..]);
    let opening = prop::sample::select(&["continue", "greet", "wait", "say:Hello again."][..]);
    let context = prop_oneof![
        3 => Just("all"),
        1 => Just("none"),
        1 => Just("last:5"),
        2 => Just("summary"),
    ];
    (
        (names(), names(), prop::option::weighted(0.3, condition())),
        (splice, 1..5_000_u64, rest, 0..=2_000_u32),
        (opening, context, 1..4_000_u64),
        (0..6_000_u64, prop::option::weighted(0.4, Just("wait.wav"))),
        chain(),
    )
        .prop_map(|(who, change, told, waits, fallback)| {
            let (from, to, when) = who;
            let (splice, splice_wait_ms, splice_rest, fade_ms) = change;
            let (opening, context, summary_ms) = told;
            let mut route = json!({
                "from": from, "to": to, "when": when,
                "splice": splice, "splice_wait_ms": splice_wait_ms, "splice_rest": splice_rest,
                "fade_ms": fade_ms,
                "opening": opening,
                "context": context,
                "tools_wait_ms": waits.0,
                "announcement": waits.1,
                "fallback": fallback,
            });
            if context == "summary" {
                route["summary"] = json!({"timeout_ms": summary_ms});
            }
            route
        })
}

fn chain() -> impl Strategy<Value = Vec<&'static str>> {
    let word = prop_oneof![
        Just("another_instance"),
        Just("previous"),
        Just("entry"),
        name(),
    ];
    prop::collection::vec(word, 0..4)
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "state.verified",
            "!has(state.verified) || state.verified",
            "time.hour >= 8 && time.hour < 18",
            "attempt <= 2 && from != to",
            "call.handoffs < 3",
            "state.never.there == 1",
        ][..],
    )
}

fn rules() -> impl Strategy<Value = Vec<Value>> {
    let on = prop_oneof![
        (1..3_000_u64).prop_map(|ms| ("caller_silent", Some(("after_ms", json!(ms))))),
        (1..3_000_u64).prop_map(|ms| ("holder_silent", Some(("after_ms", json!(ms))))),
        (1..9_000_u64).prop_map(|ms| ("holder_for", Some(("after_ms", json!(ms))))),
        (1..3_u32).prop_map(|count| ("handoffs_failed", Some(("count", json!(count))))),
        Just(("digit", Some(("digit", json!("0"))))),
        Just(("holder_failed", None)),
        Just(("state", None)),
    ];
    let to = prop_oneof![3 => name(), 1 => Just("previous")];
    let rule = (on, names(), prop::option::of(condition()), to).prop_map(|(on, from, when, to)| {
        let (on, detail) = on;
        let mut rule = Map::new();
        rule.insert("on".to_owned(), json!(on));
        rule.insert("from".to_owned(), from);
        rule.insert("to".to_owned(), json!(to));
        rule.extend(detail.map(|(key, value)| (key.to_owned(), value)));
        match (on, when) {
            // This trigger is a condition.
            ("state", None) => rule.insert("when".to_owned(), json!("state.verified")),
            (_, when) => rule.insert("when".to_owned(), json!(when)),
        };
        Value::Object(rule)
    });
    prop::collection::vec(rule, 0..6)
}

/// Most calls have the same entry.
fn entry_rules() -> impl Strategy<Value = Vec<Value>> {
    let rule = (prop::option::of(condition()), 0..=100_u8, name()).prop_map(
        |(when, share_percent, to)| json!({"when": when, "share_percent": share_percent, "to": to}),
    );
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(rule, 1..4)]
}

fn answer() -> impl Strategy<Value = Value> {
    let opening = prop::option::weighted(0.3, Just("hello.wav"));
    let when = prop_oneof![2 => Just("at_once"), 1 => Just("entry_ready")];
    (when, 1..9_000_u64, opening).prop_map(
        |(when, ring_max_ms, opening)| json!({"when": when, "ring_max_ms": ring_max_ms, "opening": opening}),
    )
}

/// Some of them shorter than they are by default.
fn timers() -> impl Strategy<Value = Value> {
    let timer = |key: &'static str, default: u64| {
        prop_oneof![3 => Just(default), 1 => 1..=default].prop_map(move |ms| (key, ms))
    };
    let timers: Vec<_> = [
        ("caller_join_timeout_ms", 60_000),
        ("caller_listen_timeout_ms", 10_000),
        ("caller_return_ms", 5_000),
        ("join_timeout_ms", 10_000),
        ("hello_timeout_ms", 5_000),
        ("ready_timeout_ms", 10_000),
        ("tail_timeout_ms", 500),
        ("switch_timeout_ms", 2_000),
        ("fade_slack_ms", 500),
        ("revoke_timeout_ms", 1_000),
        ("leave_timeout_ms", 5_000),
        ("specialist_return_ms", 3_000),
        ("holder_quiet_ms", 400),
        ("holder_answer_ms", 500),
        ("hold_ms", 2_000),
        ("held_max_ms", 60_000),
        ("delegation_timeout_ms", 60_000),
    ]
    .into_iter()
    .map(|(key, default)| timer(key, default))
    .collect();
    timers.prop_map(|timers| {
        let timers = timers
            .into_iter()
            .map(|(key, ms)| (key.to_owned(), json!(ms)));
        Value::Object(timers.collect())
    })
}

fn limits() -> impl Strategy<Value = Value> {
    (2..6_usize, 1..8_u32, 0..3_u32, any::<bool>()).prop_map(
        |(instances, losses, rounds, cools)| {
            json!({
                "instances_max": instances,
                "losses_max": losses,
                "hold_rounds_max": rounds,
                "cool_down_ms": if cools { 1_000 } else { 0 },
            })
        },
    )
}
