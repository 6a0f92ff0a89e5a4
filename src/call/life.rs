//! The life of one specialist in a call: it is dispatched, joins, says Hello, comes and goes.

use std::time::Instant;

use crate::call::{Call, Turn, clip};
use crate::command::{Command, Fact};
use crate::config::TIMER_MS_MAX;
use crate::entry::takes_share;
use crate::event::Departure;
use crate::ids::{DispatchId, Epoch, Identity, SpecialistName};
use crate::outcome::{FailReason, LossReason, RejectReason, RemoveReason};
use crate::phase::Phase;
use crate::ready::Awaited;
use crate::roster::{Instance, Refer};
use crate::snapshot::{Stage, WasAt};

impl Call {
    /// Dispatches a specialist, unless there are too many.
    pub(crate) fn dispatch(
        &mut self,
        turn: &mut Turn<'_>,
        specialist: &SpecialistName,
    ) -> Result<DispatchId, FailReason> {
        let max = self.plan.limits().instances_max;
        if self.roster.len() >= max {
            return Err(FailReason::TooManyInstances { max });
        }
        let Some(config) = self.plan.specialist(specialist) else {
            // Every name that gets here was looked up in the plan, or checked with it.
            return Err(FailReason::DispatchFailed {
                detail: "no such specialist".to_owned(),
            });
        };
        let canary = config.canary.as_ref();
        let canary = canary
            .filter(|canary| takes_share(&self.id, specialist.as_str(), canary.share_percent));
        let agent_name = canary.map_or(&config.agent_name, |canary| &canary.agent_name);
        let agent_name = agent_name.clone();
        self.newest_dispatch = self.newest_dispatch.next();
        let dispatch = self.newest_dispatch;
        let accept_by = self.accept_timeout_ms(specialist);
        let accept_by = accept_by.map(|ms| turn.after(ms));
        let until = accept_by.unwrap_or(turn.after(self.plan.timers().join_timeout_ms));
        let mut instance = Instance::dispatched(specialist.clone(), until);
        instance.accept_by = accept_by;
        let is_address = self.answer_timeout_ms(specialist).is_some();
        if is_address {
            instance.await_transfer(turn.after(TIMER_MS_MAX), Refer::Later);
        }
        self.roster.insert(dispatch, instance);
        turn.record(Fact::Dispatched {
            dispatch,
            specialist: specialist.clone(),
        });
        if is_address {
            return Ok(dispatch);
        }
        turn.push(Command::Dispatch {
            dispatch,
            specialist: specialist.clone(),
            agent_name,
        });
        Ok(dispatch)
    }

    pub(crate) fn dispatch_failed(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        detail: String,
    ) {
        let Some(Stage::Dispatched { .. }) = self.roster.stage(dispatch) else {
            self.reject(turn, None, RejectReason::Unexpected);
            return;
        };
        self.forget(turn, dispatch);
        self.fail_target(
            turn,
            dispatch,
            FailReason::DispatchFailed {
                detail: clip(detail),
            },
        );
    }

    /// A specialist is in as many calls as it may be.
    pub(crate) fn dispatch_full(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, max: u32) {
        let Some(Stage::Dispatched { .. }) = self.roster.stage(dispatch) else {
            self.reject(turn, None, RejectReason::Unexpected);
            return;
        };
        self.forget(turn, dispatch);
        self.fail_target(turn, dispatch, FailReason::TooManyCalls { max });
    }

    pub(crate) fn specialist_joined(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        identity: Identity,
    ) {
        self.gates.repeat = true;
        let bound = self.roster.bound(&identity);
        if self.caller.identity() == Some(&identity) || bound.is_some_and(|bound| bound != dispatch)
        {
            self.reject(turn, None, RejectReason::IdentityTaken);
            return;
        }
        let until = turn.after(self.plan.timers().hello_timeout_ms);
        let Some(instance) = self
            .roster
            .find_mut(dispatch)
            .filter(|instance| instance.refer == Refer::Never)
        else {
            turn.push(Command::Remove {
                identity,
                reason: RemoveReason::NotExpected,
            });
            return;
        };
        match &instance.identity {
            None => {
                let until = instance.accept_by.unwrap_or(until);
                instance.identity = Some(identity.clone());
                instance.stage = Stage::Joined { until };
                let specialist = instance.specialist.clone();
                turn.record(Fact::SpecialistJoined {
                    dispatch,
                    specialist,
                    identity,
                });
            }
            Some(known) if *known == identity => instance.mark_back(),
            Some(_) => turn.push(Command::Remove {
                identity,
                reason: RemoveReason::NotExpected,
            }),
        }
    }

