//! How a call is shown: plain data for every interface, without what the visitor may not see.
//!
//! Personal data is the room's name, the caller's identity and the words of a reason. Who may not see it gets the same
//! keyed hash that stands in the logs.

use std::sync::Arc;
use std::time::Instant;

use call::{
    Cause, Handoff, Hold, IdleWait, Opening, ParticipantKind, Phase, SpecialistView, Splice, Stage,
    WasAt,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Access;
use crate::room::{Change, ChangeKind, Published};
use crate::telemetry::Hash;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallView {
    /// Its id, for every other request.
    pub id: String,
    /// The room's name; a keyed hash for who may not see personal data.
    pub room: String,
    /// idle, preparing, ready, switching or active.
    pub phase: String,
    /// Grows with every grant of the baton.
    pub epoch: u64,
    /// Who has the baton.
    pub holder: Option<HolderView>,
    /// The hold that the caller is on.
    pub held: Option<HoldView>,
    /// The handoff under way.
    pub handoff: Option<HandoffView>,
    /// Who is on the phone.
    pub caller: Option<CallerView>,
    /// Everybody who was dispatched and is not gone.
    pub specialists: Vec<SpecialistRow>,
    /// The specialist that had the baton before.
    pub previous: Option<String>,
    /// The person that is rung and has not answered; see `accept` and `decline`.
    pub rung: Option<String>,
    /// Whether a track of the call is recorded now.
    pub recorded: bool,
    /// What was counted since the call began.
    pub counts: CountsView,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// When it last changed, in milliseconds since 1970.
    pub changed_unix_ms: u64,
    /// Why it ended, if it did.
    pub ended: Option<String>,
}

/// Who has the baton.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HolderView {
    /// Its name in the configuration.
    pub specialist: String,
    /// Its identity in the room.
    pub identity: String,
    /// The epoch of its grant.
    pub epoch: u64,
    /// Whether it is a person, who can be had give the baton back.
    pub person: bool,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldView {
    /// Who had the baton, and has it again afterwards.
    pub specialist: String,
    /// When it ends by itself, in milliseconds since 1970.
    pub until_unix_ms: u64,
}

/// A handoff under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HandoffView {
    /// Its number within the call.
    pub id: u64,
    /// To whom.
    pub to: String,
    /// entry, recovery or request.
    pub cause: String,
    /// Why, in the asker's words; absent for who may not see personal data.
    pub reason: Option<String>,
    /// Where the old voice may be cut: end_of_utterance, caller_silent or now.
    pub splice: String,
    /// The length of the crossfade, in milliseconds.
    pub fade_ms: u32,
    /// Whether the new holder speaks first: continue, greet, wait or say.
    pub opening: String,
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallerView {
    /// Its identity, which carries the phone number; a keyed hash for who may not see personal data.
    pub identity: String,
    /// sip or standard.
    pub kind: String,
    /// Whether it is in the room.
    pub present: bool,
    /// Whether it hears the program track.
    pub listening: bool,
}

/// A specialist in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SpecialistRow {
    /// The number of its dispatch within the call.
    pub dispatch: u64,
    /// Its name in the configuration.
    pub specialist: String,
    /// Its identity in the room, once it has joined.
    pub identity: Option<String>,
    /// dispatched, joined, waiting, preparing, ready, holding, outgoing, settling, parked, leaving or away.
    pub stage: String,
    /// What is waited for ends then, in milliseconds since 1970.
    pub until_unix_ms: Option<u64>,
}

/// What a call counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountsView {
    /// Handoffs started on request.
    pub handoffs_started: u64,
    /// Handoffs that reached their target, entry and recoveries included.
    pub handoffs_done: u64,
    /// Handoffs that failed.
    pub handoffs_failed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Events that had no place in the call.
    pub rejected: u64,
    /// Reports of misbehaviour.
    pub misbehaved: u64,
    /// Holders that were lost.
    pub losses: u64,
}

/// A change as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// As in the [`ChangeView`].
    pub id: u64,
    /// As in the [`ChangeView`].
    pub kind: &'static str,
    /// The [`ChangeView`], as JSON.
    pub json: Arc<str>,
}

/// Something that happened to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangeView {
    /// Grows by one with every change in this process; the place to resume from.
    pub id: u64,
    /// opened, changed or closed.
    pub kind: &'static str,
    /// The call as it was then.
    pub call: CallView,
}

