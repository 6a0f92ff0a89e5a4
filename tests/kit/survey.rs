//! What a recording is like, whoever is heard in it: levels, silence, clicks.
//!
//! A *click* is a step from one sample to the next that the voices do not explain. What they explain is either given, as
//! the 99.9th percentile of the steps of the clips that were played ([`step_of`]), or follows from the tones that are
//! heard around it, or else is read from the recording itself.

use std::f64::consts::PI;

use serde::Serialize;

use crate::probe::{Voice, WINDOW_MS};

/// Level of a window without a single sample other than 0.
pub const SILENCE_DBFS: f64 = -100.0;
/// Clicks that are listed; beyond them they are only counted.
const CLICKS_MAX: usize = 100;
/// Silences that are listed, the longest first.
const SILENCES_MAX: usize = 100;
/// How far a step may exceed what explains it: coding is no exact copy.
const STEP_SLACK: f64 = 1.3;
/// Steps this small are noise, whatever explains them: -40 dBFS.
const STEP_FLOOR: f64 = 328.0;
/// Of a recording that nothing is known of, a step has to exceed its own 99.9th percentile this much.
const OWN_SLACK: f64 = 3.0;
/// Share of the steps that explain a clip.
const PERCENTILE: f64 = 0.999;

/// What explains a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Steps {
    /// Clips whose 99.9th percentile this is.
    Of(f64),
    /// The tones that are heard in a window, a bit per voice, with their peak amplitude.
    Tones {
        /// The tones.
        voices: Vec<Voice>,
        /// Which of them are heard in each window.
        windows: Vec<u8>,
        /// Peak amplitude of each, in 16 bit units.
        peak: f64,
    },
    /// The recording's own.
    Own,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Where it begins, in milliseconds.
    pub at_ms: u64,
    /// How long it is.
    pub ms: u64,
}

/// A step that nothing explains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Click {
    /// Where, in milliseconds.
    pub at_ms: f64,
    /// The step, in 16 bit units.
    pub step: u32,
    /// What would have been explained.
    pub limit: u32,
}

/// What a recording is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// Its largest sample, in dBFS.
    pub peak_dbfs: f64,
    /// Root mean square of the windows that are not silent, in dBFS.
    pub rms_dbfs: f64,
    /// Level that 1 window in 20 stays below, in dBFS.
    pub floor_dbfs: f64,
    /// Samples at either end of the scale.
    pub clipped_samples: u64,
    /// Sum of the silence, in milliseconds.
    pub silence_ms: u64,
    /// Runs of silent windows, the longest first, 100 at most.
    pub silences: Vec<Stretch>,
    /// How many clicks there are, one per window at most.
    pub click_count: u64,
    /// The first of them, 100 at most.
    pub clicks: Vec<Click>,
}

/// Surveys 16 bit mono samples; a window below `silence_dbfs` is silent.
pub fn survey(samples: &[i16], sample_rate_hz: u32, silence_dbfs: f64, steps: &Steps) -> Survey {
    let length = (u64::from(sample_rate_hz) * WINDOW_MS / 1_000).max(1) as usize;
    let levels: Vec<f64> = samples.chunks_exact(length).map(rms_dbfs).collect();
    let silent: Vec<bool> = levels.iter().map(|&level| level < silence_dbfs).collect();
    let mut silences = runs(&silent);
    let silence_ms = silences.iter().map(|silence| silence.ms).sum();
    silences.sort_by_key(|silence| (std::cmp::Reverse(silence.ms), silence.at_ms));
    silences.truncate(SILENCES_MAX);
    let peak = samples
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap_or(0);
    let loud: Vec<f64> = levels
        .iter()
        .copied()
        .filter(|&level| level >= silence_dbfs)
        .collect();
    let power = |level: &f64| 10_f64.powf(level / 10.0);
    let mean_power = loud.iter().map(power).sum::<f64>() / loud.len().max(1) as f64;
    let mut sorted = levels.clone();
    sorted.sort_by(f64::total_cmp);
    let (click_count, clicks) = clicks(samples, length, sample_rate_hz, steps);
    Survey {
        duration_ms: samples.len() as u64 * 1_000 / u64::from(sample_rate_hz.max(1)),
        peak_dbfs: tenth(dbfs(f64::from(peak))),
        rms_dbfs: tenth(if mean_power > 0.0 {
            10.0 * mean_power.log10()
        } else {
            SILENCE_DBFS
        }),
        floor_dbfs: tenth(
            sorted
                .get(sorted.len() / 20)
                .copied()
                .unwrap_or(SILENCE_DBFS),
        ),
        clipped_samples: samples
            .iter()
            .filter(|&&sample| sample == i16::MAX || sample == i16::MIN)
            .count() as u64,
        silence_ms,
        silences,
        click_count,
        clicks,
    }
}

