//! What the core is told of a call: who can hold the baton, who may hand it to whom, and how long everything may take.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use call::{
    After, AgentName, CallConfig, Canary, Condition, Fallback, Lifetime, Limits, Names, Opening,
    ROUTE_FALLBACKS_MAX, ROUTES_MAX, Rest, Route, SPECIALISTS_MAX, SpecialistConfig,
    SpecialistKind, SpecialistName, Splice, TIMER_MS_MAX, Target, Timers,
};

use ::context::Scopes;

use super::{
    audio::{self, FADE_MS, Loudness},
    context::{self, RouteContext},
    human::{self, Human},
    odd,
    option::Refusal,
    problem::Problem,
    reader::Section,
    rule::Conditions,
};

/// What Baton keeps of a specialist beside [`SpecialistConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialistNotes {
    /// What it may see and write of the shared state.
    pub scopes: Scopes,
    /// Handed to it in its dispatch's metadata, beside Baton's own.
    pub metadata: Option<String>,
    /// How loud its voice is, in LUFS.
    pub voice_lufs: Option<i32>,
    /// How it is rung, if it is a person.
    pub human: Option<Human>,
    /// Which address the caller's phone is to call, if that is what it is.
    pub transfer_to: Option<String>,
}

/// What the parts of the file come to that make up a [`CallConfig`], and what stands beside it there.
pub(super) struct CallPlan {
    pub(super) call: CallConfig,
    /// Of each route.
    pub(super) contexts: Vec<RouteContext>,
    /// Of each route.
    pub(super) loudness: Vec<Loudness>,
    /// Of each route.
    pub(super) announcements: Vec<Option<PathBuf>>,
    pub(super) opening: Option<PathBuf>,
    pub(super) notes: BTreeMap<SpecialistName, SpecialistNotes>,
}

/// What routes have that say nothing of their own.
#[derive(Clone, Copy)]
pub(super) struct RouteDefaults {
    pub(super) fade_ms: u32,
    pub(super) loudness: Loudness,
}

/// A voice between a whisper and full scale.
const VOICE_LUFS: RangeInclusive<i32> = -60..=-5;
/// Words that stand for something else than a specialist, now or later.
pub(super) const RESERVED: &[&str] = &[
    "another_instance",
    "baton",
    "caller",
    "entry",
    "human",
    "operator",
    "previous",
];
pub(super) const NAME_LENGTH_MAX: usize = 63;
const DESCRIPTION_CHARS_MAX: usize = 200;
pub(super) const OPENING_FORM: &str = "one of: continue, greet, wait, say:<text>";
pub(super) const SOUND_FORM: &str = "the path of a WAV or Ogg Opus file";
const FALLBACK_WORDS: &[&str] = &["another_instance", "previous", "entry"];

