//! What an option may be, and why a value is refused.

use std::{fmt, ops::RangeInclusive};

use super::{
    problem::{Mark, Problem, near_match},
    yaml::Node,
};

/// What an option may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds, both included.
    Integer(RangeInclusive<u64>),
    /// A level in dBFS or LUFS, a whole number within bounds, both included and not above 0.
    Level(RangeInclusive<i32>),
    /// One of some words.
    Choice(Vec<&'static str>),
    /// Text in a form that the words describe.
    Text(&'static str),
    /// A list of texts in a form that the words describe.
    Texts(&'static str),
    /// The name of a specialist.
    Specialist,
    /// The name of a specialist, a list of them, or `*`.
    Specialists,
    /// The name of a specialist, or `previous`.
    Target,
    /// A list of names of specialists and of some words of Baton's own.
    Chain(&'static [&'static str]),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => write!(f, "true or false"),
            Self::Integer(range) => write!(
                f,
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ),
            Self::Level(range) => write!(
                f,
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ),
            Self::Choice(words) => write!(f, "one of: {}", words.join(", ")),
            Self::Text(form) => write!(f, "{form}"),
            Self::Texts(form) => write!(f, "a list, each item {form}"),
            Self::Specialist => write!(f, "the name of a specialist"),
            Self::Specialists => write!(
                f,
                "the name of a specialist, a list of them, or \"*\" for all"
            ),
            Self::Target => write!(f, "the name of a specialist, or previous"),
            Self::Chain(words) => write!(f, "a list of names of specialists, {}", words.join(", ")),
        }
    }
}

/// One option of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// `audio.fade_ms`; `*` stands for a name of the operator's choice, `[]` for an item of a list.
    pub path: String,
    /// What it may be.
    pub kind: Kind,
    /// What holds when it is left out, as it would be written; none if the option is then unset.
    pub default: Option<String>,
}

/// Why a value is refused: what is wrong, and what to write instead.
pub(super) struct Refusal {
    message: String,
    help: Option<String>,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn at(self, mark: Mark, path: String) -> Problem {
        let problem = Problem::error(mark, path, self.message);
        match self.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    pub(super) fn expected(kind: &Kind, found: &Node) -> Self {
        Self::new(format!("expected {kind}, found {}", found.kind()))
    }

    /// Adds the one of `known` that is nearest to `word`, if one is near.
    pub(super) fn did_you_mean(self, word: &str, known: &[&str]) -> Self {
        match near_match(word, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    pub(super) fn unknown_specialist(name: &str, known: &[&str]) -> Self {
        let listed = listed(known);
        let help = match near_match(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? defined are: {listed}"),
            None => format!("defined are: {listed}"),
        };
        Self::new(format!("no specialist is named `{name}`")).help(help)
    }
}

/// The names in a message, cut where nobody would read on.
pub(super) fn listed(names: &[&str]) -> String {
    const NAMES_MAX: usize = 20;
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
