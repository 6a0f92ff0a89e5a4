//! Files that rot, are cut, or never were a journal.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use store::{CallStatus, Kind, Record, Settled};
use tempfile::TempDir;

use crate::support::{LEASE_MS, PATIENCE, embedded, entry, file_in, new_call, read_all, start};

#[tokio::test]
async fn a_file_that_is_no_journal_is_set_aside() {
    for (round, content) in [b"not a database".as_slice(), &[0; 5_000], &[0xff; 100_000]]
        .into_iter()
        .enumerate()
    {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(file_in(directory.path()), content).expect("writable");
        let journal = start(&embedded(directory.path()), "one").await;
        let (_call, mut receipt) = journal
            .begin(new_call("a"), LEASE_MS, Bytes::new())
            .expect("valid");
        assert_eq!(receipt.settled().await, Settled::Durable, "round {round}");
        assert_eq!(journal.figures().damaged_files, 1);
        let aside = directory.path().join("journal.redb.damaged-1");
        assert_eq!(std::fs::read(aside).expect("it was kept"), content);
    }
}

#[tokio::test]
async fn only_the_newest_damaged_files_are_kept() {
    let directory = TempDir::new().expect("a directory");
    for round in 0..5 {
        std::fs::write(file_in(directory.path()), format!("damage {round}")).expect("writable");
        let journal = start(&embedded(directory.path()), "one").await;
        journal.close(PATIENCE).await.expect("nothing waits");
    }
    let mut kept: Vec<String> = std::fs::read_dir(directory.path())
        .expect("readable")
        .map(|file| {
            file.expect("readable")
                .file_name()
                .into_string()
                .expect("our names")
        })
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [
            "journal.redb",
            "journal.redb.damaged-4",
            "journal.redb.damaged-5"
        ]
    );
}

/// What a rotten place on the disk does to a file.
#[derive(Clone, Debug)]
enum Rot {
    Cut { keep: f64 },
    Flip { places: Vec<(f64, u8)> },
    Zero { from: f64, bytes: usize },
}

fn rot() -> impl Strategy<Value = Rot> {
    prop_oneof![
        (0.0..1.0).prop_map(|keep| Rot::Cut { keep }),
        prop::collection::vec((0.0..1.0, 1..=255_u8), 1..40)
            .prop_map(|places| Rot::Flip { places }),
        ((0.0..1.0), 1..20_000_usize).prop_map(|(from, bytes)| Rot::Zero { from, bytes }),
    ]
}

fn apply(rot: &Rot, file: &Path) {
    let mut bytes = std::fs::read(file).expect("readable");
    let len = bytes.len();
    let at = |place: f64| ((len as f64 * place) as usize).min(len - 1);
    match rot {
        Rot::Cut { keep } => bytes.truncate(at(*keep)),
        Rot::Flip { places } => {
            for (place, flip) in places {
                bytes[at(*place)] ^= flip;
            }
        }
        Rot::Zero { from, bytes: count } => {
            let from = at(*from);
            let until = (from + count).min(len);
            bytes[from..until].fill(0);
        }
    }
    std::fs::write(file, bytes).expect("writable");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever became of the file: the journal opens, never shows what nobody wrote, and takes new calls.
    #[test]
    fn rot_never_stops_the_journal_and_never_lies(rot in rot(), calls in 1..4_u64, records in 1..40_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let directory = TempDir::new().expect("a directory");
            let journal = start(&embedded(directory.path()), "one").await;
            for number in 0..calls {
                let (mut call, _) = journal.begin(new_call(&number.to_string()), LEASE_MS, Bytes::new()).expect("valid");
                for epoch in 1..records {
                    call.append(entry(Kind::Core, epoch, &[number as u8; 300]));
                }
            }
            journal.close(PATIENCE).await.expect("all written");
            apply(&rot, &file_in(directory.path()));

            let journal = start(&embedded(directory.path()), "two").await;
            let listed = journal.calls(CallStatus::Open, 100).await.expect("readable");
            for call in listed {
                let number = call.key.as_str().parse::<u8>().expect("one of ours");
                let found = read_all(&journal, call.key.as_str()).await;
                assert!(found.iter().all(|record| is_ours(record, number)), "{found:?}");
            }
            let (mut call, _) = journal.begin(new_call("new"), LEASE_MS, Bytes::new()).expect("valid");
            assert_eq!(call.append(entry(Kind::Core, 1, b"x")).stored().await, Settled::Durable);
            assert_eq!(read_all(&journal, "new").await.len(), 2);
        });
    }

    /// Damage under a running journal: what is appended afterwards is durable in the end, and nothing is made up.
    #[test]
    fn rot_under_a_running_journal_is_survived(rot in rot()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let directory = TempDir::new().expect("a directory");
            let mut config = embedded(directory.path());
            if let store::StoreConfig::Embedded(file) = &mut config.store {
                file.cache_bytes = 0;
            }
            let journal = start(&config, "one").await;
            let (mut call, _) = journal.begin(new_call("0"), LEASE_MS, Bytes::new()).expect("valid");
            for epoch in 1..60 {
                call.append(entry(Kind::Core, epoch, &[0; 300]));
            }
            journal.flush().await.expect("open");
            apply(&rot, &file_in(directory.path()));
            for epoch in 60..70 {
                let mut receipt = call.append(entry(Kind::Core, epoch, &[0; 300]));
                assert_eq!(receipt.stored().await, Settled::Durable);
            }
            if let Ok(page) = journal.read(&crate::support::key("0"), 0, 1_000).await {
                assert!(page.records.iter().all(|record| is_ours(record, 0)), "{page:?}");
            }
        });
    }
}

/// Whether the test wrote that record.
fn is_ours(record: &Record, number: u8) -> bool {
    let entry = &record.entry;
    match entry.kind {
        Kind::Opened => record.seq == 0,
        Kind::Core => entry.epoch == record.seq && *entry.payload == [number; 300],
        _ => false,
    }
}
