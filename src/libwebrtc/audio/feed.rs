//! Where a source leaves what one sender is to send: PCM, and Opus packets that are ready made.
//!
//! A direct source has no clock: what is handed in goes out in that order, PCM and packets alike, each for its own
//! length of time. A buffered source has one: a packet goes out when as much PCM has left the source as the packet
//! lasts, and in its place.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{TICK, TICK_48K, frames::OpusFrame, source::PcmTap, track::Driver};

/// Frames of PCM in a packet.
pub(super) const FRAMES_PER_PACKET: usize = 2;

/// PCM that waits for the encoder, at most; what is older is skipped.
const QUEUE_MAX: Duration = Duration::from_millis(500);

/// Ready packets that wait, at most; what is older is skipped.
pub(crate) const READY_MAX: usize = 25;

/// PCM to prepare the encoder with, at most; what is older is forgotten.
const PRIME_MAX: usize = 10;

/// A direct source that is silent for longer than this has paused: time goes on without it.
const PAUSE: Duration = Duration::from_millis(100);

/// What a sender has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Take a packet's worth of PCM.
    Packet,
    /// Take one frame of PCM: a ready packet comes right after it.
    Rest,
    /// Send this; so much time has passed before it.
    Ready(OpusFrame, Duration),
}

/// What waits for one sender.
pub(super) struct Feed {
    direct: bool,
    /// Samples of all channels in 10 ms.
    frame: usize,
    driver: Arc<dyn Driver>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    pcm: VecDeque<i16>,
    /// Time for which there is nothing, before what is queued.
    skipped: Duration,
    /// When a direct source should give the next frame at the latest.
    expected: Option<Instant>,
    ready: VecDeque<Ready>,
    /// Frames of PCM that have ever been queued, and that have left.
    frames_in: u64,
    frames_out: u64,
    prime: VecDeque<i16>,
}

struct Ready {
    frame: OpusFrame,
    /// Its place in a direct source: so many frames of PCM had been queued before it.
    after: u64,
}

impl Feed {
    /// A feed for frames of `frame` samples, of a source that is `direct` or not.
    pub(super) fn new(direct: bool, frame: usize, driver: Arc<dyn Driver>) -> Self {
        Self {
            direct,
            frame,
            driver,
            queue: Mutex::default(),
        }
    }

    /// What to do next; `None` while nothing is due.
    pub(super) fn next(&self) -> Option<Next> {
        let mut queue = self.queue.lock();
        let frames = queue.frames(self.frame);
        let Some(ready) = queue.ready.front() else {
            return (frames >= FRAMES_PER_PACKET).then_some(Next::Packet);
        };
        let taken = if self.direct {
            let before = ready.after.saturating_sub(queue.frames_out);
            if before >= FRAMES_PER_PACKET as u64 {
                return Some(Next::Packet);
            }
            if before > 0 {
                return Some(Next::Rest);
            }
            0
        } else {
            ticks(&ready.frame)
        };
        if frames < taken {
            return None;
        }
        for _ in 0..taken {
            queue.drop_frame(self.frame);
        }
        let skipped = std::mem::take(&mut queue.skipped);
        let ready = queue.ready.pop_front()?;
        Some(Next::Ready(ready.frame, skipped))
    }

    /// Frames of 10 ms that are missing until something is due.
    pub(super) fn missing(&self) -> usize {
        let queue = self.queue.lock();
        let wanted = match queue.ready.front() {
            None => FRAMES_PER_PACKET,
            Some(_) if self.direct => 0,
            Some(ready) => ticks(&ready.frame),
        };
        wanted.saturating_sub(queue.frames(self.frame))
    }

    /// Replaces `out` with the next frame of PCM; returns the time that has passed before it.
    pub(super) fn take(&self, out: &mut Vec<i16>) -> Duration {
        let mut queue = self.queue.lock();
        let samples = self.frame.min(queue.pcm.len());
        out.clear();
        // In two pieces at most, not sample by sample.
        let (front, back) = queue.pcm.as_slices();
        let first = samples.min(front.len());
        out.extend_from_slice(&front[..first]);
        out.extend_from_slice(&back[..samples - first]);
        queue.pcm.drain(..samples);
        queue.frames_out += 1;
        std::mem::take(&mut queue.skipped)
    }

    /// Replaces `out` with the PCM that the encoder should have heard before the next frame, if any.
    pub(super) fn take_prime(&self, out: &mut Vec<i16>) {
        out.clear();
        out.extend(self.queue.lock().prime.drain(..));
    }
}

impl Queue {
    /// Frames of PCM that wait.
    fn frames(&self, frame: usize) -> usize {
        self.pcm.len() / frame.max(1)
    }

    fn drop_frame(&mut self, frame: usize) {
        let samples = frame.min(self.pcm.len());
        self.pcm.drain(..samples);
        self.frames_out += 1;
    }

    /// Accounts for a direct source that gives something of this length.
    fn expect(&mut self, now: Instant, length: Duration) {
        if let Some(pause) = self.expected.and_then(|at| now.checked_duration_since(at))
            && pause > PAUSE
        {
            self.skipped += pause;
            self.expected = None;
        }
        self.expected = Some(self.expected.unwrap_or(now) + length);
    }
}

impl PcmTap for Feed {
    fn on_pcm(&self, now: Instant, pcm: &[i16], _sample_rate: u32, _channels: u32) -> bool {
        let mut queue = self.queue.lock();
        if self.direct {
            queue.expect(now, TICK);
        }
        queue.pcm.extend(pcm);
        queue.frames_in += 1;
        let frames = queue.frames(self.frame);
        if frames as u128 * TICK.as_millis() > QUEUE_MAX.as_millis() {
            queue.drop_frame(self.frame);
            queue.skipped += TICK;
        }
        self.direct && frames >= FRAMES_PER_PACKET
    }

    fn send(&self) {
        self.driver.send();
    }

    fn on_skip(&self, skipped: Duration) {
        let mut queue = self.queue.lock();
        queue.skipped += skipped;
        // The time is accounted for, and is no pause any more.
        queue.expected = queue.expected.map(|at| at + skipped);
    }

    fn on_ready(&self, now: Instant, frame: &OpusFrame) -> bool {
        let mut queue = self.queue.lock();
        if self.direct {
            queue.expect(now, TICK * ticks(frame) as u32);
        }
        let full = queue.ready.len() >= READY_MAX;
        if full && let Some(oldest) = queue.ready.pop_front() {
            // A buffered source plays PCM in its place, a direct one has nothing for that time.
            if self.direct {
                queue.skipped += TICK * ticks(&oldest.frame) as u32;
            }
        }
        // It would be older than this packet.
        queue.prime.clear();
        let after = queue.frames_in;
        queue.ready.push_back(Ready {
            frame: frame.clone(),
            after,
        });
        drop(queue);
        self.driver.wake();
        !full
    }

    fn on_prime(&self, pcm: &[i16]) {
        let mut queue = self.queue.lock();
        queue.prime.extend(pcm);
        let over = queue.prime.len().saturating_sub(PRIME_MAX * self.frame);
        queue.prime.drain(..over);
    }
}

/// The length of a packet in frames of PCM.
fn ticks(frame: &OpusFrame) -> usize {
    (frame.duration_samples_48k() / TICK_48K) as usize
}