/// Reads them.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    defaults: RouteDefaults,
    conditions: &Conditions,
) -> CallPlan {
    let read = section.named(
        "specialists",
        SPECIALISTS_MAX,
        check_name,
        |name, section| read_specialist(name, section, conditions),
    );
    let known: Vec<&str> = read.keys().map(String::as_str).collect();
    section.require_some(
        "specialists",
        "define at least one, as `specialists: {triage: {agent_name: triage-agent}}`",
    );
    section.require(
        "entry",
        "name the specialist who takes the call, as `entry: triage`",
    );
    let entry = section.specialist("entry", &known);
    let entry_known = entry.is_some() && !known.is_empty();
    // A nameless entry stands for one that was refused: the problems then keep it from being used.
    let entry = SpecialistName::from(entry.unwrap_or_default());

    let names: Vec<String> = read.keys().cloned().collect();
    let mut specialists = BTreeMap::new();
    let mut notes = BTreeMap::new();
    for (name, (specialist, note)) in read.iter() {
        specialists.insert(SpecialistName::from(name.as_str()), specialist.clone());
        notes.insert(SpecialistName::from(name.as_str()), note.clone());
    }
    let default = CallConfig::new(entry.clone(), []);
    let entry_rules = super::entry::read_rules(section, &known, conditions);
    let (answer, opening) = section.part("answer", super::entry::read_answer);
    let is_address = |name: &&String| {
        let (specialist, _) = &read[*name];
        matches!(specialist.kind, SpecialistKind::Sip { .. })
    };
    let addresses: Vec<&str> = read.keys().filter(is_address).map(String::as_str).collect();
    let routes_read = read_routes(section, &known, &addresses, defaults, conditions);
    let routes_read = routes_read.unwrap_or_else(|| {
        let route = Route {
            fade_ms: defaults.fade_ms,
            ..Route::default()
        };
        vec![(route, RouteContext::default(), defaults.loudness, None)]
    });
    let (routes, contexts, loudness, announcements): (_, Vec<_>, _, _) =
        routes_read.into_iter().collect();
    let call = CallConfig {
        entry,
        entry_rules,
        entry_state_ms: default.entry_state_ms,
        answer,
        opening_clip: opening.is_some(),
        specialists,
        routes,
        rules: super::rule::read(section, &known, conditions),
        hand_back: section.boolean("hand_back", default.hand_back),
        fallbacks: read_fallbacks(
            section,
            "fallbacks",
            &known,
            default.fallbacks,
            FALLBACK_WORDS.len() + SPECIALISTS_MAX,
        ),
        escalation: section
            .specialist("escalation", &known)
            .map(SpecialistName::from),
        timers: section.part("timers", read_timers),
        limits: section.part("limits", read_limits),
    };
    if entry_known {
        warn_of_unreachable(section, &call, &names);
    }
    warn_of_circle(section, &call);
    warn_of_unspoken(section, &call, &contexts, &notes);
    CallPlan {
        call,
        contexts,
        loudness,
        announcements,
        opening,
        notes,
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let allowed = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-')
    };
    if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(allowed) {
        let form = "a name is lower-case letters, digits, `_` and `-`, starting with a letter";
        return Err(Refusal::new(format!("`{name}` cannot name a specialist")).help(form));
    }
    if name.len() > NAME_LENGTH_MAX {
        let message = format!(
            "the name has {} characters, at most {NAME_LENGTH_MAX} are allowed",
            name.len()
        );
        return Err(Refusal::new(message));
    }
    if RESERVED.contains(&name) {
        let help = format!("choose another name; reserved are: {}", RESERVED.join(", "));
        return Err(Refusal::new(format!("`{name}` is a word of Baton's own")).help(help));
    }
    Ok(())
}

fn read_specialist(
    name: &str,
    section: &mut Section<'_, '_>,
    conditions: &Conditions,
) -> (SpecialistConfig, SpecialistNotes) {
    let agent_name = section
        .text("agent_name", "a name")
        .unwrap_or_else(|| name.to_owned());
    let default = SpecialistConfig::new(AgentName::from(agent_name.as_str()));
    let After::Park {
        park_ms: default_park_ms,
    } = default.after
    else {
        unreachable!("a specialist is parked by default");
    };
    let lifetimes = [
        ("on_demand", Lifetime::OnDemand),
        ("resident", Lifetime::Resident),
        ("prewarmed", Lifetime::Prewarmed),
    ];
    let park_ms = section.integer("park_ms", 1..=TIMER_MS_MAX, default_park_ms);
    let after = [
        ("park", After::Park { park_ms }),
        ("leave", After::Leave),
        ("stay", After::Stay),
    ];
    let kinds = [
        ("baton", human::Word::Baton),
        ("livekit_agent", human::Word::LivekitAgent),
        ("human", human::Word::Human),
        ("sip", human::Word::Sip),
    ];
    let lifetime = section.choice("lifetime", &lifetimes, "on_demand");
    let word = section.choice("kind", &kinds, "baton");
    let (kind, human) = human::read(section, word);
    let transfer_to = human::read_address(section, kind, lifetime);
    let specialist = SpecialistConfig {
        kind,
        agent_name: default.agent_name,
        canary: read_canary(section),
        lifetime,
        prewarm_when: read_prewarm_when(section, lifetime, conditions),
        after: section.choice("after_handoff", &after, "park"),
        handoffs_max: section.optional_integer("handoffs_max", 1..=1_000_000),
        calls_max: section.optional_integer("calls_max", 1..=100_000),
        description: read_description(section),
    };
    let specialist = match human {
        Some(_) => human::as_a_person(section, specialist),
        None => specialist,
    };
    let notes = SpecialistNotes {
        scopes: context::read_scopes(section),
        metadata: section.text("metadata", "text, such as JSON in quotes"),
        voice_lufs: section.optional_level("voice_lufs", VOICE_LUFS),
        human,
        transfer_to,
    };
    (specialist, notes)
}

