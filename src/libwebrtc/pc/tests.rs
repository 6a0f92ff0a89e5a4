//! Two peers, stepped in virtual time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::*;

/// Two peers and the network between them, on which nothing takes any time.
struct Pair {
    now: Instant,
    left: Peer,
    right: Peer,
    left_events: Vec<Event>,
    right_events: Vec<Event>,
    right_packets: Vec<ReceivedRtp>,
    /// How often a peer was called because its time had come.
    timeouts: u64,
    /// Whether datagrams arrive.
    connected: bool,
    /// Of so many datagrams, in thousands, what is lost; `dice` decides.
    loss_per_mille: u64,
    dice: u64,
}

const SOCKET: Origin = Origin::Socket { told: true };
const LEFT: &str = "192.0.2.1:1000";
const RIGHT: &str = "192.0.2.2:2000";

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            left: Peer::new(now),
            right: Peer::new(now),
            left_events: Vec::new(),
            right_events: Vec::new(),
            right_packets: Vec::new(),
            timeouts: 0,
            connected: true,
            loss_per_mille: 0,
            dice: 1,
        }
    }

    /// Whether the next datagram arrives; the same sequence in every run (Knuth's MMIX generator).
    fn arrives(&mut self) -> bool {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.connected && (self.dice >> 33) % 1_000 >= self.loss_per_mille
    }

    /// A negotiation that the left side begins.
    fn negotiate(&mut self) {
        self.negotiate_with(OfferOptions::default());
    }

    fn negotiate_with(&mut self, options: OfferOptions) {
        let offer = self.left.create_offer(options).unwrap();
        self.left
            .set_local(self.now, DescriptionKind::Offer, &offer)
            .unwrap();
        self.answer(&offer);
        self.step();
    }

    fn answer(&mut self, offer: &str) {
        self.right
            .set_remote(self.now, DescriptionKind::Offer, offer)
            .unwrap();
        let answer = self.right.create_answer().unwrap();
        self.right
            .set_local(self.now, DescriptionKind::Answer, &answer)
            .unwrap();
        self.left
            .set_remote(self.now, DescriptionKind::Answer, &answer)
            .unwrap();
    }

    /// Has the left side speak.
    fn add_microphone(&mut self) -> TransceiverId {
        self.left
            .add_transceiver(
                MediaKind::Audio,
                Direction::SendOnly,
                Some("mic".into()),
                vec!["stream".into()],
            )
            .unwrap()
    }

    /// Carries out all that is due at this instant.
    fn step(&mut self) {
        if self.left.take_gather_request() {
            self.left.add_local(address(LEFT), SOCKET);
            self.left.gathering_done();
        }
        if self.right.take_gather_request() {
            self.right.add_local(address(RIGHT), SOCKET);
            self.right.gathering_done();
        }
        self.left.settle(self.now);
        self.right.settle(self.now);
        loop {
            let mut quiet = true;
            while let Some(event) = self.left.poll_event() {
                if let Event::Candidate { text, .. } = &event {
                    self.right.add_candidate(text).unwrap();
                }
                self.left_events.push(event);
            }
            while let Some(event) = self.right.poll_event() {
                if let Event::Candidate { text, .. } = &event {
                    self.left.add_candidate(text).unwrap();
                }
                self.right_events.push(event);
            }
            while let Some(Transmit {
                stream,
                source,
                destination,
                contents,
            }) = self.left.poll_transmit()
            {
                if destination == address(RIGHT) && self.arrives() {
                    self.right
                        .handle_datagram(self.now, stream, source, destination, &contents);
                    quiet = false;
                }
            }
            while let Some(Transmit {
                stream,
                source,
                destination,
                contents,
            }) = self.right.poll_transmit()
            {
                if destination == address(LEFT) && self.arrives() {
                    self.left
                        .handle_datagram(self.now, stream, source, destination, &contents);
                    quiet = false;
                }
            }
            self.right_packets
                .extend(std::iter::from_fn(|| self.right.poll_packet()));
            if quiet {
                break;
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.step();
            let next = earliest(self.left.poll_timeout(), self.right.poll_timeout());
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            // A timer that is due already must not hold time up.
            let at = next.max(self.now + Duration::from_millis(1));
            if at > end {
                break;
            }
            self.now = at;
            for peer in [&mut self.left, &mut self.right] {
                if peer.poll_timeout().is_some_and(|at| at <= self.now) {
                    peer.handle_timeout(self.now);
                    self.timeouts += 1;
                }
            }
        }
        self.now = end;
    }

    fn connect(&mut self) {
        self.negotiate();
        self.run(Duration::from_secs(2));
        assert_eq!(self.left.connection_state(), ConnectionState::Connected);
        assert_eq!(self.right.connection_state(), ConnectionState::Connected);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn channel(label: &str) -> ChannelInit {
    ChannelInit {
        label: label.to_owned(),
        protocol: String::new(),
        ordered: true,
        max_lifetime_ms: None,
        max_retransmits: None,
        negotiated: None,
    }
}

fn received(events: &[Event]) -> Vec<Vec<u8>> {
    let message = |event: &Event| match event {
        Event::ChannelMessage { data, .. } => Some(data.clone()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

fn track_events(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Event::TrackAdded(_)))
        .count()
}

#[test]
fn messages_arrive_in_order_and_the_send_buffer_drains_exactly() {
    let mut pair = Pair::new();
    let id = pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    assert_eq!(pair.left.channel_state(id), ChannelState::Open);
    let added = pair
        .right_events
        .iter()
        .any(|event| matches!(event, Event::ChannelAdded { label, .. } if label == "data"));
    assert!(added);

    let messages: Vec<Vec<u8>> = (0..100_u8)
        .map(|n| vec![n; 1_000 + usize::from(n)])
        .collect();
    for message in &messages {
        pair.left.send(id, true, message).unwrap();
    }
    let bytes: usize = messages.iter().map(Vec::len).sum();
    assert_eq!(pair.left.channel_buffered(id), bytes as u64);
    pair.run(Duration::from_secs(10));
    assert_eq!(received(&pair.right_events), messages);
    let drained: u64 = pair
        .left_events
        .iter()
        .filter_map(|event| match event {
            Event::ChannelDrained { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .sum();
    assert_eq!(drained, bytes as u64);
    assert_eq!(pair.left.channel_buffered(id), 0);
    let (sent, received) = (pair.left.report(), pair.right.report());
    assert!(sent.bytes_sent > bytes as u64, "{}", sent.bytes_sent);
    assert!(
        received.bytes_received > bytes as u64,
        "{}",
        received.bytes_received
    );
}

#[test]
fn messages_stay_in_order_and_the_accounting_exact_under_five_percent_loss_both_ways() {
    let mut pair = Pair::new();
    let left = pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    let right = pair
        .right_events
        .iter()
        .find_map(|event| match event {
            Event::ChannelAdded { id, .. } => Some(*id),
            _ => None,
        })
        .unwrap();
    pair.loss_per_mille = 50;
    let messages: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 15_000]).collect();
    for message in &messages {
        pair.left.send(left, true, message).unwrap();
        pair.right.send(right, true, message).unwrap();
    }
    pair.run(Duration::from_secs(120));
    for (events, side) in [(&pair.left_events, "left"), (&pair.right_events, "right")] {
        assert_eq!(received(events).len(), messages.len(), "{side}");
        assert!(received(events) == messages, "out of order on the {side}");
        let drained: u64 = events
            .iter()
            .filter_map(|event| match event {
                Event::ChannelDrained { bytes, .. } => Some(*bytes),
                _ => None,
            })
            .sum();
        assert_eq!(drained, 200 * 15_000, "{side}");
    }
    assert_eq!(pair.left.channel_buffered(left), 0);
    assert_eq!(pair.right.channel_buffered(right), 0);
}

#[test]
fn channels_closed_before_the_first_negotiation_free_their_numbers() {
    let mut pair = Pair::new();
    let negotiated = |label| ChannelInit {
        negotiated: Some(1),
        ..channel(label)
    };
    let first = pair.left.create_channel(negotiated("first")).unwrap();
    assert!(matches!(
        pair.left.create_channel(negotiated("twin")),
        Err(PcError::ChannelId(_))
    ));
    pair.left.close_channel(first);
    let second = pair.left.create_channel(negotiated("second")).unwrap();
    let twin = pair.right.create_channel(negotiated("second")).unwrap();
    pair.connect();
    assert_eq!(pair.left.channel_state(first), ChannelState::Closed);
    assert_eq!(pair.left.channel_state(second), ChannelState::Open);
    pair.left.send(second, false, b"hello").unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(received(&pair.right_events), [b"hello".to_vec()]);
    pair.right.send(twin, false, b"back").unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(received(&pair.left_events), [b"back".to_vec()]);
}

#[test]
fn a_message_larger_than_the_peer_takes_is_refused() {
    let mut pair = Pair::new();
    let id = pair.left.create_channel(channel("data")).unwrap();
    assert!(pair.left.send(id, true, b"early").is_err());
    pair.connect();
    let limit = usize::try_from(Peer::message_size_max()).unwrap();
    assert!(pair.left.send(id, true, &vec![0; limit + 1]).is_err());
    pair.left.send(id, true, &vec![0; limit]).unwrap();
}

#[test]
fn an_offer_comes_even_when_nothing_has_changed() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    pair.negotiate();
    pair.negotiate();
    assert_eq!(pair.left.signaling_state(), SignalingState::Stable);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.left.connection_state(), ConnectionState::Connected);
}

/// The packet of a voice with this number, from 0.
fn packet(number: u32) -> SendPacket {
    SendPacket {
        time: number * 960,
        marker: number == 0,
        level_below_full_db: 30,
        voice: true,
        redundant: false,
        payload: vec![7; 40].into(),
    }
}

#[test]
fn sound_flows_with_its_level() {
    let mut pair = Pair::new();
    let id = pair.add_microphone();
    pair.connect();
    assert_eq!(track_events(&pair.right_events), 1);
    let theirs = pair.right.transceiver_ids()[0];
    let transceiver = pair.right.transceiver(theirs).unwrap();
    assert_eq!(transceiver.remote_track.as_deref(), Some("mic"));
    assert_eq!(transceiver.remote_streams, ["stream"]);
    for n in 0..50_u32 {
        let packet = SendPacket {
            redundant: n >= 25,
            ..packet(n)
        };
        assert!(pair.left.send_rtp(pair.now, id, packet));
        pair.run(Duration::from_millis(20));
    }
    assert_eq!(pair.right_packets.len(), 50);
    for pair in pair.right_packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert_eq!(pair[1].time, pair[0].time + 960);
    }
    let redundant = pair
        .right_packets
        .iter()
        .filter(|packet| packet.redundant)
        .count();
    assert_eq!(redundant, 25);
}

#[test]
fn nobody_is_woken_for_statistics_alone_when_nothing_happens() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    pair.run(Duration::from_secs(10));
    pair.timeouts = 0;
    pair.run(Duration::from_secs(60));
    // Each checks the way every 3 s, and finds its statistics due when it does, or when the other has.
    assert!(pair.timeouts <= 2 * 20 + 30, "{} times", pair.timeouts);
    assert_eq!(pair.left.connection_state(), ConnectionState::Connected);
}

