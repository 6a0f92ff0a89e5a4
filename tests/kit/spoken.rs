//! Tells from a recording who was heard when, by what they said: a matched filter for each voice.
//!
//! Of every participant there are clips, which are played whole, in parts or over and over. Pieces of each are looked for
//! anywhere in the recording, by normalised cross-correlation of what both are at 16 kHz, with the spectrum of speech
//! flattened. Each place where one is found puts the clip beside the recording; from there on the two are compared window by
//! window. Coding, another level, a band of 4 kHz and another voice as loud beside it leave enough to compare.

use std::collections::BTreeSet;
use std::sync::Arc;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};
use rustfft::num_complex::Complex;
use rustfft::{Fft as Transform, FftPlanner};

use crate::probe::{ProbeError, TONES_MAX, WINDOW_MS};
use crate::survey::dbfs;
use crate::wav::Wav;

/// Everything is compared at this rate.
const RATE_HZ: u32 = 16_000;
const WINDOW: usize = (RATE_HZ as u64 * WINDOW_MS / 1_000) as usize;
/// Samples of a piece that is looked for: 200 ms.
const PIECE: usize = RATE_HZ as usize / 5;
/// Samples of the recording that are searched at a time: 4 s, and what they share with the next ones.
const BLOCK: usize = 1 << 16;
const BLOCK_STEP: usize = BLOCK - PIECE;
/// Speech falls by 6 dB an octave and more: a difference of samples evens that out.
const FLATTEN: f32 = 0.95;
/// Likeness from which a piece is found.
const FOUND_MIN: f64 = 0.45;
/// Likeness from which a window has the voice in it: that of a voice 9 dB below what else is heard.
const HEARD_MIN: f64 = 0.33;
/// Two places that are closer are one.
const SAME_PLACE: i64 = WINDOW as i64 / 10;
/// By so many samples a place may be off, rates and codecs being what they are.
const SLACK: i64 = 3;
/// A window is compared together with as much around it.
const AROUND: usize = WINDOW;
/// Below this level there is nothing to hear, nor to compare.
const SOUND_DBFS: f64 = -55.0;
/// Energy of a flattened piece below which it is no more than what a spectrum is off by: -75 dBFS.
const PIECE_ENERGY_MIN: f64 = PIECE as f64 * 34.0;
/// What should be this faint is not missed.
const FAINT_DBFS: f64 = -50.0;
/// A window that is more than this below what the clip should sound like there has lost it.
const DROWNED_DB: f64 = 6.0;
/// Windows in a row in which a voice may be drowned by another.
const DROWNED_WINDOWS: usize = 15;
/// A voice is heard for so many windows, or it is not heard.
const HEARD_WINDOWS: usize = 5;
/// Places of one clip that are compared; the most alike count.
const PLACES_MAX: usize = 256;

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Whose voice it is.
    pub name: String,
    /// What it says, at any rate.
    pub clips: Vec<Wav>,
}

/// For every window of 10 ms the voices heard in it, a bit for each; a voice that pauses within what it says counts as heard.
///
/// # Errors
/// [`ProbeError`] when a rate cannot be converted, there are too many voices, or a clip is too short or silent.
pub fn hear(recording: &Wav, voices: &[Spoken]) -> Result<Vec<u8>, ProbeError> {
    if voices.len() > TONES_MAX {
        return Err(ProbeError::TooMany(voices.len()));
    }
    let band_hz = recording.sample_rate_hz.min(RATE_HZ);
    let search = Search::of(Sound::of(recording, band_hz)?);
    let mut windows = vec![0; search.sound.plain.len() / WINDOW];
    for (index, voice) in voices.iter().enumerate() {
        for clip in &voice.clips {
            let clip = Sound::of(clip, band_hz)?;
            let pieces = clip.pieces();
            if pieces.is_empty() {
                return Err(ProbeError::Clip(voice.name.clone()));
            }
            for place in search.places(&clip, &pieces) {
                for at in search.heard(&clip, place) {
                    windows[at] |= 1 << index;
                }
            }
        }
    }
    Ok(windows)
}

/// Samples at [`RATE_HZ`], as they are and flattened.
struct Sound {
    plain: Vec<f32>,
    flat: Vec<f32>,
}

impl Sound {
    /// Leaves of it what a recording of so many samples a second has: half as many Hz.
    fn of(wav: &Wav, band_hz: u32) -> Result<Self, ProbeError> {
        let samples = wav.samples.iter().copied().map(f32::from).collect();
        let within = converted(samples, wav.sample_rate_hz, band_hz)?;
        let plain = converted(within, band_hz, RATE_HZ)?;
        let before = std::iter::once(0.0).chain(plain.iter().copied());
        let flat = plain.iter().zip(before);
        let flat = flat.map(|(&sample, before)| sample - FLATTEN * before);
        Ok(Self {
            flat: flat.collect(),
            plain,
        })
    }

