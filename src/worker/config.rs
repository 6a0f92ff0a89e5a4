//! What a worker needs to know: the server, the keys, its name, its size, and how it answers offers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::job::Job;
use crate::secret::Secret;

/// The largest `max_jobs`.
pub(crate) const MAX_JOBS_LIMIT: u32 = 100_000;
/// The largest `overflow_jobs`; more counts as so many.
pub(crate) const OVERFLOW_JOBS_LIMIT: u32 = 10_000;

/// Answers an offer. It runs on the connection's task and must return at once: the server forgets a
/// job that is not answered within 3 s, and no other offer is answered meanwhile. Capacity is not its
/// concern; it is only asked while a slot is free.
pub type Policy = Arc<dyn Fn(&Job) -> Answer + Send + Sync>;

/// Everything a worker needs to run. Build it with [`WorkerConfig::new`] and set what differs.
#[derive(Clone)]
pub struct WorkerConfig {
    /// The server: `ws://`, `wss://`, `http://` or `https://`, with an optional path prefix.
    pub url: String,
    /// The API key.
    pub api_key: String,
    /// The API key's secret.
    pub api_secret: Secret,
    /// The name by which dispatches ask for this worker; empty for LiveKit's automatic dispatch.
    pub agent_name: String,
    /// LiveKit's deployment of the agent; empty for the production deployment.
    pub deployment: String,
    /// The number of jobs taken at the same time, from 1 to 100,000.
    pub max_jobs: u32,
    /// The number of jobs beyond them that are taken to be turned away, up to 10,000; see [`Place`](crate::Place). 0 leaves them to other workers.
    pub overflow_jobs: u32,
    /// What the participants of this worker's jobs may do.
    pub permissions: Permissions,
    /// The version reported to the server.
    pub version: String,
    /// How offers are answered.
    pub policy: Policy,
}

impl WorkerConfig {
    /// A worker named `baton` with 20 slots that takes every job it has a slot for.
    pub fn new(url: impl Into<String>, api_key: impl Into<String>, api_secret: Secret) -> Self {
        Self {
            url: url.into(),
            api_key: api_key.into(),
            api_secret,
            agent_name: "baton".to_owned(),
            deployment: String::new(),
            max_jobs: 20,
            overflow_jobs: 0,
            permissions: Permissions::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: Arc::new(|_| Answer::Accept(Participant::default())),
        }
    }

    /// Sets the policy by which offers are answered.
    pub fn with_policy(mut self, policy: impl Fn(&Job) -> Answer + Send + Sync + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// All jobs that are taken at the same time.
    pub(crate) fn slots(&self) -> u32 {
        self.max_jobs + self.overflow_jobs.min(OVERFLOW_JOBS_LIMIT)
    }

    pub(crate) fn socket_url(&self) -> Result<Url, ConfigError> {
        let invalid = |reason: String| ConfigError::Url {
            url: self.url.clone(),
            reason,
        };
        let mut url = Url::parse(&self.url).map_err(|error| invalid(error.to_string()))?;
        let scheme = match url.scheme() {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            other => return Err(invalid(format!("scheme {other} is not ws or wss"))),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("it names no host".to_owned()));
        }
        url.set_scheme(scheme)
            .map_err(|()| invalid(format!("scheme cannot become {scheme}")))?;
        let path = format!("{}/agent", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.socket_url()?;
        if self.api_key.is_empty() {
            return Err(ConfigError::ApiKeyMissing);
        }
        if self.api_secret.expose().is_empty() {
            return Err(ConfigError::ApiSecretMissing);
        }
        if self.max_jobs == 0 || self.max_jobs > MAX_JOBS_LIMIT {
            return Err(ConfigError::MaxJobs {
                value: self.max_jobs,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for WorkerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkerConfig")
            .field("url", &self.url)
            .field("api_key", &self.api_key)
            .field("api_secret", &self.api_secret)
            .field("agent_name", &self.agent_name)
            .field("deployment", &self.deployment)
            .field("max_jobs", &self.max_jobs)
            .field("overflow_jobs", &self.overflow_jobs)
            .field("permissions", &self.permissions)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// How a worker answers an offer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Take the job and join as this participant.
    Accept(Participant),
    /// Leave the job to another worker, at once.
    Refuse {
        /// Why, for the log.
        reason: String,
    },
}

/// The participant that a job joins as; the server writes it into the job's access token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// The identity; `agent-<job id>` if empty.
    pub identity: String,
    /// The display name.
    pub name: String,
    /// The participant's metadata.
    pub metadata: String,
    /// The participant's attributes. The server adds `lk.agent_name`.
    pub attributes: BTreeMap<String, String>,
}

/// What the participants of a worker's jobs may do. Their kind is always AGENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// May publish tracks.
    pub can_publish: bool,
    /// May subscribe to tracks.
    pub can_subscribe: bool,
    /// May send data packets.
    pub can_publish_data: bool,
    /// May change its own metadata and attributes.
    pub can_update_metadata: bool,
    /// Is not announced to other participants.
    pub hidden: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_update_metadata: true,
            hidden: false,
        }
    }
}

/// A configuration with which no worker can run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The server's URL cannot be used.
    #[error("the server's url {url:?} cannot be used: {reason}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no API key.
    #[error("the api key is empty")]
    ApiKeyMissing,
    /// There is no API secret.
    #[error("the api secret is empty")]
    ApiSecretMissing,
    /// `max_jobs` is out of its range.
    #[error("max_jobs is {value}, it must be 1 to {limit}", limit = MAX_JOBS_LIMIT)]
    MaxJobs {
        /// The value given.
        value: u32,
    },
}
