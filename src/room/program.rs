//! The sound of one call: a task that reads the subscribed tracks, and feeds the program track on its own clock.
//!
//! It decides nothing. What is admitted, and what fades into what, comes as an [`Order`]; what was heard goes back as a
//! [`Report`]. A packet of a track that is not admitted is never heard, whatever it carries.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use audio::{
    Announcement, DeadAir, Ear, Fade, FadeStart, Input, Made, Meter, MixerError, Packet, Playout,
    PullReport, SAMPLE_RATE_HZ, SILENCE_DBFS, Slot, SourceId, Switch, SwitchSound, Taken, TrackId,
    Utterance, UtteranceConfig, UtteranceEvent,
};
use call::Clip;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::clock;
use crate::rtc::{self, IncomingAudio, IncomingPacket, ProgramTrack};

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
/// A time between two slots from which the task was held up: it is awake every 20 ms.
const AWAY_MIN: Duration = Duration::from_millis(100);
/// How often it is told how loud who is.
const LEVELS_INTERVAL: Duration = Duration::from_millis(100);
/// Level in dBFS that stands for a packet that may be a voice and has not been decoded.
const VOICE_DBFS: f32 = -26.0;

/// What the call's task asks of the program.
#[derive(Debug)]
pub(super) enum Order {
    /// Read this track of a source from now on, beside what else there is of it.
    Attach {
        source: SourceId,
        track_sid: String,
        audio: IncomingAudio,
    },
    /// Stop reading this track.
    Detach { track_sid: String },
    /// Let the source in for this epoch; it waits, unheard, until a fade leads to it.
    Admit(Input),
    /// Take the source out at once, for whatever epoch it is in.
    Drop { source: SourceId },
    /// Know the levels of this source exactly, because a decision is near; `None` when none is.
    Attend(Option<SourceId>),
    /// Follow whether this source speaks, which is never heard; `None` to stop.
    Overhear(Option<SourceId>),
    /// Whether the caller should hear somebody now.
    ExpectVoice(bool),
    /// Have the caller hear this once.
    Announce(Clip, Announcement),
    /// Tell how loud every voice is, ten times a second, or cease to.
    Meter(bool),
    /// Report this source when nothing has come of it for so long, from now on; `None` to report nobody.
    Watch(Option<(SourceId, Duration)>),
    /// Fade from one admitted source to another: with its first sound, or at once if it gives none yet.
    Fade {
        from: SourceId,
        to: Input,
        fade: Fade,
        matched: Option<Matched>,
    },
}

/// Has the new voice heard as loud as the old one, by what is known of both in LUFS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Matched {
    pub(super) from_lufs: Option<f32>,
    pub(super) to_lufs: Option<f32>,
}

/// What the program tells the call's task.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Report {
    /// An admitted source has given its first sound, and waits for its fade.
    FirstSound(Input),
    /// The source is heard by the caller from this frame on.
    FirstHeard(Input),
    /// One voice has given way to another, and this is what it sounded like; its [`Report::FadeDone`] follows.
    Switched(SwitchSound),
    /// The source that is faded out has been found to be so loud, in LUFS.
    Learned(SourceId, f32),
    /// A fade is over, and its old side is gone.
    FadeDone(Switch),
    /// The source that is being heard has begun to talk.
    UtteranceBegan(Input),
    /// The source that is being heard has not talked for the hangover.
    UtteranceEnded(Input),
    /// The source of [`Order::Overhear`] has begun to speak, or has ceased to.
    Overheard(SourceId, bool),
    /// Nobody has spoken for too long who should, or that is over.
    DeadAir(DeadAir),
    /// What was to be heard once is over.
    Announced(Clip),
    /// Nothing has come of the watched source for as long as was asked; again after as long as that again.
    Quiet(SourceId),
    /// Something has come of the watched source after it was quiet.
    Heard(SourceId),
    /// A source that nobody admitted sounds.
    Intrusion(SourceId),
    /// Nothing is read of this source any more.
    Ended(SourceId),
    /// The loudest 10 ms of each voice since it was told last, in dBFS; whoever is not among them is silent.
    Levels(Vec<(SourceId, f32)>),
}

