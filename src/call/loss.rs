//! How a specialist leaves: it is revoked, released, removed or lost, and what that means for the baton.
//!
//! The last is decided in one place, [`Call::after_loss`].

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::config::After;
use crate::ids::DispatchId;
use crate::outcome::{FailReason, LossReason, RemoveReason};
use crate::phase::{Holder, Phase};
use crate::snapshot::{Stage, WasAt};

/// What a specialist is in the present phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It is being prepared.
    Target,
    /// It has the baton, and no switch is under way.
    Holder,
    /// It was granted the baton in the switch under way.
    Incoming,
    /// It had the baton before the switch under way.
    Outgoing,
    /// None of these.
    Bystander,
}

impl Call {
    /// Takes the baton's late holder off duty: it is to say Released.
    pub(crate) fn revoke(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, leave: bool) {
        let until = turn.after(self.plan.timers().revoke_timeout_ms);
        let epoch = self.epoch;
        let Some(instance) = self.roster.find_mut(dispatch) else {
            return;
        };
        instance.stage = Stage::Settling {
            epoch,
            until,
            leave,
        };
        instance.revoked = Some(epoch);
        if let Some(identity) = instance.identity.clone() {
            turn.push(Command::Revoke { identity, epoch });
        }
    }

    /// A specialist without a task does what its configuration says.
    pub(crate) fn rest(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        match self.after(dispatch) {
            After::Leave => self.release(turn, dispatch),
            After::Park { park_ms } => {
                let until = Some(turn.after(park_ms));
                self.roster.set_stage(dispatch, Stage::Parked { until });
            }
            After::Stay => self
                .roster
                .set_stage(dispatch, Stage::Parked { until: None }),
        }
    }

    /// The same for one that was away; `back` if its participant is in the room again and has not said Hello yet.
    pub(crate) fn rest_away(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        back_by: Instant,
        back: bool,
    ) {
        let until = match self.after(dispatch) {
            After::Leave => return self.forget(turn, dispatch),
            After::Park { park_ms } => Some(turn.after(park_ms)),
            After::Stay => None,
        };
        let was = WasAt::Parked { until };
        self.roster.set_stage(
            dispatch,
            Stage::Away {
                until: back_by,
                back,
                was,
            },
        );
    }

    /// Lets the holder rest if it is away, where it can be told nothing; whether it is.
    pub(crate) fn rests_away(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) -> bool {
        let Some(Stage::Away {
            until,
            back,
            was: WasAt::Holding,
        }) = self.roster.stage(dispatch)
        else {
            return false;
        };
        self.rest_away(turn, dispatch, until, back);
        true
    }

    /// Has a specialist leave.
    pub(crate) fn release(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let until = turn.after(self.plan.timers().leave_timeout_ms);
        let epoch = self.epoch;
        let Some(instance) = self.roster.find_mut(dispatch) else {
            return;
        };
        if !instance.present() {
            return self.forget(turn, dispatch);
        }
        instance.stage = Stage::Leaving {
            until,
            removed: false,
        };
        turn.record(Fact::SpecialistLeaving { dispatch });
        if let Some(identity) = instance.identity.clone() {
            turn.push(Command::Release { identity, epoch });
        }
        self.delete_dispatch(turn, dispatch);
    }

    /// A specialist has left for good.
    pub(crate) fn part(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, loss: LossReason) {
        self.silence(turn, dispatch);
        self.forget(turn, dispatch);
        self.after_loss(turn, dispatch, loss);
    }

    /// Removes a specialist by force.
    pub(crate) fn expel(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        why: RemoveReason,
        loss: LossReason,
    ) {
        let until = turn.after(self.plan.timers().leave_timeout_ms);
        let Some(instance) = self.roster.find_mut(dispatch) else {
            return;
        };
        if !instance.present() {
            return self.part(turn, dispatch, loss);
        }
        if !matches!(instance.stage, Stage::Leaving { .. }) {
            turn.record(Fact::SpecialistLeaving { dispatch });
        }
        if !matches!(instance.stage, Stage::Leaving { removed: true, .. }) {
            instance.stage = Stage::Leaving {
                until,
                removed: true,
            };
        }
        let identity = instance.identity.clone();
        self.silence(turn, dispatch);
        if let Some(identity) = identity {
            turn.push(Command::Remove {
                identity,
                reason: why,
            });
        }
        self.delete_dispatch(turn, dispatch);
        self.after_loss(turn, dispatch, loss);
    }

