//! The composition root: what `baton start` builds, in the order in which it is started and stopped.
//!
//! It owns no call and decides nothing about one. A panic in a call ends that call only: it runs on a task of its own, and
//! its slot frees itself.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Display,
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use audio::{Announcement, Fade, FillerConfig, Recording, Sound};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use call::{CallConfig, Clip, Plan, RouteNumber, SpecialistKind, SpecialistName};
use context::{ConversationLimits, UnixMillis};
use sha2::{Digest as _, Sha256};
use tokio::{
    runtime::{self, Runtime},
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, field::Empty, info, info_span, warn};
use wire::Terms;
use worker::{
    Assignment, Drained, JobOutcome, Secret, StatusWatch, StopSignals, WorkerConfig,
    health::{self, HealthServer},
};

use crate::{
    admin::Admin,
    clock,
    config::{
        self, Audio, Config, Connection, Filler, FillerSound, Loaded, Loudness, Question, Report,
        Sdk, SpecialistNotes, Store,
    },
    doctor, graph,
    http::{self, ApiServer, Guard},
    lookup::Lookup,
    mcp,
    packet::{self, Done, PacketCommand},
    reload,
    resume::Resumer,
    room::{
        self, CallDeps, ContextRules, Desk, Dial, Faults, Human, Journals, RecordingRules,
        RouteContext, Seats, ServerApi, Summarizer, VoiceLoudness, Webhooks,
    },
    side::{Beside, Keys},
    telemetry::{
        self, Hash, LogFormat, LogLevel, METRICS_CONTENT_TYPE, Metrics, Traces, WorkerFigures,
    },
};

/// Worker threads beside the main thread, which only waits, and the engine's own: four in all.
const WORKER_THREADS_MAX: usize = 2;
/// Threads for what blocks (DNS, files); they end when they have been idle for this long.
const BLOCKING_THREADS_MAX: usize = 2;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Names what is to be switched off, for tests, separated by commas: see [`Faults`].
const FAULTS_VARIABLE: &str = "BATON_TEST_FAULTS";
/// Holds the token of `baton mcp`.
const TOKEN_VARIABLE: &str = "BATON_TOKEN";
/// The largest file of a sound.
const SOUND_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How long calls may tidy up after their slots are free, and listeners may finish their requests.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// How a command ended; the number is the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went as it should.
    Success = 0,
    /// The configuration, or what a command reads, has errors or cannot be read.
    Configuration = 1,
    /// Wrong usage, for which clap exits with the same number: an argument names what there is not.
    Usage = 2,
    /// Baton could not start or not go on: missing credentials, a taken port, a broken listener.
    Failure = 3,
    /// Baton was stopped while calls were running, by a second signal or the end of the grace period.
    CutShort = 4,
    /// The handoff that was asked about would be refused.
    Refused = 5,
    /// A conversion that must lose nothing would have lost something.
    Lossy = 6,
    /// Something keeps calls from going as they should.
    Ill = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// `baton check`: says everything that is wrong with a configuration.
pub fn check(path: &Path) -> Exit {
    match config::load(path) {
        Ok(loaded) => {
            tell(&loaded.report);
            let call = &loaded.config.call;
            let (specialists, routes) = (call.specialists.len(), call.routes.len());
            // Whoever closed standard output does not want to know.
            let _ = writeln!(
                io::stdout(),
                "{}: no errors, {specialists} specialists, {routes} routes, entry `{}`",
                path.display(),
                call.entry,
            );
            Exit::Success
        }
        Err(report) => refuse(&report),
    }
}

/// `baton check --explain`: says which route decides over a handoff, and why.
pub fn explain(path: &Path, question: &Question) -> Exit {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return refuse(&report),
    };
    tell(&loaded.report);
    match config::explain(&loaded, question) {
        Ok(explanation) => {
            // Whoever closed standard output does not want to know.
            let _ = write!(io::stdout(), "{explanation}");
            if explanation.allowed() {
                Exit::Success
            } else {
                Exit::Refused
            }
        }
        Err(error) => {
            tell(format_args!("error: --explain: {error}\n"));
            Exit::Usage
        }
    }
}

