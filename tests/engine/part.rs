//! What one process does and measures: rooms that stand idle, one voice from mouth to ear, messages, or full reconnects. `cpp.py`
//! does the same on the C++ engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use kit::server::LivekitServer;
use kit::token::JoinToken;
use livekit::SimulateScenario;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    DataPacket, LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, Room, RoomEvent,
    RoomOptions, TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::stats::RtcStats;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::usage::{self, Used};

pub(crate) const SETTLE: Duration = Duration::from_secs(3);
pub(crate) const RATE_HZ: u32 = 48_000;
pub(crate) const FRAME: usize = RATE_HZ as usize / 100;
/// A burst of 50 ms each half second; what is loud at the ear is one.
const BURST_EVERY_FRAMES: usize = 50;
const BURST_FRAMES: usize = 5;
const LOUD: i16 = 3_000;
pub(crate) const JOIN_MAX: Duration = Duration::from_secs(30);
/// How often a room is connected anew, and how long it is left alone between.
const RECONNECTS: usize = 40;
const RECONNECT_EVERY: Duration = Duration::from_millis(500);
/// Messages of a round, and the largest that LiveKit lets a client send.
const MESSAGES: usize = 500;
const MESSAGE_BYTES: usize = 15_000;
const MESSAGE_ROUNDS: usize = 5;
/// A round without a message for so long is over, whatever is missing.
const MESSAGE_MAX: Duration = Duration::from_secs(10);

/// What a process with idle rooms has measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rooms {
    /// From asking to be in the room to being in it, for each room in turn.
    pub(crate) join_ms: Vec<f64>,
    pub(crate) rss_kb: u64,
    pub(crate) threads: u64,
    /// CPU time per second, in milliseconds.
    pub(crate) cpu_ms_per_sec: f64,
    /// What a room used in a second, by the threads' names; of our engine alone.
    #[serde(default)]
    pub(crate) threads_per_room: BTreeMap<String, Used>,
    /// Datagrams that came for a room and left it in a second; of our engine alone.
    #[serde(default)]
    pub(crate) datagrams_per_room: (f64, f64),
}

/// From handing a burst to the SDK to getting it from the SDK on the other side, through the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Voice {
    pub(crate) delay_ms: Vec<f64>,
}

/// From asking for a full reconnect to being in the room again, with a track that is published.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reconnects {
    pub(crate) reconnect_ms: Vec<f64>,
}

/// How fast messages go from one participant to another, one after the other on the reliable channel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Messages {
    /// Of each round, in millions of bytes a second, from the first that is sent to the last that comes.
    pub(crate) mb_per_sec: Vec<f64>,
    /// Messages that did not come.
    pub(crate) missing: usize,
}

/// Where the server is, from LiveKit's environment variables.
pub(crate) struct Server {
    url: String,
    key: String,
    secret: String,
}

