//! The figures of a call: from the recording who was heard, from the journals when it was asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use kit::probe::{self, Change, Expected, Verdict, Voice};
use kit::report::{Handoff, Report, median};
use kit::sweep;

use crate::arrivals::Arrivals;
use crate::caller::Ear;
use crate::journal::{Entry, Event};
use crate::sound;
use crate::stage::Footprint;
use crate::{
    Arguments, BILLING, BILLING_HZ, COMPARISON_SWITCHES, FADE_MS, ROGUE, ROGUE_HZ, TONE_DBFS,
    TRIAGE, TRIAGE_HZ,
};

const SAMPLE_RATE_HZ: u32 = 48_000;
const SAMPLES_PER_WINDOW: usize = 480;
/// Goals: median and worst silence at a handoff.
const SILENCE_MEDIAN_MAX_MS: u64 = 20;
const SILENCE_WORST_MAX_MS: u64 = 40;
/// Goals: what a crossfade has of both at least, and how far one holder may be louder than the other.
const OVERLAP_MIN_MS: u64 = FADE_MS / 2;
const LEVEL_STEP_MAX_DB: f64 = 1.0;
/// Goal: what the caller says through a change, heard by nobody; a stretch is placed no better than this.
const CALLER_LOST_MAX_MS: f64 = 20.0;
/// Goal: by default a holder is given up after 900 ms, and the demo's filler waits for 400 ms of silence.
const DEATH_TO_FILLER_MAX_MS: f64 = 2_000.0;
/// Goals: memory and threads of Baton with one call, and the size of its program.
const RSS_MAX_MB: f64 = 36.0;
/// Two that work, one that waits, the engine's, and one or two that write the journal.
const THREADS_MAX: u64 = 6;
/// With the journal, conditions and the operators' interface in it.
const PROGRAM_MAX_MB: f64 = 44.0;
/// Level of a window from which it is a word.
const WORD_PEAK: i16 = 400;

/// All that a run has left to be judged.
pub(crate) struct Call {
    pub(crate) arguments: Arguments,
    pub(crate) caller: Heard,
    pub(crate) dialled_us: u64,
    /// When both specialists were killed, if they were.
    pub(crate) died_us: Option<u64>,
    pub(crate) journals: BTreeMap<&'static str, Vec<Entry>>,
    pub(crate) footprint: Footprint,
    pub(crate) baton_bytes: u64,
    pub(crate) comparison: Option<Verdict>,
}

/// What the caller heard, and when it began to.
pub(crate) struct Heard {
    pub(crate) samples: Vec<i16>,
    pub(crate) arrivals: Arrivals,
    pub(crate) started_us: u64,
    track_published_us: Option<u64>,
    answered_us: Option<u64>,
    late_ticks: u64,
}

/// The figures, and what they were read from.
pub(crate) struct Figures {
    pub(crate) report: Report,
    pub(crate) verdict: Verdict,
    /// Start of the part that was judged, in milliseconds of the recording.
    pub(crate) judged_from_ms: u64,
    /// The measured handoffs, as far as they happened.
    pub(crate) moments: Vec<Moments>,
    /// Where the filler was heard, in milliseconds of the recording: from and to.
    pub(crate) fillers: Vec<(u64, u64)>,
}

/// When a handoff was asked for, prepared and granted, in milliseconds of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) epoch: u64,
    pub(crate) requested_ms: f64,
    pub(crate) ready_ms: f64,
    pub(crate) granted_ms: f64,
    caller_lost_ms: Option<f64>,
    /// What the old one had of the conversation as it asked, and the new one with its grant.
    left: Option<(u64, String)>,
    known: Option<(u64, String)>,
}

impl Heard {
    pub(crate) fn of(ear: &Ear) -> Self {
        Self {
            samples: ear.heard.clone(),
            arrivals: ear.arrivals.clone(),
            started_us: ear.started_us,
            track_published_us: ear.track_published_us,
            answered_us: ear.answered_us,
            late_ticks: ear.late_ticks,
        }
    }

    /// A moment of the recording, of this machine's clock.
    pub(crate) fn us(&self, at_ms: u64) -> u64 {
        self.started_us + at_ms * 1_000
    }

    /// A moment of this machine's clock, in milliseconds of the recording.
    pub(crate) fn ms(&self, at_us: u64) -> f64 {
        (at_us as f64 - self.started_us as f64) / 1_000.0
    }
}

