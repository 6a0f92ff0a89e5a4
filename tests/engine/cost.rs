//! What a voice costs that is decoded and encoded again: in a room on our engine, and without either, on libopus, str0m and a
//! socket.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use livekit::options::{AudioEncoding, TrackPublishOptions};
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};
use serde::{Deserialize, Serialize};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::time::MissedTickBehavior;

use crate::part::{FRAME, RATE_HZ, SETTLE, Server, subscribed};
use crate::usage;

const BITRATE_BPS: u32 = 32_000;
const PACKET: usize = RATE_HZ as usize / 50;
const PACKET_EVERY: Duration = Duration::from_millis(20);
const DATAGRAM_BYTES: usize = 2_048;
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
    let (mut near, mut far) = (Side::open()?, Side::open()?);
    let (near_mid, far_mid) = introduce(&mut near, &mut far)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let speaking = scope.spawn(|| far.speak(far_mid, &over));
        let ended = near.relay(near_mid, measured);
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

/// One end of a bare connection.
struct Side {
    rtc: Rtc,
    socket: UdpSocket,
    buffer: Vec<u8>,
    encoder: Encoder,
    sent: u64,
}

fn introduce(near: &mut Side, far: &mut Side) -> Result<(Mid, Mid)> {
    let mut api = far.rtc.sdp_api();
    let mid = api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    let (offer, pending) = api.apply().context("there is nothing to offer")?;
    let answer = near.rtc.sdp_api().accept_offer(offer)?;
    far.rtc.sdp_api().accept_answer(pending, answer)?;
    Ok((mid, mid))
}

impl Side {
    fn open() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket")?;
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, true)
            .set_rtp_mode(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        Ok(Self {
            rtc,
            socket,
            buffer: vec![0; DATAGRAM_BYTES],
            encoder: encoder()?,
            sent: 0,
        })
    }

    /// Speaks until it is over.
    fn speak(&mut self, mid: Mid, over: &AtomicBool) -> Result<()> {
        let start = Instant::now();
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let until = start + PACKET_EVERY * number;
            while self.step(until)?.is_some() {}
            if self.rtc.is_connected() {
                self.say(mid, &voice(number, PACKET))?;
            }
        }
        Ok(())
    }

    /// Decodes what comes and says it again.
    fn relay(&mut self, mid: Mid, measured: Duration) -> Result<Cost> {
        let mut decoder = Decoder::new(RATE_HZ, Channels::Mono)?;
        let mut samples = vec![0; PACKET];
        let mut until = |side: &mut Self, end: Instant| -> Result<()> {
            while Instant::now() < end {
                let Some(packet) = side.step(end)? else {
                    continue;
                };
                let decoded = decoder.decode(&packet.payload, &mut samples, false)?;
                side.say(mid, &samples[..decoded])?;
            }
            Ok(())
        };
        until(self, Instant::now() + SETTLE)?;
        let (sent, before, start) = (self.sent, usage::thread_cpu()?, Instant::now());
        until(self, start + measured)?;
        let used = usage::thread_cpu()? - before;
        cost(used, self.sent - sent, start.elapsed().as_secs_f64())
    }

    fn say(&mut self, mid: Mid, samples: &[i16]) -> Result<()> {
        let mut payload = [0; OPUS_BYTES_MAX];
        let length = self.encoder.encode(samples, &mut payload)?;
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).context("no stream")?;
        let (sequence, time) = (SeqNo::from(self.sent), self.sent as u32 * PACKET as u32);
        let payload = payload[..length].to_vec();
        stream.write_rtp(RtpWrite::new(
            111.into(),
            sequence,
            time,
            Instant::now(),
            payload,
        ));
        self.sent += 1;
        Ok(())
    }

    /// Does what is due, and waits for a packet, but no longer than this.
    fn step(&mut self, until: Instant) -> Result<Option<RtpPacket>> {
        loop {
            let due = match self.rtc.poll_output()? {
                Output::Transmit(transmit) => {
                    self.socket
                        .send_to(&transmit.contents, transmit.destination)?;
                    continue;
                }
                Output::Event(Event::RtpPacket(packet)) => return Ok(Some(packet)),
                Output::Event(_) => continue,
                Output::Timeout(due) => due,
            };
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            let pause = due.min(until).saturating_duration_since(now);
            // A timeout of zero would be none at all.
            self.socket
                .set_read_timeout(Some(pause.max(Duration::from_micros(50))))?;
            let Ok((length, source)) = self.socket.recv_from(&mut self.buffer) else {
                self.rtc.handle_input(Input::Timeout(Instant::now()))?;
                continue;
            };
            let receive = Receive {
                proto: Protocol::Udp,
                source,
                destination: self.socket.local_addr()?,
                contents: self.buffer[..length].try_into()?,
            };
            self.rtc
                .handle_input(Input::Receive(Instant::now(), receive))?;
        }
    }
}
