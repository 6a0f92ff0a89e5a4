//! Scenarios and properties of a call, on a virtual clock, through the public interface.

mod announce;
mod caller;
mod chain;
mod delegation;
mod digits;
mod entry;
mod files;
mod gates;
mod handoff;
mod harness;
mod hold;
mod human;
mod plan;
mod prewarm;
mod random;
mod ready;
mod recovery;
mod resume;
mod rollback;
mod rules;
mod silence;
mod specialists;
mod steps;
mod targets;
mod transfer;
