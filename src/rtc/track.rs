//! PCM in and out: the program track that we publish, and the tracks that we subscribe to.

use std::borrow::Cow;

use futures_util::{FutureExt, StreamExt};
use livekit::prelude::{LocalAudioTrack, RemoteAudioTrack};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;

use super::SAMPLE_RATE_HZ;

/// The name under which the program track is published.
const TRACK_NAME: &str = "program";

/// The one track that the caller hears. Frames go out as they are handed in; the caller's clock is ours.
#[derive(Debug)]
pub struct ProgramTrack {
    source: NativeAudioSource,
    pub(super) track: LocalAudioTrack,
}

impl ProgramTrack {
    pub(super) fn new() -> Self {
        let options = AudioSourceOptions {
            echo_cancellation: false,
            noise_suppression: false,
            auto_gain_control: false,
        };
        // No queue: the mixer ticks at the track's own rate.
        let source = NativeAudioSource::new(options, SAMPLE_RATE_HZ, 1, 0);
        let track =
            LocalAudioTrack::create_audio_track(TRACK_NAME, RtcAudioSource::Native(source.clone()));
        Self { source, track }
    }

    /// Sends 10 ms of PCM: 480 samples, mono, 48 kHz.
    pub async fn send(&self, samples: &[i16]) {
        let frame = AudioFrame {
            data: samples.into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
            samples_per_channel: samples.len() as u32,
        };
        if let Err(error) = self.source.capture_frame(&frame).await {
            tracing::trace!(%error, "program frame refused");
        }
    }
}

/// A remote participant's audio, decoded: 10 ms frames of 480 samples, mono, 48 kHz, one every 10 ms while subscribed.
#[derive(Debug)]
pub struct IncomingAudio {
    stream: NativeAudioStream,
}

impl IncomingAudio {
    pub(super) fn new(track: &RemoteAudioTrack) -> Self {
        Self {
            stream: NativeAudioStream::new(track.rtc_track(), SAMPLE_RATE_HZ as i32, 1),
        }
    }

    /// The next 10 ms if they are there, without waiting; `Some(None)` when the subscription has ended.
    pub fn try_next(&mut self) -> Option<Option<Cow<'static, [i16]>>> {
        let next = self.stream.next().now_or_never()?;
        Some(next.map(|frame| frame.data))
    }
}
