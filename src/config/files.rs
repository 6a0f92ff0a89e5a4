//! The files of a configuration, read and merged into one tree.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    problem::{Mark, Problem},
    yaml::{self, Entry, Value},
};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads `path`, a file or a folder; answers the names of the files and the options of all of them together.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> (Vec<String>, Vec<Entry>) {
    let files = match files_of(path) {
        Ok(files) => files,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return (Vec::new(), Vec::new());
        }
    };
    if files.is_empty() {
        let message = format!("the folder `{}` holds no *.yaml file", path.display());
        problems.push(Problem::error(None, "", message).help("subfolders are not read"));
    }
    let mut merged = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match read_text(file) {
            Ok(text) => merge(&mut merged, yaml::parse(&text, index, problems)),
            Err(error) => problems.push(unreadable(file, &error)),
        }
    }
    (
        files
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
        merged,
    )
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "yaml")
            && file.is_file()
        {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8 text"),
        )
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::error(
        None,
        "",
        format!("cannot read `{}`: {error}", path.display()),
    );
    if error.kind() == io::ErrorKind::NotFound {
        return problem.help("name the file with --config FILE or in BATON_CONFIG");
    }
    problem
}

/// Adds the options of another file. Mappings of the same name become one; anything else that is given twice stays so,
/// for the reader to report.
fn merge(into: &mut Vec<Entry>, from: Vec<Entry>) {
    for entry in from {
        let same = into
            .iter_mut()
            .find(|earlier| earlier.key == entry.key && other_file(earlier.at, entry.at));
        match same {
            Some(Entry { node, .. }) => match (&mut node.value, entry.node.value) {
                (Value::Mapping(into), Value::Mapping(from)) => merge(into, from),
                (_, value) => {
                    let node = yaml::Node {
                        at: entry.node.at,
                        value,
                    };
                    into.push(Entry { node, ..entry });
                }
            },
            None => into.push(entry),
        }
    }
}

fn other_file(a: Mark, b: Mark) -> bool {
    a.file != b.file
}