impl Call {
    pub(crate) fn voices(&self) -> Vec<Voice> {
        let voice = |name: &str, hz| Voice {
            name: name.to_owned(),
            hz,
        };
        let mut voices = vec![voice(TRIAGE, TRIAGE_HZ), voice(BILLING, BILLING_HZ)];
        if self.arguments.has_rogue() {
            voices.push(voice(ROGUE, ROGUE_HZ));
        }
        voices
    }

    pub(crate) fn expected(&self) -> Expected {
        Expected {
            voices: self.voices(),
            holders: (0..=self.arguments.handoffs as usize)
                .map(|index| index % 2)
                .collect(),
            fade_ms: FADE_MS,
            full_dbfs: TONE_DBFS,
        }
    }

    /// First window of the part to judge: from the first tone, or all of a call without words.
    fn judged_from(&self) -> Result<usize> {
        if self.arguments.has_rogue() {
            return Ok(0);
        }
        let mut entries = self.journals.values().flatten();
        let began = entries.find(|entry| matches!(entry.event, Event::ToneBegan { epoch } if epoch == self.arguments.speech_epochs()));
        let began = began.context("the measured part never began")?;
        let window = (self.caller.ms(began.at_us) / 10.0).max(0.0) as usize;
        Ok(window.min(self.caller.samples.len() / SAMPLES_PER_WINDOW))
    }

    /// The grants of the measured part and what led to them.
    fn moments(&self) -> Vec<Moments> {
        let mut grants: Vec<(u64, u64, &str)> = Vec::new();
        for (name, entries) in &self.journals {
            for entry in entries {
                if let Event::Granted { epoch } = entry.event
                    && epoch > self.arguments.speech_epochs()
                {
                    grants.push((entry.at_us, epoch, name));
                }
            }
        }
        grants.sort_unstable();
        let mut moments = Vec::new();
        for (at_us, epoch, name) in grants {
            moments.push(self.moment(at_us, epoch, name));
        }
        moments
    }

    /// What of the caller neither heard, who had the baton until a grant and who has it from then on.
    fn caller_lost_ms(&self, granted_us: u64, to: &str) -> Option<f64> {
        let stretches = |mine: bool| {
            let journals = self
                .journals
                .iter()
                .filter(move |(name, _)| (**name == to) == mine);
            let entries = journals.flat_map(|(_, entries)| entries);
            entries.filter_map(move |entry| {
                // Each says so when it has lost the baton.
                let Event::HeardCaller { begin_ms, end_ms } = entry.event else {
                    return None;
                };
                (entry.at_us >= granted_us).then_some((entry.at_us, begin_ms, end_ms))
            })
        };
        let first = |mine| stretches(mine).min_by_key(|&(at_us, ..)| at_us);
        let ((_, _, old_end_ms), (_, new_begin_ms, _)) = (first(false)?, first(true)?);
        Some(rounded(
            sweep::difference_ms(new_begin_ms, old_end_ms).max(0.0),
        ))
    }

    fn moment(&self, granted_us: u64, epoch: u64, to: &str) -> Moments {
        let last = |mine: bool, wanted: fn(&Event) -> bool| {
            let journals = self
                .journals
                .iter()
                .filter(|(name, _)| (**name == to) == mine);
            let entries = journals.flat_map(|(_, entries)| entries);
            let before = entries.filter(|entry| entry.at_us <= granted_us && wanted(&entry.event));
            before.map(|entry| entry.at_us).max().unwrap_or(granted_us)
        };
        let entries = |mine: bool| {
            let journals = self.journals.iter();
            let journals = journals.filter(move |(name, _)| (**name == to) == mine);
            journals.flat_map(|(_, entries)| entries)
        };
        let left = entries(false).filter(|entry| entry.at_us <= granted_us);
        let mut left = left.filter_map(|entry| {
            let Event::Leaves { items, hash } = &entry.event else {
                return None;
            };
            Some((*items, hash.clone()))
        });
        let known = entries(true).filter(|entry| entry.at_us >= granted_us);
        let mut known = known.filter_map(|entry| {
            let Event::Knows { items, hash } = &entry.event else {
                return None;
            };
            Some((*items, hash.clone()))
        });
        let (left, known) = (left.next_back(), known.next());
        let requested_us = last(false, |event| matches!(event, Event::Requested { .. }));
        let ready_us = last(true, |event| matches!(event, Event::Ready { .. }));
        Moments {
            epoch,
            requested_ms: self.caller.ms(requested_us),
            ready_ms: self.caller.ms(ready_us.max(requested_us)),
            granted_ms: self.caller.ms(granted_us),
            caller_lost_ms: self.caller_lost_ms(granted_us, to),
            left,
            known,
        }
    }

