//! `cargo xtask demo`: set-up, build, and then the demo itself, which takes our place.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::paths;
use crate::process::{Progress, shown_whole};
use crate::setup::{Environment, Setup};
use crate::tools::{self, Need};

/// What is built: how figures are measured, or how tests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// `cargo xtask demo [ARGUMENTS]`; returns only if the demo could not be started.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    tools::check(&[Need::Build, Need::Server])?;
    // Go downloads while cargo compiles.
    let setup = Setup::start(None, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let built = build();
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let mut demo = command(Profile::Release, &environment);
    let error = demo.args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be started", program(Profile::Release).display()))
}

/// Builds all that a demo starts.
fn build() -> Result<()> {
    let mut cargo = Command::new(paths::cargo());
    cargo
        .args(["build", "--release"])
        .args([
            "--package",
            "baton",
            "--bin",
            "baton",
            "--package",
            "demo",
            "--bin",
            "demo",
        ])
        .current_dir(paths::root());
    shown_whole(&mut cargo)
}

/// The demo, ready to start: it finds `baton` beside itself and plays the specialists.
pub(crate) fn command(profile: Profile, environment: &Environment) -> Command {
    let mut demo = Command::new(program(profile));
    demo.envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(paths::root());
    demo
}

fn program(profile: Profile) -> PathBuf {
    paths::target().join(profile.folder()).join("demo")
}
