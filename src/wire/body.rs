//! What a frame can say.

use call::{
    Digit, Epoch, HandoffId, Identity, Opening, PhaseName, RequestId, SpecialistName, Target,
    Targets, Ticket,
};

use crate::frame::{Position, Seq, Version};
use crate::reason::{ContextRefuseKind, FailKind, RefuseKind, RejectReason};

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Specialist: here I am. See [`Link::hello`](crate::Link::hello).
    Hello(Hello),
    /// Baton: the answer to a Hello. See [`Link::welcome`](crate::Link::welcome).
    Welcome(Welcome),
    /// Baton: it is alive, and this is how the call stands. Not sequenced, and never sent again.
    Heartbeat(Heartbeat),
    /// Either: a frame was not accepted.
    Reject(Reject),
    /// Baton: get ready to take the baton.
    Prepare(Prepare),
    /// Baton: the handoff that was prepared for will not come.
    CancelPrepare {
        /// Which.
        handoff: HandoffId,
    },
    /// Specialist: ready for the grant.
    Ready(Ready),
    /// Specialist: it does not want to be prepared.
    Refuse {
        /// For which handoff.
        handoff: HandoffId,
        /// Why.
        reason: String,
    },
    /// Baton: from here the specialist alone may be heard, hear, write and hand off.
    Grant {
        /// The epoch that starts.
        epoch: Epoch,
        /// Whether it speaks first.
        opening: Opening,
        /// The handoff that it completes; `None` when a grant is renewed.
        handoff: Option<HandoffId>,
        /// What the specialist takes over.
        packet: Option<Packet>,
    },
    /// Specialist: it has taken its grant.
    Granted {
        /// The grant's epoch.
        epoch: Epoch,
        /// How much of the caller from before this moment it hears first, in milliseconds; `None` if it does not tell.
        preroll_ms: Option<u32>,
    },
    /// Baton: the baton is taken away.
    Revoke(Revoke),
    /// Specialist: it has stopped.
    Released {
        /// The Revoke's epoch.
        epoch: Epoch,
    },
    /// Specialist: it has begun to say something, or has nothing more to say for now.
    Speech {
        /// Which of both.
        speaking: bool,
    },
    /// Baton: leave the room, the job is done.
    Leave,
    /// Specialist: move the baton.
    HandoffRequest(HandoffRequest),
    /// Baton: what becomes of a request.
    HandoffResult(HandoffResult),
    /// Either: items of the conversation.
    ContextAppend {
        /// In their order.
        items: Vec<ContextItem>,
    },
    /// Either: a piece of a body that is too large for one frame.
    ContextChunk(ContextChunk),
    /// Either: a change of the shared state.
    StatePatch(StatePatch),
    /// Baton: what became of a patch.
    StateResult(StateResult),
    /// Specialist: how much of the conversation it has applied.
    ContextApplied {
        /// How many items.
        context_items: u64,
        /// Their hash.
        context_hash: Vec<u8>,
    },
    /// Baton: what became of items that the specialist has sent.
    ContextResult {
        /// Those that are in the conversation, by id.
        kept: Vec<String>,
        /// Those that are not.
        refused: Vec<ContextRefusal>,
    },
    /// Baton: a summary is wanted of the leaving holder.
    SummaryRequest {
        /// Baton's number for it.
        request: u64,
        /// How long it is waited for, in milliseconds from the receipt.
        deadline_ms: u32,
    },
    /// Specialist: the answer to a summary request.
    SummaryResult {
        /// Baton's number for it.
        request: u64,
        /// The summary, or why there is none.
        outcome: Result<String, String>,
    },
    /// Baton: how a delegation ended.
    DelegationResult {
        /// The asker's number of the request by which it delegated.
        request: RequestId,
        /// The result as JSON, or why there is none.
        outcome: Result<Vec<u8>, String>,
    },
    /// Baton: the caller has pressed a key.
    Dtmf(Dtmf),
    /// Baton: another one is granted the baton. The holder is heard until its Revoke, and hears the caller no longer.
    Supersede {
        /// The epoch of the other one's grant.
        epoch: Epoch,
    },
}

