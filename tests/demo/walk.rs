//! Where a call of somebody else's configuration goes next, so that each of its routes is gone once.
//!
//! Pure: what a condition says is asked of the condition. Where one asks for the shared state, a state is looked for that
//! it holds of, among the names and values that stand in its own text; what depends on the clock or the caller stays as it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use call::{
    CallConfig, CallerFacts, Condition, Facts, LocalTime, Names, SpecialistKind, SpecialistName,
};
use serde_json::{Map, Value as Json, json};

/// Fields of the state that a condition may ask for, for one to be looked for.
const FIELDS_MAX: usize = 4;
/// Values that are tried for each of them.
const VALUES_MAX: usize = 16;
/// States that are tried for one condition.
const STATES_MAX: usize = 4_096;
/// Why the demo asks, which conditions see as `reason`.
pub(crate) const REASON: &str = "the demo goes this way";

/// One way of a route: its place in the file, and to whom it leads.
pub(crate) type Way = (usize, SpecialistName);

/// What the demo does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) to: SpecialistName,
    /// The route that decides; none where the baton is handed back without one.
    pub(crate) route: Option<usize>,
    /// What the holder has to write into the state first, if anything.
    pub(crate) patch: Option<Json>,
}

/// What is known of a call when the next step is chosen.
pub(crate) struct Moment<'a> {
    pub(crate) holder: &'a SpecialistName,
    pub(crate) previous: Option<&'a SpecialistName>,
    pub(crate) state: &'a Json,
    pub(crate) caller: &'a CallerFacts,
    pub(crate) time: LocalTime,
    pub(crate) handoffs: u32,
    pub(crate) duration_secs: u64,
}

/// The ways of a configuration, and which of them have been gone.
pub(crate) struct Walk<'a> {
    config: &'a CallConfig,
    playable: BTreeSet<&'a SpecialistName>,
    pub(crate) left: BTreeSet<Way>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(config: &'a CallConfig) -> Self {
        let playable: BTreeSet<&SpecialistName> = config
            .specialists
            .iter()
            .filter(|(_, specialist)| match specialist.kind {
                SpecialistKind::Baton | SpecialistKind::Human { .. } => true,
                SpecialistKind::LivekitAgent | SpecialistKind::Sip { .. } => false,
            })
            .map(|(name, _)| name)
            .collect();
        let mut left = BTreeSet::new();
        for (number, route) in config.routes.iter().enumerate() {
            let targets = playable.iter().filter(|to| route.to.contains(to));
            let reached = targets.filter(|to| {
                let mut holders = playable.iter().filter(|from| !is_person(config, from));
                holders.any(|from| from != *to && route.from.contains(from))
            });
            left.extend(reached.map(|to| (number, (*to).clone())));
        }
        Self {
            config,
            playable,
            left,
        }
    }

    /// The specialists that the demo can play.
    pub(crate) fn playable(&self) -> impl Iterator<Item = &'a SpecialistName> {
        self.playable.iter().copied()
    }

    /// Who takes a call of which this is known; none where the share of a rule decides.
    pub(crate) fn entry(
        &self,
        caller: &CallerFacts,
        time: LocalTime,
    ) -> Option<&'a SpecialistName> {
        let empty = json!({});
        for rule in &self.config.entry_rules {
            let facts = Facts {
                duration_secs: 0,
                handoffs: 0,
                caller,
                state: &empty,
                from: "",
                to: rule.to.as_str(),
                reason: "entry",
                attempt: 1,
                time,
            };
            let fits = rule.when.as_ref().map(|when| when.evaluate(&facts));
            match (fits, rule.share_percent) {
                (Some(Ok(false) | Err(_)), _) | (_, 0) => {}
                (Some(Ok(true)) | None, 100) => return Some(&rule.to),
                (Some(Ok(true)) | None, _) => return None,
            }
        }
        Some(&self.config.entry)
    }

    /// A way that has been gone, or has to be given up, is not looked for again.
    pub(crate) fn done(&mut self, way: &Way) {
        self.left.remove(way);
    }

    /// The next step: along a way that is left, or nearer to one; none if there is none from here.
    pub(crate) fn next(&self, moment: &Moment<'_>) -> Option<Step> {
        let mut queue = VecDeque::from([(moment.holder.clone(), None::<Step>)]);
        let mut seen = BTreeSet::from([moment.holder.clone()]);
        // Each specialist is looked at once.
        while let Some((at, first)) = queue.pop_front() {
            let here = Moment {
                holder: &at,
                ..*moment
            };
            for way in &self.left {
                if let Some(step) = self.along(&here, way) {
                    return Some(first.unwrap_or(step));
                }
            }
            for to in self.playable().filter(|to| **to != at) {
                if seen.contains(to) {
                    continue;
                }
                let Some(step) = self.anyhow(&here, to, first.is_none()) else {
                    continue;
                };
                seen.insert(to.clone());
                queue.push_back((to.clone(), Some(first.clone().unwrap_or(step))));
            }
        }
        None
    }

    /// Which route decides over a handoff in a state.
    pub(crate) fn deciding(
        &self,
        moment: &Moment<'_>,
        to: &SpecialistName,
        state: &Json,
    ) -> Option<usize> {
        let facts = Facts {
            duration_secs: moment.duration_secs,
            handoffs: moment.handoffs,
            caller: moment.caller,
            state,
            from: moment.holder.as_str(),
            to: to.as_str(),
            reason: REASON,
            attempt: 1,
            time: moment.time,
        };
        for (number, route) in self.config.routes.iter().enumerate() {
            if !(route.from.contains(moment.holder) && route.to.contains(to)) {
                continue;
            }
            match route.when.as_ref().map(|when| when.evaluate(&facts)) {
                None | Some(Ok(true)) => return Some(number),
                Some(Ok(false)) => {}
                Some(Err(_)) => return None,
            }
        }
        None
    }

    /// The condition of a way, if it has one.
    pub(crate) fn condition(&self, way: &Way) -> Option<&'a Condition> {
        self.config.routes.get(way.0)?.when.as_ref()
    }

    /// A step that goes this way.
    fn along(&self, moment: &Moment<'_>, way: &Way) -> Option<Step> {
        let (number, to) = way;
        let route = self.config.routes.get(*number)?;
        if to == moment.holder
            || !route.from.contains(moment.holder)
            || is_person(self.config, moment.holder)
        {
            return None;
        }
        self.step(moment, to, |deciding| deciding == *number)
    }

    /// A step to this specialist by any route, or back to it.
    fn anyhow(&self, moment: &Moment<'_>, to: &SpecialistName, is_first: bool) -> Option<Step> {
        let from_person = is_person(self.config, moment.holder);
        let back = || {
            let may = self.config.hand_back || from_person;
            let goes_back = is_first && may && moment.previous == Some(to);
            goes_back.then(|| Step {
                to: to.clone(),
                route: None,
                patch: None,
            })
        };
        if from_person {
            return back();
        }
        self.step(moment, to, |_| true).or_else(back)
    }

    fn step(
        &self,
        moment: &Moment<'_>,
        to: &SpecialistName,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<Step> {
        let decides = |state: &Json| self.deciding(moment, to, state).filter(|at| wanted(*at));
        if let Some(route) = decides(moment.state) {
            return Some(Step {
                to: to.clone(),
                route: Some(route),
                patch: None,
            });
        }
        let fitting = self.config.routes.iter();
        let conditions = fitting
            .filter(|route| route.from.contains(moment.holder) && route.to.contains(to))
            .filter_map(|route| route.when.as_ref());
        let (patch, route) = states(conditions).find_map(|patch| {
            let route = decides(&merged(moment.state, &patch))?;
            Some((patch, route))
        })?;
        Some(Step {
            to: to.clone(),
            route: Some(route),
            patch: Some(patch),
        })
    }
}

