//! Opus packets as the program sees them: what their first byte tells, and when they were sent.

use bytes::Bytes;

/// Samples in a slot of the program track: 20 ms.
pub const SLOT_SAMPLES: usize = 960;
/// Samples of the longest packet that is taken: 120 ms (RFC 6716).
pub const PACKET_SAMPLES_MAX: usize = 5_760;

/// Bytes of the largest packet that is taken: the largest frame of RFC 6716.
const PACKET_BYTES_MAX: usize = 1_275;
/// Bytes of the largest packet that is taken for silence without looking into it.
const QUIET_BYTES_MAX: usize = 12;

/// One Opus packet of a track, out of RED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    payload: Bytes,
    sequence: u64,
    rtp_time_48k: u64,
    stream: u64,
    samples: usize,
}

impl Packet {
    /// Takes a packet as it came; `None` if it is none of Opus, too large, or no multiple of 10 ms.
    ///
    /// `sequence` and `rtp_time_48k` are RTP's, extended so that they never wrap; both begin anew with another `stream`.
    pub fn new(payload: Bytes, sequence: u64, rtp_time_48k: u64, stream: u64) -> Option<Self> {
        if payload.len() > PACKET_BYTES_MAX {
            return None;
        }
        let samples = opus::packet::get_nb_samples(&payload, crate::SAMPLE_RATE_HZ).ok()?;
        let whole = samples.is_multiple_of(crate::FRAME_SAMPLES);
        (whole && (1..=PACKET_SAMPLES_MAX).contains(&samples)).then_some(Self {
            payload,
            sequence,
            rtp_time_48k,
            stream,
            samples,
        })
    }

    /// The Opus packet.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its number on its track.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The time of its first sample.
    pub fn rtp_time_48k(&self) -> u64 {
        self.rtp_time_48k
    }

    /// Counts the times that the track began anew.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// Its length in samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Whether it says nothing but that there is silence, as DTX does.
    pub fn is_silence(&self) -> bool {
        self.payload.len() <= 2
    }

    /// Whether it is so small that it carries no voice. A packet of a constant rate never looks quiet.
    pub fn looks_quiet(&self) -> bool {
        self.payload.len() <= QUIET_BYTES_MAX
    }

    /// Whether its sender found no voice in it, however much noise there is: a pause between two words. CELT does not say so.
    pub(crate) fn is_pause(&self) -> bool {
        // RFC 6716, 3.1 and 4.2.3: SILK and hybrid frames begin with the flags of voice activity, one for each 20 ms.
        let silk = self.toc() >> 3 < 16;
        let flags = match (self.toc() & 3, self.samples) {
            (0, SLOT_SAMPLES) if silk => self.payload.get(1),
            _ => None,
        };
        self.looks_quiet() || flags.is_some_and(|flags| flags & 0x80 == 0)
    }

    /// Whether it can go out as it is: one channel, one slot long.
    pub fn fits_slot(&self) -> bool {
        self.samples == SLOT_SAMPLES && self.toc() & 4 == 0
    }

    /// The packet that fills a slot after this one: the receiving decoder goes on with what it has heard, as for DTX.
    pub(crate) fn fill(&self) -> Self {
        // RFC 6716, 3.1: the configuration of the same mode and bandwidth that lasts 20 ms.
        let config = match self.toc() >> 3 {
            silk @ 0..=11 => silk & !3 | 1,
            hybrid @ 12..=15 => hybrid | 1,
            celt => celt | 3,
        };
        Self {
            payload: Bytes::from_static(&FILLS[usize::from(config)]),
            samples: SLOT_SAMPLES,
            ..self.clone()
        }
    }

    fn toc(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }
}

/// A packet of one empty frame for each configuration.
static FILLS: [[u8; 1]; 32] = {
    let mut fills = [[0]; 32];
    let mut config = 0;
    while config < 32 {
        fills[config] = [(config as u8) << 3];
        config += 1;
    }
    fills
};
