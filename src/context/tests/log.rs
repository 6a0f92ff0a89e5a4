//! The conversation: order, replacement, hashes, tool calls.

mod items;

use std::collections::BTreeMap;

use context::{
    AppendError, Appended, Author, ContextLog, Diverged, Head, InFlightPolicy, Item, ItemError,
    LogHash, LogLimits, Native, Position, ToolPolicies, UnixMillis,
};
use items::{assert_paired, assistant, call, config_update, handoff, ids, native, output, user};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sha2::{Digest, Sha256};

fn log_of(items: impl IntoIterator<Item = Item>) -> ContextLog {
    let mut log = ContextLog::new(LogLimits::default());
    for item in items {
        log.append(item, None).expect("accepted");
    }
    log
}

fn conversation(log: &ContextLog) -> Vec<Item> {
    log.conversation()
        .map(|entry| entry.item().clone())
        .collect()
}

#[test]
fn an_interrupted_message_becomes_the_text_that_was_heard() {
    let mut log = log_of([
        user("u1", "hi"),
        assistant("a1", "hello, this is a long"),
        user("u2", "stop"),
    ]);
    let heard = log.append(assistant("a1", "hello"), Some(Author(3)));
    assert_eq!(heard, Ok(Appended::Replaced(Position(4))));
    assert_eq!(
        conversation(&log),
        [
            user("u1", "hi"),
            assistant("a1", "hello"),
            user("u2", "stop")
        ]
    );
    assert_eq!(log.entries().len(), 4);
    assert_eq!(log.entries()[3].author(), Some(Author(3)));
    assert_eq!(log.entries()[3].place(), Position(2));
}

#[test]
fn an_item_that_comes_twice_is_one_entry() {
    let mut log = log_of([user("u1", "hi")]);
    let head = log.head();
    assert_eq!(log.append(user("u1", "hi"), None), Ok(Appended::Known));
    assert_eq!(log.head(), head);
}

