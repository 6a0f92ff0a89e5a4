//! WAV files in and out, as mono 16 bit.

use std::path::{Path, PathBuf};

/// Mono audio with its rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// The samples, one channel.
    pub samples: Vec<i16>,
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Not there, not readable, or no WAV.
    #[error("{path} cannot be read as a WAV file", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// A WAV without a channel or a rate.
    #[error("{path} has no channel", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A channel that it does not have.
    #[error("{path} has no channel {channel}, it has {channels}", path = path.display())]
    Channel {
        /// The file.
        path: PathBuf,
        /// Which one was asked for, from 1.
        channel: u16,
        /// How many it has.
        channels: u16,
    },
    /// The folder is missing or closed, or the disk is full.
    #[error("{path} cannot be written", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
}

impl Wav {
    /// Reads a PCM or floating point WAV; several channels become their mean.
    ///
    /// # Errors
    /// [`WavError::Read`] and [`WavError::Empty`], which name the file.
    pub fn read(path: &Path) -> Result<Self, WavError> {
        Self::read_channel(path, None)
    }

    /// Reads one channel, counted from 1, or the mean of all.
    ///
    /// # Errors
    /// As [`Wav::read`], and [`WavError::Channel`].
    pub fn read_channel(path: &Path, channel: Option<u16>) -> Result<Self, WavError> {
        let failed = |source| WavError::Read {
            path: path.to_owned(),
            source,
        };
        let mut reader = hound::WavReader::open(path).map_err(failed)?;
        let spec = reader.spec();
        if spec.channels == 0 || spec.sample_rate == 0 {
            return Err(WavError::Empty {
                path: path.to_owned(),
            });
        }
        if let Some(channel) = channel.filter(|&channel| channel == 0 || channel > spec.channels) {
            return Err(WavError::Channel {
                path: path.to_owned(),
                channel,
                channels: spec.channels,
            });
        }
        let bits = u32::from(spec.bits_per_sample);
        let interleaved: Vec<i16> = match spec.sample_format {
            hound::SampleFormat::Float => {
                let sixteen_bit = |sample: f32| (sample * 32_768.0) as i16;
                let samples = reader.samples::<f32>();
                samples
                    .map(|sample| sample.map(sixteen_bit))
                    .collect::<Result<_, _>>()
                    .map_err(failed)?
            }
            hound::SampleFormat::Int => {
                let sixteen_bit = |sample: i32| ((i64::from(sample) << 16) >> bits) as i16;
                let samples = reader.samples::<i32>();
                samples
                    .map(|sample| sample.map(sixteen_bit))
                    .collect::<Result<_, _>>()
                    .map_err(failed)?
            }
        };
        let samples = interleaved
            .chunks_exact(usize::from(spec.channels))
            .map(|frame| match channel {
                Some(channel) => frame[usize::from(channel) - 1],
                None => mean(frame),
            })
            .collect();
        Ok(Self {
            sample_rate_hz: spec.sample_rate,
            samples,
        })
    }

    /// Writes a mono 16 bit WAV.
    ///
    /// # Errors
    /// [`WavError::Write`], which names the file.
    pub fn write(&self, path: &Path) -> Result<(), WavError> {
        let failed = |source| WavError::Write {
            path: path.to_owned(),
            source,
        };
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.sample_rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).map_err(failed)?;
        for &sample in &self.samples {
            writer.write_sample(sample).map_err(failed)?;
        }
        writer.finalize().map_err(failed)
    }

    /// Length in whole milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.samples.len() as u64 * 1_000 / u64::from(self.sample_rate_hz.max(1))
    }
}

fn mean(channels: &[i16]) -> i16 {
    let sum: i64 = channels.iter().map(|&sample| i64::from(sample)).sum();
    (sum / channels.len() as i64) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("some.wav");
        let wav = Wav {
            sample_rate_hz: 16_000,
            samples: vec![0, 1, -1, i16::MAX, i16::MIN],
        };
        wav.write(&path)?;
        assert_eq!(Wav::read(&path)?, wav);
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_wav_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("letter.wav");
        std::fs::write(&path, "dear caller")?;
        let error = Wav::read(&path).expect_err("it is a letter").to_string();
        assert!(
            error.contains("letter.wav cannot be read as a WAV file"),
            "{error}"
        );
        let missing = Wav::read(&folder.path().join("none.wav")).expect_err("there is none");
        assert!(missing.to_string().contains("none.wav"));
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Wav::default()
            .write(Path::new("/nowhere/at/all.wav"))
            .expect_err("no folder");
        assert_eq!(error.to_string(), "/nowhere/at/all.wav cannot be written");
    }

    #[test]
    fn channels_become_their_mean_or_are_chosen() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("stereo.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec)?;
        for sample in [100_i16, 300, -50, -150] {
            writer.write_sample(sample)?;
        }
        writer.finalize()?;
        assert_eq!(Wav::read(&path)?.samples, [200, -100]);
        assert_eq!(Wav::read_channel(&path, Some(2))?.samples, [300, -150]);
        let error = Wav::read_channel(&path, Some(3)).expect_err("there are two");
        assert!(
            error.to_string().ends_with("has no channel 3, it has 2"),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn every_width_becomes_sixteen_bit() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("wide.wav");
        let mut spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 24,
            sample_format: hound::SampleFormat::Int,
        };
        for (bits, half) in [(8, 64), (16, 16_384), (24, 1 << 22), (32, 1 << 30)] {
            spec.bits_per_sample = bits;
            let mut writer = hound::WavWriter::create(&path, spec)?;
            for sample in [half, -half, 0] {
                writer.write_sample(sample)?;
            }
            writer.finalize()?;
            assert_eq!(Wav::read(&path)?.samples, [16_384, -16_384, 0], "{bits}");
        }
        spec.bits_per_sample = 32;
        spec.sample_format = hound::SampleFormat::Float;
        let mut writer = hound::WavWriter::create(&path, spec)?;
        for sample in [0.5_f32, -0.5, 3.0] {
            writer.write_sample(sample)?;
        }
        writer.finalize()?;
        assert_eq!(Wav::read(&path)?.samples, [16_384, -16_384, i16::MAX]);
        Ok(())
    }
}