    fn dispatch_to_program_track_ms(&self) -> f64 {
        let published_us = self.caller.track_published_us.unwrap_or(self.dialled_us);
        published_us.saturating_sub(self.dialled_us) as f64 / 1_000.0
    }

    fn answer_to_first_word_ms(&self) -> f64 {
        let Some(answered_us) = self.caller.answered_us else {
            return 0.0;
        };
        let mut windows = self.caller.samples.chunks(SAMPLES_PER_WINDOW);
        let is_word = |window: &[i16]| {
            window
                .iter()
                .any(|sample| sample.unsigned_abs() > WORD_PEAK as u16)
        };
        let first = windows.position(is_word);
        first.map_or(0.0, |window| {
            (window as f64 * 10.0 - self.caller.ms(answered_us)).max(0.0)
        })
    }
}

impl Figures {
    /// Judges a call.
    ///
    /// # Errors
    /// When its measured part never began, or nothing at all was heard.
    pub(crate) fn of(call: &Call) -> Result<Self> {
        let from = call.judged_from()?;
        let samples = &call.caller.samples[from * SAMPLES_PER_WINDOW..];
        let verdict = probe::judge(samples, SAMPLE_RATE_HZ, &call.expected())
            .context("what the caller heard cannot be judged")?;
        let judged_from_ms = from as u64 * 10;
        let moments = call.moments();
        let voices = call.voices();
        let levels = sound::levels(samples, &voices, &verdict)?;
        let handoff = |(index, (moments, change)): (usize, (&Moments, &Change))| Handoff {
            from: voices[change.from].name.clone(),
            to: voices[change.to].name.clone(),
            epoch: moments.epoch,
            context_items: moments.known.as_ref().map(|(items, _)| *items),
            context_hash: moments.known.as_ref().map(|(_, hash)| hash.clone()),
            context_equal: moments.known.is_some() && moments.known == moments.left,
            requested_at_ms: rounded(moments.requested_ms),
            request_to_ready_ms: rounded(moments.ready_ms - moments.requested_ms),
            ready_to_grant_ms: rounded(moments.granted_ms - moments.ready_ms),
            grant_to_audible_ms: rounded(
                (judged_from_ms + change.audible_at_ms) as f64 - moments.granted_ms,
            ),
            silence_ms: change.silence_ms,
            overlap_ms: change.overlap_ms,
            level_step_db: levels[index]
                .zip(levels[index + 1])
                .map(|(old, new)| rounded(new - old)),
            lost_ms: change.lost_ms,
            caller_lost_ms: moments.caller_lost_ms,
        };
        let changes = moments.iter().zip(&verdict.changes).enumerate();
        let handoffs: Vec<Handoff> = changes.map(handoff).collect();
        let fillers = sound::fillers(&call.caller.samples)?;
        let death_to_filler_ms = call.died_us.and_then(|died_us| {
            let died_ms = call.caller.ms(died_us);
            let mut starts = fillers.iter().map(|&(from_ms, _)| from_ms as f64);
            starts
                .find(|&from_ms| from_ms >= died_ms)
                .map(|from_ms| rounded(from_ms - died_ms))
        });
        let mut report = Report {
            leaked_ms: verdict.leaked_ms,
            clicks: sound::clicks(samples, &voices)?,
            death_to_filler_ms,
            dispatch_to_program_track_ms: rounded(call.dispatch_to_program_track_ms()),
            answer_to_first_word_ms: rounded(call.answer_to_first_word_ms()),
            baton_rss_mb: rounded(call.footprint.rss_mb),
            ok: false,
            handoffs,
        };
        report.ok = beyond(&limits(call, &verdict, &report)).is_empty();
        Ok(Self {
            report,
            verdict,
            judged_from_ms,
            moments,
            fillers,
        })
    }

