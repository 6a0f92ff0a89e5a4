//! One track on its way out: PCM of a source in, Opus packets out.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder};
use parking_lot::Mutex;
use thiserror::Error;

use super::{
    TICK,
    level::level_dbov,
    red::RedWriter,
    resample::{Converter, ResampleError, remix},
    source::PcmTap,
    track::{LocalAudio, Wake},
};

/// The length of a packet.
const PACKET: Duration = Duration::from_millis(20);

/// The length of a packet on the RTP clock.
const PACKET_48K: u32 = 960;

/// Frames of the source in a packet.
const FRAMES_PER_PACKET: usize = 2;

/// PCM that waits for the encoder, at most; what is older is skipped.
const QUEUE_MAX: Duration = Duration::from_millis(500);

/// A direct source that is silent for longer than this has paused: time goes on without it.
const PAUSE: Duration = Duration::from_millis(100);

/// The largest packet that libopus makes of one frame.
const PAYLOAD_MAX: usize = 1_275;

/// Bits per second of one channel, when nobody asks for a rate: WebRTC's default for full-band Opus.
const BITRATE_PER_CHANNEL: u32 = 32_000;

/// What has been agreed on for a sent track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AudioSendParams {
    /// Bits per second; `None` for a default that fits the channels.
    pub(crate) bitrate: Option<u32>,
    /// Whether packets are left out in silence (`usedtx=1`).
    pub(crate) dtx: bool,
    /// Whether a packet carries a coarse copy of the one before it (`useinbandfec=1`), once losses are expected.
    pub(crate) fec: bool,
    /// Whether the other side takes two channels (`stereo=1`); a source of one is sent as one all the same.
    pub(crate) stereo: bool,
    /// The payload type of Opus, if packets are to be sent as RED, each with a copy of the one before it. It must be
    /// set when the other side prefers RED (lists its payload type before that of Opus): LiveKit's server drops what
    /// comes as anything but its first choice.
    pub(crate) red: Option<u8>,
    /// Packet loss to arm against, in percent, as the other side reports it.
    pub(crate) expected_loss_percent: u8,
}

impl Default for AudioSendParams {
    fn default() -> Self {
        Self {
            bitrate: None,
            dtx: false,
            fec: true,
            stereo: false,
            red: None,
            expected_loss_percent: 0,
        }
    }
}

/// One Opus packet, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpusPacket {
    /// The payload: RED if [`AudioSendParams::red`] says so, else an Opus packet.
    pub(crate) payload: Bytes,
    /// Time of its first sample on a clock of 48 kHz that never wraps. It goes on while packets are left out, and a
    /// sender that follows another one goes on after it.
    pub(crate) rtp_time_48k: u64,
    /// Samples per channel that it stands for, at 48 kHz.
    pub(crate) duration_samples_48k: u32,
    /// Whether it is the first after a pause, or at all.
    pub(crate) marker: bool,
    /// Its level in dBov, -127 to 0 (RFC 6464).
    pub(crate) audio_level_dbov: i8,
    /// Whether somebody seems to speak.
    pub(crate) voice_activity: bool,
}