impl Server {
    pub(crate) fn from_env() -> Result<Self> {
        let value = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Self {
            url: value("LIVEKIT_URL")?,
            key: value("LIVEKIT_API_KEY")?,
            secret: value("LIVEKIT_API_SECRET")?,
        })
    }

    pub(crate) fn of(server: &LivekitServer) -> Self {
        Self {
            url: server.url(),
            key: server.api_key().to_owned(),
            secret: server.api_secret().to_owned(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What lets somebody join.
    pub(crate) fn token(&self, room: &str, identity: &str) -> Result<String> {
        Ok(JoinToken::new(room, identity).sign(&self.key, &self.secret)?)
    }

    pub(crate) async fn join(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<(Room, mpsc::UnboundedReceiver<RoomEvent>)> {
        let token = self.token(room, identity)?;
        let joining = Room::connect(&self.url, &token, RoomOptions::default());
        let joined = tokio::time::timeout(JOIN_MAX, joining).await;
        Ok(joined.context("joining took too long")??)
    }
}

/// Joins so many rooms, and stands idle for the measured time.
pub(crate) async fn rooms(server: &Server, count: usize, measured: Duration) -> Result<Rooms> {
    let mut joined = Vec::new();
    let mut join_ms = Vec::new();
    for number in 0..count {
        let start = Instant::now();
        joined.push(
            server
                .join(&format!("idle-ours-{count}-{number}"), "idle")
                .await?,
        );
        join_ms.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    tokio::time::sleep(SETTLE).await;
    let (before, came_before, start) =
        (usage::threads()?, datagrams(&joined).await?, Instant::now());
    tokio::time::sleep(measured).await;
    let (after, came, secs) = (
        usage::threads()?,
        datagrams(&joined).await?,
        start.elapsed().as_secs_f64(),
    );
    let per_room = |total: f64| total / secs / count as f64;
    let threads_per_room: BTreeMap<String, Used> = after
        .into_iter()
        .map(|(name, after)| {
            let used = after - before.get(&name).copied().unwrap_or_default();
            let used = Used {
                cpu_ms: per_room(used.cpu_ms),
                wakes: per_room(used.wakes),
            };
            (name, used)
        })
        .collect();
    let cpu_ms: f64 = threads_per_room.values().map(|used| used.cpu_ms).sum();
    let rooms = Rooms {
        join_ms,
        rss_kb: usage::status("VmRSS:")?,
        threads: usage::status("Threads:")?,
        cpu_ms_per_sec: cpu_ms * count as f64,
        threads_per_room,
        datagrams_per_room: (
            per_room(came.0 - came_before.0),
            per_room(came.1 - came_before.1),
        ),
    };
    for (room, _) in &joined {
        // The process ends, whatever the server says.
        room.close().await.ok();
    }
    Ok(rooms)
}

/// Sends bursts from one participant to another, and takes the time of each.
pub(crate) async fn voice(server: &Server, measured: Duration) -> Result<Voice> {
    let (_ear_room, mut events) = server.join("voice-ours", "ear").await?;
    let (mouth, _mouth_events) = server.join("voice-ours", "mouth").await?;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, 0);
    let track = LocalAudioTrack::create_audio_track("m", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        dtx: false,
        red: false,
        ..Default::default()
    };
    let publishing = mouth.local_participant();
    publishing
        .publish_track(LocalTrack::Audio(track), options)
        .await?;
    let track = subscribed(&mut events).await?;
    let mut ear = NativeAudioStream::new(track.rtc_track(), RATE_HZ as i32, 1);
    let (said, mut bursts) = mpsc::unbounded_channel();
    let speaking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0.. {
            ticks.tick().await;
            let place = number % BURST_EVERY_FRAMES;
            let loud = place < BURST_FRAMES;
            let mut samples = vec![0_i16; FRAME];
            for (at, sample) in samples.iter_mut().enumerate().filter(|_| loud) {
                let t = at as f64 / f64::from(RATE_HZ);
                *sample = ((std::f64::consts::TAU * 1_000.0 * t).sin() * 16_000.0) as i16;
            }
            if place == 0 {
                // Who listens may have ended.
                said.send(Instant::now()).ok();
            }
            let frame = AudioFrame {
                data: samples.into(),
                sample_rate: RATE_HZ,
                num_channels: 1,
                samples_per_channel: FRAME as u32,
            };
            // A track that is not sent yet takes no frames, and later ones will do.
            source.capture_frame(&frame).await.ok();
        }
    });
    let mut delay_ms = Vec::new();
    let mut quiet_frames = 0;
    let end = tokio::time::Instant::now() + SETTLE + measured;
    let settled = Instant::now() + SETTLE;
    while let Ok(Some(frame)) = tokio::time::timeout_at(end, ear.next()).await {
        let loud = frame
            .data
            .iter()
            .any(|sample| sample.unsigned_abs() > LOUD as u16);
        let begins = loud && quiet_frames > BURST_FRAMES;
        quiet_frames = if loud { 0 } else { quiet_frames + 1 };
        if !begins {
            continue;
        }
        let now = Instant::now();
        // The last burst that was said is the one that is heard: half a second lies between two.
        let mut last = None;
        while let Ok(at) = bursts.try_recv() {
            last = Some(at);
        }
        if let Some(at) = last
            && now > settled
        {
            delay_ms.push(now.duration_since(at).as_secs_f64() * 1_000.0);
        }
    }
    speaking.abort();
    if delay_ms.is_empty() {
        bail!("nothing was heard");
    }
    Ok(Voice { delay_ms })
}

/// Sends messages as fast as they are taken.
pub(crate) async fn messages(server: &Server) -> Result<Messages> {
    let (_reader_room, mut events) = server.join("messages-ours", "reader").await?;
    let (writer, _writer_events) = server.join("messages-ours", "writer").await?;
    let mut measured = Messages {
        mb_per_sec: Vec::new(),
        missing: 0,
    };
    for _ in 0..MESSAGE_ROUNDS {
        let participant = writer.local_participant();
        let start = Instant::now();
        let writing = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                let packet = DataPacket {
                    payload: vec![7; MESSAGE_BYTES],
                    reliable: true,
                    ..DataPacket::default()
                };
                participant.publish_data(packet).await?;
            }
            anyhow::Ok(())
        });
        let (mut came, mut last) = (0, start);
        while came < MESSAGES
            && let Ok(event) = tokio::time::timeout(MESSAGE_MAX, events.recv()).await
        {
            if let RoomEvent::DataReceived { payload, .. } = event.context("the room is gone")? {
                ensure!(payload.len() == MESSAGE_BYTES, "a message was cut");
                (came, last) = (came + 1, Instant::now());
            }
        }
        writing.await??;
        let bytes = (came * MESSAGE_BYTES) as f64;
        let secs = last.duration_since(start).as_secs_f64();
        measured.mb_per_sec.push(bytes / 1e6 / secs.max(1e-3));
        measured.missing += MESSAGES - came;
    }
    writer.close().await.ok();
    Ok(measured)
}

