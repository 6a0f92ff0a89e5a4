//! The two stores behind one set of operations. The journal's one writer task commits; anyone may read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::config::{JournalConfig, StoreConfig};
use crate::embedded::Embedded;
use crate::error::{ClaimError, StoreError};
use crate::record::{Entry, Kind, Page};
use crate::redis_store::RedisStore;
use crate::row::{CallKey, CallStatus, CallSummary, NewCall};

/// Who writes a call: goes with every operation, so that the store can fence, and begin a call anew that it has lost.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) call: NewCall,
    pub(crate) owner: String,
    pub(crate) generation: u64,
    /// How far its records have come.
    pub(crate) progress: watch::Sender<Progress>,
}

/// How far a call's records have come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Everything below is settled.
    pub(crate) next_seq: u64,
    /// The last record that has a gap right before it.
    pub(crate) gap_at: Option<u64>,
    /// Records that were given up to make the end of the call fit.
    pub(crate) shed: Option<RangeInclusive<u64>>,
    pub(crate) fenced: bool,
}

/// One operation of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) writer: Arc<Writer>,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Stores a record; nothing happens if its number is there already, so a transaction may be repeated.
    Append(Line),
    /// Moves the lease's end to `ttl_ms` from now; 0 releases it.
    Lease { now_unix_ms: u64, ttl_ms: u64 },
}

/// A record in stored form, with what the store itself must know of it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) unix_ms: u64,
    pub(crate) ends_call: bool,
    pub(crate) stored: Bytes,
}

impl Line {
    pub(crate) fn new(seq: u64, entry: Entry) -> Self {
        let (epoch, unix_ms) = (entry.epoch, entry.unix_ms);
        let ends_call = entry.kind == Kind::Ended;
        let stored = crate::record::Record { seq, entry }.encode().into();
        Self {
            seq,
            epoch,
            unix_ms,
            ends_call,
            stored,
        }
    }
}

impl Op {
    pub(crate) fn ends_call(&self) -> bool {
        match &self.action {
            Action::Append(line) => line.ends_call,
            Action::Lease { .. } => false,
        }
    }

    /// What it takes of the buffer and of a transaction.
    pub(crate) fn bytes(&self) -> usize {
        match &self.action {
            Action::Append(line) => line.stored.len(),
            Action::Lease { .. } => 0,
        }
    }
}

/// What a transaction did to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything below `next_seq` that was handed in is durable; `gap_at` is the last record with a gap right before it.
    Stored { next_seq: u64, gap_at: Option<u64> },
    /// Another owner has claimed the call.
    Fenced,
}

impl Outcome {
    /// Adds what a later operation of the same transaction did.
    pub(crate) fn merge(&mut self, later: Self) {
        *self = match (&*self, later) {
            (
                Self::Stored { gap_at, .. },
                Self::Stored {
                    next_seq,
                    gap_at: later,
                },
            ) => Self::Stored {
                next_seq,
                gap_at: later.or(*gap_at),
            },
            (Self::Fenced, _) | (_, Self::Fenced) => Self::Fenced,
        };
    }
}

/// A claimed call.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) call: NewCall,
    pub(crate) generation: u64,
    pub(crate) next_seq: u64,
    pub(crate) bytes: u64,
}

/// What opening a store found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opened {
    /// A damaged file was set aside and a new one begun.
    pub(crate) set_aside: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Embedded(Embedded),
    Redis(RedisStore),
}

impl Backend {
    pub(crate) fn new(config: &JournalConfig) -> Self {
        match &config.store {
            StoreConfig::Embedded(embedded) => {
                Self::Embedded(Embedded::new(embedded, &config.retention))
            }
            StoreConfig::Redis(redis) => Self::Redis(RedisStore::new(redis, &config.retention)),
        }
    }

    /// Opens the store, or opens it again after an error.
    pub(crate) async fn open(&self) -> Result<Opened, StoreError> {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                blocking(move || store.open()).await
            }
            Self::Redis(store) => store.open().await.map(|()| Opened::default()),
        }
    }

    /// Writes all of `ops` or, if it fails, perhaps some of them; one outcome for each call, in the order of its first operation.
    pub(crate) async fn commit(
        &self,
        ops: Vec<Op>,
    ) -> Result<Vec<(Arc<Writer>, Outcome)>, StoreError> {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                blocking(move || store.commit(&ops)).await
            }
            Self::Redis(store) => store.commit(&ops).await,
        }
    }

    pub(crate) async fn calls(
        &self,
        status: CallStatus,
        limit: usize,
    ) -> Result<Vec<CallSummary>, StoreError> {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                blocking(move || store.calls(status, limit)).await
            }
            Self::Redis(store) => store.calls(status, limit).await,
        }
    }

    pub(crate) async fn call(&self, key: &CallKey) -> Result<Option<CallSummary>, StoreError> {
        match self {
            Self::Embedded(store) => {
                let (store, key) = (store.clone(), key.clone());
                blocking(move || store.call(&key)).await
            }
            Self::Redis(store) => store.call(key).await,
        }
    }

    pub(crate) async fn read(
        &self,
        key: &CallKey,
        from: u64,
        limit: usize,
    ) -> Result<Page, StoreError> {
        match self {
            Self::Embedded(store) => {
                let (store, key) = (store.clone(), key.clone());
                blocking(move || store.read(&key, from, limit)).await
            }
            Self::Redis(store) => store.read(key, from, limit).await,
        }
    }

    pub(crate) async fn claim(
        &self,
        key: &CallKey,
        owner: &str,
        now_unix_ms: u64,
        ttl_ms: u64,
    ) -> Result<Claimed, ClaimError> {
        match self {
            Self::Embedded(store) => {
                let (store, key, owner) = (store.clone(), key.clone(), owner.to_owned());
                let claimed =
                    blocking(move || Ok(store.claim(&key, &owner, now_unix_ms, ttl_ms))).await;
                claimed.map_err(ClaimError::Store)?
            }
            Self::Redis(store) => store.claim(key, owner, ttl_ms).await,
        }
    }

    /// Deletes what has outlived its retention; how many calls.
    pub(crate) async fn sweep(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                blocking(move || store.sweep(now_unix_ms)).await
            }
            Self::Redis(store) => store.sweep(now_unix_ms).await,
        }
    }

    /// The size of the embedded file in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        match self {
            Self::Embedded(store) => store.file_bytes(),
            Self::Redis(_) => 0,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                let closed = blocking(move || {
                    store.close();
                    Ok(())
                });
                if let Err(error) = closed.await {
                    tracing::warn!(%error, "journal file did not close");
                }
            }
            Self::Redis(store) => store.close().await,
        }
    }
}

/// Runs disk work off the async threads. A panic in there means bytes that no code expected: damage.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(StoreError::Damaged {
            what: "reading it panicked".to_owned(),
        }),
        Err(_) => Err(StoreError::Closed),
    }
}
