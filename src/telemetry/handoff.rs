//! One handoff as it went: the struct from which both its log line and its metrics come.

use std::time::Duration;

use audio::SwitchSound;
use tracing::{info, warn};

/// How a handoff went. Times are those of the call's own events, and what was heard is
/// measured from the program track itself.
#[derive(Clone, Debug, PartialEq)]
pub struct HandoffFigures {
    /// Its number within the call.
    pub handoff: u64,
    /// Who had the baton; nobody at the call's start and after a loss.
    pub from: Option<String>,
    /// To whom it was to go.
    pub to: String,
    /// Why it failed, for programs; nothing if the baton has moved.
    pub failed: Option<&'static str>,
    /// From the request until the target was ready.
    pub request_to_ready: Option<Duration>,
    /// From there until the grant: the wait for the splice point and for what else a grant rests on.
    pub ready_to_grant: Option<Duration>,
    /// From the grant until the new holder's first sounding frame.
    pub grant_to_first_frame: Option<Duration>,
    /// From the request until it was complete or had failed.
    pub whole: Duration,
    /// What the caller heard of it, if one voice gave way to another.
    pub sound: Option<SwitchSound>,
    /// How much of the caller, at most, neither the old holder has heard nor the new one; nothing if there was no old one, or
    /// the new one did not tell from when on it hears.
    pub caller_lost: Option<Duration>,
}

impl HandoffFigures {
    /// done, or the reason of the failure.
    pub fn result(&self) -> &'static str {
        self.failed.unwrap_or("done")
    }

    /// The line of the log.
    pub fn log(&self) {
        let Self {
            handoff,
            from,
            to,
            failed,
            request_to_ready,
            ready_to_grant,
            grant_to_first_frame,
            whole,
            sound,
            caller_lost,
        } = self;
        let ms = |time: &Option<Duration>| time.map(|time| time.as_millis() as u64);
        let (ready_ms, splice_ms, audible_ms) = (
            ms(request_to_ready),
            ms(ready_to_grant),
            ms(grant_to_first_frame),
        );
        let whole_ms = whole.as_millis() as u64;
        let from = from.as_deref();
        if let Some(reason) = failed {
            warn!(
                handoff,
                from, to, reason, ready_ms, splice_ms, whole_ms, "handoff failed"
            );
        } else {
            let silence_ms = sound.map(|sound| sound.silence_ms);
            let overlap_ms = sound.map(|sound| sound.overlap_ms);
            let level_step_db = sound.and_then(|sound| sound.level_step_db).map(f64::from);
            let lost_ms = sound.map(|sound| sound.lost_ms);
            let caller_lost_ms = ms(caller_lost);
            info!(
                handoff,
                from,
                to,
                ready_ms,
                splice_ms,
                audible_ms,
                silence_ms,
                overlap_ms,
                level_step_db,
                lost_ms,
                caller_lost_ms,
                whole_ms,
                "handoff done"
            );
        }
    }
}
