//! Conversation and state over handoffs, between processes that share nothing but the protocol.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Router, routing::post};
use baton_specialist::{
    AppendError, Call, ContextRefuseKind, Item, PatchError,
    items::{self, Speaks},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::baton::Config;
use crate::cast::{Cast, Script};
use crate::stage::Stage;
use crate::{BILLING_HZ, TRIAGE_HZ, until};

/// A call in which triage has the baton.
async fn begun(config: &Config) -> (Stage, Cast, Cast, crate::caller::Caller) {
    let stage = Stage::set(config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    (stage, triage, billing, caller)
}

/// The conversation as a specialist has it: the id of each item, and its words.
fn said(call: &Call) -> Vec<(String, String)> {
    let items = call.conversation().items();
    items
        .iter()
        .map(|item| (item.id().to_string(), items::text(item)))
        .collect()
}

fn ids(call: &Call) -> Vec<String> {
    said(call).into_iter().map(|(id, _)| id).collect()
}

fn says(id: &str, text: &str) -> Item {
    items::message(id, Speaks::Specialist, text)
}

async fn knows(call: &Call, id: &str) {
    until(&format!("{id} is known"), || {
        call.conversation().item(id).is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_specialist_has_all_that_was_said_before_it_speaks() {
    // A busy machine needs long for a megabyte.
    let config = Config::new(&["triage", "billing"]).timer("ready_timeout_ms", 60_000);
    let (_stage, triage, billing, caller) = begun(&config).await;
    let of_triage = triage.call().await;
    let conversation = of_triage.conversation();
    let first = vec![
        items::message("u1", Speaks::Caller, "my invoice is wrong — Übertrag"),
        says("a1", "let me see"),
        items::tool_call("c1", "k1", "find_invoice", r#"{"number":"A-17"}"#),
        items::tool_result("o1", "k1", "find_invoice", "it is open", false),
    ];
    conversation.append_all(first.clone()).await.unwrap();
    // A megabyte with both its forms, which goes in pieces both ways.
    let large = says("a2", &"word ".repeat(100_000));
    conversation.append(large.clone()).await.unwrap();

    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(
        ids(&of_billing),
        ["baton/1", "u1", "a1", "c1", "o1", "a2", "baton/2"]
    );
    for item in first.iter().chain([&large]) {
        let there = of_billing.conversation().item(item.id().as_str());
        assert_eq!(there.as_ref(), Some(item), "byte for byte");
    }

    // What triage was about to say was not all heard.
    let heard = items::interrupted("a1", "let me");
    conversation.append(heard.clone()).await.unwrap();
    until("billing knows what was heard", || {
        of_billing.conversation().item("a1").as_ref() == Some(&heard)
    })
    .await;
    let late = conversation.append(says("a9", "one more thing")).await;
    assert!(
        matches!(
            late,
            Err(AppendError::Refused {
                reason: ContextRefuseKind::NotHolder,
                ..
            })
        ),
        "{late:?}"
    );

    // Triage was parked; it comes back and gets what it missed.
    let reply = says("a3", "it is paid now");
    of_billing
        .conversation()
        .append(reply.clone())
        .await
        .unwrap();
    assert!(of_triage.conversation().item("a3").is_none());
    let before = of_triage.conversation().head().position;
    billing.hand_off("triage").await.unwrap();
    caller.hears(TRIAGE_HZ).await;
    knows(&of_triage, "baton/3").await;
    assert_eq!(
        ids(&of_triage),
        [
            "baton/1", "u1", "a1", "c1", "o1", "a2", "baton/2", "a3", "baton/3"
        ]
    );
    // Only the reply and the handoff's item were sent.
    assert_eq!(of_triage.conversation().head().position.0, before.0 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_waits_for_tools_and_cancels_what_takes_too_long() {
    let config = Config::new(&["triage", "billing"]).route("tools_wait_ms: 1500");
    let (_stage, triage, billing, caller) = begun(&config).await;
    let call = triage.call().await;
    let running = vec![
        items::tool_call("c1", "k1", "quick", "{}"),
        items::tool_call("c2", "k2", "endless", "{}"),
    ];
    call.conversation().append_all(running).await.unwrap();
    let asked = std::time::Instant::now();
    let handed = tokio::spawn(async move { triage.hand_off("billing").await.map(|_| triage) });
    sleep(Duration::from_millis(500)).await;
    let result = items::tool_result("o1", "k1", "quick", "42", false);
    call.conversation().append(result).await.unwrap();
    let triage = handed.await.unwrap().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(1_500));
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(
        ids(&of_billing),
        ["baton/1", "c1", "o1", "c2", "c2/cancelled", "baton/2"]
    );
    drop(triage);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tool_that_hands_off_is_not_waited_for() {
    let config = Config::new(&["triage", "billing"]).route("tools_wait_ms: 60000");
    let (_stage, triage, billing, caller) = begun(&config).await;
    let call = triage.call().await;
    let asks = items::tool_call("c1", "k1", "to_billing", "{}");
    call.conversation().append(asks).await.unwrap();
    let asked = std::time::Instant::now();
    let done = call.handoff_by_tool("billing", "an invoice", "k1").await;
    assert_eq!(done.unwrap().holder.as_str(), "billing");
    assert!(asked.elapsed() < Duration::from_secs(45));
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    let known = ids(&of_billing);
    assert!(!known.contains(&"c1/cancelled".to_owned()), "{known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baton_that_does_not_answer_ends_a_write_with_an_error() {
    let config = Config::new(&["triage"]).sdk("orchestrator_timeout_ms", 0);
    let mut stage = Stage::set(&config).await;
    let limit = Duration::from_millis(1_500);
    let script = Script::new("triage", TRIAGE_HZ).write_timeout(limit);
    let triage = script.start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let call = triage.call().await;
    stage.baton.pause();
    let item = says("a1", "one moment");
    let (kept, patched) = tokio::join!(
        call.conversation().append(item.clone()),
        call.state().patch(json!({"step": 1}))
    );
    assert_eq!(kept, Err(AppendError::TimedOut { limit }));
    assert_eq!(patched, Err(PatchError::TimedOut { limit }));

    // What was under way is not lost, and once more is not twice.
    stage.baton.unpause();
    until("the patch is there", || call.state().get().version == 1).await;
    let again = call.conversation().append(item);
    assert_eq!(again.await, Ok(()));
    assert_eq!(ids(&call), ["baton/1", "a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_over_the_configured_bound_is_not_sent() {
    let config = Config::new(&["triage", "billing"]).sdk("body_bytes_max", 1 << 20);
    let (_stage, triage, billing, caller) = begun(&config).await;
    let call = triage.call().await;
    let over = says("a1", &"word ".repeat(220_000));
    let refused = call.conversation().append(over).await;
    let Err(AppendError::NotSent { detail }) = refused else {
        panic!("{refused:?}");
    };
    assert!(detail.contains("the limit is 1048576"), "{detail}");
    let within = says("a2", &"word ".repeat(90_000));
    call.conversation().append(within.clone()).await.unwrap();
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(ids(&of_billing), ["baton/1", "a2", "baton/2"]);
    assert_eq!(of_billing.conversation().item("a2"), Some(within));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_shared_and_a_conflict_says_what_is_there_now() {
    let (_stage, triage, billing, caller) = begun(&Config::new(&["triage", "billing"])).await;
    let of_triage = triage.call().await;
    let version = of_triage
        .state()
        .patch(json!({"name": "Ann", "step": 1}))
        .await;
    assert_eq!(version, Ok(1));
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    until("billing knows the state", || {
        of_billing.state().get().version == 1
    })
    .await;
    assert_eq!(of_billing.state().get().document["name"], "Ann");
    assert_eq!(of_billing.state().patch(json!({"step": 2})).await, Ok(2));

    // Triage no longer has the baton, and writes against what it knew.
    let conflict = of_triage
        .state()
        .compare_and_set(1, json!({"step": 9}))
        .await;
    let Err(PatchError::Conflict { current }) = conflict else {
        panic!("no conflict: {conflict:?}");
    };
    assert_eq!((current.version, &current.document["step"]), (2, &json!(2)));
    let version = of_triage
        .state()
        .compare_and_set(current.version, json!({"step": 3}))
        .await;
    assert_eq!(version, Ok(3));
    until("billing knows", || of_billing.state().get().version == 3).await;
    assert_eq!(of_billing.state().get().document["step"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_survives_its_specialist_and_a_full_reconnect() {
    let config = Config::new(&["triage", "billing"]).timer("specialist_return_ms", 10_000);
    let (stage, triage, _billing, caller) = begun(&config).await;
    let call = triage.call().await;
    for number in 0..20 {
        if number == 10 {
            let reconnecting = call.clone();
            tokio::spawn(async move { reconnecting.reconnect().await });
        }
        let item = says(&format!("a{number}"), &format!("sentence {number}"));
        // The baton comes again in a new epoch; until then nothing is taken.
        let mut kept = call.conversation().append(item.clone()).await;
        for _ in 0..50 {
            if kept.is_ok() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
            kept = call.conversation().append(item.clone()).await;
        }
        kept.unwrap();
    }
    caller.hears(TRIAGE_HZ).await;

    // The process that said all that is gone; another one takes its place, which was told by Baton alone.
    stage.remove("triage").await;
    until("another one has the baton", || triage.grants().len() >= 3).await;
    let successor = triage.call().await;
    knows(&successor, "a19").await;
    let all: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    let known: Vec<String> = ids(&successor)
        .into_iter()
        .filter(|id| id.starts_with('a'))
        .collect();
    assert_eq!(known, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_filters_and_scopes_of_the_configuration_hold() {
    let config = Config::new(&["triage", "billing"])
        .route("context: messages_only, masks: ['redact card_numbers']")
        .specialist("billing", "state_fields: ['none customer.card']");
    let (_stage, triage, billing, caller) = begun(&config).await;
    let of_triage = triage.call().await;
    let spoken = vec![
        items::message("u1", Speaks::Caller, "it is 4111 1111 1111 1111, thanks"),
        items::tool_call("c1", "k1", "pay", "{}"),
        items::tool_result("o1", "k1", "pay", "done", false),
    ];
    of_triage.conversation().append_all(spoken).await.unwrap();
    let customer = json!({"customer": {"card": "4111111111111111", "name": "Ann"}});
    of_triage.state().patch(customer).await.unwrap();
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(ids(&of_billing), ["baton/1", "u1", "baton/2"]);
    assert_eq!(said(&of_billing)[1].1, "it is [redacted], thanks");
    until("billing knows the state", || {
        of_billing.state().get().version == 1
    })
    .await;
    assert_eq!(
        json!(of_billing.state().get().document),
        json!({"customer": {"name": "Ann"}})
    );
    let denied = of_billing
        .state()
        .patch(json!({"customer": {"card": "0"}}))
        .await;
    assert!(
        matches!(&denied, Err(PatchError::Denied { path, .. }) if path == "/customer/card"),
        "{denied:?}"
    );
}

/// Triage says three things, of which one holds a card's number, and hands over.
async fn talks_and_hands_off(triage: &Cast) {
    let spoken = vec![
        items::message("u1", Speaks::Caller, "it is 4111 1111 1111 1111, thanks"),
        says("a1", "let me see"),
        items::message("u2", Speaks::Caller, "so?"),
    ];
    let call = triage.call().await;
    call.conversation().append_all(spoken).await.unwrap();
    triage.hand_off("billing").await.unwrap();
}

const SUMMED: &str = "context: summary, masks: ['redact card_numbers']";

#[tokio::test(flavor = "multi_thread")]
async fn the_leaving_specialist_sums_up_what_was_said() {
    let route = format!("{SUMMED}, summary: {{last_items: 1, timeout_ms: 20000}}");
    let (_stage, triage, billing, caller) =
        begun(&Config::new(&["triage", "billing"]).route(&route)).await;
    let mut summaries = triage.call().await.summaries().unwrap();
    tokio::spawn(async move {
        while let Some(request) = summaries.next().await {
            let summary = "paid with 4111 1111 1111 1111".to_owned();
            request.answer(summary).await;
        }
    });
    talks_and_hands_off(&triage).await;
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(ids(&of_billing), ["baton/summary/2", "u2", "baton/2"]);
    let summary = &said(&of_billing)[0].1;
    assert!(summary.contains("paid with [redacted]"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_sums_up_behind_the_masks_and_what_fails_has_a_fallback() {
    let asked = Arc::new(Mutex::new(Vec::<Value>::new()));
    let seen = asked.clone();
    // A stand-in for somebody's language model: good once, then out of order.
    let answer = move |body: String| {
        let mut asked = seen.lock().unwrap();
        asked.push(serde_json::from_str(&body).unwrap());
        let good = asked.len() == 1;
        async move {
            match good {
                true => (axum::http::StatusCode::OK, r#"{"summary":"all is paid"}"#),
                false => (axum::http::StatusCode::BAD_GATEWAY, ""),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Router::new().route("/sum-up", post(answer));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let route = format!(
        "{SUMMED}, summary: {{webhook: 'http://{address}/sum-up', timeout_ms: 20000, last_items: 0, fallback: last:1}}"
    );
    let config = Config::new(&["triage", "billing", "sales"]).route(&route);
    let (stage, triage, billing, caller) = begun(&config).await;
    let sales = stage.cast("sales", crate::ROGUE_HZ).await;
    talks_and_hands_off(&triage).await;
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(ids(&of_billing), ["baton/summary/2", "baton/2"]);
    assert!(said(&of_billing)[0].1.contains("all is paid"));
    let shown = asked.lock().unwrap()[0].clone();
    assert_eq!(
        (&shown["from"], &shown["to"]),
        (&json!("triage"), &json!("billing"))
    );
    let messages = shown["messages"].to_string();
    assert!(messages.contains("it is [redacted], thanks") && messages.contains("let me see"));

    billing.hand_off("sales").await.unwrap();
    caller.hears(crate::ROGUE_HZ).await;
    let of_sales = sales.call().await;
    knows(&of_sales, "baton/3").await;
    assert_eq!(asked.lock().unwrap().len(), 2);
    let known = ids(&of_sales);
    assert!(
        known.contains(&"u2".to_owned()) && !known.contains(&"u1".to_owned()),
        "{known:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_makes_no_summaries_costs_a_handoff_nothing() {
    let route = format!("{SUMMED}, summary: {{timeout_ms: 60000, fallback: last:2}}");
    let (_stage, triage, billing, caller) =
        begun(&Config::new(&["triage", "billing"]).route(&route)).await;
    talks_and_hands_off(&triage).await;
    caller.hears(BILLING_HZ).await;
    let of_billing = billing.call().await;
    knows(&of_billing, "baton/2").await;
    assert_eq!(ids(&of_billing), ["a1", "u2", "baton/2"]);
}
