//! Video tracks: they are negotiated, and never carry a picture.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use crate::{
    media_stream_track::RtcTrackState, native::packet_trailer::PacketTrailerHandler,
    net::VideoTrack,
};

/// A track of pictures, local or remote. Clones are the same track.
#[derive(Clone)]
pub struct RtcVideoTrack {
    track: Arc<VideoTrack>,
}

impl RtcVideoTrack {
    pub(crate) fn new(track: Arc<VideoTrack>) -> Self {
        Self { track }
    }

    pub(crate) fn inner(&self) -> &Arc<VideoTrack> {
        &self.track
    }

    /// The identifier: of the creator's choice for a local track, the sender's for a remote one.
    pub fn id(&self) -> String {
        self.track.id().to_owned()
    }

    /// Whether the track is switched on.
    pub fn enabled(&self) -> bool {
        self.track.enabled()
    }

    /// Switches the track on or off; returns whether that changed anything.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        self.track.set_enabled(enabled)
    }

    /// Whether the track is still part of a session.
    pub fn state(&self) -> RtcTrackState {
        if self.track.ended() {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }

    /// Accepts a handler of frame metadata; as there are no frames, it is never used.
    pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}

    /// The handler of frame metadata: always none, as there are no frames.
    pub fn packet_trailer_handler(&self) -> Option<PacketTrailerHandler> {
        None
    }
}

impl Debug for RtcVideoTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcVideoTrack")
            .field("id", &self.track.id())
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}
