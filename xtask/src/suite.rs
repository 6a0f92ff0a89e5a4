//! `cargo xtask test`: everything, cheap things first, and a table at the end.
//!
//! A step that fails does not stop the steps that do not need it. Set-up runs beside the build, since
//! one waits for the network while the other computes. A test that fails is run once more, alone, and named (`again`).
//! Everything is built in one profile, so that
//! the dependencies are compiled once.

use std::fmt;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::again;
use crate::demo::{self, Profile};
use crate::engine_tests;
use crate::outcome::Programs;
use crate::paths;
use crate::process::{Progress, end_of, secs, shown_whole, streamed, waited};
use crate::python;
use crate::setup::{Environment, Setup};
use crate::tools::{self, Need};

/// Handoffs of the short demo, and of the runs that have to fail.
const DEMO_HANDOFFS: &str = "4";
const BROKEN_HANDOFFS: &str = "4";
/// Worked examples, each gone through by the demo, and how long each of its specialists sounds.
const EXAMPLES: [&str; 3] = ["bank", "clinic", "it-support"];
const EXAMPLE_TONE_MS: &str = "400";
/// Runs that are broken on purpose: a rogue specialist, which takes two rings of the gate away, each ring switched off alone, and
/// the crossfade.
const BROKEN: [(&[&str], Expected); 5] = [
    (&["--rogue"], Expected::Heard),
    (&["--without-ring", "1"], Expected::HeldAndRemoved),
    (&["--without-ring", "2"], Expected::Heard),
    (&["--without-ring", "3"], Expected::Heard),
    (&["--without-fade"], Expected::Unfaded),
];
/// What Baton logs when it has found a specialist that sounds without the baton.
const FOUND_OUT: &str = "agent misbehaved";
/// The demo's exit code for a run that was made and is not good.
const NOT_GOOD: i32 = 1;
/// Silence at a handoff that the demo does not forgive, in milliseconds.
const SILENCE_MAX_MS: u64 = 40;
/// Both voices of a cut may be heard in the two windows around it, in milliseconds.
const OVERLAP_OF_A_CUT_MS: u64 = 20;
const BROKEN_LIMIT: Duration = Duration::from_secs(180);

/// How a step ended, with a few words about it.
enum Ended {
    Passed(String),
    Failed(String),
    /// What it needs is not there.
    Skipped(&'static str),
}

/// What a run that is broken on purpose has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The caller hears leaks, holes or clicks, and the probe finds them in the recording.
    Heard,
    /// No change has both voices in it, and nobody is heard out of turn.
    Unfaded,
    /// The specialist sounds out of turn, the other two rings keep it from the caller, and Baton
    /// removes it.
    HeldAndRemoved,
}

struct Step {
    name: &'static str,
    ended: Ended,
    elapsed: Duration,
}

#[derive(Default)]
struct Suite(Vec<Step>);

/// `cargo xtask test`.
pub(crate) fn run() -> Result<ExitCode> {
    let start = Instant::now();
    let found = tools::check(&[Need::Build, Need::Server, Need::Python, Need::Redis])?;
    let setup = Setup::start(found.python, Progress::Silent);
    let mut suite = Suite::default();
    let built = suite.step("build", || build().map(|()| String::new()));
    // Without a part of it, only the tests that need the part fail.
    let (environment, ready) = setup.finish();
    suite.step("set-up", || ready.map(|()| String::new()));
    suite.step("python sdk", || python::sdk_tests(&environment));
    if built {
        suite.step("cargo test", || cargo_test(&environment));
    } else {
        suite.skip("cargo test", "the build failed");
    }
    let baton = paths::target().join("debug/baton");
    if built {
        suite.step("python specialists", || {
            python::room_tests(&environment, &baton)
        });
    } else {
        suite.skip("python specialists", "the build failed");
    }
    suite.step("outside crate", outside_crate);
    suite.step("engine tests", engine);
    if built {
        suite.step("mixed demo", || mixed_demo(&environment));
    } else {
        suite.skip("mixed demo", "the build failed");
    }
    if !built {
        suite.skip("demo", "the build failed");
        suite.skip("broken demos", "the build failed");
        suite.skip("example demos", "the build failed");
    } else if suite.step("demo", || short_demo(&environment)) {
        suite.step("broken demos", || broken_demos(&environment));
    } else {
        suite.skip("broken demos", "the whole one failed");
    }
    if built {
        suite.step("example demos", || example_demos(&environment));
        suite.step("context bench", || short_context(&environment));
    }
    Ok(suite.end(start))
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(paths::cargo());
    cargo.arg(command).current_dir(paths::root());
    cargo
}