/// The track cannot be encoded.
#[derive(Debug, Error)]
pub(crate) enum SenderError {
    /// The source's format is out of reach.
    #[error("the source's format cannot be sent")]
    Format(#[from] ResampleError),
    /// libopus refused.
    #[error("the opus encoder failed")]
    Opus(#[from] opus::Error),
    /// The source feeds too many already.
    #[error("the source feeds too many tracks")]
    TooManyTaps,
}

/// Encodes one track. It is owned by whoever sends the packets.
pub(crate) struct AudioSender {
    track: LocalAudio,
    tap: Arc<Tap>,
    encoder: Encoder,
    params: AudioSendParams,
    /// The rate that the encoder works at, in Hz.
    rate: u32,
    channels: u32,
    /// Present when the source's rate is none of Opus's.
    converter: Option<Converter>,
    /// Interleaved samples at the encoder's rate and channels: between calls, less than a packet.
    pending: Vec<i16>,
    /// One frame as the source has it.
    raw: Vec<i16>,
    payload: Box<[u8; PAYLOAD_MAX]>,
    red: RedWriter,
    /// The RTP time of the next packet, once `started`.
    rtp_time: u64,
    started: bool,
    /// Time skipped that does not make a whole packet yet.
    skipped: Duration,
    /// Whether the packet before was left out, so that the next one starts a spurt.
    paused: bool,
    /// Whether the encoder has announced silence; further announcements are not sent.
    in_dtx: bool,
    stats: SenderStats,
}

/// What a sender has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SenderStats {
    /// Packets made.
    pub(crate) packets: u64,
    /// Packets left out in silence.
    pub(crate) packets_left_out: u64,
    /// Payload bytes made.
    pub(crate) payload_bytes: u64,
    /// Level of the last packet, sent or not, in dBov.
    pub(crate) audio_level_dbov: i8,
    /// Sum over time of the squared level (full scale is 1), in seconds, as WebRTC's `totalAudioEnergy`.
    pub(crate) total_audio_energy: f64,
    /// Time encoded, in seconds.
    pub(crate) total_samples_duration: f64,
}

impl AudioSender {
    /// Starts to send `track`; `wake` is called when a source without a clock of its own has something new.
    pub(crate) fn new(
        track: LocalAudio,
        params: AudioSendParams,
        wake: Wake,
    ) -> Result<Self, SenderError> {
        let source = track.source();
        let rate = match source.sample_rate() {
            rate @ (8_000 | 12_000 | 16_000 | 24_000 | 48_000) => rate,
            _ => 48_000,
        };
        let channels = channels_to_send(source.channels(), params);
        let encoder = encoder(rate, channels, params)?;
        let converter = if rate == source.sample_rate() {
            None
        } else {
            Some(Converter::new(
                (source.sample_rate(), source.channels()),
                (rate, channels),
            )?)
        };
        let frame = (source.sample_rate() / 100 * source.channels()) as usize;
        let tap = Arc::new(Tap {
            direct: source.is_direct(),
            frame,
            wake,
            queue: Mutex::new(TapQueue::default()),
        });
        if !source.subscribe(tap.clone()) {
            return Err(SenderError::TooManyTaps);
        }
        Ok(Self {
            tap,
            encoder,
            params,
            rate,
            channels,
            converter,
            pending: Vec::with_capacity((rate / 25 * channels) as usize),
            raw: Vec::with_capacity(frame),
            payload: Box::new([0; PAYLOAD_MAX]),
            red: RedWriter::default(),
            rtp_time: 0,
            started: false,
            skipped: Duration::ZERO,
            paused: true,
            in_dtx: false,
            stats: SenderStats {
                audio_level_dbov: -127,
                ..SenderStats::default()
            },
            track,
        })
    }

    /// Takes what has been agreed on anew.
    pub(crate) fn set_params(&mut self, params: AudioSendParams) -> Result<(), SenderError> {
        if params == self.params {
            return Ok(());
        }
        let source = self.track.source();
        let channels = channels_to_send(source.channels(), params);
        if channels == self.channels {
            configure(&mut self.encoder, self.channels, params)?;
        } else {
            self.encoder = encoder(self.rate, channels, params)?;
            if self.converter.is_some() {
                let from = (source.sample_rate(), source.channels());
                self.converter = Some(Converter::new(from, (self.rate, channels))?);
            }
            self.pending.clear();
            self.channels = channels;
        }
        self.params = params;
        Ok(())
    }

    /// What has been counted so far.
    pub(crate) fn stats(&self) -> SenderStats {
        self.stats
    }

    /// The next packet that is due at `now`. Call it until it returns `None`.
    pub(crate) fn poll_packet(&mut self, now: Instant) -> Option<OpusPacket> {
        self.track.source().advance(now);
        if !self.started {
            self.started = true;
            self.rtp_time = start_time(now);
        }
        loop {
            // Frames stay with the tap until there is a packet of them: it counts them to know when to wake.
            while self.pending.len() < self.packet_samples() {
                if self.tap.frames() < FRAMES_PER_PACKET {
                    return None;
                }
                self.take_frame();
                self.take_frame();
            }
            if let Some(packet) = self.encode() {
                return Some(packet);
            }
        }
    }

    /// When to call [`Self::poll_packet`] next; `None` while only the source's wake tells.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let missing = FRAMES_PER_PACKET.saturating_sub(self.tap.frames()) as u32;
        if missing == 0 {
            return Some(now);
        }
        self.track
            .source()
            .next_tick(now)
            .map(|tick| tick + TICK * (missing - 1))
    }

    /// Moves 10 ms from the source to the encoder's input.
    fn take_frame(&mut self) {
        let skipped = {
            let mut queue = self.tap.queue.lock();
            let samples = self.tap.frame.min(queue.pcm.len());
            self.raw.clear();
            self.raw.extend(queue.pcm.drain(..samples));
            std::mem::take(&mut queue.skipped)
        };
        if !skipped.is_zero() {
            // Whole packets, so that receivers see a gap of the usual grid.
            self.skipped += skipped;
            let packets = (self.skipped.as_micros() / PACKET.as_micros()) as u32;
            self.skipped -= PACKET * packets;
            self.rtp_time += u64::from(packets) * u64::from(PACKET_48K);
            self.paused |= packets > 0;
        }
        if !self.track.enabled() {
            self.raw.fill(0);
        }
        match &mut self.converter {
            Some(converter) => converter.push(&self.raw, &mut self.pending),
            None => {
                let from = self.track.source().channels() as usize;
                remix(&self.raw, from, self.channels as usize, &mut self.pending);
            }
        }
    }

