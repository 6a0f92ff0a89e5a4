//! The timeline of a call: what the probe found, and beside it what the specialists did.

use kit::timeline::{Lane, Mark, Panel, Span, SpanKind, Timeline};

use crate::figures::{Call, Figures, Moments};
use crate::journal::{Entry, Event};
use crate::{BILLING, TRIAGE};

/// Shown around a handoff in the second panel, in milliseconds.
const BEFORE_MS: u64 = 700;
const AFTER_MS: u64 = 500;
/// Peak of a window from which it is a sound.
const SOUND_PEAK: f32 = 0.01;
/// A pause between words is not worth a gap in the picture.
const WORD_GAP_WINDOWS: usize = 25;

/// Draws a call.
pub(crate) fn draw(call: &Call, figures: &Figures) -> Timeline {
    let loudness: Vec<f32> = call.caller.samples.chunks(480).map(peak).collect();
    let end_ms = loudness.len() as u64 * 10;
    let mut panels = vec![Panel {
        title: "The whole call".to_owned(),
        start_ms: 0,
        end_ms,
    }];
    panels.extend(magnified(call, figures));
    Timeline {
        title: "What the caller heard".to_owned(),
        subtitle: figures.summary(call),
        ok: figures.report.ok,
        caller: heard(call, figures, &loudness),
        loudness,
        lanes: lanes(call, end_ms),
        marks: figures.moments.iter().flat_map(marks).collect(),
        panels,
    }
}

/// The handoff with most silence, or else the last one, magnified.
fn magnified(call: &Call, figures: &Figures) -> Option<Panel> {
    let changes = figures.verdict.changes.iter().enumerate();
    let (index, change) = changes.max_by_key(|(_, change)| change.silence_ms)?;
    let at_ms = figures.judged_from_ms + change.audible_at_ms;
    let voices = call.voices();
    let (from, to) = (&voices[change.from].name, &voices[change.to].name);
    let silence_ms = change.silence_ms;
    Some(Panel {
        title: format!(
            "Handoff {}, {from} to {to}, magnified: {silence_ms} ms of silence",
            index + 1
        ),
        start_ms: at_ms.saturating_sub(BEFORE_MS),
        end_ms: at_ms + AFTER_MS,
    })
}

fn heard(call: &Call, figures: &Figures, loudness: &[f32]) -> Vec<Span> {
    let from_ms = figures.judged_from_ms;
    let mut spans = words(&loudness[..((from_ms / 10) as usize).min(loudness.len())]);
    let voices = call.voices();
    for run in &figures.verdict.heard {
        spans.push(Span {
            start_ms: from_ms + run.start_ms,
            end_ms: from_ms + run.end_ms,
            kind: SpanKind::Heard(run.voice),
            label: voices[run.voice].name.clone(),
        });
    }
    for change in &figures.verdict.changes {
        if change.overlap_ms > 0 {
            spans.push(Span {
                start_ms: from_ms + change.audible_at_ms,
                end_ms: from_ms + change.audible_at_ms + change.overlap_ms,
                kind: SpanKind::Fade(change.from, change.to),
                label: String::new(),
            });
        }
    }
    for &(start_ms, end_ms) in &figures.fillers {
        spans.push(Span {
            start_ms,
            end_ms,
            kind: SpanKind::Filler,
            label: "filler".to_owned(),
        });
    }
    spans.extend(holes(call, figures));
    for leak in &figures.verdict.leaks {
        spans.push(Span {
            start_ms: from_ms + leak.at_ms,
            end_ms: from_ms + leak.at_ms + leak.ms,
            kind: SpanKind::Leak,
            label: voices[leak.voice].name.clone(),
        });
    }
    spans
}

/// Where nobody was heard between the first tone and the last.
fn holes(call: &Call, figures: &Figures) -> Vec<Span> {
    let mut runs = figures.verdict.heard.clone();
    runs.sort_by_key(|run| run.start_ms);
    let mut holes = Vec::new();
    let mut until_ms = runs.first().map_or(0, |run| run.start_ms);
    for run in runs {
        if run.start_ms > until_ms && !call.arguments.has_rogue() {
            holes.push(Span {
                start_ms: figures.judged_from_ms + until_ms,
                end_ms: figures.judged_from_ms + run.start_ms,
                kind: SpanKind::Silence,
                label: String::new(),
            });
        }
        until_ms = until_ms.max(run.end_ms);
    }
    holes
}

