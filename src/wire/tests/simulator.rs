//! Both ends of a link over a channel that loses, repeats, delays, reorders, garbles and breaks, in virtual time. A
//! seed is a run: the same seed gives the same weather, the same bodies and the same packets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use call::{CallId, Epoch, SpecialistName, Targets, Ticket};
use sha2::{Digest as _, Sha256};
use wire::{
    Assembled, Assembly, Body, ChunkLimits, Chunks, ChunksProgress, ContextItem, Hello, Link,
    LinkConfig, LinkEvent, SendError, Seq, Side, StreamId, VERSION,
};

/// Virtual time after which a run counts as stuck.
const LIMIT: Duration = Duration::from_secs(3_600);
/// Seeds that have failed once, a line each.
pub(crate) const KEPT: &str = include_str!("seeds.txt");

/// The seeds that have failed once.
pub(crate) fn kept() -> impl Iterator<Item = u64> {
    KEPT.lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok())
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) garbage_percent: u64,
    pub(crate) delay_ms_max: u64,
    /// How often the specialist's connection breaks, for up to three seconds.
    pub(crate) breaks: u64,
    /// How many bodies each end sends.
    pub(crate) bodies: u64,
    /// How many of them are too large for one frame.
    pub(crate) large_percent: u64,
    /// How large those are at most, in bytes.
    pub(crate) large_bytes_max: u64,
    /// Whether the specialist is of a newer minor version, whose header has fields that are unknown here.
    pub(crate) newer: bool,
}

impl Weather {
    /// The weather of a seed: from fair to very bad.
    #[allow(dead_code, reason = "only the runner asks for it")]
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random(!seed);
        Self {
            loss_percent: random.below(50),
            repeat_percent: random.below(40),
            garbage_percent: random.below(5),
            delay_ms_max: 1 + random.below(800),
            breaks: random.below(4),
            bodies: 10 + random.below(90),
            large_percent: random.below(6),
            large_bytes_max: 15_000 + random.below(200_000),
            newer: random.percent(25),
        }
    }
}

/// When it arrives, which one it is, to whom it goes, and what it is.
type Packet = (Instant, u64, usize, Vec<u8>);

struct End {
    link: Link,
    limits: ChunkLimits,
    bodies: Random,
    to_send: u64,
    sent: u64,
    sending: Option<Chunks>,
    assembly: Assembly,
    received: u64,
    sent_hash: Sha256,
    received_hash: Sha256,
}

impl End {
    fn new(side: Side, stream: u64, seed: u64, to_send: u64) -> Self {
        let limits = ChunkLimits::new(side);
        Self {
            link: Link::new(LinkConfig::new(side, CallId::from("sim"), StreamId(stream))),
            assembly: Assembly::new(limits.clone()),
            limits,
            bodies: Random(seed ^ stream),
            to_send,
            sent: 0,
            sending: None,
            received: 0,
            sent_hash: Sha256::new(),
            received_hash: Sha256::new(),
        }
    }

