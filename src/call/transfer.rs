//! A handoff to a SIP address: the caller's phone is asked to call it instead, and the call leaves.
//!
//! Until the phone has been answered there the call is as one in which a person is rung: whoever had the baton is put aside, and
//! has it again if nobody answers.

use crate::call::{Call, Turn, clip};
use crate::caller::{Caller, Hears};
use crate::command::{Command, Fact};
use crate::config::SpecialistKind;
use crate::event::ParticipantKind;
use crate::ids::{DispatchId, SpecialistName};
use crate::outcome::{EndReason, FailReason, NoAnswer, Outcome, RejectReason};
use crate::phase::{IdleWait, Phase};
use crate::roster::Refer;
use crate::snapshot::Stage;

/// How much longer than it may ring the word may take that it has rung in vain, in milliseconds.
const WORD_MS: u64 = 5_000;

impl Call {
    /// How long this SIP address may take to answer, in milliseconds; `None` if it is none.
    pub(crate) fn answer_timeout_ms(&self, specialist: &SpecialistName) -> Option<u64> {
        match self.plan.specialist(specialist)?.kind {
            SpecialistKind::Sip { answer_timeout_ms } => Some(answer_timeout_ms),
            SpecialistKind::Baton | SpecialistKind::LivekitAgent | SpecialistKind::Human { .. } => {
                None
            }
        }
    }

    /// Whether this dispatch stands for a SIP address.
    pub(crate) fn is_address(&self, dispatch: DispatchId) -> bool {
        let instance = self.roster.find(dispatch);
        instance.is_some_and(|instance| instance.refer != Refer::Never)
    }

    /// Whether the caller's phone was asked to call another address, and nobody knows yet what has come of it.
    pub(crate) fn is_transferring(&self) -> bool {
        match &self.phase {
            Phase::Preparing { target, .. } => self.is_asked(*target),
            Phase::Idle { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => false,
        }
    }

    fn is_asked(&self, dispatch: DispatchId) -> bool {
        let instance = self.roster.find(dispatch);
        instance.is_some_and(|instance| instance.refer == Refer::Asked)
    }

    /// Asks the caller's phone to call the target, once nobody has the baton, nothing is announced and the caller hears.
    pub(crate) fn transfer_if_due(&mut self, turn: &mut Turn<'_>) {
        let Phase::Preparing {
            from: None,
            target,
            handoff,
            ..
        } = &self.phase
        else {
            return;
        };
        let (dispatch, specialist) = (*target, handoff.to.clone());
        let Some(answer_timeout_ms) = self.answer_timeout_ms(&specialist) else {
            return;
        };
        if !self.is_address(dispatch) || self.is_asked(dispatch) || self.announcing.is_some() {
            return;
        }
        let caller = match &self.caller {
            Caller::Awaited { .. } | Caller::Away { .. } => return,
            Caller::Present { kind, .. } if *kind != ParticipantKind::Sip => {
                return self.unanswered(turn, dispatch, NoAnswer::NoPhone);
            }
            Caller::Present {
                hears: Hears::NotYet { .. },
                ..
            } => return self.answer_phone(turn),
            Caller::Present {
                identity,
                hears: Hears::Yes,
                ..
            } => identity.clone(),
        };
        let until = turn.after(answer_timeout_ms.saturating_add(WORD_MS));
        if let Some(instance) = self.roster.find_mut(dispatch) {
            instance.await_transfer(until, Refer::Asked);
        }
        turn.push(Command::Transfer {
            dispatch,
            specialist,
            caller,
            answer_timeout_ms,
            epoch: self.epoch,
        });
    }

    /// A person could not be rung, or the caller not be transferred.
    pub(crate) fn unanswered(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, how: NoAnswer) {
        let (Some(Stage::Dispatched { .. }), true) =
            (self.roster.stage(dispatch), self.rings(dispatch))
        else {
            self.reject(turn, None, RejectReason::Unexpected);
            return;
        };
        let how = match how {
            NoAnswer::Unreachable { detail } => NoAnswer::Unreachable {
                detail: clip(detail),
            },
            NoAnswer::Declined
            | NoAnswer::TimedOut { .. }
            | NoAnswer::Busy
            | NoAnswer::NoPhone
            | NoAnswer::Left => how,
        };
        self.forget(turn, dispatch);
        self.fail_target(turn, dispatch, FailReason::NoAnswer { how });
    }

    /// The caller's phone was answered elsewhere: here the call is over.
    pub(crate) fn transferred(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let handoff = match &self.phase {
            Phase::Preparing {
                target, handoff, ..
            } if *target == dispatch && self.is_asked(dispatch) => handoff.clone(),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => {
                return self.reject(turn, None, RejectReason::Unexpected);
            }
        };
        self.counts.handoffs_done += 1;
        turn.record(Fact::Transferred {
            handoff: handoff.id,
        });
        let outcome = Outcome::Done {
            handoff: handoff.id,
            holder: handoff.to,
            epoch: self.epoch,
        };
        self.answer(turn, &handoff.cause, outcome);
        self.enter(
            turn,
            Phase::Idle {
                wait: IdleWait::Nothing,
            },
        );
        self.end(turn, EndReason::Transferred);
    }
}
