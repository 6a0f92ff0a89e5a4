//! `cargo xtask probe`: judges a recording of what a caller heard, be it from a test or from a phone line.
//!
//! Given the tone of every participant it tells who was heard when, and measures silence, overlap and leaks at each
//! change. Given nothing it surveys the recording: levels, silence, clicks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use kit::probe::{self, ProbeError, Verdict, Voice, WINDOW_MS};
use kit::spoken::{self, Spoken};
use kit::survey::{self, Steps, Survey};
use kit::wav::{Wav, WavError};
use serde::Serialize;

/// Judges a recording of what a caller heard: who was heard when, silence, overlap, leaks, clicks, levels.
///
/// Every participant sounds a tone of its own, a multiple of 100 Hz and 200 Hz apart from the others; or says what there is a
/// clip of. The exit code is 0 when the recording is good or nothing was expected of it, 1 when it is not, 2 when it cannot be
/// judged.
#[derive(Debug, Parser)]
#[command(name = "probe", bin_name = "cargo xtask probe")]
#[command(group(ArgGroup::new("participants").args(["tones", "voices"])))]
struct Arguments {
    /// Recordings: PCM or floating point WAV, any rate that is a multiple of 100
    #[arg(required = true, value_name = "FILE.wav")]
    files: Vec<PathBuf>,
    /// A participant's tone: `anna=600`
    #[arg(long = "tone", value_name = "NAME=HZ", value_parser = tone)]
    tones: Vec<Voice>,
    /// What a participant says, whole, in parts or over and over: `anna=hello.wav`; given again for one more clip of it
    #[arg(long = "voice", value_name = "NAME=CLIP.wav", value_parser = named_clip)]
    voices: Vec<(String, PathBuf)>,
    /// Who should have been heard, in order: `anna,ben,anna`; without it the order is read from the recording
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "participants"
    )]
    holders: Vec<String>,
    /// Peak level of the tones in dBFS; without it the loudest one's is measured
    #[arg(
        long,
        value_name = "DBFS",
        allow_negative_numbers = true,
        requires = "tones"
    )]
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
    #[error("--holders names {name:?}, which has no --tone or --voice")]
    Unknown { name: String },
    #[error("{path} has {got} samples a second, and the recording {wanted}", path = path.display())]
    ClipRate {
        path: PathBuf,
        got: u32,
        wanted: u32,
    },
    #[error("{path}: none of them is ever heard", path = path.display())]
    Nobody { path: PathBuf },
}

/// What is said of one file.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    sample_rate_hz: u32,
    #[serde(flatten)]
    survey: Survey,
    /// Absent without tones and voices.
    heard: Option<Heard>,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Heard {
    voices: Vec<VoiceReport>,
    /// From when to when each was heard.
    stretches: Vec<StretchReport>,
    /// How long several were heard at once.
    together_ms: u64,
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
    /// Its tone, if that is how it is known.
    hz: Option<u32>,
    /// Peak level where it sounds; of a voice that is known by its words, where it alone is heard. Absent if it never is.
    level_dbfs: Option<f64>,
    heard_ms: u64,
}

