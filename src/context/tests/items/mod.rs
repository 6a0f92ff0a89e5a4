//! Items to test with, as `livekit-agents` would send them.
#![allow(dead_code, reason = "every test takes what it needs")]

use context::{ChatItem, Item, Kind, LIVEKIT, Native};
use livekit_protocol::agent::chat_context::chat_item;
use livekit_protocol::agent::{
    AgentConfigUpdate, AgentHandoff, ChatMessage, ChatRole, FunctionCall, FunctionCallOutput,
    chat_message,
};
use serde_json::{Value, json};

pub(crate) fn message(id: &str, role: &str, text: &str) -> Item {
    let payload = chat_message::chat_content::Payload::Text(text.into());
    let message = ChatMessage {
        id: id.into(),
        role: ChatRole::from_str_name(&role.to_uppercase())
            .expect("a role")
            .into(),
        content: vec![chat_message::ChatContent {
            payload: Some(payload),
        }],
        ..ChatMessage::default()
    };
    let json = json!({"id": id, "type": "message", "role": role, "content": [text], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1.5});
    build(chat_item::Item::Message(message), json)
}

pub(crate) fn user(id: &str, text: &str) -> Item {
    message(id, "user", text)
}

pub(crate) fn assistant(id: &str, text: &str) -> Item {
    message(id, "assistant", text)
}

pub(crate) fn call(id: &str, call_id: &str, tool: &str, arguments: &str) -> Item {
    let call = FunctionCall {
        id: id.into(),
        call_id: call_id.into(),
        arguments: arguments.into(),
        name: tool.into(),
        ..FunctionCall::default()
    };
    let json = json!({"id": id, "type": "function_call", "call_id": call_id, "arguments": arguments, "name": tool, "extra": {}, "created_at": 1.5});
    build(chat_item::Item::FunctionCall(call), json)
}

pub(crate) fn output(id: &str, call_id: &str, tool: &str, text: &str) -> Item {
    let output = FunctionCallOutput {
        id: id.into(),
        name: tool.into(),
        call_id: call_id.into(),
        output: text.into(),
        ..FunctionCallOutput::default()
    };
    let json = json!({"id": id, "type": "function_call_output", "name": tool, "call_id": call_id, "output": text, "is_error": false, "created_at": 1.5, "reply_required": true});
    build(chat_item::Item::FunctionCallOutput(output), json)
}

pub(crate) fn config_update(id: &str, instructions: &str) -> Item {
    let update = AgentConfigUpdate {
        id: id.into(),
        instructions: Some(instructions.into()),
        ..AgentConfigUpdate::default()
    };
    let json = json!({"id": id, "type": "agent_config_update", "instructions": instructions, "created_at": 1.5});
    build(chat_item::Item::AgentConfigUpdate(update), json)
}

pub(crate) fn handoff(id: &str, to: &str) -> Item {
    let handoff = AgentHandoff {
        id: id.into(),
        new_agent_id: to.into(),
        ..AgentHandoff::default()
    };
    let json = json!({"id": id, "type": "agent_handoff", "new_agent_id": to, "created_at": 1.5});
    build(chat_item::Item::AgentHandoff(handoff), json)
}

/// The same item with another framework's form beside it.
pub(crate) fn beside(item: &Item, framework: &str, json: Value) -> Item {
    let native = Native {
        framework: framework.into(),
        json: json.to_string().into_bytes(),
    };
    Item::new(item.chat_item().clone(), Some(native)).expect("an item")
}

pub(crate) fn native(item: &Item) -> Value {
    let native = item.native().expect("the framework's form");
    serde_json::from_slice(&native.json).expect("JSON")
}

pub(crate) fn ids<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<&'a str> {
    items.into_iter().map(|item| item.id().as_str()).collect()
}

/// Panics if a call has no result right after its like, or a result no call before it.
pub(crate) fn assert_paired<'a>(items: impl IntoIterator<Item = &'a Item>) {
    let mut open = Vec::new();
    for item in items {
        match item.kind() {
            Kind::Call { call, .. } => open.push(call.clone()),
            Kind::Output { call } => {
                let at = open.iter().rposition(|id| id == call);
                open.remove(at.unwrap_or_else(|| panic!("result {} has no call", item.id())));
            }
            Kind::Message { .. } | Kind::Handoff | Kind::ConfigUpdate => {}
        }
    }
    assert!(open.is_empty(), "calls without a result: {open:?}");
}

fn build(item: chat_item::Item, json: Value) -> Item {
    let native = Native {
        framework: LIVEKIT.into(),
        json: json.to_string().into_bytes(),
    };
    Item::new(ChatItem { item: Some(item) }, Some(native)).expect("an item")
}
