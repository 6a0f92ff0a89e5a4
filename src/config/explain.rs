//! Which route decides over a handoff, or which entry rule over a call, and why.
//!
//! The answer is the core's: [`call::Plan`] is asked in the order in which a call asks it. What only a running call knows, such
//! as how many handoffs it has had, is left out.

use std::{fmt, str::FromStr};

use call::{
    CallConfig, CallerFacts, EvaluationError, Facts, LocalTime, Names, Route, SpecialistName,
};
use serde_json::{Map, Value as Json};

use super::{Loaded, option::listed, problem::near_match, words};

/// How many routes an explanation lists.
const ROUTES_SHOWN_MAX: usize = 10;
const KEYS: [&str; 6] = ["from", "to", "previous", "time", "reason", "attempt"];
/// Keys that are followed by a name of the asker's choice, as `state.verified`.
const OPEN_KEYS: [&str; 3] = ["state.", "caller.", "call."];
/// As `from`, it asks who takes the call.
const CALLER: &str = "caller";

/// A handoff to be explained: `from=triage to=billing state.verified=false`, or `from=billing to=previous previous=triage`; or
/// a call: `from=caller caller.number=+15550199 time=mon-08:30`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who holds the baton.
    from: String,
    /// Who is to have it; nobody is named where the question is who takes the call.
    to: String,
    /// It was asked for as `previous`.
    back: bool,
    /// What conditions see of the state.
    state: Json,
    /// What conditions see of the caller.
    caller: CallerFacts,
    time: LocalTime,
    reason: String,
    attempt: u32,
}

/// Why a text is no [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// It is not of the form `key=value`.
    #[error("expected pairs such as from=triage to=billing, found `{word}`")]
    NotAPair {
        /// What was found.
        word: String,
    },
    /// Nothing is known of this key.
    #[error("`{key}` is not known here{}; allowed are: {}", suggestion(.near.as_deref()), KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// The one that was probably meant.
        near: Option<&'static str>,
    },
    /// A key was given more than once.
    #[error("`{key}` is given twice")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A key is missing, or empty.
    #[error("`{key}=NAME` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Who held the baton before matters only for `to=previous`.
    #[error("`previous` goes with `to=previous` only")]
    PreviousUnused,
    /// Who takes a call is the answer, and not a part of the question.
    #[error("`to` does not go with `from=caller`, which asks who takes the call")]
    TargetUnused,
    /// A value is not of the form that its key has.
    #[error("`{key}` is {form}, found `{value}`")]
    NotOfTheForm {
        /// The key.
        key: String,
        /// What it has to be.
        form: &'static str,
        /// What was given.
        value: String,
    },
}

/// A name in a [`Question`] that no specialist has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no specialist is named `{name}`{}; defined are: {known}", suggestion(.near.as_deref()))]
pub struct UnknownSpecialist {
    /// The name.
    name: String,
    /// The one that was probably meant.
    near: Option<String>,
    /// The ones there are.
    known: String,
}

fn suggestion(near: Option<&str>) -> String {
    near.map(|near| format!(", did you mean `{near}`"))
        .unwrap_or_default()
}

impl FromStr for Question {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let mut given: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        let mut state = Map::new();
        let mut caller = CallerFacts::default();
        for word in text.split_whitespace() {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| QuestionError::NotAPair {
                    word: word.to_owned(),
                })?;
            if let Some(path) = key.strip_prefix(OPEN_KEYS[0]) {
                put(&mut state, path, scalar(value));
                continue;
            }
            if let Some(name) = key.strip_prefix(OPEN_KEYS[1]) {
                know(&mut caller, name, value);
                continue;
            }
            match key.strip_prefix(OPEN_KEYS[2]) {
                Some("room") => {
                    value.clone_into(&mut caller.room);
                    continue;
                }
                Some("metadata") => {
                    value.clone_into(&mut caller.metadata);
                    continue;
                }
                Some(_) | None => {}
            }
            let place = KEYS.iter().position(|known| *known == key).ok_or_else(|| {
                QuestionError::UnknownKey {
                    key: key.to_owned(),
                    near: near_match(key, KEYS),
                }
            })?;
            if given[place].replace(value).is_some() {
                return Err(QuestionError::Twice { key: KEYS[place] });
            }
        }
        let named = |place: usize| {
            given[place]
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .ok_or(QuestionError::Missing { key: KEYS[place] })
        };
        let from = named(0)?;
        let to = match (from.as_str(), given[1]) {
            (CALLER, None) => String::new(),
            (CALLER, Some(_)) => return Err(QuestionError::TargetUnused),
            _ => named(1)?,
        };
        let back = to == "previous";
        if given[2].is_some() && !back {
            return Err(QuestionError::PreviousUnused);
        }
        let to = if back { named(2)? } else { to };
        let of_form = |place: usize, form| {
            move |value: &str| QuestionError::NotOfTheForm {
                key: KEYS[place].to_owned(),
                form,
                value: value.to_owned(),
            }
        };
        let time = given[3].map_or(Ok(LocalTime::default()), |value| {
            time(value).ok_or_else(|| of_form(3, "a time, as mon-08:30")(value))
        })?;
        let attempt = given[5].map_or(Ok(1), |value| {
            value
                .parse()
                .map_err(|_| of_form(5, "a whole number")(value))
        })?;
        Ok(Self {
            from,
            to,
            back,
            state: Json::Object(state),
            caller,
            time,
            reason: given[4].unwrap_or_default().to_owned(),
            attempt,
        })
    }
}

