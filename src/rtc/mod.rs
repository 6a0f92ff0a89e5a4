//! The room as LiveKit presents it, in plain types: joins, publishes, subscribes, sends data.
//!
//! **Invariant**: this is the only module of the package that names the `livekit` crate. Nothing here decides anything about a call.

mod bytes;
mod connection;
mod track;

use std::collections::{BTreeMap, BTreeSet};

pub use self::bytes::IncomingBytes;
pub use self::connection::{ConnectOptions, Connection, Pulse, Sender};
pub use self::track::{IncomingAudio, IncomingPacket, ProgramTrack, spawn_at_media};

/// Samples per second of a track's time.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// What a participant is to LiveKit, as the server stamps it from its access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantKind {
    /// An ordinary client: a browser, an app.
    Standard,
    /// A phone, joined by the SIP bridge.
    Sip,
    /// A program, joined with an agent's token.
    Agent,
    /// Ingress, egress, connectors and bridges: never a caller, never a specialist.
    Other,
}

/// One participant of the room other than ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its identity, unique in the room.
    pub identity: String,
    /// Its session id; a rejoin under the same identity has another.
    pub sid: String,
    /// Its kind.
    pub kind: ParticipantKind,
    /// Its attributes, `sip.*` among them.
    pub attributes: BTreeMap<String, String>,
}

/// The end of a connection, as the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The room was deleted or closed.
    RoomGone,
    /// Another participant joined under our identity: a successor has taken over.
    Replaced,
    /// Somebody removed us from the room.
    Removed,
    /// Anything else, in LiveKit's words.
    Other(String),
}

/// Something that happened in the room.
#[derive(Debug)]
pub enum RoomEvent {
    /// A participant is in the room: it was there when we joined, joined now, or is seen anew after our own full reconnect.
    Joined(Participant),
    /// A participant has left. Our own full reconnect does not count as a leave of the others.
    Left(Participant),
    /// An audio track was published.
    AudioPublished {
        participant: Participant,
        track_sid: String,
    },
    /// A track was unpublished.
    Unpublished {
        participant: Participant,
        track_sid: String,
    },
    /// A subscription of ours stands: the track's packets can be read.
    AudioSubscribed {
        participant: Participant,
        track_sid: String,
        audio: IncomingAudio,
    },
    /// A subscription of ours has ended.
    AudioUnsubscribed {
        participant: Participant,
        track_sid: String,
    },
    /// A data packet; `sender` is unknown until the server has announced it.
    Data {
        sender: Option<Participant>,
        topic: String,
        payload: Vec<u8>,
    },
    /// A message that may be larger than a packet has begun; `sender` is who it says it is.
    ByteStream {
        sender: String,
        topic: String,
        stream: IncomingBytes,
    },
    /// A key of the phone's pad.
    Dtmf {
        sender: Option<Participant>,
        digit: char,
    },
    /// A participant's attributes have changed.
    AttributesChanged(Participant),
    /// Who of the room speaks now, by identity; said on each change.
    Speaking(BTreeSet<String>),
    /// Somebody has subscribed to the program track for the first time.
    ProgramSubscribed,
    /// Our own connection is being restored.
    Reconnecting,
    /// Our own connection is back, by a resume or a full reconnect.
    Reconnected,
    /// Our own connection has ended for good.
    Closed(Closed),
}

/// Why something could not be done in the room.
#[derive(Debug, thiserror::Error)]
pub enum RtcError {
    /// The room could not be joined.
    #[error("joining the room failed")]
    Join(#[source] livekit::RoomError),
    /// Joining took longer than the limit.
    #[error("joining the room took longer than {0} s")]
    JoinTimeout(u64),
    /// The program track could not be published.
    #[error("publishing the program track failed")]
    Publish(#[source] livekit::RoomError),
    /// Publishing took longer than the limit.
    #[error("publishing the program track took longer than {0} s")]
    PublishTimeout(u64),
    /// A data packet could not be sent.
    #[error("sending a data packet failed")]
    Send(#[source] livekit::RoomError),
    /// A byte stream could not be sent.
    #[error("sending a byte stream failed: {0}")]
    SendBytes(String),
    /// A text stream could not be sent.
    #[error("sending a text stream failed: {0}")]
    SendText(String),
    /// The track permissions could not be set.
    #[error("setting the track permissions failed")]
    Permission(#[source] livekit::RoomError),
}
