//! A whole call on this machine: a server, Baton, two specialists and a caller, each for real.
//!
//! First the specialists speak and hand the call there and back. Then each sounds a tone of its own
//! while it has the baton, and the recording of what the caller heard tells what every handoff was
//! like. The same caller is then moved between two open tracks by the server alone, for comparison.
//! With `--rogue` or `--without-ring` the run has to fail: it shows that the checks can.

mod arrivals;
mod bench;
mod bench_audio;
mod bench_context;
mod caller;
mod cast;
mod compare;
mod example;
mod figures;
mod journal;
mod person;
mod picture;
mod sound;
mod specialist;
mod stage;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use kit::token::JoinToken;
use kit::wav::Wav;

use crate::caller::{Caller, Line};
use crate::figures::{Call, Figures};
use crate::journal::{Entry, Event};
use crate::stage::{Stage, baton_bytes};

const TRIAGE: &str = "triage";
const BILLING: &str = "billing";
const ROGUE: &str = "rogue";
/// Tones on multiples of 100 Hz, none a harmonic of another.
const TRIAGE_HZ: u32 = 600;
const BILLING_HZ: u32 = 1_700;
const ROGUE_HZ: u32 = 2_900;
/// The filler's tone, and its level: softer than any word, so that it is told apart from one.
const FILLER_HZ: u32 = 1_000;
const FILLER_DBFS: f64 = -46.0;
/// Peak level of every tone.
const TONE_DBFS: f64 = -12.0;
/// Length of the crossfade that Baton is configured with.
const FADE_MS: u64 = 60;
/// Epochs of the spoken part: welcome, billing, back; the last one goes over into the first tone.
const SPEECH_EPOCHS: u64 = 3;
/// Handoffs of the comparison, as many as were once counted on a real phone.
const COMPARISON_SWITCHES: usize = 20;
/// The longest that the phone may ring.
const RING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the last word may take to reach the caller.
const TAIL: Duration = Duration::from_millis(1_200);
/// How long the caller is listened to after its specialists have died.
const DEAD: Duration = Duration::from_millis(2_500);
const ROOM: &str = "call-_+15550199_demo";

/// Runs a whole call on this machine and judges it by what the caller heard.
///
/// Leaves heard.wav, timeline.svg and report.json. The exit code is 0 when every figure is within its limit, 1 when one is
/// not, 2 when the run could not be made.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Arguments of a run.
#[derive(Clone, Debug, clap::Args)]
struct Arguments {
    /// Handoffs to measure
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=500))]
    handoffs: u64,
    /// How long each specialist sounds before it hands off, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_200, value_parser = clap::value_parser!(u64).range(300..=60_000))]
    tone_ms: u64,
    /// Run calls under this configuration, a file or a folder, in which each of its routes is gone once; the specialists of the
    /// file are played under their names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["handoffs", "rogue", "without_ring", "without_fade"])]
    config: Option<PathBuf>,
    /// Port of the LiveKit server; a free one by default
    #[arg(long)]
    port: Option<u16>,
    /// Folder for the recording, the picture, the report and the logs
    #[arg(long, value_name = "FOLDER", default_value = "target/demo")]
    out: PathBuf,
    /// Leave the comparison out
    #[arg(long)]
    no_comparison: bool,
    /// Add a specialist that publishes for everybody, sounds always and ignores revokes: the run has to fail
    #[arg(long)]
    rogue: bool,
    /// Switch one ring of the gate off, and no other: 1 a specialist sounds always, 2 permissions are open, 3 Baton plays every track
    #[arg(long, value_name = "1|2|3", conflicts_with = "rogue", value_parser = clap::value_parser!(u8).range(1..=3))]
    without_ring: Option<u8>,
    /// Switch the crossfade off: the run has to fail
    #[arg(long, conflicts_with_all = ["rogue", "without_ring"])]
    without_fade: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One specialist; the demo starts it itself
    #[command(hide = true)]
    Specialist(specialist::Options),
    /// Handoffs beside what there is without Baton; `cargo xtask bench handoff` starts it
    #[command(hide = true)]
    BenchHandoff(bench::Options),
    /// Delay and work of the sound's way; `cargo xtask bench audio` starts it
    #[command(hide = true)]
    BenchAudio(bench_audio::Options),
    /// When the next specialist has the conversation; `cargo xtask bench context` starts it
    #[command(hide = true)]
    BenchContext(bench_context::Options),
}

impl Arguments {
    fn misbehaves(&self) -> bool {
        self.rogue || self.without_ring.is_some() || self.without_fade
    }

    /// Whether somebody sounds always, who is not one of the two.
    fn has_rogue(&self) -> bool {
        self.rogue || self.without_ring == Some(1)
    }

    /// Where somebody sounds always, words would be taken for its tone: such a run has none.
    fn speech_epochs(&self) -> u64 {
        if self.has_rogue() { 1 } else { SPEECH_EPOCHS }
    }
}

