//! The items of LiveKit's agents for JavaScript: camel case, and milliseconds where Python has seconds.
//!
//! Only when an item was made is in milliseconds; what is measured is in seconds on both sides. What has its own names
//! inside, such as `extra`, is not touched.

use serde_json::{Map, Value, json};

use crate::convert::Shape;
use crate::grouping::Group;
use crate::livekit::{LivekitItem, text};

pub(crate) struct LivekitJs;

/// Names of fields that differ in more than their case.
const ARGUMENTS: (&str, &str) = ("arguments", "args");
const CREATED_AT: (&str, &str) = ("created_at", "createdAt");

/// Fields that JavaScript leaves out when they are empty.
const OPTIONAL: [&str; 2] = ["extra", "metrics"];

impl Shape for LivekitJs {
    fn group(&self, items: &[LivekitItem]) -> Vec<Group> {
        (0..items.len())
            .map(|index| Group::Items(vec![index]))
            .collect()
    }

    fn render(&self, items: &[&LivekitItem]) -> Value {
        let Some(item) = items.first() else {
            return Value::Null;
        };
        let mut js = Map::new();
        for (name, value) in item.fields() {
            let empty = value.as_object().is_some_and(Map::is_empty);
            if value.is_null() || empty && OPTIONAL.contains(&name.as_str()) {
                continue;
            }
            let value = match name.as_str() {
                "content" => each(value, part_to_js),
                "metrics" => renamed(value, camel),
                "created_at" => milliseconds(value),
                // JavaScript's results do not say whether an answer is wanted.
                "reply_required" | "hash" => continue,
                _ => value.clone(),
            };
            js.insert(to_js(name), value);
        }
        if let Some(signature) = signature(item.fields()) {
            js.insert("thoughtSignature".to_owned(), signature.into());
        }
        Value::Object(js)
    }

    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>> {
        let js = message.as_object()?;
        let defaults = match text(js, "type") {
            "message" => json!({"interrupted": false, "extra": {}, "metrics": {}}),
            "function_call" => json!({"extra": {}}),
            "function_call_output" => {
                json!({"name": "", "is_error": false, "reply_required": true})
            }
            "agent_handoff" | "agent_config_update" => json!({}),
            _ => return None,
        };
        let mut fields = defaults.as_object().cloned().unwrap_or_default();
        for (name, value) in js {
            let value = match name.as_str() {
                "content" => each(value, part_from_js),
                "metrics" => renamed(value, snake),
                "createdAt" => seconds(value),
                "thoughtSignature" => continue,
                _ => value.clone(),
            };
            fields.insert(from_js(name), value);
        }
        if let Some(Value::String(own)) = js.get("thoughtSignature")
            && signature(&fields).is_none()
            && let Some(Value::Object(extra)) = fields.get_mut("extra")
        {
            extra.insert("google".to_owned(), json!({"thought_signature": own}));
        }
        Some(vec![fields])
    }
}

fn to_js(name: &str) -> String {
    match name {
        name if name == ARGUMENTS.0 => ARGUMENTS.1.to_owned(),
        name => camel(name),
    }
}

fn from_js(name: &str) -> String {
    match name {
        name if name == ARGUMENTS.1 => ARGUMENTS.0.to_owned(),
        name if name == CREATED_AT.1 => CREATED_AT.0.to_owned(),
        name => snake(name),
    }
}

fn part_to_js(part: &Value) -> Option<Value> {
    match text(part.as_object()?, "type") {
        "audio_content" => Some(json!({
            "type": "audio_content", "transcript": part.get("transcript").cloned().unwrap_or_default(),
        })),
        // JavaScript knows no marks for the cache of prompts.
        "cache_breakpoint" => None,
        _ => Some(renamed(part, camel)),
    }
}

fn part_from_js(part: &Value) -> Option<Value> {
    let fields = part.as_object()?;
    match text(fields, "type") {
        // Instructions that differ by how they are given: those for a voice.
        "instructions" => Some(text(fields, "audio").into()),
        "audio_content" => {
            let mut part = json!({"type": "audio_content", "frame": []});
            if let Some(Value::String(transcript)) = fields.get("transcript") {
                part["transcript"] = transcript.as_str().into();
            }
            Some(part)
        }
        _ => Some(renamed(part, snake)),
    }
}

/// The parts of a content; strings stay as they are.
fn each(content: &Value, change: fn(&Value) -> Option<Value>) -> Value {
    let Value::Array(parts) = content else {
        return content.clone();
    };
    parts
        .iter()
        .filter_map(|part| match part {
            Value::Object(_) => change(part),
            other => Some(other.clone()),
        })
        .collect()
}

/// The thought signature that Gemini wants back, where the two sides keep it.
fn signature(fields: &Map<String, Value>) -> Option<&str> {
    let google = fields.get("extra")?.get("google")?;
    let own = google
        .get("thoughtSignature")
        .or_else(|| google.get("thought_signature"));
    own?.as_str()
        .filter(|_| text(fields, "type") == "function_call")
}

fn milliseconds(seconds: &Value) -> Value {
    let Some(seconds) = seconds.as_f64() else {
        return seconds.clone();
    };
    // Saturates, and is exact for as long as calls are made.
    json!((seconds * 1000.0).round() as i64)
}

fn seconds(milliseconds: &Value) -> Value {
    match milliseconds.as_f64() {
        Some(number) => json!(number / 1000.0),
        None => milliseconds.clone(),
    }
}

/// The fields of one object under other names; what is in them stays.
fn renamed(value: &Value, rename: fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (rename(name), value.clone()))
            .collect(),
        other => other.clone(),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut chars = word.chars();
        camel.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    camel
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}
