//! OpenAI's Chat Completions messages, and the two frameworks that write almost the same: Pipecat and CrewAI.
//!
//! Pipecat keeps one call a message, with its result right behind it, and `IN_PROGRESS` as the result of a call that is
//! running. CrewAI knows no developer, writes a null where an answer is only calls, and names the tool of a result.

use serde_json::{Map, Value, json};

use crate::convert::Shape;
use crate::grouping::{Group, by_answer, pairs};
use crate::livekit::{LivekitItem, Part, Type, text};

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Openai,
    Pipecat,
    Crewai,
}

pub(crate) struct Chat(pub(crate) Dialect);

/// What Pipecat writes as the result of a call that is running.
const RUNNING: &str = "IN_PROGRESS";

/// What Pipecat writes as the result of a call that was cancelled.
const CANCELLED: &str = "CANCELLED";

impl Shape for Chat {
    fn group(&self, items: &[LivekitItem]) -> Vec<Group> {
        match self.0 {
            Dialect::Openai | Dialect::Crewai => by_answer(items),
            Dialect::Pipecat => one_call_a_message(items),
        }
    }

    fn render(&self, items: &[&LivekitItem]) -> Value {
        let mut message = Map::new();
        let mut calls = Vec::new();
        for item in items {
            match item.kind() {
                Type::Message => {
                    message.insert("role".to_owned(), self.role(item.text("role")).into());
                    message.insert("content".to_owned(), content(item));
                }
                Type::Call => calls.push(json!({
                    "id": item.text("call_id"), "type": "function",
                    "function": {"name": item.text("name"), "arguments": item.text("arguments")},
                })),
                Type::Output => return self.result(item),
                Type::Handoff | Type::ConfigUpdate => {}
            }
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), calls.into());
            message.entry("role").or_insert("assistant".into());
            if self.0 == Dialect::Crewai {
                message.entry("content").or_insert(Value::Null);
            }
        }
        Value::Object(message)
    }

    fn running(&self, call: &LivekitItem) -> Option<Value> {
        (self.0 == Dialect::Pipecat).then(
            || json!({"role": "tool", "content": RUNNING, "tool_call_id": call.text("call_id")}),
        )
    }

    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>> {
        let message = message.as_object()?;
        let role = text(message, "role");
        match role {
            "tool" => self.read_result(message),
            "system" | "developer" | "user" | "assistant" => {
                if self.0 == Dialect::Pipecat
                    && role == "developer"
                    && let Some(result) = final_result(message)
                {
                    return Some(result);
                }
                Some(read_said(message, role))
            }
            _ => None,
        }
    }
}

impl Chat {
    fn role<'a>(&self, role: &'a str) -> &'a str {
        match (self.0, role) {
            (Dialect::Crewai, "developer") => "system",
            (Dialect::Openai | Dialect::Pipecat | Dialect::Crewai, role) => role,
        }
    }

    fn result(&self, output: &LivekitItem) -> Value {
        let mut message = json!({
            "role": "tool", "tool_call_id": output.text("call_id"), "content": output.text("output"),
        });
        if self.0 == Dialect::Crewai && !output.text("name").is_empty() {
            message["name"] = output.text("name").into();
        }
        message
    }

    fn read_result(&self, message: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
        let call = message.get("tool_call_id")?.as_str()?;
        let output = words(message.get("content"));
        let pipecat = self.0 == Dialect::Pipecat;
        if pipecat && (output == RUNNING || async_status(&output).as_deref() == Some("running")) {
            return Some(Vec::new());
        }
        let cancelled = pipecat && output == CANCELLED;
        let mut fields = output_of(call, &output, cancelled);
        let name = text(message, "name");
        if !name.is_empty() {
            fields.insert("name".to_owned(), name.into());
        }
        Some(vec![fields])
    }
}

/// Each call in a message of its own, its result right behind it.
fn one_call_a_message(items: &[LivekitItem]) -> Vec<Group> {
    let halves = pairs(items);
    let mut groups = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.kind() {
            Type::Message => groups.push(Group::Items(vec![index])),
            Type::Call => {
                groups.push(Group::Items(vec![index]));
                groups.push(match halves[index] {
                    Some(output) => Group::Items(vec![output]),
                    None => Group::Running(index),
                });
            }
            Type::Output | Type::Handoff | Type::ConfigUpdate => {}
        }
    }
    groups
}

