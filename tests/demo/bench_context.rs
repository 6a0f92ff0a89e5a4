//! The live half of `cargo xtask bench context`: when the next specialist has the last of the conversation, on a real server
//! with the real Baton, for calls of three lengths; beside it the same bytes sent whole, as a byte stream of LiveKit's SDK.
//!
//! The next specialist is being prepared and has all that was said before; then the holder adds one more item, and the next one
//! is ready in the same instant. What is measured is the time from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baton_specialist::{
    Agent, Call, Grant, Preparation, Refusal, Specialist,
    items::{self, Speaks},
};
use kit::server::LivekitServer;
use kit::token::JoinToken;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::Progress;
use crate::bench::INTERPRETER;
use crate::caller::{Caller, Line};
use crate::stage::{beside_us, spawn};

const HOLDER: &str = "holder";
const NEXT: &str = "next";
/// What a call of so many minutes has said, in bytes.
const CALLS: [(&str, usize); 3] = [("1 min", 18_000), ("10 min", 80_000), ("40 min", 184_000)];
/// As long as an ordinary turn.
const ITEM_CHARS: usize = 300;
/// How long nothing is done before the last item.
const SETTLED: Duration = Duration::from_millis(500);
const STEP_MAX: Duration = Duration::from_secs(30);
/// Goal: a long call may take longer than a short one by this factor and this much, which is noise.
const NOISE_FACTOR: f64 = 1.5;
const NOISE_MS: f64 = 5.0;

/// Arguments of the hidden command `demo bench-context`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls of each length
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// One call of each of the shorter lengths, and no goal: whether it works
    #[arg(long)]
    short: bool,
    /// Folder for the logs; `context.json` in it gets the figures, beside those that are there
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

/// One length of call, medians in milliseconds.
#[derive(Debug, Serialize)]
struct Length {
    call: &'static str,
    items: usize,
    bytes: usize,
    /// From the last item, as it is written, until the next one has it.
    last_item_to_applied_ms: f64,
    /// From the same instant until the next one has the baton, with all of the conversation.
    last_item_to_granted_ms: f64,
    /// Everything, sent at the handoff as one byte stream.
    whole_ms: f64,
}

#[derive(Deserialize)]
struct Whole {
    bytes: usize,
    ms: Vec<f64>,
}

/// What a specialist tells the bench.
enum Told {
    /// It is granted.
    Granted(Call, Instant),
    /// It is to prepare, and waits for a word.
    Preparing(Call, oneshot::Sender<()>),
}

struct Part {
    told: mpsc::UnboundedSender<Told>,
    waits: bool,
}

impl Agent for Part {
    async fn prepare(&mut self, call: &Call, _: Preparation) -> Result<(), Refusal> {
        if self.waits {
            let (go, may_go) = oneshot::channel();
            if self.told.send(Told::Preparing(call.clone(), go)).is_ok() {
                // The bench may be over.
                may_go.await.ok();
            }
        }
        Ok(())
    }

    async fn granted(&mut self, call: &Call, _: Grant) {
        // The bench may be over.
        self.told
            .send(Told::Granted(call.clone(), Instant::now()))
            .ok();
    }
}

