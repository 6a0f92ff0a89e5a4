use std::fs;

use crate::{load, parse};

const THREE: &str = "entry: triage\nspecialists: {triage: , billing: , support: }\n";

/// What is said of a file that is accepted.
fn said(text: &str) -> String {
    let loaded = parse("odd.yaml", &format!("{THREE}{text}"));
    let loaded = loaded.unwrap_or_else(|report| panic!("refused:\n{report}"));
    loaded.report.to_string()
}

#[test]
fn an_entry_rule_that_another_one_shadows_is_odd() {
    insta::assert_snapshot!(said(
        "entry_rules:
  - {when: caller.kind == 'sip', to: billing}
  - {when: caller.kind == 'sip', to: support}
  - {share_percent: 10, to: billing}
  - {share_percent: 0, to: support}
  - {to: support}
  - {when: caller.kind == 'standard', to: billing}
"
    ));
}

#[test]
fn rules_that_go_round_by_themselves_are_odd_unless_something_holds_them_up() {
    let rules = "rules:
  - {on: holder_for, after_ms: 1000, from: triage, to: billing}
  - {on: caller_silent, after_ms: 1000, from: billing, to: support}
  - {on: holder_silent, after_ms: 1000, from: support, to: triage}
";
    insta::assert_snapshot!(said(rules));
    assert_eq!(
        said(&format!("{rules}limits: {{cool_down_ms: 1000}}\n")),
        ""
    );
    let one_way = "rules: [{on: holder_for, after_ms: 1000, to: billing}]\n";
    assert_eq!(said(one_way), "");
}

#[test]
fn a_fade_that_is_longer_than_the_wait_is_odd() {
    insta::assert_snapshot!(said(
        "routes: [{from: '*', to: '*', splice_wait_ms: 100, fade_ms: 400}]\n"
    ));
}

#[test]
fn who_is_reached_by_an_entry_rule_alone_is_not_odd() {
    let text = "entry_rules: [{when: caller.kind == 'sip', to: support}]
routes: [{from: triage, to: billing}]
";
    assert_eq!(said(text), "");
}

#[test]
fn conditions_are_tried_on_what_the_schema_of_the_state_describes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let schema = folder.path().join("state.json");
    let file = folder.path().join("baton.yaml");
    let loaded = |schema_text: &str, when: &str| {
        fs::write(&schema, schema_text).expect("it is writable");
        let text = format!(
            "{THREE}state: {{schema_file: '{}'}}\nroutes: [{{from: '*', to: '*', when: \"{when}\"}}]\n",
            schema.display()
        );
        fs::write(&file, text).expect("it is writable");
        let folder = folder.path().display().to_string();
        match load(&file) {
            Ok(loaded) => loaded.report.to_string(),
            Err(report) => report.to_string().replace(&format!("{folder}/"), ""),
        }
    };
    let described = r#"{"type": "object", "properties": {"verified": {"type": "boolean"}, "plan": {"type": "string"}}}"#;
    assert_eq!(loaded(described, "state.verified"), "");
    let refused = [
        loaded(described, "state.verifed"),
        loaded("{\"type\": 3}", "true"),
        loaded("{", "true"),
    ];
    insta::assert_snapshot!(refused.concat());
}

#[test]
fn a_route_from_a_place_where_calls_end_is_odd() {
    let text = "entry: triage
specialists: {triage: , branch: {kind: sip, transfer_to: 'tel:+15550177'}}
routes:
  - {from: triage, to: branch}
  - {from: branch, to: triage}
";
    let loaded = parse("odd.yaml", text);
    let loaded = loaded.unwrap_or_else(|report| panic!("refused:\n{report}"));
    insta::assert_snapshot!(loaded.report.to_string());
}

#[test]
fn a_summary_that_no_route_makes_is_not_read_out() {
    let text = |context: &str| {
        format!(
            "entry: triage
specialists:
  triage:
  desk: {{kind: human, accept_timeout_ms: 30000, briefing_speech: 'https://speech.example.com/'}}
routes: [{{from: triage, to: desk, context: {context}}}]
"
        )
    };
    let said = |text: &str| parse("odd.yaml", text).expect("it is accepted").report;
    insta::assert_snapshot!(said(&text("all")).to_string());
    assert_eq!(said(&text("summary")).to_string(), "");
}
