//! Reasons, each typed and each with a sentence for people.

use serde::{Deserialize, Serialize};

use crate::delegation::PAYLOAD_BYTES_MAX;
use crate::event::Misbehaviour;
use crate::ids::{Epoch, HandoffId, SpecialistName};

/// What became of a request for a handoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The baton is with the target.
    Done {
        /// Which handoff it was.
        handoff: HandoffId,
        /// Who holds the baton.
        holder: SpecialistName,
        /// Since which epoch.
        epoch: Epoch,
    },
    /// It was not tried.
    Refused(RefuseReason),
    /// It was tried, and everything is as it was before.
    Failed {
        /// Which handoff it was.
        handoff: HandoffId,
        /// Why.
        reason: FailReason,
    },
}

/// Why a handoff was not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefuseReason {
    /// Another one is under way.
    #[error("handoff {handoff} to {target} is under way")]
    InProgress {
        /// Which.
        handoff: HandoffId,
        /// To whom.
        target: SpecialistName,
    },
    /// There is no such specialist.
    #[error("there is no specialist {name:?}{}", near.as_ref().map(|near| format!(", did you mean {near:?}")).unwrap_or_default())]
    UnknownTarget {
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// The target holds the baton already.
    #[error("{name} holds the baton already")]
    AlreadyHolder {
        /// Who.
        name: SpecialistName,
    },
    /// No route allows it.
    #[error("no route leads from {from} to {to}; from {from} one can reach {reachable:?}")]
    NoRoute {
        /// The holder.
        from: SpecialistName,
        /// The target.
        to: SpecialistName,
        /// Where routes lead, at most eight of them.
        reachable: Vec<SpecialistName>,
    },
    /// The condition of the route does not hold.
    #[error("the way from {from} to {to} is closed: `{condition}` does not hold")]
    Closed {
        /// The holder.
        from: SpecialistName,
        /// The target.
        to: SpecialistName,
        /// The condition of the first route that fits.
        condition: String,
    },
    /// The condition of the route has no answer.
    #[error("`{condition}` has no answer: {error}")]
    NoAnswer {
        /// The condition.
        condition: String,
        /// Why.
        error: String,
    },
    /// The baton has only just come from the target.
    #[error("the baton has only just come from {to}, it may go back in {left_ms} ms")]
    CoolingDown {
        /// The target.
        to: SpecialistName,
        /// How long it still has to stay, in milliseconds.
        left_ms: u64,
    },
    /// Nobody has held the baton before.
    #[error("nobody held the baton before")]
    NoPrevious,
    /// The call has had its handoffs.
    #[error("the call has had {max} handoffs, which is the limit")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The target has had the baton as often as it may in one call.
    #[error("{to} has had the baton {max} times, which is the limit")]
    TooManyTo {
        /// The target.
        to: SpecialistName,
        /// The limit.
        max: u32,
    },
    /// Nothing was delegated to the asker that it could finish.
    #[error("nothing is delegated to the asker")]
    NoDelegation,
    /// Too many delegations are open in each other.
    #[error("{max} delegations are open in each other, which is the limit")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// The task or the result cannot be taken.
    #[error("the task or result {error}")]
    BadPayload {
        /// Why.
        error: PayloadError,
    },
}

/// Why a task or a result cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadError {
    /// It is too long.
    #[error("has {bytes} bytes, more than {PAYLOAD_BYTES_MAX}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It cannot be read.
    #[error("is no json: it cannot be read from byte {column} of its last line on")]
    NotJson {
        /// Where reading it ends.
        column: usize,
    },
}

/// Why a delegation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelegationFailure {
    /// The delegate is gone.
    #[error("the delegated specialist was lost")]
    Lost,
    /// The delegate has taken too long.
    #[error("there was no result within {after_ms} ms")]
    TimedOut {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The baton came back without one.
    #[error("the baton came back without a result")]
    NoResult,
    /// The baton went to somebody else.
    #[error("the baton went to {to}")]
    Elsewhere {
        /// To whom.
        to: SpecialistName,
    },
}

/// Why an operator's wish was not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SteerRefusal {
    /// A handoff is under way.
    #[error("handoff {handoff} to {target} is under way")]
    InProgress {
        /// Which.
        handoff: HandoffId,
        /// To whom.
        target: SpecialistName,
    },
    /// There is nobody to take the baton from.
    #[error("nobody has the baton who could give it up")]
    NobodyHolds,
    /// The caller is on hold already.
    #[error("the caller is on hold already")]
    AlreadyHeld,
    /// The caller is not on hold.
    #[error("the caller is not on hold")]
    NotHeld,
    /// The configuration names nobody.
    #[error("the configuration names nobody to escalate to (`escalation`)")]
    NoEscalation,
    /// No person is rung.
    #[error("nobody is rung")]
    NobodyRung,
    /// The person has accepted already.
    #[error("{person} has accepted already")]
    AlreadyAccepted {
        /// Which.
        person: SpecialistName,
    },
    /// The person has not answered the phone, or is not in its room, so that there is nobody to talk.
    #[error("{person} is rung and not there yet")]
    NotThere {
        /// Which.
        person: SpecialistName,
    },
    /// Whoever has the baton is no person, or nobody has it.
    #[error("no person has the baton")]
    NoPersonHolds,
}

