//! `cargo xtask demo`: set-up, build, and then the demo itself, which takes our place.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::paths;
use crate::process::{Progress, shown_whole};
use crate::python;
use crate::setup::{Environment, Setup};
use crate::tools::{self, Need};

/// The first argument of the demo between frameworks.
const MIXED: &str = "--mixed";

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
    if let Some((first, rest)) = arguments.split_first()
        && first == MIXED
    {
        return mixed(rest);
    }
    tools::check(&[Need::Build, Need::Server])?;
    // Go downloads while cargo compiles.
    let setup = Setup::start(None, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let built = build();
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let mut demo = command(Profile::Release, &environment);
    let error = demo.args(from_here(arguments)?).exec();
    Err(error).with_context(|| format!("{} cannot be started", program(Profile::Release).display()))
}

/// The arguments as they are meant where we were started: the demo runs in the root.
fn from_here(arguments: &[String]) -> Result<Vec<OsString>> {
    let mut meant = Vec::with_capacity(arguments.len());
    let mut names_file = false;
    for argument in arguments {
        meant.push(match argument.strip_prefix("--config=") {
            Some(file) => {
                let mut option = OsString::from("--config=");
                option.push(std::path::absolute(file)?);
                option
            }
            None if names_file => std::path::absolute(argument)?.into_os_string(),
            None => argument.into(),
        });
        names_file = argument == "--config";
    }
    Ok(meant)
}

/// `cargo xtask demo --mixed [ARGUMENTS]`: a call between LiveKit Agents, Pipecat and Rust. It shows no figures, so that it is
/// built as tests are.
fn mixed(arguments: &[String]) -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let setup = Setup::start(found.python, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let mut cargo = Command::new(paths::cargo());
    cargo
        .args(["build", "--package", "baton", "--bin", "baton"])
        .args(["--package", "baton-specialist", "--example", "spoken"])
        .args(["--package", "kit", "--bin", "probe"])
        .current_dir(paths::root());
    let built = shown_whole(&mut cargo);
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let status = mixed_command(&environment)?.args(arguments).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The mixed demo, ready to start, of programs that are built.
pub(crate) fn mixed_command(environment: &Environment) -> Result<Command> {
    let folder = paths::target().join(Profile::Dev.folder());
    let mut python = python::with_sdk(environment)?;
    python
        .arg(paths::root().join("sdk/python/room_tests/mixed.py"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("BATON_PROGRAM", folder.join("baton"))
        .env("PROBE_PROGRAM", folder.join("probe"));
    Ok(python)
}

/// Builds all that a demo starts.
pub(crate) fn build() -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_looked_for_where_we_were_started() -> Result<()> {
        let here = std::path::absolute("bank.yaml")?;
        for given in [vec!["--config", "bank.yaml"], vec!["--config=bank.yaml"]] {
            let given: Vec<String> = given.into_iter().map(str::to_owned).collect();
            let meant = from_here(&given)?;
            let last = meant.last().map(|last| last.to_string_lossy().into_owned());
            let here = here.display().to_string();
            assert!(last.is_some_and(|last| last.ends_with(&here)), "{meant:?}");
        }
        Ok(())
    }
}
