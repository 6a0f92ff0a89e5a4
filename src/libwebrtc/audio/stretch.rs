//! Making a piece of sound a little shorter or longer without a change of pitch: one period, found by correlation, is
//! folded into its neighbour or repeated (as WSOLA does).

/// The shortest and longest period, in fractions of a second: 400 Hz and 100 Hz.
const PERIOD_MIN: u32 = 400;
const PERIOD_MAX: u32 = 100;

/// Below this mean power a period may be anything: nobody hears the seam (about -66 dBov).
const QUIET_POWER: f64 = 256.0;

/// How well two neighbouring periods must agree, from 0 to 1; as in NetEq. At 0.7 the seam was heard.
const AGREEMENT_MIN: f64 = 0.9;

/// Takes one period out of `pcm[from..]`; returns the samples per channel removed, 0 if the sound does not allow it.
/// `force` does it whatever the sound is.
pub(crate) fn shorten(
    pcm: &mut Vec<i16>,
    from: usize,
    rate: u32,
    channels: usize,
    force: bool,
) -> usize {
    let Some(period) = find_period(&pcm[from..], rate, channels, force) else {
        return 0;
    };
    let span = period * channels;
    for index in 0..span {
        let frame = index / channels;
        pcm[from + index] = blend(
            pcm[from + index],
            pcm[from + span + index],
            frame as f32 / period as f32,
        );
    }
    pcm.drain(from + span..from + 2 * span);
    period
}

/// Repeats one period at the start of `pcm[from..]`; returns the samples per channel inserted, 0 if the sound does not
/// allow it.
pub(crate) fn lengthen(pcm: &mut Vec<i16>, from: usize, rate: u32, channels: usize) -> usize {
    let Some(period) = find_period(&pcm[from..], rate, channels, false) else {
        return 0;
    };
    let span = period * channels;
    let end = pcm.len();
    pcm.resize(end + span, 0);
    pcm.copy_within(from + span..end, from + 2 * span);
    // What was at `from + span` is now also at `from + 2 * span`; the seam goes from there back to the first period.
    for index in 0..span {
        let frame = index / channels;
        pcm[from + span + index] = blend(
            pcm[from + span + index],
            pcm[from + index],
            frame as f32 / period as f32,
        );
    }
    period
}

/// Whether nobody hears a seam in it.
pub(crate) fn is_quiet(pcm: &[i16], channels: usize) -> bool {
    let samples = pcm.iter().step_by(channels);
    let count = samples.len().max(1) as f64;
    let energy: f64 = samples.map(|&sample| f64::from(sample).powi(2)).sum();
    energy < QUIET_POWER * count
}

fn blend(from: i16, to: i16, share: f32) -> i16 {
    (f32::from(from) * (1.0 - share) + f32::from(to) * share).round() as i16
}

/// The period, in samples per channel, at which `pcm` is most like itself.
fn find_period(pcm: &[i16], rate: u32, channels: usize, force: bool) -> Option<usize> {
    let frames = pcm.len() / channels;
    let longest = ((rate / PERIOD_MAX) as usize).min(frames / 2);
    let shortest = (rate / PERIOD_MIN) as usize;
    if shortest == 0 || shortest > longest {
        return None;
    }
    let window = frames - longest;
    // The first channel stands for all; at high rates every fourth sample is enough to find the neighbourhood.
    let at = |frame: usize| f64::from(pcm[frame * channels]);
    if is_quiet(pcm, channels) {
        return Some(longest);
    }
    let agreement = |period: usize, stride: usize| {
        let (mut cross, mut one, mut other) = (0.0, 1.0, 1.0);
        for frame in (0..window.min(frames - period)).step_by(stride) {
            let (a, b) = (at(frame), at(frame + period));
            cross += a * b;
            one += a * a;
            other += b * b;
        }
        cross / (one * other).sqrt()
    };
    let stride = (rate as usize / 12_000).max(1);
    let best = |range: &mut dyn Iterator<Item = usize>, stride: usize| {
        range
            .map(|period| (period, agreement(period, stride)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (rough, _) = best(&mut (shortest..=longest).step_by(stride), stride)?;
    let near = rough.saturating_sub(stride).max(shortest)..=(rough + stride).min(longest);
    let (period, agreed) = best(&mut near.into_iter(), 1)?;
    (force || agreed >= AGREEMENT_MIN).then_some(period)
}
