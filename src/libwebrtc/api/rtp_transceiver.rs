//! Transceivers: a sender and a receiver that share a media section.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use crate::{
    RtcError,
    net::Connection,
    pc::{Direction, TransceiverId},
    rtp_parameters::{RtpCodecCapability, RtpEncodingParameters},
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// How a transceiver is to be made.
#[derive(Debug, Clone)]
pub struct RtpTransceiverInit {
    /// The wanted direction.
    pub direction: RtpTransceiverDirection,
    /// The streams that the sent track belongs to.
    pub stream_ids: Vec<String>,
    /// The encodings to send.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

/// In which directions media flows.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtpTransceiverDirection {
    /// Both.
    SendRecv,
    /// From here.
    SendOnly,
    /// To here.
    RecvOnly,
    /// None.
    Inactive,
    /// None, for good.
    Stopped,
}

impl RtpTransceiverDirection {
    pub(crate) fn to_inner(self) -> Direction {
        match self {
            Self::SendRecv => Direction::SendRecv,
            Self::SendOnly => Direction::SendOnly,
            Self::RecvOnly => Direction::RecvOnly,
            Self::Inactive | Self::Stopped => Direction::Inactive,
        }
    }
}

impl From<Direction> for RtpTransceiverDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::SendRecv => Self::SendRecv,
            Direction::SendOnly => Self::SendOnly,
            Direction::RecvOnly => Self::RecvOnly,
            Direction::Inactive => Self::Inactive,
        }
    }
}

/// A sender and a receiver that share a media section. Clones are the same transceiver.
#[derive(Clone)]
pub struct RtpTransceiver {
    connection: Arc<Connection>,
    id: TransceiverId,
}

impl RtpTransceiver {
    pub(crate) fn new(connection: Arc<Connection>, id: TransceiverId) -> Self {
        Self { connection, id }
    }

    /// The identifier of the media section, once there is one.
    pub fn mid(&self) -> Option<String> {
        self.connection
            .read(|state| state.peer.transceiver(self.id)?.mid.clone())
    }

    /// The direction that was last negotiated.
    pub fn current_direction(&self) -> Option<RtpTransceiverDirection> {
        self.connection.read(|state| {
            let transceiver = state.peer.transceiver(self.id)?;
            if transceiver.stopped {
                return Some(RtpTransceiverDirection::Stopped);
            }
            transceiver.current.map(Into::into)
        })
    }

    /// The direction that is wanted.
    pub fn direction(&self) -> RtpTransceiverDirection {
        self.connection
            .read(|state| match state.peer.transceiver(self.id) {
                Some(transceiver) if !transceiver.stopped => transceiver.direction.into(),
                _ => RtpTransceiverDirection::Stopped,
            })
    }

    /// The sending half.
    pub fn sender(&self) -> RtpSender {
        RtpSender::new(self.connection.clone(), self.id)
    }

    /// The receiving half.
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver::new(self.connection.clone(), self.id)
    }

    /// Orders the codecs of later offers and answers: those named, in this order.
    ///
    /// # Errors
    /// When the transceiver is gone.
    pub fn set_codec_preferences(&self, codecs: Vec<RtpCodecCapability>) -> Result<(), RtcError> {
        let names = codecs
            .into_iter()
            .filter_map(|codec| {
                codec
                    .mime_type
                    .split_once('/')
                    .map(|(_, name)| name.to_owned())
            })
            .collect();
        self.connection
            .with(|state, _| state.peer.prefer_codecs(self.id, names))?;
        Ok(())
    }

    /// Ends the transceiver; its media section is freed by the next negotiation.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn stop(&self) -> Result<(), RtcError> {
        self.connection
            .with(|state, _| state.stop_transceiver(self.id))?;
        Ok(())
    }
}

impl Debug for RtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpTransceiver")
            .field("mid", &self.mid())
            .field("direction", &self.direction())
            .field("sender", &self.sender())
            .field("receiver", &self.receiver())
            .finish()
    }
}