/// Rings of the gate that are switched off, so that a test can show that the others hold and that the probe sees a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The mixer plays every agent's track, admitted or not.
    pub mixer_open: bool,
    /// An agent that sounds without the baton is not noticed.
    pub intrusion_ignored: bool,
    /// Slots for which the holder sends nothing stay empty.
    pub slots_unfilled: bool,
    /// Dead air is not filled.
    pub filler_off: bool,
    /// One voice follows the other without a fade, at once, whether or not it sounds yet.
    pub fade_off: bool,
}

/// The call's end of the program task. Dropping it ends the task within a tick.
#[derive(Debug)]
pub(super) struct Program {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
}

impl Program {
    /// Starts the task, where packets come in and go out.
    pub(super) fn start(track: ProgramTrack, playout: Playout, faults: Faults) -> Self {
        let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
        let (reports_out, reports) = mpsc::channel(REPORTS_MAX);
        let task = Task {
            track,
            playout,
            meter: Meter::default(),
            start: clock::now(),
            tracks: Vec::new(),
            newest_track: 0,
            sources: BTreeMap::new(),
            watched: None,
            awake_at: clock::now(),
            overheard: None,
            levels: None,
            announcing: None,
            faults,
            reports: reports_out,
        };
        rtc::spawn_at_media(task.run(orders_in));
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
    playout: Playout,
    meter: Meter,
    /// When the playout's clock was at 0.
    start: Instant,
    tracks: Vec<Track>,
    newest_track: u32,
    sources: BTreeMap<SourceId, Source>,
    watched: Option<Watched>,
    /// When the task was awake last.
    awake_at: Instant,
    overheard: Option<(SourceId, Ear)>,
    levels: Option<Levels>,
    announcing: Option<Clip>,
    faults: Faults,
    reports: mpsc::Sender<Report>,
}

/// How loud who is, while somebody looks on.
struct Levels {
    since: Instant,
    loudest: BTreeMap<SourceId, f32>,
}

impl Levels {
    fn new() -> Self {
        Self {
            since: clock::now(),
            loudest: BTreeMap::new(),
        }
    }

