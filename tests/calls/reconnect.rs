//! Full reconnects in the midst of a call: of the holder, of the caller, of Baton itself.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::baton::{Baton, Config, Credentials};
use crate::cast::{Prepares, Script};
use crate::proxy::Proxy;
use crate::stage::{Stage, credentials};
use crate::{BILLING_HZ, TRIAGE_HZ, until};

/// A busy machine may need longer for a reconnect than one in production should.
fn config() -> Config {
    Config::new(&["triage", "billing"]).timer("specialist_return_ms", 10_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reconnect_of_specialists_leaks_nothing_and_the_call_goes_on() {
    let stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let mark = caller.mark();

    // The one that is parked has nothing to say, before and after.
    triage.call().await.reconnect().await;
    until("triage is back", || {
        stage.baton.count("specialist back") == 1
    })
    .await;
    billing.call().await.reconnect().await;
    until("billing has the baton anew", || billing.grants() == [2, 3]).await;
    caller.hears(BILLING_HZ).await;
    let verdict = caller.judge_since(mark, &[BILLING_HZ]);
    assert_eq!(verdict.leaked_ms, 0, "{verdict:?}");
    let hole_ms = caller.longest_hole_ms(mark, BILLING_HZ);
    assert!(hole_ms <= 2_500, "{hole_ms} ms without the holder");
    assert!(billing.hears_caller(Duration::from_millis(500)).await > 25);

    let done = billing.hand_off("triage").await.unwrap();
    assert_eq!(done.epoch.0, 4);
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(stage.baton.count("call begun"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_reconnects_while_it_prepares_gets_the_baton_and_hears() {
    let stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let slow = Script::new("billing", BILLING_HZ).prepares(Prepares::Slowly(1_500));
    let billing = slow.start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();
    let handing_off = triage.hand_off("billing");
    let reconnecting = async {
        until("billing prepares", || billing.preparations() == 1).await;
        billing.call().await.reconnect().await;
    };
    let (done, ()) = tokio::join!(handing_off, reconnecting);
    assert_eq!(done.unwrap().epoch.0, 2);
    assert_eq!(stage.baton.count("specialist back"), 1);
    caller.hears(BILLING_HZ).await;
    assert!(billing.hears_caller(Duration::from_millis(500)).await > 25);
    let verdict = caller.judge_since(mark, &[TRIAGE_HZ, BILLING_HZ]);
    assert_eq!(verdict.leaked_ms, 0, "{verdict:?}");
    assert!(
        verdict.changes[0].silence_ms <= crate::HOLE_MAX_MS,
        "{verdict:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reconnect_of_the_caller_leaks_nothing_and_the_call_goes_on() {
    let stage = Stage::set(&config()).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let mark = caller.mark();
    caller.reconnect().await;
    caller.hears(BILLING_HZ).await;
    assert_eq!(caller.judge_since(mark, &[BILLING_HZ]).leaked_ms, 0);
    let history = caller.history();
    assert!(history.len() >= 2, "it has subscribed anew: {history:?}");
    assert!(
        history.iter().all(|heard| heard.track == "program"),
        "{history:?}"
    );
    until("billing hears it", || billing.hears_within_ms(100)).await;

    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
    assert!(triage.hears_caller(Duration::from_millis(500)).await > 25);
    assert_eq!((triage.grants(), billing.grants()), (vec![1, 3], vec![2]));
    assert_eq!(stage.baton.count("call begun"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reconnect_of_baton_itself_loses_no_call() {
    let server = kit::server::LivekitServer::start().unwrap();
    let proxy = Proxy::start(server.port()).await;
    let through_proxy = Credentials {
        url: proxy.url(),
        ..credentials(&server)
    };
    let baton = Baton::start(&config(), &through_proxy, &[]).await;
    baton.registered().await;
    let stage = Stage { baton, server };
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let (mark, tracks) = (caller.mark(), caller.history().len());

    proxy.cut_signal(1);
    until("the caller has a new program track", || {
        caller.history().len() > tracks
    })
    .await;
    caller.hears(BILLING_HZ).await;
    // Longer than a caller who had left would be waited for.
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(caller.judge_since(mark, &[BILLING_HZ]).leaked_ms, 0);
    caller.hears(BILLING_HZ).await;
    let history = caller.history();
    assert!(
        history.iter().all(|heard| heard.track == "program"),
        "{history:?}"
    );
    for message in ["caller away", "specialist away", "call ended"] {
        assert!(!stage.baton.said(message), "nobody has left: {message}");
    }

    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(
        (
            stage.baton.count("call begun"),
            stage.baton.count("call ended")
        ),
        (1, 0)
    );
    caller.hang_up().await;
    stage.baton.idle().await;
    until("the specialists are released", || {
        triage.jobs() + billing.jobs() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reconnects_during_a_handoff_hears_nobody_out_of_turn() {
    let stage = Stage::set(&config().timer("caller_return_ms", 10_000)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mut order = vec![TRIAGE_HZ];
    let since = Instant::now();
    for (switch, delay_ms) in [0, 120, 300].into_iter().enumerate() {
        let (old, new, to, hz) = match switch % 2 {
            0 => (&triage, &billing, "billing", BILLING_HZ),
            _ => (&billing, &triage, "triage", TRIAGE_HZ),
        };
        let reconnecting = async {
            sleep(Duration::from_millis(delay_ms)).await;
            caller.reconnect().await;
        };
        let (done, ()) = tokio::join!(old.hand_off(to), reconnecting);
        done.unwrap();
        caller.hears(hz).await;
        until("the new holder hears it", || new.hears_within_ms(100)).await;
        order.push(hz);
    }
    let verdict = caller.judge_received(since, &order);
    assert_eq!(verdict.leaked_ms, 0, "{verdict:?}");
    assert_eq!(verdict.missing, [0; 0], "{verdict:?}");
    let history = caller.history();
    assert!(
        history.iter().all(|heard| heard.track == "program"),
        "{history:?}"
    );
}
