//! What each fuzz target does with its bytes. The engine's tests run the same over the corpus, and over damaged copies of it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    audio::{
        receiver::{AudioReceiver, PayloadKind, ReceivedPacket},
        sink::PcmSink,
        track::RemoteAudio,
    },
    pc::{
        ChannelInit, ConnectionState, DescriptionKind, Event, OfferOptions, Origin, Peer, Transmit,
    },
    sdp::Description,
};

const OURS: &str = "192.0.2.1:1000";
const THEIRS: &str = "192.0.2.2:2000";
/// Records of one input that are looked at.
const RECORDS_MAX: usize = 200;

/// Sound that may have been invented and not yet handed out, in samples: that of the longest packet.
const INVENTED_AHEAD_MAX: u64 = 5_760;

/// A session description from the other side: what can be read is written and read again unchanged, and is taken or refused as
/// an offer.
pub fn description(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(read) = Description::parse(text) else {
        return;
    };
    let written = read.to_string();
    match Description::parse(&written) {
        Ok(again) => assert_eq!(again.to_string(), written, "read again it is another"),
        Err(error) => panic!("what was written cannot be read: {error}\n{written}"),
    }
    let now = Instant::now();
    let mut peer = Peer::new(now);
    if peer.set_remote(now, DescriptionKind::Offer, text).is_ok()
        && let Ok(answer) = peer.create_answer()
    {
        // Whether it can be used is for the peer to say.
        peer.set_local(now, DescriptionKind::Answer, &answer).ok();
        peer.settle(now);
    }
}

/// Audio packets of one track. A record has eight bytes (what it is, steps of sequence number and RTP time, milliseconds that
/// pass, length) and a payload. Whatever comes, frames are there in time.
pub fn packets(bytes: &[u8]) {
    let remote = RemoteAudio::new();
    let Ok(sink) = PcmSink::new(48_000, 1, None) else {
        return;
    };
    let sink = Arc::new(sink);
    remote.add_sink(&sink);
    let mut receiver = AudioReceiver::new(remote, Arc::new(|| {}));
    let mut now = Instant::now();
    let (mut seq, mut rtp_time) = (1_u64 << 20, 1_u64 << 40);
    let mut rest = bytes;
    let mut records = 0;
    while let Some((
        &[
            kind,
            seq_high,
            seq_low,
            time_high,
            time_low,
            wait,
            high,
            low,
        ],
        tail,
    )) = rest.split_first_chunk::<8>()
        && records < RECORDS_MAX
    {
        records += 1;
        let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (payload, tail) = tail.split_at(length);
        rest = tail;
        let seq_step = i16::from_be_bytes([seq_high, seq_low]);
        let time_step = i64::from(i16::from_be_bytes([time_high, time_low])) * 48;
        seq = seq.saturating_add_signed(seq_step.into());
        rtp_time = rtp_time.saturating_add_signed(time_step);
        now += Duration::from_millis(wait.into());
        receiver.push_packet(ReceivedPacket {
            seq,
            rtp_time,
            payload: Bytes::copy_from_slice(payload),
            kind: match kind & 1 {
                0 => PayloadKind::Opus,
                _ => PayloadKind::Red,
            },
            arrival: now,
        });
        receiver.handle_timeout(now);
        let next = receiver.poll_timeout(now);
        assert!(
            next.is_some_and(|next| next > now && next <= now + Duration::from_millis(45)),
            "frames are not due within 45 ms"
        );
    }
    let stats = receiver.stats();
    // What is invented is counted a little before it is handed out.
    assert!(stats.concealed_samples <= stats.total_samples + INVENTED_AHEAD_MAX);
    assert!(stats.packets <= records as u64);
}

