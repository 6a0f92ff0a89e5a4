//! Packets to publish.

use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::OpusFrame;
use crate::{audio::source::PcmSource, audio_source::native::NativeAudioSource};

/// By how much the sound that a source's encoder sends lags behind its input, in samples per channel at 48 kHz (6.5 ms).
pub const ENCODER_DELAY_48K: u32 = 312;

/// Publishes packets that are ready made over the tracks of a source. Clones are the same.
///
/// PCM and packets may follow one another in any order, and the tracks' RTP time goes on by exactly the length of each.
///
/// - A source without a queue (`queue_size_ms` of 0) has no clock: what is handed in goes out at once and in that order.
///   If a single 10 ms of PCM comes before a packet, it is sent as a packet of 10 ms. When nothing is handed in for
///   longer than 100 ms, that is a pause: the RTP time skips it in steps of 20 ms, and the next packet is marked.
/// - A source with a queue has a clock: PCM leaves it all the time, silence if there is none. A packet is sent when as
///   much PCM as it lasts has left the source, and that PCM is dropped for it. While no packet waits, the PCM is sent;
///   so there is no empty slot.
///
/// A track sends packets of others as it sends its own: in RED, each with a copy of the one before, if RED is agreed on.
/// A track that is switched off sends silence in their place. Whoever listens to the local track does not hear them.
///
/// 25 packets wait for each track that is being sent; when one more comes, the oldest is dropped and its time passes.
/// Packets for tracks that are not being sent are lost at once, as PCM is.
#[derive(Clone)]
pub struct EncodedAudioSource {
    source: PcmSource,
    dropped: Arc<AtomicU64>,
}

impl EncodedAudioSource {
    /// Publishes over the tracks that are made of `source`.
    pub fn new(source: &NativeAudioSource) -> Self {
        Self {
            source: source.handle(),
            dropped: Arc::default(),
        }
    }

    /// Hands over a packet. It never waits.
    pub fn push(&self, frame: OpusFrame) {
        let dropped = self.source.push_ready(Instant::now(), &frame);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Lets `samples_48k` pass for which there is no packet, such as one that was lost or left out by DTX. The RTP time
    /// skips them in whole steps of 20 ms, what is left over is added to the next skip, and the packet after a step is
    /// marked. A source with a queue has a clock of its own, for which this does nothing.
    pub fn skip(&self, samples_48k: u32) {
        let nanos = u64::from(samples_48k) * 1_000_000 / 48;
        self.source.skip(Duration::from_nanos(nanos));
    }

    /// Tells the encoder what the other side has heard before the PCM that is handed in next: interleaved samples in
    /// the source's format, in the order of time. No packet is made of it. Of more than 100 ms the last are kept.
    ///
    /// The encoder knows nothing of the packets, and what it sends lags behind its input by [`ENCODER_DELAY_48K`]. So
    /// PCM after packets begins with 6.5 ms of silence; primed with what was heard, it begins with the last 6.5 ms of
    /// that, once more; and primed with what was heard and the first 6.5 ms of what follows, it goes on without a seam
    /// from there. It takes effect when it comes after the last packet and before the next PCM.
    pub fn prime(&self, samples: &[i16]) {
        self.source.prime(samples);
    }

    /// Packets dropped so far because they were not sent in time, over all tracks of the source.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Debug for EncodedAudioSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedAudioSource")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
