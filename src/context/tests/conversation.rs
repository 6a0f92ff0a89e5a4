//! The conversation in use: writers, readers, the state, and what is journaled.

mod items;

use context::{
    Access, Answer, Applied, Author, Conversation, ConversationLimits, Effect, FieldPath,
    FilterPlan, Granting, Head, InFlightPolicy, Incoming, IncomingPatch, Item, ItemRefusal, Kind,
    LogLimits, Mirror, Outgoing, Patch, PatchLimits, PatchOutcome, Record, Scopes, StateVersion,
    ToolPolicies, UnixMillis, Window,
};
use items::{assistant, call, output, user};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::json;

const TRIAGE: Author = Author(1);
const BILLING: Author = Author(2);
const AT: UnixMillis = UnixMillis(1_700_000_000_000);

fn incoming(item: &Item) -> Incoming {
    Incoming {
        id: item.id().to_string(),
        chat_item: item.encoded().to_vec(),
        native: item.native().cloned(),
    }
}

/// A conversation with the effects that it had, and a mirror for each reader.
struct Stage {
    conversation: Conversation,
    effects: Vec<Effect>,
    mirrors: Vec<Mirror>,
    answers: Vec<(Author, Answer)>,
    tools: ToolPolicies,
    epoch: u64,
}

impl Stage {
    /// Triage has the baton in epoch 1, billing is there.
    fn new() -> Self {
        Self::with(ConversationLimits::default())
    }

    fn with(limits: ConversationLimits) -> Self {
        let mut stage = Self {
            conversation: Conversation::new(limits, None),
            effects: Vec::new(),
            mirrors: vec![Mirror::new(LogLimits::default()); 3],
            answers: Vec::new(),
            tools: ToolPolicies::default(),
            epoch: 0,
        };
        stage.conversation.joined(TRIAGE, Scopes::all());
        stage.conversation.joined(BILLING, Scopes::all());
        stage.prepare(TRIAGE);
        stage.grant(TRIAGE, "triage");
        stage
    }

    fn prepare(&mut self, author: Author) -> Head {
        let plan = FilterPlan::default();
        let handed = self.conversation.prepare(author, plan);
        handed.expect("it has joined").head
    }

    fn grant(&mut self, author: Author, specialist: &str) {
        self.epoch += 1;
        let granting = Granting {
            author,
            specialist,
            epoch: self.epoch,
            tools: &self.tools,
            except: &[],
            at: AT,
        };
        self.conversation.granted(granting, &mut self.effects);
    }

    fn append(&mut self, author: Author, epoch: u64, items: &[Item]) -> Vec<ItemRefusal> {
        let items = items.iter().map(incoming).collect();
        self.conversation
            .append(author, epoch, items, &mut self.effects);
        self.drain(author);
        match self.answers.pop() {
            Some((_, Answer::Items { refused, .. })) => {
                refused.into_iter().map(|refused| refused.reason).collect()
            }
            other => panic!("no answer, but {other:?}"),
        }
    }

    fn patch(&mut self, author: Author, epoch: u64, base: u64, json: &str) -> PatchOutcome {
        let patch = IncomingPatch {
            number: 1,
            base: StateVersion(base),
            json: json.as_bytes(),
        };
        self.conversation
            .patch(author, epoch, patch, &mut self.effects);
        self.drain(author);
        match self.answers.pop() {
            Some((_, Answer::Patch { outcome, .. })) => outcome,
            other => panic!("no answer, but {other:?}"),
        }
    }

    /// Sends a reader all that there is, and has it confirm.
    fn drain(&mut self, author: Author) -> Applied {
        while let Some(outgoing) = self.conversation.poll_send(author, 300) {
            let mirror = &mut self.mirrors[usize::try_from(author.0).expect("small")];
            match outgoing {
                Outgoing::Items(items) => {
                    for (position, item) in items {
                        mirror.take(position, item).expect("in order");
                    }
                }
                Outgoing::State {
                    base,
                    version,
                    json,
                } => {
                    let limits = PatchLimits::default();
                    let patch = Patch::parse(json.as_bytes(), &limits).expect("a patch");
                    mirror.take_state(base, version, &patch).expect("in order");
                }
                Outgoing::Answer(answer) => self.answers.push((author, answer)),
            }
        }
        let head = self.mirror(author).head();
        self.conversation.applied(author, head)
    }

