//! Where the old voice may be cut.

use std::time::{Duration, Instant};

use crate::baton::Config;
use crate::cast::Script;
use crate::stage::Stage;
use crate::{BILLING_HZ, CALLER_HZ, TRIAGE_HZ, until};

/// What triage says at a time: two halves of a tone with a pause in between.
const HALF_MS: u64 = 1_500;
const PAUSE_MS: u64 = 700;

/// How long triage was heard before billing took over, in milliseconds; the change was asked for in its first half.
async fn heard_of_triage(rest: &str) -> u64 {
    let config = Config::new(&["triage", "billing"])
        .splice("end_of_utterance")
        .route(&format!("splice_wait_ms: 8000, splice_rest: {rest}"));
    let stage = Stage::set(&config).await;
    let speaks = Script::new("triage", TRIAGE_HZ).sentences(HALF_MS, PAUSE_MS);
    let triage = speaks.start(&stage.server).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    until("triage is heard", || caller.heard_ms(200)[&TRIAGE_HZ] > 40).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let verdict = caller.judge_since(0, &[TRIAGE_HZ, BILLING_HZ]);
    let first = verdict.heard.iter().filter(|run| run.voice == 0);
    first.map(|run| run.end_ms - run.start_ms).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_utterance_is_over_when_the_holder_has_nothing_more_to_say() {
    let ms = heard_of_triage("finish").await;
    assert!(ms > HALF_MS * 7 / 4, "{ms} ms were heard of both halves");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_cut_is_cut_at_a_pause() {
    let ms = heard_of_triage("cut").await;
    assert!(ms > HALF_MS * 3 / 4, "{ms} ms were heard of the first half");
    assert!(ms < HALF_MS * 5 / 4, "{ms} ms were heard of the first half");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_speaks_is_not_interrupted_within_the_limit() {
    const WAIT: Duration = Duration::from_millis(4_000);
    let config = Config::new(&["triage"])
        .resident("billing")
        .splice("caller_silent")
        .route(&format!(
            "splice_wait_ms: {}, splice_rest: cut",
            WAIT.as_millis()
        ));
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial_silent().await;
    caller.hears(TRIAGE_HZ).await;

    let asked = Instant::now();
    triage.hand_off("billing").await.unwrap();
    let silent = asked.elapsed();
    assert!(silent < WAIT, "{silent:?}: nobody but triage speaks");

    caller.sound(CALLER_HZ).await;
    until("billing hears the caller", || billing.hears_within_ms(100)).await;
    let asked = Instant::now();
    billing.hand_off("triage").await.unwrap();
    let speaking = asked.elapsed();
    assert!(speaking >= WAIT, "{speaking:?}: the caller speaks");
}
