//! The one task that writes: it commits whatever has gathered, and holds on to it while the store is in trouble.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::backend::{Action, Backend, Op, Outcome, Writer};
use crate::config::{BufferConfig, RetryConfig};
use crate::error::StoreError;
use crate::health::{Health, Trouble};

/// What the task is sent.
#[derive(Debug)]
pub(crate) enum Message {
    Op(Op),
    /// Answered when everything sent before is settled.
    Flush(oneshot::Sender<()>),
    /// A reader met damage: look at the store again.
    Check,
}

/// What the task shares with the journal's handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) owner: String,
    pub(crate) buffer: BufferConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) waiting_records: AtomicU64,
    pub(crate) waiting_bytes: AtomicU64,
    pub(crate) durable_records: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) lost_records: AtomicU64,
    pub(crate) troubles: AtomicU64,
    pub(crate) damaged_files: AtomicU64,
}

impl Shared {
    pub(crate) fn new(owner: &str, buffer: &BufferConfig, retry: &RetryConfig) -> Self {
        Self {
            owner: owner.to_owned(),
            buffer: buffer.clone(),
            retry: retry.clone(),
            health: watch::Sender::new(Health::Opening),
            waiting_records: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            durable_records: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            lost_records: AtomicU64::new(0),
            troubles: AtomicU64::new(0),
            damaged_files: AtomicU64::new(0),
        }
    }

    /// Takes an operation's room in the buffer back.
    pub(crate) fn leave(&self, op: &Op) {
        if let Action::Append(_) = &op.action {
            self.waiting_records.fetch_sub(1, Ordering::Relaxed);
            self.waiting_bytes
                .fetch_sub(op.bytes() as u64, Ordering::Relaxed);
        }
    }
}

pub(crate) struct WriterTask {
    receiver: mpsc::Receiver<Message>,
    backend: Backend,
    shared: Arc<Shared>,
    /// Not settled yet, in order; bounded by what the handles let in.
    pending: VecDeque<Op>,
    /// Operations settled, and taken in, since the start.
    settled: u64,
    taken: u64,
    /// Who waits until that many are settled.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
    is_open: bool,
    pause: Duration,
}

impl WriterTask {
    pub(crate) fn new(
        receiver: mpsc::Receiver<Message>,
        backend: Backend,
        shared: Arc<Shared>,
    ) -> Self {
        let pause = shared.retry.pause_min;
        Self {
            receiver,
            backend,
            shared,
            pending: VecDeque::new(),
            settled: 0,
            taken: 0,
            flushes: VecDeque::new(),
            is_open: false,
            pause,
        }
    }

    /// Runs until every handle is gone and everything is settled.
    pub(crate) async fn run(mut self) {
        loop {
            self.take_waiting();
            if !self.is_open {
                self.open().await;
            } else if !self.pending.is_empty() {
                self.commit().await;
            } else {
                self.answer_flushes();
                let Some(message) = self.receiver.recv().await else {
                    break;
                };
                self.take(message);
            }
        }
        self.backend.close().await;
    }