impl Body {
    /// The body's name as it is logged.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Welcome(_) => "welcome",
            Self::Heartbeat(_) => "heartbeat",
            Self::Reject(_) => "reject",
            Self::Prepare(_) => "prepare",
            Self::CancelPrepare { .. } => "cancel_prepare",
            Self::Ready(_) => "ready",
            Self::Refuse { .. } => "refuse",
            Self::Grant { .. } => "grant",
            Self::Granted { .. } => "granted",
            Self::Revoke(_) => "revoke",
            Self::Released { .. } => "released",
            Self::Speech { .. } => "speech",
            Self::Leave => "leave",
            Self::HandoffRequest(_) => "handoff_request",
            Self::HandoffResult(_) => "handoff_result",
            Self::ContextAppend { .. } => "context_append",
            Self::ContextChunk(_) => "context_chunk",
            Self::StatePatch(_) => "state_patch",
            Self::StateResult(_) => "state_result",
            Self::ContextApplied { .. } => "context_applied",
            Self::ContextResult { .. } => "context_result",
            Self::SummaryRequest { .. } => "summary_request",
            Self::SummaryResult { .. } => "summary_result",
            Self::DelegationResult { .. } => "delegation_result",
            Self::Dtmf(_) => "dtmf",
            Self::Supersede { .. } => "supersede",
        }
    }
}

/// A specialist's first word after every connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Grows with every connect of the process; set by [`Link::hello`](crate::Link::hello).
    pub attempt: u32,
    /// The ticket out of the dispatch's metadata.
    pub ticket: Ticket,
    /// The specialist's name in Baton's configuration.
    pub specialist: SpecialistName,
    /// What speaks, for the log.
    pub sdk_name: String,
    /// Its version.
    pub sdk_version: String,
    /// The newest minor version of each major that it speaks.
    pub versions: Vec<Version>,
    /// The sid of the audio track that it has published; empty if it has none.
    pub track_sid: String,
    /// The sid of the track that the caller hears without Baton at this moment; empty if there is none.
    pub open_track_sid: String,
    /// What it has seen of Baton's stream; set by [`Link::hello`](crate::Link::hello).
    pub seen: Option<Position>,
    /// The oldest frame of its own stream that it can still send; set by [`Link::hello`](crate::Link::hello).
    pub oldest: Seq,
}

/// The answer to a Hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The attempt that it answers.
    pub attempt: u32,
    /// The version that both speak.
    pub version: Version,
    /// What Baton has seen of the specialist's stream.
    pub seen: Option<Position>,
    /// The oldest frame of its own stream that it can still send.
    pub oldest: Seq,
    /// What holds in this call; set by [`Link::set_terms`](crate::Link::set_terms).
    pub terms: Terms,
    /// To whom the specialist may hand the baton; set by [`Link::welcome`](crate::Link::welcome).
    pub targets: Targets,
}

/// What Baton tells a specialist of how it is configured; what is `None` is left to the specialist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How much of the caller is kept while the specialist prepares, in milliseconds.
    pub preroll_ms: Option<u32>,
    /// How long heartbeats and the program track's packets have to be away before the holder opens its track to the
    /// caller, in milliseconds; 0 for never.
    pub orchestrator_timeout_ms: Option<u32>,
    /// The largest body that travels in pieces, either way, in bytes.
    pub body_bytes_max: Option<u32>,
}

/// A sign of life, and how the call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who has the baton.
    pub holder: Option<Identity>,
    /// Since which epoch.
    pub epoch: Epoch,
    /// The call's phase; `None` if it is one that is unknown here.
    pub phase: Option<PhaseName>,
}

/// A note that a frame was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// A sentence for the log.
    pub detail: String,
    /// The frame's place in its stream, if it had one.
    pub seq: Option<Seq>,
}

/// A request to get ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// For which handoff.
    pub handoff: HandoffId,
    /// Who holds the baton.
    pub from: Option<SpecialistName>,
    /// Why the baton moves.
    pub reason: String,
    /// Whether the specialist will speak first.
    pub opening: Opening,
    /// What it must have applied before it is ready.
    pub packet: Option<Packet>,
    /// The caller, once there is one.
    pub caller: Option<Identity>,
    /// What it is delegated to do, as JSON, if the baton is to come back with a result.
    pub delegation_input: Option<Vec<u8>>,
    /// The trace of the call, as the W3C's `traceparent`, if it is traced.
    pub traceparent: Option<String>,
}

