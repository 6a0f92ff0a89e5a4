//! Recordings with known holes, leaks and overlaps: every check has to see them.

use proptest::prelude::*;

use super::*;
use crate::tone::Tone;

const RATE: u32 = 48_000;
const FULL_DBFS: f64 = -12.0;
const ANNA: usize = 0;
const BEN: usize = 1;
const ROGUE: usize = 2;
const TONES: [u32; 3] = [600, 1_700, 2_900];

fn expected(holders: &[usize], fade_ms: u64) -> Expected {
    let voice = |(name, hz): (&str, u32)| Voice {
        name: name.to_owned(),
        hz,
    };
    Expected {
        voices: ["anna", "ben", "rogue"]
            .into_iter()
            .zip(TONES)
            .map(voice)
            .collect(),
        holders: holders.to_vec(),
        fade_ms,
        full_dbfs: FULL_DBFS,
    }
}

/// A recording that is drawn: who sounds from when to when, and how loud.
struct Recording(Vec<f64>);

impl Recording {
    fn new(ms: usize) -> Self {
        Self(vec![0.0; ms * 48])
    }

    fn sound(self, voice: usize, from_ms: usize, until_ms: usize) -> Self {
        self.shaped(voice, from_ms, until_ms, |_| 1.0)
    }

    /// `gain` is a function of the share of the span that has passed.
    fn shaped(
        mut self,
        voice: usize,
        from_ms: usize,
        until_ms: usize,
        gain: impl Fn(f64) -> f64,
    ) -> Self {
        let mut tone = Tone::new(TONES[voice], FULL_DBFS, RATE).expect("on the grid");
        let samples = tone.take_ms((until_ms - from_ms) as u32);
        let length = samples.len() as f64;
        for (index, sample) in samples.into_iter().enumerate() {
            self.0[from_ms * 48 + index] += f64::from(sample) * gain(index as f64 / length);
        }
        self
    }

    fn fade(self, from: usize, to: usize, at_ms: usize, ms: usize) -> Self {
        let quarter = std::f64::consts::FRAC_PI_2;
        self.shaped(from, at_ms, at_ms + ms, |share| (share * quarter).cos())
            .shaped(to, at_ms, at_ms + ms, |share| (share * quarter).sin())
    }

    fn judge(&self, expected: &Expected) -> Verdict {
        let samples: Vec<i16> = self.0.iter().map(|sample| *sample as i16).collect();
        judge(&samples, RATE, expected).expect("it can be judged")
    }
}

#[test]
fn a_clean_cut_has_neither_silence_nor_overlap_nor_leak() {
    let recording = Recording::new(2_000)
        .sound(ANNA, 200, 1_000)
        .sound(BEN, 1_000, 1_800);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 0));
    let clean = Change {
        from: ANNA,
        to: BEN,
        at_ms: 1_000,
        audible_at_ms: 1_000,
        silence_ms: 0,
        lost_ms: 0,
        overlap_ms: 0,
    };
    assert_eq!(verdict.changes, [clean]);
    assert_eq!((verdict.leaked_ms, verdict.stray_silence_ms), (0, 0));
    assert!(verdict.missing.is_empty());
    assert_eq!(
        verdict.heard[0],
        Heard {
            voice: ANNA,
            start_ms: 200,
            end_ms: 1_000
        }
    );
    assert_eq!(
        verdict.heard[1],
        Heard {
            voice: BEN,
            start_ms: 1_000,
            end_ms: 1_800
        }
    );
}

#[test]
fn a_hole_is_measured() {
    let recording = Recording::new(2_000)
        .sound(ANNA, 200, 1_000)
        .sound(BEN, 1_070, 1_800);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 0));
    assert_eq!(verdict.changes[0].silence_ms, 70);
    assert_eq!(verdict.changes[0].audible_at_ms, 1_070);
    assert_eq!(verdict.leaked_ms, 0);
}

#[test]
fn a_hole_after_the_new_one_was_heard_for_a_moment_is_the_changes_too() {
    let recording = Recording::new(2_000)
        .sound(ANNA, 0, 1_000)
        .sound(BEN, 1_000, 1_050)
        .sound(BEN, 1_200, 2_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 0));
    assert_eq!(verdict.changes[0].silence_ms, 150);
}

#[test]
fn silence_far_from_a_change_is_stray() {
    let recording = Recording::new(8_000)
        .sound(ANNA, 0, 1_000)
        .sound(ANNA, 1_100, 4_000)
        .sound(BEN, 4_000, 6_000)
        .sound(BEN, 6_040, 8_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 0));
    assert_eq!(verdict.stray_silence_ms, 140);
    assert_eq!(verdict.changes[0].lost_ms, 40, "of Ben's part");
    assert_eq!(verdict.changes[0].silence_ms, 0);
}

#[test]
fn a_fade_is_an_overlap_and_no_leak() {
    for ms in [20, 60, 200, 1_000] {
        let recording = Recording::new(4_000)
            .sound(ANNA, 0, 1_500)
            .fade(ANNA, BEN, 1_500, ms)
            .sound(BEN, 1_500 + ms, 4_000);
        let verdict = recording.judge(&expected(&[ANNA, BEN], ms as u64));
        let change = verdict.changes[0];
        // Either side is below the threshold in the outermost fiftieth.
        let tolerance = 20 + ms as u64 / 25;
        assert!(
            change.overlap_ms.abs_diff(ms as u64) <= tolerance,
            "{ms}: {change:?}"
        );
        assert_eq!(
            (verdict.leaked_ms, change.silence_ms),
            (0, 0),
            "{ms}: {verdict:?}"
        );
        assert!(
            change.audible_at_ms.abs_diff(1_500) <= tolerance,
            "{ms}: {change:?}"
        );
    }
}

