//! `cargo xtask deploy-check`: what is in `deploy`, as far as that can be checked without a container engine.
//!
//! Helm is built once, below `target/`, unless there is one on the PATH; `promtool` comes from Debian's package `prometheus`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::process::{Progress, logged, shown_whole};
use crate::tools;
use crate::venv;

const HELM_MODULE: &str = "helm.sh/helm/v4/cmd/helm@v4.3.1";
/// A cold build takes 5 to 10 minutes on 2 cores.
const HELM_LIMIT: Duration = Duration::from_secs(30 * 60);

/// `cargo xtask deploy-check`.
pub(crate) fn run() -> Result<ExitCode> {
    let promtool = tools::on_path("promtool")
        .context("promtool is missing: `apt-get install --no-install-recommends prometheus`")?;
    let python = tools::python_of((3, 11)).context("it needs Python 3.11 or newer with venv")?;
    let folder = paths::root().join("deploy/checks");
    let interpreter = venv::one(&python, "deploy", &folder.join("requirements.txt"))?;
    let mut check = Command::new(interpreter);
    check.arg(folder.join("check.py"));
    shown_whole(check.arg(helm()?).arg(promtool))?;
    Ok(ExitCode::SUCCESS)
}

fn helm() -> Result<PathBuf> {
    let at = paths::tools().join("helm");
    if let Some(found) = tools::on_path("helm").or_else(|| at.is_file().then(|| at.clone())) {
        return Ok(found);
    }
    tools::on_path("go").context("Go is missing, to install Helm: https://go.dev/dl")?;
    println!("helm: building {HELM_MODULE}, some minutes the first time");
    // A folder of its own: an interrupted build must not look like a finished one.
    let folder = paths::tools().join("build-helm");
    fs::create_dir_all(&folder)?;
    let mut install = Command::new("go");
    install
        .args(["install", HELM_MODULE])
        .env("GOBIN", &folder)
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .current_dir(&folder);
    let log = paths::logs().join("helm.log");
    logged("helm", &mut install, &log, HELM_LIMIT, Progress::Ticking)?;
    fs::rename(folder.join("helm"), &at).context("go install left no helm")?;
    // It is empty now; that it stays would harm nobody.
    let _ = fs::remove_dir(&folder);
    Ok(at)
}
