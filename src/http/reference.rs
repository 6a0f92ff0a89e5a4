//! `docs/http.md`, made from the OpenAPI document.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::Value as Json;

const HEAD: &str = "# HTTP interface

Made from the OpenAPI document that a running Baton serves at `/api/v1/openapi.json`. It answers where `api.bind` says, and not at all without;
health, `/worker` and `/metrics` are on a port of their own (`server.health_bind`). How to ask is in
[the README](../README.md#seeing-and-steering-calls); agents have [a protocol of their own](mcp.md).

";
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn page() -> String {
    let document = serde_json::to_value(super::document()).expect("the document is JSON");
    let mut page = HEAD.to_owned();
    write!(
        page,
        "{}\n\n## Requests\n\n",
        text(&document["info"]["description"])
    )
    .expect("it fits");
    for (path, methods) in each(&document["paths"]) {
        for method in METHODS
            .iter()
            .filter(|method| methods.get(method).is_some())
        {
            request(&mut page, method, path, &methods[method]);
        }
    }
    page.push_str("## Bodies\n\n");
    for (name, schema) in each(&document["components"]["schemas"]) {
        body(&mut page, name, schema);
    }
    format!("{}\n", page.trim_end())
}

fn request(page: &mut String, method: &str, path: &str, request: &Json) {
    let method = method.to_uppercase();
    write!(page, "### `{method} {path}`\n\n").expect("it fits");
    for about in [&request["summary"], &request["description"]] {
        if !text(about).is_empty() {
            write!(page, "{}\n\n", text(about)).expect("it fits");
        }
    }
    if let Some(parameters) = request["parameters"].as_array() {
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let about = text(&parameter["description"]);
            writeln!(page, "- `{name}` ({place}): {about}").expect("it fits");
        }
        page.push('\n');
    }
    let content = &request["requestBody"]["content"];
    for (kind, wanted) in each(content) {
        write!(page, "Body: {} as `{kind}`\n\n", kind_of(&wanted["schema"])).expect("it fits");
    }
    page.push_str("| status | body | |\n|---|---|---|\n");
    for (status, response) in each(&request["responses"]) {
        let bodies: Vec<String> = each(&response["content"])
            .map(|(_, content)| kind_of(&content["schema"]))
            .collect();
        let about = text(&response["description"]).replace('|', "\\|");
        writeln!(page, "| {status} | {} | {about} |", bodies.join(", ")).expect("it fits");
    }
    page.push('\n');
}

fn body(page: &mut String, name: &str, schema: &Json) {
    write!(page, "### {name}\n\n").expect("it fits");
    let about = text(&schema["description"]);
    if !about.is_empty() {
        write!(page, "{about}\n\n").expect("it fits");
    }
    let Some(properties) = schema["properties"].as_object() else {
        write!(page, "{}\n\n", kind_of(schema)).expect("it fits");
        return;
    };
    let required = schema["required"].as_array();
    page.push_str("| field | type | |\n|---|---|---|\n");
    for (field, property) in properties {
        let needed = required.is_some_and(|all| all.iter().any(|one| one == field));
        let kind = kind_of(property).replace('|', "\\|");
        let about = text(&property["description"])
            .replace('\n', " ")
            .replace('|', "\\|");
        let maybe = if needed { "" } else { " (may be left out)" };
        writeln!(page, "| `{field}` | {kind}{maybe} | {about} |").expect("it fits");
    }
    page.push('\n');
}

/// A type in words, with a link to a body of its own.
fn kind_of(schema: &Json) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(kinds) = schema[several].as_array() {
            let mut kinds: Vec<String> = kinds.iter().map(kind_of).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", text(word)))
            .collect();
        return words.join(", ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        Json::String(kind) => vec![kind],
        _ => vec!["any JSON"],
    };
    let kinds = kinds.join(" or ");
    match &schema["items"] {
        Json::Null => kinds,
        items => format!("{kinds} of {}", kind_of(items)),
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default().trim()
}

fn each(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

/// `BATON_WRITE_DOCS=1` writes the page instead.
#[test]
fn the_page_of_the_interface_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let page = page();
    if env::var_os("BATON_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(path).unwrap();
    assert!(
        written == page,
        "docs/http.md is out of date; write it with BATON_WRITE_DOCS=1 cargo test -p baton --lib reference"
    );
}
