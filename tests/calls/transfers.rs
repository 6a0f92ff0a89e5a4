//! A call leaves to a SIP address: what the caller's phone may report of it, from a mock, and what the real server says
//! without a SIP service.

use baton_specialist::{FailKind, HandoffDone, HandoffError};
use kit::server::{LivekitServer, ServerOptions};
use kit::token::JoinToken;

use crate::baton::{Baton, Config};
use crate::caller::Caller;
use crate::cast::Cast;
use crate::operator::steering;
use crate::redis::RedisServer;
use crate::services::{Reports, Services};
use crate::stage::{PHONE, ROOM, Stage, credentials};
use crate::{TRIAGE_HZ, until};

const ADDRESS: &str = "tel:+15550177";

fn config(answer_timeout_ms: u64) -> Config {
    Config::new(&["triage"])
        .person(
            "branch",
            &format!("kind: sip, transfer_to: '{ADDRESS}', answer_timeout_ms: {answer_timeout_ms}"),
        )
        .part("escalation: branch")
}

/// A server, the mock in front of it, Baton behind that, triage, and a caller that hears it.
struct Scene {
    sip: Services,
    stage: Stage,
    triage: Cast,
    caller: Caller,
}

impl Scene {
    async fn set(answer_timeout_ms: u64) -> Self {
        let server = LivekitServer::start().unwrap();
        let sip = Services::start(server.port()).await;
        let mut credentials = credentials(&server);
        credentials.url = sip.url();
        let baton = Baton::start(&config(answer_timeout_ms), &credentials, &[]).await;
        baton.registered().await;
        let stage = Stage { baton, server };
        let triage = stage.cast("triage", TRIAGE_HZ).await;
        let caller = stage.dial().await;
        caller.hears(TRIAGE_HZ).await;
        Self {
            sip,
            stage,
            triage,
            caller,
        }
    }

    /// Triage asks, and the caller's phone reports this.
    async fn asks(&self, reports: Reports) -> Result<HandoffDone, HandoffError> {
        self.sip.reports(reports);
        self.triage.hand_off("branch").await
    }

    async fn triage_goes_on(&self, round: usize) {
        until("triage has the baton again", || {
            self.triage.grants().len() == round + 1
        })
        .await;
        self.caller.hears(TRIAGE_HZ).await;
        assert_eq!(self.triage.jobs(), 1, "the same instance");
    }
}

#[track_caller]
fn assert_unanswered(outcome: Result<HandoffDone, HandoffError>, told: &str) {
    match outcome {
        Err(HandoffError::Failed {
            reason: FailKind::NoAnswer,
            detail,
        }) => assert!(detail.contains(told), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_there_stays_here_and_one_that_is_answered_has_left() {
    let scene = Scene::set(20_000).await;
    let refused = [
        (486, "Busy Here", "the line is busy"),
        (603, "Decline", "the call was declined"),
        (408, "Request Timeout", "not accepted within 20000 ms"),
        (404, "Not Found", "the phone's side answered 404 Not Found"),
    ];
    for (round, (code, status, told)) in refused.into_iter().enumerate() {
        let outcome = scene.asks(Reports::Refused(code, status)).await;
        assert_unanswered(outcome, told);
        scene.triage_goes_on(round + 1).await;
    }

    let done = scene.asks(Reports::Answered).await.unwrap();
    assert_eq!(done.holder.as_str(), "branch");
    until("the call has ended", || {
        scene.stage.baton.said("call ended")
    })
    .await;
    let ended = &scene.stage.baton.lines("call ended")[0];
    assert_eq!(ended["reason"], "the caller was transferred");
    until("triage has left", || scene.triage.jobs() == 0).await;
    scene.stage.baton.idle().await;

    let asked = scene.sip.asked();
    assert_eq!(asked.len(), 5);
    for request in asked {
        assert_eq!(request.room_name, ROOM);
        assert_eq!(request.participant_identity, format!("sip_{PHONE}"));
        assert_eq!(request.transfer_to, ADDRESS);
        assert_eq!(request.ringing_timeout.unwrap().seconds, 20);
        let call = &request.headers["X-Baton-Call"];
        let packet = format!("/api/v1/calls/{call}/packet");
        assert_eq!(request.headers["X-Baton-Packet"], packet);
    }
    assert!(
        !scene.stage.baton.log().contains("5550177"),
        "personal data"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_reports_nothing_is_given_up_and_an_operator_is_told_why() {
    let scene = Scene::set(2_000).await;
    let stage = &scene.stage;
    let token = steering(stage);
    let (_, list) = stage.baton.api("GET", "/calls", &token, "");
    let id = list["calls"][0]["id"].as_str().unwrap().to_owned();
    let escalate = || {
        let path = format!("/calls/{id}/escalate");
        stage
            .baton
            .api("POST", &path, &token, r#"{"wait_ms": 30000}"#)
    };
    scene.sip.reports(Reports::Nothing);
    let (status, answer) = escalate();
    assert_eq!(
        (status, &answer["reason"]),
        (502, &"not_accepted".into()),
        "{answer}"
    );
    scene.triage_goes_on(1).await;
    scene.sip.reports(Reports::Refused(486, "Busy Here"));
    let (status, answer) = escalate();
    assert_eq!(
        (status, &answer["reason"]),
        (502, &"busy".into()),
        "{answer}"
    );
    scene.triage_goes_on(2).await;
}

/// No SIP service runs here: the request goes to the real server, passes its authentication and its checks, and fails for want of
/// the service alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_server_takes_a_transfer_and_has_nobody_to_make_it() {
    let redis = RedisServer::start();
    let server = LivekitServer::start_with(ServerOptions {
        redis: Some(redis.address()),
        ..ServerOptions::default()
    })
    .unwrap();
    let stage = Stage::set_on(server, &config(20_000)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let outcome = triage.hand_off("branch").await;
    assert_unanswered(outcome, "no response from servers");
    until("triage has the baton again", || triage.grants().len() == 2).await;
    caller.hears(TRIAGE_HZ).await;
    assert!(!stage.baton.log().contains("5550177"), "personal data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_the_web_cannot_be_transferred_and_hears_no_hold() {
    let stage = Stage::set(&config(20_000)).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let token = JoinToken::new(ROOM, "web").dispatch("baton", "");
    let caller = stage.join(token).await;
    caller.hears(TRIAGE_HZ).await;
    assert_unanswered(triage.hand_off("branch").await, "not on a phone");
    assert_eq!(triage.grants().len(), 1, "it kept the baton");
}