/// `baton graph`: draws who may hand the baton to whom.
pub fn graph(path: &Path, format: graph::Format) -> Exit {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return refuse(&report),
    };
    tell(&loaded.report);
    let drawing = Plan::new(loaded.config.call)
        .map_err(anyhow::Error::from)
        .and_then(|plan| Ok(graph::draw(&plan, format)?));
    match drawing {
        Ok(drawing) => print(&drawing),
        Err(error) => {
            tell(format_args!("error: {error}\n"));
            Exit::Failure
        }
    }
}

/// `baton schema`: writes the JSON Schema of the configuration.
pub fn schema() -> Exit {
    print(&format!("{:#}\n", config::schema()))
}

/// `baton packet`: carries a conversation from one framework to another.
pub fn packet(command: &PacketCommand) -> Exit {
    match packet::run(command, UnixMillis(clock::unix_ms())) {
        Ok(Done::Well) => Exit::Success,
        Ok(Done::WouldLose) => Exit::Lossy,
        Err(failure) => {
            let exit = if failure.is_of_the_input() {
                Exit::Configuration
            } else {
                Exit::Failure
            };
            tell(format_args!("error: {:#}\n", anyhow::Error::from(failure)));
            exit
        }
    }
}

/// `baton doctor`: says why a call does not reach Baton, or a specialist.
pub fn doctor(path: &Path, room: Option<&str>) -> Exit {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return refuse(&report),
    };
    tell(&loaded.report);
    let connection = match loaded.config.server.connection(|name| env::var(name).ok()) {
        Ok(connection) => connection,
        Err(errors) => {
            for error in errors {
                tell(format_args!("error: {:#}\n", anyhow::Error::from(error)));
            }
            return Exit::Failure;
        }
    };
    choose_cryptography();
    let examined = runtime().and_then(|runtime| {
        Ok(runtime.block_on(doctor::examine(&loaded.config, &connection, room))?)
    });
    match examined {
        Ok(diagnosis) => match (print(&diagnosis.to_string()), diagnosis.is_ill()) {
            (Exit::Success, true) => Exit::Ill,
            (exit, _) => exit,
        },
        Err(error) => {
            tell(format_args!("error: {error:#}\n"));
            Exit::Failure
        }
    }
}

/// Writes a document to standard output, all of it or with an error.
fn print(document: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out
        .write_all(document.as_bytes())
        .and_then(|()| out.flush())
    {
        Ok(()) => Exit::Success,
        // Whoever closed standard output has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            tell(format_args!(
                "error: cannot write to standard output: {error}\n"
            ));
            Exit::Failure
        }
    }
}

/// `baton start`: takes calls until it is told to stop.
pub fn start(path: &Path, level: &LogLevel, format: LogFormat) -> Exit {
    // Before it is read, so that no change is missed.
    let stamp = reload::stamp_of(path);
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return refuse(&report),
    };
    let connection = match loaded.config.server.connection(|name| env::var(name).ok()) {
        Ok(connection) => connection,
        Err(errors) => {
            for error in errors {
                tell(format_args!("error: {:#}\n", anyhow::Error::from(error)));
            }
            return Exit::Failure;
        }
    };
    telemetry::set_hash_key(connection.api_secret.expose());
    choose_cryptography();
    if let Err(error) = telemetry::init(level, format) {
        tell(format_args!("error: cannot start logging: {error}\n"));
        return Exit::Failure;
    }
    for warning in &loaded.report.findings {
        warn!(%warning, "the configuration is odd");
    }
    let ended = runtime().and_then(|runtime| {
        let serving = serve((path, stamp), Arc::new(loaded.config), Arc::new(connection));
        let ended = runtime.block_on(serving);
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        error!(error = format!("{error:#}"), "cannot go on");
        Exit::Failure
    })
}

