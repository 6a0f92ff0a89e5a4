//! The worker's task: it keeps a connection up and owns the slots.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use livekit_protocol as proto;
use proto::worker_message::Message as ToServer;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::WorkerConfig;
use crate::connect::{ConnectError, connect};
use crate::job::{Adoption, Assignment, JobEnded};
use crate::session::SessionEnd;
use crate::slots::Slots;
use crate::status::{Connection, WorkerStatus};

const RETRY_FIRST: Duration = Duration::from_millis(400);
/// Short, because calls that arrive meanwhile go to other workers or nowhere.
const RETRY_MAX: Duration = Duration::from_secs(5);
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
    pub(crate) adoptions: mpsc::Receiver<Adoption>,
    pub(crate) drain: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) stopping: CancellationToken,
    pub(crate) ended_sender: mpsc::Sender<JobEnded>,
    pub(crate) assignments: mpsc::Sender<Assignment>,
    status: watch::Sender<WorkerStatus>,
    connection: Connection,
    pub(crate) terminations: BTreeMap<String, CancellationToken>,
    pub(crate) report_seq: u64,
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

impl Runner {
    pub(crate) fn new(
        config: WorkerConfig,
        steering: Steering,
        assignments: mpsc::Sender<Assignment>,
        adoptions: mpsc::Receiver<Adoption>,
        status: watch::Sender<WorkerStatus>,
    ) -> Self {
        let Steering {
            drain,
            stopping,
            stop,
        } = steering;
        let (ended_sender, ended) = mpsc::channel(config.slots() as usize);
        Self {
            slots: Slots::new(config.max_jobs, config.slots() - config.max_jobs),
            config,
            outbox: Vec::new(),
            ended,
            adoptions,
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
            tokio::select! {
                () = stop.cancelled() => return None,
                () = drain.cancelled(), if !self.slots.is_draining() => self.slots.drain(),
                Some(ended) = self.ended.recv() => self.job_ended(ended),
                Some(adoption) = self.adoptions.recv() => self.adopt(adoption),
                output = &mut future => return Some(output),
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
}
