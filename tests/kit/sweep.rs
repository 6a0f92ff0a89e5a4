//! A tone whose frequency sweeps: whoever hears a piece of it can tell which piece it was, to a few milliseconds.
//!
//! It tells who heard which part of what a caller said, and whether a part was heard by both or by nobody.

use std::f64::consts::TAU;

/// The sweep starts over after this long.
pub const PERIOD_MS: f64 = 2_000.0;
/// Samples per second.
const RATE_HZ: f64 = 48_000.0;
/// Samples of a piece: 10 ms.
pub const PIECE_SAMPLES: usize = 480;
const PIECE_MS: f64 = 10.0;
const FROM_HZ: f64 = 400.0;
const HZ_PER_MS: f64 = 1.5;
/// Peaks of Goertzel's algorithm are looked for on this grid.
const GRID_HZ: f64 = 100.0;
/// Amplitude below which nothing is there.
const PEAK_MIN: f64 = 500.0;
/// Pieces that an end of a stretch is placed by.
const END_PIECES: usize = 30;

/// The sweep as it is spoken.
#[derive(Clone, Debug)]
pub struct Sweep {
    peak: f64,
    at: u64,
    phase: f64,
}

/// A stretch that somebody heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Where in the sweep it begins, in milliseconds from 0 to [`PERIOD_MS`].
    pub begin_ms: f64,
    /// Where it ends.
    pub end_ms: f64,
    /// How long it took to hear.
    pub heard_ms: f64,
    /// How much the pieces in it are out of their order at worst: what is missing or repeated within.
    pub slip_ms: f64,
}

impl Sweep {
    /// A sweep whose peaks are at `peak_dbfs`, at 48 kHz.
    pub fn new(peak_dbfs: f64) -> Self {
        Self {
            peak: crate::tone::peak_of(peak_dbfs),
            at: 0,
            phase: 0.0,
        }
    }

    /// Writes the next samples over `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for out in out {
            let ms = (self.at as f64 * 1_000.0 / RATE_HZ) % PERIOD_MS;
            self.at += 1;
            self.phase = (self.phase + (FROM_HZ + HZ_PER_MS * ms) / RATE_HZ).fract();
            *out = (self.peak * (TAU * self.phase).sin()).round() as i16;
        }
    }
}

/// Places what was heard, piece after piece; pieces before the first sound and after the last are left out. `None` if it
/// is too little.
pub fn stretch<'a>(pieces: impl Iterator<Item = &'a [i16; PIECE_SAMPLES]>) -> Option<Stretch> {
    let places: Vec<Option<f64>> = pieces.map(place_ms).collect();
    let first = places.iter().position(Option::is_some)?;
    let last = places.iter().rposition(Option::is_some)?;
    // Where the stretch would have begun by each piece: the same everywhere if nothing is missing or repeated.
    let starts: Vec<f64> = (first..=last)
        .filter_map(|at| Some((places[at]? - (at - first) as f64 * PIECE_MS).rem_euclid(PERIOD_MS)))
        .collect();
    if starts.len() < 2 * END_PIECES {
        return None;
    }
    let begin = middle(&starts[..END_PIECES]);
    let end = middle(&starts[starts.len() - END_PIECES..]);
    let heard_ms = (last - first + 1) as f64 * PIECE_MS;
    let slip_ms = starts
        .windows(END_PIECES)
        .map(|window| difference_ms(middle(window), begin).abs())
        .fold(0.0, f64::max);
    Some(Stretch {
        begin_ms: begin,
        end_ms: (end + heard_ms).rem_euclid(PERIOD_MS),
        heard_ms,
        slip_ms,
    })
}

/// From `earlier` to `later` in the sweep, in milliseconds, negative if it is the other way round.
pub fn difference_ms(later: f64, earlier: f64) -> f64 {
    (later - earlier + PERIOD_MS / 2.0).rem_euclid(PERIOD_MS) - PERIOD_MS / 2.0
}

