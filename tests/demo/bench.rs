//! `cargo xtask bench handoff`: the same change of voice by Baton and by what there is without it, for one kind of caller, judged
//! by one probe, in one run.
//!
//! The other sides are real packages of LiveKit's in Python: two open tracks between which the server moves the caller
//! (`UpdateSubscriptions`), and a worker of LiveKit Agents whose next job is dispatched and whose old one leaves.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kit::figures::{self, Goal, Spread};
use kit::probe::{self, Expected, Verdict, Voice};
use kit::process::Child;
use kit::server::LivekitServer;
use kit::token::JoinToken;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Line};
use crate::figures::{Call, Figures, Heard};
use crate::stage::{Stage, spawn};
use crate::{
    Arguments, BILLING, BILLING_HZ, Progress, TAIL, TONE_DBFS, TRIAGE, TRIAGE_HZ, call_of,
};

/// How long each side's voice sounds alone before the next change.
const HOLD: Duration = Duration::from_millis(600);
/// As long as a fresh process needs to be ready for the next job, so that none is started on demand.
const DISPATCH_HOLD: Duration = Duration::from_secs(3);
/// The longest that a side's program may take to be in the room.
const START_MAX: Duration = Duration::from_secs(60);
/// The interpreter with the real packages.
pub(crate) const INTERPRETER: &str = "BATON_PYTHON_LIVEKIT_AGENTS";
const SAMPLE_RATE_HZ: u32 = 48_000;
const SAMPLES_PER_WINDOW: usize = 480;

/// Goals: the worst silence at a handoff, and what may be heard out of turn.
const SILENCE_WORST_MAX_MS: f64 = 20.0;
const LEAKED_MAX_MS: u64 = 0;
/// Goals: from grant to audible, as shares of the median and the worst of a change of subscription.
const AUDIBLE_SHARE_OF_MEDIAN: f64 = 1.0 / 3.0;
const AUDIBLE_SHARE_OF_WORST: f64 = 1.0 / 10.0;

/// Arguments of the hidden command `demo bench-handoff`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Handoffs by Baton, and changes by `UpdateSubscriptions`
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..=500))]
    handoffs: u64,
    /// Changes by dispatching the next worker; each takes four seconds
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(2..=500))]
    dispatches: u64,
    /// Folder for the recordings, the logs and `handoff.json`
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

/// What one side came to.
#[derive(Serialize)]
struct Side {
    name: &'static str,
    changes: usize,
    /// Changes after which the next voice was never heard.
    missing: usize,
    silence_ms: Spread,
    overlap_ms: Spread,
    /// From the word that moves the caller to the first window in which the next voice is heard: the grant, the request to the
    /// server, the request to dispatch.
    audible_ms: Spread,
    /// From the same word to the arrival of the first packet at the caller in which the next voice is heard.
    arrived_ms: Spread,
    /// From there on: what the caller's jitter buffer and the bridge's mixer hold, which is neither side's.
    buffered_ms: Spread,
    /// Heard from who had no turn, in all.
    leaked_ms: u64,
    changes_with_silence: usize,
}

#[derive(Serialize)]
struct Report {
    sides: Vec<Side>,
    goals: Vec<Goal>,
}

/// A line of a peer's.
#[derive(Deserialize)]
struct Said {
    at_us: u64,
    event: String,
}

/// Runs all sides, and shows them beside one another.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    let out = options.out.join("handoff");
    fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let arguments = Arguments {
        config: None,
        handoffs: options.handoffs,
        tone_ms: HOLD.as_millis() as u64,
        port: None,
        out: out.clone(),
        no_comparison: true,
        rogue: false,
        without_ring: None,
        without_fade: false,
    };
    let mut stage = Stage::set(&arguments)?;
    progress.say(&format!("{} handoffs by Baton", options.handoffs));
    let call = call_of(&arguments, &mut stage, &progress).await?;
    let ours = ours(&call)?;
    drop(call);
    let Stage {
        server,
        baton,
        specialists,
    } = stage;
    // They would only cost the others time.
    drop((baton, specialists));
    progress.say(&format!(
        "{} changes by UpdateSubscriptions",
        options.handoffs
    ));
    let moved = Peer {
        server: &server,
        out: &out,
        changes: options.handoffs,
        hold: HOLD,
    };
    let moved = moved.moved().await?;
    progress.say(&format!("{} changes by dispatch", options.dispatches));
    let dispatched = Peer {
        server: &server,
        out: &out,
        changes: options.dispatches,
        hold: DISPATCH_HOLD,
    };
    let dispatched = dispatched.dispatched().await?;
    let goals = goals(&ours, &moved);
    let report = Report {
        sides: vec![ours, moved, dispatched],
        goals,
    };
    let json = options.out.join("handoff.json");
    figures::write(&json, &report)?;
    print!("{}", report.table());
    println!("{}", json.display());
    Ok(figures::exit(&report.goals))
}

