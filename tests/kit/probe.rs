//! Tells from a recording of what the caller heard, and from nothing else, who was heard when.
//!
//! Every participant sounds a steady tone of its own. The recording is cut into windows of 10 ms and
//! each tone's amplitude is measured there by Goertzel's algorithm under a Hann window, which nulls
//! tones that are multiples of 100 Hz and at least 200 Hz apart. A tone is *heard* in a window when
//! it is above -30 dB of its full level. Given the order in which the tones should have followed one
//! another, the probe finds the changes and counts, in milliseconds:
//! - *silence*: windows near a change in which no tone is heard,
//! - *overlap*: windows near a change in which both its sides are,
//! - *leak*: runs of 20 ms and more in which a tone is heard that is neither the holder's nor part of
//!   a fade.

use std::f64::consts::TAU;

use crate::tone::peak_of;

/// Length of a window in milliseconds.
pub const WINDOW_MS: u64 = 10;

/// Below this share of its full amplitude a tone is not heard: -30 dB.
const HEARD_SHARE: f64 = 0.031_622_776_6;
/// A stray tone has to last this many windows to be a leak: coding smears a change by one.
const LEAK_WINDOWS: usize = 2;
/// Silence and overlap this near to a change are the change's.
const NEAR_MS: u64 = 1_000;
/// Windows that a fade may seem longer than it is: it may start and end within a window.
const FADE_SLACK_WINDOWS: usize = 2;
/// Who is heard alone for this many windows holds, where nobody says who does.
const HOLDER_WINDOWS: u32 = 10;
/// Voices that one recording may have; a window's voices are bits of a byte.
pub(crate) const TONES_MAX: usize = 8;

/// Somebody's tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Whose tone it is.
    pub name: String,
    /// Its frequency, a multiple of 100.
    pub hz: u32,
}

/// What should have been heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Everybody who may be heard, the rogue included.
    pub voices: Vec<Voice>,
    /// The holders one after another, as indices into `voices`.
    pub holders: Vec<usize>,
    /// Length of a fade in milliseconds.
    pub fade_ms: u64,
    /// Peak level in dBFS at which the tones were sent.
    pub full_dbfs: f64,
}

/// A recording or an expectation that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Windows of 10 ms would not have a whole number of samples.
    #[error("{0} samples a second are no multiple of 100")]
    SampleRate(u32),
    /// Two tones that a window cannot tell apart, or one off the grid.
    #[error(
        "{0} Hz is no tone of its own: tones are multiples of 100 Hz, 200 Hz apart, below half the sample rate"
    )]
    Tone(u32),
    /// Nothing by which a voice could be known.
    #[error("what {0:?} says is shorter than 200 ms, or silent")]
    Clip(String),
    /// More tones than can be told apart.
    #[error("{0} voices are more than {TONES_MAX}")]
    TooMany(usize),
    /// Nobody, or somebody without a voice, is expected to hold.
    #[error("the order of holders is empty or names an unknown voice")]
    Holders,
    /// Fewer windows than changes.
    #[error("the recording has {windows} windows for {holders} holders")]
    TooShort {
        /// Windows of the recording.
        windows: usize,
        /// Holders that should be in it.
        holders: usize,
    },
}

/// One change of holder, in milliseconds from the start of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the voice before.
    pub from: usize,
    /// Index of the voice after.
    pub to: usize,
    /// Where the new holder takes over.
    pub at_ms: u64,
    /// First window from here on in which the new one is heard, fade included.
    pub audible_at_ms: u64,
    /// Windows near the change in which nobody is heard.
    pub silence_ms: u64,
    /// Windows near the change in which both are heard.
    pub overlap_ms: u64,
    /// Windows in the new one's part, near no change, in which nobody is heard.
    pub lost_ms: u64,
}

/// A tone where it should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Index of the voice.
    pub voice: usize,
    /// Where it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub ms: u64,
}

/// Who was heard from when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Index of the voice.
    pub voice: usize,
    /// First window.
    pub start_ms: u64,
    /// End of the last window.
    pub end_ms: u64,
}

/// The verdict on a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The changes, in order: one fewer than holders.
    pub changes: Vec<Change>,
    /// The leaks, in order of their start.
    pub leaks: Vec<Leak>,
    /// Sum of the leaks.
    pub leaked_ms: u64,
    /// Silence that is near no change.
    pub stray_silence_ms: u64,
    /// Holders, by their place in the order, whose tone is not in their part of the recording.
    pub missing: Vec<usize>,
    /// Everything that was heard, by voice and then by time.
    pub heard: Vec<Heard>,
}

