//! Records and their bytes.
//!
//! Stored form: one byte of version (1), four of CRC-32 (little endian) over the rest, then a protobuf message:
//! `1 seq, 2 kind, 3 epoch, 4 unix_ms, 5 payload`. Fields that a newer Baton adds are skipped; another version is refused.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use prost::Message;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// What a record is about. The numbers are stored: they never change and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The call began; the store keeps room, agent and configuration hash beside it.
    Opened,
    /// An event or fact that the core was given.
    Core,
    /// The baton was granted.
    Grant,
    /// An item of the conversation, new or replaced.
    ContextItem,
    /// An accepted patch of the shared state.
    StatePatch,
    /// The core changed its phase.
    Phase,
    /// The whole call so far: what is needed to rebuild it without the records before.
    Snapshot,
    /// The call ended.
    Ended,
    /// A kind of a newer Baton.
    Unknown(u32),
}

impl Kind {
    /// The stored number.
    pub fn number(self) -> u32 {
        match self {
            Self::Opened => 1,
            Self::Core => 2,
            Self::Grant => 3,
            Self::ContextItem => 4,
            Self::StatePatch => 5,
            Self::Phase => 6,
            Self::Snapshot => 7,
            Self::Ended => 8,
            Self::Unknown(number) => number,
        }
    }

    /// The kind of a stored number.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Opened,
            2 => Self::Core,
            3 => Self::Grant,
            4 => Self::ContextItem,
            5 => Self::StatePatch,
            6 => Self::Phase,
            7 => Self::Snapshot,
            8 => Self::Ended,
            other => Self::Unknown(other),
        }
    }
}

/// What a call appends; the journal numbers it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub epoch: u64,
    /// When it happened, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Opaque bytes, of a format that the writer versions.
    pub payload: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            epoch,
            unix_ms,
            payload,
        } = self;
        write!(
            f,
            "Entry({kind:?} epoch {epoch} at {unix_ms}, {} bytes)",
            payload.len()
        )
    }
}

/// One line of a call's journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the call, from 0 and without gaps, unless records were lost.
    pub seq: u64,
    pub entry: Entry,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?}", self.seq, self.entry)
    }
}

impl Record {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            seq: self.seq,
            kind: self.entry.kind.number(),
            epoch: self.entry.epoch,
            unix_ms: self.entry.unix_ms,
            payload: self.entry.payload.clone(),
        };
        let mut out = Vec::with_capacity(HEADER_BYTES + stored.encoded_len());
        out.push(VERSION);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&stored.encode_to_vec());
        let checksum = crc32fast::hash(&out[HEADER_BYTES..]);
        out[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Bytes that are cut, altered, or of another version.
    pub fn decode(stored: &[u8]) -> Result<Self, RecordError> {
        let Some((header, body)) = stored.split_at_checked(HEADER_BYTES) else {
            return Err(RecordError::Short {
                bytes: stored.len(),
            });
        };
        let [version, c0, c1, c2, c3] = *header else {
            return Err(RecordError::Short {
                bytes: stored.len(),
            });
        };
        if version != VERSION {
            return Err(RecordError::Version { found: version });
        }
        if crc32fast::hash(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(RecordError::Checksum);
        }
        let Stored {
            seq,
            kind,
            epoch,
            unix_ms,
            payload,
        } = Stored::decode(body)?;
        let kind = Kind::from_number(kind);
        Ok(Self {
            seq,
            entry: Entry {
                kind,
                epoch,
                unix_ms,
                payload,
            },
        })
    }
}

/// Why stored bytes are no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than any record has.
    #[error("{bytes} bytes are too few for a record")]
    Short { bytes: usize },
    /// A format that is not known here.
    #[error("record version {found} is not known, {VERSION} is")]
    Version { found: u8 },
    /// The bytes were altered.
    #[error("the record's checksum does not match")]
    Checksum,
    /// The message cannot be read.
    #[error("the record cannot be decoded")]
    Message(#[from] prost::DecodeError),
}

/// Records read back, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Numbers between the asked-for first one and the last one here for which nothing can be read: they were lost or are damaged.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Where to go on reading; `None` at the end.
    pub next: Option<u64>,
}

impl Page {
    /// Collects stored bytes from `from` on; what cannot be decoded is missing.
    pub(crate) fn collect(from: u64, stored: impl Iterator<Item = (u64, Vec<u8>)>) -> Self {
        let mut page = Self::default();
        let mut expected = from;
        for (seq, bytes) in stored {
            let Ok(record) = Record::decode(&bytes) else {
                continue;
            };
            if record.seq != seq || seq < expected {
                continue;
            }
            if seq > expected {
                page.missing.push(expected..=seq - 1);
            }
            expected = seq.saturating_add(1);
            page.records.push(record);
        }
        page
    }
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    unix_ms: u64,
    #[prost(bytes = "bytes", tag = "5")]
    payload: Bytes,
}
