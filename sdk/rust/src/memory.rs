//! What a specialist knows and writes of the call: the conversation, and the state that all specialists share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use context::{Head, Item, ItemId, LogLimits, Mirror};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use wire::ContextRefuseKind;

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
    /// If Baton refuses it, or it cannot be sent.
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
        let sent = self.shared.writes.send(write).await;
        sent.map_err(|_| AppendError::CallOver)?;
        answer.await.map_err(|_| AppendError::CallOver)?
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
    /// If somebody was faster, or it is not allowed.
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
        let sent = self.shared.writes.send(write).await;
        sent.map_err(|_| PatchError::CallOver)?;
        answer.await.map_err(|_| PatchError::CallOver)?
    }

    /// Waits until something has changed, in the conversation or in the state.
    pub async fn changed(&self) {
        self.shared.changed().await;
    }
}

impl Shared {
    pub(crate) fn new(writes: mpsc::Sender<Write>) -> Self {
        Self {
            mirror: Arc::new(Mutex::new(Mirror::new(LogLimits::default()))),
            changes: Arc::new(watch::Sender::new(0)),
            writes,
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

    async fn changed(&self) {
        // The sender is held here, so it is never gone.
        let _ = self.changes.subscribe().changed().await;
    }
}