/// `baton mcp`: carries the agents' protocol between standard input and output and a running Baton.
pub fn mcp(url: &str, token_file: Option<&Path>) -> Exit {
    let token = match mcp_token(token_file) {
        Ok(token) => token,
        Err(error) => {
            tell(format_args!("error: {error:#}\n"));
            return Exit::Failure;
        }
    };
    choose_cryptography();
    let carried = runtime().and_then(|runtime| {
        let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
        let carried = runtime.block_on(mcp::bridge(input, output, url, &token));
        // A read of standard input cannot be called off.
        runtime.shutdown_background();
        Ok(carried?)
    });
    match carried {
        Ok(()) => Exit::Success,
        Err(error) => {
            tell(format_args!("error: {error:#}\n"));
            Exit::Failure
        }
    }
}

/// The token of `baton mcp`, from a file or the environment.
fn mcp_token(file: Option<&Path>) -> anyhow::Result<Secret> {
    let token = match file {
        Some(file) => fs::read_to_string(file)
            .with_context(|| format!("cannot read the token from {}", file.display()))?,
        None => env::var(TOKEN_VARIABLE)
            .with_context(|| format!("no token: give `--token-file`, or set {TOKEN_VARIABLE}"))?,
    };
    let token = token.trim().to_owned();
    anyhow::ensure!(!token.is_empty(), "the token is empty");
    Ok(Secret::new(token))
}

/// The HTTP clients have no cryptography of their own; if one is installed already, it is as good.
fn choose_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn runtime() -> anyhow::Result<Runtime> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(WORKER_THREADS_MAX))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("baton")
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// Starts every part, waits for a signal, and stops them in order: the worker takes no more calls, calls finish,
/// listeners close. A second signal ends it at once.
async fn serve(
    (path, stamp): (&Path, reload::Stamp),
    config: Arc<Config>,
    connection: Arc<Connection>,
) -> anyhow::Result<Exit> {
    let desk = Arc::new(Desk::default());
    let metrics = Metrics::default();
    let mut signals = StopSignals::install().context("cannot listen for signals")?;
    let journals = journals(&config, &connection)?;
    let traces = Traces::from_environment().context("cannot send traces")?;
    let first = call_deps(
        &config,
        &connection,
        desk.clone(),
        metrics.clone(),
        traces.clone(),
        journals.clone(),
        Seats::default(),
    )?;
    let (renew, deps) = watch::channel(Arc::new(first));
    let (worker, assignments) = worker::start(worker_config(&config, &connection))?;
    let pages = health::router(worker.watch()).merge(metrics_page(metrics, worker.watch()));
    let listener = HealthServer::bind(config.server.health_bind, pages)
        .await
        .context("cannot serve the health page (`server.health_bind`)")?;
    info!(address = %listener.address(), agent_name = connection.agent_name, url = connection.url, "started");
    let (close, drain) = (CancellationToken::new(), CancellationToken::new());
    let past = journals.as_ref().map(|journals| journals.store.clone());
    let admin = Admin::new(desk, worker.watch(), drain.clone(), past);
    let api = api(&config, &connection, admin, close.clone()).await?;
    let mut listening = tokio::spawn(listener.serve(close.clone().cancelled_owned()));
    let grace = config.server.drain_grace;
    let resumer = journals.clone().map(|journals| Resumer {
        deps: deps.clone(),
        journals,
        worker: worker.clone(),
        resume: config.store.resume,
    });
    let stop_resuming = CancellationToken::new();
    let mut resuming = JoinSet::new();
    if let Some(resumer) = resumer {
        resuming.spawn(resumer.run(stop_resuming.clone()));
    }
    let run = move |assignment| run_call(deps.borrow().clone(), assignment);
    let take = take_configuration(config.clone(), connection.clone(), renew);
    let mut following = JoinSet::new();
    following.spawn(reload::follow(path.to_owned(), stamp, reload::POLL, take));
    let mut taking = JoinSet::new();
    taking.spawn(take_calls(assignments, run));

    // Both arms are cancel-safe: a signal that is not received stays pending, and a handle can be awaited again.
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = drain.cancelled() => "drain",
        ended = &mut listening => {
            ended.context("the health page's task failed")??;
            anyhow::bail!("the health page ended by itself");
        }
    };
    info!(
        signal,
        grace_secs = grace.as_secs(),
        "stopping, calls may finish; a second signal ends it at once"
    );
    stop_resuming.cancel();
    let drained = worker.drain(grace, signals.next()).await;
    let exit = match drained {
        Drained::Finished => {
            // Calls have freed their slots, and may still be tidying up.
            let _ = timeout(CLOSE_MAX, async {
                while taking.join_next().await.is_some() {}
                while resuming.join_next().await.is_some() {}
            })
            .await;
            Exit::Success
        }
        Drained::CutShort { jobs_left } => {
            warn!(calls = jobs_left, "stopped while calls were running");
            Exit::CutShort
        }
    };
    taking.shutdown().await;
    resuming.shutdown().await;
    if let Some(Journals { store, .. }) = journals
        && let Err(error) = store.close(CLOSE_MAX).await
    {
        warn!(%error, "the journal is not complete");
    }
    // It blocks until the collector has answered.
    let sent = tokio::task::spawn_blocking(move || traces.close(CLOSE_MAX)).await;
    if let Ok(Err(error)) = sent {
        warn!(%error, "not all traces were sent");
    }
    close.cancel();
    let _ = timeout(CLOSE_MAX, listening).await;
    if let Some(api) = api {
        let _ = timeout(CLOSE_MAX, api).await;
    }
    info!("stopped");
    Ok(exit)
}

