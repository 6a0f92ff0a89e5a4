//! What ends calls, and what does not.

use std::time::Duration;

use tokio::time::sleep;

use crate::baton::Config;
use crate::stage::{ROOM, Stage};
use crate::{PATIENCE, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_a_running_call_finishes_and_no_other_is_taken() {
    let mut stage = Stage::set(&Config::new(&["triage"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();
    stage.baton.terminate();
    until("it is draining", || {
        stage.baton.page("/worker").1.contains("\"draining\":true")
    })
    .await;

    let late = stage.dial_into("call-_+15550124_b2", "+15550124").await;
    sleep(Duration::from_secs(4)).await;
    assert!(late.history().is_empty(), "the late call was taken");
    assert_eq!(stage.baton.count("call begun"), 1);
    caller.hears(TRIAGE_HZ).await;
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );
    assert_eq!(stage.baton.ended(), None);

    caller.hang_up().await;
    let status = stage.baton.end(PATIENCE).await;
    assert_eq!(status.code(), Some(0));
    until("the specialist's job has ended", || triage.jobs() == 0).await;
    assert_eq!(
        stage.baton.lines("call ended")[0]["reason"],
        "the caller is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_batons_job_at_the_server_does_not_end_a_call() {
    let stage = Stage::set(&Config::new(&["triage"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();
    let dispatches = stage.dispatches();
    let mut ours = None;
    // The list is empty for the first seconds.
    for _ in 0..100 {
        let listed = dispatches.list_dispatch(ROOM).await.unwrap();
        ours = listed
            .into_iter()
            .find(|dispatch| dispatch.agent_name == "baton");
        if ours.is_some() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let ours = ours.expect("baton's own dispatch is listed");
    dispatches.delete_dispatch(&ours.id, ROOM).await.unwrap();
    until("the worker is told", || {
        stage.baton.said("server ended the job")
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    caller.hears(TRIAGE_HZ).await;
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );
    assert_eq!(
        (stage.baton.active_calls(), stage.baton.count("call ended")),
        (1, 0)
    );
    assert_eq!(triage.grants(), [1]);

    caller.hang_up().await;
    stage.baton.idle().await;
}
