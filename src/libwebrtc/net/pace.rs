//! How often the engine's thread wakes.

use std::time::{Duration, Instant};

/// The time from one waking to the next, on average. What comes in the meantime is done together: with many connections a thread that
/// wakes for each datagram spends much of its time on that alone. No sound is later for it than this.
const EVERY: Duration = Duration::from_millis(2);
/// So much of it may be used up at once. A few connections wake the thread less often than that, and never wait.
const BURST: Duration = Duration::from_millis(50);

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
    fn what_comes_at_once_does_not_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let pauses = (0..25).map(|_| pace.pause(now));
        assert_eq!(pauses.sum::<Duration>(), Duration::ZERO);
        assert!(pace.pause(now + Duration::from_secs(1)).is_zero());
    }
}
