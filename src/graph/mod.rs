//! A drawing of who may hand the baton to whom: as Mermaid, for Graphviz, or as a picture (SVG).
//!
//! It draws what the routes mean, not what they say: of several routes for the same two specialists only the first is drawn, as it
//! alone decides. Who takes a call by which entry rule is drawn as well. Whoever may hand back without a route has a dashed arrow. Nothing here reads a file or decides anything.

mod dot;
mod layout;
mod mermaid;
mod svg;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    str::FromStr,
};

use call::{
    After, CallConfig, EntryRule, Fallback, Lifetime, Names, Plan, Route, SpecialistConfig,
    SpecialistKind, SpecialistName,
};

use crate::config::words;

/// How many arrows are drawn; nobody would find one's way among more.
pub const ARROWS_MAX: usize = 5_000;

/// How much of a condition is shown, in characters.
const CONDITION_CHARS_MAX: usize = 48;

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for Mermaid, as Markdown pages show it.
    Mermaid,
    /// A picture that needs nothing else.
    Svg,
    /// Text for Graphviz.
    Dot,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mermaid" => Ok(Self::Mermaid),
            "svg" => Ok(Self::Svg),
            "dot" => Ok(Self::Dot),
            _ => Err("expected one of: mermaid, svg, dot".to_owned()),
        }
    }
}

/// A configuration that is too large to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the routes make more than {ARROWS_MAX} arrows, which nobody could read")]
pub struct TooLarge;

/// Draws the routes of a call.
///
/// # Errors
/// More than [`ARROWS_MAX`] arrows.
pub fn draw(plan: &Plan, format: Format) -> Result<String, TooLarge> {
    let graph = Graph::new(plan.config())?;
    Ok(match format {
        Format::Mermaid => mermaid::write(&graph),
        Format::Svg => svg::write(&graph),
        Format::Dot => dot::write(&graph),
    })
}

struct Graph {
    /// The specialists in the order of their names, then those that stand for all.
    nodes: Vec<Node>,
    /// Who takes a call: by the entry rules in their order, then of all other calls.
    entries: Vec<Entry>,
    arrows: Vec<Arrow>,
    /// What is tried when the holder is lost, and what comes of it in the end.
    fallbacks: Vec<String>,
}

struct Entry {
    to: usize,
    /// Of which calls; nothing if there are no others.
    label: Vec<String>,
}

struct Node {
    title: String,
    note: String,
    kind: NodeKind,
    /// How many handoffs it is away from the entry specialist.
    distance: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeKind {
    Entry,
    Specialist,
    /// No route and no fallback leads here.
    Unused,
    /// Stands for every specialist.
    Any,
}

struct Arrow {
    from: usize,
    to: usize,
    /// No route is needed.
    back: bool,
    label: Vec<String>,
}

/// An end of an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Any,
    One(usize),
}

/// Two ends between which an arrow is drawn.
struct Pair<'a> {
    from: End,
    to: End,
    /// The route with its place in the file; none for handing back without one.
    route: Option<(usize, &'a Route)>,
}

/// Pairs that have an arrow.
#[derive(Default)]
struct Covered(BTreeSet<(End, End)>);

impl Covered {
    fn has(&self, from: End, to: End) -> bool {
        [from, End::Any].into_iter().any(|from| {
            [to, End::Any]
                .into_iter()
                .any(|to| self.0.contains(&(from, to)))
        })
    }
}

impl Graph {
    fn new(call: &CallConfig) -> Result<Self, TooLarge> {
        let places: BTreeMap<&SpecialistName, usize> = call.specialists.keys().zip(0..).collect();
        let pairs = pairs(call, &places)?;
        if pairs.len() + call.entry_rules.len() > ARROWS_MAX {
            return Err(TooLarge);
        }
        let mut graph = Self {
            nodes: call
                .specialists
                .iter()
                .map(|(name, specialist)| node(name, specialist))
                .collect(),
            entries: entries(call, &places),
            arrows: Vec::new(),
            fallbacks: fallbacks(call),
        };
        graph.place(&pairs, call);
        graph.connect(&pairs);
        Ok(graph)
    }

