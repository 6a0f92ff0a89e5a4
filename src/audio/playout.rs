//! The program track, one Opus packet per slot of 20 ms, on a clock of its own.
//!
//! While one track alone is heard, at its own level, its packets go out as they came. For everything else (a crossfade,
//! several tracks, another gain, packets of another form, a backlog) the mixer takes over at the boundary of a slot: what was
//! heard last is decoded, the encoder is led up to it, and goes on from there. It gives back at the boundary of a quiet slot,
//! where the other side's decoder cannot stumble over packets that build on what it has not heard.
//!
//! Every slot gets exactly one packet, whatever arrives: one that is missing is bridged, a backlog is shortened.

use bytes::Bytes;

use crate::announcement::{Announcement, Player};
use crate::codec::{CodecError, ENCODER_DELAY, Encoder};
use crate::filler::Filler;
use crate::lane::{Filed, Lane};
use crate::loudness::Level;
use crate::packet::{Packet, SLOT_SAMPLES};
use crate::splice::OVERLAP;
use crate::watchdog::Watchdog;
use crate::{
    DeadAir, Epoch, FRAME_SAMPLES, Fade, FadeStart, FillerConfig, Frame, Input, MixerConfig,
    MixerError, ProgramMixer, PullReport, SILENCE_DBFS, SourceId, Switch, WatchdogConfig,
    level_dbfs,
};

/// Tracks that are read at most.
pub const TRACKS_MAX: usize = 64;

const SLOT: i64 = SLOT_SAMPLES as i64;
/// How far the track may run ahead of its clock, and how long a packet that is late is waited for: one slot each.
const AHEAD_MAX: i64 = SLOT;
const PATIENCE: i64 = SLOT;
/// A clock that is so far behind was held up with its machine: the time is skipped, as the engine does.
const STALL: i64 = 5 * SLOT;
/// What may wait of a track before it is shortened, in samples: 3 slots.
const BACKLOG_MAX: usize = 3 * SLOT_SAMPLES;
/// What is left out of a backlog at a time: 5 to 15 ms.
const SHORTEN_MIN: usize = 240;
const SHORTEN_MAX: usize = 720;
/// Level in dBFS below which a slot is quiet enough to go over to packets of another encoder.
const QUIET_DBFS: f32 = -55.0;
/// Level in dBFS from which a slot has a voice in it.
const VOICE_DBFS: f32 = -50.0;
/// What was heard last, for the encoder: 80 ms.
const HEARD_SAMPLES: usize = 4 * SLOT_SAMPLES;
/// Gains closer to 0 dB than this leave a voice as it is.
const GAIN_NONE_DB: f32 = 0.05;
/// Sources whose level is known; the one that was read the longest ago makes room for one more.
const LEVELS_MAX: usize = TRACKS_MAX;

/// A track of a source; a source may have several, which are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// How the program track is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlayoutConfig {
    /// Level in dBFS from which a waiting source sounds.
    pub onset_dbfs: f32,
    /// Bits per second of what is encoded here.
    pub bitrate_bps: u32,
    /// Whether the loudness of voices is learned, so that they can be matched.
    pub learns: bool,
    /// Whether slots without a packet are filled. Off, the track starves: only to show that the tests notice.
    pub fills: bool,
    /// Whether tracks that nobody admitted are heard: only to show that the tests notice.
    pub open: bool,
}

impl Default for PlayoutConfig {
    fn default() -> Self {
        Self {
            onset_dbfs: MixerConfig::default().onset_dbfs,
            bitrate_bps: 32_000,
            learns: false,
            fills: true,
            open: false,
        }
    }
}

/// What became of a packet that was handed in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    /// It will be played in its turn.
    Queued,
    /// It is the first sound of a source that waits.
    FirstSound(Input),
    /// Too late, twice, or of no track.
    Dropped,
    /// The source is not admitted: this was not to be heard, and so loud in dBFS.
    Refused {
        /// Its level; [`SILENCE_DBFS`] if it did not look as if it sounded.
        dbfs: f32,
        /// Its length in samples.
        samples: usize,
    },
}

/// How a slot came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A packet of the holder, as it came.
    Passed,
    /// There was no packet: one that bridges.
    Filled,
    /// Mixed and encoded.
    Mixed,
}

