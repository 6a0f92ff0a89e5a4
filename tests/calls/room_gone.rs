//! Rooms that are gone before the call could begin.

use std::time::Duration;

use livekit_api::services::room::CreateRoomOptions;
use livekit_protocol::CreateAgentDispatchRequest;
use tokio::time::{Instant, sleep};

use crate::baton::Config;
use crate::stage::Stage;
use crate::{PATIENCE, TRIAGE_HZ};

/// How often a room is deleted under Baton's feet, each time a little later.
const TRIES: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_gone_before_the_call_begins_is_said_and_stays_gone() {
    let config = Config::new(&["triage"]).timer("caller_join_timeout_ms", 3_000);
    let stage = Stage::set_with_short_lived_rooms(&config).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let rooms = stage.rooms();
    for number in 0..TRIES {
        let room = format!("gone-{number}");
        let options = CreateRoomOptions::default();
        rooms.create_room(&room, options).await.unwrap();
        let request = CreateAgentDispatchRequest {
            agent_name: "baton".to_owned(),
            room: room.clone(),
            ..Default::default()
        };
        stage.dispatches().create_dispatch(request).await.unwrap();
        sleep(Duration::from_millis(number * 30)).await;
        rooms.delete_room(&room).await.unwrap();
    }
    stage.baton.idle().await;
    let deadline = Instant::now() + PATIENCE;
    while !stage.room_names().await.is_empty() {
        let left = stage.room_names().await;
        assert!(Instant::now() < deadline, "{left:?} live again");
        sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..10 {
        sleep(Duration::from_millis(200)).await;
        assert_eq!(stage.room_names().await, [""; 0]);
    }

    // Each job came to one of these ends, and most met a room that was gone.
    let assigned = stage.baton.count("job assigned");
    let gone = stage.baton.lines("call failed");
    let closed = stage.baton.lines("call ended");
    assert_eq!(gone.len() + closed.len(), assigned, "{}", stage.baton.log());
    assert!(assigned > 0);
    for line in &gone {
        let error = line["error"].as_str().unwrap();
        assert!(
            error.contains("room is gone") || error.contains("could not begin"),
            "{line}"
        );
    }
    for line in &closed {
        assert_eq!(line["reason"], "the room was closed");
    }

    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
}
