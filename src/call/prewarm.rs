//! Specialists that are dispatched before anybody asks for them, because a handoff to them is likely: a route to them from the
//! present holder is open, or their own condition holds.
//!
//! It is looked at when the baton has moved and when the state has changed, and never while a handoff is under way. Each is
//! dispatched once in a holding at most, and one place is kept for a handoff that nobody has foreseen.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::call::{Call, Turn};
use crate::config::{Lifetime, Names};
use crate::ids::{DispatchId, SpecialistName};
use crate::phase::Phase;
use crate::snapshot::Stage;

/// What conditions see as the reason.
const REASON: &str = "prewarm";

/// How far this was looked at.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// In which holding, and at which version of the state.
    looked: Option<(u64, u64)>,
    /// Who was dispatched in this holding.
    dispatched: BTreeSet<SpecialistName>,
}

impl Call {
    /// Dispatches whoever is likely to be needed, and has those rest who no longer are.
    pub(crate) fn prewarm(&mut self, turn: &mut Turn<'_>) {
        let Phase::Active { holder } = &self.phase else {
            return;
        };
        let holder = holder.specialist.clone();
        if !self.plan.prewarms() {
            return;
        }
        let moment = (self.counts.handoffs_done, self.known.state_version);
        let before = self.warm.looked.replace(moment);
        if before == Some(moment) {
            return;
        }
        if before.is_none_or(|(holding, _)| holding != moment.0) {
            self.warm.dispatched.clear();
        }
        let likely = self.likely(turn.now, &holder);
        for name in likely.iter().filter(|name| **name != holder) {
            let known = self.roster.iter().any(|(_, it)| it.specialist == *name);
            let full = self.roster.len() + 1 >= self.plan.limits().instances_max;
            if !known && !full && self.warm.dispatched.insert(name.clone()) {
                // One that cannot be dispatched is dispatched when it is needed, as if it were on demand.
                let _ = self.dispatch(turn, name);
            }
        }
        for dispatch in self.cold(&likely) {
            self.rest(turn, dispatch);
        }
    }

    /// To whom the next handoff may go, among those that are prewarmed.
    fn likely(&self, now: Instant, holder: &SpecialistName) -> BTreeSet<SpecialistName> {
        let mut likely = BTreeSet::new();
        // Those whom no route has decided on so far.
        let mut open = BTreeSet::new();
        for (name, specialist) in &self.plan.config().specialists {
            match (specialist.lifetime, &specialist.prewarm_when) {
                (Lifetime::Resident | Lifetime::OnDemand, _) => {}
                (Lifetime::Prewarmed, None) => {
                    open.insert(name);
                }
                (Lifetime::Prewarmed, Some(when)) => {
                    let facts = self.facts(now, Some(holder), name, REASON);
                    if when.evaluate(&facts).unwrap_or(false) {
                        likely.insert(name.clone());
                    }
                }
            }
        }
        for route in &self.plan.config().routes {
            if open.is_empty() || !route.from.contains(holder) {
                continue;
            }
            let targets: Vec<&SpecialistName> = match &route.to {
                Names::Any => open.iter().copied().collect(),
                Names::Only(names) => names.iter().filter(|name| open.contains(name)).collect(),
            };
            for to in targets {
                let facts = self.facts(now, Some(holder), to, REASON);
                match route.when.as_ref().map(|when| when.evaluate(&facts)) {
                    None | Some(Ok(true)) => {
                        open.remove(to);
                        likely.insert(to.clone());
                    }
                    Some(Ok(false)) => {}
                    // A condition without an answer would refuse the handoff.
                    Some(Err(_)) => {
                        open.remove(to);
                    }
                }
            }
        }
        likely
    }

    /// Those that wait to be needed, and are not among the likely ones.
    fn cold(&self, likely: &BTreeSet<SpecialistName>) -> Vec<DispatchId> {
        let waiting = self.roster.iter().filter(|(_, instance)| {
            let config = self.plan.specialist(&instance.specialist);
            instance.stage == Stage::Waiting
                && config.is_some_and(|config| config.lifetime == Lifetime::Prewarmed)
                && !likely.contains(&instance.specialist)
        });
        waiting.map(|(dispatch, _)| dispatch).collect()
    }
}
