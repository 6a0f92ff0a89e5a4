//! Masks: what of the items a specialist must not get, by tool, by field, or by what they say.
//!
//! A mask fails closed: what looks like data but cannot be read is redacted whole, and a framework's own form that we
//! cannot redact with certainty is left out. Sound is left out with the words that are redacted.

use std::collections::{BTreeMap, BTreeSet};

use livekit_protocol::agent::{
    AgentConfigUpdate, ChatMessage, FunctionCall, FunctionCallOutput, chat_context::chat_item,
    chat_message::chat_content,
};
use regex::{NoExpand, Regex};
use serde_json::{Map, Value, json};

use crate::item::{Item, Kind, LIVEKIT, Native};
use crate::scope::FieldPath;

/// What stands where something was redacted.
pub const REDACTED: &str = "[redacted]";

/// A pattern for card numbers in digits: 14 to 19 of them, with blanks or dashes between. Milliseconds since 1970 have 13.
pub const CARD_NUMBER: &str = r"\b(?:\d[ -]?){13,18}\d\b";

/// A pattern for long numbers spoken in English, digit by digit: twelve words or more.
pub const SPOKEN_NUMBER: &str = concat!(
    r"(?i)\b(?:(?:zero|oh|nought|one|two|three|four|five|six|seven|eight|nine|double|triple)[\s,.-]+){11,}",
    r"(?:zero|oh|nought|one|two|three|four|five|six|seven|eight|nine)\b"
);

/// Keys of an item's JSON whose values are names and times, not content.
const NAMES: [&str; 8] = [
    "id",
    "type",
    "role",
    "call_id",
    "name",
    "group_id",
    "created_at",
    "createdAt",
];

/// One rule.
#[derive(Clone, Debug)]
pub struct Mask {
    /// What it is about.
    pub what: Masked,
    /// What happens to it.
    pub action: MaskAction,
}

/// What a mask is about.
#[derive(Clone, Debug)]
pub enum Masked {
    /// The calls of a tool, and their results.
    Tool(String),
    /// A field in the arguments or the result of a tool, or of every tool.
    Field {
        /// The tool; nothing means every tool.
        tool: Option<String>,
        /// The field, in arguments and results that are JSON.
        path: FieldPath,
    },
    /// Whatever matches, in words, instructions, arguments and results. Matching takes linear time.
    Pattern(Regex),
}

/// What happens to what is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskAction {
    /// The whole item does not go along; of a tool, neither call nor result.
    Drop,
    /// The item goes along, with [`REDACTED`] in the place.
    Redact,
}

/// Applies the masks to an item; nothing if it is dropped. `tool` is the tool that a call or result belongs to.
pub(crate) fn apply(masks: &[Mask], item: &Item, tool: Option<&str>) -> Option<Item> {
    let mut edit = Edit::of(item);
    for mask in masks {
        let hit = match &mask.what {
            Masked::Tool(name) => tool == Some(name.as_str()) && edit.redact_call(),
            Masked::Field { tool: of, path } => {
                let concerns = tool.is_some() && (of.is_none() || of.as_deref() == tool);
                concerns && edit.redact_field(path)
            }
            Masked::Pattern(pattern) => edit.redact_pattern(pattern),
        };
        if hit && mask.action == MaskAction::Drop {
            return None;
        }
    }
    edit.finish(item)
}

/// The items as who is to be kept from something may see them: nothing stands for one that is dropped. A result belongs to the tool
/// of its call, and neither is seen without the other, wherever they stand.
pub fn masked(items: &[Item], masks: &[Mask]) -> Vec<Option<Item>> {
    let calls = items.iter().filter_map(|item| match item.kind() {
        Kind::Call { call, tool } => Some((call, tool.as_str())),
        Kind::Message { .. } | Kind::Output { .. } | Kind::Handoff | Kind::ConfigUpdate => None,
    });
    let tools: BTreeMap<_, _> = calls.collect();
    let call_of = |item: &Item| match item.kind() {
        Kind::Call { call, .. } | Kind::Output { call } => Some(call.clone()),
        Kind::Message { .. } | Kind::Handoff | Kind::ConfigUpdate => None,
    };
    let mut dropped = BTreeSet::new();
    let mut seen = Vec::with_capacity(items.len());
    for item in items {
        let call = call_of(item);
        let tool = call.as_ref().and_then(|call| tools.get(call).copied());
        let kept = apply(masks, item, tool);
        if kept.is_none() {
            dropped.extend(call);
        }
        seen.push(kept);
    }
    for kept in &mut seen {
        kept.take_if(|item| call_of(item).is_some_and(|call| dropped.contains(&call)));
    }
    seen
}

