//! Standard input and output, and files, each at most as long as it may be.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use super::{Failure, INPUT_BYTES_MAX};

/// How a file is named in messages.
pub(super) fn shown(path: Option<&PathBuf>) -> String {
    match named(path) {
        Some(path) => format!("`{}`", path.display()),
        None => "standard input".to_owned(),
    }
}

/// The whole of a file; of standard input, if none or `-` is named.
pub(super) fn read(path: Option<&PathBuf>) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::Read {
        place: shown(path),
        source,
    };
    let from: Box<dyn Read> = match named(path) {
        Some(path) => Box::new(File::open(path).map_err(failed)?),
        None => Box::new(io::stdin().lock()),
    };
    let mut bytes = Vec::new();
    // One more than may be, to see that there is more. The limit is far below 2^63.
    from.take(INPUT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(Failure::TooLarge { place: shown(path) });
    }
    Ok(bytes)
}

/// Writes a file; standard output, if none or `-` is named.
pub(super) fn write(path: Option<&PathBuf>, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |source| Failure::Write {
        place: match named(path) {
            Some(path) => format!("`{}`", path.display()),
            None => "to standard output".to_owned(),
        },
        source,
    };
    if let Some(path) = named(path) {
        return std::fs::write(path, bytes).map_err(failed);
    }
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever closed standard output has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(failed),
    }
}

/// Says something on standard error.
pub(super) fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn named(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path)
        .filter(|path| *path != Path::new("-"))
}
