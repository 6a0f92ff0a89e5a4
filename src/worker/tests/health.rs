//! The health page, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;

use support::fake::FakeServer;
use support::{free_port, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use worker::health::{HealthServer, router};
use worker::{Secret, WorkerConfig};

#[tokio::test]
async fn the_page_tells_whether_the_worker_is_registered_and_how_full_it_is() {
    let server = FakeServer::start().await;
    let config = WorkerConfig {
        max_jobs: 4,
        ..WorkerConfig::new(server.url(), "key", Secret::new("hush"))
    };
    let (handle, _assignments) = worker::start(config).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let page = HealthServer::bind(any, router(handle.watch()))
        .await
        .unwrap();
    let address = page.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(page.serve(async move {
        let _ = stopped.await;
    }));

    assert_eq!(
        get(address, "/").await,
        (503, "not yet registered".to_owned())
    );
    let mut session = server.accept().await;
    assert!(soon("registration", handle.registered()).await);
    assert_eq!(get(address, "/").await, (200, "OK".to_owned()));
    session.run("AJ_1").await;
    let (status, body) = get(address, "/worker").await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "agent_name": "baton",
        "worker_type": "JT_ROOM",
        "worker_load": 0.25,
        "active_jobs": 1,
        "sdk_version": env!("CARGO_PKG_VERSION"),
        "project_type": "rust",
        "max_jobs": 4,
        "draining": false,
    });
    assert_eq!(body, expected);
    assert_eq!(get(address, "/other").await.0, 404);

    handle.stop().await;
    assert_eq!(get(address, "/").await, (503, "stopped".to_owned()));
    stop.send(()).unwrap();
    soon("end", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let url = format!("ws://127.0.0.1:{}", free_port());
    let config = WorkerConfig::new(url.clone(), "key", Secret::new("hush"));
    let (handle, _assignments) = worker::start(config).unwrap();
    let failed = |status: &worker::WorkerStatus| {
        let reason = status.unhealthy_reason().unwrap_or_default();
        reason.starts_with("not registered: cannot reach the server at 127.0.0.1:")
            && reason.contains("refused")
    };
    soon("failure", handle.watch().wait_for(failed))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let server = FakeServer::start().await;
    let config = WorkerConfig::new(server.url(), "key", Secret::new("hush"));
    let (handle, _assignments) = worker::start(config).unwrap();
    let error = HealthServer::bind(address, router(handle.watch()))
        .await
        .unwrap_err();
    let expected = format!("port {} of 127.0.0.1 is taken", address.port());
    assert_eq!(error.to_string(), expected);
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    soon("page", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    })
    .await
}
