//! Keeps the sum of several sources below full scale.
//!
//! It turns the gain down for a frame that would clip, within a millisecond or before its first peak, whichever is sooner, and
//! lets it come back over a tenth of a second. One source alone never reaches it, so solo passes unchanged.

use crate::FRAME_SAMPLES;

const CEILING: f32 = 32_767.0;
/// Lengths of an attack: the first one in which nothing clips. The last one is no ramp at all.
const ATTACKS_SAMPLES: [usize; 5] = [48, 24, 12, 6, 1];
const RELEASE_PER_FRAME: f32 = 0.1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiter {
    gain: f32,
}

impl Limiter {
    pub(crate) const OPEN: Self = Self { gain: 1.0 };

    /// Whether the gain is what it is without a sum that is too loud.
    pub(crate) fn is_open(&self) -> bool {
        self.gain >= 1.0
    }

    /// Writes `mix` to `out` below full scale; true when it had to turn the gain down.
    pub(crate) fn apply(
        &mut self,
        mix: &[f32; FRAME_SAMPLES],
        out: &mut [i16; FRAME_SAMPLES],
    ) -> bool {
        let peak = mix
            .iter()
            .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let allowed = if peak > CEILING { CEILING / peak } else { 1.0 };
        let start = self.gain;
        let (end, ramp) = if allowed < start {
            let clips = |ramp: usize| {
                let mut ramped = mix.iter().take(ramp).enumerate();
                ramped.any(|(index, sample)| {
                    sample.abs() * ramped_gain(start, allowed, index, ramp) > CEILING + 0.5
                })
            };
            let ramp = ATTACKS_SAMPLES.into_iter().find(|&ramp| !clips(ramp));
            (allowed, ramp.unwrap_or(1))
        } else {
            ((start + RELEASE_PER_FRAME).min(allowed), FRAME_SAMPLES)
        };
        for (index, (sample, out)) in mix.iter().zip(out).enumerate() {
            let gain = ramped_gain(start, end, index, ramp);
            *out = (sample * gain).round().clamp(-CEILING - 1.0, CEILING) as i16;
        }
        self.gain = end;
        end < 1.0
    }
}

fn ramped_gain(start: f32, end: f32, index: usize, ramp: usize) -> f32 {
    let share = ((index + 1) as f32 / ramp as f32).min(1.0);
    start + (end - start) * share
}
