//! Gains over time: the shape of a fade, sample by sample.

use std::f32::consts::FRAC_PI_2;

use crate::SAMPLE_RATE_HZ;

/// How a gain moves from one source to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    /// The powers of both sides add up to one: right for two different voices.
    #[default]
    EqualPower,
    /// The amplitudes of both sides add up to one: right for two copies of one signal.
    Linear,
    /// No fade: one frame is the old source, the next is the new one.
    Cut,
}

/// The shape and length of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fade {
    /// Shape.
    pub curve: Curve,
    /// Length in samples at 48 kHz; a [`Curve::Cut`] has none, whatever this says.
    pub samples: u32,
}

impl Fade {
    /// A change from one frame to the next.
    pub const CUT: Self = Self {
        curve: Curve::Cut,
        samples: 0,
    };

    /// An equal-power fade of `ms` milliseconds; 0 is a cut.
    pub const fn equal_power(ms: u32) -> Self {
        Self {
            curve: Curve::EqualPower,
            samples: samples_of(ms),
        }
    }

    /// A linear fade of `ms` milliseconds; 0 is a cut.
    pub const fn linear(ms: u32) -> Self {
        Self {
            curve: Curve::Linear,
            samples: samples_of(ms),
        }
    }

    /// The samples during which both sides may be heard.
    pub const fn overlap_samples(self) -> u32 {
        match self.curve {
            Curve::EqualPower | Curve::Linear => self.samples,
            Curve::Cut => 0,
        }
    }
}

/// When a fade begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FadeStart {
    /// With the first sound of the new source: until then the old one plays on, and leading silence
    /// of the new one is thrown away. The room bounds the wait.
    FirstSound,
    /// With the next frame pulled, whether or not the new source has given anything.
    AtOnce,
}

const fn samples_of(ms: u32) -> u32 {
    ms.saturating_mul(SAMPLE_RATE_HZ / 1_000)
}

/// The gain of one source over time.
///
/// It moves on a phase from 0 (closed) to 1 (open), so that a fade that is turned round midway
/// starts from the gain that was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Envelope {
    curve: Curve,
    start: f32,
    target: f32,
    position: u32,
    length: u32,
}

impl Envelope {
    pub(crate) const CLOSED: Self = Self {
        curve: Curve::Cut,
        start: 0.0,
        target: 0.0,
        position: 0,
        length: 0,
    };

    /// Moves towards open or closed from wherever it is now.
    pub(crate) fn head_for(&mut self, open: bool, fade: Fade) {
        let gain = self.gain();
        self.start = match fade.curve {
            Curve::EqualPower => gain.clamp(0.0, 1.0).asin() / FRAC_PI_2,
            Curve::Linear | Curve::Cut => gain,
        };
        self.curve = fade.curve;
        self.target = if open { 1.0 } else { 0.0 };
        self.position = 0;
        self.length = fade.overlap_samples();
    }

    /// The gain of the next sample.
    pub(crate) fn next(&mut self) -> f32 {
        let gain = self.gain();
        if self.position < self.length {
            self.position += 1;
        }
        gain
    }

    /// The gain that the next sample will have.
    pub(crate) fn gain(&self) -> f32 {
        if self.position >= self.length {
            return self.target;
        }
        // Half a sample in, so that the fade is the same read from either end.
        let share = (self.position as f32 + 0.5) / self.length as f32;
        let phase = self.start + (self.target - self.start) * share;
        match self.curve {
            Curve::EqualPower => (phase * FRAC_PI_2).sin(),
            Curve::Linear | Curve::Cut => phase,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.position >= self.length
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_settled() && self.target == 0.0
    }
}
