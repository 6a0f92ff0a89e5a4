//! Writes the journal of one call: every fact of the core, the tickets and ids of its dispatches, its end.
//!
//! Writing never waits. What must be durable before it takes effect is awaited through [`Journal::settle`], and
//! only until the store is known to be in trouble: a call goes on without its journal, and says so. A call whose lease
//! another process has taken writes nothing any more.

use std::time::{Duration, Instant};

use call::{CallId, EndReason, Epoch, Fact};
use store::{CallJournal, CallKey, Entry, NewCall, Receipt, Settled};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::stored::{Opened, Rebuilt, Stored};
use crate::clock;

/// The longest that a grant waits for its record. A store that takes longer than a part of it says itself that it is in trouble.
const GRANT_WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest that the store is waited for when it is asked whose the call is.
const OWNER_WAIT_MAX: Duration = Duration::from_secs(1);
/// A lease is renewed this many times before it would end.
const RENEWALS: u32 = 4;

/// Where the calls of this process are journaled.
#[derive(Clone, Debug)]
pub struct Journals {
    /// The journal of all calls.
    pub store: store::Journal,
    /// The name of this run of the process there.
    pub owner: String,
    /// How long another process has to wait for a call of ours, in milliseconds.
    pub lease_ms: u64,
    /// The agent name under which Baton is dispatched.
    pub agent: String,
    /// Tells one configuration from another.
    pub config_hash: String,
}

/// The journal of one call; it may be none.
#[derive(Debug, Default)]
pub(super) struct Journal {
    writer: Option<Writer>,
    /// What the journal comes to, for when it has to be told anew.
    rebuilt: Rebuilt,
    /// The epoch whose grant was recorded ahead last.
    announced: Option<Epoch>,
}

#[derive(Debug)]
struct Writer {
    /// Taken out by the end alone.
    call: Option<CallJournal>,
    lease_ms: u64,
    renew_at: Instant,
    /// Of the newest record.
    newest: Option<Receipt>,
}

impl Journal {
    /// Begins a call's journal, if there is a store.
    pub(super) fn begin(
        journals: Option<&Journals>,
        call: &CallId,
        room: &str,
        opened: Opened,
    ) -> Self {
        let mut journal = Self::default();
        let opening = Stored::Opened(opened);
        if let Some(journals) = journals {
            journal.writer = begin(journals, call, room, &opening);
        }
        journal.rebuilt.apply(opening);
        journal
    }

    /// Goes on with a journal that was claimed.
    pub(super) fn go_on(call: CallJournal, lease_ms: u64, rebuilt: Rebuilt) -> Self {
        Self {
            writer: Some(Writer {
                call: Some(call),
                lease_ms,
                renew_at: clock::now(),
                newest: None,
            }),
            rebuilt,
            announced: None,
        }
    }

    /// What the journal comes to; the conversation in it is given away.
    pub(super) fn take_rebuilt(&mut self) -> Rebuilt {
        let said = std::mem::take(&mut self.rebuilt.said);
        Rebuilt {
            said,
            ..self.rebuilt.clone()
        }
    }

    /// Keeps what the core says.
    pub(super) fn fact(&mut self, epoch: Epoch, fact: &Fact) {
        self.keep(epoch, Stored::Fact(fact.clone()));
    }

    /// Appends a record.
    pub(super) fn keep(&mut self, epoch: Epoch, stored: Stored) {
        if let Stored::Fact(Fact::GrantAnnounced { epoch, .. }) = &stored {
            self.announced = Some(*epoch);
        }
        if let Some(writer) = &mut self.writer {
            writer.append(epoch, &stored);
        }
        self.rebuilt.apply(stored);
    }

    /// Whether the grant of this epoch was recorded ahead, and awaited.
    pub(super) fn is_announced(&self, epoch: Epoch) -> bool {
        self.announced == Some(epoch)
    }

    /// Waits until everything so far is durable, or known not to be, for a while.
    pub(super) async fn settle(&mut self) {
        if let Some(settled) = self.settling() {
            settled.await;
        }
    }

    /// The same as a future of its own; none if there is nothing to wait for.
    pub(super) fn settling(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut receipt = self.writer.as_ref()?.newest.clone()?;
        if receipt.poll() == Some(Settled::Durable) {
            return None;
        }
        Some(async move {
            match timeout(GRANT_WAIT_MAX, receipt.settled()).await {
                Ok(Settled::Durable | Settled::Fenced) => {}
                Ok(Settled::Buffered(trouble)) => warn!(
                    trouble = trouble.as_str(),
                    "granted before its record is durable"
                ),
                Ok(Settled::Lost) => warn!("granted without a record"),
                Err(_) => {
                    warn!("granted before its record is durable, the journal does not answer")
                }
            }
        })
    }

