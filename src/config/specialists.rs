//! Who can hold the baton, and who may hand it to whom.

use std::{collections::BTreeMap, time::Duration};

use super::{
    problem::Problem,
    reader::{Choice, Refusal, Section},
};

/// One of `specialists`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specialist {
    /// The agent name under which its worker is registered at the server; the specialist's own name by default.
    pub agent_name: String,
    /// What it is for, in a line, shown to operators and to other specialists.
    pub description: Option<String>,
    /// Handed to it in the dispatch's metadata, beside Baton's own.
    pub metadata: Option<String>,
    /// Its own `timers.join_timeout_ms`.
    pub join_timeout: Option<Duration>,
    /// Its own `timers.ready_timeout_ms`.
    pub ready_timeout: Option<Duration>,
    /// What becomes of it when it has handed the baton on.
    pub after_handoff: AfterHandoff,
}

/// What becomes of a specialist that has handed the baton on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterHandoff {
    /// It leaves the room; coming back takes a new dispatch.
    Leave,
    /// It stays, silent and deaf, and is ready at once when the baton comes back.
    Park,
}

impl Choice for AfterHandoff {
    const WORDS: &'static [(&'static str, Self)] = &[("park", Self::Park), ("leave", Self::Leave)];
}

/// Who may hand over to whom, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// In the order of the file; the first that fits decides.
    list: Vec<Route>,
}

/// How a handoff goes, and which ones it goes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who hands over; empty for anyone.
    pub from: Vec<String>,
    /// Who takes over; empty for anyone.
    pub to: Vec<String>,
    /// When the change is made.
    pub splice: Splice,
    /// Its own `audio.fade_ms`.
    pub fade: Option<Duration>,
    /// What the new holder does first.
    pub opening: Opening,
}

/// The moment at which a prepared handoff is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splice {
    /// At once, in the middle of a word if need be.
    Now,
    /// When the holder has finished what it is saying, or `timers.splice_wait_ms` have passed.
    EndOfUtterance,
}

impl Choice for Splice {
    const WORDS: &'static [(&'static str, Self)] = &[("end_of_utterance", Self::EndOfUtterance), ("now", Self::Now)];
}

/// What the new holder does first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It goes on with the conversation as if it had led it all along.
    Continue,
    /// It introduces itself.
    Greet,
    /// It waits for the caller to speak.
    Wait,
    /// It says these words.
    Say(String),
}

const OPENING_FORM: &str = "one of: continue, greet, wait, say:<text>";

impl Routes {
    /// The route by which `from` may hand over to `to`, or none if it may not.
    pub fn find(&self, from: &str, to: &str) -> Option<&Route> {
        self.list.iter().find(|route| from != to && route.covers(from, to))
    }

    /// The routes in the order of the file; one that fits every handoff when the file has none.
    pub fn list(&self) -> &[Route] {
        &self.list
    }
}

impl Default for Route {
    fn default() -> Self {
        Self { from: Vec::new(), to: Vec::new(), splice: Splice::EndOfUtterance, fade: None, opening: Opening::Continue }
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self { list: vec![Route::default()] }
    }
}

impl Route {
    fn covers(&self, from: &str, to: &str) -> bool {
        let fits = |names: &[String], name: &str| names.is_empty() || names.iter().any(|known| known == name);
        fits(&self.from, from) && fits(&self.to, to)
    }
}

impl Opening {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(words) = text.strip_prefix("say:").map(str::trim) {
            if words.is_empty() {
                return Err(Refusal::new("`say:` without words").help("write it as \"say:Welcome back.\""));
            }
            return Ok(Self::Say(words.to_owned()));
        }
        match text {
            "continue" => Ok(Self::Continue),
            "greet" => Ok(Self::Greet),
            "wait" => Ok(Self::Wait),
            other => Err(Refusal::near_word(OPENING_FORM, other, &["continue", "greet", "wait", "say:"])),
        }
    }
}

