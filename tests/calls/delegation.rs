//! The baton goes for a task and comes back with its result, between processes that share nothing but the protocol.

use baton_specialist::{DelegationError, HandoffError, RefuseKind, items};
use serde_json::json;

use crate::baton::Config;
use crate::stage::Stage;
use crate::{BILLING_HZ, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_result_comes_back_with_the_baton_and_into_the_conversation() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    let of_triage = triage.call().await;
    let asks = items::tool_call("c1", "k1", "identify", "{}");
    of_triage.conversation().append(asks).await.unwrap();
    let delegating = tokio::spawn({
        let call = of_triage.clone();
        let task = json!({"level": 2});
        async move {
            call.delegate("billing", "who is it", &task, Some("k1"))
                .await
        }
    });
    caller.hears(BILLING_HZ).await;
    until("the handoff is done", || triage.revokes() == 1).await;
    assert_eq!(billing.task(), Some(json!({"level": 2})));

    let of_billing = billing.call().await;
    let result = json!({"known": true, "name": "Übertrag"});
    let back = of_billing.complete(&result, "done").await.unwrap();
    assert_eq!((back.holder.as_str(), back.epoch.0), ("triage", 3));
    assert_eq!(delegating.await.unwrap(), Ok(result));
    caller.hears(TRIAGE_HZ).await;
    until("triage has the output", || {
        of_triage.conversation().item("c1/answered").is_some()
    })
    .await;

    // Whoever comes next has call and output, and the call was not cancelled in between.
    triage.hand_off("billing").await.unwrap();
    until("billing knows the output", || {
        of_billing.conversation().item("c1/answered").is_some()
    })
    .await;
    assert!(of_billing.conversation().item("c1").is_some());
    assert!(of_billing.conversation().item("c1/cancelled").is_none());
    assert_eq!(billing.task(), None, "a plain handoff brings none");

    let nothing = of_billing.complete(&json!(1), "again").await;
    assert!(
        matches!(
            nothing,
            Err(HandoffError::Refused {
                reason: RefuseKind::NoDelegation,
                ..
            })
        ),
        "{nothing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_that_takes_too_long_ends_and_the_baton_comes_back() {
    let config = Config::new(&["triage", "billing"]).timer("delegation_timeout_ms", 4_000);
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let call = triage.call().await;
    let delegated = call
        .delegate("billing", "it hangs", &json!(null), None)
        .await;
    let Err(DelegationError::NoResult { why }) = delegated else {
        panic!("{delegated:?}");
    };
    assert!(why.contains("4000 ms"), "{why}");
    until("triage has the baton again", || triage.grants().len() == 2).await;
    caller.hears(TRIAGE_HZ).await;
}
