//! What Baton tells every specialist's SDK of how it is to behave.

use std::ops::RangeInclusive;

use super::reader::Section;

/// How large the largest message may be, in bytes: the state of usual size fits, and memory is bounded.
const BODY_BYTES: RangeInclusive<u32> = (1 << 19)..=(32 << 20);

/// The part `sdk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// How much of the caller is kept while a specialist prepares, in milliseconds, to be heard first at its grant.
    pub preroll_ms: u32,
    /// How long Baton and its track have to be away before the holder reaches the caller by itself, in milliseconds; 0 for
    /// never.
    pub orchestrator_timeout_ms: u32,
    /// The largest message between Baton and a specialist, in bytes; it travels in pieces.
    pub body_bytes_max: u32,
}

impl Default for Sdk {
    fn default() -> Self {
        Self {
            preroll_ms: 400,
            orchestrator_timeout_ms: 1_000,
            body_bytes_max: 8 << 20,
        }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Sdk {
    let default = Sdk::default();
    Sdk {
        preroll_ms: section.integer("preroll_ms", 0..=2_000, default.preroll_ms),
        orchestrator_timeout_ms: section.integer(
            "orchestrator_timeout_ms",
            0..=60_000,
            default.orchestrator_timeout_ms,
        ),
        body_bytes_max: section.integer("body_bytes_max", BODY_BYTES, default.body_bytes_max),
    }
}
