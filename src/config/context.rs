//! What of the conversation travels on a route, and who may see and write what of the shared state.

use std::path::{Path, PathBuf};

use context::{
    Access, CARD_NUMBER, FieldPath, FilterPlan, InFlightPolicy, Mask, MaskAction, Masked,
    PatchLimits, SPOKEN_NUMBER, Scopes, StateSchema, ToolPolicies, Window,
};
use regex::Regex;
use serde_json::Value as Json;

use super::{option::Refusal, reader::Section, rule::Conditions, sdk::Sdk};

pub(super) const WINDOW_FORM: &str =
    "one of: all, none, messages_only, since_last_handoff, last:<number of items>, summary";
const FALLBACK_FORM: &str =
    "one of: all, none, messages_only, since_last_handoff, last:<number of items>";
const WEBHOOK_FORM: &str = "a URL, as https://summaries.example.com/baton";
const MASK_FORM: &str = "`drop` or `redact`, and what: card_numbers, spoken_numbers, tool:<name>, field:<path>, field:<path> of <tool>, pattern:<regular expression>";
const TOOL_FORM: &str = "a tool's name, `=`, and one of: wait, cancel, adopt";
const FIELD_FORM: &str = "`write`, `read` or `none`, and the path of a field, as customer.card";
const WINDOWS: &[&str] = &[
    "all",
    "none",
    "messages_only",
    "since_last_handoff",
    "last:",
    SUMMARY,
];
/// The word for a window that is a summary.
const SUMMARY: &str = "summary";
/// The most items that may follow a summary.
const SUMMARY_ITEMS_MAX: usize = 10_000;
/// The longest a summary may take, in milliseconds.
const SUMMARY_MS_MAX: u64 = 60_000;
/// How many masks, tools or fields may be listed in one place.
const LISTED_MAX: usize = 256;
/// The largest state that can be configured, in bytes; half of [`Sdk::body_bytes_max`] if that is less, since it has to
/// travel as one body.
const STATE_BYTES_MAX: usize = 4 << 20;

/// What a route says of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteContext {
    /// How much of the past the target gets.
    pub window: Window,
    /// Whether the instructions of others go along.
    pub instructions: bool,
    /// What is kept from it.
    pub masks: Vec<MaskRule>,
    /// What becomes of the holder's running tools.
    pub tools: ToolPolicies,
    /// How the summary is made, if the window is one.
    pub summary: Option<SummaryRule>,
}

/// How a summary is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRule {
    /// Who makes it; the leaving specialist if nobody is named.
    pub webhook: Option<String>,
    /// How long that may take, in milliseconds.
    pub timeout_ms: u64,
}

/// One mask, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskRule {
    action: MaskAction,
    what: MaskedRule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum MaskedRule {
    Tool(String),
    Field {
        tool: Option<String>,
        path: FieldPath,
    },
    /// A regular expression that was compiled once to check it.
    Pattern(String),
}

/// The shared state of each call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateRules {
    /// Bounds.
    pub limits: PatchLimits,
    /// A file with the JSON Schema that every version must satisfy.
    pub schema_file: Option<PathBuf>,
}

/// Why there is no schema of the state.
#[derive(Debug, thiserror::Error)]
pub enum StateSchemaError {
    /// The file cannot be read.
    #[error("cannot read the schema of the state from `{path}` (`state.schema_file`)")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no JSON.
    #[error("the schema of the state in `{path}` (`state.schema_file`) is no JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is no JSON Schema.
    #[error("the schema of the state in `{path}` (`state.schema_file`) cannot be used")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: context::SchemaError,
    },
}

impl Default for RouteContext {
    fn default() -> Self {
        let FilterPlan {
            window,
            instructions,
            masks: _,
        } = FilterPlan::default();
        Self {
            window,
            instructions,
            masks: Vec::new(),
            tools: ToolPolicies::default(),
            summary: None,
        }
    }
}

impl RouteContext {
    /// What a specialist gets of the conversation on this route.
    pub fn filter(&self) -> FilterPlan {
        FilterPlan {
            window: self.window.clone(),
            instructions: self.instructions,
            masks: self.masks.iter().map(MaskRule::mask).collect(),
        }
    }
}

impl MaskRule {
    fn mask(&self) -> Mask {
        Mask {
            action: self.action,
            what: match &self.what {
                MaskedRule::Tool(tool) => Masked::Tool(tool.clone()),
                MaskedRule::Field { tool, path } => Masked::Field {
                    tool: tool.clone(),
                    path: path.clone(),
                },
                MaskedRule::Pattern(pattern) => Masked::Pattern(
                    Regex::new(pattern).expect("it was compiled when the file was read"),
                ),
            },
        }
    }
}

