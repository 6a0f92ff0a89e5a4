//! `cargo xtask page`: the live page in a real browser, on a real call; screenshots are left in target/page.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::process::Progress;
use crate::setup::Setup;
use crate::tools::{self, Need};

/// Names a Chromium to use.
const CHROMIUM: &str = "BATON_CHROMIUM";

pub(crate) fn run() -> Result<ExitCode> {
    let chromium = chromium()?;
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let (environment, ready) = Setup::start(found.python, Progress::Ticking).finish();
    ready?;
    let status = Command::new(paths::cargo())
        .args(["test", "--quiet", "--package", "baton", "--test", "calls"])
        .args(["page::"])
        .envs(environment)
        .env(CHROMIUM, chromium)
        .current_dir(paths::root())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    println!("the page is as it should be; screenshots are in target/page");
    Ok(ExitCode::SUCCESS)
}

fn chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CHROMIUM) {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| {
            ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name))
        })
        .find(|program| program.is_file());
    match found {
        Some(program) => Ok(program),
        None => bail!("no chromium on the PATH; install it, or name one in {CHROMIUM}"),
    }
}
