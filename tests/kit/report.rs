//! `report.json`: the figures of a run of the demo.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One measured handoff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handoff {
    /// Specialist that asked.
    pub from: String,
    /// Specialist that took over.
    pub to: String,
    /// Epoch of the grant.
    pub epoch: u64,
    /// Items of the conversation that the new one had when it took the baton, Baton's own apart; nothing if it did not say.
    pub context_items: Option<u64>,
    /// A hash of them.
    pub context_hash: Option<String>,
    /// Whether the old one had just these when it asked.
    pub context_equal: bool,
    /// When it was requested, in milliseconds of the recording.
    pub requested_at_ms: f64,
    /// From the request until the new specialist was ready.
    pub request_to_ready_ms: f64,
    /// From there until the grant: the wait for the splice point.
    pub ready_to_grant_ms: f64,
    /// From the grant until the first window in which the caller heard the new specialist.
    pub grant_to_audible_ms: f64,
    /// Windows at the change in which the caller heard nobody.
    pub silence_ms: u64,
    /// Windows at the change in which the caller heard both.
    pub overlap_ms: u64,
    /// How much louder the caller heard the new one than the old one, in dB; nothing if one was not heard alone.
    pub level_step_db: Option<f64>,
    /// Windows in the new one's part, away from any change, in which the caller heard nobody.
    pub lost_ms: u64,
    /// Speech of the caller's that neither the old one nor the new one heard; nothing if one heard too little to tell.
    pub caller_lost_ms: Option<f64>,
}

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The measured handoffs, in order.
    pub handoffs: Vec<Handoff>,
    /// Time in which somebody was heard who did not hold the baton, fades apart.
    pub leaked_ms: u64,
    /// Steps in the recording, from the first tone to the last, that the tones do not explain.
    pub clicks: u64,
    /// From the death of the holder, after the last handoff, until the caller heard the filler; nothing without such a death.
    pub death_to_filler_ms: Option<f64>,
    /// From the creation of the room until the program track was published.
    pub dispatch_to_program_track_ms: f64,
    /// From the caller's answer (its first audio subscription) until it heard the first word.
    pub answer_to_first_word_ms: f64,
    /// Resident memory of the Baton process during the call.
    pub baton_rss_mb: f64,
    /// Whether every figure is within its limit.
    pub ok: bool,
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written", path = path.display())]
pub struct ReportError {
    path: PathBuf,
    source: std::io::Error,
}

impl Report {
    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When the file cannot be written; the error names it.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let failed = |source| ReportError {
            path: path.to_owned(),
            source,
        };
        let json = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        std::fs::write(path, json + "\n").map_err(failed)
    }
}

/// The middle of `values`, the lower one of two; 0 for none.
pub fn median(values: impl IntoIterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_exactly_the_agreed_fields() -> anyhow::Result<()> {
        let handoff = Handoff {
            from: "anna".to_owned(),
            to: "ben".to_owned(),
            epoch: 2,
            context_items: Some(2),
            context_hash: Some("5f2a".to_owned()),
            context_equal: true,
            requested_at_ms: 900.0,
            request_to_ready_ms: 1.0,
            ready_to_grant_ms: 200.0,
            grant_to_audible_ms: 2.0,
            silence_ms: 0,
            overlap_ms: 40,
            level_step_db: Some(-0.1),
            lost_ms: 0,
            caller_lost_ms: Some(0.0),
        };
        let report = Report {
            handoffs: vec![handoff],
            leaked_ms: 0,
            clicks: 0,
            death_to_filler_ms: Some(900.0),
            dispatch_to_program_track_ms: 1.5,
            answer_to_first_word_ms: 2.5,
            baton_rss_mb: 20.0,
            ok: true,
        };
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("report.json");
        report.write(&path)?;
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value
                .as_object()
                .map(|object| object.keys().cloned().collect())
                .unwrap_or_default()
        };
        let mut top = keys(&json);
        top.sort();
        let expected = [
            "answer_to_first_word_ms",
            "baton_rss_mb",
            "clicks",
            "death_to_filler_ms",
            "dispatch_to_program_track_ms",
            "handoffs",
            "leaked_ms",
            "ok",
        ];
        assert_eq!(top, expected);
        let mut one = keys(&json["handoffs"][0]);
        one.sort();
        let expected = [
            "caller_lost_ms",
            "context_equal",
            "context_hash",
            "context_items",
            "epoch",
            "from",
            "grant_to_audible_ms",
            "level_step_db",
            "lost_ms",
            "overlap_ms",
            "ready_to_grant_ms",
            "request_to_ready_ms",
            "requested_at_ms",
            "silence_ms",
            "to",
        ];
        assert_eq!(one, expected);
        Ok(())
    }

    #[test]
    fn the_median_is_the_lower_middle() {
        assert_eq!(median([]), 0);
        assert_eq!(median([40]), 40);
        assert_eq!(median([30, 10]), 10);
        assert_eq!(median([30, 10, 20]), 20);
    }
}
