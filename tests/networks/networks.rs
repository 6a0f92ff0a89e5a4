//! Calls over networks that let little through: a server and a client in network namespaces of this machine, a wire between
//! them, and rules for what may pass. The servers are real: LiveKit's own TURN, and coturn.
//!
//! They want root, `ip` and `iptables`; where those are missing the tests say so and check nothing.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use kit::{process::Child, token::JoinToken};
use serde_json::Value;
use tempfile::TempDir;

const CLIENT: &str = env!("CARGO_BIN_EXE_networks-client");
const API_KEY: &str = "testkey";
const API_SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";
const SERVER_V4: &str = "10.77.0.1";
const SERVER_V6: &str = "fd77::1";
const START: Duration = Duration::from_secs(30);
/// What the longest client run may take beside the time that it listens.
const CLIENT_LIMIT: Duration = Duration::from_secs(90);
/// A move is seen within 2 s, found out for good after another half, and then the room has to be told.
const MOVE_MAX_MS: u64 = 6_000;
/// Media of the server.
const UDP: &str = "7882";
const TCP: &str = "7881";

/// Each of them has two cores to itself for some seconds.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn udp_is_the_first_choice() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    let _server = network.livekit("")?;
    let report = network.call(SERVER_V4, 2)?;
    report.heard()?;
    report.ways("Host", "udp", None)
}

#[test]
fn udp_over_ipv6_when_there_is_nothing_else() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.in_client(&["ip", "-4", "addr", "flush", "dev", "wire"])?;
    network.in_server(&["ip", "-4", "addr", "flush", "dev", "wire"])?;
    let _server = network.livekit("")?;
    let report = network.call(SERVER_V6, 2)?;
    report.heard()?;
    report.ways("Host", "udp", None)?;
    report.address("fd77::2")
}

#[test]
fn a_stream_when_udp_is_closed() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.close("udp", None)?;
    let _server = network.livekit("")?;
    let report = network.call(SERVER_V4, 2)?;
    report.heard()?;
    report.ways("Host", "tcp", None)
}

#[test]
fn a_lent_address_over_udp_when_media_ports_are_closed() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.close("udp", Some(UDP))?;
    network.close("tcp", Some(TCP))?;
    let _server = network.livekit(&own_turn("udp_port: 3478"))?;
    let report = network.call(SERVER_V4, 2)?;
    report.heard()?;
    report.ways("Relay", "udp", Some("Udp"))
}

#[test]
fn a_lent_address_over_tls_when_nothing_but_tls_passes() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.close("udp", None)?;
    network.close("tcp", Some(TCP))?;
    let certificate = network.certificate()?;
    let turn = own_turn(&format!("tls_port: 443\n{certificate}"));
    let _server = network.livekit(&turn)?;
    let report = network.call(SERVER_V4, 2)?;
    report.heard()?;
    report.ways("Relay", "udp", Some("Tls"))
}

#[test]
fn a_lent_address_of_coturn_over_tcp() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    let Some(_turn) = network.coturn()? else {
        return Ok(());
    };
    network.close("udp", None)?;
    network.close("tcp", Some(TCP))?;
    let servers = format!(
        "  turn_servers:\n    - host: {SERVER_V4}\n      port: 3478\n      protocol: tcp\n      \
         username: user\n      credential: password\n"
    );
    let _server = network.livekit(&servers)?;
    let report = network.call(SERVER_V4, 2)?;
    report.heard()?;
    report.ways("Relay", "udp", Some("Tcp"))
}

#[test]
fn a_call_goes_on_when_the_machine_moves_to_another_address() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.without_v6()?;
    let _server = network.livekit("")?;
    let mut client = network.client(SERVER_V4, 10)?;
    client.wait_for_log("joined", CLIENT_LIMIT)?;
    std::thread::sleep(Duration::from_secs(2));
    network.in_client(&["ip", "addr", "del", "10.77.0.2/24", "dev", "wire"])?;
    network.in_client(&["ip", "addr", "add", "10.77.0.3/24", "dev", "wire"])?;
    let report = Report::of(&mut client, 10)?;
    report.heard_at_the_end()?;
    report.ways("Host", "udp", None)?;
    report.gap_below_ms(MOVE_MAX_MS)
}

#[test]
fn a_call_goes_on_over_the_second_interface_when_the_first_is_cut() -> Result<()> {
    let Some(network) = Network::new()? else {
        return Ok(());
    };
    network.without_v6()?;
    network.second_wire()?;
    let _server = network.livekit("")?;
    let mut client = network.client(SERVER_V4, 10)?;
    client.wait_for_log("joined", CLIENT_LIMIT)?;
    std::thread::sleep(Duration::from_secs(2));
    network.in_client(&["ip", "link", "set", "wire", "down"])?;
    let report = Report::of(&mut client, 10)?;
    report.heard_at_the_end()?;
    report.gap_below_ms(MOVE_MAX_MS)
}

