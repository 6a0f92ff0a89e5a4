//! The tests inside the `livekit` package, copied out of cargo's own copy and put onto our engine.
//!
//! The sources stay as they are published. The manifest becomes a workspace of its own with our
//! engine patched in; profiles, lockfile and features are the repository's, so that what both need is
//! compiled once. What is up to date is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::paths::{self, shown};
use crate::process::output_of;

/// The package that Baton builds on; the root manifest pins it.
pub(crate) const VERSION: &str = "0.10.0";

/// The features with which the tests are built; TLS is what Baton itself has.
pub(crate) const FEATURES: &str = "__lk-e2e-test,rustls-tls-native-roots";

/// How the manifest of the tests names the package of [`carrier_manifest`].
const CARRIER: &str = "[dev-dependencies.carrier]\npath = \"carrier\"\n";

/// Makes or updates the copy below `target/` and says where it is.
pub(crate) fn prepare() -> Result<PathBuf> {
    let published = published()?;
    let folder = format!("target/engine-tests/livekit-{VERSION}");
    let copy = paths::root().join(folder);
    if !copy.join("src/lib.rs").is_file() {
        copy_folder(&published, &copy).with_context(|| {
            format!(
                "{} cannot be copied to {}",
                published.display(),
                shown(&copy)
            )
        })?;
    }
    let root_manifest = read(&paths::root().join("Cargo.toml"))?;
    let root_lock = read(&paths::root().join("Cargo.lock"))?;
    let plain = manifest(&read(&published.join("Cargo.toml"))?, &root_manifest);
    let ours = tree(&paths::root(), &["--workspace"])?;
    // What the copy was made from is kept beside it: cargo prunes the lockfile that it is given, and
    // a manifest that is written anew has cargo look at everything again.
    let made_from = format!("{plain}\n{ours}\n{root_lock}");
    let stamp = copy.join("made-from.txt");
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_from) {
        return Ok(copy);
    }
    let own_lock = fs::read_to_string(published.join("Cargo.lock")).unwrap_or_default();
    write(&copy.join("Cargo.lock"), &merged(&root_lock, &own_lock))?;
    write(&copy.join("Cargo.toml"), &plain)?;
    let theirs = tree(&copy, &["--features", FEATURES])?;
    let carrier = copy.join("carrier");
    fs::create_dir_all(&carrier).with_context(|| format!("{} cannot be made", shown(&carrier)))?;
    write(&carrier.join("lib.rs"), "")?;
    write(
        &carrier.join("Cargo.toml"),
        &carrier_manifest(&ours, &theirs),
    )?;
    write(&copy.join("Cargo.toml"), &format!("{plain}\n{CARRIER}"))?;
    write(&stamp, &made_from)?;
    Ok(copy)
}

fn read(at: &Path) -> Result<String> {
    fs::read_to_string(at).with_context(|| format!("{} cannot be read", shown(at)))
}

fn write(at: &Path, text: &str) -> Result<()> {
    fs::write(at, text).with_context(|| format!("{} cannot be written", shown(at)))
}

/// Every package below a workspace with the features it is built with, a line each.
fn tree(workspace: &Path, options: &[&str]) -> Result<String> {
    let mut tree = Command::new(paths::cargo());
    tree.args([
        "tree",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--no-dedupe",
    ]);
    tree.args(["--format", "{p} [{f}]"])
        .args(options)
        .current_dir(workspace);
    let said = output_of(&mut tree)
        .with_context(|| format!("cargo tree failed in {}", shown(workspace)))?;
    let lines: BTreeSet<&str> = said.lines().collect();
    Ok(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

/// A package that does nothing but switch on the features with which the workspace builds what both
/// need: cargo compiles a package once for every set of features.
fn carrier_manifest(ours: &str, theirs: &str) -> String {
    let ours = features_by_package(ours);
    let theirs = features_by_package(theirs);
    let mut manifest = "[package]\nname = \"carrier\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
                        [lib]\npath = \"lib.rs\"\n"
        .to_owned();
    for (index, (package, sets)) in theirs.iter().enumerate() {
        // Packages are listed twice if build scripts use them with other features.
        let wanted = ours
            .get(package)
            .and_then(|sets| sets.iter().max_by_key(|set| set.len()));
        let Some(wanted) = wanted else { continue };
        if sets.iter().any(|set| wanted.is_subset(set)) {
            continue;
        }
        let (name, version) = package;
        let features: Vec<&str> = wanted.iter().copied().collect();
        manifest.push_str(&format!(
            "\n[dependencies.carried-{index}]\npackage = {name:?}\nversion = \"={version}\"\n\
             default-features = false\nfeatures = {features:?}\n"
        ));
    }
    manifest
}

type Features<'a> = BTreeMap<(&'a str, &'a str), Vec<BTreeSet<&'a str>>>;

/// Reads lines like `serde v1.0.229 [default,std]`; packages of a folder have none of their features
/// to share and are left out.
fn features_by_package(tree: &str) -> Features<'_> {
    let mut packages = Features::new();
    for line in tree.lines() {
        let Some((package, features)) = line.split_once(" [") else {
            continue;
        };
        let Some((features, _)) = features.split_once(']') else {
            continue;
        };
        let Some((name, version)) = package.split_once(" v") else {
            continue;
        };
        let version = version.trim_end_matches(" (proc-macro)");
        if version.contains(' ') {
            continue;
        }
        let features = features
            .split(',')
            .filter(|feature| !feature.is_empty())
            .collect();
        packages.entry((name, version)).or_default().push(features);
    }
    packages
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

/// The published manifest as a workspace of its own, on our engine, with our profiles.
fn manifest(published: &str, root_manifest: &str) -> String {
    let engine = paths::root().join("src/libwebrtc");
    let profiles = sections(root_manifest, "[profile.");
    format!(
        "{published}\n[lints.rust]\nwarnings = \"allow\"\n\n[workspace]\n\n[patch.crates-io]\nlibwebrtc = {{ path = {engine:?} }}\n\n{profiles}"
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
    fn features_that_the_workspace_has_and_the_tests_lack_are_carried_over() {
        let ours = "a v1.0.0 [std,x]\na v1.0.0 [std]\nb v2.0.0 []\nc v3.0.0 [y]\nd v1.0.0 (/elsewhere/d) [z]";
        let theirs = "a v1.0.0 [std]\nb v2.0.0 [more]\nc v3.1.0 []\nd v1.0.0 (/elsewhere/d) []";
        let manifest = carrier_manifest(ours, theirs);
        let expected = "\n[dependencies.carried-0]\npackage = \"a\"\nversion = \"=1.0.0\"\n\
            default-features = false\nfeatures = [\"std\", \"x\"]\n";
        assert!(
            manifest.ends_with(&format!("[lib]\npath = \"lib.rs\"\n{expected}")),
            "{manifest}"
        );
        assert!(carrier_manifest(ours, ours).ends_with("[lib]\npath = \"lib.rs\"\n"));
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
