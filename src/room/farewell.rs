//! The end of a call: what is still on its way is waited for, for a moment, and nothing is left behind.

use std::time::Duration;

use call::EndReason;
use tracing::warn;

use super::task::{Done, Task};
use crate::clock;
use crate::rtc::RoomEvent;

/// The longest that the last requests and frames of a call may take.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// How long the acks of a call's last frames are waited for.
const LAST_FRAMES_MAX: Duration = Duration::from_millis(500);

impl Task {
    /// Waits a moment for the acks of what was said last.
    async fn last_frames(&mut self, reason: EndReason) {
        let deadline = clock::now() + LAST_FRAMES_MAX;
        self.transmit(clock::now());
        while reason.leaves_room() && !self.peers.is_all_acked() && clock::now() < deadline {
            let wake_at = self
                .peers
                .poll_timeout()
                .map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                event = self.connection.next_event() => match event {
                    RoomEvent::Data { sender, topic, payload } if topic == wire::TOPIC => self.frame(sender.as_ref(), &payload).await,
                    RoomEvent::Left(participant) => self.left(&participant),
                    RoomEvent::Closed(_) => return,
                    _ => {}
                },
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            self.transmit(clock::now());
        }
    }

    /// Sends a caller away for whom there was no place; any other is left to whoever else is in its room.
    fn hang_up(&mut self, reason: EndReason) {
        if reason == EndReason::Full
            && let Some(caller) = self.call.snapshot().caller
        {
            self.remove(&caller.identity);
        }
    }

    /// Takes back what was done too late.
    fn undo(&mut self, reason: EndReason, done: Done) {
        match done {
            Done::Dispatched { made: Ok(id), .. } => self.delete_dispatch(id),
            Done::Recording {
                answer: Ok(Some(egress)),
                ..
            } if reason != EndReason::TakenOver => self.stop_egress(egress),
            Done::Recording { .. }
            | Done::Dispatched { made: Err(_), .. }
            | Done::Journaled { .. }
            | Done::LookedUp { .. }
            | Done::Transferred { .. }
            | Done::ServerHeard
            | Done::ReadOut { .. }
            | Done::Summarized { .. } => {}
        }
    }

    /// Leaves nothing behind: last frames, withdrawn dispatches, our own participant.
    pub(super) async fn farewell(mut self) -> EndReason {
        let reason = self.ended.unwrap_or(EndReason::Stopped);
        self.journal.end(self.call.epoch(), reason);
        // Whoever has taken the call over ends its trace.
        if reason != EndReason::TakenOver {
            self.trace.end(reason.code());
        }
        self.hang_up(reason);
        if reason != EndReason::TakenOver {
            self.record_no_more();
        }
        self.last_frames(reason).await;
        self.close_sides();
        let deadline = tokio::time::Instant::now() + FAREWELL_MAX;
        // A dispatch that is still being made is withdrawn as soon as it is there.
        let finished = tokio::time::timeout_at(deadline, async {
            loop {
                tokio::select! {
                    Some(done) = self.done_in.recv() => self.undo(reason, done),
                    joined = self.requests.join_next() => if joined.is_none() { break },
                }
            }
            while let Ok(done) = self.done_in.try_recv() {
                self.undo(reason, done);
            }
            while self.requests.join_next().await.is_some() {}
        });
        if finished.await.is_err() {
            warn!("requests to the server were still running at the call's end");
        }
        let _ = tokio::time::timeout(FAREWELL_MAX, self.connection.close()).await;
        reason
    }
}
