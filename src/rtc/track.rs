//! Opus in and out: the program track that we publish, and the tracks that we subscribe to. Nothing is decoded here.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use livekit::prelude::{LocalAudioTrack, RemoteAudioTrack};
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::encoded::{self, EncodedAudioSource, EncodedAudioStream, OpusFrame};

use super::SAMPLE_RATE_HZ;

/// Runs a task on the thread that sends and receives, so that a packet is in and out again without a change of threads. It must
/// neither block nor compute for long: all calls share that thread.
pub fn spawn_at_media(task: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = encoded::spawn(task) {
        tracing::error!(%error, "no sound can be sent or received");
    }
}

/// A track of ours: above all the program track, the one that the caller hears. Packets go out as they are handed in; the
/// clock is that of who hands them in.
#[derive(Debug)]
pub struct ProgramTrack {
    source: EncodedAudioSource,
    pub(super) track: LocalAudioTrack,
}

impl ProgramTrack {
    pub(super) fn new(name: &str) -> Self {
        let options = AudioSourceOptions {
            echo_cancellation: false,
            noise_suppression: false,
            auto_gain_control: false,
        };
        // No queue: whoever hands in packets has the clock.
        let native = NativeAudioSource::new(options, SAMPLE_RATE_HZ, 1, 0);
        let source = EncodedAudioSource::new(&native);
        let track = LocalAudioTrack::create_audio_track(name, RtcAudioSource::Native(native));
        Self { source, track }
    }

    /// Sends one Opus packet. `level_dbov`, from -127 to 0, travels along; without one that of speech does.
    pub fn send(&self, payload: Bytes, level_dbov: Option<i8>) {
        match OpusFrame::new(payload) {
            Ok(frame) => self.source.push(match level_dbov {
                Some(level) => frame.with_level_dbov(level),
                None => frame,
            }),
            Err(error) => tracing::warn!(%error, "packet of ours refused"),
        }
    }

    /// Lets so much time pass for which there is no packet, such as one that was lost.
    pub fn skip(&self, samples_48k: u32) {
        self.source.skip(samples_48k);
    }
}

/// One Opus packet of a remote track, out of RED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingPacket {
    /// The packet.
    pub payload: Bytes,
    /// RTP's sequence number, extended so that it never wraps.
    pub sequence: u64,
    /// RTP's time at 48 kHz, extended so that it never wraps.
    pub rtp_time_48k: u64,
    /// Counts the times that the sender began anew; number and time then begin anew too.
    pub stream: u64,
}

/// The packets of a remote participant's audio track, as they come.
#[derive(Debug)]
pub struct IncomingAudio {
    stream: EncodedAudioStream,
}

impl IncomingAudio {
    pub(super) fn new(track: &RemoteAudioTrack) -> Self {
        Self {
            stream: EncodedAudioStream::new(track.rtc_track()),
        }
    }

    /// The next packet, or `None` when there will be no more. Cancel-safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<IncomingPacket>> {
        self.stream.poll_next_unpin(cx).map(|next| {
            next.map(|frame| IncomingPacket {
                payload: frame.payload,
                sequence: frame.sequence,
                rtp_time_48k: frame.rtp_time_48k,
                stream: frame.stream,
            })
        })
    }
}