/// LiveKit's own TURN server, with what is particular to a test.
fn own_turn(more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "turn:\n  enabled: true\n  domain: {SERVER_V4}\n  \
         allow_restricted_peer_cidrs: [10.77.0.0/24]\n{more}"
    )
}

/// Two namespaces and the wire between them. They go when this is dropped.
struct Network {
    server: String,
    client: String,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Network {
    /// `None`, with the reason printed, where namespaces cannot be made.
    fn new() -> Result<Option<Self>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for tool in [&["ip", "netns", "list"][..], &["iptables", "--version"]] {
            let said = Command::new(tool[0]).args(&tool[1..]).output();
            if !said.is_ok_and(|said| said.status.success()) {
                println!("skipped: {} does not work here", tool.join(" "));
                return Ok(None);
            }
        }
        let turn = in_turn();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |role: &str| format!("baton-{role}-{}-{number}", std::process::id());
        let network = Self {
            server: name("server"),
            client: name("client"),
            folder: tempfile::Builder::new().prefix("networks-").tempdir()?,
            _turn: turn,
        };
        if run(&["ip", "netns", "add", &network.server]).is_err() {
            println!("skipped: network namespaces cannot be made here, which root may");
            return Ok(None);
        }
        run(&["ip", "netns", "add", &network.client])?;
        network.wire("wire")?;
        for side in [&network.server, &network.client] {
            inside(side, &["ip", "link", "set", "lo", "up"])?;
        }
        network.in_server(&["ip", "addr", "add", "10.77.0.1/24", "dev", "wire"])?;
        network.in_client(&["ip", "addr", "add", "10.77.0.2/24", "dev", "wire"])?;
        // Without duplicate address detection an address is of use at once.
        let v6 = |last: &str| format!("fd77::{last}/64");
        network.in_server(&["ip", "addr", "add", &v6("1"), "dev", "wire", "nodad"])?;
        network.in_client(&["ip", "addr", "add", &v6("2"), "dev", "wire", "nodad"])?;
        Ok(Some(network))
    }

    fn wire(&self, name: &str) -> Result<()> {
        let (server, client) = (self.server.as_str(), self.client.as_str());
        run(&[
            "ip", "link", "add", name, "netns", server, "type", "veth", "peer", "name", name,
            "netns", client,
        ])?;
        self.in_server(&["ip", "link", "set", name, "up"])?;
        self.in_client(&["ip", "link", "set", name, "up"])
    }

    /// Leaves the wire with IPv4 alone.
    fn without_v6(&self) -> Result<()> {
        let flush = ["ip", "-6", "addr", "flush", "dev", "wire"];
        self.in_server(&flush)?;
        self.in_client(&flush)
    }

    /// Another way to the server's address.
    fn second_wire(&self) -> Result<()> {
        self.wire("spare")?;
        self.in_server(&["ip", "addr", "add", "10.78.0.1/24", "dev", "spare"])?;
        self.in_client(&["ip", "addr", "add", "10.78.0.2/24", "dev", "spare"])?;
        self.in_client(&[
            "ip",
            "route",
            "add",
            "10.77.0.0/24",
            "via",
            "10.78.0.1",
            "metric",
            "1000",
        ])
    }

    fn in_server(&self, command: &[&str]) -> Result<()> {
        inside(&self.server, command)
    }

    fn in_client(&self, command: &[&str]) -> Result<()> {
        inside(&self.client, command)
    }

    /// Drops what the client sends over a protocol, to a port of the server or altogether.
    fn close(&self, protocol: &str, port: Option<&str>) -> Result<()> {
        self.without_v6()?;
        let mut rule = vec!["iptables", "-A", "OUTPUT", "-o", "wire", "-p", protocol];
        if let Some(port) = port {
            rule.extend(["--dport", port]);
        }
        rule.extend(["-j", "DROP"]);
        self.in_client(&rule)
    }

    /// A LiveKit server with `more` YAML at its end, which begins in the section `rtc`.
    fn livekit(&self, more: &str) -> Result<Child> {
        let config = self.folder.path().join("livekit.yaml");
        fs::write(
            &config,
            format!(
                "port: 7880\nkeys:\n  {API_KEY}: {API_SECRET}\nlogging:\n  level: info\nrtc:\n  \
                 udp_port: {UDP}\n  tcp_port: {TCP}\n  use_external_ip: false\n  \
                 stun_servers: []\n{more}"
            ),
        )?;
        let mut command = self.command(&self.server, &kit::server::program()?);
        command.arg("--config").arg(&config);
        let log = self.folder.path().join("livekit.log");
        let mut child = Child::spawn("livekit-server", &mut command, &log)?;
        child.wait_for_log("starting LiveKit server", START)?;
        Ok(child)
    }

