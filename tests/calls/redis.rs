//! A Redis server of a test's own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::PATIENCE;

/// Another program may take a free port before the server does.
const PORTS_TRIED: usize = 5;

pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let started = (0..PORTS_TRIED).find_map(|_| {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            Some((port, spawn(port, &folder)?))
        });
        let (port, child) = started.expect("a port that nobody takes first");
        Self {
            child,
            port,
            folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The YAML of a `store` section on it, with leases of this length.
    pub(crate) fn store(&self, lease_ms: u64) -> String {
        let port = self.port;
        format!("{{kind: redis, lease_ms: {lease_ms}, redis: {{host: 127.0.0.1, port: {port}}}}}")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder).expect("its port is free");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// None if somebody else has taken the port in the meantime.
fn spawn(port: u16, folder: &TempDir) -> Option<Child> {
    // Made once the port is its own; what answers at the port may be another test's.
    let own = folder.path().join("redis.sock");
    // One that was killed leaves it behind.
    let _ = std::fs::remove_file(&own);
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder.path())
        .arg("--unixsocket")
        .arg(&own)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian package redis-server)");
    let start = Instant::now();
    while !own.exists() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(start.elapsed() < PATIENCE, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}
