//! Tests of the protocol, through its public interface.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod admission;
mod chunks;
mod corpus;
mod links;
mod metadata;
mod reference;
mod samples;
mod sequences;
mod simulation;
mod simulator;
mod traffic;
mod vectors;
mod versions;
