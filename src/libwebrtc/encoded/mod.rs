//! Opus packets without a codec in between: the one extension of libwebrtc's API.
//!
//! [`EncodedAudioStream`] hands out the packets of a remote track as they arrive. [`EncodedAudioSource`] publishes
//! packets that are ready made over the track of a [`NativeAudioSource`], beside the PCM that the source takes:
//! whatever is handed in, sequence numbers are without a hole, the RTP time goes on by exactly what has been sent, and
//! the marker is set at the beginning and after a pause, never at a change of source.
//!
//! Times named `..._48k` are in samples per channel at 48 kHz, the clock of Opus over RTP (RFC 7587): 960 are 20 ms.
//!
//! ```no_run
//! use libwebrtc::{
//!     audio_source::native::NativeAudioSource,
//!     audio_track::RtcAudioTrack,
//!     encoded::{EncodedAudioSource, EncodedAudioStream, OpusFrame},
//! };
//!
//! fn forward(from: RtcAudioTrack, to: &NativeAudioSource) {
//!     let mut received = EncodedAudioStream::new(from);
//!     let published = EncodedAudioSource::new(to);
//!     while let Some(frame) = received.try_next() {
//!         match OpusFrame::try_from(frame) {
//!             Ok(frame) => published.push(frame),
//!             Err(error) => eprintln!("not forwarded: {error}"),
//!         }
//!     }
//! }
//! ```
//!
//! It never decodes: a remote track with streams of this kind alone costs no decoder. It neither reorders nor fills
//! what it hands on; which packet is sent when is the application's to say.
//!
//! [`spawn`] runs a task between the two where connections are driven, so that a packet passes without a change of threads.
//!
//! [`NativeAudioSource`]: crate::audio_source::native::NativeAudioSource

mod source;
mod stream;

#[cfg(test)]
mod tests;

use std::future::Future;

pub use self::{
    source::{ENCODER_DELAY_48K, EncodedAudioSource},
    stream::EncodedAudioStream,
};
pub use crate::audio::frames::{EncodedError, OpusFrame, ReceivedFrame};
use crate::{RtcError, net};

/// Runs a task on the one thread that drives all connections of the process: what it takes from an [`EncodedAudioStream`] and
/// hands to an [`EncodedAudioSource`] does not change threads. Tokio's timers work there.
///
/// Nothing is received or sent while the task computes, so it must neither block nor take longer than a few milliseconds.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), RtcError> {
    Ok(net::spawn(task)?)
}
