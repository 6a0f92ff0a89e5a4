//! Where the journal of calls is kept, and for how long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use store::{EmbeddedConfig, JournalConfig, RedisConfig, Retention, StoreConfig};

use super::reader::Section;

/// Names the folder for what a service keeps; set by systemd where the unit has a `StateDirectory`.
const STATE_VARIABLE: &str = "STATE_DIRECTORY";
/// The folder for what Baton keeps where nothing names one.
const STATE_FOLDER: &str = "state";
/// The environment variable with the password for Redis.
const PASSWORD_VARIABLE: &str = "BATON_REDIS_PASSWORD";
const MIB: u64 = 1 << 20;
const HOUR_SECS: u64 = 3_600;

/// The part `store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where the journal is kept.
    pub kind: StoreKind,
    /// How long after a process last gave a sign of life another one may take over its calls, in milliseconds.
    pub lease_ms: u64,
    /// Whether calls that no living process holds are taken up.
    pub resume: bool,
    /// How long an ended call is kept.
    pub retention: Duration,
    /// How many ended calls are kept at most.
    pub ended_calls_max: usize,
    /// The options of [`StoreKind::Embedded`].
    pub embedded: Embedded,
    /// The options of [`StoreKind::Redis`].
    pub redis: Redis,
}

/// Where a journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In a file of this process's own.
    Embedded,
    /// In a Redis that several processes share.
    Redis,
    /// Nowhere: a call ends with its process.
    Nowhere,
}

/// The part `store.embedded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The file; a relative path starts at the state folder.
    pub path: PathBuf,
    /// What it never grows beyond, in bytes.
    pub file_bytes_max: u64,
}

/// The part `store.redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user to log in as.
    pub username: Option<String>,
    /// A file with the password, used when `BATON_REDIS_PASSWORD` is not set.
    pub password_file: Option<PathBuf>,
    /// The number of the database.
    pub database: u32,
    /// Whether to connect with TLS.
    pub tls: bool,
    /// The start of every key.
    pub key_prefix: String,
}

/// Why there can be no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder of the embedded file cannot be made.
    #[error("cannot make the folder `{folder}` for the journal (`store.embedded.path`)")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file that should hold the password cannot be read.
    #[error("cannot read the password for Redis from `{path}` (`store.redis.password_file`)")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Default for Store {
    fn default() -> Self {
        let Retention {
            ended,
            abandoned: _,
            ended_calls_max,
        } = Retention::default();
        Self {
            kind: StoreKind::Embedded,
            lease_ms: 10_000,
            resume: true,
            retention: ended,
            ended_calls_max,
            embedded: Embedded::default(),
            redis: Redis::default(),
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        let EmbeddedConfig {
            path,
            file_bytes_max,
            cache_bytes: _,
            damaged_files_max: _,
        } = EmbeddedConfig::new("calls.redb");
        Self {
            path,
            file_bytes_max,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        let RedisConfig {
            host,
            port,
            username,
            password: _,
            database: _,
            tls,
            prefix,
            response_timeout: _,
        } = RedisConfig::new("localhost", 6_379);
        Self {
            host,
            port,
            username,
            password_file: None,
            database: 0,
            tls,
            key_prefix: prefix,
        }
    }
}

impl Store {
    /// What the journal is opened with; none if none is kept. Makes the folder of an embedded file.
    ///
    /// `environment` looks a variable up; an empty one counts as not set.
    ///
    /// # Errors
    /// The folder cannot be made, or the password not be read.
    pub fn journal(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<JournalConfig>, JournalError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let store = match self.kind {
            StoreKind::Nowhere => return Ok(None),
            StoreKind::Embedded => {
                let path = state_folder(variable(STATE_VARIABLE)).join(&self.embedded.path);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(|source| JournalError::Folder {
                        folder: folder.to_owned(),
                        source,
                    })?;
                }
                StoreConfig::Embedded(EmbeddedConfig {
                    file_bytes_max: self.embedded.file_bytes_max,
                    ..EmbeddedConfig::new(path)
                })
            }
            StoreKind::Redis => StoreConfig::Redis(self.redis.with_password(variable)?),
        };
        let mut config = JournalConfig::new(store);
        config.retention.ended = self.retention;
        config.retention.ended_calls_max = self.ended_calls_max;
        Ok(Some(config))
    }
}

impl Redis {
    fn with_password(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<RedisConfig, JournalError> {
        let Self {
            host,
            port,
            username,
            password_file,
            database,
            tls,
            key_prefix,
        } = self.clone();
        let password = match (variable(PASSWORD_VARIABLE), password_file) {
            (Some(password), _) => Some(password),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(source) => return Err(JournalError::Password { path, source }),
            },
            (None, None) => None,
        };
        Ok(RedisConfig {
            username,
            password,
            database: database.into(),
            tls,
            prefix: key_prefix,
            ..RedisConfig::new(host, port)
        })
    }
}

