//! The receiving end of bodies that are too large for one frame.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::body::{Body, ContextChunk};
use crate::chunk_limits::ChunkLimits;
use crate::chunks::is_divisible;
use crate::codec::{self, BodyError};
use crate::items;
use crate::reason::RejectReason;

/// How many refused transfers are remembered, so that the rest of their pieces is passed over.
const REFUSED_MAX: usize = 16;
const SHA256_BYTES: usize = 32;

/// Puts the [`ContextChunk`]s of one peer together again.
///
/// The pieces of a transfer come in order, as a [`Link`](crate::Link) delivers them; several transfers may be mixed. A
/// transfer with an error is refused once, and the rest of it is passed over.
#[derive(Debug)]
pub struct Assembly {
    limits: ChunkLimits,
    open: BTreeMap<u64, Open>,
    refused: VecDeque<u64>,
}

/// What a piece has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembled {
    /// There is more to come.
    More,
    /// It was the last: this is the whole.
    Whole(Body),
    /// It belongs to a transfer that was refused.
    PassedOver,
}

/// Why a transfer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// The whole would be too large. Nothing was allocated for it.
    #[error("transfer {transfer} declares {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Which transfer.
        transfer: u64,
        /// The declared size, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many are under way.
    #[error("transfer {transfer} is one too many, {limit} at once is the limit")]
    TooMany {
        /// Which transfer.
        transfer: u64,
        /// The limit, in transfers.
        limit: usize,
    },
    /// A piece is missing before this one.
    #[error("transfer {transfer} goes on at byte {got}, only {had} bytes are there")]
    Gap {
        /// Which transfer.
        transfer: u64,
        /// What is there, in bytes.
        had: u64,
        /// Where the piece starts, in bytes.
        got: u64,
    },
    /// A piece covers what is there already.
    #[error("transfer {transfer} goes back to byte {got}, {had} bytes are there")]
    Overlap {
        /// Which transfer.
        transfer: u64,
        /// What is there, in bytes.
        had: u64,
        /// Where the piece starts, in bytes.
        got: u64,
    },
    /// A piece reaches beyond the declared size.
    #[error("transfer {transfer} reaches byte {end}, it declares {total} bytes")]
    Beyond {
        /// Which transfer.
        transfer: u64,
        /// Where the piece ends, in bytes.
        end: u64,
        /// The declared size, in bytes.
        total: u64,
    },
    /// A piece is empty.
    #[error("transfer {transfer} has an empty piece")]
    Empty {
        /// Which transfer.
        transfer: u64,
    },
    /// The hash has the wrong length.
    #[error("transfer {transfer} has a hash of {bytes} bytes, a SHA-256 has 32")]
    NotAHash {
        /// Which transfer.
        transfer: u64,
        /// Its length, in bytes.
        bytes: usize,
    },
    /// A piece declares another size or hash than the first one.
    #[error("transfer {transfer} declares another size or hash than before")]
    Changed {
        /// Which transfer.
        transfer: u64,
    },
    /// The whole is not what was declared.
    #[error("transfer {transfer} has another hash than it declares")]
    WrongHash {
        /// Which transfer.
        transfer: u64,
    },
    /// The whole has too many context items.
    #[error("transfer {transfer} has {items} context items, the limit is {limit}")]
    TooManyItems {
        /// Which transfer.
        transfer: u64,
        /// How many.
        items: usize,
        /// The limit.
        limit: usize,
    },
    /// The whole is no body.
    #[error("transfer {transfer} is no body: {detail}")]
    Malformed {
        /// Which transfer.
        transfer: u64,
        /// What is wrong.
        detail: String,
    },
    /// The whole is a body of a newer minor version.
    #[error("transfer {transfer} is a body that is unknown here")]
    UnknownBody {
        /// Which transfer.
        transfer: u64,
    },
    /// Only this side says such a thing.
    #[error("transfer {transfer} is {body}, which goes the wrong way")]
    WrongDirection {
        /// Which transfer.
        transfer: u64,
        /// The body's name.
        body: &'static str,
    },
    /// Such a body does not travel in pieces.
    #[error("transfer {transfer} is {body}, which does not travel in pieces")]
    NotDivisible {
        /// Which transfer.
        transfer: u64,
        /// The body's name.
        body: &'static str,
    },
}

struct Open {
    total_bytes: u64,
    sha256: Vec<u8>,
    bytes: Vec<u8>,
    hash: Sha256,
}

