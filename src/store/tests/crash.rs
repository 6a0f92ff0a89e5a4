//! Crashes and full disks, on a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use store::{Kind, Record};
use tempfile::TempDir;

use crate::support::{PATIENCE, embedded, file_in, read_all, start};

#[tokio::test]
async fn what_was_acked_survives_a_kill_in_order() {
    let directory = TempDir::new().expect("a directory");
    let mut acked = 0;
    let mut known = Vec::new();
    for round in 0..8_u64 {
        let mut appender = Appender::start(
            &file_in(directory.path()),
            1 + round * 5,
            100 << round,
            None,
        );
        let deadline = Instant::now() + Duration::from_millis(60 + 45 * round);
        // A kill between two acks is as good as one after: wait for some, then strike at a time of its own.
        while Instant::now() < deadline {
            acked = appender.acked();
        }
        acked = appender.kill().unwrap_or(acked);

        let journal = start(&embedded(directory.path()), "reader").await;
        let records = read_all(&journal, "call").await;
        assert!(
            records.len() as u64 > acked,
            "round {round}: {acked} was acked, {} are there",
            records.len()
        );
        assert_consistent(&records);
        assert_eq!(
            records[..known.len()],
            known,
            "round {round} changed what was there before"
        );
        assert_eq!(journal.figures().damaged_files, 0);
        journal.close(PATIENCE).await.expect("nothing waits");
        known = records;
    }
}

#[tokio::test]
async fn a_full_disk_is_waited_out_and_loses_nothing() {
    let directory = TempDir::new().expect("a directory");
    // No file of the process may grow beyond 3 MiB: what a full disk looks like, without one.
    let mut appender = Appender::start(&file_in(directory.path()), 8, 4_000, Some(3 << 10));
    let trouble = appender.line_that("buffered");
    assert_eq!(trouble, "buffered full");
    assert_eq!(appender.line_that(""), "waiting");
    appender.raise_limit();
    let acked = appender.acked();
    let before = acked;
    let mut after = appender.acked();
    while after < before + 100 {
        after = appender.acked();
    }
    let last = appender.stop();
    assert_eq!(last, "lost 0");

    let journal = start(&embedded(directory.path()), "reader").await;
    let records = read_all(&journal, "call").await;
    assert!(records.len() as u64 > after);
    assert_consistent(&records);
    assert_eq!(journal.figures().damaged_files, 0);
}

/// From 0 on without a gap, each with what the appender wrote under that number.
fn assert_consistent(records: &[Record]) {
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.seq, index as u64);
        match record.entry.kind {
            Kind::Core => {
                assert_eq!(record.entry.epoch, record.seq);
                assert!(
                    record
                        .entry
                        .payload
                        .iter()
                        .all(|byte| u64::from(*byte) == record.seq % 251)
                );
            }
            Kind::Opened | Kind::Phase => assert!(record.entry.payload.is_empty()),
            other => panic!("nobody wrote {other:?}"),
        }
    }
}

struct Appender {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Appender {
    /// `file_kib_max` limits the size of its files, as `ulimit -f` does.
    fn start(file: &Path, burst: u64, payload_bytes: usize, file_kib_max: Option<u64>) -> Self {
        let program = env!("CARGO_BIN_EXE_store-test-appender");
        let mut command = match file_kib_max {
            None => Command::new(program),
            Some(kib) => {
                // Ignored, the signal becomes an error of the write; bash counts in KiB, and children inherit both.
                let mut shell = Command::new("bash");
                shell
                    .arg("-c")
                    .arg(format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$@\""))
                    .arg("bash")
                    .arg(program);
                shell
            }
        };
        let mut child = command
            .arg(file)
            .args([burst.to_string(), payload_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the appender starts");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(stdout),
        }
    }

    /// The next line with that start.
    fn line_that(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self
                .lines
                .read_line(&mut line)
                .expect("the appender's output is text");
            assert!(bytes > 0, "the appender ended early");
            if line.starts_with(start) {
                return line.trim().to_owned();
            }
        }
    }

    fn acked(&mut self) -> u64 {
        number(&self.line_that("acked"))
    }

    /// SIGKILL; the last number that it still acked, if it said more.
    fn kill(mut self) -> Option<u64> {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        let rest: Vec<String> = self.lines.lines().map_while(Result::ok).collect();
        rest.iter()
            .rev()
            .find(|line| line.starts_with("acked"))
            .map(|line| number(line))
    }

    fn raise_limit(&self) {
        let raised = Command::new("prlimit")
            .args(["--fsize=unlimited:", "--pid"])
            .arg(self.child.id().to_string())
            .status();
        assert!(raised.expect("prlimit is part of util-linux").success());
    }

    /// Lets it end by itself; its last line.
    fn stop(mut self) -> String {
        drop(self.child.stdin.take());
        let lines: Vec<String> = self.lines.lines().map_while(Result::ok).collect();
        assert!(self.child.wait().expect("it ends").success());
        lines.last().cloned().unwrap_or_default()
    }
}

fn number(line: &str) -> u64 {
    line.trim()
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_default()
}
