use call::{CallConfig, Plan, SpecialistName};
use proptest::prelude::*;

use crate::{Loaded, Question, explain, parse};

const BANK: &str = r#"entry: triage
specialists: {triage: , accounts: , payments: , night-desk: }
routes:
  - {from: triage, to: [accounts, payments], opening: greet}
  - {from: accounts, to: payments, splice: now, fade_ms: 0}
  - {from: "*", to: payments, opening: "say:One moment."}
fallbacks: [night-desk]
"#;

fn loaded(text: &str) -> Loaded {
    parse("bank.yaml", text).unwrap_or_else(|report| panic!("refused:\n{report}"))
}

fn question(text: &str) -> Question {
    text.parse()
        .unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn explained(file: &str, handoff: &str) -> String {
    match explain(&loaded(file), &question(handoff)) {
        Ok(explanation) => explanation.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_route_that_decides_is_named_with_its_place() {
    insta::assert_snapshot!(explained(BANK, "from=triage to=accounts"), @r#"
    routes[0] decides: triage may hand over to accounts
        bank.yaml:4:5: from triage to accounts, payments
        splice: end of utterance, 3 s at most; fade 120 ms; opening: greet
    "#);
}

#[test]
fn routes_before_it_are_said_not_to_fit_and_those_behind_not_to_count() {
    insta::assert_snapshot!(explained(BANK, "from=accounts to=payments"), @r#"
    routes[1] decides: accounts may hand over to payments
        bank.yaml:5:5: from accounts to payments
        splice: at once; cut; opening: continue
        before it: routes[0] is from triage
        also fitting, but the first one decides: routes[2]
    "#);
    insta::assert_snapshot!(explained(BANK, "from=night-desk to=payments"), @r#"
    routes[2] decides: night-desk may hand over to payments
        bank.yaml:6:5: from anyone to payments
        splice: end of utterance, 3 s at most; fade 120 ms; opening: say "One moment."
        before it: routes[0] is from triage, routes[1] is from accounts
    "#);
}

#[test]
fn without_a_route_those_that_lead_from_there_are_listed() {
    insta::assert_snapshot!(explained(BANK, "from=accounts to=triage"), @r#"
    refused: no route leads from accounts to triage
        bank.yaml:5:5: routes[1] leads to payments
        bank.yaml:6:5: routes[2] leads to payments
        if triage held the baton before, accounts may hand back to it: `to=previous previous=triage`
    "#);
    let strict = format!("{BANK}hand_back: false\n");
    insta::assert_snapshot!(explained(&strict, "from=accounts to=triage"), @r#"
    refused: no route leads from accounts to triage
        bank.yaml:5:5: routes[1] leads to payments
        bank.yaml:6:5: routes[2] leads to payments
        add `- {from: accounts, to: triage}` to `routes` to allow it
    "#);
    insta::assert_snapshot!(explained(&strict, "from=accounts to=previous previous=triage"), @r#"
    refused: no route leads from accounts to triage
        bank.yaml:5:5: routes[1] leads to payments
        bank.yaml:6:5: routes[2] leads to payments
        `hand_back` is false, so handing back needs a route as well
    "#);
}

#[test]
fn where_nothing_leads_away_it_is_said() {
    let file = "entry: a\nspecialists: {a: , b: }\nroutes: []\nhand_back: false\n";
    insta::assert_snapshot!(explained(file, "from=a to=b"), @r#"
    refused: no route leads from a to b
        no route leads from a at all
        add `- {from: a, to: b}` to `routes` to allow it
    "#);
}

#[test]
fn a_long_list_of_routes_is_cut() {
    let mut file = "entry: a\nspecialists: {a: , b: , c: }\nroutes:\n".to_owned();
    for _ in 0..20 {
        file.push_str("  - {from: a, to: b}\n");
    }
    file.push_str("  - {from: b, to: c}\n");
    insta::assert_snapshot!(explained(&file, "from=a to=c"), @r#"
    refused: no route leads from a to c
        bank.yaml:4:5: routes[0] leads to b
        bank.yaml:5:5: routes[1] leads to b
        bank.yaml:6:5: routes[2] leads to b
        bank.yaml:7:5: routes[3] leads to b
        bank.yaml:8:5: routes[4] leads to b
        bank.yaml:9:5: routes[5] leads to b
        bank.yaml:10:5: routes[6] leads to b
        bank.yaml:11:5: routes[7] leads to b
        bank.yaml:12:5: routes[8] leads to b
        bank.yaml:13:5: routes[9] leads to b
        and 10 more routes lead from a
        if c held the baton before, a may hand back to it: `to=previous previous=c`
    "#);
    insta::assert_snapshot!(explained(&file, "from=b to=c"), @r#"
    routes[20] decides: b may hand over to c
        bank.yaml:24:5: from b to c
        splice: end of utterance, 3 s at most; fade 120 ms; opening: continue
        before it: routes[0] is from a to b, routes[1] is from a to b, routes[2] is from a to b, routes[3] is from a to b, routes[4] is from a to b, routes[5] is from a to b, routes[6] is from a to b, routes[7] is from a to b, routes[8] is from a to b, routes[9] is from a to b and 10 more
    "#);
    insta::assert_snapshot!(explained(&file, "from=a to=b"), @r#"
    routes[0] decides: a may hand over to b
        bank.yaml:4:5: from a to b
        splice: end of utterance, 3 s at most; fade 120 ms; opening: continue
        also fitting, but the first one decides: routes[1], routes[2], routes[3], routes[4], routes[5], routes[6], routes[7], routes[8], routes[9], routes[10] and 9 more
    "#);
}

#[test]
fn handing_back_needs_no_route_unless_it_is_switched_off() {
    insta::assert_snapshot!(explained(BANK, "from=accounts to=previous previous=triage"), @r#"
    `hand_back` decides: accounts may hand back to triage, who held the baton before
        no route leads from accounts to triage, and none is needed
        splice: end of utterance, 3 s at most; fade 120 ms; opening: continue
    "#);
}

#[test]
fn handing_back_takes_a_route_if_there_is_one() {
    insta::assert_snapshot!(explained(BANK, "from=accounts to=previous previous=payments"), @r#"
    routes[1] decides: accounts may hand over to payments
        bank.yaml:5:5: from accounts to payments
        splice: at once; cut; opening: continue
        before it: routes[0] is from triage
        also fitting, but the first one decides: routes[2]
    "#);
}

#[test]
fn a_file_without_routes_allows_everything() {
    let file = "entry: a\nspecialists: {a: , b: }\naudio: {fade_ms: 40}\n";
    insta::assert_snapshot!(explained(file, "from=b to=a"), @r#"
    allowed: b may hand over to a
        without `routes`, anyone may hand over to anyone
        splice: end of utterance, 3 s at most; fade 40 ms; opening: continue
    "#);
}

#[test]
fn nobody_hands_over_to_itself() {
    insta::assert_snapshot!(explained(BANK, "from=triage to=triage"), @r#"
    refused: triage cannot hand over to itself
    "#);
}

#[test]
fn a_name_that_nobody_has_is_named() {
    insta::assert_snapshot!(explained(BANK, "from=triage to=acounts"), @r#"
    no specialist is named `acounts`, did you mean `accounts`; defined are: accounts, night-desk, payments, triage
    "#);
    insta::assert_snapshot!(explained(BANK, "from=x to=accounts"), @r#"
    no specialist is named `x`; defined are: accounts, night-desk, payments, triage
    "#);
}

#[test]
fn conditions_are_evaluated_as_asked() {
    let file = "entry: triage
specialists: {triage: , billing: , night: }
routes:
  - {from: triage, to: billing, when: 'state.verified && caller.number.startsWith(\"+1\")', opening: greet}
  - {from: triage, to: billing, when: 'time.hour >= 20'}
  - {from: triage, to: night, when: 'state.account.level > 2 && attempt < 3'}
";
    let mut said = String::new();
    for handoff in [
        "from=triage to=billing state.verified=true caller.number=+15550199",
        "from=triage to=billing state.verified=false",
        "from=triage to=billing state.verified=false time=sat-21:00",
        "from=triage to=billing",
        "from=triage to=night state.account.level=3",
        "from=triage to=night state.account.level=3 attempt=3",
        "from=triage to=night state.account.level=gold",
        "from=triage to=previous previous=night state.account.level=1",
    ] {
        said.push_str(&format!("# {handoff}\n{}\n", explained(file, handoff)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_question_that_is_none_says_what_is_wrong() {
    let wrong = [
        "",
        "triage",
        "from=triage",
        "from= to=x",
        "from=a to=b from=c",
        "form=a to=b",
        "from=a to=b sate.verified=false",
        "from=a to=b time=noon",
        "from=a to=b attempt=often",
        "from=a to=previous",
        "from=a to=b previous=c",
    ];
    let messages: Vec<String> = wrong
        .iter()
        .map(|text| match text.parse::<Question>() {
            Ok(question) => panic!("`{text}` was taken for {question:?}"),
            Err(error) => format!("`{text}`: {error}"),
        })
        .collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    ``: `from=NAME` is missing
    `triage`: expected pairs such as from=triage to=billing, found `triage`
    `from=triage`: `to=NAME` is missing
    `from= to=x`: `from=NAME` is missing
    `from=a to=b from=c`: `from` is given twice
    `form=a to=b`: `form` is not known here, did you mean `from`; allowed are: from, to, previous, time, reason, attempt
    `from=a to=b sate.verified=false`: `sate.verified` is not known here; allowed are: from, to, previous, time, reason, attempt
    `from=a to=b time=noon`: `time` is a time, as mon-08:30, found `noon`
    `from=a to=b attempt=often`: `attempt` is a whole number, found `often`
    `from=a to=previous`: `previous=NAME` is missing
    `from=a to=b previous=c`: `previous` goes with `to=previous` only
    "#);
}

/// Whether a call with this plan would make the handoff.
fn made(call: CallConfig, from: &str, to: &str, back: bool) -> bool {
    let hand_back = call.hand_back;
    let plan = Plan::new(call).expect("it was checked");
    let (from, to) = (SpecialistName::from(from), SpecialistName::from(to));
    from != to && (plan.route(&from, &to).is_some() || back && hand_back)
}

proptest! {
    #[test]
    fn it_answers_as_the_plan_of_a_call_does(
        routes in prop::collection::vec(("[abc]|\"\\*\"", "[abc]|\"\\*\"|\\[a, b\\]"), 0..5),
        hand_back: bool,
        from in "[abc]",
        to in "[abc]",
        back: bool,
    ) {
        let mut file = format!("entry: a\nspecialists: {{a: , b: , c: }}\nhand_back: {hand_back}\nroutes: [");
        for (from, to) in routes {
            file.push_str(&format!("{{from: {from}, to: {to}}}, "));
        }
        file.push_str("]\n");
        let loaded = loaded(&file);
        let handoff = if back {
            format!("from={from} to=previous previous={to}")
        } else {
            format!("from={from} to={to}")
        };
        let explanation = explain(&loaded, &question(&handoff)).expect("the names are there");
        prop_assert_eq!(explanation.allowed(), made(loaded.config.call, &from, &to, back));
    }
}

#[test]
fn who_takes_a_call_is_said_with_the_rule_that_decides() {
    let file = r#"entry: triage
specialists: {triage: , accounts: , payments: , night-desk: }
entry_rules:
  - {when: "state.plan == 'gold'", to: accounts}
  - {when: "time.hour < 8", to: night-desk}
  - {when: "caller.called == '+4930'", share_percent: 10, to: payments}
  - {when: "caller.called == '+4930'", to: accounts}
"#;
    insta::assert_snapshot!(
        [
            explained(file, "from=caller time=mon-03:00"),
            explained(
                file,
                "from=caller time=mon-09:00 caller.called=+4930 state.plan=basic"
            ),
            explained(file, "from=caller time=mon-09:00 call.room=x"),
            explained(BANK, "from=caller"),
        ]
        .concat()
    );
    let error = "from=caller to=triage".parse::<Question>();
    insta::assert_snapshot!(error.expect_err("it names a target"), @"`to` does not go with `from=caller`, which asks who takes the call");
}
