//! `cargo xtask bench context`: what conversation and state cost, in a table and in `target/bench/context.json`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// `cargo xtask bench NAME [ARGUMENTS]`; returns only if the bench could not be started.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("which bench? there is `context`");
    };
    if name != "context" {
        bail!("no bench {name:?}; there is `context`");
    }
    // Optimized: its figures are what it is for.
    let error = Command::new(paths::cargo())
        .args(["run", "--quiet", "--release", "--package", "context"])
        .args(["--example", "bench", "--"])
        .args(rest)
        .current_dir(paths::root())
        .exec();
    Err(error).context("cargo cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_that_there_is_not_is_refused_by_name() {
        let error = run(&["audio".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no bench \"audio\"; there is `context`");
        assert!(run(&[]).is_err());
    }
}