    /// The table that the demo ends with.
    pub(crate) fn table(&self, call: &Call) -> String {
        let report = &self.report;
        let mut table = String::from(
            "\n  #  from     to       epoch     ready  to grant  to audible  silence  overlap  level step  lost  of the caller\n",
        );
        for (index, handoff) in report.handoffs.iter().enumerate() {
            let Handoff {
                from,
                to,
                epoch,
                context_items: _,
                context_hash: _,
                context_equal: _,
                requested_at_ms: _,
                request_to_ready_ms,
                ready_to_grant_ms,
                grant_to_audible_ms,
                silence_ms,
                overlap_ms,
                level_step_db,
                lost_ms,
                caller_lost_ms,
            } = handoff;
            let number = index + 1;
            let known =
                |value: &Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.1}"));
            let (level_step_db, caller_lost_ms) = (known(level_step_db), known(caller_lost_ms));
            let _ = writeln!(
                table,
                "{number:3}  {from:8} {to:8} {epoch:5}  {request_to_ready_ms:5.1} ms  {ready_to_grant_ms:5.1} ms  {grant_to_audible_ms:7.1} ms  {silence_ms:4} ms  {overlap_ms:4} ms  {level_step_db:>7} dB  {lost_ms} ms  {caller_lost_ms:>10} ms"
            );
        }
        table.push('\n');
        for Limit {
            name,
            value,
            standing,
        } in self.limits(call)
        {
            let _ = writeln!(table, "  {name:50} {value:>12}  {}", standing.mark());
        }
        if let Some(comparison) = &call.comparison {
            table.push_str(&compared(&self.verdict, comparison));
        }
        if call.caller.late_ticks > 0 {
            let late = call.caller.late_ticks;
            let _ = writeln!(
                table,
                "\n  the caller's own clock was late {late} times: this machine is busy"
            );
        }
        let verdict = if report.ok {
            "ok: every figure is within its limit"
        } else {
            "NOT OK"
        };
        let _ = writeln!(table, "\n{verdict}");
        table
    }

    fn limits(&self, call: &Call) -> Vec<Limit> {
        limits(call, &self.verdict, &self.report)
    }

    /// The line below the title of the picture.
    pub(crate) fn summary(&self, call: &Call) -> String {
        let Verdict {
            changes, leaked_ms, ..
        } = &self.verdict;
        let (median, worst) = silence(&self.verdict);
        let handoffs = changes.len();
        let mut summary = format!(
            "{handoffs} measured handoffs: {leaked_ms} ms leaked, silence {median} ms in the median and {worst} ms at worst"
        );
        let beyond = beyond(&self.limits(call));
        if !beyond.is_empty() {
            let _ = write!(summary, "; out of limit: {}", beyond.join(", "));
        }
        summary
    }
}

/// A figure and how it stands to its limit.
struct Limit {
    name: &'static str,
    value: String,
    standing: Standing,
}

/// How a figure stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Within,
    Beyond,
    /// It has no limit.
    Shown,
    /// Its limit is for release builds, and this is none.
    NotJudged,
}

impl Standing {
    fn of(within: bool) -> Self {
        if within { Self::Within } else { Self::Beyond }
    }

    /// For memory and size, which debug information multiplies.
    fn in_release(within: bool) -> Self {
        if cfg!(debug_assertions) {
            Self::NotJudged
        } else {
            Self::of(within)
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Within => "ok",
            Self::Beyond => "OUT OF LIMIT",
            Self::Shown => "",
            Self::NotJudged => "not judged in a debug build",
        }
    }
}

/// Names of the figures that are out of their limits.
fn beyond(limits: &[Limit]) -> Vec<&'static str> {
    let beyond = limits
        .iter()
        .filter(|limit| limit.standing == Standing::Beyond);
    beyond.map(|limit| limit.name).collect()
}

