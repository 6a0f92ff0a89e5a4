//! What a specialist says, and the gate in front of it.
//!
//! The gate is at the source: while it is closed, what is published is silence. It is opened by a grant alone, and it
//! closes in the same step in which a revoke or the loss of the connection is seen.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::FRAME_SAMPLES;

/// How long nothing has to be said until an utterance counts as over: who writes piece by piece is not done in between.
const PAUSE: Duration = Duration::from_millis(100);
/// Samples that wait to be spoken, at most: 200 ms. Who writes more waits.
const BUFFER_SAMPLES_MAX: usize = 20 * FRAME_SAMPLES;

/// What a specialist says while it has the baton. Clones speak with the same voice.
#[derive(Debug, Clone)]
pub struct Speaker {
    voice: Voice,
}

/// The specialist does not have the baton, or has lost it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the specialist does not have the baton")]
pub struct NoBaton;

impl Speaker {
    /// Says all of this, and returns when the last of it has left. 48,000 samples a second, mono. When the baton is to
    /// be given back after the utterance, this is the utterance.
    ///
    /// # Errors
    /// If the baton is not there, or goes before all is said.
    pub async fn say(&self, samples: &[i16]) -> Result<(), NoBaton> {
        let utterance = self.voice.begin_utterance()?;
        self.voice.write(utterance.turn, samples).await?;
        self.voice.drained(utterance.turn).await
    }

    /// Puts samples behind those that wait, and returns when all are in: when at most 200 ms wait to be spoken. While
    /// the connection is restored it waits.
    ///
    /// # Errors
    /// If the baton is not there, or goes before all are in.
    pub async fn write(&self, samples: &[i16]) -> Result<(), NoBaton> {
        let turn = self.voice.turn()?;
        self.voice.write(turn, samples).await
    }

    /// Forgets what waits to be spoken, for instance because the caller has begun to speak.
    pub fn clear(&self) {
        self.voice.clear();
    }
}

/// The voice of one job.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    /// Counts the times the gate was opened: who began to speak before does not go on after.
    turn: u64,
    samples: VecDeque<i16>,
    /// How often `say` is under way.
    utterances: u32,
    /// Since when nothing has to be said; `None` while something has.
    idle_since: Option<Instant>,
    /// The gate is ignored, for tests.
    ungated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    /// Begun utterances may end.
    Finishing,
    Open,
}

#[derive(Debug)]
struct Utterance {
    voice: Voice,
    turn: u64,
}

