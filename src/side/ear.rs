//! The caller's voice on its way into a side room: one track comes in, and goes to whichever room may hear it.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::watch;

use crate::rtc::{IncomingAudio, IncomingPacket, ProgramTrack};

/// A line into a side room: the track that its agent takes for the caller's.
pub type Line = Arc<ProgramTrack>;

/// Samples of a packet at 48 kHz, as every sender of LiveKit makes them.
const PACKET_48K: u32 = 960;
/// Lost packets in a row whose time passes; what is longer counts as a pause, which the line skips by itself.
const LOST_MAX: u64 = 50;

/// Who hears the caller in a side room; nobody at first.
#[derive(Debug)]
pub struct Ear {
    line: watch::Sender<Option<Line>>,
}

impl Default for Ear {
    fn default() -> Self {
        Self {
            line: watch::Sender::new(None),
        }
    }
}

impl Ear {
    /// Leads the caller's voice into this room, or into none.
    pub fn lead_to(&self, line: Option<Line>) {
        self.line.send_replace(line);
    }

    /// Passes on the packets of a track until it ends or the ear is gone; to be run by a task.
    pub fn listen(&self, audio: IncomingAudio) -> impl Future<Output = ()> + Send + 'static {
        pass_on(audio, self.line.subscribe())
    }
}

async fn pass_on(mut audio: IncomingAudio, mut line: watch::Receiver<Option<Line>>) {
    let mut last: Option<IncomingPacket> = None;
    loop {
        // Both arms only receive, and lose nothing when the other one is taken.
        let packet = tokio::select! {
            packet = poll_fn(|cx| audio.poll_next(cx)) => match packet {
                Some(packet) => packet,
                None => return,
            },
            changed = line.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let follows = last.as_ref().filter(|last| last.stream == packet.stream);
        let step = follows.map(|last| packet.sequence.checked_sub(last.sequence));
        let lost = match step {
            None => 0,
            Some(Some(step @ 1..)) => step - 1,
            // Repeated, or too late for its place.
            Some(None | Some(0)) => continue,
        };
        if let Some(line) = &*line.borrow() {
            if (1..=LOST_MAX).contains(&lost) {
                line.skip(lost as u32 * PACKET_48K);
            }
            line.send(packet.payload.clone(), None);
        }
        last = Some(packet);
    }
}
