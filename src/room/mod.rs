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

mod attention;
mod briefing;
mod conversation;
mod desk;
mod effects;
mod facts;
mod farewell;
mod figures;
mod gates;
mod homecoming;
mod journal;
mod loudness;
mod outbox;
mod past;
mod peers;
mod program;
mod recording;
mod seats;
mod server_api;
mod sides;
mod stored;
mod summary;
mod task;
mod tickets;
mod voices;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audio::{
    Announcement, CodecError, Curve, FillerConfig, Playout, PlayoutConfig, SAMPLE_RATE_HZ,
    WatchdogConfig,
};
use call::{CallId, Clip, EndReason, Plan, SpecialistName};
use jiff::tz::TimeZone;
use livekit_token::AccessTokenError;
use store::{CallJournal, Entry};
use wire::Terms;
use worker::{Assignment, JobSignals};

use self::journal::Journal;
use self::program::Program;
use self::stored::Stored;
use self::task::Task;
use crate::clock;
use crate::lookup::Lookup;
use crate::rtc::{ConnectOptions, Connection, RtcError};
use crate::side::Beside;
use crate::telemetry::{Hash, Metrics, Traces};

pub use self::conversation::{ContextRules, RouteContext};
pub use self::desk::{
    Ask, AskError, Change, ChangeKind, Changes, Desk, Happened, Happening, Levels, Post, Published,
    Reached, Said, Steered, View, Views, Written,
};
pub use self::journal::Journals;
pub use self::loudness::VoiceLoudness;
pub use self::past::{Told, happened};
pub use self::program::Faults;
pub use self::recording::RecordingRules;
pub use self::seats::Seats;
pub use self::server_api::{Dial, RingError, ServerApi, ServerApiError};
pub use self::stored::{Opened, Rebuilt};
pub use self::summary::Summarizer;
pub use self::webhooks::{Webhooks, WebhooksError};

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
    /// How each person is rung, and what it hears.
    pub humans: BTreeMap<SpecialistName, Human>,
    /// The SIP addresses to which calls may leave.
    pub addresses: BTreeMap<SpecialistName, String>,
    /// What specialists get and may write of conversation and state.
    pub context: ContextRules,
    /// What a visitor sees that sees a call as one of the specialists.
    pub views: Arc<Views>,
    /// What asks webhooks.
    pub webhooks: Webhooks,
    /// The server API.
    pub server: ServerApi,
    /// What is counted.
    pub metrics: Metrics,
    /// Where each call's trace goes.
    pub traces: Traces,
    /// Where each call publishes how it stands.
    pub desk: Arc<Desk>,
    /// The shape of a crossfade.
    pub curve: Curve,
    /// Which voices are matched in loudness.
    pub loudness: VoiceLoudness,
    /// Bits per second of the program track.
    pub program_bitrate_bps: u32,
    /// The silence, in milliseconds, that is dead air while somebody should speak.
    pub dead_air_ms: u32,
    /// What is heard then.
    pub filler: Option<FillerConfig>,
    /// What callers hear once: those of the plan's that there is a sound for.
    pub clips: BTreeMap<Clip, Announcement>,
    /// In how many calls each specialist is.
    pub seats: Seats,
    /// Where calls are journaled, if they are.
    pub journals: Option<Journals>,
    /// What every specialist is told.
    pub terms: Terms,
    /// Where the clocks are that conditions see.
    pub time_zone: TimeZone,
    /// Who is asked about a caller before it is decided who takes its call.
    pub lookup: Option<Lookup>,
    /// What of calls is recorded, if anything.
    pub recording: Option<RecordingRules>,
    /// Rings of the gate that are switched off, by tests alone.
    pub faults: Faults,
}