/// Messages on a data channel, and datagrams of a stranger in between. A record has three bytes (what it is, length) and its
/// contents. Messages arrive as they were sent, in order, whatever the stranger sends.
pub fn datagrams(bytes: &[u8]) {
    let mut line = Line::connected();
    let mut rest = bytes;
    let mut sent = Vec::new();
    let mut records = 0;
    while let Some((&[kind, high, low], tail)) = rest.split_first_chunk::<3>()
        && records < RECORDS_MAX
    {
        records += 1;
        let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (contents, tail) = tail.split_at(length);
        rest = tail;
        let (from, to) = match kind & 1 {
            0 => (address(OURS), address(THEIRS)),
            _ => (address("203.0.113.9:9"), address(THEIRS)),
        };
        if kind & 2 == 0 {
            // An empty message is not sent as one on every stack, and no user of ours has one.
            if !contents.is_empty() && line.ours.send(line.channel, true, contents).is_ok() {
                sent.push(contents.to_vec());
            }
        } else {
            line.theirs
                .handle_datagram(line.now, kind & 4 != 0, from, to, contents);
        }
        line.step();
    }
    line.run(Duration::from_secs(5));
    assert!(line.received == sent, "messages were lost or changed");
}

/// Two peers that are connected, on a network on which nothing takes any time.
struct Line {
    now: Instant,
    ours: Peer,
    theirs: Peer,
    channel: crate::pc::ChannelId,
    received: Vec<Vec<u8>>,
}

impl Line {
    fn connected() -> Self {
        let now = Instant::now();
        let (mut ours, mut theirs) = (Peer::new(now), Peer::new(now));
        let channel = ours
            .create_channel(ChannelInit {
                label: "data".to_owned(),
                protocol: String::new(),
                ordered: true,
                max_lifetime_ms: None,
                max_retransmits: None,
                negotiated: None,
            })
            .expect("a channel");
        let offer = ours
            .create_offer(OfferOptions::default())
            .expect("an offer");
        ours.set_local(now, DescriptionKind::Offer, &offer)
            .expect("its own offer");
        theirs
            .set_remote(now, DescriptionKind::Offer, &offer)
            .expect("a good offer");
        let answer = theirs.create_answer().expect("an answer");
        theirs
            .set_local(now, DescriptionKind::Answer, &answer)
            .expect("its own answer");
        ours.set_remote(now, DescriptionKind::Answer, &answer)
            .expect("a good answer");
        let mut line = Self {
            now,
            ours,
            theirs,
            channel,
            received: Vec::new(),
        };
        line.run(Duration::from_secs(2));
        assert_eq!(line.ours.connection_state(), ConnectionState::Connected);
        line
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += Duration::from_millis(5);
            for peer in [&mut self.ours, &mut self.theirs] {
                if peer.poll_timeout().is_some_and(|at| at <= self.now) {
                    peer.handle_timeout(self.now);
                }
            }
        }
        self.step();
    }

    fn step(&mut self) {
        let told = Origin::Socket { told: true };
        for (peer, at) in [(&mut self.ours, OURS), (&mut self.theirs, THEIRS)] {
            if peer.take_gather_request() {
                peer.add_local(address(at), told);
                peer.gathering_done();
            }
            peer.settle(self.now);
        }
        // As much as a window of SCTP and its acknowledgements need, and no endless talk.
        for _ in 0..1_000 {
            let mut quiet = true;
            while let Some(event) = self.ours.poll_event() {
                if let Event::Candidate { text, .. } = &event {
                    self.theirs.add_candidate(text).expect("a candidate");
                }
            }
            while let Some(event) = self.theirs.poll_event() {
                match event {
                    Event::Candidate { text, .. } => {
                        self.ours.add_candidate(&text).expect("a candidate");
                    }
                    Event::ChannelMessage { data, .. } => self.received.push(data),
                    _ => {}
                }
            }
            while let Some(datagram) = self.ours.poll_transmit() {
                quiet &= !deliver(&mut self.theirs, self.now, &datagram, THEIRS);
            }
            while let Some(datagram) = self.theirs.poll_transmit() {
                quiet &= !deliver(&mut self.ours, self.now, &datagram, OURS);
            }
            if quiet {
                break;
            }
        }
    }
}

fn deliver(to: &mut Peer, now: Instant, datagram: &Transmit, at: &str) -> bool {
    let Transmit {
        stream,
        source,
        destination,
        contents,
    } = datagram;
    let arrives = *destination == address(at);
    if arrives {
        to.handle_datagram(now, *stream, *source, *destination, contents);
    }
    arrives
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
