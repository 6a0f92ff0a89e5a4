//! What an operator may choose: which store, how large, how long. Nothing here is read from files.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    pub store: StoreConfig,
    pub buffer: BufferConfig,
    pub retention: Retention,
    pub retry: RetryConfig,
}

impl JournalConfig {
    /// The defaults, on the given store.
    pub fn new(store: StoreConfig) -> Self {
        Self {
            store,
            buffer: BufferConfig::default(),
            retention: Retention::default(),
            retry: RetryConfig::default(),
        }
    }
}

/// Where the journal is kept.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// One file, for one process.
    Embedded(EmbeddedConfig),
    /// A Redis server, shared by several processes.
    Redis(RedisConfig),
}

/// The embedded store.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The file; its directory must exist.
    pub path: PathBuf,
    /// What the file never grows beyond, in bytes. It grows by doubling and its pages are not full, so ended calls begin to be
    /// deleted for room at a quarter to a half of this.
    pub file_bytes_max: u64,
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
    /// Damaged files that are kept beside the journal; at one more, the oldest is deleted.
    pub damaged_files_max: usize,
}

impl EmbeddedConfig {
    /// The defaults, on the given file: 1 GiB at most, 4 MiB of cache.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file_bytes_max: 1 << 30,
            cache_bytes: 4 << 20,
            damaged_files_max: 2,
        }
    }
}

/// The Redis store; the options are those that LiveKit has for its own.
#[derive(Clone)]
pub struct RedisConfig {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
    pub tls: bool,
    /// The start of every key. All keys share it as their hash tag.
    pub prefix: String,
    /// How long one command may take before the server counts as lost.
    pub response_timeout: Duration,
}

impl RedisConfig {
    /// The defaults, on the given server: database 0, no TLS, keys under `baton`, commands within 2 s.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            username: None,
            password: None,
            database: 0,
            tls: false,
            prefix: "baton".to_owned(),
            response_timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            username,
            password,
            database,
            tls,
            prefix,
            response_timeout,
        } = self;
        f.debug_struct("RedisConfig")
            .field("host", host)
            .field("port", port)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| "redacted"))
            .field("database", database)
            .field("tls", tls)
            .field("prefix", prefix)
            .field("response_timeout", response_timeout)
            .finish()
    }
}

/// Bounds of what waits in memory, and of one transaction.
#[derive(Clone, Debug)]
pub struct BufferConfig {
    /// Records that may wait, over all calls; one more is lost.
    pub records_max: usize,
    /// Bytes that may wait, over all calls; a record beyond it is lost.
    pub bytes_max: usize,
    /// Bytes of one call, in the store and waiting; a record beyond it is lost, so that one call never fills the store.
    pub call_bytes_max: u64,
    /// Records of one transaction.
    pub commit_records_max: usize,
    /// Bytes of one transaction; a single larger record is a transaction of its own.
    pub commit_bytes_max: usize,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self {
            records_max: 65_536,
            bytes_max: 64 << 20,
            call_bytes_max: 64 << 20,
            commit_records_max: 1_024,
            commit_bytes_max: 4 << 20,
        }
    }
}

/// How long calls are kept.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long an ended call is kept.
    pub ended: Duration,
    /// How long a call without an end and without a new record is kept.
    pub abandoned: Duration,
    /// Ended calls that are kept, whatever their age; at one more, the oldest goes.
    pub ended_calls_max: usize,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            ended: 7 * DAY,
            abandoned: DAY,
            ended_calls_max: 10_000,
        }
    }
}

/// When a store counts as in trouble, and how often it is tried again.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// A transaction that takes longer is reported as [`Trouble::Stalled`](crate::Trouble::Stalled), and goes on.
    pub stall: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            stall: Duration::from_millis(500),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
        }
    }
}