/// What is left of an item that must not be known any more, but is known by its id.
pub(crate) fn blank(item: &Item) -> Option<Item> {
    let mut edit = Edit::of(item);
    match &mut edit.item {
        chat_item::Item::Message(message) => {
            for content in &mut message.content {
                content.payload = Some(chat_content::Payload::Text(REDACTED.to_owned()));
            }
            message.extra.clear();
        }
        chat_item::Item::AgentConfigUpdate(update) => {
            update.instructions = update.instructions.as_ref().map(|_| REDACTED.to_owned());
        }
        chat_item::Item::FunctionCall(_) | chat_item::Item::FunctionCallOutput(_) => {
            edit.redact_call();
        }
        chat_item::Item::AgentHandoff(_) => {}
    }
    edit.touched = true;
    edit.native = None;
    edit.foreign = None;
    edit.finish(item)
}

/// An item that is being changed, in both of its forms.
struct Edit {
    item: chat_item::Item,
    /// LiveKit's JSON, which is changed along. Another framework's is left out as soon as it would have to be.
    native: Option<Value>,
    foreign: Option<Value>,
    touched: bool,
}

impl Edit {
    fn of(item: &Item) -> Self {
        let (mut native, mut foreign) = (None, None);
        if let Some(Native { framework, json }) = item.native() {
            let parsed = serde_json::from_slice(json).ok();
            if framework == LIVEKIT {
                native = parsed;
            } else {
                foreign = parsed;
            }
        }
        let nothing = chat_item::Item::AgentConfigUpdate(AgentConfigUpdate::default());
        Self {
            item: item.chat_item().item.clone().unwrap_or(nothing),
            native,
            foreign,
            touched: false,
        }
    }

    fn finish(self, item: &Item) -> Option<Item> {
        if !self.touched {
            return Some(item.clone());
        }
        let chat_item = livekit_protocol::agent::chat_context::ChatItem {
            item: Some(self.item),
        };
        let native = self.native.map(|json| (LIVEKIT.to_owned(), json));
        let foreign = item.native().map(|native| native.framework.clone());
        let native = native
            .or(foreign.zip(self.foreign))
            .map(|(framework, json)| Native {
                framework,
                json: json.to_string().into_bytes(),
            });
        // An edit keeps ids, so that what was an item is one; else it is dropped, which leaks nothing.
        Item::new(chat_item, native).ok()
    }

    /// Redacts the arguments or the result as a whole.
    fn redact_call(&mut self) -> bool {
        match &mut self.item {
            chat_item::Item::FunctionCall(call) => {
                "{}".clone_into(&mut call.arguments);
                call.extra.clear();
                self.replace_native(&[("arguments", json!("{}")), ("extra", json!({}))]);
                true
            }
            chat_item::Item::FunctionCallOutput(output) => {
                REDACTED.clone_into(&mut output.output);
                self.replace_native(&[("output", json!(REDACTED))]);
                true
            }
            chat_item::Item::Message(_)
            | chat_item::Item::AgentHandoff(_)
            | chat_item::Item::AgentConfigUpdate(_) => false,
        }
    }

    fn redact_field(&mut self, path: &FieldPath) -> bool {
        let (text, whole) = match &self.item {
            chat_item::Item::FunctionCall(FunctionCall { arguments, .. }) => (arguments, true),
            chat_item::Item::FunctionCallOutput(FunctionCallOutput { output, .. }) => {
                (output, output.trim_start().starts_with(['{', '[']))
            }
            chat_item::Item::Message(_)
            | chat_item::Item::AgentHandoff(_)
            | chat_item::Item::AgentConfigUpdate(_) => return false,
        };
        let parsed = serde_json::from_str::<Value>(text);
        let Ok(mut data) = parsed else {
            // What is no JSON, but may be Python's way to print a dictionary, may hold the field.
            return whole && !text.trim().is_empty() && self.redact_call();
        };
        if !redact_at(&mut data, path.segments()) {
            return false;
        }
        let redacted = data.to_string();
        match &mut self.item {
            chat_item::Item::FunctionCall(call) => {
                call.arguments.clone_from(&redacted);
                call.extra.clear();
                self.replace_native(&[("arguments", json!(redacted)), ("extra", json!({}))]);
            }
            chat_item::Item::FunctionCallOutput(output) => {
                output.output.clone_from(&redacted);
                self.replace_native(&[("output", json!(redacted))]);
            }
            chat_item::Item::Message(_)
            | chat_item::Item::AgentHandoff(_)
            | chat_item::Item::AgentConfigUpdate(_) => {}
        }
        true
    }

