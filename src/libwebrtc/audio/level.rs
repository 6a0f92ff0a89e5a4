//! How loud a frame is.

/// The level of interleaved samples as RFC 6464 has it: decibels relative to the overload point, from -127 (silence)
/// to 0. A full-scale square wave is 0, a full-scale sine -3.
pub(crate) fn level_dbov(pcm: &[i16]) -> i8 {
    if pcm.is_empty() {
        return -127;
    }
    let sum: u64 = pcm
        .iter()
        .map(|&sample| u64::from(sample.unsigned_abs()).pow(2))
        .sum();
    let mean = sum as f64 / pcm.len() as f64 / (32_768.0 * 32_768.0);
    if mean <= 0.0 {
        return -127;
    }
    (10.0 * mean.log10()).round().clamp(-127.0, 0.0) as i8
}
