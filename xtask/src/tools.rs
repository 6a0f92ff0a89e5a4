//! The programs that must be there, and how to get those that are not.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::output_of;
use crate::setup;

/// As in the workspace's `rust-version`.
const RUST_MINIMUM: (u32, u32) = (1, 95);
/// From here on Go fetches the newer version that livekit-server asks for.
const GO_MINIMUM: (u32, u32) = (1, 21);
const PYTHON_MINIMUM: (u32, u32) = (3, 11);
const PYTHONS: [&str; 5] = [
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3",
];

/// What a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To build anything.
    Build,
    /// To install livekit-server, unless there is one.
    Server,
    /// To make the virtual environments.
    Python,
    /// To test the journal that is kept in Redis.
    Redis,
}

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// A Python that can make virtual environments; there if [`Need::Python`] was asked for.
    pub(crate) python: Option<PathBuf>,
}

/// Looks for all that is needed.
///
/// # Errors
/// Names everything that is missing, at once, each with the way to get it.
pub(crate) fn check(needs: &[Need]) -> Result<Found> {
    let mut missing = Vec::new();
    let mut found = Found::default();
    for need in needs {
        match need {
            Need::Build => build_tools(&mut missing),
            Need::Server if setup::server_at().is_some() => {}
            Need::Server => go(&mut missing),
            Need::Redis => redis(&mut missing),
            Need::Python => match python() {
                Some(at) => found.python = Some(at),
                None => missing.push(
                    "Python 3.11 or newer with venv: `apt-get install python3 python3-venv`, \
                     or https://www.python.org/downloads"
                        .to_owned(),
                ),
            },
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    bail!("missing on this machine:\n  - {}", missing.join("\n  - "));
}

/// The first program of this name on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|at| at.is_file())
}

fn build_tools(missing: &mut Vec<String>) {
    let rustc = output_of(Command::new("rustc").arg("--version"));
    let rust = rustc.as_deref().and_then(version_in);
    if rust.is_none_or(|version| version < RUST_MINIMUM) {
        let (major, minor) = RUST_MINIMUM;
        missing.push(format!(
            "Rust {major}.{minor} or newer{}: `rustup update stable`, or https://rustup.rs",
            instead_of(rustc.as_deref())
        ));
    }
    if output_of(Command::new("cmake").arg("--version")).is_none() {
        missing.push("cmake, which builds libopus: `apt-get install cmake`".to_owned());
    }
    let compiler = env::var_os("CC")
        .filter(|named| !named.is_empty())
        .unwrap_or("cc".into());
    if output_of(Command::new(compiler).arg("--version")).is_none() {
        missing.push("a C compiler: `apt-get install build-essential`".to_owned());
    }
}

fn go(missing: &mut Vec<String>) {
    let said = output_of(Command::new("go").arg("version"));
    if said
        .as_deref()
        .and_then(version_in)
        .is_none_or(|version| version < GO_MINIMUM)
    {
        let (major, minor) = GO_MINIMUM;
        missing.push(format!(
            "Go {major}.{minor} or newer{}, to install livekit-server: https://go.dev/dl, \
             or a livekit-server of your own on the PATH or in LIVEKIT_SERVER",
            instead_of(said.as_deref())
        ));
    }
}

fn redis(missing: &mut Vec<String>) {
    if ["redis-server", "redis-cli"]
        .iter()
        .any(|program| on_path(program).is_none())
    {
        missing.push("redis-server with redis-cli: `apt-get install redis-server`".to_owned());
    }
}

fn instead_of(said: Option<&str>) -> String {
    said.map(|said| format!(" (found: {said})"))
        .unwrap_or_default()
}

/// The first Python that is new enough and whole. Each is run: a shim of a version manager may be
/// there and not work.
fn python() -> Option<PathBuf> {
    python_of(PYTHON_MINIMUM)
}

/// The same with a minimum of one's own.
pub(crate) fn python_of(minimum: (u32, u32)) -> Option<PathBuf> {
    const PROBE: &str = "import sys, venv, ensurepip; print('Python %d.%d' % sys.version_info[:2]); \
                         print(sys.executable)";
    PYTHONS.iter().find_map(|name| {
        let said = output_of(Command::new(name).args(["-c", PROBE]))?;
        let (version, executable) = said.split_once('\n')?;
        let whole = version_in(version)? >= minimum && Path::new(executable).is_file();
        whole.then(|| executable.into())
    })
}

/// The first `MAJOR.MINOR` in a text.
fn version_in(said: &str) -> Option<(u32, u32)> {
    said.split(|c: char| c.is_whitespace() || c.is_ascii_alphabetic())
        .find_map(|word| {
            let mut parts = word.split('.');
            let major = parts.next()?.parse().ok()?;
            let minor = parts.next()?.parse().ok()?;
            Some((major, minor))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(version_in("rustc 1.95.0 (abc 2026-03-02)"), Some((1, 95)));
        assert_eq!(version_in("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(version_in("Python 3.11"), Some((3, 11)));
        assert_eq!(
            version_in("go version go1.22rc1 linux/amd64"),
            Some((1, 22))
        );
        assert_eq!(version_in("command not found"), None);
    }
}
