//! What the caller hears, through the public API: solo, fades, fences, odd arrival, levels.

use std::f32::consts::TAU;

use audio::{
    Curve, Epoch, FRAME_SAMPLES, Fade, FadeStart, Frame, Input, MixerConfig, MixerError,
    ProgramMixer, PullReport, Pushed, SILENCE_DBFS, SOURCES_MAX, SourceId, Switch, Utterance,
    UtteranceConfig, UtteranceEvent, level_dbfs, peak_dbfs,
};
use proptest::prelude::*;

const ANNA: Input = input(1, 1);
const BEN: Input = input(2, 2);

const fn input(source: u32, epoch: u64) -> Input {
    Input {
        source: SourceId(source),
        epoch: Epoch(epoch),
    }
}

/// A sine that goes on from frame to frame.
struct Sine {
    hz: f32,
    peak: f32,
    at: usize,
}

impl Sine {
    fn new(hz: f32, peak: f32) -> Self {
        Self { hz, peak, at: 0 }
    }

    fn frame(&mut self) -> Frame {
        let mut frame = Frame::SILENCE;
        for sample in frame.samples_mut() {
            *sample =
                (self.peak * (TAU * self.hz * self.at as f32 / 48_000.0).sin()).round() as i16;
            self.at += 1;
        }
        frame
    }

    /// The largest step from one sample to the next.
    fn steepest(&self) -> f32 {
        self.peak * TAU * self.hz / 48_000.0
    }
}

fn constant(value: i16) -> Frame {
    Frame::new([value; FRAME_SAMPLES])
}

fn pull(mixer: &mut ProgramMixer, heard: &mut Vec<i16>) -> PullReport {
    let mut out = Frame::SILENCE;
    let report = mixer.pull(&mut out);
    heard.extend_from_slice(out.samples());
    report
}

/// A mixer in which `input` is heard from its first frame.
fn solo(input: Input) -> ProgramMixer {
    let mut mixer = ProgramMixer::new(MixerConfig::default());
    mixer.admit(input).expect("the mixer is empty");
    mixer
        .start_fade(None, Some(input), Fade::CUT, FadeStart::FirstSound)
        .expect("it is admitted");
    mixer
}

fn largest_jump(samples: &[i16]) -> i32 {
    samples
        .windows(2)
        .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
        .max()
        .unwrap_or(0)
}

#[test]
fn nothing_admitted_gives_silence() {
    let mut mixer = ProgramMixer::new(MixerConfig::default());
    let mut heard = Vec::new();
    let report = pull(&mut mixer, &mut heard);
    assert_eq!(heard, [0; FRAME_SAMPLES]);
    assert_eq!(report.program_dbfs, SILENCE_DBFS);
    assert_eq!(report.voices().count(), 0);
}

#[test]
fn a_source_that_was_not_admitted_is_refused_and_never_heard() {
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    for _ in 0..10 {
        assert_eq!(mixer.push(BEN, &constant(20_000)), Pushed::Refused);
        assert_eq!(mixer.push(input(1, 2), &constant(20_000)), Pushed::Refused);
        mixer.push(ANNA, &constant(500));
        pull(&mut mixer, &mut heard);
    }
    assert_eq!(mixer.counters().refused, 20);
    assert!(heard.iter().all(|&sample| (0..=500).contains(&sample)));
}

#[test]
fn an_admitted_source_waits_unheard_until_a_fade_leads_to_it() {
    let mut mixer = solo(ANNA);
    mixer.admit(BEN).expect("there is room");
    let mut heard = Vec::new();
    for _ in 0..20 {
        mixer.push(ANNA, &constant(100));
        mixer.push(BEN, &constant(20_000));
        pull(&mut mixer, &mut heard);
    }
    assert!(heard.iter().all(|&sample| sample <= 100));
    assert!(mixer.counters().expired > 0);
}

#[test]
fn an_older_epoch_is_not_admitted_again() {
    let mut mixer = ProgramMixer::new(MixerConfig::default());
    mixer.admit(BEN).expect("there is room");
    assert_eq!(
        mixer.admit(ANNA),
        Err(MixerError::Stale {
            epoch: Epoch(1),
            newest: Epoch(2)
        })
    );
    assert!(!mixer.is_admitted(ANNA));
}

