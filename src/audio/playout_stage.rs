//! The program track with a sender and a listener, for tests of it, and what is said of the sound that comes out.

use audio::{
    Epoch, Fade, FadeStart, Input, Made, Packet, Playout, PlayoutConfig, PlayoutCounters,
    SLOT_SAMPLES, Slot, SourceId, Taken, TrackId,
};
use bytes::Bytes;
use opus::{Application, Bitrate, Channels};

pub(crate) const ANNA: Input = input(1, 1);
pub(crate) const BEN: Input = input(2, 2);
const TICK: u64 = 480;

const fn input(source: u32, epoch: u64) -> Input {
    Input {
        source: SourceId(source),
        epoch: Epoch(epoch),
    }
}

/// A sender with an encoder of its own.
pub(crate) struct Sender {
    pub(crate) encoder: opus::Encoder,
    pub(crate) channels: usize,
    pub(crate) samples: usize,
    pub(crate) sequence: u64,
    pub(crate) rtp_time: u64,
    pub(crate) clip: Vec<i16>,
    pub(crate) at: usize,
}

impl Sender {
    pub(crate) fn new(clip: Vec<i16>) -> Self {
        Self::with(clip, 20, Channels::Mono)
    }

    pub(crate) fn with(clip: Vec<i16>, ms: usize, channels: Channels) -> Self {
        let mut encoder =
            opus::Encoder::new(48_000, channels, Application::Voip).expect("a format");
        encoder.set_bitrate(Bitrate::Bits(32_000)).expect("a rate");
        Self {
            encoder,
            channels: channels as usize,
            samples: ms * 48,
            sequence: 500,
            rtp_time: 7_000,
            clip,
            at: 0,
        }
    }

    pub(crate) fn dtx(mut self) -> Self {
        self.encoder.set_dtx(true).expect("it takes DTX");
        self
    }

    /// The next packet; the clip goes round.
    pub(crate) fn packet(&mut self) -> Packet {
        let mut pcm = Vec::with_capacity(self.samples * self.channels);
        for _ in 0..self.samples {
            let sample = self.clip[self.at % self.clip.len()];
            self.at += 1;
            pcm.extend(std::iter::repeat_n(sample, self.channels));
        }
        let payload = self.encoder.encode_vec(&pcm, 1_275).expect("a frame");
        let packet = Packet::new(Bytes::from(payload), self.sequence, self.rtp_time, 1);
        self.sequence += 1;
        self.rtp_time += self.samples as u64;
        packet.expect("a packet of opus")
    }
}

/// The program track and who listens to it.
pub(crate) struct Stage {
    pub(crate) playout: Playout,
    pub(crate) now: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) decoder: opus::Decoder,
    pub(crate) pcm: Vec<i16>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(PlayoutConfig::default())
    }

    pub(crate) fn with(config: PlayoutConfig) -> Self {
        Self {
            playout: Playout::new(config).expect("an encoder"),
            now: 1_000_000,
            slots: Vec::new(),
            decoder: opus::Decoder::new(48_000, Channels::Mono).expect("a format"),
            pcm: Vec::new(),
        }
    }

    /// With one source, admitted and about to be heard alone.
    pub(crate) fn solo() -> Self {
        let mut stage = Self::new();
        assert!(stage.playout.attach(TrackId(1), ANNA.source));
        stage.enter(ANNA);
        stage
    }

    pub(crate) fn enter(&mut self, input: Input) {
        self.playout.admit(input).expect("there is room");
        self.playout
            .start_fade(
                None,
                Some(input),
                Fade::equal_power(5),
                FadeStart::FirstSound,
            )
            .expect("it is admitted");
    }

    pub(crate) fn push(&mut self, track: u32, packet: Packet) -> Taken {
        self.playout.push(TrackId(track), packet)
    }

    /// Polls as the shell does, then lets 10 ms pass.
    pub(crate) fn tick(&mut self) {
        while let Some(slot) = self.playout.poll(self.now) {
            if let Some(payload) = &slot.payload {
                let mut out = [0; 5_760];
                let samples = self
                    .decoder
                    .decode(payload, &mut out, false)
                    .expect("a packet");
                assert_eq!(samples, SLOT_SAMPLES, "a slot is 20 ms");
                self.pcm.extend_from_slice(&out[..samples]);
            }
            assert_eq!(slot.number, self.slots.len() as u64);
            self.slots.push(slot);
        }
        self.now += TICK;
    }

    /// Two ticks: a slot.
    pub(crate) fn turn(&mut self) {
        self.tick();
        self.tick();
    }

    pub(crate) fn counters(&self) -> PlayoutCounters {
        self.playout.counters()
    }

    pub(crate) fn made(&self, made: Made) -> usize {
        self.slots.iter().filter(|slot| slot.made == made).count()
    }

    /// Whether there was a slot for every 20 ms, give or take the one that is ahead or awaited.
    pub(crate) fn assert_on_time(&self) {
        let due = (self.now - 1_000_000) / SLOT_SAMPLES as u64;
        let sent = self.slots.len() as u64;
        assert!(sent.abs_diff(due) <= 2, "{sent} slots, {due} are due");
    }
}

