//! What is heard while nobody speaks and somebody should: comfort noise, a tone, or a prepared sound.

use std::f32::consts::TAU;
use std::sync::Arc;

use crate::fade::Envelope;
use crate::{FRAME_SAMPLES, Fade, SAMPLE_RATE_HZ};

/// The sound of a [`Clip`] at most, in seconds.
pub const CLIP_SECS_MAX: usize = 600;
/// Where a clip's end slides into its beginning: 50 ms.
const SEAM_SAMPLES: usize = 2_400;
/// How a tone begins and ends: 5 ms.
const RAMP_SAMPLES: u32 = 240;
const FULL_SCALE: f32 = 32_768.0;

/// A sound that goes round without a seam.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip(Arc<[i16]>);

/// A sound that cannot go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// Too little of it.
    #[error("{ms} ms of sound are less than 200 ms")]
    TooShort {
        /// Its length in milliseconds.
        ms: usize,
    },
    /// Too much of it.
    #[error("{secs} s of sound are more than {CLIP_SECS_MAX} s")]
    TooLong {
        /// Its length in seconds.
        secs: usize,
    },
    /// Nothing is to be heard in it.
    #[error("the sound is silent")]
    Silent,
}

impl Clip {
    /// Takes 48 kHz mono.
    ///
    /// # Errors
    /// When it is shorter than 200 ms, longer than [`CLIP_SECS_MAX`], or silent.
    pub fn new(mut samples: Vec<i16>) -> Result<Self, ClipError> {
        let rate = SAMPLE_RATE_HZ as usize;
        if samples.len() < rate / 5 {
            let ms = samples.len() * 1_000 / rate;
            return Err(ClipError::TooShort { ms });
        }
        if samples.len() > CLIP_SECS_MAX * rate {
            let secs = samples.len() / rate;
            return Err(ClipError::TooLong { secs });
        }
        if power(&samples) < 1.0 {
            return Err(ClipError::Silent);
        }
        let end = samples.len() - SEAM_SAMPLES;
        for index in 0..SEAM_SAMPLES {
            let share = (index as f32 + 0.5) / SEAM_SAMPLES as f32;
            let (out, into) = (f32::from(samples[end + index]), f32::from(samples[index]));
            // Two places of one sound that are no copies of one another.
            let joined = out * (1.0 - share).sqrt() + into * share.sqrt();
            samples[index] = joined.round().clamp(-32_768.0, 32_767.0) as i16;
        }
        samples.truncate(end);
        Ok(Self(samples.into()))
    }

    /// Its length in samples, seam taken off.
    pub fn samples(&self) -> usize {
        self.0.len()
    }
}

/// What a filler sounds like.
#[derive(Clone, Debug, PartialEq)]
pub enum Sound {
    /// A soft hiss, as of a line that is open.
    ComfortNoise,
    /// A sine that comes and goes.
    Tone {
        /// Its frequency.
        hz: u32,
        /// How long it sounds, in milliseconds.
        on_ms: u32,
        /// How long it pauses; 0 for a tone that lasts.
        off_ms: u32,
    },
    /// A prepared sound, over and over.
    Clip(Clip),
}

/// A filler's sound, and how it comes and goes.
#[derive(Clone, Debug, PartialEq)]
pub struct FillerConfig {
    /// What it sounds like.
    pub sound: Sound,
    /// Its level in dBFS, of the tone while it sounds and of a clip as a whole; from -90 to -10.
    pub dbfs: f32,
    /// How it begins.
    pub fade_in: Fade,
    /// How it ends.
    pub fade_out: Fade,
}

/// A filler, 10 ms at a time. It goes on where it stopped.
#[derive(Clone, Debug)]
pub(crate) struct Filler {
    config: FillerConfig,
    scale: f32,
    envelope: Envelope,
    at: usize,
    noise: u32,
    smooth: f32,
}

impl Filler {
    pub(crate) fn new(config: FillerConfig) -> Self {
        let wanted = FULL_SCALE * 10_f32.powf(config.dbfs.clamp(-90.0, -10.0) / 20.0);
        let scale = match &config.sound {
            // A root mean square of 1, see `noise`.
            Sound::ComfortNoise => wanted,
            Sound::Tone { .. } => wanted * std::f32::consts::SQRT_2,
            Sound::Clip(clip) => wanted / power(&clip.0).sqrt(),
        };
        Self {
            config,
            scale,
            envelope: Envelope::CLOSED,
            at: 0,
            noise: 0x9e37_79b9,
            smooth: 0.0,
        }
    }

    pub(crate) fn start(&mut self) {
        self.envelope.head_for(true, self.config.fade_in);
    }

    pub(crate) fn stop(&mut self) {
        self.envelope.head_for(false, self.config.fade_out);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.envelope.is_closed()
    }

    pub(crate) fn next(&mut self) -> [f32; FRAME_SAMPLES] {
        std::array::from_fn(|_| self.sample() * self.scale * self.envelope.next())
    }

    fn sample(&mut self) -> f32 {
        match &self.config.sound {
            Sound::ComfortNoise => self.noise(),
            &Sound::Tone { hz, on_ms, off_ms } => {
                let per_ms = SAMPLE_RATE_HZ / 1_000;
                let (on, off) = (on_ms.max(20) * per_ms, off_ms * per_ms);
                // The phase begins anew with every tone, and with every second of one that lasts.
                let round = if off == 0 { SAMPLE_RATE_HZ } else { on + off };
                let at = (self.at % round as usize) as u32;
                self.at += 1;
                let edge = if off == 0 {
                    RAMP_SAMPLES
                } else {
                    at.min(on.saturating_sub(at))
                };
                let ramp = edge.min(RAMP_SAMPLES) as f32 / RAMP_SAMPLES as f32;
                (TAU * hz as f32 * at as f32 / SAMPLE_RATE_HZ as f32).sin() * ramp
            }
            Sound::Clip(clip) => {
                let sample = clip.0[self.at % clip.0.len()];
                self.at = (self.at + 1) % clip.0.len();
                f32::from(sample)
            }
        }
    }

    /// White noise (xorshift, Marsaglia 2003) through a low-pass of one pole, scaled to a root mean square of 1.
    fn noise(&mut self) -> f32 {
        const POLE: f32 = 0.8;
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        let white = self.noise as f32 / (u32::MAX as f32 / 2.0) - 1.0;
        self.smooth = POLE * self.smooth + (1.0 - POLE) * white;
        // White noise between -1 and 1 has a power of 1/3, the filter leaves (1 - p) / (1 + p) of it.
        self.smooth / ((1.0 - POLE) / (1.0 + POLE) / 3.0_f32).sqrt()
    }
}

fn power(samples: &[i16]) -> f32 {
    let sum: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    (sum / samples.len().max(1) as f64) as f32
}
