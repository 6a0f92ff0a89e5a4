//! The other way to do it: two open tracks, and the server moves the caller by `UpdateSubscriptions`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kit::probe::{self, Expected, Verdict, Voice};
use kit::server::LivekitServer;
use kit::token::{JoinToken, Kind};
use kit::tone::Tone;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, RoomOptions, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit_api::services::room::RoomClient;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::caller::{Caller, Line};
use crate::{BILLING, BILLING_HZ, TONE_DBFS, TRIAGE, TRIAGE_HZ};

const ROOM: &str = "demo-comparison";
const SAMPLE_RATE_HZ: u32 = 48_000;
/// Samples of the slice that is judged, per millisecond.
const SAMPLES_PER_MS: usize = 48;
/// After the first subscription, until the gate is sure to have taken effect.
const SETTLE: Duration = Duration::from_secs(3);

/// Moves a caller `switches` times, every `hold`, and judges what it heard.
///
/// # Errors
/// When somebody cannot join, or the server refuses a request.
pub(crate) async fn run(
    server: &LivekitServer,
    switches: usize,
    hold: Duration,
) -> Result<Verdict> {
    let mut sources = Vec::new();
    for (name, hz) in [(TRIAGE, TRIAGE_HZ), (BILLING, BILLING_HZ)] {
        let token = server.join_token(&JoinToken::new(ROOM, name).kind(Kind::Agent))?;
        sources.push(OpenTone::publish(&server.url(), &token, hz).await?);
    }
    let token = server.join_token(&JoinToken::sip_caller(ROOM, "+15550188"))?;
    let caller = Caller::dial(&server.url(), &token, Line::Silent).await?;
    caller.answered(Duration::from_secs(10)).await?;
    let gate = Gate {
        rooms: RoomClient::with_api_key(&server.api_url(), server.api_key(), server.api_secret()),
        caller: caller.identity(),
        sids: sources.iter().map(|source| source.sid.clone()).collect(),
    };
    tokio::time::sleep(SETTLE / 2).await;
    gate.set(1, false).await?;
    tokio::time::sleep(SETTLE / 2).await;
    let start = caller.ear(|ear| ear.heard.len());
    let mut holder = 0;
    for _ in 0..switches {
        tokio::time::sleep(hold).await;
        let next = 1 - holder;
        tokio::try_join!(gate.set(next, true), gate.set(holder, false))?;
        holder = next;
    }
    tokio::time::sleep(hold + Duration::from_millis(500)).await;
    let heard = caller.ear(|ear| ear.heard[start - start % (10 * SAMPLES_PER_MS)..].to_vec());
    caller.hang_up().await;
    let voice = |name: &str, hz| Voice {
        name: name.to_owned(),
        hz,
    };
    let expected = Expected {
        voices: vec![voice(TRIAGE, TRIAGE_HZ), voice(BILLING, BILLING_HZ)],
        holders: (0..=switches).map(|index| index % 2).collect(),
        fade_ms: 0,
        full_dbfs: TONE_DBFS,
    };
    probe::judge(&heard, SAMPLE_RATE_HZ, &expected).context("the comparison cannot be judged")
}

/// The server's gate between the caller and each track.
struct Gate {
    rooms: RoomClient,
    caller: String,
    sids: Vec<String>,
}

impl Gate {
    async fn set(&self, source: usize, open: bool) -> Result<()> {
        let sids = vec![self.sids[source].clone()];
        let set = self
            .rooms
            .update_subscriptions(ROOM, &self.caller, sids, open)
            .await;
        set.context("UpdateSubscriptions failed")
    }
}

/// A participant that sounds its tone for everybody, for as long as this value lives.
struct OpenTone {
    sid: String,
    sounding: JoinHandle<()>,
    _room: Arc<Room>,
}

impl OpenTone {
    async fn publish(url: &str, token: &str, hz: u32) -> Result<Self> {
        let (room, _) = Room::connect(url, token, RoomOptions::default()).await?;
        let source = NativeAudioSource::new(AudioSourceOptions::default(), SAMPLE_RATE_HZ, 1, 0);
        let track = RtcAudioSource::Native(source.clone());
        let track = LocalAudioTrack::create_audio_track("tone", track);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            dtx: false,
            red: false,
            ..Default::default()
        };
        let publishing = room.local_participant();
        let published = publishing
            .publish_track(LocalTrack::Audio(track), options)
            .await?;
        let tone = Tone::new(hz, TONE_DBFS, SAMPLE_RATE_HZ)?;
        Ok(Self {
            sid: published.sid().to_string(),
            sounding: tokio::spawn(sound(source, tone)),
            _room: Arc::new(room),
        })
    }
}

impl Drop for OpenTone {
    fn drop(&mut self) {
        self.sounding.abort();
    }
}

async fn sound(source: NativeAudioSource, mut tone: Tone) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut samples = [0; SAMPLES_PER_MS * 10];
    loop {
        ticks.tick().await;
        tone.fill(&mut samples);
        let frame = AudioFrame {
            data: samples[..].into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
            samples_per_channel: samples.len() as u32,
        };
        // A track that is not published yet takes no frames, and later ones will do.
        let _ = source.capture_frame(&frame).await;
    }
}
