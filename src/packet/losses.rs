//! What gets lost on the way, in a few lines for people and in full for programs.

use std::collections::BTreeMap;
use std::fmt;

use context::{LeftOut, Lost};
use serde_json::{Value, json};

/// What is lost, and what is only not in the messages.
pub(super) struct Losses {
    /// What was read and LiveKit's items cannot hold.
    lost: Vec<Lost>,
    /// What the messages that are written do not say.
    left_out: Vec<LeftOut>,
    /// Whether what they do not say is in a sidecar.
    kept: bool,
}

impl Losses {
    pub(super) fn new(lost: Vec<Lost>) -> Self {
        Self {
            lost,
            left_out: Vec::new(),
            kept: true,
        }
    }

    pub(super) fn left_out(&mut self, left_out: Vec<LeftOut>, kept: bool) {
        self.left_out = left_out;
        self.kept = kept;
    }

    pub(super) fn anything_lost(&self) -> bool {
        !self.lost.is_empty() || !(self.kept || self.left_out.is_empty())
    }

    /// All of it, one by one.
    pub(super) fn to_json(&self) -> Value {
        json!({"lost": self.lost, "left_out": self.left_out, "in_sidecar": self.kept})
    }
}

/// Counts by what it is: of a conversation of 500 messages, nobody reads 500 lines.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.left_out.is_empty() {
            let whole = self.left_out.iter().filter(|left| left.fields.is_empty());
            let fields = self.left_out.iter().flat_map(|left| &left.fields);
            let said = counted(fields.map(String::as_str), whole.count(), "item");
            match self.kept {
                true => writeln!(f, "kept in the sidecar: {said}")?,
                false => writeln!(f, "lost without `--to-sidecar`: {said}")?,
            }
        }
        if !self.lost.is_empty() {
            let whole = self.lost.iter().filter(|lost| lost.path.is_empty());
            let paths = self.lost.iter().map(|lost| lost.path.as_str());
            let paths = paths.filter(|path| !path.is_empty());
            let said = counted(paths, whole.count(), "message");
            writeln!(f, "lost, since LiveKit's items cannot hold it: {said}")?;
        }
        Ok(())
    }
}

fn counted<'a>(names: impl Iterator<Item = &'a str>, whole: usize, of: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut said: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    if whole > 0 {
        let plural = if whole == 1 { "" } else { "s" };
        said.push(format!("{whole} whole {of}{plural}"));
    }
    said.join(", ")
}