/// One slot of the program track.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The packet; `None` only with [`PlayoutConfig::fills`] off.
    pub payload: Option<Bytes>,
    /// Its number since the track began; there is no hole.
    pub number: u64,
    /// Time that was skipped before it, in samples, because the machine had stopped.
    pub skipped: u64,
    /// How it came about.
    pub made: Made,
    /// Whose voice it is, if it is one's alone.
    pub voice: Option<Input>,
    /// Whether it is the first of `voice` that is heard.
    pub first_heard: bool,
    /// Levels of its two halves in dBFS, as far as they are known without decoding: a packet that may be a voice has none.
    pub levels: [Option<f32>; 2],
    /// What the mixer did in the two halves.
    pub mixed: [Option<PullReport>; 2],
    /// What was announced is over with this slot.
    pub announced: bool,
    /// Silence has lasted for too long with this slot, or has ended. The filler begins with the next one.
    pub dead_air: Option<DeadAir>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutCounters {
    /// Slots of each kind.
    pub passed: u64,
    /// See [`Made::Filled`].
    pub filled: u64,
    /// See [`Made::Mixed`].
    pub mixed: u64,
    /// Changes from packets to the mixer.
    pub taken_over: u64,
    /// Changes from the mixer to packets.
    pub given_back: u64,
    /// Slots that the mixer bridged because a voice had nothing to give.
    pub concealed: u64,
    /// Slots, of either kind, for which a packet was missing that no pause explains.
    pub lost: u64,
    /// Times that a backlog was shortened.
    pub shortened: u64,
    /// Packets that came too late or twice.
    pub late: u64,
    /// Packets given up because too many waited.
    pub overflown: u64,
    /// Times that the clock was held up.
    pub stalls: u64,
    /// Times that nobody spoke who should have.
    pub dead_airs: u64,
    /// Those of them that were over at once.
    pub false_starts: u64,
}

/// Makes the program track; see the module.
#[derive(Debug)]
pub struct Playout {
    config: PlayoutConfig,
    mixer: ProgramMixer,
    encoder: Encoder,
    tracks: Vec<Track>,
    levels: Vec<Level>,
    mode: Mode,
    /// Samples that have been sent, on the clock that the caller of [`Playout::poll`] has.
    sent: i64,
    running: bool,
    number: u64,
    /// Level of the last mixed slot.
    last_dbfs: f32,
    /// Whose packets are listened to while they pass.
    attended: Option<SourceId>,
    filler: Option<Filler>,
    watchdog: Option<Watchdog>,
    announcing: Option<Player>,
    /// The dying away of a track that was taken out while its packets passed.
    tail: Option<[f32; FRAME_SAMPLES]>,
    heard: Box<[i16; HEARD_SAMPLES]>,
    counters: PlayoutCounters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Packets of this place in `tracks` go out as they are.
    Pass(usize),
    Mix,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    source: SourceId,
    lane: Lane,
    admitted: Option<Input>,
    sounded: bool,
}

impl Playout {
    /// A track that plays silence.
    ///
    /// # Errors
    /// When libopus gives no encoder.
    pub fn new(config: PlayoutConfig) -> Result<Self, CodecError> {
        Ok(Self {
            mixer: ProgramMixer::new(MixerConfig {
                // What arrives oddly is evened out before the mixer.
                prebuffer_frames: 1,
                onset_dbfs: config.onset_dbfs,
                ..MixerConfig::default()
            }),
            encoder: Encoder::new(config.bitrate_bps)?,
            config,
            tracks: Vec::with_capacity(TRACKS_MAX),
            levels: Vec::with_capacity(LEVELS_MAX),
            mode: Mode::Mix,
            sent: 0,
            running: false,
            number: 0,
            last_dbfs: SILENCE_DBFS,
            attended: None,
            filler: None,
            watchdog: None,
            announcing: None,
            tail: None,
            heard: Box::new([0; HEARD_SAMPLES]),
            counters: PlayoutCounters::default(),
        })
    }

    /// Reads a track of a source from now on; false when [`TRACKS_MAX`] are read already, or libopus gives no decoder.
    pub fn attach(&mut self, id: TrackId, source: SourceId) -> bool {
        self.detach(id);
        let Ok(lane) = Lane::new() else {
            return false;
        };
        if self.tracks.len() >= TRACKS_MAX {
            return false;
        }
        self.remember(source);
        // It may come after its source was admitted.
        let mut inputs = self.mixer.inputs().into_iter().flatten();
        self.tracks.push(Track {
            id,
            source,
            lane,
            admitted: inputs.find(|input| input.source == source),
            sounded: false,
        });
        true
    }

