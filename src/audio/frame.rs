//! The unit of audio: 10 ms of 48 kHz mono, signed 16 bit.

use std::fmt;

/// Samples per second of every frame.
pub const SAMPLE_RATE_HZ: u32 = 48_000;
/// Length of a frame in milliseconds.
pub const FRAME_MS: u32 = 10;
/// Samples in a frame.
pub const FRAME_SAMPLES: usize = (SAMPLE_RATE_HZ * FRAME_MS / 1_000) as usize;

/// 10 ms of 48 kHz mono audio.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame([i16; FRAME_SAMPLES]);

/// A slice that is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The slice has another length than a frame.
    #[error("{samples} samples are no frame of {FRAME_SAMPLES}")]
    Length {
        /// Samples that were given.
        samples: usize,
    },
}

impl Frame {
    /// 10 ms of nothing.
    pub const SILENCE: Self = Self([0; FRAME_SAMPLES]);

    /// Wraps the samples of one frame.
    pub const fn new(samples: [i16; FRAME_SAMPLES]) -> Self {
        Self(samples)
    }

    /// The samples in order.
    pub const fn samples(&self) -> &[i16; FRAME_SAMPLES] {
        &self.0
    }

    /// The samples, to be written over.
    pub const fn samples_mut(&mut self) -> &mut [i16; FRAME_SAMPLES] {
        &mut self.0
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::SILENCE
    }
}

impl TryFrom<&[i16]> for Frame {
    type Error = FrameError;

    fn try_from(samples: &[i16]) -> Result<Self, FrameError> {
        let whole = samples.try_into().map_err(|_| FrameError::Length {
            samples: samples.len(),
        })?;
        Ok(Self(whole))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:.1} dBFS)", crate::level_dbfs(&self.0))
    }
}