    /// Where the pieces begin that sound.
    fn pieces(&self) -> Vec<usize> {
        let starts = (0..self.plain.len().saturating_sub(PIECE - 1)).step_by(PIECE);
        starts
            .filter(|&at| level_dbfs(&self.plain[at..][..PIECE]) >= SOUND_DBFS)
            .collect()
    }
}

fn converted(samples: Vec<f32>, from_hz: u32, to_hz: u32) -> Result<Vec<f32>, ProbeError> {
    if from_hz == to_hz {
        return Ok(samples);
    }
    let refused = || ProbeError::SampleRate(from_hz);
    if from_hz == 0 || !from_hz.is_multiple_of(100) {
        return Err(refused());
    }
    let (from, to) = (from_hz as usize, to_hz as usize);
    let resampler = Fft::new(from, to, from / 100, 1, FixedSync::Both);
    let mut resampler = resampler.map_err(|_| refused())?;
    let input = InterleavedSlice::new(&samples, 1, samples.len()).map_err(|_| refused())?;
    let output = resampler.process_all(&input, samples.len(), None);
    Ok(output.map_err(|_| refused())?.take_data())
}

fn level_dbfs(samples: &[f32]) -> f64 {
    let power: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    dbfs((power / samples.len().max(1) as f64).sqrt())
}

/// A recording, ready to be searched.
struct Search {
    sound: Sound,
    /// Sums of the squares of the flattened samples up to each.
    energy: Vec<f64>,
    /// Spectra of the overlapping blocks.
    blocks: Vec<Vec<Complex<f32>>>,
    forward: Arc<dyn Transform<f32>>,
    inverse: Arc<dyn Transform<f32>>,
}

impl Search {
    fn of(sound: Sound) -> Self {
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (
            planner.plan_fft_forward(BLOCK),
            planner.plan_fft_inverse(BLOCK),
        );
        let mut energy = Vec::with_capacity(sound.flat.len() + 1);
        let mut sum = 0.0;
        energy.push(sum);
        for &sample in &sound.flat {
            sum += f64::from(sample).powi(2);
            energy.push(sum);
        }
        let starts = (0..sound.flat.len()).step_by(BLOCK_STEP);
        let blocks = starts.map(|start| {
            let end = sound.flat.len().min(start + BLOCK);
            spectrum(&*forward, &sound.flat[start..end], &[])
        });
        Self {
            blocks: blocks.collect(),
            sound,
            energy,
            forward,
            inverse,
        }
    }

    /// Where a clip begins in the recording, by any of its pieces; negative if its beginning is not in it.
    fn places(&self, clip: &Sound, pieces: &[usize]) -> BTreeSet<i64> {
        let mut found = Vec::new();
        for pair in pieces.chunks(2) {
            self.find(clip, pair, &mut found);
        }
        found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut places = BTreeSet::new();
        for (_, place) in found {
            let near = places.range(place - SAME_PLACE..=place + SAME_PLACE);
            if near.count() == 0 && places.len() < PLACES_MAX {
                places.insert(place);
            }
        }
        places
    }

    /// Looks for one or two pieces at once, which a complex spectrum has room for.
    fn find(&self, clip: &Sound, pieces: &[usize], found: &mut Vec<(f64, i64)>) {
        let piece = |at: usize| &clip.flat[at..][..PIECE];
        let second = pieces.get(1).map_or(&[][..], |&at| piece(at));
        let wanted = spectrum(&*self.forward, piece(pieces[0]), second);
        let energies: Vec<f64> = pieces.iter().map(|&at| energy(piece(at))).collect();
        for (number, block) in self.blocks.iter().enumerate() {
            let mut product: Vec<Complex<f32>> = block
                .iter()
                .zip(&wanted)
                .map(|(block, wanted)| block * wanted.conj() / BLOCK as f32)
                .collect();
            self.inverse.process(&mut product);
            let start = number * BLOCK_STEP;
            let until = BLOCK_STEP.min((self.sound.flat.len() + 1).saturating_sub(start + PIECE));
            for (which, (&at, &wanted)) in pieces.iter().zip(&energies).enumerate() {
                let likeness = |place: usize| {
                    let sum = product[place];
                    let sum = f64::from(if which == 0 { sum.re } else { -sum.im });
                    let here = self.energy[start + place + PIECE] - self.energy[start + place];
                    sum / (here.max(PIECE_ENERGY_MIN) * wanted).sqrt().max(1.0)
                };
                // The best of each run that is alike enough.
                let mut best: Option<(f64, usize)> = None;
                for place in 0..until {
                    let alike = likeness(place);
                    if alike >= FOUND_MIN && best.is_none_or(|(most, _)| alike > most) {
                        best = Some((alike, place));
                    }
                    let over = best.is_some_and(|(_, at)| place > at + WINDOW);
                    if over || place + 1 == until {
                        let best = best.take();
                        found.extend(
                            best.map(|(alike, place)| (alike, (start + place) as i64 - at as i64)),
                        );
                    }
                }
            }
        }
    }

