//! How the store is doing, told once per change.

/// Whether records reach the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The store has not been opened yet; appends gather in memory.
    Opening,
    /// Everything that is appended becomes durable.
    Healthy,
    /// Appends gather in memory until the store is back.
    Degraded {
        trouble: Trouble,
        /// The cause, for an operator. It carries no personal data.
        detail: String,
    },
    /// The journal was closed.
    Closed,
}

impl Health {
    /// The trouble, if there is one.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Degraded { trouble, .. } => Some(*trouble),
            Self::Opening | Self::Healthy | Self::Closed => None,
        }
    }
}

/// What keeps records from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No room: disk, size bound, quota, Redis's memory limit.
    Full,
    /// What is stored is damaged; a new file is begun.
    Damaged,
    /// Another process has the file open.
    InUse,
    /// A newer Baton made the file.
    NewerFormat,
    /// The server or the directory cannot be reached.
    Unreachable,
    /// Permissions or credentials.
    Denied,
    /// A transaction takes too long.
    Stalled,
    /// Anything else.
    Failed,
}

impl Trouble {
    /// A word for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::InUse => "in_use",
            Self::NewerFormat => "newer_format",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        }
    }
}

/// Counts since the journal was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records and bytes that wait in memory now.
    pub waiting_records: u64,
    pub waiting_bytes: u64,
    /// Records that were made durable, and the transactions it took.
    pub durable_records: u64,
    pub commits: u64,
    /// Records that found no room in memory, or were fenced.
    pub lost_records: u64,
    /// How often the store got into trouble.
    pub troubles: u64,
    /// Damaged files that were set aside.
    pub damaged_files: u64,
    /// The size of the embedded file in bytes; 0 with Redis.
    pub file_bytes: u64,
}
