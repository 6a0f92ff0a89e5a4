//! What is truthfully known of a connection, for statistics.

use std::{collections::BTreeMap, time::Duration};

use str0m::{
    net::Protocol,
    stats::{MediaEgressStats, MediaIngressStats, PeerStats},
};

use super::{
    CandidateReport, ChannelState, ConnectionState, IceState, MediaKind, Peer, TransceiverId,
    channels::Counts,
};
use crate::sdp::Codec;

/// How often str0m counts.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The last counts of str0m.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) peer: Option<PeerStats>,
    ingress: BTreeMap<String, MediaIngressStats>,
    egress: BTreeMap<String, MediaEgressStats>,
}

impl Counters {
    pub(super) fn ingress(&mut self, stats: MediaIngressStats) {
        self.ingress.insert(stats.mid.to_string(), stats);
    }

    pub(super) fn egress(&mut self, stats: MediaEgressStats) {
        self.egress.insert(stats.mid.to_string(), stats);
    }
}

/// A stream of media. What is not known is absent or zero.
#[derive(Debug, Clone)]
pub(crate) struct StreamReport {
    pub(crate) transceiver: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) mid: String,
    pub(crate) ssrc: u32,
    pub(crate) track: String,
    pub(crate) codec: Option<Codec>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) nacks: u64,
    /// The share of packets lost on the way, 0 to 1.
    pub(crate) loss: Option<f32>,
    pub(crate) round_trip: Option<Duration>,
    /// Packets that the receiving side has missed.
    pub(crate) packets_lost: Option<u64>,
    /// In clock ticks.
    pub(crate) jitter: Option<u32>,
}

/// The way in use.
#[derive(Debug, Clone)]
pub(crate) struct PairReport {
    pub(crate) local: CandidateReport,
    pub(crate) remote: CandidateReport,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) total_round_trip: Duration,
    pub(crate) responses: u64,
}

/// A data channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelReport {
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) stream: Option<u16>,
    pub(crate) state: ChannelState,
    pub(crate) counts: Counts,
}

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) connection: ConnectionState,
    pub(crate) ice: IceState,
    pub(crate) controlling: bool,
    pub(crate) username_fragment: String,
    pub(crate) dtls_client: Option<bool>,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) pair: Option<PairReport>,
    pub(crate) channels: Vec<ChannelReport>,
    pub(crate) channels_opened: u32,
    pub(crate) channels_closed: u32,
    pub(crate) inbound: Vec<StreamReport>,
    pub(crate) outbound: Vec<StreamReport>,
}

impl Peer {
    /// What is known now; the counts of streams are up to a second old.
    pub(crate) fn report(&self) -> Report {
        let peer = self.counters.peer.as_ref();
        let (credentials, controlling) = self.negotiation.ice();
        let (channels_opened, channels_closed) = self.channels.totals();
        let channels = self
            .channels
            .rows()
            .map(|(_, init, state, counts)| ChannelReport {
                label: init.label.clone(),
                protocol: init.protocol.clone(),
                stream: init.negotiated,
                state,
                counts,
            });
        let pair = peer.and_then(|peer| peer.selected_candidate_pair.as_ref());
        Report {
            connection: self.connection_state(),
            ice: self.ice_state(),
            controlling,
            username_fragment: credentials.ufrag.clone(),
            dtls_client: self.negotiation.dtls_active(),
            bytes_sent: peer.map_or(0, |peer| peer.peer_bytes_tx),
            bytes_received: peer.map_or(0, |peer| peer.peer_bytes_rx),
            pair: pair.map(|pair| {
                let stream = pair.protocol != Protocol::Udp;
                PairReport {
                    local: self.candidates.describe_local(pair.local.addr, stream),
                    remote: self.candidates.describe_remote(pair.remote.addr, stream),
                    round_trip: pair.current_round_trip_time,
                    total_round_trip: pair.total_round_trip_time,
                    responses: pair.responses_received,
                }
            }),
            channels: channels.collect(),
            channels_opened,
            channels_closed,
            inbound: self
                .transceivers
                .keys()
                .filter_map(|id| self.inbound(*id))
                .collect(),
            outbound: self
                .transceivers
                .keys()
                .filter_map(|id| self.outbound(*id))
                .collect(),
        }
    }

    fn inbound(&self, id: TransceiverId) -> Option<StreamReport> {
        let transceiver = self.transceivers.get(&id)?;
        let mid = transceiver.mid.clone()?;
        let track = transceiver.remote_track.clone()?;
        let counts = self.counters.ingress.get(&mid);
        Some(StreamReport {
            transceiver: id,
            kind: transceiver.kind,
            ssrc: transceiver.received_ssrc.unwrap_or_default(),
            track,
            codec: transceiver.main_codec().cloned(),
            packets: counts.map_or(0, |counts| counts.packets),
            bytes: counts.map_or(0, |counts| counts.bytes),
            nacks: counts.map_or(0, |counts| counts.nacks),
            loss: counts.and_then(|counts| counts.loss),
            round_trip: counts.and_then(|counts| counts.rtt),
            packets_lost: None,
            jitter: None,
            mid,
        })
    }

    fn outbound(&self, id: TransceiverId) -> Option<StreamReport> {
        let transceiver = self.transceivers.get(&id)?;
        let mid = transceiver.mid.clone()?;
        if !transceiver.sending() {
            return None;
        }
        let counts = self.counters.egress.get(&mid);
        let remote = counts.and_then(|counts| counts.remote.as_ref());
        Some(StreamReport {
            transceiver: id,
            kind: transceiver.kind,
            ssrc: transceiver.ssrc,
            track: transceiver.local_track.clone().unwrap_or_default(),
            codec: transceiver.main_codec().cloned(),
            packets: counts.map_or(0, |counts| counts.packets),
            bytes: counts.map_or(0, |counts| counts.bytes),
            nacks: counts.map_or(0, |counts| counts.nacks),
            loss: counts.and_then(|counts| counts.loss),
            round_trip: counts.and_then(|counts| counts.rtt),
            packets_lost: remote.map(|remote| remote.packets_lost),
            jitter: remote.map(|remote| remote.jitter),
            mid,
        })
    }
}
