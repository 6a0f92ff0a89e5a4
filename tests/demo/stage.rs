//! Everybody but the caller: the server, Baton, and the specialists, each a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::process::Child;
use kit::server::{LivekitServer, ServerOptions};

use crate::journal::{Entry, now_us};
use crate::{
    Arguments, BILLING, BILLING_HZ, FADE_MS, FILLER_DBFS, FILLER_HZ, ROGUE, ROGUE_HZ, TRIAGE,
    TRIAGE_HZ,
};

/// A debug build on a busy machine needs some of it.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What a worker says when the server has taken it.
const REGISTERED: &str = "registered";

/// The processes of one run; all end when it is dropped.
pub(crate) struct Stage {
    pub(crate) server: LivekitServer,
    pub(crate) baton: Child,
    pub(crate) specialists: Vec<(&'static str, Child)>,
}

/// A specialist of this run.
struct Cast {
    name: &'static str,
    partner: &'static str,
    tone_hz: u32,
    misbehaviour: &'static [&'static str],
}

/// Memory and threads of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    pub(crate) rss_mb: f64,
    pub(crate) threads: u64,
}

impl Stage {
    /// Starts everybody and waits until the workers are registered.
    ///
    /// # Errors
    /// When a program is missing, a file cannot be written, or somebody does not come up.
    pub(crate) fn set(arguments: &Arguments) -> Result<Self> {
        let out = &arguments.out;
        let config = out.join("baton.yaml");
        fs::write(&config, yaml(arguments))
            .with_context(|| format!("{} cannot be written", config.display()))?;
        let options = ServerOptions {
            port: arguments.port,
            ..ServerOptions::default()
        };
        let server = LivekitServer::start_with(options)?;
        let mut command = Command::new(beside_us("baton")?);
        command.args(["start", "--config"]).arg(&config);
        command.env("STATE_DIRECTORY", out.join("state"));
        if let Some(faults) = arguments.faults() {
            command.env("BATON_TEST_FAULTS", faults);
        }
        let baton = spawn(&server, out, "baton", &mut command)?;
        let mut stage = Self {
            server,
            baton,
            specialists: Vec::new(),
        };
        for cast in arguments.cast() {
            let mut command = Command::new(beside_us("demo")?);
            cast.arguments(&mut command, arguments);
            let child = spawn(&stage.server, out, cast.name, &mut command)?;
            stage.specialists.push((cast.name, child));
        }
        for child in stage.children() {
            child.wait_for_log(REGISTERED, START_TIMEOUT)?;
        }
        Ok(stage)
    }

    /// What a specialist has said about itself.
    pub(crate) fn journal(&self, name: &str) -> Vec<Entry> {
        let found = self.specialists.iter().find(|(other, _)| *other == name);
        found
            .map(|(_, child)| Entry::read(&child.log()))
            .unwrap_or_default()
    }

    /// # Errors
    /// When one of the processes has ended by itself; the error names it and shows its last words.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        for child in self.children() {
            if let Some(status) = child.ended()? {
                let log = child.log_path().display().to_string();
                anyhow::bail!(
                    "{log}: its process ended with {status}:\n{}",
                    child.log_tail(8)
                );
            }
        }
        Ok(())
    }

    /// Ends the specialists as a crash would, and says when, in microseconds since the Unix epoch.
    pub(crate) fn kill_specialists(&mut self) -> u64 {
        let died_us = now_us();
        for (_, child) in &mut self.specialists {
            child.kill();
        }
        died_us
    }

    /// Memory and threads of Baton now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn footprint(&self) -> Result<Footprint> {
        let path = format!("/proc/{}/status", self.baton.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let rss_kb = field("VmRSS:").context("the kernel tells no resident memory")?;
        // Those that look for the names of servers end by themselves.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.baton.pid()))
            .context("the kernel tells no threads")?;
        let stays = |task: &fs::DirEntry| {
            let name = fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name.trim() != "lookup")
        };
        let threads = tasks.flatten().filter(stays).count() as u64;
        Ok(Footprint {
            rss_mb: rss_kb as f64 / 1_024.0,
            threads,
        })
    }

    fn children(&mut self) -> impl Iterator<Item = &mut Child> {
        let specialists = self.specialists.iter_mut().map(|(_, child)| child);
        std::iter::once(&mut self.baton).chain(specialists)
    }
}

