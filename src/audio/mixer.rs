//! The program mixer: admitted inputs in, one frame per 10 ms out, whatever happens.
//!
//! An input waits after its admission and is heard only through [`ProgramMixer::start_fade`]. It is
//! gone when it has been faded out or dropped; what it pushes after that is refused. `pull` never
//! waits: where nothing is there it gives silence.

use crate::fade::Envelope;
use crate::level::{power_dbfs, square};
use crate::limiter::Limiter;
use crate::queue::{FrameQueue, Pulled};
use crate::{
    FRAME_SAMPLES, Fade, FadeStart, Frame, QUEUE_FRAMES_MAX, SILENCE_DBFS, level_dbfs, peak_dbfs,
};

/// Inputs that can be admitted at one time: two in a handoff, a filler, and one being replaced.
pub const SOURCES_MAX: usize = 4;

/// A track that frames come from; the room numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// The grant under which a source may be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A source under one grant: the same track with a later grant is another input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input {
    /// Where the frames come from.
    pub source: SourceId,
    /// The grant they belong to.
    pub epoch: Epoch,
}

/// Buffering of every input, in frames of 10 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixerConfig {
    /// Frames that must be there before an input starts, and again after it has run dry.
    pub prebuffer_frames: usize,
    /// Frames that may wait; what exceeds them is shortened. At most [`QUEUE_FRAMES_MAX`].
    pub backlog_frames: usize,
    /// Peak level in dBFS from which a frame is a sound; what a waiting input gives before that is
    /// thrown away.
    pub onset_dbfs: f32,
}

impl Default for MixerConfig {
    fn default() -> Self {
        Self {
            prebuffer_frames: 2,
            backlog_frames: 4,
            onset_dbfs: -60.0,
        }
    }
}

/// A refusal to admit or to fade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixerError {
    /// Every place is taken.
    #[error("{SOURCES_MAX} inputs are admitted already")]
    Full,
    /// A later grant has been admitted before.
    #[error("epoch {epoch} is older than epoch {newest}", epoch = epoch.0, newest = newest.0)]
    Stale {
        /// Epoch that was asked for.
        epoch: Epoch,
        /// Newest epoch ever admitted.
        newest: Epoch,
    },
    /// The input was never admitted, or is gone.
    #[error("source {source_id} is not admitted for epoch {epoch}", source_id = .0.source.0, epoch = .0.epoch.0)]
    NotAdmitted(Input),
    /// A fade needs two sides.
    #[error("a fade from an input to itself, or from nothing to nothing")]
    OneSided,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It will be played in its turn.
    Queued,
    /// It is the first sound of a waiting input, and queued.
    FirstSound,
    /// A waiting input has not begun to sound: thrown away.
    LeadingSilence,
    /// Queued; too many were waiting, so that 10 ms were taken out of them.
    Shortened,
    /// Not admitted: thrown away.
    Refused,
}

/// A change of source; `None` is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// What fades out, and is then gone.
    pub from: Option<Input>,
    /// What fades in.
    pub to: Option<Input>,
}

/// One input within one pull.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voice {
    /// Whose voice.
    pub input: Input,
    /// Gain of its fade at the end of the frame, 0 to 1.
    pub gain: f32,
    /// Level that the input gave, before the gain of its fade.
    pub source_dbfs: f32,
    /// Level that it has in the program, after its gain.
    pub heard_dbfs: f32,
    /// Whether this is the first frame of it that can be heard.
    pub first_heard: bool,
    /// Whether it had nothing to give although it should have been playing.
    pub underrun: bool,
}

/// What one pull has played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PullReport {
    /// Level of the frame.
    pub program_dbfs: f32,
    /// The inputs in the program, waiting ones not included.
    pub voices: [Option<Voice>; SOURCES_MAX],
    /// A fade has begun with this frame.
    pub fade_started: Option<Switch>,
    /// A fade has ended within this frame, and its old side is gone.
    pub fade_done: Option<Switch>,
    /// The sum was too loud and has been turned down.
    pub limited: bool,
}

impl PullReport {
    /// A change of source in a frame that the mixer has not made.
    pub(crate) fn of_switch(switch: Switch) -> Self {
        Self {
            program_dbfs: SILENCE_DBFS,
            voices: [None; SOURCES_MAX],
            fade_started: Some(switch),
            fade_done: Some(switch),
            limited: false,
        }
    }