/// Whether this is a person, who asks for nothing but to give the call back.
pub(crate) fn is_person(config: &CallConfig, name: &SpecialistName) -> bool {
    let specialist = config.specialists.get(name);
    specialist.is_some_and(|one| matches!(one.kind, SpecialistKind::Human { .. }))
}

/// Specialists as a list for a reader.
pub(crate) fn names(names: &Names) -> String {
    match names {
        Names::Any => "*".to_owned(),
        Names::Only(names) => {
            let names: Vec<&str> = names.iter().map(SpecialistName::as_str).collect();
            names.join(", ")
        }
    }
}

/// A document with a JSON merge patch in it.
pub(crate) fn merged(state: &Json, patch: &Json) -> Json {
    let Json::Object(patch) = patch else {
        return patch.clone();
    };
    let mut into = match state {
        Json::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            into.remove(name);
        } else {
            let old = into.get(name).cloned().unwrap_or(Json::Null);
            into.insert(name.clone(), merged(&old, value));
        }
    }
    Json::Object(into)
}

/// Patches of the state of which one may open these conditions, the smallest first.
fn states<'c>(conditions: impl Iterator<Item = &'c Condition>) -> impl Iterator<Item = Json> {
    let mut fields: BTreeMap<Vec<String>, Vec<Json>> = BTreeMap::new();
    for condition in conditions {
        let values = values(condition.source());
        for path in paths(condition.source()) {
            if fields.len() < FIELDS_MAX || fields.contains_key(&path) {
                let of_field = fields.entry(path).or_default();
                let new = values.iter().filter(|value| !of_field.contains(value));
                let new: Vec<Json> = new.take(VALUES_MAX - of_field.len()).cloned().collect();
                of_field.extend(new);
            }
        }
    }
    let fields: Vec<(Vec<String>, Vec<Json>)> = fields.into_iter().collect();
    // A number whose digits say which value each field has; 0 leaves it as it is.
    let count: usize = fields
        .iter()
        .map(|(_, values)| values.len() + 1)
        .product::<usize>()
        .min(STATES_MAX);
    (1..count).map(move |number| {
        let mut rest = number;
        let mut patch = json!({});
        for (path, values) in &fields {
            let digit = rest % (values.len() + 1);
            rest /= values.len() + 1;
            if let Some(value) = digit.checked_sub(1).and_then(|place| values.get(place)) {
                let nested = path
                    .iter()
                    .rev()
                    .fold(value.clone(), |inner, name| json!({ name: inner }));
                patch = merged(&patch, &nested);
            }
        }
        patch
    })
}

