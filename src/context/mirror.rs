//! The reader's side of a [`Conversation`](crate::Conversation): what an instance has got of it, and its own items.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::item::{Item, ItemId};
use crate::log::{AppendError, ContextLog, Head, LogLimits, Position};
use crate::merge::Patch;
use crate::state::StateVersion;

/// What an instance has of the conversation and of the state.
#[derive(Clone)]
pub struct Mirror {
    limits: LogLimits,
    log: ContextLog,
    /// Every id once, in the order in which they came, with what the instance itself has written.
    order: Vec<ItemId>,
    own: HashMap<ItemId, Item>,
    state: Map<String, Value>,
    version: StateVersion,
}

/// Why something that Baton has sent cannot be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MirrorError {
    /// Something is missing before it.
    #[error("item {got} came after item {had}")]
    Gap {
        /// How far the mirror was.
        had: Position,
        /// What came.
        got: Position,
    },
    /// It does not fit.
    #[error(transparent)]
    Item(#[from] AppendError),
    /// A change of the state was made against a version that is not here.
    #[error("a change against version {base} came at version {had}")]
    StateGap {
        /// The version here.
        had: StateVersion,
        /// The version that it was made against.
        base: StateVersion,
    },
}

impl Mirror {
    /// Nothing yet.
    pub fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            log: ContextLog::new(limits),
            order: Vec::new(),
            own: HashMap::new(),
            state: Map::new(),
            version: StateVersion(0),
        }
    }

    /// Takes an item in its place; one at position 1 starts anew.
    ///
    /// # Errors
    /// If it is not the next one, or does not fit.
    pub fn take(&mut self, position: Position, item: Item) -> Result<(), MirrorError> {
        let had = self.log.head().position;
        if position == Position(1) && had > Position(0) {
            self.log = ContextLog::new(self.limits);
            self.order.retain(|id| self.own.contains_key(id));
        } else if position.0 != had.0 + 1 {
            return Err(MirrorError::Gap { had, got: position });
        }
        let id = item.id().clone();
        let known = self.log.current(&id).is_some() || self.own.contains_key(&id);
        self.log.append(item, None)?;
        if !known {
            self.order.push(id);
        }
        Ok(())
    }

    /// Notes an item that the instance itself has written.
    pub fn note_own(&mut self, item: Item) {
        let id = item.id().clone();
        let known = self.log.current(&id).is_some();
        if self.own.insert(id.clone(), item).is_none() && !known {
            self.order.push(id);
        }
    }

    /// How far it is: what is confirmed to Baton.
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// Every item once, as it is now, in the order in which they first came, own ones included.
    pub fn conversation(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.order.iter().filter_map(|id| self.item(id))
    }

    /// The item with this id, as it is now.
    pub fn item(&self, id: &ItemId) -> Option<&Item> {
        let received = self.log.current(id).map(|entry| entry.item());
        received.or_else(|| self.own.get(id))
    }

    /// Takes a change of the state; one against version 0 starts anew.
    ///
    /// # Errors
    /// If it was made against a version that is not here.
    pub fn take_state(
        &mut self,
        base: StateVersion,
        version: StateVersion,
        patch: &Patch,
    ) -> Result<(), MirrorError> {
        if base == StateVersion(0) {
            self.state = Map::new();
        } else if base > self.version {
            let had = self.version;
            return Err(MirrorError::StateGap { had, base });
        } else if version <= self.version {
            // Said again.
            return Ok(());
        }
        patch.apply_to(&mut self.state);
        self.version = version;
        Ok(())
    }

    /// The state as the instance may see it.
    pub fn state(&self) -> &Map<String, Value> {
        &self.state
    }

    /// The version of the state.
    pub fn version(&self) -> StateVersion {
        self.version
    }
}

/// What was said does not belong into logs.
impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror")
            .field("head", &self.head())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
