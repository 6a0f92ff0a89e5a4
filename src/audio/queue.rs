//! The bounded queue of one input, which turns odd arrival into one frame per pull.

use crate::{FRAME_SAMPLES, Frame};

/// Frames that a queue can hold at most, whatever the configuration asks for.
pub const QUEUE_FRAMES_MAX: usize = 8;

/// Length of the rise with which an input comes back after it had run dry: 2.5 ms.
const RISE_SAMPLES: usize = 120;

#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameQueue {
    frames: [Frame; QUEUE_FRAMES_MAX],
    head: usize,
    len: usize,
    last: Frame,
    flow: Flow,
}

/// Whether frames are being handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Waits until enough frames are there; `rise` when it had run dry before.
    Filling { rise: bool },
    /// Hands out one frame per pull.
    Flowing,
}

/// What one pull found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pulled {
    /// The next frame.
    Frame(Frame),
    /// The queue has just run dry: an ending that dies away within the frame.
    Ending(Frame),
    /// Nothing, and nothing was expected yet.
    Nothing,
}

impl FrameQueue {
    pub(crate) const EMPTY: Self = Self {
        frames: [Frame::SILENCE; QUEUE_FRAMES_MAX],
        head: 0,
        len: 0,
        last: Frame::SILENCE,
        flow: Flow::Filling { rise: false },
    };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a frame; the caller has made room.
    pub(crate) fn append(&mut self, frame: &Frame) {
        debug_assert!(self.len < QUEUE_FRAMES_MAX, "room was made before");
        self.frames[(self.head + self.len) % QUEUE_FRAMES_MAX] = *frame;
        self.len += 1;
    }

    /// Throws the oldest frame away.
    pub(crate) fn drop_oldest(&mut self) {
        if self.len > 0 {
            self.head = (self.head + 1) % QUEUE_FRAMES_MAX;
            self.len -= 1;
        }
    }

    /// Makes one frame of the two oldest, sliding from one into the other without a jump.
    pub(crate) fn shorten(&mut self) {
        if self.len < 2 {
            return;
        }
        let oldest = self.frames[self.head];
        self.drop_oldest();
        let next = self.frames[self.head].samples_mut();
        for (index, (next, old)) in next.iter_mut().zip(oldest.samples()).enumerate() {
            let share = (index as f32 + 0.5) / FRAME_SAMPLES as f32;
            let joined = f32::from(*old) * (1.0 - share) + f32::from(*next) * share;
            *next = joined.round() as i16;
        }
    }

    /// Takes the frame of this pull; after running dry it waits for `prebuffer` frames again.
    pub(crate) fn pull(&mut self, prebuffer: usize) -> Pulled {
        match self.flow {
            Flow::Filling { .. } if self.len < prebuffer.max(1) => Pulled::Nothing,
            Flow::Filling { rise } => {
                self.flow = Flow::Flowing;
                let mut frame = self.take();
                if rise {
                    rise_in(&mut frame);
                }
                Pulled::Frame(frame)
            }
            Flow::Flowing if self.is_empty() => {
                self.flow = Flow::Filling { rise: true };
                let ending = self.ending();
                self.last = Frame::SILENCE;
                Pulled::Ending(ending)
            }
            Flow::Flowing => Pulled::Frame(self.take()),
        }
    }

    /// The last frame played, backwards and dying away: it goes on where that one stopped.
    pub(crate) fn ending(&self) -> Frame {
        let mut ending = Frame::SILENCE;
        let backwards = self.last.samples().iter().rev();
        for (index, (out, &sample)) in ending.samples_mut().iter_mut().zip(backwards).enumerate() {
            let gain = 1.0 - (index as f32 + 0.5) / FRAME_SAMPLES as f32;
            *out = (f32::from(sample) * gain).round() as i16;
        }
        ending
    }

    fn take(&mut self) -> Frame {
        let frame = self.frames[self.head];
        self.drop_oldest();
        self.last = frame;
        frame
    }
}

fn rise_in(frame: &mut Frame) {
    for (index, sample) in frame
        .samples_mut()
        .iter_mut()
        .take(RISE_SAMPLES)
        .enumerate()
    {
        let gain = (index as f32 + 0.5) / RISE_SAMPLES as f32;
        *sample = (f32::from(*sample) * gain).round() as i16;
    }
}
