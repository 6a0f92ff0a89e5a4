//! Tells from levels when somebody has stopped talking, for the splice point of a handoff.

use crate::FRAME_MS;

/// What counts as speech, and how long a pause ends it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UtteranceConfig {
    /// Level in dBFS from which a frame is speech.
    pub speech_dbfs: f32,
    /// Level in dBFS below which a frame is a pause. Between the two nothing changes.
    pub pause_dbfs: f32,
    /// Speech shorter than this, in milliseconds, is a click and begins nothing.
    pub onset_ms: u32,
    /// The pause in milliseconds that ends an utterance.
    pub hangover_ms: u32,
}

impl Default for UtteranceConfig {
    fn default() -> Self {
        Self {
            speech_dbfs: -45.0,
            pause_dbfs: -51.0,
            onset_ms: 20,
            hangover_ms: 200,
        }
    }
}

/// What one more frame has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UtteranceEvent {
    /// Somebody has begun to talk.
    Began,
    /// Nobody has talked for the hangover.
    Ended,
}

/// Follows one voice, a level per 10 ms at a time.
#[derive(Clone, Copy, Debug)]
pub struct Utterance {
    config: UtteranceConfig,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet { loud_ms: u32 },
    Talking { pause_ms: u32 },
}

impl Utterance {
    /// Starts in silence: an utterance that has not begun is over.
    pub const fn new(config: UtteranceConfig) -> Self {
        Self {
            config,
            state: State::Quiet { loud_ms: 0 },
        }
    }

    /// Starts amid an utterance, whose end is still to come.
    pub const fn begun(config: UtteranceConfig) -> Self {
        Self {
            config,
            state: State::Talking { pause_ms: 0 },
        }
    }

    /// Takes the level in dBFS of the next 10 ms; a missing frame is [`crate::SILENCE_DBFS`].
    pub fn observe(&mut self, level_dbfs: f32) -> Option<UtteranceEvent> {
        match &mut self.state {
            State::Quiet { loud_ms } => {
                if level_dbfs >= self.config.speech_dbfs {
                    *loud_ms = loud_ms.saturating_add(FRAME_MS);
                } else if level_dbfs < self.config.pause_dbfs {
                    *loud_ms = 0;
                }
                if *loud_ms == 0 || *loud_ms < self.config.onset_ms {
                    return None;
                }
                self.state = State::Talking { pause_ms: 0 };
                Some(UtteranceEvent::Began)
            }
            State::Talking { pause_ms } => {
                if level_dbfs >= self.config.speech_dbfs {
                    *pause_ms = 0;
                } else if level_dbfs < self.config.pause_dbfs || *pause_ms > 0 {
                    *pause_ms = pause_ms.saturating_add(FRAME_MS);
                }
                if *pause_ms == 0 || *pause_ms < self.config.hangover_ms {
                    return None;
                }
                self.state = State::Quiet { loud_ms: 0 };
                Some(UtteranceEvent::Ended)
            }
        }
    }

    /// Whether nobody is talking, hangover included: a splice point.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Quiet { .. })
    }
}
