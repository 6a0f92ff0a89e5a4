//! Opening the embedded file: verify it, make its tables, set a damaged one aside.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable};

use crate::embedded::Embedded;
use crate::embedded_file::BoundedFile;
use crate::embedded_tables::{ABOUT, CALLS, FORMAT, Tables, decode, sort, sort_io, weight};
use crate::error::StoreError;

impl Embedded {
    pub(crate) fn open_file(&self) -> Result<Database, StoreError> {
        let config = &self.shared.config;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // It holds what callers said.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&config.path).map_err(sort_io)?;
        let file = FileBackend::new(file).map_err(sort)?;
        let file = BoundedFile::new(file, config.file_bytes_max, self.shared.file_bytes.clone())
            .map_err(sort_io)?;
        let was_repaired = Arc::new(AtomicBool::new(false));
        let repairing = was_repaired.clone();
        let opened = Builder::new()
            .set_cache_size(config.cache_bytes)
            .set_repair_callback(move |_| repairing.store(true, Ordering::Relaxed))
            .create_with_backend(file);
        let mut database = opened.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse {
                path: config.path.clone(),
            },
            other => sort(other),
        })?;
        // A repair has verified every checksum already.
        if !was_repaired.load(Ordering::Relaxed) {
            database.check_integrity().map_err(sort)?;
        }
        self.prepare(&database)?;
        Ok(database)
    }

    /// Makes the tables of a new file; learns how much an old one holds.
    fn prepare(&self, database: &Database) -> Result<(), StoreError> {
        let reading = database.begin_read().map_err(sort)?;
        let format = match reading.open_table(ABOUT) {
            Ok(about) => about
                .get("format")
                .map_err(sort)?
                .map(|found| found.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(other) => return Err(sort(other)),
        };
        match format {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(StoreError::NewerFormat {
                    found,
                    known: FORMAT,
                });
            }
            None => {
                let writing = database.begin_write().map_err(sort)?;
                writing
                    .open_table(ABOUT)
                    .map_err(sort)?
                    .insert("format", FORMAT)
                    .map_err(sort)?;
                drop(Tables::open(&writing)?);
                writing.commit().map_err(sort)?;
                // The file's name must outlive a power cut as well as what is in it.
                #[cfg(unix)]
                std::fs::File::open(directory_of(&self.shared.config.path))
                    .and_then(|directory| directory.sync_all())
                    .map_err(sort_io)?;
                self.shared.live_bytes.store(0, Ordering::Relaxed);
                return Ok(());
            }
        }
        let mut live_bytes = 0;
        for entry in reading
            .open_table(CALLS)
            .map_err(sort)?
            .iter()
            .map_err(sort)?
        {
            let (_, row) = entry.map_err(sort)?;
            live_bytes += weight(&decode(row.value())?);
        }
        self.shared.live_bytes.store(live_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Renames a damaged file, and deletes the oldest ones of that kind.
    pub(crate) fn set_aside(&self, what: &str) -> Result<(), StoreError> {
        let path = &self.shared.config.path;
        let mut kept = damaged_files(path).map_err(sort_io)?;
        let number = kept.last().map_or(1, |(number, _)| number + 1);
        let mut name = path.clone().into_os_string();
        name.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(name);
        std::fs::rename(path, &aside).map_err(sort_io)?;
        tracing::error!(file = %aside.display(), cause = what, "journal file is damaged, it was set aside and a new one begun");
        kept.push((number, aside));
        let surplus = kept
            .len()
            .saturating_sub(self.shared.config.damaged_files_max);
        for (_, old) in kept.drain(..surplus) {
            std::fs::remove_file(&old).map_err(sort_io)?;
        }
        Ok(())
    }
}

/// Files that were set aside, by number.
fn damaged_files(path: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(Vec::new());
    };
    let start = format!("{name}.damaged-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory_of(path))? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix(&start))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
