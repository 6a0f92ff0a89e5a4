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
//! [`NativeAudioSource`]: crate::audio_source::native::NativeAudioSource

mod source;
mod stream;

#[cfg(test)]
mod tests;

pub use self::{
    source::{ENCODER_DELAY_48K, EncodedAudioSource},
    stream::EncodedAudioStream,
};
pub use crate::audio::frames::{EncodedError, OpusFrame, ReceivedFrame};
