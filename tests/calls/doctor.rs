//! `baton doctor` on a real server: what it names, and how it exits.

use std::process::Command;

use kit::token::JoinToken;

use crate::PATIENCE;
use crate::baton::{Config, Credentials};
use crate::stage::{PHONE, ROOM, Stage, credentials};
use crate::{TRIAGE_HZ, within};

const WELL: i32 = 0;
const ILL: i32 = 7;

/// Runs it for this room; its exit code and what it says.
fn doctor(credentials: &Credentials, room: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("baton.yaml");
    // Nothing serves a health page there.
    let text = "server: {health_bind: '127.0.0.1:1'}\nentry: triage\nspecialists: {triage: }\n";
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_baton"))
        .args(["doctor", "--room", room, "--config"])
        .arg(&file)
        .env("LIVEKIT_URL", &credentials.url)
        .env("LIVEKIT_API_KEY", &credentials.api_key)
        .env("LIVEKIT_API_SECRET", &credentials.api_secret)
        .env_remove("LIVEKIT_AGENT_NAME")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_well_is_said_to_be_and_one_that_is_not_is_named() {
    let stage = Stage::set(&Config::new(&["triage"])).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let credentials = credentials(&stage.server);
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    // The server lists a dispatch's job some seconds late.
    let mut said = String::new();
    within(PATIENCE, "the call is said to be well", || {
        let (code, text) = doctor(&credentials, ROOM);
        said = text;
        code == Some(WELL)
    })
    .await;
    for line in [
        "takes the API key",
        "this machine's clock and the server's are",
        "no Baton serves its health page at 127.0.0.1:1",
        "the SIP dispatch rules cannot be read",
        &format!("room `{ROOM}` has a job of `baton`"),
    ] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }

    let lonely = "call-without-baton";
    let _other = stage.join(JoinToken::sip_caller(lonely, PHONE)).await;
    let (code, said) = doctor(&credentials, lonely);
    assert_eq!(code, Some(ILL), "{said}");
    assert!(said.contains("has no dispatch for `baton`"), "{said}");

    let wrong = Credentials {
        api_secret: "another secret that is long enough to be one".to_owned(),
        ..credentials.clone()
    };
    let (code, said) = doctor(&wrong, ROOM);
    assert_eq!(code, Some(ILL), "{said}");
    assert!(said.contains("refuses the API key or secret"), "{said}");

    let nowhere = Credentials {
        url: "ws://127.0.0.1:1".to_owned(),
        ..credentials
    };
    let (code, said) = doctor(&nowhere, ROOM);
    assert_eq!(code, Some(ILL), "{said}");
    assert!(
        said.contains("nothing answers at ws://127.0.0.1:1"),
        "{said}"
    );
}
