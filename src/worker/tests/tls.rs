//! The worker and the API through a TLS proxy whose certificate a private CA has signed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol as proto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use support::child::{rerun, role};
use support::server::{API_KEY, API_SECRET, Server, settled};
use support::soon;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
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
    let tls = authority(&ours);
    authority(&other);
    let port = start_proxy(tls, server.port()).await;

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

/// Makes an authority, writes its certificate to `file`, and signs one for `localhost` with it.
fn authority(file: &Path) -> rustls::ServerConfig {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate().unwrap();
    std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            leaf_key.serialize_der().try_into().unwrap(),
        )
        .unwrap()
}

/// Takes TLS connections and passes them on to `to` in the clear.
async fn start_proxy(tls: rustls::ServerConfig, to: u16) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake here.
                let Ok(mut client) = acceptor.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}
