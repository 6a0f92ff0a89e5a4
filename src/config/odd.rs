//! What is legal in the rules of a file and yet not what anybody means.

use std::collections::{BTreeMap, BTreeSet};

use call::{CallConfig, Names, Rule, SpecialistName, Target, Trigger};

/// Specialists between whom rules alone move the baton round and round, in the order in which it goes; empty if there are none.
///
/// A rule on a key needs a caller who presses it, one on the state a change of it, and one on a loss is bounded by
/// `limits.losses_max`.
pub(super) fn circle_of_rules(config: &CallConfig) -> Vec<SpecialistName> {
    let mut next: BTreeMap<&SpecialistName, BTreeSet<&SpecialistName>> = BTreeMap::new();
    for rule in config.rules.iter().filter(|rule| by_itself(rule)) {
        let Target::Specialist(to) = &rule.to else {
            continue;
        };
        let from: Vec<&SpecialistName> = match &rule.from {
            Names::Any => config.specialists.keys().collect(),
            Names::Only(names) => names.iter().collect(),
        };
        for from in from.into_iter().filter(|from| *from != to) {
            next.entry(from).or_default().insert(to);
        }
    }
    let mut settled = BTreeSet::new();
    for start in config.specialists.keys() {
        let mut path = vec![start];
        // Each specialist is settled once, so this ends after as many steps as there are ways.
        while let Some(last) = path.last() {
            let ways = next.get(last).into_iter().flatten();
            let Some(to) = ways.copied().find(|to| !settled.contains(to)) else {
                settled.insert(*last);
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|name| *name == to) {
                let circle = path[at..].iter().copied().chain([to]);
                return circle.cloned().collect();
            }
            path.push(to);
        }
    }
    Vec::new()
}

fn by_itself(rule: &Rule) -> bool {
    match rule.on {
        Trigger::CallerSilent { .. } | Trigger::HolderSilent { .. } | Trigger::HolderFor { .. } => {
            true
        }
        Trigger::Digit(_)
        | Trigger::HandoffsFailed { .. }
        | Trigger::HolderFailed
        | Trigger::State => false,
    }
}
