//! What an operator can see and do: every use case once, for HTTP and MCP alike.
//!
//! Reads look at what the calls have published and never touch their tasks. What changes a call is asked of its task, and
//! decided by the rules of the call itself.
//!
//! # What never happens here
//! - Nothing is shown or done that the visitor's [`Access`] does not allow; that a call exists is a secret, too.
//! - No request waits without a limit.

mod access;
mod error;
mod levels;
mod past;
mod said;
mod steer;
mod timeline;
mod view;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use call::{CallId, Outcome, SpecialistName, Splice, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use worker::StatusWatch;

use self::past::Past;
use crate::room::{Ask, Desk, Published};

pub use self::access::Access;
pub use self::error::AdminError;
pub use self::levels::{LevelsView, VoiceLevel};
pub use self::past::{PastCall, PastList};
pub use self::said::{ContextPage, ItemView, PatchAnswer, PatchWish, StateView};
pub use self::steer::{EscalationWish, HoldAnswer, RungAnswer, WaitWish};
pub use self::timeline::{Follow, Moved, TimelineEntry, TimelinePage};
pub use self::view::{
    CallView, CallerView, ChangeView, CountsView, HandoffView, HoldView, HolderView, SpecialistRow,
    Told,
};

/// The most calls in one answer.
pub const PAGE_MAX: usize = 500;
/// The longest that the outcome of a handoff is waited for, in milliseconds.
pub const WAIT_MS_MAX: u64 = 60_000;
/// How long it is waited for by default, in milliseconds.
pub const WAIT_MS: u64 = 30_000;
/// How long a call may take to hear that it is to end.
const END_MAX: Duration = Duration::from_secs(5);
/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = call::TEXT_CHARS_MAX;

const STEER: &str = "a LiveKit token with roomAdmin for the call's room, or the operator's token";
const OPERATOR: &str = "the operator's token";
const LIST: &str = "a LiveKit token with roomList or roomAdmin, or the operator's token";

/// The operator's side of one process.
#[derive(Clone, Debug)]
pub struct Admin {
    desk: Arc<Desk>,
    worker: StatusWatch,
    drain: CancellationToken,
    past: Past,
}

/// Which calls to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only calls in this phase.
    pub phase: Option<String>,
    /// Only calls whose baton is with this specialist.
    pub holder: Option<String>,
    /// Only calls whose id, room or caller contains this text, as far as the visitor sees them.
    pub text: Option<String>,
    /// Only calls after this id, from an earlier page.
    pub after: Option<String>,
    /// At most so many; [`PAGE_MAX`] at most and by default.
    pub limit: Option<usize>,
}

/// Calls in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallList {
    /// The calls.
    pub calls: Vec<CallView>,
    /// There are more: ask for those after this id.
    pub next: Option<String>,
    /// The number of the newest change that the list includes: events after it are news.
    pub change: u64,
}

/// A wish to move the baton.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoffWish {
    /// The name of a specialist, or `previous`.
    #[schema(min_length = 1)]
    pub to: String,
    /// Why, for the log and for the one who takes over; at most 512 characters.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub reason: String,
    /// Cut the holder off instead of waiting for what the route says.
    #[serde(default)]
    pub now: bool,
    /// How long to wait for the outcome, in milliseconds, 60,000 at most.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(maximum = 60_000)]
    pub wait_ms: Option<u64>,
}

/// What became of a wish to move the baton.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum HandoffAnswer {
    /// The baton is with the target.
    Done {
        /// The handoff's number.
        handoff: u64,
        /// Who has the baton.
        holder: String,
        /// Since which epoch.
        epoch: u64,
    },
    /// It is under way still; the call's changes tell how it ends.
    UnderWay,
}

/// The process as a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerView {
    /// The name that dispatch rules ask for.
    pub agent_name: String,
    /// Whether the worker is registered at the server.
    pub registered: bool,
    /// Running calls.
    pub calls: u64,
    /// The most calls at the same time.
    pub calls_max: u64,
    /// Whether no more calls are taken.
    pub draining: bool,
}

