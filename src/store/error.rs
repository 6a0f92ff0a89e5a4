//! What can go wrong, sorted by what it means for a call.

use std::path::PathBuf;

use crate::health::Trouble;
use crate::row::Lease;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room: the disk, the size bound, a quota, or Redis's memory limit.
    #[error("the journal has no room left: {what}")]
    Full { what: String },
    /// What is stored cannot be trusted.
    #[error("the journal is damaged: {what}")]
    Damaged { what: String },
    /// Another process has the file open.
    #[error("journal file {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    /// A newer Baton made the file.
    #[error("the journal has format {found}, newer than {known}, the newest known here")]
    NewerFormat { found: u64, known: u64 },
    /// The store cannot be reached.
    #[error("the journal cannot be reached: {what}")]
    Unreachable { what: String },
    /// The store refuses us: permissions or credentials.
    #[error("the journal refuses access: {what}")]
    Denied { what: String },
    /// The store answered something else than was expected.
    #[error("the journal failed: {what}")]
    Failed { what: String },
    /// The journal has been closed.
    #[error("the journal is closed")]
    Closed,
}

impl StoreError {
    /// The kind of trouble that this is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Full { .. } => Trouble::Full,
            Self::Damaged { .. } => Trouble::Damaged,
            Self::InUse { .. } => Trouble::InUse,
            Self::NewerFormat { .. } => Trouble::NewerFormat,
            Self::Unreachable { .. } => Trouble::Unreachable,
            Self::Denied { .. } => Trouble::Denied,
            Self::Failed { .. } | Self::Closed => Trouble::Failed,
        }
    }
}

/// Why a call could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Its owner's lease has not lapsed.
    #[error("the call is held by {} until {}", lease.owner, lease.until_unix_ms)]
    Held { lease: Lease },
    /// The call has ended.
    #[error("the call has ended")]
    Ended,
    /// The store knows no such call.
    #[error("no such call")]
    Unknown,
    /// The store could not be asked.
    #[error("the journal could not be asked")]
    Store(#[from] StoreError),
}

/// Why a call cannot be named so.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCall {
    /// A name is empty.
    #[error("{field} is empty")]
    Empty { field: &'static str },
    /// A name is too long.
    #[error("{field} has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        field: &'static str,
        bytes: usize,
        limit: usize,
    },
}
