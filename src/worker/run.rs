//! The worker's task: it keeps a connection up, owns the slots, and answers the server.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::{Answer, Participant, WorkerConfig};
use crate::connect::{ConnectError, connect};
use crate::job::{Assignment, Job, JobEnded, JobOutcome, JobSignals, JobSlot};
use crate::load::reported_load;
use crate::secret::Secret;
use crate::session::SessionEnd;
use crate::slots::{NoSlot, RESERVATION_MAX, Slots};
use crate::status::{Connection, WorkerStatus};

const RETRY_FIRST: Duration = Duration::from_millis(400);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Between attempts with keys that the server does not accept.
const RETRY_KEYS: Duration = Duration::from_secs(30);
/// A connection that stood this long starts the series of delays anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Ends of jobs kept while the connection is away; the oldest go first.
const UNSENT_MAX: usize = 1024;

pub(crate) struct Runner {
    pub(crate) config: WorkerConfig,
    pub(crate) slots: Slots,
    pub(crate) outbox: Vec<ToServer>,
    pub(crate) ended: mpsc::Receiver<JobEnded>,
    pub(crate) drain: CancellationToken,
    pub(crate) stop: CancellationToken,
    stopping: CancellationToken,
    ended_sender: mpsc::Sender<JobEnded>,
    assignments: mpsc::Sender<Assignment>,
    status: watch::Sender<WorkerStatus>,
    connection: Connection,
    terminations: BTreeMap<String, CancellationToken>,
    report_seq: u64,
}

/// The tokens by which handles steer the worker's task.
#[derive(Clone, Debug)]
pub(crate) struct Steering {
    /// No new jobs.
    pub(crate) drain: CancellationToken,
    /// Running jobs must end.
    pub(crate) stopping: CancellationToken,
    /// The worker's task ends.
    pub(crate) stop: CancellationToken,
}

/// Whether the connection can be kept after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    GoAway,
}

impl Runner {
    pub(crate) fn new(
        config: WorkerConfig,
        steering: Steering,
        assignments: mpsc::Sender<Assignment>,
        status: watch::Sender<WorkerStatus>,
    ) -> Self {
        let Steering {
            drain,
            stopping,
            stop,
        } = steering;
        let (ended_sender, ended) = mpsc::channel(config.max_jobs as usize);
        Self {
            slots: Slots::new(config.max_jobs),
            config,
            outbox: Vec::new(),
            ended,
            drain,
            stop,
            stopping,
            ended_sender,
            assignments,
            status,
            connection: Connection::Connecting { reason: None },
            terminations: BTreeMap::new(),
            report_seq: 0,
        }
    }

