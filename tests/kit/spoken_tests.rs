//! Mixtures of the committed clips: who is in them, and where.

use std::path::Path;

use super::*;

/// A clip at 16 kHz.
fn clip(name: &str) -> Wav {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../clips/{name}.wav"));
    Wav::read(&path).unwrap()
}

fn spoken(name: &str, clips: &[&str]) -> Spoken {
    Spoken {
        name: name.to_owned(),
        clips: clips.iter().map(|name| clip(name)).collect(),
    }
}

fn everybody() -> Vec<Spoken> {
    vec![
        spoken("triage", &["triage-welcome", "triage-back"]),
        spoken("billing", &["billing-hello"]),
    ]
}

/// Adds a part of a clip, from and to in milliseconds of the clip, at a time and a gain.
fn add(mix: &mut Wav, clip: &Wav, part_ms: (usize, usize), at_ms: usize, gain: f32) {
    assert_eq!(mix.sample_rate_hz, clip.sample_rate_hz);
    let at = |ms: usize| ms * clip.sample_rate_hz as usize / 1_000;
    let part = &clip.samples[at(part_ms.0)..at(part_ms.1).min(clip.samples.len())];
    for (sample, &more) in mix.samples[at(at_ms)..].iter_mut().zip(part) {
        *sample = sample.saturating_add((f32::from(more) * gain) as i16);
    }
}

fn silence(ms: usize) -> Wav {
    Wav {
        sample_rate_hz: RATE_HZ,
        samples: vec![0; ms * 16],
    }
}

/// From when to when each is heard, in milliseconds.
fn stretches(windows: &[u8], voice: usize) -> Vec<(usize, usize)> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for at in (0..windows.len()).filter(|&at| windows[at] & 1 << voice != 0) {
        match stretches.last_mut().filter(|last| last.1 == at * 10) {
            Some(last) => last.1 += 10,
            None => stretches.push((at * 10, at * 10 + 10)),
        }
    }
    stretches
}

fn near(found: &[(usize, usize)], expected: &[(usize, usize)], within_ms: usize) -> bool {
    let mut pairs = found.iter().zip(expected);
    let near = |(one, other): (&(usize, usize), &(usize, usize))| {
        one.0.abs_diff(other.0) <= within_ms && one.1.abs_diff(other.1) <= within_ms
    };
    found.len() == expected.len() && pairs.all(near)
}

/// From where to where a part of a clip sounds, in milliseconds of the clip.
fn sounding(clip: &Wav, part_ms: (usize, usize)) -> (usize, usize) {
    let loud = |window: &[i16]| window.iter().any(|sample| sample.unsigned_abs() > 200);
    let windows = clip.samples.chunks(160).enumerate();
    let mut part =
        windows.filter(|(at, window)| (part_ms.0..part_ms.1).contains(&(at * 10)) && loud(window));
    let first = part.next().unwrap().0;
    (first * 10, part.next_back().unwrap().0 * 10 + 10)
}

#[test]
fn each_is_found_where_it_speaks_and_nobody_elsewhere() {
    let (welcome, hello, back) = (
        clip("triage-welcome"),
        clip("billing-hello"),
        clip("triage-back"),
    );
    let mut mix = silence(8_000);
    add(&mut mix, &welcome, (0, 2_200), 500, 1.0);
    add(&mut mix, &hello, (0, 1_900), 3_000, 0.5);
    // Cut in the middle.
    add(&mut mix, &back, (0, 1_000), 5_500, 1.0);
    let windows = hear(&mix, &everybody()).unwrap();
    let placed = |clip, part, at| {
        let (from, until) = sounding(clip, part);
        (at + from, at + until)
    };
    let triage = [
        placed(&welcome, (0, 2_200), 500),
        placed(&back, (0, 1_000), 5_500),
    ];
    let billing = [placed(&hello, (0, 1_900), 3_000)];
    let found = (stretches(&windows, 0), stretches(&windows, 1));
    assert!(near(&found.0, &triage, 50), "{found:?}, {triage:?}");
    assert!(near(&found.1, &billing, 50), "{found:?}, {billing:?}");
}

