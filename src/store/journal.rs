//! The journal's handle: begin, claim, list and read calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::backend::{Backend, Progress, Writer};
use crate::call_journal::{CallJournal, Receipt};
use crate::config::JournalConfig;
use crate::error::{ClaimError, InvalidCall, StoreError};
use crate::health::{Figures, Health, Trouble};
use crate::record::{Entry, Kind, Page};
use crate::row::{CallKey, CallStatus, CallSummary, NewCall, check_owner};
use crate::writer::{Message, Shared, WriterTask};

/// Room in the queue for what is no record: leases, flushes, checks.
const OTHER_MESSAGES_MAX: usize = 1_024;

/// The journal of all calls of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    sender: mpsc::Sender<Message>,
    backend: Backend,
    shared: Arc<Shared>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What a journal still held when it was closed.
#[derive(Debug, thiserror::Error)]
#[error("{records} records of the journal were not written")]
pub struct Unsaved {
    pub records: u64,
}

impl Journal {
    /// Starts to open the store, and returns at once: a store that is away is one more trouble that heals. [`Self::opened`]
    /// tells how it went. `owner` names this run of the process; no other run may have the same name.
    ///
    /// # Errors
    /// An owner's name that is empty or too long.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: &JournalConfig, owner: &str) -> Result<Self, InvalidCall> {
        check_owner(owner)?;
        let backend = Backend::new(config);
        let shared = Arc::new(Shared::new(owner, &config.buffer, &config.retry));
        let (sender, receiver) = mpsc::channel(config.buffer.records_max + OTHER_MESSAGES_MAX);
        let task = tokio::spawn(WriterTask::new(receiver, backend.clone(), shared.clone()).run());
        Ok(Self {
            sender,
            backend,
            shared,
            task: Arc::new(Mutex::new(Some(task))),
        })
    }

    /// Waits until the store has been opened, or could not be. A large file takes its time, since all of it is verified.
    pub async fn opened(&self) -> Health {
        let mut health = self.shared.health.subscribe();
        let is_known = |health: &Health| {
            *health != Health::Opening && health.trouble() != Some(Trouble::Stalled)
        };
        match health.wait_for(is_known).await {
            Ok(health) => health.clone(),
            Err(_) => Health::Closed,
        }
    }

    /// How the store is doing; changes once per change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Counts since the start.
    pub fn figures(&self) -> Figures {
        let Shared {
            owner: _,
            buffer: _,
            retry: _,
            health: _,
            waiting_records,
            waiting_bytes,
            durable_records,
            commits,
            lost_records,
            troubles,
            damaged_files,
        } = &*self.shared;
        Figures {
            waiting_records: waiting_records.load(Ordering::Relaxed),
            waiting_bytes: waiting_bytes.load(Ordering::Relaxed),
            durable_records: durable_records.load(Ordering::Relaxed),
            commits: commits.load(Ordering::Relaxed),
            lost_records: lost_records.load(Ordering::Relaxed),
            troubles: troubles.load(Ordering::Relaxed),
            damaged_files: damaged_files.load(Ordering::Relaxed),
            file_bytes: self.backend.file_bytes(),
        }
    }

    /// Begins a call, under a lease that ends `ttl_ms` after its opening. The first record is a [`Kind::Opened`] with `payload`.
    /// A key is for one call: if the store knows another of that key, the new one is fenced.
    ///
    /// # Errors
    /// A name that is empty or too long.
    pub fn begin(
        &self,
        call: NewCall,
        ttl_ms: u64,
        payload: Bytes,
    ) -> Result<(CallJournal, Receipt), InvalidCall> {
        call.check()?;
        let unix_ms = call.opened_unix_ms;
        let mut journal = self.call_journal(call, 1, 0, 0);
        let receipt = journal.append(Entry {
            kind: Kind::Opened,
            epoch: 0,
            unix_ms,
            payload,
        });
        journal.renew(unix_ms, ttl_ms);
        Ok((journal, receipt))
    }

    /// Takes over a call whose lease has lapsed, was released, or is ours, for `ttl_ms`. Its former writer is fenced. With
    /// Redis, `now_unix_ms` counts for nothing: leases end by its clock.
    ///
    /// # Errors
    /// The call is held, has ended, is unknown, or the store cannot be asked.
    pub async fn claim(
        &self,
        key: &CallKey,
        now_unix_ms: u64,
        ttl_ms: u64,
    ) -> Result<CallJournal, ClaimError> {
        let claimed = self
            .backend
            .claim(key, &self.shared.owner, now_unix_ms, ttl_ms)
            .await?;
        Ok(self.call_journal(
            claimed.call,
            claimed.generation,
            claimed.next_seq,
            claimed.bytes,
        ))
    }

    /// Lists calls, at most `limit`. What waits in memory is not in it.
    ///
    /// # Errors
    /// The store cannot be asked, or is damaged.
    pub async fn calls(
        &self,
        status: CallStatus,
        limit: usize,
    ) -> Result<Vec<CallSummary>, StoreError> {
        self.checked(self.backend.calls(status, limit).await)
    }

    /// One call; `None` if the store does not know it.
    ///
    /// # Errors
    /// The store cannot be asked, or is damaged.
    pub async fn call(&self, key: &CallKey) -> Result<Option<CallSummary>, StoreError> {
        self.checked(self.backend.call(key).await)
    }

    /// Reads a call's records from number `from` on, in order, at most `limit` of them and some MB at a time. What waits
    /// in memory is not in it.
    ///
    /// # Errors
    /// The store cannot be asked, or is damaged.
    pub async fn read(&self, key: &CallKey, from: u64, limit: usize) -> Result<Page, StoreError> {
        self.checked(self.backend.read(key, from, limit.max(1)).await)
    }

    /// Deletes calls that have outlived their retention, and compacts the embedded file where that pays; how many
    /// calls. For a timer of some minutes.
    ///
    /// # Errors
    /// The store cannot be asked, or is damaged.
    pub async fn sweep(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        self.checked(self.backend.sweep(now_unix_ms).await)
    }

    /// Waits until everything appended so far is settled, however long that takes. Cancel-safe.
    ///
    /// # Errors
    /// The journal was closed meanwhile.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender
            .send(Message::Flush(answer))
            .await
            .map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }

    /// Writes what waits, for at most `limit`, and closes the store. Appends are lost from then on.
    ///
    /// # Errors
    /// Something could not be written in time.
    pub async fn close(&self, limit: Duration) -> Result<(), Unsaved> {
        // Whether it flushed in time shows in what is left.
        let _ = timeout(limit, self.flush()).await;
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // It was cancelled.
            let _ = task.await;
        }
        self.backend.close().await;
        self.shared.health.send_replace(Health::Closed);
        match self.shared.waiting_records.load(Ordering::Relaxed) {
            0 => Ok(()),
            records => Err(Unsaved { records }),
        }
    }

    fn call_journal(
        &self,
        call: NewCall,
        generation: u64,
        next_seq: u64,
        bytes: u64,
    ) -> CallJournal {
        let progress = Progress {
            next_seq,
            ..Progress::default()
        };
        let writer = Writer {
            call,
            owner: self.shared.owner.clone(),
            generation,
            progress: watch::Sender::new(progress),
        };
        CallJournal::new(
            writer,
            next_seq,
            bytes,
            self.sender.clone(),
            self.shared.clone(),
        )
    }

    /// Lets the writer look at a store in which a reader met damage.
    fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && error.trouble() == Trouble::Damaged
        {
            // A queue that is full of records will find the damage by itself.
            let _ = self.sender.try_send(Message::Check);
        }
        result
    }
}