/// Where in the sweep a piece begins.
fn place_ms(piece: &[i16; PIECE_SAMPLES]) -> Option<f64> {
    let grid: Vec<f64> = (2..=38)
        .map(|bin| amplitude(piece, f64::from(bin) * GRID_HZ))
        .collect();
    let top = (1..grid.len() - 1).max_by(|&a, &b| grid[a].total_cmp(&grid[b]))?;
    if grid[top] < PEAK_MIN {
        return None;
    }
    // The logarithm of a Hann window's main lobe is nearly a parabola.
    let [left, middle, right] =
        [grid[top - 1], grid[top], grid[top + 1]].map(|peak| peak.max(1.0).ln());
    let shift = (left - right) / (2.0 * (left - 2.0 * middle + right));
    let hz = (top as f64 + 2.0 + shift) * GRID_HZ;
    let ms = (hz - FROM_HZ) / HZ_PER_MS - PIECE_MS / 2.0;
    // The turn of the sweep is in it.
    (PIECE_MS..PERIOD_MS - 2.0 * PIECE_MS)
        .contains(&ms)
        .then_some(ms)
}

fn amplitude(piece: &[i16; PIECE_SAMPLES], hz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hz / RATE_HZ).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for (index, &sample) in piece.iter().enumerate() {
        let hann = 0.5 - 0.5 * (TAU * index as f64 / PIECE_SAMPLES as f64).cos();
        (last, before) = (f64::from(sample) * hann + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    4.0 * power.max(0.0).sqrt() / PIECE_SAMPLES as f64
}

/// The middle one of values on the circle of the period.
fn middle(values: &[f64]) -> f64 {
    let reference = values[0];
    let mut around: Vec<f64> = values
        .iter()
        .map(|&value| difference_ms(value, reference))
        .collect();
    around.sort_by(f64::total_cmp);
    (reference + around[around.len() / 2]).rem_euclid(PERIOD_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(ms: usize) -> Vec<[i16; PIECE_SAMPLES]> {
        let mut sweep = Sweep::new(-14.0);
        (0..ms / 10)
            .map(|_| {
                let mut piece = [0; PIECE_SAMPLES];
                sweep.fill(&mut piece);
                piece
            })
            .collect()
    }

    #[test]
    fn a_stretch_is_placed_where_it_is() {
        let all = pieces(6_000);
        for (from, until) in [(0, 600), (50, 150), (170, 330), (399, 480)] {
            let found = stretch(all[from..until].iter()).expect("long enough");
            let begin = difference_ms(found.begin_ms, from as f64 * 10.0);
            let end = difference_ms(found.end_ms, until as f64 * 10.0);
            // A piece in which the sweep turns is not placed, and may be one at an end.
            assert!(
                begin.abs() <= 25.0 && end.abs() <= 25.0,
                "{from}: {found:?}"
            );
            assert!(found.slip_ms < 3.0, "{from}: {found:?}");
        }
        let found = stretch(all[50..150].iter()).expect("long enough");
        assert!(
            difference_ms(found.begin_ms, 500.0).abs() < 2.0,
            "{found:?}"
        );
        assert!(
            difference_ms(found.end_ms, 1_500.0).abs() < 2.0,
            "{found:?}"
        );
    }

    #[test]
    fn what_is_missing_or_repeated_within_is_found() {
        let all = pieces(3_000);
        let missing = all[..100].iter().chain(&all[104..]);
        let found = stretch(missing).expect("long enough");
        assert!((found.slip_ms - 40.0).abs() < 5.0, "{found:?}");
        let repeated = all[..100].iter().chain(&all[97..]);
        let found = stretch(repeated).expect("long enough");
        assert!((found.slip_ms - 30.0).abs() < 5.0, "{found:?}");
    }

    #[test]
    fn silence_is_no_stretch() {
        let silence = [[0; PIECE_SAMPLES]; 100];
        assert_eq!(stretch(silence.iter()), None);
    }
}
