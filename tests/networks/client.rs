//! Two participants in one process, for a namespace: one speaks and counts, the other listens.
//!
//! `networks-client URL TOKEN TOKEN SECONDS` says `joined`, then, in a line of JSON, what the listener has heard and the ways
//! that both connections took. It ends with an error when nothing is heard.

use std::{env, f64::consts::TAU, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use livekit::{
    DataPacket, Room, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    track::{LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, TrackSource},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
        stats::RtcStats,
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, timeout},
};
use tracing_subscriber::EnvFilter;

const SAMPLE_RATE_HZ: u32 = 48_000;
const FRAME_SAMPLES: usize = 480;
const TONE_HZ: f64 = 440.0;
/// What is louder is the tone: it has its peaks at 8,000.
const AUDIBLE_PEAK: u16 = 1_000;
const JOIN: Duration = Duration::from_secs(40);
/// How often the speaker sends a number, reliably.
const NUMBER_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<()> {
    // `RUST_LOG` shows what the engine says.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, speaker, listener, seconds] = &arguments[..] else {
        bail!("networks-client URL TOKEN TOKEN SECONDS");
    };
    let seconds: u64 = seconds.parse().context("seconds are a number")?;
    let start = Instant::now();
    let (speaker, _events) = join(url, speaker).await.context("the speaker")?;
    let (listener, mut events) = join(url, listener).await.context("the listener")?;
    let joined_ms = start.elapsed().as_millis();
    tokio::spawn(speak(publish(&speaker).await?));
    tokio::spawn(count(speaker.clone()));
    let track = timeout(JOIN, subscribed(&mut events))
        .await
        .context("no track")??;
    println!("joined");

    let numbers = tokio::spawn(numbers(events));
    let heard = listen(&track, Duration::from_secs(seconds)).await;
    let report = json!({
        "joined_ms": joined_ms,
        "heard": heard.json(),
        "numbers": numbers_so_far(numbers).await,
        "speaker": ways(&speaker).await?,
        "listener": ways(&listener).await?,
    });
    println!("{report}");
    Ok(())
}

async fn join(url: &str, token: &str) -> Result<(Arc<Room>, UnboundedReceiver<RoomEvent>)> {
    let mut options = RoomOptions::default();
    options.connect_timeout = JOIN;
    let (room, events) = timeout(JOIN, Room::connect(url, token, options)).await??;
    Ok((Arc::new(room), events))
}

async fn publish(room: &Room) -> Result<NativeAudioSource> {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), SAMPLE_RATE_HZ, 1, 200);
    let native = RtcAudioSource::Native(source.clone());
    let track = LocalAudioTrack::create_audio_track("tone", native);
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..Default::default()
    };
    let me = room.local_participant();
    timeout(JOIN, me.publish_track(LocalTrack::Audio(track), options)).await??;
    Ok(source)
}

async fn speak(source: NativeAudioSource) -> Result<()> {
    let mut phase = 0.0_f64;
    loop {
        let samples: Vec<i16> = (0..FRAME_SAMPLES)
            .map(|_| {
                phase = (phase + TONE_HZ / f64::from(SAMPLE_RATE_HZ)).fract();
                #[expect(clippy::cast_possible_truncation, reason = "the tone fits")]
                let sample = (8_000.0 * (TAU * phase).sin()) as i16;
                sample
            })
            .collect();
        let frame = AudioFrame {
            data: samples.into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
            samples_per_channel: u32::try_from(FRAME_SAMPLES).unwrap_or_default(),
        };
        source.capture_frame(&frame).await?;
    }
}

async fn count(room: Arc<Room>) {
    for number in 0_u32.. {
        let packet = DataPacket {
            payload: number.to_string().into_bytes(),
            topic: Some("numbers".to_owned()),
            reliable: true,
            ..DataPacket::default()
        };
        // While the room reconnects, nothing can be sent.
        room.local_participant().publish_data(packet).await.ok();
        sleep(NUMBER_INTERVAL).await;
    }
}

async fn subscribed(events: &mut UnboundedReceiver<RoomEvent>) -> Result<RemoteAudioTrack> {
    while let Some(event) = events.recv().await {
        if let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = event
        {
            return Ok(track);
        }
    }
    bail!("the room is gone")
}

/// Counts the numbers that arrive, until it is asked, or the room ends.
async fn numbers(mut events: UnboundedReceiver<RoomEvent>) -> u32 {
    let mut count = 0;
    while let Ok(Some(event)) = timeout(Duration::from_millis(500), events.recv()).await {
        count += u32::from(matches!(event, RoomEvent::DataReceived { .. }));
        if count >= 10 {
            break;
        }
    }
    count
}

async fn numbers_so_far(task: tokio::task::JoinHandle<u32>) -> u32 {
    timeout(Duration::from_secs(10), task)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}

/// What was heard, in frames of 10 ms.
#[derive(Default)]
struct Heard {
    frames: u32,
    audible: u32,
    /// The longest time without the tone, once it had been heard.
    longest_gap_ms: u128,
    /// Whether the tone was heard in the last second.
    at_the_end: bool,
}

impl Heard {
    fn json(&self) -> Value {
        let Self {
            frames,
            audible,
            longest_gap_ms,
            at_the_end,
        } = self;
        json!({
            "frames": frames,
            "audible": audible,
            "longest_gap_ms": longest_gap_ms,
            "at_the_end": at_the_end,
        })
    }
}

async fn listen(track: &RemoteAudioTrack, time: Duration) -> Heard {
    let mut stream = NativeAudioStream::new(track.rtc_track(), SAMPLE_RATE_HZ.cast_signed(), 1);
    let end = Instant::now() + time;
    let mut heard = Heard::default();
    let mut last: Option<Instant> = None;
    while let Ok(Some(frame)) = tokio::time::timeout_at(end, stream.next()).await {
        heard.frames += 1;
        let now = Instant::now();
        let audible = frame
            .data
            .iter()
            .any(|sample| sample.unsigned_abs() > AUDIBLE_PEAK);
        if !audible {
            continue;
        }
        heard.audible += 1;
        if let Some(last) = last.replace(now) {
            heard.longest_gap_ms = heard.longest_gap_ms.max((now - last).as_millis());
        }
    }
    heard.at_the_end = last.is_some_and(|last| last + Duration::from_secs(1) > end);
    heard
}

/// The way that each connection of a room takes, as statistics have it.
async fn ways(room: &Room) -> Result<Value> {
    let stats = timeout(JOIN, room.get_stats()).await??;
    let both = [stats.publisher_stats, stats.subscriber_stats];
    Ok(both.iter().filter_map(|stats| way(stats)).collect())
}

fn way(stats: &[RtcStats]) -> Option<Value> {
    let local = stats.iter().find_map(|object| match object {
        RtcStats::LocalCandidate(local) => Some(&local.local_candidate),
        _ => None,
    })?;
    Some(json!({
        "type": format!("{:?}", local.candidate_type?),
        "protocol": local.protocol,
        "relay": local.relay_protocol.map(|protocol| format!("{protocol:?}")),
        "address": local.address,
    }))
}
