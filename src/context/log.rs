//! The conversation of a call, in the order in which it came in.
//!
//! The log is only ever appended to. An item with a known id replaces the earlier one in the conversation, at the
//! earlier one's place (an interrupted message becomes the text that was heard), but is an entry of its own in the log.
//! So "item N with hash H" says all about what somebody has applied, and what it missed is what comes after N.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use sha2::{Digest, Sha256};

use crate::item::{Item, ItemId, Kind, ToolCallId};

/// What an entry costs beside its bytes, so that the bound on bytes bounds the memory.
const ENTRY_BYTES: usize = 256;

/// A place in the log, from 1. Position 0 is the empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// An instance of a specialist: Baton's number of the dispatch that it came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Author(pub u64);

/// The hash over the log up to a place. That of the empty log is all zeros; that of entry N is SHA-256 over the hash
/// at N-1 and the [digest](Item::digest) of the item.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LogHash(pub [u8; 32]);

/// How far somebody has a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last entry.
    pub position: Position,
    /// The hash up to there.
    pub hash: LogHash,
}

/// Bounds of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// The largest item, in bytes.
    pub item_bytes_max: usize,
    /// All entries together, in bytes, those that were replaced included. A full log takes no more items.
    pub log_bytes_max: usize,
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct ContextLog {
    limits: LogLimits,
    entries: Vec<Entry>,
    places: HashMap<ItemId, Place>,
    pairs: Pairs,
    bytes: usize,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    item: Item,
    author: Option<Author>,
    place: Position,
    head: Head,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The entry that brought the id, which gives the place in the conversation.
    first: Position,
    /// The entry that counts.
    latest: Position,
}

/// Which call has which result, by the places of both.
#[derive(Clone, Debug, Default)]
struct Pairs {
    open: BTreeMap<ToolCallId, Vec<Position>>,
    output_of: BTreeMap<Position, Position>,
    call_of: BTreeMap<Position, Position>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is new.
    Added(Position),
    /// It replaces the item with its id.
    Replaced(Position),
    /// The log has it as it is; there is no new entry.
    Known,
}

/// Why an item was refused. The log is as it was.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The item is too large.
    #[error("item {id} of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// The item.
        id: ItemId,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There is no room left.
    #[error("item {id} does not fit into a log of at most {max} bytes")]
    Full {
        /// The item.
        id: ItemId,
        /// The limit.
        max: usize,
    },
    /// A replacement is of another kind than what it replaces, or belongs to another tool call.
    #[error("item {id} would become something else")]
    ChangesKind {
        /// The item.
        id: ItemId,
    },
}

/// Somebody's log is not a beginning of this one: it has to start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log up to item {} is not this one's", .0.position)]
pub struct Diverged(pub Head);

impl Position {
    fn of(index: usize) -> Self {
        Self(index as u64 + 1)
    }

    fn index(self) -> Option<usize> {
        usize::try_from(self.0.checked_sub(1)?).ok()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            item_bytes_max: 8 * 1024 * 1024,
            log_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl Head {
    /// The head after one more item.
    #[must_use]
    pub fn after(self, item: &Item) -> Self {
        let mut sha = Sha256::new();
        sha.update(self.hash.0);
        sha.update(item.digest());
        Self {
            position: Position(self.position.0 + 1),
            hash: LogHash(sha.finalize().into()),
        }
    }
}

impl Entry {
    /// The item.
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// Which specialist's instance it came from; nothing if Baton made it.
    pub fn author(&self) -> Option<Author> {
        self.author
    }

    /// The entry's position.
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// The hash up to and with this entry.
    pub fn hash(&self) -> LogHash {
        self.head.hash
    }

    /// The entry that first brought the item's id; the entry's own position unless it is a replacement.
    pub fn place(&self) -> Position {
        self.place
    }

    /// Whether the entry replaces an earlier one.
    pub fn replaces(&self) -> bool {
        self.place != self.head.position
    }
}

impl ContextLog {
    /// An empty log.
    pub fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            entries: Vec::new(),
            places: HashMap::new(),
            pairs: Pairs::default(),
            bytes: 0,
        }
    }

    /// Takes an item in. One with a known id replaces what the conversation has under it.
    pub fn append(&mut self, item: Item, author: Option<Author>) -> Result<Appended, AppendError> {
        let known = self.places.get(item.id()).copied();
        let position = Position::of(self.entries.len());
        if let Some(current) = known.and_then(|place| self.entry(place.latest)) {
            if current.item == item {
                return Ok(Appended::Known);
            }
            if !may_become(current.item.kind(), item.kind()) {
                return Err(AppendError::ChangesKind {
                    id: item.id().clone(),
                });
            }
        }
        let bytes = self.room_for(&item)?;

        let first = known.map_or(position, |place| place.first);
        if known.is_none() {
            self.pairs.note(item.kind(), position);
        }
        let place = Place {
            first,
            latest: position,
        };
        self.places.insert(item.id().clone(), place);
        self.bytes = bytes;
        self.entries.push(Entry {
            head: self.head().after(&item),
            item,
            author,
            place: first,
        });
        Ok(match known {
            Some(_) => Appended::Replaced(position),
            None => Appended::Added(position),
        })
    }