#[test]
fn a_packet_leaves_at_once_and_leaves_nothing_to_do() {
    let mut pair = Pair::new();
    let id = pair.add_microphone();
    pair.connect();
    pair.run(Duration::from_millis(10));
    assert!(pair.left.send_rtp(pair.now, id, packet(0)));
    pair.left.settle(pair.now);
    assert!(pair.left.poll_transmit().is_some());
    let next = pair.left.poll_timeout();
    assert!(next.is_none_or(|at| at > pair.now), "{next:?}");
}

#[test]
fn statistics_tell_what_was_sent_and_what_was_lost() {
    let mut pair = Pair::new();
    let id = pair.add_microphone();
    pair.connect();
    pair.loss_per_mille = 100;
    let mut reports = Vec::new();
    for n in 0..1_000_u32 {
        // The first and the last packet arrive, so that all losses lie between two that did.
        if n == 0 || n == 999 {
            pair.loss_per_mille = 0;
        }
        assert!(pair.left.send_rtp(pair.now, id, packet(n)));
        pair.run(Duration::from_millis(20));
        pair.loss_per_mille = 100;
        reports.extend(pair.left.take_reported_loss(id));
    }
    let arrived = pair.right_packets.len() as u64;
    assert!(arrived < 960, "{arrived} of 1000 with 10 % loss");
    let inbound = &pair.right.report().inbound[0];
    assert_eq!(inbound.packets, arrived);
    assert_eq!(inbound.packets_lost, Some(1_000 - arrived.cast_signed()));
    let (sent, _) = inbound.sent_by_peer.expect("sender reports have come");
    assert!((900..=1_000).contains(&sent), "{sent}");

    // Whether a round trip could be measured under loss is left to chance; without loss it always can.
    pair.loss_per_mille = 0;
    pair.run(Duration::from_secs(20));
    let average = reports.iter().sum::<f32>() / reports.len() as f32;
    assert!(reports.len() >= 2, "{reports:?}");
    assert!((0.05..0.15).contains(&average), "{reports:?}");
    let outbound = &pair.left.report().outbound[0];
    assert!(outbound.packets_lost.is_some_and(|lost| lost > 40));
    assert!(outbound.round_trips.count > 0, "{outbound:?}");

    let report = pair.left.report();
    assert!(report.packets_sent > 1_000, "{}", report.packets_sent);
    assert_eq!(report.pair_changes, 1);
    let way = report.pair.unwrap();
    assert_eq!(way.local.address, address(LEFT));
    assert_eq!(way.local.kind, CandidateKind::Host);
    assert_eq!(way.remote.kind, CandidateKind::Host);
    assert!(way.local.priority > 0 && way.local.priority == way.remote.priority);
    let theirs = pair.right.report();
    assert_eq!(report.peer_fingerprint, Some(theirs.fingerprint));
}

