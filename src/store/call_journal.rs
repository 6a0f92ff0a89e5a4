//! Writing one call's journal, and learning what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::backend::{Action, Line, Op, Progress, Writer};
use crate::health::{Health, Trouble};
use crate::record::{Entry, Kind};
use crate::row::CallKey;
use crate::writer::{Message, Shared};

/// The one writer of a call's journal. Dropping it leaves the call open, for whoever claims it.
#[derive(Debug)]
pub struct CallJournal {
    writer: Arc<Writer>,
    sender: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    next_seq: u64,
    /// Stored or waiting.
    bytes: u64,
    /// The newest record that found no room.
    lost_at: Option<u64>,
    /// The newest snapshot.
    snapshot_at: Option<u64>,
}

impl CallJournal {
    pub(crate) fn new(
        writer: Writer,
        next_seq: u64,
        bytes: u64,
        sender: mpsc::Sender<Message>,
        shared: Arc<Shared>,
    ) -> Self {
        let progress = writer.progress.subscribe();
        Self {
            writer: Arc::new(writer),
            sender,
            shared,
            progress,
            next_seq,
            bytes,
            lost_at: None,
            snapshot_at: None,
        }
    }

    /// What the call is stored under.
    pub fn key(&self) -> &CallKey {
        &self.writer.call.key
    }

    /// The generation of our lease.
    pub fn generation(&self) -> u64 {
        self.writer.generation
    }

    /// The number that the next record takes.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Appends a record, without waiting. [`Kind::Ended`] ends the call.
    ///
    /// Where the buffer or the call's bound is full, the record is lost and its number stays unused.
    pub fn append(&mut self, entry: Entry) -> Receipt {
        let seq = self.next_seq;
        self.next_seq += 1;
        let is_snapshot = entry.kind == Kind::Snapshot;
        let is_lost = !self.enqueue(Line::new(seq, entry));
        if is_lost {
            self.shared.lost_records.fetch_add(1, Ordering::Relaxed);
            self.lost_at = Some(seq);
        } else if is_snapshot {
            self.snapshot_at = Some(seq);
        }
        Receipt {
            seq,
            is_lost,
            progress: self.progress.clone(),
            health: self.shared.health.subscribe(),
        }
    }

    /// Moves the lease's end to `ttl_ms` from now. It goes the way of the records, so it comes too late while the store is in trouble.
    pub fn renew(&mut self, now_unix_ms: u64, ttl_ms: u64) {
        self.lease(now_unix_ms, ttl_ms);
    }

    /// Lets another process claim the call at once, behind everything that was appended.
    pub fn release(mut self, now_unix_ms: u64) {
        self.lease(now_unix_ms, 0);
    }

    /// Whether records before the newest are missing in the store, so that only a [`Kind::Snapshot`] makes the call one that can be rebuilt.
    pub fn is_torn(&self) -> bool {
        let gap_at = self.progress.borrow().gap_at;
        self.lost_at
            .max(gap_at)
            .is_some_and(|gap| self.snapshot_at.is_none_or(|snapshot| snapshot < gap))
    }

    /// Whether another process has claimed the call: we are the one that must go.
    pub fn is_fenced(&self) -> bool {
        self.progress.borrow().fenced
    }

    /// Waits until another process has claimed the call; for ever, if none does. Cancel-safe.
    pub async fn fenced(&mut self) {
        // The sender lives as long as we do.
        let _ = self.progress.wait_for(|progress| progress.fenced).await;
    }

    fn lease(&mut self, now_unix_ms: u64, ttl_ms: u64) {
        let action = Action::Lease {
            now_unix_ms,
            ttl_ms,
        };
        let op = Op {
            writer: self.writer.clone(),
            action,
        };
        // Where a full buffer leaves no room, the lease lapses, as it does with a store that is lost.
        let _ = self.sender.try_send(Message::Op(op));
    }

    /// Whether there was room.
    fn enqueue(&mut self, line: Line) -> bool {
        let bytes = line.stored.len() as u64;
        let buffer = &self.shared.buffer;
        let waiting = self
            .shared
            .waiting_bytes
            .load(Ordering::Relaxed)
            .saturating_add(bytes);
        let is_over =
            self.bytes + bytes > buffer.call_bytes_max || waiting > buffer.bytes_max as u64;
        // The end of a call is small, and what makes room in a full store.
        if is_over && !line.ends_call {
            return false;
        }
        let op = Op {
            writer: self.writer.clone(),
            action: Action::Append(line),
        };
        self.shared.waiting_records.fetch_add(1, Ordering::Relaxed);
        self.shared
            .waiting_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        match self.sender.try_send(Message::Op(op)) {
            Ok(()) => {
                self.bytes += bytes;
                true
            }
            Err(_) => {
                self.shared.waiting_records.fetch_sub(1, Ordering::Relaxed);
                self.shared
                    .waiting_bytes
                    .fetch_sub(bytes, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Tells what became of a record. It may be dropped.
#[derive(Clone, Debug)]
pub struct Receipt {
    seq: u64,
    is_lost: bool,
    progress: watch::Receiver<Progress>,
    health: watch::Receiver<Health>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The store has it.
    Durable,
    /// The store is in trouble: the record waits in memory, and the call should go on.
    Buffered(Trouble),
    /// It found no room and will never be stored.
    Lost,
    /// Another process has claimed the call: nothing of ours is stored any more.
    Fenced,
}

impl Receipt {
    /// The record's number.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What has become of the record; `None` while it is on its way.
    pub fn poll(&self) -> Option<Settled> {
        let settled = settled(self.seq, self.is_lost, &self.progress.borrow());
        settled.or_else(|| self.health.borrow().trouble().map(Settled::Buffered))
    }

    /// Waits until the record is durable, or known not to be. Cancel-safe; it answers [`Settled::Buffered`] as soon as the
    /// store is in trouble, and may be asked again later.
    pub async fn settled(&mut self) -> Settled {
        self.wait(true).await
    }

    /// Waits until the record is durable, lost or fenced, however long the store is in trouble. Cancel-safe.
    pub async fn stored(&mut self) -> Settled {
        self.wait(false).await
    }

    async fn wait(&mut self, stops_at_trouble: bool) -> Settled {
        loop {
            let known = settled(self.seq, self.is_lost, &self.progress.borrow_and_update());
            if let Some(settled) = known {
                return settled;
            }
            let health = self.health.borrow_and_update().clone();
            if let Some(trouble) = health.trouble()
                && stops_at_trouble
            {
                return Settled::Buffered(trouble);
            }
            if health == Health::Closed {
                return Settled::Lost;
            }
            let still_there = tokio::select! {
                changed = self.progress.changed() => changed.is_ok(),
                changed = self.health.changed() => changed.is_ok(),
            };
            if !still_there {
                return settled(self.seq, self.is_lost, &self.progress.borrow())
                    .unwrap_or(Settled::Lost);
            }
        }
    }
}

fn settled(seq: u64, is_lost: bool, progress: &Progress) -> Option<Settled> {
    let is_shed = progress
        .shed
        .as_ref()
        .is_some_and(|shed| shed.contains(&seq));
    if is_lost || is_shed {
        Some(Settled::Lost)
    } else if progress.next_seq > seq {
        Some(Settled::Durable)
    } else if progress.fenced {
        Some(Settled::Fenced)
    } else {
        None
    }
}