    /// Waits until another process has taken the call over; for ever, if none does. Cancel-safe.
    pub(super) async fn fenced(&mut self) {
        match self.writer.as_mut().and_then(|writer| writer.call.as_mut()) {
            Some(call) => call.fenced().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the lease has not been renewed in time, since this process stood still: another one may have the call by now.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        let writer = self.writer.as_ref();
        writer.is_some_and(|writer| writer.ends_at() <= now)
    }

    /// Asks the store whether another process has taken the call over meanwhile, and renews the lease if not. A store that does not
    /// answer within a second is not waited for.
    pub(super) async fn is_taken_over(
        &mut self,
        now: Instant,
        epoch: Epoch,
        conversation: impl FnOnce() -> Vec<Stored>,
    ) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        writer.renew(now);
        // A record is answered, and the whole call is what does no harm to be told once more.
        writer.append_whole(epoch, &self.rebuilt, conversation());
        if let Some(receipt) = &mut writer.newest {
            // Without an answer the call goes on here, as it does whenever the store is in trouble.
            timeout(OWNER_WAIT_MAX, receipt.settled()).await.ok();
        }
        writer.call.as_ref().is_some_and(CallJournal::is_fenced)
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.writer.as_ref().map(|writer| writer.renew_at)
    }

    /// Renews the lease if it is time, and tells the whole call anew, with its conversation, if records were lost.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        epoch: Epoch,
        conversation: impl FnOnce() -> Vec<Stored>,
    ) {
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.renew_at <= now) else {
            return;
        };
        if writer.renew(now) {
            debug!("records of the journal were lost, writing a snapshot");
            writer.append_whole(epoch, &self.rebuilt, conversation());
        }
    }

    /// The call has ended here.
    pub(super) fn end(&mut self, epoch: Epoch, reason: EndReason) {
        match reason {
            EndReason::TakenOver => {}
            EndReason::NoCaller
            | EndReason::CallerGone
            | EndReason::NoSpecialist
            | EndReason::TooManyLosses { .. }
            | EndReason::Full
            | EndReason::Transferred
            | EndReason::Stopped
            | EndReason::RoomClosed => self.keep(epoch, Stored::Ended(reason)),
        }
        if let Some(mut writer) = self.writer.take() {
            writer.call = None;
        }
    }
}

impl Writer {
    fn append(&mut self, epoch: Epoch, stored: &Stored) {
        let Some(call) = &mut self.call else { return };
        self.newest = Some(call.append(Entry {
            kind: stored.kind(),
            epoch: epoch.0,
            unix_ms: clock::unix_ms(),
            payload: stored.payload(),
        }));
    }

    /// Tells the whole call anew, with its conversation.
    fn append_whole(&mut self, epoch: Epoch, rebuilt: &Rebuilt, conversation: Vec<Stored>) {
        self.append(epoch, &Stored::Snapshot(Box::new(rebuilt.clone())));
        for stored in conversation {
            self.append(epoch, &stored);
        }
    }

    /// When the lease ends unless it is renewed.
    fn ends_at(&self) -> Instant {
        let every = Duration::from_millis(self.lease_ms) / RENEWALS;
        self.renew_at + every * (RENEWALS - 1)
    }

    /// Whether a snapshot is needed.
    fn renew(&mut self, now: Instant) -> bool {
        self.renew_at = now + Duration::from_millis(self.lease_ms) / RENEWALS;
        let Some(call) = &mut self.call else {
            return false;
        };
        call.renew(clock::unix_ms(), self.lease_ms);
        call.is_torn()
    }
}

impl Drop for Writer {
    /// A call that was cut off may be taken up at once.
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.release(clock::unix_ms());
        }
    }
}

fn begin(journals: &Journals, call: &CallId, room: &str, opening: &Stored) -> Option<Writer> {
    let Journals {
        store,
        owner: _,
        lease_ms,
        agent,
        config_hash,
    } = journals;
    let begun = CallKey::new(call.as_str()).and_then(|key| {
        let new_call = NewCall {
            key,
            room: room.to_owned(),
            agent: agent.clone(),
            config_hash: config_hash.clone(),
            opened_unix_ms: clock::unix_ms(),
        };
        store.begin(new_call, *lease_ms, opening.payload())
    });
    match begun {
        Ok((call, receipt)) => Some(Writer {
            call: Some(call),
            lease_ms: *lease_ms,
            renew_at: clock::now() + Duration::from_millis(*lease_ms) / RENEWALS,
            newest: Some(receipt),
        }),
        Err(error) => {
            warn!(%error, "the call is not journaled");
            None
        }
    }
}
