//! What the caller hears at a change and from Baton itself.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use audio::Curve;

use super::reader::Section;

/// The part `audio`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// How long two specialists overlap at a change, in milliseconds, on routes that do not say so; 0 cuts.
    pub fade_ms: u32,
    /// How one gives way to the other: any but [`Curve::Cut`], which is a fade of 0.
    pub curve: Curve,
    /// What becomes of a voice that is not as loud as the one before it, on routes that do not say so.
    pub loudness: Loudness,
    /// Bits a second of the program track while Baton encodes it itself.
    pub program_bitrate_bps: u32,
    /// The silence, in milliseconds, after which the filler begins while somebody should speak.
    pub dead_air_ms: u32,
    /// What is heard then.
    pub filler: Filler,
}

/// What becomes of a voice that is not as loud as the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// It stays so.
    AsIs,
    /// It is turned up or down.
    Matched,
}

/// What is heard while nobody speaks who should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filler {
    /// What it sounds like.
    pub sound: FillerSound,
    /// Its level in dBFS.
    pub level_dbfs: i32,
    /// How long it takes to come, in milliseconds.
    pub fade_in_ms: u32,
    /// How long it takes to go, in milliseconds.
    pub fade_out_ms: u32,
}

/// What a filler sounds like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FillerSound {
    /// Nothing.
    None,
    /// A soft hiss.
    ComfortNoise,
    /// A tone that comes and goes.
    Tone {
        /// Its frequency.
        hz: u32,
        /// How long it sounds, in milliseconds.
        on_ms: u32,
        /// How long it pauses, in milliseconds; 0 for a tone that lasts.
        off_ms: u32,
    },
    /// A WAV or Ogg Opus file, over and over.
    File(PathBuf),
}

pub(super) const FADE_MS: RangeInclusive<u32> = 0..=call::FADE_MS_MAX;

impl Default for Audio {
    fn default() -> Self {
        Self {
            fade_ms: call::Route::default().fade_ms,
            curve: Curve::EqualPower,
            loudness: Loudness::AsIs,
            program_bitrate_bps: 32_000,
            dead_air_ms: 1_500,
            filler: Filler::default(),
        }
    }
}

impl Default for Filler {
    fn default() -> Self {
        Self {
            sound: FillerSound::ComfortNoise,
            level_dbfs: -50,
            fade_in_ms: 200,
            fade_out_ms: 100,
        }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Audio {
    let default = Audio::default();
    Audio {
        fade_ms: section.integer("fade_ms", FADE_MS, default.fade_ms),
        curve: section.choice(
            "curve",
            &[
                ("equal_power", Curve::EqualPower),
                ("linear", Curve::Linear),
            ],
            "equal_power",
        ),
        loudness: read_loudness(section, default.loudness),
        program_bitrate_bps: section.integer(
            "program_bitrate_bps",
            6_000..=128_000,
            default.program_bitrate_bps,
        ),
        dead_air_ms: section.integer("dead_air_ms", 100..=60_000, default.dead_air_ms),
        filler: section.part("filler", read_filler),
    }
}

/// The word for it; `default` where there is none.
pub(super) fn read_loudness(section: &mut Section<'_, '_>, default: Loudness) -> Loudness {
    let [as_is, matched] = ["as_is", "matched"];
    let default = match default {
        Loudness::AsIs => as_is,
        Loudness::Matched => matched,
    };
    let words = [(as_is, Loudness::AsIs), (matched, Loudness::Matched)];
    section.choice("loudness", &words, default)
}

fn read_filler(section: &mut Section<'_, '_>) -> Filler {
    let default = Filler::default();
    let words = [
        ("none", Word::None),
        ("comfort_noise", Word::ComfortNoise),
        ("tone", Word::Tone),
        ("file", Word::File),
    ];
    let word = section.choice("sound", &words, "comfort_noise");
    let problems = section.problems();
    let file = section.text("file", "the path of a WAV or Ogg Opus file");
    let tone = FillerSound::Tone {
        hz: section.integer("tone_hz", 100..=3_400, 425),
        on_ms: section.integer("tone_on_ms", 20..=10_000, 1_000),
        off_ms: section.integer("tone_off_ms", 0..=10_000, 4_000),
    };
    let sound = match (word, file) {
        (Word::None, _) => FillerSound::None,
        (Word::ComfortNoise, _) => FillerSound::ComfortNoise,
        (Word::Tone, _) => tone,
        (Word::File, Some(file)) => FillerSound::File(PathBuf::from(file)),
        (Word::File, None) => {
            if section.problems() == problems {
                section.require("file", "name the file, as `file: hold.ogg`");
            }
            FillerSound::None
        }
    };
    Filler {
        sound,
        level_dbfs: section.level("level_dbfs", -90..=-10, default.level_dbfs),
        fade_in_ms: section.integer("fade_in_ms", FADE_MS, default.fade_in_ms),
        fade_out_ms: section.integer("fade_out_ms", FADE_MS, default.fade_out_ms),
    }
}

/// The kinds of a filler's sound.
#[derive(Clone, Copy)]
enum Word {
    None,
    ComfortNoise,
    Tone,
    File,
}
