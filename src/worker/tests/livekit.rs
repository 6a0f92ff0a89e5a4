//! The worker against a real LiveKit server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use livekit_api::access_token::TokenVerifier;
use support::server::{API_KEY, API_SECRET, Server, settled};
use support::soon;
use tokio::sync::mpsc;
use tokio::time::timeout;
use worker::{
    Answer, Assignment, Drained, JobOutcome, Participant, Secret, WorkerConfig, WorkerStatus,
};

#[tokio::test]
async fn a_dispatch_reaches_the_worker_with_its_metadata() {
    let server = Server::start().await;
    let config = server.config("baton", 2).with_policy(|job| {
        assert_eq!(job.metadata, "ticket-1");
        Answer::Accept(Participant {
            identity: "baton-1".to_owned(),
            name: "Baton".to_owned(),
            metadata: "m".to_owned(),
            attributes: [("side".to_owned(), "a".to_owned())].into(),
        })
    });
    let (handle, mut assignments) = worker::start(config).unwrap();
    settled(&handle).await;
    server.dispatch("baton", "room-1", "ticket-1").await;
    let assignment = soon("assignment", assignments.recv()).await.unwrap();
    assert_eq!(assignment.job.room_name, "room-1");
    assert!(assignment.job.room_sid.starts_with("RM_"));
    assert!(assignment.job.dispatch_id.starts_with("AD_"));
    assert_eq!(assignment.job.agent_name, "baton");
    assert_eq!(assignment.job.metadata, "ticket-1");
    assert_eq!(assignment.identity, "baton-1");
    assert_eq!(assignment.url, format!("ws://127.0.0.1:{}", server.port()));

    let claims = TokenVerifier::with_api_key(API_KEY, API_SECRET)
        .verify(assignment.access_token.expose())
        .unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.name.as_str()),
        ("baton-1", "Baton")
    );
    assert_eq!(
        (claims.kind.as_str(), claims.metadata.as_str()),
        ("agent", "m")
    );
    assert_eq!(claims.attributes["side"], "a");
    assert_eq!(claims.attributes["lk.agent_name"], "baton");
    assert!(claims.video.room_join && claims.video.agent && !claims.video.room_admin);
    assert_eq!(claims.video.room, "room-1");
    assert!(claims.video.can_publish() && claims.video.can_subscribe());
    assert!(claims.video.can_publish_data() && claims.video.can_update_own_metadata());
    assert!(!claims.video.hidden);
}

#[tokio::test]
async fn a_burst_fills_a_worker_exactly_and_every_call_is_taken() {
    const CALLS: u32 = 12;
    let server = Server::start().await;
    let (handle, mut assignments) = worker::start(server.config("baton", CALLS)).unwrap();
    settled(&handle).await;
    burst(&server, CALLS).await;
    let taken = collect(&mut assignments, CALLS).await;
    assert_eq!(rooms(&taken).len(), CALLS as usize);
    assert_eq!(handle.status().running_jobs, CALLS);
    assert_eq!(handle.status().load(), 1.0);

    // One more is not offered; with a slot free again, the next one is.
    server.dispatch("baton", "one-more", "").await;
    let none = timeout(Duration::from_secs(1), assignments.recv()).await;
    assert!(none.is_err(), "a full worker took a job");
    let mut taken = taken;
    taken.remove(0).slot.finish(JobOutcome::Success);
    let freed = |status: &WorkerStatus| status.running_jobs == CALLS - 1;
    soon("free slot", handle.watch().wait_for(freed))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.dispatch("baton", "the-next", "").await;
    let next = soon("next", assignments.recv()).await.unwrap();
    assert_eq!(next.job.room_name, "the-next");
}

#[tokio::test]
async fn a_burst_over_two_workers_fills_both() {
    let server = Server::start().await;
    let (first, mut to_first) = worker::start(server.config("baton", 4)).unwrap();
    settled(&first).await;
    let (second, mut to_second) = worker::start(server.config("baton", 4)).unwrap();
    settled(&second).await;
    burst(&server, 8).await;
    let mut taken = collect(&mut to_first, 4).await;
    taken.extend(collect(&mut to_second, 4).await);
    assert_eq!(rooms(&taken).len(), 8);
    assert_eq!(
        (first.status().running_jobs, second.status().running_jobs),
        (4, 4)
    );
}

#[tokio::test]
async fn what_one_worker_refuses_another_one_takes() {
    let server = Server::start().await;
    let refusing = server.config("baton", 8).with_policy(|_| Answer::Refuse {
        reason: "never".to_owned(),
    });
    let (refusing, mut to_refusing) = worker::start(refusing).unwrap();
    settled(&refusing).await;
    let (taking, mut to_taking) = worker::start(server.config("baton", 8)).unwrap();
    settled(&taking).await;
    // With equal weights, all six going to the taker at once has a chance of 1 in 64.
    for number in 0..6 {
        server
            .dispatch("baton", &format!("room-{number}"), "")
            .await;
    }
    let taken = collect(&mut to_taking, 6).await;
    assert_eq!(rooms(&taken).len(), 6);
    assert!(to_refusing.try_recv().is_err());
}

