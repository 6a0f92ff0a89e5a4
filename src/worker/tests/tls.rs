//! The worker and the API through a TLS proxy whose certificate a private CA has signed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Read;

use kit::tls::{TlsProxy, authority};
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol as proto;
use support::child::{rerun, role};
use support::server::{API_KEY, API_SECRET, Server, settled};
use support::soon;
use worker::{JobOutcome, Secret, WorkerConfig, WorkerStatus};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_ca_is_trusted_by_its_file_and_no_other_is() {
    const NAME: &str = "a_private_ca_is_trusted_by_its_file_and_no_other_is";
    match role().as_deref() {
        Some("trusting") => return take_a_job(&proxied()).await,
        Some("doubting") => return see_a_failure(&proxied()).await,
        Some(other) => panic!("no such role: {other}"),
        None => {}
    }
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours.pem");
    let other = folder.path().join("other.pem");
    let tls = authority(&ours).unwrap();
    authority(&other).unwrap();
    let proxy = TlsProxy::start(tls, server.port()).await.unwrap();
    let port = proxy.port();

    let url = format!("wss://localhost:{port}");
    for (role, file, expected) in [
        ("trusting", &ours, "took the job"),
        ("doubting", &other, "invalid peer certificate"),
    ] {
        let environment = [
            ("SSL_CERT_FILE", file.as_os_str()),
            ("WORKER_TEST_URL", url.as_ref()),
        ];
        let mut child = rerun(NAME, role, environment);
        let mut output = child.0.stdout.take().unwrap();
        let said = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            output.read_to_string(&mut said).unwrap();
            (child.0.wait().unwrap(), said)
        });
        let (status, said) = soon(role, said).await.unwrap();
        assert!(status.success(), "{role}: {said}");
        assert!(said.contains(expected), "{role}: {said}");
    }
}

fn proxied() -> String {
    std::env::var("WORKER_TEST_URL").unwrap()
}

fn config(url: &str) -> WorkerConfig {
    WorkerConfig::new(url, API_KEY, Secret::new(API_SECRET))
}

async fn take_a_job(url: &str) {
    let (handle, mut assignments) = worker::start(config(url)).unwrap();
    settled(&handle).await;
    let host = url.replace("wss://", "https://");
    let request = proto::CreateAgentDispatchRequest {
        agent_name: "baton".to_owned(),
        room: "room-1".to_owned(),
        ..Default::default()
    };
    AgentDispatchClient::with_api_key(&host, API_KEY, API_SECRET)
        .create_dispatch(request)
        .await
        .unwrap();
    let assignment = soon("assignment", assignments.recv()).await.unwrap();
    assert_eq!(assignment.url, url);
    assignment.slot.finish(JobOutcome::Success);
    handle.stop().await;
    println!("took the job");
}

async fn see_a_failure(url: &str) {
    let (handle, _assignments) = worker::start(config(url)).unwrap();
    let failed = |status: &WorkerStatus| {
        let reason = status.unhealthy_reason().unwrap_or_default();
        reason.starts_with("not registered")
    };
    let status = soon("failure", handle.watch().wait_for(failed))
        .await
        .unwrap();
    println!("{}", status.unhealthy_reason().unwrap());
}