/// The fields of the state that an expression names: `state.card.number` as `card`, `number`.
fn paths(source: &str) -> BTreeSet<Vec<String>> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices("state.") {
        if source[..at].ends_with(|letter: char| is_name(letter) || letter == '.') {
            continue;
        }
        let rest = &source[at + "state.".len()..];
        let end = rest
            .find(|letter: char| !is_name(letter) && letter != '.')
            .unwrap_or(rest.len());
        let mut path: Vec<String> = rest[..end].split('.').map(str::to_owned).collect();
        // What is called is no field.
        if rest[end..].trim_start().starts_with('(') {
            path.pop();
        }
        path.retain(|name| !name.is_empty());
        if !path.is_empty() {
            found.insert(path);
        }
    }
    found
}

/// Values that an expression may be asking for: those in it and their neighbours, and one of each kind.
fn values(source: &str) -> Vec<Json> {
    let mut found = vec![json!(true), json!("demo"), json!(false), json!(1)];
    for text in quoted(source) {
        found.push(json!(text));
        found.push(json!([text]));
    }
    let mut digits = source.split(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let numbers = digits.by_ref().filter_map(|text| text.parse::<i64>().ok());
    for number in numbers {
        let near = [number, number.saturating_add(1), number.saturating_sub(1)];
        found.extend(near.map(|number| json!(number)));
    }
    found.truncate(VALUES_MAX);
    found
}

fn quoted(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(open) = rest.find(['\'', '"']) {
        let quote = if rest[open..].starts_with('"') {
            '"'
        } else {
            '\''
        };
        let inner = &rest[open + 1..];
        let Some(close) = inner.find(quote) else {
            break;
        };
        found.push(&inner[..close]);
        rest = &inner[close + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> CallConfig {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples");
        let loaded = config::load(&folder.join(format!("{name}.yaml")));
        loaded
            .unwrap_or_else(|report| panic!("{name}: {report}"))
            .config
            .call
    }

    /// Goes the whole way on paper, and says which ways are left.
    fn gone(config: &CallConfig, time: LocalTime) -> (Vec<String>, BTreeSet<Way>) {
        let mut walk = Walk::new(config);
        let caller = CallerFacts::default();
        let (mut holder, mut previous, mut state) = (config.entry.clone(), None, json!({}));
        let mut steps = Vec::new();
        for handoffs in 0..100 {
            let moment = Moment {
                holder: &holder,
                previous: previous.as_ref(),
                state: &state,
                caller: &caller,
                time,
                handoffs,
                duration_secs: 0,
            };
            let Some(step) = walk.next(&moment) else {
                break;
            };
            steps.push(format!("{holder} {} {:?}", step.to, step.route));
            if let Some(route) = step.route {
                walk.done(&(route, step.to.clone()));
            }
            state = merged(&state, &step.patch.unwrap_or(json!({})));
            previous = Some(std::mem::replace(&mut holder, step.to));
        }
        (steps, walk.left)
    }

    fn monday_noon() -> LocalTime {
        LocalTime {
            hour: 12,
            ..LocalTime::default()
        }
    }

    #[test]
    fn every_way_of_the_examples_that_is_open_is_found() {
        let (steps, left) = gone(&example("bank"), monday_noon());
        assert_eq!(left, BTreeSet::new(), "{steps:?}");
        let (steps, left) = gone(&example("clinic"), monday_noon());
        let shut = BTreeSet::from([(1, SpecialistName::from("night-desk"))]);
        assert_eq!(left, shut, "it is not night: {steps:?}");
        let (steps, left) = gone(&example("it-support"), monday_noon());
        assert_eq!(left, BTreeSet::new(), "{steps:?}");
    }

    #[test]
    fn a_state_is_found_that_a_condition_holds_of() {
        for source in [
            "state.verified == true",
            "has(state.card.kind) && state.card.kind == 'gold' && state.age >= 18",
            "state.tags.exists(tag, tag == 'vip')",
            "size(state.ticket) > 0 && !(state.done)",
        ] {
            let condition = Condition::compile(source, None).expect("it compiles");
            let caller = CallerFacts::default();
            let found = states([&condition].into_iter()).any(|state| {
                let facts = Facts {
                    duration_secs: 0,
                    handoffs: 0,
                    caller: &caller,
                    state: &state,
                    from: "a",
                    to: "b",
                    reason: REASON,
                    attempt: 1,
                    time: LocalTime::default(),
                };
                condition.evaluate(&facts) == Ok(true)
            });
            assert!(found, "{source}");
        }
    }
}