#[test]
fn admissions_are_bounded() {
    let mut mixer = ProgramMixer::new(MixerConfig::default());
    for source in 0..SOURCES_MAX as u32 {
        mixer.admit(input(source, 1)).expect("there is room");
    }
    assert_eq!(mixer.admit(input(9, 1)), Err(MixerError::Full));
    assert_eq!(
        mixer.admit(input(0, 1)),
        Ok(()),
        "again is no second admission"
    );
    mixer.drop_source(input(0, 1));
    assert_eq!(mixer.admit(input(9, 1)), Ok(()));
}

#[test]
fn a_fade_to_or_from_a_stranger_is_refused() {
    let mut mixer = solo(ANNA);
    let fade = Fade::equal_power(20);
    let asked =
        |mixer: &mut ProgramMixer, from, to| mixer.start_fade(from, to, fade, FadeStart::AtOnce);
    assert_eq!(
        asked(&mut mixer, Some(ANNA), Some(BEN)),
        Err(MixerError::NotAdmitted(BEN))
    );
    assert_eq!(
        asked(&mut mixer, Some(BEN), Some(ANNA)),
        Err(MixerError::NotAdmitted(BEN))
    );
    assert_eq!(
        asked(&mut mixer, Some(ANNA), Some(ANNA)),
        Err(MixerError::OneSided)
    );
    assert_eq!(asked(&mut mixer, None, None), Err(MixerError::OneSided));
}

#[test]
fn the_old_source_plays_on_until_the_first_sound_of_the_new_one() {
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    for _ in 0..3 {
        mixer.push(ANNA, &constant(1_000));
    }
    pull(&mut mixer, &mut heard);
    mixer.admit(BEN).expect("there is room");
    mixer
        .start_fade(Some(ANNA), Some(BEN), Fade::CUT, FadeStart::FirstSound)
        .expect("both are in");
    heard.clear();
    for _ in 0..50 {
        mixer.push(ANNA, &constant(1_000));
        assert_eq!(mixer.push(BEN, &Frame::SILENCE), Pushed::LeadingSilence);
        assert_eq!(pull(&mut mixer, &mut heard).fade_started, None);
    }
    assert!(heard.iter().all(|&sample| sample == 1_000));
    assert_eq!(mixer.push(BEN, &constant(2_000)), Pushed::FirstSound);
    assert_eq!(mixer.push(BEN, &constant(2_001)), Pushed::Queued);
    heard.clear();
    let report = pull(&mut mixer, &mut heard);
    let switch = Switch {
        from: Some(ANNA),
        to: Some(BEN),
    };
    assert_eq!(report.fade_started, Some(switch));
    assert_eq!(report.fade_done, Some(switch));
    assert_eq!(report.first_heard(), Some(BEN));
    assert!(
        heard.iter().all(|&sample| sample == 2_000),
        "no frame of the new one is lost"
    );
    assert_eq!(
        mixer.push(ANNA, &constant(1_000)),
        Pushed::Refused,
        "the old side is gone"
    );
}

#[test]
fn a_fade_can_be_called_off_while_it_waits() {
    let mut mixer = solo(ANNA);
    mixer.push(ANNA, &constant(700));
    mixer.push(ANNA, &constant(700));
    let mut heard = Vec::new();
    pull(&mut mixer, &mut heard);
    mixer.admit(BEN).expect("there is room");
    mixer
        .start_fade(
            Some(ANNA),
            Some(BEN),
            Fade::equal_power(20),
            FadeStart::FirstSound,
        )
        .expect("both are in");
    assert!(mixer.is_fade_waiting());
    assert!(mixer.cancel_fade());
    heard.clear();
    for _ in 0..10 {
        mixer.push(ANNA, &constant(700));
        mixer.push(BEN, &constant(20_000));
        pull(&mut mixer, &mut heard);
    }
    assert!(heard.iter().all(|&sample| sample == 700));
}

#[test]
fn a_waiting_fade_goes_on_from_silence_when_the_old_source_is_lost() {
    let mut mixer = solo(ANNA);
    mixer.admit(BEN).expect("there is room");
    mixer
        .start_fade(Some(ANNA), Some(BEN), Fade::CUT, FadeStart::FirstSound)
        .expect("both are in");
    mixer.drop_source(ANNA);
    mixer.push(BEN, &constant(900));
    mixer.push(BEN, &constant(900));
    let report = pull(&mut mixer, &mut Vec::new());
    assert_eq!(
        report.fade_done,
        Some(Switch {
            from: None,
            to: Some(BEN)
        })
    );
}

