//! Prepared sounds, and what becomes of calls for which there is no place.

use std::path::PathBuf;

use baton_specialist::HandoffError;
use kit::tone::Tone;
use kit::wav::Wav;
use tempfile::TempDir;

use crate::baton::Config;
use crate::stage::Stage;
use crate::{BILLING_HZ, ROGUE_HZ, TONE_DBFS, TRIAGE_HZ, until};

/// What every prepared sound of these tests is.
const SOUND_HZ: u32 = ROGUE_HZ;
const SOUND_MS: u32 = 2_000;

fn sound() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.wav");
    let mut tone = Tone::new(SOUND_HZ, TONE_DBFS, 48_000).unwrap();
    let wav = Wav {
        sample_rate_hz: 48_000,
        samples: tone.take_ms(SOUND_MS),
    };
    wav.write(&path).unwrap();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_and_an_announcement_are_heard_alone_before_whoever_speaks_next() {
    let (_folder, path) = sound();
    let path = path.display();
    let config = Config::new(&["triage", "billing"])
        .route(&format!("announcement: '{path}'"))
        .part(&format!("answer: {{opening: '{path}'}}"));
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let opened = caller.first_heard_ms(0, SOUND_HZ);
    let spoken = caller.first_heard_ms(0, TRIAGE_HZ);
    assert!(
        spoken >= opened + u64::from(SOUND_MS) - 300,
        "the sound from {opened} ms, triage from {spoken} ms"
    );
    assert_eq!((triage.grants().len(), billing.grants().len()), (1, 0));

    let mark = caller.mark();
    triage
        .hand_off("billing")
        .await
        .expect("billing takes over");
    caller.hears(BILLING_HZ).await;
    let announced = caller.first_heard_ms(mark, SOUND_HZ);
    let spoken = caller.first_heard_ms(mark, BILLING_HZ);
    assert!(
        spoken >= announced + u64::from(SOUND_MS) - 300,
        "the sound from {announced} ms, billing from {spoken} ms"
    );
    let left = caller.judge_since(mark, &[TRIAGE_HZ, SOUND_HZ, BILLING_HZ]);
    let heard: u64 = left.heard.iter().map(|run| run.end_ms - run.start_ms).sum();
    assert!(heard > u64::from(SOUND_MS), "{left:?}");
    assert_eq!(stage.baton.count("announcement"), 2);
    assert!(
        !stage.baton.said("dead air"),
        "what is announced is a voice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_beyond_the_last_place_hears_that_it_is_busy_and_is_sent_away() {
    let (_folder, path) = sound();
    let config = Config::new(&["triage"])
        .max_calls(1)
        .server(&format!("busy_calls: 1, busy_clip: '{}'", path.display()));
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let first = stage.dial_into("call-_+15550131_a", "+15550131").await;
    first.hears(TRIAGE_HZ).await;
    let mark = first.mark();
    let second = stage.dial_into("call-_+15550132_b", "+15550132").await;
    second.hears(SOUND_HZ).await;
    until("the call has ended", || {
        let (_, metrics) = stage.baton.page("/metrics");
        metrics.contains("baton_calls_ended_total{reason=\"full\"} 1")
    })
    .await;
    assert_eq!(triage.jobs(), 1, "nobody was asked to come");
    until("its slot is free", || stage.baton.active_calls() == 1).await;
    first.hears(TRIAGE_HZ).await;
    let verdict = first.judge_since(mark, &[TRIAGE_HZ]);
    assert!(verdict.heard.iter().all(|run| run.end_ms > run.start_ms));
    first.hang_up().await;
    until("there is a place", || stage.baton.active_calls() == 0).await;
    let third = stage.dial_into("call-_+15550133_c", "+15550133").await;
    third.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_is_in_no_more_calls_than_it_may_be() {
    let config = Config::new(&["triage", "billing"]).specialist("billing", "calls_max: 1");
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let first = stage.dial_into("call-_+15550131_a", "+15550131").await;
    first.hears(TRIAGE_HZ).await;
    triage.hand_off("billing").await.expect("there is a place");
    first.hears(BILLING_HZ).await;

    let second = stage.dial_into("call-_+15550132_b", "+15550132").await;
    second.hears(TRIAGE_HZ).await;
    let refused = triage.hand_off("billing").await;
    let Err(HandoffError::Failed { detail, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(detail, "the target is in as many calls as it may be: 1");
    let (_, metrics) = stage.baton.page("/metrics");
    assert!(
        metrics.contains("result=\"too_many_calls\"} 1"),
        "{metrics}"
    );
    first.hang_up().await;
    until("the first call is over", || stage.baton.active_calls() == 1).await;
    triage
        .hand_off("billing")
        .await
        .expect("there is a place again");
    second.hears(BILLING_HZ).await;
}
