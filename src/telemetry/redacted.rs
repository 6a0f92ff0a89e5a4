//! Personal data in logs.

use std::{cell::Cell, fmt};

use tracing::Level;

thread_local! {
    /// Whether the line that this thread is writing may show personal data.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// Personal data: transcripts, values of the state, phone numbers, addresses. Log lines at DEBUG and TRACE show it;
/// everything else, `format!` included, shows `[redacted]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Redacted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOWN.get() {
            self.0.fmt(f)
        } else {
            f.write_str("[redacted]")
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOWN.get() {
            self.0.fmt(f)
        } else {
            f.write_str("[redacted]")
        }
    }
}

/// Runs `write`, in which [`Redacted`] values are shown if a line of this level may show them.
pub(super) fn writing_at<T>(level: Level, write: impl FnOnce() -> T) -> T {
    let before = SHOWN.replace(level >= Level::DEBUG);
    let written = write();
    SHOWN.set(before);
    written
}
