//! Agents see and steer a live call by the Model Context Protocol: with the protocol's own client, and as agents of frameworks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use livekit_api::access_token::VideoGrants;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::baton::Config;
use crate::caller::Caller;
use crate::cast::Cast;
use crate::operator::{steering, token};
use crate::stage::{PHONE, Stage};
use crate::{BILLING_HZ, CALLER_HZ, TRIAGE_HZ, humans};

/// Names the Python that has the packages of `tests/mcp/requirements.txt`.
const PYTHON: &str = "BATON_PYTHON_MCP";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WORDS: &str = "my invoice is wrong";

/// A call in which triage has the baton, and the caller has said [`WORDS`].
struct Scene {
    stage: Stage,
    triage: Cast,
    billing: Cast,
    caller: Caller,
}

impl Scene {
    async fn set() -> Self {
        let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
        let triage = stage.cast("triage", TRIAGE_HZ).await;
        let billing = stage.cast("billing", BILLING_HZ).await;
        let caller = stage.dial().await;
        caller.hears(TRIAGE_HZ).await;
        let heard = items::message("u1", Speaks::Caller, WORDS);
        let call = triage.call().await;
        call.conversation().append(heard).await.unwrap();
        Self {
            stage,
            triage,
            billing,
            caller,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_read_write_and_hand_over_by_the_protocols_own_client() {
    let Scene {
        stage,
        triage,
        billing,
        caller,
    } = Scene::set().await;

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
    let said = run(&interpreter(PYTHON, "mcp"), "client.py", &given).await;
    assert!(said.ends_with("as it should be\n"), "{said}");
    // Four clients have moved the baton, each to the other, and two have had the caller wait in between: a hold is an
    // epoch of its own.
    assert_eq!(triage.grants(), [1, 3, 5, 7, 9]);
    assert_eq!(billing.grants(), [4, 8]);
    caller.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_langgraph_takes_part_in_a_live_call() {
    takes_part(
        &interpreter("BATON_PYTHON_LANGGRAPH", "langgraph"),
        "langgraph_agent.py",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_escalates_to_a_person_accepts_for_it_and_has_it_hand_back() {
    let scene = humans::Scene::set("accept_timeout_ms: 60000").await;
    let stage = &scene.stage;
    let token = steering(stage);
    let (_, list) = stage.baton.api("GET", "/calls", &token, "");
    let given = |part: &str| {
        json!({
            "url": stage.baton.mcp_url(),
            "token": token,
            "call": list["calls"][0]["id"],
            "person": "desk",
            "before": "triage",
            "part": part,
        })
    };
    let (python, accepts) = (interpreter(PYTHON, "mcp"), given("accept"));
    let (said, person) = tokio::join!(run(&python, "person.py", &accepts), scene.enters());
    assert!(said.ends_with("accept: as it should be\n"), "{said}");
    scene.caller.hears(humans::PERSON_HZ).await;
    person.hears(CALLER_HZ).await;
    let said = run(&python, "person.py", &given("hand_back")).await;
    assert!(said.ends_with("hand_back: as it should be\n"), "{said}");
    scene.caller.hears(TRIAGE_HZ).await;
    assert_eq!(scene.triage.grants().len(), 2);
}

/// CrewAI is heavy: `cargo xtask packages crewai` installs it, and names its Python.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_crewai_takes_part_in_a_live_call() {
    let Some(python) = std::env::var_os("BATON_PYTHON_CREWAI") else {
        eprintln!(
            "skipped: BATON_PYTHON_CREWAI names no Python; `cargo xtask packages crewai` does"
        );
        return;
    };
    takes_part(&PathBuf::from(python), "crewai_agent.py").await;
}

/// The agent reads what the caller said, writes it into the state, and hands the call over.
async fn takes_part(python: &Path, agent: &str) {
    let Scene {
        stage,
        triage,
        billing,
        caller,
    } = Scene::set().await;

    let steers = steering(&stage);
    let (_, list) = stage.baton.api("GET", "/calls", &steers, "");
    let id = &list["calls"][0]["id"];
    let given = json!({"url": stage.baton.mcp_url(), "token": steers, "call": id});
    let said = run(python, agent, &given).await;
    assert!(said.ends_with("billing has the call: done\n"), "{said}");
    assert_eq!(triage.grants(), [1]);
    assert_eq!(billing.grants(), [2]);
    caller.hears(BILLING_HZ).await;
    let state = billing.call().await.state().get();
    assert_eq!(state.document["complaint"], WORDS);
}

/// The Python that the variable names, else the one that set-up has made.
fn interpreter(variable: &str, environment: &str) -> PathBuf {
    let python = std::env::var_os(variable).map_or_else(
        || PathBuf::from(ROOT).join(format!("target/venvs/{environment}/bin/python")),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{variable} names no Python; `cargo xtask setup` makes one"
    );
    python
}

/// Runs a program of `tests/mcp` to its end, and gives what it has said.
async fn run(python: &Path, program: &str, given: &Value) -> String {
    let mut client = Command::new(python);
    client
        .arg(format!("{ROOT}/tests/mcp/{program}"))
        .arg(given.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let ended = timeout(Duration::from_secs(120), client.output()).await;
    let output = ended.expect("the program ends").unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{errors}");
    said.into_owned()
}
