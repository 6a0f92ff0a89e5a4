//! The binary as an operator meets it: exit codes, messages, signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const VALID: &str = "entry: triage\nspecialists: {triage: {}}\n";
const WAIT_MAX: Duration = Duration::from_secs(20);

fn baton() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    let ours = ["LIVEKIT_", "BATON_"];
    for (name, _) in
        std::env::vars().filter(|(name, _)| ours.iter().any(|start| name.starts_with(start)))
    {
        command.env_remove(name);
    }
    // Each run has a journal of its own.
    let state = tempfile::tempdir().expect("a temporary folder").keep();
    command.env("STATE_DIRECTORY", state);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder with one file.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("baton.yaml"), text).expect("it is writable");
    folder
}

#[test]
fn check_accepts_the_shipped_configuration() {
    let (code, out, err) = run(baton().arg("check").current_dir(env!("CARGO_MANIFEST_DIR")));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        "config/baton.yaml: no errors, 2 specialists, 2 routes, entry `triage`\n"
    );
}

#[test]
fn check_refuses_with_every_error_on_standard_error_and_code_1() {
    let folder = folder("entry: triage\nspecialists: {triage: {agent: a}}\ntimers: {hold: 1}\n");
    for arguments in [
        ["check", "--config", "baton.yaml"].as_slice(),
        &["check", "baton.yaml"],
    ] {
        let (code, out, err) = run(baton().args(arguments).current_dir(folder.path()));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(
            err.starts_with("baton.yaml:2:24: error: specialists.triage.agent: unknown option\n"),
            "{err}"
        );
        assert!(
            err.contains(
                "baton.yaml:3:10: error: timers.hold: unknown option\n    did you mean `hold_ms`?"
            ),
            "{err}"
        );
        assert!(err.ends_with("2 errors\n"), "{err}");
    }
}

#[test]
fn check_warns_without_refusing() {
    let folder = folder("entry: triage\nspecialists: {triage: {}, billing: {}}\nroutes: []\n");
    let (code, out, err) = run(baton()
        .args(["check", "baton.yaml"])
        .current_dir(folder.path()));
    assert_eq!(code, Some(0));
    assert!(
        err.starts_with("baton.yaml:2:27: warning: specialists.billing: no route leads here"),
        "{err}"
    );
    assert!(out.contains("no errors"), "{out}");
}

#[test]
fn the_configuration_is_found_by_its_environment_variable() {
    let folder = folder(VALID);
    let (code, out, _) = run(baton().arg("check").env("BATON_CONFIG", folder.path()));
    assert_eq!(code, Some(0));
    assert!(out.contains("1 specialists"), "{out}");
}

#[test]
fn a_missing_configuration_is_named() {
    for command in ["check", "start"] {
        let (code, _, err) = run(baton().args([command, "--config", "/nowhere/baton.yaml"]));
        assert_eq!(code, Some(1));
        assert!(
            err.starts_with("error: cannot read `/nowhere/baton.yaml`: "),
            "{err}"
        );
    }
}