    /// Connects and serves until stopped.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        // What was last said of an outage, so that it is said once.
        let mut said: Option<String> = None;
        loop {
            let config = self.config.clone();
            let delay = match self.meanwhile(connect(&config)).await {
                None => break,
                Some(Ok(registered)) => {
                    said = None;
                    let since = Instant::now();
                    let end = self.serve(registered).await;
                    if since.elapsed() >= STABLE_AFTER {
                        backoff.reset();
                    }
                    match end {
                        SessionEnd::Stopped => break,
                        SessionEnd::GoAway => {
                            tracing::info!("server asked to register anew");
                            self.disconnected("the server asked to register anew".to_owned());
                        }
                        SessionEnd::Lost(reason) => {
                            tracing::warn!(reason, "connection lost, reconnecting");
                            self.disconnected(reason);
                        }
                    }
                    backoff.next_delay(rand::random())
                }
                Some(Err(error)) => {
                    let reason = error.to_string();
                    self.log_failure(&error, said.as_ref() == Some(&reason));
                    let delay = if error.is_about_keys() {
                        RETRY_KEYS.mul_f64(0.5 + 0.5 * rand::random::<f64>())
                    } else {
                        backoff.next_delay(rand::random())
                    };
                    said = Some(reason.clone());
                    self.disconnected(reason);
                    delay
                }
            };
            if self.meanwhile(sleep(delay)).await.is_none() {
                break;
            }
        }
        self.connection = Connection::Stopped;
        self.publish();
        tracing::info!(left = self.slots.active(), "worker stopped");
    }

    fn log_failure(&self, error: &ConnectError, said_before: bool) {
        if said_before {
            tracing::debug!(%error, "still not registered");
        } else if error.is_about_keys() {
            tracing::error!(%error, retry_secs = RETRY_KEYS.as_secs(), "cannot register, retrying slowly");
        } else {
            tracing::warn!(%error, "cannot register, retrying");
        }
    }

    /// Waits for `future` and handles what comes from jobs and handles meanwhile; nothing if the
    /// worker is to stop.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let (drain, stop) = (self.drain.clone(), self.stop.clone());
        loop {
            self.publish();
            // All arms are cancel-safe: tokens, a channel, and a future that is kept.
            let ended = tokio::select! {
                () = stop.cancelled() => return None,
                () = drain.cancelled(), if !self.slots.is_draining() => None,
                Some(ended) = self.ended.recv() => Some(ended),
                output = &mut future => return Some(output),
            };
            match ended {
                Some(ended) => self.job_ended(ended),
                None => self.slots.drain(),
            }
        }
    }

    /// Tells the world how the worker is.
    pub(crate) fn publish(&self) {
        let now = WorkerStatus {
            agent_name: self.config.agent_name.clone(),
            connection: self.connection.clone(),
            running_jobs: self.slots.running(),
            reserved_jobs: self.slots.reserved(),
            max_jobs: self.config.max_jobs,
            draining: self.slots.is_draining(),
        };
        self.status.send_if_modified(|status| {
            let changed = *status != now;
            *status = now;
            changed
        });
    }

    /// A new connection stands: the server knows neither load nor jobs of this worker.
    pub(crate) fn registered(&mut self, worker_id: String, server_version: String) {
        tracing::info!(
            worker = worker_id,
            server_version,
            agent_name = self.config.agent_name,
            jobs = self.slots.active(),
            "registered"
        );
        self.connection = Connection::Registered {
            worker_id,
            server_version,
        };
        self.report_seq = 0;
        let unsent = std::mem::take(&mut self.outbox);
        self.report();
        let running: Vec<String> = self.slots.running_ids().map(str::to_owned).collect();
        for job_id in running {
            self.job_status(job_id, proto::JobStatus::JsRunning, String::new());
        }
        self.outbox.extend(unsent);
    }

    fn disconnected(&mut self, reason: String) {
        self.connection = Connection::Connecting {
            reason: Some(reason),
        };
        for job_id in self.slots.forget_reservations() {
            tracing::info!(job = job_id, "offer lost with the connection");
        }
        // Ends of jobs are told on the next connection; all else is stale by then.
        self.outbox.retain(|message| match message {
            ToServer::UpdateJob(update) => update.status != proto::JobStatus::JsRunning as i32,
            ToServer::Register(_)
            | ToServer::Availability(_)
            | ToServer::UpdateWorker(_)
            | ToServer::Ping(_)
            | ToServer::SimulateJob(_)
            | ToServer::MigrateJob(_) => false,
        });
        let excess = self.outbox.len().saturating_sub(UNSENT_MAX);
        self.outbox.drain(..excess);
    }

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
        match self.slots.assign(&job_id) {
            Ok(()) => {}
            Err(NoSlot::Known) => {
                tracing::warn!(job = job_id, "second assignment of a job ignored");
                return;
            }
            Err(reason @ (NoSlot::Full { .. } | NoSlot::Draining)) => {
                tracing::warn!(job = job_id, %reason, "late assignment refused");
                let error = format!("assigned too late: {reason}");
                self.job_status(job_id, proto::JobStatus::JsFailed, error);
                return;
            }
        }
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

    pub(crate) fn job_ended(&mut self, ended: JobEnded) {
        let JobEnded { job_id, outcome } = ended;
        self.slots.release(&job_id);
        self.terminations.remove(&job_id);
        let (status, error) = match outcome {
            JobOutcome::Success => (proto::JobStatus::JsSuccess, String::new()),
            JobOutcome::Failed(error) => (proto::JobStatus::JsFailed, error),
        };
        tracing::debug!(job = job_id, error, "job ended");
        self.job_status(job_id, status, error);
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

    fn job_status(&mut self, job_id: String, status: proto::JobStatus, error: String) {
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
        self.report_seq += 1;
        self.outbox
            .push(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(status as i32),
                load: reported_load(active, self.config.max_jobs),
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
