//! What a journal in a file meets: another process, no directory, a bound on its size, space to give back.

use std::time::Duration;

use bytes::Bytes;
use store::{
    CallStatus, EmbeddedConfig, Health, Journal, JournalConfig, Kind, Settled, StoreConfig, Trouble,
};
use tempfile::TempDir;

use crate::support::{
    LEASE_MS, PATIENCE, T0, embedded, entry, file_in, health_becomes, key, new_call, read_all,
    start,
};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_file_in_use_is_waited_for() {
    let directory = TempDir::new().expect("a directory");
    let config = embedded(directory.path());
    let one = start(&config, "one").await;
    let two = Journal::start(&config, "two").expect("valid");
    assert_eq!(two.opened().await.trouble(), Some(Trouble::InUse));
    let (_call, mut receipt) = two
        .begin(new_call("b"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.settled().await, Settled::Buffered(Trouble::InUse));
    one.close(PATIENCE).await.expect("nothing waits");
    assert_eq!(receipt.stored().await, Settled::Durable);
    assert_eq!(two.figures().damaged_files, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().expect("a directory");
    start(&embedded(directory.path()), "one").await;
    let file = std::fs::metadata(file_in(directory.path())).expect("it is there");
    assert_eq!(file.permissions().mode() & 0o077, 0);
}

#[tokio::test]
async fn a_missing_directory_is_waited_for() {
    let directory = TempDir::new().expect("a directory");
    let inner = directory.path().join("later");
    let journal = Journal::start(&embedded(&inner), "one").expect("valid");
    assert_eq!(journal.opened().await.trouble(), Some(Trouble::Unreachable));
    let (_call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(
        receipt.settled().await,
        Settled::Buffered(Trouble::Unreachable)
    );
    std::fs::create_dir(&inner).expect("a directory");
    assert_eq!(receipt.stored().await, Settled::Durable);
}

#[tokio::test]
async fn the_file_keeps_its_bound_and_the_oldest_ended_calls_go() {
    let directory = TempDir::new().expect("a directory");
    let journal = start(&bounded(&directory, 8 * MIB), "one").await;
    // Ten times what fits.
    for number in 0..40_u64 {
        let (mut call, _) = journal
            .begin(new_call(&number.to_string()), LEASE_MS, Bytes::new())
            .expect("valid");
        for _ in 0..256 {
            call.append(entry(Kind::ContextItem, 0, &[3; 4_000]));
        }
        let mut end = entry(Kind::Ended, 0, b"");
        end.unix_ms = T0 + number;
        assert_eq!(call.append(end).stored().await, Settled::Durable);
        let file_bytes = std::fs::metadata(file_in(directory.path()))
            .expect("it is there")
            .len();
        assert!(file_bytes <= 8 * MIB, "{file_bytes} bytes");
        assert_eq!(journal.figures().file_bytes, file_bytes);
    }
    let kept = journal
        .calls(CallStatus::Ended, 1_000)
        .await
        .expect("readable");
    assert!(
        !kept.is_empty() && kept.len() < 20,
        "{} calls are kept",
        kept.len()
    );
    assert_eq!(kept[0].key, key("39"));
    assert_eq!(read_all(&journal, "39").await.len(), 258);
    assert!(read_all(&journal, "3").await.is_empty());
    assert_eq!(
        (journal.figures().lost_records, journal.figures().troubles),
        (0, 0)
    );
}

#[tokio::test]
async fn open_calls_that_fill_the_file_wait_in_memory_until_one_ends() {
    let directory = TempDir::new().expect("a directory");
    let journal = start(&bounded(&directory, 4 * MIB), "one").await;
    let (mut long, _) = journal
        .begin(new_call("long"), LEASE_MS, Bytes::new())
        .expect("valid");
    let (mut other, _) = journal
        .begin(new_call("other"), LEASE_MS, Bytes::new())
        .expect("valid");
    let mut last = long.append(entry(Kind::Core, 0, b"x"));
    for _ in 0..3_000 {
        last = long.append(entry(Kind::ContextItem, 0, &[3; 4_000]));
    }
    assert_eq!(last.settled().await, Settled::Buffered(Trouble::Full));
    let mut waiting = other.append(entry(Kind::Grant, 1, b"waits"));
    assert_eq!(waiting.settled().await, Settled::Buffered(Trouble::Full));

    // Its end fits, what it had still to say does not: then it can be deleted for the other's sake.
    let mut end = long.append(entry(Kind::Ended, 0, b""));
    let ended = tokio::time::timeout(PATIENCE, end.stored()).await;
    assert_eq!(ended.expect("in time"), Settled::Durable);
    assert_eq!(last.stored().await, Settled::Lost);
    assert_eq!(waiting.stored().await, Settled::Durable);
    health_becomes(&journal, |health| *health == Health::Healthy).await;
    assert!(journal.figures().lost_records > 0);
    assert_eq!(read_all(&journal, "other").await.len(), 2);
    assert!(!other.is_torn());
}

#[tokio::test]
async fn unused_space_is_given_back() {
    let directory = TempDir::new().expect("a directory");
    let journal = start(&embedded(directory.path()), "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    for _ in 0..10 {
        call.append(entry(Kind::ContextItem, 0, &vec![3; 2 << 20]));
    }
    assert_eq!(
        call.append(entry(Kind::Ended, 0, b"")).stored().await,
        Settled::Durable
    );
    let (mut open, _) = journal
        .begin(new_call("open"), LEASE_MS, Bytes::from_static(b"kept"))
        .expect("valid");
    journal.flush().await.expect("open");
    assert!(journal.figures().file_bytes > 20 * MIB);
    let week_later = T0 + 8 * 86_400_000;
    assert_eq!(
        open.append(late(week_later)).stored().await,
        Settled::Durable
    );
    assert_eq!(journal.sweep(week_later).await.expect("swept"), 1);
    let file_bytes = std::fs::metadata(file_in(directory.path()))
        .expect("it is there")
        .len();
    assert!(file_bytes < 4 * MIB, "{file_bytes} bytes");
    assert_eq!(read_all(&journal, "open").await[0].entry.payload, "kept");
    assert_eq!(
        open.append(late(week_later)).stored().await,
        Settled::Durable
    );
}

#[tokio::test]
async fn what_finds_no_room_in_memory_is_counted() {
    let directory = TempDir::new().expect("a directory");
    let mut config = embedded(&directory.path().join("missing"));
    config.buffer.bytes_max = 10_000;
    let journal = Journal::start(&config, "one").expect("valid");
    journal.opened().await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    let mut receipts: Vec<_> = (0..20)
        .map(|_| call.append(entry(Kind::Core, 0, &[1; 1_000])))
        .collect();
    let mut lost = 0;
    for receipt in &mut receipts {
        lost += u64::from(receipt.settled().await == Settled::Lost);
    }
    assert!((10..13).contains(&lost), "{lost} were lost");
    assert_eq!(journal.figures().lost_records, lost);
    assert!(journal.figures().waiting_bytes <= 10_000);
    assert!(call.is_torn());
    let unsaved = journal
        .close(Duration::from_millis(50))
        .await
        .expect_err("there is no directory");
    assert_eq!(unsaved.records, 21 - lost);
}

fn late(unix_ms: u64) -> store::Entry {
    let mut entry = entry(Kind::Core, 0, b"late");
    entry.unix_ms = unix_ms;
    entry
}

fn bounded(directory: &TempDir, file_bytes_max: u64) -> JournalConfig {
    let mut config = embedded(directory.path());
    let mut file = EmbeddedConfig::new(file_in(directory.path()));
    file.file_bytes_max = file_bytes_max;
    config.store = StoreConfig::Embedded(file);
    config
}
