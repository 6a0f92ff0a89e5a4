//! What an operator asks for beside handoffs: the caller waits (a hold), the hold is over, somebody else is to help.
//!
//! In a hold nobody has the baton, and the specialist that had it is kept, whatever its configuration says, until it goes
//! on or another one takes over. A hold that is forgotten ends by its timer.

use crate::call::{Call, Turn, clip};
use crate::command::{Command, Fact};
use crate::config::{Opening, Splice};
use crate::event::{Asker, HandoffRequest, Target};
use crate::handoff::Asked;
use crate::human::Kept;
use crate::ids::{DispatchId, RequestId};
use crate::outcome::SteerRefusal;
use crate::phase::{Cause, Hold, Holder, IdleWait, Phase};
use crate::snapshot::Stage;

impl Call {
    /// Takes the baton from the holder for a while.
    pub(crate) fn hold_requested(&mut self, turn: &mut Turn<'_>, request: RequestId) {
        let outcome = self.hold(turn);
        turn.push(Command::SteerResult {
            request,
            epoch: self.epoch,
            outcome,
        });
    }

    fn hold(&mut self, turn: &mut Turn<'_>) -> Result<(), SteerRefusal> {
        let holder = match &self.phase {
            Phase::Active { holder } if self.holds(holder) => holder.clone(),
            Phase::Idle {
                wait: IdleWait::Held(_),
            } => return Err(SteerRefusal::AlreadyHeld),
            Phase::Preparing { handoff, .. }
            | Phase::Ready { handoff, .. }
            | Phase::Switching { handoff, .. } => {
                return Err(SteerRefusal::InProgress {
                    handoff: handoff.id,
                    target: handoff.to.clone(),
                });
            }
            Phase::Idle { .. } | Phase::Active { .. } => return Err(SteerRefusal::NobodyHolds),
        };
        self.take_from(turn, &holder);
        let hold = Hold {
            dispatch: holder.dispatch,
            specialist: holder.specialist,
            until: turn.after(self.plan.timers().held_max_ms),
        };
        self.enter(
            turn,
            Phase::Idle {
                wait: IdleWait::Held(hold),
            },
        );
        self.drop_source(turn, &holder.identity);
        self.revoke(turn, holder.dispatch, false);
        Ok(())
    }

    /// Begins an epoch in which nobody has the baton and this one's place is to be taken.
    pub(crate) fn take_from(&mut self, turn: &mut Turn<'_>, holder: &Holder) {
        self.epoch = self.epoch.next();
        turn.record(Fact::Held {
            dispatch: holder.dispatch,
            specialist: holder.specialist.clone(),
            epoch: self.epoch,
        });
        self.recovery.seek(holder.specialist.clone());
    }

    /// Has the specialist go on that had the baton before the hold.
    pub(crate) fn resume_requested(&mut self, turn: &mut Turn<'_>, request: RequestId) {
        let Some(specialist) = self.held().map(|hold| hold.specialist.clone()) else {
            return self.not_steered(turn, request, SteerRefusal::NotHeld);
        };
        self.counts.handoffs_started += 1;
        self.known.tried(&specialist);
        let cause = Cause::Request {
            asker: Asker::Operator,
            request,
        };
        let route = Self::unrouted(Opening::Continue);
        let reason = "the hold is over".to_owned();
        self.begin(
            turn,
            None,
            cause,
            specialist,
            reason,
            route,
            Asked::default(),
        );
    }

    /// Nobody has ended the hold.
    pub(crate) fn hold_timed_out(&mut self, turn: &mut Turn<'_>) {
        let Some(specialist) = self.held().map(|hold| hold.specialist.clone()) else {
            return;
        };
        self.recovery.tried.push(specialist.clone());
        let route = Self::unrouted(Opening::Continue);
        let reason = "the hold has lasted too long".to_owned();
        self.begin(
            turn,
            None,
            Cause::Recovery,
            specialist,
            reason,
            route,
            Asked::default(),
        );
    }

    /// Moves the baton to whom the configuration names for it. It needs no route; where one fits, it says how.
    pub(crate) fn escalation_requested(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        reason: String,
        splice: Option<Splice>,
    ) {
        let Some(to) = self.plan.config().escalation.clone() else {
            return self.not_steered(turn, request, SteerRefusal::NoEscalation);
        };
        let request = HandoffRequest {
            asker: Asker::Operator,
            request,
            target: Target::Specialist(to),
            reason: clip(reason),
            tool_call: None,
            splice,
            delegating: None,
        };
        self.requested_without_route(turn, request);
    }

    /// The hold that the call is in.
    pub(crate) fn held(&self) -> Option<&Hold> {
        match &self.phase {
            Phase::Idle {
                wait: IdleWait::Held(hold),
            } => Some(hold),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => None,
        }
    }

    /// The hold is over by a handoff to `target`: who was kept for it rests, unless it is the target.
    pub(crate) fn end_hold(&mut self, turn: &mut Turn<'_>, target: DispatchId) {
        let Some((dispatch, specialist)) = self
            .held()
            .map(|hold| (hold.dispatch, hold.specialist.clone()))
        else {
            return;
        };
        self.phase = Phase::Idle {
            wait: IdleWait::Nothing,
        };
        if self.rings(target) {
            self.kept = Some(Kept {
                dispatch,
                specialist,
            });
            return;
        }
        if dispatch != target && matches!(self.roster.stage(dispatch), Some(Stage::Parked { .. })) {
            self.rest(turn, dispatch);
        }
    }

    fn not_steered(&self, turn: &mut Turn<'_>, request: RequestId, refusal: SteerRefusal) {
        turn.push(Command::SteerResult {
            request,
            epoch: self.epoch,
            outcome: Err(refusal),
        });
    }
}
