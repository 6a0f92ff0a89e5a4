//! What goes in and out of a link beside bytes.

use call::Epoch;

use crate::body::Body;
use crate::frame::Seq;
use crate::reason::RejectReason;

/// What a link has to say to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The peer said this: once and in order if it was sequenced. A Hello or Welcome is given once for each attempt.
    Received {
        /// The epoch in which the peer believed the call to be.
        epoch: Epoch,
        /// What it said.
        body: Body,
    },
    /// A frame was not accepted. The peer is told, at most once in `reject_interval`.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// A sentence for the log.
        detail: String,
        /// The frame's place in its stream, if it has one.
        seq: Option<Seq>,
    },
    /// Nothing was acked for `unresponsive_after`. Said once; sending goes on.
    Unresponsive,
}

/// Frames of a link's own stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// The peer has acked them.
    pub acked: u64,
    /// They were sent once more, since no ack came or the peer reconnected.
    pub resent: u64,
}

/// Something to send to the peer, on [`TOPIC`](crate::TOPIC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The packet.
    pub payload: Vec<u8>,
    /// Whether LiveKit is to send it on its reliable channel.
    pub reliable: bool,
}

/// Why something cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer is too slow: try again after some acks.
    #[error("{limit} frames wait for their ack, which is the limit")]
    WindowFull {
        /// The limit, in frames.
        limit: usize,
    },
    /// The frame would be too large.
    #[error("{body} makes a frame of {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The body's name.
        body: &'static str,
        /// The frame's size at most, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Only the peer says such a thing.
    #[error("{body} is not for this side to send")]
    WrongDirection {
        /// The body's name.
        body: &'static str,
    },
    /// It is not a part of the stream: it has a call of its own.
    #[error("{body} is not sequenced")]
    NotSequenced {
        /// The body's name.
        body: &'static str,
    },
}
