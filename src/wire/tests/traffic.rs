//! The traffic of seeded runs in `proto/traffic.json`, which other languages' links have to produce packet by packet:
//! both ends over a bad channel, and a hash of what they have sent and when.
//!
//! `BATON_WRITE_VECTORS=1 cargo test -p wire traffic` writes it anew. The same run is `run` in
//! `sdk/python/tests/test_simulation.py`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use call::{CallId, Epoch, Targets};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wire::{
    Assembled, Assembly, Body, ChunkLimits, Chunks, ChunksProgress, ContextItem, Frame, Link,
    LinkConfig, LinkEvent, SendError, Side, StreamId,
};

use crate::simulator::Random;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;
const BODIES: u64 = 150;
/// One body of so many goes in pieces.
const LARGE_EVERY: u64 = 50;
const LARGE_BYTES: usize = 40_000;
const LOSS_PERCENT: u64 = 30;
const REPEAT_PERCENT: u64 = 20;
const GARBAGE_PERCENT: u64 = 3;
const DELAY_MS_MAX: u64 = 400;
const BREAKS: u64 = 3;

/// When it arrives, which one it is, to whom it goes, and what it is.
type Packet = (Instant, u64, usize, Vec<u8>);

struct End {
    link: Link,
    limits: ChunkLimits,
    assembly: Assembly,
    large: Option<Chunks>,
    sent: u64,
    received: u64,
}

impl End {
    fn new(side: Side, stream: u64) -> Self {
        let limits = ChunkLimits::new(side);
        Self {
            link: Link::new(LinkConfig::new(side, CallId::from("sim"), StreamId(stream))),
            assembly: Assembly::new(limits.clone()),
            limits,
            large: None,
            sent: 0,
            received: 0,
        }
    }

    fn offer(&mut self, now: Instant) {
        while self.sent < BODIES {
            if self.sent % LARGE_EVERY == LARGE_EVERY - 1 {
                let body = body(self.sent, LARGE_BYTES);
                let chunks = self
                    .large
                    .get_or_insert_with(|| Chunks::new(&self.limits, self.sent, &body).unwrap());
                match chunks.send(now, Epoch(1), &mut self.link).unwrap() {
                    ChunksProgress::Waiting => return,
                    ChunksProgress::Done => self.large = None,
                }
            } else {
                match self.link.send(now, Epoch(1), &body(self.sent, 0)) {
                    Ok(_) => {}
                    Err(SendError::WindowFull { .. }) => return,
                    Err(error) => panic!("{error}"),
                }
            }
            self.sent += 1;
        }
    }

    fn take(&mut self, event: LinkEvent) {
        let LinkEvent::Received { body, .. } = event else {
            return;
        };
        let body = match body {
            Body::ContextChunk(chunk) => match self.assembly.take(chunk).unwrap() {
                Assembled::Whole(body) => body,
                Assembled::More | Assembled::PassedOver => return,
            },
            body => body,
        };
        match body {
            Body::Hello(_) => self.link.welcome(Epoch(1), Targets::default()),
            Body::ContextAppend { items } => {
                assert_eq!(items[0].id, self.received.to_string());
                self.received += 1;
            }
            _ => {}
        }
    }
}

fn body(number: u64, bytes: usize) -> Body {
    Body::ContextAppend {
        items: vec![ContextItem {
            id: number.to_string(),
            position: None,
            chat_item: vec![0; bytes],
            framework: String::new(),
            framework_json: Vec::new(),
            unknown: Vec::new(),
        }],
    }
}

/// What was sent, by whom and when.
#[derive(Default)]
struct Traffic {
    packets: u64,
    hash: Sha256,
}

impl Traffic {
    fn add(&mut self, at: Duration, end: usize, packet: &[u8]) {
        self.packets += 1;
        self.hash.update((at.as_millis() as u64).to_le_bytes());
        self.hash.update([end as u8]);
        // A Reject repeats the words of the protobuf library.
        if !matches!(Frame::decode(packet).unwrap().body, Some(Body::Reject(_))) {
            self.hash.update(packet);
        }
    }
}

fn run(seed: u64) -> Value {
    let mut random = Random(seed);
    let start = Instant::now();
    let mut now = start;
    let mut ends = [
        End::new(Side::Orchestrator, 100 + seed),
        End::new(Side::Specialist, 900 + seed),
    ];
    let mut traffic = Traffic::default();
    let mut channel: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
    let mut count = 0_u64;
    let mut broken_until = start;
    let mut breaks_left = BREAKS;
    let mut next_break = start + Duration::from_millis(random.below(2_000));
    ends[1].link.hello(now, crate::samples::hello());
    let mut events = Vec::new();
    loop {
        if breaks_left > 0 && now >= next_break {
            breaks_left -= 1;
            broken_until = now + Duration::from_millis(random.below(3_000));
            next_break = broken_until + Duration::from_millis(500 + random.below(2_000));
            ends[1].link.hello(now, crate::samples::hello());
        }
        for (at, end) in ends.iter_mut().enumerate() {
            end.offer(now);
            end.link.handle_timeout(now, &mut events);
            events.clear();
            while let Some(transmit) = end.link.poll_transmit(now) {
                traffic.add(now - start, at, &transmit.payload);
                let repeated = random.below(100) < REPEAT_PERCENT;
                for _ in 0..1 + u8::from(repeated) {
                    if now < broken_until || random.below(100) < LOSS_PERCENT {
                        continue;
                    }
                    let mut payload = transmit.payload.clone();
                    if random.below(100) < GARBAGE_PERCENT {
                        payload = (0..random.below(60))
                            .map(|_| random.below(256) as u8)
                            .collect();
                    }
                    let delay = Duration::from_millis(1 + random.below(DELAY_MS_MAX));
                    count += 1;
                    channel.push(Reverse((now + delay, count, 1 - at, payload)));
                }
            }
        }
        let done =
            |end: &End| end.received >= BODIES && end.sent == BODIES && end.link.waiting() == 0;
        if ends.iter().all(done) {
            break;
        }
        now = [
            channel.peek().map(|Reverse((time, ..))| *time),
            ends[0].link.poll_timeout(),
            ends[1].link.poll_timeout(),
            (breaks_left > 0).then_some(next_break),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| panic!("seed {seed}: stuck"))
        .max(now);
        while channel
            .peek()
            .is_some_and(|Reverse((time, ..))| *time <= now)
        {
            let Some(Reverse((_, _, to, payload))) = channel.pop() else {
                break;
            };
            ends[to].link.handle_frame(now, &payload, &mut events);
            for event in events.drain(..) {
                ends[to].take(event);
            }
        }
    }
    let hash: String = traffic
        .hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"took_ms": (now - start).as_millis() as u64, "packets": traffic.packets, "sha256": hash})
}

#[test]
fn the_traffic_of_a_run_is_what_other_languages_are_held_to() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/traffic.json");
    let runs: BTreeMap<String, Value> = SEEDS.map(|seed| (seed.to_string(), run(seed))).collect();
    if env::var_os("BATON_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&runs).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let stored: BTreeMap<String, Value> =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(stored, runs);
}
