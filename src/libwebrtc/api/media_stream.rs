//! Groups of tracks, as a remote description names them.

use std::fmt::{self, Debug};

use crate::{
    audio_track::RtcAudioTrack, media_stream_track::MediaStreamTrack, video_track::RtcVideoTrack,
};

/// A named group of tracks.
#[derive(Clone)]
pub struct MediaStream {
    id: String,
    tracks: Vec<MediaStreamTrack>,
}

impl MediaStream {
    pub(crate) fn new(id: String, tracks: Vec<MediaStreamTrack>) -> Self {
        Self { id, tracks }
    }

    /// The identifier that the sender has given to the stream.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The audio tracks of the stream, as it was when this object was made.
    pub fn audio_tracks(&self) -> Vec<RtcAudioTrack> {
        self.tracks
            .iter()
            .filter_map(|track| match track {
                MediaStreamTrack::Audio(track) => Some(track.clone()),
                MediaStreamTrack::Video(_) => None,
            })
            .collect()
    }

    /// The video tracks of the stream, as it was when this object was made.
    pub fn video_tracks(&self) -> Vec<RtcVideoTrack> {
        self.tracks
            .iter()
            .filter_map(|track| match track {
                MediaStreamTrack::Video(track) => Some(track.clone()),
                MediaStreamTrack::Audio(_) => None,
            })
            .collect()
    }
}

impl Debug for MediaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStream")
            .field("id", &self.id)
            .field("tracks", &self.tracks)
            .finish()
    }
}