/// Puts a value at a path of names with full stops between.
fn put(into: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => {
            into.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let inner = into.entry(name).or_insert_with(|| Json::Object(Map::new()));
            if !inner.is_object() {
                *inner = Json::Object(Map::new());
            }
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// A number, `true`, `false` or `null` as such, anything else as text.
fn scalar(text: &str) -> Json {
    match serde_json::from_str(text) {
        Ok(value @ (Json::Bool(_) | Json::Number(_) | Json::Null)) => value,
        Ok(Json::String(_) | Json::Array(_) | Json::Object(_)) | Err(_) => text.into(),
    }
}

fn know(caller: &mut CallerFacts, name: &str, value: &str) {
    let attribute = match name {
        "kind" => {
            caller.kind = value.to_owned();
            return;
        }
        "number" => "sip.phoneNumber",
        "called" => "sip.trunkPhoneNumber",
        "trunk" => "sip.trunkID",
        other => other,
    };
    caller
        .attributes
        .insert(attribute.to_owned(), value.to_owned());
}

/// `mon-08:30`.
fn time(text: &str) -> Option<LocalTime> {
    let (weekday, clock) = text.split_once('-')?;
    let weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let weekday = weekdays.iter().position(|known| *known == weekday)?;
    let (hour, minute) = clock.split_once(':')?;
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) {
        return None;
    }
    Some(LocalTime {
        weekday: u8::try_from(weekday).ok()?,
        hour,
        minute,
        ..LocalTime::default()
    })
}

/// What becomes of a handoff, and why; its `Display` is the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    allowed: bool,
    lines: Vec<String>,
}

impl Explanation {
    /// Whether the handoff may be made.
    pub fn allowed(&self) -> bool {
        self.allowed
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().enumerate() {
            let indent = if index == 0 { "" } else { "    " };
            writeln!(f, "{indent}{line}")?;
        }
        Ok(())
    }
}

/// Says which route decides over a handoff.
///
/// # Errors
/// A name that no specialist has.
pub fn explain(loaded: &Loaded, question: &Question) -> Result<Explanation, UnknownSpecialist> {
    let call = &loaded.config.call;
    if question.from == CALLER {
        return Ok(explain_entry(loaded, question));
    }
    let (from, to) = (defined(call, &question.from)?, defined(call, &question.to)?);
    let facts = Facts {
        duration_secs: 0,
        handoffs: 0,
        caller: &question.caller,
        state: &question.state,
        from: from.as_str(),
        to: to.as_str(),
        reason: &question.reason,
        attempt: question.attempt,
        time: question.time,
    };
    let (allowed, lines) = if from == to {
        let line = format!("refused: {from} cannot hand over to itself");
        (false, vec![line])
    } else {
        match deciding(call, from, to, &facts) {
            Deciding::Open(index) => (true, decided(loaded, from, to, index)),
            Deciding::NoAnswer(index, error) => (false, no_answer(loaded, index, &error)),
            Deciding::Closed(closed) => (false, shut(loaded, from, to, &closed)),
            Deciding::None if question.back && call.hand_back => (true, handed_back(from, to)),
            Deciding::None => (false, refused(loaded, from, to, question.back)),
        }
    };
    Ok(Explanation { allowed, lines })
}