    /// `None` when coturn is not installed.
    fn coturn(&self) -> Result<Option<Child>> {
        if Command::new("turnserver")
            .arg("--version")
            .output()
            .is_err()
        {
            println!("skipped: coturn is not installed");
            return Ok(None);
        }
        let mut command = self.command(&self.server, Path::new("turnserver"));
        command.args([
            "-n",
            "--listening-ip",
            SERVER_V4,
            "--listening-port",
            "3478",
        ]);
        command.args(["--relay-ip", SERVER_V4, "--realm", "test", "--lt-cred-mech"]);
        command.args([
            "--user",
            "user:password",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
        ]);
        command.args(["--log-file", "stdout", "--simple-log"]);
        let pid = self.folder.path().join("turn.pid");
        command.arg("--pidfile").arg(pid);
        let log = self.folder.path().join("turn.log");
        let mut child = Child::spawn("turnserver", &mut command, &log)?;
        child.wait_for_log("Total General servers", START)?;
        Ok(Some(child))
    }

    /// A certificate for the server, as lines of its configuration; the client trusts who has signed it.
    fn certificate(&self) -> Result<String> {
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|n| self.folder.path().join(n));
        kit::tls::files(&self.authority(), SERVER_V4, &certificate, &key)?;
        Ok(format!(
            "cert_file: {}\nkey_file: {}",
            certificate.display(),
            key.display()
        ))
    }

    fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn command(&self, namespace: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    fn client(&self, host: &str, seconds: u32) -> Result<Child> {
        let token = |identity| JoinToken::new("network", identity).sign(API_KEY, API_SECRET);
        let url = match host.contains(':') {
            true => format!("ws://[{host}]:7880"),
            false => format!("ws://{host}:7880"),
        };
        let mut command = self.command(&self.client, Path::new(CLIENT));
        command
            .args([&url, &token("speaker")?, &token("listener")?])
            .arg(seconds.to_string());
        if self.authority().is_file() {
            command.env("SSL_CERT_FILE", self.authority());
        }
        command.env("RUST_BACKTRACE", "0");
        let log = self.folder.path().join("client.log");
        Ok(Child::spawn("networks-client", &mut command, &log)?)
    }

    fn call(&self, host: &str, seconds: u32) -> Result<Report> {
        let mut client = self.client(host, seconds)?;
        Report::of(&mut client, seconds)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            run(&["ip", "netns", "del", namespace]).ok();
        }
    }
}

fn run(command: &[&str]) -> Result<()> {
    let said = Command::new(command[0])
        .args(&command[1..])
        .output()
        .with_context(|| command.join(" "))?;
    if !said.status.success() {
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        bail!("{}: {}", command.join(" "), error.trim());
    }
    Ok(())
}

fn inside(namespace: &str, command: &[&str]) -> Result<()> {
    let mut whole = vec!["ip", "netns", "exec", namespace];
    whole.extend_from_slice(command);
    run(&whole)
}

/// What the client has said at its end.
struct Report(Value);

impl Report {
    fn of(client: &mut Child, seconds: u32) -> Result<Self> {
        let within = CLIENT_LIMIT + Duration::from_secs(seconds.into());
        let status = client.wait(within)?;
        let log = client.log();
        ensure!(status.success(), "the client ended with {status}: {log}");
        let last = log.lines().rev().find(|line| line.starts_with('{'));
        let last = last.unwrap_or_default();
        let report = serde_json::from_str(last).with_context(|| log.clone())?;
        println!("{last}");
        Ok(Self(report))
    }

    fn number(&self, pointer: &str) -> u64 {
        self.0
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// Sound and data have arrived, and sound without a hole that one could hear.
    fn heard(&self) -> Result<()> {
        ensure!(self.number("/heard/audible") > 100, "{}", self.0);
        self.gap_below_ms(500)?;
        ensure!(self.number("/numbers") >= 5, "{}", self.0);
        Ok(())
    }

    fn heard_at_the_end(&self) -> Result<()> {
        ensure!(self.0["heard"]["at_the_end"] == true, "{}", self.0);
        Ok(())
    }

    fn gap_below_ms(&self, limit: u64) -> Result<()> {
        let gap = self.number("/heard/longest_gap_ms");
        ensure!(gap < limit, "{gap} ms without sound: {}", self.0);
        Ok(())
    }

    /// Every connection has taken this way.
    fn ways(&self, kind: &str, protocol: &str, relay: Option<&str>) -> Result<()> {
        for way in self.all_ways()? {
            let as_wanted = way["type"] == kind
                && way["protocol"] == protocol
                && way["relay"].as_str() == relay;
            ensure!(as_wanted, "a connection went over {way}");
        }
        Ok(())
    }

    fn address(&self, address: &str) -> Result<()> {
        for way in self.all_ways()? {
            ensure!(way["address"] == address, "a connection went over {way}");
        }
        Ok(())
    }

    fn all_ways(&self) -> Result<Vec<&Value>> {
        let ways: Vec<&Value> = ["speaker", "listener"]
            .iter()
            .filter_map(|side| self.0[side].as_array())
            .flatten()
            .collect();
        ensure!(ways.len() >= 2, "no ways in {}", self.0);
        Ok(ways)
    }
}
