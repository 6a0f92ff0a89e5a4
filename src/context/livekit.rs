//! LiveKit's own items as JSON: what `livekit-agents` for Python writes with all that it has (`model_dump`, no
//! exclusions), which every conversion starts from and comes back to.

use std::collections::HashMap;
use std::fmt;

use livekit_protocol::agent::chat_context::{ChatItem, chat_item};
use livekit_protocol::agent::{
    AgentConfigUpdate, AgentHandoff, ChatMessage, ChatRole, FunctionCall, FunctionCallOutput,
    MetricsReport, chat_message,
};
use serde_json::{Map, Value, json};

use crate::item::{Item, ItemError, LIVEKIT, Native};

/// An item of a LiveKit conversation as JSON: an object with a known `type`, an `id`, and what its type cannot do
/// without. Whatever else it has is kept.
#[derive(Clone, PartialEq)]
pub struct LivekitItem(Map<String, Value>);

/// Why JSON is no item.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoLivekitItem {
    /// It is no object.
    #[error("an item is no JSON object")]
    NoObject,
    /// A field that its type needs is missing, or is something else.
    #[error("an item has no valid {0:?}")]
    Field(&'static str),
}

/// What an item is, in its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Message,
    Call,
    Output,
    Handoff,
    ConfigUpdate,
}

/// A part of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Image {
        url: &'a str,
        detail: &'a str,
    },
    /// Sound, by its words.
    Heard(&'a str),
    Other,
}

impl LivekitItem {
    /// Checks that a value is an item.
    pub fn new(value: Value) -> Result<Self, NoLivekitItem> {
        let Value::Object(fields) = value else {
            return Err(NoLivekitItem::NoObject);
        };
        let text = |name: &'static str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) | None => Err(NoLivekitItem::Field(name)),
        };
        text("id").and_then(|id| {
            (!id.is_empty())
                .then_some(())
                .ok_or(NoLivekitItem::Field("id"))
        })?;
        match type_of(&fields).ok_or(NoLivekitItem::Field("type"))? {
            Type::Message => {
                role(text("role")?).ok_or(NoLivekitItem::Field("role"))?;
                if !fields.get("content").is_some_and(Value::is_array) {
                    return Err(NoLivekitItem::Field("content"));
                }
            }
            Type::Call => {
                text("call_id")?;
                text("name")?;
                text("arguments")?;
            }
            Type::Output => {
                text("call_id")?;
                text("output")?;
            }
            Type::Handoff => {
                text("new_agent_id")?;
            }
            Type::ConfigUpdate => {}
        }
        Ok(Self(fields))
    }

    /// The item as JSON.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The item as JSON.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The item's id.
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// Whether it is the call of a tool.
    pub fn is_call(&self) -> bool {
        self.kind() == Type::Call
    }

    pub(crate) fn kind(&self) -> Type {
        // Checked when it was made.
        type_of(&self.0).unwrap_or(Type::ConfigUpdate)
    }

    /// A field that is a string; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        text(&self.0, name)
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let content = self.0.get("content").and_then(Value::as_array);
        content.into_iter().flatten().map(|part| match part {
            Value::String(text) => Part::Text(text),
            Value::Object(fields) => match text(fields, "type") {
                "image_content" if !text(fields, "image").is_empty() => Part::Image {
                    url: text(fields, "image"),
                    detail: match text(fields, "inference_detail") {
                        "" => "auto",
                        detail => detail,
                    },
                },
                "audio_content" if !text(fields, "transcript").is_empty() => {
                    Part::Heard(text(fields, "transcript"))
                }
                _ => Part::Other,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Part::Other,
        })
    }

    /// All that is said in words, one piece per part; what was heard counts if nothing is written.
    pub(crate) fn words(&self) -> Vec<&str> {
        let written: Vec<&str> = self
            .parts()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text),
                Part::Image { .. } | Part::Heard(_) | Part::Other => None,
            })
            .collect();
        if !written.is_empty() {
            return written;
        }
        self.parts()
            .filter_map(|part| match part {
                Part::Heard(text) => Some(text),
                Part::Text(_) | Part::Image { .. } | Part::Other => None,
            })
            .collect()
    }

    /// Whether it has words of its own, so that what was heard is left out.
    pub(crate) fn is_written(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::Text(_)))
    }

    pub(crate) fn has_images(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::Image { .. }))
    }

    /// Tool calls with the same one came out of one answer of a model.
    pub(crate) fn group(&self) -> &str {
        let id = self.id();
        match self.text("group_id") {
            "" => id.split('/').next().unwrap_or(id),
            group => group,
        }
    }
}

/// What was said does not belong into logs.
impl fmt::Debug for LivekitItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LivekitItem({} {:?})", self.text("type"), self.id())
    }
}