#[test]
fn two_at_once_are_both_heard_and_a_hole_is_a_hole() {
    let (welcome, hello) = (clip("triage-welcome"), clip("billing-hello"));
    let mut mix = silence(4_000);
    add(&mut mix, &welcome, (0, 2_200), 500, 1.0);
    add(&mut mix, &hello, (0, 1_900), 1_500, 1.0);
    mix.samples[900 * 16..980 * 16].fill(0);
    let windows = hear(&mix, &everybody()).unwrap();
    let triage = stretches(&windows, 0);
    assert_eq!(triage.len(), 2, "{triage:?}");
    let hole = (triage[0].1, triage[1].0);
    assert!(near(&[hole], &[(900, 980)], 20), "{hole:?}");
    let both = windows.iter().filter(|&&mask| mask == 3).count() * 10;
    let (_, end) = sounding(&welcome, (0, 2_200));
    let (begin, _) = sounding(&hello, (0, 1_900));
    let expected = (500 + end) - (1_500 + begin);
    assert!(both.abs_diff(expected) <= 100, "{both} ms, {expected} ms");
}

#[test]
fn a_phone_line_of_8_khz_a_loop_and_a_quiet_leak_are_no_obstacle() {
    let (welcome, hello) = (clip("triage-welcome"), clip("billing-hello"));
    let mut mix = silence(7_000);
    for turn in 0..3 {
        add(&mut mix, &hello, (200, 1_700), 1_500 * turn, 1.0);
    }
    // 20 dB below, where nobody else speaks.
    add(&mut mix, &welcome, (500, 1_000), 5_500, 0.1);
    // Every other sample of what is below 4 kHz, in 11 bits.
    let line = Wav {
        sample_rate_hz: 8_000,
        samples: mix
            .samples
            .windows(3)
            .step_by(2)
            .map(|s| ((i32::from(s[0]) + 2 * i32::from(s[1]) + i32::from(s[2])) / 4) as i16)
            .map(|sample| sample / 32 * 32)
            .collect(),
    };
    let windows = hear(&line, &everybody()).unwrap();
    let billing: usize = stretches(&windows, 1).iter().map(|(a, b)| b - a).sum();
    let (from, until) = sounding(&hello, (200, 1_700));
    let expected = 3 * (until - from);
    assert!(
        billing.abs_diff(expected) <= 300,
        "{billing} ms, {expected} ms: {:?}",
        stretches(&windows, 1)
    );
    let leak = stretches(&windows, 0);
    let leaked: usize = leak.iter().map(|(a, b)| b - a).sum();
    assert!((300..=560).contains(&leaked), "{leak:?}");
    assert!(leak.iter().all(|&(from, _)| from >= 5_450), "{leak:?}");
}

#[test]
fn nobody_is_heard_in_noise_or_in_somebody_elses_words() {
    let mut noise = 1_u32;
    let mut samples = Vec::new();
    for _ in 0..48_000 {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        samples.push((noise >> 20) as i16);
    }
    let mix = Wav {
        sample_rate_hz: RATE_HZ,
        samples,
    };
    assert!(
        hear(&mix, &everybody())
            .unwrap()
            .iter()
            .all(|&mask| mask == 0)
    );
    let mut other = silence(2_000);
    add(&mut other, &clip("triage-handoff"), (0, 1_600), 200, 1.0);
    let windows = hear(&other, &[spoken("billing", &["billing-hello"])]).unwrap();
    assert!(windows.iter().all(|&mask| mask == 0), "{windows:?}");
}

#[test]
fn what_says_nothing_cannot_be_known() {
    let mute = Spoken {
        name: "mute".to_owned(),
        clips: vec![silence(1_000)],
    };
    let error = hear(&silence(1_000), &[mute]).unwrap_err();
    assert_eq!(error, ProbeError::Clip("mute".to_owned()));
    assert_eq!(hear(&silence(5), &everybody()), Ok(vec![]));
}
