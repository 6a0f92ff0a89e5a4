//! A peer connection without sockets, clock or callbacks.
//!
//! [`Peer`] holds the state that the W3C describes (negotiation, transceivers, data channels) and drives str0m, which does ICE, DTLS,
//! SRTP and SCTP. Time is an input; what happens comes out of [`Peer::poll_event`], [`Peer::poll_transmit`] and
//! [`Peer::poll_packet`].
//!
//! str0m negotiates in its own way, which differs from the W3C's (it gives no offer when nothing has changed, and keeps
//! changes that were taken back). So the negotiation is done here, on descriptions of our own, and str0m only ever
//! sees the result: an offer, put together from what both sides have agreed on, that it accepts as if the peer had made it.

mod candidates;
mod channels;
mod negotiation;
mod report;
#[cfg(test)]
mod tests;
mod transceivers;
mod transport;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{Rtc, RtcConfig, change::SdpOffer};
use thiserror::Error;

pub(crate) use candidates::{CandidateKind, CandidateReport, Carrier, Loopback, Origin};
pub(crate) use channels::{ChannelId, ChannelInit, ChannelState};
pub(crate) use negotiation::{DescriptionKind, OfferOptions, SignalingState};
pub(crate) use report::{ChannelReport, PairReport, Report, StreamReport};
pub(crate) use transceivers::{MediaKind, SendPacket, Transceiver, TransceiverId, extensions};
pub(crate) use transport::{ConnectionState, GatheringState, IceState, Transmit};

pub(crate) use crate::sdp::Direction;
use crate::sdp::{Codec, Credentials};

/// Bytes of messages that wait to be sent, over all channels; a message beyond that is refused.
const SEND_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// The largest message that is received, in bytes. It is what browsers announce.
const MESSAGE_SIZE_MAX: u32 = 262_144;

/// Why an operation was refused.
#[derive(Debug, Error)]
pub(crate) enum PcError {
    /// Nothing can be done with a closed connection.
    #[error("the connection is closed")]
    Closed,
    /// The operation does not fit the state.
    #[error("{0}")]
    State(&'static str),
    /// A description cannot be used.
    #[error("unusable description: {0}")]
    Sdp(String),
    /// A candidate cannot be used.
    #[error("unusable candidate: {0}")]
    Candidate(String),
    /// A negotiated data channel has a number that is in use, or none.
    #[error("data channel number {0:?} is in use or missing")]
    ChannelId(Option<u16>),
    /// There is no such object in this connection.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The engine below failed.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// Something has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The state as a whole has changed.
    Connection(ConnectionState),
    /// The state of the way has changed.
    Ice(IceState),
    /// The state of gathering has changed.
    Gathering(GatheringState),
    /// The state of the negotiation has changed.
    Signaling(SignalingState),
    /// Something waits to be negotiated.
    NegotiationNeeded,
    /// A local address to tell the peer.
    Candidate {
        mid: String,
        index: i32,
        text: String,
    },
    /// A helping server has failed.
    CandidateError {
        address: SocketAddr,
        url: String,
        text: String,
    },
    /// The peer has opened a channel.
    ChannelAdded { id: ChannelId, label: String },
    /// The state of a channel has changed.
    ChannelState { id: ChannelId, state: ChannelState },
    /// A message has arrived.
    ChannelMessage {
        id: ChannelId,
        binary: bool,
        data: Vec<u8>,
    },
    /// The send buffer of a channel has shrunk.
    ChannelDrained { id: ChannelId, bytes: u64 },
    /// The peer has begun to use the receiving half of a transceiver.
    TrackAdded(TransceiverId),
}

/// The use of the receiving half of a transceiver has changed; for the owner of the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReceiverChange {
    /// A track with this identifier begins.
    Began { id: TransceiverId, track: String },
    /// The track is over.
    Ended { id: TransceiverId },
}

/// A packet of media that has arrived.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedRtp {
    pub(crate) transceiver: TransceiverId,
    pub(crate) arrived: Instant,
    /// The sequence number, extended beyond 16 bits.
    pub(crate) sequence: u64,
    /// The RTP timestamp, extended beyond 32 bits.
    pub(crate) time: u64,
    /// The number of the stream: another one starts its sequence and time anew.
    pub(crate) ssrc: u32,
    /// Whether it is RED rather than the codec itself.
    pub(crate) redundant: bool,
    pub(crate) payload: std::sync::Arc<[u8]>,
}