impl Voice {
    pub(crate) fn new(ungated: bool) -> Self {
        let state = State {
            gate: if ungated { Gate::Open } else { Gate::Closed },
            turn: 0,
            samples: VecDeque::with_capacity(BUFFER_SAMPLES_MAX),
            utterances: 0,
            idle_since: Some(Instant::now()),
            ungated,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Notify::new(),
            }),
        }
    }

    pub(crate) fn speaker(&self) -> Speaker {
        Speaker {
            voice: self.clone(),
        }
    }

    /// Lets the specialist speak, from here on.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        if !state.ungated && state.gate != Gate::Open {
            state.gate = Gate::Open;
            state.turn += 1;
            state.samples.clear();
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Lets the specialist end what it has begun.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        if !state.ungated && state.gate == Gate::Open {
            state.gate = Gate::Finishing;
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Silences the specialist at once.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if !state.ungated {
            state.gate = Gate::Closed;
            state.samples.clear();
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Resolves when nothing is left to be said.
    pub(crate) async fn finished(&self) {
        self.until(|state| (state.samples.is_empty() && state.utterances == 0).then_some(()))
            .await;
    }

    /// Resolves when something has to be said that had not, or the other way round. Cancel-safe.
    pub(crate) async fn turns(&self, speaking: bool) {
        if !speaking {
            return self.until(|state| state.is_busy().then_some(())).await;
        }
        loop {
            let idle_since = self.until(State::idle_since).await;
            sleep_until(idle_since + PAUSE).await;
            if self.lock().idle_since() == Some(idle_since) {
                return;
            }
        }
    }

    /// The next 10 ms: what waits if `audible` and the gate lets it pass, else silence.
    pub(crate) fn next_frame(&self, audible: bool, frame: &mut [i16; FRAME_SAMPLES]) {
        let mut state = self.lock();
        let speaks = state.ungated || (audible && state.gate != Gate::Closed);
        let count = if speaks {
            state.samples.len().min(FRAME_SAMPLES)
        } else {
            0
        };
        for (place, sample) in frame.iter_mut().zip(state.samples.drain(..count)) {
            *place = sample;
        }
        frame[count..].fill(0);
        state.idle_since();
        drop(state);
        if count > 0 {
            self.shared.changed.notify_waiters();
        }
    }

    fn clear(&self) {
        self.lock().samples.clear();
        self.shared.changed.notify_waiters();
    }

    fn turn(&self) -> Result<u64, NoBaton> {
        let state = self.lock();
        match state.gate {
            Gate::Open => Ok(state.turn),
            Gate::Closed | Gate::Finishing => Err(NoBaton),
        }
    }

    fn begin_utterance(&self) -> Result<Utterance, NoBaton> {
        let mut state = self.lock();
        if state.gate != Gate::Open {
            return Err(NoBaton);
        }
        state.utterances += 1;
        Ok(Utterance {
            voice: self.clone(),
            turn: state.turn,
        })
    }

    async fn write(&self, turn: u64, mut samples: &[i16]) -> Result<(), NoBaton> {
        self.until(|state| {
            if !state.lets_pass(turn) {
                return Some(Err(NoBaton));
            }
            let room = BUFFER_SAMPLES_MAX.saturating_sub(state.samples.len());
            let (now, later) = samples.split_at(samples.len().min(room));
            state.samples.extend(now);
            samples = later;
            state.idle_since();
            samples.is_empty().then_some(Ok(()))
        })
        .await
    }

    async fn drained(&self, turn: u64) -> Result<(), NoBaton> {
        self.until(|state| {
            if !state.lets_pass(turn) {
                return Some(Err(NoBaton));
            }
            state.samples.is_empty().then_some(Ok(()))
        })
        .await
    }

    /// Asks now and after every change until there is an answer. Cancel-safe.
    async fn until<T>(&self, mut ask: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = ask(&mut self.lock()) {
                return answer;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and samples cannot be left half written.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_busy(&self) -> bool {
        !self.samples.is_empty() || self.utterances > 0
    }

    /// Since when nothing has to be said, as far as anybody has asked.
    fn idle_since(&mut self) -> Option<Instant> {
        if self.is_busy() {
            self.idle_since = None;
        } else {
            self.idle_since.get_or_insert_with(Instant::now);
        }
        self.idle_since
    }

    /// Whether who began to speak in this turn may go on.
    fn lets_pass(&self, turn: u64) -> bool {
        self.gate != Gate::Closed && self.turn == turn
    }
}

impl Drop for Utterance {
    fn drop(&mut self) {
        self.voice.lock().utterances -= 1;
        self.voice.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(voice: &Voice) -> [i16; FRAME_SAMPLES] {
        let mut frame = [99; FRAME_SAMPLES];
        voice.next_frame(true, &mut frame);
        frame
    }

    #[tokio::test]
    async fn without_the_baton_nothing_can_be_said() {
        let voice = Voice::new(false);
        assert_eq!(voice.speaker().write(&[1; 10]).await, Err(NoBaton));
        assert_eq!(voice.speaker().say(&[1; 10]).await, Err(NoBaton));
        assert_eq!(frame(&voice), [0; FRAME_SAMPLES]);
    }

    #[tokio::test]
    async fn what_is_said_is_sent_and_the_rest_of_a_frame_is_silence() {
        let voice = Voice::new(false);
        voice.open();
        assert_eq!(voice.speaker().write(&[7; 500]).await, Ok(()));
        assert_eq!(frame(&voice), [7; FRAME_SAMPLES]);
        let last = frame(&voice);
        assert_eq!((last[19], last[20]), (7, 0));
    }

    #[tokio::test]
    async fn while_the_connection_is_away_what_waits_is_kept() {
        let voice = Voice::new(false);
        voice.open();
        assert_eq!(voice.speaker().write(&[7; 480]).await, Ok(()));
        let mut silent = [99; FRAME_SAMPLES];
        voice.next_frame(false, &mut silent);
        assert_eq!(silent, [0; FRAME_SAMPLES]);
        assert_eq!(frame(&voice), [7; FRAME_SAMPLES]);
    }

    #[tokio::test]
    async fn a_writer_waits_for_room_and_learns_of_the_loss() {
        let voice = Voice::new(false);
        voice.open();
        let speaker = voice.speaker();
        let writer = tokio::spawn(async move { speaker.write(&[7; 2 * BUFFER_SAMPLES_MAX]).await });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        voice.close();
        assert_eq!(writer.await.ok(), Some(Err(NoBaton)));
        voice.open();
        assert_eq!(
            frame(&voice),
            [0; FRAME_SAMPLES],
            "nothing is left of the former turn"
        );
    }

    #[tokio::test]
    async fn a_begun_utterance_may_end_and_no_other_begins() {
        let voice = Voice::new(false);
        voice.open();
        let speaker = voice.speaker();
        let said = tokio::spawn(async move { speaker.say(&[7; 2 * FRAME_SAMPLES]).await });
        tokio::task::yield_now().await;
        voice.finish();
        assert_eq!(voice.speaker().say(&[8; 1]).await, Err(NoBaton));
        assert_eq!(voice.speaker().write(&[8; 1]).await, Err(NoBaton));
        for _ in 0..2 {
            assert_eq!(frame(&voice), [7; FRAME_SAMPLES]);
        }
        voice.finished().await;
        assert_eq!(said.await.ok(), Some(Ok(())));
    }

    #[tokio::test]
    async fn who_spoke_in_a_former_turn_does_not_go_on_in_the_next() {
        let voice = Voice::new(false);
        voice.open();
        let speaker = voice.speaker();
        let writer = tokio::spawn(async move { speaker.write(&[7; 2 * BUFFER_SAMPLES_MAX]).await });
        tokio::task::yield_now().await;
        voice.close();
        voice.open();
        assert_eq!(writer.await.ok(), Some(Err(NoBaton)));
        assert_eq!(frame(&voice), [0; FRAME_SAMPLES]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_utterance_is_over_when_nothing_has_to_be_said_for_a_while() {
        let voice = Voice::new(false);
        voice.open();
        let speaker = voice.speaker();
        assert!(at_once(voice.turns(false)).await.is_none());
        assert_eq!(speaker.write(&[7; FRAME_SAMPLES]).await, Ok(()));
        assert!(at_once(voice.turns(false)).await.is_some());
        frame(&voice);
        assert!(at_once(voice.turns(true)).await.is_none(), "more may come");
        assert_eq!(speaker.write(&[7; FRAME_SAMPLES]).await, Ok(()));
        tokio::time::advance(PAUSE).await;
        assert!(at_once(voice.turns(true)).await.is_none(), "more has come");
        frame(&voice);
        tokio::time::advance(PAUSE).await;
        assert!(at_once(voice.turns(true)).await.is_some());
    }

    /// What a future gives within a millisecond.
    async fn at_once(future: impl Future<Output = ()>) -> Option<()> {
        tokio::time::timeout(Duration::from_millis(1), future)
            .await
            .ok()
    }
}
