//! A specialist's process: its settings, its worker, its calls.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{Instrument, error, info, info_span, warn};
use wire::{DispatchMetadata, Version};
use worker::{Answer, JobOutcome, Participant, StopSignals, WorkerConfig};

use crate::agent::{Agent, Call};
use crate::job;

/// A specialist, ready to take calls.
#[derive(Debug)]
pub struct Specialist {
    worker: WorkerConfig,
    drain_grace: Duration,
    write_timeout: Duration,
    misbehaviour: Misbehaviour,
}

/// Settings of a [`Specialist`]. What is not set comes from LiveKit's environment variables: `LIVEKIT_URL`,
/// `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET`.
#[derive(Debug)]
pub struct Builder {
    agent_name: String,
    url: Option<String>,
    api_key: Option<String>,
    api_secret: Option<worker::Secret>,
    max_calls: u32,
    drain_grace: Duration,
    write_timeout: Duration,
    misbehaviour: Misbehaviour,
}

/// Why a specialist cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Something was neither set nor found in the environment.
    #[error("{name} is not set")]
    Missing {
        /// The environment variable.
        name: &'static str,
    },
    /// The agent name is empty: Baton dispatches by name.
    #[error("the agent name is empty")]
    NoAgentName,
    /// No worker can run with these settings.
    #[error("the worker cannot run: {0}")]
    Worker(#[from] worker::ConfigError),
    /// The process cannot listen for signals.
    #[error("signals cannot be listened for: {0}")]
    Signals(#[from] std::io::Error),
}

/// Which rules a specialist breaks, for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "public with the feature misbehave")]
pub struct Misbehaviour {
    /// Its track is open to everybody.
    pub open_to_all: bool,
    /// Its voice passes without the baton.
    pub ungated: bool,
    /// It ignores that the baton is taken away.
    pub ignores_revoke: bool,
    /// Its track is published as a participant publishes that knows nothing of Baton: with DTX and RED.
    pub stock_track: bool,
    /// It speaks this version of the protocol alone.
    pub version: Option<Version>,
}

impl Specialist {
    /// Settings of a specialist whose worker registers under this name, by which Baton dispatches it.
    pub fn builder(agent_name: impl Into<String>) -> Builder {
        Builder {
            agent_name: agent_name.into(),
            url: None,
            api_key: None,
            api_secret: None,
            max_calls: 20,
            drain_grace: Duration::from_secs(3_600),
            write_timeout: Duration::from_secs(30),
            misbehaviour: Misbehaviour::default(),
        }
    }

    /// Takes calls until SIGTERM or SIGINT, then lets the running ones finish, for the grace period at most; a second
    /// signal ends at once. `agent` makes the agent of each call.
    ///
    /// # Errors
    /// If signals cannot be listened for, or no worker can run with the settings. A server that cannot be reached is no
    /// error: attempts go on.
    pub async fn run<A: Agent>(
        self,
        agent: impl Fn(&Call) -> A + Send + Sync + 'static,
    ) -> Result<(), BuildError> {
        let mut signals = StopSignals::install()?;
        let (handle, mut assignments) = worker::start(self.worker)?;
        let agent = Arc::new(agent);
        let (write_timeout, misbehaviour) = (self.write_timeout, self.misbehaviour);
        let calls = tokio::spawn(async move {
            let mut jobs = JoinSet::new();
            // Ends when the worker has stopped; those that still run then are dropped with the set.
            while let Some(assignment) = assignments.recv().await {
                while jobs.try_join_next().is_some() {}
                let span = info_span!("job", job = assignment.job.id);
                let agent = agent.clone();
                let call = async move {
                    let worker::Assignment {
                        job,
                        url,
                        access_token,
                        identity: _,
                        signals,
                        slot,
                        // It takes no jobs beyond its slots.
                        place: _,
                    } = assignment;
                    let start = job::Start {
                        url,
                        access_token,
                        room_sid: job.room_sid,
                        metadata: job.metadata,
                        signals,
                        write_timeout,
                        misbehaviour,
                    };
                    let outcome = job::run(start, &*agent).await;
                    match &outcome {
                        JobOutcome::Success => info!("call left"),
                        JobOutcome::Failed(reason) => error!(reason, "call failed"),
                    }
                    slot.finish(outcome);
                };
                jobs.spawn(call.instrument(span));
            }
        });
        signals.next().await;
        info!("draining");
        let drained = handle.drain(self.drain_grace, signals.next()).await;
        if let worker::Drained::CutShort { jobs_left } = drained {
            warn!(jobs_left, "stopped before all calls had ended");
        }
        calls.abort();
        Ok(())
    }
}

impl Builder {
    /// The server: `ws://` or `wss://`.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The API key and its secret.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>, secret: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self.api_secret = Some(worker::Secret::from(secret.into()));
        self
    }

    /// How many calls are taken at the same time; 20 if not set.
    #[must_use]
    pub fn max_calls(mut self, max_calls: u32) -> Self {
        self.max_calls = max_calls;
        self
    }

    /// How long running calls may take to finish after a signal; an hour if not set.
    #[must_use]
    pub fn drain_grace(mut self, grace: Duration) -> Self {
        self.drain_grace = grace;
        self
    }

    /// How long what an agent writes to conversation and state may take, each time; half a minute if not set, in which
    /// another process of Baton takes up a call.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Breaks rules, for tests.
    #[cfg(feature = "misbehave")]
    #[must_use]
    pub fn misbehave(mut self, misbehaviour: Misbehaviour) -> Self {
        self.misbehaviour = misbehaviour;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If something is missing.
    pub fn build(self) -> Result<Specialist, BuildError> {
        if self.agent_name.is_empty() {
            return Err(BuildError::NoAgentName);
        }
        let url = or_environment(self.url, "LIVEKIT_URL")?;
        let api_key = or_environment(self.api_key, "LIVEKIT_API_KEY")?;
        let api_secret = match self.api_secret {
            Some(secret) => secret,
            None => worker::Secret::from(or_environment(None, "LIVEKIT_API_SECRET")?),
        };
        let mut worker = WorkerConfig::new(url, api_key, api_secret).with_policy(answer);
        worker.agent_name = self.agent_name;
        worker.max_jobs = self.max_calls;
        Ok(Specialist {
            worker,
            drain_grace: self.drain_grace,
            write_timeout: self.write_timeout,
            misbehaviour: self.misbehaviour,
        })
    }
}

/// Takes what Baton has dispatched, and nothing else: without a ticket there is nobody to talk to.
fn answer(job: &worker::Job) -> Answer {
    match DispatchMetadata::parse(&job.metadata) {
        Ok(metadata) => Answer::Accept(Participant {
            name: metadata.baton.specialist.to_string(),
            ..Participant::default()
        }),
        Err(error) => {
            warn!(job = job.id, %error, "job refused");
            Answer::Refuse {
                reason: error.to_string(),
            }
        }
    }
}

fn or_environment(value: Option<String>, name: &'static str) -> Result<String, BuildError> {
    value
        .or_else(|| env::var(name).ok())
        .filter(|value| !value.is_empty())
        .ok_or(BuildError::Missing { name })
}
