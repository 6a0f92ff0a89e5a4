//! Calls that have ended, out of their journals.

use std::sync::Arc;
use std::time::Duration;

use call::Fact;
use context::{CallRecord, LivekitItem, Packet, PacketState, RecordedGrant, UnixMillis, vcon_uuid};
use serde::Serialize;
use serde_json::Value;
use store::{CallKey, CallStatus, CallSummary, Journal, StoreError};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::view::shown;
use super::{Access, Admin, AdminError, LIST, PAGE_MAX, STEER, TimelineEntry, TimelinePage};
use crate::clock;
use crate::room::{Happened, Told, happened};

const WHOLE: &str = "a token that does not see calls as one specialist (`baton.view_as`)";
/// Ended calls that are looked through for those that a visitor may see, the newest first.
const SOUGHT_MAX: usize = 10_000;
/// The most entries of a timeline in one answer.
const ENTRIES_MAX: usize = 1_000;
/// Journals that are read at the same time; one more waits.
const READS_MAX: usize = 2;
/// The longest that a journal may take to be read.
const READ_MAX: Duration = Duration::from_secs(20);

/// The journal, if one is kept, and how many may read it at the same time.
#[derive(Clone, Debug)]
pub(super) struct Past {
    journal: Option<Journal>,
    reads: Arc<Semaphore>,
}

/// Calls that have ended, the newest end first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PastList {
    /// The calls.
    pub calls: Vec<PastCall>,
    /// There are more than the limit.
    pub more: bool,
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PastCall {
    /// Its id.
    pub id: String,
    /// The room's name; a keyed hash for who may not see personal data.
    pub room: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_unix_ms: u64,
    /// The highest epoch.
    pub epoch: u64,
    /// Records in the journal.
    pub records: u64,
    /// Records that were lost; then what is told of the call has gaps.
    pub lost: u64,
}

impl Past {
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self {
            journal,
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// Asks the journal something, when its turn comes.
    async fn read<T>(
        &self,
        ask: impl AsyncFnOnce(&Journal) -> Result<T, StoreError>,
    ) -> Result<T, AdminError> {
        let Some(journal) = &self.journal else {
            let what = "no journal is kept (`store.kind` is `none`)".to_owned();
            return Err(AdminError::NotConfigured { what });
        };
        let reading = async {
            let _turn = self.reads.acquire().await;
            ask(journal).await
        };
        match tokio::time::timeout(READ_MAX, reading).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(AdminError::Journal {
                reason: error.to_string(),
            }),
            Err(_) => Err(AdminError::Journal {
                reason: format!("it took longer than {} s", READ_MAX.as_secs()),
            }),
        }
    }
}

impl Admin {
    /// Ended calls that the visitor may see, the newest first.
    ///
    /// # Errors
    /// When the visitor may see none whatever there is, or the journal cannot be read.
    pub async fn past(
        &self,
        access: &Access,
        text: Option<&str>,
        limit: Option<usize>,
    ) -> Result<PastList, AdminError> {
        if !access.is_any() {
            return Err(AdminError::NotAllowed { needs: LIST });
        }
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let calls = self
            .past
            .read(async |journal| journal.calls(CallStatus::Ended, SOUGHT_MAX).await)
            .await?;
        let mut calls = calls
            .iter()
            .filter(|call| access.lists(&call.room))
            .map(|call| PastCall::new(call, access))
            .filter(|call| {
                text.is_none_or(|text| call.id.contains(text) || call.room.contains(text))
            });
        let page = calls.by_ref().take(limit).collect();
        Ok(PastList {
            calls: page,
            more: calls.next().is_some(),
        })
    }

    /// One ended call.
    ///
    /// # Errors
    /// When there is none, the visitor may not see it, or the journal cannot be read.
    pub async fn past_call(&self, access: &Access, id: &str) -> Result<PastCall, AdminError> {
        let call = self.ended(access, id).await?;
        Ok(PastCall::new(&call, access))
    }

