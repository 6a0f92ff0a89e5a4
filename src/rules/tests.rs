use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{CallerFacts, Condition, EvaluationError, Facts, LocalTime, sample};

fn caller() -> CallerFacts {
    CallerFacts {
        kind: "sip".to_owned(),
        room: "call-1".to_owned(),
        metadata: String::new(),
        attributes: [("sip.phoneNumber".to_owned(), "+15550199".to_owned())].into(),
    }
}

fn answer(source: &str, state: &Json) -> Result<bool, EvaluationError> {
    let condition =
        Condition::compile(source, None).unwrap_or_else(|error| panic!("{source}: {error}"));
    condition.evaluate(&Facts {
        duration_secs: 65,
        handoffs: 2,
        caller: &caller(),
        state,
        from: "triage",
        to: "billing",
        reason: "an invoice",
        attempt: 2,
        time: LocalTime {
            year: 2026,
            month: 3,
            day: 9,
            hour: 8,
            minute: 30,
            weekday: 0,
        },
    })
}

#[test]
fn everything_that_is_known_can_be_asked_for() {
    let state = json!({"verified": true, "attempts": 3, "balance": -1.5, "tags": ["vip"], "card": {"last4": "1234"}});
    for (source, expected) in [
        ("state.verified", true),
        ("state.attempts > 2 && state.balance < 0.0", true),
        ("'vip' in state.tags", true),
        ("state.tags.exists(tag, tag.startsWith('v'))", true),
        ("has(state.card.last4) && !has(state.card.cvc)", true),
        (
            "caller.number.startsWith('+1') && caller.kind == 'sip'",
            true,
        ),
        ("caller.attributes['sip.phoneNumber'] == '+15550199'", true),
        ("caller.called == ''", true),
        (
            "call.room == 'call-1' && call.handoffs < 3 && call.duration_secs >= 60",
            true,
        ),
        (
            "from == 'triage' && to == 'billing' && reason.contains('invoice')",
            true,
        ),
        ("attempt > 2", false),
        (
            "time.hour >= 8 && time.hour < 18 && !(time.weekday in ['sat', 'sun'])",
            true,
        ),
        ("time.hhmm >= '09:00'", false),
        ("time.date == '2026-03-09'", true),
        ("state.attempts == 3.0 ? true : false", true),
    ] {
        assert_eq!(answer(source, &state), Ok(expected), "{source}");
    }
}

#[test]
fn what_has_no_answer_says_why_without_a_value() {
    let state = json!({"pin": "4711", "count": 9_223_372_036_854_775_807_i64});
    let mut said = String::new();
    for source in [
        "state.verified",
        "state.pin > 3",
        "state.pin",
        "state.count + 1 > 0",
        "state.count / 0 > 1",
        "state.pin + 1 == '5'",
        "caller.attributes['sip.h.x'] == '1'",
    ] {
        let error = answer(source, &state).expect_err(source);
        said.push_str(&format!("{source}: {error}\n"));
    }
    assert!(!said.contains("4711"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn what_could_never_work_is_refused_with_what_was_meant() {
    let schema = json!({
        "type": "object",
        "properties": {
            "verified": {"type": "boolean"},
            "level": {"type": ["null", "integer"], "minimum": 1},
            "plan": {"enum": ["basic", "gold"]},
            "card": {"type": "object", "properties": {"last4": {"type": "string"}}},
        }
    });
    let state = sample(&schema);
    let deep = format!("{}true{}", "(".repeat(30), ")".repeat(30));
    let long = format!("reason == '{}'", "x".repeat(2_000));
    let many = vec!["1==1"; 80].join("||");
    let mut said = String::new();
    for source in [
        "",
        "state.verified &&",
        "verified",
        "stat.verified",
        "state.verifed",
        "state.card.last",
        "time.huor > 3",
        "caller.phone == '1'",
        "attempt",
        "attempt > '3'",
        "matches(reason, 'a')",
        "reason.startWith('a')",
        "Thing{a: 1} == 1",
        "[1].all(x, [1].all(y, true))",
        "[1].map(x, x).map(y, y).map(z, z).size() > 0",
        &deep,
        &long,
        &many,
        &"!".repeat(60),
    ] {
        let error = Condition::compile(source, Some(&state)).expect_err(source);
        let shown: String = source.chars().take(50).collect();
        said.push_str(&format!("{shown}: {error}\n"));
        if let crate::ConditionError::Unknown {
            near: Some(near), ..
        } = error
        {
            said.push_str(&format!("    did you mean {near}?\n"));
        }
    }
    insta::assert_snapshot!(said);
    for source in [
        "state.verified && state.level > 0",
        "state.plan == 'gold'",
        "state.card.last4 != ''",
    ] {
        Condition::compile(source, Some(&state))
            .unwrap_or_else(|error| panic!("{source}: {error}"));
    }
}

#[test]
fn more_than_an_expression_may_look_at_is_an_error() {
    let state = json!({"list": vec![0; 20_000], "text": "x".repeat(300_000)});
    assert_eq!(
        answer("state.list.size() > 1", &state),
        Err(EvaluationError::TooLarge)
    );
    assert_eq!(
        answer("attempt == 2", &state),
        Ok(true),
        "it is not looked at"
    );
}

#[test]
fn brackets_behind_a_quote_that_is_never_closed_exhaust_no_stack() {
    for open in ["(", "[", "{", "!", "-", "a(", "a?", "[1,(", "{1:"] {
        for quote in ["'", "\"", "r'\\'", "'''", ""] {
            let whole = format!("{quote}{}", open.repeat(crate::SOURCE_BYTES_MAX));
            let text = &whole[..crate::SOURCE_BYTES_MAX];
            assert!(Condition::compile(text, None).is_err(), "{quote}{open}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_panics(text in "[a-z0-9.()\\[\\]{}!?:'\"+*/%<>=&|, \\-]{0,80}") {
        if let Ok(condition) = Condition::compile(&text, None) {
            let _ = answer(condition.source(), &json!({"a": 1}));
        }
    }

    #[test]
    fn no_combination_of_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "state", ".a", "caller", ".attributes", "[", "]", "(", ")", "'x'", "1", "2.5", "-", "!", "&&", "||", "==", "<", "+", "/", "%",
        "in", "?", ":", "has", "size", "all", "exists", "x", ",", "{", "}", "true", "null", "time.hour", "attempt", "9223372036854775807",
    ]), 0..20)) {
        let text = words.concat();
        if let Ok(condition) = Condition::compile(&text, None) {
            let _ = answer(condition.source(), &json!({"a": [1, "x", null]}));
        }
    }
}