impl TryFrom<&Item> for LivekitItem {
    type Error = NoLivekitItem;

    /// LiveKit's own JSON, if the item has it; else what its protobuf says, which knows no images, no sound, and only
    /// strings in `extra`.
    fn try_from(item: &Item) -> Result<Self, Self::Error> {
        let own = item
            .native()
            .filter(|native| native.framework == LIVEKIT)
            .and_then(|native| serde_json::from_slice(&native.json).ok())
            .and_then(|json| Self::new(json).ok())
            .filter(|own| own.id() == item.id().as_str());
        own.map_or_else(|| Self::new(decoded(item.chat_item())), Ok)
    }
}

impl TryFrom<&LivekitItem> for Item {
    type Error = ItemError;

    /// The item with its protobuf, as `livekit-agents` encodes it, and its JSON.
    fn try_from(item: &LivekitItem) -> Result<Self, Self::Error> {
        let native = Native {
            framework: LIVEKIT.to_owned(),
            json: Value::Object(item.0.clone()).to_string().into_bytes(),
        };
        Self::new(encoded(item), Some(native))
    }
}

pub(crate) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn type_of(fields: &Map<String, Value>) -> Option<Type> {
    Some(match text(fields, "type") {
        "message" => Type::Message,
        "function_call" => Type::Call,
        "function_call_output" => Type::Output,
        "agent_handoff" => Type::Handoff,
        "agent_config_update" => Type::ConfigUpdate,
        _ => return None,
    })
}

fn role(name: &str) -> Option<ChatRole> {
    Some(match name {
        "developer" => ChatRole::Developer,
        "system" => ChatRole::System,
        "user" => ChatRole::User,
        "assistant" => ChatRole::Assistant,
        _ => return None,
    })
}

/// Sets a timestamp, whose type has no name here, from seconds.
macro_rules! set_time {
    ($slot:expr, $seconds:expr) => {
        if let Some(seconds) = $seconds {
            let time = $slot.get_or_insert_default();
            (time.seconds, time.nanos) = split(seconds);
        }
    };
}

/// The seconds of a timestamp.
macro_rules! seconds {
    ($slot:expr) => {
        $slot
            .as_ref()
            .map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
    };
}

fn encoded(item: &LivekitItem) -> ChatItem {
    let own = |name: &str| item.text(name).to_owned();
    let created_at = item.0.get("created_at").and_then(Value::as_f64);
    let list = |name: &str| -> Vec<String> {
        let list = item.0.get(name).and_then(Value::as_array);
        let names = list.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    };
    let item = match item.kind() {
        Type::Message => {
            let content = item.parts().filter_map(|part| match part {
                Part::Text(text) => Some(chat_message::ChatContent {
                    payload: Some(chat_message::chat_content::Payload::Text(text.to_owned())),
                }),
                Part::Image { .. } | Part::Heard(_) | Part::Other => None,
            });
            let mut message = ChatMessage {
                id: own("id"),
                role: role(item.text("role")).unwrap_or(ChatRole::User).into(),
                content: content.collect(),
                interrupted: item.flag("interrupted"),
                transcript_confidence: item.0.get("transcript_confidence").and_then(Value::as_f64),
                extra: extra(item),
                metrics: item
                    .0
                    .get("metrics")
                    .and_then(Value::as_object)
                    .map(metrics),
                created_at: None,
            };
            set_time!(message.created_at, created_at);
            chat_item::Item::Message(message)
        }
        Type::Call => {
            let mut call = FunctionCall {
                id: own("id"),
                call_id: own("call_id"),
                arguments: own("arguments"),
                name: own("name"),
                created_at: None,
                extra: extra(item),
            };
            set_time!(call.created_at, created_at);
            chat_item::Item::FunctionCall(call)
        }
        Type::Output => {
            let mut output = FunctionCallOutput {
                id: own("id"),
                name: own("name"),
                call_id: own("call_id"),
                output: own("output"),
                is_error: item.flag("is_error"),
                created_at: None,
            };
            set_time!(output.created_at, created_at);
            chat_item::Item::FunctionCallOutput(output)
        }
        Type::Handoff => {
            let mut handoff = AgentHandoff {
                id: own("id"),
                old_agent_id: item
                    .0
                    .get("old_agent_id")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                new_agent_id: own("new_agent_id"),
                created_at: None,
            };
            set_time!(handoff.created_at, created_at);
            chat_item::Item::AgentHandoff(handoff)
        }
        Type::ConfigUpdate => {
            let mut update = AgentConfigUpdate {
                id: own("id"),
                instructions: item
                    .0
                    .get("instructions")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                tools_added: list("tools_added"),
                tools_removed: list("tools_removed"),
                created_at: None,
            };
            set_time!(update.created_at, created_at);
            chat_item::Item::AgentConfigUpdate(update)
        }
    };
    ChatItem { item: Some(item) }
}