    /// Says how far each specialist is from the entry, and which are never used.
    fn place(&mut self, pairs: &[Pair<'_>], call: &CallConfig) {
        let count = self.nodes.len();
        let mut targets: BTreeMap<End, Vec<End>> = BTreeMap::new();
        for pair in pairs.iter().filter(|pair| pair.route.is_some()) {
            targets.entry(pair.from).or_default().push(pair.to);
        }
        let mut distances: Vec<Option<usize>> = vec![None; count];
        let entries = self.entries.iter();
        let mut frontier: VecDeque<_> = entries.map(|entry| (entry.to, 0)).collect();
        let mut anyone_used = false;
        while let Some((place, distance)) = frontier.pop_front() {
            if distances[place].is_some_and(|known| known <= distance) {
                continue;
            }
            distances[place] = Some(distance);
            let mut next: Vec<End> = targets.remove(&End::One(place)).unwrap_or_default();
            if !std::mem::replace(&mut anyone_used, true) {
                next.extend(targets.remove(&End::Any).unwrap_or_default());
            }
            for end in next {
                match end {
                    End::One(place) => frontier.push_back((place, distance + 1)),
                    End::Any => frontier.extend((0..count).map(|place| (place, distance + 1))),
                }
            }
        }
        let beyond = distances.iter().flatten().max().map_or(0, |max| max + 1);
        let in_fallbacks = |title: &str| {
            call.fallbacks.iter().any(
                |fallback| matches!(fallback, Fallback::Specialist(name) if name.as_str() == title),
            )
        };
        for (place, node) in self.nodes.iter_mut().enumerate() {
            node.distance = distances[place].unwrap_or(beyond);
            if distances[place].is_none() && !in_fallbacks(&node.title) {
                node.kind = NodeKind::Unused;
                node.note = "no route leads here".to_owned();
            }
        }
        for entry in &self.entries {
            self.nodes[entry.to].kind = NodeKind::Entry;
        }
    }

    fn connect(&mut self, pairs: &[Pair<'_>]) {
        let from_any = pairs
            .iter()
            .any(|pair| pair.from == End::Any)
            .then(|| self.add_any("holds the baton", 0));
        let sources = pairs.iter().filter(|pair| pair.to == End::Any);
        let furthest = sources.map(|pair| match pair.from {
            End::Any => 0,
            End::One(place) => self.nodes[place].distance,
        });
        let to_any = furthest.max().map(|distance| distance + 1);
        let to_any = to_any.map(|distance| self.add_any("is named by the holder", distance));
        let place = |end: End, any: Option<usize>| match end {
            End::One(place) => place,
            End::Any => any.expect("there is a node for an end that is anyone"),
        };
        self.arrows = pairs
            .iter()
            .map(|pair| Arrow {
                from: place(pair.from, from_any),
                to: place(pair.to, to_any),
                back: pair.route.is_none(),
                label: match pair.route {
                    Some((index, route)) => label(index, route),
                    None => vec!["hand back".to_owned()],
                },
            })
            .collect();
    }

    fn add_any(&mut self, note: &str, distance: usize) -> usize {
        self.nodes.push(Node {
            title: "anyone".to_owned(),
            note: note.to_owned(),
            kind: NodeKind::Any,
            distance,
        });
        self.nodes.len() - 1
    }
}

fn entries(call: &CallConfig, places: &BTreeMap<&SpecialistName, usize>) -> Vec<Entry> {
    let place = |name| *places.get(name).expect("the entries of a plan are defined");
    let rules = call.entry_rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| {
        let EntryRule {
            when,
            share_percent,
            to,
        } = rule;
        let share = match share_percent {
            100 => String::new(),
            percent => format!(": {percent} of 100"),
        };
        let calls = match when {
            Some(condition) => shortened(condition.source()),
            None => "every call".to_owned(),
        };
        Entry {
            to: place(to),
            label: vec![format!("entry_rules[{index}]{share}"), calls],
        }
    });
    let otherwise = if call.entry_rules.is_empty() {
        Vec::new()
    } else {
        vec!["every other call".to_owned()]
    };
    let rest = Entry {
        to: place(&call.entry),
        label: otherwise,
    };
    rules.chain([rest]).collect()
}

/// As much of a condition as there is room for.
fn shortened(condition: &str) -> String {
    match condition.char_indices().nth(CONDITION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &condition[..end]),
        None => condition.to_owned(),
    }
}