    fn mirror(&self, author: Author) -> &Mirror {
        &self.mirrors[usize::try_from(author.0).expect("small")]
    }

    fn ids(&self, author: Author) -> Vec<String> {
        let items = self.mirror(author).conversation();
        items.map(|item| item.id().to_string()).collect()
    }

    fn records(&self) -> Vec<Record> {
        let records = self.effects.iter().filter_map(|effect| match effect {
            Effect::Journal(record) => Some(record.clone()),
            Effect::Overrun(_) => None,
        });
        records.collect()
    }
}

#[test]
fn one_that_is_prepared_gets_what_was_said_and_then_what_comes() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "hi"), assistant("a1", "hello")]);
    let head = stage.prepare(BILLING);
    assert_eq!(head.position.0, 3);
    assert_eq!(stage.drain(BILLING), Applied::Current);
    assert!(stage.conversation.ready(BILLING, Some(head)));
    stage.append(TRIAGE, 1, &[user("u2", "my invoice")]);
    assert!(!stage.conversation.is_current(BILLING));
    assert_eq!(stage.drain(BILLING), Applied::Current);
    stage.grant(BILLING, "billing");
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), ["baton/1", "u1", "a1", "u2", "baton/2"]);
    let handed = stage.conversation.handed(BILLING).expect("it was prepared");
    assert_eq!(handed.head, stage.mirror(BILLING).head());
}

#[test]
fn ready_counts_only_with_the_head_that_was_given() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "hi")]);
    let given = stage.prepare(BILLING);
    assert!(!stage.conversation.ready(BILLING, Some(Head::default())));
    let forged = Head {
        hash: context::LogHash([7; 32]),
        ..given
    };
    assert!(!stage.conversation.ready(BILLING, Some(forged)));
    assert!(stage.conversation.ready(BILLING, Some(given)));
    assert!(
        stage.conversation.ready(BILLING, None),
        "one that takes no part has nothing to apply"
    );
}

#[test]
fn a_parked_one_gets_what_it_missed_and_one_that_diverged_all_of_it() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "hi")]);
    stage.prepare(BILLING);
    stage.drain(BILLING);
    stage.grant(BILLING, "billing");
    stage.drain(TRIAGE);
    stage.conversation.parked(TRIAGE);
    stage.append(
        BILLING,
        2,
        &[assistant("a1", "hello"), user("u2", "thanks")],
    );
    assert!(!stage.conversation.has_to_send(TRIAGE), "it is parked");
    let before = stage.mirror(TRIAGE).head();
    let head = stage.prepare(TRIAGE);
    assert_eq!(head.position.0, before.position.0 + 2);
    let Some(Outgoing::Items(items)) = stage.conversation.poll_send(TRIAGE, usize::MAX) else {
        panic!("nothing was sent");
    };
    let ids: Vec<&str> = items.iter().map(|(_, item)| item.id().as_str()).collect();
    assert_eq!(
        ids,
        ["a1", "u2"],
        "nothing that it has, and nothing of its own"
    );

    let foreign = Head {
        position: head.position,
        hash: context::LogHash([9; 32]),
    };
    assert_eq!(
        stage.conversation.applied(TRIAGE, foreign),
        Applied::Diverged
    );
    assert_eq!(stage.drain(TRIAGE), Applied::Current, "from the start");
    assert_eq!(stage.mirror(TRIAGE).head(), head);
}

#[test]
fn only_the_holder_in_its_epoch_adds_items() {
    let mut stage = Stage::new();
    assert_eq!(
        stage.append(BILLING, 1, &[user("u1", "hi")]),
        [ItemRefusal::NotHolder]
    );
    stage.prepare(BILLING);
    stage.grant(BILLING, "billing");
    stage.grant(TRIAGE, "triage");
    assert_eq!(
        stage.append(TRIAGE, 1, &[user("u1", "hi")]),
        [ItemRefusal::StaleEpoch { got: 1, current: 3 }]
    );
    assert_eq!(stage.append(TRIAGE, 3, &[user("u1", "hi")]), []);
}

