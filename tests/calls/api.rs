//! The operators' interface against its own document: Schemathesis makes requests of all sorts, and finds nothing.
//! `cargo xtask api` is the long form.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::TRIAGE_HZ;
use crate::baton::Config;
use crate::operator::steering;
use crate::stage::Stage;

/// Names the Python that has the packages of `tests/schemathesis/requirements.txt`.
const PYTHON: &str = "BATON_PYTHON_SCHEMATHESIS";
/// How many requests are made of each operation.
const EXAMPLES: &str = "BATON_API_EXAMPLES";
const EXAMPLES_DEFAULT: u32 = 6;
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test(flavor = "multi_thread")]
async fn the_interface_is_what_its_document_says() {
    let python = std::env::var_os(PYTHON).map_or_else(
        || PathBuf::from(ROOT).join("target/venvs/schemathesis/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{PYTHON} names no Python; `cargo xtask setup` makes one"
    );
    let examples = std::env::var(EXAMPLES).map_or(EXAMPLES_DEFAULT, |text| text.parse().unwrap());
    let stage = Stage::set(&Config::new(&["triage", "billing"]).part("escalation: triage")).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let token = steering(&stage);
    let (_, list) = stage.baton.api("GET", "/calls", &token, "");
    let id = list["calls"][0]["id"].as_str().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    // What is asked of a call is asked of the one that there is.
    let parameters = format!("[parameters]\n\"path.id\" = \"{id}\"\n");
    std::fs::write(&config, parameters).unwrap();
    let api = format!("{}/api/v1", stage.baton.mcp_url().trim_end_matches("/mcp"));
    let mut check = Command::new(python);
    check
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&config)
        .args(["run", &format!("{api}/openapi.json"), "--url", &api])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // A stream does not end; what ends the call or the process would end the test. Other tests do these.
        .args(["--exclude-path-regex", "events$|^/drain$"])
        .args(["--exclude-method", "DELETE"])
        .args(["--max-examples", &examples.to_string(), "--no-color"])
        .args(["--seed", "1", "--request-timeout", "70"])
        .current_dir(folder.path())
        .kill_on_drop(true);
    let limit = Duration::from_secs(120 + 20 * u64::from(examples));
    let ended = timeout(limit, check.output()).await;
    let output = ended.expect("schemathesis ends").unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{errors}");
    println!("{said}");
    assert_eq!(stage.baton.active_calls(), 1, "the call goes on");
}
