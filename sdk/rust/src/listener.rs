//! What a specialist hears: the caller, while it has the baton, and a moment before.
//!
//! While a specialist prepares, what the caller says is kept, a few hundred milliseconds of it and never more. With the
//! baton it is heard first, so that what the caller says through the change is not cut at its beginning.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast};

use crate::FRAME_SAMPLES;

/// Frames that a listener may be late by: 500 ms. Then the oldest are dropped.
const LATE_FRAMES: usize = 50;
/// The longest pre-roll that is kept, whatever Baton asks for: 2 s.
const PREROLL_FRAMES_MAX: usize = 200;
/// Frames after which a track can be heard: the first ones are the lead-in of codec and jitter buffer.
const OPEN_FRAMES: usize = 10;
/// Milliseconds of a frame.
const FRAME_MS: u32 = 10;

/// 10 ms of the caller: 480 samples, 48,000 a second, mono.
pub type CallerFrame = Arc<[i16; FRAME_SAMPLES]>;

/// What the caller says. It yields nothing while the specialist does not have the baton, and with the baton the moment
/// before it first. A listener that is made within half a second after the baton has come hears all since, too.
#[derive(Debug)]
pub struct Listener {
    /// What had come before it was made.
    before: VecDeque<CallerFrame>,
    frames: broadcast::Receiver<CallerFrame>,
}

