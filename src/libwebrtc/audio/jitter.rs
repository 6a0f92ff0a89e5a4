//! Packets that wait to be played, in order of time.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

/// The most packets that wait: 4 s of 20 ms. When another comes, the oldest is given up.
pub(crate) const PACKETS_MAX: usize = 200;

/// One packet that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Its extended sequence number.
    pub(crate) seq: u64,
    /// Its extended RTP time at 48 kHz.
    pub(crate) rtp_time: u64,
    /// Samples per channel at 48 kHz, from its table of contents.
    pub(crate) duration: u64,
    /// The Opus packet.
    pub(crate) payload: Bytes,
    /// When it arrived.
    pub(crate) arrival: Instant,
    /// Whether it is a copy that came with a later packet.
    pub(crate) copy: bool,
}

impl Waiting {
    /// The RTP time after its last sample.
    pub(crate) fn end(&self) -> u64 {
        self.rtp_time + self.duration
    }
}

/// What became of a packet that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It waits.
    Yes,
    /// It was there already, and not as a copy alone.
    Duplicate,
    /// It waits, and the oldest one was given up for it.
    Overflow,
}

/// The packets, oldest first, no two of one sequence number.
#[derive(Debug, Default)]
pub(crate) struct JitterBuffer {
    packets: VecDeque<Waiting>,
}

impl JitterBuffer {
    /// Takes a packet, in place of a copy of it if there is one: that one was not needed, the packet had only been overtaken.
    pub(crate) fn insert(&mut self, packet: Waiting) -> Inserted {
        // Nearly always the newest.
        let at = self
            .packets
            .iter()
            .rposition(|other| other.seq <= packet.seq);
        let index = match at {
            Some(at) if self.packets[at].seq == packet.seq => {
                if packet.copy || !self.packets[at].copy {
                    return Inserted::Duplicate;
                }
                self.packets[at] = packet;
                return Inserted::Yes;
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
    pub(crate) fn first(&self) -> Option<&Waiting> {
        self.packets.front()
    }

    /// Takes out the packet that is to be played next.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.packets.pop_front()
    }

    /// Packets that wait.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Gives all up.
    pub(crate) fn clear(&mut self) {
        self.packets.clear();
    }
}