#[test]
fn a_track_can_come_in_the_answer_to_an_unchanged_offer() {
    let mut pair = Pair::new();
    let ours = pair
        .left
        .add_transceiver(MediaKind::Audio, Direction::RecvOnly, None, Vec::new())
        .unwrap();
    pair.connect();
    assert_eq!(
        pair.left.transceiver(ours).unwrap().current,
        Some(Direction::Inactive)
    );
    assert_eq!(track_events(&pair.left_events), 0);

    let theirs = pair.right.transceiver_ids()[0];
    pair.right
        .set_sending(theirs, Some("voice".into()), true)
        .unwrap();
    pair.negotiate();
    assert_eq!(track_events(&pair.left_events), 1);
    let transceiver = pair.left.transceiver(ours).unwrap();
    assert_eq!(transceiver.remote_track.as_deref(), Some("voice"));
    assert_eq!(transceiver.current, Some(Direction::RecvOnly));

    // The section is left, and used again for another track.
    pair.right.set_sending(theirs, None, false).unwrap();
    pair.negotiate();
    assert!(!pair.left.transceiver(ours).unwrap().receiving());
    pair.right
        .set_sending(theirs, Some("other".into()), true)
        .unwrap();
    pair.negotiate();
    assert_eq!(track_events(&pair.left_events), 2);
    let changes: Vec<ReceiverChange> =
        std::iter::from_fn(|| pair.left.poll_receiver_change()).collect();
    let began = |track: &str| ReceiverChange::Began {
        id: ours,
        track: track.to_owned(),
    };
    assert_eq!(
        changes,
        [
            began("voice"),
            ReceiverChange::Ended { id: ours },
            began("other")
        ]
    );
}