/// The changes after some place, as far as a visitor sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// In their order.
    pub changes: Vec<Told>,
    /// The place to go on from.
    pub seen: u64,
    /// Changes before these were missed: look at the list again.
    pub torn: bool,
}

impl Admin {
    /// The operator's side of the calls on this desk. `drain` is cancelled when an operator wants the process to take no
    /// more calls and to stop; `journal` is where ended calls are found.
    pub fn new(
        desk: Arc<Desk>,
        worker: StatusWatch,
        drain: CancellationToken,
        journal: Option<store::Journal>,
    ) -> Self {
        Self {
            desk,
            worker,
            drain,
            past: Past::new(journal),
        }
    }

    /// The calls that the visitor may see, in the order of their ids.
    ///
    /// # Errors
    /// When the visitor may see none whatever there is.
    pub fn calls(&self, access: &Access, filter: &Filter) -> Result<CallList, AdminError> {
        if !access.is_any() {
            return Err(AdminError::NotAllowed { needs: LIST });
        }
        let Filter {
            phase,
            holder,
            text,
            after,
            limit,
        } = filter;
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        // Read first: a change in between is then sent again rather than missed.
        let change = *self.desk.watch().borrow();
        let mut calls = self
            .desk
            .calls()
            .into_iter()
            .filter(|call| access.lists(&call.room))
            .filter(|call| {
                after
                    .as_deref()
                    .is_none_or(|after| call.snapshot.call.as_str() > after)
            })
            .map(|call| CallView::new(&call, access))
            .filter(|call| phase.as_ref().is_none_or(|phase| call.phase == *phase))
            .filter(|call| {
                holder.as_ref().is_none_or(|wanted| {
                    call.holder
                        .as_ref()
                        .is_some_and(|holder| holder.specialist == *wanted)
                })
            })
            .filter(|call| text.as_ref().is_none_or(|text| contains(call, text)));
        let page: Vec<CallView> = calls.by_ref().take(limit).collect();
        let next = calls.next().and(page.last().map(|call| call.id.clone()));
        Ok(CallList {
            calls: page,
            next,
            change,
        })
    }

    /// One call.
    ///
    /// # Errors
    /// When there is none, or the visitor may not see it.
    pub fn call(&self, access: &Access, id: &str) -> Result<CallView, AdminError> {
        let call = self.seen(access, id)?;
        Ok(CallView::new(&call, access))
    }

    /// Moves the baton, if the call's rules allow it, and waits for the outcome.
    ///
    /// # Errors
    /// When it may not be asked for, was refused, or was tried in vain.
    pub async fn hand_off(
        &self,
        access: &Access,
        id: &str,
        wish: HandoffWish,
    ) -> Result<HandoffAnswer, AdminError> {
        let HandoffWish {
            to,
            reason,
            now,
            wait_ms,
        } = wish;
        let id = self.steered(access, id)?;
        let target = match to.as_str() {
            "" => return Err(invalid("`to` is empty: name a specialist, or `previous`")),
            "previous" => Target::Previous,
            name => Target::Specialist(SpecialistName::from(name)),
        };
        if reason.chars().count() > REASON_CHARS_MAX {
            let what = format!("`reason` is longer than {REASON_CHARS_MAX} characters");
            return Err(AdminError::Invalid { what });
        }
        let wait_ms = wait_ms.unwrap_or(WAIT_MS);
        if wait_ms > WAIT_MS_MAX {
            let what = format!("`wait_ms` is {wait_ms}, at most {WAIT_MS_MAX} is allowed");
            return Err(AdminError::Invalid { what });
        }
        let (answer, outcome) = oneshot::channel();
        let ask = Ask::Handoff {
            target,
            reason,
            splice: now.then_some(Splice::Now),
            answer,
        };
        self.desk
            .ask(&id, ask)
            .map_err(|error| AdminError::asking(error, id.as_str()))?;
        match tokio::time::timeout(Duration::from_millis(wait_ms), outcome).await {
            Ok(Ok(outcome)) => answered(outcome),
            Ok(Err(_)) => Err(AdminError::CallEnded),
            Err(_) => Ok(HandoffAnswer::UnderWay),
        }
    }

