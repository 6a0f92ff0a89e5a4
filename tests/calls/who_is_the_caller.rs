//! The caller is pinned by identity: it may come back, and nobody else is taken for it.

use std::time::Duration;

use kit::token::JoinToken;
use tokio::time::sleep;

use crate::baton::Config;
use crate::caller::Caller;
use crate::stage::{ROOM, Stage};
use crate::{TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_comes_back_in_time_finds_its_call_as_it_was() {
    let stage = Stage::set(&Config::new(&["triage"]).timer("caller_return_ms", 4_000)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    caller.leave().await;
    until("the caller is missed", || stage.baton.said("caller away")).await;

    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(stage.baton.count("caller back"), 1);
    assert_eq!(stage.baton.count("call begun"), 1);
    assert_eq!(triage.grants(), [1]);
    assert!(triage.hears_caller(Duration::from_millis(500)).await > 25);

    caller.leave().await;
    sleep(Duration::from_millis(1_500)).await;
    assert!(!stage.baton.said("call ended"), "it is waited for");
    until("the call has ended", || stage.baton.said("call ended")).await;
    assert_eq!(
        stage.baton.lines("call ended")[0]["reason"],
        "the caller is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_phone_is_never_taken_for_the_caller() {
    let stage = Stage::set(&Config::new(&["triage"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let second_phone = || async {
        let token = JoinToken::sip_caller(ROOM, "+15550777");
        let token = stage.server.join_token(&token).unwrap();
        Caller::dial(&stage.server.url(), &token).await
    };
    let second = second_phone().await;
    let mark = caller.mark();
    sleep(Duration::from_millis(1_500)).await;
    let history = second.history();
    let program = history.iter().any(|heard| heard.track == "program");
    assert!(!program, "the program is the caller's alone: {history:?}");
    second.hang_up().await;
    sleep(Duration::from_millis(2_500)).await;
    assert!(!stage.baton.said("caller away") && !stage.baton.said("call ended"));
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(triage.grants(), [1]);
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );

    let second = second_phone().await;
    caller.hang_up().await;
    until("the call has ended", || stage.baton.said("call ended")).await;
    stage.baton.idle().await;
    until("the second phone is alone", || second.others().is_empty()).await;
}
