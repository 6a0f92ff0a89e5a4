//! The embedded store: one redb file, locked by its process.
//!
//! Tables: `calls` (key to [`Row`]), `records` (call number and seq to a record), `ended` (end and call number to key, the order in
//! which calls are deleted), `about` (format and the next call number). Every open verifies the file's checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use prost::Message;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use crate::backend::{Action, Claimed, Line, Op, Opened, Outcome, Writer};
use crate::config::{EmbeddedConfig, Retention};
use crate::embedded_file::BoundedFile;
use crate::error::{ClaimError, StoreError};
use crate::record::Page;
use crate::row::{CallKey, CallStatus, CallSummary, NewCall, Row};

const CALLS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("calls");
const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
const ENDED: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("ended");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

const FORMAT: u64 = 1;
/// What a record takes beside its bytes, roughly.
const RECORD_OVERHEAD_BYTES: u64 = 48;
/// Calls deleted in one transaction, so that appends wait for a short time only.
const DELETE_CALLS_MAX: usize = 16;
/// Bytes of a page that is read back; a larger record is a page of its own.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Smaller files are not worth compacting.
const COMPACT_BYTES_MIN: u64 = 16 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: EmbeddedConfig,
    retention: Retention,
    database: RwLock<Option<Database>>,
    /// Calls whose lease was made by this process. Any other lease is void: its process no longer has the file.
    leased: Mutex<BTreeSet<u64>>,
    /// Stored bytes, with overhead.
    live_bytes: AtomicU64,
    file_bytes: Arc<AtomicU64>,
    /// The last transaction found no room: delete something at the next open.
    was_full: AtomicBool,
    /// Transactions in a row that found damage.
    damaged_in_a_row: AtomicU32,
}