    /// Ends a call.
    ///
    /// # Errors
    /// When the visitor may not, or there is no such call.
    pub async fn end(&self, access: &Access, id: &str) -> Result<(), AdminError> {
        let id = self.steered(access, id)?;
        let (answer, ended) = oneshot::channel();
        self.desk
            .ask(&id, Ask::End { answer })
            .map_err(|error| AdminError::asking(error, id.as_str()))?;
        match tokio::time::timeout(END_MAX, ended).await {
            // A call that was over already is over.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => Err(AdminError::Busy),
        }
    }

    /// The process as a worker.
    ///
    /// # Errors
    /// When the visitor may see no call whatever there is.
    pub fn worker(&self, access: &Access) -> Result<WorkerView, AdminError> {
        if !access.is_any() {
            return Err(AdminError::NotAllowed { needs: LIST });
        }
        let status = self.worker.now();
        Ok(WorkerView {
            registered: status.unhealthy_reason().is_none(),
            calls: self.desk.len() as u64,
            calls_max: status.max_jobs.into(),
            draining: status.draining,
            agent_name: status.agent_name,
        })
    }

    /// Takes no more calls, lets the running ones finish within the configured time, and ends the process.
    ///
    /// # Errors
    /// When the visitor is not the operator.
    pub fn drain(&self, access: &Access) -> Result<(), AdminError> {
        if !access.is_operator() {
            return Err(AdminError::NotAllowed { needs: OPERATOR });
        }
        self.drain.cancel();
        Ok(())
    }

    /// What has changed after the change `seen`, at most `limit` of it, of one call or of all.
    pub fn changes(&self, access: &Access, of: Option<&str>, seen: u64, limit: usize) -> Followed {
        let found = self.desk.changes_after(seen, limit);
        let newest = found.changes.last().map(|change| change.id);
        let changes = found
            .changes
            .iter()
            .filter(|change| {
                let published = &change.published;
                access.lists(&published.room)
                    && of.is_none_or(|of| published.snapshot.call.as_str() == of)
            })
            .map(|change| Told::new(change, access))
            .collect();
        Followed {
            changes,
            seen: newest.unwrap_or(if found.torn { 0 } else { seen }),
            torn: found.torn,
        }
    }

    /// Changes whenever something has changed, to the number of the newest change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.desk.watch()
    }

    /// A call that the visitor may see.
    fn seen(&self, access: &Access, id: &str) -> Result<Arc<Published>, AdminError> {
        self.desk
            .call(&CallId::from(id))
            .filter(|call| access.lists(&call.room))
            .ok_or_else(|| AdminError::NoCall { id: id.to_owned() })
    }

    /// A call that the visitor may steer.
    fn steered(&self, access: &Access, id: &str) -> Result<CallId, AdminError> {
        let call = self.seen(access, id)?;
        if !access.steers(&call.room) {
            return Err(AdminError::NotAllowed { needs: STEER });
        }
        Ok(call.snapshot.call.clone())
    }
}

fn contains(call: &CallView, text: &str) -> bool {
    let caller = call.caller.as_ref().map(|caller| caller.identity.as_str());
    call.id.contains(text)
        || call.room.contains(text)
        || caller.is_some_and(|caller| caller.contains(text))
}

fn invalid(what: &str) -> AdminError {
    AdminError::Invalid {
        what: what.to_owned(),
    }
}

/// What became of a handoff, as an answer.
fn answered(outcome: Outcome) -> Result<HandoffAnswer, AdminError> {
    match outcome {
        Outcome::Done {
            handoff,
            holder,
            epoch,
        } => Ok(HandoffAnswer::Done {
            handoff: handoff.0,
            holder: holder.to_string(),
            epoch: epoch.0,
        }),
        Outcome::Refused(reason) => Err(AdminError::Refused {
            code: reason.code(),
            reason: reason.to_string(),
        }),
        Outcome::Failed { handoff: _, reason } => Err(AdminError::Failed {
            code: reason.code(),
            reason: reason.to_string(),
        }),
    }
}