/// A specialist that is a person.
#[derive(Clone, Debug)]
pub struct Human {
    /// Its keys, and what it hears before it accepts.
    pub beside: Beside,
    /// How it is rung; without, it comes by itself.
    pub dial: Option<Dial>,
    /// The address of a service that reads the summary out to it.
    pub speech: Option<String>,
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
    /// There is no token to join with.
    #[error("the call could not be joined again")]
    Token(#[from] AccessTokenError),
}

/// Runs one call to its end; one for which there is no place is turned away.
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
    let (url, access_token) = (&assignment.url, assignment.access_token.expose());
    let connection = Connection::join(url, access_token, connect_options(&deps)).await?;
    // It may have been closed since it was asked for; then this is an empty one of its name, made by our joining.
    if connection
        .room_sid()
        .is_some_and(|sid| !job.room_sid.is_empty() && sid != job.room_sid)
    {
        connection.close().await;
        return Err(CallError::RoomGone);
    }
    let program = publish(&deps, &connection).await?;
    let signals: JobSignals = assignment.signals.clone();
    let metadata = job.metadata.clone();
    let place = assignment.place;
    let task = Task::begin(deps, connection, program, signals, metadata, place);
    Ok(task.run().await)
}

/// A call of a former process that can be gone on with.
#[derive(Debug)]
pub struct LeftBehind {
    room: String,
    opened: Opened,
    rebuilt: Rebuilt,
}

impl LeftBehind {
    /// The call that was rebuilt, if `room_sid` is that of the room it was in: a room that was closed and made anew has another.
    pub fn new(room: String, room_sid: Option<String>, rebuilt: Rebuilt) -> Option<Self> {
        let room_sid = room_sid?;
        let opened = rebuilt.opened.clone()?;
        let lives = opened.room_sid.as_ref().is_none_or(|sid| *sid == room_sid);
        lives.then_some(Self {
            room,
            opened,
            rebuilt,
        })
    }
}

/// The record that ends a call in its journal.
pub fn end_entry(epoch: u64, reason: EndReason) -> Entry {
    let ended = Stored::Ended(reason);
    Entry {
        kind: ended.kind(),
        epoch,
        unix_ms: clock::unix_ms(),
        payload: ended.payload(),
    }
}

/// Goes on with a call of a former process, to its end. Joining under its identity evicts what may be left of it.
///
/// # Errors
/// When the room cannot be joined or the program track not published; the call may then be taken up again.
pub async fn resume(
    deps: Arc<CallDeps>,
    call: LeftBehind,
    journal: CallJournal,
    lease_ms: u64,
    signals: JobSignals,
) -> Result<EndReason, CallError> {
    let LeftBehind {
        room,
        opened,
        rebuilt,
    } = call;
    let id = CallId::from(journal.key().as_str());
    let mut journal = Journal::go_on(journal, lease_ms, rebuilt);
    let access_token = deps
        .server
        .join_token(&room, opened.orchestrator.as_str())?;
    let url = deps.server.url().to_owned();
    let joining = Connection::join(&url, access_token.expose(), connect_options(&deps));
    // What is done before a successor has claimed the call is done in vain, and no harm.
    let connection = tokio::select! {
        joined = joining => joined?,
        () = journal.fenced() => return Ok(EndReason::TakenOver),
    };
    let program = publish(&deps, &connection).await?;
    Ok(
        Task::resume(deps, connection, program, signals, id, journal)
            .run()
            .await,
    )
}

fn connect_options(deps: &CallDeps) -> ConnectOptions {
    ConnectOptions {
        join_timeout: JOIN_TIMEOUT,
        publish_timeout: PUBLISH_TIMEOUT,
        program_bitrate_bps: deps.program_bitrate_bps.into(),
    }
}

/// Publishes the program track, closed: whom it is opened to, the call's task says.
async fn publish(deps: &CallDeps, connection: &Connection) -> Result<Program, CallError> {
    connection.sender().allow_subscribers(&[].into()).await?;
    let mut playout = Playout::new(PlayoutConfig {
        bitrate_bps: deps.program_bitrate_bps,
        learns: deps.loudness.is_used(),
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
    tracing::info!(room = %Hash::of(&connection.room_name()), "program track published");
    Ok(program)
}