    /// How far the log goes.
    pub fn head(&self) -> Head {
        self.entries
            .last()
            .map_or_else(Head::default, |entry| entry.head)
    }

    /// All entries, those that were replaced included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at a position.
    pub fn entry(&self, position: Position) -> Option<&Entry> {
        self.entries.get(position.index()?)
    }

    /// What somebody who has the log up to `seen` has missed.
    pub fn missed(&self, seen: Head) -> Result<&[Entry], Diverged> {
        let here = match seen.position.index() {
            Some(index) => self.entries.get(index).map(|entry| entry.head),
            None => Some(Head::default()),
        };
        let rest = usize::try_from(seen.position.0)
            .ok()
            .and_then(|start| self.entries.get(start..));
        match rest {
            Some(rest) if here == Some(seen) => Ok(rest),
            Some(_) | None => Err(Diverged(seen)),
        }
    }

    /// The conversation: every item once, as it is now, in the order in which the ids first came.
    pub fn conversation(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| !entry.replaces())
            .filter_map(|entry| self.current(entry.item.id()))
    }

    /// The item with this id, as it is now.
    pub fn current(&self, id: &ItemId) -> Option<&Entry> {
        self.entry(self.places.get(id)?.latest)
    }

    /// The tool calls that have no result yet, oldest first, as they are now.
    pub fn in_flight(&self) -> Vec<&Entry> {
        let mut open: Vec<Position> = self.pairs.open.values().flatten().copied().collect();
        open.sort_unstable();
        open.into_iter()
            .filter_map(|place| self.current(self.entry(place)?.item.id()))
            .collect()
    }

    /// The result of the call at this place, as it is now.
    pub fn output_of(&self, call: Position) -> Option<&Entry> {
        self.current(self.entry(*self.pairs.output_of.get(&call)?)?.item.id())
    }

    /// The call that the result at this place belongs to, as it is now. A result whose call is unknown, or has another
    /// result, belongs to none: it is kept, and goes nowhere.
    pub fn call_of(&self, output: Position) -> Option<&Entry> {
        self.current(self.entry(*self.pairs.call_of.get(&output)?)?.item.id())
    }

    /// The entry that brought what the item at `entry` was at `position`.
    pub(crate) fn as_of<'a>(&'a self, entry: &'a Entry, position: Position) -> &'a Entry {
        if entry.position() <= position {
            return entry;
        }
        let until = usize::try_from(position.0).unwrap_or(usize::MAX);
        self.entries
            .iter()
            .take(until)
            .rfind(|earlier| earlier.place == entry.place)
            .unwrap_or(entry)
    }

    /// The bytes that the log will have with this item.
    fn room_for(&self, item: &Item) -> Result<usize, AppendError> {
        if item.bytes() > self.limits.item_bytes_max {
            return Err(AppendError::TooLarge {
                id: item.id().clone(),
                bytes: item.bytes(),
                max: self.limits.item_bytes_max,
            });
        }
        let bytes = self.bytes + item.bytes() + ENTRY_BYTES;
        if bytes > self.limits.log_bytes_max {
            return Err(AppendError::Full {
                id: item.id().clone(),
                max: self.limits.log_bytes_max,
            });
        }
        Ok(bytes)
    }
}

impl Pairs {
    /// A result belongs to the last call with its id that has none: some models use their ids again.
    fn note(&mut self, kind: &Kind, place: Position) {
        match kind {
            Kind::Call { call, .. } => self.open.entry(call.clone()).or_default().push(place),
            Kind::Output { call } => {
                let Some(open) = self.open.get_mut(call) else {
                    return;
                };
                if let Some(of) = open.pop() {
                    self.output_of.insert(of, place);
                    self.call_of.insert(place, of);
                }
                if open.is_empty() {
                    self.open.remove(call);
                }
            }
            Kind::Message { .. } | Kind::Handoff | Kind::ConfigUpdate => {}
        }
    }
}

fn may_become(old: &Kind, new: &Kind) -> bool {
    match (old, new) {
        (Kind::Message { role: old }, Kind::Message { role: new }) => old == new,
        (Kind::Call { call: old, tool }, Kind::Call { call, tool: new }) => {
            old == call && tool == new
        }
        (Kind::Output { call: old }, Kind::Output { call }) => old == call,
        (Kind::Handoff, Kind::Handoff) | (Kind::ConfigUpdate, Kind::ConfigUpdate) => true,
        (
            Kind::Message { .. }
            | Kind::Call { .. }
            | Kind::Output { .. }
            | Kind::Handoff
            | Kind::ConfigUpdate,
            _,
        ) => false,
    }
}