/// systemd separates several folders by colons; the first one is ours.
fn state_folder(named: Option<String>) -> PathBuf {
    let first = named
        .as_deref()
        .and_then(|folders| folders.split(':').next());
    Path::new(first.unwrap_or(STATE_FOLDER)).to_owned()
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Store {
    let default = Store::default();
    Store {
        kind: section.choice(
            "kind",
            &[
                ("embedded", StoreKind::Embedded),
                ("redis", StoreKind::Redis),
                ("none", StoreKind::Nowhere),
            ],
            "embedded",
        ),
        lease_ms: section.integer("lease_ms", 1_000..=600_000, default.lease_ms),
        resume: section.boolean("resume", default.resume),
        retention: Duration::from_secs(
            HOUR_SECS
                * section.integer(
                    "retention_hours",
                    1..=87_600,
                    default.retention.as_secs() / HOUR_SECS,
                ),
        ),
        ended_calls_max: section.integer("ended_calls_max", 1..=1_000_000, default.ended_calls_max),
        embedded: section.part("embedded", read_embedded),
        redis: section.part("redis", read_redis),
    }
}

fn read_embedded(section: &mut Section<'_, '_>) -> Embedded {
    let default = Embedded::default();
    Embedded {
        path: section
            .parsed(
                "path",
                "the path of a file",
                Some(&default.path.display().to_string()),
                |text| Ok(PathBuf::from(text)),
            )
            .unwrap_or(default.path),
        file_bytes_max: MIB
            * section.integer("file_mib_max", 4..=1_048_576, default.file_bytes_max / MIB),
    }
}

fn read_redis(section: &mut Section<'_, '_>) -> Redis {
    let default = Redis::default();
    section.forbid(
        "password",
        "credentials are never read from this file",
        "set BATON_REDIS_PASSWORD in the environment, or name a file that holds it: `password_file`",
    );
    let text = |section: &mut Section<'_, '_>, key, form, default: String| {
        let written = Some(default.clone());
        let read = section.parsed(key, form, written.as_deref(), |text| Ok(text.to_owned()));
        read.unwrap_or(default)
    };
    Redis {
        host: text(
            section,
            "host",
            "the name or address of a server",
            default.host,
        ),
        port: section.integer("port", 1..=65_535, default.port),
        username: section.text("username", "a name"),
        password_file: section
            .text("password_file", "the path of a file")
            .map(PathBuf::from),
        database: section.integer("database", 0..=16_383, default.database),
        tls: section.boolean("tls", default.tls),
        key_prefix: text(
            section,
            "key_prefix",
            "the start of a key",
            default.key_prefix,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn embedded(path: impl Into<PathBuf>) -> Store {
        Store {
            embedded: Embedded {
                path: path.into(),
                ..Embedded::default()
            },
            ..Store::default()
        }
    }

    fn file_of(config: Option<JournalConfig>) -> PathBuf {
        match config.expect("a journal is kept").store {
            StoreConfig::Embedded(embedded) => embedded.path,
            StoreConfig::Redis(_) => panic!("it is a file"),
        }
    }

    #[test]
    fn a_relative_path_starts_at_the_first_state_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let named = format!("{}:/elsewhere", folder.path().display());
        let environment = |name: &str| (name == STATE_VARIABLE).then(|| named.clone());
        let config = embedded("below/calls.redb").journal(environment);
        let expected = folder.path().join("below/calls.redb");
        assert_eq!(file_of(config.expect("it can be made")), expected);
        assert!(folder.path().join("below").is_dir());
        let config = embedded(&expected).journal(none).expect("it is there");
        assert_eq!(file_of(config), expected);
        assert_eq!(state_folder(None), Path::new("state"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("it is writable");
        let error = embedded(file.join("calls.redb")).journal(none);
        let error = error.expect_err("a file is no folder").to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
    }

    #[test]
    fn the_password_comes_from_the_environment_else_from_its_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "from the file\n").expect("it is writable");
        let store = Store {
            kind: StoreKind::Redis,
            redis: Redis {
                password_file: Some(file),
                ..Redis::default()
            },
            ..Store::default()
        };
        let password = |environment: &dyn Fn(&str) -> Option<String>| {
            let config = store.journal(environment).expect("it is readable");
            match config.expect("a journal is kept").store {
                StoreConfig::Redis(redis) => redis.password,
                StoreConfig::Embedded(_) => panic!("it is Redis"),
            }
        };
        assert_eq!(password(&none).as_deref(), Some("from the file"));
        let environment = |name: &str| (name == PASSWORD_VARIABLE).then(|| "set".to_owned());
        assert_eq!(password(&environment).as_deref(), Some("set"));
    }

    #[test]
    fn no_store_is_no_journal() {
        let store = Store {
            kind: StoreKind::Nowhere,
            ..Store::default()
        };
        assert!(store.journal(none).expect("nothing is needed").is_none());
    }
}
