//! What else the recording tells: how loud each holder was, where it clicks, and where the filler was heard.

use anyhow::Result;
use kit::probe::{self, Verdict, Voice, WINDOW_MS};
use kit::survey::{self, Steps};

use crate::{FILLER_DBFS, FILLER_HZ, TONE_DBFS};

const SAMPLE_RATE_HZ: u32 = 48_000;
const SAMPLES_PER_MS: usize = 48;
const SAMPLES_PER_WINDOW: usize = 480;
/// Level in dBFS below which the survey takes nothing for a sound; it is asked for clicks alone.
const QUIET_DBFS: f64 = -50.0;
/// The filler counts from 6 dB below its level on, and the probe from 30 dB below the one that it is told.
const FILLER_MARGIN_DB: f64 = 24.0;
/// A sine's peak is above its level.
const SINE_DB: f64 = 3.0;
/// Peak of a window above which it is no filler: -40 dBFS.
const FILLER_PEAK_MAX: u16 = 328;
/// Windows from which the filler is one.
const FILLER_WINDOWS_MIN: usize = 5;

/// The peak level in dBFS of each holder, one after another, where it is heard.
pub(crate) fn levels(
    samples: &[i16],
    voices: &[Voice],
    verdict: &Verdict,
) -> Result<Vec<Option<f64>>> {
    let Some(first) = verdict.changes.first() else {
        return Ok(vec![None]);
    };
    let holders = std::iter::once(first.from).chain(verdict.changes.iter().map(|change| change.to));
    let at = |ms: u64| (ms as usize * SAMPLES_PER_MS).min(samples.len());
    let mut start = 0;
    let mut levels = Vec::new();
    for (part, holder) in holders.enumerate() {
        let end = verdict
            .changes
            .get(part)
            .map_or(samples.len(), |change| at(change.at_ms));
        let part = &samples[start.min(end)..end];
        let peak = probe::loudness(part, SAMPLE_RATE_HZ, &voices[holder])?;
        levels.push((peak > 0.0).then(|| survey::dbfs(peak)));
        start = end;
    }
    Ok(levels)
}

/// How many steps of the recording its tones do not explain.
pub(crate) fn clicks(samples: &[i16], voices: &[Voice]) -> Result<u64> {
    let steps = Steps::Tones {
        voices: voices.to_vec(),
        windows: probe::hear(samples, SAMPLE_RATE_HZ, voices, TONE_DBFS)?,
        peak: kit::tone::peak_of(TONE_DBFS),
    };
    Ok(survey::survey(samples, SAMPLE_RATE_HZ, QUIET_DBFS, &steps).click_count)
}

/// Where the filler was heard and nobody beside it, in milliseconds: from and to.
pub(crate) fn fillers(samples: &[i16]) -> Result<Vec<(u64, u64)>> {
    let filler = Voice {
        name: "filler".to_owned(),
        hz: FILLER_HZ,
    };
    let full_dbfs = FILLER_DBFS + SINE_DB + FILLER_MARGIN_DB;
    let sounds = probe::hear(samples, SAMPLE_RATE_HZ, &[filler], full_dbfs)?;
    let soft = samples.chunks_exact(SAMPLES_PER_WINDOW).map(|window| {
        window
            .iter()
            .all(|sample| sample.unsigned_abs() <= FILLER_PEAK_MAX)
    });
    let fills: Vec<bool> = sounds
        .into_iter()
        .zip(soft)
        .map(|(mask, soft)| mask != 0 && soft)
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    for run in fills.chunk_by(|one, next| one == next) {
        if run[0] && run.len() >= FILLER_WINDOWS_MIN {
            let ms = |window: usize| window as u64 * WINDOW_MS;
            found.push((ms(at), ms(at + run.len())));
        }
        at += run.len();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use kit::probe::Expected;
    use kit::tone::Tone;

    use super::*;

    fn tone(hz: u32, peak_dbfs: f64, ms: u32) -> Vec<i16> {
        let tone = Tone::new(hz, peak_dbfs, SAMPLE_RATE_HZ);
        tone.expect("on the grid").take_ms(ms)
    }

    fn voices() -> Vec<Voice> {
        [("anna", 600), ("ben", 1_700)]
            .map(|(name, hz)| Voice {
                name: name.to_owned(),
                hz,
            })
            .into()
    }

    #[test]
    fn a_softer_holder_is_a_step_and_a_cut_between_tones_a_click() -> Result<()> {
        let mut samples = tone(600, TONE_DBFS, 1_003);
        samples.extend(tone(1_700, TONE_DBFS - 4.0, 1_000));
        let expected = Expected {
            voices: voices(),
            holders: vec![0, 1],
            fade_ms: 0,
            full_dbfs: TONE_DBFS,
        };
        let verdict = probe::judge(&samples, SAMPLE_RATE_HZ, &expected)?;
        let levels = levels(&samples, &voices(), &verdict)?;
        let step = levels[1].expect("heard") - levels[0].expect("heard");
        assert!((step + 4.0).abs() < 0.2, "{levels:?}");
        assert_eq!(clicks(&tone(600, TONE_DBFS, 1_000), &voices())?, 0);
        samples[48 * 500] = 25_000;
        assert!(clicks(&samples, &voices())? >= 1);
        Ok(())
    }

    #[test]
    fn the_filler_is_told_from_silence_and_from_words() -> Result<()> {
        let mut samples = vec![0; 480 * 10];
        samples.extend(tone(FILLER_HZ, FILLER_DBFS + SINE_DB, 300));
        samples.extend(tone(600, TONE_DBFS, 200));
        // As loud as a word, and of the filler's pitch.
        samples.extend(tone(FILLER_HZ, TONE_DBFS, 200));
        assert_eq!(fillers(&samples)?, [(100, 400)]);
        Ok(())
    }
}
