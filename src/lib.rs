//! Baton: an in-room orchestrator for voice calls on LiveKit.

pub mod config;
