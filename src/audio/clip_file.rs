//! Prepared sounds: the bytes of a WAV or Ogg Opus file in, a [`Clip`] out.

use std::f32::consts::PI;
use std::io::Cursor;

use opus::Channels;

use crate::codec::CodecError;
use crate::packet::PACKET_SAMPLES_MAX;
use crate::{CLIP_SECS_MAX, Clip, ClipError, SAMPLE_RATE_HZ};

/// Zero crossings of the sinc on either side, by which another rate is brought to 48 kHz.
const SINC_REACH: i64 = 16;
/// First two packets of an Ogg Opus stream (RFC 7845, 3): the head and the comments.
const HEADERS: usize = 2;
const HEAD: &[u8] = b"OpusHead";

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClipFileError {
    /// Neither kind of file.
    #[error("neither a WAV nor an Ogg Opus file")]
    Format,
    /// It says that it is a WAV file and is not, or one of another kind.
    #[error("the WAV file cannot be read")]
    Wav(#[source] hound::Error),
    /// A WAV file of another form.
    #[error(
        "a WAV file of {bits} bits and {channels} channels at {rate_hz} Hz, only 16 bits, 1 or 2 channels, 8,000 to 48,000 Hz are taken"
    )]
    WavForm {
        /// Bits of a sample.
        bits: u16,
        /// Channels.
        channels: u16,
        /// Samples per second.
        rate_hz: u32,
    },
    /// It says that it is an Ogg file and is not.
    #[error("the Ogg file cannot be read")]
    Ogg(#[source] ogg::OggReadError),
    /// An Ogg file with something else than Opus of one or two channels in it.
    #[error("the Ogg file has no Opus of one or two channels in it")]
    NoOpus,
    /// A packet cannot be decoded.
    #[error("packet {packet} of the Ogg file cannot be decoded")]
    Opus {
        /// Its number.
        packet: usize,
        /// Why.
        #[source]
        source: opus::Error,
    },
    /// What is in it cannot be used.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// There is nothing to encode it with.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Clip {
    /// Reads a WAV (16 bit, one or two channels, 8 to 48 kHz) or Ogg Opus file.
    ///
    /// # Errors
    /// When it is neither, broken, or its sound cannot go round.
    pub fn read(bytes: &[u8]) -> Result<Self, ClipFileError> {
        Ok(Self::new(samples(bytes)?)?)
    }
}

/// The sound of a file, in 48 kHz mono.
pub(crate) fn samples(bytes: &[u8]) -> Result<Vec<i16>, ClipFileError> {
    match bytes {
        [b'R', b'I', b'F', b'F', ..] => wav(bytes),
        [b'O', b'g', b'g', b'S', ..] => ogg_opus(bytes),
        _ => Err(ClipFileError::Format),
    }
}

fn wav(bytes: &[u8]) -> Result<Vec<i16>, ClipFileError> {
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(ClipFileError::Wav)?;
    let hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format,
    } = reader.spec();
    let whole = sample_format == hound::SampleFormat::Int && bits == 16;
    if !whole || !(1..=2).contains(&channels) || !(8_000..=SAMPLE_RATE_HZ).contains(&rate_hz) {
        return Err(ClipFileError::WavForm {
            bits,
            channels,
            rate_hz,
        });
    }
    let secs = reader.duration() as usize / rate_hz as usize;
    if secs > CLIP_SECS_MAX {
        return Err(ClipError::TooLong { secs }.into());
    }
    let samples: Result<Vec<i16>, _> = reader.samples::<i16>().collect();
    let samples = samples.map_err(ClipFileError::Wav)?;
    Ok(to_48k(&to_mono(&samples, channels.into()), rate_hz))
}

fn ogg_opus(bytes: &[u8]) -> Result<Vec<i16>, ClipFileError> {
    let mut reader = ogg::PacketReader::new(Cursor::new(bytes));
    let mut decoder = opus::Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)
        .map_err(|source| ClipFileError::Opus { packet: 0, source })?;
    let mut samples = Vec::new();
    let mut skip = 0;
    let mut out = [0; PACKET_SAMPLES_MAX];
    let mut packet = 0;
    while let Some(next) = reader.read_packet().map_err(ClipFileError::Ogg)? {
        if packet == 0 {
            let head = next.data.strip_prefix(HEAD);
            // Version, channels, then two bytes of samples to leave out at the beginning.
            let Some(&[_, 1 | 2, low, high, ..]) = head else {
                return Err(ClipFileError::NoOpus);
            };
            skip = usize::from(u16::from_le_bytes([low, high]));
        } else if packet >= HEADERS {
            let decoded = decoder
                .decode(&next.data, &mut out, false)
                .map_err(|source| ClipFileError::Opus { packet, source })?;
            samples.extend_from_slice(&out[..decoded]);
        }
        if samples.len() > (CLIP_SECS_MAX + 1) * SAMPLE_RATE_HZ as usize {
            let secs = CLIP_SECS_MAX + 1;
            return Err(ClipError::TooLong { secs }.into());
        }
        packet += 1;
    }
    if packet <= HEADERS {
        return Err(ClipFileError::NoOpus);
    }
    samples.drain(..skip.min(samples.len()));
    Ok(samples)
}

fn to_mono(samples: &[i16], channels: usize) -> Vec<i16> {
    let mean = |frame: &[i16]| {
        let sum: i32 = frame.iter().map(|&sample| i32::from(sample)).sum();
        (sum / channels as i32) as i16
    };
    samples.chunks_exact(channels).map(mean).collect()
}

/// Interpolates with a sinc under a Hann window. The rate only goes up, so nothing is to be filtered out.
fn to_48k(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    if rate_hz == SAMPLE_RATE_HZ {
        return samples.to_vec();
    }
    let (from, to) = (u64::from(rate_hz), u64::from(SAMPLE_RATE_HZ));
    let count = samples.len() as u64 * to / from;
    let at = |place: u64| {
        let whole = (place * from / to) as i64;
        let rest = (place * from % to) as f32 / to as f32;
        let sum: f32 = (1 - SINC_REACH..=SINC_REACH)
            .filter_map(|step| {
                let near = usize::try_from(whole + step).ok()?;
                let distance = step as f32 - rest;
                let sinc = if distance.abs() < 1e-6 {
                    1.0
                } else {
                    (PI * distance).sin() / (PI * distance)
                };
                let window = 0.5 + 0.5 * (PI * distance / SINC_REACH as f32).cos();
                Some(f32::from(*samples.get(near)?) * sinc * window)
            })
            .sum();
        sum.round().clamp(-32_768.0, 32_767.0) as i16
    };
    (0..count).map(at).collect()
}
