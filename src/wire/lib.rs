//! The protocol between Baton and its specialists.
//!
//! A [`Frame`] is what travels in one data packet: a header, and one [`Body`]. A [`Link`] makes an ordered, reliable
//! stream of them in each direction, over packets that may be lost, repeated, delayed or reordered. [`Chunks`] and
//! [`Assembly`] take a body through it that is too large for one frame. [`Admission`] is whose packets are heard at all,
//! and [`DispatchMetadata`] is how a specialist learns of its call.
//!
//! # What this crate never does
//! - It reads no clock and draws no random number: `now`, stream ids and tickets come in.
//! - It never panics on input, and holds nothing that a peer could grow without bound.
//! - It never interprets: whether a grant is stale is for `call` to say, or for the specialist.
//! - It never shows the generated protobuf types.

mod admission;
mod assembly;
mod body;
mod chunk_limits;
mod chunks;
mod codec;
mod convert;
mod direction;
mod fields;
mod frame;
mod handshake;
mod inbound;
mod items;
mod link;
mod link_config;
mod link_event;
mod metadata;
mod outbound;
mod reason;

/// The generated types.
#[allow(unreachable_pub, clippy::all, missing_docs)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/baton.v1.rs"));
}

pub use admission::{
    Admission, AdmissionCounts, IgnoreReason, SenderKind, SenderView, TICKETS_MAX, Verdict,
};
pub use assembly::{Assembled, Assembly, AssemblyError};
pub use body::{
    Body, ContextChunk, ContextItem, ContextRefusal, Dtmf, HandoffOutcome, HandoffRequest,
    HandoffResult, Heartbeat, Hello, Packet, Prepare, Ready, Reject, Revoke, RevokeMode,
    StateOutcome, StatePatch, StateResult, Terms, Welcome,
};
pub use chunk_limits::{BODY_BYTES_CEILING, ChunkLimits};
pub use chunks::{ChunkError, Chunks, ChunksProgress};
pub use direction::{Direction, Side};
pub use frame::{DecodeError, Frame, Position, Seq, StreamId, Version};
pub use link::Link;
pub use link_config::LinkConfig;
pub use link_event::{LinkCounts, LinkEvent, SendError, Transmit};
pub use metadata::{DispatchBinding, DispatchMetadata, METADATA_BYTES_MAX, MetadataError};
pub use reason::{ContextRefuseKind, FailKind, RefuseKind, RejectReason};

/// The topic of every data packet of the protocol.
pub const TOPIC: &str = "baton";

/// The largest frame, in bytes: LiveKit recommends less than 15,000, so that a packet is not split.
pub const FRAME_BYTES_MAX: usize = 14_999;

/// The version spoken here.
pub const VERSION: Version = Version { major: 1, minor: 0 };

/// The message types of the protocol as a serialized `FileDescriptorSet`, for tools that print frames.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
