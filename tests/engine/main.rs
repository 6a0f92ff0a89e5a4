//! `cargo xtask bench engine`: this engine beside LiveKit's C++ engine, on one real server, in one run.
//!
//! Each measurement is a process of its own, on the SDK as it is published: Rust's on our engine, Python's on the C++ one. What an
//! interpreter costs is not counted, since memory per room is the slope between one room and many.

mod bare;
mod cost;
mod ear;
mod memory;
mod part;
mod pattern;
mod quality;
mod relay;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use kit::figures::{self, Goal, Spread};
use kit::process::Child;
use kit::server::{LivekitServer, ServerOptions};
use kit::stun::StunServer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::cost::{Cost, Thread};
use crate::memory::{Memory, Remembering};
use crate::part::{Messages, Reconnects, Rooms, Server, Voice};
use crate::usage::Used;

/// The interpreter with the real package.
const INTERPRETER: &str = "BATON_PYTHON_LIVEKIT_AGENTS";
/// Rooms of one process, on both engines, and those whose joins and CPU time are measured too.
const COUNTS: [usize; 2] = [1, 20];
const IDLE: usize = 50;
/// How often that is measured, both sides in turn: what else the machine does meanwhile is to meet both.
const TURNS: usize = 3;
/// How often the cost of a voice is measured, which scatters more.
const COST_TURNS: usize = 5;
/// The longest that one process may take for a room, and beside its rooms.
const ROOM_MAX: Duration = Duration::from_secs(2);
const PART_MAX: Duration = Duration::from_secs(60);

#[global_allocator]
static ALLOCATOR: Remembering = Remembering;

const OURS: &str = "ours";
const CPP: &str = "C++";

const ROOM_MAX_MB: f64 = 0.5;
const CPU_RATIO_MAX: f64 = 1.0 / 30.0;
const RATIO_MAX: f64 = 1.0;
const BARE_RATIO_MAX: f64 = 1.3;

/// Measures the engine beside LiveKit's C++ engine.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Rooms of one process on our engine alone, beyond those on both
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "500,1000"
    )]
    many: Vec<usize>,
    /// How long each part is measured
    #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    secs: u64,
    /// What a voice costs that is decoded and encoded again, beside libopus and str0m alone, and nothing else
    #[arg(long, conflicts_with = "memory")]
    voice: bool,
    /// Where the memory of an idle room is, and nothing else; in a debug build
    #[arg(long)]
    memory: bool,
    /// Folder for the logs and `engine.json`
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Idle rooms on our engine
    #[command(hide = true)]
    Rooms {
        #[arg(long)]
        count: usize,
        #[arg(long)]
        secs: u64,
    },
    /// A voice on our engine
    #[command(hide = true)]
    Voice {
        #[arg(long)]
        secs: u64,
    },
    /// A voice over bad networks, heard on both engines
    Quality(quality::Options),
    /// Who hears that voice on our engine
    #[command(hide = true)]
    Ear { wav: PathBuf },
    /// Messages on our engine
    #[command(hide = true)]
    Messages {
        #[arg(long)]
        secs: u64,
    },
    /// Full reconnects on our engine
    #[command(hide = true)]
    Reconnects {
        #[arg(long)]
        secs: u64,
    },
    /// Where the memory of idle rooms on our engine is
    #[command(hide = true)]
    Memory {
        #[arg(long)]
        secs: u64,
    },
    /// A voice that is decoded and encoded again on our engine
    #[command(hide = true)]
    Cost {
        /// On a thread of its own, not the engine's
        #[arg(long)]
        own: bool,
        #[arg(long)]
        secs: u64,
    },
    /// The same on libopus and str0m alone
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        secs: u64,
    },
}