impl Cast {
    fn arguments(&self, command: &mut Command, arguments: &Arguments) {
        command
            .args(["specialist", "--name", self.name, "--partner", self.partner])
            .args(["--tone-hz", &self.tone_hz.to_string()])
            .args(["--handoffs", &arguments.handoffs.to_string()])
            .args(["--tone-ms", &arguments.tone_ms.to_string()])
            .args(["--speech-epochs", &arguments.speech_epochs().to_string()])
            .arg("--clips")
            .arg(clips())
            .args(self.misbehaviour);
    }
}

impl Arguments {
    fn cast(&self) -> Vec<Cast> {
        let part = |name, partner, tone_hz, misbehaviour| Cast {
            name,
            partner,
            tone_hz,
            misbehaviour,
        };
        // Without the second ring a specialist publishes for everybody, and else plays by the rules.
        let open: &[&str] = match self.without_ring {
            Some(2) => &["--open-to-all"],
            Some(_) | None => &[],
        };
        let mut cast = vec![
            part(TRIAGE, BILLING, TRIAGE_HZ, open),
            part(BILLING, TRIAGE, BILLING_HZ, open),
        ];
        if self.rogue {
            let all: &[&str] = &["--open-to-all", "--ungated", "--ignores-revoke"];
            cast.push(part(ROGUE, TRIAGE, ROGUE_HZ, all));
        } else if self.has_rogue() {
            // Without the first ring a specialist sounds always, behind a closed permission.
            cast.push(part(ROGUE, TRIAGE, ROGUE_HZ, &["--ungated"]));
        }
        cast
    }

    /// What Baton is told to leave out: without the third ring it plays every track it receives.
    fn faults(&self) -> Option<&'static str> {
        match self.without_ring {
            Some(3) => Some("mixer_open"),
            Some(_) | None => self.without_fade.then_some("fade_off"),
        }
    }
}

fn yaml(arguments: &Arguments) -> String {
    let rogue = if arguments.has_rogue() {
        format!("  {ROGUE}:\n    lifetime: resident\n    description: Breaks the rules\n")
    } else {
        String::new()
    };
    format!(
        "# Written by the demo.\n\
         server:\n  health_bind: 127.0.0.1:0\n  drain_grace_secs: 0\n\
         audio:\n  fade_ms: {FADE_MS}\n  dead_air_ms: 400\n\
         \x20 filler: {{sound: tone, tone_hz: {FILLER_HZ}, tone_off_ms: 0, level_dbfs: {FILLER_DBFS}}}\n\
         entry: {TRIAGE}\n\
         specialists:\n\
         \x20 {TRIAGE}:\n    after_handoff: stay\n    description: Finds out what the caller wants\n\
         \x20 {BILLING}:\n    after_handoff: stay\n    description: Invoices and payments\n\
         {rogue}\
         routes:\n\
         \x20 - from: \"*\"\n    to: \"*\"\n    splice_wait_ms: 200\n"
    )
}

/// Starts a program of this run, which finds the server in its environment and writes to `NAME.log`.
pub(crate) fn spawn(
    server: &LivekitServer,
    out: &Path,
    name: &str,
    command: &mut Command,
) -> Result<Child> {
    command
        .env("LIVEKIT_URL", server.url())
        .env("LIVEKIT_API_KEY", server.api_key())
        .env("LIVEKIT_API_SECRET", server.api_secret());
    let log = out.join(format!("{name}.log"));
    // A log of an earlier run would be read as this one's.
    fs::write(&log, "").with_context(|| format!("{} cannot be written", log.display()))?;
    Ok(Child::spawn(name, command, &log)?)
}

/// Programs are built into one folder.
pub(crate) fn beside_us(name: &str) -> Result<PathBuf> {
    let us = std::env::current_exe().context("this program does not know where it is")?;
    let path = us.with_file_name(name);
    ensure!(
        path.is_file(),
        "{} is not there: `cargo xtask demo` builds it",
        path.display()
    );
    Ok(path)
}

/// Size of the `baton` program in bytes.
///
/// # Errors
/// When it is not there.
pub(crate) fn baton_bytes() -> Result<u64> {
    Ok(fs::metadata(beside_us("baton")?)?.len())
}

fn clips() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clips")
}