#[tokio::test]
async fn calls_go_on_while_the_server_restarts() {
    let server = Server::start().await;
    let port = server.port();
    let (handle, mut assignments) = worker::start(server.config("baton", 3)).unwrap();
    settled(&handle).await;
    server.dispatch("baton", "before", "").await;
    let before = soon("assignment", assignments.recv()).await.unwrap();

    server.kill();
    let away = |status: &WorkerStatus| status.unhealthy_reason().is_some();
    soon("loss", handle.watch().wait_for(away)).await.unwrap();
    assert_eq!(handle.status().running_jobs, 1);
    assert!(!before.signals.is_terminated());

    let server = Server::start_on(port).await;
    settled(&handle).await;
    assert_eq!(handle.status().running_jobs, 1);
    server.dispatch("baton", "after", "").await;
    let after = soon("assignment", assignments.recv()).await.unwrap();
    assert_eq!(after.job.room_name, "after");
    assert_eq!(handle.status().running_jobs, 2);
    before.slot.finish(JobOutcome::Success);
    let one = |status: &WorkerStatus| status.running_jobs == 1;
    soon("end", handle.watch().wait_for(one)).await.unwrap();
}

#[tokio::test]
async fn a_deleted_dispatch_terminates_the_job_without_ending_it() {
    let server = Server::start().await;
    let (handle, mut assignments) = worker::start(server.config("baton", 1)).unwrap();
    settled(&handle).await;
    server.dispatch("baton", "room-1", "").await;
    let assignment = soon("assignment", assignments.recv()).await.unwrap();
    server
        .delete_dispatch(&assignment.job.dispatch_id, "room-1")
        .await;
    soon("termination", assignment.signals.terminated()).await;
    assert_eq!(handle.status().running_jobs, 1);
}

#[tokio::test]
async fn a_drained_worker_gets_no_call_and_another_one_does() {
    let server = Server::start().await;
    let (leaving, mut to_leaving) = worker::start(server.config("baton", 4)).unwrap();
    settled(&leaving).await;
    server.dispatch("baton", "old", "").await;
    let old = soon("assignment", to_leaving.recv()).await.unwrap();
    let (staying, mut to_staying) = worker::start(server.config("baton", 4)).unwrap();
    settled(&staying).await;
    leaving.close();
    let closed = |status: &WorkerStatus| status.draining;
    soon("close", leaving.watch().wait_for(closed))
        .await
        .unwrap();
    for number in 0..4 {
        server.dispatch("baton", &format!("new-{number}"), "").await;
    }
    assert_eq!(collect(&mut to_staying, 4).await.len(), 4);
    assert!(to_leaving.try_recv().is_err());
    old.slot.finish(JobOutcome::Success);
    let drained = leaving.drain(Duration::from_secs(60), std::future::pending::<()>());
    assert_eq!(soon("drain", drained).await, Drained::Finished);
}

#[tokio::test]
async fn a_wrong_key_or_secret_is_named_and_never_shown() {
    let server = Server::start().await;
    let reason = async |config: WorkerConfig| {
        let (handle, _assignments) = worker::start(config).unwrap();
        let failed = |status: &WorkerStatus| {
            let reason = status.unhealthy_reason().unwrap_or_default();
            reason.starts_with("not registered")
        };
        let status = soon("failure", handle.watch().wait_for(failed))
            .await
            .unwrap();
        status.unhealthy_reason().unwrap()
    };
    let wrong_key = WorkerConfig {
        api_key: "other".to_owned(),
        ..server.config("baton", 1)
    };
    assert_eq!(
        reason(wrong_key).await,
        "not registered: the server does not know the api key \"other\""
    );
    let wrong_secret = WorkerConfig {
        api_secret: Secret::new("another-secret-that-is-long-enough-too"),
        ..server.config("baton", 1)
    };
    assert_eq!(
        reason(wrong_secret).await,
        "not registered: the api secret does not match the api key \"testkey\""
    );
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    let port = support::free_port();
    let url = format!("ws://127.0.0.1:{port}");
    let config = WorkerConfig::new(url, API_KEY, Secret::new(API_SECRET));
    let (handle, mut assignments) = worker::start(config).unwrap();
    let failed = |status: &WorkerStatus| {
        let reason = status.unhealthy_reason().unwrap_or_default();
        reason.contains("cannot reach")
    };
    soon("failure", handle.watch().wait_for(failed))
        .await
        .unwrap();
    let server = Server::start_on(port).await;
    settled(&handle).await;
    server.dispatch("baton", "room-1", "").await;
    soon("assignment", assignments.recv()).await.unwrap();
}

/// Dispatches into `calls` rooms at once.
async fn burst(server: &Server, calls: u32) {
    let names: Vec<String> = (0..calls).map(|number| format!("call-{number}")).collect();
    join_all(names.iter().map(|name| server.dispatch("baton", name, ""))).await;
}

async fn collect(assignments: &mut mpsc::Receiver<Assignment>, count: u32) -> Vec<Assignment> {
    let mut taken = Vec::new();
    for number in 0..count {
        let what = format!("assignment {} of {count}", number + 1);
        taken.push(soon(&what, assignments.recv()).await.unwrap());
    }
    taken
}

fn rooms(taken: &[Assignment]) -> BTreeSet<&str> {
    taken
        .iter()
        .map(|assignment| assignment.job.room_name.as_str())
        .collect()
}