/// Builds everything at once, tests, programs and examples: with a part of them, or without tests,
/// cargo would choose other features for the dependencies and compile them again.
fn build() -> Result<()> {
    shown_whole(cargo("build").args(["--workspace", "--all-targets"]))
}

fn cargo_test(environment: &Environment) -> Result<String> {
    let (programs, success) = test_programs(environment, &[])?;
    let Programs { counts, ended, .. } = &programs;
    let said = format!("{counts} in {ended} programs");
    if success {
        return Ok(said);
    }
    let Some(names) = again::worth_it(&programs.failed).filter(|_| programs.failures_are_known())
    else {
        bail!("{said}");
    };
    println!("once more, alone: {names}");
    let only: Vec<&str> = programs.failed.iter().map(String::as_str).collect();
    let (second, success) = test_programs(environment, &only)?;
    if !success || second.counts.passed < only.len() {
        bail!("{said}; failed again: {names}");
    }
    Ok(format!("{said}; {}", again::passed(&names)))
}

/// Runs all test programs, or some tests of them, one after another.
fn test_programs(environment: &Environment, only: &[&str]) -> Result<(Programs, bool)> {
    let mut command = cargo("test");
    command.args(["--workspace", "--no-fail-fast"]);
    if !only.is_empty() {
        command
            .args(["--lib", "--bins", "--tests"])
            .args(["--", "--exact", "--test-threads=1"])
            .args(only);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut programs = Programs::default();
    let status = streamed(&mut command, |line| programs.read(line))?;
    Ok((programs, status.success()))
}

/// Builds a specialist as a user of the SDK would: in a crate of its own workspace, with the patch
/// line of the SDK's README, which cargo does not take over from a dependency.
fn outside_crate() -> Result<String> {
    let folder = paths::root().join("tests/outside");
    // The same versions as everything else here.
    fs::copy(paths::root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let mut cargo = cargo("build");
    cargo
        .current_dir(&folder)
        .arg("--target-dir")
        .arg(paths::target());
    shown_whole(&mut cargo)?;
    Ok(String::new())
}

fn engine() -> Result<String> {
    let engine_tests::Summary {
        passed,
        wanted,
        failed_files,
        again,
    } = engine_tests::run_all()?;
    if failed_files > 0 {
        bail!("{passed} of {wanted} passed, {failed_files} files failed");
    }
    let said = format!("{passed} of {wanted} passed");
    Ok(match again.join(", ") {
        names if names.is_empty() => said,
        names => format!("{said}; {}", again::passed(&names)),
    })
}

fn short_demo(environment: &Environment) -> Result<String> {
    let mut short = demo::command(Profile::Dev, environment);
    short.args(["--handoffs", DEMO_HANDOFFS]);
    call_of("demo", &mut short, &format!("{DEMO_HANDOFFS} handoffs"))
}

/// The live half of the bench of conversations, for whether it works; what it takes is of no interest here.
fn short_context(environment: &Environment) -> Result<String> {
    let mut bench = demo::command(Profile::Dev, environment);
    bench
        .args(["bench-context", "--short", "--out"])
        .arg(paths::target().join("bench-short"));
    call_of("context bench", &mut bench, "2 handoffs")
}

/// Calls under each worked example, along all of its routes that are open.
fn example_demos(environment: &Environment) -> Result<String> {
    let mut said = format!("{} examples", EXAMPLES.len());
    for example in EXAMPLES {
        let mut demo = demo::command(Profile::Dev, environment);
        demo.arg("--config")
            .arg(format!("config/examples/{example}.yaml"))
            .args(["--tone-ms", EXAMPLE_TONE_MS, "--out"])
            .arg(paths::target().join("demo-examples").join(example));
        said.push_str(&call_of(example, &mut demo, "")?);
    }
    Ok(said)
}

/// A call that goes once round between the frameworks.
fn mixed_demo(environment: &Environment) -> Result<String> {
    let mut mixed = demo::mixed_command(environment)?;
    call_of(
        "mixed demo",
        mixed.args(["--handoffs", DEMO_HANDOFFS]),
        &format!("{DEMO_HANDOFFS} handoffs"),
    )
}

/// A whole call that is judged in real time.
fn call_of(name: &str, command: &mut Command, said: &str) -> Result<String> {
    let Err(error) = shown_whole(command) else {
        return Ok(said.to_owned());
    };
    println!("{error:#}; once more");
    shown_whole(command)?;
    Ok(format!("{said}; {}", again::passed(name)))
}

/// The demo's checks can fail: each of these runs must be made, and must come to what is expected of it.
fn broken_demos(environment: &Environment) -> Result<String> {
    let mut unnoticed = Vec::new();
    for (arguments, expected) in BROKEN {
        let label = arguments.join(" ");
        let out = paths::root()
            .join("target/demo-broken")
            .join(label.replace([' ', '-'], ""));
        let log = paths::logs().join("demo-broken.log");
        let mut broken = demo::command(Profile::Dev, environment);
        broken
            .args(["--handoffs", BROKEN_HANDOFFS, "--out"])
            .arg(&out)
            .args(arguments);
        let status = waited(&label, &mut broken, &log, BROKEN_LIMIT, Progress::Ticking)?;
        let report = fs::read_to_string(out.join("report.json")).unwrap_or_default();
        let heard = Heard::in_report(&report);
        println!("demo {label:<18} {status}, {heard}");
        let as_expected = match expected {
            Expected::Heard => status.code() == Some(NOT_GOOD) && heard.is_bad(),
            Expected::Unfaded => {
                status.code() == Some(NOT_GOOD)
                    && heard.leaked_ms == 0
                    && heard.most_overlap_ms <= OVERLAP_OF_A_CUT_MS
            }
            Expected::HeldAndRemoved => {
                let said = fs::read_to_string(out.join("baton.log")).unwrap_or_default();
                status.success() && said.contains(FOUND_OUT)
            }
        };
        if !as_expected {
            println!("{}", end_of(&log));
            unnoticed.push(label);
        }
    }
    if !unnoticed.is_empty() {
        bail!("not as expected: {}", unnoticed.join(", "));
    }
    Ok(format!("{} as expected", BROKEN.len()))
}

/// What the caller heard that it should not have.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    leaked_ms: u64,
    worst_silence_ms: u64,
    most_overlap_ms: u64,
    clicks: u64,
}

impl Heard {
    /// Reads the demo's report; what is not in it counts as 0.
    fn in_report(json: &str) -> Self {
        let numbers = |key: &str| -> Vec<u64> {
            let after = json.split(key).skip(1);
            let digits = after.map(|text| {
                let text = text.trim_start_matches([':', ' ']);
                text.split(|c: char| !c.is_ascii_digit())
                    .next()
                    .unwrap_or_default()
            });
            digits.filter_map(|digits| digits.parse().ok()).collect()
        };
        Self {
            leaked_ms: numbers("\"leaked_ms\"").into_iter().sum(),
            worst_silence_ms: numbers("\"silence_ms\"")
                .into_iter()
                .max()
                .unwrap_or_default(),
            most_overlap_ms: numbers("\"overlap_ms\"")
                .into_iter()
                .max()
                .unwrap_or_default(),
            clicks: numbers("\"clicks\"").into_iter().sum(),
        }
    }

    fn is_bad(&self) -> bool {
        self.leaked_ms > 0 || self.worst_silence_ms > SILENCE_MAX_MS || self.clicks > 0
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            leaked_ms,
            worst_silence_ms,
            most_overlap_ms,
            clicks,
        } = self;
        write!(
            f,
            "{leaked_ms} ms leaked, {worst_silence_ms} ms of silence at worst, {most_overlap_ms} ms of overlap at most, {clicks} clicks"
        )
    }
}