/// Says who takes a call, and which entry rule decides.
fn explain_entry(loaded: &Loaded, question: &Question) -> Explanation {
    let call = &loaded.config.call;
    let mut before = Vec::new();
    let mut takers = Vec::new();
    let mut rest = true;
    for (index, rule) in call.entry_rules.iter().enumerate() {
        let place = loaded.entry_rules_at.get(index);
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        let facts = Facts {
            duration_secs: 0,
            handoffs: 0,
            caller: &question.caller,
            state: &question.state,
            from: "",
            to: rule.to.as_str(),
            reason: "entry",
            attempt: 1,
            time: question.time,
        };
        let answer = rule.when.as_ref().map(|when| (when, when.evaluate(&facts)));
        match answer {
            Some((when, Ok(false))) => before.push(format!(
                "{place}entry_rules[{index}] does not fit: `{}` does not hold",
                when.source()
            )),
            Some((when, Err(error))) => before.push(format!(
                "{place}entry_rules[{index}] is passed over: `{}` has no answer: {error}",
                when.source()
            )),
            Some((_, Ok(true))) | None => {
                let share = match rule.share_percent {
                    100 => String::new(),
                    share => format!(", {share} of a hundred such calls"),
                };
                let (to, number) = (&rule.to, format!("{place}entry_rules[{index}]"));
                takers.push(format!("{to} takes the call{share}: {number} fits"));
                if rule.share_percent == 100 {
                    rest = false;
                    break;
                }
            }
        }
    }
    if rest {
        let others = if takers.is_empty() {
            ""
        } else {
            ", the others"
        };
        let why = match call.entry_rules.is_empty() {
            true => "`entry` takes every call",
            false => "no other rule fits, so `entry` does",
        };
        takers.push(format!("{} takes the call{others}: {why}", call.entry));
    }
    takers.extend(before.into_iter().take(ROUTES_SHOWN_MAX));
    Explanation {
        allowed: true,
        lines: takers,
    }
}

fn defined<'a>(call: &'a CallConfig, name: &str) -> Result<&'a SpecialistName, UnknownSpecialist> {
    let names = call.specialists.keys();
    let mut matching = names.clone().filter(|known| known.as_str() == name);
    matching.next().ok_or_else(|| {
        let known: Vec<&str> = names.map(SpecialistName::as_str).collect();
        UnknownSpecialist {
            name: name.to_owned(),
            near: near_match(name, known.iter().copied()).map(str::to_owned),
            known: listed(&known),
        }
    })
}

/// What routes say of a handoff, in the core's order.
enum Deciding {
    Open(usize),
    NoAnswer(usize, EvaluationError),
    Closed(Vec<usize>),
    None,
}

fn deciding(
    call: &CallConfig,
    from: &SpecialistName,
    to: &SpecialistName,
    facts: &Facts<'_>,
) -> Deciding {
    let mut closed = Vec::new();
    let fitting = call.routes.iter().enumerate();
    for (index, route) in fitting.filter(|(_, route)| fits(route, from, to)) {
        match route.when.as_ref().map(|when| when.evaluate(facts)) {
            None | Some(Ok(true)) => return Deciding::Open(index),
            Some(Ok(false)) => closed.push(index),
            Some(Err(error)) => return Deciding::NoAnswer(index, error),
        }
    }
    match closed.is_empty() {
        true => Deciding::None,
        false => Deciding::Closed(closed),
    }
}

fn fits(route: &Route, from: &SpecialistName, to: &SpecialistName) -> bool {
    route.from.contains(from) && route.to.contains(to)
}

fn condition(route: &Route) -> &str {
    route.when.as_ref().map_or("", |when| when.source())
}

fn no_answer(loaded: &Loaded, index: usize, error: &EvaluationError) -> Vec<String> {
    let condition = condition(&loaded.config.call.routes[index]);
    let mut lines = vec![format!(
        "refused: routes[{index}] fits, and `{condition}` has no answer: {error}"
    )];
    lines.extend(loaded.routes_at.get(index).map(ToString::to_string));
    lines.push(
        "add what is missing to the question, as state.verified=true, or guard it with has(...)"
            .to_owned(),
    );
    lines
}

