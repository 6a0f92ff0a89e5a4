//! The public names, thin over [`crate::net`] and [`crate::pc`].

pub mod audio_frame;
pub mod audio_source;
pub mod audio_stream;
pub mod audio_track;
pub mod data_channel;
pub(crate) mod enum_dispatch;
pub(crate) mod error;
pub mod frame_cryptor;
pub mod ice_candidate;
pub mod media_stream;
pub mod media_stream_track;
pub mod packet_trailer;
pub mod peer_connection;
pub mod peer_connection_factory;
pub mod prelude;
pub mod rtp_parameters;
pub mod rtp_receiver;
pub mod rtp_sender;
pub mod rtp_transceiver;
pub mod session_description;
mod slot;
pub mod stats;
mod stats_report;
pub mod video_frame;
pub mod video_source;
pub mod video_track;
