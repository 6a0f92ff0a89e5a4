//! `cargo xtask sim wire [--seeds N]`: both ends of the protocol over a bad channel, once per seed.
//! `cargo xtask sim audio [--switches N]`: switches between voices over a bad network, in virtual time.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// Seeds that have failed once; the tests run them too.
const KEPT: &str = "src/wire/tests/seeds.txt";

/// `cargo xtask sim NAME [ARGUMENTS]`; returns only if the simulation could not be started.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    const NAMES: &str = "`wire` and `audio`";
    let Some((name, rest)) = arguments.split_first() else {
        bail!("which simulation? there are {NAMES}");
    };
    let (example, own): (&str, &[&str]) = match name.as_str() {
        "wire" => ("sim", &["--keep", KEPT]),
        // Two examples of one name would overwrite each other.
        "audio" => ("sim_audio", &[]),
        _ => bail!("no simulation {name:?}; there are {NAMES}"),
    };
    // Optimized, since they are run for long.
    let error = Command::new(paths::cargo())
        .args(["run", "--quiet", "--release", "--package", name.as_str()])
        .args(["--example", example, "--"])
        .args(own)
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
        assert_eq!(
            error.to_string(),
            "no simulation \"call\"; there are `wire` and `audio`"
        );
        assert!(run(&[]).is_err());
    }
}
