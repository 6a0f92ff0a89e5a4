//! The first half of a handoff: prepare and ready. Nothing changes for the caller here, and whatever
//! fails leaves everything as it was.

use std::time::Instant;

use crate::call::{Call, Turn, clip};
use crate::command::{Command, Fact};
use crate::config::{Opening, Route, RouteNumber, Splice};
use crate::delegation::Errand;
use crate::human::no_answer;
use crate::ids::{DispatchId, HandoffId, Identity, SpecialistName};
use crate::outcome::{FailReason, NoAnswer, Outcome, RejectReason};
use crate::phase::{Cause, Handoff, Holder, Phase};
use crate::snapshot::{Stage, WasAt};

/// What is known of a handoff that was asked for, beside its route.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) route: Option<RouteNumber>,
    pub(crate) splice: Option<Splice>,
    pub(crate) tool_call: Option<String>,
    /// Whom else to try.
    pub(crate) fallback: Vec<SpecialistName>,
    pub(crate) errand: Option<Errand>,
}

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
        asked: Asked,
    ) {
        let Route {
            from: _,
            to: _,
            when: _,
            splice: routed,
            fade_ms,
            opening,
            tools_wait_ms,
            summary_wait_ms,
            announces,
            // Who they are has been settled with the request.
            fallback: _,
            description: _,
        } = route;
        // A person may not speak at once, and need not.
        let opening = match self.accept_timeout_ms(&to) {
            Some(_) => Opening::Wait,
            None => opening,
        };
        // Nobody there would read it.
        let summary_wait_ms = match self.answer_timeout_ms(&to) {
            Some(_) => 0,
            None => summary_wait_ms,
        };
        self.newest_handoff = self.newest_handoff.next();
        let id = self.newest_handoff;
        let handoff = Handoff {
            id,
            cause,
            to,
            reason,
            splice: asked.splice.unwrap_or(routed),
            fade_ms,
            opening,
            route: asked.route,
            tools_wait_ms,
            tool_call: asked.tool_call,
            announces,
            fallback: asked.fallback,
            errand: asked.errand.map(Box::new),
        };
        turn.record(Fact::HandoffStarted {
            handoff: handoff.clone(),
            from: from.as_ref().map(|holder| holder.specialist.clone()),
        });
        match self.acquire(turn, &handoff.to) {
            Ok(target) => {
                turn.record(Fact::HandoffTarget {
                    handoff: id,
                    dispatch: target,
                });
                self.end_hold(turn, target);
                let summary =
                    self.await_summary(turn, from.as_ref(), target, &handoff, summary_wait_ms);
                self.enter(
                    turn,
                    Phase::Preparing {
                        from,
                        target,
                        handoff,
                        summary,
                        hold: None,
                    },
                );
                self.have_caller_wait(turn);
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
        if self.answer_timeout_ms(specialist).is_some() && self.caller.has_no_phone() {
            let how = NoAnswer::NoPhone;
            return Err(FailReason::NoAnswer { how });
        }
        let waiting = self.waiting_delegator(specialist);
        if let Some(dispatch) = waiting.filter(|one| self.roster.stage(*one).is_some_and(usable)) {
            return Ok(dispatch);
        }
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
            let until = self.accept_by(turn, dispatch).unwrap_or(until);
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
            from: from
                .as_ref()
                .map(|holder| &holder.specialist)
                .or(self.kept.as_ref().map(|kept| &kept.specialist))
                .cloned(),
            reason: handoff.reason.clone(),
            opening: handoff.opening.clone(),
            route: handoff.route,
            task: match handoff.errand.as_deref() {
                Some(Errand::Task { task, .. }) => Some(task.clone()),
                Some(Errand::Result { .. }) | None => None,
            },
        });
        self.roster.set_stage(dispatch, Stage::Preparing { until });
    }

    pub(crate) fn ready(
        &mut self,
        turn: &mut Turn<'_>,
        identity: Identity,
        handoff: HandoffId,
        applied: bool,
    ) {
        let Some((dispatch, until)) = self.preparing(turn, &identity, handoff) else {
            return;
        };
        if !applied {
            // It is prepared as before, and may say so again once it has all of it.
            self.reject(turn, Some(&identity), RejectReason::ContextNotApplied);
            return;
        }
        self.roster.set_stage(dispatch, Stage::Ready { until });
        turn.record(Fact::HandoffReady { handoff });
        self.await_switch(turn);
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

    /// A handoff failed before its switch: back to the holder, or on to the next fallback. The target has been seen to.
    pub(crate) fn fail_handoff(&mut self, turn: &mut Turn<'_>, reason: FailReason) {
        let (Phase::Preparing { from, handoff, .. } | Phase::Ready { from, handoff, .. }) =
            &self.phase
        else {
            return;
        };
        let (from, handoff) = (from.clone(), handoff.clone());
        let answer_ms = self.accept_timeout_ms(&handoff.to);
        let reason = match answer_ms.or(self.answer_timeout_ms(&handoff.to)) {
            Some(after_ms) => no_answer(reason, after_ms),
            None => reason,
        };
        self.conclude_failed(turn, from, handoff, reason);
    }

    pub(crate) fn conclude_failed(
        &mut self,
        turn: &mut Turn<'_>,
        from: Option<Holder>,
        handoff: Handoff,
        reason: FailReason,
    ) {
        let kept = self.kept.as_ref().map(|kept| &kept.specialist);
        let holder = from.as_ref().map(|holder| &holder.specialist).or(kept);
        let mut others = handoff.fallback.iter();
        if let Some(next) = others.find(|name| Some(*name) != holder).cloned() {
            self.record_failed(turn, &handoff, reason);
            let rest = others.cloned().collect();
            return self.try_instead(turn, from, handoff, next, rest);
        }
        self.report_failed(turn, &handoff, reason);
        match from {
            Some(holder) => self.enter(turn, Phase::Active { holder }),
            None => self.recover(turn),
        }
    }

    /// Goes on to another target in the place of one that has failed: for its asker it is the same request.
    fn try_instead(
        &mut self,
        turn: &mut Turn<'_>,
        from: Option<Holder>,
        failed: Handoff,
        to: SpecialistName,
        fallback: Vec<SpecialistName>,
    ) {
        self.counts.handoffs_started += 1;
        self.known.tried(&to);
        let routes = &self.plan.config().routes;
        let route = failed.route.and_then(|number| routes.get(number.0));
        // That of a person is not for an agent in its place.
        let opening = match self.accept_timeout_ms(&failed.to) {
            Some(_) => route.map_or(Opening::Continue, |route| route.opening.clone()),
            None => failed.opening,
        };
        let route = Route {
            fade_ms: failed.fade_ms,
            opening,
            tools_wait_ms: failed.tools_wait_ms,
            summary_wait_ms: route.map_or(0, |route| route.summary_wait_ms),
            announces: failed.announces,
            ..Route::default()
        };
        let asked = Asked {
            route: failed.route,
            splice: Some(failed.splice),
            tool_call: failed.tool_call,
            fallback,
            errand: failed.errand.map(|errand| *errand),
        };
        self.begin(turn, from, failed.cause, to, failed.reason, route, asked);
    }

    /// Counts a failed handoff and tells its asker.
    pub(crate) fn report_failed(
        &mut self,
        turn: &mut Turn<'_>,
        handoff: &Handoff,
        reason: FailReason,
    ) {
        if let Cause::Request { .. } = handoff.cause {
            self.watch.handoff_failed();
        }
        self.record_failed(turn, handoff, reason.clone());
        self.answer(
            turn,
            &handoff.cause,
            Outcome::Failed {
                handoff: handoff.id,
                reason,
            },
        );
    }

    fn record_failed(&mut self, turn: &mut Turn<'_>, handoff: &Handoff, reason: FailReason) {
        self.counts.handoffs_failed += 1;
        turn.record(Fact::HandoffFailed {
            handoff: handoff.id,
            reason,
        });
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
