//! A prepared sound as packets that are ready to be sent, for whoever hears nothing else beside it.

use std::sync::Arc;

use bytes::Bytes;

use crate::clip_file::{ClipFileError, samples};
use crate::codec::Encoder;
use crate::{CLIP_SECS_MAX, ClipError, SAMPLE_RATE_HZ, SLOT_SAMPLES};

/// The silence behind it, before it begins anew.
const PAUSE_SAMPLES: usize = SAMPLE_RATE_HZ as usize * 3 / 2;

/// A sound in Opus packets of 20 ms, with a pause behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording(Arc<[Bytes]>);

impl Recording {
    /// Reads a WAV (16 bit, one or two channels, 8 to 48 kHz) or Ogg Opus file.
    ///
    /// # Errors
    /// When it is neither, broken, longer than [`CLIP_SECS_MAX`], or libopus refuses an encoder.
    pub fn read(bytes: &[u8], bitrate_bps: u32) -> Result<Self, ClipFileError> {
        let mut samples = samples(bytes)?;
        let secs = samples.len() / SAMPLE_RATE_HZ as usize;
        if secs > CLIP_SECS_MAX {
            return Err(ClipError::TooLong { secs }.into());
        }
        let whole = (samples.len() + PAUSE_SAMPLES).next_multiple_of(SLOT_SAMPLES);
        samples.resize(whole, 0);
        let mut encoder = Encoder::new(bitrate_bps)?;
        let (slots, _) = samples.as_chunks::<SLOT_SAMPLES>();
        Ok(Self(
            slots.iter().map(|slot| encoder.encode(slot)).collect(),
        ))
    }

    /// Its packets, one for each 20 ms; never none.
    pub fn packets(&self) -> &[Bytes] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decoder;
    use crate::{PACKET_SAMPLES_MAX, level_dbfs};

    fn wav(samples: &[i16]) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE_HZ,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).expect("it fits");
        for &sample in samples {
            writer.write_sample(sample).expect("it fits");
        }
        writer.finalize().expect("it fits");
        file.into_inner()
    }

    #[test]
    fn it_is_heard_and_then_pauses() {
        let tone = (0..48_000).map(|at| ((at as f32 * 0.06).sin() * 8_000.0) as i16);
        let recording = Recording::read(&wav(&tone.collect::<Vec<_>>()), 32_000).expect("it reads");
        assert_eq!(recording.packets().len(), 125, "1 s and a pause of 1.5 s");
        let mut decoder = Decoder::new().expect("libopus has one");
        let mut out = [0; PACKET_SAMPLES_MAX];
        let levels: Vec<f32> = recording
            .packets()
            .iter()
            .map(|packet| level_dbfs(decoder.decode(packet, &mut out)))
            .collect();
        assert!(
            levels[5..45].iter().all(|level| *level > -20.0),
            "{levels:?}"
        );
        assert!(
            levels[60..].iter().all(|level| *level < -60.0),
            "{levels:?}"
        );
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        assert!(matches!(
            Recording::read(b"RIFFled", 32_000),
            Err(ClipFileError::Wav(_))
        ));
        assert!(matches!(
            Recording::read(b"MP3", 32_000),
            Err(ClipFileError::Format)
        ));
    }
}
