//! LangChain's messages, as `messages_to_dict` writes them and LangGraph's checkpointers store them.

use serde_json::{Map, Value, json};

use crate::chat::{call_of, message_of, output_of, read_content, words};
use crate::convert::Shape;
use crate::grouping::{Group, by_answer};
use crate::livekit::{LivekitItem, Part, Type, text};

pub(crate) struct Langchain;

/// How LangChain itself marks a system message that OpenAI calls a developer's.
const ROLE: &str = "__openai_role__";

impl Shape for Langchain {
    fn group(&self, items: &[LivekitItem]) -> Vec<Group> {
        by_answer(items)
    }

    fn render(&self, items: &[&LivekitItem]) -> Value {
        let mut said = None;
        let (mut calls, mut invalid) = (Vec::new(), Vec::new());
        for item in items {
            match item.kind() {
                Type::Message => said = Some(*item),
                Type::Call => match serde_json::from_str(item.text("arguments")) {
                    Ok(Value::Object(arguments)) => calls.push(json!({
                        "name": item.text("name"), "args": arguments, "id": item.text("call_id"),
                        "type": "tool_call",
                    })),
                    // What the model wrote is no JSON object: LangChain keeps it as it is.
                    Ok(_) | Err(_) => invalid.push(json!({
                        "name": item.text("name"), "args": item.text("arguments"),
                        "id": item.text("call_id"), "error": null, "type": "invalid_tool_call",
                    })),
                },
                Type::Output => return result(item),
                Type::Handoff | Type::ConfigUpdate => {}
            }
        }
        let content = said.map_or_else(|| "".into(), content);
        let id = said.or(items.first().copied()).map(LivekitItem::id);
        let mut data = json!({
            "content": content, "additional_kwargs": {}, "response_metadata": {}, "name": null,
            "id": id,
        });
        let kind = match said.map_or("assistant", |said| said.text("role")) {
            "user" => "human",
            "assistant" => {
                data["tool_calls"] = calls.into();
                data["invalid_tool_calls"] = invalid.into();
                data["usage_metadata"] = Value::Null;
                "ai"
            }
            role => {
                if role == "developer" {
                    data["additional_kwargs"] = json!({ROLE: role});
                }
                "system"
            }
        };
        data["type"] = kind.into();
        json!({"type": kind, "data": data})
    }

    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>> {
        let data = message.get("data")?.as_object()?;
        let kind = message.get("type")?.as_str()?;
        let role = match kind.strip_suffix("MessageChunk").unwrap_or(kind) {
            "human" | "Human" => "user",
            "ai" | "AI" => "assistant",
            "system" | "System" => match data.get("additional_kwargs") {
                Some(Value::Object(more)) if text(more, ROLE) == "developer" => "developer",
                Some(_) | None => "system",
            },
            "tool" | "Tool" => return read_result(data),
            "chat" | "Chat" => match text(data, "role") {
                role @ ("system" | "developer" | "user" | "assistant") => role,
                _ => return None,
            },
            _ => return None,
        };
        let calls = read_calls(data);
        let content = read_content(data.get("content"));
        let mut items = Vec::new();
        if !content.is_empty() || calls.is_empty() {
            items.push(message_of(role, content));
        }
        items.extend(calls);
        if let (Some(first), Some(Value::String(id))) = (items.first_mut(), data.get("id")) {
            first.insert("id".to_owned(), id.as_str().into());
        }
        Some(items)
    }
}

fn result(output: &LivekitItem) -> Value {
    let name = output.text("name");
    let status = match output.flag("is_error") {
        true => "error",
        false => "success",
    };
    json!({"type": "tool", "data": {
        "content": output.text("output"), "additional_kwargs": {}, "response_metadata": {},
        "type": "tool", "name": (!name.is_empty()).then_some(name), "id": output.id(),
        "tool_call_id": output.text("call_id"), "artifact": null, "status": status,
    }})
}

fn read_result(data: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let call = data.get("tool_call_id")?.as_str()?;
    let is_error = text(data, "status") == "error";
    let mut fields = output_of(call, &words(data.get("content")), is_error);
    for name in ["id", "name"] {
        if let Some(Value::String(own)) = data.get(name) {
            fields.insert(name.to_owned(), own.as_str().into());
        }
    }
    Some(vec![fields])
}

fn read_calls(data: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let list = |name: &str| {
        data.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let valid = list("tool_calls").filter_map(|call| {
        let arguments = call.get("args")?.as_object()?;
        let arguments = Value::Object(arguments.clone()).to_string();
        Some(call_of(
            call.get("id")?.as_str()?,
            call.get("name")?.as_str()?,
            &arguments,
        ))
    });
    let invalid = list("invalid_tool_calls").filter_map(|call| {
        let arguments = call.get("args").and_then(Value::as_str).unwrap_or_default();
        Some(call_of(
            call.get("id")?.as_str()?,
            call.get("name")?.as_str()?,
            arguments,
        ))
    });
    valid.chain(invalid).collect()
}

/// A string if there is one piece of words and nothing else, so that pieces stay pieces.
fn content(item: &LivekitItem) -> Value {
    let images = item.text("role") == "user" && item.has_images();
    let words = item.words();
    match words.as_slice() {
        [] if !images => "".into(),
        [one] if !images => (*one).into(),
        _ => {
            let written = item.is_written();
            item.parts()
                .filter_map(|part| match part {
                    Part::Text(text) => Some(json!({"type": "text", "text": text})),
                    Part::Heard(text) if !written => Some(json!({"type": "text", "text": text})),
                    Part::Image { url, detail } if images => Some(
                        json!({"type": "image_url", "image_url": {"url": url, "detail": detail}}),
                    ),
                    Part::Image { .. } | Part::Heard(_) | Part::Other => None,
                })
                .collect()
        }
    }
}