/// What a new configuration changes: all that calls need, for those that are still to come.
fn take_configuration(
    mut current: Arc<Config>,
    connection: Arc<Connection>,
    renew: watch::Sender<Arc<CallDeps>>,
) -> impl FnMut(Loaded) -> anyhow::Result<Vec<&'static str>> {
    move |loaded| {
        let (desk, metrics, traces, journals, seats) = {
            let old = renew.borrow();
            let (desk, metrics) = (old.desk.clone(), old.metrics.clone());
            let seats = old.seats.clone();
            (
                desk,
                metrics,
                old.traces.clone(),
                old.journals.clone(),
                seats,
            )
        };
        let deps = call_deps(
            &loaded.config,
            &connection,
            desk,
            metrics,
            traces,
            journals,
            seats,
        )?;
        renew.send_replace(Arc::new(deps));
        let server = loaded.config.server != current.server;
        let api = loaded.config.api != current.api;
        let store = loaded.config.store != current.store;
        current = Arc::new(loaded.config);
        let parts = [("server", server), ("api", api), ("store", store)];
        let later = parts.into_iter().filter(|(_, changed)| *changed);
        Ok(later.map(|(part, _)| part).collect())
    }
}

/// Serves the operators' interface, if the configuration says where.
async fn api(
    config: &Config,
    connection: &Connection,
    admin: Admin,
    close: CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(bind) = config.api.bind else {
        return Ok(None);
    };
    let token = config.api.token()?;
    let guard = Guard::new(&connection.api_key, &connection.api_secret, token.as_ref());
    let pages = http::router(admin, guard, close.clone());
    let server = ApiServer::bind(bind, pages)
        .await
        .context("cannot serve the operators' interface (`api.bind`)")?;
    info!(address = %server.address(), "operators' interface serves");
    Ok(Some(tokio::spawn(server.serve(close))))
}

fn worker_config(config: &Config, connection: &Connection) -> WorkerConfig {
    let Connection {
        url,
        api_key,
        api_secret,
        agent_name,
    } = connection;
    WorkerConfig {
        agent_name: agent_name.clone(),
        max_jobs: config.server.max_calls,
        overflow_jobs: config.server.busy_calls,
        ..WorkerConfig::new(url, api_key, api_secret.clone())
    }
}

/// `/metrics`, beside the health page.
fn metrics_page(metrics: Metrics, worker: StatusWatch) -> Router {
    let page = move || async move {
        let status = worker.now();
        let figures = WorkerFigures {
            active_jobs: status.active_jobs(),
            load: status.load(),
        };
        (
            [(CONTENT_TYPE, METRICS_CONTENT_TYPE)],
            metrics.text(figures),
        )
    };
    Router::new().route("/metrics", get(page))
}