#[test]
fn the_old_answer_set_again_takes_the_pending_offer_back() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    let (_, old_answer) = pair.left.current_remote().unwrap();
    let id = pair.add_microphone();
    let lost = pair.left.create_offer(OfferOptions::default()).unwrap();
    pair.left
        .set_local(pair.now, DescriptionKind::Offer, &lost)
        .unwrap();
    assert!(pair.left.transceiver(id).unwrap().mid.is_some());

    pair.left
        .set_remote(pair.now, DescriptionKind::Answer, &old_answer)
        .unwrap();
    assert_eq!(pair.left.signaling_state(), SignalingState::Stable);
    assert!(pair.left.transceiver(id).unwrap().mid.is_none());

    pair.negotiate_with(OfferOptions {
        ice_restart: true,
        ..Default::default()
    });
    pair.run(Duration::from_secs(2));
    assert!(pair.left.transceiver(id).unwrap().sending());
    assert_eq!(pair.left.connection_state(), ConnectionState::Connected);
}

#[test]
fn a_restart_changes_the_credentials_of_both_sides_and_keeps_the_channels() {
    let mut pair = Pair::new();
    let id = pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    let before = (
        pair.left.report().username_fragment,
        pair.right.report().username_fragment,
    );
    pair.left_events.clear();
    pair.negotiate_with(OfferOptions {
        ice_restart: true,
        ..Default::default()
    });
    pair.run(Duration::from_secs(2));
    let after = (
        pair.left.report().username_fragment,
        pair.right.report().username_fragment,
    );
    assert_ne!(before.0, after.0);
    assert_ne!(before.1, after.1);
    let told = pair
        .left_events
        .iter()
        .any(|event| matches!(event, Event::Candidate { .. }));
    assert!(
        told,
        "the addresses are told again, for the new credentials"
    );
    pair.left.send(id, true, b"still here").unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(received(&pair.right_events), [b"still here".to_vec()]);
}

