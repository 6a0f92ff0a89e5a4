//! A test that runs itself again in a process of its own: environment and signals are per process.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// A child that is ended with the test.
pub(crate) struct ChildProcess(pub(crate) Child);

/// Runs the test `name` of this binary again, with `role` and `environment`.
pub(crate) fn rerun<'a>(
    name: &str,
    role: &str,
    environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
) -> ChildProcess {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("WORKER_TEST_ROLE", role)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    ChildProcess(child)
}

/// The role that [`rerun`] gave this process, if it did.
pub(crate) fn role() -> Option<String> {
    std::env::var("WORKER_TEST_ROLE").ok()
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Either fails only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
