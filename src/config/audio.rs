//! What the caller hears at a change and from Baton itself.

use std::ops::RangeInclusive;

use audio::Curve;

use super::reader::Section;

/// The part `audio`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// How long two specialists overlap at a change, in milliseconds, on routes that do not say so; 0 cuts.
    pub fade_ms: u32,
    /// How one gives way to the other: any but [`Curve::Cut`], which is a fade of 0.
    pub curve: Curve,
    /// Bits a second of the program track while Baton encodes it itself.
    pub program_bitrate_bps: u32,
}

pub(super) const FADE_MS: RangeInclusive<u32> = 0..=call::FADE_MS_MAX;

impl Default for Audio {
    fn default() -> Self {
        Self {
            fade_ms: call::Route::default().fade_ms,
            curve: Curve::EqualPower,
            program_bitrate_bps: 32_000,
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
        program_bitrate_bps: section.integer(
            "program_bitrate_bps",
            6_000..=128_000,
            default.program_bitrate_bps,
        ),
    }
}
