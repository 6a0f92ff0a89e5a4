//! Why a use case was not carried out.

use serde_json::{Map, Value};

use crate::room::AskError;

/// Why a use case was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is no such call in this process, or the visitor may not know of it.
    #[error("there is no call {id:?} here")]
    NoCall {
        /// The id that was given.
        id: String,
    },
    /// The visitor may not do that.
    #[error("this needs {needs}")]
    NotAllowed {
        /// What would allow it.
        needs: &'static str,
    },
    /// The call takes no more requests at the moment.
    #[error("the call is busy: too many requests are waiting")]
    Busy,
    /// The call ended before it could answer.
    #[error("the call ended before it answered")]
    CallEnded,
    /// Something in the request is wrong.
    #[error("{what}")]
    Invalid {
        /// What is wrong, and what is right.
        what: String,
    },
    /// Something that the patch touches has changed since the version that it was made against.
    #[error("the state has changed since version {base}: it is at version {version}")]
    Conflict {
        /// The version that the patch was made against.
        base: u64,
        /// The version now.
        version: u64,
        /// The state now.
        current: Map<String, Value>,
    },
    /// The rules, or the state of the call, do not allow it.
    #[error("refused: {reason}")]
    Refused {
        /// The reason's name, for programs.
        code: &'static str,
        /// The reason as a sentence.
        reason: String,
    },
    /// The configuration says nothing of it.
    #[error("{what}")]
    NotConfigured {
        /// What is missing, and where it would stand.
        what: String,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be read now: {reason}")]
    Journal {
        /// Why.
        reason: String,
    },
    /// It was tried, and everything is as it was before.
    #[error("tried in vain: {reason}")]
    Failed {
        /// The reason's name, for programs.
        code: &'static str,
        /// The reason as a sentence.
        reason: String,
    },
}

impl AdminError {
    /// The kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCall { id: _ } => "no_call",
            Self::NotAllowed { needs: _ } => "not_allowed",
            Self::Busy => "busy",
            Self::CallEnded => "call_ended",
            Self::Invalid { what: _ } => "invalid",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::Journal { .. } => "journal",
            Self::NotConfigured { .. } => "not_configured",
            Self::Failed { .. } => "failed",
        }
    }

    pub(super) fn asking(error: AskError, id: &str) -> Self {
        match error {
            AskError::NoCall => Self::NoCall { id: id.to_owned() },
            AskError::Busy => Self::Busy,
        }
    }
}
