//! A LiveKit agent worker: registration, jobs, load and drain.
//!
//! A worker holds one WebSocket to a LiveKit server, under an agent name. The server offers it
//! jobs, each of which is a room to join; the worker answers at once, takes the assignments and
//! hands them to the application, which runs them as it likes and drops their [`JobSlot`] at the
//! end. The connection comes back by itself, and jobs go on while it is away.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = worker::WorkerConfig::new("ws://localhost:7880", "devkey", "secret".into());
//! let mut signals = worker::StopSignals::install()?;
//! let (handle, mut assignments) = worker::start(config)?;
//! tokio::spawn(async move {
//!     while let Some(assignment) = assignments.recv().await {
//!         let (url, access_token) = (&assignment.url, assignment.access_token.expose());
//!         // join the room; then, at the end of the call:
//!         # let _ = (url, access_token);
//!         assignment.slot.finish(worker::JobOutcome::Success);
//!     }
//! });
//! signals.next().await;
//! handle.drain(std::time::Duration::from_secs(600), signals.next()).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate never does
//! - It never joins a room and knows nothing of WebRTC.
//! - It never ends a job: a termination sent by the server is passed on as a signal.
//! - It never measures CPU: the load is the share of its slots that is taken.
//! - It never prints a secret or an access token.

mod answers;
mod backoff;
mod config;
mod connect;
mod handle;
pub mod health;
mod job;
mod load;
mod run;
mod secret;
mod session;
mod signals;
mod slots;
mod status;

pub use backoff::Backoff;
pub use config::{Answer, ConfigError, Participant, Permissions, Policy, WorkerConfig};
pub use handle::{Drained, WorkerHandle, start};
pub use job::{Assignment, Job, JobOutcome, JobSignals, JobSlot};
pub use load::{TARGET_LOAD, overflow_load, reported_load, unscaled_load};
pub use secret::Secret;
pub use signals::StopSignals;
pub use slots::{NoSlot, Place};
pub use status::{Connection, StatusWatch, WorkerStatus};
