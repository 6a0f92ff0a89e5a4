//! When to decode what: from waiting packets to an unbroken stream of PCM.
//!
//! Playing follows the packets' RTP time. What is missing when its time has come is rebuilt from a later packet or
//! invented; a packet that comes late after nothing else was there is still played, and the delay grows by as much.
//! Periods of the sound are taken out or repeated to bring the delay back to what the arrivals ask for.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    TICK, TICK_48K,
    decoder::{AudioDecoder, duration_48k, is_silence},
    delay::DelayEstimator,
    jitter::{Inserted, JitterBuffer, Waiting},
    level::level_dbov,
    receiver::{ReceivedPacket, ReceiverStats},
    red::RedBlock,
    stretch,
};

/// The delay before anything is known about the network.
const INITIAL_TARGET: Duration = Duration::from_millis(40);

/// A packet that begins within a frame of 10 ms is wanted when the frame begins, and the machine itself is now and then late.
const OVERHEAD_48K: i64 = 720;

/// How far the delay may be above and below the wanted one before the speed changes: in sound, which suffers from it, and in silence.
const ABOVE_48K: i64 = 960;
const BELOW_48K: i64 = 720;
const QUIET_ABOVE_48K: i64 = 480;
const QUIET_BELOW_48K: i64 = 360;

/// How long sound that is too late is left alone, since a pause may come.
const PATIENCE: Duration = Duration::from_secs(1);

/// A delay so far above the wanted one is made up at once and whatever the sound is.
const HURRY_48K: i64 = 4_800;

/// A delay so far from the wanted one is left by a jump.
const JUMP_48K: i64 = 24_000;

/// Invented sound without a packet ends after this, and the next packet starts afresh.
const GIVE_UP_48K: u64 = 48_000;

/// RTP times further apart than this do not belong to one stretch of sound.
const DISCONTINUITY_48K: u64 = 96_000;

/// Turns packets into frames.
pub(crate) struct Playout {
    packets: JitterBuffer,
    delay: DelayEstimator,
    decoder: AudioDecoder,
    format: (u32, u32),
    /// Decoded and not yet handed out.
    decoded: Vec<i16>,
    state: State,
    /// The newest packet that was played or replaced; what is older comes too late.
    last_seq: Option<u64>,
    last_duration: u64,
    /// Whether the sender has said that it is silent.
    silent: bool,
    concealing: bool,
    /// Since when the sound has been too late.
    late_since: Option<Instant>,
    /// How long before it is due sound is being decoded.
    ahead: Duration,
    stats: ReceiverStats,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing plays; the next packets are gathered first.
    Idle,
    Playing {
        /// The RTP time of the next sample to decode.
        next_time: u64,
        /// Samples at 48 kHz invented since, for want of any packet.
        stalled: u64,
    },
}

