//! Whole calls: a real LiveKit server, the real `baton`, callers as the SIP bridge presents them, specialists.
//!
//! What is heard is judged from what the caller received, by the tone of each specialist. Times are generous: a
//! machine with two cores runs two of these tests at once.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod baton;
mod caller;
mod cast;
mod context;
mod proxy;
mod redis;
mod services;
mod stage;

mod agents;
mod announce;
mod api;
mod caller_side;
mod delegation;
mod dispatch;
mod doctor;
mod drain;
mod entry;
mod failopen;
mod forms;
mod frames;
mod handoff;
mod humans;
mod journal_faults;
mod killed;
mod load;
mod operator;
mod page;
mod personal_data;
mod program;
mod reconnect;
mod recording;
mod resume;
mod rogue;
mod rollback;
mod room_gone;
mod splice;
mod start;
mod telephony;
mod tls;
mod traces;
mod transfers;
mod who_is_the_caller;

use std::time::{Duration, Instant};

/// How long anything may take that is not itself under test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hole that a busy machine makes by itself, at most, in milliseconds; what Baton could do wrong lasts for seconds. How
/// short the silence at a handoff is, the demo measures.
const HOLE_MAX_MS: u64 = 500;
/// Tones, one for each specialist and one for the caller, 10 ms windows apart.
const TRIAGE_HZ: u32 = 400;
const BILLING_HZ: u32 = 800;
const ROGUE_HZ: u32 = 1_200;
const CALLER_HZ: u32 = 2_000;
/// Level of every tone.
const TONE_DBFS: f64 = -14.0;

/// Waits until `holds`; fails the test with `what` if that takes longer than [`PATIENCE`].
#[track_caller]
fn until(what: &str, holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(PATIENCE, what, holds)
}

/// As [`until`], with a limit of its own.
#[track_caller]
fn within(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !holds() {
            assert!(
                start.elapsed() < limit,
                "{place}: {limit:?} were not enough until {what}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
