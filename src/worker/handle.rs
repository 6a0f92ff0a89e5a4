//! Starting a worker, and what an application holds of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{ConfigError, WorkerConfig};
use crate::job::{Adoption, Assignment, JobSignals, JobSlot};
use crate::run::{Runner, Steering};
use crate::slots::NoSlot;
use crate::status::{Connection, StatusWatch, WorkerStatus};

/// Slots that may be asked for at the same time; more wait for their turn.
const ADOPTIONS_MAX: usize = 16;
/// How long jobs may take to end once they have been told to.
const END_MAX: Duration = Duration::from_secs(2);
/// How long a stopping worker may take to say farewell.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Starts a worker on the current tokio runtime, which connects in the background and keeps doing
/// so. The receiver yields each job as it is assigned; it never fills up, since each assignment
/// takes a slot and it has room for as many as there are slots.
///
/// # Errors
/// If no worker can run with this configuration. A server that cannot be reached, or that does not
/// accept the keys, is no error here: it shows in the status, and attempts go on, every 15 to 30 s
/// with keys that are not accepted.
pub fn start(
    config: WorkerConfig,
) -> Result<(WorkerHandle, mpsc::Receiver<Assignment>), ConfigError> {
    config.check()?;
    let (assignments, receiver) = mpsc::channel(config.slots() as usize);
    let (adoptions, adoptions_in) = mpsc::channel(ADOPTIONS_MAX);
    let (status, watch) = watch::channel(WorkerStatus {
        agent_name: config.agent_name.clone(),
        connection: Connection::Connecting { reason: None },
        running_jobs: 0,
        reserved_jobs: 0,
        max_jobs: config.max_jobs,
        draining: false,
    });
    let steering = Steering {
        drain: CancellationToken::new(),
        stopping: CancellationToken::new(),
        stop: CancellationToken::new(),
    };
    // The task ends with `stop`, and its end shows in the status: that is how it is tracked.
    let runner = Runner::new(config, steering.clone(), assignments, adoptions_in, status);
    tokio::spawn(runner.run());
    let handle = WorkerHandle {
        stop_on_drop: Arc::new(steering.stop.clone().drop_guard()),
        steering,
        adoptions,
        status: StatusWatch(watch),
    };
    Ok((handle, receiver))
}

/// A running worker. Clones are the same worker; it stops when the last one is dropped.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    steering: Steering,
    adoptions: mpsc::Sender<Adoption>,
    status: StatusWatch,
    #[expect(dead_code, reason = "held for its drop")]
    stop_on_drop: Arc<DropGuard>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All jobs had finished.
    Finished,
    /// The grace period was over, or a second signal came, while jobs were running.
    CutShort {
        /// The jobs that still ran when the worker stopped.
        jobs_left: u32,
    },
}

impl WorkerHandle {
    /// The worker as it is now.
    pub fn status(&self) -> WorkerStatus {
        self.status.now()
    }

    /// A way to watch the worker that does not keep it alive.
    pub fn watch(&self) -> StatusWatch {
        self.status.clone()
    }

    /// Waits until the worker is registered; false if it stopped before.
    pub async fn registered(&self) -> bool {
        let registered =
            |status: &WorkerStatus| matches!(status.connection, Connection::Registered { .. });
        self.watch().wait_for(registered).await.is_some()
    }

    /// Takes a slot for a job that the server has not assigned, such as one that another process has left behind. It
    /// counts for load and drain like any other, and the server is told nothing of it.
    ///
    /// # Errors
    /// There is no slot.
    pub async fn adopt(&self, job_id: &str) -> Result<(JobSlot, JobSignals), NoSlot> {
        let (answer, answered) = oneshot::channel();
        let adoption = Adoption {
            job_id: job_id.to_owned(),
            answer,
        };
        self.adoptions
            .send(adoption)
            .await
            .map_err(|_| NoSlot::Stopped)?;
        answered.await.map_err(|_| NoSlot::Stopped)?
    }

    /// Takes no new jobs from now on. Offers that were accepted still become jobs.
    pub fn close(&self) {
        self.steering.drain.cancel();
    }

    /// Takes no new jobs, waits for the running ones, and stops.
    ///
    /// Jobs that still run after `grace`, or when `now` resolves (a second signal), see
    /// [`JobSignals::stopping`](crate::JobSignals::stopping); they have 2 s to free their slots,
    /// unless it was `now` that ended the wait: then the worker stops at once.
    pub async fn drain<T>(&self, grace: Duration, now: impl Future<Output = T>) -> Drained {
        self.close();
        let mut now = pin!(now);
        // All arms are cancel-safe: a watch, a timer, and a future that is kept.
        let at_once = tokio::select! {
            () = self.idle() => false,
            () = sleep(grace) => false,
            _ = &mut now => true,
        };
        self.steering.stopping.cancel();
        if !at_once {
            tokio::select! {
                () = self.idle() => {}
                () = sleep(END_MAX) => {}
                _ = &mut now => {}
            }
        }
        let jobs_left = self.status().active_jobs();
        self.stop().await;
        match jobs_left {
            0 => Drained::Finished,
            jobs_left => Drained::CutShort { jobs_left },
        }
    }

    /// Stops at once: jobs are told, the connection is closed, and nothing is waited for.
    pub async fn stop(&self) {
        self.steering.stopping.cancel();
        self.steering.stop.cancel();
        let stopped = |status: &WorkerStatus| status.connection == Connection::Stopped;
        let mut watch = self.watch();
        if timeout(STOP_MAX, watch.wait_for(stopped)).await.is_err() {
            tracing::warn!("the worker did not stop in time");
        }
    }

    /// Resolves once the worker drains and no slot is taken, or it has stopped.
    async fn idle(&self) {
        let idle = |status: &WorkerStatus| {
            (status.draining && status.active_jobs() == 0)
                || status.connection == Connection::Stopped
        };
        self.watch().wait_for(idle).await;
    }
}
