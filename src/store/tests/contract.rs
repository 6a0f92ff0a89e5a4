//! What both stores promise.

use bytes::Bytes;
use store::{CallStatus, ClaimError, Health, JournalConfig, Kind, Settled};

use crate::support::{LEASE_MS, RedisServer, T0, embedded, entry, key, new_call, read_all, start};

/// Runs each promise on a file and on Redis.
macro_rules! promises {
    ($($name:ident),+ $(,)?) => {
        mod on_a_file {
            $(
                #[tokio::test]
                async fn $name() {
                    let directory = tempfile::TempDir::new().expect("a directory");
                    super::$name(&super::embedded(directory.path()), true).await;
                }
            )+
        }
        mod on_redis {
            $(
                #[tokio::test]
                async fn $name() {
                    let server = super::RedisServer::start(&[]);
                    super::$name(&server.config(), false).await;
                }
            )+
        }
    };
}

promises!(
    records_come_back_in_order_with_all_they_carry,
    open_and_ended_calls_are_listed,
    a_call_goes_on_after_a_claim_and_its_former_writer_is_fenced,
    a_held_call_cannot_be_claimed_until_it_is_released,
    an_ended_or_unknown_call_cannot_be_claimed,
    a_second_call_of_the_same_key_is_fenced,
    a_record_that_is_there_already_is_not_stored_again,
    renewing_keeps_a_silent_call_from_being_swept,
    a_record_without_room_is_lost_and_leaves_a_visible_gap,
    a_snapshot_mends_a_torn_call,
    old_calls_are_swept,
    many_calls_share_transactions,
    a_page_goes_on_where_the_last_one_stopped,
    a_closed_journal_loses_what_comes_later,
);

async fn records_come_back_in_order_with_all_they_carry(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let (mut call, mut opened) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::from_static(b"head"))
        .expect("valid");
    assert_eq!(opened.settled().await, Settled::Durable);
    let kinds = [
        Kind::Core,
        Kind::Grant,
        Kind::ContextItem,
        Kind::StatePatch,
        Kind::Phase,
        Kind::Snapshot,
        Kind::Unknown(77),
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let payload = vec![index as u8; index * 1_000];
        assert_eq!(
            call.append(entry(kind, index as u64, &payload))
                .settled()
                .await,
            Settled::Durable
        );
    }
    let records = read_all(&journal, "a").await;
    assert_eq!(records.len(), kinds.len() + 1);
    assert_eq!(records[0].entry.payload, "head");
    assert_eq!(records[0].entry.kind, Kind::Opened);
    for (index, kind) in kinds.into_iter().enumerate() {
        let record = &records[index + 1];
        assert_eq!(record.seq, index as u64 + 1);
        assert_eq!(
            record.entry,
            entry(kind, index as u64, &vec![index as u8; index * 1_000])
        );
    }
}

async fn open_and_ended_calls_are_listed(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let (mut a, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    let (mut b, _) = journal
        .begin(new_call("b"), LEASE_MS, Bytes::new())
        .expect("valid");
    a.append(entry(Kind::Grant, 9, b"grant"));
    a.append(entry(Kind::Core, 4, b""));
    b.append(entry(Kind::Ended, 0, b"hung up"));
    journal.flush().await.expect("open");

    let open = journal.calls(CallStatus::Open, 10).await.expect("readable");
    let [call] = open.as_slice() else {
        panic!("one call is open: {open:?}");
    };
    assert_eq!(call.key, key("a"));
    assert_eq!(
        (
            call.room.as_str(),
            call.agent.as_str(),
            call.config_hash.as_str()
        ),
        ("room of a", "baton", "c0ffee")
    );
    assert_eq!((call.next_seq, call.records, call.epoch), (3, 3, 9));
    assert_eq!(
        (call.opened_unix_ms, call.last_unix_ms, call.ended_unix_ms),
        (T0, T0 + 1, None)
    );
    assert_eq!(
        (call.lease.owner.as_str(), call.lease.generation),
        ("one", 1)
    );

    let ended = journal
        .calls(CallStatus::Ended, 10)
        .await
        .expect("readable");
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (&ended[0].key, ended[0].ended_unix_ms),
        (&key("b"), Some(T0 + 1))
    );
    assert_eq!(
        journal.call(&key("b")).await.expect("readable"),
        Some(ended[0].clone())
    );
    assert_eq!(journal.call(&key("c")).await.expect("readable"), None);
    assert!(
        journal
            .calls(CallStatus::Ended, 0)
            .await
            .expect("readable")
            .is_empty()
    );
}

