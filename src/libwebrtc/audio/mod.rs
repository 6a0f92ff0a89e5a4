//! Sound: where it comes from, how it is encoded, buffered, decoded and handed out.
//!
//! Everything here is driven from outside: time is an argument, nothing spawns a thread, opens a socket or reads a
//! clock. A driver owns an [`sender::AudioSender`] for each track it sends and an [`receiver::AudioReceiver`] for each
//! track it receives, and asks both when they next want to be called. The cheap handles in [`track`] connect these to
//! the application's side: PCM goes in through [`source::PcmSource`] and comes out through [`sink::PcmSink`].
//!
//! All counts named `..._48k` are samples per channel of a 48 kHz clock, which is the clock of Opus over RTP
//! (RFC 7587), whatever rate is encoded or decoded.

pub(crate) mod decoder;
pub(crate) mod delay;
pub(crate) mod feed;
pub(crate) mod frames;
pub(crate) mod jitter;
pub(crate) mod level;
pub(crate) mod loss;
pub(crate) mod playout;
pub(crate) mod receiver;
pub(crate) mod red;
pub(crate) mod resample;
pub(crate) mod sender;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stretch;
pub(crate) mod track;

#[cfg(test)]
mod tests;

use std::time::Duration;

/// The time between two frames of PCM at either end.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Samples per channel of the RTP clock in one tick.
pub(crate) const TICK_48K: u64 = 480;
