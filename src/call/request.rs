//! A request for a handoff: who may make it, whom it means, and whether a route allows it.

use std::time::{Duration, Instant};

use rules::EvaluationError;

use crate::call::{Call, Turn, clip};
use crate::command::{Command, Fact};
use crate::config::{Fallback, Route, RouteNumber};
use crate::delegation::Errand;
use crate::event::{Asker, HandoffRequest, Target};
use crate::handoff::Asked;
use crate::ids::{RequestId, SpecialistName};
use crate::outcome::{Outcome, RefuseReason, RejectReason};
use crate::phase::{Cause, Handoff, Holder, Phase};
use crate::snapshot::Stage;

/// How many names a refusal lists.
const REACHABLE_MAX: usize = 8;

/// A route and its number; without one, what is used where no route says otherwise.
type Routed = (Option<RouteNumber>, Route);

/// What routes say of a handoff.
pub(crate) enum Way<'a> {
    /// This one decides.
    Open(RouteNumber, &'a Route),
    /// This condition does not hold, and no other route fits.
    Closed { condition: String },
    /// This condition has no answer.
    NoAnswer {
        condition: String,
        error: EvaluationError,
    },
    /// No route fits.
    None,
}

/// What a request rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// On a route; without one it is refused.
    Route,
    /// On itself.
    Itself,
    /// On what was delegated: the baton goes back, which it may do at any time.
    Return,
}

impl Call {
    pub(crate) fn requested(&mut self, turn: &mut Turn<'_>, request: HandoffRequest) {
        let ground = match request.asker {
            Asker::Rule => Ground::Itself,
            Asker::Specialist { .. } | Asker::Operator => Ground::Route,
        };
        self.decide(turn, request, ground);
    }

    /// A request that the baton goes back to who has delegated.
    pub(crate) fn requested_to_return(&mut self, turn: &mut Turn<'_>, request: HandoffRequest) {
        self.decide(turn, request, Ground::Return);
    }

    /// A request that is its own permission; where a route fits, it says how the baton moves.
    pub(crate) fn requested_without_route(&mut self, turn: &mut Turn<'_>, request: HandoffRequest) {
        self.decide(turn, request, Ground::Itself);
    }