    /// A participant of kind AGENT is in the room: a specialist that was away may be back.
    pub(crate) fn agent_joined(&mut self, identity: &Identity) {
        let bound = self.roster.bound(identity);
        if let Some(instance) = bound.and_then(|dispatch| self.roster.find_mut(dispatch)) {
            instance.mark_back();
        }
    }

    pub(crate) fn hello(&mut self, turn: &mut Turn<'_>, identity: Identity) {
        let Some(dispatch) = self.sender(turn, &identity) else {
            return;
        };
        let Some(stage) = self.roster.stage(dispatch) else {
            return;
        };
        match stage {
            Stage::Joined { .. } => {
                self.welcome(turn, dispatch, identity);
                self.roster.set_stage(dispatch, Stage::Waiting);
                self.prepare_if_target(turn, dispatch);
                // One that is not needed yet is asked some other time.
                if let Some(instance) = self.roster.find_mut(dispatch) {
                    instance.accept_by = None;
                }
            }
            Stage::Away {
                back: true, was, ..
            } => {
                self.welcome(turn, dispatch, identity);
                turn.record(Fact::SpecialistBack { dispatch });
                self.gates.repeat = true;
                self.revoke_unsure(turn, dispatch);
                self.come_back(turn, dispatch, was);
            }
            Stage::Waiting
            | Stage::Preparing { .. }
            | Stage::Ready { .. }
            | Stage::Holding { .. }
            | Stage::Outgoing
            | Stage::Settling { .. }
            | Stage::Parked { .. } => self.welcome(turn, dispatch, identity),
            // It was told to leave by a former process, and may not have heard it.
            Stage::Leaving { .. } if self.is_unsure(dispatch) => {
                self.welcome(turn, dispatch, identity);
            }
            Stage::Dispatched { .. } | Stage::Leaving { .. } | Stage::Away { back: false, .. } => {
                self.reject(turn, Some(&identity), RejectReason::Unexpected);
            }
        }
    }

    fn welcome(&self, turn: &mut Turn<'_>, dispatch: DispatchId, identity: Identity) {
        let specialist = self
            .roster
            .find(dispatch)
            .map(|instance| &instance.specialist);
        let targets = specialist.map(|name| self.plan.targets(name));
        turn.push(Command::Welcome {
            identity,
            epoch: self.epoch,
            targets: targets.unwrap_or_default(),
        });
    }

    /// A specialist is back and has said Hello.
    fn come_back(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, was: WasAt) {
        match was {
            WasAt::Waiting => {
                self.roster.set_stage(dispatch, Stage::Waiting);
                self.prepare_if_target(turn, dispatch);
            }
            WasAt::Preparing { until } => self.prepare(turn, dispatch, until),
            WasAt::Holding => self.regrant(turn, dispatch),
            WasAt::Parked { until } => {
                self.roster.set_stage(dispatch, Stage::Parked { until });
                self.prepare_if_target(turn, dispatch);
            }
        }
    }