/// Gives each assignment a task, until no more can come and all of them have ended.
async fn take_calls<R, C>(mut assignments: mpsc::Receiver<Assignment>, run: R)
where
    R: Fn(Assignment) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let mut calls = JoinSet::new();
    loop {
        // Both arms are cancel-safe: each receives from a queue.
        tokio::select! {
            assignment = assignments.recv() => {
                let Some(assignment) = assignment else { break };
                let room = Hash::of(&assignment.job.room_name);
                let job = &assignment.job.id;
                let span = info_span!("call", %room, job, call = Empty, trace = Empty);
                calls.spawn(run(assignment).instrument(span));
            }
            Some(ended) = calls.join_next() => note_end(ended),
        }
    }
    while let Some(ended) = calls.join_next().await {
        note_end(ended);
    }
}

/// Opens the journal of calls, in the background; what keeps it from being written is said there, and ends no call.
fn journals(config: &Config, connection: &Connection) -> anyhow::Result<Option<Journals>> {
    let store: &Store = &config.store;
    let Some(journal) = store.journal(|name| env::var(name).ok())? else {
        return Ok(None);
    };
    // No other run has this name: what it holds is told from what was left behind.
    let owner = format!("{}-{:016x}", connection.agent_name, rand::random::<u64>());
    Ok(Some(Journals {
        store: store::Journal::start(&journal, &owner)?,
        owner,
        lease_ms: store.lease_ms,
        agent: connection.agent_name.clone(),
        config_hash: config_hash(config),
    }))
}