    /// The input whose first audible frame this is.
    pub fn first_heard(&self) -> Option<Input> {
        self.voices()
            .find(|voice| voice.first_heard)
            .map(|voice| voice.input)
    }

    /// The inputs in the program.
    pub fn voices(&self) -> impl Iterator<Item = &Voice> {
        self.voices.iter().flatten()
    }

    /// The inputs that had nothing to give although they should have been playing.
    pub fn underruns(&self) -> usize {
        self.voices().filter(|voice| voice.underrun).count()
    }
}

/// Frames and events since the mixer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames pulled.
    pub pulled: u64,
    /// Frames of an input that was not admitted.
    pub refused: u64,
    /// Silent frames of waiting inputs, thrown away.
    pub leading_silence: u64,
    /// Frames of waiting inputs, thrown away because nobody switched to them in time.
    pub expired: u64,
    /// Times 10 ms were taken out of a backlog.
    pub shortened: u64,
    /// Times an input ran dry while it was playing.
    pub underruns: u64,
    /// Frames in which the sum was turned down.
    pub limited: u64,
}

/// Mixes the admitted inputs into the program; see the module.
#[derive(Clone, Debug)]
pub struct ProgramMixer {
    config: MixerConfig,
    slots: [Slot; SOURCES_MAX],
    newest: Epoch,
    armed: Option<Armed>,
    running: Option<Switch>,
    /// The dying away of inputs that were dropped while they played.
    endings: [f32; FRAME_SAMPLES],
    limiter: Limiter,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    input: Option<Input>,
    stage: Stage,
    queue: FrameQueue,
    sounded: bool,
    /// It has begun to sound while its frames are kept elsewhere.
    sounded_outside: bool,
    heard: bool,
    /// The factor of its own level that it has reached, and the one that it has at the end of the next frame.
    level: f32,
    next_level: f32,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Admitted, and kept from the program.
    Waiting,
    /// In the program with a gain.
    Live(Envelope),
}

/// A fade that waits for its moment.
#[derive(Clone, Copy, Debug)]
struct Armed {
    switch: Switch,
    fade: Fade,
    start: FadeStart,
}

impl ProgramMixer {
    /// A mixer with no input: it gives silence.
    pub fn new(config: MixerConfig) -> Self {
        let backlog_frames = config.backlog_frames.clamp(1, QUEUE_FRAMES_MAX);
        let prebuffer_frames = config.prebuffer_frames.clamp(1, backlog_frames);
        Self {
            config: MixerConfig {
                prebuffer_frames,
                backlog_frames,
                ..config
            },
            slots: [Slot::FREE; SOURCES_MAX],
            newest: Epoch(0),
            armed: None,
            running: None,
            endings: [0.0; FRAME_SAMPLES],
            limiter: Limiter::OPEN,
            counters: Counters::default(),
        }
    }

    /// Lets a source in for an epoch. It waits, unheard, until a fade leads to it.
    ///
    /// Admitting an input again changes nothing.
    ///
    /// # Errors
    /// [`MixerError::Stale`] for an epoch below the newest admitted one, [`MixerError::Full`] when
    /// [`SOURCES_MAX`] inputs are admitted.
    pub fn admit(&mut self, input: Input) -> Result<(), MixerError> {
        if self.slot(input).is_some() {
            return Ok(());
        }
        if input.epoch < self.newest {
            return Err(MixerError::Stale {
                epoch: input.epoch,
                newest: self.newest,
            });
        }
        let free = self.slots.iter_mut().find(|slot| slot.input.is_none());
        let slot = free.ok_or(MixerError::Full)?;
        *slot = Slot {
            input: Some(input),
            ..Slot::FREE
        };
        self.newest = input.epoch;
        Ok(())
    }