#[test]
fn at_once_does_not_wait_for_the_new_source() {
    let mut mixer = solo(ANNA);
    mixer.push(ANNA, &constant(500));
    mixer.push(ANNA, &constant(500));
    pull(&mut mixer, &mut Vec::new());
    mixer.admit(BEN).expect("there is room");
    mixer
        .start_fade(Some(ANNA), Some(BEN), Fade::CUT, FadeStart::AtOnce)
        .expect("both are in");
    let mut heard = Vec::new();
    let report = pull(&mut mixer, &mut heard);
    assert!(report.fade_done.is_some());
    assert!(heard.iter().all(|&sample| sample == 0));
    mixer.push(BEN, &constant(300));
    mixer.push(BEN, &constant(300));
    assert_eq!(pull(&mut mixer, &mut heard).first_heard(), Some(BEN));
}

#[test]
fn a_fade_overtaken_midway_goes_on_from_the_gains_it_reached() {
    let (mut anna, mut ben) = (Sine::new(300.0, 8_000.0), Sine::new(700.0, 8_000.0));
    let steepest = anna.steepest() + ben.steepest();
    let mut mixer = solo(ANNA);
    mixer.admit(BEN).expect("there is room");
    let mut heard = Vec::new();
    for index in 0..40 {
        mixer.push(ANNA, &anna.frame());
        mixer.push(BEN, &ben.frame());
        if index == 5 {
            mixer
                .start_fade(
                    Some(ANNA),
                    Some(BEN),
                    Fade::equal_power(100),
                    FadeStart::AtOnce,
                )
                .expect("both are in");
        }
        if index == 10 {
            mixer
                .start_fade(
                    Some(BEN),
                    Some(ANNA),
                    Fade::equal_power(60),
                    FadeStart::AtOnce,
                )
                .expect("both are in");
        }
        pull(&mut mixer, &mut heard);
    }
    assert!(mixer.is_admitted(ANNA) && !mixer.is_admitted(BEN));
    let jump = largest_jump(&heard[FRAME_SAMPLES * 4..]);
    assert!(jump as f32 <= steepest * 1.1, "a jump of {jump}");
}

#[test]
fn running_dry_dies_away_and_comes_back_without_a_jump() {
    let mut sine = Sine::new(400.0, 10_000.0);
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    let mut underruns = 0;
    for index in 0..60 {
        if !(20..23).contains(&index) {
            mixer.push(ANNA, &sine.frame());
        }
        underruns += pull(&mut mixer, &mut heard).underruns();
    }
    assert_eq!(underruns, 1);
    assert_eq!(mixer.counters().underruns, 1);
    // The first frame is a cut by the test's own wish; a rise of 2.5 ms may be steeper than a sine.
    let jump = largest_jump(&heard[FRAME_SAMPLES * 3..]);
    assert!(jump as f32 <= sine.steepest() * 1.5, "a jump of {jump}");
}

#[test]
fn a_burst_is_shortened_and_never_played_faster() {
    let mut sine = Sine::new(400.0, 10_000.0);
    let steepest = sine.steepest();
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    for _ in 0..3 {
        mixer.push(ANNA, &sine.frame());
        pull(&mut mixer, &mut heard);
    }
    let shortened = (0..20)
        .filter(|_| mixer.push(ANNA, &sine.frame()) == Pushed::Shortened)
        .count();
    assert!(shortened >= 16);
    assert_eq!(mixer.counters().shortened, shortened as u64);
    let from = heard.len() - 1;
    for _ in 0..4 {
        pull(&mut mixer, &mut heard);
    }
    let jump = largest_jump(&heard[from..]);
    assert!(jump as f32 <= steepest * 2.0, "a jump of {jump}");
}

#[test]
fn a_source_dropped_while_it_plays_is_gone_within_a_frame_without_a_jump() {
    let mut sine = Sine::new(400.0, 10_000.0);
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    for _ in 0..10 {
        mixer.push(ANNA, &sine.frame());
        pull(&mut mixer, &mut heard);
    }
    mixer.drop_source(ANNA);
    let from = heard.len() - 1;
    pull(&mut mixer, &mut heard);
    pull(&mut mixer, &mut heard);
    assert!(largest_jump(&heard[from..]) as f32 <= sine.steepest() * 1.5);
    assert!(
        heard[heard.len() - FRAME_SAMPLES..]
            .iter()
            .all(|&sample| sample == 0)
    );
}

