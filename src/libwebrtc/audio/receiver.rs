//! One track on its way in: RTP packets in, frames of 10 ms of PCM for every sink, and the packets as they are for
//! every tap.

use std::{
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    TICK, TICK_48K,
    decoder::duration_48k,
    frames::{FrameQueue, ReceivedFrame, Seen},
    playout::Playout,
    red,
    sink::PcmSink,
    track::{Driver, RemoteAudio},
};

/// Ticks of delay after which the missed ones are skipped instead of caught up.
const CATCH_UP_TICKS: u32 = 50;

/// How long before it is due a packet is played when another one comes: the thread is awake then, and need not wake again. A little
/// more than a packet, so that one or the other comes within it whatever the delay is.
const EARLY: Duration = Duration::from_millis(25);

/// Frames of the packets that most senders send.
const FRAMES_PER_PACKET: usize = 2;

/// How the payload of a packet is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    /// An Opus packet (RFC 7587).
    Opus,
    /// An Opus packet with copies of earlier ones (RFC 2198).
    Red,
}

/// One packet as it came.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedPacket {
    /// The sequence number, extended beyond 16 bits.
    pub(crate) seq: u64,
    /// The RTP time at 48 kHz, extended beyond 32 bits.
    pub(crate) rtp_time: u64,
    /// The payload, without padding.
    pub(crate) payload: Bytes,
    /// What the payload type says it is.
    pub(crate) kind: PayloadKind,
    /// When it arrived.
    pub(crate) arrival: Instant,
}

/// What a receiver has counted, in the terms of WebRTC's `inbound-rtp` statistics. Samples are per channel at 48 kHz.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ReceiverStats {
    /// Packets taken, copies in RED not counted.
    pub(crate) packets: u64,
    /// Payload bytes taken.
    pub(crate) payload_bytes: u64,
    /// The interarrival jitter of RFC 3550, in seconds.
    pub(crate) jitter_secs: f64,
    /// Packets that came too late to be heard.
    pub(crate) packets_late: u64,
    /// Packets that were there already.
    pub(crate) packets_duplicate: u64,
    /// Packets given up to stay within the buffer's bounds.
    pub(crate) packets_overflown: u64,
    /// Packets that could not be read or decoded.
    pub(crate) packets_malformed: u64,
    /// Packets that were made good from a copy in RED.
    pub(crate) packets_from_red: u64,
    /// Packets that were made good from the coarse copy in the following packet.
    pub(crate) packets_from_fec: u64,
    /// Samples handed out, of all kinds.
    pub(crate) total_samples: u64,
    /// Samples that were invented in place of missing packets.
    pub(crate) concealed_samples: u64,
    /// Times that concealment began.
    pub(crate) concealment_events: u64,
    /// Samples added to slow playout down.
    pub(crate) inserted_samples: u64,
    /// Samples taken out to speed playout up.
    pub(crate) removed_samples: u64,
    /// Sum of the time that each sample handed out spent in the buffer, in seconds.
    pub(crate) buffer_delay_secs: f64,
    /// Sum of the target delay for each of these samples, in seconds.
    pub(crate) buffer_target_secs: f64,
    /// Samples that these sums are about.
    pub(crate) buffer_emitted: u64,
    /// Level of the last frame handed out, in dBov.
    pub(crate) audio_level_dbov: i8,
    /// As WebRTC's `totalAudioEnergy`, in seconds.
    pub(crate) total_audio_energy: f64,
}

/// Buffers, decodes and hands out one track. It is owned by whoever receives the packets.
///
/// It decodes only while there are sinks: without any, packets are counted, handed to the taps and dropped.
pub(crate) struct AudioReceiver {
    track: RemoteAudio,
    sinks: Vec<Arc<PcmSink>>,
    taps: Vec<Arc<FrameQueue>>,
    generation: u64,
    /// The number of this stream on its track.
    stream: u64,
    seen: Seen,
    playout: Playout,
    next_tick: Option<Instant>,
    /// A packet has come since frames were handed out.
    came: bool,
    frame: Vec<i16>,
    /// Who is to be woken for frames that were handed out.
    wakers: Vec<Waker>,
}