/// What a specialist takes over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packet {
    /// How many context items there are.
    pub context_items: u64,
    /// Their hash.
    pub context_hash: Vec<u8>,
    /// The version of the shared state.
    pub state_version: u64,
}

/// The answer to a [`Prepare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// For which handoff.
    pub handoff: HandoffId,
    /// How many context items were applied.
    pub context_items: u64,
    /// Their hash.
    pub context_hash: Vec<u8>,
}

/// The baton is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The epoch that takes it away, newer than the grant's.
    pub epoch: Epoch,
    /// How.
    pub mode: RevokeMode,
}

/// How a specialist stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeMode {
    /// At the end of its utterance, at most so many milliseconds after the receipt.
    Finish {
        /// The limit, in milliseconds.
        deadline_ms: u32,
    },
    /// At once.
    Cut,
}

/// A specialist's wish to move the baton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffRequest {
    /// Its number for it.
    pub request: RequestId,
    /// To whom.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// The asker's tool call by which it asks.
    pub tool_call: Option<String>,
    /// What the target is delegated to do, as JSON.
    pub delegation_input: Option<Vec<u8>>,
    /// The result of a delegation to the asker, as JSON.
    pub delegation_result: Option<Vec<u8>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffResult {
    /// The asker's number for it.
    pub request: RequestId,
    /// What becomes of it.
    pub outcome: HandoffOutcome,
}

/// What becomes of a request: [`HandoffOutcome::Accepted`] may come first, one of the others comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffOutcome {
    /// It is being tried.
    Accepted {
        /// As which handoff.
        handoff: HandoffId,
    },
    /// It was not tried.
    Refused {
        /// Why.
        reason: RefuseKind,
        /// The same as a sentence.
        detail: String,
    },
    /// It was tried in vain; everything is as before.
    Failed {
        /// Which handoff it was.
        handoff: HandoffId,
        /// Why.
        reason: FailKind,
        /// The same as a sentence.
        detail: String,
    },
    /// The baton has moved.
    Done {
        /// Which handoff it was.
        handoff: HandoffId,
        /// Who has it.
        holder: SpecialistName,
        /// Since which epoch.
        epoch: Epoch,
    },
}

/// One item of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextItem {
    /// Its id; a known one replaces the item.
    pub id: String,
    /// Its place in the log, from 1; `None` before Baton has given it one.
    pub position: Option<u64>,
    /// A `livekit.agent.ChatContext.ChatItem`, encoded.
    pub chat_item: Vec<u8>,
    /// The framework whose form `framework_json` is; empty if there is none.
    pub framework: String,
    /// The item as the framework's own JSON.
    pub framework_json: Vec<u8>,
    /// What a newer minor version has added, as it was encoded; it goes along when the item is handed on.
    pub unknown: Vec<u8>,
}

/// An item that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRefusal {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: ContextRefuseKind,
    /// The same as a sentence.
    pub detail: String,
}

/// A piece of a large body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextChunk {
    /// Which body, counted by the sender.
    pub transfer: u64,
    /// Where the piece starts, in bytes.
    pub offset: u64,
    /// The length of the whole, in bytes.
    pub total_bytes: u64,
    /// SHA-256 of the whole.
    pub sha256: Vec<u8>,
    /// The piece.
    pub data: Vec<u8>,
}

/// A change of the shared state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePatch {
    /// The sender's number for it.
    pub patch: u64,
    /// The version that it was made against.
    pub base_version: u64,
    /// A JSON merge patch (RFC 7396).
    pub merge_patch: Vec<u8>,
    /// The version after it, if Baton sends it.
    pub version: Option<u64>,
}

/// What became of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateResult {
    /// The sender's number for it.
    pub patch: u64,
    /// What became of it.
    pub outcome: StateOutcome,
}

/// What became of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateOutcome {
    /// It made this version.
    Accepted {
        /// Which.
        version: u64,
    },
    /// It was made against an older version.
    Conflict {
        /// The version as it is.
        version: u64,
        /// The state as it is, JSON.
        current: Vec<u8>,
    },
    /// It is not allowed.
    Denied {
        /// A JSON pointer to the field.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A key that the caller has pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtmf {
    /// Grows with every digit of the call; a digit that comes again has the same.
    pub number: u64,
    /// Which key.
    pub digit: Digit,
}
