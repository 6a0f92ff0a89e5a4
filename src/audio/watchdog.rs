//! Notices that the caller hears nothing although somebody should speak.

/// When silence is dead air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// The silence, in samples, after which it is.
    pub silence_samples: usize,
    /// Speech within so many samples after that shows that it was no dead air, only slow.
    pub false_start_samples: usize,
}

/// What one more piece of the program has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadAir {
    /// It has been silent for too long.
    Began,
    /// Somebody speaks, or nobody is awaited any more.
    Ended {
        /// Somebody spoke right after it had begun.
        false_start: bool,
    },
}

/// Follows the program's voices; what Baton itself fills in does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchdog {
    config: WatchdogConfig,
    awaited: bool,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet { samples: usize },
    Dead { samples: usize },
}

impl Watchdog {
    pub(crate) fn new(config: WatchdogConfig) -> Self {
        Self {
            config,
            awaited: false,
            state: State::Quiet { samples: 0 },
        }
    }

    /// Says whether somebody should speak.
    pub(crate) fn expect(&mut self, awaited: bool) {
        if awaited && !self.awaited {
            self.state = match self.state {
                State::Quiet { .. } => State::Quiet { samples: 0 },
                dead @ State::Dead { .. } => dead,
            };
        }
        self.awaited = awaited;
    }

    /// Takes so many samples of the program before they are heard, in which a voice sounds or none.
    pub(crate) fn observe(&mut self, samples: usize, sounds: bool) -> Option<DeadAir> {
        match &mut self.state {
            State::Quiet { samples: silent } => {
                *silent = if sounds || !self.awaited {
                    0
                } else {
                    *silent + samples
                };
                if !self.awaited || *silent < self.config.silence_samples {
                    return None;
                }
                self.state = State::Dead { samples: 0 };
                Some(DeadAir::Began)
            }
            State::Dead { samples: dead } => {
                *dead += samples;
                if !sounds && self.awaited {
                    return None;
                }
                let false_start = sounds && *dead <= self.config.false_start_samples;
                self.state = State::Quiet { samples: 0 };
                Some(DeadAir::Ended { false_start })
            }
        }
    }
}