pub(crate) fn tone(hz: f64, ms: usize) -> Vec<i16> {
    let at = |n: usize| (std::f64::consts::TAU * hz * n as f64 / 48_000.0).sin();
    (0..ms * 48).map(|n| (at(n) * 8_000.0) as i16).collect()
}

/// The level of one frequency in dB, over whole periods of it.
pub(crate) fn level_at_db(pcm: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in pcm.iter().enumerate() {
        let angle = std::f64::consts::TAU * hz * n as f64 / 48_000.0;
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
    }
    20.0 * (2.0 * re.hypot(im) / pcm.len() as f64 / 32_768.0)
        .max(1e-10)
        .log10()
}

/// A recorded voice at 48 kHz.
pub(crate) fn recorded(name: &str) -> Vec<i16> {
    let path = format!(
        "{}/../../tests/clips/{name}.wav",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut reader = hound::WavReader::open(path).expect("a clip of the tests");
    let spec = reader.spec();
    let times = 48_000 / spec.sample_rate as usize;
    let pcm: Vec<i16> = reader
        .samples::<i16>()
        .map(|sample| sample.expect("a sample"))
        .collect();
    // Straight lines between the samples: enough for a voice that is to be encoded anyway.
    pcm.windows(2)
        .flat_map(|pair| {
            let [from, to] = [pair[0], pair[1]].map(f32::from);
            (0..times).map(move |step| (from + (to - from) * step as f32 / times as f32) as i16)
        })
        .collect()
}

/// Something like speech: a buzz with formants that moves, in syllables with pauses between.
pub(crate) fn speech(pitch_hz: f64, ms: usize) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..ms * 48)
        .map(|n| {
            let t = n as f64 / 48_000.0;
            let beat = (t * 3.1).fract();
            let loud = if beat < 0.7 {
                (beat / 0.7 * std::f64::consts::PI).sin()
            } else {
                0.0
            };
            phase += pitch_hz * (1.0 + 0.1 * (t * 5.0).sin()) / 48_000.0;
            let buzz: f64 = (1..20)
                .map(|h| {
                    (std::f64::consts::TAU * phase * f64::from(h)).sin() / f64::from(h * h)
                        * (1.0 + f64::from(h % 4))
                })
                .sum();
            (buzz * loud * 4_000.0) as i16
        })
        .collect()
}

pub(crate) fn percentile_jump(pcm: &[i16], share: f64) -> i32 {
    let mut jumps: Vec<i32> = pcm
        .windows(2)
        .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
        .collect();
    jumps.sort_unstable();
    jumps[((jumps.len() - 1) as f64 * share) as usize]
}

pub(crate) fn largest_jump(pcm: &[i16]) -> i32 {
    percentile_jump(pcm, 1.0)
}

/// The correlation of two sounds, 1 for the same.
pub(crate) fn likeness(one: &[i16], other: &[i16]) -> f64 {
    let product = |a: &[i16], b: &[i16]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let other = &other[..one.len()];
    product(one, other) / (product(one, one) * product(other, other)).sqrt().max(1.0)
}

pub(crate) fn rms_db(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|&s| f64::from(s).powi(2)).sum();
    10.0 * (power / pcm.len() as f64 / 32_768.0_f64.powi(2))
        .max(1e-10)
        .log10()
}
