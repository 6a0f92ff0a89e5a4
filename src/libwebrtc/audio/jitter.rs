//! Packets that wait to be played, in order of time.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

/// The most packets that wait: 4 s of 20 ms. When another comes, the oldest is given up.
pub const PACKETS_MAX: usize = 200;

/// One packet that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its extended sequence number.
    pub seq: u64,
    /// Its extended RTP time at 48 kHz.
    pub rtp_time: u64,
    /// Samples per channel at 48 kHz, from its table of contents.
    pub duration: u64,
    /// The Opus packet.
    pub payload: Bytes,
    /// When it arrived.
    pub arrival: Instant,
    /// Whether it is a copy that came with a later packet.
    pub copy: bool,
}

impl Waiting {
    /// The RTP time after its last sample.
    pub fn end(&self) -> u64 {
        self.rtp_time + self.duration
    }
}

/// What became of a packet that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It waits.
    Yes,
    /// It was there already.
    Duplicate,
    /// It waits, and the oldest one was given up for it.
    Overflow,
}

/// The packets, oldest first, no two of one sequence number.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    packets: VecDeque<Waiting>,
}

impl JitterBuffer {
    /// Takes a packet.
    pub fn insert(&mut self, packet: Waiting) -> Inserted {
        // Nearly always the newest.
        let at = self
            .packets
            .iter()
            .rposition(|other| other.seq <= packet.seq);
        let index = match at {
            Some(at) if self.packets[at].seq == packet.seq => {
                return Inserted::Duplicate;
            }
            Some(at) => at + 1,
            None => 0,
        };
        self.packets.insert(index, packet);
        if self.packets.len() > PACKETS_MAX {
            self.packets.pop_front();
            return Inserted::Overflow;
        }
        Inserted::Yes
    }

    /// The packet that is to be played next.
    pub fn first(&self) -> Option<&Waiting> {
        self.packets.front()
    }

    /// Takes out the packet that is to be played next.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.packets.pop_front()
    }

    /// Samples at 48 kHz from `from` to the end of the newest packet.
    pub fn span_from(&self, from: u64) -> u64 {
        self.packets
            .back()
            .map_or(0, |last| last.end().saturating_sub(from))
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Gives all up.
    pub fn clear(&mut self) {
        self.packets.clear();
    }
}
