//! Journals to test, on a file or on a Redis server of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{
    CallKey, EmbeddedConfig, Entry, Health, Journal, JournalConfig, Kind, NewCall, Record,
    RedisConfig, StoreConfig,
};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A time in 2026, in milliseconds since 1970.
pub(crate) const T0: u64 = 1_790_000_000_000;
pub(crate) const LEASE_MS: u64 = 10_000;

pub(crate) fn embedded(directory: &Path) -> JournalConfig {
    let mut config = JournalConfig::new(StoreConfig::Embedded(EmbeddedConfig::new(file_in(
        directory,
    ))));
    // A busy machine is no trouble of the store's.
    config.retry.stall = PATIENCE;
    config.retry.pause_min = Duration::from_millis(20);
    config.retry.pause_max = Duration::from_millis(100);
    config
}

pub(crate) fn file_in(directory: &Path) -> PathBuf {
    directory.join("journal.redb")
}

pub(crate) fn key(name: &str) -> CallKey {
    CallKey::new(name).expect("a short name")
}

pub(crate) fn new_call(name: &str) -> NewCall {
    NewCall {
        key: key(name),
        room: format!("room of {name}"),
        agent: "baton".to_owned(),
        config_hash: "c0ffee".to_owned(),
        opened_unix_ms: T0,
    }
}

pub(crate) fn entry(kind: Kind, epoch: u64, payload: &[u8]) -> Entry {
    Entry {
        kind,
        epoch,
        unix_ms: T0 + 1,
        payload: Bytes::copy_from_slice(payload),
    }
}

pub(crate) async fn start(config: &JournalConfig, owner: &str) -> Journal {
    let journal = Journal::start(config, owner).expect("a short owner");
    assert_eq!(journal.opened().await, Health::Healthy);
    journal
}

/// Everything of a call, page by page.
pub(crate) async fn read_all(journal: &Journal, name: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = journal
            .read(&key(name), at, 7)
            .await
            .expect("the store is readable");
        records.extend(page.records);
        from = page.next;
    }
    records
}

pub(crate) async fn health_becomes(
    journal: &Journal,
    wanted: impl FnMut(&Health) -> bool,
) -> Health {
    let mut health = journal.health();
    let reached = tokio::time::timeout(PATIENCE, health.wait_for(wanted)).await;
    reached
        .expect("in time")
        .expect("the journal lives")
        .clone()
}

/// Another program may take a free port before the server does.
const PORTS_TRIED: usize = 5;

/// A Redis server on loopback, ended with its value.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl RedisServer {
    pub(crate) fn start(options: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let started = (0..PORTS_TRIED).find_map(|_| {
            let port = TcpListener::bind(("127.0.0.1", 0))
                .and_then(|listener| listener.local_addr())
                .expect("a free port")
                .port();
            Some((port, spawn(port, &directory, &options)?))
        });
        let (port, child) = started.expect("a port that nobody takes first");
        Self {
            child,
            port,
            directory,
            options,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again on the same port, with what it had saved.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = spawn(self.port, &self.directory, &self.options);
        self.child = child.expect("its port is free");
    }

    pub(crate) fn config(&self) -> JournalConfig {
        let mut redis = RedisConfig::new("127.0.0.1", self.port);
        redis.response_timeout = Duration::from_millis(500);
        let mut config = JournalConfig::new(StoreConfig::Redis(redis));
        config.retry.stall = PATIENCE;
        config.retry.pause_min = Duration::from_millis(20);
        config.retry.pause_max = Duration::from_millis(100);
        config
    }

    /// Runs a command as an operator would.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// None if somebody else has taken the port in the meantime.
fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Option<Child> {
    // Made once the port is its own; what answers at the port may be another test's.
    let own = directory.path().join("redis.sock");
    // One that was killed leaves it behind.
    let _ = std::fs::remove_file(&own);
    let mut child = Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
        ])
        .arg(directory.path())
        .arg("--unixsocket")
        .arg(&own)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian package redis-server)");
    let deadline = Instant::now() + PATIENCE;
    while !own.exists() {
        if child.try_wait().expect("it can be asked").is_some() {
            return None;
        }
        assert!(
            Instant::now() < deadline,
            "redis-server did not listen on port {port}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}
