//! The first half of a handoff: prepare and ready. Nothing changes for the caller here, and whatever
//! fails leaves everything as it was.

use std::time::Instant;

use crate::call::{Call, Turn, clip};
use crate::command::{Command, Fact};
use crate::config::{Opening, Route, Splice, TIMER_MS_MAX};
use crate::ids::{DispatchId, HandoffId, Identity, SpecialistName};
use crate::outcome::{FailReason, Outcome, RejectReason};
use crate::phase::{Cause, Handoff, Holder, Phase, ReadyWait};
use crate::snapshot::{Stage, WasAt};

impl Call {
    /// Starts a handoff. `from` is the holder, who keeps the baton until the switch.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one column of a handoff, and there is one place for each"
    )]
    pub(crate) fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        from: Option<Holder>,
        cause: Cause,
        to: SpecialistName,
        reason: String,
        route: Route,
        splice: Option<Splice>,
    ) {
        let Route {
            from: _,
            to: _,
            splice: routed,
            fade_ms,
            opening,
        } = route;
        self.newest_handoff = self.newest_handoff.next();
        let id = self.newest_handoff;
        turn.record(Fact::HandoffStarted {
            handoff: id,
            from: from.as_ref().map(|holder| holder.specialist.clone()),
            to: to.clone(),
            reason: reason.clone(),
        });
        let handoff = Handoff {
            id,
            cause,
            to,
            reason,
            splice: splice.unwrap_or(routed),
            fade_ms,
            opening,
        };
        match self.acquire(turn, &handoff.to) {
            Ok(target) => {
                self.enter(
                    turn,
                    Phase::Preparing {
                        from,
                        target,
                        handoff,
                    },
                );
                self.prepare_if_target(turn, target);
            }
            Err(reason) => self.conclude_failed(turn, from, handoff, reason),
        }
    }

    /// An instance of this specialist: one that is there, or a new one.
    fn acquire(
        &mut self,
        turn: &mut Turn<'_>,
        specialist: &SpecialistName,
    ) -> Result<DispatchId, FailReason> {
        let usable: fn(Stage) -> bool = |stage| match stage {
            Stage::Dispatched { .. }
            | Stage::Joined { .. }
            | Stage::Waiting
            | Stage::Parked { .. }
            | Stage::Settling { leave: false, .. }
            | Stage::Away {
                back: true,
                was: WasAt::Waiting | WasAt::Parked { .. },
                ..
            } => true,
            Stage::Preparing { .. }
            | Stage::Ready { .. }
            | Stage::Holding { .. }
            | Stage::Outgoing
            | Stage::Settling { leave: true, .. }
            | Stage::Leaving { .. }
            | Stage::Away { .. } => false,
        };
        let having = |wanted: fn(Stage) -> bool| {
            let mut instances = self.roster.iter();
            instances
                .find(|(_, instance)| instance.specialist == *specialist && wanted(instance.stage))
                .map(|(dispatch, _)| dispatch)
        };
        if let Some(dispatch) = having(usable) {
            return Ok(dispatch);
        }
        // One that is away is not waited for: should it come back, it finds its dispatch gone and is removed.
        if let Some(dispatch) = having(|stage| matches!(stage, Stage::Away { back: false, .. })) {
            self.forget(turn, dispatch);
        }
        self.dispatch(turn, specialist)
    }

    /// Prepares a specialist that has said Hello, if the handoff under way is to it.
    pub(crate) fn prepare_if_target(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let Phase::Preparing { target, .. } = &self.phase else {
            return;
        };
        let greeted = match self.roster.stage(dispatch) {
            Some(Stage::Waiting | Stage::Parked { .. } | Stage::Settling { .. }) => true,
            Some(
                Stage::Dispatched { .. }
                | Stage::Joined { .. }
                | Stage::Preparing { .. }
                | Stage::Ready { .. }
                | Stage::Holding { .. }
                | Stage::Outgoing
                | Stage::Leaving { .. }
                | Stage::Away { .. },
            )
            | None => false,
        };
        if *target == dispatch && greeted {
            let until = turn.after(self.plan.timers().ready_timeout_ms);
            self.prepare(turn, dispatch, until);
        }
    }

    /// Tells the target to prepare, for the first time or after a full reconnect.
    pub(crate) fn prepare(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, until: Instant) {
        let (Phase::Preparing { from, handoff, .. }, Some(identity)) =
            (&self.phase, self.roster.identity(dispatch))
        else {
            return;
        };
        turn.push(Command::Prepare {
            identity,
            epoch: self.epoch,
            handoff: handoff.id,
            from: from.as_ref().map(|holder| holder.specialist.clone()),
            reason: handoff.reason.clone(),
            opening: handoff.opening.clone(),
        });
        self.roster.set_stage(dispatch, Stage::Preparing { until });
    }

    pub(crate) fn ready(&mut self, turn: &mut Turn<'_>, identity: Identity, handoff: HandoffId) {
        let Some((dispatch, until)) = self.preparing(turn, &identity, handoff) else {
            return;
        };
        self.roster.set_stage(dispatch, Stage::Ready { until });
        turn.record(Fact::HandoffReady { handoff });
        let Phase::Preparing {
            from,
            target,
            handoff,
        } = &self.phase
        else {
            return;
        };
        let (from, target, handoff) = (from.clone(), *target, handoff.clone());
        let sounding = from.as_ref().filter(|holder| self.holds(holder));
        let wait_ms = match (sounding, handoff.splice) {
            (Some(_), Splice::EndOfUtterance { max_wait_ms }) => max_wait_ms.min(TIMER_MS_MAX),
            (Some(_), Splice::Now) | (None, _) => 0,
        };
        let watch = sounding
            .filter(|_| wait_ms > 0)
            .map(|holder| Command::WatchSplice {
                identity: holder.identity.clone(),
                epoch: self.epoch,
                handoff: handoff.id,
                splice: handoff.splice,
            });
        let for_caller = from.is_none() && !self.caller.hears();
        let wait = match for_caller {
            true => ReadyWait::Caller,
            false => ReadyWait::Splice {
                until: turn.after(wait_ms),
            },
        };
        self.enter(
            turn,
            Phase::Ready {
                from,
                target,
                handoff,
                wait,
            },
        );
        if let Some(watch) = watch {
            turn.push(watch);
        } else if !for_caller {
            self.start_switch(turn);
        }
    }

    pub(crate) fn prepare_refused(
        &mut self,
        turn: &mut Turn<'_>,
        identity: Identity,
        handoff: HandoffId,
        detail: String,
    ) {
        let Some((dispatch, _)) = self.preparing(turn, &identity, handoff) else {
            return;
        };
        // It is well, so it may be asked again some other time.
        self.rest(turn, dispatch);
        self.fail_handoff(
            turn,
            FailReason::Refused {
                detail: clip(detail),
            },
        );
    }

    pub(crate) fn ready_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let after_ms = self.plan.timers().ready_timeout_ms;
        self.release(turn, dispatch);
        self.fail_handoff(turn, FailReason::NeverReady { after_ms });
    }

    pub(crate) fn splice_reached(&mut self, turn: &mut Turn<'_>, reached: HandoffId) {
        match &self.phase {
            Phase::Ready {
                handoff,
                wait: ReadyWait::Splice { .. },
                ..
            } if handoff.id == reached => {
                self.start_switch(turn);
            }
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => {
                self.reject(turn, None, RejectReason::StaleHandoff { got: reached })
            }
        }
    }

    /// The holder no longer sounds: a splice point in its speech is not waited for.
    pub(crate) fn no_splice_to_await(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        if let Phase::Ready {
            from: Some(from),
            wait: ReadyWait::Splice { .. },
            ..
        } = &self.phase
            && from.dispatch == dispatch
        {
            self.start_switch(turn);
        }
    }

    /// The caller hears now: an entry specialist that is ready may start.
    pub(crate) fn caller_may_hear(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Ready {
            wait: ReadyWait::Caller,
            ..
        } = &self.phase
            && self.caller.hears()
        {
            self.start_switch(turn);
        }
    }

    /// A handoff failed before its switch: back to the holder, or on to the next fallback. The target has been seen to.
    pub(crate) fn fail_handoff(&mut self, turn: &mut Turn<'_>, reason: FailReason) {
        let (Phase::Preparing { from, handoff, .. } | Phase::Ready { from, handoff, .. }) =
            &self.phase
        else {
            return;
        };
        let (from, handoff) = (from.clone(), handoff.clone());
        self.conclude_failed(turn, from, handoff, reason);
    }

    fn conclude_failed(
        &mut self,
        turn: &mut Turn<'_>,
        from: Option<Holder>,
        handoff: Handoff,
        reason: FailReason,
    ) {
        self.report_failed(turn, &handoff, reason);
        match from {
            Some(holder) => self.enter(turn, Phase::Active { holder }),
            None => self.recover(turn),
        }
    }

    /// Counts a failed handoff and tells its asker.
    pub(crate) fn report_failed(
        &mut self,
        turn: &mut Turn<'_>,
        handoff: &Handoff,
        reason: FailReason,
    ) {
        self.counts.handoffs_failed += 1;
        turn.record(Fact::HandoffFailed {
            handoff: handoff.id,
            reason: reason.clone(),
        });
        self.answer(
            turn,
            &handoff.cause,
            Outcome::Failed {
                handoff: handoff.id,
                reason,
            },
        );
    }

    /// Tells whoever asked for a handoff what became of it.
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_>, cause: &Cause, outcome: Outcome) {
        match cause {
            Cause::Entry | Cause::Recovery => {}
            Cause::Request { asker, request } => turn.push(Command::HandoffResult {
                asker: asker.clone(),
                request: *request,
                epoch: self.epoch,
                outcome,
            }),
        }
    }

    /// Whether this holder is in the room and may sound.
    pub(crate) fn holds(&self, holder: &Holder) -> bool {
        matches!(
            self.roster.stage(holder.dispatch),
            Some(Stage::Holding { .. })
        )
    }

    /// The sender of a message about its preparation, if that is under way; otherwise the message is rejected.
    fn preparing(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        got: HandoffId,
    ) -> Option<(DispatchId, Instant)> {
        let dispatch = self.sender(turn, identity)?;
        let fits = match &self.phase {
            Phase::Preparing {
                target, handoff, ..
            } => *target == dispatch && handoff.id == got,
            Phase::Idle { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => false,
        };
        if !fits {
            self.reject(turn, Some(identity), RejectReason::StaleHandoff { got });
            return None;
        }
        let Some(Stage::Preparing { until }) = self.roster.stage(dispatch) else {
            self.reject(turn, Some(identity), RejectReason::Unexpected);
            return None;
        };
        Some((dispatch, until))
    }

    /// What is used where no route says otherwise.
    pub(crate) fn unrouted(opening: Opening) -> Route {
        Route {
            opening,
            ..Route::default()
        }
    }
}