    /// Encodes one packet; `None` if silence makes it superfluous.
    fn encode(&mut self) -> Option<OpusPacket> {
        let samples = self.packet_samples();
        let level = level_dbov(&self.pending[..samples]);
        let encoded = self
            .encoder
            .encode(&self.pending[..samples], &mut self.payload[..]);
        self.pending.drain(..samples);
        let rtp_time = self.rtp_time;
        self.rtp_time += u64::from(PACKET_48K);
        self.stats.audio_level_dbov = level;
        self.stats.total_samples_duration += PACKET.as_secs_f64();
        self.stats.total_audio_energy += 10f64.powf(f64::from(level) / 10.0) * PACKET.as_secs_f64();
        let length = match encoded {
            Ok(length) => length,
            Err(error) => {
                tracing::warn!(%error, "opus refused a frame");
                0
            }
        };
        // libopus marks silence by packets of a byte or two. The first one tells the decoder, the rest need not be sent.
        let silent = self.params.dtx && length <= 2;
        if length == 0 || (silent && self.in_dtx) {
            self.paused = true;
            self.stats.packets_left_out += 1;
            return None;
        }
        self.in_dtx = silent;
        let payload = Bytes::copy_from_slice(&self.payload[..length]);
        let payload = match self.params.red {
            Some(payload_type) => self.red.wrap(payload_type, rtp_time, payload),
            None => payload,
        };
        self.stats.packets += 1;
        self.stats.payload_bytes += payload.len() as u64;
        Some(OpusPacket {
            payload,
            rtp_time_48k: rtp_time,
            duration_samples_48k: PACKET_48K,
            marker: std::mem::take(&mut self.paused),
            audio_level_dbov: level,
            voice_activity: !silent && level > -60,
        })
    }

    fn packet_samples(&self) -> usize {
        (self.rate / 50 * self.channels) as usize
    }
}

/// Where the source leaves frames for the encoder.
struct Tap {
    direct: bool,
    /// Samples of all channels in 10 ms.
    frame: usize,
    wake: Wake,
    queue: Mutex<TapQueue>,
}

#[derive(Default)]
struct TapQueue {
    pcm: VecDeque<i16>,
    /// Time for which there is no PCM, before what is queued.
    skipped: Duration,
    /// When a direct source should give the next frame at the latest.
    expected: Option<Instant>,
}

impl Tap {
    /// Frames of 10 ms that wait.
    fn frames(&self) -> usize {
        self.queue.lock().pcm.len() / self.frame.max(1)
    }
}

impl PcmTap for Tap {
    fn on_pcm(&self, now: Instant, pcm: &[i16], _sample_rate: u32, _channels: u32) {
        let mut queue = self.queue.lock();
        if self.direct {
            if let Some(pause) = queue.expected.and_then(|at| now.checked_duration_since(at))
                && pause > PAUSE
            {
                queue.skipped += pause;
                queue.expected = None;
            }
            queue.expected = Some(queue.expected.unwrap_or(now) + TICK);
        }
        queue.pcm.extend(pcm);
        let frames = queue.pcm.len() / self.frame.max(1);
        if frames as u128 * TICK.as_millis() > QUEUE_MAX.as_millis() {
            queue.pcm.drain(..self.frame);
            queue.skipped += TICK;
        }
        drop(queue);
        if self.direct && frames >= FRAMES_PER_PACKET {
            (self.wake)();
        }
    }

    fn on_skip(&self, skipped: Duration) {
        self.queue.lock().skipped += skipped;
    }
}

/// The RTP time at which a sender starts: it counts from the first sender of the process. A stream whose sender is
/// replaced, as by muting or a new direction, so never goes back in time, which receivers would take for old packets.
fn start_time(now: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(|| now);
    let packets = now.saturating_duration_since(epoch).as_millis() / PACKET.as_millis();
    packets as u64 * u64::from(PACKET_48K)
}

fn channels_to_send(source: u32, params: AudioSendParams) -> u32 {
    if params.stereo && source >= 2 { 2 } else { 1 }
}

fn encoder(rate: u32, channels: u32, params: AudioSendParams) -> Result<Encoder, opus::Error> {
    // As WebRTC: one channel is speech, two are music.
    let mut encoder = match channels {
        1 => Encoder::new(rate, Channels::Mono, Application::Voip)?,
        _ => Encoder::new(rate, Channels::Stereo, Application::Audio)?,
    };
    configure(&mut encoder, channels, params)?;
    Ok(encoder)
}

fn configure(
    encoder: &mut Encoder,
    channels: u32,
    params: AudioSendParams,
) -> Result<(), opus::Error> {
    let bitrate = params
        .bitrate
        .unwrap_or(BITRATE_PER_CHANNEL * channels)
        .clamp(6_000, 510_000);
    encoder.set_bitrate(Bitrate::Bits(bitrate as i32))?;
    encoder.set_dtx(params.dtx)?;
    encoder.set_inband_fec(params.fec)?;
    encoder.set_packet_loss_perc(i32::from(params.expected_loss_percent.min(100)))
}
