//! Audio and data for the official `livekit` crate in pure Rust, in place of Google's C++ library.
//!
//! The public modules carry the names that `livekit` expects of its crate `libwebrtc` and nothing more. Video is
//! negotiated where it is asked for, and no frame is encoded or decoded; audio devices, screen capture and frame
//! encryption are refused with a clear error; data packets are encrypted.
//!
//! [`encoded`] is the one extension: Opus packets of a remote track as they arrive, and ready ones to publish.
//!
//! Below the names: [`pc`] is a peer connection without sockets and clock, [`sdp`] reads and writes descriptions, `net`
//! has the sockets and the one thread that drives everything, `audio` encodes, buffers and decodes. None of them uses
//! the public names, so that another API could stand on them.

mod api;
mod audio;
/// What the fuzz targets do.
#[cfg(any(test, feature = "fuzz"))]
#[path = "fuzz/checks.rs"]
pub mod checks;
#[cfg(test)]
mod corpus_tests;
pub mod encoded;
mod encryption;
mod net;
mod pc;
mod sdp;

pub use api::{
    audio_frame, audio_source, audio_stream, audio_track, data_channel,
    error::{MediaType, RtcError, RtcErrorType},
    ice_candidate, media_stream, media_stream_track, peer_connection, peer_connection_factory,
    prelude, rtp_parameters, rtp_receiver, rtp_sender, rtp_transceiver, session_description, stats,
    video_frame, video_source, video_track,
};

/// What is not part of the W3C's API.
pub mod native {
    pub use crate::api::{frame_cryptor, packet_trailer};

    /// A random identifier in the form of a UUID.
    pub fn create_random_uuid() -> String {
        uuid::Uuid::new_v4().to_string()
    }
}