/// `extra` as the protobuf has it: strings only.
fn extra(item: &LivekitItem) -> HashMap<String, String> {
    let extra = item.0.get("extra").and_then(Value::as_object);
    let fields = extra.into_iter().flatten();
    fields
        .map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text)
        })
        .collect()
}

fn metrics(fields: &Map<String, Value>) -> MetricsReport {
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let mut report = MetricsReport {
        started_speaking_at: None,
        stopped_speaking_at: None,
        transcription_delay: number("transcription_delay"),
        end_of_turn_delay: number("end_of_turn_delay"),
        on_user_turn_completed_delay: number("on_user_turn_completed_delay"),
        llm_node_ttft: number("llm_node_ttft"),
        tts_node_ttfb: number("tts_node_ttfb"),
        e2e_latency: number("e2e_latency"),
        llm_node_tps: number("llm_node_tps"),
        llm_node_ttfs: number("llm_node_ttfs"),
    };
    set_time!(report.started_speaking_at, number("started_speaking_at"));
    set_time!(report.stopped_speaking_at, number("stopped_speaking_at"));
    report
}

fn decoded(item: &ChatItem) -> Value {
    let (mut json, created_at) = match &item.item {
        None => return Value::Null,
        Some(chat_item::Item::Message(message)) => {
            let content: Vec<&str> = message
                .content
                .iter()
                .filter_map(|part| part.payload.as_ref())
                .map(|chat_message::chat_content::Payload::Text(text)| text.as_str())
                .collect();
            let role = message.role().as_str_name().to_lowercase();
            let mut json = json!({
                "id": message.id, "type": "message", "role": role, "content": content,
                "interrupted": message.interrupted, "extra": message.extra,
                "metrics": message.metrics.as_ref().map_or_else(|| json!({}), metrics_json),
            });
            if let Some(confidence) = message.transcript_confidence {
                json["transcript_confidence"] = confidence.into();
            }
            (json, seconds!(message.created_at))
        }
        Some(chat_item::Item::FunctionCall(call)) => (
            json!({
                "id": call.id, "type": "function_call", "call_id": call.call_id,
                "arguments": call.arguments, "name": call.name, "extra": call.extra,
            }),
            seconds!(call.created_at),
        ),
        Some(chat_item::Item::FunctionCallOutput(output)) => (
            json!({
                "id": output.id, "type": "function_call_output", "name": output.name,
                "call_id": output.call_id, "output": output.output, "is_error": output.is_error,
                "reply_required": true,
            }),
            seconds!(output.created_at),
        ),
        Some(chat_item::Item::AgentHandoff(handoff)) => {
            let mut json = json!({
                "id": handoff.id, "type": "agent_handoff", "new_agent_id": handoff.new_agent_id,
            });
            if let Some(old) = &handoff.old_agent_id {
                json["old_agent_id"] = old.as_str().into();
            }
            (json, seconds!(handoff.created_at))
        }
        Some(chat_item::Item::AgentConfigUpdate(update)) => {
            let mut json = json!({"id": update.id, "type": "agent_config_update"});
            if let Some(instructions) = &update.instructions {
                json["instructions"] = instructions.as_str().into();
            }
            for (name, list) in [
                ("tools_added", &update.tools_added),
                ("tools_removed", &update.tools_removed),
            ] {
                if !list.is_empty() {
                    json[name] = json!(list);
                }
            }
            (json, seconds!(update.created_at))
        }
    };
    if let Some(created_at) = created_at {
        json["created_at"] = created_at.into();
    }
    json
}

fn metrics_json(report: &MetricsReport) -> Value {
    let numbers = [
        ("started_speaking_at", seconds!(report.started_speaking_at)),
        ("stopped_speaking_at", seconds!(report.stopped_speaking_at)),
        ("transcription_delay", report.transcription_delay),
        ("end_of_turn_delay", report.end_of_turn_delay),
        (
            "on_user_turn_completed_delay",
            report.on_user_turn_completed_delay,
        ),
        ("llm_node_ttft", report.llm_node_ttft),
        ("tts_node_ttfb", report.tts_node_ttfb),
        ("e2e_latency", report.e2e_latency),
        ("llm_node_tps", report.llm_node_tps),
        ("llm_node_ttfs", report.llm_node_ttfs),
    ];
    let set = numbers
        .into_iter()
        .filter_map(|(name, number)| Some((name.to_owned(), number?.into())));
    Value::Object(set.collect())
}

/// Whole seconds, and the nanoseconds that follow.
fn split(seconds: f64) -> (i64, i32) {
    let whole = seconds.floor();
    // Both casts saturate; the second is below 10^9.
    (whole as i64, ((seconds - whole) * 1e9) as i32)
}