#[test]
fn a_description_may_be_changed_before_it_is_set() {
    let mut pair = Pair::new();
    let id = pair
        .left
        .add_transceiver(MediaKind::Audio, Direction::Inactive, None, Vec::new())
        .unwrap();
    let offer = pair.left.create_offer(OfferOptions::default()).unwrap();
    assert!(offer.contains("a=inactive"));
    let changed = offer
        .replace("a=inactive", "a=recvonly")
        .replace("useinbandfec=1", "useinbandfec=1;stereo=1");
    pair.left
        .set_local(pair.now, DescriptionKind::Offer, &changed)
        .unwrap();
    pair.right
        .add_transceiver(
            MediaKind::Audio,
            Direction::SendOnly,
            Some("voice".into()),
            Vec::new(),
        )
        .unwrap();
    pair.answer(&changed);
    assert_eq!(
        pair.left.transceiver(id).unwrap().current,
        Some(Direction::RecvOnly)
    );
    let wishes = pair
        .right
        .transceiver(pair.right.transceiver_ids()[0])
        .unwrap()
        .wishes
        .clone();
    assert_eq!(wishes.unwrap().parameter("stereo"), Some("1"));
}

#[test]
fn silence_disconnects_and_then_fails() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    pair.connected = false;
    pair.left_events.clear();
    pair.run(Duration::from_secs(11));
    assert_eq!(pair.left.connection_state(), ConnectionState::Disconnected);
    pair.run(Duration::from_secs(16));
    assert_eq!(pair.left.connection_state(), ConnectionState::Failed);
    let states: Vec<&Event> = pair
        .left_events
        .iter()
        .filter(|e| matches!(e, Event::Connection(_)))
        .collect();
    assert_eq!(
        states,
        [
            &Event::Connection(ConnectionState::Disconnected),
            &Event::Connection(ConnectionState::Failed)
        ]
    );
}

#[test]
fn a_peer_that_never_answers_fails() {
    let mut pair = Pair::new();
    pair.connected = false;
    pair.left.create_channel(channel("data")).unwrap();
    pair.negotiate();
    assert_eq!(pair.left.connection_state(), ConnectionState::Connecting);
    pair.run(Duration::from_secs(16));
    assert_eq!(pair.left.connection_state(), ConnectionState::Failed);
}

#[test]
fn a_farewell_is_no_failure_yet() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    pair.right.close(pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.left.connection_state(), ConnectionState::Disconnected);
    assert_eq!(pair.right.connection_state(), ConnectionState::Closed);
    assert!(matches!(
        pair.right.create_offer(OfferOptions::default()),
        Err(PcError::Closed)
    ));
}

