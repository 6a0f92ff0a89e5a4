//! Conversion between PCM formats.

use rubato::{Fft, FixedSync, Resampler as _, audioadapter_buffers::direct::InterleavedSlice};
use thiserror::Error;

/// The highest sample rate that is taken, in Hz.
const SAMPLE_RATE_MAX: u32 = 384_000;

/// A pair of formats that cannot be converted.
#[derive(Debug, Error)]
pub(crate) enum ResampleError {
    /// A rate of 0 Hz or above the limit.
    #[error("sample rate {0} Hz is not between 100 and {SAMPLE_RATE_MAX} Hz")]
    Rate(u32),
    /// No channels.
    #[error("a format needs at least one channel")]
    Channels,
    /// The resampler could not be built.
    #[error("no resampler from {from} to {to} Hz")]
    Build {
        /// Rate of the input in Hz.
        from: u32,
        /// Rate of the output in Hz.
        to: u32,
        /// Why.
        source: rubato::ResamplerConstructionError,
    },
}

/// Converts a stream of interleaved PCM to another rate and number of channels. Input comes in pieces of any length.
pub(crate) struct Converter {
    from: (u32, u32),
    to: (u32, u32),
    /// The channels that the resampler works on: the fewer of both sides.
    channels: usize,
    resampler: Option<Fft<f32>>,
    input: Vec<f32>,
    output: Vec<f32>,
    remixed: Vec<i16>,
}

impl Converter {
    /// Converts from and to (Hz, channels).
    pub(crate) fn new(from: (u32, u32), to: (u32, u32)) -> Result<Self, ResampleError> {
        for (rate, channels) in [from, to] {
            if !(100..=SAMPLE_RATE_MAX).contains(&rate) {
                return Err(ResampleError::Rate(rate));
            }
            if channels == 0 {
                return Err(ResampleError::Channels);
            }
        }
        let channels = from.1.min(to.1) as usize;
        let mut output = Vec::new();
        let resampler = if from.0 == to.0 {
            None
        } else {
            let chunk = (from.0 / 100) as usize;
            let resampler = Fft::new(
                from.0 as usize,
                to.0 as usize,
                chunk,
                channels,
                FixedSync::Both,
            )
            .map_err(|source| ResampleError::Build {
                from: from.0,
                to: to.0,
                source,
            })?;
            output.resize(resampler.output_frames_max() * channels, 0.0);
            Some(resampler)
        };
        Ok(Self {
            from,
            to,
            channels,
            resampler,
            input: Vec::new(),
            output,
            remixed: Vec::new(),
        })
    }

    /// The format of the input, in Hz and channels.
    pub(crate) fn from(&self) -> (u32, u32) {
        self.from
    }

    /// Appends the conversion of `pcm` to `out`, as far as it is known; the rest comes with later input.
    pub(crate) fn push(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        let Some(resampler) = &mut self.resampler else {
            remix(pcm, self.from.1 as usize, self.to.1 as usize, out);
            return;
        };
        self.remixed.clear();
        remix(pcm, self.from.1 as usize, self.channels, &mut self.remixed);
        self.input
            .extend(self.remixed.iter().map(|&sample| f32::from(sample)));
        let frames_in = resampler.input_frames_next();
        let frames_out = resampler.output_frames_next();
        let mut taken = 0;
        while self.input.len() - taken >= frames_in * self.channels {
            let chunk = &self.input[taken..taken + frames_in * self.channels];
            let from = InterleavedSlice::new(chunk, self.channels, frames_in)
                .expect("the slice has exactly this size");
            let mut to = InterleavedSlice::new_mut(&mut self.output, self.channels, frames_out)
                .expect("the output holds the largest chunk");
            resampler
                .process_into_buffer(&from, &mut to, None)
                .expect("both buffers have the size that the resampler asked for");
            taken += chunk.len();
            self.remixed.clear();
            self.remixed.extend(
                self.output[..frames_out * self.channels]
                    .iter()
                    .map(|&sample| to_i16(sample)),
            );
            remix(&self.remixed, self.channels, self.to.1 as usize, out);
        }
        self.input.drain(..taken);
    }
}

/// Appends `pcm` to `out` with another number of channels: mono is the mean of all, one channel is copied to all, and
/// otherwise the first ones are kept and missing ones are silent.
pub(crate) fn remix(pcm: &[i16], from: usize, to: usize, out: &mut Vec<i16>) {
    match (from, to) {
        (a, b) if a == b => out.extend_from_slice(pcm),
        (_, 1) => out.extend(pcm.chunks_exact(from).map(|frame| {
            let sum: i32 = frame.iter().map(|&sample| i32::from(sample)).sum();
            (sum / from as i32) as i16
        })),
        (1, _) => out.extend(
            pcm.iter()
                .flat_map(|&sample| std::iter::repeat_n(sample, to)),
        ),
        (_, _) => out.extend(pcm.chunks_exact(from).flat_map(|frame| {
            (0..to).map(|channel| frame.get(channel).copied().unwrap_or_default())
        })),
    }
}

fn to_i16(sample: f32) -> i16 {
    // A cast from float saturates.
    sample.round() as i16
}