#[test]
fn the_hash_is_what_the_documents_say() {
    let item = user("u1", "grüß dich");
    let log = log_of([item.clone()]);
    let mut digest = Sha256::new();
    let native = item.native().expect("JSON");
    for part in [
        b"u1".as_slice(),
        item.encoded(),
        b"livekit",
        native.json.as_slice(),
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut hash = Sha256::new();
    hash.update([0; 32]);
    hash.update(digest.finalize());
    assert_eq!(log.head().hash, LogHash(hash.finalize().into()));
    assert_eq!(
        ContextLog::new(LogLimits::default()).head(),
        Head::default()
    );
}

#[test]
fn an_item_does_not_turn_into_something_else() {
    let mut log = log_of([user("u1", "hi"), call("c1", "k1", "book", "{}")]);
    for item in [
        assistant("u1", "hi"),
        call("u1", "k", "x", ""),
        call("c1", "k2", "book", "{}"),
        call("c1", "k1", "pay", "{}"),
    ] {
        let id = item.id().clone();
        assert_eq!(log.append(item, None), Err(AppendError::ChangesKind { id }));
    }
    assert_eq!(log.entries().len(), 2);
}

#[test]
fn bounds_refuse_and_leave_the_log_as_it_was() {
    let limits = LogLimits {
        item_bytes_max: 2_000,
        log_bytes_max: 4_000,
    };
    let mut log = ContextLog::new(limits);
    let large = user("u0", &"x".repeat(2_000));
    assert!(matches!(
        log.append(large, None),
        Err(AppendError::TooLarge { max: 2_000, .. })
    ));
    let mut added = 0;
    while log.append(user(&format!("u{added}"), "hi"), None).is_ok() {
        added += 1;
    }
    assert!((5..15).contains(&added), "{added}");
    let head = log.head();
    assert!(matches!(
        log.append(user("more", "hi"), None),
        Err(AppendError::Full { max: 4_000, .. })
    ));
    assert_eq!(log.head(), head);
    assert_eq!(log.append(user("u0", "hi"), None), Ok(Appended::Known));
}

#[test]
fn bytes_from_outside_are_checked_before_they_are_an_item() {
    let good = user("u1", "hi");
    let parse = |id: &str, bytes: &[u8], json: &[u8], max| {
        let native = Native {
            framework: "pipecat".into(),
            json: json.to_vec(),
        };
        Item::parse(id, bytes, Some(native), max)
    };
    assert!(parse("u1", good.encoded(), b"{}", 1_000).is_ok());
    assert!(matches!(
        parse("u2", good.encoded(), b"{}", 1_000),
        Err(ItemError::IdMismatch { .. })
    ));
    assert!(matches!(
        parse("u1", b"\xff\xff", b"{}", 1_000),
        Err(ItemError::NoChatItem(_))
    ));
    assert!(matches!(
        parse("u1", b"", b"{}", 1_000),
        Err(ItemError::UnknownKind)
    ));
    assert!(matches!(
        parse("u1", good.encoded(), b"{", 1_000),
        Err(ItemError::NoJson { .. })
    ));
    assert!(matches!(
        parse("u1", good.encoded(), b"{}", 10),
        Err(ItemError::TooLarge { max: 10, .. })
    ));
    let nameless = ContextItemWithoutId::encoded();
    assert!(matches!(
        parse("", &nameless, b"{}", 1_000),
        Err(ItemError::BadId { bytes: 0 })
    ));
}

struct ContextItemWithoutId;

impl ContextItemWithoutId {
    /// A message without any field.
    fn encoded() -> Vec<u8> {
        vec![0x0a, 0x00]
    }
}

#[test]
fn what_was_said_is_not_in_the_debug_output() {
    let shown = format!("{:?}", log_of([user("u1", "my secret")]));
    assert!(shown.contains("u1") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_result_goes_with_the_last_open_call_of_its_id() {
    let log = log_of([
        call("c1", "k", "book", "{}"),
        output("o1", "k", "book", "one"),
        call("c2", "k", "book", "{}"),
        output("o2", "k", "book", "two"),
        output("o3", "k", "book", "late"),
        output("o4", "never", "book", "stray"),
    ]);
    let of = |place| {
        log.call_of(Position(place))
            .map(|entry| entry.item().id().as_str().to_owned())
    };
    assert_eq!(
        [of(2), of(4), of(5), of(6)],
        [Some("c1".into()), Some("c2".into()), None, None]
    );
    let result = log.output_of(Position(3)).expect("a result");
    assert_eq!(result.item().id().as_str(), "o2");
    assert!(log.in_flight().is_empty());
}

#[test]
fn calls_in_flight_are_sorted_by_the_policy_of_their_tool() {
    let mut log = log_of([
        call("c1", "k1", "search", "{}"),
        call("c2", "k2", "pay", "{}"),
        user("u1", "hm"),
        call("c3", "k3", "lookup", "{}"),
        output("o3", "k3", "lookup", "done"),
        call("c4", "k4", "lookup", "{}"),
    ]);
    let policies = ToolPolicies {
        default: InFlightPolicy::Wait,
        by_tool: BTreeMap::from([
            ("search".to_owned(), InFlightPolicy::Cancel),
            ("lookup".to_owned(), InFlightPolicy::Adopt),
        ]),
    };
    let running = policies.sort(&log);
    let names = |calls: &[context::RunningCall]| -> Vec<String> {
        calls.iter().map(|call| call.item.to_string()).collect()
    };
    assert_eq!(names(&running.wait), ["c2"]);
    assert_eq!(names(&running.cancel), ["c1"]);
    assert_eq!(names(&running.adopt), ["c4"]);

    let cancelled = running.cancel[0]
        .cancelled(UnixMillis(1_500))
        .expect("an item");
    assert_eq!(native(&cancelled)["created_at"], 1.5);
    assert_eq!(native(&cancelled)["is_error"], true);
    log.append(cancelled, None).expect("accepted");
    assert_eq!(names(&policies.sort(&log).cancel), Vec::<String>::new());
    log.append(output("late", "k1", "search", "found"), None)
        .expect("kept");
    assert!(
        log.call_of(log.head().position).is_none(),
        "the late result goes nowhere"
    );
}

#[test]
fn baton_makes_items_as_livekit_does() {
    let item = context::handoff(
        "h1",
        Some("sales"),
        "billing",
        UnixMillis(1_763_714_487_123),
    )
    .expect("an item");
    assert_eq!(
        native(&item),
        serde_json::json!({"id": "h1", "type": "agent_handoff", "old_agent_id": "sales", "new_agent_id": "billing", "created_at": 1_763_714_487.123})
    );
    let item = context::summary("s1", "all is well", UnixMillis(0)).expect("an item");
    assert_eq!(native(&item)["extra"]["is_summary"], true);
    assert_eq!(
        native(&item)["content"][0],
        "<chat_history_summary>\nall is well\n</chat_history_summary>"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Say(u8, u8),
    Call(u8, u8),
    Result(u8, u8, u8),
    Other(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..6_u8, 0..4_u8).prop_map(|(id, text)| Step::Say(id, text)),
        2 => (0..6_u8, 0..4_u8).prop_map(|(id, key)| Step::Call(id, key)),
        2 => (0..6_u8, 0..4_u8, 0..3_u8).prop_map(|(id, key, text)| Step::Result(id, key, text)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(id, handoff)| Step::Other(id, handoff)),
    ];
    prop::collection::vec(step, 0..40)
}

fn item_of(step: &Step) -> Item {
    match step {
        Step::Say(id, text) => user(&format!("u{id}"), &text.to_string()),
        Step::Call(id, key) => call(&format!("c{id}"), &format!("k{key}"), "tool", "{}"),
        Step::Result(id, key, text) => output(
            &format!("o{id}"),
            &format!("k{key}"),
            "tool",
            &text.to_string(),
        ),
        Step::Other(id, true) => handoff(&format!("h{id}"), "x"),
        Step::Other(id, false) => config_update(&format!("g{id}"), "x"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/log.seeds"))), ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_a_plain_list_would_be(steps in steps()) {
        let mut log = ContextLog::new(LogLimits::default());
        let mut list: Vec<Item> = Vec::new();
        for item in steps.iter().map(item_of) {
            let at = list.iter().position(|old| old.id() == item.id());
            match (log.append(item.clone(), None), at) {
                (Ok(Appended::Added(_)), None) => list.push(item),
                (Ok(Appended::Replaced(_)), Some(at)) => list[at] = item,
                (Ok(Appended::Known), Some(at)) => prop_assert_eq!(&list[at], &item),
                (Err(AppendError::ChangesKind { .. }), Some(_)) => {}
                (other, at) => prop_assert!(false, "{:?} at {:?}", other, at),
            }
        }
        prop_assert_eq!(conversation(&log), list);
    }

    #[test]
    fn who_applies_what_it_missed_has_the_same_head_and_conversation(
        steps in steps(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut log = ContextLog::new(LogLimits::default());
        let mut heads = vec![log.head()];
        for item in steps.iter().map(item_of) {
            let _ = log.append(item, None);
            if log.head() != heads[heads.len() - 1] {
                heads.push(log.head());
            }
        }
        let cut = cut.index(heads.len());
        let mut copy = ContextLog::new(LogLimits::default());
        for entry in &log.entries()[..cut] {
            copy.append(entry.item().clone(), None).expect("accepted before");
        }
        prop_assert_eq!(copy.head(), heads[cut]);
        for entry in log.missed(copy.head()).expect("a beginning") {
            copy.append(entry.item().clone(), None).expect("accepted before");
        }
        prop_assert_eq!(copy.head(), log.head());
        prop_assert_eq!(conversation(&copy), conversation(&log));

        let mut other = heads[cut];
        other.hash.0[0] ^= 1;
        prop_assert_eq!(log.missed(other).expect_err("another log"), Diverged(other));
        let ahead = Head { position: Position(heads.len() as u64), ..heads[cut] };
        prop_assert!(log.missed(ahead).is_err());
    }

    #[test]
    fn pairs_are_pairs(steps in steps()) {
        let mut log = ContextLog::new(LogLimits::default());
        for item in steps.iter().map(item_of) {
            let _ = log.append(item, None);
        }
        let running = ids(log.in_flight().into_iter().map(context::Entry::item)).len();
        let mut calls = 0;
        let mut paired = Vec::new();
        for entry in log.conversation() {
            match entry.item().kind() {
                context::Kind::Call { .. } => {
                    calls += 1;
                    if let Some(result) = log.output_of(entry.place()) {
                        prop_assert_eq!(log.call_of(result.place()).expect("its call").place(), entry.place());
                        paired.push(entry.item().clone());
                    }
                }
                context::Kind::Output { .. } if log.call_of(entry.place()).is_some() => {
                    paired.push(entry.item().clone());
                }
                _ => {}
            }
        }
        prop_assert_eq!(calls, running + paired.len() / 2);
        assert_paired(&paired);
    }
}
