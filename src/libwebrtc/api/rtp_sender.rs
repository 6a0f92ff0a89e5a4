//! Senders.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use crate::{
    RtcError, api::stats_report, media_stream_track::MediaStreamTrack, net::Connection,
    pc::TransceiverId, rtp_parameters::RtpParameters, stats::RtcStats,
};

/// The kind of video encoder that an application would like. No video is encoded, so that it has no effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoEncoderBackend {
    /// Whichever is best.
    #[default]
    Auto,
    /// One in software.
    Software,
    /// One in hardware.
    Hardware,
    /// NVIDIA's.
    Nvenc,
    /// The one behind VA-API.
    Vaapi,
    /// Apple's.
    VideoToolbox,
    /// None: the application encodes.
    PreEncoded,
}

impl VideoEncoderBackend {
    /// The encoders that are there: none.
    pub fn list_available() -> impl IntoIterator<Item = VideoEncoderBackend> {
        []
    }
}

/// The sending half of a transceiver. Clones are the same sender.
#[derive(Clone)]
pub struct RtpSender {
    connection: Arc<Connection>,
    id: TransceiverId,
}

impl RtpSender {
    pub(crate) fn new(connection: Arc<Connection>, id: TransceiverId) -> Self {
        Self { connection, id }
    }

    pub(crate) fn transceiver_id(&self) -> TransceiverId {
        self.id
    }

    /// The track that is sent.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.connection
            .read(|state| state.local_track(self.id))
            .map(MediaStreamTrack::from_inner)
    }

    /// What is known of the stream that is sent.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(stats_report::sender(&self.connection.report(Some(self.id))))
    }

    /// Replaces the track that is sent, without a negotiation.
    ///
    /// # Errors
    /// When the connection is closed, or the track is of the other kind.
    pub fn set_track(&self, track: Option<MediaStreamTrack>) -> Result<(), RtcError> {
        let track = track.map(|track| track.inner());
        self.connection
            .with(|state, _| state.set_local_track(self.id, track))?;
        Ok(())
    }

    /// What the sender works with.
    pub fn parameters(&self) -> RtpParameters {
        self.connection
            .read(|state| state.sender_parameters(self.id))
            .map(stats_report::parameters)
            .unwrap_or_default()
    }

    /// Sets the bit rate limit and activity of the encodings.
    ///
    /// # Errors
    /// When the sender is gone.
    pub fn set_parameters(&self, parameters: RtpParameters) -> Result<(), RtcError> {
        let encodings = parameters
            .encodings
            .iter()
            .map(stats_report::encoding)
            .collect();
        self.connection
            .with(|state, _| state.set_encodings(self.id, encodings))?;
        Ok(())
    }

    /// Accepts a wish, without effect.
    pub fn set_video_encoder_backend(&self, _backend: VideoEncoderBackend) {}
}

impl Debug for RtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSender")
            .field("track", &self.track())
            .finish()
    }
}