    /// Moves an admitted input to a later epoch, without a gap: what is queued, its gain and its fades go along.
    ///
    /// # Errors
    /// [`MixerError::NotAdmitted`] when it is not, [`MixerError::Stale`] for an epoch below the newest admitted one.
    pub fn renew(&mut self, input: Input, epoch: Epoch) -> Result<Input, MixerError> {
        if epoch < self.newest {
            return Err(MixerError::Stale {
                epoch,
                newest: self.newest,
            });
        }
        let slot = self.slots.iter_mut().find(|slot| slot.input == Some(input));
        let slot = slot.ok_or(MixerError::NotAdmitted(input))?;
        let renewed = Input {
            source: input.source,
            epoch,
        };
        slot.input = Some(renewed);
        self.newest = epoch;
        let switches = self
            .armed
            .iter_mut()
            .map(|armed| &mut armed.switch)
            .chain(&mut self.running);
        for side in switches.flat_map(|switch| [&mut switch.from, &mut switch.to]) {
            if *side == Some(input) {
                *side = Some(renewed);
            }
        }
        Ok(renewed)
    }

    /// Whether frames of this input are taken.
    pub fn is_admitted(&self, input: Input) -> bool {
        self.slot(input).is_some()
    }

    /// Takes an input out at once; if it was playing it dies away within the next frame.
    ///
    /// A fade that waits to begin is called off if it leads to this input; if it leads away from
    /// it, it goes on from silence.
    pub fn drop_source(&mut self, input: Input) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.input == Some(input)) else {
            return;
        };
        if let Stage::Live(envelope) = slot.stage {
            let gain = envelope.gain() * slot.level;
            for (sum, &sample) in self.endings.iter_mut().zip(slot.queue.ending().samples()) {
                *sum += f32::from(sample) * gain;
            }
        }
        *slot = Slot::FREE;
        if let Some(armed) = &mut self.armed {
            if armed.switch.to == Some(input) {
                self.armed = None;
            } else if armed.switch.from == Some(input) {
                armed.switch.from = None;
            }
        }
        if self
            .running
            .is_some_and(|running| running.to == Some(input))
        {
            self.running = None;
        }
    }

    /// Takes the next 10 ms of an input; a queue that is full is shortened by one frame.
    pub fn push(&mut self, input: Input, frame: &Frame) -> Pushed {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.input == Some(input)) else {
            self.counters.refused += 1;
            return Pushed::Refused;
        };
        let waiting = matches!(slot.stage, Stage::Waiting);
        let mut pushed = Pushed::Queued;
        if waiting && !slot.sounded {
            if peak_dbfs(frame.samples()) < self.config.onset_dbfs {
                self.counters.leading_silence += 1;
                return Pushed::LeadingSilence;
            }
            slot.sounded = true;
            pushed = Pushed::FirstSound;
        }
        if slot.queue.len() >= self.config.backlog_frames {
            if waiting {
                slot.queue.drop_oldest();
                self.counters.expired += 1;
            } else if slot.queue.len() == 1 {
                slot.queue.drop_oldest();
                self.counters.shortened += 1;
                pushed = Pushed::Shortened;
            } else {
                slot.queue.shorten();
                self.counters.shortened += 1;
                pushed = Pushed::Shortened;
            }
        }
        slot.queue.append(frame);
        pushed
    }

    /// Fades from one input to another; `None` is silence. The old side is gone afterwards.
    ///
    /// A fade that still waits is replaced. One that is running is overtaken: its sides go on from
    /// the gains they have reached.
    ///
    /// # Errors
    /// [`MixerError::NotAdmitted`] for either side, [`MixerError::OneSided`] when both are the same.
    pub fn start_fade(
        &mut self,
        from: Option<Input>,
        to: Option<Input>,
        fade: Fade,
        start: FadeStart,
    ) -> Result<(), MixerError> {
        if from == to {
            return Err(MixerError::OneSided);
        }
        if let Some(missing) = [from, to]
            .into_iter()
            .flatten()
            .find(|&side| !self.is_admitted(side))
        {
            return Err(MixerError::NotAdmitted(missing));
        }
        self.armed = Some(Armed {
            switch: Switch { from, to },
            fade,
            start,
        });
        Ok(())
    }

    /// Calls off a fade that has not begun; false when there was none.
    pub fn cancel_fade(&mut self) -> bool {
        self.armed.take().is_some()
    }

    /// Whether a fade waits for the first sound of its new side.
    pub fn is_fade_waiting(&self) -> bool {
        self.armed.is_some()
    }

    /// Writes the next 10 ms of the program to `out`.
    pub fn pull(&mut self, out: &mut Frame) -> PullReport {
        let fade_started = self.begin_armed();
        let mut mix = std::mem::replace(&mut self.endings, [0.0; FRAME_SAMPLES]);
        let mut voices = [None; SOURCES_MAX];
        for (slot, voice) in self.slots.iter_mut().zip(&mut voices) {
            *voice = slot.play(&self.config, &mut mix);
            if voice.is_some_and(|voice| voice.underrun) {
                self.counters.underruns += 1;
            }
        }
        let limited = self.limiter.apply(&mix, out.samples_mut());
        self.counters.limited += u64::from(limited);
        self.counters.pulled += 1;
        PullReport {
            program_dbfs: level_dbfs(out.samples()),
            voices,
            fade_started,
            fade_done: self.settle(),
            limited,
        }
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sets the factor by which an input is louder than it came. One that is heard slides to it within the next frame.
    pub(crate) fn set_level(&mut self, input: Input, level: f32) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.input == Some(input)) {
            slot.next_level = level;
            if matches!(slot.stage, Stage::Waiting) {
                slot.level = level;
            }
        }
    }

    /// Adds 10 ms to the next frame, beside the inputs.
    pub(crate) fn add(&mut self, samples: &[f32; FRAME_SAMPLES]) {
        for (sum, sample) in self.endings.iter_mut().zip(samples) {
            *sum += sample;
        }
    }

    /// The admitted inputs, as they are now.
    pub(crate) fn inputs(&self) -> [Option<Input>; SOURCES_MAX] {
        std::array::from_fn(|place| self.slots[place].input)
    }

    /// Whether this input is in the program with a gain.
    pub(crate) fn is_live(&self, input: Input) -> bool {
        self.slot(input)
            .is_some_and(|slot| matches!(slot.stage, Stage::Live(_)))
    }

    /// Whether a fade waits that leads to this input.
    pub(crate) fn is_awaited(&self, input: Input) -> bool {
        self.armed
            .is_some_and(|armed| armed.switch.to == Some(input))
    }

    /// The input of a fade that waits and leads from silence, while nothing is heard.
    pub(crate) fn entering(&self) -> Option<Input> {
        let armed = self.armed.filter(|armed| armed.switch.from.is_none())?;
        let live = |slot: &Slot| matches!(slot.stage, Stage::Live(_));
        armed
            .switch
            .to
            .filter(|_| !self.slots.iter().any(live) && self.is_at_rest())
    }

    /// Opens the input of a fade that waits, at once.
    pub(crate) fn open_alone(&mut self, input: Input) -> Switch {
        self.armed = None;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.input == Some(input)) {
            slot.head_for(true, Fade::CUT);
        }
        Switch {
            from: None,
            to: Some(input),
        }
    }

    /// The input that is all that is heard, at full gain, for as long as no fade is about to change that.
    pub(crate) fn alone(&self) -> Option<Input> {
        let mut live = self.slots.iter().filter_map(|slot| match slot.stage {
            Stage::Live(envelope) => slot.input.map(|input| (input, envelope)),
            Stage::Waiting => None,
        });
        let (input, envelope) = live.next()?;
        let settled = envelope.is_settled() && envelope.gain() >= 1.0;
        let only = live.next().is_none() && self.running.is_none() && self.is_at_rest();
        (settled && only && !self.is_fade_ready()).then_some(input)
    }

    /// Notes that an input is heard; whether that is for the first time.
    pub(crate) fn mark_heard(&mut self, input: Input) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.input == Some(input));
        slot.is_some_and(|slot| !std::mem::replace(&mut slot.heard, true))
    }

    /// Notes that an input that waits has begun to sound, outside of the mixer.
    pub(crate) fn mark_sounded(&mut self, input: Input) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.input == Some(input)) {
            slot.sounded_outside = true;
        }
    }

    fn is_fade_ready(&self) -> bool {
        let Some(armed) = self.armed else {
            return false;
        };
        match armed.start {
            FadeStart::AtOnce => true,
            FadeStart::FirstSound => armed.switch.to.is_none_or(|to| {
                self.slot(to).is_some_and(|slot| {
                    slot.sounded_outside || slot.is_ready(self.config.prebuffer_frames)
                })
            }),
        }
    }

    fn is_at_rest(&self) -> bool {
        self.limiter.is_open() && self.endings.iter().all(|&sample| sample == 0.0)
    }

    fn begin_armed(&mut self) -> Option<Switch> {
        let armed = self.armed?;
        let ready = match armed.start {
            FadeStart::AtOnce => true,
            FadeStart::FirstSound => armed.switch.to.is_none_or(|to| {
                self.slot(to)
                    .is_some_and(|slot| slot.is_ready(self.config.prebuffer_frames))
            }),
        };
        if !ready {
            return None;
        }
        self.armed = None;
        self.running = Some(armed.switch);
        for (side, open) in [(armed.switch.from, false), (armed.switch.to, true)] {
            let slot = self
                .slots
                .iter_mut()
                .find(|slot| side.is_some() && slot.input == side);
            if let Some(slot) = slot {
                slot.head_for(open, armed.fade);
            }
        }
        Some(armed.switch)
    }

    /// Frees what has been faded out, and tells whether the running fade is over.
    fn settle(&mut self) -> Option<Switch> {
        for slot in &mut self.slots {
            if matches!(slot.stage, Stage::Live(envelope) if envelope.is_closed()) {
                *slot = Slot::FREE;
            }
        }
        let running = self.running?;
        let from_gone = running.from.is_none_or(|from| self.slot(from).is_none());
        let to_open = running
            .to
            .is_none_or(|to| self.slot(to).is_none_or(Slot::is_settled));
        if !(from_gone && to_open) {
            return None;
        }
        self.running.take()
    }

    fn slot(&self, input: Input) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.input == Some(input))
    }
}

