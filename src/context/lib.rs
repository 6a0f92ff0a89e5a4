//! The conversation and the shared state of a call, and what of them a specialist may see.
//!
//! [`SharedState`] is one JSON document that all specialists of a call work on. Its [`Scopes`] say, by field path, what
//! a specialist may read and write; a [`Change`] is an accepted patch, and knows how each reader may see it.
//!
//! [`ContextLog`] is the conversation: [`Item`]s in order, with a running hash. [`ToolPolicies`] say what becomes of the
//! tool calls that run when the baton moves. A [`Feed`] is what one specialist gets of it, by its [`FilterPlan`].
//!
//! [`Conversation`] is both in use: it checks the writers, keeps how far each reader is, and says what to journal. A
//! [`Mirror`] is the reader's end of it.
//!
//! A [`Format`] writes [`LivekitItem`]s as another framework's messages, and reads them back; a [`Sidecar`] keeps what
//! those messages cannot carry. A [`Packet`] is all that a successor needs, as one JSON document or as protobuf; [`Packet::to_vcon`]
//! is a finished call for an archive.
//!
//! A [`SessionMessage`] is what a session of LiveKit Agents says over its own remote protocol: items of an agent that writes to no
//! conversation.
//!
//! # What this crate never does
//! - It reads no clock, draws no random number and does no I/O: ids, times and texts come in.
//! - It never panics on input, and holds nothing that a peer could grow without bound.
//! - It never shows a reader a value that is out of its scope: not in a view, a patch, a conflict or an error.

mod chat;
mod conversation;
mod convert;
mod delta;
mod exchange;
mod feed;
mod grouping;
mod item;
mod langchain;
mod livekit;
mod livekit_js;
mod log;
mod made;
mod mask;
mod merge;
mod mirror;
mod order;
mod packet;
mod packet_protobuf;
mod realtime;
mod remote_session;
mod responses;
mod schema;
mod scope;
mod stamp;
mod state;
mod tools;
mod vcon;

/// The generated types.
#[allow(unreachable_pub, dead_code, clippy::all, missing_docs)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/baton.v1.rs"));
}

pub use conversation::{Conversation, ConversationLimits};
pub use convert::{ConvertError, Exported, Format, Imported, LeftOut, Lost, NoFormat, Sidecar};
pub use exchange::{
    Answer, Applied, Effect, Granting, Handed, Incoming, IncomingPatch, ItemRefusal, Outgoing,
    PatchOutcome, Record, RecordError, RefusedItem,
};
pub use feed::{Feed, FilterPlan, Window};
pub use item::{ID_BYTES_MAX, Item, ItemError, ItemId, Kind, LIVEKIT, Native, Role, ToolCallId};
pub use livekit::{LivekitItem, NoLivekitItem};
pub use livekit_protocol::agent::chat_context::ChatItem;
pub use log::{
    AppendError, Appended, Author, ContextLog, Diverged, Entry, Head, LogHash, LogLimits, Position,
};
pub use made::{UnixMillis, handoff, summary};
pub use mask::{CARD_NUMBER, Mask, MaskAction, Masked, REDACTED, SPOKEN_NUMBER, masked};
pub use merge::{ParseError, Patch, PatchLimits};
pub use mirror::{Mirror, MirrorError};
pub use packet::{
    PACKET_SCHEMA, PACKET_VERSION, Packet, PacketContext, PacketError, PacketOpening, PacketRoute,
    PacketState, PacketTelephony, PacketTurn,
};
pub use remote_session::{REMOTE_SESSION_TOPIC, SessionMessage, SessionRequest};
pub use schema::{SchemaError, StateSchema, Violation};
pub use scope::{Access, FieldPath, FieldPathError, ScopeError, Scopes};
pub use state::{Change, Outcome, PatchError, ReplayError, SharedState, StateVersion, Writer};
pub use tools::{InFlightPolicy, RunningCall, RunningCalls, ToolPolicies};
pub use vcon::{CallRecord, RecordedGrant, Recording, VCON_VERSION, VconError, vcon_uuid};
