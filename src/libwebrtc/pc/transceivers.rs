//! Transceivers, and the RTP that goes through them.

use std::time::Instant;

use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};

use super::{Direction, Event, PcError, Peer, ReceivedRtp, ReceiverChange, report::Arrivals};
use crate::sdp::{Codec, Extension, Section, SectionKind};

/// Transceivers per connection at most.
const TRANSCEIVERS_MAX: usize = 1_000;

const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// The header extensions that this engine can negotiate, with the numbers that str0m prefers.
pub(crate) fn extensions(kind: MediaKind) -> Vec<Extension> {
    let fits = |e: &Extension| kind == MediaKind::Audio || e.uri != AUDIO_LEVEL;
    all_extensions().into_iter().filter(fits).collect()
}

fn all_extensions() -> Vec<Extension> {
    [
        (1, AUDIO_LEVEL),
        (
            2,
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        ),
        (
            3,
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        ),
        (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    ]
    .map(|(id, uri)| Extension {
        id,
        uri: uri.to_owned(),
    })
    .to_vec()
}

/// A transceiver of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransceiverId(pub(super) u32);

/// What a transceiver carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    pub(super) fn section(self) -> SectionKind {
        match self {
            Self::Audio => SectionKind::Audio,
            Self::Video => SectionKind::Video,
        }
    }
}

/// A sender and a receiver that share a media section.
#[derive(Debug)]
pub(crate) struct Transceiver {
    pub(crate) kind: MediaKind,
    /// The identifier of the media section, once there is one.
    pub(crate) mid: Option<String>,
    /// The wanted direction.
    pub(crate) direction: Direction,
    /// The negotiated direction.
    pub(crate) current: Option<Direction>,
    pub(crate) stopped: bool,
    /// The streams of the track that is received; none while nothing is received.
    pub(crate) remote_streams: Vec<String>,
    /// The identifier of the track that is received.
    pub(crate) remote_track: Option<String>,
    /// The identifier of the track that is sent.
    pub(crate) local_track: Option<String>,
    pub(super) local_streams: Vec<String>,
    /// Names of codecs to keep, in order; empty for all.
    pub(super) preferred: Vec<String>,
    /// What both sides know, with the numbers to use.
    pub(crate) codecs: Vec<Codec>,
    pub(crate) extensions: Vec<Extension>,
    /// The peer's parameters of the first codec: its wishes to a sender.
    pub(crate) wishes: Option<Codec>,
    /// The numbers of the streams that the peer has announced.
    pub(super) expected: Vec<u32>,
    pub(crate) ssrc: u32,
    pub(super) retransmission_ssrc: u32,
    next_sequence: u64,
    time_offset: u32,
    /// What was received of the last stream.
    pub(super) arrivals: Option<Arrivals>,
}

impl Transceiver {
    fn new(kind: MediaKind, direction: Direction) -> Self {
        Self {
            kind,
            mid: None,
            direction,
            current: None,
            stopped: false,
            remote_streams: Vec::new(),
            remote_track: None,
            local_track: None,
            local_streams: Vec::new(),
            preferred: Vec::new(),
            codecs: Vec::new(),
            extensions: Vec::new(),
            wishes: None,
            expected: Vec::new(),
            ssrc: random_ssrc(),
            retransmission_ssrc: random_ssrc(),
            // Low enough not to roll over soon, as SRTP has to guess roll-overs from what it sees first.
            next_sequence: u64::from(rand::random::<u16>() & 0x3fff),
            time_offset: rand::random(),
            arrivals: None,
        }
    }

    /// Whether packets may be sent.
    pub(crate) fn sending(&self) -> bool {
        !self.stopped && self.current.is_some_and(Direction::sends)
    }

    /// Whether packets may arrive.
    pub(crate) fn receiving(&self) -> bool {
        !self.stopped && self.remote_track.is_some()
    }

    /// Forgets the received track; whether there was one.
    pub(super) fn end_receiving(&mut self) -> bool {
        self.remote_streams.clear();
        self.remote_track.take().is_some()
    }