#[test]
fn both_heard_for_longer_than_the_fade_is_a_leak() {
    let recording = Recording::new(4_000)
        .sound(ANNA, 0, 2_500)
        .sound(BEN, 2_000, 4_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 60));
    assert_eq!(verdict.changes[0].overlap_ms, 500);
    assert!(verdict.leaked_ms.abs_diff(500 - 60) <= 30, "{verdict:?}");
}

#[test]
fn the_new_one_heard_too_early_is_a_leak() {
    let recording = Recording::new(4_000)
        .sound(ANNA, 0, 2_000)
        .sound(BEN, 1_000, 1_030)
        .sound(BEN, 2_000, 4_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 60));
    assert_eq!(
        verdict.leaks,
        [Leak {
            voice: BEN,
            at_ms: 1_000,
            ms: 30
        }]
    );
    assert_eq!(verdict.changes[0].at_ms, 2_000);
}

#[test]
fn a_rogue_that_sounds_always_is_a_leak() {
    let recording = Recording::new(4_000)
        .sound(ANNA, 0, 2_000)
        .sound(BEN, 2_000, 4_000)
        .sound(ROGUE, 500, 4_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN], 60));
    assert_eq!(
        verdict.leaks,
        [Leak {
            voice: ROGUE,
            at_ms: 500,
            ms: 3_500
        }]
    );
}

#[test]
fn an_old_holder_that_goes_on_quietly_is_a_leak() {
    let quiet = |db: f64| move |_: f64| 10_f64.powf(db / 20.0);
    let with = |db: f64| {
        let recording = Recording::new(4_000)
            .sound(ANNA, 0, 2_000)
            .shaped(ANNA, 2_000, 4_000, quiet(db))
            .sound(BEN, 2_000, 4_000);
        recording.judge(&expected(&[ANNA, BEN], 0)).leaked_ms
    };
    assert!(with(-28.0) >= 1_900);
    assert_eq!(with(-32.0), 0);
}

#[test]
fn ten_milliseconds_are_no_leak_and_twenty_are() {
    let with = |ms: usize| {
        let recording = Recording::new(3_000)
            .sound(ANNA, 0, 2_000)
            .sound(ROGUE, 1_000, 1_000 + ms)
            .sound(BEN, 2_000, 3_000);
        recording.judge(&expected(&[ANNA, BEN], 0)).leaked_ms
    };
    assert_eq!(with(10), 0);
    assert_eq!(with(20), 20);
}

#[test]
fn a_handoff_that_never_came_is_missing() {
    let recording = Recording::new(4_000).sound(ANNA, 0, 4_000);
    let verdict = recording.judge(&expected(&[ANNA, BEN, ANNA], 60));
    assert_eq!(verdict.missing, [1]);
}

#[test]
fn twenty_changes_are_found_where_they_are() {
    let holders: Vec<usize> = (0..21).map(|index| index % 2).collect();
    let mut recording = Recording::new(21_000);
    for (index, &holder) in holders.iter().enumerate() {
        recording = recording.sound(
            holder,
            index * 1_000,
            (index + 1) * 1_000 - (index % 3) * 10,
        );
    }
    let verdict = recording.judge(&expected(&holders, 0));
    let silences: Vec<u64> = verdict
        .changes
        .iter()
        .map(|change| change.silence_ms)
        .collect();
    let holes: Vec<u64> = (0..20).map(|index| index % 3 * 10).collect();
    assert_eq!(silences, holes);
    assert_eq!(verdict.leaked_ms, 0);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let one = expected(&[ANNA], 0);
    assert_eq!(
        judge(&[0; 100], 44_110, &one).err(),
        Some(ProbeError::SampleRate(44_110))
    );
    let short = ProbeError::TooShort {
        windows: 0,
        holders: 1,
    };
    assert_eq!(judge(&[0; 4_800], RATE, &one).err(), Some(short));
    assert_eq!(
        judge(&[0; 4_800], RATE, &expected(&[], 0)).err(),
        Some(ProbeError::Holders)
    );
    assert_eq!(
        judge(&[0; 4_800], RATE, &expected(&[3], 0)).err(),
        Some(ProbeError::Holders)
    );
    let mut near = one.clone();
    near.voices[1].hz = 700;
    assert_eq!(
        judge(&[0; 4_800], RATE, &near).err(),
        Some(ProbeError::Tone(700))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn holes_anywhere_are_measured_to_a_window(at_ms in 500usize..1_500, hole_ms in 0usize..300) {
        let recording = Recording::new(3_000)
            .sound(ANNA, 0, at_ms)
            .sound(BEN, at_ms + hole_ms, 3_000);
        let verdict = recording.judge(&expected(&[ANNA, BEN], 0));
        let measured = verdict.changes[0].silence_ms;
        // Each of its ends may lie in a window that is heard, or at the edge of one that is not.
        prop_assert!(measured.abs_diff(hole_ms as u64) < 20, "{measured} of {hole_ms}");
        prop_assert_eq!(verdict.leaked_ms, 0);
    }

    #[test]
    fn noise_never_panics(samples in prop::collection::vec(any::<i16>(), 480..20_000)) {
        let _ = judge(&samples, RATE, &expected(&[ANNA, BEN, ANNA], 60));
    }
}
