//! OpenAI's Realtime: one `conversation.item.create` event for each item.
//!
//! Ids go along where they fit: the service takes up to 32 characters. Images go along as data, not by address.

use serde_json::{Map, Value, json};

use crate::chat::{call_of, message_of, output_of, read_content};
use crate::convert::Shape;
use crate::grouping::{Group, one_by_one};
use crate::livekit::{LivekitItem, Part, Type, text};

pub(crate) struct Realtime;

/// The longest id of an item, in characters.
const ID_MAX: usize = 32;

impl Shape for Realtime {
    fn group(&self, items: &[LivekitItem]) -> Vec<Group> {
        let mut groups = one_by_one(items);
        // The service refuses a message that says nothing.
        groups.retain(|group| match group {
            Group::Items(indexes) => indexes.iter().all(|index| {
                let item = &items[*index];
                item.kind() != Type::Message || !content(item).is_empty()
            }),
            Group::Running(_) => true,
        });
        groups
    }

    fn render(&self, items: &[&LivekitItem]) -> Value {
        let Some(item) = items.first() else {
            return Value::Null;
        };
        let mut json = match item.kind() {
            Type::Call => json!({
                "type": "function_call", "call_id": item.text("call_id"), "name": item.text("name"),
                "arguments": item.text("arguments"),
            }),
            Type::Output => json!({
                "type": "function_call_output", "call_id": item.text("call_id"),
                "output": item.text("output"),
            }),
            Type::Message | Type::Handoff | Type::ConfigUpdate => {
                let status = match item.flag("interrupted") {
                    true => "incomplete",
                    false => "completed",
                };
                json!({
                    "type": "message", "role": role(item), "status": status,
                    "content": content(item),
                })
            }
        };
        let id = item.id();
        if id.chars().count() <= ID_MAX {
            json["id"] = id.into();
        }
        json!({"type": "conversation.item.create", "item": json})
    }

    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>> {
        let item = message.get("item").unwrap_or(message).as_object()?;
        let mut fields = match text(item, "type") {
            "function_call" => call_of(
                item.get("call_id")?.as_str()?,
                item.get("name")?.as_str()?,
                text(item, "arguments"),
            ),
            "function_call_output" => output_of(
                item.get("call_id")?.as_str()?,
                item.get("output")?.as_str()?,
                false,
            ),
            "message" => {
                let role = text(item, "role");
                if !["system", "user", "assistant"].contains(&role) {
                    return None;
                }
                let mut fields = message_of(role, read_content(item.get("content")));
                let interrupted = text(item, "status") == "incomplete";
                fields.insert("interrupted".to_owned(), interrupted.into());
                fields
            }
            _ => return None,
        };
        if let Some(Value::String(id)) = item.get("id") {
            fields.insert("id".to_owned(), id.as_str().into());
        }
        Some(vec![fields])
    }
}

fn role(item: &LivekitItem) -> &str {
    match item.text("role") {
        "developer" => "system",
        role => role,
    }
}

fn content(item: &LivekitItem) -> Vec<Value> {
    let kind = match role(item) {
        "assistant" => "output_text",
        _ => "input_text",
    };
    let written = item.is_written();
    item.parts()
        .filter_map(|part| match part {
            Part::Text(text) => Some(json!({"type": kind, "text": text})),
            Part::Heard(text) if !written => Some(json!({"type": kind, "text": text})),
            Part::Image { url, detail } if role(item) == "user" && url.starts_with("data:") => {
                Some(json!({"type": "input_image", "image_url": url, "detail": detail}))
            }
            Part::Image { .. } | Part::Heard(_) | Part::Other => None,
        })
        .collect()
}
