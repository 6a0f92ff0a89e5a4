//! What a [`Conversation`](crate::Conversation) takes and gives: what writers hand in, what they are answered, what readers get, and
//! what the journal has to keep.

use serde_json::{Map, Value};

use crate::item::{Item, ItemError, ItemId, Native};
use crate::log::{AppendError, Author, Head, Position};
use crate::made::UnixMillis;
use crate::merge::Patch;
use crate::state::{ReplayError, StateVersion};
use crate::tools::ToolPolicies;

/// An item as it comes from a writer.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The id that is announced beside it.
    pub id: String,
    /// An encoded `ChatItem`.
    pub chat_item: Vec<u8>,
    /// The framework's own form.
    pub native: Option<Native>,
}

/// A patch as it comes from a writer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IncomingPatch<'a> {
    /// The writer's number for it.
    pub number: u64,
    /// The version that it was made against.
    pub base: StateVersion,
    /// A JSON merge patch.
    pub json: &'a [u8],
}

/// A grant, as far as the conversation is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Granting<'a> {
    /// To which instance.
    pub author: Author,
    /// Its name.
    pub specialist: &'a str,
    /// The epoch that starts.
    pub epoch: u64,
    /// What becomes of the tool calls that still run.
    pub tools: &'a ToolPolicies,
    /// The tool calls that go on: those that asked for the handoff and for delegations.
    pub except: &'a [String],
    /// When.
    pub at: UnixMillis,
}

/// What an input has brought, for whoever runs the conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Journal this: it has to be durable before the next grant takes effect.
    Journal(Record),
    /// This instance writes without reading its answers; it is to be given up.
    Overrun(Author),
}

/// A change, as it is replayed by [`Conversation::replay`].
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An item was added or replaced.
    Item {
        /// Its place in the log.
        position: Position,
        /// Who wrote it; nothing if it is Baton's own.
        author: Option<Author>,
        /// The item.
        item: Item,
    },
    /// The state was changed.
    Patch {
        /// The version that the patch made.
        version: StateVersion,
        /// The patch.
        patch: Patch,
    },
}

/// What becomes of what somebody has written.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of items.
    Items {
        /// Those that are in the conversation.
        kept: Vec<ItemId>,
        /// Those that are not.
        refused: Vec<RefusedItem>,
    },
    /// Of a patch.
    Patch {
        /// The writer's number for it.
        number: u64,
        /// What became of it.
        outcome: PatchOutcome,
    },
}

/// An item that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedItem {
    /// Its announced id, cut off if it is long.
    pub id: String,
    /// Why.
    pub reason: ItemRefusal,
}

/// Why an item was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemRefusal {
    /// Only the holder adds items.
    #[error(
        "only the holder of the baton adds items; others may replace their own, add results of their own tool calls, and what they said before they let go"
    )]
    NotHolder,
    /// It was sent in the epoch of an older grant.
    #[error("epoch {got} is not the grant's epoch {current}")]
    StaleEpoch {
        /// The epoch that it was sent in.
        got: u64,
        /// That of the grant.
        current: u64,
    },
    /// It is no item.
    #[error("{0}")]
    Malformed(String),
    /// It is too large.
    #[error("{0}")]
    TooLarge(String),
    /// There is no room left.
    #[error("{0}")]
    Full(String),
    /// It would become something else.
    #[error("{0}")]
    ChangesKind(String),
    /// The id is of an item that somebody else has written.
    #[error("another has written the item with this id")]
    NotOwn,
}

/// What became of a patch.
#[derive(Clone, PartialEq)]
pub enum PatchOutcome {
    /// All is as the patch wants it, in this version.
    Accepted(StateVersion),
    /// Something that it touches has changed since the version that it was made against.
    Conflict {
        /// The version now.
        version: StateVersion,
        /// The state now, as the writer may see it.
        current: Map<String, Value>,
    },
    /// It is not allowed.
    Denied {
        /// A JSON pointer to the field; empty for the patch as a whole.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Something to send to a reader.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Items of its feed, each with its position there. Position 1 makes the reader start anew.
    Items(Vec<(Position, Item)>),
    /// A change of the state as it sees it. One against version 0 makes the reader start anew.
    State {
        /// The version that the reader has at least.
        base: StateVersion,
        /// The version that it has then.
        version: StateVersion,
        /// A merge patch, as JSON.
        json: String,
    },
    /// What became of what it has written.
    Answer(Answer),
}

/// How what somebody says it has applied stands to its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has all of it.
    Current,
    /// There is more to come.
    Behind,
    /// It has something else: it gets all of it anew.
    Diverged,
}

/// What a reader takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// How far its feed goes.
    pub head: Head,
    /// The version of the state.
    pub state: StateVersion,
}

/// Why a record cannot be replayed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// It is not the next one.
    #[error("item {found} was to be replayed in the place of item {expected}")]
    OutOfOrder {
        /// The next place.
        expected: Position,
        /// The place of the record.
        found: Position,
    },
    /// The item does not fit.
    #[error(transparent)]
    Item(#[from] AppendError),
    /// The patch does not fit.
    #[error(transparent)]
    Patch(#[from] ReplayError),
}

impl From<ItemError> for ItemRefusal {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            ItemError::NoChatItem(_)
            | ItemError::UnknownKind
            | ItemError::IdMismatch { .. }
            | ItemError::BadId { .. }
            | ItemError::NoJson { .. } => Self::Malformed(error.to_string()),
        }
    }
}

impl From<AppendError> for ItemRefusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            AppendError::Full { .. } => Self::Full(error.to_string()),
            AppendError::ChangesKind { .. } => Self::ChangesKind(error.to_string()),
        }
    }
}

/// What was said does not belong into logs.
impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({} bytes)", self.chat_item.len())
    }
}

/// No values: they do not belong into logs.
impl std::fmt::Debug for PatchOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted(version) => write!(f, "Accepted({version})"),
            Self::Conflict { version, .. } => write!(f, "Conflict({version})"),
            Self::Denied { path, .. } => write!(f, "Denied({path})"),
        }
    }
}
