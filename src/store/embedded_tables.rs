//! The tables of the embedded file, and what a transaction does to them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost::Message;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::backend::{Action, Line, Op, Outcome, Writer};
use crate::error::StoreError;
use crate::row::{CallKey, Row};

pub(crate) const CALLS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("calls");
pub(crate) const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
pub(crate) const ENDED: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("ended");
pub(crate) const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

pub(crate) const FORMAT: u64 = 1;
/// What a record takes beside its bytes, roughly.
pub(crate) const RECORD_OVERHEAD_BYTES: u64 = 48;

/// A call's row within a transaction.
pub(crate) struct Touched {
    pub(crate) row: Row,
    pub(crate) weight_before: u64,
    /// Something was stored for it: only then is its lease one of this process.
    pub(crate) is_changed: bool,
}

pub(crate) struct Tables<'txn> {
    pub(crate) calls: Table<'txn, &'static str, &'static [u8]>,
    pub(crate) records: Table<'txn, (u64, u64), &'static [u8]>,
    pub(crate) ended: Table<'txn, (u64, u64), &'static str>,
    about: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(crate) fn open(writing: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            calls: writing.open_table(CALLS).map_err(sort)?,
            records: writing.open_table(RECORDS).map_err(sort)?,
            ended: writing.open_table(ENDED).map_err(sort)?,
            about: writing.open_table(ABOUT).map_err(sort)?,
        })
    }

    /// The call's row; a new one if the store does not know it, be it that the call begins or that the file is a new one.
    pub(crate) fn touch(&mut self, writer: &Writer) -> Result<Touched, StoreError> {
        if let Some(row) = row_of(&self.calls, &writer.call.key)? {
            return Ok(Touched {
                weight_before: weight(&row),
                is_changed: false,
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
            is_changed: false,
        })
    }

    pub(crate) fn apply(&mut self, op: &Op, touched: &mut Touched) -> Result<Outcome, StoreError> {
        let (writer, row) = (&op.writer, &mut touched.row);
        let is_newer = row.generation > writer.generation;
        let is_another_owner = row.generation == writer.generation && row.owner != writer.owner;
        // Another call under the same key.
        let is_another_call = row.opened_unix_ms != writer.call.opened_unix_ms;
        if is_newer || is_another_owner || is_another_call {
            return Ok(Outcome::Fenced);
        }
        touched.is_changed = true;
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
                    row.last_unix_ms = row.last_unix_ms.max(*now_unix_ms);
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

pub(crate) fn weight(row: &Row) -> u64 {
    row.bytes + row.records * RECORD_OVERHEAD_BYTES
}

pub(crate) fn row_of(
    calls: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &CallKey,
) -> Result<Option<Row>, StoreError> {
    let found = calls.get(key.as_str()).map_err(sort)?;
    found.map(|row| decode(row.value())).transpose()
}

pub(crate) fn decode(row: &[u8]) -> Result<Row, StoreError> {
    Row::decode(row).map_err(|error| StoreError::Damaged {
        what: error.to_string(),
    })
}

pub(crate) fn call_key(key: &str) -> Result<CallKey, StoreError> {
    CallKey::new(key).map_err(|error| StoreError::Damaged {
        what: error.to_string(),
    })
}

/// redb is sound, yet bytes that rotted under it may make it panic: that is damage, and no reason to end anything.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Damaged {
            what: "reading it panicked".to_owned(),
        })
    })
}

pub(crate) fn sort(error: impl Into<redb::Error>) -> StoreError {
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

pub(crate) fn sort_io(error: std::io::Error) -> StoreError {
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