async fn a_call_goes_on_after_a_claim_and_its_former_writer_is_fenced(
    config: &JournalConfig,
    _: bool,
) {
    let journal = start(config, "one").await;
    let (mut former, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.settled().await, Settled::Durable);
    let mut heir = journal.claim(&key("a"), T0, LEASE_MS).await.expect("ours");
    assert_eq!((heir.generation(), heir.next_seq()), (2, 1));

    let mut stale = former.append(entry(Kind::Grant, 1, b"stale"));
    assert_eq!(stale.settled().await, Settled::Fenced);
    assert!(former.is_fenced());
    assert_eq!(
        heir.append(entry(Kind::Grant, 2, b"fresh")).settled().await,
        Settled::Durable
    );
    assert!(!heir.is_fenced());
    former.renew(T0, LEASE_MS);
    journal.flush().await.expect("open");

    let records = read_all(&journal, "a").await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].entry.payload, "fresh");
    let call = journal
        .call(&key("a"))
        .await
        .expect("readable")
        .expect("stored");
    assert_eq!(call.lease.generation, 2);
    assert_eq!(journal.figures().lost_records, 1);
}

async fn a_held_call_cannot_be_claimed_until_it_is_released(
    config: &JournalConfig,
    is_a_file: bool,
) {
    if is_a_file {
        // The file belongs to one process: whoever opens it may claim all that it finds.
        let journal = start(config, "one").await;
        let (_call, mut receipt) = journal
            .begin(new_call("a"), LEASE_MS, Bytes::new())
            .expect("valid");
        assert_eq!(receipt.settled().await, Settled::Durable);
        journal.flush().await.expect("open");
        journal
            .close(crate::support::PATIENCE)
            .await
            .expect("all written");
        let heir = start(config, "two").await;
        let call = heir
            .call(&key("a"))
            .await
            .expect("readable")
            .expect("stored");
        assert!(call.is_claimable(T0));
        assert_eq!(
            heir.claim(&key("a"), T0, LEASE_MS)
                .await
                .expect("void")
                .generation(),
            2
        );
        return;
    }
    let one = start(config, "one").await;
    let two = start(config, "two").await;
    let (call, _) = one
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    one.flush().await.expect("open");
    let refused = two.claim(&key("a"), 0, LEASE_MS).await.expect_err("held");
    assert!(
        matches!(&refused, ClaimError::Held { lease } if lease.owner == "one"),
        "{refused}"
    );
    call.release(T0);
    one.flush().await.expect("open");
    assert_eq!(
        two.claim(&key("a"), 0, LEASE_MS)
            .await
            .expect("released")
            .generation(),
        2
    );
    assert!(matches!(
        one.claim(&key("a"), 0, LEASE_MS).await,
        Err(ClaimError::Held { .. })
    ));
}

async fn an_ended_or_unknown_call_cannot_be_claimed(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    assert!(matches!(
        journal.claim(&key("a"), T0, LEASE_MS).await,
        Err(ClaimError::Unknown)
    ));
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(
        call.append(entry(Kind::Ended, 0, b"")).settled().await,
        Settled::Durable
    );
    assert!(matches!(
        journal.claim(&key("a"), T0, LEASE_MS).await,
        Err(ClaimError::Ended)
    ));
    // What was under way at the end is still kept.
    assert_eq!(
        call.append(entry(Kind::ContextItem, 0, b"late"))
            .settled()
            .await,
        Settled::Durable
    );
    assert_eq!(read_all(&journal, "a").await.len(), 3);
}

