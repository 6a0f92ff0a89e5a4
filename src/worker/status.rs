//! A snapshot of a worker, and a way to watch it that does not keep the worker alive.

use tokio::sync::watch;

use crate::load::unscaled_load;

/// A worker as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The name it is registered under.
    pub agent_name: String,
    /// The state of its connection.
    pub connection: Connection,
    /// Jobs that run.
    pub running_jobs: u32,
    /// Offers that were accepted and wait for their assignment; each takes a slot.
    pub reserved_jobs: u32,
    /// The number of slots.
    pub max_jobs: u32,
    /// Whether it takes no more jobs.
    pub draining: bool,
}

impl WorkerStatus {
    /// Slots taken, by running jobs and by offers that wait for their assignment.
    pub fn active_jobs(&self) -> u32 {
        self.running_jobs.saturating_add(self.reserved_jobs)
    }

    /// The share of the slots that is taken, from 0 to 1.
    pub fn load(&self) -> f32 {
        unscaled_load(self.active_jobs(), self.max_jobs)
    }

    /// Why the worker gets no jobs although it should, or nothing if all is well. Being full or
    /// draining is well.
    pub fn unhealthy_reason(&self) -> Option<String> {
        match &self.connection {
            Connection::Registered { .. } => None,
            Connection::Connecting { reason: None } => Some("not yet registered".to_owned()),
            Connection::Connecting {
                reason: Some(reason),
            } => Some(format!("not registered: {reason}")),
            Connection::Stopped => Some("stopped".to_owned()),
        }
    }
}

/// The state of a worker's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Not registered; attempts go on.
    Connecting {
        /// Why the last attempt or connection ended; nothing before the first one has.
        reason: Option<String>,
    },
    /// Registered: offers arrive.
    Registered {
        /// The id that the server gave the worker for this connection.
        worker_id: String,
        /// The server's version.
        server_version: String,
    },
    /// Stopped for good.
    Stopped,
}

/// Watches a worker's status without keeping the worker alive.
#[derive(Clone, Debug)]
pub struct StatusWatch(pub(crate) watch::Receiver<WorkerStatus>);

impl StatusWatch {
    /// The status now.
    pub fn now(&self) -> WorkerStatus {
        let mut status = self.0.borrow().clone();
        // Without a sender the worker's task is gone, whatever it said last.
        if self.0.has_changed().is_err() {
            status.connection = Connection::Stopped;
        }
        status
    }

    /// Waits until `holds` is true of the status and returns that status; nothing if the worker
    /// stopped before.
    pub async fn wait_for(
        &mut self,
        holds: impl FnMut(&WorkerStatus) -> bool,
    ) -> Option<WorkerStatus> {
        self.0
            .wait_for(holds)
            .await
            .ok()
            .map(|status| status.clone())
    }
}
