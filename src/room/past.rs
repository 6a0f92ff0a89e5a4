//! A call as its journal tells it: what has happened, what was said, what was known. For whoever looks back; no call uses it.

use std::ops::ControlFlow;

use context::{Conversation, ConversationLimits, LogLimits};
use store::{CallKey, Journal, StoreError};

use super::desk::{Happened, Happening};
use super::stored::{Said, Stored, said_of};

/// Records that are read at a time.
const PAGE_RECORDS: usize = 1_024;

/// What the journal of a call has.
#[derive(Debug)]
pub struct Told {
    /// What has happened, in its order; the numbers are those of the records.
    pub happened: Vec<Happening>,
    /// Conversation and state.
    pub conversation: Conversation,
    /// Records that are missing, or could not be read.
    pub lost: u64,
}

impl Told {
    /// Reads the journal of a call from its beginning.
    ///
    /// # Errors
    /// The store cannot be asked, or is damaged.
    pub async fn read(journal: &Journal, key: &CallKey) -> Result<Self, StoreError> {
        let mut told = Self {
            happened: Vec::new(),
            conversation: told_so_far(),
            lost: 0,
        };
        let lost = each(journal, key, 0, |seq, unix_ms, stored| {
            told.take(seq, unix_ms, stored);
            ControlFlow::Continue(())
        })
        .await?;
        told.lost += lost;
        Ok(told)
    }

    fn take(&mut self, seq: u64, unix_ms: u64, stored: Stored) {
        match said_of(&stored) {
            Some(Ok(said)) => {
                let taken = match said {
                    Said::Record(record) => self.conversation.replay(record),
                    Said::State(version, document) => {
                        self.conversation.restore_state(version, &document)
                    }
                };
                self.lost += u64::from(taken.is_err());
            }
            Some(Err(())) => self.lost += 1,
            None => {}
        }
        match stored {
            Stored::Fact(fact) => self.happened.push(happening(seq, unix_ms, fact)),
            // What follows is the conversation anew.
            Stored::Snapshot(_) => {
                self.conversation = told_so_far();
            }
            Stored::Opened(_)
            | Stored::Expected { .. }
            | Stored::Dispatched { .. }
            | Stored::Item(_)
            | Stored::Patch { .. }
            | Stored::State { .. }
            | Stored::Ended(_) => {}
        }
    }
}

/// What has happened in a call after the record `after`, at most `limit` of it, and whether there is more.
///
/// # Errors
/// The store cannot be asked, or is damaged.
pub async fn happened(
    journal: &Journal,
    key: &CallKey,
    after: u64,
    limit: usize,
) -> Result<(Vec<Happening>, bool), StoreError> {
    let mut happened = Vec::new();
    let mut more = false;
    each(journal, key, after, |seq, unix_ms, stored| {
        let Stored::Fact(fact) = stored else {
            return ControlFlow::Continue(());
        };
        if happened.len() == limit {
            more = true;
            return ControlFlow::Break(());
        }
        happened.push(happening(seq, unix_ms, fact));
        ControlFlow::Continue(())
    })
    .await?;
    Ok((happened, more))
}

/// Gives every record from `from` on that can be read to `take`; how many could not.
async fn each(
    journal: &Journal,
    key: &CallKey,
    from: u64,
    mut take: impl FnMut(u64, u64, Stored) -> ControlFlow<()>,
) -> Result<u64, StoreError> {
    let (mut lost, mut at) = (0, Some(from));
    while let Some(from) = at {
        let page = journal.read(key, from, PAGE_RECORDS).await?;
        let missing = page.missing.iter();
        lost += missing
            .map(|range| range.end() - range.start() + 1)
            .sum::<u64>();
        for record in page.records {
            match Stored::read(&record.entry.payload) {
                Ok(stored) => {
                    if take(record.seq, record.entry.unix_ms, stored).is_break() {
                        return Ok(lost);
                    }
                }
                Err(_) => lost += 1,
            }
        }
        at = page.next;
    }
    Ok(lost)
}

/// The record with number N is shown as N + 1: what comes after it begins at record N + 1.
/// As a call has it, but for the size of an item, which was configured then.
fn told_so_far() -> Conversation {
    let log = LogLimits::default();
    let limits = ConversationLimits {
        log: LogLimits {
            item_bytes_max: log.log_bytes_max,
            ..log
        },
        ..ConversationLimits::default()
    };
    Conversation::new(limits, None)
}

fn happening(seq: u64, unix_ms: u64, fact: call::Fact) -> Happening {
    Happening {
        number: seq + 1,
        unix_ms,
        what: Happened::Fact(fact),
    }
}
