//! `cargo xtask probe`: judges a recording of what a caller heard, be it from a test or from a phone line.
//!
//! Given the tone of every participant it tells who was heard when, and measures silence, overlap and leaks at each
//! change. Given nothing it surveys the recording: levels, silence, clicks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use kit::probe::{self, Expected, ProbeError, Verdict, Voice};
use kit::survey::{self, Steps, Survey};
use kit::wav::{Wav, WavError};
use serde::Serialize;

/// Judges a recording of what a caller heard: who was heard when, silence, overlap, leaks, clicks, levels.
///
/// Every participant sounds a tone of its own, a multiple of 100 Hz and 200 Hz apart from the others. The exit code is 0
/// when the recording is good or nothing was expected of it, 1 when it is not, 2 when it cannot be judged.
#[derive(Debug, Parser)]
#[command(name = "probe", bin_name = "cargo xtask probe")]
struct Arguments {
    /// Recordings: PCM or floating point WAV, any rate that is a multiple of 100
    #[arg(required = true, value_name = "FILE.wav")]
    files: Vec<PathBuf>,
    /// A participant's tone: `anna=600`
    #[arg(long = "tone", value_name = "NAME=HZ", value_parser = tone)]
    tones: Vec<Voice>,
    /// Who should have been heard, in order: `anna,ben,anna`; without it the order is read from the recording
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "tones")]
    holders: Vec<String>,
    /// Peak level of the tones in dBFS; without it the loudest one's is measured
    #[arg(long, value_name = "DBFS", allow_negative_numbers = true)]
    level_dbfs: Option<f64>,
    /// Length of a crossfade in milliseconds: both may be heard that long
    #[arg(long, value_name = "MS", default_value_t = 60)]
    fade_ms: u64,
    /// Silence at a change that is still good, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    silence_max_ms: u64,
    /// Clicks that are still good; without it they are only counted
    #[arg(long, value_name = "N")]
    clicks_max: Option<u64>,
    /// A clip that was played: its steps from sample to sample are no clicks
    #[arg(long, value_name = "FILE.wav", conflicts_with = "tones")]
    clip: Vec<PathBuf>,
    /// Level in dBFS below which nothing is heard
    #[arg(long, value_name = "DBFS", default_value_t = -50.0, allow_negative_numbers = true)]
    silence_dbfs: f64,
    /// The channel to judge, from 1; without it the mean of all
    #[arg(long, value_name = "N")]
    channel: Option<u16>,
    /// Print JSON: an array with an entry per file
    #[arg(long)]
    json: bool,
}

/// Why a recording cannot be judged.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Wav(#[from] WavError),
    #[error("{path} cannot be judged: {source}", path = path.display())]
    Probe { path: PathBuf, source: ProbeError },
    #[error("--holders names {name:?}, which has no --tone")]
    Unknown { name: String },
    #[error("{path} has {got} samples a second, and the recording {wanted}", path = path.display())]
    ClipRate {
        path: PathBuf,
        got: u32,
        wanted: u32,
    },
    #[error("{path}: none of the tones is ever heard", path = path.display())]
    Nobody { path: PathBuf },
}

