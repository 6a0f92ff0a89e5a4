//! How long packets should wait, learned from how unevenly they arrive.
//!
//! Each packet's delay is compared with the least of the last two seconds. A forgetting histogram of these excesses
//! gives the delay that nearly all packets stay below, as NetEq does it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Width of a class of the histogram.
const CLASS: Duration = Duration::from_millis(10);

/// Classes: excesses up to one second are told apart.
const CLASSES: usize = 100;

/// The share of packets that the target covers.
const QUANTILE: f32 = 0.97;

/// What a new packet leaves of the old weights, once the histogram has filled.
const FORGET: f32 = 0.99;

/// How far back the least delay is looked for.
const WINDOW: Duration = Duration::from_secs(2);

/// An excess beyond this is a change of the path or of the sender's clock: the reference is taken anew.
const RESTART: Duration = Duration::from_secs(1);

/// Estimates the wanted delay.
pub(crate) struct DelayEstimator {
    histogram: [f32; CLASSES],
    /// Delays (ns, relative to `origin`) within the window, growing; the first is the least.
    least: VecDeque<(Instant, i64)>,
    origin: Option<(Instant, u64)>,
    packets: u32,
    target: Duration,
    last_transit: Option<i64>,
    /// RFC 3550's interarrival jitter, in nanoseconds.
    jitter_ns: f64,
}

impl DelayEstimator {
    /// An estimator that knows nothing yet and wants `initial`.
    pub(crate) fn new(initial: Duration) -> Self {
        let mut histogram = [0.0; CLASSES];
        let class = (initial.as_millis() / CLASS.as_millis()) as usize;
        histogram[class.saturating_sub(1).min(CLASSES - 1)] = 1.0;
        Self {
            histogram,
            least: VecDeque::new(),
            origin: None,
            packets: 0,
            target: initial,
            last_transit: None,
            jitter_ns: 0.0,
        }
    }

    /// How late a packet may be, beyond the fastest, and still be played.
    pub(crate) fn target(&self) -> Duration {
        self.target
    }

    /// The interarrival jitter of RFC 3550.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter_ns as u64)
    }

    /// Learns from a packet of `rtp_time` (48 kHz) that came at `arrival`.
    pub(crate) fn observe(&mut self, arrival: Instant, rtp_time: u64) {
        let (origin, origin_time) = *self.origin.get_or_insert((arrival, rtp_time));
        let elapsed = signed_nanos(origin, arrival);
        let media = (rtp_time as i64).wrapping_sub(origin_time as i64);
        let transit = elapsed - (i128::from(media) * 1_000_000_000 / 48_000) as i64;

        if let Some(last) = self.last_transit.replace(transit) {
            let change = (transit - last).unsigned_abs() as f64;
            self.jitter_ns += (change - self.jitter_ns) / 16.0;
        }

        while self
            .least
            .front()
            .is_some_and(|&(at, _)| arrival.saturating_duration_since(at) > WINDOW)
        {
            self.least.pop_front();
        }
        while self
            .least
            .back()
            .is_some_and(|&(_, delay)| delay >= transit)
        {
            self.least.pop_back();
        }
        self.least.push_back((arrival, transit));
        let least = self.least.front().map_or(transit, |&(_, delay)| delay);
        let excess = Duration::from_nanos((transit - least).unsigned_abs());
        if excess > RESTART {
            self.least.clear();
            self.least.push_back((arrival, transit));
            return;
        }

        self.packets = self.packets.saturating_add(1);
        // Early packets weigh more, so that a handful of them says something.
        let forget = FORGET.min(1.0 - 1.0 / (self.packets as f32 + 2.0));
        for weight in &mut self.histogram {
            *weight *= forget;
        }
        let class = (excess.as_nanos() / CLASS.as_nanos()) as usize;
        self.histogram[class.min(CLASSES - 1)] += 1.0 - forget;
        self.target = self.quantile();
    }

    fn quantile(&self) -> Duration {
        let mut sum = 0.0;
        let classes = self.histogram.iter().take_while(|&&weight| {
            let below = sum < QUANTILE;
            sum += weight;
            below
        });
        CLASS * (classes.count().max(1) as u32)
    }
}

fn signed_nanos(from: Instant, to: Instant) -> i64 {
    match to.checked_duration_since(from) {
        Some(after) => after.as_nanos() as i64,
        None => -(from.duration_since(to).as_nanos() as i64),
    }
}
