//! Write a Baton specialist in Rust: a program that takes part in a call while it has the baton.
//!
//! A specialist is a LiveKit agent worker. Baton dispatches it into a call's room by its agent name, prepares it, grants
//! it the baton and takes it away again; while it has the baton the caller hears it, and it hears the caller. All of
//! that is done here. What is left to write is an [`Agent`]: what to do when the baton comes.
//!
//! ```no_run
//! use baton_specialist::{Agent, Call, Clip, Grant, Specialist};
//!
//! struct Greeter {
//!     greeting: Clip,
//! }
//!
//! impl Agent for Greeter {
//!     async fn granted(&mut self, call: &Call, _grant: Grant) {
//!         // An error means that the baton is gone: there is nothing left to say.
//!         let _ = call.speaker().say(self.greeting.samples()).await;
//!         if let Err(error) = call.handoff("billing", "the caller was greeted").await {
//!             tracing::warn!(%error, "nobody took over");
//!         }
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let greeting = Clip::load("greeting.wav")?;
//!     let specialist = Specialist::builder("reception").build()?;
//!     let run = specialist.run(move |_call| Greeter { greeting: greeting.clone() });
//!     run.await?;
//!     Ok(())
//! }
//! ```
//!
//! # What is taken care of
//! - The track is closed to everybody but Baton before it is published, and again after a reconnect.
//! - Nothing but silence is sent, and nothing is heard, without the baton or while the connection is restored.
//! - The worker registers, reports its load, reconnects, and drains on SIGTERM: running calls finish.
//!
//! # Building it outside Baton's own workspace
//! The `livekit` crate is built on Baton's own engine in place of Google's library. A `[patch]` does not reach the users
//! of a library, so the workspace that uses this crate has to say it itself:
//!
//! ```toml
//! [patch.crates-io]
//! libwebrtc = { git = "<where Baton is>" }
//! ```

mod agent;
mod builder;
mod clip;
mod hooks;
pub mod items;
mod job;
mod job_error;
mod keys;
mod listener;
mod memory;
mod room;
mod standing;
mod summary;
mod talk;
mod vigil;
mod voice;

pub use agent::{
    Agent, Call, DelegationError, Grant, HandoffDone, HandoffError, Preparation, Refusal,
};
pub use builder::{BuildError, Builder, Specialist};
pub use call::{Epoch, HandoffId, NamedTarget, Opening, SpecialistName, Target, Targets};
pub use clip::{Clip, ClipError};
pub use context::{Head, Item};
pub use keys::Keys;
pub use listener::{CallerFrame, Listener};
pub use memory::{AppendError, Conversation, PatchError, Snapshot, State};
pub use summary::{Summaries, SummaryRequest};
pub use voice::{NoBaton, Speaker};
pub use wire::{ContextRefuseKind, FailKind, RefuseKind};

#[cfg(feature = "misbehave")]
pub use builder::Misbehaviour;

/// Samples per second of all PCM, mono.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples of one frame: 10 ms.
pub const FRAME_SAMPLES: usize = 480;