/// An engine's figures.
#[derive(Debug, Serialize)]
struct Engine {
    name: &'static str,
    /// Memory per further room, in MB, by the number of rooms.
    room_mb: Vec<(usize, f64)>,
    threads: Vec<(usize, u64)>,
    /// CPU time per second of an idle room, in milliseconds, with 50 of them; the middle of the turns.
    idle_cpu_ms: f64,
    /// The same by the threads' names, and how often they are woken; on our engine alone.
    idle_threads: BTreeMap<String, Used>,
    /// Datagrams that come for an idle room and leave it in a second; on our engine alone.
    idle_datagrams: (f64, f64),
    join_ms: Spread,
    /// From mouth to ear through the server.
    delay_ms: Spread,
    /// Of messages of 15 kB, of the middle of the rounds, in millions of bytes a second.
    messages_mb_per_sec: f64,
    /// Messages that did not come.
    messages_missing: usize,
    /// Of a full reconnect.
    reconnect_ms: Spread,
}

/// What a voice costs a participant that decodes it and encodes it again, in each turn.
#[derive(Debug, Default, Serialize)]
struct Costs {
    /// On our engine, all of it on the engine's thread.
    engine: Vec<Cost>,
    /// On our engine, the voice taken and handed back on a thread of the application's.
    own: Vec<Cost>,
    /// On libopus, str0m and a socket, one thread.
    bare: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct Report {
    engines: [Engine; 2],
    costs: Costs,
    goals: Vec<Goal>,
}

fn main() -> ExitCode {
    let Arguments { options, part } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = runtime
        .context("no runtime")
        .and_then(|runtime| match part {
            Some(part) => run_part(part, &runtime),
            None => run(&options, &runtime),
        });
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Does what one process is for, and prints what it has measured.
fn run_part(part: Part, runtime: &Runtime) -> Result<ExitCode> {
    let measured = match part {
        Part::Rooms { count, secs } => {
            let server = Server::from_env()?;
            let rooms = part::rooms(&server, count, Duration::from_secs(secs));
            serde_json::to_string(&runtime.block_on(rooms)?)?
        }
        Part::Voice { secs } => {
            let server = Server::from_env()?;
            let voice = part::voice(&server, Duration::from_secs(secs));
            serde_json::to_string(&runtime.block_on(voice)?)?
        }
        // It takes as long as it takes.
        Part::Messages { secs: _ } => {
            let server = Server::from_env()?;
            serde_json::to_string(&runtime.block_on(part::messages(&server))?)?
        }
        // As above.
        Part::Reconnects { secs: _ } => {
            let server = Server::from_env()?;
            serde_json::to_string(&runtime.block_on(part::reconnects(&server))?)?
        }
        // As above.
        Part::Memory { secs: _ } => {
            let server = Server::from_env()?;
            serde_json::to_string(&runtime.block_on(memory::rooms(&server))?)?
        }
        Part::Cost { own, secs } => {
            let server = Server::from_env()?;
            let on = match own {
                true => Thread::Own,
                false => Thread::Engine,
            };
            // What it is measured beside has one thread, too.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let cost = cost::room(&server, on, Duration::from_secs(secs));
            serde_json::to_string(&runtime.block_on(cost)?)?
        }
        Part::Bare { secs } => {
            let server = Server::from_env()?;
            serde_json::to_string(&cost::bare(&server, runtime, Duration::from_secs(secs))?)?
        }
        Part::Quality(options) => return runtime.block_on(quality::run(&options)),
        Part::Ear { wav } => {
            let value = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
            let (url, token) = (value("LIVEKIT_URL")?, value("LIVEKIT_TOKEN")?);
            serde_json::to_string(&runtime.block_on(ear::listen(&url, &token, &wav))?)?
        }
    };
    println!("{measured}");
    Ok(ExitCode::SUCCESS)
}

fn run(options: &Options, runtime: &Runtime) -> Result<ExitCode> {
    let logs = options.out.join("engine");
    fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
    // Clients look for the public ones in vain here, which has cost the C++ engine more than all else that an idle room does.
    let stun = StunServer::start().context("no STUN server could be started")?;
    let stage = Stage {
        server: LivekitServer::start_with(ServerOptions {
            extra_rtc_yaml: stun.rtc_yaml(),
            ..ServerOptions::default()
        })?,
        logs,
        secs: options.secs,
    };
    if options.memory {
        return stage.memory(&options.out);
    }
    if options.voice {
        let costs = stage.costs(runtime)?;
        let goals = vec![costs.goal()];
        print!("{}\n{}", costs.table(), figures::lines(&goals));
        return Ok(figures::exit(&goals));
    }
    // First: a server that has had a thousand rooms is at work for a while yet, on the same core.
    let costs = stage.costs(runtime)?;
    let [ours, cpp] = stage.idle()?;
    let ours = stage.engine(OURS, ours, &options.many)?;
    let cpp = stage.engine(CPP, cpp, &[])?;
    let goals = goals(&ours, &cpp, &costs);
    let report = Report {
        engines: [ours, cpp],
        costs,
        goals,
    };
    let json = options.out.join("engine.json");
    figures::write(&json, &report)?;
    print!("{}", report.table());
    println!("{}", json.display());
    Ok(figures::exit(&report.goals))
}

struct Stage {
    server: LivekitServer,
    logs: PathBuf,
    secs: u64,
}

impl Stage {
    /// The idle rooms of both engines, each as often as there are turns.
    fn idle(&self) -> Result<[Vec<Rooms>; 2]> {
        let mut idle = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (name, rooms) in [OURS, CPP].into_iter().zip(&mut idle) {
                rooms.push(self.rooms(name, IDLE)?);
            }
        }
        Ok(idle)
    }

    fn rooms(&self, name: &str, count: usize) -> Result<Rooms> {
        eprintln!("{name}: {count} rooms");
        self.part(name, &["rooms", "--count", &count.to_string()], count)
    }

    fn engine(&self, name: &'static str, mut idle: Vec<Rooms>, many: &[usize]) -> Result<Engine> {
        idle.sort_by(|a, b| a.cpu_ms_per_sec.total_cmp(&b.cpu_ms_per_sec));
        let join_ms = Spread::of(idle.iter().flat_map(|rooms| rooms.join_ms.iter().copied()));
        let middle = idle.swap_remove(idle.len() / 2);
        let (idle_cpu_ms, idle_threads, idle_datagrams) = (
            middle.cpu_ms_per_sec / IDLE as f64,
            middle.threads_per_room.clone(),
            middle.datagrams_per_room,
        );
        let mut measured: Vec<(usize, Rooms)> = Vec::new();
        for count in COUNTS {
            measured.push((count, self.rooms(name, count)?));
        }
        measured.push((IDLE, middle));
        for &count in many {
            measured.push((count, self.rooms(name, count)?));
        }
        eprintln!("{name}: a voice");
        let voice: Voice = self.part(name, &["voice"], 1)?;
        eprintln!("{name}: messages");
        let messages: Messages = self.part(name, &["messages"], 1)?;
        eprintln!("{name}: full reconnects");
        let reconnects: Reconnects = self.part(name, &["reconnects"], 1)?;
        let (_, first) = measured.first().context("no room was measured")?;
        let one_kb = first.rss_kb;
        let slope = |(count, rooms): &(usize, Rooms)| {
            let more = rooms.rss_kb.saturating_sub(one_kb) as f64;
            (*count, more / 1_024.0 / (*count - 1) as f64)
        };
        Ok(Engine {
            name,
            room_mb: measured.iter().skip(1).map(slope).collect(),
            threads: measured
                .iter()
                .map(|(count, rooms)| (*count, rooms.threads))
                .collect(),
            idle_cpu_ms,
            idle_threads,
            idle_datagrams,
            join_ms,
            delay_ms: Spread::of(voice.delay_ms),
            messages_mb_per_sec: Spread::of(messages.mb_per_sec).p50,
            messages_missing: messages.missing,
            reconnect_ms: Spread::of(reconnects.reconnect_ms),
        })
    }

    fn memory(&self, out: &Path) -> Result<ExitCode> {
        let memory: Memory = self.part(OURS, &["memory"], 20)?;
        let json = out.join("engine-memory.json");
        figures::write(&json, &memory)?;
        let Memory {
            bytes,
            blocks,
            files,
        } = &memory;
        let mut parts: Vec<(&String, &u64)> = bytes.iter().collect();
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        println!("live bytes of an idle room");
        for (part, bytes) in parts {
            println!("  {part:42} {bytes:9}");
        }
        let all: u64 = bytes.values().sum();
        println!("  {:42} {all:9}", "all");
        println!("in {blocks} blocks, with {files:.1} open files");
        println!("{}", json.display());
        Ok(ExitCode::SUCCESS)
    }

    fn costs(&self, runtime: &Runtime) -> Result<Costs> {
        eprintln!("a voice that is decoded and encoded again");
        let server = Server::of(&self.server);
        let mut costs = Costs::default();
        for _ in 0..COST_TURNS {
            let mut mouths = Vec::new();
            for room in [Thread::Engine.room(), Thread::Own.room(), cost::BARE_ROOM] {
                mouths.push(runtime.block_on(cost::mouth(&server, room))?);
            }
            // At the same time: a core that shares its parts with a busy one takes longer for the same work.
            let [engine, own, bare] = thread::scope(|scope| {
                let parts: [&[&str]; 3] = [&["cost"], &["cost", "--own"], &["bare"]];
                parts
                    .map(|part| scope.spawn(move || self.part(OURS, part, 1)))
                    .map(|part| part.join())
            });
            let lost = "it could not be waited for";
            costs.engine.push(engine.ok().context(lost)??);
            costs.own.push(own.ok().context(lost)??);
            costs.bare.push(bare.ok().context(lost)??);
        }
        Ok(costs)
    }

    /// Runs one measurement in a process of its own, and reads the last line that it prints.
    fn part<T: DeserializeOwned>(&self, name: &str, arguments: &[&str], rooms: usize) -> Result<T> {
        let mut command = match name {
            OURS => Command::new(std::env::current_exe().context("where is this program?")?),
            _ => {
                let interpreter = std::env::var_os(INTERPRETER).with_context(|| {
                    format!("{INTERPRETER} is not set: `cargo xtask bench engine` sets it")
                })?;
                let mut python = Command::new(interpreter);
                python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("cpp.py"));
                python
            }
        };
        command
            .args(arguments)
            .args(["--secs", &self.secs.to_string()])
            .env("LIVEKIT_URL", self.server.url())
            .env("LIVEKIT_API_KEY", self.server.api_key())
            .env("LIVEKIT_API_SECRET", self.server.api_secret())
            .env("RUST_LOG", "off");
        let log = self.logs.join(format!("{name}-{}.log", arguments.join("")));
        // A log of an earlier run would be read as this one's.
        fs::write(&log, "").with_context(|| format!("{} cannot be written", log.display()))?;
        let mut child = Child::spawn(name, &mut command, &log)?;
        let limit = PART_MAX + Duration::from_secs(self.secs) + ROOM_MAX * rooms as u32;
        let start = Instant::now();
        child.wait(limit)?;
        let log = child.log();
        let last = log.lines().rev().find(|line| line.starts_with('{'));
        let last = last.with_context(|| {
            let secs = start.elapsed().as_secs();
            format!(
                "{name} {arguments:?} has measured nothing in {secs} s:\n{}",
                child.log_tail(8)
            )
        })?;
        Ok(serde_json::from_str(last)?)
    }
}

