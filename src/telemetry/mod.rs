//! Logs, metrics and traces: what is written, in which form, and what of it is hidden.
//!
//! What is both logged and counted is one struct, which both come from.
//!
//! One line an event, on standard error, as LiveKit's own workers write theirs: JSON with `message`, `level`,
//! `name` and `timestamp`, then the fields of the event and of the spans around it (`room`, `job`, `epoch`).
//!
//! # What never happens here
//! - A [`Redacted`] value is never written by a line above DEBUG.
//! - A room's name or a caller's identity is never written but as its [`Hash`].
//! - A broken standard error never ends the process.

mod handoff;
mod hash;
mod level;
mod line;
mod metrics;
mod redacted;
mod traces;

#[cfg(test)]
mod tests;

use std::{io, panic};

use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{
    handoff::HandoffFigures,
    hash::{Hash, set_hash_key},
    level::{LogLevel, LogLevelError},
    line::{LineLayer, LogFormat},
    metrics::{METRICS_CONTENT_TYPE, Metrics, RunningCall, WorkerFigures},
    redacted::Redacted,
    traces::{CallTrace, Traces},
};

/// Starts logging to standard error, for the whole process. Panics are logged from now on, too.
///
/// # Errors
/// If logging has been started already.
pub fn init(
    level: &LogLevel,
    format: LogFormat,
) -> Result<(), tracing_subscriber::util::TryInitError> {
    let layer = LineLayer::new(format, io::stderr).with_filter(level.filter());
    tracing_subscriber::registry().with(layer).try_init()?;
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, reason, "panic");
    }));
    Ok(())
}
