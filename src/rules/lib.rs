//! Conditions of routes and rules, in CEL, over what is known of a call.
//!
//! [`Condition::compile`] refuses what could never work: names that do not exist, results that are no boolean, types that
//! do not fit. [`Condition::evaluate`] answers true, false or an [`EvaluationError`]; whoever asked then says no.
//!
//! Pure: no clock, no I/O. An expression cannot name anything but [`Facts`], and what it may cost is bounded when it is
//! compiled: its length, its nesting, its nodes, and its loops, none of which is inside another. No text makes either
//! function panic, and no message contains a value.

mod check;
mod condition;
mod facts;
mod sample;
#[cfg(test)]
mod tests;
mod value;

pub use condition::{Condition, ConditionError, EvaluationError};
pub use facts::{CallerFacts, Facts, LocalTime};
pub use sample::sample;

/// The longest expression, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1_024;
/// How deep brackets and operators may nest.
pub const DEPTH_MAX: usize = 24;
/// How many nodes an expression may have.
pub const NODES_MAX: usize = 200;
/// How many loops (`all`, `exists`, `filter`, ...) an expression may have; none may be inside another.
pub const LOOPS_MAX: usize = 2;
/// How many values an expression may be given, those within others included; more is an error.
pub const VALUES_MAX: usize = 10_000;
/// How many bytes of text an expression may be given; more is an error.
pub const TEXT_BYTES_MAX: usize = 256 << 10;
