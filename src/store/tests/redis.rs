//! What a journal on Redis meets: a server that is lost, emptied, full, slow, or does not know us.

use std::time::Duration;

use bytes::Bytes;
use store::{
    CallStatus, ClaimError, Health, Journal, JournalConfig, Kind, Settled, StoreConfig, Trouble,
};

use crate::support::{
    LEASE_MS, PATIENCE, RedisServer, entry, health_becomes, key, new_call, read_all, start,
};

/// Options of a server that saves each write, as a durable journal needs it.
const SAVING: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

#[tokio::test]
async fn a_lost_server_is_waited_out_and_nothing_is_lost() {
    let mut server = RedisServer::start(&SAVING);
    let journal = start(&server.config(), "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.settled().await, Settled::Durable);
    server.kill();
    let mut first = call.append(entry(Kind::Grant, 1, b"1"));
    assert_eq!(
        first.settled().await,
        Settled::Buffered(Trouble::Unreachable)
    );
    for epoch in 2..500 {
        call.append(entry(Kind::Core, epoch, &[1; 100]));
    }
    assert!(matches!(
        *journal.health().borrow(),
        Health::Degraded { .. }
    ));
    assert_eq!(journal.figures().waiting_records, 499);
    server.restart();
    assert_eq!(first.stored().await, Settled::Durable);
    health_becomes(&journal, |health| *health == Health::Healthy).await;
    journal.flush().await.expect("open");
    let records = read_all(&journal, "a").await;
    assert_eq!(
        records.iter().map(|record| record.seq).collect::<Vec<_>>(),
        (0..500).collect::<Vec<_>>()
    );
    assert!(!call.is_torn());
    let figures = journal.figures();
    assert_eq!(
        (
            figures.troubles,
            figures.lost_records,
            figures.waiting_records
        ),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_later() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let journal = Journal::start(&server.config(), "one").expect("valid");
    assert_eq!(journal.opened().await.trouble(), Some(Trouble::Unreachable));
    let (_call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(
        receipt.settled().await,
        Settled::Buffered(Trouble::Unreachable)
    );
    assert!(journal.calls(CallStatus::Open, 1).await.is_err());
    server.restart();
    assert_eq!(receipt.stored().await, Settled::Durable);
}

#[tokio::test]
async fn a_server_that_lost_its_data_gets_the_call_anew_and_the_call_knows() {
    let server = RedisServer::start(&[]);
    let journal = start(&server.config(), "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.settled().await, Settled::Durable);
    assert_eq!(server.cli(&["FLUSHALL"]), "OK");
    assert_eq!(
        call.append(entry(Kind::Core, 3, b"x")).settled().await,
        Settled::Durable
    );
    assert!(call.is_torn());
    assert_eq!(
        call.append(entry(Kind::Snapshot, 3, b"all"))
            .settled()
            .await,
        Settled::Durable
    );
    assert!(!call.is_torn());
    let listed = journal.calls(CallStatus::Open, 10).await.expect("readable");
    assert_eq!(
        (
            listed.len(),
            listed[0].room.as_str(),
            listed[0].next_seq,
            listed[0].records
        ),
        (1, "room of a", 3, 2)
    );
    let page = journal.read(&key("a"), 0, 10).await.expect("readable");
    assert_eq!(page.missing, [0..=0]);
}

#[tokio::test]
async fn a_server_out_of_memory_is_waited_out() {
    let server = RedisServer::start(&[]);
    let journal = start(&server.config(), "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.settled().await, Settled::Durable);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut waiting = call.append(entry(Kind::Core, 1, b"x"));
    assert_eq!(waiting.settled().await, Settled::Buffered(Trouble::Full));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(waiting.stored().await, Settled::Durable);
    assert_eq!(read_all(&journal, "a").await.len(), 2);
}

#[tokio::test]
async fn a_slow_server_is_reported_as_stalled_and_stores_once() {
    let server = RedisServer::start(&[]);
    let mut config = patient(server.config());
    config.retry.stall = Duration::from_millis(50);
    let journal = start(&config, "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.stored().await, Settled::Durable);
    server.cli(&["CLIENT", "PAUSE", "700", "ALL"]);
    let mut waiting = call.append(entry(Kind::Core, 1, b"x"));
    assert_eq!(waiting.settled().await, Settled::Buffered(Trouble::Stalled));
    assert_eq!(waiting.stored().await, Settled::Durable);
    health_becomes(&journal, |health| *health == Health::Healthy).await;
    assert_eq!(read_all(&journal, "a").await.len(), 2);
}

#[tokio::test]
async fn a_command_that_was_given_up_is_stored_once() {
    let server = RedisServer::start(&[]);
    let mut config = server.config();
    if let StoreConfig::Redis(redis) = &mut config.store {
        redis.response_timeout = Duration::from_millis(200);
    }
    let journal = start(&config, "one").await;
    let (mut call, mut receipt) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(receipt.stored().await, Settled::Durable);
    server.cli(&["CLIENT", "PAUSE", "900", "ALL"]);
    let mut waiting = call.append(entry(Kind::Core, 1, b"x"));
    assert_eq!(
        waiting.settled().await,
        Settled::Buffered(Trouble::Unreachable)
    );
    assert_eq!(waiting.stored().await, Settled::Durable);
    assert_eq!(
        call.append(entry(Kind::Core, 2, b"y")).stored().await,
        Settled::Durable
    );
    let records = read_all(&journal, "a").await;
    assert_eq!(
        records.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let stored = journal
        .call(&key("a"))
        .await
        .expect("readable")
        .expect("stored");
    assert_eq!((stored.records, stored.next_seq), (3, 3));
}

#[tokio::test]
async fn a_lease_that_lapsed_lets_another_process_go_on() {
    let server = RedisServer::start(&[]);
    let one = start(&server.config(), "one").await;
    let two = start(&server.config(), "two").await;
    let (mut zombie, _) = one.begin(new_call("a"), 400, Bytes::new()).expect("valid");
    zombie.append(entry(Kind::Grant, 7, b"mine"));
    one.flush().await.expect("open");
    assert!(matches!(
        two.claim(&key("a"), 0, LEASE_MS).await,
        Err(ClaimError::Held { .. })
    ));
    zombie.renew(0, 800);
    one.flush().await.expect("open");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert!(
        matches!(
            two.claim(&key("a"), 0, LEASE_MS).await,
            Err(ClaimError::Held { .. })
        ),
        "it was renewed"
    );
    tokio::time::sleep(Duration::from_millis(450)).await;
    let mut heir = two.claim(&key("a"), 0, LEASE_MS).await.expect("lapsed");
    assert_eq!(heir.next_seq(), 2);
    assert_eq!(
        heir.append(entry(Kind::Grant, 8, b"theirs"))
            .settled()
            .await,
        Settled::Durable
    );
    assert_eq!(
        zombie
            .append(entry(Kind::Grant, 8, b"mine"))
            .settled()
            .await,
        Settled::Fenced
    );
    zombie.renew(0, LEASE_MS);
    one.flush().await.expect("open");
    let records = read_all(&one, "a").await;
    assert_eq!(
        records
            .iter()
            .map(|record| record.entry.payload.as_ref())
            .collect::<Vec<_>>(),
        [b"" as &[u8], b"mine", b"theirs"]
    );
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_never_printed() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    for password in [None, Some("guessed-wrong")] {
        let mut config = server.config();
        if let StoreConfig::Redis(redis) = &mut config.store {
            redis.password = password.map(str::to_owned);
        }
        assert!(!format!("{config:?}").contains("guessed-wrong"));
        let journal = Journal::start(&config, "one").expect("valid");
        let health = journal.opened().await;
        assert_eq!(health.trouble(), Some(Trouble::Denied), "{health:?}");
        assert!(!format!("{health:?}").contains("guessed-wrong"));
    }
    let mut config = server.config();
    if let StoreConfig::Redis(redis) = &mut config.store {
        redis.password = Some("right".to_owned());
    }
    start(&config, "one").await;
}

#[tokio::test]
async fn keys_expire_by_themselves_when_no_baton_sweeps() {
    let server = RedisServer::start(&[]);
    let mut config = server.config();
    config.retention.ended = Duration::from_millis(300);
    let journal = start(&config, "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    assert_eq!(
        call.append(entry(Kind::Ended, 0, b"")).settled().await,
        Settled::Durable
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(read_all(&journal, "a").await.is_empty());
    assert!(
        journal
            .calls(CallStatus::Ended, 10)
            .await
            .expect("readable")
            .is_empty()
    );
    assert_eq!(server.cli(&["KEYS", "*call*"]), "");
    // Nor does what expired hide what is there.
    let (mut call, _) = journal
        .begin(new_call("b"), LEASE_MS, Bytes::new())
        .expect("valid");
    call.append(entry(Kind::Ended, 0, b""));
    journal.flush().await.expect("open");
    let listed = journal.calls(CallStatus::Ended, 1).await.expect("readable");
    assert_eq!(listed[0].key, key("b"));
}

#[tokio::test]
async fn a_large_record_is_a_transaction_and_a_page_of_its_own() {
    let server = RedisServer::start(&[]);
    let journal = start(&patient(server.config()), "one").await;
    let (mut call, _) = journal
        .begin(new_call("a"), LEASE_MS, Bytes::new())
        .expect("valid");
    let large = vec![9; 9 << 20];
    call.append(entry(Kind::ContextItem, 1, &large));
    assert_eq!(
        call.append(entry(Kind::ContextItem, 2, b"small"))
            .stored()
            .await,
        Settled::Durable
    );
    let records = read_all(&journal, "a").await;
    assert_eq!(records.len(), 3);
    assert_eq!(records[1].entry.payload, large);
}

/// A server that may take its time.
fn patient(mut config: JournalConfig) -> JournalConfig {
    if let StoreConfig::Redis(redis) = &mut config.store {
        redis.response_timeout = PATIENCE;
    }
    config
}
