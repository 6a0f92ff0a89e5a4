//! What a specialist gets of the conversation: windows, masks, pairs.

mod items;

use context::{
    Author, CARD_NUMBER, ContextLog, Feed, FilterPlan, Item, LivekitItem, LogLimits, Mask,
    MaskAction, Masked, REDACTED, SPOKEN_NUMBER, UnixMillis, Window,
};
use items::{
    assert_paired, assistant, beside, call, config_update, handoff, ids, message, native, output,
    user,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use regex::Regex;
use serde_json::json;

fn log_of(items: impl IntoIterator<Item = Item>) -> ContextLog {
    let mut log = ContextLog::new(LogLimits::default());
    for item in items {
        log.append(item, None).expect("accepted");
    }
    log
}

fn seen(feed: &Feed) -> Vec<Item> {
    feed.log()
        .conversation()
        .map(|entry| entry.item().clone())
        .collect()
}

fn window(window: Window) -> FilterPlan {
    FilterPlan {
        window,
        ..FilterPlan::default()
    }
}

fn masked(what: Masked, action: MaskAction) -> FilterPlan {
    FilterPlan {
        masks: vec![Mask { what, action }],
        ..FilterPlan::default()
    }
}

fn pattern(pattern: &str) -> Masked {
    Masked::Pattern(Regex::new(pattern).expect("a pattern"))
}

fn past(plan: FilterPlan, log: &ContextLog) -> Vec<Item> {
    seen(&Feed::new(plan, None, log, None))
}

/// A conversation with something of everything.
fn conversation() -> ContextLog {
    log_of([
        message("s1", "system", "be nice"),
        user("u1", "hi"),
        call("c1", "k1", "search", "{}"),
        assistant("a1", "one moment"),
        output("o1", "k1", "search", "found"),
        handoff("h1", "sales"),
        config_update("g1", "sell"),
        user("u2", "buy"),
        call("c2", "k2", "search", "{}"),
        call("c3", "k3", "pay", "{}"),
        output("o2", "k2", "search", "found"),
    ])
}

#[test]
fn what_is_masked_for_a_reader_leaves_neither_a_call_without_its_result_nor_the_other_way_round() {
    let items = [
        user("u1", "my card is 4111 1111 1111 1111"),
        call("c1", "k1", "read_card", "{}"),
        call("c2", "k2", "look_up", "{\"number\":\"7\",\"pin\":\"9876\"}"),
        output("o1", "k1", "read_card", "done"),
        output("o2", "k2", "look_up", "AB123456"),
        assistant("a1", "thank you"),
    ];
    let mask = |what, action| Mask { what, action };
    let pattern = |text| Masked::Pattern(Regex::new(text).expect("a pattern"));
    let masks = [
        mask(pattern(CARD_NUMBER), MaskAction::Redact),
        mask(Masked::Tool("read_card".to_owned()), MaskAction::Drop),
        mask(
            Masked::Field {
                tool: Some("look_up".to_owned()),
                path: "pin".parse().expect("a path"),
            },
            MaskAction::Redact,
        ),
    ];
    let seen = context::masked(&items, &masks);
    let ids: Vec<_> = seen
        .iter()
        .map(|item| item.as_ref().map(|item| item.id().as_str()))
        .collect();
    let kept = [Some("u1"), None, Some("c2"), None, Some("o2"), Some("a1")];
    assert_eq!(ids, kept);
    let text: Vec<_> = seen
        .iter()
        .flatten()
        .map(|item| LivekitItem::try_from(item).expect("an item").into_value())
        .collect();
    let text = json!(text).to_string();
    assert!(
        text.contains(REDACTED) && !text.contains("4111") && !text.contains("9876"),
        "{text}"
    );

    // A result alone gives its call away.
    let result = mask(pattern("AB[0-9]{6}"), MaskAction::Drop);
    let seen = context::masked(&items, &[result]);
    let kept: Vec<_> = seen.iter().map(Option::is_some).collect();
    assert_eq!(kept, [true, true, false, true, false, true]);
    assert_eq!(context::masked(&items, &[]), items.map(Some));
}

#[test]
fn each_window_leaves_what_it_says() {
    let log = conversation();
    let cases = [
        (
            Window::All,
            vec!["u1", "c1", "a1", "o1", "h1", "u2", "c2", "o2"],
        ),
        (Window::LastItems(3), vec!["u2", "c2", "o2"]),
        (Window::LastItems(4), vec!["h1", "u2", "c2", "o2"]),
        (Window::LastItems(1), vec![]),
        (Window::LastItems(0), vec![]),
        (Window::SinceLastHandoff, vec!["u2", "c2", "o2"]),
        (Window::MessagesOnly, vec!["u1", "a1", "h1", "u2"]),
        (Window::None, vec![]),
    ];
    for (which, expected) in cases {
        let items = past(window(which.clone()), &log);
        assert_eq!(ids(&items), expected, "{which:?}");
        assert_paired(&items);
    }
    let all = FilterPlan {
        instructions: true,
        ..FilterPlan::default()
    };
    assert_eq!(
        ids(&past(all, &log)),
        ["s1", "u1", "c1", "a1", "o1", "h1", "g1", "u2", "c2", "o2"]
    );
}

#[test]
fn a_summary_stands_for_the_past_and_its_fallback_for_the_summary() {
    let log = conversation();
    let plan = FilterPlan {
        window: Window::Summary {
            last_items: 2,
            fallback: Box::new(Window::MessagesOnly),
        },
        masks: vec![Mask {
            what: pattern("4111"),
            action: MaskAction::Redact,
        }],
        instructions: false,
    };
    let summary = context::summary("sum", "they gave 4111", UnixMillis(5)).expect("an item");
    let items = seen(&Feed::new(plan.clone(), None, &log, Some(&summary)));
    assert_eq!(ids(&items), ["sum", "c2", "o2"]);
    assert!(!String::from_utf8_lossy(items[0].encoded()).contains("4111"));
    assert!(native(&items[0]).to_string().contains(REDACTED));

    let items = seen(&Feed::new(plan, None, &log, None));
    assert_eq!(ids(&items), ["u1", "a1", "h1", "u2"]);
    let items = seen(&Feed::new(
        FilterPlan::default(),
        None,
        &log,
        Some(&summary),
    ));
    assert!(!ids(&items).contains(&"sum"), "nobody asked for it");
}

#[test]
fn a_feed_goes_on_and_ends_the_past_with_the_handoff() {
    let mut log = conversation();
    let mut feed = Feed::new(window(Window::LastItems(1)), None, &log, None);
    assert!(feed.log().entries().is_empty());
    log.append(user("u3", "hello?"), None).expect("accepted");
    // The call was running where the past ends: it is adopted.
    log.append(output("o3", "k3", "pay", "paid"), None)
        .expect("accepted");
    // This one was cut off.
    log.append(output("o1", "k1", "search", "found nothing"), None)
        .expect("accepted");
    log.append(handoff("h2", "billing"), None)
        .expect("accepted");
    let new: Vec<Item> = feed
        .pump(&log)
        .iter()
        .map(|entry| entry.item().clone())
        .collect();
    assert_eq!(ids(&new), ["u3", "c3", "o3", "h2"]);
    assert!(feed.pump(&log).is_empty());
}

#[test]
fn a_call_waits_for_its_result() {
    let mut log = log_of([]);
    let mut feed = Feed::new(FilterPlan::default(), None, &log, None);
    log.append(call("c1", "k1", "pay", "{}"), None)
        .expect("accepted");
    assert!(feed.pump(&log).is_empty());
    log.append(output("o1", "k1", "pay", "paid"), None)
        .expect("accepted");
    assert_eq!(feed.pump(&log).len(), 2);
    log.append(output("o1", "k1", "pay", "paid twice"), None)
        .expect("accepted");
    let again = feed.pump(&log);
    assert_eq!((again.len(), again[0].replaces()), (1, true));
}

#[test]
fn a_reader_does_not_get_its_own_items_again_but_what_others_gave_its_calls() {
    let mut log = log_of([]);
    let me = Author(4);
    let mut feed = Feed::new(FilterPlan::default(), Some(me), &log, None);
    log.append(user("u1", "hi"), Some(me)).expect("accepted");
    log.append(call("c1", "k1", "pay", "{}"), Some(me))
        .expect("accepted");
    log.append(output("o1", "k1", "pay", "cancelled"), None)
        .expect("accepted");
    log.append(user("u2", "you there?"), Some(Author(5)))
        .expect("accepted");
    let new: Vec<Item> = feed
        .pump(&log)
        .iter()
        .map(|entry| entry.item().clone())
        .collect();
    assert_eq!(ids(&new), ["o1", "u2"], "it has the call");

    for other in [Window::All, Window::MessagesOnly, Window::None] {
        let late = Feed::new(window(other.clone()), Some(me), &log, None);
        let got = ids(&seen(&late)).contains(&"o1");
        assert_eq!(got, other != Window::None, "{other:?}");
    }
    let mut feed = Feed::new(window(Window::None), Some(me), &log, None);
    log.append(call("c2", "k2", "pay", "{}"), Some(me))
        .expect("accepted");
    log.append(output("o2", "k2", "pay", "paid"), Some(Author(5)))
        .expect("accepted");
    let new = feed.pump(&log).iter();
    let new: Vec<Item> = new.map(|entry| entry.item().clone()).collect();
    assert_eq!(ids(&new), ["o2"]);
}

#[test]
fn a_masked_tool_is_dropped_or_redacted_with_its_result() {
    let log = log_of([
        call("c1", "k1", "pay", r#"{"card": "4111"}"#),
        output("o1", "k1", "", "card 4111 charged"),
        call("c2", "k2", "search", "{}"),
        output("o2", "k2", "", "found"),
    ]);
    let items = past(masked(Masked::Tool("pay".into()), MaskAction::Drop), &log);
    assert_eq!(ids(&items), ["c2", "o2"]);

    let items = past(masked(Masked::Tool("pay".into()), MaskAction::Redact), &log);
    assert_eq!(ids(&items), ["c1", "o1", "c2", "o2"]);
    assert_eq!(native(&items[0])["arguments"], "{}");
    assert_eq!(native(&items[1])["output"], REDACTED);
    assert_nowhere("4111", &items);
    assert_eq!(
        items[2..],
        [
            call("c2", "k2", "search", "{}"),
            output("o2", "k2", "", "found")
        ]
    );
}

#[test]
fn a_masked_field_is_redacted_wherever_the_path_leads() {
    let log = log_of([
        call(
            "c1",
            "k1",
            "pay",
            r#"{"cards": [{"number": "4111", "type": "visa"}], "sum": 3}"#,
        ),
        output("o1", "k1", "pay", r#"{"cards": {"x": {"number": 4111}}}"#),
        call("c2", "k2", "pay", "{cards: 4111"),
        output("o2", "k2", "pay", "{'cards': [{'number': 4111}]}"),
        call("c3", "k3", "other", r#"{"cards": [{"number": "5555"}]}"#),
        output("o3", "k3", "other", "done"),
    ]);
    let field = |tool: Option<&str>| Masked::Field {
        tool: tool.map(str::to_owned),
        path: "cards.*.number".parse().expect("a path"),
    };
    let items = past(masked(field(Some("pay")), MaskAction::Redact), &log);
    assert_nowhere("4111", &items);
    assert_eq!(
        native(&items[0])["arguments"],
        json!({"cards": [{"number": REDACTED, "type": "visa"}], "sum": 3}).to_string()
    );
    assert!(native(&items[4]).to_string().contains("5555"));
    assert_eq!(native(&items[5])["output"], "done");

    let items = past(masked(field(None), MaskAction::Drop), &log);
    assert_eq!(
        ids(&items),
        Vec::<&str>::new(),
        "call or result has the field"
    );
}

#[test]
fn a_pattern_is_redacted_in_all_forms_and_the_sound_goes_with_it() {
    let said = user("u1", "my card is 4111 1111 1111 1111 ok");
    let mut json = native(&said);
    json["content"] = json!(["my card is 4111 1111 1111 1111 ok", {"type": "audio_content", "frame": [], "transcript": "x"}]);
    json["extra"] =
        json!({"heard": {"raw": "4111-1111-1111-1111"}, "number": 4_111_111_111_111_111_u64});
    let log = log_of([
        beside(&said, "livekit", json),
        beside(
            &user("u2", "yes"),
            "pipecat",
            json!({"role": "user", "content": "4111 1111 1111 1111"}),
        ),
        beside(
            &user("u3", "yes"),
            "livekit-js",
            json!({"createdAt": 1_763_714_487_123_u64, "content": ["yes"]}),
        ),
        call("c1", "k1", "pay", r#"{"card": 4111111111111111}"#),
        output("o1", "k1", "pay", "charged 4111111111111111"),
        assistant("a1", "thanks"),
    ]);
    let items = past(masked(pattern(CARD_NUMBER), MaskAction::Redact), &log);
    assert_nowhere("1111", &items);
    assert_eq!(
        native(&items[0])["content"],
        json!([format!("my card is {REDACTED} ok")])
    );
    assert!(
        items[1].native().is_none(),
        "a form that is not ours to change"
    );
    assert!(items[2].native().is_some());
    assert_eq!(
        native(&items[3])["arguments"],
        json!({"card": REDACTED}).to_string()
    );
    assert_eq!(items[5], assistant("a1", "thanks"));

    let items = past(masked(pattern(CARD_NUMBER), MaskAction::Drop), &log);
    assert_eq!(ids(&items), ["u3", "a1"]);
}

#[test]
fn the_ready_made_patterns_find_cards_and_leave_times_alone() {
    let card = Regex::new(CARD_NUMBER).expect("a pattern");
    assert!(card.is_match("4111-1111-1111-1111") && card.is_match("378282246310005"));
    assert!(!card.is_match("1763714487123") && !card.is_match("+1 555 0199"));
    let spoken = Regex::new(SPOKEN_NUMBER).expect("a pattern");
    assert!(spoken.is_match("it is Four one one one, one one one one, double two three four five six seven eight, thanks"));
    assert!(!spoken.is_match("one two three and four five six"));
}

#[test]
fn what_became_secret_after_it_was_sent_is_blanked() {
    let mut log = log_of([user("u1", "my card")]);
    let mut feed = Feed::new(
        masked(pattern(CARD_NUMBER), MaskAction::Drop),
        None,
        &log,
        None,
    );
    log.append(user("u1", "my card is 4111111111111111"), None)
        .expect("accepted");
    log.append(user("u2", "4111111111111111"), None)
        .expect("accepted");
    let new: Vec<Item> = feed
        .pump(&log)
        .iter()
        .map(|entry| entry.item().clone())
        .collect();
    assert_eq!(ids(&new), ["u1"]);
    assert_nowhere("4111", &new);
    assert!(new[0].native().is_none());
}

fn assert_nowhere(secret: &str, items: &[Item]) {
    for item in items {
        let json = item
            .native()
            .map(|native| native.json.clone())
            .unwrap_or_default();
        for bytes in [item.encoded(), &json] {
            assert!(
                !String::from_utf8_lossy(bytes).contains(secret),
                "{secret} is in {}",
                item.id()
            );
        }
    }
}

#[derive(Clone, Debug)]
struct Step {
    item: Item,
    author: Option<Author>,
    pump: bool,
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a",
        "b",
        "SECRET",
        "x SECRET y",
        "{\"f\": \"SECRET\"}",
        "{\"g\": [\"SECRET\"]}",
        "{}",
    ])
    .prop_map(str::to_owned)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let item = prop_oneof![
        4 => (0..8_u8, text(), prop::sample::select(vec!["user", "assistant"])).prop_map(|(id, text, role)| message(&format!("{role}{id}"), role, &text)),
        1 => (0..3_u8, text()).prop_map(|(id, text)| message(&format!("s{id}"), "system", &text)),
        3 => (0..8_u8, 0..4_u8, text(), 0..2_u8).prop_map(|(id, key, text, tool)| call(&format!("c{id}"), &format!("k{key}"), &format!("t{tool}"), &text)),
        4 => (0..8_u8, 0..4_u8, text()).prop_map(|(id, key, text)| output(&format!("o{id}"), &format!("k{key}"), "", &text)),
        1 => (0..3_u8).prop_map(|id| handoff(&format!("h{id}"), "x")),
        1 => (0..3_u8, text()).prop_map(|(id, text)| config_update(&format!("g{id}"), &text)),
    ];
    let author = prop::option::of((0..3_u64).prop_map(Author));
    let step =
        (item, author, any::<bool>()).prop_map(|(item, author, pump)| Step { item, author, pump });
    prop::collection::vec(step, 0..40)
}

fn plans() -> impl Strategy<Value = FilterPlan> {
    let windows = prop_oneof![
        3 => Just(Window::All),
        1 => (0..8_usize).prop_map(Window::LastItems),
        1 => Just(Window::SinceLastHandoff),
        1 => Just(Window::MessagesOnly),
        1 => Just(Window::None),
    ];
    let action = prop::sample::select(vec![MaskAction::Drop, MaskAction::Redact]);
    let what = prop_oneof![
        Just(pattern("SECRET")),
        (0..2_u8).prop_map(|tool| Masked::Tool(format!("t{tool}"))),
        Just(Masked::Field {
            tool: None,
            path: "f".parse().expect("a path")
        }),
    ];
    let masks = prop::collection::vec(
        (what, action).prop_map(|(what, action)| Mask { what, action }),
        0..3,
    );
    (windows, any::<bool>(), masks).prop_map(|(window, instructions, masks)| FilterPlan {
        window,
        instructions,
        masks,
    })
}

/// What a reader has: what it gets, behind its own calls that are answered by others.
fn with_own(feed: &Feed, log: &ContextLog, reader: Option<Author>) -> Vec<Item> {
    let got = seen(feed);
    let has = |item: &Item| got.iter().any(|one| one.id() == item.id());
    let answered = log.conversation().filter(|entry| {
        let first = log.entry(entry.place()).and_then(|first| first.author());
        let own = first.is_some() && first == reader && !has(entry.item());
        let output = log.output_of(entry.place());
        own && output.is_some_and(|output| has(output.item()))
    });
    let mut items: Vec<Item> = answered.map(|entry| entry.item().clone()).collect();
    items.extend(got);
    items
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/feed.seeds"))), ..ProptestConfig::default() })]

    #[test]
    fn what_a_reader_has_is_paired_at_any_time_and_holds_no_secret(
        before in steps(),
        after in steps(),
        plan in plans(),
        reader in prop::option::of((0..3_u64).prop_map(Author)),
    ) {
        let mut log = ContextLog::new(LogLimits::default());
        for step in before {
            let _ = log.append(step.item, step.author);
        }
        let hides = plan.masks.iter().any(|mask| matches!(mask.what, Masked::Pattern(_)));
        let mut feed = Feed::new(plan.clone(), reader, &log, None);
        let mut late = feed.clone();
        assert_paired(&with_own(&feed, &log, reader));
        for step in after {
            let _ = log.append(step.item, step.author);
            if step.pump {
                feed.pump(&log);
                assert_paired(&with_own(&feed, &log, reader));
            }
        }
        feed.pump(&log);
        late.pump(&log);
        prop_assert_eq!(feed.log().head(), late.log().head(), "it depends on when it is pumped");
        let all: Vec<Item> = feed.log().entries().iter().map(|entry| entry.item().clone()).collect();
        assert_paired(&with_own(&feed, &log, reader));
        if hides {
            assert_nowhere("SECRET", &all);
        }
        for entry in feed.log().entries() {
            let origin = log.current(entry.item().id()).expect("from the log");
            prop_assert!(plan.instructions || !matches!(entry.item().kind(), context::Kind::ConfigUpdate));
            if origin.author().is_some() && !origin.replaces() {
                prop_assert!(origin.author() != reader, "its own item");
            }
        }
    }

    #[test]
    fn who_gets_all_from_the_start_has_what_one_who_comes_late_gets(steps in steps()) {
        let mut log = ContextLog::new(LogLimits::default());
        let plan = FilterPlan { instructions: true, ..FilterPlan::default() };
        let mut feed = Feed::new(plan.clone(), None, &log, None);
        for step in steps {
            let _ = log.append(step.item, step.author);
            feed.pump(&log);
        }
        let sorted = |feed: &Feed| {
            let mut items = seen(feed);
            items.sort_by(|a, b| a.id().cmp(b.id()));
            items
        };
        prop_assert_eq!(sorted(&feed), sorted(&Feed::new(plan, None, &log, None)));
    }
}