async fn a_second_call_of_the_same_key_is_fenced(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let (mut first, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::from_static(b"first"))
        .expect("valid");
    assert_eq!(
        first.append(entry(Kind::Ended, 0, b"")).settled().await,
        Settled::Durable
    );
    let mut again = new_call("a");
    again.opened_unix_ms += 1;
    let (mut second, mut opened) = journal
        .begin(again, LEASE_MS, Bytes::from_static(b"second"))
        .expect("valid");
    assert_eq!(opened.settled().await, Settled::Fenced);
    assert_eq!(
        second.append(entry(Kind::Core, 0, b"")).settled().await,
        Settled::Fenced
    );
    assert_eq!(read_all(&journal, "a").await[0].entry.payload, "first");
}

/// What a transaction looks like to the store that is repeated because its answer was lost.
async fn a_record_that_is_there_already_is_not_stored_again(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    for payload in ["first", "again"] {
        let (mut call, _) = journal
            .begin(new_call("a"), LEASE_MS, Bytes::from(payload))
            .expect("valid");
        assert_eq!(
            call.append(entry(Kind::Core, 1, payload.as_bytes()))
                .settled()
                .await,
            Settled::Durable
        );
        assert!(!call.is_torn());
    }
    let payloads: Vec<Bytes> = read_all(&journal, "a")
        .await
        .into_iter()
        .map(|record| record.entry.payload)
        .collect();
    assert_eq!(payloads, ["first", "first"]);
    let stored = journal
        .call(&key("a"))
        .await
        .expect("readable")
        .expect("stored");
    assert_eq!((stored.records, stored.next_seq), (2, 2));
}

async fn renewing_keeps_a_silent_call_from_being_swept(config: &JournalConfig, _: bool) {
    let abandoned_ms = config.retention.abandoned.as_millis() as u64;
    let journal = start(config, "one").await;
    let (mut renewed, _) = journal
        .begin(new_call("renewed"), LEASE_MS, Bytes::new())
        .expect("valid");
    let (_silent, _) = journal
        .begin(new_call("silent"), LEASE_MS, Bytes::new())
        .expect("valid");
    renewed.renew(T0 + abandoned_ms, LEASE_MS);
    journal.flush().await.expect("open");
    assert_eq!(
        journal.sweep(T0 + abandoned_ms + 5).await.expect("swept"),
        1
    );
    let open = journal.calls(CallStatus::Open, 10).await.expect("readable");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].key, key("renewed"));
}

