//! `cargo xtask probe FILE.wav`: the probe, on any recording.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::paths;

/// `cargo xtask probe ARGUMENTS`; returns only if the probe could not be started. Files are relative to where it was called.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let error = Command::new(paths::cargo())
        .args(["run", "--quiet", "--manifest-path"])
        .arg(paths::root().join("Cargo.toml"))
        .args(["--package", "kit", "--bin", "probe", "--"])
        .args(arguments)
        .exec();
    Err(error).context("cargo cannot be started")
}
