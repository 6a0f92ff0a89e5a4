//! The conversation and the shared state of a call, and what of them a specialist may see.
//!
//! [`SharedState`] is one JSON document that all specialists of a call work on. Its [`Scopes`] say, by field path, what
//! a specialist may read and write; a [`Change`] is an accepted patch, and knows how each reader may see it.
//!
//! # What this crate never does
//! - It reads no clock, draws no random number and does no I/O: ids, times and texts come in.
//! - It never panics on input, and holds nothing that a peer could grow without bound.
//! - It never shows a reader a value that is out of its scope: not in a view, a patch, a conflict or an error.

mod merge;
mod schema;
mod scope;
mod stamp;
mod state;

pub use merge::{ParseError, Patch, PatchLimits};
pub use schema::{SchemaError, StateSchema, Violation};
pub use scope::{Access, FieldPath, FieldPathError, ScopeError, Scopes};
pub use state::{Change, Outcome, PatchError, ReplayError, SharedState, StateVersion, Writer};
