use std::{
    env, fs,
    path::{Path, PathBuf},
};

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value as Json, json};

use crate::{
    call_plan::check_name,
    load, options, parse,
    schema::{json, schema as generated},
    yaml,
};

/// Broken files that a schema accepts, and why it cannot do otherwise.
const BEYOND: &[(&str, &str)] = &[
    ("canary_without_a_name", "what goes with what"),
    ("condition_message_literal", "text that is no condition"),
    ("condition_nested_loops", "text that is no condition"),
    ("condition_nested_too_deep", "text that is no condition"),
    ("condition_no_boolean", "text that is no condition"),
    ("condition_syntax", "text that is no condition"),
    ("condition_too_long", "text that is no condition"),
    ("condition_types", "text that is no condition"),
    ("condition_unknown_field", "text that is no condition"),
    ("condition_unknown_function", "text that is no condition"),
    ("condition_unknown_name", "text that is no condition"),
    ("description_too_long", "too long a text"),
    ("human_dial", "what goes with what"),
    ("human_not_bounded", "what goes with what"),
    ("duplicate_option", "given twice"),
    ("duplicate_specialist", "given twice"),
    ("entry_rule_to_nobody", "a name that no specialist has"),
    ("entry_unknown", "a name that no specialist has"),
    ("route_fallback_too_long", "how long a chain may be"),
    ("route_fallback_unknown", "a name that no specialist has"),
    ("rule_digit_missing", "what goes with what"),
    ("rule_option_of_another_trigger", "what goes with what"),
    ("rule_state_without_condition", "what goes with what"),
    ("rule_time_missing", "what goes with what"),
    ("state_larger_than_a_message", "what goes with what"),
    ("schema_file_missing", "a file that is not there"),
    ("recording_keep_days", "what goes with what"),
    ("recording_keep_days_missing", "what goes with what"),
    ("recording_path", "what stands for something in a text"),
    (
        "recording_path_incomplete",
        "what stands for something in a text",
    ),
    ("time_zone_unknown", "a name that no time zone has"),
    ("rule_to_nobody", "a name that no specialist has"),
];
/// Files that are whole configurations.
const SHIPPED: [&str; 6] = [
    "config/baton.yaml",
    "config/examples/bank.yaml",
    "config/examples/clinic.yaml",
    "config/examples/it-support.yaml",
    "config/reference/default.yaml",
    "deploy/compose/baton.yaml",
];
/// Broken files in which there is nothing for a schema to look at.
const NOT_PLAIN_YAML: &[&str] = &[
    "anchor_and_alias",
    "key_is_a_list",
    "nested_too_deep",
    "not_utf8",
    "syntax_bad_indent",
    "syntax_tab_indent",
    "syntax_unclosed_list",
    "tag",
    "two_documents",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&generated()).expect("the schema is a schema")
}

/// The document as JSON, whatever it is; none if it is not plain YAML.
fn document(text: &str) -> Option<Json> {
    let mut nested = "document:\n".to_owned();
    // To YAML a return alone ends a line as well.
    for line in text.replace("\r\n", "\n").replace('\r', "\n").lines() {
        nested.push_str(&format!("  {line}\n"));
    }
    let mut problems = Vec::new();
    let entries = yaml::parse(&nested, 0, &mut problems);
    let entry = entries.first().filter(|_| problems.is_empty())?;
    Some(json(&entry.node))
}

fn read(path: &str) -> Json {
    let text = fs::read_to_string(root().join(path)).expect("it is readable");
    document(&text).expect("it is plain YAML")
}

/// `BATON_WRITE_SCHEMA=1` writes the file instead.
#[test]
fn the_schema_file_is_up_to_date() {
    let path = root().join("config/schema.json");
    if env::var_os("BATON_WRITE_SCHEMA").is_some() {
        fs::write(&path, format!("{:#}\n", generated())).expect("it is writable");
    }
    let written = fs::read_to_string(path).expect("config/schema.json is there");
    let written: Json = serde_json::from_str(&written).expect("it is JSON");
    assert!(
        written == generated(),
        "config/schema.json is out of date; write it with BATON_WRITE_SCHEMA=1 cargo test -p config schema"
    );
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::draft202012::meta::validate(&generated()).expect("it is valid");
}

#[test]
fn the_schema_accepts_the_shipped_files() {
    for path in SHIPPED {
        let refused: Vec<String> = validator()
            .iter_errors(&read(path))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(refused, Vec::<String>::new(), "{path}");
    }
}

#[test]
fn the_shipped_files_name_the_schema_in_their_first_line() {
    for (path, schema) in [
        ("config/baton.yaml", "schema.json"),
        ("config/reference/default.yaml", "../schema.json"),
    ] {
        let path = root().join(path);
        let text = fs::read_to_string(&path).expect("it is readable");
        let line = format!("# yaml-language-server: $schema={schema}");
        assert_eq!(text.lines().next(), Some(line.as_str()));
        assert!(path.with_file_name(schema).is_file());
    }
}

#[test]
fn every_option_is_described() {
    let schema = generated();
    for option in options() {
        let mut at = &schema;
        for step in option.path.split('.') {
            at = match step.strip_suffix("[]") {
                Some(list) => &at["properties"][list]["items"],
                None if step == "*" => &at["additionalProperties"],
                None => &at["properties"][step],
            };
        }
        let description = at["description"].as_str();
        assert!(
            description.is_some_and(|text| text.len() > 10),
            "{}: {at:#}",
            option.path
        );
    }
}

