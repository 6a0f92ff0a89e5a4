//! Building with cargo, and finding what it has built.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::Guard;

/// A program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// `test`, `bin`, `example` or `lib`.
    pub(crate) kind: String,
    /// Name of the target.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) executable: PathBuf,
}

/// Runs a cargo command that builds, with its progress shown, and returns the programs it has built.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics");
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Guard(spawned.context("cargo cannot be started")?);
    let stdout = child.0.stdout.take().expect("it was piped");
    let mut artifacts = Vec::new();
    for line in BufReader::new(stdout).lines() {
        artifacts.extend(artifact(&line?));
    }
    let status = child.0.wait()?;
    if !status.success() {
        bail!("the build failed with {status}");
    }
    Ok(artifacts)
}

/// Reads one of cargo's messages.
fn artifact(message: &str) -> Option<Artifact> {
    if !message.contains(r#""reason":"compiler-artifact""#) {
        return None;
    }
    let after = |text: &'static str| message.split_once(text).map(|(_, after)| after);
    let until_quote = |text: &str| text.split_once('"').map(|(before, _)| before.to_owned());
    let target = after(r#""target":{"kind":[""#)?;
    let kind = until_quote(target)?;
    let (_, name) = target.split_once(r#""name":""#)?;
    let executable = until_quote(after(r#""executable":""#)?)?
        .replace(r"\\", r"\")
        .into();
    Some(Artifact {
        kind,
        name: until_quote(name)?,
        executable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_from_a_message() {
        let message = r#"{"reason":"compiler-artifact","package_id":"x","manifest_path":"/a/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"room_test","src_path":"/a/t.rs"},"profile":{"test":true},"filenames":["/t/x"],"executable":"/t/room_test-1","fresh":true}"#;
        let expected = Artifact {
            kind: "test".to_owned(),
            name: "room_test".to_owned(),
            executable: "/t/room_test-1".into(),
        };
        assert_eq!(artifact(message), Some(expected));
        assert_eq!(
            artifact(&message.replace(r#""/t/room_test-1""#, "null")),
            None
        );
        assert_eq!(
            artifact(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }
}
