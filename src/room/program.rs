//! The sound of one call: a task that ticks every 10 ms, reads the subscribed tracks, mixes, and feeds the program track.
//!
//! It decides nothing. What is admitted, and what fades into what, comes as an [`Order`]; what was heard goes back as a
//! [`Report`]. A frame of a track that is not admitted is never heard, whatever it carries.

use std::collections::BTreeMap;
use std::time::Duration;

use audio::{
    FRAME_MS, Fade, FadeStart, Frame, Input, MixerConfig, MixerError, ProgramMixer, PullReport,
    Pushed, SourceId, Switch, Utterance, UtteranceConfig, UtteranceEvent, level_dbfs,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{debug, trace, warn};

use crate::rtc::{IncomingAudio, ProgramTrack};

/// Orders that may wait for the next tick; a full channel makes the call's task wait.
const ORDERS_MAX: usize = 64;
/// Reports that may wait for the call's task. A full channel loses the report with a warning: the core's timers cover it.
const REPORTS_MAX: usize = 256;
/// How a source begins that nothing else is heard beside: too short to be heard, long enough not to click.
const ENTRY_FADE: Fade = Fade::equal_power(5);
/// Level in dBFS from which a track that is not admitted counts as sounding.
const INTRUSION_DBFS: f32 = -45.0;
/// How long a track may sound, since it was last admitted, before it is reported, in milliseconds.
const INTRUSION_MS: u32 = 400;

/// What the call's task asks of the program.
#[derive(Debug)]
pub(super) enum Order {
    /// Read this track from now on, in place of an earlier one of the same source.
    Attach {
        source: SourceId,
        audio: IncomingAudio,
    },
    /// Stop reading this source.
    Detach { source: SourceId },
    /// Let the source in for this epoch; it waits, unheard, until a fade leads to it.
    Admit(Input),
    /// Take the source out at once, for whatever epoch it is in.
    Drop { source: SourceId },
    /// Fade from one admitted source to another: with its first sound, or at once if it gives none yet.
    Fade {
        from: SourceId,
        to: Input,
        fade: Fade,
    },
}

/// What the program tells the call's task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Report {
    /// An admitted source has given its first sound, and waits for its fade.
    FirstSound(Input),
    /// The source is heard by the caller from this frame on.
    FirstHeard(Input),
    /// A fade is over, and its old side is gone.
    FadeDone(Switch),
    /// The source that is being heard has begun to talk.
    UtteranceBegan(Input),
    /// The source that is being heard has not talked for the hangover.
    UtteranceEnded(Input),
    /// A source that nobody admitted sounds.
    Intrusion(SourceId),
    /// The track of a source has ended.
    Ended(SourceId),
}

/// Rings of the gate that are switched off, so that a test can show that the others hold and that the probe sees a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The mixer plays every agent's track, admitted or not.
    pub mixer_open: bool,
    /// An agent that sounds without the baton is not noticed.
    pub intrusion_ignored: bool,
}

/// The call's end of the program task. Dropping it ends the task within a tick.
#[derive(Debug)]
pub(super) struct Program {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
}

impl Program {
    /// Starts the task.
    pub(super) fn start(track: ProgramTrack, faults: Faults) -> Self {
        let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
        let (reports_out, reports) = mpsc::channel(REPORTS_MAX);
        let task = Task {
            track,
            mixer: ProgramMixer::new(MixerConfig::default()),
            tracks: BTreeMap::new(),
            faults,
            bypass: None,
            reports: reports_out,
        };
        tokio::spawn(task.run(orders_in));
        Self { orders, reports }
    }

    /// Hands over an order; waits while too many are waiting.
    pub(super) async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            warn!("the program task is gone");
        }
    }

    /// The next report, or `None` when the task is gone. Cancel-safe.
    pub(super) async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

struct Task {
    track: ProgramTrack,
    mixer: ProgramMixer,
    tracks: BTreeMap<SourceId, Track>,
    faults: Faults,
    /// What a fault lets past the mixer.
    bypass: Option<Frame>,
    reports: mpsc::Sender<Report>,
}

/// One subscribed track.
struct Track {
    audio: Option<IncomingAudio>,
    admitted: Option<Input>,
    sounds: bool,
    utterance: Utterance,
    intrusion_ms: u32,
}

