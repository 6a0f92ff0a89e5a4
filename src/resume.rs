//! Takes up calls that no living process holds: at the start those of a Baton that was killed, and on a shared store,
//! for as long as Baton runs, those of another one whose leases have lapsed.
//!
//! A call whose room is gone is ended in its journal. One whose room lives is claimed, which fences its former process,
//! rebuilt, and joined under the same identity, which evicts what may be left of that process. It takes a slot of the
//! worker like any other call; those for which there is none wait for the next round.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use call::EndReason;
use store::{CallJournal, CallKey, CallStatus, CallSummary, ClaimError, Health, StoreError};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, field::Empty, info, info_span, warn};
use worker::{JobOutcome, NoSlot, WorkerHandle};

use crate::clock;
use crate::room::{self, CallDeps, Journals, LeftBehind, Rebuilt};
use crate::telemetry::Hash;

/// The shortest pause between two rounds.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Open calls that are looked at in one round, the longest silent ones first.
const CALLS_MAX: usize = 10_000;
/// Records that are read at a time.
const PAGE_RECORDS: usize = 1_024;
/// How often what has outlived its retention is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What it takes to take calls up.
#[derive(Debug)]
pub struct Resumer {
    /// What every call shares, under the newest configuration.
    pub deps: watch::Receiver<Arc<CallDeps>>,
    /// Where they are journaled.
    pub journals: Journals,
    /// Who has the slots.
    pub worker: WorkerHandle,
    /// Whether calls are taken up at all; otherwise only what is too old is deleted.
    pub resume: bool,
}

/// How looking for calls went.
#[derive(Debug, Default)]
struct Round {
    resumed: usize,
    ended: usize,
    failed: usize,
    /// Calls for which there was no slot.
    waiting: usize,
}

/// What became of one call.
enum Taken {
    Resumed,
    Ended,
    /// Somebody else has it.
    NotOurs,
    Failed,
    NoSlot,
}

impl Resumer {
    /// Runs until `close`; calls that were taken up are then still run to their ends.
    pub async fn run(self, close: CancellationToken) {
        let mut calls = JoinSet::new();
        let mut round_at = Instant::now();
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        let pause = Duration::from_millis(self.journals.lease_ms / 2).max(PAUSE_MIN);
        let mut healthy = self.journals.store.opened().await == Health::Healthy;
        loop {
            // All arms are cancel-safe: a token, a set, a timer.
            tokio::select! {
                () = close.cancelled() => break,
                Some(ended) = calls.join_next() => note_end(ended),
                () = sleep_until(round_at.min(sweep_at)) => {}
            }
            let now = Instant::now();
            if sweep_at <= now {
                sweep_at = now + SWEEP_EVERY;
                self.sweep().await;
            }
            if round_at <= now {
                round_at = now + pause;
                if self.resume {
                    healthy = self.round(&mut calls, healthy).await;
                }
            }
        }
        while let Some(ended) = calls.join_next().await {
            note_end(ended);
        }
    }

    async fn sweep(&self) {
        match self.journals.store.sweep(clock::unix_ms()).await {
            Ok(0) => {}
            Ok(calls) => info!(calls, "old calls deleted from the journal"),
            Err(error) => debug!(%error, "journal not swept"),
        }
    }

    /// Looks once for calls; whether the store could be asked.
    async fn round(&self, calls: &mut JoinSet<()>, was_healthy: bool) -> bool {
        let open = match self.journals.store.calls(CallStatus::Open, CALLS_MAX).await {
            Ok(open) => open,
            Err(error) => {
                if was_healthy {
                    warn!(
                        error = &error as &dyn Error,
                        "cannot look for calls to resume"
                    );
                }
                return false;
            }
        };
        let now = clock::unix_ms();
        let mut round = Round::default();
        for call in open.iter().filter(|call| self.may_be_free(call, now)) {
            match self.take(call, calls).await {
                Taken::Resumed => round.resumed += 1,
                Taken::Ended => round.ended += 1,
                Taken::Failed => round.failed += 1,
                Taken::NotOurs => {}
                Taken::NoSlot => {
                    round.waiting += 1;
                    break;
                }
            }
        }
        let Round {
            resumed,
            ended,
            failed,
            waiting,
        } = round;
        if resumed + ended + failed + waiting > 0 {
            info!(
                resumed,
                ended, failed, waiting, "looked for calls to resume"
            );
        }
        true
    }

