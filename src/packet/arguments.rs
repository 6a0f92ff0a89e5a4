//! What `baton packet` takes.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand, ValueEnum};

use super::form::Form;

const CONVERT_EXAMPLES: &str = "\
Examples:
  baton packet convert --from livekit --to openai-chat history.json
  baton packet convert --from livekit --to pipecat --to-sidecar side.json history.json -o messages.json
  baton packet convert --from pipecat --from-sidecar side.json --to livekit messages.json";

const IMPORT_EXAMPLES: &str = "\
Examples:
  baton packet import --from langchain --call-id call-17 messages.json -o packet.json
  baton packet import --from pipecat --into packet.json messages.json -o newer.json";

const EXPORT_EXAMPLES: &str = "\
Examples:
  baton packet export --to crewai packet.json
  baton packet export --to vcon --call call.json packet.json -o call.vcon.json";

const CALL_RECORD: &str = "\
The file of `--call`:
  {
    \"started_unix_ms\": 1763714480000, \"ended_unix_ms\": 1763714500000, \"subject\": \"an invoice\",
    \"grants\": [{\"specialist\": \"triage\", \"unix_ms\": 1763714480300}],
    \"recordings\": [{\"url\": \"https://example.com/call.ogg\", \"content_hash\": \"sha512-...\",
                    \"mediatype\": \"audio/ogg\", \"started_unix_ms\": 1763714480000, \"duration_ms\": 20000}]
  }
Only the first two are needed.";

/// What is done with a packet.
#[derive(Debug, Subcommand)]
pub enum PacketCommand {
    /// Turn a conversation from one framework's form into another's
    ///
    /// What the new form cannot carry is listed on standard error. A sidecar keeps it, so that the conversation is the same
    /// when it comes back.
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert {
        /// The form of what is read
        #[arg(long, value_name = "FORM", value_parser = readable())]
        from: Form,
        /// The form of what is written
        #[arg(long, value_name = "FORM")]
        to: Form,
        #[command(flatten)]
        reading: Reading,
        /// Where to write what the messages cannot carry
        #[arg(long, value_name = "FILE")]
        to_sidecar: Option<PathBuf>,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        vcon: ForVcon,
        #[command(flatten)]
        files: Files,
    },
    /// Make a packet of a framework's conversation
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// The form of what is read
        #[arg(long, value_name = "FORM", value_parser = readable())]
        from: Form,
        /// The call's id in the packet
        #[arg(long, value_name = "ID")]
        call_id: Option<String>,
        /// A packet whose state, route and all else is taken over: only its conversation is replaced
        #[arg(long, value_name = "PACKET")]
        into: Option<PathBuf>,
        #[command(flatten)]
        reading: Reading,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        files: Files,
    },
    /// Write a packet's conversation in a framework's form, or the call as a vCon
    #[command(after_help = EXPORT_EXAMPLES, after_long_help = format!("{EXPORT_EXAMPLES}\n\n{CALL_RECORD}"))]
    Export {
        /// The form of what is written
        #[arg(long, value_name = "FORM")]
        to: Form,
        /// Where to write what the messages cannot carry
        #[arg(long, value_name = "FILE")]
        to_sidecar: Option<PathBuf>,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        vcon: ForVcon,
        #[command(flatten)]
        files: Files,
    },
    /// Say what is in a packet, or what is wrong with it
    Check {
        /// The packet, JSON or protobuf; standard input if none or - is given
        #[arg(value_name = "FILE")]
        input: Option<PathBuf>,
    },
    /// Write the JSON Schema of a packet
    Schema,
}

#[derive(Debug, Args)]
pub struct Files {
    /// What to read; standard input if none or - is given
    #[arg(value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// Where to write; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Reading {
    /// The sidecar that was written with the messages
    #[arg(long, value_name = "FILE")]
    pub(super) from_sidecar: Option<PathBuf>,
    /// What the ids begin with of items that have none
    #[arg(long, value_name = "TEXT", default_value = ID_PREFIX)]
    pub(super) id_prefix: String,
}

#[derive(Debug, Args)]
pub struct Writing {
    /// In a packet, write the conversation in this form, with its sidecar
    #[arg(long, value_name = "FORM", value_parser = conversational())]
    pub(super) conversation: Option<Form>,
    /// Where to write all losses one by one, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) losses: Option<PathBuf>,
    /// Write nothing and exit with 6 if something would be lost
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Debug, Default, Args)]
pub struct ForVcon {
    /// For a vCon: when the call was, who had the baton, and its recordings, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) call: Option<PathBuf>,
}

const ID_PREFIX: &str = "imported_";

impl Default for Reading {
    fn default() -> Self {
        Self {
            from_sidecar: None,
            id_prefix: ID_PREFIX.to_owned(),
        }
    }
}

fn readable() -> impl clap::builder::TypedValueParser<Value = Form> {
    only(&Form::READABLE)
}

fn conversational() -> impl clap::builder::TypedValueParser<Value = Form> {
    only(&Form::READABLE[1..])
}

fn only(forms: &[Form]) -> impl clap::builder::TypedValueParser<Value = Form> + use<> {
    let values = forms.iter().filter_map(Form::to_possible_value);
    PossibleValuesParser::new(values.collect::<Vec<_>>())
        .try_map(|name| Form::from_str(&name, false))
}
