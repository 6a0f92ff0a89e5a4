//! `cargo xtask bench NAME`: figures beside a peer's, in a table and in `target/bench/NAME.json`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::demo::{self, Profile};
use crate::paths;
use crate::process::{Progress, shown_whole};
use crate::python;
use crate::setup::{self, Setup};
use crate::tools::{self, Need};
use crate::venv;

const NAMES: &str = "`admin`, `audio`, `config`, `context`, `endurance`, `engine`, `failopen`, `handoff`, `python`, `quality` and `silence`";

/// `cargo xtask bench NAME [ARGUMENTS]`; returns only if the bench could not be started.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("which bench? there are {NAMES}");
    };
    match name.as_str() {
        "admin" => admin(rest),
        "audio" => audio(rest),
        "config" => config(rest),
        "context" => context(rest),
        "endurance" => endurance(rest),
        "engine" => engine(rest),
        "failopen" => failopen(rest),
        "handoff" => handoff(rest),
        "python" => python(rest),
        "quality" => quality(rest),
        "silence" => silence(rest),
        _ => bail!("no bench {name:?}; there are {NAMES}"),
    }
}

/// What onlookers cost the calls.
fn admin(arguments: &[String]) -> Result<ExitCode> {
    tools::check(&[Need::Build])?;
    println!("building the bench, some minutes the first time");
    let mut bench = Command::new(paths::cargo());
    bench
        .args([
            "run",
            "--release",
            "--package",
            "baton",
            "--example",
            "bench_admin",
        ])
        .arg("--")
        .args(arguments)
        .current_dir(paths::root());
    Err(bench.exec()).context("cargo cannot be started")
}

/// What the way through Baton costs the sound.
fn audio(arguments: &[String]) -> Result<ExitCode> {
    tools::check(&[Need::Build, Need::Server])?;
    let setup = Setup::start(None, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let built = demo::build();
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let mut bench = demo::command(Profile::Release, &environment);
    let error = bench.arg("bench-audio").args(arguments).exec();
    Err(error).context("the bench cannot be started")
}

/// What reading a configuration and evaluating its conditions cost.
fn config(arguments: &[String]) -> Result<ExitCode> {
    tools::check(&[Need::Build])?;
    println!("building the bench, some minutes the first time");
    let mut bench = Command::new(paths::cargo());
    bench
        .args(["run", "--release", "--package", "config"])
        .args(["--example", "bench_config", "--"])
        .args(arguments)
        .current_dir(paths::root());
    Err(bench.exec()).context("cargo cannot be started")
}

/// What conversation and state cost: on a simulated line, then on a real server.
fn context(arguments: &[String]) -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let setup = Setup::start(found.python, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let built = demo::build();
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    // Optimized: its figures are what it is for.
    let mut simulated = Command::new(paths::cargo());
    simulated
        .args(["run", "--quiet", "--release", "--package", "context"])
        .args(["--example", "bench", "--"])
        .args(arguments)
        .current_dir(paths::root());
    shown_whole(&mut simulated)?;
    let mut live = demo::command(Profile::Release, &environment);
    let error = live.arg("bench-context").exec();
    Err(error).context("the bench cannot be started")
}

/// What the engine keeps of what is over, and servers that die or stand still: a test in its long form.
fn endurance(arguments: &[String]) -> Result<ExitCode> {
    let (mut rounds, mut pauses) = ("1000", "3,10,30");
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest
            .next()
            .with_context(|| format!("{option} wants a value"))?;
        match option.as_str() {
            "--rounds" => rounds = value,
            "--pauses" => pauses = value,
            _ => bail!("no option {option:?}; there are `--rounds` and `--pauses`"),
        }
    }
    tools::check(&[Need::Build, Need::Server])?;
    let (environment, ready) = Setup::start(None, Progress::Silent).finish();
    ready?;
    let error = Command::new(paths::cargo())
        .args(["test", "--quiet", "--package", "baton"])
        .args(["--test", "engine_endurance", "--", "--nocapture"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("BATON_ENDURANCE_ROUNDS", rounds)
        .env("BATON_ENDURANCE_PAUSES", pauses)
        .current_dir(paths::root())
        .exec();
    Err(error).context("cargo cannot be started")
}

/// Our engine beside LiveKit's.
fn engine(arguments: &[String]) -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let setup = Setup::start(found.python, Progress::Silent);
    println!("building the bench, some minutes the first time");
    let mut cargo = Command::new(paths::cargo());
    // Whose memory is whose is told by the names of frames, which a debug build has.
    let names = arguments.iter().any(|argument| argument == "--memory");
    let folder = if names { "debug" } else { "release" };
    cargo
        .args(["build", "--package", "engine-bench"])
        .args((!names).then_some("--release"))
        .current_dir(paths::root());
    let built = shown_whole(&mut cargo);
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let error = Command::new(paths::target().join(folder).join("engine-bench"))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(paths::root())
        .exec();
    Err(error).context("the bench cannot be started")
}

/// What a caller hears when Baton is killed, again and again: a test in its long form.
fn failopen(arguments: &[String]) -> Result<ExitCode> {
    const TEST: &str = "failopen::the_holder_is_heard_while_baton_is_dead_and_by_one_way_at_a_time";
    let (mut kills, mut out) = ("200", paths::target().join("bench/failopen.json"));
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest
            .next()
            .with_context(|| format!("{option} wants a value"))?;
        match option.as_str() {
            "--kills" => kills = value,
            "--out" => out = value.into(),
            _ => bail!("no option {option:?}; there are `--kills` and `--out`"),
        }
    }
    if !kills.parse().is_ok_and(|kills: u32| kills > 0) {
        bail!("{kills:?} is no number of kills");
    }
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut test = long_form(TEST)?;
    test.env("BATON_FAILOPEN_KILLS", kills)
        .env("BATON_FAILOPEN_OUT", std::path::absolute(&out)?);
    Err(test.exec()).context("cargo cannot be started")
}