/// Sounds of the spoken part; whose they are cannot be told from the recording.
fn words(loudness: &[f32]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let sounds = loudness
        .iter()
        .enumerate()
        .filter(|(_, peak)| **peak > SOUND_PEAK);
    for (window, _) in sounds {
        let (start_ms, end_ms) = (window as u64 * 10, window as u64 * 10 + 10);
        match spans.last_mut() {
            Some(last) if start_ms - last.end_ms <= WORD_GAP_WINDOWS as u64 * 10 => {
                last.end_ms = end_ms
            }
            Some(_) | None => spans.push(Span {
                start_ms,
                end_ms,
                kind: SpanKind::Words,
                label: "words".to_owned(),
            }),
        }
    }
    spans
}

/// A lane for each specialist, and one for the time in which none of them has the baton.
fn lanes(call: &Call, end_ms: u64) -> Vec<Lane> {
    let died_ms = call
        .died_us
        .map(|died_us| call.caller.ms(died_us).max(0.0) as u64);
    let alive_ms = died_ms.unwrap_or(end_ms);
    let mut lanes: Vec<Lane> = [TRIAGE, BILLING]
        .into_iter()
        .enumerate()
        .map(|(voice, name)| lane(call, voice, name, alive_ms))
        .collect();
    let holds = |kind: SpanKind| matches!(kind, SpanKind::Holding(_));
    let mut held: Vec<(u64, u64)> = lanes
        .iter()
        .flat_map(|lane| &lane.spans)
        .filter(|span| holds(span.kind))
        .map(|span| (span.start_ms, span.end_ms))
        .collect();
    held.sort_unstable();
    let mut spans = Vec::new();
    let mut until_ms = 0;
    for (start_ms, next_ms) in held.into_iter().chain([(end_ms, end_ms)]) {
        if start_ms > until_ms {
            spans.push(Span {
                start_ms: until_ms,
                end_ms: start_ms,
                kind: SpanKind::Hold,
                label: "nobody has the baton".to_owned(),
            });
        }
        until_ms = until_ms.max(next_ms);
    }
    lanes.push(Lane {
        name: "hold".to_owned(),
        spans,
    });
    lanes
}

fn lane(call: &Call, voice: usize, name: &'static str, end_ms: u64) -> Lane {
    let mut spans = Vec::new();
    // Each state lasts until the next begins.
    let mut current: Option<(u64, SpanKind, String)> = None;
    let entries: &[Entry] = call.journals.get(name).map_or(&[], Vec::as_slice);
    let changes = entries.iter().filter_map(|entry| {
        let at_ms = call.caller.ms(entry.at_us).max(0.0) as u64;
        Some((at_ms, state(voice, &entry.event)?))
    });
    for (at_ms, next) in changes.chain([(end_ms, None)]) {
        if let Some((start_ms, kind, label)) = current.take() {
            spans.push(Span {
                start_ms,
                end_ms: at_ms,
                kind,
                label,
            });
        }
        current = next.map(|(kind, label)| (at_ms, kind, label));
    }
    Lane {
        name: name.to_owned(),
        spans,
    }
}

/// What an event begins: a state worth drawing, or none; `None` if it changes nothing.
fn state(voice: usize, event: &Event) -> Option<Option<(SpanKind, String)>> {
    match event {
        Event::Preparing { .. } => Some(Some((SpanKind::Preparing(voice), String::new()))),
        Event::Ready { .. } => Some(Some((SpanKind::Ready(voice), "ready".to_owned()))),
        Event::Granted { epoch } => {
            Some(Some((SpanKind::Holding(voice), format!("epoch {epoch}"))))
        }
        Event::Revoked => Some(None),
        Event::Joined
        | Event::Requested { .. }
        | Event::Knows { .. }
        | Event::Leaves { .. }
        | Event::Failed { .. }
        | Event::HeardCaller { .. }
        | Event::ToneBegan { .. }
        | Event::Finished => None,
    }
}

fn marks(moments: &Moments) -> [Mark; 3] {
    let mark = |at_ms: f64, label: String| Mark {
        at_ms: at_ms.max(0.0) as u64,
        label,
    };
    [
        mark(moments.requested_ms, "request".to_owned()),
        mark(moments.ready_ms, "ready".to_owned()),
        mark(
            moments.granted_ms,
            format!("grant, epoch {}", moments.epoch),
        ),
    ]
}

fn peak(window: &[i16]) -> f32 {
    let peak = window
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap_or(0);
    f32::from(peak) / 32_768.0
}
