//! Steady tones on multiples of 100 Hz, one per participant, which the probe tells apart.

use std::f64::consts::TAU;

/// A sine that goes on from one call to the next without a break.
#[derive(Clone, Debug)]
pub struct Tone {
    hz: u32,
    peak: f64,
    sample_rate_hz: u32,
    at: u64,
}

/// A tone that the probe could not tell from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToneError {
    /// 10 ms hold whole periods only of multiples of 100 Hz.
    #[error("a tone of {0} Hz is no multiple of 100 Hz")]
    NotOnGrid(u32),
    /// At or above half the sample rate.
    #[error("a tone of {hz} Hz needs more than {sample_rate_hz} samples a second")]
    TooHigh {
        /// Frequency that was asked for.
        hz: u32,
        /// Sample rate that was given.
        sample_rate_hz: u32,
    },
}

impl Tone {
    /// A tone of `hz`, a multiple of 100, whose peaks are at `peak_dbfs`.
    ///
    /// # Errors
    /// When `hz` is not on the grid, is 0, or does not fit the sample rate.
    pub fn new(hz: u32, peak_dbfs: f64, sample_rate_hz: u32) -> Result<Self, ToneError> {
        if hz == 0 || !hz.is_multiple_of(100) {
            return Err(ToneError::NotOnGrid(hz));
        }
        if hz.saturating_mul(2) >= sample_rate_hz {
            return Err(ToneError::TooHigh { hz, sample_rate_hz });
        }
        Ok(Self {
            hz,
            peak: peak_of(peak_dbfs),
            sample_rate_hz,
            at: 0,
        })
    }

    /// Writes the next samples over `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for out in out {
            *out = self.sample();
        }
    }

    /// The next `ms` milliseconds.
    pub fn take_ms(&mut self, ms: u32) -> Vec<i16> {
        let samples = u64::from(ms) * u64::from(self.sample_rate_hz) / 1_000;
        (0..samples).map(|_| self.sample()).collect()
    }

    fn sample(&mut self) -> i16 {
        let turns = self.at as f64 * f64::from(self.hz) / f64::from(self.sample_rate_hz);
        self.at += 1;
        (self.peak * (TAU * turns.fract()).sin()).round() as i16
    }
}

/// The peak value in 16 bit units of a level in dBFS.
pub fn peak_of(peak_dbfs: f64) -> f64 {
    (32_767.0 * 10_f64.powf(peak_dbfs / 20.0)).min(32_767.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_goes_on_from_call_to_call() {
        let mut whole = Tone::new(700, -12.0, 48_000).expect("on the grid");
        let mut pieces = whole.clone();
        let expected = whole.take_ms(20);
        let mut got = vec![0; 960];
        for piece in got.chunks_mut(7) {
            pieces.fill(piece);
        }
        assert_eq!(got, expected);
        let peak = expected.iter().max().copied().unwrap_or(0);
        assert!((f64::from(peak) - peak_of(-12.0)).abs() < 30.0);
    }

    #[test]
    fn a_tone_off_the_grid_is_refused() {
        assert_eq!(
            Tone::new(450, 0.0, 48_000).err(),
            Some(ToneError::NotOnGrid(450))
        );
        assert_eq!(
            Tone::new(0, 0.0, 48_000).err(),
            Some(ToneError::NotOnGrid(0))
        );
        let too_high = ToneError::TooHigh {
            hz: 4_000,
            sample_rate_hz: 8_000,
        };
        assert_eq!(Tone::new(4_000, 0.0, 8_000).err(), Some(too_high));
    }
}
