//! Virtual environments for the tests that talk to Python programs.
//!
//! Every `tests/NAME/requirements.txt` becomes `target/venvs/NAME`, and its interpreter's path is
//! given to the tests as `BATON_PYTHON_NAME`. Requirements are pinned with hashes, and an environment
//! carries what it was made from, so that it is made anew exactly when that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::paths::{self, shown};
use crate::process::{Progress, logged, secs};
use crate::setup::Environment;

const LIMIT: Duration = Duration::from_secs(15 * 60);
const STAMP: &str = "made-from.txt";

/// Makes every environment that is missing or stale.
pub(crate) fn all(python: &Path) -> Result<Environment> {
    let mut environment = Environment::new();
    for (name, requirements) in wanted(&paths::root().join("tests"))? {
        let interpreter = one(python, &name, &requirements)?;
        let variable = format!("BATON_PYTHON_{}", name.replace('-', "_").to_uppercase());
        environment.push((variable, interpreter.into_os_string()));
    }
    Ok(environment)
}

/// Names and requirements files, in order.
fn wanted(tests: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut wanted = Vec::new();
    for folder in fs::read_dir(tests).with_context(|| format!("{} cannot be read", shown(tests)))? {
        let folder = folder?;
        let requirements = folder.path().join("requirements.txt");
        if requirements.is_file() {
            wanted.push((
                folder.file_name().to_string_lossy().into_owned(),
                requirements,
            ));
        }
    }
    wanted.sort();
    Ok(wanted)
}

/// Makes one environment, if it is missing or stale, and returns its interpreter.
pub(crate) fn one(python: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    let folder = paths::root().join("target/venvs").join(name);
    let interpreter = folder.join("bin/python");
    let stamp = folder.join(STAMP);
    let text = fs::read_to_string(requirements)
        .with_context(|| format!("{} cannot be read", shown(requirements)))?;
    let made_from = format!("{}\n{text}", python.display());
    let fresh = fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_from);
    if fresh && interpreter.is_file() {
        return Ok(interpreter);
    }
    let start = Instant::now();
    println!("venv {name}: installing {}", shown(requirements));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be made anew", shown(&folder)))?;
    }
    let log = |step: &str| paths::logs().join(format!("venv-{name}-{step}.log"));
    let label = format!("venv {name}");
    let mut make = Command::new(python);
    make.args(["-m", "venv"]).arg(&folder);
    logged(&label, &mut make, &log("make"), LIMIT, Progress::Silent)?;
    let mut install = Command::new(&interpreter);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
        ])
        .args(["--require-hashes", "--requirement"])
        .arg(requirements);
    logged(
        &label,
        &mut install,
        &log("install"),
        LIMIT,
        Progress::Silent,
    )?;
    fs::write(&stamp, made_from).with_context(|| format!("{} cannot be written", shown(&stamp)))?;
    println!("venv {name}: ready after {}", secs(start.elapsed()));
    Ok(interpreter)
}