    /// The windows in which a clip that begins at `place` is heard.
    fn heard(&self, clip: &Sound, place: i64) -> Vec<usize> {
        let first = (place.max(0) as usize).div_ceil(WINDOW);
        let end = usize::try_from(place + clip.flat.len() as i64).unwrap_or(0);
        let last = (end / WINDOW).min(self.sound.flat.len() / WINDOW);
        let beside: Vec<Beside> = (first..last)
            .map(|at| self.beside(clip, place, at))
            .collect();
        let mut windows = Vec::new();
        for (from, until) in runs(&beside) {
            windows.extend(first + from..first + until);
        }
        windows
    }

    /// Compares a window with what the clip has there.
    fn beside(&self, clip: &Sound, place: i64, at: usize) -> Beside {
        let start = at * WINDOW;
        let in_clip = |here: usize, slack: i64| (here as i64 - place + slack) as usize;
        let there = in_clip(start, 0);
        // As much of the surroundings as both have.
        let from = start
            .saturating_sub(AROUND)
            .max((place + SLACK).max(0) as usize);
        let end = (place - SLACK + clip.flat.len() as i64).max(0) as usize;
        let until = (start + WINDOW + AROUND)
            .min(end)
            .min(self.sound.flat.len());
        let here = self.sound.flat.get(from..until).unwrap_or(&[]);
        let alike = (-SLACK..=SLACK).map(|slack| {
            let there = &clip.flat[in_clip(from, slack)..][..here.len()];
            let sum: f64 = here
                .iter()
                .zip(there)
                .map(|(&here, &there)| f64::from(here) * f64::from(there))
                .sum();
            sum / (energy(here) * energy(there)).sqrt().max(1.0)
        });
        Beside {
            alike: alike.fold(0.0, f64::max),
            here_dbfs: level_dbfs(&self.sound.plain[start..][..WINDOW]),
            there_dbfs: level_dbfs(&clip.plain[there..][..WINDOW]),
        }
    }
}

/// A window of the recording beside what a clip has there.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Beside {
    alike: f64,
    here_dbfs: f64,
    there_dbfs: f64,
}

/// From where to where the clip is heard without a hole, pauses of its own aside.
fn runs(beside: &[Beside]) -> Vec<(usize, usize)> {
    let is_alike = |beside: &Beside| beside.alike >= HEARD_MIN && beside.here_dbfs >= SOUND_DBFS;
    let alike = beside.iter().filter(|beside| is_alike(beside));
    let mut gains_db: Vec<f64> = alike
        .map(|beside| beside.here_dbfs - beside.there_dbfs)
        .collect();
    gains_db.sort_by(f64::total_cmp);
    let Some(usual_db) = gains_db.get(gains_db.len() / 2) else {
        return Vec::new();
    };
    let mut runs = Vec::new();
    let mut open: Option<Run> = None;
    for (at, beside) in beside.iter().enumerate() {
        let expected_dbfs = beside.there_dbfs + usual_db;
        if is_alike(beside) {
            let run = open.get_or_insert(Run {
                from: at,
                last: at,
                count: 0,
                drowned: 0,
            });
            (run.last, run.count, run.drowned) = (at, run.count + 1, 0);
            continue;
        }
        // Where the clip itself is hardly heard, nothing can be said.
        if expected_dbfs < FAINT_DBFS {
            continue;
        }
        // Under something louder it may go on.
        let drowns = beside.here_dbfs >= expected_dbfs - DROWNED_DB;
        let goes_on = open
            .as_mut()
            .filter(|run| drowns && run.drowned < DROWNED_WINDOWS);
        match goes_on {
            Some(run) => run.drowned += 1,
            None => runs.extend(open.take()),
        }
    }
    runs.extend(open);
    let heard = runs.into_iter().filter(|run| run.count >= HEARD_WINDOWS);
    heard.map(|run| (run.from, run.last + 1)).collect()
}

/// A stretch in which a clip is heard.
struct Run {
    from: usize,
    /// Where it was heard last.
    last: usize,
    /// Windows in which it was.
    count: usize,
    /// Windows since then in which something else was.
    drowned: usize,
}

fn energy(samples: &[f32]) -> f64 {
    samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum()
}

/// The spectrum of one signal, or of two: the second is the imaginary part.
fn spectrum(transform: &dyn Transform<f32>, first: &[f32], second: &[f32]) -> Vec<Complex<f32>> {
    let mut spectrum = vec![Complex::default(); BLOCK];
    for (bin, &sample) in spectrum.iter_mut().zip(first) {
        bin.re = sample;
    }
    for (bin, &sample) in spectrum.iter_mut().zip(second) {
        bin.im = sample;
    }
    transform.process(&mut spectrum);
    spectrum
}

#[cfg(test)]
#[path = "spoken_tests.rs"]
mod tests;
