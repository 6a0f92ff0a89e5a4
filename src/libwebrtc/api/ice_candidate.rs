//! ICE candidates.

use std::fmt::{self, Debug, Display};

use crate::{sdp, session_description::SdpParseError};

/// An address at which a peer may be reached.
pub struct IceCandidate {
    mid: String,
    index: i32,
    text: String,
}

impl IceCandidate {
    /// Reads a candidate line (`candidate:...`, with or without `a=`); an empty one ends the candidates.
    ///
    /// # Errors
    /// When the line is malformed. A candidate of a kind that the engine cannot use is no error.
    pub fn parse(
        sdp_mid: &str,
        sdp_mline_index: i32,
        sdp: &str,
    ) -> Result<IceCandidate, SdpParseError> {
        sdp::check_candidate(sdp)?;
        Ok(Self::new(
            sdp_mid.to_owned(),
            sdp_mline_index,
            sdp.to_owned(),
        ))
    }

    pub(crate) fn new(mid: String, index: i32, text: String) -> Self {
        Self { mid, index, text }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The media section that the candidate belongs to, by its identifier.
    pub fn sdp_mid(&self) -> String {
        self.mid.clone()
    }

    /// The media section that the candidate belongs to, by its place.
    pub fn sdp_mline_index(&self) -> i32 {
        self.index
    }

    /// The line itself.
    pub fn candidate(&self) -> String {
        self.text.clone()
    }
}

impl Display for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Debug for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCandidate")
            .field("candidate", &self.text)
            .finish()
    }
}