impl StateRules {
    /// The schema, if the configuration names one.
    ///
    /// # Errors
    /// If the file cannot be read, or is no schema.
    pub fn schema(&self) -> Result<Option<StateSchema>, StateSchemaError> {
        let json = self.schema_json()?;
        json.map(|(path, json)| schema_of(path, &json)).transpose()
    }

    /// A state as the schema describes it, to try conditions on.
    fn sample(&self) -> Result<Option<Json>, StateSchemaError> {
        let Some((path, json)) = self.schema_json()? else {
            return Ok(None);
        };
        schema_of(path, &json)?;
        Ok(Some(call::sample(&json)))
    }

    fn schema_json(&self) -> Result<Option<(&PathBuf, Json)>, StateSchemaError> {
        let Some(path) = &self.schema_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path).map_err(|source| StateSchemaError::File {
            path: path.clone(),
            source,
        })?;
        let json = serde_json::from_str(&text).map_err(|source| StateSchemaError::Json {
            path: path.clone(),
            source,
        })?;
        Ok(Some((path, json)))
    }
}

fn schema_of(path: &Path, json: &Json) -> Result<StateSchema, StateSchemaError> {
    StateSchema::new(json).map_err(|source| StateSchemaError::Schema {
        path: path.to_owned(),
        source,
    })
}

/// The options of a route.
pub(super) fn read_route(section: &mut Section<'_, '_>) -> RouteContext {
    let default = RouteContext::default();
    let window = section.parsed("context", WINDOW_FORM, Some("all"), |text| match text {
        SUMMARY => Ok(None),
        other => parse_window(WINDOW_FORM, other).map(Some),
    });
    let (summary, summarized) = section.part("summary", read_summary);
    let (window, summary) = match window {
        Some(Some(window)) => (window, None),
        Some(None) => (summarized, Some(summary)),
        None => (default.window, None),
    };
    let instructions = section.boolean("instructions", default.instructions);
    let masks = section.texts("masks", MASK_FORM, LISTED_MAX, parse_mask);
    let policies = [
        ("wait", InFlightPolicy::Wait),
        ("cancel", InFlightPolicy::Cancel),
        ("adopt", InFlightPolicy::Adopt),
    ];
    let tools = section.choice("tools", &policies, "wait");
    let by_tool = section.texts("tools_by_name", TOOL_FORM, LISTED_MAX, |text| {
        let (tool, policy) = text.split_once('=').ok_or_else(|| wrong(TOOL_FORM, text))?;
        let (tool, policy) = (tool.trim(), policy.trim());
        let known = policies.iter().find(|(word, _)| *word == policy);
        match known {
            Some((_, policy)) if !tool.is_empty() => Ok((tool.to_owned(), *policy)),
            Some(_) | None => Err(wrong(TOOL_FORM, text)),
        }
    });
    RouteContext {
        window,
        summary,
        instructions,
        masks,
        tools: ToolPolicies {
            default: tools,
            by_tool: by_tool.into_iter().collect(),
        },
    }
}

/// The address of somebody else's service.
pub(super) fn read_webhook(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    section.parsed(key, WEBHOOK_FORM, None, |text| {
        let url = url::Url::parse(text).ok();
        let fits =
            url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        match fits {
            true => Ok(text.to_owned()),
            false => Err(wrong(WEBHOOK_FORM, text)),
        }
    })
}

/// How the summary of a route is made, and what goes along with it.
fn read_summary(section: &mut Section<'_, '_>) -> (SummaryRule, Window) {
    let rule = SummaryRule {
        webhook: read_webhook(section, "webhook"),
        timeout_ms: section.integer("timeout_ms", 1..=SUMMARY_MS_MAX, 3_000),
    };
    let last_items = section.integer("last_items", 0..=SUMMARY_ITEMS_MAX, 6);
    let fallback = section.parsed("fallback", FALLBACK_FORM, Some("last:20"), |text| {
        parse_window(FALLBACK_FORM, text)
    });
    let window = Window::Summary {
        last_items,
        fallback: Box::new(fallback.unwrap_or(Window::All)),
    };
    (rule, window)
}

