//! The receiving end of a stream: what was delivered, and what is held back until the gap before it is filled.

use std::collections::BTreeMap;

use call::Epoch;

use crate::body::Body;
use crate::frame::{Position, Seq, StreamId};

#[derive(Debug)]
pub(crate) struct Inbound {
    stream: StreamId,
    delivered: Seq,
    held: BTreeMap<Seq, Held>,
}

/// A frame that waits for its turn. Without a body, it had one that is unknown here.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    pub(crate) body: Option<Body>,
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is new.
    New,
    /// It was here before.
    Repeated,
    /// It lies too far ahead.
    TooFar,
}

impl Inbound {
    pub(crate) fn new(stream: StreamId, oldest: Seq) -> Self {
        Self {
            stream,
            delivered: Seq(oldest.0.saturating_sub(1)),
            held: BTreeMap::new(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            stream: self.stream,
            seq: self.delivered,
        }
    }

    pub(crate) fn take(&mut self, seq: Seq, frame: Held, held_max: usize) -> Taken {
        if seq <= self.delivered || self.held.contains_key(&seq) {
            return Taken::Repeated;
        }
        if seq.0 - self.delivered.0 > held_max as u64 {
            return Taken::TooFar;
        }
        self.held.insert(seq, frame);
        Taken::New
    }

    /// The next frame whose turn it is.
    pub(crate) fn next(&mut self) -> Option<(Seq, Held)> {
        let seq = self.delivered.next();
        let held = self.held.remove(&seq)?;
        self.delivered = seq;
        Some((seq, held))
    }

    pub(crate) fn has_gap(&self) -> bool {
        !self.held.is_empty()
    }
}