fn ours(call: &Call) -> Result<Side> {
    let figures = Figures::of(call)?;
    let from_us = call.caller.us(figures.judged_from_ms);
    let came_us = call.caller.arrivals.of_changes(from_us, &call.expected())?;
    let handoffs = figures.report.handoffs.iter();
    let heard = figures.moments.iter().zip(handoffs).zip(came_us);
    let audible = heard.map(|((moments, handoff), came_us)| Audible {
        heard_ms: handoff.grant_to_audible_ms,
        arrived_ms: call.caller.ms(came_us) - moments.granted_ms,
    });
    Ok(Side::of(
        "Baton",
        &figures.verdict,
        &audible.collect::<Vec<_>>(),
    ))
}

/// How long the next voice took, from the word that moves the caller.
struct Audible {
    /// Until it was heard.
    heard_ms: f64,
    /// Until it had reached the caller.
    arrived_ms: f64,
}

/// A side that runs in Python.
struct Peer<'a> {
    server: &'a LivekitServer,
    out: &'a Path,
    changes: u64,
    hold: Duration,
}

impl Peer<'_> {
    async fn moved(&self) -> Result<Side> {
        const ROOM: &str = "bench-moved";
        let mut python = self.python("moved.py")?;
        python
            .args(["--room", ROOM, "--tones", &tones()])
            .args(["--moves", &self.changes.to_string()])
            .args(["--hold-ms", &self.hold.as_millis().to_string()]);
        let mut peer = spawn(self.server, self.out, "moved", &mut python)?;
        peer.wait_for_log("\"published\"", START_MAX)?;
        let caller = self.dial(JoinToken::sip_caller(ROOM, "+15550188")).await?;
        self.judged("UpdateSubscriptions", &caller, &mut peer, "began")
            .await
    }

    async fn dispatched(&self) -> Result<Side> {
        const ROOM: &str = "bench-dispatched";
        let mut python = self.python("dispatched.py")?;
        python
            .arg("start")
            .env("BENCH_TONES", tones())
            .env("BENCH_MOVES", self.changes.to_string())
            .env("BENCH_HOLD_MS", self.hold.as_millis().to_string());
        let mut peer = spawn(self.server, self.out, "dispatched", &mut python)?;
        peer.wait_for_log("registered worker", START_MAX)?;
        tokio::time::sleep(self.hold).await;
        let token = JoinToken::sip_caller(ROOM, "+15550177").dispatch("turn", "");
        let caller = self.dial(token).await?;
        self.judged("next worker dispatched", &caller, &mut peer, "published")
            .await
    }

    fn python(&self, script: &str) -> Result<Command> {
        let interpreter = std::env::var_os(INTERPRETER)
            .with_context(|| format!("{INTERPRETER} is not set: `cargo xtask bench` sets it"))?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut python = Command::new(interpreter);
        python
            .arg(folder.join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // What is printed by a job's process is a line of this file too.
            .env("PYTHONUNBUFFERED", "1");
        Ok(python)
    }

    async fn dial(&self, token: JoinToken) -> Result<Caller> {
        let token = self.server.join_token(&token)?;
        Caller::dial(&self.server.url(), &token, Line::Silent).await
    }

    /// Listens until the peer has finished. What is heard counts from the event `from` on.
    async fn judged(
        &self,
        name: &'static str,
        caller: &Caller,
        peer: &mut Child,
        from: &str,
    ) -> Result<Side> {
        let each = self.hold + Duration::from_secs(4);
        let deadline = Instant::now() + START_MAX + each * u32::try_from(self.changes)?;
        let said = loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let said: Vec<Said> = lines(&peer.log());
            if said.iter().any(|line| line.event == "finished") {
                break said;
            }
            if let Some(status) = peer.ended()? {
                bail!("{name} ended with {status}:\n{}", peer.log_tail(12));
            }
            if Instant::now() >= deadline {
                bail!("{name} has not finished:\n{}", peer.log_tail(12));
            }
        };
        tokio::time::sleep(TAIL).await;
        let heard = caller.ear(Heard::of);
        caller.hang_up().await;
        let began = said.iter().find(|line| line.event == from);
        let began = began.with_context(|| format!("{name} never began"))?;
        let first = (heard.ms(began.at_us) / 10.0).max(0.0) as usize;
        let first = first.min(heard.samples.len() / SAMPLES_PER_WINDOW);
        let voice = |name: &str, hz| Voice {
            name: name.to_owned(),
            hz,
        };
        let expected = Expected {
            voices: vec![voice(TRIAGE, TRIAGE_HZ), voice(BILLING, BILLING_HZ)],
            holders: (0..=self.changes as usize).map(|index| index % 2).collect(),
            fade_ms: 0,
            full_dbfs: TONE_DBFS,
        };
        let samples = &heard.samples[first * SAMPLES_PER_WINDOW..];
        let verdict = probe::judge(samples, SAMPLE_RATE_HZ, &expected)
            .with_context(|| format!("{name} cannot be judged"))?;
        let moves = said.iter().filter(|line| line.event == "moves");
        let came_us = heard.arrivals.of_changes(began.at_us, &expected)?;
        let changes = moves.zip(&verdict.changes).zip(came_us);
        let audible = changes.map(|((line, change), came_us)| {
            let moved_ms = heard.ms(line.at_us);
            Audible {
                heard_ms: (first as u64 * 10 + change.audible_at_ms) as f64 - moved_ms,
                arrived_ms: heard.ms(came_us) - moved_ms,
            }
        });
        Ok(Side::of(name, &verdict, &audible.collect::<Vec<_>>()))
    }
}

