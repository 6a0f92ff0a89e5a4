//! `cargo xtask packages`: the converters and the vCon against the real packages of other frameworks, and an agent of CrewAI in a
//! live call.
//!
//! They are heavy and want versions that exclude one another, so each group has an environment of its own, made when it is
//! asked for and not at every set-up.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::process::shown_whole;
use crate::tools;
use crate::venv;

/// The folders of `tests/packages`, and the oldest minor version of Python 3 that each runs with.
const GROUPS: [(&str, u32); 4] = [
    ("livekit", 11),
    ("pipecat", 11),
    // With older ones its client of the Model Context Protocol ends a connection in another task than began it, which fails.
    ("crewai", 12),
    ("vcon", 12),
];

/// The group whose agent also takes part in a live call.
const IN_A_CALL: &str = "crewai";

/// `cargo xtask packages [--record] [GROUP ...]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let record = arguments.iter().any(|argument| argument == "--record");
    let named: Vec<&String> = arguments
        .iter()
        .filter(|argument| *argument != "--record")
        .collect();
    if let Some(unknown) = named
        .iter()
        .find(|name| GROUPS.iter().all(|(group, _)| *group != name.as_str()))
    {
        let groups = GROUPS.map(|(group, _)| group).join(", ");
        bail!("no group {unknown:?}; there are {groups}");
    }
    let convert = converter()?;
    let mut failed = Vec::new();
    let wanted = GROUPS
        .iter()
        .filter(|(group, _)| named.is_empty() || named.iter().any(|name| name.as_str() == *group));
    for (group, minor) in wanted {
        println!("== {group}");
        if let Err(error) = one(group, *minor, record, &convert) {
            eprintln!("{group}: {error:#}");
            failed.push(*group);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The program that the checks convert with.
fn converter() -> Result<PathBuf> {
    let mut build = Command::new(paths::cargo());
    build
        .args(["build", "--quiet", "--package", "context"])
        .args(["--example", "convert"])
        .current_dir(paths::root());
    shown_whole(&mut build)?;
    Ok(paths::target().join("debug/examples/convert"))
}

fn one(group: &str, minor: u32, record: bool, convert: &PathBuf) -> Result<()> {
    let python = tools::python_of((3, minor))
        .with_context(|| format!("it needs Python 3.{minor} or newer with venv"))?;
    let folder = paths::root().join("tests/packages");
    let requirements = folder.join(group).join("requirements.txt");
    let interpreter = venv::one(&python, &format!("packages-{group}"), &requirements)?;
    let script = folder.join(group).join("record.py");
    if record && script.is_file() {
        let mut command = Command::new(&interpreter);
        shown_whole(command.arg(script).arg(folder.join("recorded")))?;
    }
    let mut check = Command::new(&interpreter);
    check.arg(folder.join("check.py")).arg(group);
    // Telemetry of the packages stays off.
    let off: [(&str, OsString); 3] = [
        ("CREWAI_DISABLE_TELEMETRY", "true".into()),
        ("OTEL_SDK_DISABLED", "true".into()),
        ("LANGSMITH_TRACING", "false".into()),
    ];
    shown_whole(check.arg(convert).envs(off.clone()))?;
    if group != IN_A_CALL {
        return Ok(());
    }
    let mut call = Command::new(paths::cargo());
    call.args(["test", "--package", "baton", "--test", "calls"])
        .args([
            "--",
            "--exact",
            "agents::an_agent_of_crewai_takes_part_in_a_live_call",
        ])
        .current_dir(paths::root())
        .env("BATON_PYTHON_CREWAI", interpreter);
    shown_whole(call.envs(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_there_is_not_is_refused_by_name() {
        let error = run(&["autogen".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no group \"autogen\"; there are livekit, pipecat, crewai, vcon"
        );
    }

    #[test]
    fn every_folder_with_requirements_is_a_group() {
        let folder = paths::root().join("tests/packages");
        let folders = std::fs::read_dir(folder).unwrap();
        let mut found: Vec<String> = folders
            .map(|folder| folder.unwrap())
            .filter(|folder| folder.path().join("requirements.txt").is_file())
            .map(|folder| folder.file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut groups = GROUPS.map(|(group, _)| group.to_owned());
        groups.sort();
        assert_eq!(found, groups);
    }
}