    /// Whether the peer wants the media with copies of what was sent before (RFC 2198).
    pub(crate) fn prefers_red(&self) -> bool {
        self.codecs.first().is_some_and(|codec| codec.is("red"))
    }

    /// The negotiated codec that carries the media itself.
    pub(crate) fn main_codec(&self) -> Option<&Codec> {
        self.codecs.iter().find(|codec| !codec.is_auxiliary())
    }
}

/// A packet of media to send. Number and order are the engine's.
#[derive(Debug, Clone)]
pub(crate) struct SendPacket {
    /// Clock ticks since the start of the stream.
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// The loudness below full level in dB, 0 to 127.
    pub(crate) level_below_full_db: u8,
    pub(crate) voice: bool,
    /// Whether the payload is RED rather than the codec itself.
    pub(crate) redundant: bool,
    pub(crate) payload: std::sync::Arc<[u8]>,
}

impl Peer {
    /// Adds a transceiver. It needs a negotiation.
    pub(crate) fn add_transceiver(
        &mut self,
        kind: MediaKind,
        direction: Direction,
        track: Option<String>,
        streams: Vec<String>,
    ) -> Result<TransceiverId, PcError> {
        self.check_open()?;
        let id = self.insert_transceiver(kind, direction)?;
        let transceiver = self.transceiver_mut(id)?;
        transceiver.local_track = track;
        transceiver.local_streams = streams;
        self.negotiation_needed();
        Ok(id)
    }

    pub(super) fn insert_transceiver(
        &mut self,
        kind: MediaKind,
        direction: Direction,
    ) -> Result<TransceiverId, PcError> {
        if self.transceivers.len() >= TRANSCEIVERS_MAX {
            return Err(PcError::State("there are too many transceivers"));
        }
        let id = TransceiverId(self.new_id());
        self.transceivers
            .insert(id, Transceiver::new(kind, direction));
        Ok(id)
    }

