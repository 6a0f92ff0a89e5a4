//! The second half of a handoff: the switch, make before break, and the settling of the old holder.
//!
//! The epoch is raised and the new one granted; the old one is heard until the new one's first frame, then the two are
//! crossfaded, then the old one is revoked. If the new one fails on the way, the old one takes the baton back, in an
//! epoch of its own: an epoch is never used twice.

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::config::Opening;
use crate::ids::{DispatchId, Epoch, Identity};
use crate::outcome::{FailReason, LossReason, Outcome, RejectReason, RemoveReason};
use crate::phase::{Handoff, Holder, IdleWait, Phase, SwitchStep};
use crate::snapshot::Stage;

impl Call {
    /// The target is ready and the moment has come.
    pub(crate) fn start_switch(&mut self, turn: &mut Turn<'_>) {
        let Phase::Ready {
            from,
            target,
            handoff,
            ..
        } = &self.phase
        else {
            return;
        };
        let (from, target, handoff) = (from.clone(), *target, handoff.clone());
        let Some(identity) = self.roster.identity(target) else {
            return;
        };
        let from = from.and_then(|holder| self.outgoing(turn, holder));
        let to = Holder {
            dispatch: target,
            specialist: handoff.to.clone(),
            identity,
            epoch: self.epoch.next(),
        };
        let until = turn.after(self.plan.timers().switch_timeout_ms);
        let opening = handoff.opening.clone();
        self.epoch = to.epoch;
        let step = SwitchStep::AwaitSound { until };
        let old = from.as_ref().map(|from| from.identity.clone());
        self.enter(
            turn,
            Phase::Switching {
                from,
                to: to.clone(),
                handoff: handoff.clone(),
                step,
            },
        );
        if let Some(identity) = old {
            let epoch = self.epoch;
            turn.push(Command::Supersede { identity, epoch });
        }
        self.end_delegations(turn, &handoff, target);
        self.grant(turn, &to, Some(&handoff), opening);
    }

    /// The old holder as it goes into a switch: `None` if it does not sound.
    fn outgoing(&mut self, turn: &mut Turn<'_>, holder: Holder) -> Option<Holder> {
        if let Some(Stage::Holding { .. }) = self.roster.stage(holder.dispatch) {
            self.roster.set_stage(holder.dispatch, Stage::Outgoing);
            return Some(holder);
        }
        self.rests_away(turn, holder.dispatch);
        None
    }

