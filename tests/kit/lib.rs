//! What the tests and the demo share: a server, a caller, tones, the probe.

pub mod process;
pub mod server;
pub mod stun;
pub mod tls;
pub mod token;

pub mod bare;
pub mod bridge;
pub mod figures;
pub mod probe;
pub mod report;
pub mod spoken;
pub mod survey;
pub mod sweep;
pub mod timeline;
pub mod tone;
pub mod wav;
