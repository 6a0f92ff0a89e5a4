//! One track on its way into the program: its packets, in order, and their sound where it is needed.
//!
//! A packet waits undecoded for as long as nobody needs its sound. The last ones that were heard are kept, so that the
//! decoder can be brought up to what the other side's decoder has heard, at the moment when the mixer takes over.

use std::collections::VecDeque;

use crate::codec::{CodecError, Decoder};
use crate::packet::{PACKET_SAMPLES_MAX, Packet, SLOT_SAMPLES};
use crate::{FRAME_SAMPLES, level_dbfs, peak_dbfs, splice};

/// Packets that wait at most; the oldest is given up for one more.
pub(crate) const LANE_PACKETS_MAX: usize = 25;
/// Packets that are kept after they were heard.
const HISTORY_PACKETS: usize = 5;
/// Sound that a track holds at most, in samples: of the longest packet, and what was left before it.
const PCM_MAX: usize = 2 * PACKET_SAMPLES_MAX;
/// Lost slots that are made good at most before a packet.
const LOST_SLOTS_MAX: usize = 3;
/// Sound of a track that waits for its turn, in samples: what is older is given up.
const WAITING_SAMPLES_MAX: usize = 1_920;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filed {
    Queued,
    /// It came when its time was over, or twice.
    Late,
    /// Queued, and the oldest was given up.
    Overflow,
}

#[derive(Debug)]
pub(crate) struct Lane {
    decoder: Decoder,
    /// Not decoded.
    waiting: VecDeque<Packet>,
    /// Decoded, and nothing of them has been heard.
    unheard: VecDeque<Packet>,
    history: VecDeque<Packet>,
    pcm: VecDeque<i16>,
    scratch: Box<[i16; PACKET_SAMPLES_MAX]>,
    /// Whether the decoder has heard everything up to the first of `waiting`.
    follows: bool,
    /// What should come next.
    next: Option<Next>,
    /// Samples that went by without a packet since the last one.
    bridged: usize,
    /// The sender has announced a pause.
    paused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    stream: u64,
    sequence: u64,
    rtp_time_48k: u64,
}