/// Tells one set of specialists and routes from another, in the journal; it is nothing to be compared across versions.
fn config_hash(config: &Config) -> String {
    let digest = Sha256::digest(format!("{:?}", config.call));
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn route_context(route: &config::RouteContext) -> RouteContext {
    RouteContext {
        filter: route.filter(),
        summarizer: match &route.summary {
            Some(config::SummaryRule {
                webhook: Some(url), ..
            }) => Summarizer::Webhook(url.clone()),
            Some(config::SummaryRule { webhook: None, .. }) | None => Summarizer::Leaving,
        },
        tools: route.tools.clone(),
    }
}

fn call_deps(
    config: &Config,
    connection: &Connection,
    desk: Arc<Desk>,
    metrics: Metrics,
    traces: Traces,
    journals: Option<Journals>,
    seats: Seats,
) -> anyhow::Result<CallDeps> {
    let Config {
        server,
        api: _,
        call,
        notes,
        lookup,
        contexts,
        loudness,
        announcements,
        opening,
        state,
        audio,
        store: _,
        recording,
        sdk,
        time_zone,
    } = config;
    let Sdk {
        preroll_ms,
        orchestrator_timeout_ms,
        body_bytes_max,
    } = sdk;
    // `fade_ms` is in every route already.
    let Audio {
        fade_ms: _,
        curve,
        loudness: loudness_otherwise,
        program_bitrate_bps,
        dead_air_ms,
        filler,
    } = audio;
    let metadata = notes
        .iter()
        .filter_map(|(name, notes)| Some((name.clone(), notes.metadata.clone()?)));
    let humans = notes
        .iter()
        .filter_map(|(name, notes)| Some((name, notes.human.as_ref()?)))
        .map(|(name, human)| {
            Ok((
                name.clone(),
                person(name, human, call, *program_bitrate_bps)?,
            ))
        })
        .collect::<anyhow::Result<_>>()?;
    let addresses = notes
        .iter()
        .filter_map(|(name, notes)| Some((name.clone(), notes.transfer_to.clone()?)));
    let announced = announcements
        .iter()
        .enumerate()
        .filter_map(|(number, path)| {
            let option = format!("routes[{number}].announcement");
            Some((Clip::Route(RouteNumber(number)), option, path.as_ref()?))
        });
    let opening = opening
        .iter()
        .map(|path| (Clip::Opening, "answer.opening".to_owned(), path));
    let busy = server
        .busy_clip
        .iter()
        .map(|path| (Clip::Busy, "server.busy_clip".to_owned(), path));
    let clips = announced
        .chain(opening)
        .chain(busy)
        .map(|(clip, option, path)| Ok((clip, announcement(&option, path)?)))
        .collect::<anyhow::Result<_>>()?;
    let scopes = notes
        .iter()
        .map(|(name, notes)| (name.clone(), notes.scopes.clone()));
    let context = ContextRules {
        limits: ConversationLimits {
            state: state.limits,
            ..ConversationLimits::default()
        },
        schema: state.schema()?,
        routes: contexts.iter().map(route_context).collect(),
        scopes: scopes.collect(),
    };
    Ok(CallDeps {
        plan: Arc::new(Plan::new(call.clone())?),
        metadata: metadata.collect(),
        humans,
        addresses: addresses.collect(),
        views: Arc::new(context.views(call)),
        context,
        webhooks: Webhooks::new()?,
        server: ServerApi::new(
            &connection.url,
            &connection.api_key,
            connection.api_secret.expose(),
        ),
        desk,
        metrics,
        traces,
        curve: *curve,
        loudness: voice_loudness(loudness, *loudness_otherwise, notes),
        program_bitrate_bps: *program_bitrate_bps,
        dead_air_ms: *dead_air_ms,
        filler: filler_config(filler)?,
        clips,
        seats,
        journals,
        terms: Terms {
            preroll_ms: Some(*preroll_ms),
            orchestrator_timeout_ms: Some(*orchestrator_timeout_ms),
            body_bytes_max: Some(*body_bytes_max),
        },
        time_zone: time_zone.clone(),
        lookup: lookup.as_ref().map(caller_lookup).transpose()?,
        recording: recording.as_ref().map(|recording| RecordingRules {
            when: recording.when.clone(),
            path: recording.path.clone(),
        }),
        faults: faults(),
    })
}

fn voice_loudness(
    routes: &[Loudness],
    otherwise: Loudness,
    notes: &BTreeMap<SpecialistName, SpecialistNotes>,
) -> VoiceLoudness {
    let is_matched = |loudness| match loudness {
        Loudness::AsIs => false,
        Loudness::Matched => true,
    };
    let routes = routes.iter().enumerate();
    let matched = routes.filter(|(_, loudness)| is_matched(**loudness));
    let told = notes
        .iter()
        .filter_map(|(name, notes)| Some((name.clone(), notes.voice_lufs? as f32)));
    VoiceLoudness::new(
        matched.map(|(number, _)| RouteNumber(number)),
        is_matched(otherwise),
        told,
    )
}

fn caller_lookup(lookup: &config::Lookup) -> anyhow::Result<Lookup> {
    let timeout = Duration::from_millis(lookup.timeout_ms);
    Ok(Lookup::new(&lookup.url, lookup.token()?, timeout)?)
}

/// A person as it is rung; what it hears is read here, so that a file that cannot be used keeps Baton from starting.
fn person(
    name: &SpecialistName,
    human: &config::Human,
    call: &CallConfig,
    bitrate_bps: u32,
) -> anyhow::Result<Human> {
    let config::Human {
        sip,
        briefing,
        speech,
        accept,
        decline,
        hand_back,
    } = human;
    let briefing = briefing
        .as_ref()
        .map(|path| {
            let option = format!("specialists.{name}.briefing");
            let bytes = sound_file(&option, path)?;
            Recording::read(&bytes, bitrate_bps)
                .with_context(|| format!("{option}: {}", path.display()))
        })
        .transpose()?;
    let limit_ms = match call.specialists.get(name).map(|one| one.kind) {
        Some(SpecialistKind::Human { accept_timeout_ms }) => accept_timeout_ms,
        Some(SpecialistKind::Baton | SpecialistKind::LivekitAgent | SpecialistKind::Sip { .. })
        | None => 0,
    };
    Ok(Human {
        beside: Beside::Human {
            keys: Keys {
                accept: *accept,
                decline: *decline,
                hand_back: *hand_back,
            },
            briefing,
        },
        dial: sip.as_ref().map(|dial| Dial {
            trunk: dial.trunk.clone(),
            number: dial.number.clone(),
            limit: Duration::from_millis(limit_ms),
        }),
        speech: speech.clone(),
    })
}

/// The bytes of a sound that an option names.
fn sound_file(option: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let size = fs::metadata(path)
        .with_context(|| format!("{option}: {shown}"))?
        .len();
    anyhow::ensure!(
        size <= SOUND_BYTES_MAX,
        "{option}: {shown} has {size} bytes, more than {SOUND_BYTES_MAX}"
    );
    fs::read(path).with_context(|| format!("{option}: {shown}"))
}

/// A sound that is heard once; it is read here, so that one that cannot be used keeps Baton from starting.
fn announcement(option: &str, path: &Path) -> anyhow::Result<Announcement> {
    let bytes = sound_file(option, path)?;
    Announcement::read(&bytes).with_context(|| format!("{option}: {}", path.display()))
}

/// The filler as it is played; a file is read here, so that one that cannot be used keeps Baton from starting.
fn filler_config(filler: &Filler) -> anyhow::Result<Option<FillerConfig>> {
    let Filler {
        sound,
        level_dbfs,
        fade_in_ms,
        fade_out_ms,
    } = filler;
    let sound = match sound {
        FillerSound::None => return Ok(None),
        FillerSound::ComfortNoise => Sound::ComfortNoise,
        &FillerSound::Tone { hz, on_ms, off_ms } => Sound::Tone { hz, on_ms, off_ms },
        FillerSound::File(path) => {
            let bytes = sound_file("audio.filler.file", path)?;
            let shown = path.display();
            let clip = audio::Clip::read(&bytes);
            Sound::Clip(clip.with_context(|| format!("audio.filler.file: {shown}"))?)
        }
    };
    Ok(Some(FillerConfig {
        sound,
        dbfs: *level_dbfs as f32,
        fade_in: Fade::equal_power(*fade_in_ms),
        fade_out: Fade::equal_power(*fade_out_ms),
    }))
}

/// The rings that a test has switched off. Nobody else has a reason to, so it is said loudly.
fn faults() -> Faults {
    let named = env::var(FAULTS_VARIABLE).unwrap_or_default();
    let has = |name| named.split(',').any(|fault| fault.trim() == name);
    let faults = Faults {
        mixer_open: has("mixer_open"),
        intrusion_ignored: has("intrusion_ignored"),
        slots_unfilled: has("slots_unfilled"),
        filler_off: has("filler_off"),
        fade_off: has("fade_off"),
    };
    if faults != Faults::default() {
        error!(
            ?faults,
            "{FAULTS_VARIABLE} is set: callers may hear what they must not, or holes"
        );
    }
    faults
}

/// Runs one call, and frees its slot.
async fn run_call(deps: Arc<CallDeps>, assignment: Assignment) {
    let metrics = deps.metrics.clone();
    let _running = metrics.call_begun();
    let outcome = match room::run(deps, &assignment).await {
        Ok(reason) => {
            info!(%reason, "call ended");
            metrics.call_ended(reason.code());
            JobOutcome::Success
        }
        Err(error) => {
            warn!(error = &error as &dyn Error, "call failed");
            metrics.call_ended("failed");
            JobOutcome::Failed(error.to_string())
        }
    };
    assignment.slot.finish(outcome);
}

fn note_end(ended: Result<(), JoinError>) {
    // What it panicked with has been logged where it happened.
    if let Err(error) = ended
        && error.is_panic()
    {
        error!("a call failed by a panic, others go on");
    }
}

fn refuse(report: &Report) -> Exit {
    let errors = report.errors();
    let plural = if errors == 1 { "" } else { "s" };
    tell(format_args!("{report}{errors} error{plural}\n"));
    Exit::Configuration
}

/// Writes for people, on standard error; whoever closed it does not want to know.
fn tell(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}
