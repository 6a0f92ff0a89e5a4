//! What leaves through our own participant: frames of the protocol, and the permissions of the program track.
//!
//! A task of its own, since LiveKit makes a sender wait while a data channel is full, and the call's task must not.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::rtc::Sender;

/// Frames that may wait. Beyond them a frame is lost, as the network may lose it: the stream sends it again.
const WAITING_MAX: usize = 256;
/// The longest one send may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to send.
#[derive(Debug)]
enum Outgoing {
    Frame {
        identity: String,
        payload: Vec<u8>,
        reliable: bool,
    },
    Subscribers(BTreeSet<String>),
    Digit {
        identity: String,
        digit: char,
    },
}

/// The call's end of the outbox. Dropping it ends the task once it has sent what waits.
#[derive(Debug)]
pub(super) struct Outbox {
    outgoing: mpsc::Sender<Outgoing>,
}

impl Outbox {
    /// Starts the task.
    pub(super) fn start(sender: Sender) -> Self {
        let (outgoing, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(sender, waiting));
        Self { outgoing }
    }

    /// Sends a frame to one participant.
    pub(super) fn frame(&self, identity: &str, payload: Vec<u8>, reliable: bool) {
        let frame = Outgoing::Frame {
            identity: identity.to_owned(),
            payload,
            reliable,
        };
        if self.outgoing.try_send(frame).is_err() {
            debug!("frame lost, the outbox is full");
        }
    }

    /// Presses a key of a phone's pad for one participant.
    pub(super) fn press(&self, identity: &str, digit: char) {
        let press = Outgoing::Digit {
            identity: identity.to_owned(),
            digit,
        };
        if self.outgoing.try_send(press).is_err() {
            warn!("a digit is lost, the outbox is full");
        }
    }

    /// Opens the program track to exactly these identities.
    pub(super) async fn subscribers(&self, identities: BTreeSet<String>) {
        if self
            .outgoing
            .send(Outgoing::Subscribers(identities))
            .await
            .is_err()
        {
            warn!("the outbox is gone");
        }
    }
}

async fn run(sender: Sender, mut waiting: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = waiting.recv().await {
        let sent = match outgoing {
            Outgoing::Frame {
                identity,
                payload,
                reliable,
            } => {
                timeout(
                    SEND_TIMEOUT,
                    sender.send(&identity, wire::TOPIC, payload, reliable),
                )
                .await
            }
            Outgoing::Subscribers(identities) => {
                timeout(SEND_TIMEOUT, sender.allow_subscribers(&identities)).await
            }
            Outgoing::Digit { identity, digit } => {
                timeout(SEND_TIMEOUT, sender.press(&identity, digit)).await
            }
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "not sent"),
            Err(_) => debug!("not sent within the time limit"),
        }
    }
}
