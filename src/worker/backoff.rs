//! Delays between attempts to connect: exponential, with jitter. Reads no clock and no randomness.

use std::time::Duration;

/// Delays that double from `first` to `max`, each multiplied by a random share of 50 to 100 %.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// A fresh series from `first` up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            attempts: 0,
        }
    }

    /// The next delay; `random` is uniform in 0..=1, values outside are clamped.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        let full = self.first.saturating_mul(factor).min(self.max);
        full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// Starts again from the first delay.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}
