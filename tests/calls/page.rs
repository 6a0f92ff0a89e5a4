//! The live page in a real browser, on a real call: `cargo xtask page`. Without Chromium it is not driven, and the test says so.

use std::path::PathBuf;
use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::baton::Config;
use crate::humans::{PERSON_HZ, Scene};
use crate::operator::steering;
use crate::stage::Stage;
use crate::{BILLING_HZ, CALLER_HZ, TRIAGE_HZ};

/// Names the Python that has the packages of `tests/page/requirements.txt`.
const PYTHON: &str = "BATON_PYTHON_PAGE";
/// Names a Chromium to use, and makes it an error if there is none.
const CHROMIUM: &str = "BATON_CHROMIUM";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WORDS: &str = "my invoice is wrong";

#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_shows_a_call_and_steers_it() {
    let Some(chromium) = chromium() else {
        return;
    };
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let heard = items::message("u1", Speaks::Caller, WORDS);
    let call = triage.call().await;
    call.conversation().append(heard).await.unwrap();

    let given = json!({
        "chromium": chromium,
        "url": stage.baton.mcp_url().trim_end_matches("/mcp"),
        "token": steering(&stage),
        "out": format!("{ROOT}/target/page"),
        "words": WORDS,
        "specialists": ["triage", "billing"],
    });
    drive(&given).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_answers_for_a_person_and_hands_back() {
    let Some(chromium) = chromium() else {
        return;
    };
    let scene = Scene::set("accept_timeout_ms: 60000").await;
    let given = json!({
        "chromium": chromium,
        "url": scene.stage.baton.mcp_url().trim_end_matches("/mcp"),
        "token": steering(&scene.stage),
        "out": format!("{ROOT}/target/page"),
        "specialists": ["triage"],
        "person": "desk",
    });
    let follows = async {
        let person = scene.enters().await;
        scene.caller.hears(PERSON_HZ).await;
        person.hears(CALLER_HZ).await;
    };
    tokio::join!(drive(&given), follows);
    scene.caller.hears(TRIAGE_HZ).await;
    assert_eq!(scene.triage.grants().len(), 2);
}

/// The browser to drive, if there is one.
fn chromium() -> Option<PathBuf> {
    let chromium = std::env::var_os(CHROMIUM).map(PathBuf::from).or_else(found);
    if chromium.is_none() {
        eprintln!("skipped: no chromium on the PATH");
    }
    chromium
}

/// Runs the driver to its end; it has found all as it should be.
async fn drive(given: &Value) {
    let python = std::env::var_os(PYTHON).map_or_else(
        || PathBuf::from(ROOT).join("target/venvs/page/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{PYTHON} names no Python; `cargo xtask setup` makes one"
    );
    let mut driver = Command::new(python);
    driver
        .arg(format!("{ROOT}/tests/page/drive.py"))
        .arg(given.to_string())
        .kill_on_drop(true);
    let ended = timeout(Duration::from_secs(180), driver.output()).await;
    let output = ended.expect("the driver ends").unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.ends_with("as it should be\n"), "{said}");
}

fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
}