    fn decide(&mut self, turn: &mut Turn<'_>, request: HandoffRequest, ground: Ground) {
        let HandoffRequest {
            asker,
            request,
            target,
            reason,
            tool_call,
            splice,
            delegating,
        } = request;
        if let Some(reason) = self.not_entitled(&asker, request) {
            let identity = match &asker {
                Asker::Specialist { identity, .. } => Some(identity),
                Asker::Operator | Asker::Rule => None,
            };
            // A stranger is not answered.
            let identity = identity.filter(|_| reason != RejectReason::Unbound);
            self.reject(turn, identity, reason);
            return;
        }
        let resolved = self.errand(&asker, delegating).and_then(|errand| {
            let (target, ground) = self.sent_by(errand.as_ref(), target, ground);
            let resolved = self.resolve(turn.now, &asker, target, &reason, ground)?;
            Ok((resolved, errand))
        });
        let ((to, routed), errand) = match resolved {
            Ok(resolved) => resolved,
            Err(reason) => {
                self.counts.refused += 1;
                turn.record(Fact::HandoffRefused {
                    asker: asker.clone(),
                    reason: reason.clone(),
                });
                if let RefuseReason::NoAnswer { .. } = reason {
                    self.counts.conditions_failed += 1;
                }
                let outcome = Outcome::Refused(reason);
                turn.push(Command::HandoffResult {
                    asker,
                    request,
                    epoch: self.epoch,
                    outcome,
                });
                return;
            }
        };
        self.counts.handoffs_started += 1;
        self.known.tried(&to);
        let from = match &self.phase {
            Phase::Active { holder } => Some(holder.clone()),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. } => None,
        };
        let cause = Cause::Request { asker, request };
        let (number, route) = routed;
        let asked = Asked {
            route: number,
            splice,
            tool_call: tool_call.map(clip),
            fallback: match errand {
                // It is of use to the delegator alone.
                Some(Errand::Result { .. }) => Vec::new(),
                Some(Errand::Task { .. }) | None => self.chain(&route, from.as_ref(), &to),
            },
            errand,
        };
        self.begin(turn, from, cause, to, clip(reason), route, asked);
    }

    /// Why an asker may not ask, if so.
    fn not_entitled(&self, asker: &Asker, request: RequestId) -> Option<RejectReason> {
        if let Some(Handoff {
            cause:
                Cause::Request {
                    asker: running,
                    request: number,
                },
            ..
        }) = self.phase.handoff()
            && running.is_same(asker)
            && *number == request
        {
            return Some(RejectReason::Duplicate);
        }
        let Asker::Specialist { identity, epoch } = asker else {
            return None;
        };
        let Some(dispatch) = self.roster.bound(identity) else {
            return Some(RejectReason::Unbound);
        };
        if *epoch != self.epoch {
            return Some(RejectReason::StaleEpoch {
                got: *epoch,
                current: self.epoch,
            });
        }
        let holds = self
            .phase
            .holder()
            .is_some_and(|holder| holder.dispatch == dispatch);
        match self.roster.stage(dispatch) {
            Some(Stage::Holding { .. }) if holds => None,
            Some(_) | None => Some(RejectReason::NotHolder),
        }
    }

    /// A result goes to who has delegated, whatever target is named.
    fn sent_by(&self, errand: Option<&Errand>, target: Target, ground: Ground) -> (Target, Ground) {
        let delegator = errand.and_then(|errand| match errand {
            Errand::Task { .. } => None,
            Errand::Result { delegation, .. } => self.delegator(*delegation),
        });
        match delegator {
            Some(name) => (Target::Specialist(name.clone()), Ground::Return),
            None => (target, ground),
        }
    }

    /// Whom a request means, and by which route.
    fn resolve(
        &self,
        now: Instant,
        asker: &Asker,
        target: Target,
        reason: &str,
        ground: Ground,
    ) -> Result<(SpecialistName, Routed), RefuseReason> {
        let (to, back) = match target {
            Target::Specialist(name) => (name, false),
            Target::Previous => (self.previous.clone().ok_or(RefuseReason::NoPrevious)?, true),
        };
        if self.plan.specialist(&to).is_none() {
            return Err(RefuseReason::UnknownTarget {
                near: self.plan.near(&to),
                name: to,
            });
        }
        if let Some(handoff) = self.phase.handoff() {
            return Err(RefuseReason::InProgress {
                handoff: handoff.id,
                target: handoff.to.clone(),
            });
        }
        let max = self.plan.limits().handoffs_max;
        if self.counts.handoffs_started >= max {
            return Err(RefuseReason::TooMany { max });
        }
        let Some(holder) = self.phase.holder() else {
            return Ok((to, Routed::default()));
        };
        let from = &holder.specialist;
        if *from == to {
            return Err(RefuseReason::AlreadyHolder { name: to });
        }
        if ground != Ground::Return
            && let Some(max) = self.had_enough(asker, &to)
        {
            return Err(RefuseReason::TooManyTo { to, max });
        }
        if ground != Ground::Return
            && let Some(left_ms) = self.cooling_down(now, asker, &to)
        {
            return Err(RefuseReason::CoolingDown { to, left_ms });
        }
        match self.way(now, from, &to, reason) {
            Way::Open(number, route) => Ok((to, (Some(number), route.clone()))),
            Way::NoAnswer { .. } if ground == Ground::Return => Ok((to, Routed::default())),
            Way::NoAnswer { condition, error } => Err(RefuseReason::NoAnswer {
                condition,
                error: error.to_string(),
            }),
            Way::Closed { .. } | Way::None if ground != Ground::Route => {
                Ok((to, Routed::default()))
            }
            Way::Closed { condition } => Err(RefuseReason::Closed {
                from: from.clone(),
                to,
                condition,
            }),
            Way::None if back && self.plan.config().hand_back => Ok((to, Routed::default())),
            Way::None => Err(RefuseReason::NoRoute {
                reachable: self.plan.reachable(from, REACHABLE_MAX),
                from: from.clone(),
                to,
            }),
        }
    }

    /// The specialists that a route names to be tried after its target, each once.
    fn chain(
        &self,
        route: &Route,
        from: Option<&Holder>,
        to: &SpecialistName,
    ) -> Vec<SpecialistName> {
        let named = route.fallback.iter().filter_map(|fallback| match fallback {
            Fallback::AnotherInstance => Some(to),
            Fallback::Previous => from.map(|holder| &holder.specialist),
            Fallback::Entry => Some(self.entry()),
            Fallback::Specialist(name) => Some(name),
        });
        let mut chain = Vec::new();
        for name in named {
            if !chain.contains(name) {
                chain.push(name.clone());
            }
        }
        chain
    }

    /// How often the target may have the baton, if it has had it as often. An operator may have it do more.
    fn had_enough(&self, asker: &Asker, to: &SpecialistName) -> Option<u32> {
        match asker {
            Asker::Operator => return None,
            Asker::Specialist { .. } | Asker::Rule => {}
        }
        let max = self.plan.specialist(to)?.handoffs_max?;
        (self.visits.get(to).copied().unwrap_or(0) >= max).then_some(max)
    }

    /// The first route that fits and whose condition holds.
    pub(crate) fn way(
        &self,
        now: Instant,
        from: &SpecialistName,
        to: &SpecialistName,
        reason: &str,
    ) -> Way<'_> {
        let mut closed = None;
        for (number, route) in self.plan.routes(from, to) {
            let Some(condition) = &route.when else {
                return Way::Open(number, route);
            };
            let source = || condition.source().to_owned();
            match condition.evaluate(&self.facts(now, Some(from), to, reason)) {
                Ok(true) => return Way::Open(number, route),
                Ok(false) => {
                    closed.get_or_insert_with(source);
                }
                Err(error) => {
                    let condition = source();
                    return Way::NoAnswer { condition, error };
                }
            }
        }
        match closed {
            Some(condition) => Way::Closed { condition },
            None => Way::None,
        }
    }

    /// How long the baton has to stay before it goes back to where it came from, in milliseconds.
    fn cooling_down(&self, now: Instant, asker: &Asker, to: &SpecialistName) -> Option<u64> {
        match asker {
            Asker::Operator => return None,
            Asker::Specialist { .. } | Asker::Rule => {}
        }
        let by_a_person = self
            .phase
            .holder()
            .is_some_and(|holder| self.is_human(holder.dispatch));
        if by_a_person || self.previous.as_ref() != Some(to) {
            return None;
        }
        let over = self.watch.since + Duration::from_millis(self.plan.limits().cool_down_ms);
        let left = over.checked_duration_since(now)?;
        u64::try_from(left.as_millis())
            .ok()
            .filter(|left| *left > 0)
    }
}