#[test]
fn the_schema_refuses_every_broken_file_that_it_can() {
    let validator = validator();
    let mut messages = String::new();
    let mut files: Vec<_> = fs::read_dir(root().join("tests/config/broken"))
        .expect("the folder is there")
        .map(|file| file.expect("it is listed").path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_stem().expect("it has a name").to_string_lossy();
        let document = fs::read_to_string(&file)
            .ok()
            .and_then(|text| document(&text));
        assert_eq!(
            document.is_none(),
            NOT_PLAIN_YAML.contains(&name.as_ref()),
            "{name}: whether it is plain YAML"
        );
        let Some(document) = document else { continue };
        let mut places: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| error.instance_path().to_string())
            .collect();
        places.sort();
        places.dedup();
        let beyond = BEYOND.iter().find(|(beyond, _)| *beyond == name);
        assert_eq!(places.is_empty(), beyond.is_some(), "{name}: {places:?}");
        let found = match beyond {
            Some((_, why)) => format!("accepted: {why}"),
            None => places
                .iter()
                .map(|place| if place.is_empty() { "/" } else { place })
                .collect::<Vec<_>>()
                .join(" "),
        };
        messages.push_str(&format!("{name}: {found}\n"));
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn the_schema_bounds_what_baton_bounds() {
    let validator = validator();
    let with = |key: &str, value: Json| {
        let mut document = json!({"entry": "a", "specialists": {"a": null}});
        document[key] = value;
        document
    };
    assert!(validator.is_valid(&with("hand_back", json!(null))));
    assert!(validator.is_valid(&with("audio", json!({"fade_ms": 2000}))));
    assert!(!validator.is_valid(&with("audio", json!({"fade_ms": 2001}))));
    assert!(!validator.is_valid(&with("entry", json!(null))));
    assert!(!validator.is_valid(&with("server", json!({"api_key": "k"}))));
    let routes = |count| vec![json!({"from": "*", "to": "*"}); count];
    assert!(validator.is_valid(&with("routes", routes(call::ROUTES_MAX).into())));
    assert!(!validator.is_valid(&with("routes", routes(call::ROUTES_MAX + 1).into())));
}

/// Files with few mistakes, so that many are accepted.
fn file() -> impl Strategy<Value = String> {
    let name = "triage|billing|it-support|human|Sales";
    let text = "[a-z]{1,8}|42|true|\"7\"|''|\"wss://a.b\"|~";
    let opening = "continue|greet|wait|say|\"say: Hello.\"|\"say: \"";
    let bind = "127\\.0\\.0\\.1:0|\"\\[::1\\]:8081\"|localhost:1|8081";
    let url = "wss://a\\.b|HTTPS://a/b|ftp://a|a\\.b";
    let number = prop_oneof![0u64..3_000, Just(99_999_999)];
    let route = (name, name, opening, number.clone());
    (
        name,
        (text, bind, url),
        number,
        prop::collection::vec(route, 0..3),
    )
        .prop_map(|(entry, (text, bind, url), number, routes)| {
            let mut file = format!(
                "entry: {entry}\nspecialists: {{triage: , billing: {{description: {text}}}, it-support: ~}}\n\
                 server: {{health_bind: {bind}, url: {url}, max_calls: {number}}}\nroutes:\n"
            );
            for (from, to, opening, fade_ms) in routes {
                file.push_str(&format!(
                    "  - {{from: {from}, to: [{to}], opening: {opening}, fade_ms: {fade_ms}}}\n"
                ));
            }
            file
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/schema.seeds"))), ..ProptestConfig::default() })]
    #[test]
    fn the_schema_accepts_whatever_is_accepted(text in file()) {
        if parse("any.yaml", &text).is_ok() {
            let document = document(&text).expect("what is accepted is plain YAML");
            prop_assert!(validator().is_valid(&document), "{text}");
        }
    }

    #[test]
    fn a_line_that_ends_in_a_return_is_a_line_to_both(text in "[\"' a\r\n]{1,8}") {
        let file = format!("entry: triage\nspecialists: {{triage: {{description: \"{text}\"}}}}\n");
        if parse("any.yaml", &file).is_ok() {
            let document = document(&file).expect("what is accepted is plain YAML");
            prop_assert!(validator().is_valid(&document), "{file:?}");
        }
    }

    #[test]
    fn the_schema_and_baton_take_the_same_names(name in "[a-zA-Z0-9_. -]{0,5}|previous|human|[a-z]{60,66}") {
        let document = json!({"entry": "a", "specialists": {"a": {}, name.clone(): {}}});
        prop_assert_eq!(validator().is_valid(&document), check_name(&name).is_ok());
    }
}

#[test]
fn a_file_of_a_folder_is_not_a_whole_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let part = "timers: {hold_ms: 5}\n";
    fs::write(folder.path().join("a.yaml"), part).expect("it is writable");
    fs::write(
        folder.path().join("b.yaml"),
        "entry: a\nspecialists: {a: }\n",
    )
    .expect("it is writable");
    assert!(load(folder.path()).is_ok());
    assert!(!validator().is_valid(&document(part).expect("it is plain YAML")));
}
