//! The items that Baton itself adds to a conversation, as `livekit-agents` would make them.

use std::collections::HashMap;

use livekit_protocol::agent::{
    AgentHandoff, ChatMessage, ChatRole, FunctionCallOutput, chat_context::ChatItem,
    chat_context::chat_item, chat_message,
};
use serde_json::{Value, json};

use crate::item::{Item, ItemError, LIVEKIT, Native};

/// Milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

pub(crate) struct Output {
    pub(crate) id: String,
    pub(crate) call_id: String,
    pub(crate) name: String,
    pub(crate) output: String,
    pub(crate) is_error: bool,
    pub(crate) at: UnixMillis,
}

/// The item that says that another specialist has the baton.
pub fn handoff(id: &str, from: Option<&str>, to: &str, at: UnixMillis) -> Result<Item, ItemError> {
    let mut handoff = AgentHandoff {
        id: id.to_owned(),
        old_agent_id: from.map(str::to_owned),
        new_agent_id: to.to_owned(),
        created_at: None,
    };
    let created_at = handoff.created_at.get_or_insert_default();
    (created_at.seconds, created_at.nanos) = at.split();
    let mut json = json!({
        "id": id, "type": "agent_handoff", "new_agent_id": to, "created_at": at.seconds(),
    });
    if let Some(from) = from {
        json["old_agent_id"] = from.into();
    }
    item(chat_item::Item::AgentHandoff(handoff), &json)
}

/// The item that stands for the part of the conversation that is left out, in the form in which `livekit-agents`
/// writes its own summaries.
pub fn summary(id: &str, text: &str, at: UnixMillis) -> Result<Item, ItemError> {
    let text = format!("<chat_history_summary>\n{text}\n</chat_history_summary>");
    let content = chat_message::ChatContent {
        payload: Some(chat_message::chat_content::Payload::Text(text.clone())),
    };
    let mut message = ChatMessage {
        id: id.to_owned(),
        role: ChatRole::Assistant.into(),
        content: vec![content],
        extra: HashMap::from([("is_summary".to_owned(), "True".to_owned())]),
        ..ChatMessage::default()
    };
    let created_at = message.created_at.get_or_insert_default();
    (created_at.seconds, created_at.nanos) = at.split();
    let json = json!({
        "id": id, "type": "message", "role": "assistant", "content": [text], "interrupted": false,
        "extra": {"is_summary": true}, "metrics": {}, "created_at": at.seconds(),
    });
    item(chat_item::Item::Message(message), &json)
}

pub(crate) fn output(from: &Output) -> Result<Item, ItemError> {
    let Output {
        id,
        call_id,
        name,
        output,
        is_error,
        at,
    } = from;
    let mut result = FunctionCallOutput {
        id: id.clone(),
        name: name.clone(),
        call_id: call_id.clone(),
        output: output.clone(),
        is_error: *is_error,
        created_at: None,
    };
    let created_at = result.created_at.get_or_insert_default();
    (created_at.seconds, created_at.nanos) = at.split();
    let json = json!({
        "id": id, "type": "function_call_output", "name": name, "call_id": call_id, "output": output,
        "is_error": is_error, "created_at": at.seconds(), "reply_required": true,
    });
    item(chat_item::Item::FunctionCallOutput(result), &json)
}

fn item(item: chat_item::Item, json: &Value) -> Result<Item, ItemError> {
    let native = Native {
        framework: LIVEKIT.to_owned(),
        json: json.to_string().into_bytes(),
    };
    Item::new(ChatItem { item: Some(item) }, Some(native))
}

impl UnixMillis {
    fn split(self) -> (i64, i32) {
        let nanos = (self.0 % 1000) * 1_000_000;
        (
            i64::try_from(self.0 / 1000).unwrap_or(i64::MAX),
            i32::try_from(nanos).unwrap_or(0),
        )
    }

    /// Seconds, as Python's `time.time()` gives them.
    fn seconds(self) -> f64 {
        // Exact for the next 285,000 years: below 2^53.
        self.0 as f64 / 1000.0
    }
}
