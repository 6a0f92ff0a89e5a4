use std::{collections::BTreeSet, fs, path::Path};

use call::{After, Fallback, Lifetime, Names, Opening, Rest, SpecialistName, Splice};

use crate::{
    Config, Loudness, load, options, parse,
    yaml::{self, Entry, Value},
};

const REFERENCE: &str = include_str!("../../../config/reference/default.yaml");
const MINIMAL: &str = "entry: triage\nspecialists:\n  triage:\n";

fn parsed(text: &str) -> Config {
    parse("test.yaml", text)
        .unwrap_or_else(|report| panic!("refused:\n{report}"))
        .config
}

#[test]
fn the_reference_file_states_the_defaults() {
    let mut reference = parsed(REFERENCE);
    // Its rules are examples: there are none by default.
    assert_eq!(reference.call.rules.len(), 1);
    reference.call.rules.clear();
    assert_eq!(reference.call.entry_rules.len(), 1);
    reference.call.entry_rules.clear();
    assert_eq!(reference, parsed(MINIMAL));
    assert_eq!(parsed(MINIMAL).call.timers, call::Timers::default());
    assert_eq!(parsed(MINIMAL).call.limits, call::Limits::default());
    assert_eq!(parsed(MINIMAL).call.routes, vec![call::Route::default()]);
}

#[test]
fn the_reference_file_has_every_option_and_no_other() {
    let mut problems = Vec::new();
    let mut written = BTreeSet::new();
    paths(&yaml::parse(REFERENCE, 0, &mut problems), "", &mut written);
    assert!(problems.is_empty());
    let known: BTreeSet<String> = options().into_iter().map(|option| option.path).collect();
    assert_eq!(written, known);
}

#[test]
fn the_default_of_each_option_is_the_one_in_the_reference_file() {
    for option in options()
        .into_iter()
        .filter(|option| option.default.is_some())
    {
        let name = option
            .path
            .rsplit('.')
            .next()
            .expect("a split yields at least one part");
        let value = option
            .default
            .expect("options without a default were left out");
        let line = format!("{name}: {value}");
        assert!(
            REFERENCE.lines().any(|written| written.trim() == line),
            "not in the reference file: {line}"
        );
    }
}

/// The paths of all options in a tree, as [`options`] writes them.
fn paths(entries: &[Entry], within: &str, into: &mut BTreeSet<String>) {
    for entry in entries {
        let path = format!("{within}{}", entry.key);
        match &entry.node.value {
            Value::Mapping(parts) if path == "specialists" => {
                for part in parts {
                    let Value::Mapping(options) = &part.node.value else {
                        panic!("{} is no mapping", part.key)
                    };
                    paths(options, "specialists.*.", into);
                }
            }
            Value::Mapping(options) => paths(options, &format!("{path}."), into),
            Value::List(items) if ["entry_rules", "routes", "rules"].contains(&path.as_str()) => {
                for item in items {
                    let Value::Mapping(options) = &item.value else {
                        panic!("an item is no mapping")
                    };
                    paths(options, &format!("{path}[]."), into);
                }
            }
            Value::List(_) | Value::Scalar(_) => {
                into.insert(path);
            }
        }
    }
}

#[test]
fn the_shipped_file_is_accepted_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/baton.yaml");
    let loaded = load(&path).expect("the shipped file is valid");
    assert_eq!(loaded.report.findings, []);
    assert!(call::Plan::new(loaded.config.call).is_ok());
}