/// Judges 16 bit mono samples; leading and trailing silence does not count.
///
/// # Errors
/// [`ProbeError`] when the expectation cannot be judged in this recording.
pub fn judge(
    samples: &[i16],
    sample_rate_hz: u32,
    expected: &Expected,
) -> Result<Verdict, ProbeError> {
    let Expected {
        voices,
        holders,
        fade_ms,
        full_dbfs,
    } = expected;
    let windows = hear(samples, sample_rate_hz, voices, *full_dbfs)?;
    judge_windows(&windows, voices.len(), holders, *fade_ms)
}

/// Judges windows of 10 ms, of each of which is known who is heard in it, a bit per voice: which of so many `holders` followed
/// one another, with fades of so many milliseconds.
///
/// # Errors
/// [`ProbeError::Holders`] and [`ProbeError::TooShort`].
pub fn judge_windows(
    windows: &[u8],
    voices: usize,
    holders: &[usize],
    fade_ms: u64,
) -> Result<Verdict, ProbeError> {
    if holders.is_empty() || holders.iter().any(|&holder| holder >= voices) {
        return Err(ProbeError::Holders);
    }
    let first = windows.iter().position(|&mask| mask != 0).unwrap_or(0);
    let last = windows
        .iter()
        .rposition(|&mask| mask != 0)
        .map_or(0, |last| last + 1);
    let body = &windows[first..last];
    if body.len() < holders.len() {
        return Err(ProbeError::TooShort {
            windows: body.len(),
            holders: holders.len(),
        });
    }
    let starts = segment(body, holders);
    let judge = Judge {
        body,
        first,
        starts: &starts,
        voices,
        holders,
        fade_ms,
    };
    Ok(judge.verdict(windows))
}

/// For every window of 10 ms the tones heard in it, a bit per voice; `full_dbfs` is the peak level at which they sound.
///
/// # Errors
/// [`ProbeError`] when the voices cannot be told apart at this rate.
pub fn hear(
    samples: &[i16],
    sample_rate_hz: u32,
    voices: &[Voice],
    full_dbfs: f64,
) -> Result<Vec<u8>, ProbeError> {
    check(sample_rate_hz, voices)?;
    let threshold = peak_of(full_dbfs) * HEARD_SHARE;
    let bits = |shaped: &[f64]| {
        let heard = |voice: &Voice| amplitude(shaped, voice.hz, sample_rate_hz) >= threshold;
        voices
            .iter()
            .enumerate()
            .filter(|(_, voice)| heard(voice))
            .fold(0, |mask, (index, _)| mask | 1 << index)
    };
    Ok(each_window(samples, sample_rate_hz, bits))
}

/// The peak amplitude at which a voice sounds where it sounds, in 16 bit units; 0 if it never does.
///
/// # Errors
/// As [`hear`].
pub fn loudness(samples: &[i16], sample_rate_hz: u32, voice: &Voice) -> Result<f64, ProbeError> {
    check(sample_rate_hz, std::slice::from_ref(voice))?;
    let mut peaks = each_window(samples, sample_rate_hz, |shaped| {
        amplitude(shaped, voice.hz, sample_rate_hz)
    });
    let top = peaks.iter().copied().fold(0.0, f64::max);
    peaks.retain(|&peak| peak >= top / 2.0);
    peaks.sort_by(f64::total_cmp);
    Ok(peaks.get(peaks.len() / 2).copied().unwrap_or(0.0))
}

/// The order of holders that windows show by themselves: whoever is heard alone for 100 ms and more.
pub fn order(windows: &[u8]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut run = (0, 0);
    for &mask in windows {
        run = if mask == run.0 {
            (mask, run.1 + 1)
        } else {
            (mask, 1)
        };
        let voice = mask.trailing_zeros() as usize;
        if mask.count_ones() == 1 && run.1 == HOLDER_WINDOWS && order.last() != Some(&voice) {
            order.push(voice);
        }
    }
    order
}

fn check(sample_rate_hz: u32, voices: &[Voice]) -> Result<(), ProbeError> {
    if sample_rate_hz == 0 || !sample_rate_hz.is_multiple_of(100) {
        return Err(ProbeError::SampleRate(sample_rate_hz));
    }
    if voices.len() > TONES_MAX {
        return Err(ProbeError::TooMany(voices.len()));
    }
    for (index, voice) in voices.iter().enumerate() {
        let too_near = voices[..index]
            .iter()
            .any(|other| other.hz.abs_diff(voice.hz) < 200);
        let in_range = voice.hz > 0 && voice.hz < sample_rate_hz / 2;
        if too_near || !in_range || !voice.hz.is_multiple_of(100) {
            return Err(ProbeError::Tone(voice.hz));
        }
    }
    Ok(())
}

