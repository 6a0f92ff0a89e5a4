//! Audio tracks.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use crate::{media_stream_track::RtcTrackState, net::AudioTrack};

/// A track of sound, local or remote. Clones are the same track.
#[derive(Clone)]
pub struct RtcAudioTrack {
    track: Arc<AudioTrack>,
}

impl RtcAudioTrack {
    pub(crate) fn new(track: Arc<AudioTrack>) -> Self {
        Self { track }
    }

    pub(crate) fn inner(&self) -> &Arc<AudioTrack> {
        &self.track
    }

    /// The identifier: of the creator's choice for a local track, the sender's for a remote one.
    pub fn id(&self) -> String {
        self.track.id().to_owned()
    }

    /// Whether the track carries sound; a disabled one carries silence.
    pub fn enabled(&self) -> bool {
        self.track.enabled()
    }

    /// Switches the sound on or off; returns whether that changed anything.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        self.track.set_enabled(enabled)
    }

    /// Whether the track can still carry sound.
    pub fn state(&self) -> RtcTrackState {
        if self.track.ended() {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }
}

impl Debug for RtcAudioTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcAudioTrack")
            .field("id", &self.track.id())
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}
