//! The tests of `sdk/python`, and its types, with the interpreter that set-up has made for them.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::outcome::Counts;
use crate::paths;
use crate::process::streamed;
use crate::setup::Environment;

/// Made from `tests/python/requirements.txt`.
const INTERPRETER: &str = "BATON_PYTHON_PYTHON";

/// Runs pytest and mypy, and says what they came to.
pub(crate) fn sdk_tests(environment: &Environment) -> Result<String> {
    let interpreter = environment
        .iter()
        .find_map(|(name, value)| (name == INTERPRETER).then_some(value))
        .context("set-up has made no environment for them")?;
    let mut counts = None;
    let tested = streamed(&mut module(interpreter, &["pytest", "-q"]), |line| {
        counts = in_line(line).or(counts);
    })?;
    let counts = counts.context("pytest did not come to an end")?;
    let mut said = String::new();
    let typed = streamed(&mut module(interpreter, &["mypy", "--strict"]), |line| {
        said = line.to_owned();
    })?;
    let said = format!("{counts}; mypy: {}", said.to_lowercase());
    if !tested.success() || !typed.success() {
        bail!("{said}");
    }
    Ok(said)
}

fn module(interpreter: &OsStr, arguments: &[&str]) -> Command {
    let mut python = Command::new(interpreter);
    python
        .arg("-m")
        .args(arguments)
        .current_dir(paths::root().join("sdk/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Reads pytest's last line: `1 failed, 238 passed, 2 skipped in 4.92s`. What could not be run at all has failed.
fn in_line(line: &str) -> Option<Counts> {
    let (outcomes, length) = line.rsplit_once(" in ")?;
    length.strip_suffix('s')?.parse::<f64>().ok()?;
    let mut counts = Counts::default();
    for outcome in outcomes.split(", ") {
        let (count, word) = outcome.split_once(' ')?;
        let count: usize = count.parse().ok()?;
        match word {
            "passed" | "xpassed" => counts.passed += count,
            "failed" | "error" | "errors" => counts.failed += count,
            "skipped" | "xfailed" | "deselected" => counts.ignored += count,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pytest_came_to_is_read_from_its_last_line() {
        let counts = |passed, failed, ignored| {
            Some(Counts {
                passed,
                failed,
                ignored,
            })
        };
        assert_eq!(in_line("239 passed in 4.92s"), counts(239, 0, 0));
        let mixed = "1 failed, 238 passed, 2 skipped, 3 warnings, 1 error in 7.5s";
        assert_eq!(in_line(mixed), counts(238, 2, 2));
        for line in [
            "........ [100%]",
            "arrived in 3 pieces",
            "no tests ran in 0.01s",
        ] {
            assert_eq!(in_line(line), None, "{line}");
        }
    }
}
