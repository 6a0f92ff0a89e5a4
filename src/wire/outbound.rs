//! The sending end of a stream: what waits for its ack, and when it is sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::frame::{Position, Seq, StreamId};
use crate::link_event::LinkCounts;
use crate::pb;

#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) stream: StreamId,
    next: Seq,
    /// The last frame that was acked; one that was given up was not.
    acked: Seq,
    waiting: VecDeque<Waiting>,
    /// Since when an ack is due: the first sending of the oldest frame, or the last ack, if that was later.
    waiting_since: Option<Instant>,
    counts: LinkCounts,
}

#[derive(Debug)]
struct Waiting {
    envelope: pb::Envelope,
    sent: bool,
    due: Instant,
    wait: Duration,
}

impl Outbound {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            next: Seq(1),
            acked: Seq(0),
            waiting: VecDeque::new(),
            waiting_since: None,
            counts: LinkCounts::default(),
        }
    }

    /// What was counted since it was taken last.
    pub(crate) fn take_counts(&mut self) -> LinkCounts {
        std::mem::take(&mut self.counts)
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn last_acked(&self) -> Seq {
        self.acked
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The oldest frame that can still be sent.
    pub(crate) fn oldest(&self) -> Seq {
        Seq(self.next.0 - self.waiting.len() as u64)
    }

    pub(crate) fn push(&mut self, now: Instant, envelope: pb::Envelope, wait: Duration) {
        self.next = self.next.next();
        self.waiting.push_back(Waiting {
            envelope,
            sent: false,
            due: now,
            wait,
        });
    }

    /// Takes an ack; says whether it told anything new, or `None` if it acks what was never sent.
    pub(crate) fn acked(&mut self, now: Instant, position: Position) -> Option<bool> {
        if position.stream != self.stream {
            return Some(false);
        }
        if position.seq >= self.next {
            return None;
        }
        let mut progress = false;
        while self.oldest() <= position.seq {
            self.waiting.pop_front();
            self.acked = position.seq;
            self.counts.acked += 1;
            progress = true;
        }
        if progress && self.waiting_since.is_some() {
            self.waiting_since = (!self.waiting.is_empty()).then_some(now);
        }
        Some(progress)
    }

    /// Everything that waits is due at once, with patience anew.
    pub(crate) fn resend_all(&mut self, now: Instant, wait: Duration) {
        for waiting in &mut self.waiting {
            waiting.due = now;
            waiting.wait = wait;
        }
        self.waiting_since = None;
    }

    /// Gives up what waits: the process it was meant for is gone.
    pub(crate) fn give_up(&mut self) {
        self.waiting.clear();
        self.waiting_since = None;
    }

    /// The next frame that is due, now taken as sent.
    pub(crate) fn poll(&mut self, now: Instant, wait_max: Duration) -> Option<&mut pb::Envelope> {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.due <= now)?;
        waiting.due = now + waiting.wait;
        waiting.wait = (waiting.wait * 2).min(wait_max);
        let again = std::mem::replace(&mut waiting.sent, true);
        self.counts.resent += u64::from(again);
        self.waiting_since.get_or_insert(now);
        Some(&mut waiting.envelope)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }
}
