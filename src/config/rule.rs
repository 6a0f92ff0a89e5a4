//! Conditions, and the rules that hand off without being asked.

use std::{cell::RefCell, collections::BTreeMap};

use call::{
    Condition, ConditionError, Digit, Names, RULES_MAX, Rule, SpecialistName, TIMER_MS_MAX, Target,
    Trigger,
};
use serde_json::Value as Json;

use super::{
    option::{Kind, Refusal, listed},
    problem::Problem,
    reader::Section,
};

pub(super) const DIGIT_FORM: &str = "a key of a phone: one of 0 to 9, *, #, A to D";
const REASON_DEFAULT: &str = "a rule";
const TRIGGERS: [&str; 7] = [
    "digit",
    "caller_silent",
    "holder_silent",
    "holder_for",
    "handoffs_failed",
    "holder_failed",
    "state",
];

/// Reads the list of rules.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    known: &[&str],
    conditions: &Conditions,
) -> Vec<Rule> {
    let rules = section.list("rules", RULES_MAX, |section| {
        section.require(
            "on",
            format!("say what sets it off: {}", TRIGGERS.join(", ")),
        );
        section.require("to", "name a specialist, or write `previous`");
        let when = read_when(section, conditions);
        let on = read_trigger(section, when.is_some());
        let from = section.specialists("from", known);
        let to = section.target("to", known);
        let reason = section.text("reason", "text");
        // A rule that was refused stands for nothing: the problems then keep it from being used.
        Some(Rule {
            on: on?,
            from: from.map_or(Names::Any, |names| {
                Names::Only(names.into_iter().map(SpecialistName::from).collect())
            }),
            when,
            to: match to?.as_str() {
                "previous" => Target::Previous,
                name => Target::Specialist(name.into()),
            },
            reason: reason.unwrap_or_else(|| REASON_DEFAULT.to_owned()),
        })
    });
    rules.into_iter().flatten().flatten().collect()
}

/// What conditions are tried on, and those that have been: a file may say the same of many routes.
pub(super) struct Conditions {
    state: Option<Json>,
    compiled: RefCell<BTreeMap<String, Condition>>,
}

impl Conditions {
    /// Conditions over a state that looks like this, if it is known what it looks like.
    pub(super) fn new(state: Option<Json>) -> Self {
        Self {
            state,
            compiled: RefCell::default(),
        }
    }

    fn compile(&self, text: &str) -> Result<Condition, Refusal> {
        if let Some(condition) = self.compiled.borrow().get(text) {
            return Ok(condition.clone());
        }
        let condition = Condition::compile(text, self.state.as_ref()).map_err(refusal)?;
        let mut compiled = self.compiled.borrow_mut();
        compiled.insert(text.to_owned(), condition.clone());
        Ok(condition)
    }
}

/// Reads the condition of a route or a rule.
pub(super) fn read_when(
    section: &mut Section<'_, '_>,
    conditions: &Conditions,
) -> Option<Condition> {
    read_condition(section, "when", conditions)
}

/// Reads the condition that an option is.
pub(super) fn read_condition(
    section: &mut Section<'_, '_>,
    key: &'static str,
    conditions: &Conditions,
) -> Option<Condition> {
    section.parsed(key, "a condition in CEL", None, |text| {
        conditions.compile(text)
    })
}

fn refusal(error: ConditionError) -> Refusal {
    let refused = Refusal::new(error.to_string());
    let ConditionError::Unknown { near, known, .. } = error else {
        return refused;
    };
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let listed = listed(&known);
    refused.help(match near {
        Some(near) => format!("did you mean `{near}`? there are: {listed}"),
        None => format!("there are: {listed}"),
    })
}

/// One key.
pub(super) fn parse_digit(text: &str) -> Result<Digit, Refusal> {
    let mut keys = text.chars().map(|key| key.to_ascii_uppercase());
    let digit = keys.next().and_then(Digit::new);
    digit
        .filter(|_| keys.next().is_none())
        .ok_or_else(|| Refusal::new(format!("expected {DIGIT_FORM}, found the text `{text}`")))
}

fn read_trigger(section: &mut Section<'_, '_>, conditional: bool) -> Option<Trigger> {
    let kind = || Kind::Choice(TRIGGERS.to_vec());
    let word = section.value(
        "on",
        kind,
        || None,
        |node| {
            let refusal = || Refusal::expected(&kind(), node);
            let word = node.text().ok_or_else(refusal)?;
            let known = TRIGGERS.iter().find(|known| **known == word);
            known
                .copied()
                .ok_or_else(|| refusal().did_you_mean(word, &TRIGGERS))
        },
    );
    let digit = section.parsed("digit", DIGIT_FORM, None, parse_digit);
    let after_ms = section.optional_integer("after_ms", 1..=TIMER_MS_MAX);
    let count = section.optional_integer("count", 1..=1_000_u32);
    let word = word?;
    let uses = |option: &str| match option {
        "digit" => word == "digit",
        "after_ms" => matches!(word, "caller_silent" | "holder_silent" | "holder_for"),
        _ => word == "handoffs_failed",
    };
    for (option, given) in [
        ("digit", digit.is_some()),
        ("after_ms", after_ms.is_some()),
        ("count", count.is_some()),
    ] {
        if given && !uses(option) {
            section.report(|at, path| {
                Problem::error(
                    at,
                    path,
                    format!("`{option}` does not go with `on: {word}`"),
                )
            });
        }
    }
    for (option, help) in [
        ("digit", "say which key, as `digit: \"0\"`"),
        ("after_ms", "say after how long, as `after_ms: 10000`"),
        ("count", "say how many, as `count: 2`"),
    ] {
        if uses(option) {
            section.require(option, help);
        }
    }
    if word == "state" && !conditional {
        section.require(
            "when",
            "say what is to become true, as `when: state.verified == true`",
        );
    }
    Some(match word {
        "digit" => Trigger::Digit(digit?),
        "caller_silent" => Trigger::CallerSilent { ms: after_ms? },
        "holder_silent" => Trigger::HolderSilent { ms: after_ms? },
        "holder_for" => Trigger::HolderFor { ms: after_ms? },
        "handoffs_failed" => Trigger::HandoffsFailed { count: count? },
        "holder_failed" => Trigger::HolderFailed,
        _ => Trigger::State,
    })
}
