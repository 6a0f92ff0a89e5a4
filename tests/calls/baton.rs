//! The real `baton`, as a process of its own, and what it says.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use kit::process::Child;
use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, until};

/// A configuration with quick timers. The first specialist is the entry.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    specialists: Vec<(&'static str, &'static str)>,
    max_calls: u32,
    server: String,
    timers: Vec<(&'static str, u32)>,
    store: String,
    sdk: Vec<(&'static str, u32)>,
    audio: &'static str,
    /// What is said of the one route beside that it leads from all to all.
    splice: &'static str,
    route: String,
    /// Who takes over from a lost holder.
    fallbacks: &'static str,
    /// Further options of specialists.
    options: Vec<(&'static str, &'static str)>,
    /// Specialists of another kind, with all of their options.
    others: Vec<(&'static str, String)>,
    /// Further parts of the file.
    parts: String,
}

impl Config {
    /// Specialists that are dispatched when they are needed, and then stay.
    pub(crate) fn new(specialists: &[&'static str]) -> Self {
        Self {
            specialists: specialists
                .iter()
                .map(|name| (*name, "on_demand"))
                .collect(),
            max_calls: 20,
            server: String::new(),
            timers: vec![
                ("caller_join_timeout_ms", 8_000),
                ("caller_return_ms", 1_500),
                // On a busy machine a specialist may be held up for longer than it should.
                ("holder_answer_ms", 4_000),
            ],
            // In the folder of the process.
            store: "{kind: embedded}".to_owned(),
            sdk: Vec::new(),
            audio: "fade_ms: 60",
            splice: "now",
            route: String::new(),
            fallbacks: "[another_instance, previous, entry]",
            options: Vec::new(),
            others: Vec::new(),
            parts: String::new(),
        }
    }

    /// Where the journal is kept: the YAML of the section.
    pub(crate) fn store(mut self, store: &str) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// A specialist that is in the call from its start.
    pub(crate) fn resident(mut self, name: &'static str) -> Self {
        self.specialists.push((name, "resident"));
        self
    }

    pub(crate) fn max_calls(mut self, max_calls: u32) -> Self {
        self.max_calls = max_calls;
        self
    }

    /// Further options of the part `server`.
    pub(crate) fn server(mut self, options: &str) -> Self {
        write!(self.server, ", {options}").unwrap();
        self
    }

    /// Options of the part `audio`.
    pub(crate) fn audio(mut self, audio: &'static str) -> Self {
        self.audio = audio;
        self
    }

    pub(crate) fn timer(mut self, name: &'static str, ms: u32) -> Self {
        self.timers.retain(|(known, _)| *known != name);
        self.timers.push((name, ms));
        self
    }

    /// An option of the part `sdk`.
    pub(crate) fn sdk(mut self, name: &'static str, value: u32) -> Self {
        self.sdk.push((name, value));
        self
    }

    /// Where the old voice may be cut, on the route from all to all.
    pub(crate) fn splice(mut self, splice: &'static str) -> Self {
        self.splice = splice;
        self
    }

    /// Says more of the route from all to all, such as `tools_wait_ms: 100`.
    pub(crate) fn route(mut self, options: &str) -> Self {
        write!(self.route, ", {options}").unwrap();
        self
    }

    /// Who takes over from a lost holder, as YAML.
    pub(crate) fn fallbacks(mut self, fallbacks: &'static str) -> Self {
        self.fallbacks = fallbacks;
        self
    }

    /// Says more of a specialist, such as `state: read`.
    pub(crate) fn specialist(mut self, name: &'static str, options: &'static str) -> Self {
        self.options.push((name, options));
        self
    }

    /// A specialist with these options and no others, such as a person.
    pub(crate) fn person(mut self, name: &'static str, options: &str) -> Self {
        self.others.push((name, options.to_owned()));
        self
    }

    /// Another part of the file, as YAML.
    pub(crate) fn part(mut self, yaml: &str) -> Self {
        writeln!(self.parts, "{yaml}").unwrap();
        self
    }

    fn yaml(&self) -> String {
        let Self {
            specialists,
            max_calls,
            server,
            timers,
            store,
            sdk,
            audio,
            splice,
            route,
            fallbacks,
            options,
            others,
            parts,
        } = self;
        let mut yaml = format!(
            "server: {{health_bind: '127.0.0.1:0', max_calls: {max_calls}, drain_grace_secs: 60{server}}}\n\
             api: {{bind: '127.0.0.1:0'}}\n\
             store: {store}\n\
             audio: {{{audio}}}\n\
             entry: {}\n\
             fallbacks: {fallbacks}\n\
             routes: [{{from: '*', to: '*', splice: {splice}{route}}}]\n\
             specialists:\n",
            specialists[0].0
        );
        for (name, lifetime) in specialists {
            write!(
                yaml,
                "  {name}: {{lifetime: {lifetime}, after_handoff: stay"
            )
            .unwrap();
            for (_, option) in options.iter().filter(|(known, _)| known == name) {
                write!(yaml, ", {option}").unwrap();
            }
            yaml.push_str("}\n");
        }
        for (name, options) in others {
            writeln!(yaml, "  {name}: {{{options}}}").unwrap();
        }
        yaml.push_str("timers:\n");
        for (name, ms) in timers {
            writeln!(yaml, "  {name}: {ms}").unwrap();
        }
        if !sdk.is_empty() {
            yaml.push_str("sdk:\n");
        }
        for (name, value) in sdk {
            writeln!(yaml, "  {name}: {value}").unwrap();
        }
        yaml.push_str(parts);
        yaml
    }
}

/// Where Baton finds the server.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) url: String,
    pub(crate) api_key: String,
    pub(crate) api_secret: String,
}

/// A running `baton`, which ends when this is dropped. A test that fails shows what it said.
pub(crate) struct Baton {
    child: Child,
    starts: u32,
    credentials: Credentials,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Baton {
    /// Starts it and waits until it serves its health page, not until it is registered.
    pub(crate) async fn start(
        config: &Config,
        credentials: &Credentials,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("baton.yaml"), config.yaml()).unwrap();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let baton = Self {
            child: spawn(folder.path(), 1, credentials, &environment),
            starts: 1,
            credentials: credentials.clone(),
            environment,
            folder,
        };
        until("baton has started", || baton.said("started")).await;
        baton
    }

    /// Ends it at once, as a crash does (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }

    /// Starts it again with what it left on the disk, and a log of its own.
    pub(crate) async fn restart(&mut self) {
        self.starts += 1;
        self.child = spawn(
            self.folder.path(),
            self.starts,
            &self.credentials,
            &self.environment,
        );
        until("baton has started again", || self.said("started")).await;
    }

    /// The folder with all of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes another configuration and says so (SIGHUP).
    pub(crate) fn reload(&mut self, config: &Config) {
        std::fs::write(self.folder.path().join("baton.yaml"), config.yaml()).unwrap();
        self.child.hang_up().unwrap();
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self) {
        self.child.pause().unwrap();
    }

    /// SIGCONT.
    pub(crate) fn unpause(&mut self) {
        self.child.resume().unwrap();
    }

    pub(crate) async fn registered(&self) {
        until("baton is registered", || self.said("registered")).await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Every line of its log with this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let log = self.child.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }

    pub(crate) fn count(&self, message: &str) -> usize {
        self.lines(message).len()
    }

    pub(crate) fn said(&self, message: &str) -> bool {
        self.count(message) > 0
    }

    pub(crate) fn log(&self) -> String {
        self.child.log()
    }

    /// Status and body of a page of the health server.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let started = &self.lines("started")[0];
        request(started["address"].as_str().unwrap(), "GET", path, "", "")
    }

    /// Status and body of a request to the operators' interface, with an access token.
    pub(crate) fn api(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
        let serves = &self.lines("operators' interface serves")[0];
        let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let address = serves["address"].as_str().unwrap();
        let (status, body) = request(address, method, &format!("/api/v1{path}"), &head, body);
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Where agents find the operators' interface.
    pub(crate) fn mcp_url(&self) -> String {
        let serves = &self.lines("operators' interface serves")[0];
        format!("http://{}/mcp", serves["address"].as_str().unwrap())
    }

    /// Slots that are taken.
    pub(crate) fn active_calls(&self) -> u64 {
        let (status, body) = self.page("/worker");
        assert_eq!(status, 200);
        let page: Value = serde_json::from_str(&body).unwrap();
        page["active_jobs"].as_u64().unwrap()
    }

    /// Waits until no slot is taken.
    pub(crate) async fn idle(&self) {
        until("every slot is free", || self.active_calls() == 0).await;
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.child.terminate().unwrap();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended().unwrap()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        crate::within(limit, "baton has ended", || {
            status = self.child.ended().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

fn spawn(
    folder: &Path,
    start: u32,
    credentials: &Credentials,
    environment: &[(String, String)],
) -> Child {
    let program = env!("CARGO_BIN_EXE_baton");
    let mut command = Command::new("sh");
    // A write that a limit refuses is an error to it and not its end.
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", program])
        .args(["start", "--config"])
        .arg(folder.join("baton.yaml"))
        .env("LIVEKIT_URL", &credentials.url)
        .env("LIVEKIT_API_KEY", &credentials.api_key)
        .env("LIVEKIT_API_SECRET", &credentials.api_secret)
        .env("STATE_DIRECTORY", folder)
        .env_remove("LIVEKIT_AGENT_NAME")
        .env_remove("BATON_TEST_FAULTS")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    // An operator's own setting would hide what the tests read.
    command.env("LIVEKIT_LOG_LEVEL", "info,baton=debug,worker=debug");
    let log = folder.join(format!("baton-{start}.log"));
    Child::spawn("baton", &mut command, &log).unwrap()
}

impl Drop for Baton {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("baton said:\n{}", self.child.log_tail(80));
        }
    }
}

fn request(address: &str, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}
