//! Why a specialist's part in a call has failed.

use wire::{Reject, RejectReason, SendError};

use crate::hooks::Stuck;
use crate::job::WELCOME_MAX;
use crate::room::ConnectionError;

/// Why a job has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Metadata(#[from] wire::MetadataError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the room is gone: it was closed before it could be joined")]
    RoomGone,
    #[error("baton did not welcome the specialist within {} s", WELCOME_MAX.as_secs())]
    NotWelcomed,
    #[error("{0}; build the specialist with a version of baton-specialist that speaks baton's own")]
    OtherVersion(String),
    #[error(
        "baton did not welcome the specialist: {0}; a ticket is good for one job of one dispatch"
    )]
    NotBound(String),
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("the agent panicked")]
    Panicked,
    #[error(transparent)]
    Stuck(#[from] Stuck),
    #[error("the frame cannot be sent: {0}")]
    Send(#[from] SendError),
}

/// What a complaint means to somebody whom Baton has not welcomed: some of them say that it never will.
pub(crate) fn turned_away(reject: Reject) -> Result<(), JobError> {
    match reject.reason {
        RejectReason::UnsupportedVersion => Err(JobError::OtherVersion(reject.detail)),
        RejectReason::Unbound | RejectReason::IdentityTaken => {
            Err(JobError::NotBound(reject.detail))
        }
        RejectReason::Unknown
        | RejectReason::Malformed
        | RejectReason::TooLarge
        | RejectReason::WrongCall
        | RejectReason::WrongStream
        | RejectReason::OutOfWindow
        | RejectReason::UnknownBody
        | RejectReason::WrongDirection
        | RejectReason::StaleEpoch
        | RejectReason::StaleHandoff
        | RejectReason::NotHolder
        | RejectReason::Duplicate
        | RejectReason::Unexpected
        | RejectReason::CallOver
        | RejectReason::ContextNotApplied => Ok(()),
    }
}
