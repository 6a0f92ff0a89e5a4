//! A call that goes on in another process, from what is remembered of it.

use std::sync::Arc;
use std::time::Instant;

use crate::call::{Call, Turn};
use crate::caller::Caller;
use crate::command::{Command, Fact};
use crate::config::{After, Lifetime};
use crate::delegation::Delegations;
use crate::digits::Digits;
use crate::entry::{Entry, Ring};
use crate::gates::Gates;
use crate::ids::{CallId, DispatchId, Epoch};
use crate::known::Known;
use crate::memory::{Memory, RememberedCaller, RememberedHandoff, RememberedSpecialist};
use crate::outcome::{FailReason, LossReason};
use crate::phase::{Holder, IdleWait, Phase, SwitchStep};
use crate::plan::Plan;
use crate::prewarm::Warm;
use crate::recovery::Recovery;
use crate::roster::{Instance, Refer, Roster};
use crate::snapshot::{Stage, WasAt};
use crate::triggers::Watch;

/// By how much the epoch grows: it passes over grants that took effect while they could not be recorded.
const EPOCH_LEAP: u64 = 100;

impl Call {
    /// Goes on with a call of a former process; everybody counts as away. The program track has been published before.
    pub fn resume(
        plan: Arc<Plan>,
        id: CallId,
        memory: Memory,
        now: Instant,
        out: &mut Vec<Command>,
    ) -> Self {
        let mut turn = Turn { now, out };
        let Memory {
            epoch,
            caller,
            entry,
            specialists,
            holder,
            handoff,
            delegations,
            last,
            previous,
            lost,
            tried,
            round,
            chain,
            visits,
            counts,
            newest_dispatch,
            newest_handoff,
        } = memory;
        let entry = match entry {
            Some(entry) => Entry::Chosen(entry),
            None => Entry::resumed(&plan, caller.is_some(), &turn),
        };
        let mut recovery = Recovery::new(lost.unwrap_or_else(|| plan.config().entry.clone()));
        recovery.tried = tried;
        recovery.round = round;
        recovery.chain = chain;
        let timers = *plan.timers();
        let mut call = Self {
            caller: match caller {
                None => Caller::Awaited {
                    until: turn.after(timers.caller_join_timeout_ms),
                },
                Some(RememberedCaller {
                    identity,
                    kind,
                    heard,
                }) => Caller::Away {
                    identity,
                    kind,
                    heard,
                    until: turn.after(timers.caller_return_ms),
                },
            },
            entry,
            ring: Ring::Answered,
            plan,
            id,
            epoch: Epoch(epoch.0.saturating_add(EPOCH_LEAP)),
            phase: Phase::Idle {
                wait: IdleWait::Nothing,
            },
            roster: Roster::default(),
            gates: Gates {
                repeat: true,
                ..Gates::default()
            },
            recovery,
            known: Known::new(now),
            watch: Watch::resumed(now, counts.handoffs_done),
            last,
            previous,
            visits,
            warm: Warm::default(),
            delegations: Delegations::resumed(
                delegations,
                turn.after(timers.delegation_timeout_ms),
            ),
            digits: Digits::resumed(Epoch(epoch.0.saturating_add(EPOCH_LEAP))),
            counts,
            newest_dispatch,
            newest_handoff,
            kept: None,
            // It was for the first moment of a call that has begun long ago.
            opening: None,
            announcing: None,
            turned_away: false,
            announced: Epoch(0),
            dead_air: false,
            ended: None,
        };
        turn.record(Fact::Resumed { epoch: call.epoch });
        let target = handoff.as_ref().and_then(|handoff| handoff.target);
        for (dispatch, remembered) in specialists {
            let needed = [holder, target].contains(&Some(dispatch));
            call.remember(&mut turn, dispatch, remembered, needed);
        }
        let holder = holder.and_then(|holder| call.still_holder(&mut turn, holder));
        call.go_on(&mut turn, holder, handoff);
        call.reconcile(&mut turn);
        call
    }