    /// What the loss of a specialist means for the baton. Its source is silent and it can no longer be used.
    fn after_loss(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, loss: LossReason) {
        match self.role(dispatch) {
            Role::Bystander => {}
            Role::Target => {
                self.fail_handoff(turn, FailReason::LostWhilePreparing { reason: loss })
            }
            Role::Holder => {
                if let Some(holder) = self.phase.holder() {
                    let specialist = holder.specialist.clone();
                    self.holder_lost(turn, specialist, loss);
                }
            }
            Role::Incoming => self.incoming_lost(turn, loss),
            Role::Outgoing => self.outgoing_gone(turn),
        }
    }

    /// Whether it was granted the baton in the switch under way.
    pub(crate) fn is_incoming(&self, dispatch: DispatchId) -> bool {
        self.role(dispatch) == Role::Incoming
    }

    fn role(&self, dispatch: DispatchId) -> Role {
        let is = |holder: &Holder| holder.dispatch == dispatch;
        match &self.phase {
            Phase::Idle { .. } => Role::Bystander,
            Phase::Preparing { target, .. } | Phase::Ready { target, .. }
                if *target == dispatch =>
            {
                Role::Target
            }
            Phase::Preparing {
                from: Some(from), ..
            }
            | Phase::Ready {
                from: Some(from), ..
            } if is(from) => Role::Holder,
            Phase::Preparing { .. } | Phase::Ready { .. } => Role::Bystander,
            Phase::Switching { to, .. } if is(to) => Role::Incoming,
            Phase::Switching {
                from: Some(from), ..
            } if is(from) => Role::Outgoing,
            Phase::Switching { .. } => Role::Bystander,
            Phase::Active { holder } if is(holder) => Role::Holder,
            Phase::Active { .. } => Role::Bystander,
        }
    }

    pub(crate) fn join_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let after_ms = self.plan.timers().join_timeout_ms;
        self.forget(turn, dispatch);
        self.fail_target(turn, dispatch, FailReason::NeverJoined { after_ms });
    }

    pub(crate) fn hello_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let after_ms = self.plan.timers().hello_timeout_ms;
        self.release(turn, dispatch);
        self.fail_target(turn, dispatch, FailReason::NeverGreeted { after_ms });
    }

    pub(crate) fn settle_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        self.expel(
            turn,
            dispatch,
            RemoveReason::IgnoredRevoke,
            LossReason::Unresponsive,
        );
    }

    pub(crate) fn leave_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        match self.roster.stage(dispatch) {
            Some(Stage::Leaving { removed: false, .. }) => {
                self.expel(
                    turn,
                    dispatch,
                    RemoveReason::DidNotLeave,
                    LossReason::Unresponsive,
                );
            }
            Some(_) | None => self.forget(turn, dispatch),
        }
    }

    pub(crate) fn return_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let after_ms = self.plan.timers().specialist_return_ms;
        // One that is in the room again without a word is removed, the other is gone.
        self.expel(
            turn,
            dispatch,
            RemoveReason::Unresponsive,
            LossReason::DidNotReturn { after_ms },
        );
    }

    /// Forgets a specialist that is not in the room.
    pub(crate) fn forget(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        self.delete_dispatch(turn, dispatch);
        if self.roster.remove(dispatch).is_some() {
            turn.record(Fact::SpecialistGone { dispatch });
        }
    }

    pub(crate) fn silence(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        if let Some(identity) = self.roster.identity(dispatch) {
            self.drop_source(turn, &identity);
        }
    }

    pub(crate) fn fail_target(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        reason: FailReason,
    ) {
        if self.phase.target() == Some(dispatch) {
            self.fail_handoff(turn, reason);
        }
    }

    pub(crate) fn delete_dispatch(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let Some(instance) = self
            .roster
            .find_mut(dispatch)
            .filter(|instance| !instance.deleted)
        else {
            return;
        };
        instance.deleted = true;
        turn.push(Command::DeleteDispatch { dispatch });
    }

    pub(crate) fn after(&self, dispatch: DispatchId) -> After {
        let held = self.held().is_some_and(|hold| hold.dispatch == dispatch);
        if held || self.keeps(dispatch) || self.delegates(dispatch) {
            return After::Stay;
        }
        let instance = self.roster.find(dispatch);
        let config = instance.and_then(|instance| self.plan.specialist(&instance.specialist));
        config.map_or(After::Leave, |config| config.after)
    }
}