/// Why a handoff was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The server did not accept the dispatch.
    #[error("the dispatch failed: {detail}")]
    DispatchFailed {
        /// What it said.
        detail: String,
    },
    /// The target did not come into the room.
    #[error("the target did not join within {after_ms} ms")]
    NeverJoined {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The target came and did not say Hello.
    #[error("the target did not say hello within {after_ms} ms")]
    NeverGreeted {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The target was prepared and did not get ready.
    #[error("the target was not ready within {after_ms} ms")]
    NeverReady {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The target does not want to.
    #[error("the target refused: {detail}")]
    Refused {
        /// Its reason.
        detail: String,
    },
    /// The target was lost before its grant.
    #[error("the target was lost while it prepared: {reason}")]
    LostWhilePreparing {
        /// What happened.
        reason: LossReason,
    },
    /// The target was lost after its grant and before the change was complete.
    #[error("the target was lost during the switch: {reason}")]
    LostWhileSwitching {
        /// What happened.
        reason: LossReason,
    },
    /// The target neither took its grant nor sounded.
    #[error("the target did not answer its grant within {after_ms} ms")]
    NeverGranted {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The target is a person who did not accept the call, or a SIP address that did not.
    #[error("nobody answered: {how}")]
    NoAnswer {
        /// What happened.
        how: NoAnswer,
    },
    /// There are too many specialists in the room.
    #[error("{max} specialists are in the room, which is the limit")]
    TooManyInstances {
        /// The limit.
        max: usize,
    },
    /// The target is in as many calls as it may be.
    #[error("the target is in as many calls as it may be: {max}")]
    TooManyCalls {
        /// The limit.
        max: u32,
    },
    /// The call ended.
    #[error("the call ended")]
    CallEnded,
}

/// How a person, or a SIP address, did not accept a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// The person does not want to.
    #[error("the call was declined")]
    Declined,
    /// The person neither accepted nor declined.
    #[error("the call was not accepted within {after_ms} ms")]
    TimedOut {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// The line is busy.
    #[error("the line is busy")]
    Busy,
    /// The caller is on no phone that could be asked to call another number.
    #[error("the caller is not on a phone, and cannot be transferred")]
    NoPhone,
    /// The person came, and left before accepting.
    #[error("the person left before accepting the call")]
    Left,
    /// Nobody could be rung.
    #[error("the person could not be reached: {detail}")]
    Unreachable {
        /// What is known of why.
        detail: String,
    },
}

/// How a specialist was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// It left the room.
    #[error("it left")]
    Left,
    /// Its connection broke and it did not come back.
    #[error("it did not come back within {after_ms} ms")]
    DidNotReturn {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// It came back, or was to take over again, and did not take its grant.
    #[error("it did not take its renewed grant within {after_ms} ms")]
    NeverGranted {
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// It no longer answered.
    #[error("it no longer answered")]
    Unresponsive,
    /// It was asked for a sign of life, and gave none.
    #[error("nothing came from it for {after_ms} ms")]
    Silent {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// It was removed.
    #[error("it was removed: {0:?}")]
    Misbehaved(Misbehaviour),
}

/// Why an event was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// It belongs to an epoch that is over, or to none.
    #[error("epoch {got} is not the current epoch {current}")]
    StaleEpoch {
        /// The epoch it carried.
        got: Epoch,
        /// The call's epoch.
        current: Epoch,
    },
    /// It belongs to a handoff that is over, or to none.
    #[error("handoff {got} is not under way")]
    StaleHandoff {
        /// The handoff it carried.
        got: HandoffId,
    },
    /// Only the holder may do that.
    #[error("only the holder of the baton may do that")]
    NotHolder,
    /// The sender is bound to no dispatch.
    #[error("the participant is bound to no dispatch of this call")]
    Unbound,
    /// The identity is bound to something else.
    #[error("the identity is bound already")]
    IdentityTaken,
    /// The request was made before and is being worked on.
    #[error("the request is a repetition")]
    Duplicate,
    /// It is not ready before it has applied the conversation that it was given.
    #[error("the conversation that was given is not applied")]
    ContextNotApplied,
    /// Only the pinned caller may do that.
    #[error("only the caller may do that")]
    NotCaller,
    /// It makes no sense at this point.
    #[error("not expected now")]
    Unexpected,
}

/// Why a participant is removed by force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoveReason {
    /// It did what it must not.
    #[error("it misbehaved: {0:?}")]
    Misbehaved(Misbehaviour),
    /// It did not say Released.
    #[error("it ignored a revoke")]
    IgnoredRevoke,
    /// It was told to leave and did not.
    #[error("it did not leave when told to")]
    DidNotLeave,
    /// It no longer answers.
    #[error("it no longer answers")]
    Unresponsive,
    /// Its dispatch is over, or bound to somebody else.
    #[error("its dispatch is over")]
    NotExpected,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// No caller came.
    #[error("no caller joined")]
    NoCaller,
    /// The caller hung up, or did not come back.
    #[error("the caller is gone")]
    CallerGone,
    /// Nobody is left who could hold the baton.
    #[error("no specialist is left")]
    NoSpecialist,
    /// Too many holders were lost.
    #[error("{max} holders were lost, which is the limit")]
    TooManyLosses {
        /// The limit.
        max: u32,
    },
    /// There was no place for it.
    #[error("there was no place for the call")]
    Full,
    /// It goes on elsewhere: the caller's phone has called a SIP address instead.
    #[error("the caller was transferred")]
    Transferred,
    /// It was told to.
    #[error("the call was stopped")]
    Stopped,
    /// The room is gone.
    #[error("the room was closed")]
    RoomClosed,
    /// Another process has it: here nothing of it is touched any more.
    #[error("another process has taken over the call")]
    TakenOver,
}

impl EndReason {
    /// Whether there is a room to tidy up: not one that is gone, and not another process's.
    pub fn leaves_room(self) -> bool {
        match self {
            Self::RoomClosed | Self::TakenOver => false,
            Self::NoCaller
            | Self::CallerGone
            | Self::NoSpecialist
            | Self::TooManyLosses { .. }
            | Self::Full
            | Self::Transferred
            | Self::Stopped => true,
        }
    }
}

impl RefuseReason {
    /// The reason's name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InProgress { .. } => "in_progress",
            Self::UnknownTarget { .. } => "unknown_target",
            Self::AlreadyHolder { .. } => "already_holder",
            Self::NoRoute { .. } => "no_route",
            Self::NoPrevious => "no_previous",
            Self::TooMany { .. } => "too_many",
            Self::TooManyTo { .. } => "too_many_to",
            Self::Closed { .. } => "closed",
            Self::NoAnswer { .. } => "no_answer",
            Self::CoolingDown { .. } => "cooling_down",
            Self::NoDelegation => "no_delegation",
            Self::TooDeep { .. } => "too_deep",
            Self::BadPayload { .. } => "bad_payload",
        }
    }
}

impl SteerRefusal {
    /// The reason's name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InProgress { .. } => "in_progress",
            Self::NobodyHolds => "nobody_holds",
            Self::AlreadyHeld => "already_held",
            Self::NotHeld => "not_held",
            Self::NoEscalation => "no_escalation",
            Self::NobodyRung => "nobody_rung",
            Self::AlreadyAccepted { .. } => "already_accepted",
            Self::NotThere { .. } => "not_there",
            Self::NoPersonHolds => "no_person_holds",
        }
    }
}

