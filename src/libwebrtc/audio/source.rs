//! Where PCM of the application enters.
//!
//! A buffered source behaves as if a timer drained it: every 10 ms one frame leaves it, silence if it is empty, whether
//! or not anybody listens. There is no timer; whoever looks at the source brings it up to date first ([`PcmSource::advance`]).
//! A direct source (queue of 0 ms) hands every frame on at once and has no time of its own.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use thiserror::Error;

use super::{TICK, frames::OpusFrame, track::SINKS_MAX};

/// The most ticks that are caught up one by one; what is older is skipped at once.
const CATCH_UP_TICKS: u32 = 20;

/// Ticks of delay that count as a stall, after which time is skipped.
const STALL_TICKS: u32 = 100;

/// What takes PCM from a source.
pub(crate) trait PcmTap: Send + Sync {
    /// Takes one frame of 10 ms, interleaved. Called with the source locked. Says whether [`Self::send`] is to follow.
    fn on_pcm(&self, now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) -> bool;

    /// Sends what it has taken. Called with the source unlocked.
    fn send(&self) {}

    /// Is told that time has passed for which there will be no PCM.
    fn on_skip(&self, skipped: Duration);

    /// Takes a packet that is ready made; false if an older one was dropped for it. Only senders have a use for them.
    fn on_ready(&self, _now: Instant, _frame: &OpusFrame) -> bool {
        true
    }

    /// Takes PCM that the other side has heard already, in packets that were ready made.
    fn on_prime(&self, _pcm: &[i16]) {}
}

/// A frame does not fit; nothing of it was taken.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub(crate) enum PushError {
    /// The buffer has no room for it before `until`.
    #[error("the buffer is full")]
    Full {
        /// When there will be room.
        until: Instant,
    },
    /// A direct source takes frames of 10 ms only.
    #[error("direct capture takes frames of 10 ms: got {got} samples, expected {expected}")]
    FrameSize {
        /// Samples offered, of all channels.
        got: usize,
        /// Samples wanted, of all channels.
        expected: usize,
    },
    /// A single push is larger than the whole buffer.
    #[error("{got} samples at once, the limit is {limit}")]
    TooLarge {
        /// Samples offered, of all channels.
        got: usize,
        /// The most that can be taken, of all channels.
        limit: usize,
    },
}

/// A source of PCM. Clones are the same source.
#[derive(Clone)]
pub(crate) struct PcmSource {
    format: Format,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Copy)]
struct Format {
    sample_rate: u32,
    channels: u32,
    /// Samples of all channels in 10 ms.
    tick_samples: usize,
    /// Samples of all channels up to which a push completes at once; 0 for a direct source.
    threshold: usize,
}

struct State {
    buffer: VecDeque<i16>,
    /// One frame, contiguous.
    scratch: Vec<i16>,
    /// When the next frame leaves. It is set by the first look at the source.
    next_tick: Option<Instant>,
    taps: Vec<Weak<dyn PcmTap>>,
}

