//! Answering the server: offers, assignments, terminations, and what it is told of jobs and load.

use std::panic::{AssertUnwindSafe, catch_unwind};

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Answer, Participant};
use crate::job::{Adoption, Assignment, Job, JobEnded, JobOutcome, JobSignals, JobSlot};
use crate::load::{overflow_load, reported_load};
use crate::run::Runner;
use crate::secret::Secret;
use crate::slots::{NoSlot, RESERVATION_MAX};

/// Whether the connection can be kept after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    GoAway,
}

impl Runner {
    pub(crate) fn message(&mut self, now: Instant, message: FromServer) -> Flow {
        match message {
            FromServer::Availability(request) => self.offered(now, request),
            FromServer::Assignment(assignment) => self.assigned(assignment),
            FromServer::Termination(termination) => self.terminated(&termination.job_id),
            FromServer::Register(_) => tracing::debug!("second registration ignored"),
            FromServer::Pong(_) => {}
            FromServer::GoAway(_) => return Flow::GoAway,
        }
        Flow::Continue
    }

    fn offered(&mut self, now: Instant, request: proto::AvailabilityRequest) {
        let job_id = match &request.job {
            Some(job) if !job.id.is_empty() => job.id.clone(),
            _ => {
                tracing::warn!("offer without a job ignored");
                return;
            }
        };
        let Some(job) = request.job.and_then(Job::from_proto) else {
            return self.refuse(job_id, "the offer names no room");
        };
        if self.assignments.is_closed() {
            return self.refuse(job_id, "the application takes no more jobs");
        }
        if let Err(reason) = self.slots.vacancy(&job_id) {
            return self.refuse(job_id, &reason.to_string());
        }
        let policy = &self.config.policy;
        let answer = catch_unwind(AssertUnwindSafe(|| policy(&job))).unwrap_or_else(|_| {
            tracing::error!(job = job_id, "the policy panicked");
            Answer::Refuse {
                reason: "the policy panicked".to_owned(),
            }
        });
        let participant = match answer {
            Answer::Accept(participant) => participant,
            Answer::Refuse { reason } => return self.refuse(job_id, &reason),
        };
        if let Err(reason) = self.slots.reserve(now, &job_id) {
            return self.refuse(job_id, &reason.to_string());
        }
        tracing::debug!(job = job_id, room_sid = job.room_sid, "offer accepted");
        // Before the answer, so that the server offers nothing more to a worker that is now full.
        self.report();
        self.outbox.push(accept(job_id, participant));
    }

    fn refuse(&mut self, job_id: String, reason: &str) {
        tracing::info!(job = job_id, reason, "offer refused");
        self.report();
        self.outbox
            .push(ToServer::Availability(proto::AvailabilityResponse {
                job_id,
                available: false,
                ..Default::default()
            }));
    }

    fn assigned(&mut self, message: proto::JobAssignment) {
        let identity_asked = message
            .job
            .as_ref()
            .and_then(|job| job.state.as_ref())
            .map(|state| state.participant_identity.clone());
        let job_id = message.job.as_ref().map(|job| job.id.clone());
        let (Some(job), Some(job_id)) = (message.job.and_then(Job::from_proto), job_id) else {
            tracing::warn!("assignment without a job or a room ignored");
            return;
        };
        let place = match self.slots.assign(&job_id) {
            Ok(place) => place,
            Err(NoSlot::Known) => {
                tracing::warn!(job = job_id, "second assignment of a job ignored");
                return;
            }
            Err(reason @ (NoSlot::Full { .. } | NoSlot::Draining | NoSlot::Stopped)) => {
                tracing::warn!(job = job_id, %reason, "late assignment refused");
                let error = format!("assigned too late: {reason}");
                self.job_status(job_id, proto::JobStatus::JsFailed, error);
                return;
            }
        };
        // The token is what counts in the room; the job's state only repeats what was asked for.
        let identity = livekit_token::Claims::from_unverified(&message.token)
            .map(|claims| claims.sub)
            .ok()
            .or(identity_asked)
            .unwrap_or_default();
        let url = message.url.filter(|url| !url.is_empty());
        let terminated = CancellationToken::new();
        let assignment = Assignment {
            url: url.unwrap_or_else(|| self.config.url.clone()),
            access_token: Secret::new(message.token),
            identity,
            signals: JobSignals {
                terminated: terminated.clone(),
                stopping: self.stopping.clone(),
            },
            slot: JobSlot::new(job_id.clone(), self.ended_sender.clone()),
            place,
            job,
        };
        tracing::debug!(job = job_id, "job assigned");
        self.terminations.insert(job_id.clone(), terminated);
        self.job_status(job_id, proto::JobStatus::JsRunning, String::new());
        // There is room for as many assignments as there are slots. If nobody receives them, the
        // assignment is dropped here, and with it its slot, which reports the job as failed.
        if let Err(error) = self.assignments.try_send(assignment) {
            tracing::error!(%error, "assignment could not be handed over");
        }
    }