/// What makes a handoff to it likely.
fn read_prewarm_when(
    section: &mut Section<'_, '_>,
    lifetime: Lifetime,
    conditions: &Conditions,
) -> Option<Condition> {
    let when = super::rule::read_condition(section, "prewarm_when", conditions);
    if when.is_some() && lifetime != Lifetime::Prewarmed {
        section.report(|at, path| {
            Problem::error(at, path, "`prewarm_when` goes with `lifetime: prewarmed`")
        });
    }
    when
}

/// A newer deployment of the specialist, with its share of the calls.
fn read_canary(section: &mut Section<'_, '_>) -> Option<Canary> {
    let agent_name = section.text("canary_agent_name", "a name");
    let share_percent = section.integer("canary_percent", 0..=100, 0);
    if share_percent > 0 {
        section.require(
            "canary_agent_name",
            "name the workers that take this share of the calls",
        );
    }
    Some(Canary {
        agent_name: AgentName::from(agent_name?.as_str()),
        share_percent,
    })
}

/// A line of text, short enough for a specialist's model to read them all.
fn read_description(section: &mut Section<'_, '_>) -> Option<String> {
    section.parsed("description", "text", None, |text| {
        let count = text.chars().count();
        if count > DESCRIPTION_CHARS_MAX {
            let message = format!(
                "the text has {count} characters, at most {DESCRIPTION_CHARS_MAX} are allowed"
            );
            return Err(Refusal::new(message).help("say in a line what it is for"));
        }
        Ok(text.trim().to_owned())
    })
}

/// A route, and what stands beside it: the last is the sound of its announcement.
type RouteRead = (Route, RouteContext, Loudness, Option<PathBuf>);

fn read_routes(
    section: &mut Section<'_, '_>,
    known: &[&str],
    addresses: &[&str],
    defaults: RouteDefaults,
    conditions: &Conditions,
) -> Option<Vec<RouteRead>> {
    let mut taken = Taken::new(known.len());
    section.list("routes", ROUTES_MAX, |section| {
        for key in ["from", "to"] {
            section.require(key, "name a specialist, or write \"*\" for all");
        }
        let problems = section.problems();
        let from = section.specialists("from", known);
        warn_if_left(section, from.as_deref(), addresses);
        let to = section.specialists("to", known);
        let when = super::rule::read_when(section, conditions);
        // A route with a condition may be passed over, so what follows it is not in vain.
        if section.problems() == problems && when.is_none() {
            warn_if_pointless(section, from.as_deref(), to.as_deref(), known, &mut taken);
        }
        let splice = read_splice(section);
        let route_fade_ms = section.integer("fade_ms", FADE_MS, defaults.fade_ms);
        warn_of_long_fade(section, splice, route_fade_ms);
        let loudness = audio::read_loudness(section, defaults.loudness);
        let context = context::read_route(section);
        let summary = context.summary.as_ref();
        let announcement = section.text("announcement", SOUND_FORM).map(PathBuf::from);
        let route = Route {
            from: names(from),
            to: names(to),
            when,
            splice,
            fade_ms: route_fade_ms,
            opening: section
                .parsed("opening", OPENING_FORM, Some("continue"), parse_opening)
                .unwrap_or(Opening::Continue),
            tools_wait_ms: section.integer(
                "tools_wait_ms",
                0..=TIMER_MS_MAX,
                Route::default().tools_wait_ms,
            ),
            summary_wait_ms: summary.map_or(0, |summary| summary.timeout_ms),
            announces: announcement.is_some(),
            fallback: read_fallbacks(section, "fallback", known, Vec::new(), ROUTE_FALLBACKS_MAX),
            description: read_description(section),
        };
        (route, context, loudness, announcement)
    })
}