fn goals(ours: &Engine, cpp: &Engine, costs: &Costs) -> Vec<Goal> {
    let memory = ours.room_mb.iter().map(|(count, mb)| {
        let name = format!("memory per room, {count} rooms, MB");
        Goal::at_most(name, *mb, ROOM_MAX_MB)
    });
    let beside_cpp = [
        ("join, p50", ours.join_ms.p50, cpp.join_ms.p50),
        ("join, p99", ours.join_ms.p99, cpp.join_ms.p99),
        ("mouth to ear, p50", ours.delay_ms.p50, cpp.delay_ms.p50),
        ("mouth to ear, p99", ours.delay_ms.p99, cpp.delay_ms.p99),
        // The time that they take.
        (
            "messages of 15 kB",
            1.0 / ours.messages_mb_per_sec,
            1.0 / cpp.messages_mb_per_sec,
        ),
        (
            "full reconnect, p50",
            ours.reconnect_ms.p50,
            cpp.reconnect_ms.p50,
        ),
        (
            "full reconnect, p99",
            ours.reconnect_ms.p99,
            cpp.reconnect_ms.p99,
        ),
    ];
    let beside_cpp = beside_cpp.map(|(name, ours, cpp)| {
        Goal::at_most(format!("{name}: ratio to C++"), ours / cpp, RATIO_MAX)
    });
    let idle = Goal::at_most(
        "CPU of an idle room: ratio to C++",
        ours.idle_cpu_ms / cpp.idle_cpu_ms,
        CPU_RATIO_MAX,
    );
    let missing = Goal::at_most(
        "messages that did not come",
        ours.messages_missing as f64,
        0.0,
    );
    memory
        .chain([idle])
        .chain(beside_cpp)
        .chain([missing, costs.goal()])
        .collect()
}