#[test]
fn after_a_handoff_one_may_correct_its_own_items_and_nobody_elses() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[assistant("a1", "what I meant to say")]);
    stage.prepare(BILLING);
    stage.drain(BILLING);
    stage.grant(BILLING, "billing");
    assert_eq!(stage.append(TRIAGE, 1, &[assistant("a1", "what I")]), []);
    stage.drain(BILLING);
    let heard = stage
        .mirror(BILLING)
        .item(&"a1".into())
        .expect("it is there");
    assert_eq!(*heard, assistant("a1", "what I"));
    assert_eq!(
        stage.append(BILLING, 2, &[assistant("a1", "forged")]),
        [ItemRefusal::NotOwn]
    );
    stage.conversation.released(TRIAGE);
    assert_eq!(
        stage.append(TRIAGE, 1, &[assistant("a2", "more")]),
        [ItemRefusal::NotHolder]
    );
    assert_eq!(
        stage.append(BILLING, 2, &[assistant("a1", "what I")]),
        [],
        "the same said again changes nothing"
    );
}

#[test]
fn what_was_heard_of_the_last_words_is_kept_until_the_last_holder_has_let_go() {
    let mut stage = Stage::new();
    stage.prepare(BILLING);
    stage.grant(BILLING, "billing");
    // A renewed grant of the new holder changes nothing for the old one.
    stage.grant(BILLING, "billing");
    assert_eq!(stage.append(TRIAGE, 1, &[assistant("a1", "what I")]), []);
    stage.drain(BILLING);
    let ids = stage.ids(BILLING);
    assert_eq!(
        ids.last().map(String::as_str),
        Some("a1"),
        "the new one knows it"
    );
    assert_eq!(
        stage.append(TRIAGE, 1, &[user("u1", "and my balance?")]),
        [],
        "the caller had said it to the old one, whoever answers it"
    );
    assert_eq!(
        stage.append(TRIAGE, 1, &[call("f1", "c1", "look_up", "{}")]),
        [ItemRefusal::NotHolder],
        "it does nothing any more"
    );
    stage.conversation.released(TRIAGE);
    assert_eq!(
        stage.append(TRIAGE, 1, &[assistant("a2", "more"), user("u2", "hello?")]),
        [ItemRefusal::NotHolder, ItemRefusal::NotHolder]
    );
    assert_eq!(
        stage.append(BILLING, 3, &[assistant("a1", "forged")]),
        [ItemRefusal::NotOwn]
    );
}

#[test]
fn running_tools_are_waited_for_cancelled_or_adopted() {
    let mut stage = Stage::new();
    let policies = [
        ("slow", InFlightPolicy::Wait),
        ("useless", InFlightPolicy::Cancel),
        ("long", InFlightPolicy::Adopt),
    ];
    stage.tools = ToolPolicies {
        default: InFlightPolicy::Wait,
        by_tool: policies
            .map(|(tool, policy)| (tool.to_owned(), policy))
            .into(),
    };
    stage.append(
        TRIAGE,
        1,
        &[
            call("c1", "k1", "slow", "{}"),
            call("c2", "k2", "useless", "{}"),
            call("c3", "k3", "long", "{}"),
        ],
    );
    let waits = |stage: &Stage, except: &[&str]| {
        let except: Vec<String> = except.iter().map(ToString::to_string).collect();
        stage.conversation.waits_for_tools(&stage.tools, &except)
    };
    assert!(waits(&stage, &[]));
    assert!(
        !waits(&stage, &["k0", "k1"]),
        "the call that asks is not waited for"
    );
    stage.prepare(BILLING);
    stage.append(TRIAGE, 1, &[output("o1", "k1", "slow", "42")]);
    assert!(!waits(&stage, &[]));
    stage.grant(BILLING, "billing");
    stage.drain(BILLING);
    assert_eq!(
        stage.ids(BILLING),
        ["baton/1", "c1", "o1", "c2", "c2/cancelled", "baton/2"]
    );
    assert_eq!(
        stage.append(TRIAGE, 1, &[output("o2", "k2", "useless", "late")]),
        [ItemRefusal::NotHolder],
        "it has a result"
    );
    assert_eq!(
        stage.append(TRIAGE, 1, &[output("o3", "k3", "long", "done")]),
        []
    );
    stage.drain(BILLING);
    assert!(
        stage
            .ids(BILLING)
            .ends_with(&["c3".to_owned(), "o3".to_owned()])
    );
}

