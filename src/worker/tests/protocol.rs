//! The worker against a server that does what the test wants: bursts, garbage, lost connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use support::fake::FakeServer;
use support::{PATIENCE, soon};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use worker::{
    Answer, Assignment, Drained, JobOutcome, Participant, Secret, WorkerConfig, WorkerHandle,
};

type Assignments = tokio::sync::mpsc::Receiver<Assignment>;

fn config(server: &FakeServer, max_jobs: u32) -> WorkerConfig {
    WorkerConfig {
        max_jobs,
        ..WorkerConfig::new(server.url(), "key", Secret::new("hush"))
    }
}

fn start(server: &FakeServer, max_jobs: u32) -> (WorkerHandle, Assignments) {
    worker::start(config(server, max_jobs)).unwrap()
}

#[tokio::test]
async fn a_burst_of_offers_fills_the_worker_exactly() {
    let server = FakeServer::start().await;
    let (_handle, _assignments) = start(&server, 3);
    let mut session = server.accept().await;
    for number in 0..5 {
        session.offer(&format!("AJ_{number}")).await;
    }
    for number in 0..5_u32 {
        let answer = session.next_answer().await;
        assert_eq!(answer.job_id, format!("AJ_{number}"));
        assert_eq!(answer.available, number < 3);
        // The report comes before the answer, so that the server knows before it assigns.
        let taken = (number + 1).min(3);
        assert_eq!(session.report.job_count, taken);
        let full = session.report.status() == proto::WorkerStatus::WsFull;
        assert_eq!(full, taken == 3);
        assert_eq!(session.report.load >= worker::TARGET_LOAD, taken == 3);
    }
}

#[tokio::test]
async fn a_freed_slot_is_offered_again() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    session.offer("AJ_2").await;
    assert!(!session.next_answer().await.available);

    let assignment = assignments.recv().await.unwrap();
    assert_eq!(handle.status().running_jobs, 1);
    assert_eq!(handle.status().load(), 1.0);
    assignment.slot.finish(JobOutcome::Success);
    let (job_id, status, error) = session.next_job().await;
    assert_eq!(
        (job_id.as_str(), status),
        ("AJ_1", proto::JobStatus::JsSuccess)
    );
    assert_eq!(error, "");
    let report = session.next_report().await;
    assert_eq!(report.status(), proto::WorkerStatus::WsAvailable);
    assert_eq!(report.load, 0.0);
    session.run("AJ_3").await;
}

#[tokio::test]
async fn a_job_dropped_without_an_outcome_has_failed() {
    let server = FakeServer::start().await;
    let (_handle, mut assignments) = start(&server, 2);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    drop(assignments.recv().await.unwrap());
    let (_, status, error) = session.next_job().await;
    assert_eq!(status, proto::JobStatus::JsFailed);
    assert_eq!(error, "the job was dropped without an outcome");

    session.run("AJ_2").await;
    let assignment = assignments.recv().await.unwrap();
    let job = tokio::spawn(async move {
        let _slot = assignment.slot;
        panic!("on purpose");
    });
    assert!(job.await.is_err());
    let (_, status, error) = session.next_job().await;
    assert_eq!(status, proto::JobStatus::JsFailed);
    assert_eq!(error, "the job panicked");
}

#[tokio::test]
async fn an_assignment_carries_what_the_job_needs() {
    let server = FakeServer::start().await;
    let (_handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    let assignment = assignments.recv().await.unwrap();
    assert_eq!(assignment.job.id, "AJ_1");
    assert_eq!(assignment.job.room_name, "room of AJ_1");
    assert_eq!(assignment.job.room_sid, "RM_1");
    assert_eq!(assignment.job.metadata, "ticket");
    assert_eq!(assignment.url, server.url());
    assert_eq!(assignment.access_token.expose(), "a token");

    let shown = format!("{assignment:?}");
    for hidden in ["a token", "ticket", "room of"] {
        assert!(!shown.contains(hidden), "{hidden:?} in {shown}");
    }
    let shown = format!("{:?}", config(&server, 1));
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_termination_is_told_to_the_job_and_ends_nothing() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 2);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    session.run("AJ_2").await;
    let first = assignments.recv().await.unwrap();
    let second = assignments.recv().await.unwrap();
    session.terminate("AJ_unknown").await;
    session.terminate("AJ_1").await;
    soon("termination", first.signals.terminated()).await;
    assert!(first.signals.is_terminated());
    assert!(!second.signals.is_terminated());
    assert!(!first.signals.is_stopping());
    assert_eq!(handle.status().running_jobs, 2);
}

