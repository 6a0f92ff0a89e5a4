//! Many calls at once.

use std::time::Duration;

use tokio::time::sleep;

use crate::baton::Config;
use crate::stage::Stage;
use crate::{TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_fills_baton_to_its_last_slot_and_each_call_is_heard() {
    let stage = Stage::set(&Config::new(&["triage"]).max_calls(2)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let (first, second) = tokio::join!(
        stage.dial_into("call-_+15550131_a", "+15550131"),
        stage.dial_into("call-_+15550132_b", "+15550132")
    );
    tokio::join!(first.hears(TRIAGE_HZ), second.hears(TRIAGE_HZ));
    for caller in [&first, &second] {
        let history = caller.history();
        assert_eq!(history.len(), 1, "{history:?}");
        assert_eq!(history[0].track, "program");
    }
    assert_eq!((stage.baton.active_calls(), triage.jobs()), (2, 2));

    // One more is somebody else's, or nobody's; it disturbs no call.
    let third = stage.dial_into("call-_+15550133_c", "+15550133").await;
    sleep(Duration::from_secs(1)).await;
    assert!(third.history().is_empty() && stage.baton.active_calls() == 2);
    third.leave().await;
    first.hang_up().await;
    until("its slot is free", || stage.baton.active_calls() == 1).await;
    second.hears(TRIAGE_HZ).await;
    // The server has to know of the free slot, too.
    sleep(Duration::from_millis(300)).await;
    let fourth = stage.dial_into("call-_+15550134_d", "+15550134").await;
    fourth.hears(TRIAGE_HZ).await;
}