/// Words that routes, now or later, use for something else.
const RESERVED: &[&str] = &["baton", "caller", "human", "operator", "previous"];
const NAME_LENGTH_MAX: usize = 63;

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let form = "lower-case letters, digits, `_` and `-`, starting with a letter";
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-');
    if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(allowed) {
        return Err(Refusal::new(format!("`{name}` cannot name a specialist")).help(format!("a name is {form}")));
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(Refusal::new(format!("the name has {} characters, at most {NAME_LENGTH_MAX} are allowed", name.len())));
    }
    if RESERVED.contains(&name) {
        return Err(Refusal::new(format!("`{name}` is a word of Baton's own"))
            .help(format!("choose another name; reserved are: {}", RESERVED.join(", "))));
    }
    Ok(())
}

pub(super) fn read_specialist(name: &str, section: &mut Section<'_, '_>) -> Specialist {
    Specialist {
        agent_name: section.text("agent_name", "a name").unwrap_or_else(|| name.to_owned()),
        description: section.text("description", "text"),
        metadata: section.text("metadata", "text, as JSON for example"),
        join_timeout: section.optional_millis("join_timeout_ms", 100..=600_000),
        ready_timeout: section.optional_millis("ready_timeout_ms", 100..=600_000),
        after_handoff: section.choice("after_handoff", AfterHandoff::Park),
    }
}

/// Reads `routes`, in which only `known` may be named.
pub(super) fn read_routes(section: &mut Section<'_, '_>, known: &[&str]) -> Routes {
    let mut earlier: Vec<Route> = Vec::new();
    let list = section.list("routes", |section| {
        let default = Route::default();
        section.require("from", "name a specialist, or write \"*\" for all");
        section.require("to", "name a specialist, or write \"*\" for all");
        let from = section.specialists("from", known);
        let to = section.specialists("to", known);
        let complete = from.is_some() && to.is_some();
        let route = Route {
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            splice: section.choice("splice", default.splice),
            fade: section.optional_millis("fade_ms", super::sound::FADE_MS),
            opening: section
                .parsed("opening", OPENING_FORM, Some("continue".to_owned()), Opening::parse)
                .unwrap_or(default.opening),
        };
        if complete {
            warn_if_pointless(section, &route, &earlier, known);
            earlier.push(route.clone());
        }
        route
    });
    list.map_or_else(Routes::default, |list| Routes { list })
}

/// Warns of a specialist to which no route leads.
pub(super) fn warn_of_unreachable(section: &mut Section<'_, '_>, specialists: &BTreeMap<String, Specialist>, routes: &Routes, entry: &str) {
    let mut reached = vec![entry];
    let mut next = 0;
    while let Some(from) = reached.get(next).copied() {
        let reachable = specialists.keys().filter(|to| routes.find(from, to).is_some());
        for to in reachable {
            if !reached.contains(&to.as_str()) {
                reached.push(to);
            }
        }
        next += 1;
    }
    for name in specialists.keys().filter(|name| !reached.contains(&name.as_str())) {
        section.warn_at(&["specialists", name], "no route leads to it from the entry".to_owned());
    }
}

fn warn_if_pointless(section: &mut Section<'_, '_>, route: &Route, earlier: &[Route], known: &[&str]) {
    let names = |names: &'_ [String]| -> Vec<String> {
        if names.is_empty() { known.iter().map(|name| (*name).to_owned()).collect() } else { names.to_vec() }
    };
    let (from, to) = (names(&route.from), names(&route.to));
    let mut pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to))).filter(|(from, to)| from != to).peekable();
    if pairs.peek().is_none() {
        section.report(|at, path| Problem::warning(at, path, "the route leads from a specialist to itself, so it is never used"));
    } else if pairs.all(|(from, to)| earlier.iter().any(|route| route.covers(from, to))) {
        section.report(|at, path| {
            Problem::warning(at, path, "routes further up cover all of it, so it is never used").help("the first route that fits decides")
        });
    }
}
