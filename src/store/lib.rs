//! The journal: the durable, append-only record of every call, from which a call can be rebuilt.
//!
//! A [`Journal`] is opened on one of two stores: a file of its own (redb), for one Baton process, or Redis streams, where
//! several processes share the calls. Each call is written through one [`CallJournal`], which numbers its records.
//! An append returns at once with a [`Receipt`]; one task writes whatever has gathered in a single transaction, and
//! the receipt tells when the record is on the disk. So a grant's record is made durable while the splice point is
//! awaited, and no fsync lies between splice and first frame.
//!
//! A full disk, a damaged file or a lost Redis never ends a call. Appends then gather in a bounded buffer in memory,
//! receipts say [`Settled::Buffered`], [`Health`] changes once, and everything is written when the store is back. What did
//! not fit into the buffer is missing for good: the numbers of the records show the gap, and [`CallJournal::is_torn`]
//! tells the call, which then appends a [`Kind::Snapshot`], from which it can be rebuilt without what came before.
//!
//! # Who may write
//! Each call carries a [`Lease`]: an owner, a generation, an end. [`Journal::claim`] takes a call over once the lease has
//! lapsed, and raises the generation; whoever wrote under an older one is fenced and learns it from
//! [`Settled::Fenced`]. The embedded file is locked by its process, so opening it voids the leases found in it.
//!
//! # What is stored
//! A [`Record`] is a version byte, a CRC-32 and a protobuf message: kind, epoch, milliseconds since 1970, and a payload that
//! this crate never reads. A newer Baton's kinds come back as [`Kind::Unknown`], unharmed.
//!
//! # How durable
//! Embedded: acknowledged after fsync. Redis: acknowledged when Redis has it, so as durable as its `appendonly` and
//! `appendfsync` make it; a fail-over may lose the newest records, which the numbers show as well.
//!
//! # What this crate never does
//! - It never makes a caller wait: [`CallJournal::append`] takes no lock and does no I/O.
//! - It never reads the wall clock: `unix_ms` comes in. Redis leases end by the clock of Redis.
//! - It never interprets a payload, and never prints one.
//! - It never deletes a damaged file: it is set aside, and a new one begun.

mod backend;
mod call_journal;
mod config;
mod embedded;
mod embedded_file;
mod embedded_open;
mod embedded_room;
mod embedded_tables;
mod error;
mod health;
mod journal;
mod record;
mod redis_store;
mod row;
mod writer;

pub use call_journal::{CallJournal, Receipt, Settled};
pub use config::{
    BufferConfig, EmbeddedConfig, JournalConfig, RedisConfig, Retention, RetryConfig, StoreConfig,
};
pub use error::{ClaimError, InvalidCall, StoreError};
pub use health::{Figures, Health, Trouble};
pub use journal::{Journal, Unsaved};
pub use record::{Entry, Kind, Page, Record, RecordError};
pub use row::{CallKey, CallStatus, CallSummary, Lease, NewCall};
