//! The packets of a remote track.

use std::{
    fmt::{self, Debug},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::ReceivedFrame;
use crate::{audio::frames::FrameQueue, audio_track::RtcAudioTrack};

/// Packets that wait when nobody says how many may.
const QUEUE_FRAMES: usize = 25;

/// The Opus packets of a remote track, as they arrive, for as long as the stream lives.
///
/// Each is handed out once and in the order of arrival: those that the network has changed the order of come so, and
/// one that was lost comes late, as the copy inside a later packet, if the sender sends RED. Nothing comes while the
/// sender pauses (DTX, mute), nor while the track is switched off on this side. Like a stream of PCM it does not end
/// with the track.
pub struct EncodedAudioStream {
    track: RtcAudioTrack,
    queue: Arc<FrameQueue>,
}

impl EncodedAudioStream {
    /// Listens to a track. 25 packets wait to be taken; when one more comes, the oldest is dropped.
    ///
    /// The stream ends at once if the track is a local one, or has 64 of these streams already.
    pub fn new(track: RtcAudioTrack) -> Self {
        Self::with_capacity(track, QUEUE_FRAMES)
    }

    /// As [`Self::new`], with a queue of `frames` packets, 1 to 3,000.
    pub fn with_capacity(track: RtcAudioTrack, frames: usize) -> Self {
        let queue = Arc::new(FrameQueue::new(frames));
        if !track.inner().add_tap(&queue) {
            tracing::error!("the track has no packets to hand out, or too many listeners");
            queue.close();
        }
        Self { track, queue }
    }

    /// The track that is listened to.
    pub fn track(&self) -> RtcAudioTrack {
        self.track.clone()
    }

    /// The next packet if there is one, without waiting.
    pub fn try_next(&mut self) -> Option<ReceivedFrame> {
        self.queue.pop()
    }

    /// Packets that were dropped so far because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Stops listening; packets that wait are dropped and the stream ends.
    pub fn close(&mut self) {
        self.queue.close();
    }
}

impl Drop for EncodedAudioStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl Debug for EncodedAudioStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedAudioStream")
            .field("track", &self.track)
            .finish_non_exhaustive()
    }
}

impl Stream for EncodedAudioStream {
    type Item = ReceivedFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_pop(cx)
    }
}
