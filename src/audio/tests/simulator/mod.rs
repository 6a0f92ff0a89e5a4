//! Switches between sources over a bad network, in virtual time: packets late, lost, in bursts and out of order, pauses of
//! the senders, fades of every kind, sources lost in the middle, a filler in between.

use std::collections::VecDeque;

use audio::{
    Curve, Epoch, Fade, FadeStart, FillerConfig, Input, Packet, Playout, PlayoutConfig,
    SLOT_SAMPLES, Slot, Sound, SourceId, Switch, TrackId, WatchdogConfig,
};
use bytes::Bytes;
use opus::{Application, Bitrate, Channels};

const SOURCES: usize = 3;
const TICK: u64 = 480;
/// Packets that each sender has ready and sends over and over.
const POOL: usize = 100;

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) switches: u64,
    pub(crate) slots: u64,
    /// Slots whose number did not follow, or that were not 20 ms of Opus.
    pub(crate) breaks: u64,
    /// Slots that were not there when their time had come.
    pub(crate) missing: u64,
    /// Frames in which gains were out of range, alone or together.
    pub(crate) gains_out: u64,
    /// Frames in which somebody was heard who was not admitted.
    pub(crate) strangers: u64,
    /// Fades that were followed from beginning to end.
    pub(crate) whole_fades: u64,
    pub(crate) taken_over: u64,
    pub(crate) given_back: u64,
    /// Switches at which the new voice was matched in loudness.
    pub(crate) matched: u64,
}

impl Tally {
    pub(crate) fn is_clean(&self) -> bool {
        self.breaks + self.missing + self.gains_out + self.strangers == 0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.switches += other.switches;
        self.slots += other.slots;
        self.breaks += other.breaks;
        self.missing += other.missing;
        self.gains_out += other.gains_out;
        self.strangers += other.strangers;
        self.whole_fades += other.whole_fades;
        self.taken_over += other.taken_over;
        self.given_back += other.given_back;
        self.matched += other.matched;
    }
}

/// What is switched off, so that the checks can be seen to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) slots_unfilled: bool,
    pub(crate) open: bool,
}

/// Numbers out of a seed (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

/// A participant that sends a packet every 20 ms, and the network between.
struct Sender {
    pool: Vec<Bytes>,
    samples: u64,
    sequence: u64,
    rtp_time: u64,
    sends_at: u64,
    /// What is on its way, with the time of its arrival.
    line: VecDeque<(u64, Packet)>,
    stalled_until: u64,
    pauses_until: u64,
}

impl Sender {
    fn new(hz: f64, ms: usize, now: u64) -> Self {
        let channels = Channels::Mono;
        let mut encoder =
            opus::Encoder::new(48_000, channels, Application::Voip).expect("a format");
        encoder.set_bitrate(Bitrate::Bits(24_000)).expect("a rate");
        let samples = ms * 48;
        let pool = (0..POOL).map(|index| {
            let sample = |at: usize| {
                let t = (index * samples + at) as f64 / 48_000.0;
                // It swells and fades, so that there are quiet slots.
                let loud = (t * 4.0).sin().max(0.0);
                ((std::f64::consts::TAU * hz * t).sin() * loud * 9_000.0) as i16
            };
            let pcm: Vec<i16> = (0..samples).map(sample).collect();
            Bytes::from(encoder.encode_vec(&pcm, 1_275).expect("a frame"))
        });
        Self {
            pool: pool.collect(),
            samples: samples as u64,
            sequence: 1,
            rtp_time: 0,
            sends_at: now,
            line: VecDeque::new(),
            stalled_until: 0,
            pauses_until: 0,
        }
    }

    fn send(&mut self, now: u64, dice: &mut Dice) {
        if dice.one_in(3_000) {
            self.stalled_until = now + 48 * (20 + dice.roll(400));
        }
        if dice.one_in(400) {
            self.pauses_until = now + 48 * (100 + dice.roll(600));
        }
        while self.sends_at <= now {
            self.sends_at += self.samples;
            let silent = now < self.pauses_until;
            let payload = match silent {
                true => Bytes::from_static(&[0x78]),
                false => self.pool[self.sequence as usize % POOL].clone(),
            };
            let packet = Packet::new(payload, self.sequence, self.rtp_time, 1).expect("a packet");
            self.rtp_time += self.samples;
            // A pause leaves packets out without leaving numbers out; a loss leaves out both.
            if silent && !dice.one_in(20) {
                continue;
            }
            self.sequence += 1;
            if dice.one_in(100) {
                continue;
            }
            let jitter = 48
                * if dice.one_in(10) {
                    dice.roll(60)
                } else {
                    dice.roll(8)
                };
            let arrives = (now + jitter).max(self.stalled_until);
            self.line.push_back((arrives, packet));
        }
    }

