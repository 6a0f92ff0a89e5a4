//! The JSON Schema of the configuration file, for editors that complete and check while one types.
//!
//! Kinds, bounds and defaults are those of [`options`](super::options); the descriptions are the comments of
//! `config/reference/default.yaml`, so that each is written once. `config/schema.json` is a copy that a test keeps up to date.
//!
//! The schema never refuses a whole file that Baton accepts. It cannot refuse everything that Baton refuses: what is not plain
//! YAML, an option that is given twice, a name that no specialist has. `baton check` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{
    call_plan::{NAME_LENGTH_MAX, OPENING_FORM, RESERVED},
    option::{Kind, OptionSpec},
    reader::Reader,
    rule::DIGIT_FORM,
    server::{BIND_FORM, URL_FORM},
    yaml::{self, Entry, Node, Value},
};

const REFERENCE: &str = include_str!("../../config/reference/default.yaml");
/// Opens the comment of an option whose value in the reference file is not the default.
const EXAMPLE: &str = "Example. ";
const NAME: &str = "#/$defs/specialist";

/// The schema of a file that is a whole configuration, in JSON Schema 2020-12.
pub fn schema() -> Json {
    let outline = super::listed();
    let builder = Builder {
        descriptions: descriptions(&outline),
        outline,
    };
    let mut schema = builder.object("");
    schema.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".to_owned(), "Configuration of Baton".into());
    schema.insert(
        "$comment".to_owned(),
        "Generated from the options that Baton reads; for a file that is a whole configuration. `baton check` \
         finds what a schema cannot: options given twice, names that no specialist has, more than plain YAML."
            .into(),
    );
    schema.insert(
        "$defs".to_owned(),
        json!({"specialist": {
            "type": "string",
            "pattern": format!("^[a-z][a-z0-9_-]{{0,{}}}$", NAME_LENGTH_MAX - 1),
            "not": {"enum": RESERVED},
        }}),
    );
    Json::Object(schema)
}

/// A YAML value as JSON has it; an option that is given twice counts as it was last given.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(_) if node.is_null() => Json::Null,
        Value::Scalar(scalar) => match (scalar.plain, scalar.boolean()) {
            (true, Some(value)) => Json::Bool(value),
            (true, None) if scalar.is_number() => number(&scalar.text),
            (true, None) | (false, _) => Json::String(scalar.text.clone()),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.node)))
            .collect(),
    }
}

/// A whole number as such, as far as JSON has them.
fn number(text: &str) -> Json {
    let whole = text.parse::<i64>().map(Json::from);
    whole.unwrap_or_else(|_| text.parse::<f64>().map_or(Json::Null, Json::from))
}

struct Builder {
    outline: Reader,
    descriptions: BTreeMap<String, String>,
}