#[derive(Debug, Serialize)]
struct StretchReport {
    who: String,
    at_ms: u64,
    ms: u64,
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
    let recording = Wav::read_channel(file, arguments.channel)?;
    let sample_rate_hz = recording.sample_rate_hz;
    let samples = &recording.samples;
    let mut steps = match arguments.clip.is_empty() {
        true => Steps::Own,
        false => Steps::Of(clip_step(&arguments.clip, sample_rate_hz)?),
    };
    let mut heard = None;
    if !arguments.tones.is_empty() {
        let (by_tones, explained) = by_tones(file, &recording, arguments)?;
        heard = Some(by_tones);
        steps = explained;
    } else if !arguments.voices.is_empty() {
        heard = Some(by_words(file, &recording, arguments)?);
    }
    let survey = survey::survey(samples, sample_rate_hz, arguments.silence_dbfs, &steps);
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

/// Who was heard by their tones, and the steps that these explain.
fn by_tones(
    file: &Path,
    recording: &Wav,
    arguments: &Arguments,
) -> Result<(Heard, Steps), CommandError> {
    let failed = |source| CommandError::Probe {
        path: file.to_owned(),
        source,
    };
    let (samples, rate_hz) = (&recording.samples, recording.sample_rate_hz);
    let voices = &arguments.tones;
    let mut peaks = Vec::new();
    for voice in voices {
        peaks.push(probe::loudness(samples, rate_hz, voice).map_err(failed)?);
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
    let windows = probe::hear(samples, rate_hz, voices, full_dbfs).map_err(failed)?;
    let participants = voices.iter().zip(&peaks);
    let participants = participants.map(|(voice, &peak)| Participant {
        name: &voice.name,
        hz: Some(voice.hz),
        peak,
    });
    let heard = judged(file, &windows, participants.collect(), arguments)?;
    let steps = Steps::Tones {
        voices: voices.clone(),
        windows,
        peak: kit::tone::peak_of(full_dbfs),
    };
    Ok((heard, steps))
}

/// Who was heard by what they say.
fn by_words(file: &Path, recording: &Wav, arguments: &Arguments) -> Result<Heard, CommandError> {
    let mut voices: Vec<Spoken> = Vec::new();
    for (name, path) in &arguments.voices {
        let clip = Wav::read(path)?;
        match voices.iter_mut().find(|voice| voice.name == *name) {
            Some(voice) => voice.clips.push(clip),
            None => voices.push(Spoken {
                name: name.clone(),
                clips: vec![clip],
            }),
        }
    }
    let windows = spoken::hear(recording, &voices).map_err(|source| CommandError::Probe {
        path: file.to_owned(),
        source,
    })?;
    let length = (u64::from(recording.sample_rate_hz) * WINDOW_MS / 1_000) as usize;
    let peak = |voice: usize| {
        let alone = windows.iter().zip(recording.samples.chunks(length));
        let alone = alone.filter(|(mask, _)| **mask == 1 << voice);
        let samples = alone.flat_map(|(_, window)| window);
        samples.map(|sample| sample.unsigned_abs()).max()
    };
    let participants = voices.iter().enumerate();
    let participants = participants.map(|(index, voice)| Participant {
        name: &voice.name,
        hz: None,
        peak: peak(index).unwrap_or(0).into(),
    });
    judged(file, &windows, participants.collect(), arguments)
}

/// Somebody who may be heard, with the peak amplitude at which it is.
struct Participant<'a> {
    name: &'a str,
    hz: Option<u32>,
    peak: f64,
}

fn judged(
    file: &Path,
    windows: &[u8],
    participants: Vec<Participant<'_>>,
    arguments: &Arguments,
) -> Result<Heard, CommandError> {
    let holders = match arguments.holders.is_empty() {
        true => probe::order(windows),
        false => indices(&arguments.holders, &participants)?,
    };
    if holders.is_empty() || windows.iter().all(|&mask| mask == 0) {
        return Err(CommandError::Nobody {
            path: file.to_owned(),
        });
    }
    let verdict = probe::judge_windows(windows, participants.len(), &holders, arguments.fade_ms);
    let verdict = verdict.map_err(|source| CommandError::Probe {
        path: file.to_owned(),
        source,
    })?;
    Ok(Heard::new(windows, &participants, &holders, &verdict))
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

fn indices(names: &[String], participants: &[Participant<'_>]) -> Result<Vec<usize>, CommandError> {
    names
        .iter()
        .map(|name| {
            let found = participants.iter().position(|one| one.name == *name);
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

fn named_clip(text: &str) -> Result<(String, PathBuf), String> {
    let named = text.split_once('=');
    let named = named.filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let (name, path) = named.ok_or_else(|| "a voice is given as NAME=CLIP.wav".to_owned())?;
    Ok((name.to_owned(), path.into()))
}

impl Heard {
    fn new(
        windows: &[u8],
        participants: &[Participant<'_>],
        holders: &[usize],
        verdict: &Verdict,
    ) -> Self {
        let name = |voice: usize| participants[voice].name.to_owned();
        let voices = participants.iter().enumerate();
        let voices = voices.map(|(index, voice)| VoiceReport {
            name: voice.name.to_owned(),
            hz: voice.hz,
            level_dbfs: (voice.peak > 0.0)
                .then(|| (survey::dbfs(voice.peak) * 10.0).round() / 10.0),
            heard_ms: verdict
                .heard
                .iter()
                .filter(|heard| heard.voice == index)
                .map(|heard| heard.end_ms - heard.start_ms)
                .sum(),
        });
        let mut stretches: Vec<StretchReport> = verdict
            .heard
            .iter()
            .map(|heard| StretchReport {
                who: name(heard.voice),
                at_ms: heard.start_ms,
                ms: heard.end_ms - heard.start_ms,
            })
            .collect();
        stretches.sort_by_key(|stretch| stretch.at_ms);
        let together = windows.iter().filter(|mask| mask.count_ones() > 1);
        Self {
            voices: voices.collect(),
            stretches,
            together_ms: together.count() as u64 * WINDOW_MS,
            holders: holders.iter().map(|&holder| name(holder)).collect(),
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
            write!(f, "  voice    {}", voice.name)?;
            if let Some(hz) = voice.hz {
                write!(f, " ({hz} Hz)")?;
            }
            write!(f, ": {} ms", voice.heard_ms)?;
            if let Some(level_dbfs) = voice.level_dbfs {
                write!(f, ", peak {level_dbfs:.1} dBFS")?;
            }
            // Tones come in too many pieces to be told one by one.
            let pieces = self.stretches.iter().filter(|_| voice.hz.is_none());
            for stretch in pieces.filter(|stretch| stretch.who == voice.name) {
                let end_ms = stretch.at_ms + stretch.ms;
                write!(f, ", from {} to {end_ms} ms", stretch.at_ms)?;
            }
            writeln!(f)?;
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