/// A peer connection. See the module.
pub(crate) struct Peer {
    rtc: Rtc,
    /// The last time that was put in, for calls that come without one.
    now: Instant,
    closed: bool,
    negotiation: negotiation::Negotiation,
    /// Candidates that wait for a description to belong to.
    waiting_candidates: Vec<String>,
    candidates: candidates::Candidates,
    transport: transport::TransportState,
    transceivers: BTreeMap<TransceiverId, Transceiver>,
    channels: channels::Channels,
    next_id: u32,
    audio_codecs: Vec<Codec>,
    video_codecs: Vec<Codec>,
    counters: report::Counters,
    events: VecDeque<Event>,
    receiver_changes: VecDeque<ReceiverChange>,
    transmits: VecDeque<Transmit>,
    packets: VecDeque<ReceivedRtp>,
}

impl Peer {
    /// A connection that knows nobody yet.
    pub(crate) fn new(now: Instant) -> Self {
        let mut config = RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, true)
            .enable_vp8(true)
            .enable_vp9(true)
            .enable_h264(true)
            .enable_av1(true)
            .set_rtp_mode(true)
            .set_sctp_max_buffered_amount(SEND_BUFFER_BYTES)
            .set_sctp_max_message_size(MESSAGE_SIZE_MAX)
            .set_stats_interval(Some(report::INTERVAL));
        config.set_max_stun_rto(transport::CHECK_INTERVAL);
        let mut rtc = config.build(now);
        let credentials = rtc.direct_api().local_ice_credentials();
        let fingerprint = rtc.direct_api().local_dtls_fingerprint().to_string();
        let credentials = Credentials {
            ufrag: credentials.ufrag,
            password: credentials.pass,
        };
        Self {
            rtc,
            now,
            closed: false,
            negotiation: negotiation::Negotiation::new(credentials, fingerprint),
            waiting_candidates: Vec::new(),
            candidates: candidates::Candidates::default(),
            transport: transport::TransportState::default(),
            transceivers: BTreeMap::new(),
            channels: channels::Channels::default(),
            next_id: 0,
            audio_codecs: Codec::audio(),
            video_codecs: Codec::video(),
            counters: report::Counters::default(),
            events: VecDeque::new(),
            receiver_changes: VecDeque::new(),
            transmits: VecDeque::new(),
            packets: VecDeque::new(),
        }
    }

    /// Fails when the connection is closed.
    pub(crate) fn check_open(&self) -> Result<(), PcError> {
        if self.closed {
            Err(PcError::Closed)
        } else {
            Ok(())
        }
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next change of a receiver, to be handled before the events.
    pub(crate) fn poll_receiver_change(&mut self) -> Option<ReceiverChange> {
        self.receiver_changes.pop_front()
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The datagram that [`Self::poll_transmit`] will return.
    pub(crate) fn next_transmit(&self) -> Option<&Transmit> {
        self.transmits.front()
    }

    /// Whether there is anything to poll but datagrams to send.
    pub(crate) fn has_news(&self) -> bool {
        !self.events.is_empty() || !self.packets.is_empty() || !self.receiver_changes.is_empty()
    }

    /// The next received packet of media.
    pub(crate) fn poll_packet(&mut self) -> Option<ReceivedRtp> {
        self.packets.pop_front()
    }

    /// Closes the connection. A farewell to the peer may be left to transmit; no event follows.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.now = now;
        if self.rtc.close().is_ok() {
            self.drain(now);
        }
        self.rtc.disconnect();
        self.channels.close_all();
        self.negotiation.close();
        for (id, transceiver) in &mut self.transceivers {
            if transceiver.end_receiving() {
                self.receiver_changes
                    .push_back(ReceiverChange::Ended { id: *id });
            }
            transceiver.stopped = true;
        }
        self.events.clear();
        self.packets.clear();
    }

    fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Has str0m take over what has been agreed on.
    fn accept(&mut self, agreed: &str) -> Result<(), PcError> {
        let offer =
            SdpOffer::from_sdp_string(agreed).map_err(|error| PcError::Sdp(error.to_string()))?;
        let answer = self.rtc.sdp_api().accept_offer(offer);
        answer.map_err(|error| PcError::Engine(error.to_string()))?;
        Ok(())
    }
}

/// The earlier of two times.
fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// How long `later` is after `earlier`; nothing when it is before.
fn since(later: Instant, earlier: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}
