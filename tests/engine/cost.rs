//! What a voice costs that is decoded and encoded again: in a room on our engine, and without either, on libopus, str0m and a
//! socket.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::StreamExt as _;
use kit::bare::{self, Bare};
use livekit::options::{AudioEncoding, TrackPublishOptions};
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::part::{FRAME, RATE_HZ, SETTLE, Server, subscribed};
use crate::usage;

const BITRATE_BPS: u32 = 32_000;
const PACKET: usize = RATE_HZ as usize / 50;
const PACKET_EVERY: Duration = Duration::from_millis(20);
const OPUS_BYTES_MAX: usize = 1_275;
/// The room of the measured process.
pub(crate) const ROOM: &str = "cost";

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

/// Speaks in the room of the measured process.
pub(crate) async fn mouth(server: &Server) -> Result<Mouth> {
    let (room, _) = server.join(ROOM, "mouth").await?;
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

/// Decodes the voice in the room, and publishes what it has decoded.
pub(crate) async fn room(server: &Server, measured: Duration) -> Result<Cost> {
    let (room, mut events) = server.join(ROOM, "measured").await?;
    let track = subscribed(&mut events).await?;
    let source = publish(&room).await?;
    let mut ear = NativeAudioStream::new(track.rtc_track(), RATE_HZ as i32, 1);
    let relaying = tokio::spawn(async move {
        while let Some(heard) = ear.next().await {
            let samples = heard.data.into_owned();
            // As above.
            source.capture_frame(&frame(samples)).await.ok();
        }
    });
    tokio::time::sleep(SETTLE).await;
    let (sent, before, start) = (packets_sent(&room).await?, usage::cpu()?, Instant::now());
    tokio::time::sleep(measured).await;
    let (used, secs) = (usage::cpu()? - before, start.elapsed().as_secs_f64());
    let sent = packets_sent(&room).await? - sent;
    relaying.abort();
    room.close().await.ok();
    cost(used, sent, secs)
}

/// The same without a room and without an engine, and as much as that takes: one thread, one socket.
pub(crate) fn bare(measured: Duration) -> Result<Cost> {
    let (here, there) = (bare::socket()?, bare::socket()?);
    let (near, far) = Bare::pair(here.local_addr()?, there.local_addr()?)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let speaking = scope.spawn(|| speak(far, &there, &over));
        let ended = relay(near, &here, measured);
        over.store(true, Ordering::Relaxed);
        match speaking.join() {
            Ok(spoken) => spoken?,
            Err(_) => bail!("the other side has panicked"),
        }
        ended
    })
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

/// Speaks over a connection until it is over.
fn speak(mut far: Bare, socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    let mut encoder = encoder()?;
    let start = Instant::now();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let until = start + PACKET_EVERY * number;
        while far.next(socket, until)?.is_some() {}
        if far.is_connected() {
            say(&mut far, &mut encoder, &voice(number, PACKET))?;
        }
    }
    Ok(())
}

/// Decodes what comes over a connection and says it again.
fn relay(mut near: Bare, socket: &UdpSocket, measured: Duration) -> Result<Cost> {
    let (mut decoder, mut encoder) = (Decoder::new(RATE_HZ, Channels::Mono)?, encoder()?);
    let mut samples = vec![0; PACKET];
    let mut until = |near: &mut Bare, end: Instant| -> Result<()> {
        while let Some(payload) = near.next(socket, end)? {
            let decoded = decoder.decode(&payload, &mut samples, false)?;
            say(near, &mut encoder, &samples[..decoded])?;
        }
        Ok(())
    };
    until(&mut near, Instant::now() + SETTLE)?;
    let (sent, before, start) = (near.sent(), usage::thread_cpu()?, Instant::now());
    until(&mut near, start + measured)?;
    let used = usage::thread_cpu()? - before;
    cost(used, near.sent() - sent, start.elapsed().as_secs_f64())
}

fn say(end: &mut Bare, encoder: &mut Encoder, samples: &[i16]) -> Result<()> {
    let mut payload = [0; OPUS_BYTES_MAX];
    let length = encoder.encode(samples, &mut payload)?;
    Ok(end.send(&payload[..length], PACKET as u32)?)
}