    /// Admits and grants in the present epoch; the grant must be taken in time.
    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        to: &Holder,
        handoff: Option<&Handoff>,
        opening: Opening,
    ) {
        self.opening = None;
        self.watch.granted(turn.now);
        let asking = handoff.or(self.phase.handoff());
        let asking = asking.and_then(|handoff| handoff.tool_call.clone());
        let except = asking.into_iter().chain(self.delegating_calls()).collect();
        let handoff = handoff.map(|handoff| handoff.id);
        let take_until = Some(turn.after(self.plan.timers().switch_timeout_ms));
        if let Some(instance) = self.roster.find_mut(to.dispatch) {
            instance.stage = Stage::Holding { take_until };
            instance.held = true;
            instance.unsure = false;
            instance.quiet = None;
        }
        let (identity, epoch) = (to.identity.clone(), to.epoch);
        // First, so that the record of a grant is written before anything of it takes effect.
        turn.record(Fact::Granted {
            dispatch: to.dispatch,
            handoff,
            specialist: to.specialist.clone(),
            identity: identity.clone(),
            epoch,
        });
        self.admit(turn, &identity);
        turn.push(Command::Grant {
            identity,
            epoch,
            handoff,
            opening,
            except,
        });
        self.give_digits(turn, to);
    }

    /// The holder is back from a full reconnect: it may sound again, in a new epoch.
    pub(crate) fn regrant(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let epoch = self.epoch.next();
        let Some(holder) = self
            .phase
            .holder_mut()
            .filter(|holder| holder.dispatch == dispatch)
        else {
            return;
        };
        holder.epoch = epoch;
        let holder = holder.clone();
        self.epoch = epoch;
        self.grant(turn, &holder, None, Opening::Continue);
    }

    pub(crate) fn granted(&mut self, turn: &mut Turn<'_>, identity: Identity, epoch: Epoch) {
        let Some(dispatch) = self.sender(turn, &identity) else {
            return;
        };
        if epoch != self.epoch {
            self.reject(
                turn,
                Some(&identity),
                RejectReason::StaleEpoch {
                    got: epoch,
                    current: self.epoch,
                },
            );
            return;
        }
        let Some(Stage::Holding {
            take_until: Some(_),
        }) = self.roster.stage(dispatch)
        else {
            self.reject(turn, Some(&identity), RejectReason::Unexpected);
            return;
        };
        self.roster
            .set_stage(dispatch, Stage::Holding { take_until: None });
        self.digits_taken();
        // Nobody is to be faded out, or nothing is to be heard: the grant alone completes the switch.
        if let Phase::Switching {
            from,
            handoff,
            step: SwitchStep::AwaitSound { .. },
            ..
        } = &self.phase
            && (from.is_none() || handoff.opening == Opening::Wait)
        {
            self.sounded(turn);
        }
    }

    pub(crate) fn first_frame(&mut self, turn: &mut Turn<'_>, identity: &Identity, epoch: Epoch) {
        let holder = self
            .phase
            .holder()
            .filter(|holder| holder.identity == *identity);
        if epoch != self.epoch || holder.is_none_or(|holder| holder.epoch != epoch) {
            self.reject(
                turn,
                None,
                RejectReason::StaleEpoch {
                    got: epoch,
                    current: self.epoch,
                },
            );
            return;
        }
        turn.record(Fact::FirstFrame { epoch });
        if let Phase::Switching {
            step: SwitchStep::AwaitSound { .. },
            ..
        } = &self.phase
        {
            self.sounded(turn);
        }
    }

    /// The new one sounds, or is not waited for any longer.
    fn sounded(&mut self, turn: &mut Turn<'_>) {
        let Phase::Switching {
            from,
            to,
            handoff,
            step,
        } = &mut self.phase
        else {
            return;
        };
        let Some(from) = from else {
            return self.finish_switch(turn);
        };
        let ms = handoff.fade_ms;
        *step = SwitchStep::Fading {
            until: turn.after(u64::from(ms) + self.plan.timers().fade_slack_ms),
        };
        let (from, to) = (from.identity.clone(), to.identity.clone());
        turn.push(Command::Fade {
            from,
            to,
            epoch: self.epoch,
            ms,
        });
    }

    pub(crate) fn fade_done(&mut self, turn: &mut Turn<'_>, epoch: Epoch) {
        match &self.phase {
            Phase::Switching {
                step: SwitchStep::Fading { .. },
                ..
            } if epoch == self.epoch => self.finish_switch(turn),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => {
                self.reject(
                    turn,
                    None,
                    RejectReason::StaleEpoch {
                        got: epoch,
                        current: self.epoch,
                    },
                );
            }
        }
    }

    /// The new one alone is heard; the old one settles.
    pub(crate) fn finish_switch(&mut self, turn: &mut Turn<'_>) {
        let Phase::Switching {
            from, to, handoff, ..
        } = &self.phase
        else {
            return;
        };
        let (from, to, handoff) = (from.clone(), to.clone(), handoff.clone());
        let (epoch, dispatch) = (to.epoch, to.dispatch);
        self.enter(turn, Phase::Active { holder: to });
        if let Some(from) = from {
            self.drop_source(turn, &from.identity);
            self.revoke(turn, from.dispatch, false);
        }
        if self.last.as_ref() != Some(&handoff.to) {
            self.previous = self.last.replace(handoff.to.clone());
        }
        self.recovery
            .done(handoff.to.clone(), handoff.fallback.clone());
        let visits = self.visits.entry(handoff.to.clone()).or_default();
        *visits = visits.saturating_add(1);
        self.known.moved();
        self.counts.handoffs_done += 1;
        turn.record(Fact::HandoffDone {
            handoff: handoff.id,
            epoch,
        });
        self.open_delegation(turn, &handoff, dispatch);
        self.keep_no_longer(turn);
        let outcome = Outcome::Done {
            handoff: handoff.id,
            holder: handoff.to,
            epoch,
        };
        self.answer(turn, &handoff.cause, outcome);
    }

    /// The new one did not sound in time. If it has taken its grant it may be waiting for the caller, and goes on.
    pub(crate) fn switch_timed_out(&mut self, turn: &mut Turn<'_>) {
        let Phase::Switching { to, .. } = &self.phase else {
            return;
        };
        let dispatch = to.dispatch;
        match self.roster.stage(dispatch) {
            Some(Stage::Holding { take_until: None }) => self.sounded(turn),
            Some(_) | None => self.grant_timed_out(turn, dispatch),
        }
    }

    /// A holder did not take its grant.
    pub(crate) fn grant_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let after_ms = self.plan.timers().switch_timeout_ms;
        match &self.phase {
            Phase::Switching {
                from: Some(from),
                to,
                handoff,
                ..
            } if to.dispatch == dispatch => {
                let (from, handoff, late) = (from.clone(), handoff.clone(), to.identity.clone());
                self.retake(turn, from, &handoff, FailReason::NeverGranted { after_ms });
                self.drop_source(turn, &late);
                self.revoke(turn, dispatch, true);
            }
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => {
                let loss = LossReason::NeverGranted { after_ms };
                self.expel(turn, dispatch, RemoveReason::Unresponsive, loss);
            }
        }
    }

    /// The new one was lost during the switch.
    pub(crate) fn incoming_lost(&mut self, turn: &mut Turn<'_>, loss: LossReason) {
        let Phase::Switching {
            from, to, handoff, ..
        } = &self.phase
        else {
            return;
        };
        let (from, lost, handoff) = (from.clone(), to.specialist.clone(), handoff.clone());
        let reason = FailReason::LostWhileSwitching { reason: loss };
        match from {
            Some(from) => self.retake(turn, from, &handoff, reason),
            None => {
                self.enter(
                    turn,
                    Phase::Idle {
                        wait: IdleWait::Nothing,
                    },
                );
                self.report_failed(turn, &handoff, reason);
                self.holder_lost(turn, lost, loss);
            }
        }
    }

    /// The old one is no longer heard before the new one is.
    pub(crate) fn outgoing_gone(&mut self, turn: &mut Turn<'_>) {
        let Phase::Switching { from, to, step, .. } = &mut self.phase else {
            return;
        };
        *from = None;
        let taken = matches!(
            self.roster.stage(to.dispatch),
            Some(Stage::Holding { take_until: None })
        );
        match step {
            SwitchStep::Fading { .. } => self.finish_switch(turn),
            SwitchStep::AwaitSound { .. } if taken => self.finish_switch(turn),
            SwitchStep::AwaitSound { .. } => {}
        }
    }

    /// The old one takes the baton back, in a new epoch. It has sounded all the while.
    fn retake(
        &mut self,
        turn: &mut Turn<'_>,
        mut from: Holder,
        handoff: &Handoff,
        reason: FailReason,
    ) {
        self.epoch = self.epoch.next();
        from.epoch = self.epoch;
        self.enter(
            turn,
            Phase::Active {
                holder: from.clone(),
            },
        );
        self.grant(turn, &from, None, Opening::Continue);
        self.watch.retaken();
        self.conclude_failed(turn, Some(from), handoff.clone(), reason);
    }
}
