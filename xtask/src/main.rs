//! The project's own commands, each with its whole set-up.
//!
//! Synchronous, on the standard library alone: it starts other programs, waits for them, and says
//! what it is doing. It never needs what it is about to build.

mod again;
mod artifacts;
mod bench;
#[cfg(test)]
mod book;
mod demo;
mod deploy;
mod engine_sources;
mod engine_tests;
mod operator;
mod outcome;
mod packages;

mod paths;
mod probe;
mod process;
mod python;
mod server;
mod setup;
mod sim;
mod suite;
mod tools;
mod venv;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  demo [ARGUMENTS]   run a whole call on this machine and leave what the caller heard in target/demo;
                     arguments go to the demo: `--handoffs N`, `--help`; `--config FILE` has calls under a file of your own, and
                     says of each of its routes whether the baton went along it
  demo --mixed [--handoffs N] [--turns N] [--out FOLDER]
                     a call between agents of LiveKit Agents, Pipecat and Rust: after each handoff what they know is compared
                     item by item, and how it opened, who answered and who heard the caller's words is judged; a stock agent
                     comes last, from a side room; then a call in which the caller speaks across N changes, and each sentence
                     has to get one answer
  test               run everything: all tests, the engine's, the interop tests, a short demo
  engine-tests [--only FILE] [--repeat N]
                     run the tests that ship inside the livekit package on our engine
  probe FILE.wav [--tone NAME=HZ ...] [--holders NAMES]
                     judge a recording of what a caller heard, of a test or of a phone line: who was heard when, silence,
                     overlap, leaks, clicks, levels; `--json`, `--help`
  sim wire [--seeds N] [--from N] [--threads N]
                     run both ends of the protocol over a bad channel, once per seed, on every core; a seed that
                     fails is kept in src/wire/tests/seeds.txt
  sim audio [--switches N] [--seed N] [--threads N]
                     switch between voices over a bad network in virtual time and check every slot of the program track
  bench admin [--calls N] [--streams N] [--seconds N] [--rounds N] [--out FILE]
                     how long handoffs of simulated calls take without onlookers and with them, and memory per stream;
                     target/bench/admin.json
  bench silence [--secs N]
                     a holder that publishes as LiveKit's SDK does says nothing for a minute: numbers left out, starvations, clicks
  bench failopen [--kills N] [--out FILE]
                     kill Baton 200 times in a call and judge by what the caller received how long nobody was heard, on both
                     ways, and whether two ways were heard at once; target/bench/failopen.json
  bench config [--specialists N] [--routes N] [--rounds N] [--out FILE]
                     loading and checking a file of 500 specialists and 5,000 routes beside a bare parse of it, a condition
                     beside the bare CEL crate; target/bench/config.json
  bench context [--items N] [--out FILE]
                     what conversation and state cost: from grant to context applied on a simulated line, processor time
                     and memory of appends, 5,000 patches; a table, and target/bench/context.json
  bench python [--items N] [--frames N] [--out FILE]
                     what the adapters for LiveKit Agents and Pipecat cost beside these alone, for each item of a conversation
                     and each frame of sound; target/bench/python.json
  packages [--record] [GROUP ...]
                     check the converters and the vCon with the real packages of livekit, pipecat, crewai, vcon; each
                     group is installed when it is asked for; `--record` records their conversations anew
  api [--examples N] the operators' interface against its own document, with Schemathesis, on a real call
  page               the live page in a real browser (Chromium), on a real call: every view and button; screenshots in
                     target/page
  deploy-check       check Dockerfile, compose file, Helm chart, alert rules and dashboard, and say what could not be checked
  setup              check the tools, install livekit-server and the virtual environments
  help               show this

Everything that is installed goes below target/; what is there already is used again.
LIVEKIT_SERVER names a livekit-server to use instead.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    match command.as_str() {
        "demo" => demo::run(rest),
        "test" => no_more(rest).and_then(|()| suite::run()),
        "engine-tests" => engine_tests::run(rest),
        "probe" => probe::run(rest),
        "sim" => sim::run(rest),
        "bench" => bench::run(rest),
        "packages" => packages::run(rest),
        "deploy-check" => no_more(rest).and_then(|()| deploy::run()),
        "api" => operator::api(rest),
        "page" => no_more(rest).and_then(|()| operator::run()),
        "setup" => no_more(rest).and_then(|()| setup::run()),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => bail!("no command {unknown:?}; `cargo xtask help` lists them"),
    }
}

fn no_more(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => bail!("the command takes no argument, and {extra:?} is one"),
    }
}
