//! Session descriptions by their meaning: read, compare, write.
//!
//! This module knows the syntax of the few parts of SDP that WebRTC uses, and nothing of connections. Lines it has no
//! use for are skipped when reading, so that a description is never written back from what was read of somebody else's.

mod codec;
mod parse;
mod write;

use thiserror::Error;

pub(crate) use codec::Codec;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub(crate) struct SdpError {
    line: String,
    reason: &'static str,
}

impl SdpError {
    fn new(line: &str, reason: &'static str) -> Self {
        Self {
            line: line.to_owned(),
            reason,
        }
    }

    /// The line at fault.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

/// In which directions media flows, seen from who wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// From the writer.
    SendOnly,
    /// To the writer.
    RecvOnly,
    /// None.
    Inactive,
}

impl Direction {
    /// The direction with these halves.
    pub(crate) fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    pub(crate) fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Who begins the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The writer leaves it to the other side.
    ActPass,
    /// The writer.
    Active,
    /// The other side.
    Passive,
}

/// What a section is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SectionKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels.
    Application,
    /// Anything else; it is always rejected.
    Other(String),
}

/// Names a side's ICE agent, and proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

/// What the transport of a section needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) credentials: Credentials,
    /// Hash name and value of the certificate, such as `sha-256 AB:CD`.
    pub(crate) fingerprint: String,
    pub(crate) setup: Setup,
    pub(crate) ice_lite: bool,
}

/// A header extension and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) id: u8,
    pub(crate) uri: String,
}

/// A number of an RTP stream, with that of its retransmissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ssrc {
    pub(crate) main: u32,
    pub(crate) retransmission: Option<u32>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    pub(crate) protocol: String,
    /// The words behind the protocol, for sections that have to be repeated as they came.
    pub(crate) formats: Vec<String>,
    pub(crate) mid: String,
    /// Port 0 and not part of the bundle: not used.
    pub(crate) rejected: bool,
    pub(crate) direction: Direction,
    pub(crate) codecs: Vec<Codec>,
    pub(crate) extensions: Vec<Extension>,
    /// The streams that the sent track belongs to.
    pub(crate) streams: Vec<String>,
    /// The sent track.
    pub(crate) track: Option<String>,
    pub(crate) ssrcs: Vec<Ssrc>,
    /// The canonical name to write beside `ssrcs`.
    pub(crate) cname: Option<String>,
    pub(crate) candidates: Vec<String>,
    pub(crate) sctp_port: Option<u16>,
    pub(crate) max_message_size: Option<u64>,
}

impl Section {
    /// An empty section.
    pub(crate) fn new(kind: SectionKind, mid: String) -> Self {
        let protocol = match kind {
            SectionKind::Audio | SectionKind::Video | SectionKind::Other(_) => "UDP/TLS/RTP/SAVPF",
            SectionKind::Application => "UDP/DTLS/SCTP",
        };
        Self {
            kind,
            protocol: protocol.to_owned(),
            formats: Vec::new(),
            mid,
            rejected: false,
            direction: Direction::Inactive,
            codecs: Vec::new(),
            extensions: Vec::new(),
            streams: Vec::new(),
            track: None,
            ssrcs: Vec::new(),
            cname: None,
            candidates: Vec::new(),
            sctp_port: None,
            max_message_size: None,
        }
    }
}

/// A description: the transport that all sections share, and the sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// Number of the session and of the version of its description.
    pub(crate) origin: (u64, u64),
    /// The transport of the first section that has one; all are bundled.
    pub(crate) transport: Option<Transport>,
    pub(crate) sections: Vec<Section>,
}

/// Checks that a line is a candidate, or empty.
pub(crate) fn check_candidate(line: &str) -> Result<(), SdpError> {
    let text = candidate_text(line);
    if text.is_empty() {
        return Ok(());
    }
    let Some(rest) = text.strip_prefix("candidate:") else {
        return Err(SdpError::new(line, "a candidate begins with candidate:"));
    };
    // Foundation, component, transport, priority, address, port, "typ", type.
    let words: Vec<&str> = rest.split_whitespace().collect();
    if words.len() < 8 || words[6] != "typ" {
        return Err(SdpError::new(line, "a candidate has at least eight words"));
    }
    if words[3].parse::<u32>().is_err() || words[5].parse::<u16>().is_err() {
        return Err(SdpError::new(
            line,
            "priority and port of a candidate are numbers",
        ));
    }
    Ok(())
}

/// A candidate line without `a=` and white space around it.
pub(crate) fn candidate_text(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("a=").unwrap_or(line)
}