impl Embedded {
    pub(crate) fn new(config: &EmbeddedConfig, retention: &Retention) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: config.clone(),
                retention: retention.clone(),
                database: RwLock::new(None),
                leased: Mutex::default(),
                live_bytes: AtomicU64::new(0),
                file_bytes: Arc::default(),
                was_full: AtomicBool::new(false),
                damaged_in_a_row: AtomicU32::new(0),
            }),
        }
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.shared.file_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        drop(self.shared.database.write().take());
    }

    pub(crate) fn open(&self) -> Result<Opened, StoreError> {
        let mut slot = self.shared.database.write();
        drop(slot.take());
        // A file that verifies, and yet breaks every transaction, is given up as well.
        let opened = if self.shared.damaged_in_a_row.load(Ordering::Relaxed) > 1 {
            Err(StoreError::Damaged {
                what: "it fails again and again".to_owned(),
            })
        } else {
            guarded(|| self.open_file())
        };
        let set_aside = match opened {
            Ok(database) => {
                *slot = Some(database);
                false
            }
            Err(StoreError::Damaged { what }) => {
                self.set_aside(&what)?;
                *slot = Some(guarded(|| self.open_file())?);
                self.shared.leased.lock().clear();
                self.shared.damaged_in_a_row.store(0, Ordering::Relaxed);
                true
            }
            Err(other) => return Err(other),
        };
        if let Some(database) = slot.as_ref()
            && self.shared.was_full.swap(false, Ordering::Relaxed)
        {
            let freed = self.shared.live_bytes.load(Ordering::Relaxed) / 8;
            self.delete_oldest(database, freed)?;
        }
        Ok(Opened { set_aside })
    }

    pub(crate) fn commit(&self, ops: &[Op]) -> Result<Vec<(Arc<Writer>, Outcome)>, StoreError> {
        let result = self.with_database(|database| {
            self.make_room(database, ops)?;
            self.write(database, ops)
        });
        match &result {
            Ok(_) => self.shared.damaged_in_a_row.store(0, Ordering::Relaxed),
            Err(StoreError::Full { .. }) => self.shared.was_full.store(true, Ordering::Relaxed),
            Err(StoreError::Damaged { .. }) => {
                self.shared.damaged_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        result
    }

    pub(crate) fn calls(
        &self,
        status: CallStatus,
        limit: usize,
    ) -> Result<Vec<CallSummary>, StoreError> {
        self.with_database(|database| {
            let reading = database.begin_read().map_err(sort)?;
            let calls = reading.open_table(CALLS).map_err(sort)?;
            let mut found = Vec::new();
            match status {
                CallStatus::Open => {
                    for entry in calls.iter().map_err(sort)? {
                        let (key, row) = entry.map_err(sort)?;
                        let row = decode(row.value())?;
                        if row.ended_unix_ms.is_none() {
                            found.push(self.summary(key.value(), row)?);
                        }
                    }
                    found.sort_by_key(|call| call.last_unix_ms);
                    found.truncate(limit);
                }
                CallStatus::Ended => {
                    let ended = reading.open_table(ENDED).map_err(sort)?;
                    for entry in ended.iter().map_err(sort)?.rev().take(limit) {
                        let (_, key) = entry.map_err(sort)?;
                        if let Some(row) = calls.get(key.value()).map_err(sort)? {
                            found.push(self.summary(key.value(), decode(row.value())?)?);
                        }
                    }
                }
            }
            Ok(found)
        })
    }

    pub(crate) fn call(&self, key: &CallKey) -> Result<Option<CallSummary>, StoreError> {
        self.with_database(|database| {
            let reading = database.begin_read().map_err(sort)?;
            let calls = reading.open_table(CALLS).map_err(sort)?;
            let Some(row) = calls.get(key.as_str()).map_err(sort)? else {
                return Ok(None);
            };
            self.summary(key.as_str(), decode(row.value())?).map(Some)
        })
    }

    pub(crate) fn read(&self, key: &CallKey, from: u64, limit: usize) -> Result<Page, StoreError> {
        self.with_database(|database| {
            let reading = database.begin_read().map_err(sort)?;
            let calls = reading.open_table(CALLS).map_err(sort)?;
            let Some(row) = calls.get(key.as_str()).map_err(sort)? else {
                return Ok(Page::default());
            };
            let number = decode(row.value())?.number;
            let records = reading.open_table(RECORDS).map_err(sort)?;
            let mut stored = Vec::new();
            let mut bytes = 0;
            let mut next = None;
            for entry in records
                .range((number, from)..=(number, u64::MAX))
                .map_err(sort)?
            {
                let (at, record) = entry.map_err(sort)?;
                let (_, seq) = at.value();
                let full = bytes > 0 && bytes + record.value().len() > PAGE_BYTES_MAX;
                if stored.len() == limit || full {
                    next = Some(seq);
                    break;
                }
                bytes += record.value().len();
                stored.push((seq, record.value().to_vec()));
            }
            let mut page = Page::collect(from, stored.into_iter());
            page.next = next;
            Ok(page)
        })
    }

    pub(crate) fn claim(
        &self,
        key: &CallKey,
        owner: &str,
        now_unix_ms: u64,
        ttl_ms: u64,
    ) -> Result<Claimed, ClaimError> {
        let claimed = self.with_database(|database| {
            let writing = database.begin_write().map_err(sort)?;
            let claimed = {
                let mut calls = writing.open_table(CALLS).map_err(sort)?;
                let Some(mut row) = row_of(&calls, key)? else {
                    return Ok(Err(ClaimError::Unknown));
                };
                if row.ended_unix_ms.is_some() {
                    return Ok(Err(ClaimError::Ended));
                }
                let mut leased = self.shared.leased.lock();
                let is_held = row.until_unix_ms > now_unix_ms && leased.contains(&row.number);
                if is_held && row.owner != owner {
                    return Ok(Err(ClaimError::Held { lease: row.lease() }));
                }
                row.owner = owner.to_owned();
                row.generation += 1;
                row.until_unix_ms = now_unix_ms.saturating_add(ttl_ms);
                calls
                    .insert(key.as_str(), row.encode_to_vec().as_slice())
                    .map_err(sort)?;
                leased.insert(row.number);
                Claimed {
                    call: NewCall {
                        key: key.clone(),
                        room: row.room,
                        agent: row.agent,
                        config_hash: row.config_hash,
                        opened_unix_ms: row.opened_unix_ms,
                    },
                    generation: row.generation,
                    next_seq: row.next_seq,
                    bytes: row.bytes,
                }
            };
            writing.commit().map_err(sort)?;
            Ok(Ok(claimed))
        });
        claimed.map_err(ClaimError::Store)?
    }

    pub(crate) fn sweep(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        let deleted = self.with_database(|database| self.delete_expired(database, now_unix_ms))?;
        self.compact()?;
        Ok(deleted)
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.shared.database.read();
        let database = slot.as_ref().ok_or_else(|| StoreError::Unreachable {
            what: "the file is not open".to_owned(),
        })?;
        guarded(|| work(database))
    }

    fn open_file(&self) -> Result<Database, StoreError> {
        let config = &self.shared.config;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&config.path)
            .map_err(sort_io)?;
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
    fn set_aside(&self, what: &str) -> Result<(), StoreError> {
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

    fn write(
        &self,
        database: &Database,
        ops: &[Op],
    ) -> Result<Vec<(Arc<Writer>, Outcome)>, StoreError> {
        let writing = database.begin_write().map_err(sort)?;
        let mut rows: BTreeMap<CallKey, Touched> = BTreeMap::new();
        let mut outcomes: Vec<(Arc<Writer>, Outcome)> = Vec::new();
        {
            let mut tables = Tables::open(&writing)?;
            for op in ops {
                let key = &op.writer.call.key;
                if !rows.contains_key(key) {
                    rows.insert(key.clone(), tables.touch(&op.writer)?);
                }
                let Some(touched) = rows.get_mut(key) else {
                    continue;
                };
                let outcome = tables.apply(op, touched)?;
                match outcomes
                    .iter_mut()
                    .find(|(writer, _)| Arc::ptr_eq(writer, &op.writer))
                {
                    Some((_, known)) => known.merge(outcome),
                    None => outcomes.push((op.writer.clone(), outcome)),
                }
            }
            for (key, touched) in &rows {
                tables
                    .calls
                    .insert(key.as_str(), touched.row.encode_to_vec().as_slice())
                    .map_err(sort)?;
            }
        }
        writing.commit().map_err(sort)?;
        let mut leased = self.shared.leased.lock();
        for Touched { row, weight_before } in rows.values() {
            if row.until_unix_ms == 0 {
                leased.remove(&row.number);
            } else {
                leased.insert(row.number);
            }
            let added = weight(row).saturating_sub(*weight_before);
            self.shared.live_bytes.fetch_add(added, Ordering::Relaxed);
        }
        Ok(outcomes)
    }

    /// Deletes ended calls, oldest first, while the file comes close to its bound.
    fn make_room(&self, database: &Database, ops: &[Op]) -> Result<(), StoreError> {
        let wanted: u64 = ops
            .iter()
            .map(|op| op.bytes() as u64 + RECORD_OVERHEAD_BYTES)
            .sum();
        let live = self.shared.live_bytes.load(Ordering::Relaxed) + wanted;
        let comfortable = comfortable_bytes(self.file_bytes(), self.shared.config.file_bytes_max);
        if live > comfortable {
            self.delete_oldest(database, live - comfortable + comfortable / 16)?;
        }
        Ok(())
    }

    /// Deletes ended calls, oldest first, until that many bytes are free or none is left.
    fn delete_oldest(&self, database: &Database, bytes: u64) -> Result<usize, StoreError> {
        let before = self.shared.live_bytes.load(Ordering::Relaxed);
        let mut deleted = 0;
        loop {
            let freed = before.saturating_sub(self.shared.live_bytes.load(Ordering::Relaxed));
            if freed >= bytes {
                return Ok(deleted);
            }
            let oldest = {
                let reading = database.begin_read().map_err(sort)?;
                let ended = reading.open_table(ENDED).map_err(sort)?;
                first_keys(&ended, u64::MAX, 1)?
            };
            if oldest.is_empty() {
                return Ok(deleted);
            }
            deleted += self.delete(database, &oldest)?;
        }
    }

    fn delete_expired(&self, database: &Database, now_unix_ms: u64) -> Result<usize, StoreError> {
        let Retention {
            ended,
            abandoned,
            ended_calls_max,
        } = &self.shared.retention;
        let mut deleted = 0;
        loop {
            let expired = {
                let reading = database.begin_read().map_err(sort)?;
                let table = reading.open_table(ENDED).map_err(sort)?;
                let kept = usize::try_from(table.len().map_err(sort)?).unwrap_or(usize::MAX);
                let surplus = kept.saturating_sub(*ended_calls_max).min(DELETE_CALLS_MAX);
                let mut keys = first_keys(
                    &table,
                    now_unix_ms.saturating_sub(millis(*ended)),
                    DELETE_CALLS_MAX,
                )?;
                if keys.len() < surplus {
                    keys = first_keys(&table, u64::MAX, surplus)?;
                }
                keys
            };
            if expired.is_empty() {
                break;
            }
            deleted += self.delete(database, &expired)?;
        }
        let oldest_kept = now_unix_ms.saturating_sub(millis(*abandoned));
        let silent: Vec<CallKey> = {
            let reading = database.begin_read().map_err(sort)?;
            let mut silent = Vec::new();
            for entry in reading
                .open_table(CALLS)
                .map_err(sort)?
                .iter()
                .map_err(sort)?
            {
                let (key, row) = entry.map_err(sort)?;
                let row = decode(row.value())?;
                if row.ended_unix_ms.is_none() && row.last_unix_ms < oldest_kept {
                    silent.push(call_key(key.value())?);
                }
            }
            silent
        };
        for keys in silent.chunks(DELETE_CALLS_MAX) {
            deleted += self.delete(database, keys)?;
        }
        Ok(deleted)
    }

    fn delete(&self, database: &Database, keys: &[CallKey]) -> Result<usize, StoreError> {
        let writing = database.begin_write().map_err(sort)?;
        let mut freed = 0;
        {
            let mut tables = Tables::open(&writing)?;
            for key in keys {
                let Some(row) = row_of(&tables.calls, key)? else {
                    continue;
                };
                let of_call = (row.number, 0)..=(row.number, u64::MAX);
                tables
                    .records
                    .retain_in(of_call, |_, _| false)
                    .map_err(sort)?;
                tables.calls.remove(key.as_str()).map_err(sort)?;
                if let Some(ended) = row.ended_unix_ms {
                    tables.ended.remove((ended, row.number)).map_err(sort)?;
                }
                self.shared.leased.lock().remove(&row.number);
                freed += weight(&row);
            }
        }
        writing.commit().map_err(sort)?;
        let live = self.shared.live_bytes.load(Ordering::Relaxed);
        self.shared
            .live_bytes
            .store(live.saturating_sub(freed), Ordering::Relaxed);
        Ok(keys.len())
    }

    /// Gives unused space back, when most of the file is unused. Appends wait in memory meanwhile.
    fn compact(&self) -> Result<(), StoreError> {
        let live = self.shared.live_bytes.load(Ordering::Relaxed);
        let before = self.file_bytes();
        if before < COMPACT_BYTES_MIN || live.saturating_mul(4) > before {
            return Ok(());
        }
        let mut slot = self.shared.database.write();
        let Some(database) = slot.as_mut() else {
            return Ok(());
        };
        guarded(|| database.compact().map_err(sort))?;
        tracing::info!(
            bytes_before = before,
            bytes = self.file_bytes(),
            "journal file compacted"
        );
        Ok(())
    }

    fn summary(&self, key: &str, mut row: Row) -> Result<CallSummary, StoreError> {
        if !self.shared.leased.lock().contains(&row.number) {
            row.until_unix_ms = 0;
        }
        Ok(row.into_summary(call_key(key)?))
    }
}

/// A call's row within a transaction.
struct Touched {
    row: Row,
    weight_before: u64,
}

struct Tables<'txn> {
    calls: Table<'txn, &'static str, &'static [u8]>,
    records: Table<'txn, (u64, u64), &'static [u8]>,
    ended: Table<'txn, (u64, u64), &'static str>,
    about: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    fn open(writing: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            calls: writing.open_table(CALLS).map_err(sort)?,
            records: writing.open_table(RECORDS).map_err(sort)?,
            ended: writing.open_table(ENDED).map_err(sort)?,
            about: writing.open_table(ABOUT).map_err(sort)?,
        })
    }

    /// The call's row; a new one if the store does not know it, be it that the call begins or that the file is a new one.
    fn touch(&mut self, writer: &Writer) -> Result<Touched, StoreError> {
        if let Some(row) = row_of(&self.calls, &writer.call.key)? {
            return Ok(Touched {
                weight_before: weight(&row),
                row,
            });
        }
        let number = self
            .about
            .get("next_number")
            .map_err(sort)?
            .map_or(0, |next| next.value());
        self.about.insert("next_number", number + 1).map_err(sort)?;
        let mut row = Row::new(number, &writer.call);
        row.owner.clone_from(&writer.owner);
        row.generation = writer.generation;
        Ok(Touched {
            row,
            weight_before: 0,
        })
    }

    fn apply(&mut self, op: &Op, touched: &mut Touched) -> Result<Outcome, StoreError> {
        let (writer, row) = (&op.writer, &mut touched.row);
        let is_newer = row.generation > writer.generation;
        if is_newer || (row.generation == writer.generation && row.owner != writer.owner) {
            return Ok(Outcome::Fenced);
        }
        row.owner.clone_from(&writer.owner);
        row.generation = writer.generation;
        let gap_at = match &op.action {
            Action::Append(line) => self.append(line, row, writer)?,
            Action::Lease {
                now_unix_ms,
                ttl_ms,
            } => {
                row.until_unix_ms = if *ttl_ms == 0 || row.ended_unix_ms.is_some() {
                    0
                } else {
                    now_unix_ms.saturating_add(*ttl_ms)
                };
                None
            }
        };
        Ok(Outcome::Stored {
            next_seq: row.next_seq,
            gap_at,
        })
    }

    /// The record's number, if there is a gap before it.
    fn append(
        &mut self,
        line: &Line,
        row: &mut Row,
        writer: &Writer,
    ) -> Result<Option<u64>, StoreError> {
        if line.seq < row.next_seq {
            return Ok(None);
        }
        let gap_at = (line.seq > row.next_seq).then_some(line.seq);
        self.records
            .insert((row.number, line.seq), line.stored.as_ref())
            .map_err(sort)?;
        row.next_seq = line.seq.saturating_add(1);
        row.records += 1;
        row.bytes += line.stored.len() as u64;
        row.epoch = row.epoch.max(line.epoch);
        row.last_unix_ms = row.last_unix_ms.max(line.unix_ms);
        if line.ends_call && row.ended_unix_ms.is_none() {
            row.ended_unix_ms = Some(line.unix_ms);
            row.until_unix_ms = 0;
            self.ended
                .insert((line.unix_ms, row.number), writer.call.key.as_str())
                .map_err(sort)?;
        }
        Ok(gap_at)
    }
}

