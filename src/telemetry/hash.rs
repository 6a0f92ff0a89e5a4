//! Names that carry phone numbers, made unreadable but still equal to themselves.

use std::{fmt, sync::OnceLock};

use sha2::{Digest, Sha256};

static KEY: OnceLock<[u8; 32]> = OnceLock::new();

/// How many bytes of the digest are shown: enough for the rooms of a day not to collide.
const BYTES: usize = 6;

/// Stands for the name of a room or the identity of a participant in logs: 12 hex digits.
///
/// It is keyed (see [`set_hash_key`]), since a phone number is found in seconds by trying them all. All processes
/// with the same key give a name the same hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; BYTES]);

/// Sets the key once for the process; a later key is ignored. Without one, hashes are unkeyed.
pub fn set_hash_key(secret: &str) {
    KEY.get_or_init(|| Sha256::digest(secret).into());
}

impl Hash {
    /// The hash of a name.
    pub fn of(name: &str) -> Self {
        let key = KEY.get().map_or([].as_slice(), |key| key.as_slice());
        let digest: [u8; 32] = Sha256::new()
            .chain_update(key)
            .chain_update(name)
            .finalize()
            .into();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&digest[..BYTES]);
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
