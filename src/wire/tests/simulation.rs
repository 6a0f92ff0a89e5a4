//! Both ends of a link over a channel that loses, repeats, delays, reorders and breaks: everything arrives exactly once
//! and in order. Runs are seeded; a seed that ever failed is kept in `SEEDS`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use call::{CallId, Epoch};
use wire::{Body, ContextItem, Link, LinkConfig, LinkEvent, SendError, Side, StreamId};

const SEEDS: &[u64] = &[1, 2, 3];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
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
struct Weather {
    loss_percent: u64,
    repeat_percent: u64,
    garbage_percent: u64,
    delay_ms_max: u64,
    /// How often the specialist's connection breaks, for up to three seconds.
    breaks: u64,
    bodies: u64,
}

/// When it arrives, which one it is, to whom it goes, and what it is.
type Packet = (Instant, u64, usize, Vec<u8>);

struct End {
    link: Link,
    to_send: u64,
    sent: u64,
    received: Vec<u64>,
}

impl End {
    fn new(side: Side, stream: u64, to_send: u64) -> Self {
        Self {
            link: Link::new(LinkConfig::new(side, CallId::from("sim"), StreamId(stream))),
            to_send,
            sent: 0,
            received: Vec::new(),
        }
    }

    fn offer(&mut self, now: Instant) {
        while self.sent < self.to_send {
            let body = Body::ContextAppend {
                items: vec![ContextItem {
                    id: self.sent.to_string(),
                    position: None,
                    chat_item: Vec::new(),
                    framework: String::new(),
                    framework_json: Vec::new(),
                }],
            };
            match self.link.send(now, Epoch(1), &body) {
                Ok(_) => self.sent += 1,
                Err(SendError::WindowFull { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&mut self, events: Vec<LinkEvent>) {
        for event in events {
            match event {
                LinkEvent::Received {
                    body: Body::Hello(_),
                    ..
                } => self.link.welcome(Epoch(1)),
                LinkEvent::Received {
                    body: Body::ContextAppend { items },
                    ..
                } => self.received.push(items[0].id.parse().unwrap()),
                LinkEvent::Received { .. }
                | LinkEvent::Rejected { .. }
                | LinkEvent::Unresponsive => {}
            }
        }
    }

    fn done(&self, expected: u64) -> bool {
        self.received.len() as u64 >= expected
            && self.sent == self.to_send
            && self.link.waiting() == 0
    }
}

/// Runs until both ends have everything, and returns how long that took in virtual time.
fn run(seed: u64, weather: Weather) -> Duration {
    let mut random = Random(seed);
    let start = Instant::now();
    let mut now = start;
    let mut ends = [
        End::new(Side::Orchestrator, 100 + seed, weather.bodies),
        End::new(Side::Specialist, 900 + seed, weather.bodies),
    ];
    let mut channel: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
    let mut count = 0;
    let mut broken_until = start;
    let mut breaks_left = weather.breaks;
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
                assert!(transmit.payload.len() <= wire::FRAME_BYTES_MAX);
                let copies = 1 + u64::from(random.percent(weather.repeat_percent));
                for _ in 0..copies {
                    if now < broken_until || random.percent(weather.loss_percent) {
                        continue;
                    }
                    let mut payload = transmit.payload.clone();
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
        if ends.iter().all(|end| end.done(weather.bodies)) {
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
        assert!(
            now < start + Duration::from_secs(3_600),
            "seed {seed}: never done"
        );
        while channel
            .peek()
            .is_some_and(|Reverse((time, ..))| *time <= now)
        {
            let Some(Reverse((_, _, to, payload))) = channel.pop() else {
                break;
            };
            ends[to].link.handle_frame(now, &payload, &mut events);
            ends[to].take(std::mem::take(&mut events));
        }
    }
    let expected: Vec<u64> = (0..weather.bodies).collect();
    assert_eq!(ends[0].received, expected, "seed {seed}");
    assert_eq!(ends[1].received, expected, "seed {seed}");
    now - start
}

#[test]
fn everything_arrives_once_and_in_order_in_any_weather() {
    let bad = Weather {
        loss_percent: 30,
        repeat_percent: 20,
        garbage_percent: 3,
        delay_ms_max: 400,
        breaks: 3,
        bodies: 150,
    };
    for seed in SEEDS.iter().copied().chain(1_000..1_100) {
        run(seed, bad);
    }
}

#[test]
fn fair_weather_needs_no_resending() {
    let fair = Weather {
        loss_percent: 0,
        repeat_percent: 0,
        garbage_percent: 0,
        delay_ms_max: 1,
        breaks: 0,
        bodies: 1_000,
    };
    let took = run(7, fair);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn everything_arrives(
        seed in proptest::num::u64::ANY,
        loss_percent in 0u64..60,
        repeat_percent in 0u64..60,
        garbage_percent in 0u64..10,
        delay_ms_max in 1u64..1_500,
        breaks in 0u64..4,
        bodies in 1u64..90,
    ) {
        run(seed >> 8, Weather { loss_percent, repeat_percent, garbage_percent, delay_ms_max, breaks, bodies });
    }
}