    /// What is known of a source's level outlasts its tracks.
    fn remember(&mut self, source: SourceId) {
        if self.level(source).is_some() {
            return;
        }
        if self.levels.len() >= LEVELS_MAX {
            let is_read = |level: &Level| {
                let mut tracks = self.tracks.iter();
                tracks.any(|track| track.source == level.source())
            };
            // There are fewer sources with a track than places, since another track is about to be read.
            let unread = self.levels.iter().position(|level| !is_read(level));
            self.levels.remove(unread.unwrap_or(0));
        }
        self.levels.push(Level::new(source, self.config.learns));
    }

    /// Reads a track no more; what was heard of it dies away.
    pub fn detach(&mut self, id: TrackId) {
        let Some(place) = self.tracks.iter().position(|track| track.id == id) else {
            return;
        };
        self.let_go(place);
        self.tracks.remove(place);
        if let Mode::Pass(passing) = self.mode
            && passing > place
        {
            self.mode = Mode::Pass(passing - 1);
        }
    }

    /// Sets by how much a source's voice is made louder or softer, in dB from -40 to 20. Its packets do not pass as they
    /// are then.
    pub fn set_gain(&mut self, source: SourceId, gain_db: f32) {
        let gain_db = match gain_db.clamp(-40.0, 20.0) {
            small if small.abs() < GAIN_NONE_DB => 0.0,
            gain_db => gain_db,
        };
        if let Some(level) = self.level_mut(source) {
            level.set(gain_db);
        }
    }

    /// Has the source `to`, of which nothing is heard yet, heard as loud as `from` is: at once as far as both are known, be it from
    /// their earlier speech or from what is told of them in LUFS, and slowly once more of it has been heard. Wants
    /// [`PlayoutConfig::learns`] for what is not told.
    pub fn match_loudness(
        &mut self,
        (from, from_lufs): (SourceId, Option<f32>),
        (to, to_lufs): (SourceId, Option<f32>),
    ) {
        let reference_lufs = self.level_mut(from).and_then(|level| {
            level.tell(from_lufs);
            level.heard_lufs()
        });
        let Some(level) = self.level_mut(to) else {
            return;
        };
        level.tell(to_lufs);
        match reference_lufs {
            Some(reference_lufs) => level.match_to(reference_lufs),
            None => level.set(0.0),
        }
    }

    /// The loudness of a source in LUFS, once enough of its speech has been heard.
    pub fn loudness(&self, source: SourceId) -> Option<f32> {
        self.level(source)?.sure_lufs()
    }

    fn level(&self, source: SourceId) -> Option<&Level> {
        self.levels.iter().find(|level| level.source() == source)
    }

    fn level_mut(&mut self, source: SourceId) -> Option<&mut Level> {
        let mut levels = self.levels.iter_mut();
        levels.find(|level| level.source() == source)
    }

    fn is_plain(&self, source: SourceId) -> bool {
        self.level(source).is_none_or(Level::is_plain)
    }

    /// Listens to the packets of this source also while they pass, so that their levels are known; `None` to stop.
    pub fn attend(&mut self, source: Option<SourceId>) {
        self.attended = source;
    }

    /// Says what is heard while nobody speaks who should, and when that is; nothing is without it.
    pub fn guard(&mut self, watchdog: WatchdogConfig, filler: Option<FillerConfig>) {
        self.watchdog = Some(Watchdog::new(watchdog));
        self.filler = filler.map(Filler::new);
    }

