//! Recorded speech.

use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SAMPLE_RATE_HZ;

/// The longest clip, in seconds.
const SECONDS_MAX: u32 = 600;
/// Input samples on either side that a resampled one is made from.
const REACH: i64 = 16;

/// Recorded speech, ready to be said. Clones share the samples.
#[derive(Debug, Clone)]
pub struct Clip {
    samples: Arc<[i16]>,
}

/// Why a file cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// It cannot be read, or is no WAV.
    #[error("{path:?} is no readable wav file")]
    NotWav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: hound::Error,
    },
    /// It is a WAV of another kind.
    #[error(
        "{path:?} has {bits} bit, {format} samples in {channels} channels at {rate_hz} hz, it must have 16 bit, integer samples in 1 channel at 8000 to 48000 hz"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Bits per sample.
        bits: u16,
        /// Whether samples are integers or floating-point numbers.
        format: &'static str,
        /// Channels.
        channels: u16,
        /// Samples per second.
        rate_hz: u32,
    },
    /// It has nothing to say.
    #[error("{path:?} is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is too long.
    #[error("{path:?} lasts {seconds} s, the limit is {limit} s")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in seconds.
        seconds: u32,
        /// The limit in seconds.
        limit: u32,
    },
}

impl Clip {
    /// Reads a WAV file of 16-bit samples in one channel, and brings it to 48,000 samples a second.
    ///
    /// # Errors
    /// If there is no such file, or it is no such WAV.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        let path = path.as_ref().to_owned();
        let not_wav = |source| ClipError::NotWav {
            path: path.clone(),
            source,
        };
        let reader = hound::WavReader::open(&path).map_err(not_wav)?;
        let spec = reader.spec();
        let integer = spec.sample_format == hound::SampleFormat::Int;
        let rate_ok = (8_000..=SAMPLE_RATE_HZ).contains(&spec.sample_rate);
        if spec.bits_per_sample != 16 || spec.channels != 1 || !integer || !rate_ok {
            return Err(ClipError::Format {
                path,
                bits: spec.bits_per_sample,
                format: if integer { "integer" } else { "float" },
                channels: spec.channels,
                rate_hz: spec.sample_rate,
            });
        }
        let seconds = reader.duration() / spec.sample_rate;
        if seconds > SECONDS_MAX {
            return Err(ClipError::TooLong {
                path,
                seconds,
                limit: SECONDS_MAX,
            });
        }
        let samples: Vec<i16> = reader
            .into_samples()
            .collect::<Result<_, _>>()
            .map_err(not_wav)?;
        if samples.is_empty() {
            return Err(ClipError::Empty { path });
        }
        Ok(Self {
            samples: resample(samples, spec.sample_rate).into(),
        })
    }

    /// The samples, 48,000 a second, mono.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

/// Raises the sample rate with a windowed sinc.
fn resample(samples: Vec<i16>, rate_hz: u32) -> Vec<i16> {
    if rate_hz == SAMPLE_RATE_HZ {
        return samples;
    }
    let step = f64::from(rate_hz) / f64::from(SAMPLE_RATE_HZ);
    let count = (samples.len() as f64 / step) as usize;
    (0..count)
        .map(|index| {
            let at = index as f64 * step;
            let sum: f64 = ((at as i64 - REACH)..=(at as i64 + REACH))
                .filter_map(|place| {
                    let sample = samples.get(usize::try_from(place).ok()?)?;
                    Some(f64::from(*sample) * kernel(at - place as f64))
                })
                .sum();
            sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// A sinc under a Hann window.
fn kernel(distance: f64) -> f64 {
    let reach = REACH as f64 + 1.0;
    if distance.abs() < 1e-9 {
        return 1.0;
    }
    if distance.abs() >= reach {
        return 0.0;
    }
    let angle = PI * distance;
    angle.sin() / angle * (0.5 + 0.5 * (angle / reach).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(rate_hz: u32, channels: u16, samples: &[i16]) -> tempfile::TempPath {
        let path = tempfile::Builder::new()
            .suffix(".wav")
            .tempfile()
            .unwrap()
            .into_temp_path();
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        path
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_level_at_the_new_rate() {
        let tone = |rate_hz: f64, count: usize| -> Vec<i16> {
            (0..count)
                .map(|index| (10_000.0 * (2.0 * PI * 400.0 * index as f64 / rate_hz).sin()) as i16)
                .collect()
        };
        let path = write(16_000, 1, &tone(16_000.0, 16_000));
        let clip = Clip::load(&path).unwrap();
        let expected = tone(48_000.0, 48_000);
        assert_eq!(clip.samples().len(), 48_000);
        let worst = (100..47_800)
            .map(|at| (i32::from(clip.samples()[at]) - i32::from(expected[at])).abs())
            .max();
        assert!(worst < Some(60), "{worst:?}");
    }

    #[test]
    fn what_is_no_wav_is_named() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, b"ID3 not a wav at all, but something else").unwrap();
        let error = Clip::load(&path).unwrap_err();
        assert!(
            error.to_string().ends_with("is no readable wav file"),
            "{error}"
        );
        let missing = Clip::load("does/not/exist.wav").unwrap_err();
        assert!(
            missing.to_string().contains("does/not/exist.wav"),
            "{missing}"
        );
    }

    #[test]
    fn other_formats_and_silence_are_named() {
        let error = Clip::load(write(44_100, 2, &[0, 0])).unwrap_err();
        assert!(
            error.to_string().contains("in 2 channels at 44100 hz"),
            "{error}"
        );
        let error = Clip::load(write(16_000, 1, &[])).unwrap_err();
        assert!(error.to_string().ends_with("is empty"), "{error}");
    }
}
