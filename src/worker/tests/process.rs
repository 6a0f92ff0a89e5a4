//! What concerns the whole process: its signals and its log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{self, BufRead, BufReader, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::child::{rerun, role};
use support::fake::FakeServer;
use support::server::{API_KEY, API_SECRET, Server};
use support::{free_port, soon};
use worker::{Drained, Secret, StopSignals, WorkerConfig};

#[tokio::test]
async fn the_first_signal_drains_and_the_second_one_ends_at_once() {
    const NAME: &str = "the_first_signal_drains_and_the_second_one_ends_at_once";
    if role().is_some() {
        return be_stopped().await;
    }
    let mut child = rerun(NAME, "stopped", []);
    let pid = child.0.id().to_string();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let dialogue = tokio::task::spawn_blocking(move || {
        let mut wait_for = |expected: &str| {
            let found = lines.any(|line| line.unwrap().contains(expected));
            assert!(found, "the child never said {expected:?}");
        };
        let terminate = || {
            let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            assert!(sent.success());
        };
        wait_for("the job is on");
        terminate();
        wait_for("draining after SIGTERM");
        terminate();
        wait_for("cut short");
        assert!(child.0.wait().unwrap().success());
    });
    soon("the child's end", dialogue).await.unwrap();
}

async fn be_stopped() {
    let server = FakeServer::start().await;
    let mut signals = StopSignals::install().unwrap();
    let config = WorkerConfig::new(server.url(), "key", Secret::new("hush"));
    let (handle, mut assignments) = worker::start(config).unwrap();
    let mut session = server.accept().await;
    session.run("AJ_1").await;
    let _assignment = assignments.recv().await.unwrap();
    // The harness says "running 1 test" by itself.
    println!("the job is on");
    let first = signals.next().await;
    println!("draining after {first}");
    let drained = handle.drain(Duration::from_secs(600), signals.next()).await;
    assert_eq!(drained, Drained::CutShort { jobs_left: 1 });
    println!("cut short");
}

#[tokio::test]
async fn a_server_that_is_away_is_said_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(subscriber(&log));
    let port = free_port();
    let url = format!("ws://127.0.0.1:{port}");
    let config = WorkerConfig::new(url, API_KEY, Secret::new(API_SECRET));
    let (handle, _assignments) = worker::start(config).unwrap();
    soon("three attempts", async {
        while log.count("still not registered") < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
    assert_eq!(log.count("cannot register, retrying"), 1);

    let _server = Server::start_on(port).await;
    assert!(soon("registration", handle.registered()).await);
    handle.stop().await;
    assert_eq!(log.count("ERROR"), 0, "{}", log.text());
    // The header of every token, base64 of `{"typ":"JWT",...`, and the secret itself.
    for hidden in ["eyJ", API_SECRET] {
        assert_eq!(log.count(hidden), 0, "{}", log.text());
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.text().matches(part).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn subscriber(log: &Log) -> impl tracing::Subscriber + Send + Sync + use<> {
    let log = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || log.clone())
        .finish()
}
