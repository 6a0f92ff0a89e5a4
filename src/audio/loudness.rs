//! How loud a voice is, by EBU R128, and by how much it is turned up or down to be heard as loud as the one before it.
//!
//! Loudness is learned from what of a voice is decoded. It cannot be known at its first frame: until enough has been heard, what
//! was said of it counts, and what is learned later is made up for slowly.

use ebur128::{EbuR128, Mode};

use crate::limiter::Limiter;
use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ, SourceId, level_dbfs};

/// Level in dBFS from which a frame has a voice in it.
const VOICE_DBFS: f32 = -50.0;
/// Speech from which a loudness is better than none, and from which it is better than what was said of it: short-term loudness
/// takes 3 s.
const ROUGH_SAMPLES: usize = SAMPLE_RATE_HZ as usize;
const SURE_SAMPLES: usize = 3 * SAMPLE_RATE_HZ as usize;
/// Speech after which a voice is known, and no longer decoded for this alone.
const ENOUGH_SAMPLES: usize = 5 * SAMPLE_RATE_HZ as usize;
/// By how much a voice is turned up or down at most to match another, in dB.
const MATCH_DB_MAX: f32 = 12.0;
/// What is not worth a change of a gain, in dB.
const SLACK_DB: f32 = 1.0;
/// A gain closer to 0 dB than this is none, so that packets pass as they are.
const NONE_DB: f32 = 0.5;
/// How fast a gain moves while a voice is heard, in dB for each 10 ms: 6 dB a second.
const GLIDE_DB: f32 = 0.06;

/// One source's loudness and gain.
#[derive(Debug)]
pub(crate) struct Level {
    source: SourceId,
    meter: Option<Meter>,
    /// What was said of it, in LUFS.
    told_lufs: Option<f32>,
    /// As loud as this it is to be heard, in LUFS.
    reference_lufs: Option<f32>,
    gain_db: f32,
    target_db: f32,
    /// Keeps its tracks together below full scale.
    limiter: Limiter,
}

struct Meter {
    r128: EbuR128,
    voiced_samples: usize,
    lufs: Option<f32>,
}

impl Level {
    /// A source at its own level; `learns` to follow its loudness.
    pub(crate) fn new(source: SourceId, learns: bool) -> Self {
        Self {
            source,
            meter: learns.then(Meter::new).flatten(),
            told_lufs: None,
            reference_lufs: None,
            gain_db: 0.0,
            target_db: 0.0,
            limiter: Limiter::OPEN,
        }
    }

    pub(crate) fn source(&self) -> SourceId {
        self.source
    }

    /// Whether it is heard at its own level, and is going to be.
    pub(crate) fn is_plain(&self) -> bool {
        self.gain_db == 0.0 && self.target_db == 0.0
    }

    /// Whether more of it should be listened to.
    pub(crate) fn is_curious(&self) -> bool {
        let meter = self.meter.as_ref();
        meter.is_some_and(|meter| meter.voiced_samples < ENOUGH_SAMPLES)
    }

    /// Its loudness in LUFS before its gain, as far as it is known.
    pub(crate) fn lufs(&self) -> Option<f32> {
        self.learned_lufs(SURE_SAMPLES)
            .or(self.told_lufs)
            .or(self.learned_lufs(ROUGH_SAMPLES))
    }

    /// What was learned of it, if that is sure.
    pub(crate) fn sure_lufs(&self) -> Option<f32> {
        self.learned_lufs(SURE_SAMPLES)
    }

    /// The loudness in LUFS at which it is heard.
    pub(crate) fn heard_lufs(&self) -> Option<f32> {
        Some(self.lufs()? + self.gain_db)
    }

    /// Takes what was said of it.
    pub(crate) fn tell(&mut self, lufs: Option<f32>) {
        self.told_lufs = lufs;
    }

    /// Sets a gain that is kept.
    pub(crate) fn set(&mut self, gain_db: f32) {
        self.reference_lufs = None;
        self.gain_db = gain_db;
        self.target_db = gain_db;
    }

    /// Has it heard as loud as this from now on; at once, since nothing is heard of it yet.
    pub(crate) fn match_to(&mut self, reference_lufs: f32) {
        self.set(0.0);
        self.reference_lufs = Some(reference_lufs);
        self.aim(0.0);
        self.gain_db = self.target_db;
    }

    /// Writes the sum of its tracks to `frame`, below full scale.
    pub(crate) fn limit(&mut self, sum: &[f32; FRAME_SAMPLES], frame: &mut Frame) {
        self.limiter.apply(sum, frame.samples_mut());
    }

    /// Takes sound of it, before its gain.
    pub(crate) fn listen(&mut self, samples: &[i16]) {
        if !self.is_curious() {
            return;
        }
        let Some(meter) = &mut self.meter else {
            return;
        };
        meter.listen(samples);
        if self.sure_lufs().is_some() {
            self.aim(SLACK_DB);
        }
    }

    /// The gain of the next 10 ms, as a factor.
    pub(crate) fn advance(&mut self) -> f32 {
        self.gain_db += (self.target_db - self.gain_db).clamp(-GLIDE_DB, GLIDE_DB);
        if self.gain_db == 0.0 {
            return 1.0;
        }
        10_f32.powf(self.gain_db / 20.0)
    }

    /// Sets out for the gain that makes it as loud as it should be, if that is further away than `slack_db`.
    fn aim(&mut self, slack_db: f32) {
        let Some((reference, lufs)) = self.reference_lufs.zip(self.lufs()) else {
            return;
        };
        let wanted_db = (reference - lufs).clamp(-MATCH_DB_MAX, MATCH_DB_MAX);
        if (wanted_db - self.target_db).abs() >= slack_db {
            self.target_db = if wanted_db.abs() < NONE_DB {
                0.0
            } else {
                wanted_db
            };
        }
    }

    fn learned_lufs(&self, samples: usize) -> Option<f32> {
        let meter = self.meter.as_ref()?;
        meter.lufs.filter(|_| meter.voiced_samples >= samples)
    }
}

impl Meter {
    /// `None` if there is no such meter, which is for formats that there are not here.
    fn new() -> Option<Self> {
        // The histogram keeps it from growing.
        let r128 = EbuR128::new(1, SAMPLE_RATE_HZ, Mode::I | Mode::HISTOGRAM).ok()?;
        Some(Self {
            r128,
            voiced_samples: 0,
            lufs: None,
        })
    }

    fn listen(&mut self, samples: &[i16]) {
        let before = self.voiced_samples / FRAME_SAMPLES;
        for frame in samples.chunks(FRAME_SAMPLES) {
            // Silence is gated by what has been heard so far; before the first word there is nothing to gate it by.
            if level_dbfs(frame) >= VOICE_DBFS {
                self.voiced_samples += frame.len();
            } else if self.voiced_samples == 0 {
                continue;
            }
            // It refuses nothing but frames that are no whole ones.
            let _ = self.r128.add_frames_i16(frame);
        }
        // Ten times a second of speech.
        if self.voiced_samples / FRAME_SAMPLES / 10 != before / 10 {
            let lufs = self.r128.loudness_global().ok();
            self.lufs = lufs.filter(|lufs| lufs.is_finite()).map(|lufs| lufs as f32);
        }
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter")
            .field("voiced_samples", &self.voiced_samples)
            .field("lufs", &self.lufs)
            .finish_non_exhaustive()
    }
}
