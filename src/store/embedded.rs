//! The embedded store: one redb file, locked by its process.
//!
//! Tables: `calls` (key to [`Row`]), `records` (call number and seq to a record), `ended` (end and call number to key, the order in
//! which calls are deleted), `about` (format and the next call number). Every open verifies the file's checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable};

use crate::backend::{Claimed, Op, Opened, Outcome, Writer};
use crate::config::{EmbeddedConfig, Retention};
use crate::embedded_tables::{
    CALLS, ENDED, RECORDS, Tables, Touched, call_key, decode, guarded, row_of, sort, weight,
};
use crate::error::{ClaimError, StoreError};
use crate::record::Page;
use crate::row::{CallKey, CallStatus, CallSummary, NewCall, Row};

/// Bytes of a page that is read back; a larger record is a page of its own.
const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EmbeddedConfig,
    pub(crate) retention: Retention,
    pub(crate) database: RwLock<Option<Database>>,
    /// Calls whose lease was made by this process. Any other lease is void: its process no longer has the file.
    pub(crate) leased: Mutex<BTreeSet<u64>>,
    /// Stored bytes, with overhead.
    pub(crate) live_bytes: AtomicU64,
    pub(crate) file_bytes: Arc<AtomicU64>,
    /// The last transaction found no room: delete something at the next open.
    pub(crate) was_full: AtomicBool,
    /// Transactions in a row that found damage.
    pub(crate) damaged_in_a_row: AtomicU32,
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

    pub(crate) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.shared.database.read();
        let database = slot.as_ref().ok_or_else(|| StoreError::Unreachable {
            what: "the file is not open".to_owned(),
        })?;
        guarded(|| work(database))
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
            for (key, touched) in rows.iter().filter(|(_, touched)| touched.is_changed) {
                tables
                    .calls
                    .insert(key.as_str(), touched.row.encode_to_vec().as_slice())
                    .map_err(sort)?;
            }
        }
        writing.commit().map_err(sort)?;
        let mut leased = self.shared.leased.lock();
        for touched in rows.values().filter(|touched| touched.is_changed) {
            let Touched {
                row,
                weight_before,
                is_changed: _,
            } = touched;
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

    fn summary(&self, key: &str, mut row: Row) -> Result<CallSummary, StoreError> {
        if !self.shared.leased.lock().contains(&row.number) {
            row.until_unix_ms = 0;
        }
        Ok(row.into_summary(call_key(key)?))
    }
}
