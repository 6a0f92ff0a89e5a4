//! The input items of OpenAI's Responses.

use serde_json::{Map, Value, json};

use crate::chat::{call_of, message_of, output_of, read_content, words};
use crate::convert::Shape;
use crate::grouping::{Group, one_by_one};
use crate::livekit::{LivekitItem, Part, Type, text};

pub(crate) struct Responses;

impl Shape for Responses {
    fn group(&self, items: &[LivekitItem]) -> Vec<Group> {
        one_by_one(items)
    }

    fn render(&self, items: &[&LivekitItem]) -> Value {
        let Some(item) = items.first() else {
            return Value::Null;
        };
        match item.kind() {
            Type::Call => json!({
                "type": "function_call", "call_id": item.text("call_id"), "name": item.text("name"),
                "arguments": item.text("arguments"),
            }),
            Type::Output => json!({
                "type": "function_call_output", "call_id": item.text("call_id"),
                "output": item.text("output"),
            }),
            Type::Message | Type::Handoff | Type::ConfigUpdate => {
                json!({"type": "message", "role": item.text("role"), "content": content(item)})
            }
        }
    }

    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>> {
        let message = message.as_object()?;
        let mut fields = match text(message, "type") {
            "function_call" => call_of(
                message.get("call_id")?.as_str()?,
                message.get("name")?.as_str()?,
                text(message, "arguments"),
            ),
            "function_call_output" => {
                let output = words(message.get("output"));
                output_of(message.get("call_id")?.as_str()?, &output, false)
            }
            "message" | "" => {
                let role = text(message, "role");
                if !["system", "developer", "user", "assistant"].contains(&role) {
                    return None;
                }
                message_of(role, read_content(message.get("content")))
            }
            _ => return None,
        };
        for name in ["id", "name"] {
            if let Some(Value::String(own)) = message.get(name) {
                fields.insert(name.to_owned(), own.as_str().into());
            }
        }
        if fields.get("type") == Some(&json!("message")) {
            fields.remove("name");
        }
        Some(vec![fields])
    }
}

/// A string where there are only words, which any role may have. Only a user shows images.
fn content(item: &LivekitItem) -> Value {
    if item.text("role") != "user" || !item.has_images() {
        return item.words().join("\n").into();
    }
    let written = item.is_written();
    item.parts()
        .filter_map(|part| match part {
            Part::Text(text) => Some(json!({"type": "input_text", "text": text})),
            Part::Image { url, detail } => {
                Some(json!({"type": "input_image", "image_url": url, "detail": detail}))
            }
            Part::Heard(text) if !written => Some(json!({"type": "input_text", "text": text})),
            Part::Heard(_) | Part::Other => None,
        })
        .collect()
}
