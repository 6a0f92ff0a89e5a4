//! The program track, packet by packet, and what fills it.

use std::time::Duration;

use tokio::time::sleep;

use crate::baton::Config;
use crate::cast::{Prepares, Script};
use crate::stage::Stage;
use crate::{BILLING_HZ, ROGUE_HZ, TRIAGE_HZ, until};

/// Time that a busy machine makes the track skip by itself, at most, in milliseconds.
const SKIPPED_MAX_MS: u64 = 600;
/// A filler that can be told from everybody's voice.
const TONE_FILLER: &str = "fade_ms: 60, dead_air_ms: 400, filler: {sound: tone, tone_hz: 1200, tone_off_ms: 0, level_dbfs: -17}";

/// Calls a specialist that publishes with DTX and RED and talks every other second, and has it hand off; what the track
/// left out meanwhile: numbers, and milliseconds.
async fn left_out(faults: &str) -> (u64, u64) {
    let stage = Stage::set_with_faults(&Config::new(&["triage", "billing"]), faults).await;
    let script = |name, hz| Script::new(name, hz).stock_publisher();
    let triage = script("triage", TRIAGE_HZ).start(&stage.server).await;
    let _billing = script("billing", BILLING_HZ).start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.packets();
    sleep(Duration::from_secs(4)).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    sleep(Duration::from_secs(4)).await;
    let sent = caller.packets() - mark;
    assert!(sent > 100, "{sent} packets");
    let handoff = &stage.baton.lines("handoff done");
    let last = handoff.last().expect("it is logged");
    assert!(
        last["silence_ms"].is_u64() && last["overlap_ms"].is_u64(),
        "{last}"
    );
    caller.left_out(mark)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_publisher_leaves_no_hole_in_the_track() {
    let (numbers, ms) = left_out("").await;
    assert_eq!(numbers, 0);
    assert!(ms <= SKIPPED_MAX_MS, "{ms} ms were skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_are_not_filled_are_seen_by_the_caller() {
    let (_, ms) = left_out("slots_unfilled").await;
    assert!(ms > 2 * SKIPPED_MAX_MS, "{ms} ms were skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_specialist_that_is_late_is_bridged_by_the_filler() {
    let stage = Stage::set(&Config::new(&["triage"]).audio(TONE_FILLER)).await;
    let slow = Script::new("triage", TRIAGE_HZ).prepares(Prepares::Slowly(3_000));
    let _triage = slow.start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(ROGUE_HZ).await;
    assert_eq!(stage.baton.count("dead air"), 1);
    caller.hears(TRIAGE_HZ).await;
    until("it is over", || stage.baton.said("dead air over")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_filler_dead_air_is_silent() {
    let config = Config::new(&["triage"]).audio(TONE_FILLER);
    let stage = Stage::set_with_faults(&config, "filler_off").await;
    let slow = Script::new("triage", TRIAGE_HZ).prepares(Prepares::Slowly(3_000));
    let _triage = slow.start(&stage.server).await;
    let caller = stage.dial().await;
    until("it is noticed", || stage.baton.said("dead air")).await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(caller.heard_ms(10_000)[&ROGUE_HZ], 0);
}
