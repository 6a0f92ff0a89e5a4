//! Tracks of either kind.

use crate::{audio_track::RtcAudioTrack, enum_dispatch, net::Track, video_track::RtcVideoTrack};

/// Whether a track can still carry media.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcTrackState {
    /// It can.
    Live,
    /// It cannot, and never will again.
    Ended,
}

/// A track of either kind.
#[derive(Debug, Clone)]
pub enum MediaStreamTrack {
    /// Pictures.
    Video(RtcVideoTrack),
    /// Sound.
    Audio(RtcAudioTrack),
}

impl MediaStreamTrack {
    enum_dispatch!(
        [Video, Audio];
        pub fn id(self: &Self) -> String;
        pub fn enabled(self: &Self) -> bool;
        pub fn set_enabled(self: &Self, enabled: bool) -> bool;
        pub fn state(self: &Self) -> RtcTrackState;
    );

    pub(crate) fn from_inner(track: Track) -> Self {
        match track {
            Track::Audio(track) => Self::Audio(RtcAudioTrack::new(track)),
            Track::Video(track) => Self::Video(RtcVideoTrack::new(track)),
        }
    }

    pub(crate) fn inner(&self) -> Track {
        match self {
            Self::Audio(track) => Track::Audio(track.inner().clone()),
            Self::Video(track) => Track::Video(track.inner().clone()),
        }
    }
}

impl From<RtcAudioTrack> for MediaStreamTrack {
    fn from(track: RtcAudioTrack) -> Self {
        Self::Audio(track)
    }
}

impl From<RtcVideoTrack> for MediaStreamTrack {
    fn from(track: RtcVideoTrack) -> Self {
        Self::Video(track)
    }
}
