//! The forms of a conversation by the names that a user gives them, and what their files look like.

use clap::ValueEnum;
use context::Format;
use serde_json::{Value, json};

use super::Failure;

/// A form of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The portable handoff packet as JSON; read as protobuf too
    Packet,
    /// The portable handoff packet as protobuf
    PacketProtobuf,
    /// `ChatContext.to_dict` of livekit-agents for Python
    Livekit,
    /// `ChatContext.toJSON` of @livekit/agents
    LivekitJs,
    /// The `messages` of OpenAI's Chat Completions
    OpenaiChat,
    /// The `input` of OpenAI's Responses
    OpenaiResponses,
    /// `conversation.item.create` events of OpenAI's Realtime
    OpenaiRealtime,
    /// The messages of Pipecat's `LLMContext`
    Pipecat,
    /// LangChain's `messages_to_dict`, as LangGraph stores them
    Langchain,
    /// CrewAI's messages
    Crewai,
    /// A finished call as the IETF's vCon; only written
    Vcon,
}

/// How a form is read.
pub(super) enum Input {
    Packet,
    /// LiveKit's items, as an array or under one of these keys.
    Items(&'static [&'static str]),
    /// Messages, as an array or under one of these keys.
    Messages(Format, &'static [&'static str]),
}

impl Form {
    /// The forms that can be read.
    pub(super) const READABLE: [Self; 9] = [
        Self::Packet,
        Self::Livekit,
        Self::LivekitJs,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiRealtime,
        Self::Pipecat,
        Self::Langchain,
        Self::Crewai,
    ];

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::PacketProtobuf => "packet-protobuf",
            Self::Livekit => "livekit",
            Self::LivekitJs => "livekit-js",
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::OpenaiRealtime => "openai-realtime",
            Self::Pipecat => "pipecat",
            Self::Langchain => "langchain",
            Self::Crewai => "crewai",
            Self::Vcon => "vcon",
        }
    }

    /// The converter, if it has one.
    pub(super) fn messages(self) -> Option<Format> {
        match self {
            Self::Packet | Self::PacketProtobuf | Self::Livekit | Self::Vcon => None,
            Self::LivekitJs => Some(Format::LivekitJs),
            Self::OpenaiChat => Some(Format::OpenaiChat),
            Self::OpenaiResponses => Some(Format::OpenaiResponses),
            Self::OpenaiRealtime => Some(Format::OpenaiRealtime),
            Self::Pipecat => Some(Format::Pipecat),
            Self::Langchain => Some(Format::Langchain),
            Self::Crewai => Some(Format::Crewai),
        }
    }

    pub(super) fn input(self) -> Input {
        match self {
            // Only written, as the command line sees to.
            Self::Packet | Self::PacketProtobuf | Self::Vcon => Input::Packet,
            Self::Livekit => Input::Items(&["items"]),
            Self::LivekitJs => Input::Messages(Format::LivekitJs, &["items"]),
            Self::OpenaiChat => Input::Messages(Format::OpenaiChat, &["messages"]),
            Self::OpenaiResponses => Input::Messages(Format::OpenaiResponses, &["input", "items"]),
            Self::OpenaiRealtime => Input::Messages(Format::OpenaiRealtime, &["events", "items"]),
            Self::Pipecat => Input::Messages(Format::Pipecat, &["messages"]),
            Self::Langchain => Input::Messages(Format::Langchain, &["messages"]),
            Self::Crewai => Input::Messages(Format::Crewai, &["messages"]),
        }
    }

    /// Messages as the form's own reader wants them.
    pub(super) fn wrapped(self, messages: Vec<Value>) -> Value {
        match self {
            Self::LivekitJs => json!({"items": messages}),
            Self::Packet
            | Self::PacketProtobuf
            | Self::Livekit
            | Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::OpenaiRealtime
            | Self::Pipecat
            | Self::Langchain
            | Self::Crewai
            | Self::Vcon => Value::Array(messages),
        }
    }
}

/// The messages in a file: an array, or an object with one under one of these keys.
pub(super) fn messages(
    bytes: &[u8],
    place: &str,
    form: &'static str,
    keys: &[&str],
) -> Result<Vec<Value>, Failure> {
    let value = serde_json::from_slice(bytes).map_err(|source| Failure::NoJson {
        place: place.to_owned(),
        source,
    })?;
    let found = match value {
        Value::Array(messages) => return Ok(messages),
        Value::Object(mut fields) => keys.iter().find_map(|key| fields.remove(*key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    match found {
        Some(Value::Array(messages)) => Ok(messages),
        Some(_) | None => Err(Failure::NoMessages {
            place: place.to_owned(),
            form,
            keys: keys
                .iter()
                .map(|key| format!("`{key}`"))
                .collect::<Vec<_>>()
                .join(" or "),
        }),
    }
}
