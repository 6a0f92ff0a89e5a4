//! Agents see and steer a live call by the Model Context Protocol, with the protocol's own client.

use std::path::PathBuf;
use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use livekit_api::access_token::VideoGrants;
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::baton::Config;
use crate::operator::{steering, token};
use crate::stage::{PHONE, Stage};
use crate::{BILLING_HZ, TRIAGE_HZ};

/// Names the Python that has the packages of `tests/mcp/requirements.txt`.
const PYTHON: &str = "BATON_PYTHON_MCP";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WORDS: &str = "my invoice is wrong";

#[tokio::test(flavor = "multi_thread")]
async fn agents_read_write_and_hand_over_by_the_protocols_own_client() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let heard = items::message("u1", Speaks::Caller, WORDS);
    let call = triage.call().await;
    call.conversation().append(heard).await.unwrap();

    let steers = steering(&stage);
    let lists = token(
        &stage,
        VideoGrants {
            room_list: true,
            ..VideoGrants::default()
        },
    );
    let (_, list) = stage.baton.api("GET", "/calls", &steers, "");
    let given = json!({
        "url": stage.baton.mcp_url(),
        "token": steers,
        "lister": lists,
        "baton": env!("CARGO_BIN_EXE_baton"),
        "call": list["calls"][0]["id"],
        "words": WORDS,
        "number": &PHONE[1..],
        "specialists": ["triage", "billing"],
    });
    let python = std::env::var_os(PYTHON).map_or_else(
        || PathBuf::from(ROOT).join("target/venvs/mcp/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{PYTHON} names no Python; `cargo xtask setup` makes one"
    );
    let mut client = Command::new(python);
    client
        .arg(format!("{ROOT}/tests/mcp/client.py"))
        .arg(given.to_string())
        .kill_on_drop(true);
    let ended = timeout(Duration::from_secs(120), client.output()).await;
    let output = ended.expect("the client ends").unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.ends_with("as it should be\n"), "{said}");
    // Four clients have moved the baton, each to the other, and two have had the caller wait in between: a hold is an
    // epoch of its own.
    assert_eq!(triage.grants(), [1, 3, 5, 7, 9]);
    assert_eq!(billing.grants(), [4, 8]);
    caller.hears(TRIAGE_HZ).await;
}
