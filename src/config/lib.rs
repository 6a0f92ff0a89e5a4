//! The configuration: YAML files in, one plain typed [`Config`] out, and every mistake in them named at once.
//!
//! [`yaml`] keeps the place of every key and value, [`reader`] walks the tree and collects problems, and one file per part
//! says which options there are. Defaults are those of the parts' own types. Credentials never come from a file that is
//! read here: see [`Server::connection`].
//!
//! # What never happens here
//! - A configuration with an error in it is never used, not even in part.
//! - No input, however broken, panics or is held beyond [`FILE_BYTES_MAX`].

mod api;
mod audio;
mod call_plan;
mod context;
mod entry;
mod explain;
mod files;
mod human;
mod odd;
mod option;
mod problem;
mod reader;
mod recording;
mod rule;
mod schema;
mod sdk;
mod server;
mod store;
pub mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use call::{CallConfig, SpecialistName};
use jiff::tz::TimeZone;

pub use self::{
    api::{Api, TokenError},
    audio::{Audio, Filler, FillerSound, Loudness},
    call_plan::SpecialistNotes,
    context::{MaskRule, RouteContext, StateRules, StateSchemaError, SummaryRule},
    entry::{Lookup, LookupTokenError},
    explain::{Explanation, Question, QuestionError, UnknownSpecialist, explain},
    files::FILE_BYTES_MAX,
    human::{Dial, Human},
    option::{Kind, OptionSpec},
    problem::{Finding, Place, Report, Severity},
    recording::Recording,
    schema::schema,
    sdk::Sdk,
    server::{Connection, ConnectionError, Server},
    store::{Embedded, JournalError, Redis, Store, StoreKind},
};

use self::{
    call_plan::{CallPlan, RouteDefaults},
    option::Refusal,
    problem::Problem,
    reader::{Reader, Section},
    yaml::Entry,
};

/// Everything that the file says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The LiveKit server and this worker's place at it.
    pub server: Server,
    /// Where operators see and steer calls.
    pub api: Api,
    /// Specialists, routes, timers and limits, as the core wants them.
    pub call: CallConfig,
    /// What else is known of each specialist in [`Config::call`].
    pub notes: BTreeMap<SpecialistName, SpecialistNotes>,
    /// Who is asked about a caller before it is decided who takes its call.
    pub lookup: Option<Lookup>,
    /// What of the conversation travels on each route of [`Config::call`], in their order.
    pub contexts: Vec<RouteContext>,
    /// The sound file of each of these routes' announcements.
    pub announcements: Vec<Option<PathBuf>>,
    /// That of the opening.
    pub opening: Option<PathBuf>,
    /// What becomes of voices that are not as loud as one another, on each of these routes.
    pub loudness: Vec<Loudness>,
    /// The shared state of each call.
    pub state: StateRules,
    /// What the caller hears at a change.
    pub audio: Audio,
    /// What of calls is recorded.
    pub recording: Option<Recording>,
    /// Where the journal of calls is kept.
    pub store: Store,
    /// What every specialist's SDK is told.
    pub sdk: Sdk,
    /// Where the clocks are that conditions see.
    pub time_zone: TimeZone,
}

/// A configuration that can be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings only.
    pub report: Report,
    /// Where each of the routes is; empty if the file has none.
    pub routes_at: Vec<Place>,
    /// Where each of the entry rules is.
    pub entry_rules_at: Vec<Place>,
}

/// Reads a file, or the `*.yaml` files of a folder (not of its subfolders) as if they were one.
///
/// # Errors
/// Everything that is wrong, with warnings between.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let mut problems = Vec::new();
    let (files, entries) = files::read(path, &mut problems);
    evaluate(&files, &entries, problems, true)
}

/// Reads one text, called `name` in messages. Files that it names are not looked at.
///
/// # Errors
/// Everything that is wrong, with warnings between.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Report> {
    let mut problems = Vec::new();
    let entries = yaml::parse(text, 0, &mut problems);
    evaluate(&[name.to_owned()], &entries, problems, false)
}

/// Every option there is, in the order in which they are read.
pub fn options() -> Vec<OptionSpec> {
    listed().options
}

fn listed() -> Reader {
    let mut reader = Reader {
        listing: true,
        ..Reader::default()
    };
    reader.root(&[], read);
    reader
}

fn evaluate(
    files: &[String],
    entries: &[Entry],
    problems: Vec<Problem>,
    files_read: bool,
) -> Result<Loaded, Report> {
    let incomplete = !problems.is_empty();
    let mut reader = Reader {
        problems,
        incomplete,
        files_read,
        ..Reader::default()
    };
    let config = reader.root(entries, read);
    let places = |wanted| {
        let items = reader.items.iter().filter(|(list, _)| *list == wanted);
        items.map(|(_, mark)| mark.place(files)).collect()
    };
    let (routes_at, entry_rules_at) = (places("routes"), places("entry_rules"));
    let report = Report::new(reader.problems, files);
    if report.errors() > 0 {
        Err(report)
    } else {
        Ok(Loaded {
            config,
            report,
            routes_at,
            entry_rules_at,
        })
    }
}

fn read(section: &mut Section<'_, '_>) -> Config {
    let server = section.part("server", server::read);
    let api = section.part("api", api::read);
    let audio = section.part("audio", audio::read);
    let store = section.part("store", store::read);
    let sdk = section.part("sdk", sdk::read);
    let time_zone = section
        .parsed(
            "time_zone",
            "a time zone, as Europe/Berlin",
            Some("UTC"),
            |name| {
                TimeZone::get(name).map_err(|_| {
                    Refusal::new(format!("no time zone is named `{name}`"))
                        .help("write it as the IANA does: Europe/Berlin, America/New_York, UTC")
                })
            },
        )
        .unwrap_or(TimeZone::UTC);
    let (state, conditions) = section.part("state", |state| context::read_state(state, &sdk));
    let recording = section.part("recording", |section| recording::read(section, &conditions));
    let lookup = section.part("caller_lookup", entry::read_lookup);
    let defaults = RouteDefaults {
        fade_ms: audio.fade_ms,
        loudness: audio.loudness,
    };
    let CallPlan {
        mut call,
        contexts,
        loudness,
        announcements,
        opening,
        notes,
    } = call_plan::read(section, defaults, &conditions);
    call.entry_state_ms = lookup.as_ref().map(|lookup| lookup.timeout_ms);
    Config {
        server,
        api,
        call,
        notes,
        lookup,
        contexts,
        loudness,
        announcements,
        opening,
        state,
        audio,
        recording,
        store,
        sdk,
        time_zone,
    }
}
