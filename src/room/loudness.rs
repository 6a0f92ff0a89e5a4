//! Which voices are matched in loudness, and how loud each specialist is known to be.
//!
//! What one call learns of a specialist's voice the next one goes by: it is the same voice, and no more than its loudness is
//! kept.

use std::collections::{BTreeMap, BTreeSet};

use call::{RouteNumber, SpecialistName};
use parking_lot::Mutex;

/// What of a voice's newest loudness goes into what is kept of it: calls differ, and a voice may change.
const NEWEST_SHARE: f32 = 0.3;

/// What the configuration says of loudness, and what running calls have learned. It is shared by the calls of a process.
#[derive(Debug, Default)]
pub struct VoiceLoudness {
    /// Routes on which the new voice is matched to the old one.
    matched: BTreeSet<RouteNumber>,
    /// Whether that is so for handoffs without a route.
    otherwise: bool,
    /// In LUFS.
    told: BTreeMap<SpecialistName, f32>,
    /// In LUFS. Only names that are configured come up here.
    learned: Mutex<BTreeMap<SpecialistName, f32>>,
}

impl VoiceLoudness {
    /// By the routes on which voices are matched, whether they are without a route, and what is told of specialists in LUFS.
    pub fn new(
        matched: impl IntoIterator<Item = RouteNumber>,
        otherwise: bool,
        told: impl IntoIterator<Item = (SpecialistName, f32)>,
    ) -> Self {
        Self {
            matched: matched.into_iter().collect(),
            otherwise,
            told: told.into_iter().collect(),
            learned: Mutex::default(),
        }
    }

    /// Whether any voice is ever matched, so that loudness is worth learning.
    pub(super) fn is_used(&self) -> bool {
        self.otherwise || !self.matched.is_empty()
    }

    /// Whether a handoff by this route matches the new voice to the old one.
    pub(super) fn matches(&self, route: Option<RouteNumber>) -> bool {
        route.map_or(self.otherwise, |route| self.matched.contains(&route))
    }

    /// How loud a specialist is, in LUFS: as it was heard in earlier calls, else as was told.
    pub(super) fn lufs(&self, specialist: &SpecialistName) -> Option<f32> {
        let learned = self.learned.lock().get(specialist).copied();
        learned.or_else(|| self.told.get(specialist).copied())
    }

    /// Takes how loud a specialist was in a call, in LUFS.
    pub(super) fn learn(&self, specialist: SpecialistName, lufs: f32) {
        let mut learned = self.learned.lock();
        let kept = learned.entry(specialist).or_insert(lufs);
        *kept += (lufs - *kept) * NEWEST_SHARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_decides_and_without_one_the_default_does() {
        let rules = VoiceLoudness::new([RouteNumber(1)], false, []);
        assert!(rules.is_used() && rules.matches(Some(RouteNumber(1))));
        assert!(!rules.matches(Some(RouteNumber(0))) && !rules.matches(None));
        let rules = VoiceLoudness::new([], true, []);
        assert!(rules.is_used() && rules.matches(None) && !rules.matches(Some(RouteNumber(0))));
        assert!(!VoiceLoudness::default().is_used());
    }

    #[test]
    fn what_was_heard_counts_more_than_what_was_told() {
        let billing = SpecialistName::from("billing");
        let rules = VoiceLoudness::new([], true, [(billing.clone(), -23.0)]);
        assert_eq!(rules.lufs(&billing), Some(-23.0));
        assert_eq!(rules.lufs(&"triage".into()), None);
        rules.learn(billing.clone(), -30.0);
        assert_eq!(rules.lufs(&billing), Some(-30.0));
        rules.learn(billing.clone(), -20.0);
        assert_eq!(rules.lufs(&billing), Some(-27.0));
    }
}