fn shut(
    loaded: &Loaded,
    from: &SpecialistName,
    to: &SpecialistName,
    closed: &[usize],
) -> Vec<String> {
    let mut lines = vec![format!("refused: the way from {from} to {to} is closed")];
    for index in closed.iter().take(ROUTES_SHOWN_MAX) {
        let condition = condition(&loaded.config.call.routes[*index]);
        let place = loaded.routes_at.get(*index);
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        lines.push(format!(
            "{place}routes[{index}] fits, but `{condition}` does not hold"
        ));
    }
    lines
}

fn decided(
    loaded: &Loaded,
    from: &SpecialistName,
    to: &SpecialistName,
    index: usize,
) -> Vec<String> {
    let routes = &loaded.config.call.routes;
    let route = &routes[index];
    let allowed = format!("{from} may hand over to {to}");
    let Some(place) = loaded.routes_at.get(index) else {
        let why = "without `routes`, anyone may hand over to anyone".to_owned();
        return vec![format!("allowed: {allowed}"), why, way(route)];
    };
    let mut lines = vec![
        format!("routes[{index}] decides: {allowed}"),
        format!("{place}: {}", ends(route)),
        way(route),
    ];
    if route.when.is_some() {
        lines.insert(2, format!("its condition holds: `{}`", condition(route)));
    }
    if index > 0 {
        let passed = (0..index).map(|index| {
            let route = &routes[index];
            format!("routes[{index}] {}", misfit(route, from, to))
        });
        lines.push(format!("before it: {}", shown(passed)));
    }
    let later = (index + 1..routes.len())
        .filter(|later| routes[*later].from.contains(from) && routes[*later].to.contains(to))
        .map(|later| format!("routes[{later}]"));
    let later: Vec<String> = later.collect();
    if !later.is_empty() {
        let later = shown(later.into_iter());
        lines.push(format!("also fitting, but the first one decides: {later}"));
    }
    lines
}

fn handed_back(from: &SpecialistName, to: &SpecialistName) -> Vec<String> {
    vec![
        format!("`hand_back` decides: {from} may hand back to {to}, who held the baton before"),
        format!("no route leads from {from} to {to}, and none is needed"),
        way(&Route::default()),
    ]
}

fn refused(loaded: &Loaded, from: &SpecialistName, to: &SpecialistName, back: bool) -> Vec<String> {
    let call = &loaded.config.call;
    let mut lines = vec![format!("refused: no route leads from {from} to {to}")];
    let leading = call
        .routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.from.contains(from))
        .map(|(index, route)| {
            let place = loaded.routes_at.get(index);
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            format!(
                "{place}routes[{index}] leads to {}",
                words::names(&route.to)
            )
        });
    let leading: Vec<String> = leading.collect();
    if leading.is_empty() {
        lines.push(format!("no route leads from {from} at all"));
    }
    let more = leading.len().saturating_sub(ROUTES_SHOWN_MAX);
    lines.extend(leading.into_iter().take(ROUTES_SHOWN_MAX));
    if more > 0 {
        lines.push(format!("and {more} more routes lead from {from}"));
    }
    lines.push(match (call.hand_back, back) {
        (true, _) => format!(
            "if {to} held the baton before, {from} may hand back to it: `to=previous previous={to}`"
        ),
        (false, true) => "`hand_back` is false, so handing back needs a route as well".to_owned(),
        (false, false) => format!("add `- {{from: {from}, to: {to}}}` to `routes` to allow it"),
    });
    lines
}

fn ends(route: &Route) -> String {
    format!(
        "from {} to {}",
        words::names(&route.from),
        words::names(&route.to)
    )
}

fn way(route: &Route) -> String {
    format!(
        "splice: {}; {}; opening: {}",
        words::splice(route.splice),
        words::fade(route),
        words::opening(&route.opening)
    )
}

/// Why a route further up does not decide.
fn misfit(route: &Route, from: &SpecialistName, to: &SpecialistName) -> String {
    let wrong = |names: &Names, name| !names.contains(name);
    match (wrong(&route.from, from), wrong(&route.to, to)) {
        (false, false) => format!("is closed: `{}` does not hold", condition(route)),
        (true, true) => format!("is {}", ends(route)),
        (true, false) => format!("is from {}", words::names(&route.from)),
        (false, true) => format!("is to {}", words::names(&route.to)),
    }
}

fn shown(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(ROUTES_SHOWN_MAX);
    let shown: Vec<String> = items.take(ROUTES_SHOWN_MAX).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
