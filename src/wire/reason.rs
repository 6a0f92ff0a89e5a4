//! Reasons as they travel: a short list of names, each with a sentence beside it for people.
//!
//! A name that this version does not know arrives as `Unknown`.

use crate::body::HandoffOutcome;
use crate::pb;

/// Declares an enum of reasons that maps one to one onto a generated one.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident = $generated:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            /// One that this version does not know.
            Unknown,
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every reason.
            pub const ALL: &[Self] = &[Self::Unknown, $(Self::$variant,)*];

            /// The reason as it is logged and counted: lower case.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::Unknown => "unknown",
                    $(Self::$variant => $text,)*
                }
            }

            pub(crate) fn to_generated(self) -> i32 {
                match self {
                    Self::Unknown => pb::$generated::Unspecified.into(),
                    $(Self::$variant => pb::$generated::$variant.into(),)*
                }
            }

            pub(crate) fn from_generated(value: i32) -> Self {
                match pb::$generated::try_from(value) {
                    Err(_) | Ok(pb::$generated::Unspecified) => Self::Unknown,
                    $(Ok(pb::$generated::$variant) => Self::$variant,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a frame was not accepted.
    RejectReason = RejectReason {
        /// It is no frame.
        Malformed => "malformed",
        /// It has more bytes than [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX).
        TooLarge => "too_large",
        /// Its major version is another one.
        UnsupportedVersion => "unsupported_version",
        /// It belongs to another call.
        WrongCall => "wrong_call",
        /// Its stream was given up, or was never announced.
        WrongStream => "wrong_stream",
        /// Its seq lies beyond what the receiver holds back.
        OutOfWindow => "out_of_window",
        /// Its body is unknown.
        UnknownBody => "unknown_body",
        /// Only the other side sends such a body.
        WrongDirection => "wrong_direction",
        /// It belongs to an epoch that is over.
        StaleEpoch => "stale_epoch",
        /// It belongs to a handoff that is over.
        StaleHandoff => "stale_handoff",
        /// Only the holder may do that.
        NotHolder => "not_holder",
        /// The sender is bound to no dispatch.
        Unbound => "unbound",
        /// The ticket is bound to somebody else, or the identity to another ticket.
        IdentityTaken => "identity_taken",
        /// It was said before.
        Duplicate => "duplicate",
        /// It makes no sense at this point.
        Unexpected => "unexpected",
        /// The call is over.
        CallOver => "call_over",
        /// It is not ready before it has applied the conversation that it was given.
        ContextNotApplied => "context_not_applied",
    }
}

reasons! {
    /// Why a handoff was not tried.
    RefuseKind = RefuseReason {
        /// Another one is under way.
        InProgress => "in_progress",
        /// There is no such specialist.
        UnknownTarget => "unknown_target",
        /// The target holds the baton already.
        AlreadyHolder => "already_holder",
        /// No route allows it.
        NoRoute => "no_route",
        /// Nobody has held the baton before.
        NoPrevious => "no_previous",
        /// The call has had its handoffs.
        TooMany => "too_many",
        /// The condition of the route does not hold.
        Closed => "closed",
        /// The condition of the route has no answer.
        NoAnswer => "no_answer",
        /// The baton has only just come from the target.
        CoolingDown => "cooling_down",
        /// Nothing is delegated to the asker.
        NoDelegation => "no_delegation",
        /// Too many delegations are open in each other.
        TooDeep => "too_deep",
        /// The task or the result is no JSON, or too long.
        BadPayload => "bad_payload",
    }
}

reasons! {
    /// Why a handoff was tried in vain.
    FailKind = FailReason {
        /// The server did not accept the dispatch.
        DispatchFailed => "dispatch_failed",
        /// The target did not come into the room.
        NeverJoined => "never_joined",
        /// The target came and did not say Hello.
        NeverGreeted => "never_greeted",
        /// The target was prepared and did not get ready.
        NeverReady => "never_ready",
        /// The target does not want to.
        Refused => "refused",
        /// The target was lost before its grant.
        LostWhilePreparing => "lost_while_preparing",
        /// The target was lost after its grant.
        LostWhileSwitching => "lost_while_switching",
        /// The target neither took its grant nor sounded.
        NeverGranted => "never_granted",
        /// There are too many specialists in the room.
        TooManyInstances => "too_many_instances",
        /// The call ended.
        CallEnded => "call_ended",
        /// The target is a person who did not accept the call.
        NoAnswer => "no_answer",
    }
}

reasons! {
    /// Why an item was not taken.
    ContextRefuseKind = ContextRefuseReason {
        /// Only the holder adds items; others may but replace their own, or add the result of their own tool call.
        NotHolder => "not_holder",
        /// It was sent with the epoch of an older grant.
        StaleEpoch => "stale_epoch",
        /// It is no item.
        Malformed => "malformed",
        /// It is too large.
        TooLarge => "too_large",
        /// The conversation is as long as it may become.
        Full => "full",
        /// It would turn an item into one of another kind.
        ChangesKind => "changes_kind",
        /// Its id is of an item that somebody else has written.
        NotOwn => "not_own",
    }
}

impl From<&call::RejectReason> for RejectReason {
    fn from(reason: &call::RejectReason) -> Self {
        match reason {
            call::RejectReason::StaleEpoch { .. } => Self::StaleEpoch,
            call::RejectReason::StaleHandoff { .. } => Self::StaleHandoff,
            call::RejectReason::NotHolder => Self::NotHolder,
            call::RejectReason::Unbound => Self::Unbound,
            call::RejectReason::IdentityTaken => Self::IdentityTaken,
            call::RejectReason::Duplicate => Self::Duplicate,
            call::RejectReason::ContextNotApplied => Self::ContextNotApplied,
            call::RejectReason::NotCaller | call::RejectReason::Unexpected => Self::Unexpected,
        }
    }
}

impl From<&call::RefuseReason> for RefuseKind {
    fn from(reason: &call::RefuseReason) -> Self {
        match reason {
            call::RefuseReason::InProgress { .. } => Self::InProgress,
            call::RefuseReason::UnknownTarget { .. } => Self::UnknownTarget,
            call::RefuseReason::AlreadyHolder { .. } => Self::AlreadyHolder,
            call::RefuseReason::NoRoute { .. } => Self::NoRoute,
            call::RefuseReason::NoPrevious => Self::NoPrevious,
            call::RefuseReason::TooMany { .. } | call::RefuseReason::TooManyTo { .. } => {
                Self::TooMany
            }
            call::RefuseReason::Closed { .. } => Self::Closed,
            call::RefuseReason::NoAnswer { .. } => Self::NoAnswer,
            call::RefuseReason::CoolingDown { .. } => Self::CoolingDown,
            call::RefuseReason::NoDelegation => Self::NoDelegation,
            call::RefuseReason::TooDeep { .. } => Self::TooDeep,
            call::RefuseReason::BadPayload { .. } => Self::BadPayload,
        }
    }
}

impl From<&call::FailReason> for FailKind {
    fn from(reason: &call::FailReason) -> Self {
        match reason {
            call::FailReason::DispatchFailed { .. } | call::FailReason::TooManyCalls { .. } => {
                Self::DispatchFailed
            }
            call::FailReason::NeverJoined { .. } => Self::NeverJoined,
            call::FailReason::NeverGreeted { .. } => Self::NeverGreeted,
            call::FailReason::NeverReady { .. } => Self::NeverReady,
            call::FailReason::Refused { .. } => Self::Refused,
            call::FailReason::LostWhilePreparing { .. } => Self::LostWhilePreparing,
            call::FailReason::LostWhileSwitching { .. } => Self::LostWhileSwitching,
            call::FailReason::NeverGranted { .. } => Self::NeverGranted,
            call::FailReason::TooManyInstances { .. } => Self::TooManyInstances,
            call::FailReason::CallEnded => Self::CallEnded,
            call::FailReason::NoAnswer { .. } => Self::NoAnswer,
        }
    }
}

impl From<&call::Outcome> for HandoffOutcome {
    fn from(outcome: &call::Outcome) -> Self {
        match outcome {
            call::Outcome::Done {
                handoff,
                holder,
                epoch,
            } => Self::Done {
                handoff: *handoff,
                holder: holder.clone(),
                epoch: *epoch,
            },
            call::Outcome::Refused(reason) => Self::Refused {
                reason: reason.into(),
                detail: reason.to_string(),
            },
            call::Outcome::Failed { handoff, reason } => Self::Failed {
                handoff: *handoff,
                reason: reason.into(),
                detail: reason.to_string(),
            },
        }
    }
}
