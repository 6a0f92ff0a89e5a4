//! The command line of `baton`.

use std::{path::PathBuf, process::ExitCode};

use baton::{
    app,
    config::Question,
    graph::Format,
    packet::PacketCommand,
    telemetry::{LogFormat, LogLevel},
};
use clap::{Args, Parser, Subcommand};

/// Hands a live call from one specialist agent to another, on LiveKit.
///
/// Baton joins every call room as an agent, decides which specialist the caller hears, and keeps the audio unbroken while one takes
/// over from another.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the configuration has errors, or what `packet` reads
  2  wrong usage
  3  could not start, or not go on
  4  stopped while calls were running
  5  the handoff that `check --explain` asks about would be refused
  6  `packet --strict` would have lost something
  7  `doctor` has found something wrong";

const ENVIRONMENT: &str = "\
Environment:
  LIVEKIT_URL         the server, as wss://livekit.example.com; before `server.url`
  LIVEKIT_API_KEY     the API key; before `server.api_key_file`
  LIVEKIT_API_SECRET  the API secret; before `server.api_secret_file`
  LIVEKIT_AGENT_NAME  the name that dispatch rules ask for; before `server.agent_name`
  OTEL_EXPORTER_OTLP_ENDPOINT  a collector for traces, as http://localhost:4318; without it there are none";

#[derive(Subcommand)]
enum Command {
    /// Take calls, until a signal says stop
    ///
    /// Registers as an agent worker and joins each call that is dispatched to it. The first SIGTERM or SIGINT takes no more
    /// calls and lets running ones finish, for `server.drain_grace_secs` at most; a second one ends them.
    #[command(after_help = ENVIRONMENT)]
    Start {
        #[command(flatten)]
        configuration: Configuration,
        /// How much to log: trace, debug, info, warn, error, off, or directives such as info,worker=debug
        #[arg(
            long,
            env = "LIVEKIT_LOG_LEVEL",
            value_name = "LEVEL",
            default_value = "info"
        )]
        log_level: LogLevel,
        /// How to log: json for machines, text for people
        #[arg(
            long,
            env = "BATON_LOG_FORMAT",
            value_name = "FORMAT",
            default_value = "json"
        )]
        log_format: LogFormat,
    },
    /// Say everything that is wrong with a configuration
    ///
    /// Names every error with its file, line and column, the option, what is allowed and what was probably meant. Warnings
    /// are for what is legal but odd; they do not change the exit code.
    Check {
        #[command(flatten)]
        configuration: Configuration,
        /// The same as --config
        #[arg(value_name = "FILE|DIR", conflicts_with = "config")]
        path: Option<PathBuf>,
        /// Say who takes a call, and why: "from=caller caller.number=+15550199 time=mon-08:30"; or which route decides over a handoff: "from=triage to=billing
        /// state.verified=false", or "from=billing to=previous previous=triage"; conditions see the `state.*` and `caller.*` that are
        /// given, `time=mon-08:30`, `reason` and `attempt`; exits with 5 if it would be refused
        #[arg(long, value_name = "HANDOFF")]
        explain: Option<Question>,
    },
    /// Draw who may hand the baton to whom
    ///
    /// Writes the entry, the specialists, the routes, who may hand back, and what happens when a holder is lost to standard
    /// output.
    Graph {
        #[command(flatten)]
        configuration: Configuration,
        /// The same as --config
        #[arg(value_name = "FILE|DIR", conflicts_with = "config")]
        path: Option<PathBuf>,
        /// How to write it: mermaid, svg, dot
        #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
        format: Format,
    },
    /// Carry a conversation from one framework to another, as a portable packet or as messages
    ///
    /// Reads and writes the forms of LiveKit Agents, OpenAI, Pipecat, LangChain and CrewAI, and the packet that Baton hands
    /// over, with state, route and the caller's line.
    #[command(subcommand)]
    Packet(PacketCommand),
    /// Say why a call does not reach Baton, or a specialist
    ///
    /// Looks at the server and the key, the clocks, the Baton on this machine, the SIP dispatch rules and, if it is named, one room;
    /// changes nothing. Exits with 7 if anything is wrong.
    #[command(after_help = ENVIRONMENT)]
    Doctor {
        #[command(flatten)]
        configuration: Configuration,
        /// A room to look into, while its call is there
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
    },
    /// Serve the Model Context Protocol on standard input and output, for agents
    ///
    /// Carries every message to a running Baton's /mcp and back. The token says what the agent may see and do: the operator's
    /// own, or a LiveKit access token with roomList or roomAdmin.
    Mcp {
        /// Where the running Baton serves the protocol
        #[arg(
            long,
            env = "BATON_MCP_URL",
            value_name = "URL",
            default_value = "http://127.0.0.1:8080/mcp"
        )]
        url: String,
        /// A file with the token; else it is what BATON_TOKEN holds
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Write the JSON Schema of the configuration, for editors
    ///
    /// An editor that speaks to the YAML language server completes and checks a file whose first line is
    /// `# yaml-language-server: $schema=` and the place of the schema.
    Schema,
}

#[derive(Args)]
struct Configuration {
    /// The configuration: a YAML file, or a folder whose *.yaml files are read as one
    #[arg(
        long,
        env = "BATON_CONFIG",
        value_name = "FILE|DIR",
        default_value = "config/baton.yaml"
    )]
    config: PathBuf,
}

fn main() -> ExitCode {
    let exit = match Arguments::parse().command {
        Command::Start {
            configuration,
            log_level,
            log_format,
        } => app::start(&configuration.config, &log_level, log_format),
        Command::Check {
            configuration,
            path,
            explain,
        } => {
            let path = path.unwrap_or(configuration.config);
            match explain {
                Some(question) => app::explain(&path, &question),
                None => app::check(&path),
            }
        }
        Command::Graph {
            configuration,
            path,
            format,
        } => app::graph(&path.unwrap_or(configuration.config), format),
        Command::Packet(command) => app::packet(&command),
        Command::Doctor {
            configuration,
            room,
        } => app::doctor(&configuration.config, room.as_deref()),
        Command::Mcp { url, token_file } => app::mcp(&url, token_file.as_deref()),
        Command::Schema => app::schema(),
    };
    exit.into()
}
