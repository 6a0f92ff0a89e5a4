//! Who takes the call, when its phone is answered, and what a new configuration changes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::baton::Config;
use crate::stage::{PHONE, Stage};
use crate::{BILLING_HZ, TRIAGE_HZ, until};

const BY_NUMBER: &str = "entry_rules: [{when: \"caller.number == '+15550123' && caller.trunk == 'ST_test'\", to: billing}]";

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_number_decides_who_takes_the_call() {
    let stage = Stage::set(&Config::new(&["triage", "billing"]).part(BY_NUMBER)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(BILLING_HZ).await;
    assert_eq!(stage.baton.lines("entry chosen")[0]["rule"], 0);
    assert_eq!((triage.grants().len(), billing.grants().len()), (0, 1));
    caller.hang_up().await;
    stage.baton.idle().await;

    let other = stage.dial_into("call-_+15550777_a1", "+15550777").await;
    other.hears(TRIAGE_HZ).await;
    assert_eq!(stage.baton.lines("entry chosen")[1]["specialist"], "triage");
}

/// Somebody who knows callers, and remembers what it was asked.
async fn crm() -> (String, Arc<Mutex<Vec<Value>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answer = |State(asked): State<Arc<Mutex<Vec<Value>>>>, body: String| async move {
        asked
            .lock()
            .unwrap()
            .push(serde_json::from_str(&body).unwrap());
        json!({"plan": "gold"}).to_string()
    };
    let slow = || async {
        sleep(Duration::from_secs(60)).await;
        String::new()
    };
    let router = Router::new()
        .route("/callers", post(answer))
        .route("/slow", post(slow))
        .with_state(asked.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), asked)
}

const BY_PLAN: &str = "entry_rules: [{when: \"state.plan == 'gold'\", to: billing}]";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_elsewhere_decides_who_takes_the_call() {
    let (url, asked) = crm().await;
    let lookup = format!("caller_lookup: {{url: '{url}/callers', timeout_ms: 10000}}");
    let config = Config::new(&["triage", "billing"])
        .part(BY_PLAN)
        .part(&lookup);
    let stage = Stage::set(&config).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(BILLING_HZ).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["caller"]["number"], PHONE);
    let log = stage.baton.log();
    let mut said = log.lines().filter(|line| !line.contains("\"DEBUG\""));
    assert!(
        said.all(|line| !line.contains("gold")),
        "it is personal data"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_takes_too_long_does_not_keep_the_caller_waiting() {
    let (url, _) = crm().await;
    let lookup = format!("caller_lookup: {{url: '{url}/slow', timeout_ms: 300}}");
    let config = Config::new(&["triage", "billing"])
        .part(BY_PLAN)
        .part(&lookup);
    let stage = Stage::set(&config).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    until("the lookup has failed", || {
        stage.baton.said("caller not looked up")
    })
    .await;
    assert_eq!(stage.baton.lines("entry chosen")[0]["unanswered"], 1);
    let (_, metrics) = stage.baton.page("/metrics");
    assert!(
        metrics.contains("baton_caller_lookups_failed_total 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_rings_until_the_entry_specialist_is_ready() {
    let config = Config::new(&["triage"])
        .timer("join_timeout_ms", 20_000)
        .part("answer: {when: entry_ready, ring_max_ms: 60000}");
    let stage = Stage::set(&config).await;
    let caller = stage.dial().await;
    until("the specialist is dispatched", || {
        stage.baton.said("specialist dispatched")
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(caller.history(), [], "nothing answers the phone");
    assert!(!stage.baton.said("phone answered"));
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    until("the phone is answered", || {
        stage.baton.said("phone answered")
    })
    .await;
    caller.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_answered_in_time_when_nobody_is_ready() {
    let config = Config::new(&["triage"])
        .timer("join_timeout_ms", 20_000)
        .part("answer: {when: entry_ready, ring_max_ms: 1500}");
    let stage = Stage::set(&config).await;
    let caller = stage.dial().await;
    until("the caller gets the program", || {
        caller
            .history()
            .iter()
            .any(|heard| heard.track == "program")
    })
    .await;
    assert!(stage.baton.said("phone answered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_is_for_new_calls_and_a_broken_one_for_nobody() {
    let config = Config::new(&["triage", "billing"]);
    let mut stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    let broken = config.clone().part("entry_rules: [{to: nobody}]");
    stage.baton.reload(&broken);
    until("the broken one is refused", || {
        stage
            .baton
            .said("the configuration has errors, the old one stays")
    })
    .await;

    stage
        .baton
        .reload(&config.part("entry_rules: [{to: billing}]"));
    until("the new one is taken", || {
        stage.baton.said("new calls take the new configuration")
    })
    .await;
    let other = stage.dial_into("call-_+15550777_a1", "+15550777").await;
    other.hears(BILLING_HZ).await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(triage.grants(), [1], "the running call goes on as it was");
}
