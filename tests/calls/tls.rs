//! A server that is reached by TLS alone, with a certificate of a private authority.

use kit::server::LivekitServer;
use kit::tls::{TlsProxy, authority};

use crate::baton::{Baton, Config, Credentials};
use crate::stage::{Stage, credentials};
use crate::{BILLING_HZ, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn worker_api_and_signal_pass_by_tls_with_a_private_authority() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    let server = LivekitServer::start().unwrap();
    let proxy = TlsProxy::start(authority(&file).unwrap(), server.port())
        .await
        .unwrap();
    let by_tls = Credentials {
        url: format!("wss://localhost:{}", proxy.port()),
        ..credentials(&server)
    };
    let environment = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let config = Config::new(&["triage", "billing"]);
    let baton = Baton::start(&config, &by_tls, &environment).await;
    baton.registered().await;
    let stage = Stage { baton, server };
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(caller.subscriptions()[0].track, "program");
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    // Asking whether the room lives is the one request whose failure a call survives.
    let doubts = "cannot tell whether the room lives, joining it";
    assert_eq!(stage.baton.count(doubts), 0);
    caller.hang_up().await;
    stage.baton.idle().await;
    until("the specialists are released", || {
        triage.jobs() + billing.jobs() == 0
    })
    .await;
    assert!(!stage.baton.said("dispatch not deleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused_with_a_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        folder.path().join("ours.pem"),
        folder.path().join("theirs.pem"),
    );
    authority(&ours).unwrap();
    let server = LivekitServer::start().unwrap();
    let proxy = TlsProxy::start(authority(&theirs).unwrap(), server.port())
        .await
        .unwrap();
    let by_tls = Credentials {
        url: format!("wss://localhost:{}", proxy.port()),
        ..credentials(&server)
    };
    let environment = [("SSL_CERT_FILE", ours.to_str().unwrap())];
    let baton = Baton::start(&Config::new(&["triage"]), &by_tls, &environment).await;
    until("it says so", || baton.said("cannot register, retrying")).await;
    let line = &baton.lines("cannot register, retrying")[0];
    let error = line["error"].as_str().unwrap();
    assert!(
        error.contains("cannot reach the server at localhost:"),
        "{error}"
    );
    assert!(error.contains("certificate"), "{error}");
    let (status, why) = baton.page("/");
    assert_eq!(status, 503);
    assert!(why.contains("certificate"), "{why}");
}
