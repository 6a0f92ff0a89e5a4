//! What a specialist hears: the caller, while it has the baton.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::FRAME_SAMPLES;

/// Frames that wait for a listener that is late: 500 ms. Then the oldest are dropped.
const FRAMES_MAX: usize = 50;

/// 10 ms of the caller: 480 samples, 48,000 a second, mono.
pub type CallerFrame = Arc<[i16; FRAME_SAMPLES]>;

/// What the caller says, from the moment it was made. It yields nothing while the specialist does not have the baton.
#[derive(Debug)]
pub struct Listener {
    frames: broadcast::Receiver<CallerFrame>,
}

impl Listener {
    /// The next 10 ms, or `None` when the call is over for this specialist. A listener that is more than 500 ms late
    /// misses the oldest frames. Cancel-safe.
    pub async fn next(&mut self) -> Option<CallerFrame> {
        loop {
            match self.frames.recv().await {
                Ok(frame) => return Some(frame),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The end at which frames come in.
#[derive(Debug, Clone)]
pub(crate) struct CallerAudio {
    frames: broadcast::Sender<CallerFrame>,
}

impl CallerAudio {
    pub(crate) fn new() -> Self {
        Self {
            frames: broadcast::Sender::new(FRAMES_MAX),
        }
    }

    pub(crate) fn listener(&self) -> Listener {
        Listener {
            frames: self.frames.subscribe(),
        }
    }

    pub(crate) fn push(&self, frame: [i16; FRAME_SAMPLES]) {
        // Nobody may be listening.
        let _ = self.frames.send(Arc::new(frame));
    }
}
