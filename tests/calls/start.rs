//! A server that is not there yet, or does not want us.

use std::net::TcpListener;
use std::time::Duration;

use kit::server::{LivekitServer, ServerOptions};
use tokio::time::sleep;

use crate::baton::{Baton, Config, Credentials};
use crate::stage::{Stage, credentials};
use crate::{TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_is_waited_for_and_that_is_said_once() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let options = ServerOptions {
        port: Some(port),
        ..ServerOptions::default()
    };
    let to_come = Credentials {
        url: format!("ws://127.0.0.1:{port}"),
        api_key: options.api_key.clone(),
        api_secret: options.api_secret.clone(),
    };
    let baton = Baton::start(&Config::new(&["triage"]), &to_come, &[]).await;
    until("it says that it cannot register", || {
        baton.said("cannot register, retrying")
    })
    .await;
    let (status, why) = baton.page("/");
    assert_eq!(status, 503);
    assert!(
        why.starts_with("not registered: cannot reach the server"),
        "{why}"
    );
    until("it tries again and again", || {
        baton.count("still not registered") >= 2
    })
    .await;
    assert_eq!(baton.count("cannot register, retrying"), 1);

    let server = LivekitServer::start_with(options).unwrap();
    baton.registered().await;
    assert_eq!(baton.page("/"), (200, "OK".to_owned()));
    let stage = Stage { baton, server };
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_named_and_never_shown() {
    let server = LivekitServer::start().unwrap();
    let right = credentials(&server);
    let wrong_secret = Credentials {
        api_secret: "another-secret-that-is-long-enough-as-well".to_owned(),
        ..right.clone()
    };
    let wrong_key = Credentials {
        api_key: "nobodyskey".to_owned(),
        ..right
    };
    let cases = [
        (
            wrong_secret,
            "the api secret does not match the api key \"testkey\"",
        ),
        (
            wrong_key,
            "the server does not know the api key \"nobodyskey\"",
        ),
    ];
    for (credentials, expected) in cases {
        let baton = Baton::start(&Config::new(&["triage"]), &credentials, &[]).await;
        let said = "cannot register, retrying slowly";
        until("it says so", || baton.said(said)).await;
        let lines = baton.lines(said);
        assert_eq!(
            (&lines[0]["error"], &lines[0]["level"]),
            (&expected.into(), &"ERROR".into())
        );
        let (status, why) = baton.page("/");
        assert_eq!((status, why), (503, format!("not registered: {expected}")));
        sleep(Duration::from_millis(500)).await;
        assert!(!baton.log().contains(&credentials.api_secret));
    }
}
