//! Receivers.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use crate::{
    RtcError, api::stats_report, media_stream::MediaStream, media_stream_track::MediaStreamTrack,
    net::Connection, pc::TransceiverId, rtp_parameters::RtpParameters, stats::RtcStats,
};

/// The receiving half of a transceiver. Clones are the same receiver.
#[derive(Clone)]
pub struct RtpReceiver {
    connection: Arc<Connection>,
    id: TransceiverId,
}

impl RtpReceiver {
    pub(crate) fn new(connection: Arc<Connection>, id: TransceiverId) -> Self {
        Self { connection, id }
    }

    /// The track that is received at present. Every use that the peer makes of the media section has a track of its own.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.connection
            .read(|state| state.remote_track(self.id))
            .map(MediaStreamTrack::from_inner)
    }

    /// The streams that the peer has put the track into; none while nothing is received.
    pub fn stream_ids(&self) -> Vec<String> {
        self.connection.read(|state| {
            state
                .peer
                .transceiver(self.id)
                .map(|t| t.remote_streams.clone())
                .unwrap_or_default()
        })
    }

    /// The streams that the peer has put the track into; none while nothing is received.
    pub fn streams(&self) -> Vec<MediaStream> {
        let (streams, track) = self.connection.read(|state| {
            let streams = state
                .peer
                .transceiver(self.id)
                .map(|t| t.remote_streams.clone());
            (streams.unwrap_or_default(), state.remote_track(self.id))
        });
        let tracks: Vec<_> = track
            .into_iter()
            .map(MediaStreamTrack::from_inner)
            .collect();
        streams
            .into_iter()
            .map(|id| MediaStream::new(id, tracks.clone()))
            .collect()
    }

    /// What is known of the stream that is received.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(stats_report::receiver(
            &self.connection.report(Some(self.id)),
        ))
    }

    /// What the receiver works with.
    pub fn parameters(&self) -> RtpParameters {
        self.connection
            .read(|state| state.receiver_parameters(self.id))
            .map(stats_report::parameters)
            .unwrap_or_default()
    }
}

impl Debug for RtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpReceiver")
            .field("track", &self.track())
            .finish()
    }
}
