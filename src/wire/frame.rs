//! One data packet: the header of a frame and its body.

use std::fmt;

use call::{CallId, Epoch};

use crate::body::Body;
use crate::reason::RejectReason;

/// What travels in one data packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The version the sender speaks.
    pub version: Version,
    /// The call it belongs to.
    pub call: CallId,
    /// The epoch in which the sender believes the call to be.
    pub epoch: Epoch,
    /// The sender's stream.
    pub stream: StreamId,
    /// Its place in the stream; `None` if it is not sequenced.
    pub seq: Option<Seq>,
    /// What the sender has seen of the receiver's stream.
    pub ack: Option<Position>,
    /// What it says; `None` if it only carries an ack. A sequenced frame without a body had one that is unknown here.
    pub body: Option<Body>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Another major version is refused.
    pub major: u32,
    /// Minor versions understand one another.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// One direction between two processes, for as long as both live: a random number other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A frame's place in its stream, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The place that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where somebody stands in a stream of the other side: everything up to `seq` was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The stream.
    pub stream: StreamId,
    /// The last frame delivered; 0 if none was.
    pub seq: Seq,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The packet is too large.
    #[error("{bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are not what they should be.
    #[error("no valid frame: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// The sender speaks another major version.
    #[error("protocol version {got}, only major version {major} is understood")]
    UnsupportedVersion {
        /// What the frame says.
        got: Version,
        /// What is understood.
        major: u32,
    },
}

impl DecodeError {
    /// The reason as it is told to the sender.
    pub fn reject_reason(&self) -> RejectReason {
        match self {
            Self::TooLarge { .. } => RejectReason::TooLarge,
            Self::Malformed { .. } => RejectReason::Malformed,
            Self::UnsupportedVersion { .. } => RejectReason::UnsupportedVersion,
        }
    }
}