impl Assembly {
    /// With nothing under way.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            open: BTreeMap::new(),
            refused: VecDeque::new(),
        }
    }

    /// Takes a piece in the order in which the link has delivered it.
    ///
    /// # Errors
    /// If the transfer is refused with this piece. What it had is dropped.
    pub fn take(&mut self, chunk: ContextChunk) -> Result<Assembled, AssemblyError> {
        let transfer = chunk.transfer;
        if chunk.offset > 0 && self.refused.contains(&transfer) {
            return Ok(Assembled::PassedOver);
        }
        // A first piece starts the transfer anew.
        self.refused.retain(|refused| *refused != transfer);
        let taken = self.take_piece(chunk);
        if taken.is_err() {
            self.open.remove(&transfer);
            if self.refused.len() == REFUSED_MAX {
                self.refused.pop_front();
            }
            self.refused.push_back(transfer);
        }
        taken
    }

    /// Drops all that is under way. To be called when the peer follows with another stream: it is another process.
    pub fn clear(&mut self) {
        self.open.clear();
        self.refused.clear();
    }

    /// How many transfers are under way.
    pub fn transfers(&self) -> usize {
        self.open.len()
    }

    /// What they hold, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.open.values().map(|open| open.bytes.len()).sum()
    }

    fn take_piece(&mut self, chunk: ContextChunk) -> Result<Assembled, AssemblyError> {
        let ContextChunk {
            transfer,
            offset,
            total_bytes,
            sha256,
            data,
        } = chunk;
        if !self.open.contains_key(&transfer) {
            self.check_first(transfer, offset, total_bytes, &sha256)?;
        }
        let open = self.open.entry(transfer).or_insert_with(|| Open {
            total_bytes,
            sha256: sha256.clone(),
            bytes: Vec::new(),
            hash: Sha256::new(),
        });
        if open.total_bytes != total_bytes || open.sha256 != sha256 {
            return Err(AssemblyError::Changed { transfer });
        }
        open.append(transfer, offset, &data)?;
        if (open.bytes.len() as u64) < total_bytes {
            return Ok(Assembled::More);
        }
        let open = self
            .open
            .remove(&transfer)
            .expect("it was looked up just now");
        self.whole(transfer, open).map(Assembled::Whole)
    }

    fn check_first(
        &self,
        transfer: u64,
        offset: u64,
        total_bytes: u64,
        sha256: &[u8],
    ) -> Result<(), AssemblyError> {
        if total_bytes > self.limits.body_bytes_max as u64 {
            return Err(AssemblyError::TooLarge {
                transfer,
                bytes: total_bytes,
                limit: self.limits.body_bytes_max,
            });
        }
        if offset > 0 {
            return Err(AssemblyError::Gap {
                transfer,
                had: 0,
                got: offset,
            });
        }
        if sha256.len() != SHA256_BYTES {
            return Err(AssemblyError::NotAHash {
                transfer,
                bytes: sha256.len(),
            });
        }
        let limit = self.limits.transfers_max.max(1);
        if self.open.len() >= limit {
            return Err(AssemblyError::TooMany { transfer, limit });
        }
        Ok(())
    }

    fn whole(&self, transfer: u64, open: Open) -> Result<Body, AssemblyError> {
        let Open {
            total_bytes: _,
            sha256,
            bytes,
            hash,
        } = open;
        if hash.finalize().as_slice() != sha256 {
            return Err(AssemblyError::WrongHash { transfer });
        }
        let items = items::count(&bytes);
        if items > self.limits.items_max {
            return Err(AssemblyError::TooManyItems {
                transfer,
                items,
                limit: self.limits.items_max,
            });
        }
        let body = codec::decode_body(&bytes).map_err(|error| match error {
            BodyError::Unknown => AssemblyError::UnknownBody { transfer },
            BodyError::Malformed { detail } => AssemblyError::Malformed { transfer, detail },
        })?;
        if !is_divisible(&body) {
            return Err(AssemblyError::NotDivisible {
                transfer,
                body: body.name(),
            });
        }
        if !self.limits.side.peer().sends(&body) {
            return Err(AssemblyError::WrongDirection {
                transfer,
                body: body.name(),
            });
        }
        Ok(body)
    }
}

impl Open {
    fn append(&mut self, transfer: u64, offset: u64, data: &[u8]) -> Result<(), AssemblyError> {
        let had = self.bytes.len() as u64;
        let got = offset;
        if got > had {
            return Err(AssemblyError::Gap { transfer, had, got });
        }
        if got < had {
            return Err(AssemblyError::Overlap { transfer, had, got });
        }
        if data.is_empty() {
            return Err(AssemblyError::Empty { transfer });
        }
        let end = had + data.len() as u64;
        let total = self.total_bytes;
        if end > total {
            return Err(AssemblyError::Beyond {
                transfer,
                end,
                total,
            });
        }
        self.reserve(data.len());
        self.bytes.extend_from_slice(data);
        self.hash.update(data);
        Ok(())
    }

    /// Grows by doubling, but never beyond what was declared.
    fn reserve(&mut self, more: usize) {
        let (had, capacity) = (self.bytes.len(), self.bytes.capacity());
        if had + more > capacity {
            let total = usize::try_from(self.total_bytes).unwrap_or(usize::MAX);
            let wanted = (2 * capacity).clamp(had + more, total);
            self.bytes.reserve_exact(wanted - had);
        }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("total_bytes", &self.total_bytes)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl AssemblyError {
    /// The reason as it is told to the sender.
    pub fn reject_reason(&self) -> RejectReason {
        match self {
            Self::TooLarge { .. } | Self::TooManyItems { .. } => RejectReason::TooLarge,
            Self::TooMany { .. } => RejectReason::OutOfWindow,
            Self::Gap { .. }
            | Self::Overlap { .. }
            | Self::Beyond { .. }
            | Self::Empty { .. }
            | Self::NotAHash { .. }
            | Self::Changed { .. }
            | Self::WrongHash { .. }
            | Self::Malformed { .. }
            | Self::NotDivisible { .. } => RejectReason::Malformed,
            Self::UnknownBody { .. } => RejectReason::UnknownBody,
            Self::WrongDirection { .. } => RejectReason::WrongDirection,
        }
    }
}