impl Costs {
    /// The middle of the turns' ratios to libopus and str0m.
    fn ratio(&self, costs: &[Cost]) -> f64 {
        let turns = costs.iter().zip(&self.bare);
        Spread::of(turns.map(|(cost, bare)| cost.cpu_ms_per_sec / bare.cpu_ms_per_sec)).p50
    }

    fn goal(&self) -> Goal {
        Goal::at_most(
            "a voice decoded and encoded: ratio to libopus and str0m",
            self.ratio(&self.engine),
            BARE_RATIO_MAX,
        )
    }

    fn table(&self) -> String {
        let mut table =
            "\na voice, decoded and encoded again, ms a second in each turn\n".to_owned();
        for (name, costs) in [
            ("our engine, on its thread", &self.engine),
            ("our engine, on another", &self.own),
            ("libopus, str0m, a socket", &self.bare),
        ] {
            let _ = write!(table, "  {name:26}");
            for cost in costs {
                let _ = write!(table, " {:9.3}", cost.cpu_ms_per_sec);
            }
            let _ = writeln!(table, "  ratio {:.2}", self.ratio(costs));
        }
        table
    }
}

impl Report {
    fn table(&self) -> String {
        let mut table = String::new();
        for Engine {
            name,
            room_mb,
            threads,
            idle_cpu_ms,
            idle_threads,
            idle_datagrams,
            join_ms,
            delay_ms,
            messages_mb_per_sec,
            messages_missing,
            reconnect_ms,
        } in &self.engines
        {
            let _ = writeln!(table, "\n{name}");
            for (count, mb) in room_mb {
                let _ = writeln!(table, "  memory per room, {count:>4} rooms {mb:9.3} MB");
            }
            let threads: Vec<String> = threads
                .iter()
                .map(|(count, threads)| format!("{threads} with {count}"))
                .collect();
            let _ = writeln!(
                table,
                "  threads                    {}\n\
                 \x20 CPU per idle room          {idle_cpu_ms:9.3} ms a second\n\
                 \x20 join                       p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms\n\
                 \x20 mouth to ear               p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms\n\
                 \x20 messages of 15 kB          {messages_mb_per_sec:9.1} MB a second, {messages_missing} missing\n\
                 \x20 full reconnect             p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
                threads.join(", "),
                join_ms.p50,
                join_ms.p99,
                join_ms.worst,
                delay_ms.p50,
                delay_ms.p99,
                delay_ms.worst,
                reconnect_ms.p50,
                reconnect_ms.p99,
                reconnect_ms.worst,
            );
            for (thread, Used { cpu_ms, wakes }) in idle_threads {
                let _ = writeln!(
                    table,
                    "  idle room, {thread:16} {cpu_ms:9.3} ms a second, woken {wakes:.1} times"
                );
            }
            if !idle_threads.is_empty() {
                let (came, left) = idle_datagrams;
                let _ = writeln!(
                    table,
                    "  idle room, datagrams a second {came:6.2} come, {left:.2} leave"
                );
            }
        }
        table.push_str(&self.costs.table());
        table.push('\n');
        table.push_str(&figures::lines(&self.goals));
        table
    }
}