impl CallView {
    pub(super) fn new(published: &Published, access: &Access) -> Self {
        let Published {
            room,
            started_unix_ms,
            unix_ms,
            at,
            snapshot,
            recorded,
        } = published;
        let personal = access.steers(room);
        let counts = snapshot.counts;
        Self {
            id: snapshot.call.to_string(),
            room: shown(room, personal),
            phase: snapshot.phase.name().as_str().to_owned(),
            epoch: snapshot.epoch.0,
            holder: snapshot.phase.holder().map(|holder| HolderView {
                specialist: holder.specialist.to_string(),
                identity: holder.identity.to_string(),
                epoch: holder.epoch.0,
                person: snapshot.person_holds,
            }),
            held: held(&snapshot.phase).map(|hold| HoldView {
                specialist: hold.specialist.to_string(),
                until_unix_ms: later(*unix_ms, *at, hold.until),
            }),
            handoff: snapshot
                .phase
                .handoff()
                .map(|handoff| HandoffView::new(handoff, personal)),
            caller: snapshot.caller.as_ref().map(|caller| CallerView {
                identity: shown(caller.identity.as_str(), personal),
                kind: kind(caller.kind).to_owned(),
                present: caller.present,
                listening: caller.listening,
            }),
            specialists: snapshot
                .specialists
                .iter()
                .map(|(dispatch, view)| SpecialistRow::new(dispatch.0, view, *unix_ms, *at))
                .collect(),
            previous: snapshot.previous.as_ref().map(ToString::to_string),
            rung: snapshot.rung.as_ref().map(ToString::to_string),
            recorded: *recorded,
            counts: CountsView {
                handoffs_started: counts.handoffs_started.into(),
                handoffs_done: counts.handoffs_done,
                handoffs_failed: counts.handoffs_failed,
                refused: counts.refused,
                rejected: counts.rejected,
                misbehaved: counts.misbehaved,
                losses: counts.losses.into(),
            },
            started_unix_ms: *started_unix_ms,
            changed_unix_ms: *unix_ms,
            ended: snapshot.ended.map(|reason| reason.to_string()),
        }
    }
}

impl HandoffView {
    fn new(handoff: &Handoff, personal: bool) -> Self {
        Self {
            id: handoff.id.0,
            to: handoff.to.to_string(),
            cause: match handoff.cause {
                Cause::Entry => "entry",
                Cause::Recovery => "recovery",
                Cause::Request { .. } => "request",
            }
            .to_owned(),
            reason: personal.then(|| handoff.reason.clone()),
            splice: match handoff.splice {
                Splice::Now => "now",
                Splice::EndOfUtterance { .. } => "end_of_utterance",
                Splice::CallerSilent { .. } => "caller_silent",
            }
            .to_owned(),
            fade_ms: handoff.fade_ms,
            opening: match handoff.opening {
                Opening::Continue => "continue",
                Opening::Greet => "greet",
                Opening::Wait => "wait",
                Opening::Say(_) => "say",
            }
            .to_owned(),
        }
    }
}

impl SpecialistRow {
    fn new(dispatch: u64, view: &SpecialistView, unix_ms: u64, at: Instant) -> Self {
        let (stage, until) = stage(view.stage);
        Self {
            dispatch,
            specialist: view.specialist.to_string(),
            identity: view.identity.as_ref().map(ToString::to_string),
            stage: stage.to_owned(),
            until_unix_ms: until.map(|until| later(unix_ms, at, until)),
        }
    }
}

impl Told {
    /// The change as the visitor may see it. It is written for the first of them, and the same for all others: there may be
    /// many, and all follow every call.
    pub(super) fn new(change: &Change, access: &Access) -> Self {
        let kind = match change.kind {
            ChangeKind::Opened => "opened",
            ChangeKind::Changed => "changed",
            ChangeKind::Closed => "closed",
        };
        let written = match access.steers(&change.published.room) {
            true => &change.written.whole,
            false => &change.written.masked,
        };
        let json = written.get_or_init(|| {
            let view = ChangeView {
                id: change.id,
                kind,
                call: CallView::new(&change.published, access),
            };
            // It is made of plain data, so that its JSON cannot fail.
            serde_json::to_string(&view).unwrap_or_default().into()
        });
        Self {
            id: change.id,
            kind,
            json: json.clone(),
        }
    }
}

pub(super) fn shown(name: &str, personal: bool) -> String {
    if personal {
        name.to_owned()
    } else {
        Hash::of(name).to_string()
    }
}

/// A deadline, in milliseconds since 1970, if it was `unix_ms` at `at`.
fn later(unix_ms: u64, at: Instant, until: Instant) -> u64 {
    let left = until.saturating_duration_since(at).as_millis();
    unix_ms.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
}

fn held(phase: &Phase) -> Option<&Hold> {
    match phase {
        Phase::Idle {
            wait: IdleWait::Held(hold),
        } => Some(hold),
        Phase::Idle {
            wait: IdleWait::Nothing | IdleWait::Fallbacks { .. },
        }
        | Phase::Preparing { .. }
        | Phase::Ready { .. }
        | Phase::Switching { .. }
        | Phase::Active { .. } => None,
    }
}

fn kind(kind: ParticipantKind) -> &'static str {
    match kind {
        ParticipantKind::Sip => "sip",
        ParticipantKind::Standard => "standard",
        ParticipantKind::Agent => "agent",
        ParticipantKind::Other => "other",
    }
}

fn stage(stage: Stage) -> (&'static str, Option<Instant>) {
    match stage {
        Stage::Dispatched { until } => ("dispatched", Some(until)),
        Stage::Joined { until } => ("joined", Some(until)),
        Stage::Waiting => ("waiting", None),
        Stage::Preparing { until } => ("preparing", Some(until)),
        // It is ready: that it had to be by then matters only if it reconnects.
        Stage::Ready { until: _ } => ("ready", None),
        Stage::Holding { take_until } => ("holding", take_until),
        Stage::Outgoing => ("outgoing", None),
        Stage::Settling {
            epoch: _,
            until,
            leave: _,
        } => ("settling", Some(until)),
        Stage::Parked { until } => ("parked", until),
        Stage::Leaving { until, removed: _ } => ("leaving", Some(until)),
        Stage::Away {
            until,
            back: _,
            was: WasAt::Waiting | WasAt::Preparing { .. } | WasAt::Holding | WasAt::Parked { .. },
        } => ("away", Some(until)),
    }
}
