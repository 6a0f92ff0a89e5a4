//! What conditions see of a call: the caller, the shared state, the clock, and the call itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rules::{CallerFacts, Condition, EvaluationError, Facts, LocalTime};
use serde_json::Value as Json;

use crate::call::Call;
use crate::ids::SpecialistName;

/// What the shell has told, and what was counted for conditions alone.
#[derive(Debug)]
pub(crate) struct Known {
    started: Instant,
    pub(crate) caller: Arc<CallerFacts>,
    state: Arc<Json>,
    pub(crate) state_version: u64,
    pub(crate) time: LocalTime,
    /// How often each target was tried since the baton moved last; at most as many as there are specialists.
    tries: BTreeMap<SpecialistName, u32>,
}

impl Known {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            caller: Arc::default(),
            state: Arc::new(Json::Object(serde_json::Map::new())),
            state_version: 0,
            time: LocalTime::default(),
            tries: BTreeMap::new(),
        }
    }

    /// Takes a newer version of the state; one that is older has been overtaken.
    pub(crate) fn state_changed(&mut self, state: Arc<Json>, version: u64) {
        if version > self.state_version {
            self.state = state;
            self.state_version = version;
        }
    }

    /// A handoff to this specialist is tried.
    pub(crate) fn tried(&mut self, to: &SpecialistName) {
        let tries = self.tries.entry(to.clone()).or_default();
        *tries = tries.saturating_add(1);
    }

    /// The baton has moved.
    pub(crate) fn moved(&mut self) {
        self.tries.clear();
    }
}

impl Call {
    /// Whether a condition holds of the call as it stands: `from` is who has the baton, and `to` is empty.
    ///
    /// # Errors
    /// If it has no answer.
    pub fn evaluate(&self, now: Instant, condition: &Condition) -> Result<bool, EvaluationError> {
        let holder = self.phase().holder().map(|holder| &holder.specialist);
        let nobody = SpecialistName::from("");
        condition.evaluate(&self.facts(now, holder, &nobody, ""))
    }

    /// What a condition sees of a handoff.
    pub(crate) fn facts<'a>(
        &'a self,
        now: Instant,
        from: Option<&'a SpecialistName>,
        to: &'a SpecialistName,
        reason: &'a str,
    ) -> Facts<'a> {
        let known = &self.known;
        Facts {
            duration_secs: now.saturating_duration_since(known.started).as_secs(),
            handoffs: self.counts.handoffs_started,
            caller: &known.caller,
            state: &known.state,
            from: from.map_or("", SpecialistName::as_str),
            to: to.as_str(),
            reason,
            attempt: known
                .tries
                .get(to)
                .map_or(1, |tries| tries.saturating_add(1)),
            time: known.time,
        }
    }
}
