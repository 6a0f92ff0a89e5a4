//! The state machine of a call: who holds the baton, and how it moves.

mod call;
mod caller;
mod command;
mod config;
mod event;
mod gates;
mod handoff;
mod ids;
mod life;
mod near;
mod outcome;
mod phase;
mod recovery;
mod roster;
mod snapshot;
mod switch;
mod timer;

pub use call::Call;
pub use command::{Command, Fact};
pub use config::{
    After, CallConfig, ConfigError, FADE_MS_MAX, Fallback, Lifetime, Limits, Names, Opening, Plan,
    ROUTES_MAX, Route, SPECIALISTS_MAX, SpecialistConfig, Splice, TIMER_MS_MAX, Timers,
};
pub use event::{Asker, Departure, Event, HandoffRequest, Misbehaviour, ParticipantKind, Target};
pub use ids::{
    AgentName, CallId, DispatchId, Epoch, HandoffId, Identity, RequestId, SpecialistName, Ticket,
};
pub use outcome::{
    EndReason, FailReason, LossReason, Outcome, RefuseReason, RejectReason, RemoveReason,
};
pub use phase::{Cause, Handoff, Holder, Phase, PhaseName, ReadyWait, SwitchStep};
pub use snapshot::{CallerView, Counts, Snapshot, SpecialistView, Stage, WasAt};
pub use timer::Timer;

/// The longest text taken from a peer, in characters; the rest is cut off.
pub const TEXT_CHARS_MAX: usize = 512;

/// How many participants the caller is kept from at most; one more is removed instead.
pub const SHUT_MAX: usize = 64;
