//! What the shell tells a call.
//!
//! The shell has checked who says it: an event that names a specialist's `identity` comes from the participant that the
//! server stamped, of kind AGENT, and was bound by its ticket. Everything else about an event may be late, repeated,
//! out of place or nonsense; the call sorts that out.

use std::sync::Arc;

use rules::{CallerFacts, LocalTime};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::announce::Clip;
use crate::config::Splice;
use crate::delegation::Delegating;
use crate::ids::{Digit, DispatchId, Epoch, HandoffId, Identity, RequestId, SpecialistName};
use crate::outcome::NoAnswer;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A participant is in the room: already when Baton joined, or since. To be said again after Baton's own full
    /// reconnect; a participant that comes back with a new sid has left before.
    ParticipantJoined {
        /// Who.
        identity: Identity,
        /// Of which kind.
        kind: ParticipantKind,
    },
    /// A participant has left. A leave of an older sid under the same identity is not to be reported late.
    ParticipantLeft {
        /// Who.
        identity: Identity,
        /// Whether it may come back.
        departure: Departure,
    },
    /// This participant hears the program track: it has subscribed to it and, on a phone, `sip.callStatus` is `active`.
    CallerListening {
        /// Who.
        identity: Identity,
    },
    /// A specialist published or republished a track: the gates are applied again.
    TrackPublished {
        /// Who.
        identity: Identity,
    },
    /// Baton's own connection to the room is away, and is being rebuilt.
    Reconnecting,
    /// Baton's own connection to the room was rebuilt: the gates are applied again.
    Reconnected,
    /// A dispatch was not accepted by the server.
    DispatchFailed {
        /// Which.
        dispatch: DispatchId,
        /// What the server said; at most [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters are kept.
        detail: String,
    },
    /// A dispatch was not made: the specialist is in as many calls as it may be.
    DispatchFull {
        /// Which.
        dispatch: DispatchId,
        /// In how many calls it may be.
        max: u32,
    },
    /// A person could not be rung, or the caller not be transferred.
    Unanswered {
        /// Which.
        dispatch: DispatchId,
        /// Why; at most [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters of what was said are kept.
        how: NoAnswer,
    },
    /// The caller's phone has called the address of this dispatch, and was answered; see
    /// [`Command::Transfer`](crate::Command::Transfer). It is about to leave.
    Transferred {
        /// Which.
        dispatch: DispatchId,
    },
    /// A participant showed the ticket of this dispatch.
    SpecialistJoined {
        /// Whose ticket it was.
        dispatch: DispatchId,
        /// Who showed it.
        identity: Identity,
    },
    /// A specialist said Hello; after each of its full reconnects it says so again.
    Hello {
        /// Who.
        identity: Identity,
    },
    /// A specialist is ready for the grant.
    Ready {
        /// Who.
        identity: Identity,
        /// What it was prepared for.
        handoff: HandoffId,
        /// Whether it has applied the conversation that it was given; it is not ready without.
        applied: bool,
    },
    /// A specialist does not want to be prepared.
    PrepareRefused {
        /// Who.
        identity: Identity,
        /// What it was to be prepared for.
        handoff: HandoffId,
        /// Its reason; at most [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters are kept.
        detail: String,
    },
    /// A specialist has taken its grant.
    Granted {
        /// Who.
        identity: Identity,
        /// The grant's epoch.
        epoch: Epoch,
    },
    /// A specialist has stopped after a Revoke.
    Released {
        /// Who.
        identity: Identity,
        /// The Revoke's epoch.
        epoch: Epoch,
    },
    /// Somebody asks to move the baton.
    HandoffRequested(HandoffRequest),
    /// A person wants to give the baton back to whoever had it before.
    HandedBack {
        /// Who.
        identity: Identity,
    },
    /// An operator answers for the person that is rung.
    PersonAnswered {
        /// The operator's number for it; comes back in [`Command::SteerResult`](crate::Command::SteerResult).
        request: RequestId,
        /// What the person wants.
        answer: PersonAnswer,
    },
    /// An operator has the person that has the baton give it back.
    HandBackRequested {
        /// The operator's number for it; comes back in [`Command::HandoffResult`](crate::Command::HandoffResult), or in
        /// [`Command::SteerResult`](crate::Command::SteerResult) if no person has the baton.
        request: RequestId,
    },
    /// An operator wants the caller to wait, without a voice but the filler's.
    HoldRequested {
        /// The operator's number for it; comes back in [`Command::SteerResult`](crate::Command::SteerResult).
        request: RequestId,
    },
    /// An operator wants the hold to end.
    ResumeRequested {
        /// The operator's number for it; comes back in [`Command::HandoffResult`](crate::Command::HandoffResult), or in
        /// [`Command::SteerResult`](crate::Command::SteerResult) if there is no hold.
        request: RequestId,
    },
    /// An operator wants the baton to go to whom the configuration names for that.
    EscalationRequested {
        /// The operator's number for it; comes back in [`Command::HandoffResult`](crate::Command::HandoffResult), or in
        /// [`Command::SteerResult`](crate::Command::SteerResult) if nobody is named.
        request: RequestId,
        /// Why; at most [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters are kept.
        reason: String,
        /// Overrides the route's splice point.
        splice: Option<Splice>,
    },
    /// The target has the summary, or what it gets without one; see
    /// [`Command::AwaitSummary`](crate::Command::AwaitSummary).
    SummarySettled {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// The holder's tools are done, see [`Command::AwaitTools`](crate::Command::AwaitTools).
    ToolsSettled {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// The grant's record is durable, or the journal in trouble; see [`Command::AwaitJournal`](crate::Command::AwaitJournal).
    JournalSettled {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// The target has applied all of the conversation, see [`Command::AwaitTail`](crate::Command::AwaitTail).
    TailApplied {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// The old voice may be cut, see [`Command::WatchSplice`](crate::Command::WatchSplice).
    SpliceReached {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// The prepared sound is over, or cannot be played; see [`Command::Announce`](crate::Command::Announce).
    Announced {
        /// Which.
        clip: Clip,
    },
    /// The first sounding frame of a source admitted for this epoch has arrived.
    FirstFrame {
        /// Whose.
        identity: Identity,
        /// The epoch it was admitted for.
        epoch: Epoch,
    },
    /// The crossfade of this epoch is over.
    FadeDone {
        /// Which.
        epoch: Epoch,
    },
    /// Nobody has spoken for too long although [`Call::voice_is_due`](crate::Call::voice_is_due); the filler begins.
    DeadAirBegan,
    /// Somebody speaks again, or is not awaited any more.
    DeadAirEnded {
        /// Whether somebody spoke as soon as it had begun: it was no dead air, only slow.
        false_start: bool,
    },
    /// A participant has pressed a key.
    DtmfPressed {
        /// Who, as the server stamped it.
        identity: Identity,
        /// Which.
        digit: Digit,
    },
    /// The caller, or the holder, has begun or ceased to speak.
    Talking {
        /// Who.
        identity: Identity,
        /// Whether it speaks now.
        talking: bool,
    },
    /// The shared state has a new version. An older one than the last is passed over.
    StateChanged {
        /// The whole of it.
        state: Arc<Json>,
        /// Which version, from 1.
        version: u64,
    },
    /// What is known of the caller has changed.
    CallerKnown {
        /// All that is known.
        facts: Arc<CallerFacts>,
    },
    /// What is known of the caller elsewhere was put into the state, or could not be had; see
    /// [`Command::AskEntryState`](crate::Command::AskEntryState).
    EntryStateSettled,
    /// What the clocks show, at the call's start and each minute since.
    Clock {
        /// The time in the configured zone.
        time: LocalTime,
    },
    /// A specialist is in the room but no longer answers (heartbeats, resends exhausted).
    Unresponsive {
        /// Who.
        identity: Identity,
    },
    /// Nothing has come of a specialist for `holder_quiet_ms`, no packet of its tracks and no frame; said again for as long as
    /// that again. Not to be said while Baton's own connection is away.
    Quiet {
        /// Who.
        identity: Identity,
    },
    /// Something has come of a specialist that was [quiet](Event::Quiet).
    Heard {
        /// Who.
        identity: Identity,
    },
    /// Something, of whatever kind, has come from the server since the last [`Command::AskHolder`](crate::Command::AskHolder).
    ServerHeard,
    /// A participant of kind AGENT does what it must not.
    Misbehaved {
        /// Who.
        identity: Identity,
        /// What it does.
        what: Misbehaviour,
    },
    /// The call is to end: by an operator, or because Baton stops.
    Stop,
    /// The room is gone; nothing can be done in it any more.
    RoomClosed,
    /// Another process goes on with the call; nothing may be done in it any more.
    TakenOver,
}

/// A wish to move the baton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffRequest {
    /// Who asks.
    pub asker: Asker,
    /// The asker's number for it; comes back in [`Command::HandoffResult`](crate::Command::HandoffResult).
    pub request: RequestId,
    /// To whom.
    pub target: Target,
    /// Why; at most [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters are kept.
    pub reason: String,
    /// The asker's tool call by which it asks: its result comes with the handoff's, so it is not waited for. At most
    /// [`TEXT_CHARS_MAX`](crate::TEXT_CHARS_MAX) characters are kept.
    pub tool_call: Option<String>,
    /// Overrides the route's splice point. A wait is bounded by the longest timer there is.
    pub splice: Option<Splice>,
    /// The task that goes with it, or the result of the asker's own; only a specialist has any.
    pub delegating: Option<Delegating>,
}

/// What a person that is rung wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonAnswer {
    /// To talk with the caller.
    Accept,
    /// Not to.
    Decline,
}

/// Who asks for a handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A specialist; only the holder may, with the epoch of its grant.
    Specialist {
        /// Who.
        identity: Identity,
        /// The epoch it believes to hold.
        epoch: Epoch,
    },
    /// A person or program at the HTTP or MCP interface.
    Operator,
    /// A rule of the configuration.
    Rule,
}

impl Asker {
    /// Whether both are the same one, under whatever epoch: who asks again after a restart of Baton does so under a new one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Specialist { identity, .. }, Self::Specialist { identity: same, .. }) => {
                identity == same
            }
            (Self::Operator, Self::Operator) | (Self::Rule, Self::Rule) => true,
            (Self::Specialist { .. } | Self::Operator | Self::Rule, _) => false,
        }
    }
}

/// To whom the baton is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The specialist of this name.
    Specialist(SpecialistName),
    /// Whoever held the baton before the holder.
    Previous,
}

/// A participant's kind, as the server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantKind {
    /// A phone.
    Sip,
    /// A web or mobile client.
    Standard,
    /// An agent.
    Agent,
    /// Egress, ingress, connectors and kinds that do not exist yet.
    Other,
}

/// Whether a participant that left may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It hung up, was removed, or finished: its time to return is not waited for.
    Final,
    /// Its connection broke, or nobody knows.
    MayReturn,
}

/// What a participant of kind AGENT must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misbehaviour {
    /// It published a track that others than Baton may subscribe to.
    OpenTrack,
    /// It sounds without a grant.
    SoundsWithoutBaton,
    /// It sends what is no frame of the protocol, again and again.
    Garbage,
}