#[test]
fn two_loud_sources_are_limited_and_do_not_wrap() {
    let mut mixer = solo(ANNA);
    let mut heard = Vec::new();
    for _ in 0..3 {
        mixer.push(ANNA, &constant(30_000));
    }
    assert!(
        !pull(&mut mixer, &mut heard).limited,
        "one source alone passes unchanged"
    );
    assert!(heard.iter().all(|&sample| sample == 30_000));
    mixer.admit(BEN).expect("there is room");
    mixer
        .start_fade(None, Some(BEN), Fade::CUT, FadeStart::AtOnce)
        .expect("it is admitted");
    for _ in 0..10 {
        mixer.push(ANNA, &constant(30_000));
        mixer.push(BEN, &constant(30_000));
        pull(&mut mixer, &mut heard);
    }
    assert!(
        heard.iter().all(|&sample| sample > 0),
        "a sum that wraps is negative"
    );
    assert_eq!(heard.last(), Some(&32_767));
    assert!(mixer.counters().limited > 0);
}

/// White noise of a uniform distribution.
struct Noise {
    state: u64,
    peak: f32,
}

impl Noise {
    fn frame(&mut self) -> Frame {
        let mut frame = Frame::SILENCE;
        for sample in frame.samples_mut() {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = (self.state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0;
            *sample = (uniform * self.peak) as i16;
        }
        frame
    }
}

#[test]
fn the_power_of_a_crossfade_between_two_voices_ripples_by_less_than_half_a_decibel() {
    const FRAMES: usize = 24;
    const FADES: u64 = 200;
    let mut power = [0.0_f64; FRAMES];
    for seed in 0..FADES {
        let noise = |state| Noise {
            state,
            peak: 12_000.0,
        };
        let (mut anna, mut ben) = (noise(seed * 2 + 1), noise(!seed << 20));
        let mut mixer = solo(ANNA);
        mixer.admit(BEN).expect("there is room");
        let mut heard = Vec::new();
        for frame in 0..FRAMES + 6 {
            mixer.push(ANNA, &anna.frame());
            mixer.push(BEN, &ben.frame());
            if frame == 10 {
                mixer
                    .start_fade(
                        Some(ANNA),
                        Some(BEN),
                        Fade::equal_power(120),
                        FadeStart::AtOnce,
                    )
                    .expect("both are in");
            }
            heard.clear();
            pull(&mut mixer, &mut heard);
            if let Some(sum) = frame.checked_sub(6).and_then(|at| power.get_mut(at)) {
                *sum += heard
                    .iter()
                    .map(|&sample| f64::from(sample).powi(2))
                    .sum::<f64>();
            }
        }
    }
    // Both sides are as loud: the first frames are Anna's alone, the last ones Ben's.
    let mean = power.iter().sum::<f64>() / FRAMES as f64;
    let ripple = power.map(|power| 10.0 * (power / mean).log10());
    assert!(ripple.iter().all(|db| db.abs() <= 0.5), "{ripple:?}");
    assert!(mean > 0.0);
}

#[test]
fn the_sum_of_two_voices_at_full_scale_never_clips() {
    let mut heard = Vec::new();
    let mut limited = 0;
    for (anna_hz, ben_hz) in [(440.0, 660.0), (130.0, 3_100.0), (1_000.0, 1_001.0)] {
        let (mut anna, mut ben) = (Sine::new(anna_hz, 32_767.0), Sine::new(ben_hz, 32_767.0));
        let mut mixer = solo(ANNA);
        mixer.admit(BEN).expect("there is room");
        for frame in 0..200 {
            mixer.push(ANNA, &anna.frame());
            mixer.push(BEN, &ben.frame());
            if frame == 20 {
                mixer
                    .start_fade(None, Some(BEN), Fade::equal_power(120), FadeStart::AtOnce)
                    .expect("it is admitted");
            }
            pull(&mut mixer, &mut heard);
        }
        limited += mixer.counters().limited;
    }
    // What clips stays at full scale; the peak of a sine of 130 Hz is there for a few samples at most.
    let flat = heard.chunk_by(|one, next| one == next);
    let flattest = flat
        .filter(|run| run[0].unsigned_abs() >= 32_766)
        .map(<[i16]>::len)
        .max();
    assert!(flattest.unwrap_or(0) <= 4, "{flattest:?} samples");
    assert!(limited > 300, "{limited} frames");
}

#[test]
fn levels_are_in_dbfs() {
    assert_eq!(level_dbfs(&[]), SILENCE_DBFS);
    assert_eq!(level_dbfs(&[0; 10]), SILENCE_DBFS);
    assert!(level_dbfs(&[i16::MIN; 10]).abs() < 0.001);
    let sine = Sine::new(1_000.0, 32_767.0).frame();
    assert!((level_dbfs(sine.samples()) + 3.01).abs() < 0.02);
    assert!((peak_dbfs(&[0, -3_277, 12]) + 20.0).abs() < 0.01);
}

#[test]
fn an_utterance_ends_after_its_hangover() {
    let mut utterance = Utterance::new(UtteranceConfig::default());
    assert!(utterance.is_over());
    assert_eq!(utterance.observe(-20.0), None, "10 ms may be a click");
    assert_eq!(utterance.observe(-20.0), Some(UtteranceEvent::Began));
    for _ in 0..19 {
        assert_eq!(utterance.observe(SILENCE_DBFS), None);
    }
    assert!(!utterance.is_over());
    assert_eq!(utterance.observe(SILENCE_DBFS), Some(UtteranceEvent::Ended));
    assert!(utterance.is_over());
}

#[test]
fn a_short_pause_does_not_end_an_utterance() {
    let mut utterance = Utterance::new(UtteranceConfig::default());
    for _ in 0..20 {
        utterance.observe(-30.0);
        for _ in 0..15 {
            assert_eq!(utterance.observe(-70.0), None);
        }
        utterance.observe(-30.0);
    }
    assert!(!utterance.is_over());
}

#[test]
fn a_click_begins_no_utterance() {
    let mut utterance = Utterance::new(UtteranceConfig::default());
    for _ in 0..20 {
        assert_eq!(utterance.observe(-10.0), None);
        assert_eq!(utterance.observe(-70.0), None);
    }
}

#[test]
fn a_renewed_input_plays_on_without_a_gap() {
    let mut anna = Sine::new(300.0, 12_000.0);
    let mut mixer = solo(ANNA);
    let later = Input {
        epoch: Epoch(ANNA.epoch.0 + 1),
        ..ANNA
    };
    let mut heard = Vec::new();
    let mut current = ANNA;
    for index in 0..20 {
        if index == 10 {
            current = mixer.renew(ANNA, later.epoch).expect("anna is in");
        }
        assert_ne!(mixer.push(current, &anna.frame()), Pushed::Refused);
        pull(&mut mixer, &mut heard);
    }
    assert_eq!(current, later);
    assert!(largest_jump(&heard[FRAME_SAMPLES * 3..]) as f32 <= anna.steepest() + 1.0);
    assert_eq!(mixer.push(ANNA, &anna.frame()), Pushed::Refused);
    assert_eq!(
        mixer.renew(later, ANNA.epoch),
        Err(MixerError::Stale {
            epoch: ANNA.epoch,
            newest: later.epoch
        })
    );
    assert_eq!(
        mixer.renew(ANNA, later.epoch),
        Err(MixerError::NotAdmitted(ANNA))
    );
}

proptest! {
    #[test]
    fn solo_loses_and_repeats_nothing_whatever_the_jitter(late in prop::collection::vec(0usize..3, 1..200)) {
        let mut mixer = ProgramMixer::new(MixerConfig { prebuffer_frames: 3, backlog_frames: 6, onset_dbfs: -60.0 });
        mixer.admit(ANNA).expect("the mixer is empty");
        mixer.start_fade(None, Some(ANNA), Fade::CUT, FadeStart::FirstSound).expect("it is admitted");
        let (mut heard, mut sent, mut value) = (Vec::new(), Vec::new(), 100_i16);
        // Frame n is due at pull n and comes up to 20 ms late, in order.
        for now in 0..late.len() + 6 {
            while sent.len() < late.len() && sent.len() + late[sent.len()] <= now {
                value = if value > 30_000 { 100 } else { value + 1 };
                mixer.push(ANNA, &constant(value));
                sent.push(value);
            }
            pull(&mut mixer, &mut heard);
        }
        let start = heard.iter().position(|&sample| sample != 0);
        let played: Vec<i16> = heard[start.unwrap_or(heard.len())..].chunks(FRAME_SAMPLES).map(|frame| frame[0]).collect();
        if sent.len() >= 3 {
            prop_assert_eq!(&played[..sent.len()], &sent[..]);
        }
        prop_assert_eq!(mixer.counters().shortened, 0);
    }

    #[test]
    fn an_equal_power_fade_is_as_long_as_asked_and_keeps_the_power(samples in 1u32..4_000) {
        let mut mixer = solo(ANNA);
        mixer.push(ANNA, &constant(10_000));
        mixer.push(ANNA, &constant(10_000));
        pull(&mut mixer, &mut Vec::new());
        mixer.admit(BEN).expect("there is room");
        // Two mixers would be needed to see both sides; signs and scales keep them apart instead.
        let fade = Fade { curve: Curve::EqualPower, samples };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let mut other = mixer.clone();
        mixer.start_fade(Some(ANNA), Some(BEN), fade, FadeStart::AtOnce).expect("both are in");
        other.start_fade(Some(ANNA), Some(BEN), fade, FadeStart::AtOnce).expect("both are in");
        let frames = samples as usize / FRAME_SAMPLES + 3;
        for index in 0..frames {
            mixer.push(ANNA, &constant(10_000));
            other.push(ANNA, &constant(0));
            for _ in 0..if index == 0 { 2 } else { 1 } {
                mixer.push(BEN, &constant(0));
                other.push(BEN, &constant(10_000));
            }
            pull(&mut mixer, &mut old);
            pull(&mut other, &mut new);
        }
        let samples = samples as usize;
        // `other` still plays two frames of the old source that were pushed before.
        for index in (2 * FRAME_SAMPLES).min(samples)..samples {
            let power = (f64::from(old[index]).powi(2) + f64::from(new[index]).powi(2)) / 1e8;
            prop_assert!((10.0 * power.log10()).abs() <= 0.5, "{power} at {index}");
        }
        prop_assert!(old[samples..].iter().all(|&sample| sample == 0));
        prop_assert!(new[samples.max(2 * FRAME_SAMPLES)..].iter().all(|&sample| sample == 10_000));
    }

    #[test]
    fn a_fade_between_two_tones_has_no_jump(samples in 240u32..6_000, linear: bool) {
        let (mut anna, mut ben) = (Sine::new(300.0, 12_000.0), Sine::new(500.0, 12_000.0));
        let steepest = anna.steepest() + ben.steepest() + 12_000.0 * 2.0 * TAU / 4.0 / samples as f32;
        let mut mixer = solo(ANNA);
        let curve = if linear { Curve::Linear } else { Curve::EqualPower };
        mixer.admit(BEN).expect("there is room");
        let mut heard = Vec::new();
        for index in 0..30 {
            mixer.push(ANNA, &anna.frame());
            if index == 5 {
                let fade = Fade { curve, samples };
                mixer.start_fade(Some(ANNA), Some(BEN), fade, FadeStart::FirstSound).expect("both are in");
            }
            if index >= 5 {
                mixer.push(BEN, &ben.frame());
            }
            pull(&mut mixer, &mut heard);
        }
        prop_assert!(largest_jump(&heard[FRAME_SAMPLES * 3..]) as f32 <= steepest);
    }

    #[test]
    fn whatever_is_done_no_more_than_the_admitted_are_heard(
        steps in prop::collection::vec((0u8..6, 0u32..5, 0u64..4, 0u32..2_000), 1..300)
    ) {
        let mut mixer = ProgramMixer::new(MixerConfig::default());
        let mut newest = 0;
        for (what, source, epoch, samples) in steps {
            let one = input(source, epoch);
            let other = input((source + 1) % 5, epoch);
            match what {
                0 => if mixer.admit(one).is_ok() { newest = newest.max(epoch) },
                1 => mixer.drop_source(one),
                2 => {
                    let admitted = mixer.is_admitted(one);
                    let pushed = mixer.push(one, &constant(20_000));
                    prop_assert_eq!(admitted, pushed != Pushed::Refused);
                }
                3 => {
                    let fade = Fade { curve: Curve::EqualPower, samples };
                    let start = if samples % 2 == 0 { FadeStart::AtOnce } else { FadeStart::FirstSound };
                    let asked = mixer.start_fade(Some(one), Some(other), fade, start);
                    prop_assert_eq!(asked.is_ok(), mixer.is_admitted(one) && mixer.is_admitted(other));
                }
                4 => {
                    mixer.cancel_fade();
                }
                _ => {
                    let mut out = Frame::SILENCE;
                    let report = mixer.pull(&mut out);
                    prop_assert!(report.voices().all(|voice| (0.0..=1.0).contains(&voice.gain)));
                    prop_assert!(report.voices().all(|voice| voice.input.epoch.0 <= newest));
                }
            }
        }
    }
}