    fn redact_pattern(&mut self, pattern: &Regex) -> bool {
        let said = match &mut self.item {
            chat_item::Item::Message(ChatMessage { content, extra, .. }) => {
                let mut hit = false;
                for part in content.iter_mut().filter_map(|part| part.payload.as_mut()) {
                    let chat_content::Payload::Text(text) = part;
                    hit |= redact_text(text, pattern);
                }
                // A number may be cut in two by the parts of one message.
                let whole: Vec<&str> = content
                    .iter()
                    .filter_map(|part| part.payload.as_ref())
                    .map(|chat_content::Payload::Text(text)| text.as_str())
                    .collect();
                if pattern.is_match(&whole.concat()) || pattern.is_match(&whole.join(" ")) {
                    for part in content.iter_mut() {
                        part.payload = Some(chat_content::Payload::Text(REDACTED.to_owned()));
                    }
                    self.native = None;
                    hit = true;
                }
                hit | extra
                    .values_mut()
                    .fold(false, |hit, text| redact_text(text, pattern) | hit)
            }
            chat_item::Item::FunctionCall(call) => {
                let hit = redact_data(&mut call.arguments, pattern);
                call.extra
                    .values_mut()
                    .fold(hit, |hit, text| redact_text(text, pattern) | hit)
            }
            chat_item::Item::FunctionCallOutput(output) => redact_data(&mut output.output, pattern),
            chat_item::Item::AgentConfigUpdate(update) => update
                .instructions
                .as_mut()
                .is_some_and(|text| redact_text(text, pattern)),
            chat_item::Item::AgentHandoff(_) => false,
        };
        let mut beside = false;
        if let Some(native) = &mut self.native {
            beside = redact_values(native, pattern, &NAMES);
            if said || beside {
                remove_sound(native);
            }
        }
        let elsewhere = self
            .foreign
            .as_mut()
            .is_some_and(|foreign| redact_values(foreign, pattern, &NAMES));
        if said || elsewhere {
            self.foreign = None;
        }
        self.touched |= said || beside || elsewhere;
        said || beside || elsewhere
    }

    fn replace_native(&mut self, fields: &[(&str, Value)]) {
        self.touched = true;
        self.foreign = None;
        if let Some(Value::Object(native)) = &mut self.native {
            for (name, value) in fields {
                native.insert((*name).to_owned(), value.clone());
            }
        }
    }
}

/// Redacts the field in data, wherever the path leads; false if it leads nowhere.
fn redact_at(data: &mut Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        *data = REDACTED.into();
        return true;
    };
    let every = first == "*";
    match data {
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, _)| every || *name == first)
            .fold(false, |hit, (_, value)| redact_at(value, rest) | hit),
        Value::Array(elements) => elements
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| every || *first == index.to_string())
            .fold(false, |hit, (_, value)| redact_at(value, rest) | hit),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn redact_text(text: &mut String, pattern: &Regex) -> bool {
    let hit = pattern.is_match(text);
    if hit {
        *text = pattern.replace_all(text, NoExpand(REDACTED)).into_owned();
    }
    hit
}

/// Redacts text that may be JSON, so that it stays JSON.
fn redact_data(text: &mut String, pattern: &Regex) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(mut data) => {
            let hit = redact_values(&mut data, pattern, &[]);
            if hit {
                *text = data.to_string();
            }
            hit
        }
        Err(_) => redact_text(text, pattern),
    }
}

/// Redacts strings, numbers and names within a value. Values under the `spared` names stay as they are.
fn redact_values(value: &mut Value, pattern: &Regex, spared: &[&str]) -> bool {
    match value {
        // The digits of an encoded image are no card number.
        Value::String(text) if text.starts_with("data:") => false,
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_) | Value::Array(_)) => redact_data(text, pattern),
            Ok(_) | Err(_) => redact_text(text, pattern),
        },
        Value::Number(number) => {
            let hit = !number.is_f64() && pattern.is_match(&number.to_string());
            if hit {
                *value = REDACTED.into();
            }
            hit
        }
        Value::Array(elements) => elements.iter_mut().fold(false, |hit, element| {
            redact_values(element, pattern, spared) | hit
        }),
        Value::Object(fields) => {
            let mut hit = false;
            let mut kept = Map::new();
            for (mut name, mut value) in std::mem::take(fields) {
                if !spared.contains(&name.as_str()) || value.is_object() || value.is_array() {
                    hit |= redact_values(&mut value, pattern, spared);
                }
                hit |= redact_text(&mut name, pattern);
                kept.insert(name, value);
            }
            *fields = kept;
            hit
        }
        Value::Null | Value::Bool(_) => false,
    }
}

fn remove_sound(native: &mut Value) {
    if let Some(Value::Array(content)) = native.get_mut("content") {
        content.retain(|part| part.get("type") != Some(&json!("audio_content")));
    }
}

/// The tool of a call.
pub(crate) fn tool_of(item: &Item) -> Option<&str> {
    match item.kind() {
        Kind::Call { tool, .. } => Some(tool),
        Kind::Message { .. } | Kind::Output { .. } | Kind::Handoff | Kind::ConfigUpdate => None,
    }
}