/// Measures, and shows both ways beside each other.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    let logs = options.out.join("context");
    fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
    let server = LivekitServer::start()?;
    let (calls, rounds) = match options.short {
        true => (&CALLS[..2], 1),
        false => (&CALLS[..], options.rounds),
    };
    let whole = whole(&server, &logs, calls)?;
    let config = logs.join("baton.yaml");
    fs::write(
        &config,
        format!(
            "# Written by the bench.\n\
             server:\n  health_bind: 127.0.0.1:0\n  drain_grace_secs: 0\n\
             entry: {HOLDER}\n\
             specialists:\n  {HOLDER}:\n    description: Has the call\n  {NEXT}:\n    description: Takes it over\n\
             routes:\n  - from: \"*\"\n    to: \"*\"\n    splice: now\n"
        ),
    )
    .with_context(|| format!("{} cannot be written", config.display()))?;
    let mut command = Command::new(beside_us("baton")?);
    command
        .args(["start", "--config"])
        .arg(&config)
        .env("STATE_DIRECTORY", logs.join("state"));
    let mut baton = spawn(&server, &logs, "baton", &mut command)?;
    let (told, mut tells) = mpsc::unbounded_channel();
    for (name, waits) in [(HOLDER, false), (NEXT, true)] {
        let specialist = Specialist::builder(name)
            .url(server.url())
            .api_key(server.api_key(), server.api_secret())
            .drain_grace(Duration::ZERO)
            .build()?;
        let told = told.clone();
        tokio::spawn(specialist.run(move |_| Part {
            told: told.clone(),
            waits,
        }));
    }
    baton.wait_for_log("registered", STEP_MAX)?;
    let mut lengths = Vec::new();
    for (at, &(name, bytes)) in calls.iter().enumerate() {
        progress.say(&format!("{rounds} calls of {name}"));
        let mut applied = Vec::new();
        let mut granted = Vec::new();
        let mut count = 0;
        for round in 0..rounds {
            let room = format!("bench-context-{at}-{round}");
            let token = JoinToken::sip_caller(&room, "+15550166").dispatch("baton", "");
            let token = server.join_token(&token)?;
            let caller = Caller::dial(&server.url(), &token, Line::Silent).await?;
            let measured = measured(&mut tells, bytes).await;
            caller.hang_up().await;
            let measured =
                measured.with_context(|| format!("see {}", baton.log_path().display()))?;
            applied.push(measured.applied_ms);
            granted.push(measured.granted_ms);
            count = measured.items;
        }
        let sent = whole.iter().find(|whole| whole.bytes == bytes);
        lengths.push(Length {
            call: name,
            items: count,
            bytes,
            last_item_to_applied_ms: median(applied),
            last_item_to_granted_ms: median(granted),
            whole_ms: median(
                sent.context("the other side has not measured all")?
                    .ms
                    .clone(),
            ),
        });
    }
    let json = options.out.join("context.json");
    add(&json, &lengths)?;
    println!(
        "\ncall     items    bytes   last item to applied   to granted   whole, as a byte stream"
    );
    for length in &lengths {
        let Length {
            call,
            items,
            bytes,
            last_item_to_applied_ms,
            last_item_to_granted_ms,
            whole_ms,
        } = length;
        println!(
            "{call:<8} {items:>5} {bytes:>8} {last_item_to_applied_ms:>19.1} ms {last_item_to_granted_ms:>9.1} ms {whole_ms:>22.1} ms"
        );
    }
    println!();
    if options.short {
        println!("{}", json.display());
        return Ok(ExitCode::SUCCESS);
    }
    let applied = same(
        "conversation",
        lengths.iter().map(|of| of.last_item_to_applied_ms),
    );
    let granted = same(
        "handoff",
        lengths.iter().map(|of| of.last_item_to_granted_ms),
    );
    let met = applied && granted;
    println!("{}", json.display());
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether it takes as long in long calls as in the first, the shortest, and says so.
fn same(what: &str, mut of_lengths: impl Iterator<Item = f64>) -> bool {
    let short = of_lengths.next().unwrap_or_default();
    let longest = of_lengths.fold(short, f64::max);
    let met = longest <= short * NOISE_FACTOR + NOISE_MS;
    let mark = if met { "ok" } else { "BEYOND THE GOAL" };
    let times = longest / short;
    println!("  the {what} of a longer call takes {times:.2} x that of the shortest  {mark}");
    met
}

struct Measured {
    items: usize,
    applied_ms: f64,
    granted_ms: f64,
}

