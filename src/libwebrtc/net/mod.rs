//! The shell around a peer connection: sockets, the clock, and the thread that drives them.
//!
//! All connections of the process share one thread ([`engine`]). Callers change a connection under its lock, which is
//! held for the change alone, and wake its [`driver`], which carries out what follows and tells the application without
//! the lock.

mod carrier;
mod connection;
mod driver;
mod engine;
mod framing;
mod gather;
mod media;
mod pace;
mod paths;
mod relay;
mod servers;
mod state;
mod stun;
mod watch;

pub(crate) use connection::{Connection, ConnectionConfig, EventSink, Policy};
pub(crate) use engine::spawn;
pub(crate) use media::{AudioHandle, AudioTrack, Track, VideoTrack};
pub(crate) use servers::{Help, Server};
pub(crate) use state::{ConnectionReport, Encoding, State, StreamParameters};
