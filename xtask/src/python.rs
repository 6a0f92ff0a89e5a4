//! The tests of `sdk/python`, and its types, with the interpreters that set-up has made for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::again;
use crate::outcome::Counts;
use crate::paths;
use crate::process::{Progress, end_of, streamed, waited};
use crate::setup::Environment;

/// Made from `tests/python/requirements.txt`.
const INTERPRETER: &str = "BATON_PYTHON_PYTHON";
/// What runs on a real server with the real Baton: a folder of `room_tests`, the interpreter whose packages it needs, and
/// what of the package is checked for its types with them. The one that takes longest comes first.
const ROOM_TESTS: [(&str, &str, Option<&str>); 3] = [
    (
        "with_livekit_agents",
        "BATON_PYTHON_LIVEKIT_AGENTS",
        Some("baton.livekit_agents"),
    ),
    (
        "with_pipecat",
        "BATON_PYTHON_PIPECAT",
        Some("baton.pipecat"),
    ),
    ("by_hand", INTERPRETER, None),
];

/// How long the tests of one folder may take.
const ROOM_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs pytest and mypy, and says what they came to.
pub(crate) fn sdk_tests(environment: &Environment) -> Result<String> {
    let interpreter = found(environment, INTERPRETER)?;
    let (counts, passed) = tested(&mut module(interpreter, &["pytest", "-q"]))?;
    let (types, sound) = typed(&mut module(interpreter, &["mypy", "--strict"]))?;
    let said = format!("{counts}; mypy: {types}");
    if !passed || !sound {
        bail!("{said}");
    }
    Ok(said)
}

/// Runs what needs a server, Baton's program and the frameworks, and says what it came to. Two folders run at the same time, since
/// they wait for their processes more than they compute; three at once keep two slow cores from meeting limits of time.
pub(crate) fn room_tests(environment: &Environment, baton: &Path) -> Result<String> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut ended = Vec::new();
        while let Some((folder, interpreter, _)) = ROOM_TESTS.get(next.fetch_add(1, Relaxed)) {
            let all = BTreeSet::new();
            let outcome = room_tests_of(environment, baton, folder, interpreter, &all);
            ended.push((*folder, outcome));
        }
        ended
    };
    let ended = thread::scope(|scope| {
        let lanes = [scope.spawn(lane), scope.spawn(lane)];
        lanes.map(thread::ScopedJoinHandle::join)
    });
    let mut outcomes: BTreeMap<&str, _> = ended.into_iter().flatten().flatten().collect();
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    let mut again = Vec::new();
    for (folder, interpreter, package) in ROOM_TESTS {
        let Some(ended) = outcomes.remove(folder) else {
            bail!("the tests in {folder} could not be watched");
        };
        let (more, mut passed) = ended?;
        counts += more;
        if !passed {
            println!("{}", end_of(&room_log(folder)));
            let said = fs::read_to_string(room_log(folder)).unwrap_or_default();
            let only = failed_in(&said);
            if let Some(names) = again::worth_it(&only) {
                println!("once more, alone: {names}");
                let second = room_tests_of(environment, baton, folder, interpreter, &only)?;
                passed = second.1;
                again.push(names);
            }
        }
        if !passed {
            println!("{}", end_of(&room_log(folder)));
            failed.push(folder.to_owned());
        }
        if let Some(package) = package {
            let interpreter = found(environment, interpreter)?;
            let mut mypy = module(interpreter, &["mypy", "--strict", "--package", package]);
            if !typed(&mut mypy)?.1 {
                failed.push(format!("types of {package}"));
            }
        }
    }
    if !failed.is_empty() {
        bail!("{counts}; failed: {}", failed.join(", "));
    }
    Ok(match again.join(", ") {
        names if names.is_empty() => counts.to_string(),
        names => format!("{counts}; {}", again::passed(&names)),
    })
}

