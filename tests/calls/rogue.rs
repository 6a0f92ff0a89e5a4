//! Agents that sound without the baton.

use std::time::Duration;

use kit::token::{JoinToken, Kind};
use tokio::time::sleep;

use crate::baton::Config;
use crate::cast::Script;
use crate::stage::{ROOM, Stage};
use crate::{BILLING_HZ, ROGUE_HZ, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_that_sounds_without_the_baton_is_removed_and_the_call_goes_on() {
    let config = Config::new(&["triage", "billing"]).resident("rogue");
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let rogue = Script::new("rogue", ROGUE_HZ)
        .rogue()
        .start(&stage.server)
        .await;
    let caller = stage.dial().await;
    until("it is noticed", || stage.baton.said("agent misbehaved")).await;
    let line = &stage.baton.lines("agent misbehaved")[0];
    assert_eq!(line["what"], "SoundsWithoutBaton");
    until("its job has ended", || rogue.jobs() == 0).await;
    caller.hears(TRIAGE_HZ).await;
    let left: Vec<_> = caller.subscriptions();
    assert!(
        left.iter().all(|heard| heard.track == "program"),
        "{left:?}"
    );

    let mark = caller.mark();
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    assert_eq!(
        caller.judge_since(mark, &[TRIAGE_HZ, BILLING_HZ]).leaked_ms,
        0
    );
    assert_eq!(triage.grants(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_agent_that_sounds_is_kept_from_the_caller() {
    let stage = Stage::set(&Config::new(&["triage"])).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let stranger = stage
        .join(JoinToken::new(ROOM, "stranger").kind(Kind::Agent))
        .await;
    stranger.sound(ROGUE_HZ).await;
    let hears_stranger = || caller.heard_ms(300)[&ROGUE_HZ] > 0;
    until("the caller hears it, as it hears everybody", hears_stranger).await;
    until("it is noticed", || stage.baton.said("agent misbehaved")).await;
    caller.hears(TRIAGE_HZ).await;
    assert!(
        caller.others().contains(&stranger.identity()),
        "it is no specialist, and stays"
    );

    // The bridge subscribes to everything anew; the gate is closed again, before and after the last of its rounds.
    caller.reconnect().await;
    caller.hears(TRIAGE_HZ).await;
    sleep(Duration::from_millis(3_500)).await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(stage.baton.count("call ended"), 0);
}