#[tokio::test]
async fn jobs_outlive_a_lost_connection_and_reservations_do_not() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 4);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    session.run("AJ_2").await;
    session.offer("AJ_3").await;
    assert!(session.next_answer().await.available);
    assert_eq!(handle.status().reserved_jobs, 1);
    drop(session);

    // One job ends while the connection is away.
    let first = assignments.recv().await.unwrap();
    let second = assignments.recv().await.unwrap();
    let lost = |status: &worker::WorkerStatus| status.unhealthy_reason().is_some();
    soon("loss", handle.watch().wait_for(lost)).await.unwrap();
    first
        .slot
        .finish(JobOutcome::Failed("no caller".to_owned()));
    let one = |status: &worker::WorkerStatus| status.active_jobs() == 1;
    soon("end", handle.watch().wait_for(one)).await.unwrap();

    let mut session = server.accept().await;
    let report = session.next_report().await;
    assert_eq!(report.job_count, 1);
    let running = (
        "AJ_2".to_owned(),
        proto::JobStatus::JsRunning,
        String::new(),
    );
    assert_eq!(session.next_job().await, running);
    let failed = (
        "AJ_1".to_owned(),
        proto::JobStatus::JsFailed,
        "no caller".to_owned(),
    );
    assert_eq!(session.next_job().await, failed);
    assert!(!second.signals.is_terminated());
    second.slot.finish(JobOutcome::Success);
    assert_eq!(session.next_job().await.1, proto::JobStatus::JsSuccess);
}