impl PcmSource {
    /// A source of `channels` interleaved channels at `sample_rate` Hz that buffers `queue_ms` milliseconds (a multiple
    /// of 10) before it asks for patience, and takes as much again. 0 makes it direct.
    pub(crate) fn new(sample_rate: u32, channels: u32, queue_ms: u32) -> Self {
        let tick_samples = (sample_rate / 100 * channels) as usize;
        let threshold = (queue_ms / 10) as usize * tick_samples;
        let format = Format {
            sample_rate,
            channels,
            tick_samples,
            threshold,
        };
        let state = State {
            buffer: VecDeque::new(),
            scratch: vec![0; tick_samples],
            next_tick: None,
            taps: Vec::new(),
        };
        Self {
            format,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Samples per second and channel.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.format.sample_rate
    }

    /// Interleaved channels.
    pub(crate) fn channels(&self) -> u32 {
        self.format.channels
    }

    /// Whether frames are handed on at once, without a buffer.
    pub(crate) fn is_direct(&self) -> bool {
        self.format.threshold == 0
    }

    /// Samples of all channels after which a push has to wait; the largest push that is taken. 0 for a direct source.
    pub(crate) fn queue_samples(&self) -> usize {
        self.format.threshold
    }

    /// Hands over interleaved samples: exactly 10 ms for a direct source, up to the queue's size for a buffered one.
    pub(crate) fn push(&self, now: Instant, pcm: &[i16]) -> Result<(), PushError> {
        let format = self.format;
        let mut state = self.state.lock();
        if self.is_direct() {
            if pcm.len() != format.tick_samples {
                return Err(PushError::FrameSize {
                    got: pcm.len(),
                    expected: format.tick_samples,
                });
            }
            let due = state.deliver(now, pcm, format);
            drop(state);
            for tap in due {
                tap.send();
            }
            return Ok(());
        }
        if pcm.len() > format.threshold {
            return Err(PushError::TooLarge {
                got: pcm.len(),
                limit: format.threshold,
            });
        }
        state.advance(now, format);
        let over = (state.buffer.len() + pcm.len()).saturating_sub(2 * format.threshold);
        if over > 0 {
            return Err(PushError::Full {
                until: state.time_of_drain(now, over, format),
            });
        }
        state.buffer.extend(pcm);
        Ok(())
    }

    /// Hands over a packet that is ready made; returns how many older ones were dropped for it.
    pub(crate) fn push_ready(&self, now: Instant, frame: &OpusFrame) -> u64 {
        let mut state = self.state.lock();
        state.advance(now, self.format);
        let dropped = Cell::new(0);
        state.for_each_tap(|tap| dropped.set(dropped.get() + u64::from(!tap.on_ready(now, frame))));
        dropped.get()
    }

    /// Lets time pass for which there is nothing. A buffered source has its own time.
    pub(crate) fn skip(&self, skipped: Duration) {
        if self.is_direct() {
            self.state.lock().for_each_tap(|tap| tap.on_skip(skipped));
        }
    }

    /// Hands over interleaved samples that the other side has heard already.
    pub(crate) fn prime(&self, pcm: &[i16]) {
        self.state.lock().for_each_tap(|tap| tap.on_prime(pcm));
    }

    /// Drops the oldest samples so that `samples` more of them fit. For callers that cannot wait.
    pub(crate) fn make_room(&self, samples: usize) {
        let mut state = self.state.lock();
        let over = (state.buffer.len() + samples).saturating_sub(2 * self.format.threshold);
        let over = over.min(state.buffer.len());
        state.buffer.drain(..over);
    }

    /// Until when the one who pushed last should wait; `None` if there is room again.
    pub(crate) fn full_until(&self, now: Instant) -> Option<Instant> {
        if self.is_direct() {
            return None;
        }
        let mut state = self.state.lock();
        state.advance(now, self.format);
        let over = state.buffer.len().saturating_sub(self.format.threshold);
        (over > 0).then(|| state.time_of_drain(now, over, self.format))
    }

    /// Forgets what is buffered and not yet handed on.
    pub(crate) fn clear(&self) {
        self.state.lock().buffer.clear();
    }

    /// Lets all frames leave whose time has come.
    pub(crate) fn advance(&self, now: Instant) {
        self.state.lock().advance(now, self.format);
    }

    /// When the next frame leaves; `None` for a direct source.
    pub(crate) fn next_tick(&self, now: Instant) -> Option<Instant> {
        if self.is_direct() {
            return None;
        }
        Some(*self.state.lock().next_tick.get_or_insert(now + TICK))
    }

    /// Hands every frame to `tap` too, for as long as it lives. Returns false if there are too many.
    pub(crate) fn subscribe(&self, tap: Arc<dyn PcmTap>) -> bool {
        let mut state = self.state.lock();
        state.taps.retain(|tap| tap.strong_count() > 0);
        if state.taps.len() >= SINKS_MAX {
            return false;
        }
        state.taps.push(Arc::downgrade(&tap));
        true
    }
}

impl State {
    fn advance(&mut self, now: Instant, format: Format) {
        if format.threshold == 0 {
            return;
        }
        let next = *self.next_tick.get_or_insert(now + TICK);
        let Some(late) = now.checked_duration_since(next) else {
            return;
        };
        let due = (late.as_nanos() / TICK.as_nanos())
            .try_into()
            .unwrap_or(u32::MAX - 1)
            + 1;
        let skip = if due > STALL_TICKS {
            due - CATCH_UP_TICKS
        } else {
            0
        };
        if skip > 0 {
            let samples = (skip as usize)
                .saturating_mul(format.tick_samples)
                .min(self.buffer.len());
            self.buffer.drain(..samples);
            let skipped = TICK * skip;
            self.for_each_tap(|tap| tap.on_skip(skipped));
        }
        for tick in skip..due {
            let mut frame = std::mem::take(&mut self.scratch);
            if self.buffer.len() >= format.tick_samples {
                for (to, from) in frame
                    .iter_mut()
                    .zip(self.buffer.drain(..format.tick_samples))
                {
                    *to = from;
                }
            } else {
                frame.fill(0);
            }
            // A buffered source has a clock, by which its packets are sent.
            self.deliver(next + TICK * tick, &frame, format);
            self.scratch = frame;
        }
        self.next_tick = Some(next + TICK * due);
    }

    /// Hands a frame to all taps; returns those that have something to send for it.
    fn deliver(&mut self, now: Instant, pcm: &[i16], format: Format) -> Vec<Arc<dyn PcmTap>> {
        let mut due = Vec::new();
        self.taps.retain(|tap| match tap.upgrade() {
            Some(tap) => {
                if tap.on_pcm(now, pcm, format.sample_rate, format.channels) {
                    due.push(tap);
                }
                true
            }
            None => false,
        });
        due
    }

    fn for_each_tap(&mut self, each: impl Fn(&dyn PcmTap)) {
        self.taps.retain(|tap| match tap.upgrade() {
            Some(tap) => {
                each(&*tap);
                true
            }
            None => false,
        });
    }

    /// When `samples` more will have left.
    fn time_of_drain(&self, now: Instant, samples: usize, format: Format) -> Instant {
        let ticks = samples.div_ceil(format.tick_samples.max(1)).max(1) as u32;
        self.next_tick.unwrap_or(now + TICK) + TICK * (ticks - 1)
    }
}
