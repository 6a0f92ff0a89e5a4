//! Who listens on our engine: what it hears becomes a WAV file, what the engine counts meanwhile a line of JSON. `ear.py` does the same
//! on the C++ engine.
//!
//! The speaker says by a message when its voice begins and ends.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use kit::wav::Wav;
use livekit::prelude::{RemoteAudioTrack, RemoteTrack, Room, RoomEvent, RoomOptions};
use livekit::webrtc::audio_stream::native::{NativeAudioStream, NativeAudioStreamOptions};
use livekit::webrtc::stats::RtcStats;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

/// Of what is heard.
pub(crate) const RATE_HZ: u32 = 48_000;
pub(crate) const FRAME: usize = RATE_HZ as usize / 100;
/// What is louder is the voice.
const AUDIBLE: u16 = 500;
/// No single step takes longer.
const STEP: Duration = Duration::from_secs(120);
/// How old a count may be.
const COUNTED_EVERY: Duration = Duration::from_millis(1_200);

/// Topics of the speaker's messages.
pub(crate) const BEGIN: &str = "begin";
pub(crate) const END: &str = "end";
/// What an ear says when the voice has reached it.
pub(crate) const HEARING: &str = "hearing";

/// What an ear has measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    before: Counts,
    after: Counts,
    /// When each frame of the recording came, in milliseconds since 1970.
    arrived_ms: Vec<f64>,
}

/// What the engine has counted since it joined.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    samples: u64,
    concealed: u64,
    inserted: u64,
    removed: u64,
    buffer_secs: f64,
    buffered: u64,
}

impl Heard {
    /// The share of samples that were invented.
    pub(crate) fn concealed(&self) -> f64 {
        let samples = self.after.samples.saturating_sub(self.before.samples);
        let concealed = self.after.concealed.saturating_sub(self.before.concealed);
        concealed as f64 / samples.max(1) as f64
    }

    /// The share of samples that were put in or taken out to change the delay.
    pub(crate) fn stretched(&self) -> f64 {
        let of = |counts: &Counts| counts.inserted + counts.removed;
        let samples = self.after.samples.saturating_sub(self.before.samples);
        of(&self.after).saturating_sub(of(&self.before)) as f64 / samples.max(1) as f64
    }

    /// How long a sample waited in the buffer, on average.
    pub(crate) fn buffer_ms(&self) -> f64 {
        let buffered = self.after.buffered.saturating_sub(self.before.buffered);
        (self.after.buffer_secs - self.before.buffer_secs) * 1_000.0 / buffered.max(1) as f64
    }

    /// When the sample at this place of the recording came.
    pub(crate) fn came_ms(&self, sample: usize) -> Option<f64> {
        self.arrived_ms.get(sample / FRAME).copied()
    }
}

/// Joins, records from the first sound on until the speaker says that it has ended, and writes `wav`.
pub(crate) async fn listen(url: &str, token: &str, wav: &Path) -> Result<Heard> {
    let joining = Room::connect(url, token, RoomOptions::default());
    let (room, mut events) = timeout(STEP, joining).await.context("joining")??;
    let track = timeout(STEP, voice(&mut events))
        .await
        .context("no track")??;
    let options = NativeAudioStreamOptions {
        queue_size_frames: Some(0),
    };
    let mut stream = NativeAudioStream::with_options(track.rtc_track(), RATE_HZ as i32, 1, options);
    let mut heard = Heard {
        before: Counts::default(),
        after: Counts::default(),
        arrived_ms: Vec::new(),
    };
    let mut samples: Vec<i16> = Vec::new();
    loop {
        // Both lose nothing when they are dropped before they are ready.
        let event = tokio::select! {
            frame = timeout(STEP, stream.next()) => {
                let frame = frame.context("the engine stands still")?.context("the stream is over")?;
                let audible = frame.data.iter().any(|sample| sample.unsigned_abs() > AUDIBLE);
                if samples.is_empty() && audible {
                    println!("{HEARING}");
                }
                if audible || !samples.is_empty() {
                    samples.extend_from_slice(&frame.data);
                    heard.arrived_ms.push(now_ms());
                }
                continue;
            }
            event = events.recv() => event.context("the room is gone")?,
        };
        let RoomEvent::DataReceived { topic, .. } = event else {
            continue;
        };
        match topic.as_deref() {
            Some(BEGIN) => heard.before = counts(&track).await?,
            Some(END) => break,
            _ => {}
        }
    }
    sleep(COUNTED_EVERY).await;
    heard.after = counts(&track).await?;
    let recording = Wav {
        sample_rate_hz: RATE_HZ,
        samples,
    };
    recording.write(wav)?;
    // The process ends, whatever the server says.
    room.close().await.ok();
    Ok(heard)
}

pub(crate) fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1_000.0
}

async fn voice(events: &mut UnboundedReceiver<RoomEvent>) -> Result<RemoteAudioTrack> {
    loop {
        let event = events.recv().await.context("the room is gone")?;
        if let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = event
        {
            return Ok(track);
        }
    }
}

async fn counts(track: &RemoteAudioTrack) -> Result<Counts> {
    let stats = track.get_stats().await?;
    let inbound = stats.into_iter().find_map(|stats| match stats {
        RtcStats::InboundRtp(stats) => Some(stats.inbound),
        _ => None,
    });
    let inbound = inbound.context("no statistics of what is received")?;
    Ok(Counts {
        samples: inbound.total_samples_received,
        concealed: inbound.concealed_samples,
        inserted: inbound.inserted_samples_for_deceleration,
        removed: inbound.removed_samples_for_acceleration,
        buffer_secs: inbound.jitter_buffer_delay,
        buffered: inbound.jitter_buffer_emitted_count,
    })
}
