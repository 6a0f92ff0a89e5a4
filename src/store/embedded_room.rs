//! Room in the embedded file: retention, its bound, and compaction.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::backend::Op;
use crate::config::Retention;
use crate::embedded::Embedded;
use crate::embedded_tables::{
    CALLS, ENDED, RECORD_OVERHEAD_BYTES, Tables, call_key, decode, guarded, row_of, sort, weight,
};
use crate::error::StoreError;
use crate::row::CallKey;

/// Calls deleted in one transaction, so that appends wait for a short time only.
const DELETE_CALLS_MAX: usize = 16;
/// Smaller files are not worth compacting.
const COMPACT_BYTES_MIN: u64 = 16 << 20;

impl Embedded {
    pub(crate) fn sweep(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        let deleted = self.with_database(|database| self.delete_expired(database, now_unix_ms))?;
        self.compact()?;
        Ok(deleted)
    }

    /// Deletes ended calls, oldest first, while the file comes close to its bound.
    pub(crate) fn make_room(&self, database: &Database, ops: &[Op]) -> Result<(), StoreError> {
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
    pub(crate) fn delete_oldest(
        &self,
        database: &Database,
        bytes: u64,
    ) -> Result<usize, StoreError> {
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