#[test]
fn sections_that_cannot_be_used_are_rejected_and_keep_their_place() {
    let now = Instant::now();
    let mut peer = Peer::new(now);
    let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 06:1D:DA:6C:0B:48:70:66:A8:E7:DC:5F:AF:60:5C:CB:88:BC:BF:B8:D5:E4:23:EA:60:87:16:2D:37:2B:2C:57\r\n\
        a=setup:actpass\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=sendonly\r\na=rtpmap:0 PCMU/8000\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 opus/48000/2\r\n\
        m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:2\r\n";
    peer.set_remote(now, DescriptionKind::Offer, offer).unwrap();
    let answer = peer.create_answer().unwrap();
    peer.set_local(now, DescriptionKind::Answer, &answer)
        .unwrap();
    let ports: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("m=")?.split(' ').nth(1))
        .collect();
    assert_eq!(ports, ["0", "9", "0"]);
    assert!(answer.contains("a=rtpmap:96 opus/48000/2"));
    assert!(answer.contains("a=group:BUNDLE 1\r\n"));
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    let offer = pair.left.create_offer(OfferOptions::default()).unwrap();
    pair.left
        .set_local(pair.now, DescriptionKind::Offer, &offer)
        .unwrap();
    for text in [
        "",
        "v=0",
        "v=0\r\nm=audio\r\n",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n",
    ] {
        let result = pair
            .left
            .set_remote(pair.now, DescriptionKind::Answer, text);
        assert!(result.is_err(), "{text:?}");
        assert_eq!(pair.left.signaling_state(), SignalingState::HaveLocalOffer);
    }
    pair.answer(&offer);
    assert_eq!(pair.left.signaling_state(), SignalingState::Stable);
    assert!(pair.left.add_candidate("candidate:nonsense").is_err());
    assert!(pair.left.add_candidate("").is_ok());
}

const PASSIVE: &str = "candidate:1 1 tcp 1671430143 192.0.2.2 7881 typ host tcptype passive";

#[test]
fn a_stream_is_opened_when_datagrams_do_not_arrive() {
    let mut pair = Pair::new();
    pair.connected = false;
    pair.left.create_channel(channel("data")).unwrap();
    pair.negotiate();
    pair.left.add_candidate(PASSIVE).unwrap();
    pair.left.settle(pair.now);
    assert_eq!(pair.left.poll_dial(pair.now), None, "UDP has a head start");
    pair.run(Duration::from_millis(200));
    let remote = address("192.0.2.2:7881");
    assert_eq!(pair.left.poll_dial(pair.now), Some(remote));
    assert_eq!(pair.left.poll_dial(pair.now), None, "once at a time");

    pair.left.stream_failed(pair.now, remote);
    assert_eq!(pair.left.poll_dial(pair.now), None, "not at once");
    pair.run(Duration::from_millis(1_001));
    assert_eq!(pair.left.poll_dial(pair.now), Some(remote));

    let local = address("192.0.2.1:4000");
    pair.left_events.clear();
    pair.left.add_local(local, Origin::Stream);
    pair.run(Duration::from_millis(100));
    let told = pair.left_events.iter().any(|event| match event {
        Event::Candidate { text, .. } => text.ends_with(" 192.0.2.1 9 typ host tcptype active"),
        _ => false,
    });
    assert!(told, "{:?}", pair.left_events);
}

#[test]
fn no_stream_is_opened_beside_a_way_that_stands() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    pair.left.add_candidate(PASSIVE).unwrap();
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.left.poll_dial(pair.now), None);
}

#[test]
fn losing_the_address_in_use_fails_at_once_and_a_restart_recovers() {
    let mut pair = Pair::new();
    pair.left.create_channel(channel("data")).unwrap();
    pair.connect();
    // The way in use is reported once a second.
    pair.run(Duration::from_secs(3));
    pair.left.remove_local_address(pair.now, address(LEFT));
    pair.left.settle(pair.now);
    assert_eq!(pair.left.connection_state(), ConnectionState::Disconnected);
    pair.run(Duration::from_millis(600));
    assert_eq!(pair.left.connection_state(), ConnectionState::Failed);

    pair.left.add_local(address(LEFT), SOCKET);
    pair.negotiate_with(OfferOptions {
        ice_restart: true,
        ..OfferOptions::default()
    });
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.left.connection_state(), ConnectionState::Connected);
}
