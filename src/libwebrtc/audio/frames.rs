//! Opus packets that are ready made: their form, and the queue by which received ones leave for the application.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;

use super::{
    TICK_48K,
    decoder::{PACKET_MAX_48K, duration_48k, is_silence},
};

/// The largest packet that is taken, in bytes: the largest frame of RFC 6716, and what fits a datagram.
pub(crate) const PACKET_BYTES_MAX: usize = 1_275;

/// The most packets that a queue holds: a minute of 20 ms each.
pub(crate) const QUEUE_MAX: usize = 3_000;

/// Sequence numbers before the newest that are remembered.
const WINDOW: u64 = 64;

/// A payload that cannot be published as it is.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodedError {
    /// It cannot be read as an Opus packet (RFC 6716).
    #[error("{bytes} bytes that are no opus packet")]
    NotOpus {
        /// Its size in bytes.
        bytes: usize,
    },
    /// It would not fit a datagram.
    #[error("a packet of {bytes} bytes, the limit is {PACKET_BYTES_MAX}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// It does not last a multiple of 10 ms, or longer than 120 ms.
    #[error(
        "a packet of {samples_48k} samples at 48 kHz, only multiples of 480 up to {PACKET_MAX_48K} are taken"
    )]
    Duration {
        /// Its length in samples per channel at 48 kHz.
        samples_48k: u64,
    },
}

/// An Opus packet to publish: 10, 20, 40, 60 ms or another multiple of 10 ms up to 120 ms, up to 1,275 bytes, one or
/// two channels. Clones share the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusFrame {
    payload: Bytes,
    duration_48k: u64,
    level_dbov: Option<i8>,
}

impl OpusFrame {
    /// Takes an Opus packet as RFC 6716 has it, without RED or any other frame around it.
    ///
    /// # Errors
    /// When it is no Opus packet, too large, or of a length that is no multiple of 10 ms.
    pub fn new(payload: impl Into<Bytes>) -> Result<Self, EncodedError> {
        let payload = payload.into();
        let bytes = payload.len();
        if bytes > PACKET_BYTES_MAX {
            return Err(EncodedError::TooLarge { bytes });
        }
        let samples_48k = duration_48k(&payload).ok_or(EncodedError::NotOpus { bytes })?;
        if !samples_48k.is_multiple_of(TICK_48K) {
            return Err(EncodedError::Duration { samples_48k });
        }
        Ok(Self {
            payload,
            duration_48k: samples_48k,
            level_dbov: None,
        })
    }

    /// Says how loud it is, in dBov from -127 to 0 (RFC 6464). It travels with the packet, and servers tell by it who
    /// speaks. Without it -127 is sent for a packet that only says silence, and -26 for any other, the nominal level
    /// of speech.
    #[must_use]
    pub fn with_level_dbov(mut self, level_dbov: i8) -> Self {
        self.level_dbov = Some(level_dbov.clamp(-127, 0));
        self
    }

    /// The Opus packet.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its length in samples per channel at 48 kHz.
    pub fn duration_samples_48k(&self) -> u64 {
        self.duration_48k
    }

    /// Its channels, 1 or 2.
    pub fn channels(&self) -> u32 {
        channels(&self.payload)
    }

    /// Whether it says nothing but that there is silence, as DTX does.
    pub fn is_silence(&self) -> bool {
        is_silence(&self.payload)
    }

    pub(crate) fn into_payload(self) -> Bytes {
        self.payload
    }

    pub(crate) fn level_dbov(&self) -> i8 {
        match self.level_dbov {
            Some(level) => level,
            None if self.is_silence() => -127,
            None => -26,
        }
    }
}

/// An Opus packet of a remote track, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedFrame {
    /// The Opus packet, out of its RED if it came in such.
    pub payload: Bytes,
    /// The RTP sequence number, extended beyond 16 bits: a number left out is a packet lost or still on its way.
    pub sequence: u64,
    /// The RTP time of its first sample at 48 kHz, extended beyond 32 bits. A step beyond the packets' length while
    /// `sequence` has none is a pause of the sender (DTX).
    pub rtp_time_48k: u64,
    /// Its length in samples per channel at 48 kHz.
    pub duration_samples_48k: u64,
    /// Counts from 1 and goes up when the sender starts anew (another SSRC): sequence and time then begin anew too.
    pub stream: u64,
    /// Whether it was lost, and this is the copy that came with a later packet in RED.
    pub recovered: bool,
    /// When the packet that brought it arrived.
    pub arrived: Instant,
}

impl ReceivedFrame {
    /// Its channels, 1 or 2.
    pub fn channels(&self) -> u32 {
        channels(&self.payload)
    }

    /// Whether it says nothing but that there is silence, as DTX does.
    pub fn is_silence(&self) -> bool {
        is_silence(&self.payload)
    }
}

impl TryFrom<ReceivedFrame> for OpusFrame {
    type Error = EncodedError;

    fn try_from(frame: ReceivedFrame) -> Result<Self, EncodedError> {
        Self::new(frame.payload)
    }
}

/// A bounded queue of received packets. When it is full, the oldest is dropped.
pub(crate) struct FrameQueue {
    capacity: usize,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<ReceivedFrame>,
    dropped: u64,
    waker: Option<Waker>,
}

impl FrameQueue {
    /// A queue of `capacity` packets, 1 to [`QUEUE_MAX`].
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, QUEUE_MAX),
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Whether [`Self::close`] has been called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes no more packets and forgets those it has.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.frames.clear();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes a packet.
    pub(crate) fn push(&self, frame: ReceivedFrame) {
        let mut state = self.state.lock();
        if self.is_closed() {
            return;
        }
        if state.frames.len() >= self.capacity {
            state.frames.pop_front();
            state.dropped += 1;
        }
        state.frames.push_back(frame);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The oldest packet, if there is one.
    pub(crate) fn pop(&self) -> Option<ReceivedFrame> {
        self.state.lock().frames.pop_front()
    }

    /// The oldest packet; `None` once the queue is closed.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<ReceivedFrame>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if self.is_closed() {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Packets dropped because nobody took them in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

/// Which of the last sequence numbers have been seen, so that each packet is handed on once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    newest: Option<u64>,
    /// Bit n stands for the newest less n.
    bits: u64,
}

impl Seen {
    /// Whether any packet has been seen.
    pub(crate) fn any(&self) -> bool {
        self.newest.is_some()
    }

    /// Notes a number; false if it has been seen before or is too old to tell.
    pub(crate) fn insert(&mut self, seq: u64) -> bool {
        let newest = *self.newest.get_or_insert(seq);
        if seq > newest {
            let step = seq - newest;
            self.bits = if step < WINDOW { self.bits << step } else { 0 };
            self.newest = Some(seq);
        }
        let age = newest.saturating_sub(seq);
        if age >= WINDOW {
            return false;
        }
        let bit = 1 << age;
        let fresh = self.bits & bit == 0;
        self.bits |= bit;
        fresh
    }
}

fn channels(payload: &[u8]) -> u32 {
    // RFC 6716, 3.1: the third bit of the table of contents.
    payload.first().map_or(1, |toc| 1 + u32::from(toc >> 2 & 1))
}
