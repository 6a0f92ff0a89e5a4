//! The probe as a command: what is put into a recording is found in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use kit::tone::Tone;
use serde_json::Value;

/// Writes a WAV of two channels, the second of them silent if there are two.
fn write(path: &Path, samples: &[i16], sample_rate_hz: u32, channels: u16) -> Result<()> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: sample_rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
        for _ in 1..channels {
            writer.write_sample(0_i16)?;
        }
    }
    writer.finalize()?;
    Ok(())
}

/// Anna until 1,000 ms, then 50 ms of nobody, then Ben, and over Ben 80 ms of the rogue at 1,500 ms.
fn flawed(rate: u32) -> Result<Vec<i16>> {
    let at = |ms: u32| (ms * rate / 1_000) as usize;
    let mut samples = vec![0_i16; at(2_000)];
    let mut add = |hz: u32, from: u32, until: u32| -> Result<()> {
        let tone = Tone::new(hz, -12.0, rate)?.take_ms(until - from);
        for (sample, more) in samples[at(from)..].iter_mut().zip(tone) {
            *sample += more;
        }
        Ok(())
    };
    add(600, 0, 1_000)?;
    add(1_700, 1_050, 2_000)?;
    add(2_900, 1_500, 1_580)?;
    Ok(samples)
}

fn probe(arguments: &[&str], file: &Path) -> Result<(Option<i32>, String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_probe"))
        .args(arguments)
        .arg(file)
        .output()
        .context("the probe cannot be started")?;
    Ok((
        output.status.code(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

const TONES: [&str; 6] = [
    "--tone",
    "anna=600",
    "--tone",
    "ben=1700",
    "--tone",
    "rogue=2900",
];

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("heard.wav")
}

#[test]
fn hole_and_leak_are_found_at_every_rate_and_in_either_form() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(&folder);
    for rate in [8_000, 16_000, 44_100, 48_000] {
        for channels in [1, 2] {
            write(&path, &flawed(rate)?, rate, channels)?;
            let mut arguments = TONES.to_vec();
            arguments.extend(["--holders", "anna,ben", "--json"]);
            let (code, said, _) = probe(&arguments, &path)?;
            let case = format!("{rate} Hz, {channels} channels: {said}");
            assert_eq!(code, Some(1), "{case}");
            let report: Value = serde_json::from_str(&said)?;
            let heard = &report[0]["heard"];
            let silence = heard["changes"][0]["silence_ms"].as_u64();
            assert!(silence.is_some_and(|ms| (40..=60).contains(&ms)), "{case}");
            assert_eq!(heard["leaks"][0]["who"], "rogue", "{case}");
            let leaked = heard["leaked_ms"].as_u64();
            assert!(leaked.is_some_and(|ms| (70..=100).contains(&ms)), "{case}");
            // The mean of two channels, one of them silent, is 6 dB lower.
            let level = heard["voices"][0]["level_dbfs"].as_f64();
            let expected = if channels == 1 { -12.0 } else { -18.0 };
            assert!(
                level.is_some_and(|level| (level - expected).abs() < 0.5),
                "{case}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_recording_without_a_flaw_is_good_and_its_order_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(&folder);
    let mut samples = Tone::new(600, -12.0, 16_000)?.take_ms(1_000);
    samples.extend(Tone::new(1_700, -12.0, 16_000)?.take_ms(1_000));
    samples.extend(Tone::new(600, -12.0, 16_000)?.take_ms(1_000));
    write(&path, &samples, 16_000, 1)?;
    let (code, said, _) = probe(&TONES, &path)?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("change   anna to ben at 1000 ms"), "{said}");
    assert!(said.contains("change   ben to anna at 2000 ms"), "{said}");
    Ok(())
}

#[test]
fn a_click_is_found_and_can_be_judged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(&folder);
    let mut samples = Tone::new(600, -12.0, 48_000)?.take_ms(1_000);
    samples.drain(24_000..24_020);
    write(&path, &samples, 48_000, 1)?;
    let (code, said, _) = probe(&["--tone", "anna=600"], &path)?;
    assert_eq!(code, Some(0), "it is only counted: {said}");
    assert!(said.contains("clicks   1,"), "{said}");
    let (code, ..) = probe(&["--tone", "anna=600", "--clicks-max", "0"], &path)?;
    assert_eq!(code, Some(1));
    Ok(())
}

fn clip(name: &str) -> String {
    format!("{}/../clips/{name}.wav", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn voices_are_told_apart_by_what_they_say() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(&folder);
    let samples = |name: &str| kit::wav::Wav::read(Path::new(&clip(name)));
    let mut call = samples("triage-welcome")?.samples;
    call.extend(samples("billing-hello")?.samples);
    write(&path, &call, 16_000, 1)?;
    let triage = [
        format!("triage={}", clip("triage-welcome")),
        format!("triage={}", clip("triage-back")),
    ];
    let billing = format!("billing={}", clip("billing-hello"));
    let voices: [&str; 6] = [
        "--voice", &triage[0], "--voice", &triage[1], "--voice", &billing,
    ];
    let mut arguments = voices.to_vec();
    arguments.extend(["--silence-max-ms", "500", "--json"]);
    let (code, said, _) = probe(&arguments, &path)?;
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&said)?;
    let heard = &report[0]["heard"];
    assert_eq!(
        heard["holders"],
        serde_json::json!(["triage", "billing"]),
        "{said}"
    );
    assert_eq!(heard["stretches"][0]["who"], "triage", "{said}");
    assert_eq!(heard["stretches"][1]["who"], "billing", "{said}");
    let at_ms = heard["changes"][0]["at_ms"].as_u64();
    assert!(
        at_ms.is_some_and(|ms| (2_000..2_700).contains(&ms)),
        "{said}"
    );
    assert_eq!(
        (&heard["leaked_ms"], &heard["together_ms"]),
        (&0.into(), &0.into())
    );

    // Who is heard out of its turn leaks.
    let mut arguments = voices.to_vec();
    arguments.extend(["--holders", "triage", "--silence-max-ms", "500"]);
    let (code, said, _) = probe(&arguments, &path)?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("LEAK     billing at "), "{said}");
    Ok(())
}

#[test]
fn what_cannot_be_judged_is_said_clearly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(&folder);
    std::fs::write(&path, "dear caller")?;
    let (code, _, said) = probe(&[], &path)?;
    assert_eq!(code, Some(2));
    assert!(
        said.contains("heard.wav cannot be read as a WAV file"),
        "{said}"
    );

    write(&path, &flawed(8_000)?, 8_000, 1)?;
    let hello = format!("billing={}", clip("billing-hello"));
    let cases: [(&[&str], &str); 9] = [
        (&["--tone", "anna=650"], "650 Hz is no tone of its own"),
        (&["--tone", "anna=4100"], "4100 Hz is no tone of its own"),
        (&["--tone", "anna"], "a tone is given as NAME=HZ"),
        (
            &["--tone", "anna=600", "--holders", "anna,carl"],
            "--holders names \"carl\", which has no --tone",
        ),
        (&["--tone", "dora=1100"], "none of them is ever heard"),
        (&["--voice", &hello], "none of them is ever heard"),
        (&["--voice", "billing"], "a voice is given as NAME=CLIP.wav"),
        (
            &["--voice", &hello, "--tone", "anna=600"],
            "cannot be used with",
        ),
        (&["--channel", "2"], "has no channel 2, it has 1"),
    ];
    for (arguments, expected) in cases {
        let (code, _, said) = probe(arguments, &path)?;
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    Ok(())
}
