//! A journal in trouble never ends a call: it goes on, says so, and heals.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;

use crate::baton::Config;
use crate::redis::RedisServer;
use crate::stage::Stage;
use crate::{BILLING_HZ, TRIAGE_HZ, until};

/// The most that a file of this process may hold, in bytes.
fn limit_files(pid: u32, bytes: &str) {
    let limited = Command::new("prlimit")
        .args([
            "--pid",
            &pid.to_string(),
            &format!("--fsize={bytes}:unlimited"),
        ])
        .status()
        .expect("prlimit is installed (Debian package util-linux)");
    assert!(limited.success());
}

fn config() -> Config {
    Config::new(&["triage", "billing"])
        .timer("specialist_return_ms", 15_000)
        .timer("caller_return_ms", 10_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_does_not_end_a_call_and_loses_nothing() {
    let mut stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    // Its log is cut off as well.
    limit_files(stage.baton.pid(), "1");
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
    limit_files(stage.baton.pid(), "unlimited");
    until("the journal is written again", || {
        let healed = stage.baton.lines("journal is written again");
        healed
            .iter()
            .any(|line| line["trouble"] == "full" && line["lost_records"] == 0)
    })
    .await;

    // Both handoffs are in it.
    triage.hand_off("billing").await.unwrap();
    sleep(Duration::from_millis(500)).await;
    stage.baton.kill();
    stage.baton.restart().await;
    until("the call is resumed", || stage.baton.said("call resumed")).await;
    caller.hears(BILLING_HZ).await;
    until("billing has the baton anew", || stage.baton.said("granted")).await;
    // And knows of it.
    sleep(Duration::from_millis(500)).await;
    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_lost_and_comes_back_empty_is_told_the_whole_call() {
    let mut redis = RedisServer::start();
    let config = config().store(&redis.store(2_000));
    let mut stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    redis.kill();
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    until("the trouble is said", || {
        stage
            .baton
            .said("journal cannot be written, calls go on and their records wait in memory")
    })
    .await;
    redis.restart();
    until("the journal is written again", || {
        stage.baton.said("journal is written again")
    })
    .await;
    let snapshot = "records of the journal were lost, writing a snapshot";
    until("the call is told anew", || stage.baton.said(snapshot)).await;
    // The snapshot is on its way.
    sleep(Duration::from_millis(500)).await;
    stage.baton.kill();
    stage.baton.restart().await;
    until("the call is resumed", || stage.baton.said("call resumed")).await;
    caller.hears(BILLING_HZ).await;
    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(
        triage.jobs() + billing.jobs(),
        2,
        "nobody was dispatched anew"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_set_aside_and_the_next_call_is_taken() {
    let mut stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    stage.baton.kill();
    let journal = stage.baton.folder().join("calls.redb");
    let bytes = std::fs::metadata(&journal).unwrap().len();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .unwrap();
    file.write_all(&vec![0x5a; usize::try_from(bytes / 2).unwrap()])
        .unwrap();
    drop(file);

    stage.baton.restart().await;
    stage.baton.registered().await;
    let other = stage.dial_into("call-_+15550177_b2", "+15550177").await;
    other.hears(TRIAGE_HZ).await;
    assert_eq!(stage.baton.count("call resumed"), 0);
    let kept = std::fs::read_dir(stage.baton.folder()).unwrap();
    let journals = kept.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("calls.redb")
    });
    assert_eq!(
        journals.count(),
        2,
        "the damaged file is kept beside the new one"
    );
    assert_eq!(triage.jobs(), 2);
}
