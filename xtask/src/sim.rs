//! `cargo xtask sim wire [--seeds N]`: both ends of the protocol over a bad channel, once per seed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// Seeds that have failed once; the tests run them too.
const KEPT: &str = "src/wire/tests/seeds.txt";

/// `cargo xtask sim NAME [ARGUMENTS]`; returns only if the simulation could not be started.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("which simulation? there is `wire`");
    };
    if name != "wire" {
        bail!("no simulation {name:?}; there is `wire`");
    }
    // Optimized, since it is run over many seeds.
    let error = Command::new(paths::cargo())
        .args(["run", "--quiet", "--release", "--package", "wire"])
        .args(["--example", "sim", "--", "--keep", KEPT])
        .args(rest)
        .current_dir(paths::root())
        .exec();
    Err(error).context("cargo cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_that_there_is_not_is_refused_by_name() {
        let error = run(&["call".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no simulation \"call\"; there is `wire`");
        assert!(run(&[]).is_err());
    }
}
