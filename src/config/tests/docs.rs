//! `docs/configuration.md`, made from the schema.

use std::{env, fmt::Write as _, fs, path::Path};

use serde_json::Value as Json;

use crate::schema::schema;

const HEAD: &str = "# Configuration

Every option of Baton's configuration, with what it takes and its default. Made from the same list that `baton check` and
[the JSON Schema](../config/schema.json) are made from; [`config/reference/default.yaml`](../config/reference/default.yaml) is the same as a
file that one can start with, and [`config/examples`](../config/examples) has whole configurations. Only `entry` and `specialists` must be
there. An option without a value has its default.

";

fn page() -> String {
    let schema = schema();
    let mut page = HEAD.to_owned();
    let mut alone = String::new();
    for (name, option) in properties(&schema) {
        if inner(name, option).is_some() {
            continue;
        }
        entry(&mut alone, name, option);
    }
    write!(page, "## Options without a section\n\n{alone}").unwrap();
    for (name, option) in properties(&schema) {
        if let Some((path, part)) = inner(name, option) {
            write!(page, "## {name}\n\n{}\n\n", words(option)).unwrap();
            section(&mut page, &path, part);
        }
    }
    page
}

/// The options of a part, those of the parts in it among them.
fn section(page: &mut String, within: &str, part: &Json) {
    for (name, option) in properties(part) {
        let path = format!("{within}.{name}");
        match inner(&path, option) {
            None => entry(page, &path, option),
            Some((path, part)) => section(page, &path, part),
        }
    }
}

fn entry(page: &mut String, path: &str, option: &Json) {
    let default = match &option["default"] {
        Json::Null => String::new(),
        Json::String(text) => format!("; default `{text}`"),
        other => format!("; default `{other}`"),
    };
    let words = words(option);
    write!(
        page,
        "**`{path}`**: {}{default}\n\n> {words}\n\n",
        takes(option)
    )
    .unwrap();
}

fn words(option: &Json) -> String {
    let words = option["description"].as_str().unwrap_or_default();
    // Angle brackets and stars of a text are no mark-up.
    words.replace('<', "&lt;").replace('*', "\\*")
}

/// What is in a part, a list of parts, or parts by name; none for a plain option.
fn inner<'a>(path: &str, option: &'a Json) -> Option<(String, &'a Json)> {
    let is_part = |part: &Json| part["properties"].is_object();
    if is_part(option) {
        return Some((path.to_owned(), option));
    }
    let (items, named) = (&option["items"], &option["additionalProperties"]);
    if is_part(items) {
        return Some((format!("{path}[]"), items));
    }
    is_part(named).then(|| (format!("{path}.NAME"), named))
}

fn properties(part: &Json) -> impl Iterator<Item = (&String, &Json)> {
    part["properties"].as_object().into_iter().flatten()
}

/// What an option takes, in words.
fn takes(option: &Json) -> String {
    for several in ["anyOf", "oneOf"] {
        if let Some(several) = option[several].as_array() {
            let mut kinds: Vec<String> = several.iter().map(takes).collect();
            kinds.retain(|kind| !kind.is_empty());
            kinds.dedup();
            return kinds.join(", or ");
        }
    }
    if let Some(words) = option["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .filter_map(|word| word.as_str().map(|word| format!("`{word}`")))
            .collect();
        return words.join(", ");
    }
    if let Some(word) = option["const"].as_str() {
        return format!("`{word}`");
    }
    if option["$ref"].is_string() {
        return "the name of a specialist".to_owned();
    }
    let kind = match &option["type"] {
        Json::Array(kinds) => kinds.iter().find_map(|kind| {
            let kind = kind.as_str()?;
            (kind != "null").then_some(kind)
        }),
        kind => kind.as_str(),
    };
    match (kind, option["minimum"].as_i64(), option["maximum"].as_i64()) {
        (_, Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
        (Some("integer" | "number"), Some(minimum), None) => format!("a number from {minimum} on"),
        (Some("integer" | "number"), ..) => "a number".to_owned(),
        (Some("boolean"), ..) => "true or false".to_owned(),
        (Some("array"), ..) => format!("a list: {}", takes(&option["items"])),
        (Some("string"), ..) => "text".to_owned(),
        (Some("null"), ..) | (None, ..) => String::new(),
        (Some(other), ..) => other.to_owned(),
    }
}

/// `BATON_WRITE_DOCS=1` writes the page instead.
#[test]
fn the_page_of_the_configuration_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = page();
    if env::var_os("BATON_WRITE_DOCS").is_some() {
        fs::write(&path, &page).expect("it is writable");
    }
    let written = fs::read_to_string(path).expect("the page is there");
    assert!(
        written == page,
        "docs/configuration.md is out of date; write it with BATON_WRITE_DOCS=1 cargo test -p config docs"
    );
}

#[test]
fn every_option_is_on_the_page() {
    let page = page();
    for option in crate::options() {
        let path = option.path.replace('*', "NAME");
        assert!(page.contains(&format!("`{path}`")), "{path} is not there");
    }
}
