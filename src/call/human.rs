//! A handoff to a person: the caller waits on hold while somebody is rung, is told what it is about, and accepts, or not. A
//! handoff with an announcement begins alike.
//!
//! At a splice point the holder is put aside: it is revoked and kept, so that it has the baton again, in a new epoch, if
//! nobody accepts. That goes before every fallback.

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::Command;
use crate::config::{Opening, SpecialistKind, TIMER_MS_MAX};
use crate::event::{Asker, HandoffRequest, PersonAnswer, Target};
use crate::handoff::Asked;
use crate::ids::{DispatchId, HandoffId, Identity, RequestId, SpecialistName};
use crate::outcome::{FailReason, NoAnswer, RejectReason, SteerRefusal};
use crate::phase::{Cause, Holder, Phase};
use crate::ready::Awaited;
use crate::snapshot::Stage;

/// A specialist that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) dispatch: DispatchId,
    pub(crate) specialist: SpecialistName,
}

/// A person that has not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) dispatch: DispatchId,
    pub(crate) person: SpecialistName,
    pub(crate) handoff: HandoffId,
}

/// What the failure of a handoff means where the target is a person, or a SIP address.
pub(crate) fn no_answer(reason: FailReason, after_ms: u64) -> FailReason {
    let how = match reason {
        FailReason::DispatchFailed { detail } => NoAnswer::Unreachable { detail },
        FailReason::NeverJoined { .. }
        | FailReason::NeverGreeted { .. }
        | FailReason::NeverReady { .. } => NoAnswer::TimedOut { after_ms },
        FailReason::Refused { .. } => NoAnswer::Declined,
        FailReason::LostWhilePreparing { .. } => NoAnswer::Left,
        FailReason::NoAnswer { .. }
        | FailReason::LostWhileSwitching { .. }
        | FailReason::NeverGranted { .. }
        | FailReason::TooManyInstances { .. }
        | FailReason::TooManyCalls { .. }
        | FailReason::CallEnded => return reason,
    };
    FailReason::NoAnswer { how }
}

impl Call {
    /// How long it may take until this person has accepted a call, in milliseconds; `None` if it is no person.
    pub(crate) fn accept_timeout_ms(&self, specialist: &SpecialistName) -> Option<u64> {
        match self.plan.specialist(specialist)?.kind {
            SpecialistKind::Human { accept_timeout_ms } => Some(accept_timeout_ms),
            SpecialistKind::Baton | SpecialistKind::LivekitAgent | SpecialistKind::Sip { .. } => {
                None
            }
        }
    }

    /// Whether this dispatch is of a person.
    pub(crate) fn is_human(&self, dispatch: DispatchId) -> bool {
        let instance = self.roster.find(dispatch);
        instance.is_some_and(|instance| self.accept_timeout_ms(&instance.specialist).is_some())
    }

    /// Whether this dispatch is of somebody for whom the caller waits on hold: a person or a SIP address.
    pub(crate) fn rings(&self, dispatch: DispatchId) -> bool {
        self.is_human(dispatch) || self.is_address(dispatch)
    }

    /// Until when the person of this dispatch may accept the call: what is left since it was rung, or anew if it is there already.
    pub(crate) fn accept_by(&mut self, turn: &Turn<'_>, dispatch: DispatchId) -> Option<Instant> {
        let specialist = self.roster.find(dispatch)?.specialist.clone();
        let anew = turn.after(self.accept_timeout_ms(&specialist)?);
        let instance = self.roster.find_mut(dispatch)?;
        Some(instance.accept_by.take().unwrap_or(anew))
    }

    /// A handoff to a person, to a SIP address or with an announcement has begun: the holder is put aside at the next splice
    /// point.
    pub(crate) fn have_caller_wait(&mut self, turn: &mut Turn<'_>) {
        let Phase::Preparing {
            from: Some(holder),
            target,
            handoff,
            ..
        } = &self.phase
        else {
            return;
        };
        if !self.rings(*target) && !handoff.announces {
            return;
        }
        let wait_ms = handoff.splice.max_wait_ms().min(TIMER_MS_MAX);
        if wait_ms == 0 || !self.holds(holder) {
            return self.put_aside(turn);
        }
        turn.push(Command::WatchSplice {
            identity: holder.identity.clone(),
            epoch: self.epoch,
            handoff: handoff.id,
            splice: handoff.splice,
        });
        let until = turn.after(wait_ms);
        if let Phase::Preparing { hold, .. } = &mut self.phase {
            *hold = Some(until);
        }
    }

    /// Takes the baton from the holder for as long as a person is awaited, and has the announcement heard if there is one.
    pub(crate) fn put_aside(&mut self, turn: &mut Turn<'_>) {
        let holder = match &mut self.phase {
            Phase::Preparing { from, hold, .. } => {
                *hold = None;
                from.take()
            }
            Phase::Ready { from, .. } => from.take(),
            Phase::Idle { .. } | Phase::Switching { .. } | Phase::Active { .. } => return,
        };
        if let Some(holder) = holder {
            self.keep_aside(turn, holder);
        }
        self.announce_handoff(turn);
    }

    fn keep_aside(&mut self, turn: &mut Turn<'_>, holder: Holder) {
        self.take_from(turn, &holder);
        self.kept = Some(Kept {
            dispatch: holder.dispatch,
            specialist: holder.specialist,
        });
        self.drop_source(turn, &holder.identity);
        if !self.rests_away(turn, holder.dispatch) {
            self.revoke(turn, holder.dispatch, false);
        }
    }