#[test]
fn wrong_usage_exits_with_code_2() {
    let wrong: [&[&str]; 4] = [
        &[],
        &["begin"],
        &["start", "--log-level", "loud"],
        &["start", "--log-format", "xml"],
    ];
    for arguments in wrong {
        let (code, _, err) = run(baton().args(arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
    }
    let (_, _, err) = run(baton().arg("start").env("LIVEKIT_LOG_LEVEL", "loud"));
    assert!(
        err.contains("expected one of: trace, debug, info, warn, error, off"),
        "{err}"
    );
}

#[test]
fn help_and_version_are_on_standard_output() {
    let (code, out, _) = run(baton().arg("--version"));
    assert_eq!(
        (code, out.as_str()),
        (Some(0), concat!("baton ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let (code, out, _) = run(baton().args(["start", "--help"]));
    assert_eq!(code, Some(0));
    for name in [
        "LIVEKIT_URL",
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "LIVEKIT_AGENT_NAME",
        "LIVEKIT_LOG_LEVEL",
        "BATON_CONFIG",
    ] {
        assert!(out.contains(name), "{name} is not in the help:\n{out}");
    }
}

#[test]
fn every_missing_credential_is_named_at_once() {
    let folder = folder(
        "entry: triage\nspecialists: {triage: {}}\nserver: {api_secret_file: /nowhere/secret}\n",
    );
    let (code, _, err) = run(baton()
        .args(["start", "--config"])
        .arg(folder.path())
        .env("LIVEKIT_API_KEY", " "));
    assert_eq!(code, Some(3));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(
        lines[0],
        "error: no server: set LIVEKIT_URL, or `server.url` in the configuration"
    );
    assert_eq!(
        lines[1],
        "error: no API key: set LIVEKIT_API_KEY, or `server.api_key_file` in the configuration"
    );
    assert!(
        lines[2].starts_with(
            "error: cannot read the API secret from `/nowhere/secret` (`server.api_secret_file`): "
        ),
        "{err}"
    );
    assert_eq!(lines.len(), 3, "{err}");
}

#[test]
fn an_unusable_server_url_is_named() {
    let folder = folder(VALID);
    let (code, _, err) = run(start(folder.path(), "localhost:7880").env("LIVEKIT_API_SECRET", ""));
    assert_eq!(code, Some(3));
    assert!(
        err.starts_with(
            "error: LIVEKIT_URL is `localhost:7880`, expected an address such as wss://"
        ),
        "{err}"
    );
}

fn start(config: &Path, url: &str) -> Command {
    let mut command = baton();
    command.args(["start", "--config"]).arg(config);
    command
        .env("LIVEKIT_URL", url)
        .env("LIVEKIT_API_KEY", "devkey")
        .env("LIVEKIT_API_SECRET", "hush-hush");
    command
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let folder = folder(&format!(
        "{VALID}server: {{health_bind: \"127.0.0.1:{port}\"}}\n"
    ));
    let (code, _, err) = run(&mut start(folder.path(), "ws://127.0.0.1:9"));
    assert_eq!(code, Some(3));
    // Other parts, the connection to the server for one, may still say something about themselves.
    let lines = err
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"));
    let errors: Vec<Value> = lines
        .filter(|line: &Value| line["level"] == "ERROR")
        .collect();
    let [line] = errors.as_slice() else {
        panic!("it says why once: {errors:?}");
    };
    let error = line["error"].as_str().expect("a text");
    assert_eq!(
        error,
        format!(
            "cannot serve the health page (`server.health_bind`): port {port} of 127.0.0.1 is taken"
        )
    );
}

/// A running `baton start`, killed when the test ends.
struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    health: SocketAddr,
    seen: String,
}

impl Running {
    fn start(url: &str, grace_secs: u32) -> Self {
        let server =
            format!("server: {{health_bind: \"127.0.0.1:0\", drain_grace_secs: {grace_secs}}}\n");
        let folder = folder(&format!("{VALID}{server}"));
        let mut child = start(folder.path(), url)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut running = Self {
            child,
            lines,
            health: SocketAddr::from(([0; 4], 0)),
            seen: String::new(),
        };
        let started = running.line("started");
        running.health = started["address"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address");
        running
    }

    /// Reads up to the line with this message.
    fn line(&mut self, message: &str) -> Value {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("it is readable") > 0 {
            self.seen.push_str(&line);
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if value["message"]
                .as_str()
                .is_some_and(|text| text.starts_with(message))
            {
                return value;
            }
            line.clear();
        }
        panic!("ended without `{message}`:\n{}", self.seen);
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill starts").success());
    }

    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.health).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("it is writable");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it answers");
        page
    }

    fn exit_code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < WAIT_MAX {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("still running after {WAIT_MAX:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_a_server_it_stays_unhealthy_and_stops_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let mut running = Running::start("ws://127.0.0.1:9", 5);
        assert!(running.page("/").starts_with("HTTP/1.1 503"));
        let worker = running.page("/worker");
        assert!(worker.contains(r#""agent_name":"baton""#), "{worker}");
        running.signal(signal);
        assert_eq!(running.line("stopping")["signal"], format!("SIG{signal}"));
        running.line("stopped");
        assert_eq!(running.exit_code(), Some(0));
        assert!(
            !running.seen.contains("hush"),
            "a secret is in the log:\n{}",
            running.seen
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn it_runs_on_four_threads_at_most() {
    let running = Running::start("ws://127.0.0.1:9", 5);
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).expect("it runs");
    // Two that work, one that waits, and one that writes the journal's file.
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))
        .expect("a count");
    assert!(
        threads.trim().parse::<u32>().expect("a number") <= 4,
        "{threads} threads"
    );
}

const ROUTED: &str = "entry: triage\nspecialists: {triage: {}, billing: {}}\nroutes: [{from: triage, to: billing}]\nhand_back: false\n";

#[test]
fn explain_exits_with_0_for_a_handoff_that_a_route_allows_and_5_for_another() {
    let folder = folder(ROUTED);
    let explain = |handoff: &str| {
        run(baton()
            .args(["check", "baton.yaml", "--explain", handoff])
            .current_dir(folder.path()))
    };
    let (code, out, err) = explain("from=triage to=billing");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.starts_with(
            "routes[0] decides: triage may hand over to billing\n    baton.yaml:3:10: "
        ),
        "{out}"
    );
    let (code, out, err) = explain("from=billing to=triage");
    assert_eq!((code, err.as_str()), (Some(5), ""));
    assert!(
        out.starts_with("refused: no route leads from billing to triage\n"),
        "{out}"
    );
}

#[test]
fn explain_exits_with_2_for_a_question_that_makes_no_sense() {
    let folder = folder(ROUTED);
    for (handoff, message) in [
        (
            "from=triage to=biling",
            "error: --explain: no specialist is named `biling`, did you mean `billing`; defined are: billing, triage\n",
        ),
        (
            "form=triage to=billing",
            "error: invalid value 'form=triage to=billing' for '--explain <HANDOFF>': `form` is not known here, did you mean `from`; allowed are: from, to, previous, time, reason, attempt\n",
        ),
    ] {
        let (code, out, err) = run(baton()
            .args(["check", "baton.yaml", "--explain", handoff])
            .current_dir(folder.path()));
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.starts_with(message), "{err}");
    }
}

#[test]
fn explain_and_graph_refuse_a_configuration_with_errors() {
    let folder = folder("entry: triage\n");
    let commands: [&[&str]; 2] = [
        &["check", "--explain", "from=a to=b", "baton.yaml"],
        &["graph", "baton.yaml"],
    ];
    for arguments in commands {
        let (code, out, err) = run(baton().args(arguments).current_dir(folder.path()));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.ends_with("1 error\n"), "{err}");
    }
}

#[test]
fn graph_writes_each_format_and_mermaid_when_none_is_named() {
    let folder = folder(ROUTED);
    let graph = |format: &[&str]| {
        let (code, out, err) = run(baton()
            .args(["graph", "--config", "baton.yaml"])
            .args(format)
            .current_dir(folder.path()));
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out
    };
    assert!(graph(&[]).starts_with("flowchart LR\n"));
    assert_eq!(graph(&["--format", "mermaid"]), graph(&[]));
    assert!(graph(&["--format", "dot"]).starts_with("digraph baton {\n"));
    let svg = graph(&["--format", "svg"]);
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    let (code, _, err) = run(baton().args(["graph", "--format", "png"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("expected one of: mermaid, svg, dot"), "{err}");
}

#[test]
fn schema_writes_the_one_that_is_shipped() {
    let (code, out, err) = run(baton().arg("schema"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let shipped = include_str!("../config/schema.json");
    let parsed = |text| serde_json::from_str::<Value>(text).expect("it is JSON");
    assert_eq!(parsed(&out), parsed(shipped));
}

#[cfg(target_os = "linux")]
#[test]
fn a_drawing_that_cannot_be_written_is_an_error() {
    let folder = folder(ROUTED);
    let full = std::fs::File::create("/dev/full").expect("Linux has it");
    let mut command = baton();
    command.arg("graph").arg(folder.path()).stdout(full);
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    let err = String::from_utf8(output.stderr).expect("output is UTF-8");
    assert!(
        err.starts_with("error: cannot write to standard output: "),
        "{err}"
    );
}
