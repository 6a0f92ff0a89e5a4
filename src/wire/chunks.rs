//! The sending end of a body that is too large for one frame.

use std::time::Instant;

use call::Epoch;
use sha2::{Digest as _, Sha256};

use crate::FRAME_BYTES_MAX;
use crate::body::{Body, ContextChunk};
use crate::chunk_limits::ChunkLimits;
use crate::codec;
use crate::frame::Seq;
use crate::link::{Link, is_sequenced};
use crate::link_event::SendError;

/// What a chunk takes beside its data, at most: keys and lengths, three numbers, the hash.
const CHUNK_OVERHEAD_BYTES: usize = 80;

/// A body cut into [`ContextChunk`]s that go through a [`Link`] as fast as its window allows.
///
/// They take half of the window at most, so that what moves the baton never waits for a place; it does wait for the
/// chunks before it, since a stream is in order. Whoever wants one body before another sends it first.
#[derive(Debug, Clone)]
pub struct Chunks {
    transfer: u64,
    bytes: Vec<u8>,
    sha256: Vec<u8>,
    sent_bytes: usize,
    last: Option<Seq>,
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunksProgress {
    /// Some pieces have no place in the window yet: try again after some acks.
    Waiting,
    /// The last piece is in the stream.
    Done,
}

/// Why a body cannot be cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It is too large, even in pieces.
    #[error("{body} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The body's name.
        body: &'static str,
        /// Its size, in bytes.
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
    /// It is no part of the stream, or a piece itself.
    #[error("{body} does not travel in pieces")]
    NotDivisible {
        /// The body's name.
        body: &'static str,
    },
}

impl Chunks {
    /// Cuts up a body. `transfer` tells it from others of this process that are under way: count them.
    ///
    /// # Errors
    /// If it is over the limits, is none of this side's, or does not travel in pieces.
    pub fn new(limits: &ChunkLimits, transfer: u64, body: &Body) -> Result<Self, ChunkError> {
        let name = body.name();
        if !limits.side.sends(body) {
            return Err(ChunkError::WrongDirection { body: name });
        }
        if !is_divisible(body) {
            return Err(ChunkError::NotDivisible { body: name });
        }
        let bytes = codec::encode_body(body);
        if bytes.len() > limits.body_bytes_max {
            return Err(ChunkError::TooLarge {
                body: name,
                bytes: bytes.len(),
                limit: limits.body_bytes_max,
            });
        }
        Ok(Self {
            transfer,
            sha256: Sha256::digest(&bytes).to_vec(),
            bytes,
            sent_bytes: 0,
            last: None,
        })
    }

    /// Puts as many pieces into the stream as have a place. To be called again whenever the link has taken a packet,
    /// until it is done.
    ///
    /// # Errors
    /// If the call's id leaves no room in a frame. A full window is none.
    pub fn send(
        &mut self,
        now: Instant,
        epoch: Epoch,
        link: &mut Link,
    ) -> Result<ChunksProgress, SendError> {
        let room = link.body_bytes_max(epoch);
        let data_bytes_max = room.saturating_sub(CHUNK_OVERHEAD_BYTES);
        if data_bytes_max == 0 {
            return Err(SendError::TooLarge {
                body: "context_chunk",
                bytes: FRAME_BYTES_MAX - room + CHUNK_OVERHEAD_BYTES + 1,
                limit: FRAME_BYTES_MAX,
            });
        }
        while self.sent_bytes < self.bytes.len() {
            if link.waiting() >= link.window().div_ceil(2) {
                return Ok(ChunksProgress::Waiting);
            }
            let rest = &self.bytes[self.sent_bytes..];
            let data = &rest[..rest.len().min(data_bytes_max)];
            let data_bytes = data.len();
            let chunk = ContextChunk {
                transfer: self.transfer,
                offset: self.sent_bytes as u64,
                total_bytes: self.bytes.len() as u64,
                sha256: self.sha256.clone(),
                data: data.to_vec(),
            };
            self.last = Some(link.send(now, epoch, &Body::ContextChunk(chunk))?);
            self.sent_bytes += data_bytes;
        }
        Ok(ChunksProgress::Done)
    }

    /// Starts again from the first piece: the peer is another process, which has none of them. To be called, for all
    /// that is not acked, after a Hello or Welcome by which the link follows another stream.
    pub fn restart(&mut self) {
        self.sent_bytes = 0;
        self.last = None;
    }

    /// Whether the peer has acked all of it: until then it is to be kept, for a restart.
    pub fn is_acked(&self, link: &Link) -> bool {
        self.sent_bytes == self.bytes.len() && self.last.is_some_and(|last| last <= link.acked())
    }

    /// The size of the whole, in bytes as it is encoded.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How much of it is in the stream, in bytes.
    pub fn sent_bytes(&self) -> usize {
        self.sent_bytes
    }
}

/// Whether a body may travel in pieces.
pub(crate) fn is_divisible(body: &Body) -> bool {
    is_sequenced(body) && !matches!(body, Body::ContextChunk(_))
}
