//! How often the engine's thread wakes.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The time from one waking to the next, on average. What comes in the meantime is done together: with many connections a thread that
/// wakes for each datagram spends much of its time on that alone. No sound is later for it than this.
const EVERY: Duration = Duration::from_millis(2);
/// So much of it may be used up at once. A few connections wake the thread less often than that, and never wait.
const BURST: Duration = Duration::from_millis(50);

/// What may be late happens at multiples of this.
const TOGETHER: Duration = Duration::from_millis(250);

/// The time not long after `at` at which everything of this process happens that may be a little late: idle connections check their ways
/// together, and the answers come together.
pub(super) fn together(at: Instant) -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(Instant::now);
    let over = at.saturating_duration_since(epoch).as_nanos() % TOGETHER.as_nanos();
    // Less than a whole step, in 64 bits.
    at + TOGETHER - Duration::from_nanos(over as u64)
}

/// Spreads the wakings of a thread.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The time that the wakings so far have used up.
    used: Option<Instant>,
}

impl Pace {
    /// How long the thread must sleep, whatever happens, before it waits.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        let used = self.used.map_or(now, |used| used.max(now));
        self.used = Some(used + EVERY);
        used.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wakes in such intervals, and says how often within a second and how long it slept at most.
    fn wakings(interval: Duration) -> (u32, Duration) {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (mut now, mut wakings, mut longest) = (start, 0, Duration::ZERO);
        while now < start + Duration::from_secs(1) {
            let pause = pace.pause(now);
            longest = longest.max(pause);
            now += pause.max(interval);
            wakings += 1;
        }
        (wakings, longest)
    }

    #[test]
    fn a_few_connections_never_wait() {
        assert_eq!(wakings(Duration::from_millis(4)), (250, Duration::ZERO));
    }

    #[test]
    fn many_connections_are_done_together() {
        let (wakings, longest) = wakings(Duration::from_micros(200));
        assert!((500..=530).contains(&wakings), "{wakings}");
        assert!(longest <= EVERY, "{longest:?}");
    }

    #[test]
    fn what_may_be_late_happens_together_and_not_early() {
        let start = Instant::now();
        let at: Vec<Instant> = (0..50)
            .map(|n| start + Duration::from_millis(20) * n)
            .collect();
        let mut together: Vec<Instant> = at.iter().map(|at| super::together(*at)).collect();
        for (at, together) in at.iter().zip(&together) {
            assert!(at < together && *together <= *at + TOGETHER);
        }
        together.dedup();
        assert!((4..=5).contains(&together.len()), "{}", together.len());
    }

    #[test]
    fn what_comes_at_once_does_not_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let pauses = (0..25).map(|_| pace.pause(now));
        assert_eq!(pauses.sum::<Duration>(), Duration::ZERO);
        assert!(pace.pause(now + Duration::from_secs(1)).is_zero());
    }
}