#[test]
fn every_option_is_read() {
    let config = parsed(
        r#"
server: {url: "wss://lk.example.com/prefix", api_key_file: /k, api_secret_file: /s, agent_name: front, max_calls: 7,
  health_bind: "127.0.0.1:0", drain_grace_secs: 0}
audio: {fade_ms: 40, curve: linear, loudness: matched, program_bitrate_bps: 24000}
sdk: {preroll_ms: 0, orchestrator_timeout_ms: 0, body_bytes_max: 1048576}
entry: triage
specialists:
  triage: {agent_name: triage-agent, lifetime: resident, after_handoff: stay, description: first, metadata: '{"a": 1}'}
  billing: {after_handoff: leave, voice_lufs: -23, lifetime: prewarmed, prewarm_when: has(state.customer), handoffs_max: 3}
  it-support: {park_ms: 5}
routes:
  - {from: triage, to: [billing, it-support], splice: now, opening: greet, fallback: [another_instance, triage]}
  - {from: "*", to: triage, splice: caller_silent, splice_wait_ms: 10, splice_rest: cut, fade_ms: 0, loudness: as_is, opening: "say: Back again."}
hand_back: false
fallbacks: [previous, it-support]
timers: {hold_ms: 1}
limits: {handoffs_max: 0}
"#,
    );
    let name = SpecialistName::from;
    assert_eq!(
        config.server.url.as_deref(),
        Some("wss://lk.example.com/prefix")
    );
    assert_eq!(
        (config.server.agent_name.as_str(), config.server.max_calls),
        ("front", 7)
    );
    assert_eq!(config.server.health_bind.to_string(), "127.0.0.1:0");
    assert!(config.server.drain_grace.is_zero());
    assert_eq!(
        (config.audio.curve, config.audio.program_bitrate_bps),
        (::audio::Curve::Linear, 24_000)
    );
    assert_eq!(config.loudness, [Loudness::Matched, Loudness::AsIs]);
    assert_eq!(config.notes[&name("billing")].voice_lufs, Some(-23));
    assert_eq!(config.sdk.preroll_ms, 0);
    assert_eq!(config.sdk.orchestrator_timeout_ms, 0);
    assert_eq!(config.sdk.body_bytes_max, 1 << 20);

    let triage = &config.call.specialists[&name("triage")];
    assert_eq!(
        (triage.agent_name.as_str(), triage.lifetime, triage.after),
        ("triage-agent", Lifetime::Resident, After::Stay)
    );
    assert_eq!(
        config.call.specialists[&name("billing")]
            .agent_name
            .as_str(),
        "billing"
    );
    assert_eq!(
        config.call.specialists[&name("billing")].after,
        After::Leave
    );
    assert_eq!(
        config.call.specialists[&name("it-support")].after,
        After::Park { park_ms: 5 }
    );
    assert_eq!(
        config.notes[&name("triage")].metadata.as_deref(),
        Some(r#"{"a": 1}"#)
    );

    let [first, second] = config.call.routes.as_slice() else {
        panic!("two routes")
    };
    assert_eq!(
        first.to,
        Names::Only(vec![name("billing"), name("it-support")])
    );
    assert_eq!(
        (first.splice, first.fade_ms, &first.opening),
        (Splice::Now, 40, &Opening::Greet)
    );
    assert_eq!((&second.from, second.fade_ms), (&Names::Any, 0));
    assert_eq!(
        second.splice,
        Splice::CallerSilent {
            max_wait_ms: 10,
            rest: Rest::Cut
        }
    );
    assert_eq!(
        first.fallback,
        [
            Fallback::AnotherInstance,
            Fallback::Specialist(name("triage"))
        ]
    );
    let billing = &config.call.specialists[&name("billing")];
    let when = billing.prewarm_when.as_ref().map(|when| when.source());
    assert_eq!(
        (billing.lifetime, when, billing.handoffs_max),
        (Lifetime::Prewarmed, Some("has(state.customer)"), Some(3))
    );
    assert_eq!(second.opening, Opening::Say("Back again.".to_owned()));

    assert!(!config.call.hand_back);
    assert_eq!(
        config.call.fallbacks,
        vec![Fallback::Previous, Fallback::Specialist(name("it-support"))]
    );
    assert_eq!(
        (config.call.timers.hold_ms, config.call.limits.handoffs_max),
        (1, 0)
    );
}

#[test]
fn an_option_without_a_value_has_its_default() {
    let config = parsed(
        "entry: triage\nspecialists: {triage: ~}\ntimers:\naudio: {fade_ms: null}\nroutes:\n",
    );
    assert_eq!(config, parsed(MINIMAL));
}

#[test]
fn numbers_in_quotes_are_text() {
    let config =
        parsed("entry: triage\nspecialists: {triage: {description: \"42\", metadata: 'true'}}\n");
    let triage = SpecialistName::from("triage");
    let description = config.call.specialists[&triage].description.as_deref();
    assert_eq!(
        (description, config.notes[&triage].metadata.as_deref()),
        (Some("42"), Some("true"))
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(parsed(&format!("\u{feff}{MINIMAL}")), parsed(MINIMAL));
}

#[test]
fn the_files_of_a_folder_are_one_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it is writable");
    write("a.yaml", "entry: triage\nspecialists:\n  triage:\n");
    write("b.yaml", "specialists:\n  billing:\ntimers: {hold_ms: 5}\n");
    write("c.yaml", "timers: {join_timeout_ms: 6}\n");
    write("d.yaml", "");
    write("not-read.yml", "broken: [");
    fs::create_dir(folder.path().join("reference.yaml")).expect("it is writable");
    fs::write(
        folder.path().join("reference.yaml/default.yaml"),
        "broken: [",
    )
    .expect("it is writable");

    let config = load(folder.path())
        .unwrap_or_else(|report| panic!("refused:\n{report}"))
        .config;
    assert_eq!(config.call.specialists.len(), 2);
    assert_eq!(
        (
            config.call.timers.hold_ms,
            config.call.timers.join_timeout_ms
        ),
        (5, 6)
    );
}

#[test]
fn every_configuration_that_is_accepted_makes_a_plan() {
    for text in [REFERENCE, MINIMAL] {
        assert!(call::Plan::new(parsed(text).call).is_ok());
    }
}

#[test]
fn what_travels_on_a_route_and_what_a_specialist_may_see_is_read() {
    let config = parsed(
        r#"
entry: triage
specialists:
  triage: {state: read, state_fields: ["none customer.card", "write /customer/name"]}
routes:
  - from: "*"
    to: "*"
    context: "last:20"
    instructions: true
    masks: ["redact card_numbers", "drop tool:read_card", "redact field:card.number", "redact pattern:[A-Z]{2}"]
    tools: adopt
    tools_by_name: ["lookup=wait", "play_music = cancel"]
state: {bytes_max: 2048, depth_max: 3, schema_file: state.json}
"#,
    );
    let [route] = &config.contexts[..] else {
        panic!("one route has one context");
    };
    let filter = route.filter();
    assert_eq!(filter.window, ::context::Window::LastItems(20));
    assert_eq!((filter.instructions, filter.masks.len()), (true, 4));
    assert_eq!(
        [
            route.tools.of("lookup"),
            route.tools.of("play_music"),
            route.tools.of("other")
        ],
        [
            ::context::InFlightPolicy::Wait,
            ::context::InFlightPolicy::Cancel,
            ::context::InFlightPolicy::Adopt
        ]
    );
    let scopes = &config.notes[&SpecialistName::from("triage")].scopes;
    let access = |path: [&'static str; 2]| scopes.access(path);
    assert_eq!(
        [
            access(["customer", "card"]),
            access(["customer", "name"]),
            access(["customer", "age"])
        ],
        [
            ::context::Access::None,
            ::context::Access::Write,
            ::context::Access::Read
        ]
    );
    assert_eq!(config.state.limits.document_bytes_max, 2_048);
    assert!(
        config.state.schema().is_err(),
        "there is no such file, and that is said"
    );
}