    pub(crate) fn specialist_left(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        departure: Departure,
    ) {
        let Some(stage) = self.roster.stage(dispatch) else {
            return;
        };
        if departure == Departure::Final || self.is_incoming(dispatch) {
            self.part(turn, dispatch, LossReason::Left);
            return;
        }
        let back_by = turn.after(self.plan.timers().specialist_return_ms);
        let away = |was| Stage::Away {
            until: back_by,
            back: false,
            was,
        };
        match stage {
            Stage::Dispatched { .. } | Stage::Away { back: false, .. } => return,
            Stage::Leaving { .. } => return self.forget(turn, dispatch),
            Stage::Away {
                back: true,
                until,
                was,
            } => {
                self.roster.set_stage(
                    dispatch,
                    Stage::Away {
                        until,
                        back: false,
                        was,
                    },
                );
            }
            Stage::Joined { .. } | Stage::Waiting => {
                self.roster.set_stage(dispatch, away(WasAt::Waiting))
            }
            Stage::Preparing { until } => self.target_away(dispatch, back_by, until),
            Stage::Ready { until } => {
                self.target_away(dispatch, back_by, until);
                self.unready(turn);
            }
            Stage::Holding { .. } => {
                self.silence(turn, dispatch);
                self.roster.set_stage(dispatch, away(WasAt::Holding));
            }
            Stage::Outgoing => self.silence(turn, dispatch),
            Stage::Settling { leave: true, .. } => return self.forget(turn, dispatch),
            Stage::Settling { leave: false, .. } => {}
            Stage::Parked { until } => self
                .roster
                .set_stage(dispatch, away(WasAt::Parked { until })),
        }
        turn.record(Fact::SpecialistAway { dispatch });
        match stage {
            Stage::Outgoing => {
                self.rest_away(turn, dispatch, back_by, false);
                self.outgoing_gone(turn);
            }
            Stage::Settling { .. } => self.rest_away(turn, dispatch, back_by, false),
            Stage::Holding { .. } => self.no_holder_to_await(turn, dispatch),
            Stage::Dispatched { .. }
            | Stage::Joined { .. }
            | Stage::Waiting
            | Stage::Preparing { .. }
            | Stage::Ready { .. }
            | Stage::Parked { .. }
            | Stage::Leaving { .. }
            | Stage::Away { .. } => {}
        }
    }

    fn target_away(&mut self, dispatch: DispatchId, back_by: Instant, ready_by: Instant) {
        let until = back_by.min(ready_by);
        let was = WasAt::Preparing { until: ready_by };
        self.roster.set_stage(
            dispatch,
            Stage::Away {
                until,
                back: false,
                was,
            },
        );
    }

    /// A target that was ready is no longer.
    fn unready(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Ready {
            from,
            target,
            handoff,
            wait,
        } = &self.phase
        {
            let (from, target, handoff) = (from.clone(), *target, handoff.clone());
            let summary = wait.until(Awaited::Summary);
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
        }
    }

    pub(crate) fn released(&mut self, turn: &mut Turn<'_>, identity: Identity, epoch: Epoch) {
        let Some(dispatch) = self.sender(turn, &identity) else {
            return;
        };
        let Some(instance) = self
            .roster
            .find_mut(dispatch)
            .filter(|instance| instance.revoked == Some(epoch))
        else {
            let reason = RejectReason::StaleEpoch {
                got: epoch,
                current: self.epoch,
            };
            self.reject(turn, Some(&identity), reason);
            return;
        };
        instance.revoked = None;
        // A specialist that is prepared again before it has answered the Revoke is settled by its answer all the same.
        if let Stage::Settling { leave, .. } = instance.stage {
            match leave {
                true => self.release(turn, dispatch),
                false => self.rest(turn, dispatch),
            }
        }
    }

    pub(crate) fn unresponsive(&mut self, turn: &mut Turn<'_>, identity: &Identity) {
        let Some(dispatch) = self.roster.bound(identity) else {
            self.reject(turn, None, RejectReason::Unbound);
            return;
        };
        self.expel(
            turn,
            dispatch,
            RemoveReason::Unresponsive,
            LossReason::Unresponsive,
        );
    }

    /// The dispatch that the sender of a message is bound to; otherwise the message is rejected.
    pub(crate) fn sender(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
    ) -> Option<DispatchId> {
        let bound = self.roster.bound(identity);
        if bound.is_none() {
            self.reject(turn, None, RejectReason::Unbound);
        }
        bound
    }
}
