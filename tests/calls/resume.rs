//! Calls that outlive their process.

use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use serde_json::json;
use tokio::time::sleep;

use crate::baton::{Baton, Config};
use crate::operator::steering;
use crate::redis::RedisServer;
use crate::stage::{ROOM, Stage, credentials};
use crate::{BILLING_HZ, TRIAGE_HZ, until};

/// How long a killed Baton may be away in these tests: the caller and the specialists wait for it.
fn config() -> Config {
    Config::new(&["triage", "billing"])
        .timer("specialist_return_ms", 15_000)
        .timer("caller_return_ms", 10_000)
}

/// How many items Baton has of the one call, and their hash.
fn context_head(stage: &Stage) -> (u64, String) {
    let admin = steering(stage);
    let (_, list) = stage.baton.api("GET", "/calls", &admin, "");
    let id = list["calls"][0]["id"].as_str().unwrap();
    let page = stage
        .baton
        .api("GET", &format!("/calls/{id}/context"), &admin, "")
        .1;
    let hash = page["hash"].as_str().unwrap().to_owned();
    (page["head"].as_u64().unwrap(), hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_after_baton_was_killed_and_started_again() {
    let mut stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let said = vec![
        items::message(
            "u1",
            Speaks::Caller,
            "my invoice is wrong \u{2014} \u{dc}bertrag",
        ),
        items::tool_call("c1", "k1", "find_invoice", r#"{"number":"A-17"}"#),
        items::tool_result("o1", "k1", "find_invoice", "it is open", false),
    ];
    let of_triage = triage.call().await;
    of_triage.conversation().append_all(said).await.unwrap();
    let done = triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let subscribed = caller.history().len();
    let head = context_head(&stage);
    assert_eq!(head.0, 5, "three items, and two handoffs");

    stage.baton.kill();
    sleep(Duration::from_millis(500)).await;
    let mark = caller.mark();
    stage.baton.restart().await;
    until("the call is resumed", || stage.baton.said("call resumed")).await;
    until("billing has the baton anew", || stage.baton.said("granted")).await;
    caller.hears(BILLING_HZ).await;
    assert_eq!(stage.baton.count("call begun"), 0, "it is the same call");
    assert_eq!(stage.baton.active_calls(), 1);
    let granted = stage.baton.lines("granted")[0]["epoch"].as_u64().unwrap();
    assert!(granted > done.epoch.0, "{granted}");
    assert_eq!(
        billing.grants().len(),
        1,
        "to the agent nothing has changed"
    );
    assert_eq!(
        context_head(&stage),
        head,
        "the conversation is the same, by number and hash"
    );

    // The one that had the baton before is back as well, and only one is heard.
    until("triage is back", || {
        stage.baton.count("specialist back") == 2
    })
    .await;
    assert!(billing.hears_caller(Duration::from_millis(500)).await > 25);
    let back = billing.hand_off("triage").await.unwrap();
    assert!(back.epoch.0 > granted);
    caller.hears(TRIAGE_HZ).await;
    let verdict = caller.judge_since(mark, &[BILLING_HZ, TRIAGE_HZ]);
    assert_eq!(verdict.leaked_ms, 0, "{verdict:?}");
    assert_eq!(
        triage.jobs() + billing.jobs(),
        2,
        "nobody was dispatched anew"
    );
    assert!(
        caller.history().len() > subscribed,
        "the program track is a new one"
    );

    caller.hang_up().await;
    stage.baton.idle().await;
    let ended = stage.baton.lines("call ended");
    assert_eq!(ended[0]["reason"], "the caller is gone");
    until("nobody is left", || triage.jobs() + billing.jobs() == 0).await;

    // What has ended is not taken up.
    stage.baton.kill();
    stage.baton.restart().await;
    stage.baton.registered().await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.baton.count("call resumed"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_and_state_are_there_after_a_restart() {
    let mut stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let of_triage = triage.call().await;
    let asked = items::message(
        "u1",
        Speaks::Caller,
        "my invoice is wrong \u{2014} \u{dc}bertrag",
    );
    of_triage
        .conversation()
        .append(asked.clone())
        .await
        .unwrap();
    of_triage
        .state()
        .patch(json!({"customer": "4711"}))
        .await
        .unwrap();
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    let found = vec![
        items::tool_call("c1", "k1", "find_invoice", r#"{"number":"A-17"}"#),
        items::tool_result("o1", "k1", "find_invoice", "it is open", false),
    ];
    of_billing.conversation().append_all(found).await.unwrap();
    of_billing
        .state()
        .patch(json!({"invoice": {"number": "A-17"}}))
        .await
        .unwrap();
    let before = of_billing.conversation().items();
    // What is acked is on its way to the disk; a grant would wait for it.
    sleep(Duration::from_millis(500)).await;

    stage.baton.kill();
    // It is said while nobody listens, in an epoch that is over by then.
    let meanwhile = items::message("a1", Speaks::Specialist, "one moment");
    let (of_billing_2, said) = (of_billing.clone(), meanwhile.clone());
    let saying = tokio::spawn(async move { of_billing_2.conversation().append(said).await });
    stage.baton.restart().await;
    until("billing has the baton anew", || stage.baton.said("granted")).await;
    saying.await.unwrap().unwrap();
    caller.hears(BILLING_HZ).await;
    let back = billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;

    let last = format!("baton/{}", back.epoch.0);
    until("triage has all of it", || {
        of_triage.conversation().item(&last).is_some()
    })
    .await;
    // Its Ready counted, so its hash is that of the conversation that was read back.
    let after = of_triage.conversation();
    for item in before.iter().chain([&meanwhile]) {
        let there = after.item(item.id().as_str());
        assert_eq!(there.as_ref(), Some(item), "byte for byte");
    }
    let count = after.items().len();
    assert_eq!(
        count,
        before.len() + 2,
        "nothing twice: {:?}",
        after.items()
    );
    let state = of_triage.state().get();
    assert_eq!(state.version, 2);
    assert_eq!(
        state.document,
        *json!({"customer": "4711", "invoice": {"number": "A-17"}})
            .as_object()
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_under_way_goes_on_after_a_restart() {
    use crate::cast::{Prepares, Script};

    let mut stage = Stage::set(&config().timer("ready_timeout_ms", 15_000)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let slow = Script::new("billing", BILLING_HZ).prepares(Prepares::Slowly(4_000));
    let billing = slow.start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let handing_off = triage.hand_off("billing");
    let restarting = async {
        until("billing prepares", || billing.preparations() == 1).await;
        // Its target is known to the journal by now.
        sleep(Duration::from_millis(300)).await;
        stage.baton.kill();
        stage.baton.restart().await;
    };
    let (done, ()) = tokio::join!(handing_off, restarting);
    done.unwrap();
    caller.hears(BILLING_HZ).await;
    assert_eq!(
        billing.preparations(),
        1,
        "it was ready when it was asked again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_room_is_gone_is_over() {
    let mut stage = Stage::set(&config()).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    stage.baton.kill();
    stage.rooms().delete_room(ROOM).await.unwrap();
    stage.baton.restart().await;
    let said = "the room of a call that was left behind is gone, the call is over";
    until("the call is over", || stage.baton.said(said)).await;
    assert_eq!(stage.baton.active_calls(), 0);
    assert_eq!(stage.room_names().await, [""; 0], "the room stays gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_when_the_lease_has_lapsed() {
    let redis = RedisServer::start();
    let config = config().store(&redis.store(2_000));
    let mut stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let second = Baton::start(&config, &credentials(&stage.server), &[]).await;
    second.registered().await;
    // Longer than a lease: one that is renewed is left alone.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(second.count("call resumed"), 0);

    stage.baton.kill();
    until("the call is taken over", || second.said("call resumed")).await;
    caller.hears(TRIAGE_HZ).await;
    until("triage has the baton anew", || second.said("granted")).await;
    // And knows of it.
    sleep(Duration::from_millis(500)).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    assert_eq!(triage.jobs() + billing.jobs(), 2);
    caller.hang_up().await;
    second.idle().await;
    assert_eq!(second.count("call ended"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_gives_the_call_up_without_harming_it() {
    let redis = RedisServer::start();
    let config = config().store(&redis.store(2_000));
    let mut stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let second = Baton::start(&config, &credentials(&stage.server), &[]).await;
    second.registered().await;

    stage.baton.pause();
    until("the call is taken over", || second.said("call resumed")).await;
    until("triage has the baton anew", || second.said("granted")).await;
    stage.baton.unpause();
    until("it gives up", || {
        let ended = stage.baton.lines("call ended");
        ended
            .iter()
            .any(|line| line["reason"] == "another process has taken over the call")
    })
    .await;
    assert!(
        stage
            .baton
            .said("the lease has ended unrenewed, the store is asked whose the call is")
    );
    let mark = caller.mark();
    sleep(Duration::from_secs(2)).await;
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(hole_ms <= crate::HOLE_MAX_MS, "{hole_ms} ms of silence");
    assert_eq!(triage.jobs(), 1, "the specialist is left alone");
    assert_eq!(second.active_calls(), 1);
}
