//! The corpus of the fuzz targets, damaged copies of it, and what once broke one of them.
//! `BATON_WRITE_CORPUS=1 cargo test -p libwebrtc corpus` writes its start anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    checks,
    pc::{ChannelInit, OfferOptions, Peer},
};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

fn write(target: &str, entries: &[(&str, Vec<u8>)]) {
    if env::var_os("BATON_WRITE_CORPUS").is_none() {
        return;
    }
    fs::create_dir_all(corpus(target)).unwrap();
    for (name, bytes) in entries {
        fs::write(corpus(target).join(name), bytes).unwrap();
    }
}

/// Runs a target over its corpus, which has at least so many entries, and over so many damaged copies of each.
fn replay(target: &str, check: fn(&[u8]), at_least: usize, damaged: u64) {
    let mut entries: Vec<_> = fs::read_dir(corpus(target))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    entries.sort();
    assert!(
        entries.len() >= at_least,
        "{target} has only {} entries",
        entries.len()
    );
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for entry in &entries {
        check(entry);
        for _ in 0..damaged {
            check(&dice.damage(entry));
        }
    }
}

/// Xorshift, Marsaglia 2003.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn damage(&mut self, entry: &[u8]) -> Vec<u8> {
        let mut bytes = entry.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len());
            match self.roll(5) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                2 => {
                    let end = (at + self.roll(200)).min(bytes.len());
                    let copy = bytes[at.min(end)..end].to_vec();
                    let to = self.roll(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ if !bytes.is_empty() => bytes[at] = self.roll(256) as u8,
                _ => bytes.push(0),
            }
        }
        bytes
    }
}

fn offer(prepare: impl FnOnce(&mut Peer)) -> Vec<u8> {
    let mut peer = Peer::new(Instant::now());
    prepare(&mut peer);
    peer.create_offer(OfferOptions::default())
        .unwrap()
        .into_bytes()
}

#[test]
fn the_corpus_of_descriptions_does_no_harm() {
    let channel = |peer: &mut Peer| {
        let init = ChannelInit {
            label: "data".to_owned(),
            protocol: String::new(),
            ordered: true,
            max_lifetime_ms: None,
            max_retransmits: None,
            negotiated: None,
        };
        peer.create_channel(init).unwrap();
    };
    // As livekit-server writes them, with numbers of our own.
    let audio = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\na=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=sctp-port:5000\r\na=max-message-size:65535\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:1\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtcp-fb:111 transport-cc\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=ssrc:1234 cname:PA_1\r\na=ssrc:1234 msid:PA_1 TR_1\r\na=msid:PA_1 TR_1\r\na=sendonly\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\na=end-of-candidates\r\n";
    let entries = [
        ("empty", offer(|_| {})),
        ("channel", offer(channel)),
        ("audio", audio.as_bytes().to_vec()),
        (
            "video",
            audio
                .replace("m=audio", "m=video")
                .replace("opus/48000/2", "VP8/90000")
                .into_bytes(),
        ),
        (
            "many",
            audio.replace("a=mid:1", "a=mid:\u{e9}").into_bytes(),
        ),
    ];
    write("description", &entries);
    replay("description", checks::description, entries.len(), 400);
}

#[test]
fn the_corpus_of_packets_does_no_harm() {
    let record = |kind: u8, seq: i16, time_ms: i16, wait: u8, payload: &[u8]| {
        let (seq, time) = (seq.to_be_bytes(), time_ms.to_be_bytes());
        let length = (payload.len() as u16).to_be_bytes();
        let head = [
            kind, seq[0], seq[1], time[0], time[1], wait, length[0], length[1],
        ];
        [&head[..], payload].concat()
    };
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)
        .expect("an encoder");
    let voice: Vec<Vec<u8>> = (0..30)
        .map(|frame| {
            let sample = |at: usize| {
                let t = (frame * 960 + at) as f64 / 48_000.0;
                ((std::f64::consts::TAU * 440.0 * t).sin() * 8_000.0) as i16
            };
            let pcm: Vec<i16> = (0..960).map(sample).collect();
            encoder.encode_vec(&pcm, 1_275).unwrap()
        })
        .collect();
    let steady: Vec<u8> = voice
        .iter()
        .flat_map(|payload| record(0, 1, 20, 20, payload))
        .collect();
    let burst: Vec<u8> = voice
        .iter()
        .enumerate()
        .flat_map(|(number, payload)| {
            record(0, 1, 20, if number % 10 == 0 { 200 } else { 0 }, payload)
        })
        .collect();
    let disorder: Vec<u8> = voice
        .iter()
        .enumerate()
        .flat_map(|(number, payload)| {
            let step = [3, -1, -1, 2][number % 4];
            record(0, step, step * 20, 20, payload)
        })
        .collect();
    let red: Vec<u8> = voice
        .windows(2)
        .flat_map(|pair| {
            let length = pair[0].len();
            let head = [0x80 | 111, 15, (length >> 8) as u8, length as u8, 111];
            let payload = [&head[..], &pair[0], &pair[1]].concat();
            record(1, 1, 20, 20, &payload)
        })
        .collect();
    let pause: Vec<u8> = [
        record(0, 1, 20, 20, &voice[0]),
        record(0, 1, 20, 20, &[0x78]),
        record(0, 1, 400, 255, &[0x78]),
        record(0, 1, 20, 20, &voice[1]),
        record(0, 1_000, 20_000, 20, &voice[2]),
        record(0, -30_000, -30_000, 20, &voice[3]),
    ]
    .concat();
    let entries = [
        ("steady", steady),
        ("burst", burst),
        ("disorder", disorder),
        ("red", red),
        ("pause", pause),
    ];
    write("packets", &entries);
    replay("packets", checks::packets, entries.len(), 60);
}

#[test]
fn the_corpus_of_datagrams_does_no_harm() {
    let record = |kind: u8, contents: &[u8]| {
        let length = (contents.len() as u16).to_be_bytes();
        [&[kind, length[0], length[1]][..], contents].concat()
    };
    // A binding request of STUN, the start of a DTLS record, a packet of RTP and one of RTCP, none of them good.
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let dtls = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 1, 0].to_vec();
    let rtp = [&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 4, 210][..], &[9; 40]].concat();
    let rtcp = [0x81, 201, 0, 7, 0, 0, 0, 1].to_vec();
    let strange: Vec<u8> = [&stun, &dtls, &rtp, &rtcp]
        .into_iter()
        .flat_map(|contents| {
            (2..8)
                .flat_map(|kind| record(kind, contents))
                .chain(record(0, b"between"))
                .collect::<Vec<u8>>()
        })
        .collect();
    let entries = [
        (
            "messages",
            [
                record(0, b"one"),
                record(0, &[1; 5_000]),
                record(0, b"three"),
            ]
            .concat(),
        ),
        ("strange", strange),
        ("large", record(0, &[5; 60_000])),
    ];
    write("datagrams", &entries);
    replay("datagrams", checks::datagrams, entries.len(), 12);
}