/// The options of a specialist: what it may see and write of the state.
pub(super) fn read_scopes(section: &mut Section<'_, '_>) -> Scopes {
    let words = [
        ("write", Access::Write),
        ("read", Access::Read),
        ("none", Access::None),
    ];
    let default = section.choice("state", &words, "write");
    let rules = section.texts("state_fields", FIELD_FORM, LISTED_MAX, |text| {
        let (word, path) = text
            .trim()
            .split_once(' ')
            .ok_or_else(|| wrong(FIELD_FORM, text))?;
        let access = words.iter().find(|(known, _)| *known == word);
        let (_, access) = access.ok_or_else(|| wrong(FIELD_FORM, text))?;
        let path: FieldPath = path
            .trim()
            .parse()
            .map_err(|error| wrong(FIELD_FORM, text).help(format!("{error}")))?;
        Ok((path, *access))
    });
    match Scopes::new(default, rules) {
        Ok(scopes) => scopes,
        Err(error) => {
            section.report(|at, path| {
                super::problem::Problem::error(
                    at,
                    format!("{path}.state_fields"),
                    error.to_string(),
                )
            });
            Scopes::all()
        }
    }
}

/// The part `state`.
pub(super) fn read_state(section: &mut Section<'_, '_>, sdk: &Sdk) -> (StateRules, Conditions) {
    let default = PatchLimits::default();
    let bytes_max = STATE_BYTES_MAX.min(sdk.body_bytes_max as usize / 2);
    let reads_files = section.reads_files();
    let mut rules = StateRules {
        limits: PatchLimits {
            document_bytes_max: section.integer(
                "bytes_max",
                1_024..=bytes_max,
                default.document_bytes_max,
            ),
            patch_bytes_max: section.integer(
                "patch_bytes_max",
                256..=bytes_max,
                default.patch_bytes_max,
            ),
            depth_max: section.integer("depth_max", 1..=64, default.depth_max),
        },
        schema_file: None,
    };
    let schema = section.parsed("schema_file", "a path", None, |text| {
        let rules = StateRules {
            schema_file: Some(PathBuf::from(text)),
            ..StateRules::default()
        };
        let sample = match reads_files {
            true => rules.sample().map_err(|error| {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                Refusal::new(error.to_string()).help(why.unwrap_or_default())
            })?,
            false => None,
        };
        Ok((rules.schema_file, sample))
    });
    let (schema_file, sample) = schema.unwrap_or_default();
    rules.schema_file = schema_file;
    (rules, Conditions::new(sample))
}

fn parse_window(form: &str, text: &str) -> Result<Window, Refusal> {
    if let Some(count) = text.strip_prefix("last:") {
        return match count.trim().parse() {
            Ok(count) if count > 0 => Ok(Window::LastItems(count)),
            Ok(_) | Err(_) => Err(wrong(form, text).help("write it as \"last:20\"")),
        };
    }
    match text {
        "all" => Ok(Window::All),
        "none" => Ok(Window::None),
        "messages_only" => Ok(Window::MessagesOnly),
        "since_last_handoff" => Ok(Window::SinceLastHandoff),
        other => Err(wrong(form, other).did_you_mean(other, WINDOWS)),
    }
}

fn parse_mask(text: &str) -> Result<MaskRule, Refusal> {
    let (action, what) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| wrong(MASK_FORM, text))?;
    let action = match action {
        "drop" => MaskAction::Drop,
        "redact" => MaskAction::Redact,
        _ => return Err(wrong(MASK_FORM, text)),
    };
    let what = match what.trim().split_once(':') {
        None if what.trim() == "card_numbers" => MaskedRule::Pattern(CARD_NUMBER.to_owned()),
        None if what.trim() == "spoken_numbers" => MaskedRule::Pattern(SPOKEN_NUMBER.to_owned()),
        Some(("tool", tool)) if !tool.is_empty() => MaskedRule::Tool(tool.to_owned()),
        Some(("field", field)) => {
            let (path, tool) = match field.rsplit_once(" of ") {
                Some((path, tool)) => (path, Some(tool.trim().to_owned())),
                None => (field, None),
            };
            let path = path.trim().parse();
            MaskedRule::Field {
                tool,
                path: path.map_err(|error| wrong(MASK_FORM, text).help(format!("{error}")))?,
            }
        }
        Some(("pattern", pattern)) if !pattern.is_empty() => {
            Regex::new(pattern).map_err(|error| {
                let why = error.to_string();
                let last = why.lines().last().unwrap_or_default().to_owned();
                Refusal::new(format!("`{pattern}` is no regular expression")).help(last)
            })?;
            MaskedRule::Pattern(pattern.to_owned())
        }
        Some(_) | None => return Err(wrong(MASK_FORM, text)),
    };
    Ok(MaskRule { action, what })
}

fn wrong(form: &str, found: &str) -> Refusal {
    Refusal::new(format!("expected {form}, found the text `{found}`"))
}
