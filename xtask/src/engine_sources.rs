//! The tests inside the `livekit` package, copied out of cargo's own copy and put onto our engine.
//!
//! The sources stay as they are published. The manifest becomes a workspace of its own with our
//! engine patched in; profiles and lockfile are the repository's, so that what both need is compiled
//! once. What is up to date is not touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::paths::{self, shown};
use crate::process::output_of;

/// The package that Baton builds on; the root manifest pins it.
pub(crate) const VERSION: &str = "0.10.0";

/// Makes or updates `target/engine-tests/livekit` and says where it is.
pub(crate) fn prepare() -> Result<PathBuf> {
    let published = published()?;
    let copy = paths::root().join("target/engine-tests/livekit");
    let read =
        |at: &Path| fs::read_to_string(at).with_context(|| format!("{} cannot be read", shown(at)));
    let root_manifest = read(&paths::root().join("Cargo.toml"))?;
    let root_lock = read(&paths::root().join("Cargo.lock"))?;
    let own_lock = fs::read_to_string(published.join("Cargo.lock")).unwrap_or_default();
    let manifest = manifest(&read(&published.join("Cargo.toml"))?, &root_manifest);
    if !copy.join("src/lib.rs").is_file() {
        copy_folder(&published, &copy).with_context(|| {
            format!(
                "{} cannot be copied to {}",
                published.display(),
                shown(&copy)
            )
        })?;
    }
    write_if_changed(&copy.join("Cargo.toml"), &manifest)?;
    // Cargo prunes the lockfile that it is given, so what it was made from is kept beside it.
    if write_if_changed(&copy.join("root-Cargo.lock"), &root_lock)? {
        let lock = copy.join("Cargo.lock");
        fs::write(&lock, merged(&root_lock, &own_lock))
            .with_context(|| format!("{} cannot be written", shown(&lock)))?;
    }
    Ok(copy)
}

/// The folder of the package in cargo's own store, wherever that is.
fn published() -> Result<PathBuf> {
    let mut metadata = Command::new(paths::cargo());
    metadata
        .args(["metadata", "--format-version", "1"])
        .current_dir(paths::root());
    let json = output_of(&mut metadata).context("cargo metadata failed")?;
    let manifest = manifest_path_in(&json)
        .with_context(|| format!("the workspace does not depend on livekit {VERSION}"))?;
    Ok(Path::new(&manifest)
        .parent()
        .context("a manifest has a folder")?
        .to_owned())
}

/// The `manifest_path` of the package in cargo's metadata. Only packages have a name followed by a
/// version, and a package's manifest is the first path of that name after it.
fn manifest_path_in(json: &str) -> Option<String> {
    let package = format!(r#"{{"name":"livekit","version":"{VERSION}""#);
    let (_, after) = json.split_once(&package)?;
    let (_, after) = after.split_once(r#""manifest_path":""#)?;
    let (path, _) = after.split_once('"')?;
    Some(path.replace(r"\\", r"\"))
}

/// The published manifest as a workspace of its own, on our engine, with our profiles. Its tests use
/// `livekit-api` with our TLS instead of its default.
fn manifest(published: &str, root_manifest: &str) -> String {
    let engine = paths::root().join("src/libwebrtc");
    let profiles = sections(root_manifest, "[profile.");
    format!(
        "{published}\n[workspace]\n\n[patch.crates-io]\nlibwebrtc = {{ path = {engine:?} }}\n\n{profiles}"
    )
}

/// The sections of a manifest whose header starts so.
fn sections(manifest: &str, header: &str) -> String {
    let mut inside = false;
    let mut taken = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with(header);
        }
        if inside {
            taken.push_str(line);
            taken.push('\n');
        }
    }
    taken
}

/// Our lockfile, and from the package's own what ours does not know: the tests' dependencies.
fn merged(ours: &str, theirs: &str) -> String {
    const ENTRY: &str = "[[package]]\n";
    let name = |entry: &str| {
        entry
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .unwrap_or_default()
            .to_owned()
    };
    let known: BTreeSet<String> = ours.split(ENTRY).skip(1).map(name).collect();
    let mut merged = ours.trim_end().to_owned();
    for entry in theirs
        .split(ENTRY)
        .skip(1)
        .filter(|entry| !known.contains(&name(entry)))
    {
        merged.push_str("\n\n");
        merged.push_str(ENTRY);
        merged.push_str(entry.trim_end());
    }
    merged.push('\n');
    merged
}

/// Whether it was written.
fn write_if_changed(at: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(at).is_ok_and(|there| there == text) {
        return Ok(false);
    }
    fs::write(at, text).with_context(|| format!("{} cannot be written", shown(at)))?;
    Ok(true)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_found_in_the_metadata() {
        let json = r#"{"packages":[{"name":"other","version":"0.10.0","dependencies":[{"name":"livekit",
            "source":"x"}],"manifest_path":"/a/other/Cargo.toml"},{"name":"livekit","version":"0.10.0",
            "targets":[],"manifest_path":"/a/livekit-0.10.0/Cargo.toml","metadata":null}]}"#;
        assert_eq!(
            manifest_path_in(json).as_deref(),
            Some("/a/livekit-0.10.0/Cargo.toml")
        );
        assert_eq!(manifest_path_in(&json.replace("0.10.0", "0.11.0")), None);
    }

    #[test]
    fn profiles_are_taken_over_and_nothing_else() {
        let root =
            "[package]\nname = 1\n[profile.dev]\ndebug = 2\n[lib]\na = 3\n[profile.x]\nb = 4\n";
        assert_eq!(
            sections(root, "[profile."),
            "[profile.dev]\ndebug = 2\n[profile.x]\nb = 4\n"
        );
    }

    #[test]
    fn a_lockfile_takes_over_only_what_it_does_not_know() {
        let ours = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1\"\n";
        let theirs = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"2\"\n\n[[package]]\nname = \"b\"\nversion = \"3\"\n";
        let merged = merged(ours, theirs);
        assert_eq!(
            merged,
            format!("{ours}\n[[package]]\nname = \"b\"\nversion = \"3\"\n")
        );
    }
}
