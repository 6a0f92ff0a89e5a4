//! One call: a task that joins the room, feeds the core with what happens there, and carries out what it commands.
//!
//! ```text
//!  rtc events, frames ─┐                         ┌─> effects: server API, frames, gates
//!  program reports ────┼─> call::Event ─> call ──┤
//!  effects' results ───┘       (pure)            └─> program: mixer and program track
//! ```
//!
//! The task owns everything that belongs to the call, and waits for nothing but its next event: what takes time is done
//! by tasks of its own (`program`, `outbox`, one per request to the server), which end with it.
//!
//! **Invariant**: what is decided about a call is decided in the crate `call`. Here is only how it is done.

mod conversation;
mod desk;
mod effects;
mod figures;
mod gates;
mod outbox;
mod peers;
mod program;
mod server_api;
mod task;
mod tickets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audio::{
    CodecError, Curve, FillerConfig, Playout, PlayoutConfig, SAMPLE_RATE_HZ, WatchdogConfig,
};
use call::{EndReason, Plan, SpecialistName};
use worker::{Assignment, JobSignals};

use crate::rtc::{ConnectOptions, Connection, RtcError};
use crate::telemetry::{Hash, Metrics};

use self::program::Program;

pub use self::conversation::{ContextRules, RouteContext};
pub use self::desk::{Ask, AskError, Change, ChangeKind, Changes, Desk, Post, Published};
pub use self::program::Faults;
pub use self::server_api::{ServerApi, ServerApiError};

/// The longest that joining the room may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest that publishing the program track may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// A voice within so many milliseconds of dead air shows that there was none.
const FALSE_START_MS: usize = 300;

/// What every call of a process shares; running calls keep theirs when the configuration changes.
#[derive(Debug)]
pub struct CallDeps {
    /// Who takes a call, and who may follow whom.
    pub plan: Arc<Plan>,
    /// The operator's own metadata for a specialist's dispatch.
    pub metadata: BTreeMap<SpecialistName, String>,
    /// What specialists get and may write of conversation and state.
    pub context: ContextRules,
    /// The server API.
    pub server: ServerApi,
    /// What is counted.
    pub metrics: Metrics,
    /// Where each call publishes how it stands.
    pub desk: Arc<Desk>,
    /// The shape of a crossfade.
    pub curve: Curve,
    /// Bits per second of the program track.
    pub program_bitrate_bps: u32,
    /// The silence, in milliseconds, that is dead air while somebody should speak.
    pub dead_air_ms: u32,
    /// What is heard then.
    pub filler: Option<FillerConfig>,
    /// Rings of the gate that are switched off, by tests alone.
    pub faults: Faults,
}

/// How a call could fail before there was one.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The room was closed between the offer and the assignment.
    #[error("the room is gone: it was closed before the call could begin")]
    RoomGone,
    /// The room could not be joined, or not spoken into.
    #[error("the call could not begin")]
    Rtc(#[from] RtcError),
    /// There is nothing to make sound with.
    #[error("the call could not begin")]
    Codec(#[from] CodecError),
}

/// Runs one call to its end.
///
/// # Errors
/// When the room cannot be joined or the program track not published; once it is, the call ends with an [`EndReason`].
pub async fn run(deps: Arc<CallDeps>, assignment: &Assignment) -> Result<EndReason, CallError> {
    let job = &assignment.job;
    // Joining a room that is gone would create it anew.
    match deps.server.room_lives(&job.room_name).await {
        Ok(true) => {}
        Ok(false) => return Err(CallError::RoomGone),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot tell whether the room lives, joining it"
        ),
    }
    let options = ConnectOptions {
        join_timeout: JOIN_TIMEOUT,
        publish_timeout: PUBLISH_TIMEOUT,
        program_bitrate_bps: deps.program_bitrate_bps.into(),
    };
    let connection =
        Connection::join(&assignment.url, assignment.access_token.expose(), options).await?;
    // It may have been closed since it was asked for; then this is an empty one of its name, made by our joining.
    if connection
        .room_sid()
        .is_some_and(|sid| !job.room_sid.is_empty() && sid != job.room_sid)
    {
        connection.close().await;
        return Err(CallError::RoomGone);
    }
    // Closed before it is published; whom it is opened to, the call's task says.
    connection.sender().allow_subscribers(&[].into()).await?;
    let mut playout = Playout::new(PlayoutConfig {
        bitrate_bps: deps.program_bitrate_bps,
        fills: !deps.faults.slots_unfilled,
        open: deps.faults.mixer_open,
        ..PlayoutConfig::default()
    })?;
    let samples_per_ms = (SAMPLE_RATE_HZ / 1_000) as usize;
    let watchdog = WatchdogConfig {
        silence_samples: deps.dead_air_ms as usize * samples_per_ms,
        false_start_samples: FALSE_START_MS * samples_per_ms,
    };
    let filler = deps.filler.clone().filter(|_| !deps.faults.filler_off);
    playout.guard(watchdog, filler);
    let track = connection.publish_program().await?;
    let program = Program::start(track, playout, deps.faults);
    tracing::info!(room = %Hash::of(&job.room_name), "program track published");
    let signals: JobSignals = assignment.signals.clone();
    Ok(task::Task::new(deps, connection, program, signals)
        .run()
        .await)
}
