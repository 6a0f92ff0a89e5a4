//! The error and the media type that all of the API shares.

use thiserror::Error;

use crate::pc::PcError;

/// What a transceiver or a capability is about.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels.
    Data,
    /// Anything else.
    Unsupported,
}

/// The class of an [`RtcError`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType {
    /// Something failed inside the engine, or is not supported by it.
    Internal,
    /// A session description or candidate could not be used.
    InvalidSdp,
    /// The call does not fit the state of the object.
    InvalidState,
}

/// An error of the engine.
#[derive(Error, Debug)]
#[error("an RtcError occurred: {error_type:?} - {message}")]
pub struct RtcError {
    /// The class.
    pub error_type: RtcErrorType,
    /// What happened, for people.
    pub message: String,
}

impl RtcError {
    /// An operation that this engine does not offer.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self {
            error_type: RtcErrorType::Internal,
            message: format!("{what} is not supported"),
        }
    }
}

impl From<PcError> for RtcError {
    fn from(error: PcError) -> Self {
        let error_type = match &error {
            PcError::Closed | PcError::State(_) | PcError::ChannelId(_) => {
                RtcErrorType::InvalidState
            }
            PcError::Sdp(_) | PcError::Candidate(_) => RtcErrorType::InvalidSdp,
            PcError::Unknown(_) | PcError::Engine(_) => RtcErrorType::Internal,
        };
        Self {
            error_type,
            message: error.to_string(),
        }
    }
}
