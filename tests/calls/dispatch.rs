//! How a call begins and ends.

use std::time::Duration;

use kit::token::JoinToken;
use tokio::time::{Instant, sleep};

use crate::baton::Config;
use crate::caller::Heard;
use crate::stage::{ROOM, Stage};
use crate::{PATIENCE, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_taken_by_its_room_configuration_and_leaves_nothing_behind() {
    let stage = Stage::set_with_short_lived_rooms(&Config::new(&["triage"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let [Heard { identity, track }] = &caller.subscriptions()[..] else {
        panic!("{:?}", caller.subscriptions());
    };
    assert_eq!(track, "program");
    assert!(caller.others().contains(identity));
    assert_eq!(
        caller.history().len(),
        1,
        "the specialist's own track is closed"
    );
    assert_eq!((stage.baton.active_calls(), triage.jobs()), (1, 1));

    // Somebody who stays keeps the room alive, so that it shows what is left in it.
    let witness = stage.join(JoinToken::new(ROOM, "witness")).await;
    until("the witness sees them all", || witness.others().len() == 3).await;
    let before = stage.dispatched(ROOM).await;
    assert!(before.contains(&"triage".to_owned()), "{before:?}");
    caller.hang_up().await;
    stage.baton.idle().await;
    until("the room is empty", || witness.others().is_empty()).await;
    until("the specialist's job has ended", || triage.jobs() == 0).await;
    let deadline = Instant::now() + PATIENCE;
    while stage.dispatched(ROOM).await.contains(&"triage".to_owned()) {
        assert!(Instant::now() < deadline, "its dispatch is still there");
        sleep(Duration::from_millis(100)).await;
    }
    let history = witness.history();
    let program = history.iter().any(|heard| heard.track == "program");
    assert!(!program, "the program is the caller's alone: {history:?}");

    witness.leave().await;
    let deadline = Instant::now() + PATIENCE;
    while !stage.room_names().await.is_empty() {
        assert!(Instant::now() < deadline, "the room is still there");
        sleep(Duration::from_millis(100)).await;
    }
    // A request into a room that is gone would create it anew.
    for _ in 0..20 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(stage.room_names().await, [""; 0]);
    }
    assert_eq!(stage.baton.count("call begun"), 1);
    assert_eq!(
        stage.baton.lines("call ended")[0]["reason"],
        "the caller is gone"
    );
}