/// A string where there are only words, as for any provider; else a list. Only a user shows images.
pub(crate) fn content(item: &LivekitItem) -> Value {
    if item.text("role") != "user" || !item.has_images() {
        return item.words().join("\n").into();
    }
    let written = item.is_written();
    item.parts()
        .filter_map(|part| match part {
            Part::Text(text) => Some(json!({"type": "text", "text": text})),
            Part::Image { url, detail } => {
                Some(json!({"type": "image_url", "image_url": {"url": url, "detail": detail}}))
            }
            Part::Heard(text) if !written => Some(json!({"type": "text", "text": text})),
            Part::Heard(_) | Part::Other => None,
        })
        .collect()
}

fn read_said(message: &Map<String, Value>, role: &str) -> Vec<Map<String, Value>> {
    let calls: Vec<Map<String, Value>> = message
        .get("tool_calls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|call| {
            let function = call.get("function")?.as_object()?;
            let id = call.get("id")?.as_str()?;
            Some(call_of(
                id,
                text(function, "name"),
                text(function, "arguments"),
            ))
        })
        .collect();
    let content = read_content(message.get("content"));
    let mut items = Vec::new();
    if !content.is_empty()
        || calls.is_empty()
        || message.get("content").is_some_and(Value::is_string)
    {
        items.push(message_of(role, content));
    }
    items.extend(calls);
    items
}

/// The parts of a message's content, as LiveKit's.
pub(crate) fn read_content(content: Option<&Value>) -> Vec<Value> {
    match content {
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        Some(Value::String(text)) => vec![text.as_str().into()],
        Some(Value::Array(parts)) => parts.iter().filter_map(read_part).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    }
}

/// A part of any of OpenAI's formats, or of LangChain's.
fn read_part(part: &Value) -> Option<Value> {
    if part.is_string() {
        return Some(part.clone());
    }
    let part = part.as_object()?;
    match text(part, "type") {
        "text" | "input_text" | "output_text" => Some(part.get("text")?.as_str()?.into()),
        "refusal" => Some(part.get("refusal")?.as_str()?.into()),
        "input_audio" | "output_audio" | "audio" => Some(part.get("transcript")?.as_str()?.into()),
        "image_url" | "input_image" => {
            let (url, detail) = match part.get("image_url")? {
                Value::String(url) => (url.as_str(), text(part, "detail")),
                Value::Object(image) => (image.get("url")?.as_str()?, text(image, "detail")),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
            };
            let detail = match detail {
                "low" | "high" => detail,
                _ => "auto",
            };
            Some(json!({"type": "image_content", "image": url, "inference_detail": detail}))
        }
        _ => None,
    }
}

/// All words of a content.
pub(crate) fn words(content: Option<&Value>) -> String {
    let parts = read_content(content);
    let words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
    words.join("\n")
}

/// A message as LiveKit has it.
pub(crate) fn message_of(role: &str, content: Vec<Value>) -> Map<String, Value> {
    fields(json!({
        "type": "message", "role": role, "content": content, "interrupted": false, "extra": {},
        "metrics": {},
    }))
}

/// A call as LiveKit has it.
pub(crate) fn call_of(call_id: &str, name: &str, arguments: &str) -> Map<String, Value> {
    fields(json!({
        "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments,
        "extra": {},
    }))
}

/// A result as LiveKit has it, but for the tool's name, which is often not said.
pub(crate) fn output_of(call_id: &str, output: &str, is_error: bool) -> Map<String, Value> {
    fields(json!({
        "type": "function_call_output", "call_id": call_id, "output": output, "is_error": is_error,
        "reply_required": true,
    }))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// The status in what Pipecat writes for a tool that goes on while the conversation does.
fn async_status(content: &str) -> Option<String> {
    Some(text(&async_payload(content)?, "status").to_owned())
}

fn async_payload(content: &str) -> Option<Map<String, Value>> {
    let payload: Map<String, Value> = serde_json::from_str(content).ok()?;
    (text(&payload, "type") == "async_tool").then_some(payload)
}

/// The result of such a tool, which comes as a message of the developer.
fn final_result(message: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let payload = async_payload(message.get("content")?.as_str()?)?;
    if text(&payload, "status") != "finished" {
        return None;
    }
    let call = payload.get("tool_call_id")?.as_str()?;
    let result = payload.get("result")?.as_str()?;
    let cancelled = result.starts_with(CANCELLED);
    Some(vec![output_of(call, result, cancelled)])
}