    fn take_waiting(&mut self) {
        while let Ok(message) = self.receiver.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Op(op) => {
                self.taken += 1;
                self.pending.push_back(op);
            }
            Message::Flush(answer) => self.flushes.push_back((self.taken, answer)),
            Message::Check => self.is_open = false,
        }
        self.answer_flushes();
    }

    async fn open(&mut self) {
        let backend = self.backend.clone();
        match self.unless_stalled(backend.open()).await {
            Ok(opened) => {
                self.is_open = true;
                if opened.set_aside {
                    self.shared.damaged_files.fetch_add(1, Ordering::Relaxed);
                }
                // With something to write, only the write shows that the store is well.
                if self.pending.is_empty() {
                    self.recovered();
                }
            }
            Err(error) => self.failed(&error).await,
        }
    }

    async fn commit(&mut self) {
        let batch = self.batch();
        let backend = self.backend.clone();
        match self.unless_stalled(backend.commit(batch.clone())).await {
            Ok(outcomes) => {
                self.pending.drain(..batch.len());
                self.settle(&batch, &outcomes);
                self.recovered();
            }
            Err(error) => {
                let is_full = error.trouble() == Trouble::Full;
                self.failed(&error).await;
                if is_full {
                    self.take_waiting();
                    self.shed();
                }
            }
        }
    }

    /// The operations of the next transaction.
    fn batch(&self) -> Vec<Op> {
        let BufferConfig {
            commit_records_max,
            commit_bytes_max,
            ..
        } = &self.shared.buffer;
        let mut bytes = 0;
        let fits = |op: &&Op| {
            let is_first = bytes == 0;
            bytes += op.bytes();
            is_first || bytes <= *commit_bytes_max
        };
        self.pending
            .iter()
            .take((*commit_records_max).max(1))
            .take_while(fits)
            .cloned()
            .collect()
    }

    fn settle(&mut self, batch: &[Op], outcomes: &[(Arc<Writer>, Outcome)]) {
        self.settled += batch.len() as u64;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        for op in batch {
            self.shared.leave(op);
            let Action::Append(_) = &op.action else {
                continue;
            };
            let is_fenced = outcomes.iter().any(|(writer, outcome)| {
                Arc::ptr_eq(writer, &op.writer) && *outcome == Outcome::Fenced
            });
            let counter = if is_fenced {
                &self.shared.lost_records
            } else {
                &self.shared.durable_records
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        for (writer, outcome) in outcomes {
            writer.progress.send_modify(|progress| match outcome {
                Outcome::Stored { next_seq, gap_at } => {
                    progress.next_seq = progress.next_seq.max(*next_seq);
                    progress.gap_at = gap_at.or(progress.gap_at);
                }
                Outcome::Fenced => progress.fenced = true,
            });
        }
        self.answer_flushes();
    }

    /// Lets ended calls end though the store is full: only so can they be deleted, and make room. What they had
    /// still to write is given up, and their ends go first.
    fn shed(&mut self) {
        let ends: BTreeSet<usize> = self
            .pending
            .iter()
            .filter(|op| op.ends_call())
            .map(|op| Arc::as_ptr(&op.writer) as usize)
            .collect();
        if ends.is_empty() {
            return;
        }
        let (mut first, mut rest) = (VecDeque::new(), VecDeque::new());
        for op in self.pending.drain(..) {
            if op.ends_call() {
                first.push_back(op);
            } else if ends.contains(&(Arc::as_ptr(&op.writer) as usize)) {
                self.settled += 1;
                self.shared.leave(&op);
                give_up(&self.shared, &op);
            } else {
                rest.push_back(op);
            }
        }
        first.append(&mut rest);
        self.pending = first;
    }

    fn answer_flushes(&mut self) {
        while let Some((wanted, _)) = self.flushes.front() {
            if *wanted > self.settled {
                return;
            }
            if let Some((_, answer)) = self.flushes.pop_front() {
                // Whoever asked may have given up.
                let _ = answer.send(());
            }
        }
    }

    /// Awaits the store, and says so when it takes too long.
    async fn unless_stalled<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::pin!(work);
        let limit = self.shared.retry.stall;
        match timeout(limit, &mut work).await {
            Ok(result) => result,
            Err(_) => {
                self.report(
                    Trouble::Stalled,
                    format!("no answer within {} ms", limit.as_millis()),
                );
                work.await
            }
        }
    }

    async fn failed(&mut self, error: &StoreError) {
        self.is_open = false;
        self.report(error.trouble(), error.to_string());
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.shared.retry.pause_max);
    }

    fn report(&self, trouble: Trouble, detail: String) {
        let known = self.shared.health.borrow().trouble();
        if known == Some(trouble) {
            return;
        }
        if known.is_none() {
            self.shared.troubles.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                trouble = trouble.as_str(),
                detail,
                "journal cannot be written, calls go on and their records wait in memory"
            );
        } else {
            tracing::debug!(
                trouble = trouble.as_str(),
                detail,
                "journal still cannot be written"
            );
        }
        self.shared
            .health
            .send_replace(Health::Degraded { trouble, detail });
    }

    fn recovered(&mut self) {
        self.pause = self.shared.retry.pause_min;
        let was = self.shared.health.borrow().clone();
        match was {
            Health::Healthy | Health::Closed => return,
            Health::Opening => {}
            Health::Degraded { trouble, .. } => {
                let lost_records = self.shared.lost_records.load(Ordering::Relaxed);
                tracing::info!(
                    trouble = trouble.as_str(),
                    lost_records,
                    "journal is written again"
                );
            }
        }
        self.shared.health.send_replace(Health::Healthy);
    }
}

/// Counts a record as lost, and tells its call.
fn give_up(shared: &Shared, op: &Op) {
    let Action::Append(line) = &op.action else {
        return;
    };
    shared.lost_records.fetch_add(1, Ordering::Relaxed);
    op.writer.progress.send_modify(|progress| {
        let first = progress
            .shed
            .as_ref()
            .map_or(line.seq, |shed| *shed.start());
        progress.shed = Some(first..=line.seq);
    });
}
