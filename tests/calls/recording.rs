//! Recording by LiveKit's egress: what is asked of it, by a mock, and what the real server says without one.

use kit::server::{LivekitServer, ServerOptions};
use serde_json::json;

use crate::baton::{Baton, Config};
use crate::operator::steering;
use crate::redis::RedisServer;
use crate::services::{Egress, Services};
use crate::stage::{ROOM, Stage, credentials};
use crate::{TRIAGE_HZ, until};

fn config(when: &str) -> Config {
    Config::new(&["triage"])
        .timer("specialist_return_ms", 15_000)
        .timer("caller_return_ms", 10_000)
        .part(&format!(
            "recording: {{when: '{when}', keep_days: 30, path: 'recordings/{{keep_days}}d/{{call}}/{{track}}-{{time}}'}}"
        ))
}

/// The files of the recordings that run, in order.
fn files(egresses: &[Egress]) -> Vec<String> {
    let running = egresses.iter().filter(|egress| egress.runs);
    let mut files: Vec<_> = running.map(|egress| file(&egress.asked)).collect();
    files.sort();
    files
}

fn file(asked: &livekit_protocol::TrackEgressRequest) -> String {
    use livekit_protocol::track_egress_request::Output;
    match asked.output.as_ref() {
        Some(Output::File(file)) => file.filepath.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tracks_are_recorded_while_the_caller_consents() {
    let server = LivekitServer::start().unwrap();
    let services = Services::start(server.port()).await;
    let mut credentials = credentials(&server);
    credentials.url = services.url();
    let config = config("has(state.consent) && state.consent");
    let baton = Baton::start(&config, &credentials, &[]).await;
    baton.registered().await;
    let mut stage = Stage { baton, server };
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let of_triage = triage.call().await;

    let state = of_triage.state();
    state.patch(json!({"name": "Ann"})).await.unwrap();
    assert!(services.egresses().is_empty(), "nobody has consented");
    state.patch(json!({"consent": true})).await.unwrap();
    until("both tracks are recorded", || {
        files(&services.egresses()).len() == 2
    })
    .await;
    let admin = steering(&stage);
    let (_, list) = stage.baton.api("GET", "/calls", &admin, "");
    let id = list["calls"][0]["id"].as_str().unwrap().to_owned();
    let expected =
        ["caller", "program"].map(|track| format!("recordings/30d/{id}/{track}-{{time}}"));
    assert_eq!(files(&services.egresses()), expected);
    until("operators see it", || {
        let (_, call) = stage.baton.api("GET", &format!("/calls/{id}"), &admin, "");
        call["recorded"] == true
    })
    .await;
    let asked = services.egresses();
    assert!(asked.iter().all(|egress| egress.asked.room_name == ROOM));
    assert_ne!(asked[0].asked.track_id, asked[1].asked.track_id);

    state.patch(json!({"consent": false})).await.unwrap();
    until("neither is recorded", || {
        files(&services.egresses()).is_empty()
    })
    .await;
    until("operators see that as well", || {
        let (_, call) = stage.baton.api("GET", &format!("/calls/{id}"), &admin, "");
        call["recorded"] == false
    })
    .await;
    state.patch(json!({"consent": true})).await.unwrap();
    until("both are recorded again", || {
        files(&services.egresses()).len() == 2
    })
    .await;
    assert_eq!(services.egresses().len(), 4);

    // Another process goes on with what runs: the caller's track is the same, the program track a new one.
    stage.baton.kill();
    stage.baton.restart().await;
    until("the new program track is recorded", || {
        services.egresses().len() == 5
    })
    .await;
    assert_eq!(file(&services.egresses()[4].asked), expected[1]);

    caller.hears(TRIAGE_HZ).await;
    let (status, _) = stage
        .baton
        .api("DELETE", &format!("/calls/{id}"), &admin, "");
    assert_eq!(status, 204);
    // The egress of a track that is gone ends by itself, which the mock does not know.
    until("nothing of the call is recorded any more", || {
        let left = files(&services.egresses());
        left.len() == 1 && left[0] == expected[1]
    })
    .await;
}

/// No egress runs here: the request goes to the real server, passes its authentication and its checks, and waits for the service in
/// vain: the server asks for it again and again, longer than Baton waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_fails_is_told_and_holds_up_nothing() {
    let redis = RedisServer::start();
    let server = LivekitServer::start_with(ServerOptions {
        redis: Some(redis.address()),
        ..ServerOptions::default()
    })
    .unwrap();
    let stage = Stage::set_on(server, &config("true")).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    until("the failure is told", || {
        stage.baton.said("recording not changed")
    })
    .await;
    let log = stage.baton.log();
    assert!(
        log.contains("StartTrackEgress failed") && log.contains("operation timed out"),
        "{log}"
    );
    until("the failure is counted", || {
        let (_, metrics) = stage.baton.page("/metrics");
        metrics.contains("baton_recordings_started_total 0")
            && !metrics.contains("baton_recordings_failed_total 0")
    })
    .await;
    caller.hears(TRIAGE_HZ).await;
}
