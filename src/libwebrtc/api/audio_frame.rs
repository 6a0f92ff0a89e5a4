//! Pieces of sound.

use std::borrow::Cow;

/// A piece of sound: interleaved 16-bit samples.
#[derive(Debug, Clone)]
pub struct AudioFrame<'a> {
    /// `samples_per_channel * num_channels` samples.
    pub data: Cow<'a, [i16]>,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channels, interleaved.
    pub num_channels: u32,
    /// Samples of each channel.
    pub samples_per_channel: u32,
}

impl AudioFrame<'_> {
    /// A silent frame.
    pub fn new(sample_rate: u32, num_channels: u32, samples_per_channel: u32) -> Self {
        let samples = num_channels as usize * samples_per_channel as usize;
        Self {
            data: vec![0; samples].into(),
            sample_rate,
            num_channels,
            samples_per_channel,
        }
    }
}