impl DelegationFailure {
    /// The reason's name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::TimedOut { .. } => "timed_out",
            Self::NoResult => "no_result",
            Self::Elsewhere { .. } => "elsewhere",
        }
    }
}

impl FailReason {
    /// The reason's name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DispatchFailed { .. } => "dispatch_failed",
            Self::NeverJoined { .. } => "never_joined",
            Self::NeverGreeted { .. } => "never_greeted",
            Self::NeverReady { .. } => "never_ready",
            Self::Refused { .. } => "refused",
            Self::LostWhilePreparing { .. } => "lost_while_preparing",
            Self::LostWhileSwitching { .. } => "lost_while_switching",
            Self::NeverGranted { .. } => "never_granted",
            Self::TooManyInstances { .. } => "too_many_instances",
            Self::TooManyCalls { .. } => "too_many_calls",
            Self::CallEnded => "call_ended",
            Self::NoAnswer { how } => how.code(),
        }
    }
}

impl NoAnswer {
    /// The reason's name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::TimedOut { .. } => "not_accepted",
            Self::Busy => "busy",
            Self::NoPhone => "no_phone",
            Self::Left => "left_unaccepted",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

impl EndReason {
    /// The reason's name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCaller => "no_caller",
            Self::CallerGone => "caller_gone",
            Self::NoSpecialist => "no_specialist",
            Self::TooManyLosses { .. } => "too_many_losses",
            Self::Full => "full",
            Self::Transferred => "transferred",
            Self::Stopped => "stopped",
            Self::RoomClosed => "room_closed",
            Self::TakenOver => "taken_over",
        }
    }
}