/// Asks every whole window of 10 ms, under a Hann window.
fn each_window<T>(
    samples: &[i16],
    sample_rate_hz: u32,
    mut ask: impl FnMut(&[f64]) -> T,
) -> Vec<T> {
    let length = (sample_rate_hz / 100) as usize;
    let hann: Vec<f64> = (0..length)
        .map(|index| 0.5 - 0.5 * (TAU * index as f64 / length as f64).cos())
        .collect();
    let mut shaped = vec![0.0; length];
    samples
        .chunks_exact(length)
        .map(|window| {
            for ((shaped, &sample), weight) in shaped.iter_mut().zip(window).zip(&hann) {
                *shaped = f64::from(sample) * weight;
            }
            ask(&shaped)
        })
        .collect()
}

/// Peak amplitude of one frequency in a Hann-shaped window, by Goertzel's algorithm.
fn amplitude(shaped: &[f64], hz: u32, sample_rate_hz: u32) -> f64 {
    let coefficient = 2.0 * (TAU * f64::from(hz) / f64::from(sample_rate_hz)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in shaped {
        (last, before) = (sample + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    // A sine of peak 1 has a magnitude of half the window's sum, which is half its length.
    4.0 * power.max(0.0).sqrt() / shaped.len() as f64
}

/// Finds where each holder's part begins, so that as few windows as possible disagree.
///
/// Dynamic programming over (window, holder): a window costs one when its holder is not heard and
/// one for every other tone that is.
fn segment(body: &[u8], holders: &[usize]) -> Vec<usize> {
    let cost = |mask: u8, holder: usize| {
        let bit = 1 << holders[holder];
        u32::from(mask & bit == 0) + (mask & !bit).count_ones()
    };
    let mut best = vec![u32::MAX; holders.len()];
    // For each window, whether the best way to be with this holder is to have just begun.
    let mut began = vec![false; body.len() * holders.len()];
    for (at, &mask) in body.iter().enumerate() {
        for holder in (0..holders.len()).rev() {
            let stay = if at == 0 { u32::MAX } else { best[holder] };
            let enter = match (at, holder) {
                (0, 0) => 0,
                (0, _) | (_, 0) => u32::MAX,
                (_, holder) => best[holder - 1],
            };
            began[at * holders.len() + holder] = enter <= stay;
            best[holder] = stay.min(enter).saturating_add(cost(mask, holder));
        }
    }
    let mut starts = vec![0; holders.len()];
    let mut holder = holders.len() - 1;
    for at in (1..body.len()).rev() {
        if holder > 0 && began[at * holders.len() + holder] {
            starts[holder] = at;
            holder -= 1;
        }
    }
    starts
}

/// Everything that the verdict is read from.
struct Judge<'a> {
    /// Windows from the first tone to the last.
    body: &'a [u8],
    /// Windows before the body.
    first: usize,
    /// First window of each holder, within the body.
    starts: &'a [usize],
    voices: usize,
    holders: &'a [usize],
    fade_ms: u64,
}

impl Judge<'_> {
    fn verdict(&self, windows: &[u8]) -> Verdict {
        let mut changes: Vec<Change> = (1..self.starts.len()).map(|to| self.change(to)).collect();
        let mut stray_silence_ms = 0;
        for at in (0..self.body.len()).filter(|&at| self.body[at] == 0) {
            match self.nearest_change(at) {
                Some(change) => changes[change].silence_ms += WINDOW_MS,
                None => {
                    stray_silence_ms += WINDOW_MS;
                    let part = self.starts.partition_point(|&start| start <= at);
                    if let Some(change) = part.checked_sub(2).and_then(|at| changes.get_mut(at)) {
                        change.lost_ms += WINDOW_MS;
                    }
                }
            }
        }
        let leaks = self.leaks();
        Verdict {
            changes,
            leaked_ms: leaks.iter().map(|leak| leak.ms).sum(),
            leaks,
            stray_silence_ms,
            missing: (0..self.starts.len())
                .filter(|&part| self.is_missing(part))
                .collect(),
            heard: heard(windows, self.voices),
        }
    }

    fn change(&self, to: usize) -> Change {
        let (from_bit, to_bit) = (self.bit(to - 1), self.bit(to));
        let both = |&at: &usize| self.body[at] & from_bit != 0 && self.body[at] & to_bit != 0;
        let near = (NEAR_MS / WINDOW_MS) as usize;
        let (start, end) = (self.starts[to], self.end(to));
        let from = start.saturating_sub(near).max(self.starts[to - 1]);
        let fade = self.fade(to);
        let audible = (fade.0..end)
            .find(|&at| self.body[at] & to_bit != 0)
            .unwrap_or(start);
        Change {
            from: self.holders[to - 1],
            to: self.holders[to],
            at_ms: self.ms(start),
            audible_at_ms: self.ms(audible),
            silence_ms: 0,
            lost_ms: 0,
            overlap_ms: (from..end.min(start + near)).filter(both).count() as u64 * WINDOW_MS,
        }
    }

    /// The windows in which both sides of the change to holder `to` may be heard: as long as a
    /// fade, and placed where it covers most of the overlap.
    fn fade(&self, to: usize) -> (usize, usize) {
        let bits = self.bit(to - 1) | self.bit(to);
        let length = self.fade_ms.div_ceil(WINDOW_MS) as usize + FADE_SLACK_WINDOWS;
        let start = self.starts[to];
        let covered = |from: usize| {
            let until = (from + length).min(self.body.len());
            (from..until)
                .filter(|&at| self.body[at] & bits == bits)
                .count()
        };
        let from = (start.saturating_sub(length)..=start).max_by_key(|&from| covered(from));
        let from = from.unwrap_or(start);
        (from, (from + length).min(self.body.len()))
    }

    fn leaks(&self) -> Vec<Leak> {
        let mut allowed: Vec<u8> = vec![0; self.body.len()];
        for part in 0..self.starts.len() {
            let bit = self.bit(part);
            allowed[self.starts[part]..self.end(part)]
                .iter_mut()
                .for_each(|mask| *mask |= bit);
        }
        for to in 1..self.starts.len() {
            let (from, until) = self.fade(to);
            let bits = self.bit(to - 1) | self.bit(to);
            allowed[from..until]
                .iter_mut()
                .for_each(|mask| *mask |= bits);
        }
        let stray: Vec<u8> = self
            .body
            .iter()
            .zip(&allowed)
            .map(|(mask, allowed)| mask & !allowed)
            .collect();
        let mut leaks: Vec<Leak> = heard(&stray, self.voices)
            .into_iter()
            .map(|run| Leak {
                voice: run.voice,
                at_ms: run.start_ms + self.ms(0),
                ms: run.end_ms - run.start_ms,
            })
            .filter(|leak| leak.ms >= LEAK_WINDOWS as u64 * WINDOW_MS)
            .collect();
        leaks.sort_by_key(|leak| (leak.at_ms, leak.voice));
        leaks
    }

    /// Whether a holder is heard in less than half of its part.
    fn is_missing(&self, part: usize) -> bool {
        let bit = self.bit(part);
        let windows = &self.body[self.starts[part]..self.end(part)];
        windows.iter().filter(|&mask| mask & bit != 0).count() * 2 < windows.len()
    }

    fn nearest_change(&self, at: usize) -> Option<usize> {
        let distances = self.starts[1..].iter().map(|start| start.abs_diff(at));
        let (change, distance) = distances
            .enumerate()
            .min_by_key(|&(_, distance)| distance)?;
        (distance as u64 * WINDOW_MS <= NEAR_MS).then_some(change)
    }

    fn bit(&self, part: usize) -> u8 {
        1 << self.holders[part]
    }

    fn end(&self, part: usize) -> usize {
        self.starts
            .get(part + 1)
            .copied()
            .unwrap_or(self.body.len())
    }

    fn ms(&self, at: usize) -> u64 {
        (self.first + at) as u64 * WINDOW_MS
    }
}

fn heard(windows: &[u8], voices: usize) -> Vec<Heard> {
    let mut runs: Vec<Heard> = Vec::new();
    for voice in 0..voices {
        let mut start = None;
        for at in 0..=windows.len() {
            let on = windows.get(at).is_some_and(|mask| mask & 1 << voice != 0);
            match (start, on) {
                (None, true) => start = Some(at),
                (Some(begun), false) => {
                    let (start_ms, end_ms) = (begun as u64 * WINDOW_MS, at as u64 * WINDOW_MS);
                    runs.push(Heard {
                        voice,
                        start_ms,
                        end_ms,
                    });
                    start = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
    }
    runs
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