impl Suite {
    /// Runs a step, says how it ended, and whether it passed.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<String>) -> bool {
        println!("== {name}");
        let start = Instant::now();
        let ended = match work() {
            Ok(said) => Ended::Passed(said),
            Err(error) => {
                eprintln!("{error:#}");
                let text = format!("{error:#}");
                Ended::Failed(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        let step = Step {
            name,
            ended,
            elapsed: start.elapsed(),
        };
        println!("== {step}");
        let passed = matches!(step.ended, Ended::Passed(_));
        self.0.push(step);
        passed
    }

    fn skip(&mut self, name: &'static str, reason: &'static str) {
        let step = Step {
            name,
            ended: Ended::Skipped(reason),
            elapsed: Duration::ZERO,
        };
        println!("== {step}");
        self.0.push(step);
    }

    /// Shows the table.
    fn end(&self, start: Instant) -> ExitCode {
        println!("\n{self}total {}", secs(start.elapsed()));
        if self.all_passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn all_passed(&self) -> bool {
        self.0
            .iter()
            .all(|step| matches!(step.ended, Ended::Passed(_)))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            ended,
            elapsed,
        } = self;
        let (word, said) = match ended {
            Ended::Passed(said) => ("passed", said.as_str()),
            Ended::Failed(said) => ("FAILED", said.as_str()),
            Ended::Skipped(reason) => ("SKIPPED", *reason),
        };
        let line = format!("{name:<14} {word:<8} {:>12}  {said}", secs(*elapsed));
        write!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_next_and_shows_in_the_table() {
        let mut suite = Suite::default();
        assert!(!suite.step("first", || bail!("no luck\nat all")));
        assert!(suite.step("second", || Ok("3 passed".to_owned())));
        assert!(!suite.all_passed());
        let table = suite.to_string();
        assert!(table.starts_with("first          FAILED "), "{table}");
        assert!(
            table.contains("no luck\n") && table.contains("passed") && !table.contains("at all")
        );
    }

    #[test]
    fn leaks_holes_and_clicks_are_read_from_a_report() {
        let report = "{\"handoffs\": [{\"silence_ms\": 20, \"overlap_ms\": 60}, {\"silence_ms\":50, \"overlap_ms\": 40}], \"leaked_ms\": 130, \"clicks\": 2}";
        let heard = Heard::in_report(report);
        assert_eq!(
            heard,
            Heard {
                leaked_ms: 130,
                worst_silence_ms: 50,
                most_overlap_ms: 60,
                clicks: 2,
            }
        );
        assert!(heard.is_bad());
        assert!(!Heard::in_report("{\"handoffs\":[{\"silence_ms\":40}],\"leaked_ms\":0}").is_bad());
        assert!(Heard::in_report("{\"leaked_ms\": 0, \"clicks\": 1}").is_bad());
        assert!(!Heard::in_report("").is_bad());
    }

    #[test]
    fn a_skipped_step_is_no_success() {
        let mut suite = Suite::default();
        suite.step("first", || Ok(String::new()));
        assert!(suite.all_passed());
        suite.skip("second", "set-up failed");
        assert!(!suite.all_passed());
    }
}
