//! Baton: an in-room orchestrator for voice calls on LiveKit.

pub mod admin;
pub mod app;
pub mod clock;
pub mod doctor;
pub mod graph;
pub mod http;
mod lookup;
pub mod mcp;
pub mod packet;
mod reload;
pub mod resume;
pub mod room;
pub mod rtc;
pub mod side;
pub mod telemetry;

pub use config;
