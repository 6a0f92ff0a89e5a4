//! The health page of a worker, as LiveKit's own workers have it on `:8081`.
//!
//! `/` answers 200 `OK` while the worker is registered and 503 with the reason while it is not.
//! `/worker` answers with JSON: LiveKit's fields, and a few of ours. Other pages can be merged into
//! the [`router`] before it is served.

use std::io;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::status::{StatusWatch, WorkerStatus};

/// Where LiveKit's workers serve their health page.
pub const DEFAULT_PORT: u16 = 8081;

/// The pages `/` and `/worker` of the watched worker.
pub fn router(status: StatusWatch) -> Router {
    Router::new()
        .route("/", get(health))
        .route("/worker", get(worker))
        .with_state(status)
}

/// What `/worker` says.
#[derive(Debug, Serialize)]
struct WorkerPage {
    agent_name: String,
    worker_type: &'static str,
    worker_load: f32,
    active_jobs: u32,
    sdk_version: &'static str,
    project_type: &'static str,
    max_jobs: u32,
    draining: bool,
}

impl From<WorkerStatus> for WorkerPage {
    fn from(status: WorkerStatus) -> Self {
        Self {
            worker_type: "JT_ROOM",
            worker_load: status.load(),
            active_jobs: status.active_jobs(),
            sdk_version: env!("CARGO_PKG_VERSION"),
            project_type: "rust",
            max_jobs: status.max_jobs,
            draining: status.draining,
            agent_name: status.agent_name,
        }
    }
}

async fn health(State(status): State<StatusWatch>) -> (StatusCode, String) {
    match status.now().unhealthy_reason() {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn worker(State(status): State<StatusWatch>) -> Json<WorkerPage> {
    Json(status.now().into())
}

/// A bound listener with the pages it will serve.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    router: Router,
    address: SocketAddr,
}

impl HealthServer {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound, a taken port among others.
    pub async fn bind(address: SocketAddr, router: Router) -> Result<Self, HealthError> {
        let bound = TcpListener::bind(address)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => Ok(Self {
                listener,
                router,
                address,
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(HealthError::PortTaken { address })
            }
            Err(source) => Err(HealthError::Bind { address, source }),
        }
    }

    /// The address that is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `until` resolves; open requests are finished.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve(
        self,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), HealthError> {
        let address = self.address;
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(until)
            .await
            .map_err(|source| HealthError::Serve { address, source })
    }
}

/// Why the health page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Another process, or another part of this one, listens there.
    #[error("port {} of {} is taken", address.port(), address.ip())]
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The listener broke.
    #[error("cannot serve on {address} any more")]
    Serve {
        /// The address that was served.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}