/// Runs the tests of a folder, or those of these names alone.
fn room_tests_of(
    environment: &Environment,
    baton: &Path,
    folder: &str,
    interpreter: &str,
    only: &BTreeSet<String>,
) -> Result<(Counts, bool)> {
    let interpreter = found(environment, interpreter)?;
    let tests = format!("room_tests/{folder}");
    let mut pytest = module(interpreter, &["pytest", "-q", &tests]);
    pytest.env("BATON_PROGRAM", baton);
    if !only.is_empty() {
        let names: Vec<&str> = only.iter().map(String::as_str).collect();
        pytest.args(["-k", &names.join(" or ")]);
    }
    let log = room_log(folder);
    let status = waited(folder, &mut pytest, &log, ROOM_LIMIT, Progress::Silent)?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    let counts = said.lines().filter_map(in_line).next_back();
    let counts = counts.with_context(|| format!("pytest did not come to an end in {folder}"))?;
    println!("{folder}: {counts}");
    Ok((counts, status.success()))
}

fn room_log(folder: &str) -> PathBuf {
    paths::logs().join(format!("room-tests-{folder}.log"))
}

/// The interpreter of the SDK's own tests, ready to run a program that uses the SDK.
pub(crate) fn with_sdk(environment: &Environment) -> Result<Command> {
    let mut python = Command::new(found(environment, INTERPRETER)?);
    python
        .env("PYTHONPATH", paths::root().join("sdk/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(python)
}

fn found<'a>(environment: &'a Environment, interpreter: &str) -> Result<&'a OsStr> {
    environment
        .iter()
        .find_map(|(name, value)| (name == interpreter).then_some(value.as_os_str()))
        .with_context(|| format!("set-up has made no environment for them: {interpreter}"))
}

fn tested(pytest: &mut Command) -> Result<(Counts, bool)> {
    let mut counts = None;
    let status = streamed(pytest, |line| counts = in_line(line).or(counts))?;
    let counts = counts.context("pytest did not come to an end")?;
    Ok((counts, status.success()))
}

fn typed(mypy: &mut Command) -> Result<(String, bool)> {
    let mut said = String::new();
    let status = streamed(mypy, |line| said = line.to_lowercase())?;
    Ok((said, status.success()))
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

/// The tests that pytest's summary says have failed: `FAILED room_tests/by_hand/test_room.py::test_one - AssertionError`.
fn failed_in(log: &str) -> BTreeSet<String> {
    let lines = log.lines();
    let said = lines.filter_map(|line| {
        line.strip_prefix("FAILED ")
            .or_else(|| line.strip_prefix("ERROR "))
    });
    // What a test has logged may begin with the same words.
    said.filter(|line| line.starts_with("room_tests/"))
        .filter_map(|line| line.split_once("::"))
        .map(|(_, test)| test.split([' ', '[']).next().unwrap_or(test).to_owned())
        .collect()
}

/// Reads pytest's last line: `1 failed, 238 passed, 2 skipped in 4.92s`. What could not be run at all has failed.
fn in_line(line: &str) -> Option<Counts> {
    let (outcomes, length) = line.rsplit_once(" in ")?;
    // From a minute on, the length is said in minutes too.
    let (secs, _) = length.split_once(" (").unwrap_or((length, ""));
    secs.strip_suffix('s')?.parse::<f64>().ok()?;
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
    fn the_tests_that_failed_are_read_from_the_summary() {
        let log = "
....F.E
ERROR    livekit:_ffi_client.py:194 livekit::rtc_engine:922:livekit::rtc_engine - failed to reconnect
=== short test summary info ===
FAILED room_tests/by_hand/test_room.py::test_one - AssertionError: a - b
ERROR room_tests/by_hand/test_room.py::test_two
1 failed, 5 passed, 1 error in 7.5s
";
        let names = ["test_one", "test_two"].map(str::to_owned);
        assert_eq!(failed_in(log), BTreeSet::from(names));
        assert!(failed_in("7 passed in 4.92s").is_empty());
    }

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
        let long = "2 passed, 1 warning in 60.23s (0:01:00)";
        assert_eq!(in_line(long), counts(2, 0, 0));
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
