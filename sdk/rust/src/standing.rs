//! How a specialist stands to the baton, and what Baton's words mean to it. Pure.

use std::time::Duration;

use call::{Digit, Epoch, HandoffId, RequestId};
use wire::{Body, Dtmf, HandoffResult, Prepare, Reject, Revoke, RevokeMode};

use crate::agent::{Delegated, Grant, Preparation};

/// Where a specialist is between two calls for it.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The newest epoch that was granted or revoked: a grant has to be newer.
    fence: Epoch,
    phase: Phase,
    /// The number of the last digit: one that comes again is the same.
    digit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Parked,
    Preparing {
        handoff: HandoffId,
        ready: bool,
    },
    Holding,
    /// Another one has the baton; this one is heard until its Revoke.
    Superseded,
    Finishing {
        revoke: Epoch,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Have the agent prepare; it may hear the caller soon.
    Prepare(Preparation),
    /// Say once more that the agent is ready.
    ReadyAgain(HandoffId),
    /// The preparation is called off.
    CallOff,
    /// Take the baton.
    Take(Grant),
    /// Go on with it, under a newer epoch.
    GoOn(Epoch),
    /// Hear the caller no longer; the voice is heard until the revoke.
    StopListening,
    /// Give it up when the utterance is over, or after so many milliseconds.
    Finish { deadline_ms: u32 },
    /// Give it up now and say so, with the epoch of the revoke.
    GiveUp(Epoch),
    /// Say that it is not here, with the epoch of the revoke.
    NotHere(Epoch),
    /// Leave the room.
    Leave,
    /// An answer to a request.
    Answer(HandoffResult),
    /// What came of a delegation.
    Delegated {
        /// By which request.
        request: RequestId,
        /// JSON, or why there is none.
        outcome: Delegated,
    },
    /// The caller has pressed a key.
    Pressed(Digit),
    /// Have the agent sum up the call.
    SumUp {
        /// Baton's number for it.
        request: u64,
        /// How long Baton waits for it.
        limit: Duration,
    },
    /// A frame was not accepted.
    Complaint(Reject),
    /// Nothing: it is late, or not for a specialist of this version.
    Nothing,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self {
            fence: Epoch(0),
            phase: Phase::Parked,
            digit: 0,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.fence
    }

    /// Whether it has the baton, be it for the rest of an utterance.
    pub(crate) fn holds(&self) -> bool {
        match self.phase {
            Phase::Holding | Phase::Superseded | Phase::Finishing { .. } => true,
            Phase::Parked | Phase::Preparing { .. } => false,
        }
    }

    /// Whether it hears the caller: nobody else does.
    pub(crate) fn hears(&self) -> bool {
        match self.phase {
            Phase::Holding => true,
            Phase::Parked
            | Phase::Preparing { .. }
            | Phase::Superseded
            | Phase::Finishing { .. } => false,
        }
    }

    /// Whether it may ask for a handoff.
    pub(crate) fn may_hand_off(&self) -> bool {
        self.phase == Phase::Holding
    }

    /// Whether the caller's track is worth a subscription.
    pub(crate) fn wants_caller(&self) -> bool {
        self.phase != Phase::Parked
    }

    /// Takes Baton's word.
    pub(crate) fn hear(&mut self, body: Body) -> Step {
        match body {
            Body::Prepare(prepare) => self.prepare(prepare),
            Body::CancelPrepare { handoff } => match self.phase {
                Phase::Preparing {
                    handoff: current, ..
                } if current == handoff => {
                    self.phase = Phase::Parked;
                    Step::CallOff
                }
                Phase::Parked
                | Phase::Preparing { .. }
                | Phase::Holding
                | Phase::Superseded
                | Phase::Finishing { .. } => Step::Nothing,
            },
            Body::Grant {
                epoch,
                opening,
                handoff,
                packet: _,
            } => {
                if epoch <= self.fence {
                    return Step::Nothing;
                }
                self.fence = epoch;
                let held = matches!(self.phase, Phase::Holding | Phase::Superseded);
                self.phase = Phase::Holding;
                if held {
                    Step::GoOn(epoch)
                } else {
                    Step::Take(Grant {
                        epoch,
                        opening,
                        handoff,
                    })
                }
            }
            Body::Supersede { epoch } => {
                if epoch <= self.fence || self.phase != Phase::Holding {
                    return Step::Nothing;
                }
                self.phase = Phase::Superseded;
                Step::StopListening
            }
            Body::Revoke(Revoke { epoch, mode }) => self.revoke(epoch, mode),
            Body::Leave => {
                self.phase = Phase::Parked;
                Step::Leave
            }
            Body::HandoffResult(result) => Step::Answer(result),
            Body::DelegationResult { request, outcome } => Step::Delegated { request, outcome },
            Body::Dtmf(dtmf) => self.pressed(dtmf),
            Body::SummaryRequest {
                request,
                deadline_ms,
            } => Step::SumUp {
                request,
                limit: Duration::from_millis(deadline_ms.into()),
            },
            Body::Reject(reject) => Step::Complaint(reject),
            // The link lets Baton say nothing else of these, and context and state are not taken yet.
            Body::Hello(_)
            | Body::Welcome(_)
            | Body::Heartbeat(_)
            | Body::Ready(_)
            | Body::Refuse { .. }
            | Body::Granted { .. }
            | Body::Released { .. }
            | Body::Speech { .. }
            | Body::HandoffRequest(_)
            | Body::ContextAppend { .. }
            | Body::ContextChunk(_)
            | Body::StatePatch(_)
            | Body::StateResult(_)
            | Body::ContextApplied { .. }
            | Body::ContextResult { .. }
            | Body::SummaryResult { .. } => Step::Nothing,
        }
    }

    /// The agent is ready; false if nobody waits for that any more.
    pub(crate) fn ready(&mut self, handoff: HandoffId) -> bool {
        match &mut self.phase {
            Phase::Preparing {
                handoff: current,
                ready,
            } if *current == handoff => {
                *ready = true;
                true
            }
            Phase::Parked
            | Phase::Preparing { .. }
            | Phase::Holding
            | Phase::Superseded
            | Phase::Finishing { .. } => false,
        }
    }

    /// The agent does not want to be prepared; false if nobody waits for that any more.
    pub(crate) fn refused(&mut self, handoff: HandoffId) -> bool {
        let waited_for = self.ready(handoff);
        if waited_for {
            self.phase = Phase::Parked;
        }
        waited_for
    }

    /// The utterance is over: the revoke's epoch, if one waits for that.
    pub(crate) fn finished(&mut self) -> Option<Epoch> {
        let Phase::Finishing { revoke } = self.phase else {
            return None;
        };
        self.phase = Phase::Parked;
        Some(revoke)
    }

    /// The participant was replaced by a new one, after a full reconnect: the baton has to be granted again. Says
    /// whether it was here.
    pub(crate) fn lose(&mut self) -> bool {
        let held = self.holds();
        if held {
            self.phase = Phase::Parked;
        }
        held
    }

    fn prepare(&mut self, prepare: Prepare) -> Step {
        let Prepare {
            handoff,
            from,
            reason,
            opening,
            packet: _,
            caller,
            delegation_input,
            traceparent,
        } = prepare;
        match self.phase {
            // Said again after a reconnect.
            Phase::Preparing {
                handoff: current,
                ready,
            } if current == handoff => match ready {
                true => Step::ReadyAgain(handoff),
                false => Step::Nothing,
            },
            Phase::Parked | Phase::Preparing { .. } => {
                self.phase = Phase::Preparing {
                    handoff,
                    ready: false,
                };
                Step::Prepare(Preparation {
                    handoff,
                    from,
                    reason,
                    opening,
                    caller: caller.map(|caller| caller.as_str().to_owned()),
                    // Baton has read it before.
                    task: delegation_input.and_then(|task| serde_json::from_slice(&task).ok()),
                    traceparent,
                })
            }
            Phase::Holding | Phase::Superseded | Phase::Finishing { .. } => Step::Nothing,
        }
    }

    fn pressed(&mut self, Dtmf { number, digit }: Dtmf) -> Step {
        if number <= self.digit || !self.holds() {
            return Step::Nothing;
        }
        self.digit = number;
        Step::Pressed(digit)
    }

    fn revoke(&mut self, epoch: Epoch, mode: RevokeMode) -> Step {
        if epoch < self.fence {
            return Step::Nothing;
        }
        self.fence = epoch;
        match (self.phase, mode) {
            (Phase::Holding | Phase::Superseded, RevokeMode::Finish { deadline_ms }) => {
                self.phase = Phase::Finishing { revoke: epoch };
                Step::Finish { deadline_ms }
            }
            (Phase::Finishing { .. }, RevokeMode::Finish { .. }) => {
                self.phase = Phase::Finishing { revoke: epoch };
                Step::Nothing
            }
            (Phase::Holding | Phase::Superseded | Phase::Finishing { .. }, RevokeMode::Cut) => {
                self.phase = Phase::Parked;
                Step::GiveUp(epoch)
            }
            (
                Phase::Parked | Phase::Preparing { .. },
                RevokeMode::Finish { .. } | RevokeMode::Cut,
            ) => Step::NotHere(epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use call::Opening;

    use super::*;

    fn prepare(handoff: u64) -> Body {
        Body::Prepare(Prepare {
            handoff: HandoffId(handoff),
            from: None,
            reason: String::new(),
            opening: Opening::Greet,
            packet: None,
            caller: None,
            delegation_input: None,
            traceparent: None,
        })
    }

    fn grant(epoch: u64) -> Body {
        Body::Grant {
            epoch: Epoch(epoch),
            opening: Opening::Greet,
            handoff: None,
            packet: None,
        }
    }

    fn revoke(epoch: u64, mode: RevokeMode) -> Body {
        Body::Revoke(Revoke {
            epoch: Epoch(epoch),
            mode,
        })
    }

    #[test]
    fn the_baton_comes_by_a_grant_and_goes_by_a_revoke() {
        let mut standing = Standing::new();
        assert!(matches!(standing.hear(prepare(1)), Step::Prepare(_)));
        assert!(standing.wants_caller() && !standing.holds());
        assert!(standing.ready(HandoffId(1)));
        assert!(matches!(standing.hear(grant(1)), Step::Take(_)));
        assert!(standing.holds() && standing.may_hand_off());
        assert_eq!(
            standing.hear(revoke(2, RevokeMode::Cut)),
            Step::GiveUp(Epoch(2))
        );
        assert!(!standing.holds() && !standing.wants_caller());
    }

    #[test]
    fn a_late_grant_is_worth_nothing() {
        let mut standing = Standing::new();
        standing.hear(grant(3));
        standing.hear(revoke(4, RevokeMode::Cut));
        for epoch in [1, 3, 4] {
            assert_eq!(standing.hear(grant(epoch)), Step::Nothing);
        }
        assert!(!standing.holds());
        assert!(matches!(standing.hear(grant(5)), Step::Take(_)));
    }

    #[test]
    fn a_late_revoke_does_not_take_a_newer_grant() {
        let mut standing = Standing::new();
        standing.hear(grant(3));
        assert_eq!(standing.hear(revoke(2, RevokeMode::Cut)), Step::Nothing);
        assert!(standing.holds());
    }

    #[test]
    fn a_renewed_grant_goes_on() {
        let mut standing = Standing::new();
        standing.hear(grant(3));
        assert_eq!(standing.hear(grant(5)), Step::GoOn(Epoch(5)));
    }

    #[test]
    fn a_superseded_holder_sounds_and_no_longer_hears() {
        let mut standing = Standing::new();
        standing.hear(grant(1));
        let supersede = |epoch| Body::Supersede {
            epoch: Epoch(epoch),
        };
        assert_eq!(standing.hear(supersede(1)), Step::Nothing);
        assert!(standing.hears());
        assert_eq!(standing.hear(supersede(2)), Step::StopListening);
        assert!(standing.holds() && !standing.hears() && !standing.may_hand_off());
        // The switch failed: it takes the baton back.
        assert_eq!(standing.hear(grant(3)), Step::GoOn(Epoch(3)));
        assert!(standing.hears() && standing.may_hand_off());
        standing.hear(supersede(4));
        assert_eq!(
            standing.hear(revoke(4, RevokeMode::Cut)),
            Step::GiveUp(Epoch(4))
        );
    }

    #[test]
    fn a_digit_that_comes_again_is_heard_once_and_only_by_a_holder() {
        let mut standing = Standing::new();
        let digit = Digit::new('7').expect("a key of a phone");
        let pressed = |number| Body::Dtmf(Dtmf { number, digit });
        assert_eq!(standing.hear(pressed(1)), Step::Nothing);
        standing.hear(grant(1));
        assert_eq!(standing.hear(pressed(1)), Step::Pressed(digit));
        assert_eq!(standing.hear(pressed(1)), Step::Nothing);
        assert_eq!(standing.hear(pressed(2)), Step::Pressed(digit));
    }

    #[test]
    fn a_revoke_can_let_an_utterance_end() {
        let mut standing = Standing::new();
        standing.hear(grant(1));
        let finish = RevokeMode::Finish { deadline_ms: 500 };
        assert_eq!(
            standing.hear(revoke(2, finish)),
            Step::Finish { deadline_ms: 500 }
        );
        assert!(standing.holds() && !standing.may_hand_off());
        assert_eq!(standing.finished(), Some(Epoch(2)));
        assert_eq!(standing.finished(), None);
        assert_eq!(
            standing.hear(revoke(3, RevokeMode::Cut)),
            Step::NotHere(Epoch(3))
        );
    }

    #[test]
    fn a_preparation_that_is_called_off_is_not_answered() {
        let mut standing = Standing::new();
        standing.hear(prepare(1));
        let cancel = |handoff| Body::CancelPrepare {
            handoff: HandoffId(handoff),
        };
        assert_eq!(standing.hear(cancel(2)), Step::Nothing);
        assert_eq!(standing.hear(cancel(1)), Step::CallOff);
        assert!(!standing.ready(HandoffId(1)));
    }

    #[test]
    fn ready_is_said_again_when_it_is_asked_again() {
        let mut standing = Standing::new();
        standing.hear(prepare(1));
        assert_eq!(standing.hear(prepare(1)), Step::Nothing);
        standing.ready(HandoffId(1));
        assert_eq!(standing.hear(prepare(1)), Step::ReadyAgain(HandoffId(1)));
        assert!(matches!(standing.hear(prepare(2)), Step::Prepare(_)));
    }

    #[test]
    fn a_full_reconnect_loses_the_baton_until_it_is_granted_again() {
        let mut standing = Standing::new();
        assert!(!standing.lose());
        standing.hear(grant(1));
        assert!(standing.lose());
        assert!(!standing.holds());
        assert!(matches!(standing.hear(grant(2)), Step::Take(_)));
    }
}