fn main() -> ExitCode {
    let Command { arguments, part } = Command::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime.context("no runtime").and_then(|runtime| {
        runtime.block_on(async {
            match part {
                Some(Part::Specialist(options)) => {
                    let filter = "warn,worker=info,baton_specialist=info";
                    tracing_subscriber::fmt()
                        .json()
                        .with_env_filter(filter)
                        .init();
                    specialist::run(options).await.map(|()| ExitCode::SUCCESS)
                }
                Some(Part::BenchHandoff(options)) => {
                    tokio::select! {
                        code = bench::run(&options) => code,
                        _ = interrupted() => bail!("interrupted"),
                    }
                }
                Some(Part::BenchContext(options)) => {
                    tokio::select! {
                        code = bench_context::run(&options) => code,
                        _ = interrupted() => bail!("interrupted"),
                    }
                }
                Some(Part::BenchAudio(options)) => {
                    tokio::select! {
                        code = bench_audio::run(&options) => code,
                        _ = interrupted() => bail!("interrupted"),
                    }
                }
                None => {
                    tokio::select! {
                        // Dropping the run ends every child.
                        code = run(&arguments) => code,
                        _ = interrupted() => bail!("interrupted"),
                    }
                }
            }
        })
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Resolves with SIGINT or SIGTERM.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = &arguments.out;
    std::fs::create_dir_all(out)
        .with_context(|| format!("the target folder {} cannot be made", out.display()))?;
    for stale in ["heard.wav", "timeline.svg", "report.json"] {
        // What cannot be removed is written over, or fails with its name, further down.
        let _ = std::fs::remove_file(out.join(stale));
    }
    let progress = Progress::start();
    if let Some(file) = &arguments.config {
        return example::run(arguments, file).await;
    }
    progress.say("starting livekit-server, baton and the specialists");
    let mut stage = Stage::set(arguments)?;
    progress.say(&format!(
        "server at {}, workers registered; the phone rings",
        stage.server.url()
    ));
    let mut call = call_of(arguments, &mut stage, &progress).await?;
    if !arguments.no_comparison && !arguments.misbehaves() {
        progress.say("the same caller, moved by UpdateSubscriptions alone");
        let hold = Duration::from_millis(arguments.tone_ms);
        call.comparison = Some(compare::run(&stage.server, COMPARISON_SWITCHES, hold).await?);
    }
    let figures = Figures::of(&call)?;
    std::fs::write(
        out.join("timeline.svg"),
        picture::draw(&call, &figures).svg(),
    )
    .with_context(|| format!("{} cannot be written", out.join("timeline.svg").display()))?;
    figures.report.write(&out.join("report.json"))?;
    print!("{}", figures.table(&call));
    println!(
        "{0}/heard.wav  {0}/timeline.svg  {0}/report.json",
        out.display()
    );
    Ok(if figures.report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Dials, follows the call to its end, and keeps all that it left; the recording is written whatever happened.
async fn call_of(arguments: &Arguments, stage: &mut Stage, progress: &Progress) -> Result<Call> {
    let token = JoinToken::sip_caller(ROOM, "+15550199").dispatch("baton", "");
    let token = stage.server.join_token(&token)?;
    let caller = Caller::dial(&stage.server.url(), &token, Line::Sweeping).await?;
    caller
        .answered(RING_TIMEOUT)
        .await
        .with_context(|| hint(stage))?;
    progress.say("the caller has answered");
    let finished = follow(arguments, stage, progress).await;
    tokio::time::sleep(TAIL).await;
    let footprint = stage.footprint();
    let died_us = if finished.is_ok() && !arguments.misbehaves() {
        progress.say("both specialists die");
        let died_us = stage.kill_specialists();
        tokio::time::sleep(DEAD).await;
        Some(died_us)
    } else {
        None
    };
    let call = Call {
        arguments: arguments.clone(),
        caller: caller.ear(figures::Heard::of),
        dialled_us: caller.dialled_us,
        died_us,
        journals: [TRIAGE, BILLING]
            .map(|name| (name, stage.journal(name)))
            .into(),
        footprint: footprint?,
        baton_bytes: baton_bytes()?,
        comparison: None,
    };
    caller.hang_up().await;
    Wav {
        sample_rate_hz: 48_000,
        samples: call.caller.samples.clone(),
    }
    .write(&arguments.out.join("heard.wav"))?;
    finished.with_context(|| hint(stage))?;
    Ok(call)
}

/// Waits for the last tone, and tells every handoff on the way.
async fn follow(arguments: &Arguments, stage: &mut Stage, progress: &Progress) -> Result<()> {
    // Each handoff may wait for its splice point, be prepared, and be tried again.
    let each = Duration::from_millis(arguments.tone_ms + 3_000);
    let limit = Duration::from_secs(40) + each * u32::try_from(arguments.handoffs)?;
    let deadline = Instant::now() + limit;
    let mut told = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut entries: Vec<(&str, Entry)> = Vec::new();
        for name in [TRIAGE, BILLING] {
            entries.extend(stage.journal(name).into_iter().map(|entry| (name, entry)));
        }
        entries.sort_by_key(|(_, entry)| entry.at_us);
        for (name, entry) in entries.iter().skip(told) {
            match &entry.event {
                Event::Granted { epoch } => {
                    progress.say(&format!("{name} has the baton, epoch {epoch}"))
                }
                Event::Failed { why } => progress.say(&format!("{name} keeps the baton: {why}")),
                Event::Joined
                | Event::Preparing { .. }
                | Event::Ready { .. }
                | Event::Revoked
                | Event::Requested { .. }
                | Event::Knows { .. }
                | Event::Leaves { .. }
                | Event::HeardCaller { .. }
                | Event::ToneBegan { .. }
                | Event::Finished => {}
            }
        }
        told = entries.len();
        if entries
            .iter()
            .any(|(_, entry)| entry.event == Event::Finished)
        {
            return Ok(());
        }
        stage.check_alive()?;
        if Instant::now() >= deadline {
            bail!("the call was not over after {} s", limit.as_secs());
        }
    }
}

/// Where to look when nothing happens.
fn hint(stage: &Stage) -> String {
    format!(
        "see {}; it ends with\n{}",
        stage.baton.log_path().display(),
        stage.baton.log_tail(5)
    )
}

/// Lines on standard error, each with the time since the start.
struct Progress {
    start: Instant,
}

impl Progress {
    fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn say(&self, what: &str) {
        eprintln!("{:7.2} s  {what}", self.start.elapsed().as_secs_f64());
    }
}