    /// A specialist comes into the roster, and rests or leaves unless it is needed.
    fn remember(
        &mut self,
        turn: &mut Turn<'_>,
        dispatch: DispatchId,
        remembered: RememberedSpecialist,
        needed: bool,
    ) {
        let RememberedSpecialist {
            specialist,
            identity,
            held,
            leaving,
        } = remembered;
        let timers = *self.plan.timers();
        let waits = self
            .plan
            .specialist(&specialist)
            .is_some_and(|config| match config.lifetime {
                Lifetime::Resident | Lifetime::Prewarmed => true,
                Lifetime::OnDemand => false,
            });
        let is_address = self.answer_timeout_ms(&specialist).is_some();
        let until = turn.after(timers.join_timeout_ms);
        let mut instance = Instance::dispatched(specialist, until);
        if is_address {
            instance.await_transfer(until, Refer::Asked);
        }
        instance.held = held;
        instance.unsure = identity.is_some();
        let joined = identity.is_some();
        instance.identity = identity;
        self.roster.insert(dispatch, instance);
        if leaving {
            self.leave_again(turn, dispatch);
        } else if joined && !needed {
            let back_by = turn.after(timers.specialist_return_ms);
            if waits && !held {
                self.roster
                    .set_stage(dispatch, away(back_by, WasAt::Waiting));
            } else if self.after(dispatch) == After::Leave {
                self.leave_again(turn, dispatch);
            } else {
                self.rest_away(turn, dispatch, back_by, false);
            }
        }
    }

    /// Has a specialist leave whose going was not seen to its end.
    fn leave_again(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let until = turn.after(self.plan.timers().leave_timeout_ms);
        let stage = Stage::Leaving {
            until,
            removed: false,
        };
        self.roster.set_stage(dispatch, stage);
        turn.record(Fact::SpecialistLeaving { dispatch });
        if let Some(identity) = self.roster.identity(dispatch) {
            let epoch = self.epoch;
            turn.push(Command::Release { identity, epoch });
        }
        self.delete_dispatch(turn, dispatch);
    }

    fn still_holder(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) -> Option<Holder> {
        let back_by = turn.after(self.plan.timers().specialist_return_ms);
        let instance = self.roster.find_mut(dispatch)?;
        let identity = instance.identity.clone()?;
        instance.stage = away(back_by, WasAt::Holding);
        instance.unsure = false;
        Some(Holder {
            dispatch,
            specialist: instance.specialist.clone(),
            identity,
            epoch: self.epoch,
        })
    }

    fn go_on(
        &mut self,
        turn: &mut Turn<'_>,
        holder: Option<Holder>,
        handoff: Option<RememberedHandoff>,
    ) {
        match (holder, handoff) {
            (
                Some(to),
                Some(RememberedHandoff {
                    handoff,
                    target: _,
                    granted: true,
                }),
            ) => {
                self.phase = Phase::Switching {
                    from: None,
                    to,
                    handoff,
                    step: SwitchStep::AwaitSound { until: turn.now },
                };
                self.finish_switch(turn);
            }
            (
                from,
                Some(RememberedHandoff {
                    handoff,
                    target,
                    granted: _,
                }),
            ) => match target.filter(|target| self.prepare_again(turn, *target)) {
                Some(target) => self.enter(
                    turn,
                    Phase::Preparing {
                        from,
                        target,
                        handoff,
                        // What was asked for one went with the process.
                        summary: None,
                        hold: None,
                    },
                ),
                None => {
                    let reason = FailReason::LostWhilePreparing {
                        reason: LossReason::Left,
                    };
                    self.conclude_failed(turn, from, handoff, reason);
                }
            },
            (Some(holder), None) => self.enter(turn, Phase::Active { holder }),
            // It has not begun: the caller's return decides, or a timer.
            (None, None) if !self.entry.is_known() && self.last.is_none() => {}
            (None, None) => self.recover(turn),
        }
    }

    /// Whether the target of a handoff can be waited for.
    fn prepare_again(&mut self, turn: &mut Turn<'_>, target: DispatchId) -> bool {
        let timers = *self.plan.timers();
        let back_by = turn.after(timers.specialist_return_ms);
        let until = turn.after(timers.ready_timeout_ms);
        let Some(instance) = self.roster.find_mut(target) else {
            return false;
        };
        if instance.identity.is_some() {
            instance.stage = away(back_by, WasAt::Preparing { until });
        }
        true
    }

    pub(crate) fn is_unsure(&self, dispatch: DispatchId) -> bool {
        let instance = self.roster.find(dispatch);
        instance.is_some_and(|instance| instance.unsure)
    }

    /// Takes the baton from one that may think that it has it.
    pub(crate) fn revoke_unsure(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let epoch = self.epoch;
        let Some(instance) = self
            .roster
            .find_mut(dispatch)
            .filter(|instance| instance.unsure)
        else {
            return;
        };
        instance.unsure = false;
        instance.revoked = Some(epoch);
        if let Some(identity) = instance.identity.clone() {
            turn.push(Command::Revoke { identity, epoch });
        }
    }
}

fn away(until: Instant, was: WasAt) -> Stage {
    Stage::Away {
        until,
        back: false,
        was,
    }
}
