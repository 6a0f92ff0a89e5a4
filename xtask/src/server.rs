//! A LiveKit server for the engine's tests, on free ports of the loopback interface.
//!
//! The kit of the tests has a fuller one; it depends on half the workspace, and this program on
//! nothing.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::process::{Guard, end_of, log_files};

/// What the tests inside the livekit package use unless told otherwise.
pub(crate) const API_KEY: &str = "devkey";
pub(crate) const API_SECRET: &str = "secret";

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 5;

/// A server that ends when this is dropped.
pub(crate) struct Server {
    port: u16,
    child: Guard,
}

impl Server {
    /// Starts `program` and waits until it is healthy.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let log = paths::logs().join("engine-tests/livekit-server.log");
        for _ in 0..ATTEMPTS {
            let (http, tcp, udp) = free_ports().context("no free port")?;
            let (out, err) = log_files(&log)?;
            let mut command = Command::new(program);
            command
                .args(["--config-body", &yaml(http, tcp, udp)])
                .stdout(out)
                .stderr(err);
            let child = command.spawn();
            let child =
                child.with_context(|| format!("{} cannot be started", program.display()))?;
            let mut server = Self {
                port: http,
                child: Guard(child),
            };
            if server.wait_until_healthy(&log)? {
                return Ok(server);
            }
        }
        bail!(
            "livekit-server found its ports taken {ATTEMPTS} times; {}",
            end_of(&log)
        );
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// `false` when somebody else took one of its ports first.
    fn wait_until_healthy(&mut self, log: &Path) -> Result<bool> {
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.0.try_wait()? {
                if std::fs::read_to_string(log).is_ok_and(|log| log.contains("already in use")) {
                    return Ok(false);
                }
                bail!("livekit-server ended with {status}; {}", end_of(log));
            }
            if healthy(self.port).unwrap_or(false) {
                return Ok(true);
            }
            sleep(Duration::from_millis(50));
        }
        bail!(
            "livekit-server is not healthy after {START_TIMEOUT:?}; {}",
            end_of(log)
        );
    }
}

/// Data blobs are what `schema_storage` wants; the rest is what a server on one machine needs.
fn yaml(http: u16, tcp: u16, udp: u16) -> String {
    format!(
        "{{port: {http}, bind_addresses: [127.0.0.1], keys: {{{API_KEY}: {API_SECRET}}}, \
         enable_participant_data_blob: true, logging: {{level: info}}, \
         rtc: {{udp_port: {udp}, tcp_port: {tcp}, node_ip: 127.0.0.1, use_external_ip: false, \
         enable_loopback_candidate: true, ips: {{includes: [127.0.0.1/32]}}}}}}"
    )
}

/// All three are held until the last is found, so that they differ.
fn free_ports() -> io::Result<(u16, u16, u16)> {
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((
        http.local_addr()?.port(),
        tcp.local_addr()?.port(),
        udp.local_addr()?.port(),
    ))
}

fn healthy(port: u16) -> io::Result<bool> {
    let limit = Duration::from_millis(500);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&at, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}