/// How much may be stored before ended calls are deleted for room: half of the largest size that the file can reach by
/// doubling, since pages are half full in the worst case.
fn comfortable_bytes(file_bytes: u64, file_bytes_max: u64) -> u64 {
    let mut reachable = file_bytes.max(1);
    while reachable.saturating_mul(2) <= file_bytes_max {
        reachable = reachable.saturating_mul(2);
    }
    reachable / 2
}

fn weight(row: &Row) -> u64 {
    row.bytes + row.records * RECORD_OVERHEAD_BYTES
}

fn row_of(
    calls: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &CallKey,
) -> Result<Option<Row>, StoreError> {
    let found = calls.get(key.as_str()).map_err(sort)?;
    found.map(|row| decode(row.value())).transpose()
}

fn decode(row: &[u8]) -> Result<Row, StoreError> {
    Row::decode(row).map_err(|error| StoreError::Damaged {
        what: error.to_string(),
    })
}

fn call_key(key: &str) -> Result<CallKey, StoreError> {
    CallKey::new(key).map_err(|error| StoreError::Damaged {
        what: error.to_string(),
    })
}

/// The calls that ended first, not after `until_unix_ms`.
fn first_keys(
    ended: &impl ReadableTable<(u64, u64), &'static str>,
    until_unix_ms: u64,
    limit: usize,
) -> Result<Vec<CallKey>, StoreError> {
    let mut keys = Vec::new();
    for entry in ended
        .range(..=(until_unix_ms, u64::MAX))
        .map_err(sort)?
        .take(limit)
    {
        let (_, key) = entry.map_err(sort)?;
        keys.push(call_key(key.value())?);
    }
    Ok(keys)
}

/// Files that were set aside, by number.
fn damaged_files(path: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(Vec::new());
    };
    let start = format!("{name}.damaged-");
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// redb is sound, yet bytes that rotted under it may make it panic: that is damage, and no reason to end anything.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Damaged {
            what: "reading it panicked".to_owned(),
        })
    })
}

fn sort(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => sort_io(error),
        redb::Error::Corrupted(what) => StoreError::Damaged { what },
        redb::Error::UpgradeRequired(found) => StoreError::NewerFormat {
            found: found.into(),
            known: FORMAT,
        },
        other => StoreError::Failed {
            what: other.to_string(),
        },
    }
}

fn sort_io(error: std::io::Error) -> StoreError {
    use std::io::ErrorKind;
    let what = error.to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full { what }
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Denied { what },
        ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::Unreachable { what },
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Damaged { what },
        _ => StoreError::Failed { what },
    }
}