impl Slot {
    const FREE: Self = Self {
        input: None,
        stage: Stage::Waiting,
        queue: FrameQueue::EMPTY,
        sounded: false,
        sounded_outside: false,
        heard: false,
        level: 1.0,
        next_level: 1.0,
    };

    fn is_ready(&self, prebuffer: usize) -> bool {
        match self.stage {
            Stage::Waiting => self.queue.len() >= prebuffer,
            Stage::Live(_) => true,
        }
    }

    fn is_settled(&self) -> bool {
        match self.stage {
            Stage::Waiting => true,
            Stage::Live(envelope) => envelope.is_settled(),
        }
    }

    fn head_for(&mut self, open: bool, fade: Fade) {
        let mut envelope = match self.stage {
            Stage::Waiting => Envelope::CLOSED,
            Stage::Live(envelope) => envelope,
        };
        envelope.head_for(open, fade);
        self.stage = Stage::Live(envelope);
    }

    /// Adds this input's share of the frame to `mix`.
    fn play(&mut self, config: &MixerConfig, mix: &mut [f32; FRAME_SAMPLES]) -> Option<Voice> {
        let (Some(input), Stage::Live(envelope)) = (self.input, &mut self.stage) else {
            return None;
        };
        let (frame, underrun) = match self.queue.pull(config.prebuffer_frames) {
            Pulled::Frame(frame) => (frame, false),
            Pulled::Ending(frame) => (frame, true),
            Pulled::Nothing => (Frame::SILENCE, false),
        };
        let mut power = 0.0;
        let step = (self.next_level - self.level) / FRAME_SAMPLES as f32;
        for (sum, &sample) in mix.iter_mut().zip(frame.samples()) {
            self.level += step;
            let heard = f32::from(sample) * self.level * envelope.next();
            power += square(heard);
            *sum += heard;
        }
        self.level = self.next_level;
        let mut source_dbfs = level_dbfs(frame.samples());
        if self.level != 1.0 && source_dbfs > SILENCE_DBFS {
            source_dbfs = (source_dbfs + 20.0 * self.level.log10()).max(SILENCE_DBFS);
        }
        let heard_dbfs = power_dbfs(power / FRAME_SAMPLES as f32).max(SILENCE_DBFS);
        let first_heard = !self.heard && heard_dbfs > SILENCE_DBFS;
        self.heard |= first_heard;
        Some(Voice {
            input,
            gain: envelope.gain(),
            source_dbfs,
            heard_dbfs,
            first_heard,
            underrun,
        })
    }
}