impl Listener {
    /// The next 10 ms, or `None` when the call is over for this specialist. A listener that is more than 500 ms late
    /// misses the oldest frames. Cancel-safe.
    pub async fn next(&mut self) -> Option<CallerFrame> {
        if let Some(frame) = self.before.pop_front() {
            return Some(frame);
        }
        loop {
            match self.frames.recv().await {
                Ok(frame) => return Some(frame),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The end at which frames come in.
#[derive(Debug, Clone)]
pub(crate) struct CallerAudio {
    frames: broadcast::Sender<CallerFrame>,
    ear: Arc<Mutex<Ear>>,
    /// Told when the caller can be heard.
    open: Arc<Notify>,
}

#[derive(Debug)]
struct Ear {
    preroll_frames: usize,
    /// While the baton is not here: the last frames. While it is: the pre-roll and what has come since, until that is
    /// more than a listener may be late by.
    kept: VecDeque<CallerFrame>,
    hears: bool,
    /// Frames since the baton came.
    since: usize,
    /// Whether the caller's track is there to be heard, and was asked for.
    expected: bool,
    /// Frames that have come of it.
    opened_frames: usize,
}

impl CallerAudio {
    pub(crate) fn new() -> Self {
        let ear = Ear {
            preroll_frames: 0,
            kept: VecDeque::new(),
            hears: false,
            since: 0,
            expected: false,
            opened_frames: 0,
        };
        Self {
            frames: broadcast::Sender::new(LATE_FRAMES + PREROLL_FRAMES_MAX),
            ear: Arc::new(Mutex::new(ear)),
            open: Arc::default(),
        }
    }

    /// How much is kept while the baton is not here.
    pub(crate) fn keep(&self, preroll_ms: u32) {
        let frames = (preroll_ms / FRAME_MS) as usize;
        self.lock().preroll_frames = frames.min(PREROLL_FRAMES_MAX);
    }

    pub(crate) fn listener(&self) -> Listener {
        let ear = self.lock();
        Listener {
            before: if ear.hears {
                ear.kept.clone()
            } else {
                VecDeque::new()
            },
            frames: self.frames.subscribe(),
        }
    }

    /// How much of the caller is kept from before the baton, in milliseconds.
    pub(crate) fn kept_ms(&self) -> u32 {
        let ear = self.lock();
        let frames = if ear.hears { 0 } else { ear.kept.len() };
        u32::try_from(frames)
            .unwrap_or(u32::MAX)
            .saturating_mul(FRAME_MS)
    }

    /// The next 10 ms: for the listeners if the baton is here, else for the pre-roll.
    pub(crate) fn push(&self, hears: bool, frame: [i16; FRAME_SAMPLES]) {
        let frame = Arc::new(frame);
        let mut ear = self.lock();
        ear.opened_frames = ear.opened_frames.saturating_add(1);
        if ear.opened_frames == OPEN_FRAMES || ear.opened_frames == ear.whole_frames() {
            self.open.notify_waiters();
        }
        if !hears {
            ear.fall_deaf();
            ear.kept.push_back(frame);
            let excess = ear.kept.len().saturating_sub(ear.preroll_frames);
            ear.kept.drain(..excess);
            return;
        }
        if !ear.hears {
            ear.hears = true;
            ear.since = 0;
            for frame in &ear.kept {
                // Nobody may be listening.
                let _ = self.frames.send(frame.clone());
            }
        }
        ear.since += 1;
        if ear.since <= LATE_FRAMES {
            ear.kept.push_back(frame.clone());
        } else {
            ear.kept.clear();
        }
        let _ = self.frames.send(frame);
    }

    /// Forgets the pre-roll: the caller is no longer wanted.
    pub(crate) fn forget(&self) {
        let mut ear = self.lock();
        ear.fall_deaf();
        ear.kept.clear();
        ear.expected = false;
        ear.opened_frames = 0;
    }

    /// The caller's track was asked for, or is not there.
    pub(crate) fn expect(&self, expected: bool) {
        self.lock().expected = expected;
    }

    /// Resolves when the caller can be heard, and with `whole` the whole moment before too; at once if it has no track.
    /// Cancel-safe.
    pub(crate) async fn opened(&self, whole: bool) {
        loop {
            let mut open = pin!(self.open.notified());
            open.as_mut().enable();
            {
                let ear = self.lock();
                let wanted = if whole {
                    ear.whole_frames()
                } else {
                    OPEN_FRAMES
                };
                if ear.opened_frames >= wanted || !ear.expected {
                    return;
                }
            }
            open.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ear> {
        // Nothing panics while it is held.
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    /// Frames after which the pre-roll is whole.
    fn whole_frames(&self) -> usize {
        OPEN_FRAMES + self.preroll_frames
    }

    fn fall_deaf(&mut self) {
        if self.hears {
            self.hears = false;
            self.kept.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: i16) -> [i16; FRAME_SAMPLES] {
        [number; FRAME_SAMPLES]
    }

    fn numbers(listener: &mut Listener) -> Vec<i16> {
        let mut numbers = Vec::new();
        while let Some(Some(frame)) = futures_util::FutureExt::now_or_never(listener.next()) {
            numbers.push(frame[0]);
        }
        numbers
    }

    #[test]
    fn with_the_baton_the_moment_before_comes_first() {
        let caller = CallerAudio::new();
        caller.keep(30);
        let mut early = caller.listener();
        for number in 1..=5 {
            caller.push(false, frame(number));
        }
        assert_eq!(numbers(&mut early), [0_i16; 0], "nothing without the baton");
        assert_eq!(caller.kept_ms(), 30);
        for number in 6..=8 {
            caller.push(true, frame(number));
        }
        assert_eq!(numbers(&mut early), [3, 4, 5, 6, 7, 8]);
        let mut late = caller.listener();
        assert_eq!(
            numbers(&mut late),
            [3, 4, 5, 6, 7, 8],
            "made a moment later"
        );
        caller.push(true, frame(9));
        assert_eq!(
            (numbers(&mut early), numbers(&mut late)),
            (vec![9], vec![9])
        );
    }

    #[test]
    fn a_listener_of_later_hears_from_then_on() {
        let caller = CallerAudio::new();
        caller.keep(30);
        caller.push(false, frame(1));
        for _ in 0..=LATE_FRAMES {
            caller.push(true, frame(2));
        }
        let mut late = caller.listener();
        caller.push(true, frame(3));
        assert_eq!(numbers(&mut late), [3]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        let caller = CallerAudio::new();
        let mut listener = caller.listener();
        caller.push(false, frame(1));
        caller.push(true, frame(2));
        assert_eq!(numbers(&mut listener), [2]);
    }

    #[test]
    fn what_was_heard_in_a_former_turn_is_no_preroll_of_the_next() {
        let caller = CallerAudio::new();
        caller.keep(100);
        caller.push(true, frame(1));
        caller.push(false, frame(2));
        caller.push(true, frame(3));
        assert_eq!(numbers(&mut caller.listener()), [2, 3]);
        caller.forget();
        caller.push(true, frame(4));
        assert_eq!(numbers(&mut caller.listener()), [4]);
    }

    #[tokio::test]
    async fn a_track_that_was_asked_for_is_waited_for_and_none_is_not() {
        let caller = CallerAudio::new();
        caller.keep(30);
        caller.opened(true).await;
        caller.expect(true);
        let waits = |whole| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.opened(whole).await })
        };
        let (some, whole) = (waits(false), waits(true));
        tokio::task::yield_now().await;
        assert!(!some.is_finished());
        for _ in 0..OPEN_FRAMES {
            caller.push(false, frame(1));
        }
        some.await.expect("it resolves");
        assert!(!whole.is_finished(), "the moment before is not whole");
        for _ in 0..3 {
            caller.push(false, frame(1));
        }
        whole.await.expect("it resolves");
    }

    #[test]
    fn the_preroll_is_bounded_whatever_is_asked_for() {
        let caller = CallerAudio::new();
        caller.keep(u32::MAX);
        for _ in 0..1_000 {
            caller.push(false, frame(1));
        }
        let mut listener = caller.listener();
        caller.push(true, frame(1));
        assert_eq!(numbers(&mut listener).len(), PREROLL_FRAMES_MAX + 1);
    }
}
