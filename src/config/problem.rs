//! What is wrong with a configuration, as an operator reads it: where, what, and what to write instead.

use std::fmt;

/// A place in one of the files that were read; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Index into the list of files.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mark {
    pub(super) fn place(self, files: &[String]) -> Place {
        Place {
            file: files[self.file].clone(),
            line: self.line,
            column: self.column,
        }
    }
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// Legal, but hardly meant so.
    Warning,
}

/// One thing that is wrong, at one place.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    severity: Severity,
    at: Option<Mark>,
    path: String,
    message: String,
    help: Option<String>,
    /// Where the same thing was said before.
    earlier: Option<Mark>,
}

impl Problem {
    pub(super) fn error(
        at: impl Into<Option<Mark>>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            at: at.into(),
            path: path.into(),
            message: message.into(),
            help: None,
            earlier: None,
        }
    }

    pub(super) fn warning(
        at: impl Into<Option<Mark>>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(at, path, message)
        }
    }

    /// What stands at `at` has already been given at `earlier`.
    pub(super) fn duplicate(at: Mark, path: String, earlier: Mark) -> Self {
        Self {
            earlier: Some(earlier),
            ..Self::error(at, path, "given twice")
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    fn finding(&self, files: &[String]) -> Finding {
        let Self {
            severity,
            at,
            path,
            message,
            help,
            earlier,
        } = self.clone();
        let place = |mark: Mark| mark.place(files);
        let earlier = earlier.map(|mark| format!("the first is at {}", place(mark)));
        Finding {
            severity,
            place: at.map(place),
            path,
            message,
            help: help.or(earlier),
        }
    }
}

/// One thing that is wrong, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the configuration is refused for it.
    pub severity: Severity,
    /// Where it is; none if the file could not be read at all.
    pub place: Option<Place>,
    /// The option, as `specialists.triage.agent_name`; empty if it concerns the whole file.
    pub path: String,
    /// What is wrong, naming the value and the limit.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named on the command line.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        match self.severity {
            Severity::Error => write!(f, "error: ")?,
            Severity::Warning => write!(f, "warning: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n    {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of files and lines. Its `Display` is the whole text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings, errors and warnings.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(mut problems: Vec<Problem>, files: &[String]) -> Self {
        problems.sort_by_key(|problem| problem.at);
        Self {
            findings: problems
                .iter()
                .map(|problem| problem.finding(files))
                .collect(),
        }
    }

    /// How many findings refuse the configuration.
    pub fn errors(&self) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// The one of `known` that `given` was probably meant to be.
pub(super) fn near_match<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LIKENESS_MIN: f64 = 0.6;
    let given = folded(given);
    known
        .into_iter()
        .map(|candidate| (likeness(&given, &folded(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// 1 for the same word; a forgotten unit (`fade` for `fade_ms`) counts as nearly the same.
fn likeness(given: &str, candidate: &str) -> f64 {
    let without_unit = candidate
        .rsplit_once('_')
        .map_or(candidate, |(stem, _)| stem);
    let whole = strsim::normalized_damerau_levenshtein(given, candidate);
    let stem = strsim::normalized_damerau_levenshtein(given, without_unit) - 0.05;
    whole.max(stem)
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}
