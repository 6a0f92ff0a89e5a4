//! Opus, one channel at 48 kHz: a decoder for each track, and the encoder of the program.

use std::fmt;

use bytes::{Bytes, BytesMut};
use opus::{Application, Bitrate, Channels};

use crate::packet::{PACKET_SAMPLES_MAX, SLOT_SAMPLES};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// By how much what is heard lags behind the encoder's input (libopus, `OPUS_GET_LOOKAHEAD`): 6.5 ms.
pub(crate) const ENCODER_DELAY: usize = 312;

const PACKET_BYTES_MAX: usize = 1_275;
/// Packets in a row that do not build on each other after the encoder has taken over: the decoder's filters still ring with what
/// it has heard before, and with fewer, a steady tone was heard up to 12 dB too loud for a third of a second.
const INDEPENDENT_PACKETS: u8 = 7;
/// Payloads are cut from a block of this many bytes, which is used again once all of them are gone.
const BLOCK_BYTES: usize = 32 * 1_024;

/// libopus refused a codec.
#[derive(Debug, thiserror::Error)]
#[error("no opus codec could be had")]
pub struct CodecError(#[from] opus::Error);

pub(crate) struct Decoder(opus::Decoder);

impl Decoder {
    pub(crate) fn new() -> Result<Self, CodecError> {
        Ok(Self(opus::Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)?))
    }

    /// Decodes a packet; nothing if libopus cannot.
    pub(crate) fn decode<'o>(
        &mut self,
        payload: &[u8],
        out: &'o mut [i16; PACKET_SAMPLES_MAX],
    ) -> &'o [i16] {
        let samples = self.0.decode(payload, out, false).unwrap_or(0);
        &out[..samples]
    }

    /// Decodes the coarse copy of a lost packet that its successor may carry; without one it is concealed.
    pub(crate) fn recover<'o>(
        &mut self,
        successor: &[u8],
        out: &'o mut [i16; PACKET_SAMPLES_MAX],
    ) -> &'o [i16] {
        let slot = &mut out[..SLOT_SAMPLES];
        let samples = self.0.decode(successor, slot, true).unwrap_or(0);
        &out[..samples]
    }

    /// Goes on for a slot without a packet.
    pub(crate) fn conceal<'o>(&mut self, out: &'o mut [i16; PACKET_SAMPLES_MAX]) -> &'o [i16] {
        let slot = &mut out[..SLOT_SAMPLES];
        let samples = self.0.decode(&[], slot, false).unwrap_or(0);
        &out[..samples]
    }

    pub(crate) fn reset(&mut self) {
        // It fails for no state that a decoder can be in.
        self.0.reset_state().ok();
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

pub(crate) struct Encoder {
    inner: opus::Encoder,
    bitrate_bps: i32,
    block: BytesMut,
    scratch: [u8; PACKET_BYTES_MAX],
    /// So many of the next packets must not build on what came before them: the other side has not heard that from us.
    independent: u8,
}

impl Encoder {
    pub(crate) fn new(bitrate_bps: u32) -> Result<Self, CodecError> {
        let mut inner = opus::Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Voip)?;
        let bitrate_bps = bitrate_bps.clamp(6_000, 128_000) as i32;
        inner.set_bitrate(Bitrate::Bits(bitrate_bps))?;
        let mut block = BytesMut::with_capacity(BLOCK_BYTES);
        // The first cut makes the block one that is shared, which allocates.
        block.extend_from_slice(&[0]);
        drop(block.split());
        Ok(Self {
            inner,
            bitrate_bps,
            block,
            scratch: [0; PACKET_BYTES_MAX],
            independent: INDEPENDENT_PACKETS,
        })
    }

    /// Encodes one slot.
    pub(crate) fn encode(&mut self, pcm: &[i16; SLOT_SAMPLES]) -> Bytes {
        let first = self.independent == INDEPENDENT_PACKETS;
        let last = self.independent == 1;
        if first {
            self.inner.set_prediction_disabled(true).ok();
        }
        // It fails for no frame of this length.
        let length = self.inner.encode(pcm, &mut self.scratch).unwrap_or(0);
        if first {
            self.inner.set_bitrate(Bitrate::Bits(self.bitrate_bps)).ok();
        }
        if last {
            self.inner.set_prediction_disabled(false).ok();
        }
        self.independent = self.independent.saturating_sub(1);
        if self.block.capacity() < PACKET_BYTES_MAX {
            self.block.reserve(BLOCK_BYTES);
        }
        self.block.extend_from_slice(&self.scratch[..length]);
        self.block.split().freeze()
    }

    /// Goes on after packets that it has not made: `heard` is what they sounded like, in the order of time, and what it
    /// is given next follows on `heard`.
    pub(crate) fn follow(&mut self, heard: &[i16]) {
        self.inner.reset_state().ok();
        self.independent = INDEPENDENT_PACKETS;
        // It takes more bits to sound the same.
        self.inner
            .set_bitrate(Bitrate::Bits(2 * self.bitrate_bps))
            .ok();
        let odd = heard.len() % FRAME_SAMPLES;
        for frame in heard[odd..].chunks_exact(FRAME_SAMPLES) {
            // What comes of it stands for what has been sent already.
            self.inner.encode(frame, &mut self.scratch).ok();
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, TAU};

    use super::*;

    const PEAK: f32 = 8_230.0;
    const FADE_SAMPLES: f32 = 5_760.0;

    fn tone(hz: f32, sample: usize) -> f32 {
        PEAK * (TAU * hz * sample as f32 / SAMPLE_RATE_HZ as f32).sin()
    }

    /// The loudest sample that a listener hears who gets packets of one tone from somebody else, and then ours of a crossfade to
    /// another tone.
    fn loudest(from_hz: f32, to_hz: f32) -> i32 {
        let mut out = [0; PACKET_SAMPLES_MAX];
        let (mut listener, mut ours) = (
            Decoder::new().expect("a decoder"),
            Decoder::new().expect("a decoder"),
        );
        let mut other = Encoder::new(32_000).expect("an encoder");
        let mut sent = 0;
        let mut heard = Vec::new();
        while sent < 100 * SLOT_SAMPLES {
            let pcm = std::array::from_fn(|index| tone(from_hz, sent + index) as i16);
            let payload = other.encode(&pcm);
            listener.decode(&payload, &mut out);
            heard.extend_from_slice(ours.decode(&payload, &mut out));
            sent += SLOT_SAMPLES;
        }
        let mut encoder = Encoder::new(32_000).expect("an encoder");
        encoder.follow(&heard[heard.len() - 4 * SLOT_SAMPLES..]);
        let mut loudest = 0;
        for slot in 0..50 {
            let pcm = std::array::from_fn(|index| {
                let at = slot * SLOT_SAMPLES + index;
                let angle = FRAC_PI_2 * (at as f32 / FADE_SAMPLES).min(1.0);
                let old = tone(from_hz, sent - ENCODER_DELAY + at);
                (old * angle.cos() + tone(to_hz, at) * angle.sin()) as i16
            });
            let payload = encoder.encode(&pcm);
            for sample in listener.decode(&payload, &mut out) {
                loudest = loudest.max(i32::from(*sample).abs());
            }
        }
        loudest
    }

    /// Both tones at once come to 3 dB more than either; packets that built on each other at once came to 12 dB more.
    #[test]
    fn no_tone_is_blown_up_where_the_encoder_takes_over() {
        let limit = (PEAK * 10_f32.powf(7.0 / 20.0)) as i32;
        for (from_hz, to_hz) in [
            (2_300.0, 600.0),
            (1_100.0, 2_000.0),
            (1_100.0, 2_600.0),
            (1_400.0, 2_900.0),
        ] {
            let loudest = loudest(from_hz, to_hz);
            assert!(loudest < limit, "{from_hz} Hz to {to_hz} Hz: {loudest}");
        }
    }
}
