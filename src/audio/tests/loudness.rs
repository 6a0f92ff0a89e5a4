//! Voices that are matched in loudness, measured by EBU R128 from what the caller's decoder gives.

use audio::{
    Epoch, Fade, FadeStart, Input, Made, Packet, Playout, PlayoutConfig, SourceId, TrackId,
};
use bytes::Bytes;
use ebur128::{EbuR128, Mode};
use opus::{Application, Channels};

/// What a match may be off by.
const MATCHED_LU: f64 = 1.0;
/// How much softer Ben is than Anna.
const SOFTER_DB: f64 = 9.0;
const SLOTS_PER_SECOND: usize = 50;

/// Something like speech: a buzz in syllables, with a pause after some of them.
fn speech(pitch_hz: f64, peak: f64, seconds: usize) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..seconds * 48_000)
        .map(|n| {
            let t = n as f64 / 48_000.0;
            phase = (phase + pitch_hz * (1.0 + 0.1 * (t * 2.0).sin()) / 48_000.0).fract();
            let syllable = (t * 3.1).fract();
            let loud = if syllable < 0.75 && (t * 0.8).fract() < 0.8 {
                (syllable / 0.75 * std::f64::consts::PI).sin()
            } else {
                0.0
            };
            let buzz: f64 = (1..8)
                .map(|n| (std::f64::consts::TAU * phase * f64::from(n)).sin() / f64::from(n))
                .sum();
            (buzz / 2.0 * loud * peak) as i16
        })
        .collect()
}

fn lufs(pcm: &[i16]) -> f64 {
    let mut meter = EbuR128::new(1, 48_000, Mode::I).expect("a format");
    meter.add_frames_i16(pcm).expect("whole frames");
    meter.loudness_global().expect("it was asked for")
}

struct Speaker {
    encoder: opus::Encoder,
    clip: Vec<i16>,
    sent: usize,
}

impl Speaker {
    fn new(clip: Vec<i16>) -> Self {
        let encoder = opus::Encoder::new(48_000, Channels::Mono, Application::Voip);
        Self {
            encoder: encoder.expect("a format"),
            clip,
            sent: 0,
        }
    }

    fn packet(&mut self) -> Packet {
        let at = self.sent * 960 % (self.clip.len() - 960);
        let payload = self.encoder.encode_vec(&self.clip[at..at + 960], 1_275);
        self.sent += 1;
        let number = self.sent as u64;
        Packet::new(
            Bytes::from(payload.expect("a frame")),
            number,
            number * 960,
            1,
        )
        .expect("a packet of opus")
    }
}

/// A call of two, Anna and a softer Ben; only who has the baton speaks.
struct Call {
    playout: Playout,
    speakers: [Speaker; 2],
    decoder: opus::Decoder,
    holder: Option<Input>,
    epoch: u64,
    now: u64,
}

const ANNA: usize = 0;
const BEN: usize = 1;

impl Call {
    fn new(anna: Vec<i16>, ben: Vec<i16>) -> Self {
        let config = PlayoutConfig {
            learns: true,
            ..PlayoutConfig::default()
        };
        let mut playout = Playout::new(config).expect("an encoder");
        for track in 0..2 {
            assert!(playout.attach(TrackId(track), SourceId(track)));
        }
        Self {
            playout,
            speakers: [anna, ben].map(Speaker::new),
            decoder: opus::Decoder::new(48_000, Channels::Mono).expect("a format"),
            holder: None,
            epoch: 0,
            now: 0,
        }
    }

    fn of_speech() -> Self {
        let softer = 16_000.0 * 10_f64.powf(-SOFTER_DB / 20.0);
        Self::new(speech(110.0, 16_000.0, 12), speech(190.0, softer, 12))
    }

    /// Moves the baton. `told` is what is known of both beforehand; without it nothing is matched.
    fn switch(&mut self, to: usize, told: Option<[Option<f32>; 2]>) {
        self.epoch += 1;
        let input = Input {
            source: SourceId(to as u32),
            epoch: Epoch(self.epoch),
        };
        self.playout.admit(input).expect("there is room");
        match (self.holder, told) {
            (Some(from), Some([from_lufs, to_lufs])) => self
                .playout
                .match_loudness((from.source, from_lufs), (input.source, to_lufs)),
            (Some(_), None) | (None, _) => self.playout.set_gain(input.source, 0.0),
        }
        self.playout
            .start_fade(
                self.holder,
                Some(input),
                Fade::equal_power(120),
                FadeStart::FirstSound,
            )
            .expect("both are in");
        self.holder = Some(input);
    }

