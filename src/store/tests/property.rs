//! Random histories against a model: what a journal says is what was done, across claims and restarts.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use store::{
    CallJournal, CallStatus, ClaimError, Entry, Journal, JournalConfig, Kind, StoreConfig,
};
use tempfile::TempDir;

use crate::support::{
    LEASE_MS, PATIENCE, RedisServer, T0, embedded, key, new_call, read_all, start,
};

#[derive(Clone, Debug)]
enum Step {
    Append {
        call: u8,
        kind: u32,
        epoch: u64,
        bytes: usize,
    },
    End {
        call: u8,
    },
    Claim {
        call: u8,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = 0..4_u8;
    let step = prop_oneof![
        8 => (call.clone(), 2..9_u32, 0..50_u64, 0..3_000_usize).prop_map(|(call, kind, epoch, bytes)| Step::Append { call, kind: kind % 8, epoch, bytes }),
        1 => call.clone().prop_map(|call| Step::End { call }),
        1 => call.prop_map(|call| Step::Claim { call }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    is_ended: bool,
}

async fn run(config: &JournalConfig, steps: &[Step]) {
    let mut model: BTreeMap<u8, Model> = BTreeMap::new();
    let mut writers: BTreeMap<u8, CallJournal> = BTreeMap::new();
    let mut journal = start(config, "run").await;
    for step in steps {
        match step {
            Step::Append {
                call,
                kind,
                epoch,
                bytes,
            } => {
                let entry = Entry {
                    kind: Kind::from_number(*kind),
                    epoch: *epoch,
                    unix_ms: T0 + epoch,
                    payload: Bytes::from(vec![*call; *bytes]),
                };
                writer(&journal, &mut writers, &mut model, *call).append(entry.clone());
                model.entry(*call).or_default().entries.push(entry);
            }
            Step::End { call } => {
                let entry = Entry {
                    kind: Kind::Ended,
                    epoch: 0,
                    unix_ms: T0,
                    payload: Bytes::new(),
                };
                writer(&journal, &mut writers, &mut model, *call).append(entry.clone());
                let known = model.entry(*call).or_default();
                known.entries.push(entry);
                known.is_ended = true;
            }
            Step::Claim { call } => {
                journal.flush().await.expect("open");
                claim(&journal, &mut writers, &model, *call).await;
            }
            Step::Restart => {
                journal.close(PATIENCE).await.expect("all written");
                journal = start(config, "run").await;
                check(&journal, &model).await;
                writers.clear();
                for call in model.keys() {
                    claim(&journal, &mut writers, &model, *call).await;
                }
            }
        }
    }
    journal.flush().await.expect("open");
    check(&journal, &model).await;
    let figures = journal.figures();
    assert_eq!(
        (
            figures.lost_records,
            figures.troubles,
            figures.waiting_bytes
        ),
        (0, 0, 0)
    );
}

/// The call's writer; the call begins with it.
fn writer<'a>(
    journal: &Journal,
    writers: &'a mut BTreeMap<u8, CallJournal>,
    model: &mut BTreeMap<u8, Model>,
    call: u8,
) -> &'a mut CallJournal {
    writers.entry(call).or_insert_with(|| {
        let known = model.entry(call).or_default();
        assert!(
            known.entries.is_empty(),
            "a call that goes on has its writer"
        );
        let entry = Entry {
            kind: Kind::Opened,
            epoch: 0,
            unix_ms: T0,
            payload: Bytes::from_static(b"opened"),
        };
        known.entries.push(entry);
        journal
            .begin(
                new_call(&call.to_string()),
                LEASE_MS,
                Bytes::from_static(b"opened"),
            )
            .expect("valid")
            .0
    })
}

async fn claim(
    journal: &Journal,
    writers: &mut BTreeMap<u8, CallJournal>,
    model: &BTreeMap<u8, Model>,
    call: u8,
) {
    let claimed = journal.claim(&key(&call.to_string()), T0, LEASE_MS).await;
    match (model.get(&call), claimed) {
        (None, Err(ClaimError::Unknown)) => {}
        (Some(known), Err(ClaimError::Ended)) => assert!(known.is_ended),
        (Some(known), Ok(heir)) => {
            assert!(!known.is_ended);
            assert_eq!(heir.next_seq(), known.entries.len() as u64);
            writers.insert(call, heir);
        }
        (_, other) => panic!("{other:?}"),
    }
}

async fn check(journal: &Journal, model: &BTreeMap<u8, Model>) {
    for (call, known) in model {
        let found: Vec<Entry> = read_all(journal, &call.to_string())
            .await
            .into_iter()
            .map(|record| record.entry)
            .collect();
        assert_eq!(found, known.entries);
    }
    for (status, is_ended) in [(CallStatus::Open, false), (CallStatus::Ended, true)] {
        let mut listed: Vec<String> = journal
            .calls(status, 100)
            .await
            .expect("readable")
            .iter()
            .map(|call| call.key.as_str().to_owned())
            .collect();
        listed.sort();
        let wanted: Vec<String> = model
            .iter()
            .filter(|(_, known)| known.is_ended == is_ended)
            .map(|(call, _)| call.to_string())
            .collect();
        assert_eq!(listed, wanted);
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work);
}

/// Steps on a call that has ended and lost its writer would begin it anew, which no caller may do.
fn legal(steps: Vec<Step>) -> Vec<Step> {
    let mut ended = std::collections::BTreeSet::new();
    let mut is_legal = |step: &Step| match step {
        Step::Append { call, .. } => !ended.contains(call),
        Step::End { call } => ended.insert(*call),
        Step::Claim { .. } | Step::Restart => true,
    };
    steps.into_iter().filter(|step| is_legal(step)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_says_what_was_done(steps in steps().prop_map(legal)) {
        let directory = TempDir::new().expect("a directory");
        block_on(run(&embedded(directory.path()), &steps));
    }
}

#[test]
fn redis_says_what_was_done() {
    let server = RedisServer::start(&[]);
    let case = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps().prop_map(legal), |steps| {
        case.set(case.get() + 1);
        let mut config = server.config();
        if let StoreConfig::Redis(redis) = &mut config.store {
            redis.prefix = format!("case-{}", case.get());
        }
        block_on(run(&config, &steps));
        Ok(())
    });
    result.expect("every case holds");
}