async fn a_record_without_room_is_lost_and_leaves_a_visible_gap(config: &JournalConfig, _: bool) {
    let mut config = config.clone();
    config.buffer.call_bytes_max = 10_000;
    let journal = start(&config, "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert!(!call.is_torn());
    assert_eq!(
        call.append(entry(Kind::Core, 0, &[7; 20_000]))
            .settled()
            .await,
        Settled::Lost
    );
    assert!(call.is_torn());
    assert_eq!(
        call.append(entry(Kind::Core, 0, b"small")).settled().await,
        Settled::Durable
    );
    let page = journal.read(&key("a"), 0, 100).await.expect("readable");
    assert_eq!(
        page.records
            .iter()
            .map(|record| record.seq)
            .collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(page.missing, [1..=1]);
    assert_eq!(journal.figures().lost_records, 1);
    let stored = journal
        .call(&key("a"))
        .await
        .expect("readable")
        .expect("stored");
    assert_eq!((stored.next_seq, stored.records), (3, 2));
}

async fn a_snapshot_mends_a_torn_call(config: &JournalConfig, _: bool) {
    let mut config = config.clone();
    config.buffer.call_bytes_max = 10_000;
    let journal = start(&config, "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    call.append(entry(Kind::Core, 0, &[7; 20_000]));
    assert!(call.is_torn());
    assert_eq!(
        call.append(entry(Kind::Snapshot, 0, b"all of it"))
            .settled()
            .await,
        Settled::Durable
    );
    assert!(!call.is_torn());
    assert_eq!(
        call.append(entry(Kind::Core, 0, b"next")).settled().await,
        Settled::Durable
    );
    assert!(!call.is_torn());
}

async fn old_calls_are_swept(config: &JournalConfig, _: bool) {
    let mut config = config.clone();
    config.retention.ended_calls_max = 5;
    let ended_ms = config.retention.ended.as_millis() as u64;
    let abandoned_ms = config.retention.abandoned.as_millis() as u64;
    let journal = start(&config, "one").await;
    for number in 0..8 {
        let (mut call, _) = journal
            .begin(new_call(&format!("ended {number}")), LEASE_MS, Bytes::new())
            .expect("valid");
        let mut end = entry(Kind::Ended, 0, b"");
        end.unix_ms = T0 + number;
        call.append(end);
    }
    let (_call, _) = journal
        .begin(new_call("open"), LEASE_MS, Bytes::new())
        .expect("valid");
    journal.flush().await.expect("open");

    assert_eq!(journal.sweep(T0 + 100).await.expect("swept"), 3);
    let newest = journal
        .calls(CallStatus::Ended, 100)
        .await
        .expect("readable");
    assert_eq!(
        newest
            .iter()
            .map(|call| call.key.as_str())
            .collect::<Vec<_>>(),
        ["ended 7", "ended 6", "ended 5", "ended 4", "ended 3"]
    );
    assert!(read_all(&journal, "ended 0").await.is_empty());
    assert_eq!(
        journal
            .calls(CallStatus::Open, 100)
            .await
            .expect("readable")
            .len(),
        1
    );

    assert_eq!(
        journal.sweep(T0 + abandoned_ms + 1).await.expect("swept"),
        1
    );
    assert!(
        journal
            .calls(CallStatus::Open, 100)
            .await
            .expect("readable")
            .is_empty()
    );
    assert_eq!(journal.sweep(T0 + ended_ms + 100).await.expect("swept"), 5);
    assert!(
        journal
            .calls(CallStatus::Ended, 100)
            .await
            .expect("readable")
            .is_empty()
    );
}

async fn many_calls_share_transactions(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let mut calls = Vec::new();
    for number in 0..100 {
        calls.push(
            journal
                .begin(new_call(&number.to_string()), LEASE_MS, Bytes::new())
                .expect("valid")
                .0,
        );
    }
    for round in 0..20_u64 {
        for call in &mut calls {
            call.append(entry(Kind::Core, round, &round.to_le_bytes()));
        }
    }
    journal.flush().await.expect("open");
    let figures = journal.figures();
    assert_eq!(
        (
            figures.durable_records,
            figures.lost_records,
            figures.waiting_records,
            figures.waiting_bytes
        ),
        (2_100, 0, 0, 0)
    );
    assert!(figures.commits < 100, "{} transactions", figures.commits);
    for number in [0, 57, 99] {
        let epochs: Vec<u64> = read_all(&journal, &number.to_string())
            .await
            .iter()
            .skip(1)
            .map(|record| record.entry.epoch)
            .collect();
        assert_eq!(epochs, (0..20).collect::<Vec<_>>());
    }
}

async fn a_page_goes_on_where_the_last_one_stopped(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    for _ in 0..9 {
        call.append(entry(Kind::Core, 0, b"x"));
    }
    journal.flush().await.expect("open");
    let first = journal.read(&key("a"), 0, 4).await.expect("readable");
    assert_eq!((first.records.len(), first.next), (4, Some(4)));
    let second = journal.read(&key("a"), 4, 100).await.expect("readable");
    assert_eq!(
        (second.records.len(), second.next, second.records[0].seq),
        (6, None, 4)
    );
    assert!(second.missing.is_empty());
    let beyond = journal.read(&key("a"), 100, 100).await.expect("readable");
    assert_eq!((beyond.records.len(), beyond.next), (0, None));
    assert!(
        journal
            .read(&key("nobody"), 0, 100)
            .await
            .expect("readable")
            .records
            .is_empty()
    );
}

async fn a_closed_journal_loses_what_comes_later(config: &JournalConfig, _: bool) {
    let journal = start(config, "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    journal
        .close(crate::support::PATIENCE)
        .await
        .expect("all written");
    assert_eq!(receipt.settled().await, Settled::Durable);
    assert_eq!(*journal.health().borrow(), Health::Closed);
    assert_eq!(
        call.append(entry(Kind::Core, 0, b"late")).settled().await,
        Settled::Lost
    );
    assert!(journal.calls(CallStatus::Open, 1).await.is_err());
    assert!(journal.flush().await.is_err());
}
