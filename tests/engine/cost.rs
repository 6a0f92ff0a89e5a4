//! What a voice costs a participant that decodes it and encodes it again: on our engine, and on libopus, str0m and a socket alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use kit::bare::Bare;
use livekit::options::{AudioEncoding, TrackPublishOptions};
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::encoded;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::time::MissedTickBehavior;

use crate::bare::Participant;
use crate::part::{FRAME, RATE_HZ, SETTLE, Server, subscribed};
use crate::usage;

const BITRATE_BPS: u32 = 32_000;
const PACKET: usize = RATE_HZ as usize / 50;
const OPUS_BYTES_MAX: usize = 1_275;
/// Which thread takes the voice and hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    /// The one that drives connections, as in Baton.
    Engine,
    /// One of the application's.
    Own,
}

/// The room of a participant without an engine.
pub(crate) const BARE_ROOM: &str = "voice-bare";

/// What a process has used that decoded and encoded a voice.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// CPU time per second, in milliseconds.
    pub(crate) cpu_ms_per_sec: f64,
    /// Packets that were encoded, per second.
    pub(crate) packets_per_sec: f64,
}

/// Somebody who speaks in a room, until it is dropped.
pub(crate) struct Mouth {
    _room: Room,
    speaking: tokio::task::JoinHandle<()>,
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

/// Speaks in the room of a process that is measured.
pub(crate) async fn mouth(server: &Server, room: &str) -> Result<Mouth> {
    let (room, _) = server.join(room, "mouth").await?;
    let source = publish(&room).await?;
    let speaking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0.. {
            ticks.tick().await;
            let frame = frame(voice(number, FRAME));
            // A track that is not sent yet takes no frames, and later ones will do.
            source.capture_frame(&frame).await.ok();
        }
    });
    Ok(Mouth {
        _room: room,
        speaking,
    })
}

impl Thread {
    /// The room of the process that is measured.
    pub(crate) fn room(self) -> &'static str {
        match self {
            Self::Engine => "voice-engine",
            Self::Own => "voice-own",
        }
    }
}

/// Decodes the voice in the room, and publishes what it has decoded.
pub(crate) async fn room(server: &Server, on: Thread, measured: Duration) -> Result<Cost> {
    let (room, mut events) = server.join(on.room(), "measured").await?;
    let track = subscribed(&mut events).await?;
    let source = publish(&room).await?;
    let mut ear = NativeAudioStream::new(track.rtc_track(), RATE_HZ as i32, 1);
    let relaying = async move {
        while let Some(heard) = ear.next().await {
            let samples = heard.data.into_owned();
            // As above.
            source.capture_frame(&frame(samples)).await.ok();
        }
    };
    match on {
        Thread::Engine => encoded::spawn(relaying)?,
        Thread::Own => drop(tokio::spawn(relaying)),
    }
    tokio::time::sleep(SETTLE).await;
    let (sent, before, start) = (packets_sent(&room).await?, usage::cpu()?, Instant::now());
    tokio::time::sleep(measured).await;
    let (used, secs) = (usage::cpu()? - before, start.elapsed().as_secs_f64());
    let sent = packets_sent(&room).await? - sent;
    room.close().await.ok();
    cost(used, sent, secs)
}

/// The same by a participant that has no engine, and as much as that takes: one thread, one socket.
pub(crate) fn bare(server: &Server, runtime: &Runtime, measured: Duration) -> Result<Cost> {
    let (mut decoder, mut encoder) = (Decoder::new(RATE_HZ, Channels::Mono)?, encoder()?);
    let mut samples = vec![0; PACKET];
    let mut participant = Participant::join(server, runtime, BARE_ROOM, "measured")?;
    let Participant { end, socket, .. } = &mut participant;
    let mut until = |end: &mut Bare, last: Instant| -> Result<()> {
        while let Some(payload) = end.next(socket, last)? {
            let decoded = decoder.decode(&payload, &mut samples, false)?;
            say(end, &mut encoder, &samples[..decoded])?;
        }
        Ok(())
    };
    until(end, Instant::now() + SETTLE)?;
    let (sent, before, start) = (end.sent(), usage::thread_cpu()?, Instant::now());
    until(end, start + measured)?;
    let used = usage::thread_cpu()? - before;
    let cost = cost(used, end.sent() - sent, start.elapsed().as_secs_f64());
    participant.leave(runtime);
    cost
}

fn cost(used: Duration, packets: u64, secs: f64) -> Result<Cost> {
    let packets_per_sec = packets as f64 / secs;
    ensure!(
        packets_per_sec > 45.0,
        "no more than {packets_per_sec:.1} packets a second were sent"
    );
    Ok(Cost {
        cpu_ms_per_sec: used.as_secs_f64() * 1_000.0 / secs,
        packets_per_sec,
    })
}

async fn publish(room: &Room) -> Result<NativeAudioSource> {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, 0);
    let track = LocalAudioTrack::create_audio_track("m", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        audio_encoding: Some(AudioEncoding {
            max_bitrate: BITRATE_BPS.into(),
        }),
        source: TrackSource::Microphone,
        dtx: false,
        red: false,
        ..Default::default()
    };
    room.local_participant()
        .publish_track(LocalTrack::Audio(track), options)
        .await?;
    Ok(source)
}

async fn packets_sent(room: &Room) -> Result<u64> {
    let stats = room.get_stats().await?;
    let both = stats.publisher_stats.iter().chain(&stats.subscriber_stats);
    let sent = both.filter_map(|each| match each {
        livekit::webrtc::stats::RtcStats::OutboundRtp(stream) => Some(stream.sent.packets_sent),
        _ => None,
    });
    Ok(sent.sum())
}

fn frame(samples: Vec<i16>) -> AudioFrame<'static> {
    AudioFrame {
        samples_per_channel: samples.len() as u32,
        data: samples.into(),
        sample_rate: RATE_HZ,
        num_channels: 1,
    }
}

/// Something like a voice: a pitch that wanders, its overtones, and syllables.
fn voice(number: u32, samples: usize) -> Vec<i16> {
    let start = number as usize * samples;
    (start..start + samples)
        .map(|at| {
            let t = at as f64 / f64::from(RATE_HZ);
            let turn = std::f64::consts::TAU * (140.0 * t + 6.0 * (3.0 * t).sin());
            let overtones = (1..=12).map(|n| (f64::from(n) * turn).sin() / f64::from(n));
            let syllable = 0.5 - 0.5 * (std::f64::consts::TAU * 4.0 * t).cos();
            (overtones.sum::<f64>() * syllable * 6_000.0) as i16
        })
        .collect()
}

/// As our engine encodes a voice.
fn encoder() -> Result<Encoder> {
    let mut encoder = Encoder::new(RATE_HZ, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(BITRATE_BPS as i32))?;
    encoder.set_dtx(false)?;
    encoder.set_inband_fec(true)?;
    Ok(encoder)
}

fn say(end: &mut Bare, encoder: &mut Encoder, samples: &[i16]) -> Result<()> {
    let mut payload = [0; OPUS_BYTES_MAX];
    let length = encoder.encode(samples, &mut payload)?;
    Ok(end.send(&payload[..length], PACKET as u32)?)
}