/// One call, from the first grant to the second.
async fn measured(tells: &mut mpsc::UnboundedReceiver<Told>, bytes: usize) -> Result<Measured> {
    let Told::Granted(holder, _) = next(tells).await? else {
        anyhow::bail!("somebody is prepared before anybody has the baton");
    };
    let mut held = 0;
    let mut count = 0;
    while held < bytes {
        let speaks = if count % 2 == 0 {
            Speaks::Caller
        } else {
            Speaks::Specialist
        };
        let text = format!("{count:0>8} ").repeat(ITEM_CHARS / 9);
        held += text.len() + 160;
        within(
            holder
                .conversation()
                .append(items::message(&format!("i{count}"), speaks, &text)),
        )
        .await??;
        count += 1;
    }
    let asking = {
        let holder = holder.clone();
        tokio::spawn(async move { holder.handoff(NEXT, "the bench moves on").await })
    };
    let Told::Preparing(next_call, go) = next(tells).await? else {
        anyhow::bail!("somebody has the baton who was not prepared");
    };
    let before_last = format!("i{}", count - 1);
    known(&next_call, &before_last).await?;
    // What its arrival is followed by, acks above all, is over: in a call, too, much time lies between.
    tokio::time::sleep(SETTLED).await;
    let start = Instant::now();
    let applied_at = Arc::new(Mutex::new(None));
    let applying = {
        let (call, applied_at) = (next_call.clone(), applied_at.clone());
        tokio::spawn(async move {
            let known = known(&call, "last").await;
            *applied_at.lock() = Some(Instant::now());
            known
        })
    };
    let last = items::message("last", Speaks::Specialist, "I will put you through now.");
    let appending = holder.conversation().append(last);
    // It is ready in the same instant; the grant waits for the tail.
    go.send(()).ok().context("the next one is gone")?;
    within(appending).await??;
    let Told::Granted(granted, granted_at) = next(tells).await? else {
        anyhow::bail!("it is prepared twice");
    };
    // What Baton itself says of the handoff may come later.
    let said = holder.conversation().items().into_iter();
    for item in said.filter(|item| !item.id().as_str().starts_with("baton/")) {
        let there = granted.conversation().item(item.id().as_str());
        ensure!(
            there.as_ref() == Some(&item),
            "it has the baton, and {} is missing or another one",
            item.id()
        );
    }
    within(applying).await???;
    within(asking).await???;
    let applied_at = (*applied_at.lock()).context("it was not applied")?;
    let ms = |at: Instant| at.saturating_duration_since(start).as_secs_f64() * 1_000.0;
    Ok(Measured {
        items: count + 1,
        applied_ms: ms(applied_at),
        granted_ms: ms(granted_at),
    })
}

async fn next(tells: &mut mpsc::UnboundedReceiver<Told>) -> Result<Told> {
    within(tells.recv())
        .await?
        .context("the specialists are gone")
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(STEP_MAX, work)
        .await
        .context("a step of the bench took too long")
}

async fn known(call: &Call, id: &str) -> Result<()> {
    let conversation = call.conversation();
    within(async {
        while conversation.item(id).is_none() {
            conversation.changed().await;
        }
    })
    .await
}

/// The other way, in Python, for all lengths.
fn whole(
    server: &LivekitServer,
    logs: &Path,
    calls: &[(&'static str, usize)],
) -> Result<Vec<Whole>> {
    let interpreter = std::env::var_os(INTERPRETER)
        .with_context(|| format!("{INTERPRETER} is not set: `cargo xtask bench` sets it"))?;
    let sizes: Vec<String> = calls.iter().map(|(_, bytes)| bytes.to_string()).collect();
    let mut python = Command::new(interpreter);
    python
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/whole.py"))
        .arg(sizes.join(","))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = spawn(server, logs, "whole", &mut python)?;
    let status = child.wait(STEP_MAX * 2)?;
    ensure!(
        status.success(),
        "the other side failed:\n{}",
        child.log_tail(8)
    );
    let log = child.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Adds the figures to what the simulated half has left.
fn add(json: &Path, lengths: &[Length]) -> Result<()> {
    let found = fs::read(json).ok();
    let found = found.and_then(|found| serde_json::from_slice(&found).ok());
    let mut report = match found {
        Some(serde_json::Value::Object(report)) => report,
        Some(_) | None => serde_json::Map::new(),
    };
    report.insert("live".to_owned(), serde_json::to_value(lengths)?);
    fs::write(json, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("{} cannot be written", json.display()))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_added_to_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("context.json");
        fs::write(&json, "{\"appends\": 3, \"live\": 1}").expect("it is written");
        add(&json, &[]).expect("it is added");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(&json).expect("it is there")).expect("it is JSON");
        assert_eq!(report, serde_json::json!({"appends": 3, "live": []}));
    }
}
