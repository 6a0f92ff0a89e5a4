//! A call as the store lists it: who and where it is, how far its journal goes, whose it is.

use std::fmt;
use std::sync::Arc;

use prost::Message;

use crate::error::InvalidCall;

/// The longest name of a call, room, agent, owner or configuration hash, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// What a call is stored under. It may carry personal data (a room's name often does), so it never prints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(Arc<str>);

impl CallKey {
    /// # Errors
    /// An empty name, or one over 512 bytes.
    pub fn new(key: &str) -> Result<Self, InvalidCall> {
        checked("call key", key)?;
        Ok(Self(key.into()))
    }

    /// The bare string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallKey(..)")
    }
}

/// A call that begins.
#[derive(Clone)]
pub struct NewCall {
    pub key: CallKey,
    pub room: String,
    /// The agent name under which Baton was dispatched.
    pub agent: String,
    /// A hash of the configuration that the call runs on.
    pub config_hash: String,
    /// In milliseconds since 1970.
    pub opened_unix_ms: u64,
}

impl NewCall {
    pub(crate) fn check(&self) -> Result<(), InvalidCall> {
        checked("room", &self.room)?;
        bounded("agent", &self.agent)?;
        bounded("config hash", &self.config_hash)
    }
}

impl fmt::Debug for NewCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCall")
            .field("agent", &self.agent)
            .field("opened_unix_ms", &self.opened_unix_ms)
            .finish_non_exhaustive()
    }
}

/// Who may write a call's journal, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process, by a name that no other run of it has.
    pub owner: String,
    /// Grows with every claim; an older one is fenced.
    pub generation: u64,
    /// In milliseconds since 1970; 0 when it was released.
    pub until_unix_ms: u64,
}

/// Which calls are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// Without an end; the longest silent one first.
    Open,
    /// With an end; the newest end first.
    Ended,
}

/// A call in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct CallSummary {
    pub key: CallKey,
    pub room: String,
    pub agent: String,
    pub config_hash: String,
    pub opened_unix_ms: u64,
    /// The time of the newest record or renewal, in milliseconds since 1970.
    pub last_unix_ms: u64,
    pub ended_unix_ms: Option<u64>,
    /// The number that the next record takes.
    pub next_seq: u64,
    /// Stored records; fewer than `next_seq` when some were lost.
    pub records: u64,
    /// Their stored size.
    pub bytes: u64,
    /// The highest epoch that a record carried.
    pub epoch: u64,
    pub lease: Lease,
}

impl CallSummary {
    /// Whether another owner may claim the call.
    pub fn is_claimable(&self, now_unix_ms: u64) -> bool {
        self.ended_unix_ms.is_none() && self.lease.until_unix_ms <= now_unix_ms
    }
}

impl fmt::Debug for CallSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSummary")
            .field("opened_unix_ms", &self.opened_unix_ms)
            .field("ended_unix_ms", &self.ended_unix_ms)
            .field("next_seq", &self.next_seq)
            .field("records", &self.records)
            .field("bytes", &self.bytes)
            .field("epoch", &self.epoch)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// The embedded store's form of a call; stored, so tags never change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Row {
    /// The call's number in the file, the first half of its records' keys.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(string, tag = "2")]
    pub(crate) room: String,
    #[prost(string, tag = "3")]
    pub(crate) agent: String,
    #[prost(string, tag = "4")]
    pub(crate) config_hash: String,
    #[prost(uint64, tag = "5")]
    pub(crate) opened_unix_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) last_unix_ms: u64,
    #[prost(uint64, optional, tag = "7")]
    pub(crate) ended_unix_ms: Option<u64>,
    #[prost(uint64, tag = "8")]
    pub(crate) next_seq: u64,
    #[prost(uint64, tag = "9")]
    pub(crate) records: u64,
    #[prost(uint64, tag = "10")]
    pub(crate) bytes: u64,
    #[prost(uint64, tag = "11")]
    pub(crate) epoch: u64,
    #[prost(string, tag = "12")]
    pub(crate) owner: String,
    #[prost(uint64, tag = "13")]
    pub(crate) generation: u64,
    #[prost(uint64, tag = "14")]
    pub(crate) until_unix_ms: u64,
}

impl Row {
    pub(crate) fn new(number: u64, call: &NewCall) -> Self {
        let NewCall {
            key: _,
            room,
            agent,
            config_hash,
            opened_unix_ms,
        } = call;
        Self {
            number,
            room: room.clone(),
            agent: agent.clone(),
            config_hash: config_hash.clone(),
            opened_unix_ms: *opened_unix_ms,
            last_unix_ms: *opened_unix_ms,
            ..Self::default()
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease {
            owner: self.owner.clone(),
            generation: self.generation,
            until_unix_ms: self.until_unix_ms,
        }
    }

    pub(crate) fn into_summary(self, key: CallKey) -> CallSummary {
        let Self {
            number: _,
            room,
            agent,
            config_hash,
            opened_unix_ms,
            last_unix_ms,
            ended_unix_ms,
            next_seq,
            records,
            bytes,
            epoch,
            owner,
            generation,
            until_unix_ms,
        } = self;
        CallSummary {
            key,
            room,
            agent,
            config_hash,
            opened_unix_ms,
            last_unix_ms,
            ended_unix_ms,
            next_seq,
            records,
            bytes,
            epoch,
            lease: Lease {
                owner,
                generation,
                until_unix_ms,
            },
        }
    }
}

/// Checks an owner's name.
pub(crate) fn check_owner(owner: &str) -> Result<(), InvalidCall> {
    checked("owner", owner)
}

fn checked(field: &'static str, value: &str) -> Result<(), InvalidCall> {
    if value.is_empty() {
        return Err(InvalidCall::Empty { field });
    }
    bounded(field, value)
}

fn bounded(field: &'static str, value: &str) -> Result<(), InvalidCall> {
    if value.len() > NAME_BYTES_MAX {
        return Err(InvalidCall::TooLong {
            field,
            bytes: value.len(),
            limit: NAME_BYTES_MAX,
        });
    }
    Ok(())
}
