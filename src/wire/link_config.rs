//! The numbers by which a link runs.

use std::time::Duration;

use call::CallId;

use crate::direction::Side;
use crate::frame::StreamId;

/// What a [`Link`](crate::Link) is made from.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Which side this is.
    pub side: Side,
    /// The call; frames of others are rejected.
    pub call: CallId,
    /// This side's stream: a random number other than 0.
    pub stream: StreamId,
    /// How many frames may wait for their ack; one more is refused. At least 1.
    pub window_frames_max: usize,
    /// How far ahead of what was delivered a frame may be and is held back. It must be at least the peer's window.
    pub held_frames_max: usize,
    /// How long an ack waits for a frame that takes it along.
    pub ack_delay: Duration,
    /// How long an ack is waited for before a frame is sent again; doubles with each time.
    pub resend_first: Duration,
    /// The longest such wait.
    pub resend_max: Duration,
    /// The same for Hello. Its first copies are often lost: nobody knows the sender yet.
    pub hello_resend_first: Duration,
    /// The longest wait for a Welcome before Hello is said again.
    pub hello_resend_max: Duration,
    /// How long no ack at all makes a peer unresponsive.
    pub unresponsive_after: Duration,
    /// The shortest time between two notes that a frame was not accepted.
    pub reject_interval: Duration,
}

impl LinkConfig {
    /// A configuration for ordinary networks.
    pub fn new(side: Side, call: CallId, stream: StreamId) -> Self {
        Self {
            side,
            call,
            stream,
            window_frames_max: 64,
            held_frames_max: 64,
            ack_delay: Duration::from_millis(20),
            resend_first: Duration::from_millis(200),
            resend_max: Duration::from_secs(5),
            hello_resend_first: Duration::from_millis(50),
            hello_resend_max: Duration::from_secs(1),
            unresponsive_after: Duration::from_secs(10),
            reject_interval: Duration::from_secs(1),
        }
    }
}
