//! What a specialist knows and writes of the call: the conversation, and the state that all specialists share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use context::{Head, Item, ItemId, LogLimits, Mirror};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use wire::{BODY_BYTES_CEILING, ContextRefuseKind};

/// The conversation of a call, as a specialist sees it. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Conversation {
    shared: Shared,
}

/// The state that all specialists of a call share: one JSON document. Clones are the same one.
#[derive(Debug, Clone)]
pub struct State {
    shared: Shared,
}

/// The state at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its version, to compare and set against.
    pub version: u64,
    /// What this specialist may see of it.
    pub document: Map<String, Value>,
}

/// What the job and the agent both hold.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    mirror: Arc<Mutex<Mirror>>,
    changes: Arc<watch::Sender<u64>>,
    writes: mpsc::Sender<Write>,
    write_timeout: Duration,
}

/// What an agent writes.
#[derive(Debug)]
pub(crate) enum Write {
    Items {
        items: Vec<Item>,
        reply: oneshot::Sender<Result<(), AppendError>>,
    },
    Patch {
        base: u64,
        patch: Map<String, Value>,
        reply: oneshot::Sender<Result<u64, PatchError>>,
    },
}

/// What became of a write.
enum Written<T> {
    Answered(T),
    TimedOut(Duration),
    CallOver,
}

/// Why an item is not in the conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Baton refused it.
    #[error("item {id:?} was refused: {detail}; {}", advice(*.reason))]
    Refused {
        /// The item.
        id: String,
        /// Why.
        reason: ContextRefuseKind,
        /// The same as a sentence.
        detail: String,
    },
    /// It is too large to be sent.
    #[error("the items cannot be sent: {detail}; send fewer at once, or shorten them")]
    NotSent {
        /// Why.
        detail: String,
    },
    /// Baton has not answered, and may have them or get them yet: the same items may be appended again.
    #[error("the items were not acknowledged within {} ms", limit.as_millis())]
    TimedOut {
        /// [`Builder::write_timeout`](crate::Builder::write_timeout).
        limit: Duration,
    },
    /// The call is over for this specialist.
    #[error("the call is over")]
    CallOver,
}

/// Why a patch is not in the state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// Another specialist has changed what it touches. Merge with what is there now, and try again against its version.
    #[error("version {} has changed what the patch touches; merge with it and try again", current.version)]
    Conflict {
        /// The state as it is now.
        current: Snapshot,
    },
    /// It is not allowed, or would break the state's schema.
    #[error("the patch was refused at {path:?}: {reason}")]
    Denied {
        /// A JSON pointer to the field; empty for the patch as a whole.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is no JSON object.
    #[error("a patch is a JSON object: fields to set, and null for those to remove")]
    NoObject,
    /// It is too large to be sent.
    #[error("the patch cannot be sent: {detail}")]
    NotSent {
        /// Why.
        detail: String,
    },
    /// Baton has not answered, and may have it or get it yet: look at the state before it is tried again.
    #[error("the patch was not answered within {} ms", limit.as_millis())]
    TimedOut {
        /// [`Builder::write_timeout`](crate::Builder::write_timeout).
        limit: Duration,
    },
    /// The call is over for this specialist.
    #[error("the call is over")]
    CallOver,
}

fn advice(reason: ContextRefuseKind) -> &'static str {
    match reason {
        ContextRefuseKind::NotHolder => "add items while the baton is here",
        ContextRefuseKind::StaleEpoch => "the baton has moved since: leave it to who has it now",
        ContextRefuseKind::Malformed => "make items with `items`, or from a LiveKit chat item",
        ContextRefuseKind::TooLarge => "shorten it, or say where it can be found",
        ContextRefuseKind::Full => "the conversation takes nothing more",
        ContextRefuseKind::ChangesKind | ContextRefuseKind::NotOwn => "give it an id of its own",
        ContextRefuseKind::Unknown => "see Baton's log",
    }
}

impl Conversation {
    /// Every item once, as it is now, in the order in which they first came, own ones included.
    pub fn items(&self) -> Vec<Item> {
        self.shared.lock().conversation().cloned().collect()
    }

    /// The item with this id, as it is now.
    pub fn item(&self, id: &str) -> Option<Item> {
        self.shared.lock().item(&ItemId::from(id)).cloned()
    }

    /// How much of what Baton has sent is here; both sides say the same number and hash.
    pub fn head(&self) -> Head {
        self.shared.lock().head()
    }

    /// Adds an item, or replaces the own one with its id: an interrupted message becomes what was heard. Returns when
    /// Baton has it; if this specialist is lost from then on, the next one has it too.
    ///
    /// # Errors
    /// If Baton refuses it or does not answer in time, or it cannot be sent.
    pub async fn append(&self, item: Item) -> Result<(), AppendError> {
        self.append_all(vec![item]).await
    }

