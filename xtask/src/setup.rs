//! Makes what the tests and the demo need beside Rust: a LiveKit server, virtual environments.
//!
//! All of it goes below `target/`; what is there already is not made again. Steps run beside the
//! build, so they write to logs and say one line when they are done.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::paths::{self, shown};
use crate::process::{Progress, logged, secs};
use crate::tools::{self, Need};
use crate::venv;

/// The newest that `go install` can install: later ones have replace directives.
const SERVER_MODULE: &str = "github.com/livekit/livekit-server/cmd/server@v1.13.5";
/// A cold build of the server takes 2 to 5 minutes on 2 cores.
const SERVER_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Environment that the tests and the demo are given.
pub(crate) type Environment = Vec<(String, OsString)>;

/// Steps that run beside the build.
pub(crate) struct Setup(Vec<(String, JoinHandle<Result<Environment>>)>);

/// `cargo xtask setup`.
pub(crate) fn run() -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let (environment, ready) = Setup::start(found.python, Progress::Ticking).finish();
    ready?;
    for (name, value) in environment {
        println!("{name}={}", value.to_string_lossy());
    }
    Ok(ExitCode::SUCCESS)
}

impl Setup {
    /// Starts what is missing. Without a Python no environment is made.
    pub(crate) fn start(python: Option<PathBuf>, progress: Progress) -> Self {
        let server = thread::spawn(move || server(progress));
        let mut steps = vec![("livekit-server".to_owned(), server)];
        if let Some(python) = python {
            // One after the other: pip's downloads would only compete.
            let venvs = thread::spawn(move || venv::all(&python));
            steps.push(("virtual environments".to_owned(), venvs));
        }
        Self(steps)
    }

    /// Waits for all steps, and returns what the successful ones give and an error that names every
    /// step that failed.
    pub(crate) fn finish(self) -> (Environment, Result<()>) {
        let mut environment = Environment::new();
        let mut failed = Vec::new();
        for (name, step) in self.0 {
            match step.join() {
                Ok(Ok(more)) => environment.extend(more),
                Ok(Err(error)) => failed.push(format!("{name}: {error:#}")),
                Err(_) => failed.push(format!("{name}: panicked")),
            }
        }
        if failed.is_empty() {
            return (environment, Ok(()));
        }
        (
            environment,
            Err(anyhow!("set-up failed: {}", failed.join("\n  "))),
        )
    }
}

/// The LiveKit server to use, if there is one: `LIVEKIT_SERVER`, the PATH, or our own.
pub(crate) fn server_at() -> Option<PathBuf> {
    if let Some(named) = env::var_os("LIVEKIT_SERVER").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let ours = paths::tools().join("livekit-server");
    tools::on_path("livekit-server").or_else(|| ours.is_file().then_some(ours))
}

/// Installs the server if there is none, and says where it is.
pub(crate) fn server(progress: Progress) -> Result<Environment> {
    let at = match server_at() {
        Some(at) if at.is_file() => at,
        Some(at) => bail!("LIVEKIT_SERVER names {}, which is no file", at.display()),
        None => install_server(progress)?,
    };
    Ok(vec![("LIVEKIT_SERVER".to_owned(), at.into_os_string())])
}

fn install_server(progress: Progress) -> Result<PathBuf> {
    let start = Instant::now();
    println!("livekit-server: building {SERVER_MODULE}, some minutes the first time");
    // A folder of its own: an interrupted build must not look like a finished one.
    let folder = paths::tools().join("build");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", shown(&folder)))?;
    let mut install = Command::new("go");
    install
        .args(["install", SERVER_MODULE])
        .env("GOBIN", &folder);
    // Cross-compiling would put it elsewhere.
    install
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .current_dir(&folder);
    let log = paths::logs().join("livekit-server.log");
    logged("livekit-server", &mut install, &log, SERVER_LIMIT, progress)?;
    let at = paths::tools().join("livekit-server");
    fs::rename(folder.join("server"), &at).context("go install left no server")?;
    // It is empty now; that it stays would harm nobody.
    let _ = fs::remove_dir(&folder);
    println!("livekit-server: installed after {}", secs(start.elapsed()));
    Ok(at)
}