fn limits(call: &Call, verdict: &Verdict, report: &Report) -> Vec<Limit> {
    let (median, worst) = silence(verdict);
    let Footprint { rss_mb, threads } = call.footprint;
    let program_mb = call.baton_bytes as f64 / 1_000_000.0;
    let (handoffs, wanted) = (report.handoffs.len(), call.arguments.handoffs);
    let all = || report.handoffs.iter();
    let unfaded = all()
        .filter(|handoff| handoff.overlap_ms < OVERLAP_MIN_MS)
        .count();
    let strangers = all().filter(|handoff| !handoff.context_equal).count();
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let step_db = most(&mut all().filter_map(|handoff| handoff.level_step_db.map(f64::abs)));
    let caller_lost_ms = most(&mut all().filter_map(|handoff| handoff.caller_lost_ms));
    let limit = |name, value, standing| Limit {
        name,
        value,
        standing,
    };
    let within = Standing::of;
    vec![
        limit(
            "handoffs",
            format!("{handoffs} of {wanted}"),
            within(handoffs as u64 == wanted && verdict.missing.is_empty()),
        ),
        limit(
            "leaked (limit 0)",
            format!("{} ms", verdict.leaked_ms),
            within(verdict.leaked_ms == 0),
        ),
        limit(
            "silence, median (limit 20)",
            format!("{median} ms"),
            within(median <= SILENCE_MEDIAN_MAX_MS),
        ),
        limit(
            "silence, worst (limit 40)",
            format!("{worst} ms"),
            within(worst <= SILENCE_WORST_MAX_MS),
        ),
        limit(
            "silence away from handoffs (limit 40)",
            format!("{} ms", verdict.stray_silence_ms),
            within(verdict.stray_silence_ms <= SILENCE_WORST_MAX_MS),
        ),
        limit(
            "handoffs without a crossfade (limit 0)",
            unfaded.to_string(),
            within(unfaded == 0),
        ),
        limit(
            "level step, worst (limit 1)",
            format!("{step_db:.1} dB"),
            within(step_db <= LEVEL_STEP_MAX_DB),
        ),
        limit(
            "clicks (limit 0)",
            report.clicks.to_string(),
            within(report.clicks == 0),
        ),
        limit(
            "caller's words that nobody heard, worst (limit 20)",
            format!("{caller_lost_ms:.0} ms"),
            within(caller_lost_ms <= CALLER_LOST_MAX_MS),
        ),
        limit(
            "handoffs with another conversation (limit 0)",
            format!("{strangers} of {handoffs}"),
            within(strangers == 0),
        ),
        limit(
            "holder's death to filler (limit 2000)",
            match (call.died_us, report.death_to_filler_ms) {
                (_, Some(ms)) => format!("{ms:.0} ms"),
                (Some(_), None) => "never".to_owned(),
                (None, None) => "nobody died".to_owned(),
            },
            within(
                call.died_us.is_none()
                    || report
                        .death_to_filler_ms
                        .is_some_and(|ms| ms <= DEATH_TO_FILLER_MAX_MS),
            ),
        ),
        limit(
            "dispatch to program track",
            format!("{:.0} ms", call.dispatch_to_program_track_ms()),
            Standing::Shown,
        ),
        limit(
            "answer to first word",
            format!("{:.0} ms", call.answer_to_first_word_ms()),
            Standing::Shown,
        ),
        limit(
            "memory of baton (limit 36)",
            format!("{rss_mb:.1} MB"),
            Standing::in_release(rss_mb <= RSS_MAX_MB),
        ),
        limit(
            "threads of baton (limit 6)",
            threads.to_string(),
            within(threads <= THREADS_MAX),
        ),
        limit(
            "size of the program (limit 44)",
            format!("{program_mb:.1} MB"),
            Standing::in_release(program_mb <= PROGRAM_MAX_MB),
        ),
    ]
}

fn compared(ours: &Verdict, theirs: &Verdict) -> String {
    let ((our_median, our_worst), (median, worst)) = (silence(ours), silence(theirs));
    let holes = |verdict: &Verdict| {
        verdict
            .changes
            .iter()
            .filter(|change| change.silence_ms > 0)
            .count()
    };
    format!(
        "\n  silence at a change              Baton, {} handoffs   UpdateSubscriptions alone, {COMPARISON_SWITCHES} moves\n\
         \x20 median                           {our_median:>12} ms   {median:>12} ms\n\
         \x20 worst                            {our_worst:>12} ms   {worst:>12} ms\n\
         \x20 changes with silence             {:>12}      {:>12}\n\
         \x20 heard out of turn                {:>12} ms   {:>12} ms\n",
        ours.changes.len(),
        holes(ours),
        holes(theirs),
        ours.leaked_ms,
        theirs.leaked_ms,
    )
}

/// Median and worst silence at a change.
fn silence(verdict: &Verdict) -> (u64, u64) {
    let all = || verdict.changes.iter().map(|change| change.silence_ms);
    (median(all()), all().max().unwrap_or(0))
}

fn rounded(value: f64) -> f64 {
    // What is added is no negative nothing.
    (value * 10.0).round() / 10.0 + 0.0
}
