//! Start and end of a call, and what happens while nobody has the baton.
//!
//! The fallbacks of the configuration are tried in their order, each specialist once; when all have failed, the call
//! holds and tries them again, a bounded number of times, and then ends.

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::config::{Fallback, Lifetime, Opening};
use crate::handoff::Asked;
use crate::ids::SpecialistName;
use crate::outcome::{EndReason, FailReason, LossReason, Outcome};
use crate::phase::{Cause, IdleWait, Phase};
use crate::ready::Awaited;
use crate::roster::Instance;
use crate::snapshot::Stage;

/// How far the search for a new holder got.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Whose place is to be taken.
    pub(crate) lost: SpecialistName,
    /// Who was tried in this round; at most as many as there are specialists.
    pub(crate) tried: Vec<SpecialistName>,
    /// How many rounds have failed.
    pub(crate) round: u32,
    /// Whom the route names by which `lost` came, before the fallbacks of the configuration; at most
    /// [`ROUTE_FALLBACKS_MAX`](crate::ROUTE_FALLBACKS_MAX).
    pub(crate) chain: Vec<SpecialistName>,
}

impl Recovery {
    pub(crate) fn new(lost: SpecialistName) -> Self {
        Self {
            lost,
            tried: Vec::new(),
            round: 0,
            chain: Vec::new(),
        }
    }

    /// Somebody has the baton, by a route that names these in case it is lost.
    pub(crate) fn done(&mut self, holder: SpecialistName, chain: Vec<SpecialistName>) {
        *self = Self {
            chain,
            ..Self::new(holder)
        };
    }

    /// The place of this one, who has had the baton, is to be taken.
    pub(crate) fn seek(&mut self, lost: SpecialistName) {
        self.lost = lost;
        self.tried.clear();
        self.round = 0;
    }
}

impl Call {
    /// Dispatches the residents, and whoever takes the call if that is known.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        let plan = self.plan.clone();
        let entry = self.entry.is_known().then(|| self.entry().clone());
        if entry.is_some() {
            self.enter_call(turn);
        }
        for (name, specialist) in &plan.config().specialists {
            // Those beyond the limit are dispatched when they are needed, as if they were on demand.
            if specialist.lifetime == Lifetime::Resident
                && Some(name) != entry.as_ref()
                && self.dispatch(turn, name).is_err()
            {
                break;
            }
        }
    }

    /// The holder is gone for good. A switch to it has been reported, and left.
    pub(crate) fn holder_lost(
        &mut self,
        turn: &mut Turn<'_>,
        specialist: SpecialistName,
        reason: LossReason,
    ) {
        self.counts.losses += 1;
        turn.record(Fact::HolderLost {
            specialist: specialist.clone(),
            reason,
        });
        self.recovery.seek(specialist);
        let max = self.plan.limits().losses_max;
        if self.counts.losses > max {
            return self.end(turn, EndReason::TooManyLosses { max });
        }
        match &mut self.phase {
            // A target is being prepared already.
            Phase::Preparing { from, hold, .. } => (*from, *hold) = (None, None),
            Phase::Ready { from, .. } => {
                *from = None;
                self.await_no_longer(turn, &[Awaited::Tools, Awaited::Splice]);
            }
            Phase::Idle { .. } | Phase::Switching { .. } | Phase::Active { .. } => {
                self.recover(turn)
            }
        }
    }

    /// Tries the next fallback.
    pub(crate) fn recover(&mut self, turn: &mut Turn<'_>) {
        self.enter(
            turn,
            Phase::Idle {
                wait: IdleWait::Nothing,
            },
        );
        if self.go_back(turn) {
            return;
        }
        if let Some(next) = self.next_fallback(turn.now) {
            self.recovery.tried.push(next.clone());
            let route = Self::unrouted(Opening::Continue);
            let reason = format!("fallback for {}", self.recovery.lost);
            let asked = Asked::default();
            return self.begin(turn, None, Cause::Recovery, next, reason, route, asked);
        }
        self.recovery.round += 1;
        self.recovery.tried.clear();
        turn.record(Fact::NobodyLeft {
            round: self.recovery.round,
        });
        if self.recovery.round > self.plan.limits().hold_rounds_max {
            return self.end(turn, EndReason::NoSpecialist);
        }
        self.phase = Phase::Idle {
            wait: IdleWait::Fallbacks {
                at: turn.after(self.plan.timers().hold_ms),
            },
        };
    }

    fn next_fallback(&self, now: Instant) -> Option<SpecialistName> {
        let config = self.plan.config();
        let ruled = self.rules_for_lost(now, &self.recovery.lost);
        let named = config
            .fallbacks
            .iter()
            .filter_map(|fallback| match fallback {
                // A person who has hung up is not rung again.
                Fallback::AnotherInstance => {
                    Some(&self.recovery.lost).filter(|lost| self.accept_timeout_ms(lost).is_none())
                }
                // Until a recovery is done, `last` is the lost one.
                Fallback::Previous => self.previous.as_ref(),
                Fallback::Entry => Some(self.entry()),
                Fallback::Specialist(name) => Some(name),
            });
        ruled
            .iter()
            .chain(&self.recovery.chain)
            .chain(self.delegator_of_lost())
            .chain(named)
            .find(|name| !self.recovery.tried.contains(name))
            .cloned()
    }

    /// Ends the call: whoever waits is told, every source silenced, every specialist released, every dispatch deleted.
    pub(crate) fn end(&mut self, turn: &mut Turn<'_>, reason: EndReason) {
        if let Some(handoff) = self.phase.handoff() {
            let (id, cause) = (handoff.id, handoff.cause.clone());
            turn.record(Fact::HandoffFailed {
                handoff: id,
                reason: FailReason::CallEnded,
            });
            self.counts.handoffs_failed += 1;
            self.answer(
                turn,
                &cause,
                Outcome::Failed {
                    handoff: id,
                    reason: FailReason::CallEnded,
                },
            );
        }
        self.enter(
            turn,
            Phase::Idle {
                wait: IdleWait::Nothing,
            },
        );
        let admitted = std::mem::take(&mut self.gates.admitted);
        let instances = self.roster.take();
        self.gates.audience.clear();
        self.gates.shut.clear();
        if reason.leaves_room() {
            for (identity, _) in admitted {
                turn.push(Command::Drop {
                    identity,
                    epoch: self.epoch,
                });
            }
            for (dispatch, instance) in instances {
                let told = matches!(instance.stage, Stage::Leaving { .. }) || !instance.present();
                let Instance {
                    identity, deleted, ..
                } = instance;
                if let Some(identity) = identity.filter(|_| !told) {
                    turn.push(Command::Release {
                        identity,
                        epoch: self.epoch,
                    });
                }
                if !deleted {
                    turn.push(Command::DeleteDispatch { dispatch });
                }
            }
        }
        self.ended = Some(reason);
        turn.push(Command::Ended { reason });
    }
}