/// The step that 99.9 % of the steps of these samples do not exceed, in 16 bit units.
pub fn step_of(samples: &[i16]) -> f64 {
    let mut steps: Vec<u32> = samples
        .windows(2)
        .map(|pair| u32::from(pair[1].abs_diff(pair[0])))
        .collect();
    steps.sort_unstable();
    let at = (steps.len() as f64 * PERCENTILE) as usize;
    steps
        .get(at.min(steps.len().saturating_sub(1)))
        .map_or(0.0, |&step| f64::from(step))
}

/// A peak amplitude in 16 bit units as a level.
pub fn dbfs(peak: f64) -> f64 {
    (20.0 * (peak / 32_768.0).log10()).max(SILENCE_DBFS)
}

fn rms_dbfs(window: &[i16]) -> f64 {
    let power: f64 = window.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    dbfs((power / window.len() as f64).sqrt())
}

fn tenth(level: f64) -> f64 {
    (level * 10.0).round() / 10.0
}

fn runs(flags: &[bool]) -> Vec<Stretch> {
    let mut runs = Vec::new();
    let mut start = None;
    for at in 0..=flags.len() {
        let on = flags.get(at).copied().unwrap_or(false);
        match (start, on) {
            (None, true) => start = Some(at as u64),
            (Some(begun), false) => {
                runs.push(Stretch {
                    at_ms: begun * WINDOW_MS,
                    ms: (at as u64 - begun) * WINDOW_MS,
                });
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    runs
}

fn clicks(samples: &[i16], length: usize, sample_rate_hz: u32, steps: &Steps) -> (u64, Vec<Click>) {
    let own = match steps {
        Steps::Own => step_of(samples) * OWN_SLACK,
        Steps::Of(_) | Steps::Tones { .. } => 0.0,
    };
    let mut count = 0;
    let mut found = Vec::new();
    for at in 0..samples.len() / length {
        let limit = STEP_FLOOR.max(match steps {
            Steps::Own => own,
            Steps::Of(step) => step * STEP_SLACK,
            Steps::Tones {
                voices,
                windows,
                peak,
            } => {
                // A voice that begins or ends in this window is heard in the one beside it.
                let around = windows.iter().skip(at.saturating_sub(1)).take(3);
                let heard = around.fold(0, |heard, mask| heard | mask);
                let heard = voices
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| heard & 1 << index != 0);
                let steepest =
                    |hz: u32| 2.0 * (PI * f64::from(hz) / f64::from(sample_rate_hz)).sin();
                heard
                    .map(|(_, voice)| peak * steepest(voice.hz))
                    .sum::<f64>()
                    * STEP_SLACK
            }
        });
        // With the first sample of the next window, so that no step is left out.
        let window = &samples[at * length..((at + 1) * length + 1).min(samples.len())];
        let worst = window
            .windows(2)
            .enumerate()
            .map(|(index, pair)| (pair[1].abs_diff(pair[0]), index + 1))
            .max_by_key(|&(step, index)| (step, std::cmp::Reverse(index)));
        let Some((step, index)) = worst.filter(|&(step, _)| f64::from(step) > limit) else {
            continue;
        };
        count += 1;
        if found.len() < CLICKS_MAX {
            let at_ms = (at * length + index) as f64 * 1_000.0 / f64::from(sample_rate_hz);
            found.push(Click {
                at_ms: (at_ms * 100.0).round() / 100.0,
                step: step.into(),
                limit: limit as u32,
            });
        }
    }
    (count, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;
    use crate::tone::Tone;

    const QUIET_DBFS: f64 = -50.0;

    fn voices() -> Vec<Voice> {
        [("anna", 600), ("ben", 1_700)]
            .map(|(name, hz)| Voice {
                name: name.to_owned(),
                hz,
            })
            .into()
    }

    fn tone(hz: u32, ms: u32, rate: u32) -> Vec<i16> {
        Tone::new(hz, -12.0, rate).expect("on the grid").take_ms(ms)
    }

    fn of_tones(samples: &[i16], rate: u32) -> Survey {
        let windows = probe::hear(samples, rate, &voices(), -12.0).expect("they can be told apart");
        let steps = Steps::Tones {
            voices: voices(),
            windows,
            peak: crate::tone::peak_of(-12.0),
        };
        survey(samples, rate, QUIET_DBFS, &steps)
    }

    #[test]
    fn levels_are_those_of_a_tone_at_every_rate() {
        for rate in [8_000, 16_000, 44_100, 48_000] {
            let said = of_tones(&tone(600, 1_000, rate), rate);
            assert_eq!(said.duration_ms, 1_000);
            assert!((said.peak_dbfs + 12.0).abs() < 0.3, "{rate}: {said:?}");
            // A sine's mean square is 3 dB below its peak.
            assert!((said.rms_dbfs + 15.0).abs() < 0.2, "{rate}: {said:?}");
            assert_eq!((said.click_count, said.silence_ms), (0, 0), "{rate}");
        }
    }

    #[test]
    fn a_hole_is_found_where_it_is() {
        let mut samples = tone(600, 1_000, 16_000);
        samples[400 * 16..460 * 16].fill(0);
        let said = of_tones(&samples, 16_000);
        assert_eq!(said.silences, [Stretch { at_ms: 400, ms: 60 }]);
        assert_eq!(said.floor_dbfs, SILENCE_DBFS);
    }

    #[test]
    fn a_jump_in_phase_is_a_click_and_a_crossfade_is_none() {
        let mut faded: Vec<f64> = vec![0.0; 48_000];
        for (hz, gain) in [
            (600, (|share: f64| share.cos()) as fn(f64) -> f64),
            (1_700, |share: f64| share.sin()),
        ] {
            for (index, sample) in tone(hz, 1_000, 48_000).into_iter().enumerate() {
                let share = ((index as f64 - 24_000.0) / 2_880.0).clamp(0.0, 1.0);
                faded[index] += f64::from(sample) * gain(share * PI / 2.0);
            }
        }
        let faded: Vec<i16> = faded.into_iter().map(|sample| sample as i16).collect();
        assert_eq!(of_tones(&faded, 48_000).click_count, 0);

        let mut jump = tone(600, 500, 48_000);
        // A quarter of a period is left out: from a zero crossing to the peak.
        jump.extend_from_slice(&tone(600, 500, 48_000)[20..]);
        let said = of_tones(&jump, 48_000);
        assert_eq!(said.click_count, 1, "{said:?}");
        assert!((said.clicks[0].at_ms - 500.0).abs() < 1.0, "{said:?}");
    }

    #[test]
    fn a_clip_explains_its_own_steps_and_no_larger_ones() {
        let clip = tone(1_700, 500, 48_000);
        let mut samples = clip.clone();
        samples[10_000] = 20_000;
        let steps = Steps::Of(step_of(&clip));
        assert_eq!(survey(&clip, 48_000, QUIET_DBFS, &steps).click_count, 0);
        let said = survey(&samples, 48_000, QUIET_DBFS, &steps);
        assert_eq!(said.click_count, 1, "{said:?}");
        assert_eq!(
            survey(&samples, 48_000, QUIET_DBFS, &Steps::Own).click_count,
            1,
            "it stands out by itself"
        );
    }

    #[test]
    fn nothing_and_silence_are_recordings_too() {
        let none = survey(&[], 8_000, QUIET_DBFS, &Steps::Own);
        assert_eq!((none.duration_ms, none.click_count), (0, 0));
        let silent = survey(&[0; 800], 8_000, QUIET_DBFS, &Steps::Own);
        assert_eq!(silent.silence_ms, 100);
        assert_eq!(silent.rms_dbfs, SILENCE_DBFS);
    }

    #[test]
    fn clipped_samples_are_counted() {
        let mut samples = tone(600, 100, 8_000);
        samples[7] = i16::MAX;
        samples[9] = i16::MIN;
        let said = survey(&samples, 8_000, QUIET_DBFS, &Steps::Own);
        assert_eq!((said.clipped_samples, said.peak_dbfs), (2, 0.0));
    }
}
