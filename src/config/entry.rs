//! Who takes which call, when its phone is answered, and who is asked about the caller before.

use std::{fs, path::PathBuf};

use call::{Answer, ENTRY_RULES_MAX, EntryRule, SpecialistName, TIMER_MS_MAX};
use worker::Secret;

use super::{
    call_plan::SOUND_FORM,
    option::Refusal,
    problem::Problem,
    reader::Section,
    rule::{Conditions, read_when},
};

const LOOKUP_FORM: &str = "an address such as https://crm.example.com/callers";
const LOOKUP_MS: std::ops::RangeInclusive<u64> = 1..=10_000;
const LOOKUP_MS_DEFAULT: u64 = 1_000;
const RING_MS_DEFAULT: u64 = 30_000;
const WHOLE_PERCENT: u8 = 100;

/// Who is asked about the caller before the entry rules are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// `http` or `https`; gets a POST.
    pub url: String,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// A file with the token that goes along.
    pub token_file: Option<PathBuf>,
}

/// Why there is no token for the [`Lookup`].
#[derive(Debug, thiserror::Error)]
#[error("cannot read the token from `{path}` (`caller_lookup.token_file`)")]
pub struct LookupTokenError {
    path: PathBuf,
    source: std::io::Error,
}

impl Lookup {
    /// The token, if the configuration names one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn token(&self) -> Result<Option<Secret>, LookupTokenError> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = fs::read_to_string(path).map_err(|source| LookupTokenError {
            path: path.clone(),
            source,
        })?;
        Ok(Some(Secret::new(text.trim().to_owned())))
    }
}

/// Reads the list of entry rules.
pub(super) fn read_rules(
    section: &mut Section<'_, '_>,
    known: &[&str],
    conditions: &Conditions,
) -> Vec<EntryRule> {
    let mut taken = Taken::default();
    let rules = section.list("entry_rules", ENTRY_RULES_MAX, |section| {
        section.require("to", "name the specialist who takes these calls");
        let problems = section.problems();
        let rule = EntryRule {
            when: read_when(section, conditions),
            share_percent: section.integer("share_percent", 0..=WHOLE_PERCENT, WHOLE_PERCENT),
            to: SpecialistName::from(section.specialist("to", known).unwrap_or_default()),
        };
        if section.problems() == problems {
            warn_if_shadowed(section, &rule, &mut taken);
        }
        rule
    });
    rules.unwrap_or_default()
}

/// Which calls rules further up have taken whole.
#[derive(Default)]
struct Taken {
    /// The number of the rule that takes every call.
    all: Option<usize>,
    /// Conditions, with the numbers of their rules.
    conditions: Vec<(String, usize)>,
    count: usize,
}

fn warn_if_shadowed(section: &mut Section<'_, '_>, rule: &EntryRule, taken: &mut Taken) {
    let source = rule.when.as_ref().map(|when| when.source());
    let same = taken
        .conditions
        .iter()
        .find(|(condition, _)| Some(condition.as_str()) == source)
        .map(|(_, number)| *number);
    if let Some(number) = taken.all.or(same) {
        section.report(|at, path| {
            let message =
                format!("entry_rules[{number}] takes all of these calls, so it is never used");
            Problem::warning(at, path, message).help("the first rule that fits decides")
        });
    } else if rule.share_percent == 0 {
        section.report(|at, path| {
            Problem::warning(at, path, "it takes none of the calls, so it is never used")
        });
    }
    let number = taken.count;
    taken.count += 1;
    if rule.share_percent == WHOLE_PERCENT {
        match source {
            None => taken.all = taken.all.or(Some(number)),
            Some(source) => taken.conditions.push((source.to_owned(), number)),
        }
    }
}

/// The part `answer`.
pub(super) fn read_answer(section: &mut Section<'_, '_>) -> (Answer, Option<PathBuf>) {
    let ring_max_ms = section.integer("ring_max_ms", 1..=TIMER_MS_MAX, RING_MS_DEFAULT);
    let words = [
        ("at_once", Answer::AtOnce),
        ("entry_ready", Answer::EntryReady { ring_max_ms }),
    ];
    let answer = section.choice("when", &words, "at_once");
    let opening = section.text("opening", SOUND_FORM).map(PathBuf::from);
    (answer, opening)
}

/// The part `caller_lookup`.
pub(super) fn read_lookup(section: &mut Section<'_, '_>) -> Option<Lookup> {
    section.forbid(
        "token",
        "credentials are never read from this file",
        "name a file that holds it: `token_file`",
    );
    let url = section.parsed("url", LOOKUP_FORM, None, |text| {
        url::Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(|url| url.to_string())
            .ok_or_else(|| {
                Refusal::new(format!("expected {LOOKUP_FORM}, found `{text}`"))
                    .help("it starts with http:// or https://")
            })
    });
    let timeout_ms = section.integer("timeout_ms", LOOKUP_MS, LOOKUP_MS_DEFAULT);
    let token_file = section.text("token_file", "the path of a file");
    Some(Lookup {
        url: url?,
        timeout_ms,
        token_file: token_file.map(PathBuf::from),
    })
}