    /// What is heard in the next seconds, and how many slots were packets that passed.
    fn hear(&mut self, seconds: usize) -> (Vec<i16>, usize) {
        let (mut pcm, mut passed) = (Vec::new(), 0);
        let speaking = self.holder.map_or(0, |holder| holder.source.0);
        for slot in 0..seconds * SLOTS_PER_SECOND {
            let packet = self.speakers[speaking as usize].packet();
            self.playout.push(TrackId(speaking), packet);
            // The old one goes on into the crossfade.
            if slot < 10 {
                let other = 1 - speaking;
                let packet = self.speakers[other as usize].packet();
                self.playout.push(TrackId(other), packet);
            }
            for _ in 0..2 {
                while let Some(slot) = self.playout.poll(self.now) {
                    let payload = slot.payload.expect("every slot is filled");
                    let mut out = [0; 5_760];
                    let decoded = self.decoder.decode(&payload, &mut out, false);
                    pcm.extend_from_slice(&out[..decoded.expect("a packet")]);
                    passed += usize::from(slot.made == Made::Passed);
                }
                self.now += 480;
            }
        }
        (pcm, passed)
    }
}

/// The end of what was heard.
fn end(pcm: &[i16], seconds: usize) -> &[i16] {
    &pcm[pcm.len() - seconds * 48_000..]
}

#[test]
fn without_a_match_the_step_is_heard() {
    let mut call = Call::of_speech();
    call.switch(ANNA, None);
    let anna = call.hear(6).0;
    call.switch(BEN, None);
    let step = lufs(end(&call.hear(6).0, 5)) - lufs(end(&anna, 5));
    assert!((step + SOFTER_DB).abs() < 1.0, "{step} LU");
}

#[test]
fn a_voice_that_was_told_of_is_matched_from_its_first_word() {
    let mut call = Call::of_speech();
    let ben = lufs(&call.speakers[BEN].clip) as f32;
    call.switch(ANNA, None);
    let anna = call.hear(6).0;
    assert!(
        call.playout.loudness(SourceId(0)).is_some(),
        "it is learned"
    );
    assert_eq!(call.playout.loudness(SourceId(1)), None);
    call.switch(BEN, Some([None, Some(ben)]));
    // Two seconds, after the crossfade.
    let heard = call.hear(2).0;
    let step = lufs(&heard[9_600..]) - lufs(end(&anna, 5));
    assert!(step.abs() <= MATCHED_LU, "{step} LU");
}

#[test]
fn a_voice_that_spoke_before_is_matched_from_its_first_word() {
    let mut call = Call::of_speech();
    call.switch(BEN, None);
    call.hear(6);
    call.switch(ANNA, None);
    let anna = call.hear(6).0;
    call.switch(BEN, Some([None, None]));
    let heard = call.hear(2).0;
    let step = lufs(&heard[9_600..]) - lufs(end(&anna, 5));
    assert!(step.abs() <= MATCHED_LU, "{step} LU");
}

#[test]
fn a_voice_of_which_nothing_is_known_is_matched_within_seven_seconds() {
    let mut call = Call::of_speech();
    call.switch(ANNA, None);
    let anna = lufs(end(&call.hear(6).0, 5));
    call.switch(BEN, Some([None, None]));
    let first = lufs(&call.hear(2).0[9_600..]) - anna;
    assert!(first < -SOFTER_DB / 2.0, "not yet: {first} LU");
    call.hear(5);
    let step = lufs(&call.hear(4).0) - anna;
    assert!(step.abs() <= MATCHED_LU, "{step} LU");
}

#[test]
fn what_was_told_wrong_is_put_right() {
    let mut call = Call::of_speech();
    let ben = lufs(&call.speakers[BEN].clip) as f32;
    call.switch(ANNA, None);
    let anna = lufs(end(&call.hear(6).0, 5));
    call.switch(BEN, Some([None, Some(ben - 3.0)]));
    let first = lufs(&call.hear(2).0[9_600..]) - anna;
    assert!(first > 2.0, "too loud at first: {first} LU");
    call.hear(5);
    let step = lufs(&call.hear(4).0) - anna;
    assert!(step.abs() <= MATCHED_LU, "{step} LU");
}

#[test]
fn voices_that_are_alike_still_pass_as_they_came() {
    let mut call = Call::new(speech(110.0, 12_000.0, 12), speech(112.0, 12_300.0, 12));
    call.switch(ANNA, None);
    call.hear(6);
    call.switch(BEN, Some([None, None]));
    call.hear(2);
    let (_, passed) = call.hear(4);
    assert!(passed > 3 * SLOTS_PER_SECOND, "{passed} slots");
}

#[test]
fn a_match_never_turns_up_a_whisper_beyond_its_bound() {
    let mut call = Call::new(speech(110.0, 16_000.0, 12), speech(190.0, 800.0, 12));
    call.switch(ANNA, None);
    let anna = lufs(end(&call.hear(6).0, 5));
    call.switch(BEN, Some([None, None]));
    call.hear(7);
    let step = lufs(&call.hear(4).0) - anna;
    // 26 dB softer, of which 12 are made good.
    assert!((-16.0..-12.0).contains(&step), "{step} LU");
}
