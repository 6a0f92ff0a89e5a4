//! Frames to bytes and back.

use call::{CallId, Epoch};
use prost::Message;

use crate::body::Body;
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
        let version: Version = version
            .ok_or_else(|| malformed("it has no version".to_owned()))?
            .into();
        if version.major != VERSION.major {
            return Err(DecodeError::UnsupportedVersion {
                got: version,
                major: VERSION.major,
            });
        }
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
            body: body
                .map(Body::from_generated)
                .transpose()
                .map_err(|missing| malformed(missing.to_string()))?,
        })
    }
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
