//! Frames to bytes and back.

use call::{CallId, Epoch};
use prost::Message;

use crate::body::Body;
use crate::convert::Unreadable;
use crate::frame::{DecodeError, Frame, Position, Seq, StreamId, Version};
use crate::{FRAME_BYTES_MAX, VERSION, pb};

impl Frame {
    /// The frame as bytes. Whether they are few enough is the caller's to check; a [`Link`](crate::Link) does.
    pub fn encode(&self) -> Vec<u8> {
        envelope(
            &self.call,
            self.epoch,
            self.version,
            self.stream,
            self.seq,
            self.ack,
            self.body.as_ref(),
        )
        .encode_to_vec()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// If the bytes are too many, are no frame, or are of another major version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                bytes: bytes.len(),
                limit: FRAME_BYTES_MAX,
            });
        }
        let malformed = |detail: String| DecodeError::Malformed { detail };
        let envelope = pb::Envelope::decode(bytes).map_err(|error| malformed(error.to_string()))?;
        let pb::Envelope {
            version,
            call_id,
            epoch,
            stream,
            seq,
            ack,
            body,
        } = envelope;
        let version = check_version(version)?;
        if stream == 0 {
            return Err(malformed("its stream is 0".to_owned()));
        }
        Ok(Self {
            version,
            call: CallId::from(call_id),
            epoch: Epoch(epoch),
            stream: StreamId(stream),
            seq: (seq != 0).then_some(Seq(seq)),
            ack: ack.map(Position::from),
            body: match body.map(Body::from_generated).transpose() {
                Ok(body) => body,
                // Refused, a part of a stream would be sent again for ever, and hold up what follows.
                Err(Unreadable::Missing(_)) if seq != 0 => None,
                Err(error) => return Err(malformed(error.to_string())),
            },
        })
    }
}

/// Why the bytes of a body in pieces are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is one of a newer minor version.
    #[error("the body is unknown here")]
    Unknown,
    /// It is not what it should be.
    #[error("{detail}")]
    Malformed { detail: String },
}

/// A body that travels in pieces: an envelope with a version and nothing else beside it.
pub(crate) fn encode_body(body: &Body) -> Vec<u8> {
    pb::Envelope {
        version: Some(VERSION.into()),
        body: Some(body.clone().into()),
        ..pb::Envelope::default()
    }
    .encode_to_vec()
}

/// Reads a body that has come in pieces.
pub(crate) fn decode_body(bytes: &[u8]) -> Result<Body, BodyError> {
    let malformed = |detail: String| BodyError::Malformed { detail };
    let envelope = pb::Envelope::decode(bytes).map_err(|error| malformed(error.to_string()))?;
    check_version(envelope.version).map_err(|error| malformed(error.to_string()))?;
    let body = envelope.body.ok_or(BodyError::Unknown)?;
    Body::from_generated(body).map_err(|error| match error {
        Unreadable::Missing(_) => BodyError::Unknown,
        Unreadable::Item(_) => malformed(error.to_string()),
    })
}

fn check_version(version: Option<pb::Version>) -> Result<Version, DecodeError> {
    let version: Version = version
        .ok_or_else(|| DecodeError::Malformed {
            detail: "it has no version".to_owned(),
        })?
        .into();
    if version.major != VERSION.major {
        return Err(DecodeError::UnsupportedVersion {
            got: version,
            major: VERSION.major,
        });
    }
    Ok(version)
}

/// A frame in its generated form, from its parts.
pub(crate) fn envelope(
    call: &CallId,
    epoch: Epoch,
    version: Version,
    stream: StreamId,
    seq: Option<Seq>,
    ack: Option<Position>,
    body: Option<&Body>,
) -> pb::Envelope {
    pb::Envelope {
        version: Some(version.into()),
        call_id: call.as_str().to_owned(),
        epoch: epoch.0,
        stream: stream.0,
        seq: seq.map_or(0, |seq| seq.0),
        ack: ack.map(pb::Position::from),
        body: body.cloned().map(Into::into),
    }
}

impl From<pb::Version> for Version {
    fn from(pb::Version { major, minor }: pb::Version) -> Self {
        Self { major, minor }
    }
}

impl From<Version> for pb::Version {
    fn from(Version { major, minor }: Version) -> Self {
        Self { major, minor }
    }
}

impl From<pb::Position> for Position {
    fn from(pb::Position { stream, seq }: pb::Position) -> Self {
        Self {
            stream: StreamId(stream),
            seq: Seq(seq),
        }
    }
}

impl From<Position> for pb::Position {
    fn from(Position { stream, seq }: Position) -> Self {
        Self {
            stream: stream.0,
            seq: seq.0,
        }
    }
}
