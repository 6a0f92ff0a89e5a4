//! Session descriptions.

use std::{
    fmt::{self, Debug, Display},
    str::FromStr,
};

use thiserror::Error;

use crate::{pc::DescriptionKind, sdp};

/// The role of a description in a negotiation.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SdpType {
    /// Proposes a session.
    Offer,
    /// Answers an offer for the time being.
    PrAnswer,
    /// Answers an offer.
    Answer,
    /// Takes the pending offer back.
    Rollback,
}

impl SdpType {
    pub(crate) fn kind(self) -> DescriptionKind {
        match self {
            Self::Offer => DescriptionKind::Offer,
            Self::PrAnswer => DescriptionKind::ProvisionalAnswer,
            Self::Answer => DescriptionKind::Answer,
            Self::Rollback => DescriptionKind::Rollback,
        }
    }
}

impl From<DescriptionKind> for SdpType {
    fn from(kind: DescriptionKind) -> Self {
        match kind {
            DescriptionKind::Offer => Self::Offer,
            DescriptionKind::ProvisionalAnswer => Self::PrAnswer,
            DescriptionKind::Answer => Self::Answer,
            DescriptionKind::Rollback => Self::Rollback,
        }
    }
}

impl FromStr for SdpType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "offer" => Ok(Self::Offer),
            "pranswer" => Ok(Self::PrAnswer),
            "answer" => Ok(Self::Answer),
            "rollback" => Ok(Self::Rollback),
            _ => Err("not the name of a description type"),
        }
    }
}

impl Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        })
    }
}

/// A description or candidate that cannot be read.
#[derive(Clone, Error, Debug)]
#[error("failed to parse sdp: {line} - {description}")]
pub struct SdpParseError {
    /// The line at fault.
    pub line: String,
    /// What is wrong with it.
    pub description: String,
}

impl From<sdp::SdpError> for SdpParseError {
    fn from(error: sdp::SdpError) -> Self {
        Self {
            description: error.to_string(),
            line: error.line().to_owned(),
        }
    }
}

/// A description that has been read successfully; its text is kept as it came.
#[derive(Clone)]
pub struct SessionDescription {
    kind: SdpType,
    text: String,
}

impl SessionDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// When a line is malformed. A rollback has no content, so that any text will do.
    pub fn parse(sdp: &str, sdp_type: SdpType) -> Result<Self, SdpParseError> {
        if sdp_type != SdpType::Rollback {
            sdp::Description::parse(sdp)?;
        }
        Ok(Self::new(sdp_type, sdp.to_owned()))
    }

    pub(crate) fn new(kind: SdpType, text: String) -> Self {
        Self { kind, text }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The role of the description.
    pub fn sdp_type(&self) -> SdpType {
        self.kind
    }
}

impl Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("sdp_type", &self.kind)
            .finish()
    }
}
