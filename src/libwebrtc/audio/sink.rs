//! Where PCM leaves for the application.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    resample::{Converter, ResampleError, remix},
    source::PcmTap,
};

/// The frames that a sink holds when it is asked not to drop any: one minute. Beyond it the oldest go all the same.
pub(crate) const FRAMES_MAX: usize = 6_000;

/// A bounded queue of frames of 10 ms in a format of its own. When it is full, the oldest frame is dropped.
pub(crate) struct PcmSink {
    rate: u32,
    channels: u32,
    capacity: usize,
    closed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    frames: VecDeque<Vec<i16>>,
    /// Present when the last input had another rate.
    converter: Option<Converter>,
    /// Samples that do not fill a frame yet.
    partial: Vec<i16>,
    dropped: u64,
    waker: Option<Waker>,
}

impl PcmSink {
    /// A sink for frames at `rate` Hz with `channels` channels that holds `capacity` of them; `None` for
    /// [`FRAMES_MAX`].
    pub(crate) fn new(
        rate: u32,
        channels: u32,
        capacity: Option<usize>,
    ) -> Result<Self, ResampleError> {
        // Checks the format.
        Converter::new((48_000, 1), (rate, channels))?;
        let state = State {
            frames: VecDeque::new(),
            converter: None,
            partial: Vec::new(),
            dropped: 0,
            waker: None,
        };
        Ok(Self {
            rate,
            channels,
            capacity: capacity.unwrap_or(FRAMES_MAX).clamp(1, FRAMES_MAX),
            closed: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Rate in Hz and channels of the frames.
    pub(crate) fn format(&self) -> (u32, u32) {
        (self.rate, self.channels)
    }

    /// Samples per channel of a frame.
    pub(crate) fn frame_samples(&self) -> usize {
        (self.rate / 100) as usize
    }

    /// Whether so many frames find room.
    pub(crate) fn holds(&self, frames: usize) -> bool {
        self.capacity >= frames
    }

    /// Whether [`Self::close`] has been called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes no more frames and forgets those it has.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.frames.clear();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes interleaved samples of any format. Returns whom to wake for it.
    #[must_use]
    pub(crate) fn push(&self, pcm: &[i16], rate: u32, channels: u32) -> Option<Waker> {
        if self.is_closed() {
            return None;
        }
        let mut state = self.state.lock();
        let added = self.convert(&mut state, pcm, rate, channels);
        added.then(|| state.waker.take()).flatten()
    }

    /// The next frame; `None` once the sink is closed.
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Vec<i16>>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if self.is_closed() {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Returns whether a frame was added.
    fn convert(&self, state: &mut State, pcm: &[i16], rate: u32, channels: u32) -> bool {
        let frame_samples = self.frame_samples() * self.channels as usize;
        if rate == self.rate {
            state.converter = None;
            if state.partial.is_empty() && pcm.len() / channels as usize == self.frame_samples() {
                let mut frame = Vec::with_capacity(frame_samples);
                remix(pcm, channels as usize, self.channels as usize, &mut frame);
                self.queue(state, frame);
                return true;
            }
            remix(
                pcm,
                channels as usize,
                self.channels as usize,
                &mut state.partial,
            );
        } else {
            if state.converter.as_ref().map(Converter::from) != Some((rate, channels)) {
                state.converter = Converter::new((rate, channels), (self.rate, self.channels)).ok();
            }
            if let Some(converter) = &mut state.converter {
                converter.push(pcm, &mut state.partial);
            }
        }
        let mut taken = 0;
        while state.partial.len() - taken >= frame_samples {
            let frame = state.partial[taken..taken + frame_samples].to_vec();
            taken += frame_samples;
            self.queue(state, frame);
        }
        state.partial.drain(..taken);
        taken > 0
    }

    fn queue(&self, state: &mut State, frame: Vec<i16>) {
        if state.frames.len() >= self.capacity {
            state.frames.pop_front();
            state.dropped += 1;
            if state.dropped == 1 || state.dropped.is_multiple_of(100) {
                tracing::warn!(
                    dropped = state.dropped,
                    "audio frames are not taken in time"
                );
            }
        }
        state.frames.push_back(frame);
    }
}

impl PcmTap for PcmSink {
    fn on_pcm(&self, _now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) -> bool {
        if let Some(waker) = self.push(pcm, sample_rate, channels) {
            waker.wake();
        }
        false
    }

    fn on_skip(&self, _skipped: Duration) {}
}
