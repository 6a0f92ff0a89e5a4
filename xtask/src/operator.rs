//! `cargo xtask page` and `cargo xtask api`: the operators' side on a real call, by the tests that start one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::process::Progress;
use crate::setup::Setup;
use crate::tools::{self, Need};

/// Names a Chromium to use.
const CHROMIUM: &str = "BATON_CHROMIUM";
/// How many requests are made of each operation.
const EXAMPLES: &str = "BATON_API_EXAMPLES";
const EXAMPLES_DEFAULT: u32 = 200;

/// `cargo xtask page`: the live page in a browser; screenshots are left in target/page.
pub(crate) fn run() -> Result<ExitCode> {
    let variable = (CHROMIUM, chromium()?.into_os_string());
    test(
        "page::",
        variable,
        "the page is as it should be; screenshots are in target/page",
    )
}

/// `cargo xtask api [--examples N]`: the interface against its own document.
pub(crate) fn api(arguments: &[String]) -> Result<ExitCode> {
    let examples = match arguments {
        [] => EXAMPLES_DEFAULT,
        [option, number] if option == "--examples" => number
            .parse()
            .with_context(|| format!("{number:?} is no number of examples"))?,
        _ => bail!("it takes `--examples N` alone"),
    };
    let variable = (EXAMPLES, OsString::from(examples.to_string()));
    test("api::", variable, "the interface is what its document says")
}

fn test(name: &str, variable: (&str, OsString), well: &str) -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let (environment, ready) = Setup::start(found.python, Progress::Ticking).finish();
    ready?;
    let status = Command::new(paths::cargo())
        .args(["test", "--quiet", "--package", "baton", "--test", "calls"])
        .args(["--", name, "--nocapture"])
        .envs(environment)
        .env(variable.0, variable.1)
        .current_dir(paths::root())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    println!("{well}");
    Ok(ExitCode::SUCCESS)
}

fn chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CHROMIUM) {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    match found {
        Some(program) => Ok(program),
        None => bail!("no chromium on the PATH; install it, or name one in {CHROMIUM}"),
    }
}

#[cfg(test)]
mod tests {
    use super::api;

    #[test]
    fn a_wrong_argument_is_refused_by_name() {
        let wrong = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            api(&arguments).expect_err("it is refused").to_string()
        };
        assert_eq!(
            wrong(&["--examples", "many"]),
            "\"many\" is no number of examples"
        );
        assert_eq!(wrong(&["--more"]), "it takes `--examples N` alone");
    }
}
