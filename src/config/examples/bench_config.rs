//! What reading a configuration costs: `cargo xtask bench config` builds and starts it.
//!
//! A file is written with many specialists, routes and conditions; loading and checking it stands beside a bare parse of the
//! same file, and a condition beside the same expression in the bare CEL crate. Rounds of both sides alternate. Usage:
//! `bench_config [--specialists N] [--routes N] [--rounds N] [--out FILE]`.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use call::{CallerFacts, Condition, Facts, LocalTime, Plan};
use saphyr_parser::{Parser, StrInput};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// The goal for loading and checking, as a ratio to a bare parse.
const LOAD_RATIO_MAX: f64 = 3.0;
/// Routes of ten that have a condition, and how many different ones there are.
const CONDITIONED_OF_TEN: usize = 3;
const CONDITION: &str = "state.verified == true && reason != 'spam' && attempt < 3";
/// Evaluations of a round.
const EVALUATIONS: u32 = 20_000;

fn main() -> Result<(), Failure> {
    let (mut specialists, mut routes, mut rounds) = (500, 5_000, 9);
    let mut out = PathBuf::from("target/bench/config.json");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--specialists" => specialists = value.parse()?,
            "--routes" => routes = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            "--out" => out = value.into(),
            _ => return Err(format!("there is no argument {word}").into()),
        }
    }
    if specialists < 2 || routes < 1 || rounds < 1 {
        return Err("at least 2 specialists, a route and a round are needed".into());
    }
    let text = written(specialists, routes)?;
    let folder = std::env::temp_dir().join(format!("baton-bench-config-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = folder.join("baton.yaml");
    fs::write(&file, &text)?;
    let measured = measure(&file, rounds);
    fs::remove_dir_all(&folder)?;
    let measured = measured?;

    let bytes = text.len();
    println!(
        "{specialists} specialists, {routes} routes, {bytes} bytes; medians of {rounds} rounds"
    );
    println!("  {:<28} {:>10.2} ms", "bare parse", ms(measured.parse));
    println!(
        "  {:<28} {:>10.2} ms  {:.2} x (goal {LOAD_RATIO_MAX})",
        "load and check",
        ms(measured.load),
        measured.load_ratio
    );
    println!(
        "  {:<28} {:>10.2} us  {:.2} x of the bare CEL crate",
        "a condition",
        measured.evaluate.as_secs_f64() * 1e6,
        measured.evaluate_ratio
    );
    let report = json!({
        "specialists": specialists, "routes": routes, "bytes": bytes, "rounds": rounds,
        "parse_ms": ms(measured.parse), "load_ms": ms(measured.load), "load_ratio": measured.load_ratio,
        "load_ratio_goal": LOAD_RATIO_MAX, "load_ratio_is_good": measured.load_ratio <= LOAD_RATIO_MAX,
        "condition_us": measured.evaluate.as_secs_f64() * 1e6, "condition_ratio_to_cel": measured.evaluate_ratio,
    });
    write(&out, &report)?;
    if measured.load_ratio > LOAD_RATIO_MAX {
        return Err(format!("loading takes more than {LOAD_RATIO_MAX} times a bare parse").into());
    }
    Ok(())
}

struct Measured {
    parse: Duration,
    load: Duration,
    load_ratio: f64,
    evaluate: Duration,
    evaluate_ratio: f64,
}

fn measure(file: &Path, rounds: usize) -> Result<Measured, Failure> {
    let state = json!({"verified": true, "tier": "gold", "attempts": 2});
    let caller = CallerFacts::default();
    let facts = Facts {
        duration_secs: 60,
        handoffs: 1,
        caller: &caller,
        state: &state,
        from: "s0",
        to: "s1",
        reason: "invoice",
        attempt: 1,
        time: LocalTime::default(),
    };
    let condition = Condition::compile(CONDITION, Some(&state))?;
    let program = cel::Program::compile(CONDITION)?;
    let (mut pairs, mut evaluations) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let parse = timed(|| parse(file))?;
        let load = timed(|| load(file))?;
        pairs.push((parse, load));
        let bare = timed(|| bare_cel(&program, &state))?;
        let ours = timed(|| {
            for _ in 0..EVALUATIONS {
                if !black_box(condition.evaluate(black_box(&facts))?) {
                    return Err("the condition does not hold".into());
                }
            }
            Ok(())
        })?;
        evaluations.push((bare, ours));
    }
    Ok(Measured {
        parse: median(pairs.iter().map(|pair| pair.0)),
        load: median(pairs.iter().map(|pair| pair.1)),
        load_ratio: ratio(&pairs),
        evaluate: median(evaluations.iter().map(|pair| pair.1)) / EVALUATIONS,
        evaluate_ratio: ratio(&evaluations),
    })
}

/// Reads the file's events and does nothing with them.
fn parse(file: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(file)?;
    let mut events = 0_u64;
    for event in Parser::new(StrInput::new(&text)) {
        black_box(event?);
        events += 1;
    }
    if events < 100 {
        return Err("the file is empty".into());
    }
    Ok(())
}

/// All that is done with a file before calls are taken by it.
fn load(file: &Path) -> Result<(), Failure> {
    let loaded = config::load(file).map_err(|report| report.to_string())?;
    black_box(Plan::new(loaded.config.call)?);
    Ok(())
}

/// The same condition, with the same names known, without our bounds.
fn bare_cel(program: &cel::Program, state: &Value) -> Result<(), Failure> {
    for _ in 0..EVALUATIONS {
        let mut context = cel::Context::default();
        context.add_variable("state", state)?;
        context.add_variable("reason", "invoice")?;
        context.add_variable("attempt", 1_i64)?;
        let answer = program.execute(&context)?;
        if black_box(answer) != cel::Value::Bool(true) {
            return Err("the condition does not hold".into());
        }
    }
    Ok(())
}

/// A configuration of so many specialists and routes, as an operator would write it.
fn written(specialists: usize, routes: usize) -> Result<String, Failure> {
    let mut text = String::from("entry: s0\nspecialists:\n");
    for number in 0..specialists {
        writeln!(
            text,
            "  s{number}:\n    agent_name: agent-{number}\n    description: Knows what number {number} is about"
        )?;
    }
    text.push_str("routes:\n");
    for number in 0..routes {
        let (from, to) = (number % specialists, (number * 7 + 1) % specialists);
        let to = if to == from {
            (to + 1) % specialists
        } else {
            to
        };
        writeln!(
            text,
            "  - from: s{from}\n    to: s{to}\n    splice: end_of_utterance\n    fade_ms: {}\n    context: last:20",
            40 + number % 50
        )?;
        if number % 10 < CONDITIONED_OF_TEN {
            writeln!(
                text,
                "    when: state.tier == 'gold' && attempt < {}",
                2 + number % 3
            )?;
        }
    }
    Ok(text)
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// The median of each round's second side by its first.
fn ratio(pairs: &[(Duration, Duration)]) -> f64 {
    let ratios = pairs
        .iter()
        .map(|(first, second)| second.as_secs_f64() / first.as_secs_f64());
    let mut ratios: Vec<_> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn write(out: &Path, report: &Value) -> Result<(), Failure> {
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, serde_json::to_string_pretty(report)? + "\n")?;
    println!("{}", out.display());
    Ok(())
}