#[test]
fn nothing_is_adopted_of_one_that_is_gone() {
    let mut stage = Stage::new();
    stage.tools.default = InFlightPolicy::Adopt;
    stage.append(
        TRIAGE,
        1,
        &[user("u1", "hi"), call("c1", "k1", "long", "{}")],
    );
    stage.conversation.left(TRIAGE);
    stage.prepare(BILLING);
    stage.grant(BILLING, "billing");
    stage.drain(BILLING);
    assert_eq!(
        stage.ids(BILLING),
        ["baton/1", "u1", "c1", "c1/cancelled", "baton/2"],
        "the successor has all that was kept"
    );
}

#[test]
fn a_handoff_that_is_taken_back_is_said_too() {
    let mut stage = Stage::new();
    stage.prepare(BILLING);
    stage.grant(BILLING, "billing");
    stage.grant(TRIAGE, "triage");
    stage.grant(TRIAGE, "triage");
    let handoffs = stage.conversation.log().conversation();
    let handoffs = handoffs.filter(|entry| *entry.item().kind() == Kind::Handoff);
    assert_eq!(handoffs.count(), 3, "a renewed grant is none");
}

#[test]
fn the_holder_writes_the_state_freely_and_others_by_compare_and_set() {
    let mut stage = Stage::new();
    let accepted = |version| PatchOutcome::Accepted(StateVersion(version));
    assert_eq!(stage.patch(TRIAGE, 1, 0, r#"{"a": 1}"#), accepted(1));
    assert_eq!(stage.patch(TRIAGE, 1, 0, r#"{"a": 2}"#), accepted(2));
    assert_eq!(
        stage.patch(BILLING, 1, 1, r#"{"a": 3}"#),
        PatchOutcome::Conflict {
            version: StateVersion(2),
            current: json!({"a": 2}).as_object().expect("an object").clone(),
        }
    );
    assert_eq!(stage.patch(BILLING, 1, 2, r#"{"a": 3}"#), accepted(3));
    assert_eq!(
        stage.patch(TRIAGE, 0, 2, r#"{"a": 4}"#),
        PatchOutcome::Conflict {
            version: StateVersion(3),
            current: json!({"a": 3}).as_object().expect("an object").clone(),
        },
        "with an older epoch it is none but the others"
    );
    for author in [TRIAGE, BILLING] {
        stage.drain(author);
        assert_eq!(stage.mirror(author).state()["a"], 3);
        assert_eq!(stage.mirror(author).version(), StateVersion(3));
    }
}

#[test]
fn what_is_out_of_scope_reaches_nobody() {
    let mut stage = Stage::new();
    let card: FieldPath = "card".parse().expect("a path");
    let scopes = Scopes::new(Access::Write, [(card, Access::None)]).expect("a scope");
    stage.conversation.left(BILLING);
    stage.patch(TRIAGE, 1, 0, r#"{"card": "4111", "name": "Ann"}"#);
    stage.conversation.joined(BILLING, scopes);
    stage.patch(TRIAGE, 1, 1, r#"{"card": "4222"}"#);
    stage.drain(BILLING);
    assert_eq!(json!(stage.mirror(BILLING).state()), json!({"name": "Ann"}));
    assert!(matches!(
        stage.patch(BILLING, 1, 2, r#"{"card": "0"}"#),
        PatchOutcome::Denied { path, .. } if path == "/card"
    ));
}

#[test]
fn a_slow_reader_gets_the_state_as_a_whole() {
    let mut stage = Stage::new();
    for number in 0..200 {
        stage.patch(TRIAGE, 1, 0, &format!(r#"{{"n": {number}}}"#));
    }
    let mut sent = 0;
    while let Some(outgoing) = stage.conversation.poll_send(BILLING, 300) {
        assert!(matches!(outgoing, Outgoing::State { .. }));
        sent += 1;
    }
    assert!(sent <= 65, "{sent} changes waited");
}

#[test]
fn one_that_writes_and_never_reads_is_given_up() {
    let mut stage = Stage::new();
    let patch = IncomingPatch {
        number: 1,
        base: StateVersion(0),
        json: b"no json",
    };
    for _ in 0..1_100 {
        stage
            .conversation
            .patch(TRIAGE, 1, patch, &mut stage.effects);
    }
    assert!(stage.effects.contains(&Effect::Overrun(TRIAGE)));
}

#[test]
fn what_is_no_item_or_too_much_is_refused_with_a_reason() {
    let mut limits = ConversationLimits::default();
    limits.log.item_bytes_max = 1_000;
    limits.log.log_bytes_max = 3_000;
    let mut stage = Stage::with(limits);
    let broken = Incoming {
        id: "x".repeat(10_000),
        chat_item: vec![0xff],
        native: None,
    };
    stage
        .conversation
        .append(TRIAGE, 1, vec![broken], &mut stage.effects);
    stage.drain(TRIAGE);
    let Some((_, Answer::Items { refused, .. })) = stage.answers.pop() else {
        panic!("no answer");
    };
    assert!(
        refused[0].id.len() <= 512,
        "the answer does not echo all of it"
    );
    let large = assistant("a1", &"x".repeat(2_000));
    assert!(matches!(
        stage.append(TRIAGE, 1, &[large])[..],
        [ItemRefusal::TooLarge(_)]
    ));
    let many: Vec<Item> = (0..20)
        .map(|number| user(&format!("u{number}"), "hi"))
        .collect();
    let refused = stage.append(TRIAGE, 1, &many);
    assert!(
        matches!(refused.last(), Some(ItemRefusal::Full(_))),
        "{refused:?}"
    );
}

#[test]
fn a_filter_applies_to_the_past_and_its_masks_to_what_comes() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "one"), user("u2", "two")]);
    let plan = FilterPlan {
        window: Window::LastItems(1),
        ..FilterPlan::default()
    };
    stage.conversation.prepare(BILLING, plan);
    stage.append(TRIAGE, 1, &[user("u3", "three")]);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), ["u2", "u3"]);
}

#[derive(Clone, Debug)]
enum Step {
    Say {
        author: u64,
        id: u8,
        text: u8,
        epoch: bool,
    },
    Patch {
        author: u64,
        field: u8,
        value: u8,
        lag: u64,
    },
    Prepare {
        author: u64,
    },
    Grant {
        author: u64,
    },
    Park {
        author: u64,
    },
    Restart {
        author: u64,
    },
    Send {
        author: u64,
        count: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let author = 1..3_u64;
    let step = prop_oneof![
        8 => (author.clone(), 0..12_u8, 0..4_u8, prop::bool::weighted(0.9))
            .prop_map(|(author, id, text, epoch)| Step::Say { author, id, text, epoch }),
        5 => (author.clone(), 0..3_u8, 0..4_u8, 0..3_u64)
            .prop_map(|(author, field, value, lag)| Step::Patch { author, field, value, lag }),
        2 => author.clone().prop_map(|author| Step::Prepare { author }),
        2 => author.clone().prop_map(|author| Step::Grant { author }),
        1 => author.clone().prop_map(|author| Step::Park { author }),
        1 => author.clone().prop_map(|author| Step::Restart { author }),
        6 => (author, 1..4_usize).prop_map(|(author, count)| Step::Send { author, count }),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn mirrors_and_a_replay_come_to_the_same(steps in steps()) {
        let mut stage = Stage::new();
        for step in steps {
            take(&mut stage, step);
        }
        for author in [TRIAGE, BILLING] {
            stage.drain(author);
            if let Some(handed) = stage.conversation.handed(author) {
                prop_assert_eq!(stage.mirror(author).head(), handed.head);
                prop_assert!(stage.conversation.is_current(author));
            }
            prop_assert_eq!(stage.mirror(author).state(), stage.conversation.state().document());
        }
        let mut again = Conversation::new(ConversationLimits::default(), None);
        for record in stage.records() {
            prop_assert_eq!(again.replay(record), Ok(()));
        }
        prop_assert_eq!(again.log().head(), stage.conversation.log().head());
        prop_assert_eq!(again.state().version(), stage.conversation.state().version());
        prop_assert_eq!(again.state().document(), stage.conversation.state().document());
    }
}

fn take(stage: &mut Stage, step: Step) {
    match step {
        Step::Say {
            author,
            id,
            text,
            epoch,
        } => {
            let item = assistant(&format!("a{id}"), &format!("text {text}"));
            let epoch = if epoch { stage.epoch } else { 0 };
            let items = vec![incoming(&item)];
            let effects = &mut stage.effects;
            stage
                .conversation
                .append(Author(author), epoch, items, effects);
        }
        Step::Patch {
            author,
            field,
            value,
            lag,
        } => {
            let json = format!(r#"{{"f{field}": {value}}}"#);
            let version = stage.conversation.state().version();
            let patch = IncomingPatch {
                number: 1,
                base: StateVersion(version.0.saturating_sub(lag)),
                json: json.as_bytes(),
            };
            let effects = &mut stage.effects;
            stage
                .conversation
                .patch(Author(author), stage.epoch, patch, effects);
        }
        Step::Prepare { author } => {
            stage.prepare(Author(author));
        }
        Step::Grant { author } => {
            stage.prepare(Author(author));
            stage.grant(Author(author), "somebody");
        }
        Step::Park { author } => stage.conversation.parked(Author(author)),
        Step::Restart { author } => {
            stage.conversation.restarted(Author(author));
            let index = usize::try_from(author).expect("small");
            stage.mirrors[index] = Mirror::new(LogLimits::default());
        }
        Step::Send { author, count } => {
            for _ in 0..count {
                let author = Author(author);
                if let Some(outgoing) = stage.conversation.poll_send(author, 300) {
                    let index = usize::try_from(author.0).expect("small");
                    let mirror = &mut stage.mirrors[index];
                    match outgoing {
                        Outgoing::Items(items) => {
                            for (position, item) in items {
                                mirror.take(position, item).expect("in order");
                            }
                        }
                        Outgoing::State {
                            base,
                            version,
                            json,
                        } => {
                            let limits = PatchLimits::default();
                            let patch = Patch::parse(json.as_bytes(), &limits).expect("a patch");
                            mirror.take_state(base, version, &patch).expect("in order");
                        }
                        Outgoing::Answer(_) => {}
                    }
                }
            }
        }
    }
}

#[test]
fn a_process_in_the_place_of_another_gets_what_that_one_wrote_as_well() {
    let mut stage = Stage::new();
    let said = [
        user("u1", "my invoice"),
        assistant("a1", "one moment"),
        call("c1", "k1", "find", "{}"),
        output("o1", "k1", "find", "found"),
    ];
    stage.append(TRIAGE, 1, &said);
    stage.drain(TRIAGE);
    let own = ["u1", "a1", "c1", "o1"];
    let has_own = |stage: &Stage| {
        let ids = stage.ids(TRIAGE);
        own.map(|id| ids.iter().any(|known| known == id))
    };
    assert_eq!(has_own(&stage), [false; 4], "it has them already");

    stage.conversation.restarted(TRIAGE);
    stage.mirrors[usize::try_from(TRIAGE.0).expect("small")] = Mirror::new(LogLimits::default());
    stage.drain(TRIAGE);
    assert_eq!(has_own(&stage), [true; 4], "{:?}", stage.ids(TRIAGE));
    assert!(stage.conversation.is_current(TRIAGE));

    stage.append(TRIAGE, 1, &[assistant("a2", "here it is")]);
    stage.append(TRIAGE, 1, &[assistant("a1", "one")]);
    stage.drain(TRIAGE);
    assert!(
        stage.ids(TRIAGE).iter().all(|id| id != "a2"),
        "what it writes now it has"
    );
    assert!(stage.conversation.is_current(TRIAGE));
    let head = stage.prepare(BILLING);
    stage.drain(BILLING);
    assert_eq!(stage.mirror(BILLING).head(), head);
}

fn summarized() -> FilterPlan {
    FilterPlan {
        window: Window::Summary {
            last_items: 1,
            fallback: Box::new(Window::LastItems(2)),
        },
        ..FilterPlan::default()
    }
}

/// Billing is prepared while a summary is made, and triage goes on talking.
fn being_summed_up() -> Stage {
    let mut stage = Stage::new();
    for id in ["u1", "u2", "u3"] {
        stage.append(TRIAGE, 1, &[user(id, id)]);
    }
    stage.append(TRIAGE, 1, &[call("c1", "k1", "find", "{}")]);
    assert!(stage.conversation.summing(BILLING));
    stage.append(TRIAGE, 1, &[user("u4", "u4")]);
    assert_eq!(stage.conversation.prepare(BILLING, summarized()), None);
    stage.append(TRIAGE, 1, &[output("o1", "k1", "find", "found")]);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), Vec::<String>::new());
    assert!(!stage.conversation.is_current(BILLING));
    let nothing = Head::default();
    assert!(stage.conversation.ready(BILLING, Some(nothing)));
    stage
}

#[test]
fn a_summary_that_comes_late_stands_before_what_was_said_since_it_was_asked_for() {
    let mut stage = being_summed_up();
    let summary = context::summary("s", "three things", AT).expect("an item");
    stage.conversation.summed(BILLING, Some(summary));
    assert_eq!(stage.drain(BILLING), Applied::Current);
    assert_eq!(stage.ids(BILLING), ["s", "u3", "u4", "c1", "o1"]);
    stage.append(TRIAGE, 1, &[user("u5", "u5")]);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING).last().map(String::as_str), Some("u5"));
}

#[test]
fn without_a_summary_the_fallback_goes_along_whoever_gives_up() {
    let mut stage = being_summed_up();
    stage.conversation.summed(BILLING, None);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), ["u2", "u3", "u4", "c1", "o1"]);

    let mut stage = being_summed_up();
    stage.grant(BILLING, "billing");
    stage.drain(BILLING);
    assert_eq!(
        stage.ids(BILLING),
        ["u2", "u3", "u4", "c1", "o1", "baton/2"]
    );
}

#[test]
fn a_summary_that_is_made_before_the_preparation_goes_with_it() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "u1"), user("u2", "u2")]);
    assert!(stage.conversation.summing(BILLING));
    let summary = context::summary("s", "two things", AT).expect("an item");
    stage.conversation.summed(BILLING, Some(summary));
    stage.append(TRIAGE, 1, &[user("u3", "u3")]);
    let handed = stage.conversation.prepare(BILLING, summarized());
    assert_eq!(handed.expect("it is there").head.position.0, 3);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), ["s", "u2", "u3"]);
    assert!(!stage.conversation.summing(BILLING), "it has it all");
}