    /// Says whether somebody should speak from now on.
    pub fn expect_voice(&mut self, expected: bool) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.expect(expected);
        }
    }

    /// Plays this once, from the next slot on, in the place of one that may still be heard. The slot with its end says so.
    pub fn announce(&mut self, announcement: Announcement) {
        self.announcing = Some(Player::new(announcement));
    }

    /// Whether the filler is heard, be it in its fades.
    pub fn is_filling(&self) -> bool {
        self.filler
            .as_ref()
            .is_some_and(|filler| !filler.is_closed())
    }

    /// As [`ProgramMixer::admit`].
    ///
    /// # Errors
    /// As there.
    pub fn admit(&mut self, input: Input) -> Result<(), MixerError> {
        self.mixer.admit(input)?;
        for track in self
            .tracks
            .iter_mut()
            .filter(|track| track.source == input.source)
        {
            if track.admitted != Some(input) {
                track.lane.ignore();
                track.sounded = false;
            }
            track.admitted = Some(input);
        }
        Ok(())
    }

    /// As [`ProgramMixer::renew`].
    ///
    /// # Errors
    /// As there.
    pub fn renew(&mut self, input: Input, epoch: Epoch) -> Result<Input, MixerError> {
        let renewed = self.mixer.renew(input, epoch)?;
        for track in self
            .tracks
            .iter_mut()
            .filter(|track| track.admitted == Some(input))
        {
            track.admitted = Some(renewed);
        }
        Ok(renewed)
    }

    /// As [`ProgramMixer::drop_source`].
    pub fn drop_source(&mut self, input: Input) {
        for place in 0..self.tracks.len() {
            if self.tracks[place].admitted == Some(input) {
                self.let_go(place);
                self.tracks[place].admitted = None;
            }
        }
        self.mixer.drop_source(input);
    }

    /// As [`ProgramMixer::start_fade`].
    ///
    /// # Errors
    /// As there.
    pub fn start_fade(
        &mut self,
        from: Option<Input>,
        to: Option<Input>,
        fade: Fade,
        start: FadeStart,
    ) -> Result<(), MixerError> {
        self.mixer.start_fade(from, to, fade, start)
    }

    /// Whether frames of this input are taken.
    pub fn is_admitted(&self, input: Input) -> bool {
        self.mixer.is_admitted(input)
    }

    /// What has happened so far.
    pub fn counters(&self) -> PlayoutCounters {
        self.counters
    }

    /// Takes a packet of a track.
    pub fn push(&mut self, id: TrackId, packet: Packet) -> Taken {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            return Taken::Dropped;
        };
        let (samples, quiet) = (packet.samples(), packet.looks_quiet());
        match track.lane.file(packet) {
            Filed::Queued => {}
            Filed::Overflow => self.counters.overflown += 1,
            Filed::Late => {
                self.counters.late += 1;
                return Taken::Dropped;
            }
        }
        let Some(input) = track.admitted else {
            if self.config.open {
                return Taken::Refused {
                    dbfs: SILENCE_DBFS,
                    samples,
                };
            }
            let dbfs = if quiet {
                track.lane.ignore();
                SILENCE_DBFS
            } else {
                track.lane.overhear()
            };
            return Taken::Refused { dbfs, samples };
        };
        if self.mixer.is_live(input) {
            return Taken::Queued;
        }
        let sounded = track.sounded;
        track.sounded = track.lane.listen(sounded, self.config.onset_dbfs);
        if track.sounded && !sounded {
            self.mixer.mark_sounded(input);
            Taken::FirstSound(input)
        } else {
            Taken::Queued
        }
    }

    /// The next slot, if it is due at `now_48k`: samples on a clock that never goes back. Call it until it returns `None`, at
    /// [`Playout::poll_timeout`] and whenever packets have come.
    pub fn poll(&mut self, now_48k: u64) -> Option<Slot> {
        let now = i64::try_from(now_48k).unwrap_or(i64::MAX);
        // Its clock runs from the first call on, also while the first slot is waited for.
        if !self.running {
            self.running = true;
            self.sent = now;
        }
        let behind = now - self.sent;
        if behind <= -AHEAD_MAX {
            self.fall_back();
            return None;
        }
        let mut skipped = 0;
        if behind > STALL {
            skipped = (behind / SLOT - 1) * SLOT;
            self.sent += skipped;
            self.counters.stalls += 1;
        }
        let slot = self.slot(now - self.sent)?;
        self.sent += SLOT;
        self.number += 1;
        match slot.made {
            Made::Passed => self.counters.passed += 1,
            Made::Filled => self.counters.filled += 1,
            Made::Mixed => self.counters.mixed += 1,
        }
        Some(Slot {
            skipped: skipped.unsigned_abs(),
            ..slot
        })
    }

    /// When [`Playout::poll`] is to be called next on its clock, if no packet comes and nothing is asked for before.
    pub fn poll_timeout(&self, now_48k: u64) -> u64 {
        let now = i64::try_from(now_48k).unwrap_or(i64::MAX);
        let next = match self.mode {
            Mode::Mix if self.sent > now => self.sent,
            Mode::Pass(place) => {
                let lane = &self.tracks[place].lane;
                match lane.front() {
                    Some(_) => self.sent - AHEAD_MAX + 1,
                    None if lane.is_paused() => self.sent,
                    None => self.sent + PATIENCE,
                }
            }
            Mode::Mix => self.sent + PATIENCE,
        };
        next.max(now + 1).unsigned_abs()
    }

    /// The track is as far ahead of its clock as it may be: a packet that has come would wait for its turn, and all after it for as
    /// long. Where nothing is said it is left out.
    fn fall_back(&mut self) {
        if let Mode::Pass(place) = self.mode
            && self.tracks[place].lane.leave_out(0)
        {
            self.counters.shortened += 1;
        }
    }

    fn slot(&mut self, behind: i64) -> Option<Slot> {
        let mut begun = None;
        if self.mode == Mode::Mix && self.last_dbfs < QUIET_DBFS {
            begun = self.begin_alone();
        }
        let alone = self.alone();
        match (self.mode, alone) {
            (Mode::Pass(passing), Some(place)) if passing == place => {
                self.pass(place, behind, None)
            }
            (Mode::Pass(passing), _) => {
                let lane = &self.tracks[passing].lane;
                if lane.front().is_none() && !lane.is_paused() && behind < PATIENCE {
                    return None;
                }
                self.take_over(passing);
                self.mix(behind)
            }
            (Mode::Mix, Some(place)) if self.is_quiet(place) => {
                self.tracks[place].lane.give_back();
                self.mode = Mode::Pass(place);
                self.counters.given_back += 1;
                self.pass(place, behind, begun)
            }
            (Mode::Mix, _) => self.mix(behind),
        }
    }

    /// Lets in a source that nothing is heard beside, without a fade, if its packets can pass.
    fn begin_alone(&mut self) -> Option<Switch> {
        let to = self.mixer.entering()?;
        let mut tracks = self
            .tracks
            .iter()
            .filter(|track| track.admitted == Some(to));
        let sounds = tracks
            .next()
            .is_some_and(|track| track.sounded && self.is_plain(track.source));
        (sounds && tracks.next().is_none()).then(|| self.mixer.open_alone(to))
    }

    /// The track that is all that is to be heard, and whose packets can go out as they are.
    fn alone(&self) -> Option<usize> {
        let input = self.mixer.alone()?;
        if self.tail.is_some() || self.is_filling() || self.announcing.is_some() {
            return None;
        }
        let mut places = self.places_of(input);
        let place = places.next().filter(|_| places.next().is_none())?;
        let Track { lane, .. } = &self.tracks[place];
        let plain = self.is_plain(input.source)
            && lane.fits()
            && lane.backlog() - lane.decoded() <= BACKLOG_MAX;
        (plain && !self.is_leaking()).then_some(place)
    }

    fn places_of(&self, input: Input) -> impl Iterator<Item = usize> + '_ {
        let tracks = self.tracks.iter().enumerate();
        tracks
            .filter(move |(_, track)| track.admitted == Some(input))
            .map(|(place, _)| place)
    }

    /// Whether what the mixer would give up for packets of this track cannot be heard.
    fn is_quiet(&mut self, place: usize) -> bool {
        self.last_dbfs < QUIET_DBFS && self.tracks[place].lane.rest_dbfs() < QUIET_DBFS
    }

    fn pass(&mut self, place: usize, behind: i64, begun: Option<Switch>) -> Option<Slot> {
        let track = &mut self.tracks[place];
        let input = track.admitted;
        let lane = &mut track.lane;
        // What waits since a crossfade, or since the network held packets up, delays all that comes: where nothing is said it
        // is worked off.
        while lane.leave_out(1) {
            self.counters.shortened += 1;
        }
        let lost = lane.lost() >= SLOT_SAMPLES;
        let mut levels = self.levels.iter_mut();
        let level = levels.find(|level| level.source() == track.source);
        let listens = self.attended == Some(track.source)
            || level.as_ref().is_some_and(|level| level.is_curious());
        let passed = if lost || lane.front().is_none() {
            None
        } else if listens {
            lane.pass_listening(|pcm| {
                if let Some(level) = level {
                    level.listen(pcm);
                }
            })
            .map(|(packet, levels)| (packet, levels.map(Some)))
        } else {
            lane.pass().map(|packet| {
                let level = packet.looks_quiet().then_some(SILENCE_DBFS);
                (packet, [level; 2])
            })
        };
        let (made, payload, levels) = match passed {
            Some((packet, levels)) => (Made::Passed, Some(packet.payload().clone()), levels),
            None => {
                // A pause that was announced, or a loss that has been noticed, is not waited out.
                let due = if lost || lane.is_paused() {
                    0
                } else {
                    PATIENCE
                };
                if behind < due {
                    return None;
                }
                self.counters.lost += u64::from(!lane.is_paused());
                let Some(fill) = lane.fill() else {
                    self.take_over(place);
                    return self.mix(behind);
                };
                let payload = self.config.fills.then(|| fill.payload().clone());
                (Made::Filled, payload, [Some(SILENCE_DBFS); 2])
            }
        };
        let sounds = levels
            .iter()
            .any(|level| level.is_none_or(|dbfs| dbfs >= VOICE_DBFS));
        let dead_air = self.watch(sounds);
        let first_heard =
            made == Made::Passed && input.is_some_and(|input| self.mixer.mark_heard(input));
        let mut mixed = [None; 2];
        mixed[0] = begun.map(PullReport::of_switch);
        Some(Slot {
            payload,
            number: self.number,
            skipped: 0,
            made,
            voice: input,
            first_heard,
            levels,
            mixed,
            announced: false,
            dead_air,
        })
    }

    /// Starts and stops the filler by what is in a slot.
    fn watch(&mut self, sounds: bool) -> Option<DeadAir> {
        let seen = self.watchdog.as_mut()?.observe(SLOT_SAMPLES, sounds)?;
        match seen {
            DeadAir::Began => self.counters.dead_airs += 1,
            DeadAir::Ended { false_start } => self.counters.false_starts += u64::from(false_start),
        }
        if let Some(filler) = &mut self.filler {
            match seen {
                DeadAir::Began => filler.start(),
                DeadAir::Ended { .. } => filler.stop(),
            }
        }
        Some(seen)
    }

    /// Leads the encoder up to what was heard of a track whose packets passed until now.
    fn take_over(&mut self, place: usize) {
        self.mode = Mode::Mix;
        self.counters.taken_over += 1;
        let lane = &mut self.tracks[place].lane;
        self.heard.fill(0);
        lane.catch_up(&mut self.heard[..]);
        if !lane.decode() {
            lane.conceal();
        }
        // What the encoder is given comes out later by its delay: as much more sound is needed, once.
        let most = lane.decoded().saturating_sub(OVERLAP);
        if lane.lengthen(ENCODER_DELAY, most) == 0 {
            lane.conceal();
        }
        self.heard.copy_within(ENCODER_DELAY.., 0);
        lane.take(&mut self.heard[HEARD_SAMPLES - ENCODER_DELAY..]);
        self.encoder.follow(&self.heard[..]);
    }

    /// A track is not to be heard any more: what is heard of its packets dies away.
    fn let_go(&mut self, place: usize) {
        if self.mode != Mode::Pass(place) {
            return;
        }
        self.take_over(place);
        let mut frame = [0; FRAME_SAMPLES];
        self.tracks[place].lane.take(&mut frame);
        self.tail = Some(std::array::from_fn(|index| {
            let gain = 1.0 - (index as f32 + 0.5) / FRAME_SAMPLES as f32;
            f32::from(frame[index]) * gain
        }));
    }

    fn mix(&mut self, behind: i64) -> Option<Slot> {
        if behind < 0 || !self.provide(behind) {
            return None;
        }
        let mut pcm = [0; SLOT_SAMPLES];
        let mut mixed = [None; 2];
        let mut levels = [None; 2];
        let mut frame = Frame::SILENCE;
        for half in 0..2 {
            self.feed_mixer();
            if let Some(tail) = self.tail.take() {
                self.mixer.add(&tail);
            }
            if let Some(filler) = self.filler.as_mut().filter(|filler| !filler.is_closed()) {
                self.mixer.add(&filler.next());
            }
            if let Some(player) = &mut self.announcing {
                self.mixer.add(&player.next());
            }
            self.leak();
            let report = self.mixer.pull(&mut frame);
            levels[half] = Some(report.program_dbfs);
            if let Some(gone) = report.fade_done.and_then(|switch| switch.from) {
                self.forget(gone);
            }
            mixed[half] = Some(report);
            pcm[half * FRAME_SAMPLES..][..FRAME_SAMPLES].copy_from_slice(frame.samples());
        }
        self.last_dbfs = level_dbfs(&pcm);
        let voices = mixed.iter().flatten().flat_map(PullReport::voices);
        let loudest = voices
            .map(|voice| voice.heard_dbfs)
            .fold(SILENCE_DBFS, f32::max);
        // It is for the caller to hear, pauses and all.
        let announces = self.announcing.is_some();
        let announced = self.announcing.take_if(|player| player.is_over()).is_some();
        let dead_air = self.watch(announces || loudest >= VOICE_DBFS);
        Some(Slot {
            payload: Some(self.encoder.encode(&pcm)),
            number: self.number,
            skipped: 0,
            made: Made::Mixed,
            voice: None,
            first_heard: false,
            levels,
            mixed,
            announced,
            dead_air,
        })
    }

    /// An input has been faded out.
    fn forget(&mut self, input: Input) {
        for track in &mut self.tracks {
            if track.admitted == Some(input) {
                track.admitted = None;
                track.lane.ignore();
            }
        }
    }

    /// Sees to it that every voice has sound for a slot; false while one is waited for.
    fn provide(&mut self, behind: i64) -> bool {
        let mut complete = true;
        for track in &mut self.tracks {
            if !track
                .admitted
                .is_some_and(|input| self.mixer.is_live(input))
            {
                continue;
            }
            let lane = &mut track.lane;
            while lane.decoded() < SLOT_SAMPLES && lane.decode() {}
            if lane.decoded() >= SLOT_SAMPLES || !lane.has_begun() {
                continue;
            }
            if lane.is_paused() || behind >= PATIENCE {
                self.counters.concealed += 1;
                self.counters.lost += u64::from(!lane.is_paused());
                lane.conceal();
            } else {
                complete = false;
            }
        }
        complete
    }

    /// Gives the mixer the next 10 ms of everything that is heard, or is to be as soon as the mixer says so.
    fn feed_mixer(&mut self) {
        for input in self.mixer.inputs().into_iter().flatten() {
            let live = self.mixer.is_live(input);
            let mut sum = [0.0; FRAME_SAMPLES];
            let mut any = false;
            for track in self
                .tracks
                .iter_mut()
                .filter(|track| track.admitted == Some(input))
            {
                let lane = &mut track.lane;
                let awaited = track.sounded && self.mixer.is_awaited(input);
                if !(live || awaited) {
                    continue;
                }
                if live && lane.backlog() > BACKLOG_MAX {
                    while lane.decoded() < SLOT_SAMPLES + SHORTEN_MAX && lane.decode() {}
                    if lane.shorten(SHORTEN_MIN, SHORTEN_MAX) > 0 {
                        self.counters.shortened += 1;
                    }
                }
                if lane.decoded() > 0 {
                    any = true;
                    lane.play(&mut sum);
                }
            }
            let mut levels = self.levels.iter_mut();
            let level = levels.find(|level| level.source() == input.source);
            // Who has a track has a level.
            let Some(level) = level.filter(|_| any) else {
                continue;
            };
            let mut frame = Frame::SILENCE;
            level.limit(&sum, &mut frame);
            level.listen(frame.samples());
            self.mixer.set_level(input, level.advance());
            self.mixer.push(input, &frame);
        }
    }

    /// With the fault on, whether a track that nobody admitted has something to say.
    fn is_leaking(&self) -> bool {
        let mut strangers = self.tracks.iter().filter(|track| track.admitted.is_none());
        self.config.open && strangers.any(|track| track.lane.backlog() > 0)
    }

    fn leak(&mut self) {
        if !self.config.open {
            return;
        }
        for track in self
            .tracks
            .iter_mut()
            .filter(|track| track.admitted.is_none())
        {
            while track.lane.decoded() < FRAME_SAMPLES && track.lane.decode() {}
            let mut sum = [0.0; FRAME_SAMPLES];
            track.lane.play(&mut sum);
            self.mixer.add(&sum);
        }
    }
}
