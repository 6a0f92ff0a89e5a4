//! What a change of voice sounded like, measured from the slots of the program track themselves.

use crate::{FRAME_MS, Input, Made, SILENCE_DBFS, SOURCES_MAX, Slot, Switch};

/// Level in dBFS from which a voice is heard.
const HEARD_DBFS: f32 = -50.0;
/// Level that stands for a packet that may be a voice and has not been decoded.
const UNKNOWN_DBFS: f32 = -26.0;

/// Frames of a voice from which its level is known: 50 ms.
const LEVEL_FRAMES_MIN: u32 = 5;

/// How one voice gave way to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SwitchSound {
    /// How long nobody was heard before the new voice, in milliseconds.
    pub silence_ms: u32,
    /// How long both were, in milliseconds.
    pub overlap_ms: u32,
    /// How much louder the new voice was than the old one, in dB; nothing if one was not heard for long enough
    /// until the end of the fade.
    pub level_step_db: Option<f32>,
    /// Of the slots since the last switch, those in milliseconds for which a packet was missing that no pause explains.
    pub lost_ms: u32,
}

/// Follows the program from slot to slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    silence_ms: u32,
    /// Of the switch under way.
    before_new_ms: u32,
    overlap_ms: u32,
    lost_ms: u32,
    lost_slots: u64,
    voices: [Option<Level>; SOURCES_MAX],
}

/// The power of one voice while it was heard.
#[derive(Clone, Copy, Debug)]
struct Level {
    input: Input,
    power: f64,
    frames: u32,
}

impl Meter {
    /// Takes a slot, and how many slots have been bridged so far that no pause explains; tells of a switch that ends with it.
    pub fn observe(&mut self, slot: &Slot, lost_slots: u64) -> Option<SwitchSound> {
        let lost = lost_slots.saturating_sub(self.lost_slots);
        self.lost_ms += u32::try_from(lost)
            .unwrap_or(u32::MAX)
            .saturating_mul(2 * FRAME_MS);
        self.lost_slots = lost_slots;
        match slot.made {
            Made::Passed | Made::Filled => {
                for dbfs in slot.levels {
                    let known = dbfs.filter(|&dbfs| dbfs > SILENCE_DBFS);
                    let heard = dbfs.unwrap_or(UNKNOWN_DBFS) >= HEARD_DBFS;
                    self.frame(heard, slot.first_heard && heard, usize::from(heard));
                    if let (Some(input), Some(dbfs)) = (slot.voice, known) {
                        self.level(input, dbfs);
                    }
                }
                None
            }
            Made::Mixed => {
                let mut ended = None;
                for report in slot.mixed.iter().flatten() {
                    let heard = report
                        .voices()
                        .filter(|voice| voice.heard_dbfs >= HEARD_DBFS);
                    let first = report.voices().any(|voice| voice.first_heard);
                    let count = heard.count();
                    self.frame(count > 0, first, count);
                    for voice in report.voices() {
                        self.level(voice.input, voice.source_dbfs);
                    }
                    if let Some(switch) = report.fade_done {
                        ended = self.end(switch).or(ended);
                    }
                }
                ended
            }
        }
    }

    fn frame(&mut self, heard: bool, first: bool, voices: usize) {
        if first {
            self.before_new_ms = self.silence_ms;
        }
        self.silence_ms = if heard {
            0
        } else {
            self.silence_ms.saturating_add(FRAME_MS)
        };
        if voices > 1 {
            self.overlap_ms = self.overlap_ms.saturating_add(FRAME_MS);
        }
    }

    fn level(&mut self, input: Input, dbfs: f32) {
        if dbfs < HEARD_DBFS {
            return;
        }
        let power = 10_f64.powf(f64::from(dbfs) / 10.0);
        // A track with a later grant is the same voice.
        let known =
            |level: &Option<Level>| level.is_some_and(|level| level.input.source == input.source);
        let place = self.voices.iter().position(known);
        let place = place.or_else(|| self.voices.iter().position(Option::is_none));
        let Some(level) = place.map(|place| &mut self.voices[place]) else {
            return;
        };
        let level = level.get_or_insert(Level {
            input,
            power: 0.0,
            frames: 0,
        });
        level.power += power;
        level.frames += 1;
    }

    fn end(&mut self, switch: Switch) -> Option<SwitchSound> {
        let mean_db = |input: Input| {
            let levels = self.voices.iter().flatten();
            let mut levels = levels.filter(|level| level.input.source == input.source);
            let level = levels
                .next()
                .filter(|level| level.frames >= LEVEL_FRAMES_MIN)?;
            Some((10.0 * (level.power / f64::from(level.frames)).log10()) as f32)
        };
        let sound = switch.from.zip(switch.to).map(|(from, to)| SwitchSound {
            silence_ms: self.before_new_ms,
            overlap_ms: self.overlap_ms,
            level_step_db: mean_db(to).zip(mean_db(from)).map(|(to, from)| to - from),
            lost_ms: self.lost_ms,
        });
        *self = Self {
            silence_ms: self.silence_ms,
            lost_slots: self.lost_slots,
            ..Self::default()
        };
        sound
    }
}
