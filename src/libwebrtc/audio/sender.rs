//! One track on its way out: PCM of a source or packets that are ready made in, Opus packets out.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder};
use thiserror::Error;

use super::{
    TICK,
    feed::{Feed, Next},
    frames::{OpusFrame, PACKET_BYTES_MAX},
    level::level_dbov,
    red::RedWriter,
    resample::{Converter, ResampleError, remix},
    track::{Driver, LocalAudio},
};

/// The length of a packet.
const PACKET: Duration = Duration::from_millis(20);

/// The length of a packet on the RTP clock.
const PACKET_48K: u32 = 960;

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
    feed: Arc<Feed>,
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
    payload: Box<[u8; PACKET_BYTES_MAX]>,
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
    /// What was sent last was ready made, so that the encoder does not know what the other side's decoder has heard.
    passed: bool,
    /// The next packet must not build on what the encoder has heard.
    independent: bool,
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
    /// Starts to send `track`; `driver` is told when a source without a clock of its own has something new.
    pub(crate) fn new(
        track: LocalAudio,
        params: AudioSendParams,
        driver: Arc<dyn Driver>,
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
        let feed = Arc::new(Feed::new(source.is_direct(), frame, driver));
        if !source.subscribe(feed.clone()) {
            return Err(SenderError::TooManyTaps);
        }
        Ok(Self {
            feed,
            encoder,
            params,
            rate,
            channels,
            converter,
            pending: Vec::with_capacity((rate / 25 * channels) as usize),
            raw: Vec::with_capacity(frame),
            payload: Box::new([0; PACKET_BYTES_MAX]),
            red: RedWriter::default(),
            rtp_time: 0,
            started: false,
            skipped: Duration::ZERO,
            paused: true,
            in_dtx: false,
            passed: false,
            independent: false,
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
            // Frames stay with the feed until there is a packet of them: it counts them to know when to wake.
            while self.pending.len() < self.packet_samples() {
                match self.feed.next()? {
                    Next::Packet => {
                        self.take_frame();
                        self.take_frame();
                    }
                    Next::Rest => {
                        self.take_frame();
                        let samples = self.tick_samples();
                        if (samples..self.packet_samples()).contains(&self.pending.len())
                            && let Some(packet) = self.encode(samples)
                        {
                            return Some(packet);
                        }
                    }
                    Next::Ready(frame, skipped) => {
                        self.skip(skipped);
                        if let Some(packet) = self.pass(frame) {
                            return Some(packet);
                        }
                    }
                }
            }
            if let Some(packet) = self.encode(self.packet_samples()) {
                return Some(packet);
            }
        }
    }

    /// When to call [`Self::poll_packet`] next; `None` while only the source's wake tells.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let missing = self.feed.missing() as u32;
        if missing == 0 {
            return Some(now);
        }
        self.track
            .source()
            .next_tick(now)
            .map(|tick| tick + TICK * (missing - 1))
    }

    /// Lets time pass for which there is nothing.
    fn skip(&mut self, skipped: Duration) {
        if skipped.is_zero() {
            return;
        }
        // Whole packets, so that receivers see a gap of the usual grid.
        self.skipped += skipped;
        let packets = (self.skipped.as_micros() / PACKET.as_micros()) as u32;
        self.skipped -= PACKET * packets;
        self.rtp_time += u64::from(packets) * u64::from(PACKET_48K);
        self.paused |= packets > 0;
    }

    /// Moves 10 ms from the source to the encoder's input.
    fn take_frame(&mut self) {
        if std::mem::take(&mut self.passed) {
            self.resume();
        }
        let skipped = self.feed.take(&mut self.raw);
        self.skip(skipped);
        if !self.track.enabled() {
            self.raw.fill(0);
        }
        self.convert();
    }

    /// Appends `raw` to the encoder's input.
    fn convert(&mut self) {
        match &mut self.converter {
            Some(converter) => converter.push(&self.raw, &mut self.pending),
            None => {
                let from = self.track.source().channels() as usize;
                remix(&self.raw, from, self.channels as usize, &mut self.pending);
            }
        }
    }

    /// Prepares the encoder to go on after packets that it has not made.
    fn resume(&mut self) {
        if let Err(error) = self.encoder.reset_state() {
            tracing::warn!(%error, "the opus encoder keeps its past");
        }
        self.independent = true;
        self.feed.take_prime(&mut self.raw);
        if self.raw.is_empty() || !self.track.enabled() {
            return;
        }
        self.convert();
        let samples = self.packet_samples();
        let odd = self.pending.len() % samples;
        for chunk in self.pending[odd..].chunks_exact(samples) {
            // The packet is of no interest: it stands for what has been sent already.
            self.encoder.encode(chunk, &mut self.payload[..]).ok();
        }
        self.pending.clear();
    }

    /// Sends a packet that is ready made; `None` if the track is disabled and silence makes it superfluous.
    fn pass(&mut self, frame: OpusFrame) -> Option<OpusPacket> {
        // What does not fill 10 ms is given up; only sources at a rate that is none of Opus's leave any.
        self.pending.clear();
        let duration = frame.duration_samples_48k() as u32;
        if !self.track.enabled() {
            let samples = (self.rate * duration / 48_000 * self.channels) as usize;
            if std::mem::take(&mut self.passed) {
                self.resume();
            }
            self.pending.resize(samples, 0);
            return self.encode(samples);
        }
        self.passed = true;
        self.in_dtx = false;
        let level = frame.level_dbov();
        let silent = frame.is_silence();
        let rtp_time = self.account(duration, level);
        Some(self.packet(frame.into_payload(), rtp_time, duration, level, silent))
    }

    /// Encodes the first `samples` of the input into one packet; `None` if silence makes it superfluous.
    fn encode(&mut self, samples: usize) -> Option<OpusPacket> {
        let level = level_dbov(&self.pending[..samples]);
        let independent = std::mem::take(&mut self.independent);
        if independent {
            self.encoder.set_prediction_disabled(true).ok();
        }
        let encoded = self
            .encoder
            .encode(&self.pending[..samples], &mut self.payload[..]);
        if independent {
            self.encoder.set_prediction_disabled(false).ok();
        }
        self.pending.drain(..samples);
        let duration = (samples as u64 * 48_000 / u64::from(self.rate * self.channels)) as u32;
        let rtp_time = self.account(duration, level);
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
        Some(self.packet(payload, rtp_time, duration, level, silent))
    }

    /// Lets `duration` pass with sound of this level; returns the time at its beginning.
    fn account(&mut self, duration_48k: u32, level: i8) -> u64 {
        let rtp_time = self.rtp_time;
        self.rtp_time += u64::from(duration_48k);
        let secs = f64::from(duration_48k) / 48_000.0;
        self.stats.audio_level_dbov = level;
        self.stats.total_samples_duration += secs;
        self.stats.total_audio_energy += 10f64.powf(f64::from(level) / 10.0) * secs;
        rtp_time
    }

    fn packet(
        &mut self,
        payload: Bytes,
        rtp_time: u64,
        duration_48k: u32,
        level: i8,
        silent: bool,
    ) -> OpusPacket {
        let payload = match self.params.red {
            Some(payload_type) => self.red.wrap(payload_type, rtp_time, payload),
            None => payload,
        };
        self.stats.packets += 1;
        self.stats.payload_bytes += payload.len() as u64;
        OpusPacket {
            payload,
            rtp_time_48k: rtp_time,
            duration_samples_48k: duration_48k,
            marker: std::mem::take(&mut self.paused),
            audio_level_dbov: level,
            voice_activity: !silent && level > -60,
        }
    }

    /// Samples of all channels in 10 ms, at the encoder's rate.
    fn tick_samples(&self) -> usize {
        (self.rate / 100 * self.channels) as usize
    }

    fn packet_samples(&self) -> usize {
        (self.rate / 50 * self.channels) as usize
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