    fn terminated(&mut self, job_id: &str) {
        match self.terminations.get(job_id) {
            Some(terminated) => {
                tracing::debug!(job = job_id, "server ended the job");
                terminated.cancel();
            }
            None => tracing::debug!(job = job_id, "termination of an unknown job ignored"),
        }
    }

    /// Gives a slot to a job of the application's own.
    pub(crate) fn adopt(&mut self, adoption: Adoption) {
        let Adoption { job_id, answer } = adoption;
        let slot = self.slots.adopt(&job_id).map(|()| {
            tracing::debug!(job = job_id, "job adopted");
            let signals = JobSignals {
                terminated: CancellationToken::new(),
                stopping: self.stopping.clone(),
            };
            (JobSlot::new(job_id, self.ended_sender.clone()), signals)
        });
        self.report();
        // A slot that nobody waits for any more frees itself.
        let _ = answer.send(slot);
    }

    pub(crate) fn job_ended(&mut self, ended: JobEnded) {
        let JobEnded { job_id, outcome } = ended;
        let of_the_server = self.slots.release(&job_id);
        self.terminations.remove(&job_id);
        let (status, error) = match outcome {
            JobOutcome::Success => (proto::JobStatus::JsSuccess, String::new()),
            JobOutcome::Failed(error) => (proto::JobStatus::JsFailed, error),
        };
        tracing::debug!(job = job_id, error, "job ended");
        if of_the_server {
            self.job_status(job_id, status, error);
        }
        self.report();
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        let expired = self.slots.expire(now);
        for job_id in &expired {
            let waited_secs = RESERVATION_MAX.as_secs();
            tracing::warn!(
                job = job_id,
                waited_secs,
                "accepted job was never assigned, its room may be gone"
            );
        }
        if !expired.is_empty() {
            self.report();
        }
    }

    pub(crate) fn job_status(&mut self, job_id: String, status: proto::JobStatus, error: String) {
        self.outbox
            .push(ToServer::UpdateJob(proto::UpdateJobStatus {
                job_id,
                status: status as i32,
                error,
            }));
    }

    /// Puts the worker's status into the outbox.
    pub(crate) fn report(&mut self) {
        let active = self.slots.active();
        let closed = self.slots.is_full() || self.slots.is_draining();
        let status = if closed {
            proto::WorkerStatus::WsFull
        } else {
            proto::WorkerStatus::WsAvailable
        };
        let max = self.config.max_jobs;
        let load = match self.slots.placed() < max {
            true => reported_load(self.slots.placed(), max),
            false if self.slots.is_full() => reported_load(max, max),
            false => overflow_load(max),
        };
        self.report_seq += 1;
        self.outbox
            .push(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(status as i32),
                load,
                job_count: active,
                draining: self.slots.is_draining(),
                seq: self.report_seq,
            }));
    }
}

fn accept(job_id: String, participant: Participant) -> ToServer {
    let Participant {
        identity,
        name,
        metadata,
        attributes,
    } = participant;
    let identity = if identity.is_empty() {
        format!("agent-{job_id}")
    } else {
        identity
    };
    ToServer::Availability(proto::AvailabilityResponse {
        job_id,
        available: true,
        participant_identity: identity,
        participant_name: name,
        participant_metadata: metadata,
        participant_attributes: attributes.into_iter().collect(),
        ..Default::default()
    })
}
