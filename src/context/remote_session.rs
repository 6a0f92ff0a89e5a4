//! The remote protocol of LiveKit Agents' sessions, as far as it serves a call whose agent knows nothing of Baton: its
//! history, what is added to it, and whether it hears and sounds.
//!
//! Each message is an `AgentSessionMessage`, and travels as a byte stream on [`REMOTE_SESSION_TOPIC`]. Events go to
//! everybody in the room; messages of kinds that are of no concern here are read as [`SessionMessage::Other`].

use livekit_protocol::agent::agent_session_event::Event;
use livekit_protocol::agent::agent_session_message::Message;
use livekit_protocol::agent::chat_context::ChatItem;
use livekit_protocol::agent::session_request::{
    GetChatHistory, Ping, Request, UpdateIo, update_io,
};
use livekit_protocol::agent::session_response::Response;
use livekit_protocol::agent::{AgentSessionMessage, SessionRequest as WireRequest};
use prost::Message as _;

use crate::exchange::Incoming;
use crate::item::Item;

/// The topic of the byte streams.
pub const REMOTE_SESSION_TOPIC: &str = "lk.agent.session";

/// What is asked of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRequest {
    /// A sign of life.
    Ping,
    /// All items of its history.
    History,
    /// Whether it hears and sounds; `None` leaves it as it is.
    Audio {
        /// Whether it hears.
        input: Option<bool>,
        /// Whether it sounds.
        output: Option<bool>,
    },
}

/// What a session says.
#[derive(Clone, Debug)]
pub enum SessionMessage {
    /// An answer.
    Answer {
        /// Which request it answers.
        request: String,
        /// Its history, if that was asked for; items of unknown kinds are left out.
        items: Vec<Incoming>,
        /// Why it could not do it.
        error: Option<String>,
    },
    /// An item was added to its history.
    Added(Incoming),
    /// Tools have run; their calls and results are in its history.
    ToolsRan,
    /// Something else.
    Other,
}

impl SessionRequest {
    /// The message that asks for it under this id.
    pub fn encode(self, id: &str) -> Vec<u8> {
        let request = match self {
            Self::Ping => Request::Ping(Ping {}),
            Self::History => Request::GetChatHistory(GetChatHistory {}),
            Self::Audio { input, output } => Request::UpdateIo(UpdateIo {
                input: input.map(|enabled| update_io::Input {
                    audio_enabled: Some(enabled),
                    video_enabled: None,
                }),
                output: output.map(|enabled| update_io::Output {
                    audio_enabled: Some(enabled),
                    ..update_io::Output::default()
                }),
            }),
        };
        let request = WireRequest {
            request_id: id.to_owned(),
            request: Some(request),
        };
        let message = AgentSessionMessage {
            message: Some(Message::Request(request)),
        };
        message.encode_to_vec()
    }
}

impl SessionMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let message = AgentSessionMessage::decode(bytes)?.message;
        Ok(match message {
            Some(Message::Response(response)) => Self::Answer {
                request: response.request_id,
                items: match response.response {
                    Some(Response::GetChatHistory(history)) => {
                        history.items.into_iter().filter_map(incoming).collect()
                    }
                    // The enum is LiveKit's, and the rest is not asked for.
                    _ => Vec::new(),
                },
                error: response.error,
            },
            Some(Message::Event(event)) => match event.event {
                Some(Event::ConversationItemAdded(added)) => added
                    .item
                    .and_then(incoming)
                    .map_or(Self::Other, Self::Added),
                Some(Event::FunctionToolsExecuted(_)) => Self::ToolsRan,
                // The enum is LiveKit's; states, usage and transcripts are no items.
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }
}

/// The item as a writer would send it; nothing if it has no id or is of a kind that is not known here.
fn incoming(chat_item: ChatItem) -> Option<Incoming> {
    let item = Item::new(chat_item, None).ok()?;
    Some(Incoming {
        id: item.id().as_str().to_owned(),
        chat_item: item.encoded().to_vec(),
        native: None,
    })
}

#[cfg(test)]
mod tests {
    use livekit_protocol::agent::agent_session_event::ConversationItemAdded;
    use livekit_protocol::agent::chat_context::chat_item;
    use livekit_protocol::agent::session_response::GetChatHistoryResponse;
    use livekit_protocol::agent::{AgentSessionEvent, ChatMessage, SessionResponse};

    use super::*;

    fn said(id: &str) -> ChatItem {
        ChatItem {
            item: Some(chat_item::Item::Message(ChatMessage {
                id: id.to_owned(),
                ..ChatMessage::default()
            })),
        }
    }

    fn read(message: Message) -> SessionMessage {
        let message = AgentSessionMessage {
            message: Some(message),
        };
        SessionMessage::decode(&message.encode_to_vec()).expect("it was encoded just now")
    }

    #[test]
    fn a_history_gives_its_items_in_order_and_leaves_out_what_has_no_id() {
        let items = vec![said("a"), ChatItem { item: None }, said(""), said("b")];
        let history = GetChatHistoryResponse { items };
        let message = read(Message::Response(SessionResponse {
            request_id: "baton-1".to_owned(),
            error: None,
            response: Some(Response::GetChatHistory(history)),
        }));
        let SessionMessage::Answer { request, items, .. } = message else {
            panic!("{message:?} is no answer");
        };
        let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!((request.as_str(), ids), ("baton-1", vec!["a", "b"]));
    }

    #[test]
    fn an_added_item_is_read_and_its_bytes_are_those_of_the_item() {
        let message = read(Message::Event(AgentSessionEvent {
            created_at: None,
            event: Some(Event::ConversationItemAdded(ConversationItemAdded {
                item: Some(said("a")),
            })),
        }));
        let SessionMessage::Added(item) = message else {
            panic!("{message:?} adds nothing");
        };
        assert_eq!(item.chat_item, said("a").encode_to_vec());
    }

    #[test]
    fn a_request_switches_only_what_it_names() {
        let bytes = SessionRequest::Audio {
            input: Some(false),
            output: None,
        }
        .encode("baton-2");
        let message = AgentSessionMessage::decode(bytes.as_slice()).expect("it was encoded");
        let Some(Message::Request(request)) = message.message else {
            panic!("{message:?} is no request");
        };
        let Some(Request::UpdateIo(io)) = request.request else {
            panic!("{request:?} switches nothing");
        };
        assert_eq!(io.input.and_then(|input| input.audio_enabled), Some(false));
        assert_eq!(io.output, None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..64_usize {
            let bytes: Vec<u8> = (0..length)
                .map(|index| (index * 73 + length) as u8)
                .collect();
            let _ = SessionMessage::decode(&bytes);
        }
    }
}
