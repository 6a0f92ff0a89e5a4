//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("xtask is a folder of the repository")
        .to_owned()
}

/// What cargo builds into.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR").filter(|named| !named.is_empty()) {
        Some(named) => root().join(named),
        None => root().join("target"),
    }
}

/// What set-up installs; always here, so that tests find it without being told.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where logs of long steps go.
pub(crate) fn logs() -> PathBuf {
    root().join("target/logs")
}

/// A path as the reader would type it in the repository.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