/// Warns of a route from where no call comes back.
fn warn_if_left(section: &mut Section<'_, '_>, from: Option<&[String]>, addresses: &[&str]) {
    let left = |from: &String| addresses.contains(&from.as_str());
    if from.is_some_and(|from| !from.is_empty() && from.iter().all(left)) {
        let message = "the route starts from a SIP address, to which calls leave";
        section.warn("from", message, "the route is never taken: remove it");
    }
}

fn warn_of_long_fade(section: &mut Section<'_, '_>, splice: Splice, fade_ms: u32) {
    if let Splice::EndOfUtterance {
        max_wait_ms,
        rest: _,
    } = splice
        && u64::from(fade_ms) > max_wait_ms
    {
        section.report(|at, path| {
            let message = format!(
                "the fade of {fade_ms} ms is longer than the wait for the end of an utterance, {max_wait_ms} ms"
            );
            Problem::warning(at, path, message)
                .help("both are then heard for longer than the change was put off")
        });
    }
}

fn read_splice(section: &mut Section<'_, '_>) -> Splice {
    let wait_ms = Splice::default().max_wait_ms();
    let max_wait_ms = section.integer("splice_wait_ms", 1..=60_000, wait_ms);
    let rest = section.choice(
        "splice_rest",
        &[("finish", Rest::Finish), ("cut", Rest::Cut)],
        "finish",
    );
    let words = [
        (
            "end_of_utterance",
            Splice::EndOfUtterance { max_wait_ms, rest },
        ),
        ("caller_silent", Splice::CallerSilent { max_wait_ms, rest }),
        ("now", Splice::Now),
    ];
    section.choice("splice", &words, "end_of_utterance")
}

fn names(list: Option<Vec<String>>) -> Names {
    match list {
        None => Names::Any,
        Some(names) => Names::Only(names.into_iter().map(SpecialistName::from).collect()),
    }
}

fn parse_opening(text: &str) -> Result<Opening, Refusal> {
    if let Some(words) = text.strip_prefix("say:").map(str::trim) {
        if words.is_empty() {
            return Err(
                Refusal::new("`say:` without words").help("write it as \"say:Welcome back.\"")
            );
        }
        return Ok(Opening::Say(words.to_owned()));
    }
    match text {
        "continue" => Ok(Opening::Continue),
        "greet" => Ok(Opening::Greet),
        "wait" => Ok(Opening::Wait),
        other => Err(
            Refusal::new(format!("expected {OPENING_FORM}, found the text `{other}`"))
                .did_you_mean(other, &["continue", "greet", "wait", "say:"]),
        ),
    }
}

fn read_fallbacks(
    section: &mut Section<'_, '_>,
    key: &'static str,
    known: &[&str],
    default: Vec<Fallback>,
    max: usize,
) -> Vec<Fallback> {
    let words: Vec<&str> = default.iter().map(fallback_word).collect();
    let Some(chain) = section.chain(key, FALLBACK_WORDS, &words, known) else {
        return default;
    };
    if chain.len() > max {
        let message = format!("{} entries, at most {max} are allowed", chain.len());
        section.refuse(key, message);
    }
    let meant = |word: String| match word.as_str() {
        "another_instance" => Fallback::AnotherInstance,
        "previous" => Fallback::Previous,
        "entry" => Fallback::Entry,
        _ => Fallback::Specialist(SpecialistName::from(word)),
    };
    chain.into_iter().map(meant).collect()
}

