//! The second ring: who is kept from whom by the server, reconciled and never set once.
//!
//! LiveKit's `UpdateSubscriptions` races with the wishes of the participants themselves, and a success proves nothing. So
//! each change is applied at once and again in rounds, and every join, publish and reconnect starts the rounds anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use call::Identity;

/// When a gate is applied again after something has changed.
const ROUNDS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// What the core last said about the gates, and when they are applied next.
#[derive(Debug, Default)]
pub(super) struct Gates {
    allowed: BTreeSet<Identity>,
    shut: BTreeSet<Identity>,
    changed_at: Option<Instant>,
    rounds_done: usize,
}

impl Gates {
    /// Only these agents may hear the caller.
    pub(super) fn set_audience(&mut self, now: Instant, allowed: BTreeSet<Identity>) {
        self.allowed = allowed;
        self.restart(now);
    }

    /// The caller is to be kept from these.
    pub(super) fn set_shut(&mut self, now: Instant, shut: BTreeSet<Identity>) {
        self.shut = shut;
        self.restart(now);
    }

    /// Whether this agent may hear the caller.
    pub(super) fn may_hear_caller(&self, identity: &Identity) -> bool {
        self.allowed.contains(identity)
    }

    /// The agents that the caller is kept from.
    pub(super) fn shut(&self) -> &BTreeSet<Identity> {
        &self.shut
    }

    /// When the next round is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let round = ROUNDS.get(self.rounds_done)?;
        Some(self.changed_at? + *round)
    }

    /// Whether a round is due now; it counts as done then.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.rounds_done += 1;
        }
        due
    }

    fn restart(&mut self, now: Instant) {
        self.changed_at = Some(now);
        self.rounds_done = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_applied_four_times_and_then_rests() {
        let start = Instant::now();
        let mut gates = Gates::default();
        assert_eq!(gates.poll_timeout(), None);
        gates.set_audience(start, BTreeSet::from([Identity::from("a")]));
        let mut at = Vec::new();
        while let Some(due) = gates.poll_timeout() {
            at.push((due - start).as_millis());
            assert!(gates.take_due(due));
            assert!(!gates.take_due(due), "a round is not due twice");
        }
        assert_eq!(at, [0, 250, 1_000, 3_000]);
    }

    #[test]
    fn another_change_starts_the_rounds_anew() {
        let start = Instant::now();
        let mut gates = Gates::default();
        gates.set_audience(start, BTreeSet::new());
        assert!(gates.take_due(start));
        let later = start + Duration::from_millis(100);
        gates.set_shut(later, BTreeSet::from([Identity::from("rogue")]));
        assert_eq!(gates.poll_timeout(), Some(later));
    }
}
