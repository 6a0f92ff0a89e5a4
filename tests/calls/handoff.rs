//! The baton moves, on request of who has it.

use std::time::Duration;

use baton_specialist::{HandoffError, RefuseKind};
use tokio::time::sleep;

use crate::baton::Config;
use crate::cast::{Prepares, Script};
use crate::stage::Stage;
use crate::{BILLING_HZ, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_baton_goes_there_and_back_and_each_is_heard_and_hears_in_its_turn_alone() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();
    assert!(triage.hears_caller(Duration::from_millis(500)).await > 25);

    let there = triage.hand_off("billing").await.unwrap();
    assert_eq!((there.holder.as_str(), there.epoch.0), ("billing", 2));
    caller.hears(BILLING_HZ).await;
    until("triage knows", || triage.revokes() == 1).await;
    until("billing hears the caller", || billing.hears_within_ms(200)).await;
    let (of_triage, of_billing) = tokio::join!(
        triage.hears_caller(Duration::from_millis(500)),
        billing.hears_caller(Duration::from_millis(500))
    );
    assert_eq!(of_triage, 0);
    assert!(of_billing > 25, "{of_billing}");
    let stale = triage.hand_off("triage").await;
    assert_eq!(stale, Err(HandoffError::NoBaton));

    let call = billing.call().await;
    let back = call.hand_back("it is done").await.unwrap();
    assert_eq!((back.holder.as_str(), back.epoch.0), ("triage", 3));
    caller.hears(TRIAGE_HZ).await;
    until("billing knows", || billing.revokes() == 1).await;
    assert_eq!(billing.hears_caller(Duration::from_millis(500)).await, 0);
    assert!(triage.hears_caller(Duration::from_millis(500)).await > 25);

    assert_eq!((triage.grants(), billing.grants()), (vec![1, 3], vec![2]));
    assert_eq!((triage.jobs(), billing.jobs()), (1, 1), "each stayed");
    let verdict = caller.judge_since(mark, &[TRIAGE_HZ, BILLING_HZ, TRIAGE_HZ]);
    assert_eq!(
        (verdict.leaked_ms, &verdict.missing[..]),
        (0, &[][..]),
        "{verdict:?}"
    );
    for change in &verdict.changes {
        assert!(change.silence_ms <= crate::HOLE_MAX_MS, "{verdict:?}");
        assert!(change.overlap_ms > 0, "{verdict:?}");
    }
    assert_eq!(caller.history().len(), 1, "one track for the whole call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_is_refused_with_its_reason() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let slow = Script::new("billing", BILLING_HZ).prepares(Prepares::Slowly(1_500));
    let billing = slow.start(&stage.server).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    let refused = |answer| match answer {
        Err(HandoffError::Refused { reason, detail }) => (reason, detail),
        other => panic!("not refused: {other:?}"),
    };
    let (reason, detail) = refused(triage.hand_off("biling").await);
    assert_eq!(reason, RefuseKind::UnknownTarget);
    assert!(detail.contains("did you mean \"billing\""), "{detail}");
    let (reason, _) = refused(triage.hand_off("triage").await);
    assert_eq!(reason, RefuseKind::AlreadyHolder);
    let call = triage.call().await;
    let (reason, _) = refused(call.hand_back("nobody was there before").await);
    assert_eq!(reason, RefuseKind::NoPrevious);

    let first = tokio::spawn(async move { call.handoff("billing", "the first request").await });
    until("billing prepares", || billing.preparations() == 1).await;
    let (reason, detail) = refused(triage.hand_off("billing").await);
    assert_eq!(reason, RefuseKind::InProgress);
    assert!(detail.contains("to billing is under way"), "{detail}");
    caller.hears(TRIAGE_HZ).await;
    let done = first.await.unwrap().unwrap();
    assert_eq!(done.holder.as_str(), "billing");
    caller.hears(BILLING_HZ).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(billing.grants(), [2], "the refused request left no trace");
}