/// Connects a room anew, again and again.
pub(crate) async fn reconnects(server: &Server) -> Result<Reconnects> {
    let (room, mut events) = server.join("reconnects-ours", "guest").await?;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, 0);
    let track = LocalAudioTrack::create_audio_track("m", RtcAudioSource::Native(source));
    let participant = room.local_participant();
    participant
        .publish_track(LocalTrack::Audio(track), TrackPublishOptions::default())
        .await?;
    let mut reconnect_ms = Vec::new();
    for _ in 0..RECONNECTS {
        tokio::time::sleep(RECONNECT_EVERY).await;
        while events.try_recv().is_ok() {}
        let start = Instant::now();
        room.simulate_scenario(SimulateScenario::FullReconnect)
            .await?;
        loop {
            let event = tokio::time::timeout(JOIN_MAX, events.recv()).await?;
            if let RoomEvent::Reconnected = event.context("the room is gone")? {
                break;
            }
        }
        reconnect_ms.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    room.close().await.ok();
    Ok(Reconnects { reconnect_ms })
}

/// The next track that comes.
pub(crate) async fn subscribed(
    events: &mut mpsc::UnboundedReceiver<RoomEvent>,
) -> Result<RemoteAudioTrack> {
    loop {
        let event = tokio::time::timeout(JOIN_MAX, events.recv()).await?;
        if let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = event.context("the room is gone")?
        {
            return Ok(track);
        }
    }
}

/// Datagrams that have come and left.
async fn datagrams(rooms: &[(Room, mpsc::UnboundedReceiver<RoomEvent>)]) -> Result<(f64, f64)> {
    let mut datagrams = (0.0, 0.0);
    for (room, _) in rooms {
        let stats = room.get_stats().await?;
        for each in stats.publisher_stats.iter().chain(&stats.subscriber_stats) {
            if let RtcStats::Transport(transport) = each {
                datagrams.0 += transport.transport.packets_received as f64;
                datagrams.1 += transport.transport.packets_sent as f64;
            }
        }
    }
    Ok(datagrams)
}