#[test]
fn what_is_summed_up_is_masked_and_so_is_the_summary() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[user("u1", "the code is 4711")]);
    let mask = context::Mask {
        what: context::Masked::Pattern(regex::Regex::new("4711").expect("a pattern")),
        action: context::MaskAction::Redact,
    };
    let plan = FilterPlan {
        masks: vec![mask],
        ..summarized()
    };
    let shown = stage.conversation.to_sum_up(&plan);
    assert!(!format!("{:?}", shown[1].chat_item()).contains("4711"));
    assert!(stage.conversation.summing(BILLING));
    let summary = context::summary("s", "he said 4711", AT).expect("an item");
    stage.conversation.summed(BILLING, Some(summary));
    stage.conversation.prepare(BILLING, plan);
    stage.drain(BILLING);
    let told = stage.mirror(BILLING).conversation().next();
    let told = format!("{:?}", told.expect("a summary").chat_item());
    assert!(told.contains("he said [redacted]"), "{told}");
}

#[test]
fn a_call_that_delegates_outlives_grants_and_is_answered_for() {
    let mut stage = Stage::new();
    stage.append(TRIAGE, 1, &[call("c1", "k1", "identify", "{}")]);
    stage.prepare(BILLING);
    let except = ["k1".to_owned()];
    let granting = Granting {
        author: BILLING,
        specialist: "billing",
        epoch: 2,
        tools: &stage.tools.clone(),
        except: &except,
        at: AT,
    };
    stage.conversation.granted(granting, &mut stage.effects);
    stage.drain(BILLING);
    assert_eq!(stage.ids(BILLING), ["baton/1", "baton/2"], "it still runs");
    let mut answer = |output: &str| {
        let effects = &mut stage.effects;
        stage
            .conversation
            .answer_call("k1", output.to_owned(), false, AT, effects);
    };
    answer("known");
    answer("said again");
    stage.drain(BILLING);
    assert_eq!(
        stage.ids(BILLING),
        ["baton/1", "baton/2", "c1", "c1/answered"],
        "call and output stay paired, and there is one output"
    );
    let output = stage.mirror(BILLING).conversation().last();
    let native = output.and_then(Item::native).expect("one of ours");
    let json: serde_json::Value = serde_json::from_slice(&native.json).expect("it is json");
    assert_eq!(json["output"], "known");
    stage.drain(TRIAGE);
    let ids = stage.ids(TRIAGE);
    assert!(
        ids.ends_with(&["baton/2".to_owned(), "c1/answered".to_owned()]),
        "who asked has it as well: {ids:?}"
    );
}