impl Builder {
    /// The mapping whose options have paths that start with `within`, which is empty or ends with a full stop.
    fn object(&self, within: &str) -> Map<String, Json> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for option in &self.outline.options {
            let Some(rest) = option.path.strip_prefix(within) else {
                continue;
            };
            let (key, schema) = match rest.split_once('.') {
                None => (rest, self.option(option)),
                Some((key, _)) if properties.contains_key(key.trim_end_matches("[]")) => continue,
                Some((key, rest)) if rest.starts_with("*.") => (key, self.names(within, key)),
                Some((key, _)) => match key.strip_suffix("[]") {
                    Some(key) => (key, self.list(within, key)),
                    None => (key, self.part(within, key)),
                },
            };
            if self.required(&format!("{within}{key}")) {
                required.push(key.to_owned());
            }
            properties.insert(key.to_owned(), schema);
        }
        let mut object = Map::new();
        object.insert("type".to_owned(), "object".into());
        object.insert("additionalProperties".to_owned(), false.into());
        object.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            object.insert("required".to_owned(), required.into());
        }
        object
    }

    fn part(&self, within: &str, key: &str) -> Json {
        let path = format!("{within}{key}");
        let mut part = self.object(&format!("{path}."));
        part.insert("type".to_owned(), json!(["object", "null"]));
        self.described(&path, part)
    }

    /// A mapping of names to parts, each of which may be left empty.
    fn names(&self, within: &str, key: &str) -> Json {
        let path = format!("{within}{key}");
        let mut part = self.object(&format!("{path}.*."));
        part.insert("type".to_owned(), json!(["object", "null"]));
        let mut names = Map::new();
        names.insert("type".to_owned(), self.kind_of(&path, "object"));
        names.insert(
            "minProperties".to_owned(),
            u8::from(self.required(&path)).into(),
        );
        names.insert("maxProperties".to_owned(), self.entries_max(&path).into());
        names.insert("propertyNames".to_owned(), json!({"$ref": NAME}));
        names.insert("additionalProperties".to_owned(), part.into());
        self.described(&path, names)
    }

    fn list(&self, within: &str, key: &str) -> Json {
        let path = format!("{within}{key}");
        let mut list = Map::new();
        list.insert("type".to_owned(), self.kind_of(&path, "array"));
        list.insert("maxItems".to_owned(), self.entries_max(&path).into());
        let item = self.object(&format!("{path}[]."));
        list.insert("items".to_owned(), item.into());
        self.described(&path, list)
    }

    fn option(&self, option: &OptionSpec) -> Json {
        let OptionSpec {
            path,
            kind,
            default,
        } = option;
        let mut schema = self.kind(path, kind);
        if let Some(default) = default {
            schema.insert("default".to_owned(), written(default));
        }
        self.described(path, schema)
    }

    fn kind(&self, path: &str, kind: &Kind) -> Map<String, Json> {
        let schema = match kind {
            Kind::Boolean => json!({"type": self.kind_of(path, "boolean")}),
            Kind::Integer(range) => json!({
                "type": self.kind_of(path, "integer"),
                "minimum": range.start(),
                "maximum": range.end(),
            }),
            Kind::Level(range) => json!({
                "type": self.kind_of(path, "integer"),
                "minimum": range.start(),
                "maximum": range.end(),
            }),
            Kind::Choice(words) => {
                let words = words.iter().copied().map(Json::from);
                let null = (!self.required(path)).then_some(Json::Null);
                json!({"enum": words.chain(null).collect::<Vec<_>>()})
            }
            Kind::Text(OPENING_FORM) => self.any_of(
                path,
                [
                    json!({"enum": ["continue", "greet", "wait"]}),
                    json!({"type": "string", "pattern": "^say:\\s*\\S"}),
                ],
            ),
            Kind::Text(form) => {
                json!({"type": self.kind_of(path, "string"), "pattern": pattern(form)})
            }
            Kind::Texts(_) => json!({
                "type": self.kind_of(path, "array"),
                "items": {"type": "string", "pattern": r"\S"},
            }),
            Kind::Specialist => self.any_of(path, [json!({"$ref": NAME})]),
            Kind::Specialists => self.any_of(
                path,
                [
                    json!({"const": "*"}),
                    json!({"$ref": NAME}),
                    json!({"type": "array", "minItems": 1, "items": {"$ref": NAME}}),
                ],
            ),
            Kind::Target => {
                self.any_of(path, [json!({"const": "previous"}), json!({"$ref": NAME})])
            }
            Kind::Chain(words) => json!({
                "type": self.kind_of(path, "array"),
                "items": {"anyOf": [{"enum": words}, {"$ref": NAME}]},
            }),
        };
        match schema {
            Json::Object(schema) => schema,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                unreachable!("every kind gives an object")
            }
        }
    }

    /// An option without a value has its default, unless there is none.
    fn kind_of(&self, path: &str, kind: &str) -> Json {
        if self.required(path) {
            json!(kind)
        } else {
            json!([kind, "null"])
        }
    }

    fn any_of(&self, path: &str, schemas: impl IntoIterator<Item = Json>) -> Json {
        let null = (!self.required(path)).then(|| json!({"type": "null"}));
        json!({"anyOf": schemas.into_iter().chain(null).collect::<Vec<_>>()})
    }

    fn described(&self, path: &str, mut schema: Map<String, Json>) -> Json {
        if let Some(description) = self.descriptions.get(path) {
            schema.insert("description".to_owned(), description.as_str().into());
        }
        Json::Object(schema)
    }

    fn required(&self, path: &str) -> bool {
        self.outline
            .required
            .iter()
            .any(|required| required == path)
    }

    fn entries_max(&self, path: &str) -> usize {
        let mut known = self.outline.entries_max.iter();
        known
            .find_map(|(known, max)| (known == path).then_some(*max))
            .expect("every list and mapping of names has a limit")
    }
}

