//! A job as the application sees it: the room to join, the slot it takes, and the signals it gets.

use std::collections::BTreeMap;
use std::fmt;

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::secret::Secret;
use crate::slots::{NoSlot, Place};

/// The facts of a job, as offered and as assigned.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The job's id, `AJ_...`.
    pub id: String,
    /// The dispatch that the job comes from, `AD_...`.
    pub dispatch_id: String,
    /// The agent name that the dispatch asked for.
    pub agent_name: String,
    /// The room's name; on phone calls it holds the caller's number.
    pub room_name: String,
    /// The room's session id, `RM_...`. The server tells nobody of a room that is deleted before the
    /// job has joined, and joining it makes it anew: a room joined with another id is not the job's.
    pub room_sid: String,
    /// The room's metadata.
    pub room_metadata: String,
    /// The metadata of the dispatch.
    pub metadata: String,
    /// The attributes of the dispatch.
    pub attributes: BTreeMap<String, String>,
}

impl Job {
    /// The job of a message, or nothing if the message names no job or no room.
    pub(crate) fn from_proto(job: proto::Job) -> Option<Self> {
        let room = job.room.filter(|room| !room.name.is_empty())?;
        if job.id.is_empty() {
            return None;
        }
        Some(Self {
            id: job.id,
            dispatch_id: job.dispatch_id,
            agent_name: job.agent_name,
            room_name: room.name,
            room_sid: room.sid,
            room_metadata: room.metadata,
            metadata: job.metadata,
            attributes: job.attributes.into_iter().collect(),
        })
    }
}

/// Leaves out the room's name and all metadata, which are personal data or hold tickets.
impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Job")
            .field("id", &self.id)
            .field("dispatch_id", &self.dispatch_id)
            .field("agent_name", &self.agent_name)
            .field("room_sid", &self.room_sid)
            .field("metadata_bytes", &self.metadata.len())
            .finish_non_exhaustive()
    }
}

/// A job that is this worker's to run.
#[derive(Debug)]
pub struct Assignment {
    /// The job.
    pub job: Job,
    /// The URL to join at: the assignment's own, else the worker's.
    pub url: String,
    /// The token to join with: room join as an agent, valid for an hour, no admin rights.
    pub access_token: Secret,
    /// The identity that the token is for.
    pub identity: String,
    /// What the worker tells the job while it runs.
    pub signals: JobSignals,
    /// The slot that the job takes until this is finished or dropped.
    pub slot: JobSlot,
    /// Whether there is a place for the job, or it is to be turned away.
    pub place: Place,
}

/// What a worker tells a running job. Neither signal ends the job: it decides itself.
#[derive(Clone, Debug)]
pub struct JobSignals {
    pub(crate) terminated: CancellationToken,
    pub(crate) stopping: CancellationToken,
}

impl JobSignals {
    /// Resolves once the server has ended the job: its dispatch was deleted, or its participant left
    /// the room. A full reconnect of the participant provokes it too, so it alone proves nothing. It
    /// does not come if the worker's connection was lost since the job began.
    pub async fn terminated(&self) {
        self.terminated.cancelled().await;
    }

    /// Whether the server has ended the job.
    pub fn is_terminated(&self) -> bool {
        self.terminated.is_cancelled()
    }

    /// Resolves once the worker is stopping and the job must end now: the grace period is over, or
    /// there was a second signal.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether the worker is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// As it should.
    Success,
    /// With this error, which LiveKit shows beside the job.
    Failed(String),
}

/// A slot that the application wants for a job of its own.
pub(crate) struct Adoption {
    pub(crate) job_id: String,
    pub(crate) answer: oneshot::Sender<Result<(JobSlot, JobSignals), NoSlot>>,
}

pub(crate) struct JobEnded {
    pub(crate) job_id: String,
    pub(crate) outcome: JobOutcome,
}

/// One of a worker's slots, taken by a job. Dropping it frees the slot; a job that drops it without
/// an outcome, as a panic does, is reported as failed.
pub struct JobSlot {
    job_id: String,
    outcome: Option<JobOutcome>,
    ended: mpsc::Sender<JobEnded>,
}

impl JobSlot {
    pub(crate) fn new(job_id: String, ended: mpsc::Sender<JobEnded>) -> Self {
        Self {
            job_id,
            outcome: None,
            ended,
        }
    }

    /// Frees the slot and reports how the job ended.
    pub fn finish(mut self, outcome: JobOutcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for JobSlot {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            JobOutcome::Failed(if std::thread::panicking() {
                "the job panicked".to_owned()
            } else {
                "the job was dropped without an outcome".to_owned()
            })
        });
        let ended = JobEnded {
            job_id: std::mem::take(&mut self.job_id),
            outcome,
        };
        // The channel holds as many messages as there are slots, and each slot sends one. It is
        // closed once the worker has stopped, and then nobody waits for the slot.
        if let Err(mpsc::error::TrySendError::Full(ended)) = self.ended.try_send(ended) {
            tracing::error!(job = ended.job_id, "slot could not be freed");
        }
    }
}

impl fmt::Debug for JobSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JobSlot")
            .field("job_id", &self.job_id)
            .finish_non_exhaustive()
    }
}
