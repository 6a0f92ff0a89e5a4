//! Levels in dBFS: 0 is the power of a full-scale square wave, so a full-scale sine reads -3.

/// What digital silence reads as; no level is lower.
pub const SILENCE_DBFS: f32 = -100.0;

const FULL_SCALE: f32 = 32_768.0;

/// Root mean square level of `samples` in dBFS; [`SILENCE_DBFS`] for none.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    let power: f32 = samples
        .iter()
        .map(|&sample| square(f32::from(sample)))
        .sum();
    power_dbfs(power / samples.len() as f32)
}

/// Level of the largest sample in dBFS.
pub fn peak_dbfs(samples: &[i16]) -> f32 {
    let peak = samples
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap_or(0);
    power_dbfs(square(f32::from(peak)))
}

/// Turns a mean power of samples in 16 bit units into dBFS.
pub(crate) fn power_dbfs(power: f32) -> f32 {
    let ratio = power / (FULL_SCALE * FULL_SCALE);
    if ratio <= 1e-10 {
        SILENCE_DBFS
    } else {
        10.0 * ratio.log10()
    }
}

pub(crate) fn square(value: f32) -> f32 {
    value * value
}
