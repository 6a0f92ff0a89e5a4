//! Runs the simulator over many switches, on every core. `cargo xtask sim audio` builds and starts it.
//!
//! `sim --switches N [--seed N] [--threads N]`: a run of a thousand switches that fails is printed with its seed.

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use simulator::{Faults, Tally, run};

const SWITCHES_PER_RUN: u64 = 1_000;

struct Arguments {
    switches: u64,
    seed: u64,
    threads: usize,
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
    let next = AtomicU64::new(0);
    let all = Mutex::new(Tally::default());
    let runs = arguments.switches.div_ceil(SWITCHES_PER_RUN);
    thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= runs {
                        break;
                    }
                    let seed = arguments.seed.wrapping_add(at);
                    let left = arguments.switches - at * SWITCHES_PER_RUN;
                    let tally = run(seed, left.min(SWITCHES_PER_RUN), Faults::default());
                    if !tally.is_clean() {
                        println!("seed {seed}: {tally:?}");
                    }
                    if let Ok(mut all) = all.lock() {
                        all.add(&tally);
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap_or_default();
    let Tally {
        switches,
        slots,
        breaks,
        missing,
        gains_out,
        strangers,
        whole_fades,
        taken_over,
        given_back,
        matched,
    } = all;
    println!(
        "{switches} switches, {slots} slots of 20 ms: {breaks} breaks, {missing} missing, {gains_out} gains out of range, \
         {strangers} strangers heard"
    );
    println!(
        "{whole_fades} fades followed to their end, {taken_over} times taken over by the mixer, {given_back} given back, \
         {matched} voices matched in loudness, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    // Nothing to judge is no success.
    match all.is_clean() && switches == arguments.switches && slots > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        switches: 1_000_000,
        seed: 0,
        threads: thread::available_parallelism().map_or(1, usize::from),
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = value
            .parse::<u64>()
            .map_err(|_| format!("{word} needs a number, {value:?} is none"))?;
        match word.as_str() {
            "--switches" => arguments.switches = number,
            "--seed" => arguments.seed = number,
            "--threads" => arguments.threads = usize::try_from(number.max(1)).unwrap_or(1),
            _ => return Err(format!("there is no argument {word}")),
        }
    }
    Ok(arguments)
}
