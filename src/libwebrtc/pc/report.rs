//! What is truthfully known of a connection, for statistics.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    pair_changes: u32,
    ingress: BTreeMap<String, MediaIngressStats>,
    egress: BTreeMap<String, Egress>,
}

#[derive(Debug)]
struct Egress {
    stats: MediaEgressStats,
    /// What the peer has reported of losses, until it is taken.
    loss_report: Option<f32>,
    round_trips: RoundTrips,
}

impl Counters {
    pub(super) fn peer(&mut self, stats: PeerStats) {
        let ends = |stats: &PeerStats| {
            let pair = stats.selected_candidate_pair.as_ref();
            pair.map(|pair| (pair.local.addr, pair.remote.addr))
        };
        let before = self.peer.as_ref().and_then(ends);
        let now = ends(&stats);
        self.pair_changes += u32::from(now.is_some() && now != before);
        self.peer = Some(stats);
    }

    /// The share that the peer has missed lately of what is sent for a section, once per report.
    pub(super) fn take_loss(&mut self, mid: &str) -> Option<f32> {
        self.egress.get_mut(mid)?.loss_report.take()
    }

    pub(super) fn ingress(&mut self, stats: MediaIngressStats) {
        self.ingress.insert(stats.mid.to_string(), stats);
    }

    pub(super) fn egress(&mut self, stats: MediaEgressStats) {
        let mid = stats.mid.to_string();
        let before = self.egress.get(&mid);
        let mut round_trips = before.map(|egress| egress.round_trips).unwrap_or_default();
        // A report has come since the last time; several within that time count as one.
        if let (Some(_), Some(last)) = (stats.loss, stats.rtt) {
            round_trips.last = Some(last);
            round_trips.total += last;
            round_trips.count += 1;
        }
        let egress = Egress {
            loss_report: stats.loss,
            round_trips,
            stats,
        };
        self.egress.insert(mid, egress);
    }
}

/// Packets of one stream, counted as they arrive (RFC 3550, A.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrivals {
    pub(super) ssrc: u32,
    first: u64,
    highest: u64,
    packets: u64,
    last: Instant,
}

impl Arrivals {
    /// Counts a packet; another stream begins anew.
    pub(super) fn count(slot: &mut Option<Self>, ssrc: u32, sequence: u64, at: Instant) {
        match slot {
            Some(arrivals) if arrivals.ssrc == ssrc => {
                arrivals.first = arrivals.first.min(sequence);
                arrivals.highest = arrivals.highest.max(sequence);
                arrivals.packets += 1;
                arrivals.last = at;
            }
            Some(_) | None => {
                *slot = Some(Self {
                    ssrc,
                    first: sequence,
                    highest: sequence,
                    packets: 1,
                    last: at,
                });
            }
        }
    }

    /// Below zero when packets came twice.
    fn lost(&self) -> i64 {
        let expected = self.highest - self.first + 1;
        expected.cast_signed() - self.packets.cast_signed()
    }
}

/// How long the way there and back takes, over all reports.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RoundTrips {
    pub(crate) last: Option<Duration>,
    pub(crate) total: Duration,
    pub(crate) count: u64,
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
    pub(crate) round_trips: RoundTrips,
    /// Packets that the receiving side has missed.
    pub(crate) packets_lost: Option<i64>,
    /// When the last packet came.
    pub(crate) last_arrival: Option<Instant>,
    /// Packets and bytes of media that the other side says it has sent.
    pub(crate) sent_by_peer: Option<(u64, u64)>,
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
    /// With the hash that it was made with, as descriptions have them.
    pub(crate) fingerprint: String,
    pub(crate) peer_fingerprint: Option<String>,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// How often another way was taken.
    pub(crate) pair_changes: u32,
    pub(crate) pair: Option<PairReport>,
    pub(crate) channels: Vec<ChannelReport>,
    pub(crate) channels_opened: u32,
    pub(crate) channels_closed: u32,
    pub(crate) inbound: Vec<StreamReport>,
    pub(crate) outbound: Vec<StreamReport>,
}

impl Peer {
    /// The share that the peer has missed lately of what a transceiver sends, once per report.
    pub(crate) fn take_reported_loss(&mut self, id: TransceiverId) -> Option<f32> {
        let mid = self.transceivers.get(&id)?.mid.as_deref()?;
        self.counters.take_loss(mid)
    }

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
            fingerprint: self.negotiation.fingerprint().to_owned(),
            peer_fingerprint: self.negotiation.peer_fingerprint().map(str::to_owned),
            packets_sent: self.transport.packets_sent,
            packets_received: self.transport.packets_received,
            pair_changes: self.counters.pair_changes,
            bytes_sent: self.transport.bytes_sent,
            bytes_received: self.transport.bytes_received,
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
        let arrivals = transceiver.arrivals.as_ref();
        let round_trip = counts.and_then(|counts| counts.rtt);
        Some(StreamReport {
            transceiver: id,
            kind: transceiver.kind,
            ssrc: arrivals.map_or(0, |arrivals| arrivals.ssrc),
            track,
            codec: transceiver.main_codec().cloned(),
            packets: arrivals.map_or(0, |arrivals| arrivals.packets),
            bytes: counts.map_or(0, |counts| counts.bytes),
            nacks: counts.map_or(0, |counts| counts.nacks),
            loss: counts.and_then(|counts| counts.loss),
            round_trips: RoundTrips {
                last: round_trip,
                total: round_trip.unwrap_or_default(),
                count: u64::from(round_trip.is_some()),
            },
            packets_lost: arrivals.map(Arrivals::lost),
            last_arrival: arrivals.map(|arrivals| arrivals.last),
            sent_by_peer: counts
                .and_then(|counts| counts.remote.as_ref())
                .map(|remote| (remote.packets, remote.bytes)),
            jitter: counts.map(|counts| counts.jitter),
            mid,
        })
    }

    fn outbound(&self, id: TransceiverId) -> Option<StreamReport> {
        let transceiver = self.transceivers.get(&id)?;
        let mid = transceiver.mid.clone()?;
        if !transceiver.sending() {
            return None;
        }
        let egress = self.counters.egress.get(&mid);
        let counts = egress.map(|egress| &egress.stats);
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
            round_trips: egress.map(|egress| egress.round_trips).unwrap_or_default(),
            packets_lost: remote.map(|remote| remote.packets_lost.cast_signed()),
            last_arrival: None,
            sent_by_peer: None,
            jitter: remote.map(|remote| remote.jitter),
            mid,
        })
    }
}
