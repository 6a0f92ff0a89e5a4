//! What benches say: how figures are spread, and which goals they meet.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

/// How figures are spread, by the nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The middle.
    pub p50: f64,
    /// What 95 of a hundred do not exceed.
    pub p95: f64,
    /// What 99 of a hundred do not exceed.
    pub p99: f64,
    /// The largest.
    pub worst: f64,
}

/// A figure that should stay within a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// What it is of.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// What it should not pass.
    pub limit: f64,
    /// Whether it does not.
    pub met: bool,
}

/// A bench's figures could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written")]
pub struct FiguresError {
    path: String,
    source: std::io::Error,
}

impl Spread {
    /// Of these figures; zeroes for none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Self {
            p50: rank(0.5),
            p95: rank(0.95),
            p99: rank(0.99),
            worst: rank(1.0),
        }
    }
}

impl Goal {
    /// A figure that should be `limit` or less.
    pub fn at_most(name: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            name: name.into(),
            value,
            limit,
            met: value <= limit,
        }
    }

    /// A figure that should be `limit` or more.
    pub fn at_least(name: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            met: value >= limit,
            ..Self::at_most(name, value, limit)
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            value,
            limit,
            met,
        } = self;
        let mark = if *met { "ok" } else { "BEYOND THE GOAL" };
        write!(f, "  {name:54} {value:10.3}  (goal {limit:.3})  {mark}")
    }
}

/// A line for each goal.
pub fn lines(goals: &[Goal]) -> String {
    goals.iter().fold(String::new(), |mut text, goal| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{goal}");
        text
    })
}

/// Success if every goal is met.
pub fn exit(goals: &[Goal]) -> ExitCode {
    if goals.iter().all(|goal| goal.met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes a bench's report as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, report: &impl Serialize) -> Result<(), FiguresError> {
    let failed = |source| FiguresError {
        path: path.display().to_string(),
        source,
    };
    let json = serde_json::to_string_pretty(report).map_err(|error| failed(error.into()))?;
    std::fs::write(path, json + "\n").map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_spread_by_the_nearest_rank() {
        let Spread {
            p50,
            p95,
            p99,
            worst,
        } = Spread::of((1..=200).map(f64::from));
        assert_eq!((p50, p95, p99, worst), (100.0, 190.0, 198.0, 200.0));
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([7.0]).p50, 7.0);
    }

    #[test]
    fn a_goal_is_met_on_its_limit_and_one_that_is_not_fails_the_bench() {
        assert!(Goal::at_most("delay", 20.0, 20.0).met);
        assert!(Goal::at_least("calls", 300.0, 300.0).met);
        let missed = [
            Goal::at_most("delay", 1.0, 2.0),
            Goal::at_least("calls", 1.0, 2.0),
        ];
        assert!(missed[0].met && !missed[1].met);
        assert!(lines(&missed).contains("BEYOND THE GOAL"));
        assert_eq!(
            format!("{:?}", exit(&missed)),
            format!("{:?}", ExitCode::FAILURE)
        );
        assert_eq!(
            format!("{:?}", exit(&missed[..1])),
            format!("{:?}", ExitCode::SUCCESS)
        );
    }
}
