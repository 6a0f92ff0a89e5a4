//! The bounds of what travels in pieces.

use crate::body::Terms;
use crate::direction::Side;

/// What [`Chunks`](crate::Chunks) and [`Assembly`](crate::Assembly) are made from.
#[derive(Debug, Clone)]
pub struct ChunkLimits {
    /// Which side this is.
    pub side: Side,
    /// The largest body, in bytes as it is encoded.
    pub body_bytes_max: usize,
    /// How many bodies of the peer may be under way at once; one more is refused. At least 1.
    pub transfers_max: usize,
    /// The most items that a context append in pieces may have: a small item takes more memory than bytes.
    pub items_max: usize,
}

/// The largest [`ChunkLimits::body_bytes_max`] that one side asks of the other, in bytes.
pub const BODY_BYTES_CEILING: usize = 32 << 20;

impl ChunkLimits {
    /// 8 MiB a body, two at once.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            body_bytes_max: 8 << 20,
            transfers_max: 2,
            items_max: 65_536,
        }
    }

    /// The same with the largest body that a Welcome says, if it says one.
    #[must_use]
    pub fn with_terms(self, terms: &Terms) -> Self {
        let told = terms.body_bytes_max.map(|bytes| bytes as usize);
        Self {
            body_bytes_max: told.map_or(self.body_bytes_max, |bytes| bytes.min(BODY_BYTES_CEILING)),
            ..self
        }
    }
}