/// What is said of one file.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    sample_rate_hz: u32,
    #[serde(flatten)]
    survey: Survey,
    /// Absent without tones.
    heard: Option<Heard>,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Heard {
    voices: Vec<VoiceReport>,
    /// The holders in order, expected or found.
    holders: Vec<String>,
    changes: Vec<ChangeReport>,
    leaks: Vec<LeakReport>,
    leaked_ms: u64,
    stray_silence_ms: u64,
    /// Holders that should have been heard and were not, by their place in the order.
    missing: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct VoiceReport {
    name: String,
    hz: u32,
    /// Peak level where it sounds.
    level_dbfs: f64,
    heard_ms: u64,
}

#[derive(Debug, Serialize)]
struct ChangeReport {
    from: String,
    to: String,
    at_ms: u64,
    audible_at_ms: u64,
    silence_ms: u64,
    overlap_ms: u64,
}

#[derive(Debug, Serialize)]
struct LeakReport {
    who: String,
    at_ms: u64,
    ms: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let reports: Result<Vec<Report>, CommandError> = arguments
        .files
        .iter()
        .map(|file| report(file, &arguments))
        .collect();
    let reports = match reports {
        Ok(reports) => reports,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    if arguments.json {
        match serde_json::to_string_pretty(&reports) {
            Ok(json) => println!("{json}"),
            Err(error) => {
                eprintln!("error: the report cannot be written: {error}");
                return ExitCode::from(2);
            }
        }
    } else {
        for report in &reports {
            print!("{report}");
        }
    }
    if reports.iter().all(|report| report.ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(file: &Path, arguments: &Arguments) -> Result<Report, CommandError> {
    let Wav {
        sample_rate_hz,
        samples,
    } = Wav::read_channel(file, arguments.channel)?;
    let failed = |source| CommandError::Probe {
        path: file.to_owned(),
        source,
    };
    let mut steps = match arguments.clip.is_empty() {
        true => Steps::Own,
        false => Steps::Of(clip_step(&arguments.clip, sample_rate_hz)?),
    };
    let mut heard = None;
    if !arguments.tones.is_empty() {
        let voices = &arguments.tones;
        let mut peaks = Vec::new();
        for voice in voices {
            peaks.push(probe::loudness(&samples, sample_rate_hz, voice).map_err(failed)?);
        }
        let loudest = peaks.iter().copied().fold(0.0, f64::max);
        let full_dbfs = arguments
            .level_dbfs
            .unwrap_or_else(|| survey::dbfs(loudest));
        if full_dbfs <= arguments.silence_dbfs {
            return Err(CommandError::Nobody {
                path: file.to_owned(),
            });
        }
        let windows = probe::hear(&samples, sample_rate_hz, voices, full_dbfs).map_err(failed)?;
        let holders = match arguments.holders.is_empty() {
            true => probe::order(&windows),
            false => indices(&arguments.holders, voices)?,
        };
        if holders.is_empty() {
            return Err(CommandError::Nobody {
                path: file.to_owned(),
            });
        }
        let expected = Expected {
            voices: voices.clone(),
            holders,
            fade_ms: arguments.fade_ms,
            full_dbfs,
        };
        let verdict = probe::judge(&samples, sample_rate_hz, &expected).map_err(failed)?;
        heard = Some(Heard::new(&expected, &verdict, &peaks));
        steps = Steps::Tones {
            voices: voices.clone(),
            windows,
            peak: kit::tone::peak_of(full_dbfs),
        };
    }
    let survey = survey::survey(&samples, sample_rate_hz, arguments.silence_dbfs, &steps);
    let quiet = arguments
        .clicks_max
        .is_none_or(|most| survey.click_count <= most);
    let ok = quiet
        && heard
            .as_ref()
            .is_none_or(|heard| heard.is_good(arguments.silence_max_ms));
    Ok(Report {
        file: file.to_owned(),
        sample_rate_hz,
        survey,
        heard,
        ok,
    })
}

fn clip_step(clips: &[PathBuf], sample_rate_hz: u32) -> Result<f64, CommandError> {
    let mut most = 0.0;
    for path in clips {
        let clip = Wav::read(path)?;
        if clip.sample_rate_hz != sample_rate_hz {
            return Err(CommandError::ClipRate {
                path: path.clone(),
                got: clip.sample_rate_hz,
                wanted: sample_rate_hz,
            });
        }
        most = survey::step_of(&clip.samples).max(most);
    }
    Ok(most)
}

fn indices(names: &[String], voices: &[Voice]) -> Result<Vec<usize>, CommandError> {
    names
        .iter()
        .map(|name| {
            let found = voices.iter().position(|voice| voice.name == *name);
            found.ok_or_else(|| CommandError::Unknown { name: name.clone() })
        })
        .collect()
}

fn tone(text: &str) -> Result<Voice, String> {
    let (name, hz) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "a tone is given as NAME=HZ".to_owned())?;
    let hz = hz
        .parse()
        .map_err(|_| format!("{hz:?} is no frequency in Hz"))?;
    Ok(Voice {
        name: name.to_owned(),
        hz,
    })
}

impl Heard {
    fn new(expected: &Expected, verdict: &Verdict, peaks: &[f64]) -> Self {
        let name = |voice: usize| expected.voices[voice].name.clone();
        let voices = expected.voices.iter().zip(peaks).enumerate();
        let voices = voices.map(|(index, (voice, &peak))| VoiceReport {
            name: voice.name.clone(),
            hz: voice.hz,
            level_dbfs: (survey::dbfs(peak) * 10.0).round() / 10.0,
            heard_ms: verdict
                .heard
                .iter()
                .filter(|heard| heard.voice == index)
                .map(|heard| heard.end_ms - heard.start_ms)
                .sum(),
        });
        Self {
            voices: voices.collect(),
            holders: expected
                .holders
                .iter()
                .map(|&holder| name(holder))
                .collect(),
            changes: verdict
                .changes
                .iter()
                .map(|change| ChangeReport {
                    from: name(change.from),
                    to: name(change.to),
                    at_ms: change.at_ms,
                    audible_at_ms: change.audible_at_ms,
                    silence_ms: change.silence_ms,
                    overlap_ms: change.overlap_ms,
                })
                .collect(),
            leaks: verdict
                .leaks
                .iter()
                .map(|leak| LeakReport {
                    who: name(leak.voice),
                    at_ms: leak.at_ms,
                    ms: leak.ms,
                })
                .collect(),
            leaked_ms: verdict.leaked_ms,
            stray_silence_ms: verdict.stray_silence_ms,
            missing: verdict.missing.clone(),
        }
    }

    fn is_good(&self, silence_max_ms: u64) -> bool {
        let worst = self.changes.iter().map(|change| change.silence_ms).max();
        self.leaked_ms == 0
            && self.missing.is_empty()
            && worst.unwrap_or(0) <= silence_max_ms
            && self.stray_silence_ms <= silence_max_ms
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            sample_rate_hz,
            survey,
            heard,
            ok,
        } = self;
        let Survey {
            duration_ms,
            peak_dbfs,
            rms_dbfs,
            floor_dbfs,
            clipped_samples,
            silence_ms,
            silences,
            click_count,
            clicks,
        } = survey;
        let verdict = if *ok { "good" } else { "NOT GOOD" };
        writeln!(f, "{}: {verdict}", file.display())?;
        writeln!(f, "  {duration_ms} ms at {sample_rate_hz} Hz")?;
        writeln!(
            f,
            "  level    peak {peak_dbfs:.1}, mean {rms_dbfs:.1}, floor {floor_dbfs:.1} dBFS, {clipped_samples} clipped samples"
        )?;
        write!(f, "  silence  {silence_ms} ms")?;
        for silence in silences.iter().take(5) {
            write!(f, ", {} ms at {} ms", silence.ms, silence.at_ms)?;
        }
        writeln!(f)?;
        write!(f, "  clicks   {click_count}")?;
        for click in clicks.iter().take(5) {
            write!(
                f,
                ", {} above {} at {:.1} ms",
                click.step, click.limit, click.at_ms
            )?;
        }
        writeln!(f)?;
        match heard {
            Some(heard) => write!(f, "{heard}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for voice in &self.voices {
            writeln!(
                f,
                "  voice    {} ({} Hz): {} ms, peak {:.1} dBFS",
                voice.name, voice.hz, voice.heard_ms, voice.level_dbfs
            )?;
        }
        for change in &self.changes {
            writeln!(
                f,
                "  change   {} to {} at {} ms: {} ms of silence, {} ms of overlap",
                change.from, change.to, change.at_ms, change.silence_ms, change.overlap_ms
            )?;
        }
        for leak in &self.leaks {
            writeln!(
                f,
                "  LEAK     {} at {} ms, {} ms",
                leak.who, leak.at_ms, leak.ms
            )?;
        }
        for &place in &self.missing {
            writeln!(
                f,
                "  MISSING  {}, number {} of the holders",
                self.holders[place],
                place + 1
            )?;
        }
        writeln!(
            f,
            "  sum      {} ms leaked, {} ms of silence away from any change",
            self.leaked_ms, self.stray_silence_ms
        )
    }
}