fn fallback_word(fallback: &Fallback) -> &str {
    match fallback {
        Fallback::AnotherInstance => "another_instance",
        Fallback::Previous => "previous",
        Fallback::Entry => "entry",
        Fallback::Specialist(name) => name.as_str(),
    }
}

fn read_timers(section: &mut Section<'_, '_>) -> Timers {
    let default = Timers::default();
    let mut millis = |key, default| section.integer(key, 1..=TIMER_MS_MAX, default);
    Timers {
        caller_join_timeout_ms: millis("caller_join_timeout_ms", default.caller_join_timeout_ms),
        caller_listen_timeout_ms: millis(
            "caller_listen_timeout_ms",
            default.caller_listen_timeout_ms,
        ),
        caller_return_ms: millis("caller_return_ms", default.caller_return_ms),
        join_timeout_ms: millis("join_timeout_ms", default.join_timeout_ms),
        hello_timeout_ms: millis("hello_timeout_ms", default.hello_timeout_ms),
        ready_timeout_ms: millis("ready_timeout_ms", default.ready_timeout_ms),
        tail_timeout_ms: millis("tail_timeout_ms", default.tail_timeout_ms),
        switch_timeout_ms: millis("switch_timeout_ms", default.switch_timeout_ms),
        fade_slack_ms: millis("fade_slack_ms", default.fade_slack_ms),
        revoke_timeout_ms: millis("revoke_timeout_ms", default.revoke_timeout_ms),
        leave_timeout_ms: millis("leave_timeout_ms", default.leave_timeout_ms),
        specialist_return_ms: millis("specialist_return_ms", default.specialist_return_ms),
        holder_quiet_ms: millis("holder_quiet_ms", default.holder_quiet_ms),
        holder_answer_ms: millis("holder_answer_ms", default.holder_answer_ms),
        hold_ms: millis("hold_ms", default.hold_ms),
        held_max_ms: millis("held_max_ms", default.held_max_ms),
        delegation_timeout_ms: millis("delegation_timeout_ms", default.delegation_timeout_ms),
    }
}

fn read_limits(section: &mut Section<'_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        handoffs_max: section.integer("handoffs_max", 0..=1_000_000, default.handoffs_max),
        instances_max: section.integer("instances_max", 2..=1_024, default.instances_max),
        losses_max: section.integer("losses_max", 0..=1_000, default.losses_max),
        hold_rounds_max: section.integer("hold_rounds_max", 0..=1_000, default.hold_rounds_max),
        cool_down_ms: section.integer("cool_down_ms", 0..=TIMER_MS_MAX, default.cool_down_ms),
    }
}

/// Warns of rules that take the caller round and round.
fn warn_of_circle(section: &mut Section<'_, '_>, config: &CallConfig) {
    let circle = odd::circle_of_rules(config);
    let Limits {
        handoffs_max,
        cool_down_ms,
        ..
    } = config.limits;
    if circle.is_empty() || cool_down_ms > 0 {
        return;
    }
    let names: Vec<&str> = circle.iter().map(SpecialistName::as_str).collect();
    let message = format!(
        "they lead in a circle, from {}; only `limits.handoffs_max` ({handoffs_max}) ends it",
        names.join(" to ")
    );
    let help =
        "`limits.cool_down_ms` says how long each must have had the baton before it goes back";
    section.warn("rules", &message, help);
}

/// Warns of people to whom a summary is to be read out that no route makes.
fn warn_of_unspoken(
    section: &mut Section<'_, '_>,
    config: &CallConfig,
    contexts: &[RouteContext],
    notes: &BTreeMap<SpecialistName, SpecialistNotes>,
) {
    for (name, note) in notes {
        let is_spoken_to = note.human.as_ref().is_some_and(|it| it.speech.is_some());
        let mut routes = config.routes.iter().zip(contexts);
        let is_summed_up =
            routes.any(|(route, context)| route.to.contains(name) && context.summary.is_some());
        if is_spoken_to && !is_summed_up {
            section.warn_at(
                "specialists",
                name.as_str(),
                "no route here has `context: summary`, so `briefing_speech` has nothing to read out",
            );
        }
    }
}