/// What text of this form looks like. It takes in all that Baton accepts, and more where a pattern would be hard to read.
fn pattern(form: &str) -> &'static str {
    match form {
        URL_FORM => r"^\s*([Ww][Ss]|[Hh][Tt][Tt][Pp])[Ss]?:",
        DIGIT_FORM => r"^[0-9*#A-Da-d]$",
        BIND_FORM => r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]+$",
        _ => r"\S",
    }
}

/// A default, from how it would be written in the file.
fn written(default: &str) -> Json {
    let mut problems = Vec::new();
    let entries = yaml::parse(&format!("default: {default}"), 0, &mut problems);
    entries
        .first()
        .map(|entry| json(&entry.node))
        .expect("a default is written as YAML")
}

/// The comments of the reference file by the paths of the options, lists and parts that they stand above.
fn descriptions(outline: &Reader) -> BTreeMap<String, String> {
    let mut problems = Vec::new();
    let entries = yaml::parse(REFERENCE, 0, &mut problems);
    let mut comments = Comments {
        outline,
        lines: REFERENCE.lines().collect(),
        found: BTreeMap::new(),
    };
    comments.read(&entries, "");
    comments.found
}

struct Comments<'a> {
    outline: &'a Reader,
    lines: Vec<&'a str>,
    found: BTreeMap<String, String>,
}

impl Comments<'_> {
    fn read(&mut self, entries: &[Entry], within: &str) {
        let mut shared = None;
        for entry in entries {
            let path = format!("{within}{}", entry.key);
            // An option that follows another one at once shares its comment.
            shared = self
                .above(entry.at.line)
                .or(match self.line(entry.at.line - 1) {
                    Some("") | None => None,
                    Some(_) => shared,
                });
            if let Some(comment) = &shared {
                self.found.insert(path.clone(), comment.clone());
            }
            self.read_parts(&entry.node, &path);
        }
    }

    fn read_parts(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for item in items {
                    self.read_parts(item, &format!("{path}[]"));
                }
            }
            Value::Mapping(parts) => {
                let names = format!("{path}.*.");
                let options = &self.outline.options;
                if !options.iter().any(|option| option.path.starts_with(&names)) {
                    return self.read(parts, &format!("{path}."));
                }
                for part in parts {
                    self.read_parts(&part.node, names.trim_end_matches('.'));
                }
            }
        }
    }

    /// The comment right above a line, in one line.
    fn above(&self, line: usize) -> Option<String> {
        let above = (1..line)
            .rev()
            .map_while(|line| self.line(line)?.strip_prefix('#'));
        let mut words: Vec<&str> = above.map(str::trim).collect();
        words.reverse();
        let comment = words.join(" ");
        let comment = comment.strip_prefix(EXAMPLE).unwrap_or(&comment);
        (!comment.is_empty()).then(|| comment.to_owned())
    }

    /// A line without the space around it; lines count from 1.
    fn line(&self, line: usize) -> Option<&str> {
        let text = self.lines.get(line.checked_sub(1)?)?;
        Some(text.trim())
    }
}