impl Track {
    fn new() -> Self {
        Self {
            audio: None,
            admitted: None,
            sounds: false,
            utterance: Utterance::new(UtteranceConfig::default()),
            intrusion_ms: 0,
        }
    }
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut tick = tokio::time::interval(Duration::from_millis(FRAME_MS.into()));
        // A late tick is made up for: the track carries as many samples as time has passed.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut out = Frame::SILENCE;
        loop {
            tick.tick().await;
            loop {
                match orders.try_recv() {
                    Ok(order) => self.carry_out(order),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            self.read_tracks();
            let report = self.mixer.pull(&mut out);
            if let Some(bypass) = self.bypass.take() {
                add(&mut out, &bypass);
            }
            self.track.send(out.samples()).await;
            self.tell(&report);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Attach { source, audio } => {
                self.tracks.entry(source).or_insert_with(Track::new).audio = Some(audio);
            }
            Order::Detach { source } => {
                if let Some(track) = self.tracks.get_mut(&source) {
                    track.audio = None;
                }
            }
            Order::Admit(input) => {
                if let Err(error) = self.admit(input) {
                    warn!(%error, "source not admitted");
                }
            }
            Order::Drop { source } => {
                if let Some(input) = self.tracks.get(&source).and_then(|track| track.admitted) {
                    self.mixer.drop_source(input);
                    self.release(input);
                }
            }
            Order::Fade { from, to, fade } => self.fade(from, to, fade),
        }
    }

    fn fade(&mut self, from: SourceId, to: Input, fade: Fade) {
        let from = self.tracks.get(&from).and_then(|track| track.admitted);
        let sounds = self
            .tracks
            .get(&to.source)
            .is_some_and(|track| track.sounds);
        // A source that sounds is begun with its prebuffer; one that does not is not waited for.
        let start = if sounds {
            FadeStart::FirstSound
        } else {
            FadeStart::AtOnce
        };
        if let Err(error) = self.mixer.start_fade(from, Some(to), fade, start) {
            warn!(%error, "fade refused");
        }
    }

    fn admit(&mut self, input: Input) -> Result<(), MixerError> {
        let alone = self.tracks.values().all(|track| track.admitted.is_none());
        let track = self.tracks.entry(input.source).or_insert_with(Track::new);
        match track.admitted {
            Some(earlier) if earlier == input => return Ok(()),
            Some(earlier) => {
                self.mixer.renew(earlier, input.epoch)?;
            }
            None => {
                self.mixer.admit(input)?;
                track.sounds = false;
                if alone {
                    self.mixer
                        .start_fade(None, Some(input), ENTRY_FADE, FadeStart::FirstSound)?;
                }
            }
        }
        track.admitted = Some(input);
        track.intrusion_ms = 0;
        Ok(())
    }

    fn release(&mut self, input: Input) {
        if let Some(track) = self
            .tracks
            .get_mut(&input.source)
            .filter(|track| track.admitted == Some(input))
        {
            track.admitted = None;
            track.intrusion_ms = 0;
        }
    }

    fn read_tracks(&mut self) {
        let mut ended = None;
        for (&source, track) in &mut self.tracks {
            let Some(incoming) = &mut track.audio else {
                continue;
            };
            while let Some(next) = incoming.try_next() {
                let Some(samples) = next else {
                    track.audio = None;
                    ended = Some(source);
                    break;
                };
                let Ok(frame) = Frame::try_from(&*samples) else {
                    continue;
                };
                match track.admitted {
                    Some(input) => {
                        if self.mixer.push(input, &frame) == Pushed::FirstSound {
                            track.sounds = true;
                            report(&self.reports, Report::FirstSound(input));
                        }
                    }
                    None => {
                        if self.faults.mixer_open {
                            self.bypass = Some(frame);
                        }
                        if self.faults.intrusion_ignored
                            || level_dbfs(frame.samples()) < INTRUSION_DBFS
                        {
                            continue;
                        }
                        let before_ms = track.intrusion_ms;
                        track.intrusion_ms = before_ms.saturating_add(FRAME_MS);
                        if before_ms < INTRUSION_MS && track.intrusion_ms >= INTRUSION_MS {
                            report(&self.reports, Report::Intrusion(source));
                        }
                    }
                }
            }
        }
        if let Some(source) = ended {
            report(&self.reports, Report::Ended(source));
        }
    }

    fn tell(&mut self, pulled: &PullReport) {
        for voice in pulled.voices() {
            if voice.first_heard {
                report(&self.reports, Report::FirstHeard(voice.input));
            }
            let Some(track) = self.tracks.get_mut(&voice.input.source) else {
                continue;
            };
            match track.utterance.observe(voice.source_dbfs) {
                Some(UtteranceEvent::Began) => {
                    report(&self.reports, Report::UtteranceBegan(voice.input))
                }
                Some(UtteranceEvent::Ended) => {
                    report(&self.reports, Report::UtteranceEnded(voice.input))
                }
                None => {}
            }
            if voice.underrun {
                trace!(
                    source = voice.input.source.0,
                    epoch = voice.input.epoch.0,
                    "nothing to play"
                );
            }
        }
        if let Some(switch) = pulled.fade_done {
            debug!(?switch, "fade done");
            if let Some(from) = switch.from {
                self.release(from);
            }
            report(&self.reports, Report::FadeDone(switch));
        }
    }
}

fn add(out: &mut Frame, other: &Frame) {
    for (sample, &more) in out.samples_mut().iter_mut().zip(other.samples()) {
        *sample = sample.saturating_add(more);
    }
}

fn report(reports: &mpsc::Sender<Report>, report: Report) {
    if reports.try_send(report).is_err() {
        warn!(?report, "report of the program lost");
    }
}