/// What becomes of the program track while its holder says nothing for long: a test in its long form.
fn silence(arguments: &[String]) -> Result<ExitCode> {
    let secs = match arguments {
        [] => "60",
        [option, secs] if option == "--secs" => secs,
        _ => bail!("there is `--secs N` and nothing else"),
    };
    if !secs.parse().is_ok_and(|secs: u32| secs > 0) {
        bail!("{secs:?} is no number of seconds");
    }
    let mut test = long_form("forms::a_long_silence_leaves_no_hole")?;
    test.env("BATON_SILENCE_SECS", secs);
    Err(test.exec()).context("cargo cannot be started")
}

/// One of the tests of calls, ready to start, once what it needs is there.
fn long_form(test: &str) -> Result<Command> {
    tools::check(&[Need::Build, Need::Server])?;
    let (environment, ready) = Setup::start(None, Progress::Silent).finish();
    ready?;
    let mut cargo = Command::new(paths::cargo());
    cargo
        .args(["test", "--quiet", "--package", "baton", "--test", "calls"])
        .args(["--", "--exact", test, "--nocapture"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(paths::root());
    Ok(cargo)
}

/// What a caller hears at a handoff, beside LiveKit's own means.
fn handoff(arguments: &[String]) -> Result<ExitCode> {
    let found = tools::check(&[Need::Build, Need::Server, Need::Python])?;
    let setup = Setup::start(found.python, Progress::Silent);
    println!("building Baton and the demo, some minutes the first time");
    let built = demo::build();
    let (environment, ready) = setup.finish();
    built.and(ready)?;
    let mut bench = demo::command(Profile::Release, &environment);
    let error = bench.arg("bench-handoff").args(arguments).exec();
    Err(error).context("the bench cannot be started")
}

/// What the Python adapters cost beside their frameworks alone.
fn python(arguments: &[String]) -> Result<ExitCode> {
    let found = tools::check(&[Need::Python])?;
    let (environment, ready) = Setup::start(found.python, Progress::Silent).finish();
    ready?;
    let error = python::with_sdk(&environment)?
        .arg(paths::root().join("sdk/python/room_tests/bench.py"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(arguments)
        .exec();
    Err(error).context("the bench cannot be started")
}

/// What is heard over bad networks, beside LiveKit's engine. Its figures are of sound and not of speed, so that a debug build serves.
fn quality(arguments: &[String]) -> Result<ExitCode> {
    let python = tools::check(&[Need::Build, Need::Server, Need::Python])?
        .python
        .context("it needs a Python")?;
    println!("building the bench, some minutes the first time");
    let mut cargo = Command::new(paths::cargo());
    cargo
        .args(["build", "--package", "engine-bench"])
        .current_dir(paths::root());
    shown_whole(&mut cargo)?;
    let tests = paths::root().join("tests");
    let environment = |name: &str, folder: &str| {
        venv::one(&python, name, &tests.join(folder).join("requirements.txt"))
    };
    let error = Command::new(paths::target().join("debug/engine-bench"))
        .arg("quality")
        .args(arguments)
        .envs(setup::server(Progress::Silent)?)
        .env("BATON_PYTHON_INTEROP", environment("interop", "interop")?)
        .env(
            "BATON_PYTHON_QUALITY",
            environment("quality", "engine/quality")?,
        )
        .current_dir(paths::root())
        .exec();
    Err(error).context("the bench cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_that_there_is_not_is_refused_by_name() {
        let error = run(&["speed".to_owned()]).unwrap_err();
        assert!(
            error.to_string().starts_with("no bench \"speed\""),
            "{error}"
        );
        assert!(run(&[]).is_err());
    }
}