impl Playout {
    /// A playout that has heard nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            packets: JitterBuffer::default(),
            delay: DelayEstimator::new(INITIAL_TARGET),
            decoder: AudioDecoder::default(),
            format: (0, 0),
            decoded: Vec::new(),
            state: State::Idle,
            last_seq: None,
            last_duration: 960,
            silent: false,
            concealing: false,
            late_since: None,
            ahead: Duration::ZERO,
            stats: ReceiverStats {
                audio_level_dbov: -127,
                ..ReceiverStats::default()
            },
        }
    }

    /// What has been counted so far.
    pub(crate) fn stats(&self) -> &ReceiverStats {
        &self.stats
    }

    /// Takes an Opus packet; one that is not `audible` is counted only.
    pub(crate) fn push(
        &mut self,
        arrival: Instant,
        seq: u64,
        rtp_time: u64,
        payload: Bytes,
        audible: bool,
    ) {
        self.stats.packets += 1;
        self.stats.payload_bytes += payload.len() as u64;
        self.delay.observe(arrival, rtp_time);
        self.stats.jitter_secs = self.delay.jitter().as_secs_f64();
        if audible {
            self.insert(arrival, seq, rtp_time, payload, false);
        } else {
            self.last_seq = self.last_seq.max(Some(seq));
        }
    }

    /// Takes the blocks of a RED packet, oldest first.
    pub(crate) fn push_red(&mut self, packet: &ReceivedPacket, blocks: &[RedBlock], audible: bool) {
        for block in blocks {
            let payload = block.payload.clone();
            if block.age == 0 {
                self.push(
                    packet.arrival,
                    packet.seq,
                    packet.rtp_time,
                    payload,
                    audible,
                );
            } else if audible && !payload.is_empty() {
                let seq = packet.seq.saturating_sub(block.age);
                let rtp_time = packet.rtp_time.saturating_sub(block.offset);
                if block.age == 1 {
                    self.delay.expect_copies(block.offset);
                }
                self.insert(packet.arrival, seq, rtp_time, payload, true);
            }
        }
    }

    /// Counts a packet that could not be read.
    pub(crate) fn count_malformed(&mut self) {
        self.stats.packets_malformed += 1;
    }

    /// Gives up what waits, as nobody listens.
    pub(crate) fn stop(&mut self) {
        self.packets.clear();
        self.decoded.clear();
        self.state = State::Idle;
    }

    /// Accounts for `samples` (48 kHz) that nobody asked for in time.
    pub(crate) fn skip(&mut self, samples: u64) {
        if samples > 0 {
            self.decoded.clear();
            self.state = State::Idle;
        }
    }

    /// Replaces `out` with 10 ms of interleaved PCM at `rate` Hz (one of Opus's) with one or two channels.
    pub(crate) fn pull_10ms(&mut self, now: Instant, rate: u32, channels: u32, out: &mut Vec<i16>) {
        self.set_format(rate, channels);
        while !self.has_10ms() {
            self.fill(now);
        }
        out.clear();
        out.extend(self.decoded.drain(..self.samples_10ms()));
        let level = level_dbov(out);
        self.stats.total_samples += TICK_48K;
        self.stats.audio_level_dbov = level;
        self.stats.total_audio_energy += 10f64.powf(f64::from(level) / 10.0) * 0.01;
    }

    /// Decodes what is to be handed out at `due`, which is later than `now`, if the packet is there. Says whether a frame is decoded; if
    /// not, one may still come.
    pub(crate) fn prepare(&mut self, now: Instant, due: Instant, rate: u32, channels: u32) -> bool {
        self.set_format(rate, channels);
        if !self.has_10ms() && self.is_next_there() {
            self.ahead = due.saturating_duration_since(now);
            self.fill(due);
            self.ahead = Duration::ZERO;
        }
        self.has_10ms()
    }

    /// Whether the packet that is to be played next waits: then it makes no difference when it is decoded. A copy may yet be followed by
    /// the packet itself.
    fn is_next_there(&self) -> bool {
        let (State::Playing { next_time, stalled }, Some(first)) =
            (self.state, self.packets.first())
        else {
            return false;
        };
        let from = next_time + stalled;
        !first.copy && first.rtp_time <= from && from < first.end()
    }

    /// Whether the next frame is decoded, in the format of the last one.
    pub(crate) fn has_10ms(&self) -> bool {
        self.decoded.len() >= self.samples_10ms()
    }

    fn samples_10ms(&self) -> usize {
        let (rate, channels) = self.format;
        (rate / 100 * channels) as usize
    }

    fn set_format(&mut self, rate: u32, channels: u32) {
        if self.format == (rate, channels) {
            return;
        }
        self.decoded.clear();
        self.format = (rate, channels);
        if let Err(error) = self.decoder.set_format(rate, channels) {
            tracing::warn!(%error, rate, channels, "opus cannot decode to this format");
        }
    }

    fn insert(&mut self, arrival: Instant, seq: u64, rtp_time: u64, payload: Bytes, copy: bool) {
        if payload.is_empty() {
            return;
        }
        if self.last_seq.is_some_and(|last| seq <= last) {
            self.stats.packets_late += u64::from(!copy);
            return;
        }
        let Some(duration) = duration_48k(&payload) else {
            self.stats.packets_malformed += 1;
            return;
        };
        let packet = Waiting {
            seq,
            rtp_time,
            duration,
            payload,
            arrival,
            copy,
        };
        match self.packets.insert(packet) {
            Inserted::Yes => {}
            Inserted::Duplicate => self.stats.packets_duplicate += u64::from(!copy),
            Inserted::Overflow => self.stats.packets_overflown += 1,
        }
    }

    /// Decodes, rebuilds or invents some sound.
    fn fill(&mut self, now: Instant) {
        match self.state {
            State::Idle => {
                if !self.start(now) {
                    self.silence();
                }
            }
            State::Playing { next_time, stalled } => self.play(now, next_time, stalled),
        }
    }

    /// Starts to play if enough waits.
    fn start(&mut self, now: Instant) -> bool {
        let Some(first) = self.packets.first() else {
            return false;
        };
        let waited = now.saturating_duration_since(first.arrival);
        let behind = self.delay.behind_48k(now, first.rtp_time);
        if behind < self.wanted_48k() && waited < self.delay.target() + TICK {
            return false;
        }
        let keep = self.wanted_48k() + ABOVE_48K;
        while self.packets.len() > 1
            && let Some(first) = self.packets.first()
            && self.delay.behind_48k(now, first.end()) > keep
        {
            self.packets.pop();
            self.stats.packets_overflown += 1;
        }
        let Some(first) = self.packets.first() else {
            return false;
        };
        self.state = State::Playing {
            next_time: first.rtp_time,
            stalled: 0,
        };
        true
    }

    fn play(&mut self, now: Instant, next_time: u64, stalled: u64) {
        let Some(first) = self.packets.first() else {
            self.stall(next_time, stalled);
            return;
        };
        if first.rtp_time > next_time + DISCONTINUITY_48K
            || first.end() + DISCONTINUITY_48K < next_time
            || (self.packets.len() > 1 && self.over_48k(now) > JUMP_48K)
        {
            self.state = State::Idle;
            return;
        }
        // The packet that brought a copy is there, too, and can be heard in time.
        let covered = if first.copy {
            next_time + stalled
        } else {
            next_time
        };
        if first.end() <= covered {
            self.give_up_first();
            return;
        }
        // What was invented meanwhile covers the gap.
        let gap = first.rtp_time.saturating_sub(next_time);
        let next_time = next_time + gap.min(stalled);
        let gap = gap.saturating_sub(stalled);
        if gap == 0 {
            if let Some(packet) = self.packets.pop() {
                self.decode(now, packet);
            }
            return;
        }
        let lost = self.last_seq.is_some_and(|last| first.seq != last + 1);
        if lost {
            self.replace(next_time, gap);
        } else {
            self.rest(now, next_time, gap);
        }
    }

    /// The first packet comes too late: what was invented in its place has been heard.
    fn give_up_first(&mut self) {
        let Some(packet) = self.packets.pop() else {
            return;
        };
        if packet.copy {
            self.delay.observe_copy(packet.arrival, packet.rtp_time);
        } else {
            self.stats.packets_late += 1;
        }
    }

    /// Nothing is there: the last sound goes on for a while.
    fn stall(&mut self, next_time: u64, stalled: u64) {
        if stalled >= GIVE_UP_48K {
            self.state = State::Idle;
            self.concealing = false;
            return;
        }
        self.conceal(TICK_48K, !self.silent);
        self.state = State::Playing {
            next_time,
            stalled: stalled + TICK_48K,
        };
    }

    /// Packets are missing before the first one: the last of them may be inside it.
    fn replace(&mut self, next_time: u64, gap: u64) {
        let Some(first) = self.packets.first() else {
            return;
        };
        let copied = gap <= self.last_duration && has_fec(&first.payload);
        let step = if copied { gap } else { gap.min(TICK_48K) };
        self.state = State::Playing {
            next_time: next_time + step,
            stalled: 0,
        };
        let sound = step / 120 * 120;
        if sound == 0 {
            return;
        }
        if copied
            && self
                .decoder
                .recover(&first.payload, sound, &mut self.decoded)
                .is_ok()
        {
            self.stats.packets_from_fec += 1;
            self.concealing = false;
        } else {
            // A packet that comes late may still be in time for what follows.
            self.conceal(sound, !self.silent);
        }
    }

    /// The sender has been silent up to the first packet: no loss, and a good time to change the delay.
    fn rest(&mut self, now: Instant, next_time: u64, gap: u64) {
        let over = self.over_48k(now);
        let waits = is_under(over, QUIET_BELOW_48K);
        let (skipped, step) = if waits {
            self.stats.inserted_samples += TICK_48K;
            (0, 0)
        } else {
            let skipped = over.clamp(0, gap.min(TICK_48K) as i64) as u64;
            self.stats.removed_samples += skipped;
            (skipped, (gap - skipped).min(TICK_48K))
        };
        self.state = State::Playing {
            next_time: next_time + skipped + step,
            stalled: 0,
        };
        let sound = if waits { TICK_48K } else { step / 120 * 120 };
        if sound > 0 {
            self.conceal(sound, false);
        }
    }

    fn decode(&mut self, now: Instant, packet: Waiting) {
        let from = self.decoded.len();
        self.last_seq = Some(packet.seq);
        self.last_duration = packet.duration;
        if packet.copy {
            self.delay.observe_copy(packet.arrival, packet.rtp_time);
        }
        self.state = State::Playing {
            next_time: packet.end(),
            stalled: 0,
        };
        if self
            .decoder
            .decode(&packet.payload, &mut self.decoded)
            .is_err()
        {
            self.stats.packets_malformed += 1;
            self.conceal(packet.duration, true);
            return;
        }
        self.silent = is_silence(&packet.payload);
        self.concealing = false;
        self.stats.packets_from_red += u64::from(packet.copy);
        let emitted = packet.duration as f64;
        let waited = now.saturating_duration_since(packet.arrival + self.ahead);
        self.stats.buffer_delay_secs += waited.as_secs_f64() * emitted;
        self.stats.buffer_target_secs += self.delay.target().as_secs_f64() * emitted;
        self.stats.buffer_emitted += packet.duration;
        self.adjust(now, from);
    }

    /// Brings the delay nearer to the wanted one, by a period of the sound decoded since `from`.
    fn adjust(&mut self, now: Instant, from: usize) {
        let (rate, channels) = (self.format.0, self.format.1 as usize);
        let to_48k = |samples: usize| samples as u64 * 48_000 / u64::from(rate.max(1));
        let over = self.over_48k(now);
        let quiet = stretch::is_quiet(&self.decoded[from..], channels);
        let (above, below) = if quiet {
            (QUIET_ABOVE_48K, QUIET_BELOW_48K)
        } else {
            (ABOVE_48K, BELOW_48K)
        };
        if over <= ABOVE_48K {
            self.late_since = None;
        }
        if over > above {
            let hurry = over > HURRY_48K;
            let since = *self.late_since.get_or_insert(now);
            if quiet || hurry || now.saturating_duration_since(since) >= PATIENCE {
                let removed = stretch::shorten(&mut self.decoded, from, rate, channels, hurry);
                self.stats.removed_samples += to_48k(removed);
            }
        } else if is_under(over, below) {
            let inserted = stretch::lengthen(&mut self.decoded, from, rate, channels);
            self.stats.inserted_samples += to_48k(inserted);
        }
    }

    fn conceal(&mut self, duration: u64, counted: bool) {
        let from = self.decoded.len();
        if self.decoder.conceal(duration, &mut self.decoded).is_err() || self.decoded.len() == from
        {
            let samples = duration * u64::from(self.format.0) / 48_000 * u64::from(self.format.1);
            self.decoded.resize(from + samples as usize, 0);
        }
        if counted {
            self.stats.concealed_samples += duration;
            self.stats.concealment_events += u64::from(!self.concealing);
        }
        self.concealing = counted;
    }

    fn silence(&mut self) {
        self.decoded
            .resize(self.decoded.len() + self.samples_10ms(), 0);
    }

    /// The delay behind the fastest packets with which nearly all come in time.
    fn wanted_48k(&self) -> i64 {
        (self.delay.target().as_micros() * 48 / 1_000) as i64 + OVERHEAD_48K
    }

    /// By how much what is handed out at `now` is later than wanted.
    fn over_48k(&self, now: Instant) -> i64 {
        let State::Playing { next_time, stalled } = self.state else {
            return 0;
        };
        let per_sample = u64::from(self.format.1.max(1)) * u64::from(self.format.0.max(1));
        let decoded = self.decoded.len() as u64 * 48_000 / per_sample;
        let heard = (next_time + stalled).saturating_sub(decoded);
        self.delay.behind_48k(now, heard) - self.wanted_48k()
    }
}

impl Default for Playout {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a delay is too small by more than `below`. One that is far too small is an error of the sender's clock, not worth waiting for.
fn is_under(over: i64, below: i64) -> bool {
    (-JUMP_48K..-below).contains(&over)
}

/// Whether an Opus packet carries a coarse copy of the one before it (RFC 6716, 4.2.4).
fn has_fec(payload: &[u8]) -> bool {
    let Ok(packet) = opus::packet::parse(payload) else {
        return false;
    };
    // CELT alone, the configurations from 16 on, has no copies.
    let config = packet.toc >> 3;
    if config >= 16 {
        return false;
    }
    let silk_frames = match (config, config & 3) {
        (12.., _) | (_, 0 | 1) => 1,
        (_, 2) => 2,
        (_, _) => 3,
    };
    let Some(&first) = packet.frames.first().and_then(|frame| frame.first()) else {
        return false;
    };
    let stereo = packet.toc & 4 != 0;
    let middle = first >> (7 - silk_frames) & 1 == 1;
    let side = stereo && first >> (6 - 2 * silk_frames) & 1 == 1;
    middle || side
}
