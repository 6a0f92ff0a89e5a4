//! Runs the simulator over many seeds, on every core. `cargo xtask sim wire` builds and starts it.
//!
//! `sim --seeds N [--from N] [--threads N] [--keep FILE]`: a seed that fails is printed and kept in the file.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

#[path = "../tests/simulator.rs"]
mod simulator;

use simulator::{Weather, kept, run};

const POLL_INTERVAL: Duration = Duration::from_millis(100);
const PLAIN_TICK: Duration = Duration::from_secs(10);

struct Arguments {
    seeds: u64,
    from: u64,
    threads: usize,
    keep: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match parse(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    let failed = simulate(&arguments, start);
    let Arguments { seeds, from, .. } = arguments;
    println!(
        "{} of {seeds} seeds from {from} on passed, {} failed, {:.1} s",
        seeds - failed.len() as u64,
        failed.len(),
        start.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    if let Some(path) = &arguments.keep {
        match keep(path, &failed) {
            Ok(()) => println!("kept in {path}"),
            Err(error) => eprintln!("error: {path} cannot be written: {error}"),
        }
    }
    ExitCode::FAILURE
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 10_000,
        from: 0,
        threads: thread::available_parallelism().map_or(1, usize::from),
        keep: None,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} needs a number, {value:?} is none"))
        };
        match word.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--from" => arguments.from = number()?,
            "--threads" => arguments.threads = usize::try_from(number()?.max(1)).unwrap_or(1),
            "--keep" => arguments.keep = Some(value),
            _ => return Err(format!("there is no argument {word}")),
        }
    }
    Ok(arguments)
}

/// The seeds that failed, each with what went wrong.
fn simulate(arguments: &Arguments, start: Instant) -> Vec<(u64, String)> {
    let &Arguments {
        seeds,
        from,
        threads,
        keep: _,
    } = arguments;
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds {
                        break;
                    }
                    let seed = from.wrapping_add(at);
                    // A panic of the protocol is a failure like any other.
                    let ran = thread::Builder::new()
                        .spawn(move || run(seed, Weather::of(seed)))
                        .map_err(|error| error.to_string())
                        .and_then(|run| run.join().unwrap_or(Err("it panicked".to_owned())));
                    if let Err(error) = ran {
                        println!("\rseed {seed}: {error}");
                        if let Ok(mut failed) = failed.lock() {
                            failed.push((seed, error));
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        show_progress(&done, seeds, start);
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort();
    failed
}

fn show_progress(done: &AtomicU64, seeds: u64, start: Instant) {
    let in_place = io::stdout().is_terminal();
    let mut said_at = Instant::now();
    loop {
        let count = done.load(Ordering::Relaxed);
        if count >= seeds {
            break;
        }
        let tick = if in_place { POLL_INTERVAL } else { PLAIN_TICK };
        if said_at.elapsed() >= tick {
            said_at = Instant::now();
            let secs = start.elapsed().as_secs();
            let end = if in_place { "\r" } else { "\n" };
            print!("  {count} of {seeds} seeds ... {secs} s{end}");
            // Progress that cannot be shown is no reason to stop.
            let _ = io::stdout().flush();
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Adds what is not there yet to the committed file.
fn keep(path: &str, failed: &[(u64, String)]) -> io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    for (seed, error) in failed {
        if !kept().any(|known| known == *seed) {
            writeln!(file, "{seed} # {error}")?;
        }
    }
    Ok(())
}
