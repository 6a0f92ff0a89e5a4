//! What Baton tells every specialist's SDK of how it is to behave.

use super::reader::Section;

/// The part `sdk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// How much of the caller is kept while a specialist prepares, in milliseconds, to be heard first at its grant.
    pub preroll_ms: u32,
}

impl Default for Sdk {
    fn default() -> Self {
        Self { preroll_ms: 400 }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Sdk {
    let default = Sdk::default();
    Sdk {
        preroll_ms: section.integer("preroll_ms", 0..=2_000, default.preroll_ms),
    }
}