    fn arrived(&mut self, now: u64) -> Option<Packet> {
        let place = self.line.iter().position(|(at, _)| *at <= now)?;
        self.line.remove(place).map(|(_, packet)| packet)
    }
}

/// Runs so many switches.
pub(crate) fn run(seed: u64, switches: u64, faults: Faults) -> Tally {
    let mut run = Run::new(seed, faults);
    while run.tally.switches < switches {
        run.switch();
        run.tally.switches += 1;
    }
    let counters = run.playout.counters();
    run.tally.taken_over = counters.taken_over;
    run.tally.given_back = counters.given_back;
    run.tally
}

/// A fade that is followed: nothing interferes with it.
#[derive(Clone, Copy)]
struct Followed {
    switch: Switch,
    curve: Curve,
    running: bool,
}

struct Run {
    dice: Dice,
    now: u64,
    /// Samples that were sent, skipped time included.
    sent: u64,
    playout: Playout,
    senders: Vec<Sender>,
    epoch: u64,
    holder: Option<Input>,
    admitted: Vec<Input>,
    /// Whether voices are matched in loudness now and then.
    matches: bool,
    followed: Option<Followed>,
    fade_done: bool,
    /// Who was faded in to the end last.
    open: Option<SourceId>,
    start: u64,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let now = dice.roll(1 << 40);
        let matches = dice.one_in(3);
        let mut playout = Playout::new(PlayoutConfig {
            learns: matches,
            fills: !faults.slots_unfilled,
            open: faults.open,
            ..PlayoutConfig::default()
        })
        .expect("an encoder");
        let watchdog = WatchdogConfig {
            silence_samples: 9_600,
            false_start_samples: 9_600,
        };
        let filler = FillerConfig {
            sound: Sound::ComfortNoise,
            dbfs: -45.0,
            fade_in: Fade::equal_power(40),
            fade_out: Fade::equal_power(40),
        };
        playout.guard(watchdog, Some(filler));
        let senders = (0..SOURCES).map(|index| {
            // Mostly what everybody sends; some send packets of another length.
            let ms = match dice.one_in(6) {
                true => [10, 40, 60][dice.roll(3) as usize],
                false => 20,
            };
            Sender::new(200.0 + 170.0 * index as f64, ms, now)
        });
        let senders = senders.collect();
        for source in 0..SOURCES as u32 {
            playout.attach(TrackId(source), SourceId(source));
        }
        Self {
            dice,
            now,
            sent: 0,
            playout,
            senders,
            epoch: 0,
            holder: None,
            admitted: Vec::new(),
            matches,
            followed: None,
            fade_done: false,
            open: None,
            start: now,
            tally: Tally::default(),
        }
    }

    fn switch(&mut self) {
        self.epoch += 1;
        let to = Input {
            source: SourceId(self.dice.roll(SOURCES as u64) as u32),
            epoch: Epoch(self.epoch),
        };
        if let Some(same) = self.holder.filter(|holder| holder.source == to.source) {
            self.forget(same);
            self.playout.renew(same, to.epoch).expect("it is admitted");
            self.admitted.push(to);
            self.holder = Some(to);
            self.pass_time(20);
            return;
        }
        let samples = match self.dice.one_in(50) {
            true => self.dice.roll(96_000),
            false => self.dice.roll(4_800),
        };
        let curve = match self.dice.roll(5) {
            0 => Curve::Cut,
            1 => Curve::Linear,
            _ => Curve::EqualPower,
        };
        let start = match self.dice.one_in(2) {
            true => FadeStart::AtOnce,
            false => FadeStart::FirstSound,
        };
        let fade = Fade {
            curve,
            samples: samples as u32,
        };
        let from = self.holder;
        self.playout.admit(to).expect("two places are enough");
        self.admitted.push(to);
        if let Some(from) = from.filter(|_| self.matches) {
            let told = self
                .dice
                .one_in(2)
                .then(|| -30.0 + self.dice.roll(16) as f32);
            match self.dice.one_in(4) {
                true => self.playout.set_gain(to.source, 0.0),
                false => {
                    self.tally.matched += 1;
                    self.playout
                        .match_loudness((from.source, None), (to.source, told));
                }
            }
        }
        self.playout
            .start_fade(from, Some(to), fade, start)
            .expect("both are admitted");
        self.playout.expect_voice(self.dice.one_in(2));
        let overtaken = self.dice.one_in(5);
        self.fade_done = false;
        let from_open = from.is_none_or(|from| self.open == Some(from.source));
        self.followed = (!overtaken && from_open).then_some(Followed {
            switch: Switch { from, to: Some(to) },
            curve,
            running: false,
        });
        let whole = 10 + samples / TICK;
        let ticks = match overtaken {
            true => self.dice.roll(whole),
            false => whole + 100,
        };
        self.pass_time(ticks);
        self.followed = None;
        // What has not been faded out by now is taken out.
        if let Some(old) = self.holder.replace(to) {
            self.playout.drop_source(old);
            self.forget(old);
        }
        if !self.fade_done {
            self.open = None;
        }
        if self.dice.one_in(10) {
            self.playout.drop_source(to);
            self.forget(to);
            self.holder = None;
        }
    }

    fn forget(&mut self, input: Input) {
        self.admitted.retain(|admitted| *admitted != input);
    }

    /// Lets ticks pass, until shortly after the fade that is followed.
    fn pass_time(&mut self, ticks: u64) {
        let mut after = 2 + self.dice.roll(12);
        for _ in 0..ticks {
            self.tick();
            if self.fade_done {
                after -= 1;
                if after == 0 {
                    break;
                }
            }
        }
    }

    fn tick(&mut self) {
        for source in 0..SOURCES {
            let sender = &mut self.senders[source];
            sender.send(self.now, &mut self.dice);
            while let Some(packet) = sender.arrived(self.now) {
                self.playout.push(TrackId(source as u32), packet);
            }
        }
        while let Some(slot) = self.playout.poll(self.now) {
            self.check(&slot);
        }
        let due = self.now - self.start;
        // One slot may be waited for.
        if self.sent + 2 * SLOT_SAMPLES as u64 <= due {
            self.tally.missing += 1;
            self.sent = due;
        }
        // Now and then the machine is late, or stands still.
        self.now += match self.dice.roll(5_000) {
            0 => TICK * 30,
            1..50 => TICK * 3,
            _ => TICK,
        };
    }

    fn check(&mut self, slot: &Slot) {
        let whole = slot.payload.as_ref().is_some_and(|payload| {
            opus::packet::get_nb_samples(payload, 48_000).ok() == Some(SLOT_SAMPLES)
        });
        if slot.number != self.tally.slots || !whole {
            self.tally.breaks += 1;
        }
        self.tally.slots += 1;
        self.sent += SLOT_SAMPLES as u64 + slot.skipped;
        if slot
            .voice
            .is_some_and(|voice| !self.admitted.contains(&voice))
        {
            self.tally.strangers += 1;
        }
        for report in slot.mixed.iter().flatten() {
            let mut powers = 0.0;
            let mut sum = 0.0;
            for voice in report.voices() {
                powers += voice.gain.powi(2);
                sum += voice.gain;
                self.tally.gains_out += u64::from(!(0.0..=1.0).contains(&voice.gain));
                self.tally.strangers += u64::from(!self.admitted.contains(&voice.input));
            }
            self.tally.gains_out += u64::from(powers > 2.001);
            self.follow(report, powers, sum);
        }
    }

    /// In a fade that nothing interferes with, the sides add up at every frame.
    fn follow(&mut self, report: &audio::PullReport, powers: f32, sum: f32) {
        if let Some(done) = report.fade_done {
            self.open = done.to.map(|to| to.source);
        }
        let Some(followed) = &mut self.followed else {
            return;
        };
        if report.fade_started == Some(followed.switch) {
            followed.running = true;
        }
        if followed.running && followed.switch.from.is_some() {
            let ripple_db = match followed.curve {
                Curve::EqualPower => 10.0 * powers.log10(),
                Curve::Linear => 20.0 * sum.log10(),
                Curve::Cut => 0.0,
            };
            self.tally.gains_out += u64::from(ripple_db.abs() > 0.5);
        }
        if report.fade_done == Some(followed.switch) {
            self.tally.whole_fades += 1;
            self.fade_done = true;
            if let Some(from) = followed.switch.from {
                self.admitted.retain(|admitted| *admitted != from);
            }
            self.followed = None;
        }
    }
}