    /// The same with several items at once, in their order; the first that is refused is the error, and the others are
    /// in the conversation.
    ///
    /// # Errors
    /// As [`Conversation::append`].
    pub async fn append_all(&self, items: Vec<Item>) -> Result<(), AppendError> {
        if items.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let write = Write::Items { items, reply };
        match self.shared.write(write, answer).await {
            Written::Answered(answer) => answer,
            Written::TimedOut(limit) => Err(AppendError::TimedOut { limit }),
            Written::CallOver => Err(AppendError::CallOver),
        }
    }

    /// Waits until something has changed, in the conversation or in the state.
    pub async fn changed(&self) {
        self.shared.changed().await;
    }
}

impl State {
    /// The state as it is now.
    pub fn get(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Writes what `patch` says, a JSON merge patch (RFC 7396), against the state as it is here; gives the version that
    /// it made. Who has the baton always gets its way; others get a conflict if somebody was faster.
    ///
    /// # Errors
    /// If somebody was faster, it is not allowed, or Baton does not answer in time.
    pub async fn patch(&self, patch: Value) -> Result<u64, PatchError> {
        let version = self.get().version;
        self.compare_and_set(version, patch).await
    }

    /// The same against the version that the patch was made from.
    ///
    /// # Errors
    /// As [`State::patch`].
    pub async fn compare_and_set(&self, version: u64, patch: Value) -> Result<u64, PatchError> {
        let Value::Object(patch) = patch else {
            return Err(PatchError::NoObject);
        };
        let (reply, answer) = oneshot::channel();
        let write = Write::Patch {
            base: version,
            patch,
            reply,
        };
        match self.shared.write(write, answer).await {
            Written::Answered(answer) => answer,
            Written::TimedOut(limit) => Err(PatchError::TimedOut { limit }),
            Written::CallOver => Err(PatchError::CallOver),
        }
    }

    /// Waits until something has changed, in the conversation or in the state.
    pub async fn changed(&self) {
        self.shared.changed().await;
    }
}

impl Shared {
    pub(crate) fn new(writes: mpsc::Sender<Write>, write_timeout: Duration) -> Self {
        Self {
            mirror: Arc::new(Mutex::new(Mirror::new(LogLimits {
                item_bytes_max: BODY_BYTES_CEILING,
                ..LogLimits::default()
            }))),
            changes: Arc::new(watch::Sender::new(0)),
            writes,
            write_timeout,
        }
    }

    pub(crate) fn conversation(&self) -> Conversation {
        Conversation {
            shared: self.clone(),
        }
    }

    pub(crate) fn state(&self) -> State {
        State {
            shared: self.clone(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mirror = self.lock();
        Snapshot {
            version: mirror.version().0,
            document: mirror.state().clone(),
        }
    }

    /// Nothing panics while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn say_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What becomes of a write. The job keeps one that nobody waits for any more, and bounds how many there are.
    async fn write<T>(&self, write: Write, answer: oneshot::Receiver<T>) -> Written<T> {
        let answered = async {
            self.writes.send(write).await.ok()?;
            answer.await.ok()
        };
        match timeout(self.write_timeout, answered).await {
            Ok(Some(answer)) => Written::Answered(answer),
            Ok(None) => Written::CallOver,
            Err(_) => Written::TimedOut(self.write_timeout),
        }
    }

    async fn changed(&self) {
        // The sender is held here, so it is never gone.
        let _ = self.changes.subscribe().changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn item(id: &str) -> Item {
        crate::items::message(id, crate::items::Speaks::Specialist, "hello")
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_answers_ends_at_its_limit() {
        let (writes, mut written) = mpsc::channel(1);
        let memory = Shared::new(writes, LIMIT);
        let timed_out = AppendError::TimedOut { limit: LIMIT };
        let start = tokio::time::Instant::now();
        let append = memory.conversation().append(item("a1")).await;
        assert_eq!((append, start.elapsed()), (Err(timed_out.clone()), LIMIT));
        // The job has not even taken the first: there is no place for another.
        let patch = memory.state().patch(serde_json::json!({"a": 1})).await;
        assert_eq!(patch, Err(PatchError::TimedOut { limit: LIMIT }));
        assert_eq!(start.elapsed(), 2 * LIMIT);
        assert!(matches!(written.recv().await, Some(Write::Items { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_after_the_call_says_so_at_once() {
        let (writes, written) = mpsc::channel(1);
        let memory = Shared::new(writes, LIMIT);
        drop(written);
        let start = tokio::time::Instant::now();
        let append = memory.conversation().append(item("a1")).await;
        assert_eq!(append, Err(AppendError::CallOver));
        let patch = memory.state().patch(serde_json::json!({"a": 1})).await;
        assert_eq!(patch, Err(PatchError::CallOver));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