    /// What has happened in an ended call after an entry, at most `limit` of it.
    ///
    /// # Errors
    /// As of [`Self::past_packet`].
    pub async fn past_timeline(
        &self,
        access: &Access,
        id: &str,
        after: u64,
        limit: Option<usize>,
    ) -> Result<TimelinePage, AdminError> {
        let call = self.ended_and_open_to(access, id).await?;
        let limit = limit.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
        let (entries, more) = self
            .past
            .read(async |journal| happened(journal, &call.key, after, limit).await)
            .await?;
        let next = entries.last().filter(|_| more).map(|newest| newest.number);
        Ok(TimelinePage {
            entries: entries.iter().map(TimelineEntry::new).collect(),
            next,
        })
    }

    /// Conversation and state of an ended call as a portable packet.
    ///
    /// # Errors
    /// When there is none, the visitor may not see what was said in it, or the journal cannot be read.
    pub async fn past_packet(&self, access: &Access, id: &str) -> Result<Packet, AdminError> {
        let call = self.ended_and_open_to(access, id).await?;
        let told = self.told(&call).await?;
        Ok(packet(id, &told))
    }

    /// An ended call as a vCon, the IETF's container for conversations.
    ///
    /// # Errors
    /// As of [`Self::past_packet`]; or what the journal says makes no vCon.
    pub async fn past_vcon(&self, access: &Access, id: &str) -> Result<Value, AdminError> {
        let call = self.ended_and_open_to(access, id).await?;
        let told = self.told(&call).await?;
        let packet = packet(id, &told);
        let grants = told.happened.iter().filter_map(|entry| match &entry.what {
            Happened::Fact(Fact::Granted { specialist, .. }) => Some(RecordedGrant {
                specialist: specialist.to_string(),
                unix_ms: entry.unix_ms,
            }),
            Happened::Fact(_) | Happened::Talking { .. } => None,
        });
        let record = CallRecord {
            started_unix_ms: call.opened_unix_ms,
            ended_unix_ms: call.ended_unix_ms.unwrap_or(call.last_unix_ms),
            subject: None,
            grants: grants.collect(),
            recordings: Vec::new(),
        };
        let now = UnixMillis(clock::unix_ms());
        packet
            .to_vcon(&record, &vcon_uuid(&packet, now), now)
            .map_err(|error| AdminError::Invalid {
                what: error.to_string(),
            })
    }

    async fn told(&self, call: &CallSummary) -> Result<Told, AdminError> {
        self.past
            .read(async |journal| Told::read(journal, &call.key).await)
            .await
    }

    /// An ended call that the visitor may see.
    async fn ended(&self, access: &Access, id: &str) -> Result<CallSummary, AdminError> {
        let no_call = || AdminError::NoCall { id: id.to_owned() };
        let key = CallKey::new(id).map_err(|_| no_call())?;
        let found = self
            .past
            .read(async |journal| journal.call(&key).await)
            .await?;
        found
            .filter(|call| call.ended_unix_ms.is_some() && access.lists(&call.room))
            .ok_or_else(no_call)
    }

    /// An ended call whose words the visitor may see.
    async fn ended_and_open_to(
        &self,
        access: &Access,
        id: &str,
    ) -> Result<CallSummary, AdminError> {
        let call = self.ended(access, id).await?;
        if !access.steers(&call.room) {
            return Err(AdminError::NotAllowed { needs: STEER });
        }
        match access.view() {
            // The journal does not know what a specialist was kept from.
            Some(_) => Err(AdminError::NotAllowed { needs: WHOLE }),
            None => Ok(call),
        }
    }
}

impl PastCall {
    fn new(call: &CallSummary, access: &Access) -> Self {
        Self {
            id: call.key.as_str().to_owned(),
            room: shown(&call.room, access.steers(&call.room)),
            started_unix_ms: call.opened_unix_ms,
            ended_unix_ms: call.ended_unix_ms.unwrap_or(call.last_unix_ms),
            epoch: call.epoch,
            records: call.records,
            lost: call.next_seq.saturating_sub(call.records),
        }
    }
}

fn packet(id: &str, told: &Told) -> Packet {
    let conversation = &told.conversation;
    let items = conversation
        .log()
        .conversation()
        .filter_map(|entry| LivekitItem::try_from(entry.item()).ok())
        .collect();
    Packet {
        call_id: Some(id.to_owned()),
        state: PacketState {
            version: conversation.state().version().0,
            document: conversation.state().document().clone(),
            ..PacketState::default()
        },
        ..Packet::new(items)
    }
}
