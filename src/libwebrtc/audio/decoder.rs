//! libopus, for whichever format the listeners want.

use opus::{Channels, Decoder};

/// The longest packet that Opus allows, in samples per channel at 48 kHz (120 ms).
pub(crate) const PACKET_MAX_48K: u64 = 5_760;

/// Decodes packets and invents what is missing between them.
#[derive(Default)]
pub(crate) struct AudioDecoder {
    inner: Option<Inner>,
}

struct Inner {
    decoder: Decoder,
    rate: u32,
    channels: u32,
}

impl AudioDecoder {
    /// Prepares for `rate` Hz (one of Opus's) and one or two channels. A change forgets the decoder's state.
    pub(crate) fn set_format(&mut self, rate: u32, channels: u32) -> Result<(), opus::Error> {
        if self
            .inner
            .as_ref()
            .is_some_and(|inner| (inner.rate, inner.channels) == (rate, channels))
        {
            return Ok(());
        }
        let kind = if channels == 1 {
            Channels::Mono
        } else {
            Channels::Stereo
        };
        self.inner = Some(Inner {
            decoder: Decoder::new(rate, kind)?,
            rate,
            channels,
        });
        Ok(())
    }

    /// Appends the samples of a packet to `out`.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), opus::Error> {
        self.run(payload, PACKET_MAX_48K, false, out)
    }

    /// Appends `duration` (48 kHz, a multiple of 120) samples in place of a missing packet, from the copy inside the
    /// packet after it if there is one.
    pub(crate) fn recover(
        &mut self,
        next: &[u8],
        duration: u64,
        out: &mut Vec<i16>,
    ) -> Result<(), opus::Error> {
        self.run(next, duration, true, out)
    }

    /// Appends `duration` (48 kHz, a multiple of 120) samples that carry on what was heard last.
    pub(crate) fn conceal(&mut self, duration: u64, out: &mut Vec<i16>) -> Result<(), opus::Error> {
        self.run(&[], duration, false, out)
    }

    fn run(
        &mut self,
        payload: &[u8],
        duration: u64,
        fec: bool,
        out: &mut Vec<i16>,
    ) -> Result<(), opus::Error> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        let channels = inner.channels as usize;
        let samples = (duration * u64::from(inner.rate) / 48_000) as usize * channels;
        let start = out.len();
        out.resize(start + samples, 0);
        match inner.decoder.decode(payload, &mut out[start..], fec) {
            Ok(decoded) => {
                out.truncate(start + decoded * channels);
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }
}

/// The samples per channel at 48 kHz that an Opus packet holds, from its table of contents; `None` if it is no packet.
pub(crate) fn duration_48k(payload: &[u8]) -> Option<u64> {
    opus::packet::get_nb_samples(payload, 48_000)
        .ok()
        .map(|samples| samples as u64)
        .filter(|samples| (120..=PACKET_MAX_48K).contains(samples))
}

/// Whether the packet says nothing but that there is silence (RFC 6716: a frame of a byte or none).
pub(crate) fn is_silence(payload: &[u8]) -> bool {
    payload.len() <= 2
}
