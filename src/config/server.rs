//! The LiveKit server, this worker's place at it, and the credentials, which never stand in the file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use worker::Secret;

use super::{call_plan::SOUND_FORM, option::Refusal, reader::Section};

/// The part `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where the LiveKit server is; `LIVEKIT_URL` has precedence.
    pub url: Option<String>,
    /// A file with the API key, used when `LIVEKIT_API_KEY` is not set.
    pub api_key_file: Option<PathBuf>,
    /// A file with the API secret, used when `LIVEKIT_API_SECRET` is not set.
    pub api_secret_file: Option<PathBuf>,
    /// The name that dispatch rules call Baton by; `LIVEKIT_AGENT_NAME` has precedence.
    pub agent_name: String,
    /// Calls at the same time; more are refused.
    pub max_calls: u32,
    /// Calls beyond them that are taken to tell their callers so; 0 leaves them to others.
    pub busy_calls: u32,
    /// What these callers hear; without, they are sent away unanswered.
    pub busy_clip: Option<PathBuf>,
    /// Where `/` (health) and `/worker` answer.
    pub health_bind: SocketAddr,
    /// How long running calls may go on after a request to stop.
    pub drain_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            url: None,
            api_key_file: None,
            api_secret_file: None,
            agent_name: "baton".to_owned(),
            max_calls: 100,
            busy_calls: 0,
            busy_clip: None,
            health_bind: SocketAddr::from(([0, 0, 0, 0], 8081)),
            drain_grace: Duration::from_secs(1_800),
        }
    }
}

/// What it takes to speak to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `ws`, `wss`, `http` or `https`.
    pub url: String,
    /// The API key, which may be logged.
    pub api_key: String,
    /// The API secret, which may not.
    pub api_secret: Secret,
    /// The name that dispatch rules call Baton by.
    pub agent_name: String,
}

/// Why there is no [`Connection`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Neither the environment nor the configuration names it.
    #[error("no {what}: set {variable}, or `server.{option}` in the configuration")]
    Missing {
        /// In words.
        what: &'static str,
        /// The environment variable that gives it.
        variable: &'static str,
        /// The option that gives it.
        option: &'static str,
    },
    /// The file that should hold a credential cannot be used.
    #[error("cannot read the {what} from `{path}` (`server.{option}`)")]
    File {
        /// In words.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The option that names the file.
        option: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The file that should hold a credential is empty.
    #[error("the file `{path}` (`server.{option}`) is empty")]
    EmptyFile {
        /// The file.
        path: PathBuf,
        /// The option that names the file.
        option: &'static str,
    },
    /// `LIVEKIT_URL` is no address.
    #[error("LIVEKIT_URL is `{url}`, expected {URL_FORM}")]
    Url {
        /// What it is.
        url: String,
    },
}

pub(super) const URL_FORM: &str = "an address such as wss://livekit.example.com";
pub(super) const BIND_FORM: &str = "an address and port such as 0.0.0.0:8081";

impl Server {
    /// The server and the credentials from the environment first, then from what the file refers to.
    ///
    /// `environment` looks a variable up; an empty one counts as not set.
    ///
    /// # Errors
    /// Everything that is missing or unusable, at once.
    pub fn connection(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Connection, Vec<ConnectionError>> {
        let variable = |name: &str| {
            environment(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let url = match variable("LIVEKIT_URL") {
            Some(url) if is_url(&url) => Ok(url),
            Some(url) => Err(ConnectionError::Url { url }),
            None => self.url.clone().ok_or(ConnectionError::Missing {
                what: "server",
                variable: "LIVEKIT_URL",
                option: "url",
            }),
        };
        let api_key = match variable("LIVEKIT_API_KEY") {
            Some(key) => Ok(key),
            None => from_file(
                "API key",
                "LIVEKIT_API_KEY",
                "api_key_file",
                self.api_key_file.as_ref(),
            ),
        };
        let api_secret = match variable("LIVEKIT_API_SECRET") {
            Some(secret) => Ok(secret),
            None => from_file(
                "API secret",
                "LIVEKIT_API_SECRET",
                "api_secret_file",
                self.api_secret_file.as_ref(),
            ),
        };
        let agent_name = variable("LIVEKIT_AGENT_NAME").unwrap_or_else(|| self.agent_name.clone());
        match (url, api_key, api_secret) {
            (Ok(url), Ok(api_key), Ok(api_secret)) => Ok(Connection {
                url,
                api_key,
                api_secret: Secret::new(api_secret),
                agent_name,
            }),
            (url, api_key, api_secret) => Err([url.err(), api_key.err(), api_secret.err()]
                .into_iter()
                .flatten()
                .collect()),
        }
    }
}

/// What callers hear for whom there is no place.
fn read_busy_clip(section: &mut Section<'_, '_>) -> Option<PathBuf> {
    let problems = section.problems();
    let clip = section.text("busy_clip", SOUND_FORM).map(PathBuf::from);
    if clip.is_some() && section.problems() == problems {
        section.require(
            "busy_calls",
            "say how many callers may hear it at a time, as `busy_calls: 10`",
        );
    }
    clip
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Server {
    let default = Server::default();
    let in_the_environment = "set it in the environment, or name a file that holds it";
    for (key, instead) in [
        ("api_key", "LIVEKIT_API_KEY, `api_key_file`"),
        ("api_secret", "LIVEKIT_API_SECRET, `api_secret_file`"),
    ] {
        section.forbid(
            key,
            "credentials are never read from this file",
            &format!("{in_the_environment}: {instead}"),
        );
    }
    Server {
        url: section.parsed("url", URL_FORM, None, |text| {
            if is_url(text) {
                return Ok(text.to_owned());
            }
            let help = "it starts with ws://, wss://, http:// or https://";
            Err(Refusal::new(format!("expected {URL_FORM}, found `{text}`")).help(help))
        }),
        api_key_file: section.text("api_key_file", "the path of a file").map(PathBuf::from),
        api_secret_file: section.text("api_secret_file", "the path of a file").map(PathBuf::from),
        agent_name: section
            .parsed("agent_name", "a name", Some(&default.agent_name), |text| Ok(text.to_owned()))
            .unwrap_or(default.agent_name),
        max_calls: section.integer("max_calls", 1..=10_000, default.max_calls),
        busy_calls: section.integer("busy_calls", 0..=10_000, default.busy_calls),
        busy_clip: read_busy_clip(section),
        health_bind: section
            .parsed("health_bind", BIND_FORM, Some(&default.health_bind.to_string()), |text| {
                text.parse().map_err(|_| {
                    Refusal::new(format!("expected {BIND_FORM}, found `{text}`"))
                        .help("127.0.0.1 answers on this machine only, 0.0.0.0 on all of its networks")
                })
            })
            .unwrap_or(default.health_bind),
        drain_grace: Duration::from_secs(section.integer("drain_grace_secs", 0..=86_400, default.drain_grace.as_secs())),
    }
}

fn is_url(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "ws" | "wss" | "http" | "https") && url.has_host())
}

fn from_file(
    what: &'static str,
    variable: &'static str,
    option: &'static str,
    path: Option<&PathBuf>,
) -> Result<String, ConnectionError> {
    let path = path.ok_or(ConnectionError::Missing {
        what,
        variable,
        option,
    })?;
    let text = std::fs::read_to_string(path).map_err(|source| ConnectionError::File {
        what,
        path: path.clone(),
        option,
        source,
    })?;
    match text.trim() {
        "" => Err(ConnectionError::EmptyFile {
            path: path.clone(),
            option,
        }),
        credential => Ok(credential.to_owned()),
    }
}
