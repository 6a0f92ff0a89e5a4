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
    /// A WAV of a kind that is not taken.
    #[error("{path} has {what}, 16 bit PCM is needed", path = path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        what: String,
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
    /// Reads a 16 bit WAV; several channels become their mean.
    ///
    /// # Errors
    /// [`WavError::Read`] and [`WavError::Kind`], which name the file.
    pub fn read(path: &Path) -> Result<Self, WavError> {
        let failed = |source| WavError::Read {
            path: path.to_owned(),
            source,
        };
        let mut reader = hound::WavReader::open(path).map_err(failed)?;
        let spec = reader.spec();
        let kind = |what| WavError::Kind {
            path: path.to_owned(),
            what,
        };
        if spec.sample_format != hound::SampleFormat::Int || spec.bits_per_sample != 16 {
            let form = match spec.sample_format {
                hound::SampleFormat::Int => "PCM",
                hound::SampleFormat::Float => "floating point",
            };
            return Err(kind(format!("{} bit {form}", spec.bits_per_sample)));
        }
        if spec.channels == 0 || spec.sample_rate == 0 {
            return Err(kind("no channel".to_owned()));
        }
        let interleaved: Vec<i16> = reader.samples().collect::<Result<_, _>>().map_err(failed)?;
        let samples = interleaved
            .chunks_exact(usize::from(spec.channels))
            .map(mean)
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
    fn channels_become_their_mean_and_floats_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("stereo.wav");
        let mut spec = hound::WavSpec {
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
        spec.bits_per_sample = 32;
        spec.sample_format = hound::SampleFormat::Float;
        hound::WavWriter::create(&path, spec)?.finalize()?;
        let error = Wav::read(&path).expect_err("it has floats").to_string();
        assert!(
            error.ends_with("has 32 bit floating point, 16 bit PCM is needed"),
            "{error}"
        );
        Ok(())
    }
}
