//! How long packets should wait, learned from how unevenly they arrive.
//!
//! Each packet's delay is compared with the least of the last packets. A forgetting histogram of these excesses
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

/// What a new packet leaves of the old weights, once the histogram has filled: 20 s of packets count. With 5 s the wanted delay moved so
/// often under steady jitter that the stretching was heard (MOS 0.3 less); NetEq looks back half a minute.
const FORGET: f32 = 0.999;

/// Packets that a copy in place of a lost one counts for: waiting for the copies costs less than a loss, so that few losses suffice.
const COPY_WEIGHT: u32 = 8;

/// A copy that comes later than this is not waited for: a silent sender's next packet is far.
const COPY_EXCESS_MAX: Duration = Duration::from_millis(100);

/// How far back the least delay is looked for: as long as either says. Few packets come while the sender is silent.
const WINDOW: Duration = Duration::from_secs(2);
const WINDOW_PACKETS: u64 = 64;

/// Delays that are kept for this at most; of a flood of packets the oldest are forgotten.
const LEAST_MAX: usize = 1_024;

/// An excess beyond this is a change of the path or of the sender's clock: the reference is taken anew.
const RESTART: Duration = Duration::from_secs(1);

/// Estimates the wanted delay.
pub(crate) struct DelayEstimator {
    histogram: [f32; CLASSES],
    /// Delays within the window, growing; the first is the least.
    least: VecDeque<Transit>,
    origin: Option<(Instant, u64)>,
    packets: u64,
    target: Duration,
    /// The target is no less.
    floor: Duration,
    last_ns: Option<i64>,
    /// RFC 3550's interarrival jitter, in nanoseconds.
    jitter_ns: f64,
}

/// The delay of a packet.
#[derive(Clone, Copy)]
struct Transit {
    arrival: Instant,
    /// Its place among all packets.
    packet: u64,
    /// Relative to `origin`.
    ns: i64,
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
            floor: Duration::ZERO,
            last_ns: None,
            jitter_ns: 0.0,
        }
    }

    /// How late a packet may be, beyond the fastest, and still be played.
    pub(crate) fn target(&self) -> Duration {
        self.target.max(self.floor)
    }

    /// Packets come with copies of those that were sent so much earlier, at 48 kHz: they are worth waiting for from the first loss on.
    pub(crate) fn expect_copies(&mut self, offset: u64) {
        let offset = Duration::from_micros(offset.saturating_mul(1_000) / 48);
        if offset <= COPY_EXCESS_MAX {
            self.floor = self.floor.max(offset);
        }
    }

    /// The interarrival jitter of RFC 3550.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter_ns as u64)
    }

    /// Learns from a packet of `rtp_time` (48 kHz) that came at `arrival`.
    pub(crate) fn observe(&mut self, arrival: Instant, rtp_time: u64) {
        let origin = *self.origin.get_or_insert((arrival, rtp_time));
        let ns = transit_ns(origin, arrival, rtp_time);
        if let Some(last) = self.last_ns.replace(ns) {
            let change = ns.abs_diff(last) as f64;
            self.jitter_ns += (change - self.jitter_ns) / 16.0;
        }

        self.packets += 1;
        let packet = self.packets;
        while self.least.front().is_some_and(|old| {
            arrival.saturating_duration_since(old.arrival) > WINDOW
                && packet - old.packet > WINDOW_PACKETS
        }) {
            self.least.pop_front();
        }
        while self.least.back().is_some_and(|old| old.ns >= ns) {
            self.least.pop_back();
        }
        if self.least.len() == LEAST_MAX {
            self.least.pop_front();
        }
        self.least.push_back(Transit {
            arrival,
            packet,
            ns,
        });
        let least = self.least.front().map_or(ns, |least| least.ns);
        let excess = Duration::from_nanos(ns.abs_diff(least));
        if excess > RESTART {
            self.least.drain(..self.least.len() - 1);
            return;
        }

        self.weigh(excess);
    }

    /// Learns from a copy of `rtp_time` that came at `arrival` with a later packet and was needed.
    pub(crate) fn observe_copy(&mut self, arrival: Instant, rtp_time: u64) {
        let (Some(origin), Some(least)) = (self.origin, self.least.front()) else {
            return;
        };
        let excess_ns = transit_ns(origin, arrival, rtp_time).saturating_sub(least.ns);
        let excess = Duration::from_nanos(excess_ns.max(0).unsigned_abs());
        if excess <= COPY_EXCESS_MAX {
            for _ in 0..COPY_WEIGHT {
                self.weigh(excess);
            }
        }
    }

    fn weigh(&mut self, excess: Duration) {
        // Early packets weigh more, so that a handful of them says something.
        let forget = FORGET.min(1.0 - 1.0 / (self.packets as f32 + 2.0));
        for weight in &mut self.histogram {
            *weight *= forget;
        }
        let class = (excess.as_nanos() / CLASS.as_nanos()) as usize;
        self.histogram[class.min(CLASSES - 1)] += 1.0 - forget;
        self.target = self.quantile();
    }

    /// How much later than the fastest packets allow the sample of `rtp_time` is heard at `now`, at 48 kHz; less than nothing when it is
    /// heard before any packet could bring it.
    pub(crate) fn behind_48k(&self, now: Instant, rtp_time: u64) -> i64 {
        let (Some(origin), Some(least)) = (self.origin, self.least.front()) else {
            return 0;
        };
        let behind_ns = transit_ns(origin, now, rtp_time).saturating_sub(least.ns);
        behind_ns / 125 * 6 / 1_000
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

/// The time from `rtp_time` to `at`, relative to that of `origin`.
fn transit_ns((origin, origin_time): (Instant, u64), at: Instant, rtp_time: u64) -> i64 {
    let media = (rtp_time as i64).wrapping_sub(origin_time as i64);
    // A sender may claim any time: what is beyond an i64 is far off whatever it is.
    let media_ns = (i128::from(media) * 1_000_000_000 / 48_000) as i64;
    signed_nanos(origin, at).saturating_sub(media_ns)
}

fn signed_nanos(from: Instant, to: Instant) -> i64 {
    match to.checked_duration_since(from) {
        Some(after) => after.as_nanos() as i64,
        None => -(from.duration_since(to).as_nanos() as i64),
    }
}