/// What is to be drawn: the first route of each pair, then who may hand back without one.
fn pairs<'a>(
    call: &'a CallConfig,
    places: &BTreeMap<&SpecialistName, usize>,
) -> Result<Vec<Pair<'a>>, TooLarge> {
    let ends = |names: &Names| match names {
        Names::Any => vec![End::Any],
        Names::Only(names) => names
            .iter()
            .filter_map(|name| places.get(name).map(|place| End::One(*place)))
            .collect(),
    };
    let mut covered = Covered::default();
    let mut pairs = Vec::new();
    for (index, route) in call.routes.iter().enumerate() {
        let targets = ends(&route.to);
        for from in ends(&route.from) {
            for to in targets.iter().copied() {
                let itself = from == to && from != End::Any;
                if itself || covered.has(from, to) {
                    continue;
                }
                covered.0.insert((from, to));
                pairs.push(Pair {
                    from,
                    to,
                    route: Some((index, route)),
                });
                if pairs.len() > ARROWS_MAX {
                    return Err(TooLarge);
                }
            }
        }
    }
    if call.hand_back {
        let mut back: Vec<(End, End)> = pairs.iter().map(|pair| (pair.to, pair.from)).collect();
        // Whoever may hand back to anyone needs no arrow to each, and from an address nothing comes back.
        back.sort_by_key(|(_, to)| *to != End::Any);
        let is_address = |(name, place): (&&SpecialistName, &usize)| {
            let kind = call.specialists.get(*name).map(|it| &it.kind);
            matches!(kind, Some(SpecialistKind::Sip { .. })).then_some(End::One(*place))
        };
        let addresses: Vec<End> = places.iter().filter_map(is_address).collect();
        back.retain(|(from, _)| !addresses.contains(from));
        for (from, to) in back {
            if !covered.has(from, to) {
                covered.0.insert((from, to));
                pairs.push(Pair {
                    from,
                    to,
                    route: None,
                });
            }
        }
    }
    Ok(pairs)
}

fn node(name: &SpecialistName, specialist: &SpecialistConfig) -> Node {
    let SpecialistConfig {
        kind,
        agent_name: _,
        canary: _,
        lifetime,
        prewarm_when: _,
        after,
        handoffs_max: _,
        calls_max: _,
        description: _,
    } = specialist;
    let kind = match kind {
        SpecialistKind::Baton => "",
        SpecialistKind::LivekitAgent => "in a side room, ",
        SpecialistKind::Human { .. } => "a person, ",
        SpecialistKind::Sip { .. } => return address(name),
    };
    let lifetime = match lifetime {
        Lifetime::Resident => "resident",
        Lifetime::Prewarmed => "prewarmed",
        Lifetime::OnDemand => "on demand",
    };
    let after = match after {
        After::Leave => "then leaves".to_owned(),
        After::Park { park_ms } => format!("then parked {}", words::duration(*park_ms)),
        After::Stay => "then stays".to_owned(),
    };
    Node {
        title: name.as_str().to_owned(),
        note: format!("{kind}{lifetime}, {after}"),
        kind: NodeKind::Specialist,
        distance: 0,
    }
}

/// From there nobody comes back.
fn address(name: &SpecialistName) -> Node {
    Node {
        title: name.as_str().to_owned(),
        note: "a SIP address, the call leaves".to_owned(),
        kind: NodeKind::Specialist,
        distance: 0,
    }
}

fn label(index: usize, route: &Route) -> Vec<String> {
    vec![
        format!("routes[{index}]: {}", words::opening(&route.opening)),
        format!("{}, {}", words::splice(route.splice), words::fade(route)),
    ]
}

fn fallbacks(call: &CallConfig) -> Vec<String> {
    let chain = call
        .fallbacks
        .iter()
        .map(words::fallback)
        .map(str::to_owned);
    let hold_ms = call.timers.hold_ms;
    let rounds = call.limits.hold_rounds_max;
    let end = match (call.fallbacks.is_empty(), rounds) {
        (_, 0) => "the call ends".to_owned(),
        (true, _) => {
            let hold = words::duration(hold_ms.saturating_mul(rounds.into()));
            format!("the call ends after {hold}")
        }
        (false, _) => {
            let hold = words::duration(hold_ms);
            format!("again after {hold}, {rounds} x at most; then the call ends")
        }
    };
    chain.chain([end]).collect()
}