    /// No splice point has come.
    pub(crate) fn splice_timed_out(&mut self, turn: &mut Turn<'_>) {
        match &self.phase {
            Phase::Preparing { .. } => self.put_aside(turn),
            Phase::Idle { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => self.await_no_longer(turn, &[Awaited::Splice]),
        }
    }

    /// Whether this one is put aside.
    pub(crate) fn keeps(&self, dispatch: DispatchId) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.dispatch == dispatch)
    }

    /// Gives the baton back to the one that was put aside, if there is one.
    pub(crate) fn go_back(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(kept) = self.kept.clone() else {
            return false;
        };
        self.recovery.tried.push(kept.specialist.clone());
        let reason = "nobody has taken over".to_owned();
        let route = Self::unrouted(Opening::Continue);
        // What fails now is not to end here again.
        self.kept = None;
        self.begin(
            turn,
            None,
            Cause::Recovery,
            kept.specialist.clone(),
            reason,
            route,
            Asked::default(),
        );
        if self.phase.target() != Some(kept.dispatch) {
            self.let_rest(turn, kept.dispatch);
        }
        true
    }

    /// Another one has the baton: who was put aside for it rests.
    pub(crate) fn keep_no_longer(&mut self, turn: &mut Turn<'_>) {
        if let Some(kept) = self.kept.take() {
            self.let_rest(turn, kept.dispatch);
        }
    }

    fn let_rest(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        if matches!(self.roster.stage(dispatch), Some(Stage::Parked { .. })) {
            self.rest(turn, dispatch);
        }
    }

    /// The person that the handoff under way is to, if it has not accepted.
    pub(crate) fn rung(&self) -> Option<Rung> {
        match &self.phase {
            Phase::Preparing {
                target, handoff, ..
            } if self.is_human(*target) => Some(Rung {
                dispatch: *target,
                person: handoff.to.clone(),
                handoff: handoff.id,
            }),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => None,
        }
    }

    /// An operator answers for the person that is rung.
    pub(crate) fn person_answered(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        answer: PersonAnswer,
    ) {
        let outcome = match (self.rung(), answer) {
            (Some(rung), PersonAnswer::Accept) => self.accept_for(turn, rung),
            (Some(rung), PersonAnswer::Decline) => {
                self.decline_for(turn, rung);
                Ok(())
            }
            (None, PersonAnswer::Accept | PersonAnswer::Decline) => Err(self.not_rung()),
        };
        turn.push(Command::SteerResult {
            request,
            epoch: self.epoch,
            outcome,
        });
    }

    fn accept_for(&mut self, turn: &mut Turn<'_>, rung: Rung) -> Result<(), SteerRefusal> {
        let Rung {
            dispatch,
            person,
            handoff,
        } = rung;
        let (Some(Stage::Preparing { .. }), Some(identity)) =
            (self.roster.stage(dispatch), self.roster.identity(dispatch))
        else {
            return Err(SteerRefusal::NotThere { person });
        };
        turn.push(Command::Accepted {
            identity: identity.clone(),
            epoch: self.epoch,
            handoff,
        });
        self.ready(turn, identity, handoff, true);
        Ok(())
    }

    fn decline_for(&mut self, turn: &mut Turn<'_>, rung: Rung) {
        // Whether its phone still rings or it is there.
        self.release(turn, rung.dispatch);
        let detail = "declined".to_owned();
        self.fail_handoff(turn, FailReason::Refused { detail });
    }

    /// Why there is nobody to answer for.
    fn not_rung(&self) -> SteerRefusal {
        let accepted = match &self.phase {
            Phase::Ready {
                target, handoff, ..
            } => Some((*target, &handoff.to)),
            Phase::Switching { to: holder, .. } | Phase::Active { holder } => {
                Some((holder.dispatch, &holder.specialist))
            }
            Phase::Idle { .. } | Phase::Preparing { .. } => None,
        };
        match accepted {
            Some((dispatch, person)) if self.is_human(dispatch) => SteerRefusal::AlreadyAccepted {
                person: person.clone(),
            },
            Some(_) | None => SteerRefusal::NobodyRung,
        }
    }

    /// A person gives the baton back. That is a request that needs no route; where one fits, it says how.
    pub(crate) fn handed_back(&mut self, turn: &mut Turn<'_>, identity: &Identity) {
        let holder = self
            .phase
            .holder()
            .filter(|holder| holder.identity == *identity && self.is_human(holder.dispatch));
        if holder.is_none() {
            return self.reject(turn, None, RejectReason::NotHolder);
        }
        self.watch.newest_request = self.watch.newest_request.next();
        // There is nobody to be answered.
        let request = self.watch.newest_request;
        self.give_back(turn, Asker::Rule, request, "the person hands back");
    }

    /// An operator has the person give the baton back.
    pub(crate) fn hand_back_requested(&mut self, turn: &mut Turn<'_>, request: RequestId) {
        let holder = self.phase.holder();
        if holder.is_some_and(|holder| self.is_human(holder.dispatch)) {
            let reason = "an operator hands back for the person";
            return self.give_back(turn, Asker::Operator, request, reason);
        }
        turn.push(Command::SteerResult {
            request,
            epoch: self.epoch,
            outcome: Err(SteerRefusal::NoPersonHolds),
        });
    }

    fn give_back(&mut self, turn: &mut Turn<'_>, asker: Asker, request: RequestId, reason: &str) {
        let request = HandoffRequest {
            asker,
            request,
            target: Target::Previous,
            reason: reason.to_owned(),
            tool_call: None,
            splice: None,
            delegating: None,
        };
        self.requested_without_route(turn, request);
    }
}