fn tones() -> String {
    format!("{TRIAGE_HZ},{BILLING_HZ}")
}

fn lines(log: &str) -> Vec<Said> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn goals(ours: &Side, moved: &Side) -> Vec<Goal> {
    let goal = Goal::at_most;
    vec![
        goal(
            "worst silence, ms",
            ours.silence_ms.worst,
            SILENCE_WORST_MAX_MS,
        ),
        goal("leaked, ms", ours.leaked_ms as f64, LEAKED_MAX_MS as f64),
        goal("changes not heard", ours.missing as f64, 0.0),
        goal(
            "audible, median: share of UpdateSubscriptions' median",
            ours.audible_ms.p50 / moved.audible_ms.p50,
            AUDIBLE_SHARE_OF_MEDIAN,
        ),
        goal(
            "audible, median: share of UpdateSubscriptions' worst",
            ours.audible_ms.p50 / moved.audible_ms.worst,
            AUDIBLE_SHARE_OF_WORST,
        ),
    ]
}

impl Side {
    fn of(name: &'static str, verdict: &Verdict, audible: &[Audible]) -> Self {
        let changes = &verdict.changes;
        let silence = |ms: u64| ms as f64;
        Self {
            name,
            changes: changes.len(),
            missing: verdict.missing.len(),
            silence_ms: Spread::of(changes.iter().map(|each| silence(each.silence_ms))),
            overlap_ms: Spread::of(changes.iter().map(|each| silence(each.overlap_ms))),
            audible_ms: Spread::of(audible.iter().map(|each| each.heard_ms)),
            arrived_ms: Spread::of(audible.iter().map(|each| each.arrived_ms)),
            buffered_ms: Spread::of(audible.iter().map(|each| each.heard_ms - each.arrived_ms)),
            leaked_ms: verdict.leaked_ms,
            changes_with_silence: changes.iter().filter(|each| each.silence_ms > 0).count(),
        }
    }
}

fn line(spread: &Spread) -> String {
    let Spread {
        p50,
        p95,
        p99,
        worst,
    } = spread;
    format!("{p50:8.1} {p95:8.1} {p99:8.1} {worst:8.1}")
}

impl Report {
    fn table(&self) -> String {
        let mut table = String::new();
        for side in &self.sides {
            let Side {
                name,
                changes,
                missing,
                silence_ms,
                overlap_ms,
                audible_ms,
                arrived_ms,
                buffered_ms,
                leaked_ms,
                changes_with_silence,
            } = side;
            let _ = writeln!(
                table,
                "\n{name}: {changes} changes, {missing} never heard, {changes_with_silence} with silence, {leaked_ms} ms heard out of turn\n\
                 \x20                        p50      p95      p99    worst\n\
                 \x20 silence, ms       {}\n\
                 \x20 both heard, ms    {}\n\
                 \x20 until audible, ms {}\n\
                 \x20   at the caller   {}\n\
                 \x20   its buffers     {}",
                line(silence_ms),
                line(overlap_ms),
                line(audible_ms),
                line(arrived_ms),
                line(buffered_ms),
            );
        }
        table.push('\n');
        if let [ours, moved, _] = &self.sides[..] {
            let _ = writeln!(
                table,
                "what reaches the caller: {:.2} of UpdateSubscriptions' median, {:.2} of its worst. Buffers that no side can shorten\n\
                 take {:.1} ms of the {:.1} ms until audible; a third of UpdateSubscriptions' median is {:.1} ms.\n",
                ours.arrived_ms.p50 / moved.arrived_ms.p50,
                ours.arrived_ms.p50 / moved.arrived_ms.worst,
                ours.buffered_ms.p50,
                ours.audible_ms.p50,
                moved.audible_ms.p50 * AUDIBLE_SHARE_OF_MEDIAN,
            );
        }
        table.push_str(&figures::lines(&self.goals));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_found_among_other_lines() {
        let log = "INFO registered worker\n{\"at_us\": 5, \"event\": \"moves\", \"number\": 1}\n";
        let said = lines(log);
        assert_eq!((said.len(), said[0].at_us), (1, 5));
        assert_eq!(said[0].event, "moves");
    }
}