    /// Whether it is worth a claim. A call that this process runs is never taken from it, however late its renewal is.
    fn may_be_free(&self, call: &CallSummary, now_unix_ms: u64) -> bool {
        let ours = call.lease.owner == self.journals.owner;
        match ours {
            true => call.lease.until_unix_ms == 0,
            false => call.is_claimable(now_unix_ms),
        }
    }

    async fn take(&self, call: &CallSummary, calls: &mut JoinSet<()>) -> Taken {
        let room = Hash::of(&call.room);
        let span = info_span!("call", %room, call = call.key.as_str(), trace = Empty);
        self.take_up(call, calls, &span)
            .instrument(span.clone())
            .await
    }

    async fn take_up(
        &self,
        call: &CallSummary,
        calls: &mut JoinSet<()>,
        span: &tracing::Span,
    ) -> Taken {
        let deps = self.deps.borrow().clone();
        let room_sid = match deps.server.find_room(&call.room).await {
            Ok(room_sid) => room_sid,
            Err(error) => {
                warn!(
                    error = &error as &dyn Error,
                    "cannot tell whether the room lives, trying again later"
                );
                return Taken::Failed;
            }
        };
        let (slot, signals) = match self.worker.adopt(call.key.as_str()).await {
            Ok(adopted) => adopted,
            Err(NoSlot::Full { .. } | NoSlot::Draining | NoSlot::Stopped | NoSlot::Known) => {
                return Taken::NoSlot;
            }
        };
        let mut journal = match self.claim(&call.key).await {
            Ok(Some(journal)) => journal,
            Ok(None) => return Taken::NotOurs,
            Err(error) => {
                warn!(error = &error as &dyn Error, "call not claimed");
                return Taken::Failed;
            }
        };
        let rebuilt = match self.rebuild(&call.key).await {
            Ok(rebuilt) => rebuilt,
            Err(error) => {
                warn!(error = &error as &dyn Error, "journal of the call not read");
                journal.release(clock::unix_ms());
                return Taken::Failed;
            }
        };
        let Some(left_behind) = LeftBehind::new(call.room.clone(), room_sid, rebuilt) else {
            info!("the room of a call that was left behind is gone, the call is over");
            journal.append(room::end_entry(call.epoch, EndReason::RoomClosed));
            slot.finish(JobOutcome::Success);
            return Taken::Ended;
        };
        let lease_ms = self.journals.lease_ms;
        let run = async move {
            match room::resume(deps, left_behind, journal, lease_ms, signals).await {
                Ok(reason) => {
                    info!(%reason, "call ended");
                    slot.finish(JobOutcome::Success);
                }
                Err(error) => {
                    warn!(error = &error as &dyn Error, "call not resumed");
                    slot.finish(JobOutcome::Failed(error.to_string()));
                }
            }
        };
        calls.spawn(run.instrument(span.clone()));
        Taken::Resumed
    }

    /// The call's journal, unless somebody else has it.
    async fn claim(&self, key: &CallKey) -> Result<Option<CallJournal>, StoreError> {
        let Journals {
            store, lease_ms, ..
        } = &self.journals;
        match store.claim(key, clock::unix_ms(), *lease_ms).await {
            Ok(journal) => Ok(Some(journal)),
            Err(ClaimError::Store(error)) => Err(error),
            Err(other @ (ClaimError::Held { .. } | ClaimError::Ended | ClaimError::Unknown)) => {
                debug!(reason = %other, "call not claimed");
                Ok(None)
            }
        }
    }

    async fn rebuild(&self, key: &CallKey) -> Result<Rebuilt, StoreError> {
        let mut rebuilt = Rebuilt::default();
        let mut from = Some(0);
        while let Some(at) = from {
            let page = self.journals.store.read(key, at, PAGE_RECORDS).await?;
            page.records.iter().for_each(|record| rebuilt.take(record));
            from = page.next;
        }
        Ok(rebuilt)
    }
}

fn note_end(ended: Result<(), JoinError>) {
    // What it panicked with has been logged where it happened.
    if let Err(error) = ended
        && error.is_panic()
    {
        error!("a resumed call failed by a panic, others go on");
    }
}
