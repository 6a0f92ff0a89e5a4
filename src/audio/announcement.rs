//! A prepared sound that is heard once.

use std::sync::Arc;

use crate::clip_file::{ClipFileError, samples};
use crate::{ClipError, FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// The sound of an [`Announcement`] is shorter than this, in seconds.
pub const ANNOUNCEMENT_SECS_MAX: usize = 60;
/// How it begins and ends: 5 ms.
const RAMP_SAMPLES: usize = 240;

/// A prepared sound, as loud as it is in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement(Arc<[i16]>);

/// A file that cannot be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// It cannot be read, or is silent.
    #[error(transparent)]
    File(#[from] ClipFileError),
    /// There is too much of it.
    #[error("{secs} s of sound, only less than {ANNOUNCEMENT_SECS_MAX} s are taken")]
    TooLong {
        /// Its length in seconds.
        secs: usize,
    },
}

impl Announcement {
    /// Reads a WAV (16 bit, one or two channels, 8 to 48 kHz) or Ogg Opus file.
    ///
    /// # Errors
    /// When it is neither, broken, silent, or not shorter than [`ANNOUNCEMENT_SECS_MAX`].
    pub fn read(bytes: &[u8]) -> Result<Self, AnnouncementError> {
        let mut samples = samples(bytes)?;
        let secs = samples.len() / SAMPLE_RATE_HZ as usize;
        if secs >= ANNOUNCEMENT_SECS_MAX {
            return Err(AnnouncementError::TooLong { secs });
        }
        if samples.iter().all(|&sample| sample == 0) {
            return Err(ClipFileError::Clip(ClipError::Silent).into());
        }
        let count = samples.len();
        for (index, sample) in samples.iter_mut().enumerate() {
            let edge = (index + 1).min(count - index).min(RAMP_SAMPLES);
            let ramped = f32::from(*sample) * edge as f32 / RAMP_SAMPLES as f32;
            *sample = ramped as i16;
        }
        Ok(Self(samples.into()))
    }
}

/// An announcement that is being heard, 10 ms at a time.
#[derive(Debug)]
pub(crate) struct Player {
    announcement: Announcement,
    at: usize,
}

impl Player {
    pub(crate) fn new(announcement: Announcement) -> Self {
        Self {
            announcement,
            at: 0,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.announcement.0.len()
    }

    pub(crate) fn next(&mut self) -> [f32; FRAME_SAMPLES] {
        let rest = self.announcement.0.get(self.at..).unwrap_or_default();
        self.at += FRAME_SAMPLES;
        std::array::from_fn(|index| rest.get(index).map_or(0.0, |&sample| f32::from(sample)))
    }
}