    /// Sends as much as the window takes.
    fn offer(&mut self, now: Instant, weather: Weather) -> Result<(), String> {
        loop {
            if let Some(chunks) = &mut self.sending {
                match chunks.send(now, Epoch(1), &mut self.link) {
                    Ok(ChunksProgress::Done) => self.sending = None,
                    Ok(ChunksProgress::Waiting) => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            if self.sent == self.to_send || self.link.waiting() == self.link.window() {
                return Ok(());
            }
            let large = self.bodies.percent(weather.large_percent);
            let bytes = if large {
                15_000 + self.bodies.below(weather.large_bytes_max - 14_999)
            } else {
                self.bodies.below(40)
            };
            let item = self.item(bytes);
            hash(&mut self.sent_hash, &item);
            let body = Body::ContextAppend { items: vec![item] };
            if large {
                let chunks = Chunks::new(&self.limits, self.sent, &body);
                self.sending = Some(chunks.map_err(|error| error.to_string())?);
            } else {
                match self.link.send(now, Epoch(1), &body) {
                    Ok(_) => {}
                    Err(SendError::WindowFull { .. }) => {
                        return Err("the window is full, and was not".to_owned());
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            self.sent += 1;
        }
    }

    fn item(&mut self, bytes: u64) -> ContextItem {
        let random = &mut self.bodies;
        ContextItem {
            id: self.sent.to_string(),
            position: None,
            chat_item: Vec::new(),
            framework: String::new(),
            framework_json: (0..bytes).map(|_| random.below(256) as u8).collect(),
            unknown: Vec::new(),
        }
    }

    fn take(&mut self, events: Vec<LinkEvent>) -> Result<(), String> {
        for event in events {
            let LinkEvent::Received { body, .. } = event else {
                continue;
            };
            match body {
                Body::Hello(_) => self.link.welcome(Epoch(1), Targets::default()),
                Body::ContextChunk(chunk) => match self.assembly.take(chunk) {
                    Ok(Assembled::More) => {}
                    Ok(Assembled::Whole(body)) => self.take_whole(body)?,
                    Ok(Assembled::PassedOver) => return Err("a piece was passed over".to_owned()),
                    Err(error) => return Err(error.to_string()),
                },
                body => self.take_whole(body)?,
            }
        }
        Ok(())
    }

    fn take_whole(&mut self, body: Body) -> Result<(), String> {
        let Body::ContextAppend { items } = body else {
            return Ok(());
        };
        for item in items {
            if item.id != self.received.to_string() {
                let expected = self.received;
                return Err(format!("{} arrives where {expected} is due", item.id));
            }
            hash(&mut self.received_hash, &item);
            self.received += 1;
        }
        Ok(())
    }

    fn is_done(&self, expected: u64) -> bool {
        self.received >= expected
            && self.sent == self.to_send
            && self.sending.is_none()
            && self.link.waiting() == 0
    }
}

fn hash(hash: &mut Sha256, item: &ContextItem) {
    hash.update((item.id.len() as u64).to_be_bytes());
    hash.update(&item.id);
    hash.update((item.framework_json.len() as u64).to_be_bytes());
    hash.update(&item.framework_json);
}

fn hello() -> Hello {
    Hello {
        attempt: 0,
        ticket: Ticket::from("7d1f0c3e5a"),
        specialist: SpecialistName::from("billing"),
        sdk_name: "simulator".to_owned(),
        sdk_version: "1".to_owned(),
        versions: vec![VERSION],
        track_sid: String::new(),
        open_track_sid: String::new(),
        seen: None,
        oldest: Seq(1),
    }
}

/// Runs until both ends have everything, and returns how long that took in virtual time.
///
/// # Errors
/// If something arrives twice, not at all, out of order or changed.
pub(crate) fn run(seed: u64, weather: Weather) -> Result<Duration, String> {
    let mut random = Random(seed);
    let start = Instant::now();
    let mut now = start;
    let bodies = weather.bodies;
    let mut ends = [
        End::new(Side::Orchestrator, 1, seed, bodies),
        End::new(Side::Specialist, 2, seed, bodies),
    ];
    let mut channel: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
    let mut count = 0;
    let mut broken_until = start;
    let mut breaks_left = weather.breaks;
    let mut next_break = start + Duration::from_millis(random.below(2_000));
    ends[1].link.hello(now, hello());
    let mut events = Vec::new();

    loop {
        if breaks_left > 0 && now >= next_break {
            breaks_left -= 1;
            broken_until = now + Duration::from_millis(random.below(3_000));
            next_break = broken_until + Duration::from_millis(500 + random.below(2_000));
            ends[1].link.hello(now, hello());
        }
        for (at, end) in ends.iter_mut().enumerate() {
            end.offer(now, weather)?;
            end.link.handle_timeout(now, &mut events);
            events.clear();
            while let Some(transmit) = end.link.poll_transmit(now) {
                if transmit.payload.len() > wire::FRAME_BYTES_MAX {
                    return Err(format!("a frame of {} bytes", transmit.payload.len()));
                }
                let copies = 1 + u64::from(random.percent(weather.repeat_percent));
                for _ in 0..copies {
                    if now < broken_until || random.percent(weather.loss_percent) {
                        continue;
                    }
                    let mut payload = transmit.payload.clone();
                    if at == 1 && weather.newer && payload.len() + 4 <= wire::FRAME_BYTES_MAX {
                        // Field 2000 of the header, the number 1.
                        payload.extend([0x80, 0x7d, 0x01]);
                    }
                    if random.percent(weather.garbage_percent) {
                        payload = (0..random.below(60))
                            .map(|_| random.below(256) as u8)
                            .collect();
                    }
                    let delay = Duration::from_millis(1 + random.below(weather.delay_ms_max));
                    count += 1;
                    channel.push(Reverse((now + delay, count, 1 - at, payload)));
                }
            }
        }
        if ends.iter().all(|end| end.is_done(bodies)) {
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
        .ok_or("stuck: nobody waits for anything")?
        .max(now);
        if now >= start + LIMIT {
            return Err("never done".to_owned());
        }
        while channel
            .peek()
            .is_some_and(|Reverse((time, ..))| *time <= now)
        {
            let Some(Reverse((_, _, to, payload))) = channel.pop() else {
                break;
            };
            ends[to].link.handle_frame(now, &payload, &mut events);
            ends[to].take(std::mem::take(&mut events))?;
        }
    }
    let [baton, specialist] = ends;
    for (from, to) in [(&baton, &specialist), (&specialist, &baton)] {
        if to.received != bodies {
            return Err(format!("{} arrived, {bodies} were sent", to.received));
        }
        if to.received_hash.clone().finalize() != from.sent_hash.clone().finalize() {
            return Err("what arrived has another hash than what was sent".to_owned());
        }
    }
    Ok(now - start)
}