impl Lane {
    pub(crate) fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: Decoder::new()?,
            waiting: VecDeque::with_capacity(2 * LANE_PACKETS_MAX),
            unheard: VecDeque::with_capacity(2 * LANE_PACKETS_MAX),
            history: VecDeque::with_capacity(HISTORY_PACKETS + 1),
            pcm: VecDeque::with_capacity(PCM_MAX + 2 * SLOT_SAMPLES),
            scratch: Box::new([0; PACKET_SAMPLES_MAX]),
            follows: true,
            next: None,
            bridged: 0,
            paused: false,
        })
    }

    /// Takes a packet in its place.
    pub(crate) fn file(&mut self, packet: Packet) -> Filed {
        if let Some(next) = self.next {
            if packet.stream() != next.stream {
                self.waiting
                    .retain(|queued| queued.stream() == packet.stream());
                self.next = None;
                self.follows = false;
            } else if packet.sequence() < next.sequence {
                return Filed::Late;
            }
        }
        let place = self
            .waiting
            .iter()
            .rposition(|queued| queued.sequence() <= packet.sequence());
        match place {
            Some(place) if self.waiting[place].sequence() == packet.sequence() => Filed::Late,
            Some(place) => self.insert(place + 1, packet),
            None => self.insert(0, packet),
        }
    }

    fn insert(&mut self, place: usize, packet: Packet) -> Filed {
        self.waiting.insert(place, packet);
        if self.waiting.len() <= LANE_PACKETS_MAX {
            return Filed::Queued;
        }
        self.waiting.pop_front();
        self.next = None;
        self.follows = false;
        Filed::Overflow
    }

    /// Whether there has been a packet.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Whether the sender has announced a pause and not ended it.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused && self.waiting.is_empty()
    }

    /// The packet that is next.
    pub(crate) fn front(&self) -> Option<&Packet> {
        self.waiting.front()
    }

    /// Whether everything that waits can go out as it is.
    pub(crate) fn fits(&self) -> bool {
        self.unheard
            .iter()
            .chain(&self.waiting)
            .all(Packet::fits_slot)
    }

    /// Samples that wait, decoded or not.
    pub(crate) fn backlog(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(Packet::samples).sum();
        waiting + self.pcm.len()
    }

    /// Samples that are decoded.
    pub(crate) fn decoded(&self) -> usize {
        self.pcm.len()
    }

    /// Samples before the next packet that were lost on the way and not yet made good.
    pub(crate) fn lost(&self) -> usize {
        let (Some(next), Some(front)) = (self.next, self.waiting.front()) else {
            return 0;
        };
        if front.sequence() <= next.sequence {
            return 0;
        }
        let gap = front.rtp_time_48k().saturating_sub(next.rtp_time_48k);
        let gap = usize::try_from(gap).unwrap_or(usize::MAX);
        gap.min(LOST_SLOTS_MAX * SLOT_SAMPLES)
            .saturating_sub(self.bridged)
    }

    /// Takes the next packet to be passed on as it is.
    pub(crate) fn pass(&mut self) -> Option<Packet> {
        let packet = self.waiting.pop_front()?;
        self.taken(&packet);
        self.follows = false;
        self.remember(packet.clone());
        Some(packet)
    }

    /// Leaves out the next packet, if it is a pause and at least so many others wait behind it; whether it did.
    pub(crate) fn leave_out(&mut self, others: usize) -> bool {
        if self.waiting.len() <= others || self.lost() > 0 {
            return false;
        }
        let Some(pause) = self.waiting.pop_front_if(|packet| packet.is_pause()) else {
            return false;
        };
        self.taken(&pause);
        self.follows = false;
        true
    }

    /// As [`Self::pass`], and listens to it: the levels of its first and second half in dBFS. Its sound is shown to `listen`.
    pub(crate) fn pass_listening(
        &mut self,
        listen: impl FnOnce(&[i16]),
    ) -> Option<(Packet, [f32; 2])> {
        if !self.follows {
            self.catch_up(&mut []);
        }
        let packet = self.waiting.pop_front()?;
        self.taken(&packet);
        let pcm = self.decoder.decode(packet.payload(), &mut self.scratch);
        listen(pcm);
        let (first, second) = pcm.split_at(pcm.len() / 2);
        let levels = [level_dbfs(first), level_dbfs(second)];
        self.remember(packet.clone());
        Some((packet, levels))
    }

    /// A packet for a slot for which there is none; `None` if there has never been one.
    pub(crate) fn fill(&mut self) -> Option<Packet> {
        let fill = self.history.back()?.fill();
        self.bridged += SLOT_SAMPLES;
        self.follows = false;
        self.remember(fill.clone());
        Some(fill)
    }

    /// Decodes the next packet, and before it what was lost; false if there is none.
    pub(crate) fn decode(&mut self) -> bool {
        if !self.follows {
            self.catch_up(&mut []);
        }
        while self.lost() >= SLOT_SAMPLES {
            let last = self.lost() < 2 * SLOT_SAMPLES;
            let front = self.waiting.front();
            let pcm = match front.filter(|_| last) {
                Some(front) => self.decoder.recover(front.payload(), &mut self.scratch),
                None => self.decoder.conceal(&mut self.scratch),
            };
            self.pcm.extend(pcm);
            self.bridged += SLOT_SAMPLES;
        }
        let Some(packet) = self.waiting.pop_front() else {
            return false;
        };
        self.taken(&packet);
        let pcm = self.decoder.decode(packet.payload(), &mut self.scratch);
        self.pcm.extend(pcm);
        let over = self.pcm.len().saturating_sub(PCM_MAX);
        self.pcm.drain(..over);
        if self.unheard.len() >= LANE_PACKETS_MAX {
            self.unheard.pop_front();
        }
        self.unheard.push_back(packet);
        true
    }

    /// Goes on for a slot for which there is no packet.
    pub(crate) fn conceal(&mut self) {
        if !self.follows {
            self.catch_up(&mut []);
        }
        let pcm = self.decoder.conceal(&mut self.scratch);
        self.pcm.extend(pcm);
        self.bridged += SLOT_SAMPLES;
    }

    /// Decodes what has come, for a track that waits for its turn; whether it sounds. What comes before its first sound
    /// is thrown away.
    pub(crate) fn listen(&mut self, sounded: bool, onset_dbfs: f32) -> bool {
        let mut sounds = sounded;
        while !self.waiting.is_empty() {
            self.decode();
            let newest = self.pcm.make_contiguous();
            sounds = sounds
                || newest
                    .chunks(FRAME_SAMPLES)
                    .any(|frame| peak_dbfs(frame) >= onset_dbfs);
            let keep = if sounds { WAITING_SAMPLES_MAX } else { 0 };
            let over = self.pcm.len().saturating_sub(keep);
            self.pcm.drain(..over);
            self.settle();
        }
        sounds
    }

    /// The level in dBFS of what has come, for a track that is not to be heard; it is thrown away.
    pub(crate) fn overhear(&mut self) -> f32 {
        while self.decode() {}
        let level = level_dbfs(self.pcm.make_contiguous());
        self.pcm.clear();
        while !self.unheard.is_empty() {
            self.heard_one();
        }
        level
    }

    /// Throws away what has come and is of no interest.
    pub(crate) fn ignore(&mut self) {
        self.pcm.clear();
        self.settle();
        while self.pass().is_some() {}
    }

    /// Takes the next 10 ms that are decoded; adds them to `sum`.
    pub(crate) fn play(&mut self, sum: &mut [f32; FRAME_SAMPLES]) {
        for (sum, next) in sum
            .iter_mut()
            .zip(self.pcm.drain(..FRAME_SAMPLES.min(self.pcm.len())))
        {
            *sum += f32::from(next);
        }
        self.settle();
    }

    /// Takes the next samples that are decoded.
    pub(crate) fn take(&mut self, out: &mut [i16]) {
        out.fill(0);
        for sample in out {
            let Some(next) = self.pcm.pop_front() else {
                break;
            };
            *sample = next;
        }
        self.settle();
    }

    /// Brings the decoder up to what has been heard, and writes the end of that to the end of `heard`.
    pub(crate) fn catch_up(&mut self, heard: &mut [i16]) {
        self.decoder.reset();
        for packet in &self.history {
            let pcm = self.decoder.decode(packet.payload(), &mut self.scratch);
            let taken = pcm.len().min(heard.len());
            heard.copy_within(taken.., 0);
            let end = heard.len() - taken;
            heard[end..].copy_from_slice(&pcm[pcm.len() - taken..]);
        }
        self.follows = true;
    }

    /// Goes back to packets: those of which nothing has been heard are to be passed on, what is left is given up.
    pub(crate) fn give_back(&mut self) {
        self.pcm.clear();
        if let Some(first) = self.unheard.front() {
            self.next = Some(Next {
                stream: first.stream(),
                sequence: first.sequence(),
                rtp_time_48k: first.rtp_time_48k(),
            });
            self.follows = false;
        }
        while let Some(packet) = self.unheard.pop_back() {
            self.waiting.push_front(packet);
        }
        self.bridged = 0;
    }

    /// The level in dBFS of what is decoded and has not been heard.
    pub(crate) fn rest_dbfs(&mut self) -> f32 {
        let unheard = self.unheard_samples();
        let rest = self.pcm.len().saturating_sub(unheard);
        level_dbfs(&self.pcm.make_contiguous()[..rest])
    }

    /// Makes the sound that waits longer or shorter by about so many samples.
    pub(crate) fn lengthen(&mut self, at_least: usize, at_most: usize) -> usize {
        splice::lengthen(&mut self.pcm, at_least, at_most)
    }

    pub(crate) fn shorten(&mut self, at_least: usize, at_most: usize) -> usize {
        splice::shorten(&mut self.pcm, at_least, at_most)
    }

    fn unheard_samples(&self) -> usize {
        self.unheard.iter().map(Packet::samples).sum()
    }

    /// Keeps as unheard what is whole.
    fn settle(&mut self) {
        while self.unheard_samples() > self.pcm.len() {
            self.heard_one();
        }
    }

    fn heard_one(&mut self) {
        if let Some(packet) = self.unheard.pop_front() {
            self.remember(packet);
        }
    }

    fn remember(&mut self, packet: Packet) {
        if self.history.len() >= HISTORY_PACKETS {
            self.history.pop_front();
        }
        self.history.push_back(packet);
    }

    fn taken(&mut self, packet: &Packet) {
        self.next = Some(Next {
            stream: packet.stream(),
            sequence: packet.sequence() + 1,
            rtp_time_48k: packet.rtp_time_48k() + packet.samples() as u64,
        });
        self.bridged = 0;
        self.paused = packet.is_silence();
    }
}