#[tokio::test]
async fn an_accepted_offer_that_is_never_assigned_frees_its_slot() {
    let server = FakeServer::start().await;
    let (handle, _assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.offer("AJ_gone").await;
    assert!(session.next_answer().await.available);
    // It takes 10 s: the server itself gives up after 3 s.
    let free = |status: &worker::WorkerStatus| status.active_jobs() == 0;
    soon("release", handle.watch().wait_for(free))
        .await
        .unwrap();
    session.run("AJ_next").await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_left_at_once() {
    let server = FakeServer::start().await;
    let (_handle, _assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session
        .send(FromServer::GoAway(proto::agent_http::GoAway::default()))
        .await;
    let mut next = server.accept().await;
    next.run("AJ_1").await;
}

#[tokio::test]
async fn garbage_is_ignored() {
    let server = FakeServer::start().await;
    let (_handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session
        .send_raw(Message::Binary(vec![0xff; 64].into()))
        .await;
    session
        .send_raw(Message::Binary(vec![0x0a, 0x7f].into()))
        .await;
    session.send_raw(Message::Binary(Vec::new().into())).await;
    session.send_raw(Message::Text("{}".into())).await;
    session.send_raw(Message::Ping(vec![1].into())).await;
    session
        .send(FromServer::Availability(
            proto::AvailabilityRequest::default(),
        ))
        .await;
    session
        .send(FromServer::Assignment(proto::JobAssignment::default()))
        .await;
    session.run("AJ_1").await;
    assert_eq!(assignments.recv().await.unwrap().job.id, "AJ_1");
}

#[tokio::test]
async fn an_offer_without_a_room_is_refused() {
    let server = FakeServer::start().await;
    let (_handle, _assignments) = start(&server, 1);
    let mut session = server.accept().await;
    let job = proto::Job {
        id: "AJ_1".to_owned(),
        ..Default::default()
    };
    let request = proto::AvailabilityRequest {
        job: Some(job),
        resuming: false,
    };
    session.send(FromServer::Availability(request)).await;
    let answer = session.next_answer().await;
    assert_eq!((answer.job_id.as_str(), answer.available), ("AJ_1", false));
}

#[tokio::test]
async fn a_job_that_runs_here_is_not_taken_twice() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 3);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    session.offer("AJ_1").await;
    assert!(!session.next_answer().await.available);
    session.assign("AJ_1").await;
    session.run("AJ_2").await;
    assert_eq!(assignments.recv().await.unwrap().job.id, "AJ_1");
    assert_eq!(handle.status().running_jobs, 2);
}

#[tokio::test]
async fn an_assignment_nobody_was_asked_about_is_taken_only_into_a_free_slot() {
    let server = FakeServer::start().await;
    let (_handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.assign("AJ_1").await;
    assert_eq!(session.next_job().await.1, proto::JobStatus::JsRunning);
    session.assign("AJ_2").await;
    let (job_id, status, error) = session.next_job().await;
    assert_eq!(
        (job_id.as_str(), status),
        ("AJ_2", proto::JobStatus::JsFailed)
    );
    assert_eq!(error, "assigned too late: all 1 slots are taken");
    assert_eq!(assignments.recv().await.unwrap().job.id, "AJ_1");
    assert!(assignments.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_whose_assignments_nobody_takes_refuses_offers() {
    let server = FakeServer::start().await;
    let (_handle, mut assignments) = start(&server, 3);
    let mut session = server.accept().await;
    session.offer("AJ_1").await;
    assert!(session.next_answer().await.available);
    assignments.close();
    // The one that was accepted before is reported as failed, and its slot is free again.
    session.assign("AJ_1").await;
    while session.next_job().await.1 != proto::JobStatus::JsFailed {}
    session.offer("AJ_2").await;
    assert!(!session.next_answer().await.available);
    assert_eq!(session.report.job_count, 0);
}

#[tokio::test]
async fn the_policy_names_the_participant_or_refuses() {
    let server = FakeServer::start().await;
    let config = config(&server, 2).with_policy(|job| match job.id.as_str() {
        "AJ_named" => Answer::Accept(Participant {
            identity: "baton-1".to_owned(),
            name: "Baton".to_owned(),
            metadata: "m".to_owned(),
            attributes: [("a".to_owned(), "b".to_owned())].into(),
        }),
        "AJ_plain" => Answer::Accept(Participant::default()),
        "AJ_panic" => panic!("on purpose"),
        _ => Answer::Refuse {
            reason: "not today".to_owned(),
        },
    });
    let (_handle, _assignments) = worker::start(config).unwrap();
    let mut session = server.accept().await;

    session.offer("AJ_named").await;
    let answer = session.next_answer().await;
    assert!(answer.available);
    assert_eq!(answer.participant_identity, "baton-1");
    assert_eq!(answer.participant_name, "Baton");
    assert_eq!(answer.participant_metadata, "m");
    assert_eq!(answer.participant_attributes["a"], "b");
    for refused in ["AJ_other", "AJ_panic"] {
        session.offer(refused).await;
        assert!(!session.next_answer().await.available, "{refused}");
    }
    session.offer("AJ_plain").await;
    let answer = session.next_answer().await;
    assert_eq!(answer.participant_identity, "agent-AJ_plain");
}

#[tokio::test]
async fn the_registration_says_who_the_worker_is() {
    let server = FakeServer::start().await;
    let (_handle, _assignments) = start(&server, 1);
    let registration = server.accept().await.registration;
    assert_eq!(registration.agent_name, "baton");
    assert_eq!(registration.r#type(), proto::JobType::JtRoom);
    let permissions = registration.allowed_permissions.unwrap();
    assert!(permissions.can_publish && permissions.can_subscribe);
    assert!(permissions.can_publish_data && permissions.can_update_metadata);
    assert!(!permissions.hidden);
}

#[tokio::test]
async fn a_drain_waits_for_its_jobs_and_takes_no_new_ones() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 2);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    let assignment = assignments.recv().await.unwrap();
    let draining = tokio::spawn({
        let handle = handle.clone();
        async move {
            handle
                .drain(PATIENCE * 4, std::future::pending::<()>())
                .await
        }
    });
    while !session.report.draining {
        session.report = session.next_report().await;
    }
    assert_eq!(session.report.status(), proto::WorkerStatus::WsFull);
    session.offer("AJ_2").await;
    assert!(!session.next_answer().await.available);
    assert!(handle.status().draining);
    assert_eq!(handle.status().unhealthy_reason(), None);
    assert!(!assignment.signals.is_stopping());
    assignment.slot.finish(JobOutcome::Success);
    assert_eq!(soon("drain", draining).await.unwrap(), Drained::Finished);
    assert_eq!(
        handle.status().unhealthy_reason().as_deref(),
        Some("stopped")
    );
    assert!(
        soon("end of assignments", assignments.recv())
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    let assignment = assignments.recv().await.unwrap();
    let (second, signalled) = oneshot::channel::<()>();
    let draining = tokio::spawn({
        let handle = handle.clone();
        async move { handle.drain(PATIENCE * 4, signalled).await }
    });
    let draining_now = |status: &worker::WorkerStatus| status.draining;
    soon("drain", handle.watch().wait_for(draining_now))
        .await
        .unwrap();
    second.send(()).unwrap();
    let drained = soon("stop", draining).await.unwrap();
    assert_eq!(drained, Drained::CutShort { jobs_left: 1 });
    assert!(assignment.signals.is_stopping());
    // The slot outlives its worker without harm.
    assignment.slot.finish(JobOutcome::Success);
}

#[tokio::test]
async fn jobs_may_end_by_themselves_when_the_grace_period_is_over() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 1);
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    let Assignment { signals, slot, .. } = assignments.recv().await.unwrap();
    tokio::spawn(async move {
        signals.stopping().await;
        slot.finish(JobOutcome::Success);
    });
    let grace = std::time::Duration::from_millis(50);
    let drained = soon("drain", handle.drain(grace, std::future::pending::<()>())).await;
    assert_eq!(drained, Drained::Finished);
    while session.next_job().await.1 != proto::JobStatus::JsSuccess {}
}

#[tokio::test]
async fn the_last_handle_stops_the_worker() {
    let server = FakeServer::start().await;
    let (handle, mut assignments) = start(&server, 1);
    let _session = server.accept().await;
    let watch = handle.watch();
    let other = handle.clone();
    drop(handle);
    assert!(soon("registration", other.registered()).await);
    drop(other);
    assert!(soon("end", assignments.recv()).await.is_none());
    assert_eq!(watch.now().connection, worker::Connection::Stopped);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let good = || WorkerConfig::new("wss://livekit.example/prefix/", "key", Secret::new("s"));
    assert!(worker::start(good()).is_ok());
    let message = |config: WorkerConfig| worker::start(config).map(drop).unwrap_err().to_string();
    let url = |url: &str| WorkerConfig {
        url: url.to_owned(),
        ..good()
    };
    assert!(message(url("livekit.example")).contains("livekit.example"));
    assert!(message(url("ftp://livekit.example")).contains("scheme ftp is not ws or wss"));
    let config = WorkerConfig {
        max_jobs: 0,
        ..good()
    };
    assert_eq!(message(config), "max_jobs is 0, it must be 1 to 100000");
    let config = WorkerConfig {
        api_key: String::new(),
        ..good()
    };
    assert_eq!(message(config), "the api key is empty");
    let config = WorkerConfig {
        api_secret: Secret::new(""),
        ..good()
    };
    assert_eq!(message(config), "the api secret is empty");
}