    fn note(&mut self, source: SourceId, dbfs: f32) {
        if dbfs > SILENCE_DBFS {
            let loudest = self.loudest.entry(source).or_insert(dbfs);
            *loudest = loudest.max(dbfs);
        }
    }
}

/// One subscribed track.
struct Track {
    id: TrackId,
    sid: String,
    source: SourceId,
    audio: IncomingAudio,
}

/// One participant's sound.
struct Source {
    admitted: Option<Input>,
    sounds: bool,
    utterance: Utterance,
    intrusion_ms: u32,
}

impl Source {
    fn new() -> Self {
        Self {
            admitted: None,
            sounds: false,
            utterance: Utterance::new(UtteranceConfig::default()),
            intrusion_ms: 0,
        }
    }
}

/// A source whose silence is told.
struct Watched {
    source: SourceId,
    limit: Duration,
    /// When something came of it, or its silence was told.
    since: Instant,
    quiet: bool,
}

/// What wakes the task.
enum Wake {
    Order(Option<Order>),
    Packet(usize, Option<IncomingPacket>),
    Due,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let now = self.now_48k();
            let due = self.at(self.playout.poll_timeout(now));
            // Every arm only receives, from a channel, a queue or a timer, and loses nothing when another one is taken.
            let wake = tokio::select! {
                biased;
                order = orders.recv() => Wake::Order(order),
                (place, packet) = next_packet(&mut self.tracks) => Wake::Packet(place, packet),
                () = tokio::time::sleep_until(due.into()) => Wake::Due,
            };
            match wake {
                Wake::Order(Some(order)) => self.carry_out(order),
                Wake::Order(None) => return,
                Wake::Packet(place, Some(packet)) => self.take(place, packet),
                Wake::Packet(place, None) => self.detach(place),
                Wake::Due => {}
            }
            let now = self.now_48k();
            if let Some((source, ear)) = &mut self.overheard {
                let speaks = ear.handle_timeout(now);
                overheard(&self.reports, *source, speaks);
            }
            while let Some(slot) = self.playout.poll(now) {
                self.send(&slot);
                self.tell(&slot);
            }
            self.tell_quiet();
            self.tell_levels();
        }
    }

    fn now_48k(&self) -> u64 {
        let elapsed = clock::now().saturating_duration_since(self.start);
        // 128 bits hold it for longer than any process lives.
        (elapsed.as_nanos() * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000) as u64
    }

    fn at(&self, time_48k: u64) -> Instant {
        self.start
            + Duration::from_nanos(
                (u128::from(time_48k) * 1_000_000_000).div_ceil(u128::from(SAMPLE_RATE_HZ)) as u64,
            )
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Attach {
                source,
                track_sid,
                audio,
            } => self.attach(source, track_sid, audio),
            Order::Detach { track_sid } => {
                if let Some(place) = self.tracks.iter().position(|track| track.sid == track_sid) {
                    self.detach(place);
                }
            }
            Order::Admit(input) => {
                if let Err(error) = self.admit(input) {
                    warn!(%error, "source not admitted");
                }
            }
            Order::Drop { source } => {
                if let Some(input) = self.sources.get(&source).and_then(|source| source.admitted) {
                    self.playout.drop_source(input);
                    self.release(input);
                }
            }
            Order::Attend(source) => self.playout.attend(source),
            Order::Overhear(source) => {
                let now = self.now_48k();
                self.overheard = source.map(|source| (source, Ear::new(now)));
            }
            Order::ExpectVoice(expected) => self.playout.expect_voice(expected),
            Order::Announce(clip, announcement) => {
                self.announcing = Some(clip);
                self.playout.announce(announcement);
            }
            Order::Meter(metered) => self.levels = metered.then(Levels::new),
            Order::Watch(watched) => {
                self.watched = watched.map(|(source, limit)| Watched {
                    source,
                    limit,
                    since: clock::now(),
                    quiet: false,
                });
            }
            Order::Fade {
                from,
                to,
                fade,
                matched,
            } => {
                self.match_loudness(from, to.source, matched);
                self.fade(from, to, fade);
            }
        }
    }

    fn attach(&mut self, source: SourceId, sid: String, audio: IncomingAudio) {
        if let Some(place) = self.tracks.iter().position(|track| track.sid == sid) {
            let track = self.tracks.remove(place);
            self.playout.detach(track.id);
        }
        self.newest_track += 1;
        let id = TrackId(self.newest_track);
        if !self.playout.attach(id, source) {
            warn!(source = source.0, "a track is not read: there are too many");
            return;
        }
        self.sources.entry(source).or_insert_with(Source::new);
        self.tracks.push(Track {
            id,
            sid,
            source,
            audio,
        });
    }

    fn detach(&mut self, place: usize) {
        let track = self.tracks.remove(place);
        self.playout.detach(track.id);
        if !self.tracks.iter().any(|other| other.source == track.source) {
            report(&self.reports, Report::Ended(track.source));
        }
    }

    fn match_loudness(&mut self, from: SourceId, to: SourceId, matched: Option<Matched>) {
        if let Some(lufs) = self.playout.loudness(from) {
            report(&self.reports, Report::Learned(from, lufs));
        }
        match matched {
            Some(Matched { from_lufs, to_lufs }) => {
                self.playout
                    .match_loudness((from, from_lufs), (to, to_lufs));
            }
            None => self.playout.set_gain(to, 0.0),
        }
    }

    fn fade(&mut self, from: SourceId, to: Input, fade: Fade) {
        let from = self.sources.get(&from).and_then(|from| from.admitted);
        let sounds = self
            .sources
            .get(&to.source)
            .is_some_and(|source| source.sounds);
        // A source that sounds is begun with its prebuffer; one that does not is not waited for.
        let start = if sounds {
            FadeStart::FirstSound
        } else {
            FadeStart::AtOnce
        };
        if let Err(error) = self.playout.start_fade(from, Some(to), fade, start) {
            warn!(%error, "fade refused");
        }
    }

    fn admit(&mut self, input: Input) -> Result<(), MixerError> {
        let alone = self
            .sources
            .values()
            .all(|source| source.admitted.is_none());
        let source = self.sources.entry(input.source).or_insert_with(Source::new);
        match source.admitted {
            Some(earlier) if earlier == input => return Ok(()),
            Some(earlier) => {
                self.playout.renew(earlier, input.epoch)?;
            }
            None => {
                self.playout.admit(input)?;
                source.sounds = false;
                if alone {
                    self.playout.start_fade(
                        None,
                        Some(input),
                        ENTRY_FADE,
                        FadeStart::FirstSound,
                    )?;
                }
            }
        }
        source.admitted = Some(input);
        source.intrusion_ms = 0;
        Ok(())
    }

    fn release(&mut self, input: Input) {
        if let Some(source) = self
            .sources
            .get_mut(&input.source)
            .filter(|source| source.admitted == Some(input))
        {
            source.admitted = None;
            source.intrusion_ms = 0;
        }
    }

    fn take(&mut self, place: usize, packet: IncomingPacket) {
        let track = &self.tracks[place];
        if let Some(watched) = self
            .watched
            .as_mut()
            .filter(|watched| watched.source == track.source)
        {
            watched.since = clock::now();
            if std::mem::take(&mut watched.quiet) {
                report(&self.reports, Report::Heard(track.source));
            }
        }
        let IncomingPacket {
            payload,
            sequence,
            rtp_time_48k,
            stream,
        } = packet;
        let Some(packet) = Packet::new(payload, sequence, rtp_time_48k, stream) else {
            return;
        };
        let now = self.now_48k();
        let Some(source) = self.sources.get_mut(&track.source) else {
            return;
        };
        let says_silence = packet.is_silence();
        let taken = self.playout.push(track.id, packet);
        if let (Some(levels), Taken::Refused { dbfs, .. }) = (&mut self.levels, taken) {
            levels.note(track.source, dbfs);
        }
        match taken {
            Taken::Refused { dbfs, samples }
                if let Some((overheard_source, ear)) = &mut self.overheard
                    && *overheard_source == track.source =>
            {
                let speaks = if says_silence {
                    ear.listen_to_silence(now)
                } else {
                    ear.listen(now, dbfs, samples)
                };
                overheard(&self.reports, track.source, speaks);
            }
            Taken::Queued | Taken::Dropped => {}
            Taken::FirstSound(input) => {
                source.sounds = true;
                report(&self.reports, Report::FirstSound(input));
            }
            Taken::Refused { dbfs, samples } => {
                if self.faults.intrusion_ignored || dbfs < INTRUSION_DBFS {
                    return;
                }
                let before_ms = source.intrusion_ms;
                let ms = samples as u32 / (SAMPLE_RATE_HZ / 1_000);
                source.intrusion_ms = before_ms.saturating_add(ms);
                if before_ms < INTRUSION_MS && source.intrusion_ms >= INTRUSION_MS {
                    report(&self.reports, Report::Intrusion(track.source));
                }
            }
        }
    }

    fn send(&self, slot: &Slot) {
        let Some(payload) = slot.payload.clone() else {
            return;
        };
        let loudest = slot
            .levels
            .iter()
            .try_fold(SILENCE_DBFS, |loudest, &level| {
                level.map(|level| loudest.max(level))
            });
        // Full scale is the same in both; what is below the least that can be said is silence.
        self.track.send(
            payload,
            loudest.map(|dbfs| {
                if dbfs <= SILENCE_DBFS {
                    -127
                } else {
                    dbfs as i8
                }
            }),
        );
    }

    fn tell(&mut self, slot: &Slot) {
        if let Some(sound) = self.meter.observe(slot, self.playout.counters().lost) {
            report(&self.reports, Report::Switched(sound));
        }
        if let Some(dead_air) = slot.dead_air {
            report(&self.reports, Report::DeadAir(dead_air));
        }
        if let Some(clip) = self.announcing.take_if(|_| slot.announced) {
            report(&self.reports, Report::Announced(clip));
        }
        if let Some(input) = slot.voice.filter(|_| slot.first_heard) {
            report(&self.reports, Report::FirstHeard(input));
        }
        match slot.made {
            Made::Passed | Made::Filled => {
                for level in slot.levels {
                    // What may be a voice is taken for one until somebody needs to know.
                    let dbfs = level.unwrap_or(VOICE_DBFS);
                    if let Some(input) = slot.voice {
                        self.observe(input, dbfs);
                    }
                }
            }
            Made::Mixed => {}
        }
        for pulled in slot.mixed.iter().flatten() {
            self.tell_mixed(pulled);
        }
    }

    /// Tells of a watched source that is quiet. While this task did not run, nothing could come.
    fn tell_quiet(&mut self) {
        let now = clock::now();
        let away = now.saturating_duration_since(self.awake_at);
        self.awake_at = now;
        let Some(watched) = &mut self.watched else {
            return;
        };
        if away >= AWAY_MIN {
            watched.since += away;
        }
        if now.saturating_duration_since(watched.since) >= watched.limit {
            watched.since = now;
            watched.quiet = true;
            report(&self.reports, Report::Quiet(watched.source));
        }
    }

    /// Tells how loud who is, if that is asked for and due.
    fn tell_levels(&mut self) {
        let now = clock::now();
        let due = self
            .levels
            .as_mut()
            .filter(|levels| now.saturating_duration_since(levels.since) >= LEVELS_INTERVAL);
        if let Some(levels) = due {
            levels.since = now;
            let loudest = std::mem::take(&mut levels.loudest);
            report(&self.reports, Report::Levels(loudest.into_iter().collect()));
        }
    }

    fn tell_mixed(&mut self, pulled: &PullReport) {
        for voice in pulled.voices() {
            if voice.first_heard {
                report(&self.reports, Report::FirstHeard(voice.input));
            }
            self.observe(voice.input, voice.source_dbfs);
        }
        if let Some(switch) = pulled.fade_done {
            debug!(?switch, "fade done");
            if let Some(from) = switch.from {
                self.release(from);
            }
            report(&self.reports, Report::FadeDone(switch));
        }
    }

    /// Follows a voice that is heard, by 10 ms.
    fn observe(&mut self, input: Input, dbfs: f32) {
        if let Some(levels) = &mut self.levels {
            levels.note(input.source, dbfs);
        }
        let Some(source) = self.sources.get_mut(&input.source) else {
            return;
        };
        match source.utterance.observe(dbfs) {
            Some(UtteranceEvent::Began) => report(&self.reports, Report::UtteranceBegan(input)),
            Some(UtteranceEvent::Ended) => report(&self.reports, Report::UtteranceEnded(input)),
            None => {}
        }
    }
}

/// The next packet of any track, and the track's place. Cancel-safe.
async fn next_packet(tracks: &mut [Track]) -> (usize, Option<IncomingPacket>) {
    poll_fn(|cx| {
        for (place, track) in tracks.iter_mut().enumerate() {
            if let Poll::Ready(packet) = track.audio.poll_next(cx) {
                return Poll::Ready((place, packet));
            }
        }
        Poll::Pending
    })
    .await
}

fn overheard(reports: &mpsc::Sender<Report>, source: SourceId, speaks: Option<bool>) {
    if let Some(speaks) = speaks {
        report(reports, Report::Overheard(source, speaks));
    }
}

fn report(reports: &mpsc::Sender<Report>, report: Report) {
    if let Err(lost) = reports.try_send(report) {
        warn!(report = ?lost.into_inner(), "report of the program lost");
    }
}
