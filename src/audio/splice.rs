//! Makes sound longer or shorter where it resembles itself, so that nobody hears it: the overlap-add of WSOLA.

use std::collections::VecDeque;

/// Samples over which one place slides into the other: 5 ms.
pub(crate) const OVERLAP: usize = 240;

/// Every which sample is looked at when two places are compared.
const STRIDE: usize = 4;
const LAG_STEP: usize = 2;
/// The most that is put in or left out at a time: 20 ms.
const LAG_MAX: usize = 960;

/// Plays the beginning of `pcm` twice, for `at_least` to `at_most` more samples; returns how many. Nothing is done to sound that is
/// too short for it.
pub(crate) fn lengthen(pcm: &mut VecDeque<i16>, at_least: usize, at_most: usize) -> usize {
    let Some(lag) = best_lag(pcm, at_least, at_most) else {
        return 0;
    };
    let joined = slide(pcm, lag, 0);
    let mut once = [0; LAG_MAX];
    for (to, from) in once.iter_mut().zip(pcm.iter().take(lag)) {
        *to = *from;
    }
    for (place, sample) in joined.into_iter().enumerate() {
        pcm[place] = sample;
    }
    for &sample in once[..lag].iter().rev() {
        pcm.push_front(sample);
    }
    lag
}

/// Leaves out `at_least` to `at_most` samples after the beginning of `pcm`; returns how many.
pub(crate) fn shorten(pcm: &mut VecDeque<i16>, at_least: usize, at_most: usize) -> usize {
    let Some(lag) = best_lag(pcm, at_least, at_most) else {
        return 0;
    };
    let joined = slide(pcm, 0, lag);
    pcm.drain(..lag);
    for (place, sample) in joined.into_iter().enumerate() {
        pcm[place] = sample;
    }
    lag
}

/// Slides from the sound at `from` into that at `to`.
fn slide(pcm: &VecDeque<i16>, from: usize, to: usize) -> [i16; OVERLAP] {
    std::array::from_fn(|index| {
        let share = (index as f32 + 0.5) / OVERLAP as f32;
        let joined =
            f32::from(pcm[from + index]) * (1.0 - share) + f32::from(pcm[to + index]) * share;
        joined.round() as i16
    })
}

/// The distance at which `pcm` resembles its beginning most.
fn best_lag(pcm: &VecDeque<i16>, at_least: usize, at_most: usize) -> Option<usize> {
    let at_most = at_most.min(LAG_MAX).min(pcm.len().checked_sub(OVERLAP)?);
    if at_least > at_most {
        return None;
    }
    let alike = |lag: usize| {
        let (mut product, mut power) = (0.0_f32, 1.0_f32);
        for place in (0..OVERLAP).step_by(STRIDE) {
            let (here, there) = (f32::from(pcm[place]), f32::from(pcm[place + lag]));
            product += here * there;
            power += there * there;
        }
        product / power.sqrt()
    };
    let mut best = (at_least, alike(at_least));
    for lag in (at_least..=at_most).step_by(LAG_STEP).skip(1) {
        let likeness = alike(lag);
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    Some(best.0)
}