impl AudioReceiver {
    /// Starts to receive `track`; `driver` is woken when a sink is added.
    pub(crate) fn new(track: RemoteAudio, driver: Arc<dyn Driver>) -> Self {
        track.set_driver(Some(driver));
        Self {
            stream: track.begin_stream(),
            track,
            sinks: Vec::new(),
            taps: Vec::new(),
            generation: 0,
            seen: Seen::default(),
            playout: Playout::new(),
            next_tick: None,
            came: false,
            frame: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// Takes a packet. Says whether there are taps, which have been given it unless it had come before.
    pub(crate) fn push_packet(&mut self, packet: ReceivedPacket) -> bool {
        self.refresh_listeners();
        let audible = !self.sinks.is_empty();
        self.came = true;
        match packet.kind {
            PayloadKind::Opus => {
                self.hand_on(&packet, 0, 0, &packet.payload);
                self.playout.push(
                    packet.arrival,
                    packet.seq,
                    packet.rtp_time,
                    packet.payload,
                    audible,
                );
            }
            PayloadKind::Red => match red::unwrap(&packet.payload) {
                Ok(blocks) => {
                    for block in &blocks {
                        self.hand_on(&packet, block.age, block.offset, &block.payload);
                    }
                    self.playout.push_red(&packet, &blocks, audible);
                }
                Err(_) => self.playout.count_malformed(),
            },
        }
        !self.taps.is_empty()
    }

    /// Who waits for the frames that were handed out, to be woken once nothing is locked that they may want.
    pub(crate) fn take_wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.wakers.drain(..)
    }

    /// Hands out all frames that are due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.refresh_listeners();
        if self.sinks.is_empty() {
            self.next_tick = None;
            self.playout.stop();
            return;
        }
        let next = *self.next_tick.get_or_insert(now);
        let came = std::mem::take(&mut self.came);
        let due = match now.checked_duration_since(next) {
            Some(late) => (late.as_nanos() / TICK.as_nanos())
                .try_into()
                .unwrap_or(u32::MAX - 1)
                .saturating_add(1),
            None if came && next - now <= EARLY && self.holds(2 * FRAMES_PER_PACKET) => {
                let (rate, channels) = wanted_format(&self.sinks);
                if !self.playout.prepare(now, next, rate, channels) {
                    return;
                }
                1
            }
            None => return,
        };
        let skip = if due > CATCH_UP_TICKS { due - 1 } else { 0 };
        self.playout.skip(u64::from(skip) * TICK_48K);
        for tick in skip..due {
            self.tick(next + TICK * tick);
        }
        let mut handed_out = due;
        // A packet of 20 ms is two frames, for which whoever listens is woken once: nothing is gained by keeping the second.
        if self.holds(FRAMES_PER_PACKET) && self.playout.has_10ms() {
            self.tick(next + TICK * due);
            handed_out += 1;
        }
        self.next_tick = Some(next + TICK * handed_out);
    }

    /// Whether so many frames find room with all who listen.
    fn holds(&self, frames: usize) -> bool {
        self.sinks.iter().all(|sink| sink.holds(frames))
    }

    /// When to call [`Self::handle_timeout`] next; `None` while nobody listens.
    pub(crate) fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.refresh_listeners();
        if self.sinks.is_empty() {
            return None;
        }
        Some(*self.next_tick.get_or_insert(now))
    }

    /// What has been counted so far.
    pub(crate) fn stats(&self) -> &ReceiverStats {
        self.playout.stats()
    }

    fn tick(&mut self, now: Instant) {
        let (rate, channels) = wanted_format(&self.sinks);
        self.playout.pull_10ms(now, rate, channels, &mut self.frame);
        if !self.track.enabled() {
            self.frame.fill(0);
        }
        for sink in &self.sinks {
            self.wakers.extend(sink.push(&self.frame, rate, channels));
        }
    }

    /// Gives a packet to the taps, once: `age` and `offset` are those of a copy in RED, 0 for the packet proper.
    fn hand_on(&mut self, packet: &ReceivedPacket, age: u64, offset: u64, payload: &Bytes) {
        let copy = age > 0;
        // A copy of what came before the first packet, or before there were taps, is nothing that was lost.
        if copy && (self.taps.is_empty() || !self.seen.any()) {
            return;
        }
        let Some(duration) = duration_48k(payload) else {
            return;
        };
        let (Some(sequence), Some(rtp_time_48k)) = (
            packet.seq.checked_sub(age),
            packet.rtp_time.checked_sub(offset),
        ) else {
            return;
        };
        if !self.seen.insert(sequence) || !self.track.enabled() {
            return;
        }
        for tap in &self.taps {
            tap.push(ReceivedFrame {
                payload: payload.clone(),
                sequence,
                rtp_time_48k,
                duration_samples_48k: duration,
                stream: self.stream,
                recovered: copy,
                arrived: packet.arrival,
            });
        }
    }

    fn refresh_listeners(&mut self) {
        self.generation =
            self.track
                .listeners_since(self.generation, &mut self.sinks, &mut self.taps);
        self.sinks.retain(|sink| !sink.is_closed());
        self.taps.retain(|tap| !tap.is_closed());
    }
}

impl Drop for AudioReceiver {
    fn drop(&mut self) {
        self.track.set_driver(None);
    }
}

/// The rate and channels to decode at, so that the fewest sinks must convert.
fn wanted_format(sinks: &[Arc<PcmSink>]) -> (u32, u32) {
    let mut rate = None;
    let mut channels = 1;
    for sink in sinks {
        let (sink_rate, sink_channels) = sink.format();
        let native = matches!(sink_rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000);
        rate = match rate {
            None if native => Some(sink_rate),
            Some(rate) if rate == sink_rate => Some(rate),
            None | Some(_) => Some(48_000),
        };
        channels = channels.max(sink_channels.min(2));
    }
    (rate.unwrap_or(48_000), channels)
}