/// Warns of specialists to which no route leads from the entry, and no fallback or rule by name.
fn warn_of_unreachable(section: &mut Section<'_, '_>, config: &CallConfig, names: &[String]) {
    let of_routes = config.routes.iter().flat_map(|route| &route.fallback);
    let named = config
        .fallbacks
        .iter()
        .chain(of_routes)
        .filter_map(|fallback| match fallback {
            Fallback::Specialist(name) => Some(name),
            Fallback::AnotherInstance | Fallback::Previous | Fallback::Entry => None,
        });
    let escalation = config.escalation.as_ref();
    let ruled = config.rules.iter().filter_map(|rule| match &rule.to {
        Target::Specialist(name) => Some(name),
        Target::Previous => None,
    });
    let mut unreached: BTreeSet<&SpecialistName> = config.specialists.keys().collect();
    let entries = config.entry_rules.iter().map(|rule| &rule.to);
    let mut frontier: Vec<&SpecialistName> = named
        .chain(ruled)
        .chain(escalation)
        .chain(entries)
        .chain([&config.entry])
        .collect();
    let mut from_any = Vec::new();
    let mut from_one: BTreeMap<&SpecialistName, Vec<&Route>> = BTreeMap::new();
    for route in &config.routes {
        match &route.from {
            Names::Any => from_any.push(route),
            Names::Only(names) => names
                .iter()
                .for_each(|name| from_one.entry(name).or_default().push(route)),
        }
    }
    while let Some(from) = frontier.pop() {
        unreached.remove(from);
        let routes = from_one.get(from).into_iter().flatten();
        for route in routes.chain(&from_any) {
            let next: Vec<&SpecialistName> = match &route.to {
                Names::Any => unreached.iter().copied().collect(),
                Names::Only(names) => names
                    .iter()
                    .filter(|name| unreached.contains(name))
                    .collect(),
            };
            for name in next {
                unreached.remove(name);
                frontier.push(name);
            }
        }
    }
    for name in names
        .iter()
        .filter(|name| unreached.contains(&SpecialistName::from(name.as_str())))
    {
        section.warn_at(
            "specialists",
            name,
            "no route leads here from the entry specialist, so it is never used",
        );
    }
}

/// Which pairs of specialists routes further up have taken already; a pair is two places in the list of names.
struct Taken {
    names: usize,
    pairs: Vec<bool>,
}

impl Taken {
    fn new(names: usize) -> Self {
        Self {
            names,
            pairs: vec![false; names * names],
        }
    }

    fn insert(&mut self, from: usize, to: usize) -> bool {
        !std::mem::replace(&mut self.pairs[from * self.names + to], true)
    }
}

fn warn_if_pointless(
    section: &mut Section<'_, '_>,
    from: Option<&[String]>,
    to: Option<&[String]>,
    known: &[&str],
    taken: &mut Taken,
) {
    let (from, to) = (places(from, known), places(to, known));
    let pairs = from
        .iter()
        .flat_map(|from| to.iter().map(move |to| (*from, *to)));
    let (mut any, mut new) = (false, false);
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        any = true;
        new |= taken.insert(from, to);
    }
    if !any {
        section.report(|at, path| {
            Problem::warning(
                at,
                path,
                "the route leads back to where it starts, so it is never used",
            )
        });
    } else if !new {
        section.report(|at, path| {
            Problem::warning(
                at,
                path,
                "routes further up cover all of it, so it is never used",
            )
            .help("the first route that fits decides")
        });
    }
}

/// The places of some names, or of all, in the list of names, which is in order.
fn places(names: Option<&[String]>, known: &[&str]) -> Vec<usize> {
    match names {
        None => (0..known.len()).collect(),
        Some(names) => names
            .iter()
            .filter_map(|name| known.binary_search(&name.as_str()).ok())
            .collect(),
    }
}
