//! Items of the conversation, as `livekit-agents` would make them.

use std::time::{SystemTime, UNIX_EPOCH};

use context::{Item, LivekitItem};
use serde_json::{Value, json};

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// The caller.
    Caller,
    /// The specialist.
    Specialist,
}

/// What was said.
pub fn message(id: &str, who: Speaks, text: &str) -> Item {
    let role = match who {
        Speaks::Caller => "user",
        Speaks::Specialist => "assistant",
    };
    build(json!({
        "id": id, "type": "message", "role": role, "content": [text], "interrupted": false,
        "extra": {}, "metrics": {}, "created_at": now(),
    }))
}

/// What was heard of a message before the caller interrupted it; it has the message's id.
pub fn interrupted(id: &str, heard: &str) -> Item {
    build(json!({
        "id": id, "type": "message", "role": "assistant", "content": [heard], "interrupted": true,
        "extra": {}, "metrics": {}, "created_at": now(),
    }))
}

/// A tool is called. `call_id` is the model's, which the result repeats; `arguments` is JSON.
pub fn tool_call(id: &str, call_id: &str, tool: &str, arguments: &str) -> Item {
    build(json!({
        "id": id, "type": "function_call", "call_id": call_id, "name": tool,
        "arguments": arguments, "extra": {}, "created_at": now(),
    }))
}

/// What came of a tool call.
pub fn tool_result(id: &str, call_id: &str, tool: &str, output: &str, is_error: bool) -> Item {
    build(json!({
        "id": id, "type": "function_call_output", "call_id": call_id, "name": tool,
        "output": output, "is_error": is_error, "created_at": now(), "reply_required": true,
    }))
}

/// The words of a message; empty for other items.
pub fn text(item: &Item) -> String {
    let Ok(item) = LivekitItem::try_from(item) else {
        return String::new();
    };
    let parts = item.fields().get("content").and_then(Value::as_array);
    let words = parts.into_iter().flatten().filter_map(Value::as_str);
    words.collect()
}

fn now() -> f64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs_f64()
}

/// An empty id, or one that is too long, is cut to what an item can have: Baton would take no other.
fn build(mut json: Value) -> Item {
    for name in ["id", "call_id"] {
        if let Some(Value::String(id)) = json.get_mut(name) {
            let mut end = id.len().min(context::ID_BYTES_MAX);
            while !id.is_char_boundary(end) {
                end -= 1;
            }
            id.truncate(end);
            if id.is_empty() {
                id.push('_');
            }
        }
    }
    let item = LivekitItem::new(json).expect("all that an item of its type needs is there");
    Item::try_from(&item).expect("ids are neither empty nor too long, and it is of a known type")
}