    /// A transceiver.
    pub(crate) fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.transceivers.get(&id)
    }

    pub(super) fn transceiver_mut(
        &mut self,
        id: TransceiverId,
    ) -> Result<&mut Transceiver, PcError> {
        self.transceivers
            .get_mut(&id)
            .ok_or(PcError::Unknown("transceiver"))
    }

    /// The transceivers in the order in which they were made.
    pub(crate) fn transceiver_ids(&self) -> Vec<TransceiverId> {
        self.transceivers
            .iter()
            .filter(|(_, t)| !t.stopped)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Changes what is sent. A change of direction needs a negotiation.
    pub(crate) fn set_sending(
        &mut self,
        id: TransceiverId,
        track: Option<String>,
        sends: bool,
    ) -> Result<(), PcError> {
        self.check_open()?;
        let transceiver = self.transceiver_mut(id)?;
        transceiver.local_track = track;
        let direction = Direction::of(sends, transceiver.direction.receives());
        if direction != transceiver.direction {
            transceiver.direction = direction;
            self.negotiation_needed();
        }
        Ok(())
    }

    /// Sets the streams of the track that is sent.
    pub(crate) fn set_local_streams(
        &mut self,
        id: TransceiverId,
        streams: Vec<String>,
    ) -> Result<(), PcError> {
        self.transceiver_mut(id)?.local_streams = streams;
        Ok(())
    }

    /// Replaces the identifier of the track that is sent; needs no negotiation.
    pub(crate) fn replace_track(
        &mut self,
        id: TransceiverId,
        track: Option<String>,
    ) -> Result<(), PcError> {
        self.check_open()?;
        self.transceiver_mut(id)?.local_track = track;
        Ok(())
    }

    /// Keeps those codecs in later descriptions, in that order.
    pub(crate) fn prefer_codecs(
        &mut self,
        id: TransceiverId,
        names: Vec<String>,
    ) -> Result<(), PcError> {
        self.transceiver_mut(id)?.preferred = names;
        Ok(())
    }

    /// Ends a transceiver.
    pub(crate) fn stop_transceiver(&mut self, id: TransceiverId) -> Result<(), PcError> {
        self.check_open()?;
        let transceiver = self.transceiver_mut(id)?;
        if transceiver.stopped {
            return Ok(());
        }
        transceiver.stopped = true;
        transceiver.direction = Direction::Inactive;
        if transceiver.end_receiving() {
            self.receiver_changes
                .push_back(ReceiverChange::Ended { id });
        }
        self.negotiation_needed();
        Ok(())
    }

    /// Sends a packet of media. Whether it was taken: not while the transceiver is not sending or the way not open.
    pub(crate) fn send_rtp(&mut self, now: Instant, id: TransceiverId, packet: SendPacket) -> bool {
        let Some(transceiver) = self.transceivers.get_mut(&id) else {
            return false;
        };
        if self.closed || !transceiver.sending() || !self.rtc.is_connected() {
            return false;
        }
        let codec = match packet.redundant {
            true => transceiver.codecs.iter().find(|codec| codec.is("red")),
            false => transceiver.main_codec(),
        };
        let Some(payload_type) = codec.map(|codec| codec.payload_type) else {
            return false;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx(&transceiver.ssrc.into()) else {
            return false;
        };
        let sequence = transceiver.next_sequence;
        transceiver.next_sequence += 1;
        let level = i8::try_from(packet.level_below_full_db.min(127)).unwrap_or(i8::MAX);
        let extensions = ExtensionValues {
            audio_level: (transceiver.kind == MediaKind::Audio).then_some(-level),
            voice_activity: (transceiver.kind == MediaKind::Audio).then_some(packet.voice),
            ..Default::default()
        };
        let time = packet.time.wrapping_add(transceiver.time_offset);
        stream.write_rtp(
            RtpWrite::new(
                payload_type.into(),
                sequence.into(),
                time,
                now,
                packet.payload,
            )
            .marker(packet.marker)
            .ext_vals(extensions),
        );
        self.wants_to_send(now);
        true
    }

    pub(super) fn rtp_received(&mut self, packet: RtpPacket) {
        let ssrc: u32 = *packet.header.ssrc;
        let mid = self
            .rtc
            .direct_api()
            .stream_rx(&packet.header.ssrc)
            .map(|stream| stream.mid());
        let Some(mid) = mid else { return };
        let found = self
            .transceivers
            .iter_mut()
            .find(|(_, transceiver)| transceiver.mid.as_deref() == Some(&*mid));
        let Some((id, transceiver)) = found else {
            return;
        };
        if !transceiver.receiving() {
            return;
        }
        let at = packet.timestamp;
        Arrivals::count(&mut transceiver.arrivals, ssrc, *packet.seq_no, at);
        let number: u8 = *packet.header.payload_type;
        let codec = transceiver
            .codecs
            .iter()
            .find(|codec| codec.payload_type == number);
        self.packets.push_back(ReceivedRtp {
            transceiver: *id,
            arrived: packet.timestamp,
            sequence: *packet.seq_no,
            time: packet.time.numer(),
            ssrc,
            redundant: codec.is_some_and(|codec| codec.is("red")),
            payload: packet.payload,
        });
    }

    /// Takes over what the peer says of the track that it sends.
    pub(super) fn update_receiver(&mut self, id: TransceiverId, section: &Section, receives: bool) {
        let Some(transceiver) = self.transceivers.get_mut(&id) else {
            return;
        };
        if !receives || transceiver.stopped {
            if transceiver.end_receiving() {
                self.receiver_changes
                    .push_back(ReceiverChange::Ended { id });
            }
            return;
        }
        let track = section.track.clone().unwrap_or_else(|| section.mid.clone());
        let same_track = transceiver.remote_track.as_ref() == Some(&track);
        if same_track && transceiver.remote_streams == section.streams {
            return;
        }
        if !same_track {
            if transceiver.end_receiving() {
                self.receiver_changes
                    .push_back(ReceiverChange::Ended { id });
            }
            transceiver.remote_track = Some(track.clone());
            self.receiver_changes
                .push_back(ReceiverChange::Began { id, track });
        }
        transceiver.remote_streams = section.streams.clone();
        self.events.push_back(Event::TrackAdded(id));
    }
}

/// A number for a stream; 0 means something else to str0m.
fn random_ssrc() -> u32 {
    rand::random::<u32>().max(1)
}
