//! Keys and ciphers of end-to-end encryption, as LiveKit's other SDKs have them: AES-128-GCM under keys that are derived
//! from a passphrase (PBKDF2-HMAC-SHA-256, 100,000 rounds) or from key material (HKDF-SHA-256).
//!
//! A key may be ratcheted: its material is derived anew, with the same salt, to 256 bits. A receiver that cannot decrypt tries
//! the steps ahead, up to the window, and keeps what it has derived, so that messages that nobody can decrypt cost a
//! derivation once and not each time.

use std::{collections::BTreeMap, num::NonZeroU32};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, pbkdf2,
};
use thiserror::Error;

/// Rounds of the derivation from a passphrase.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not 0");
/// What the other SDKs give HKDF as information.
const HKDF_INFO: [u8; 128] = [0; 128];
const KEY_BYTES: usize = 16;
const RATCHETED_BYTES: usize = 32;
/// Bytes of the initialisation vector.
pub(crate) const IV_BYTES: usize = 12;
/// Steps that a key is ratcheted at most in search of one that fits.
const WINDOW_MAX: usize = 64;
/// Keys of one participant at most.
const RING_MAX: i32 = 256;
/// Participants whose keys are kept at most; a key for a further one is refused.
const PARTICIPANTS_MAX: usize = 1_024;

/// Why something cannot be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum EncryptionError {
    /// No such key.
    #[error("there is no key {0} for the participant")]
    NoKey(i32),
    /// The vector has another length than the cipher wants.
    #[error("the initialisation vector has {0} bytes and not {IV_BYTES}")]
    Iv(usize),
    /// The message is not what was encrypted with any key in question.
    #[error("the message cannot be decrypted")]
    Undecryptable,
    /// The cipher or the derivation failed.
    #[error("the cipher failed")]
    Cipher,
}

/// How a key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derivation {
    Pbkdf2,
    Hkdf,
}

/// How keys are kept.
#[derive(Debug, Clone)]
pub(crate) struct KeyOptions {
    /// Whether all participants use the same keys.
    pub(crate) shared: bool,
    pub(crate) window: usize,
    pub(crate) salt: Vec<u8>,
    pub(crate) ring_size: i32,
    pub(crate) derivation: Derivation,
}

/// Keys by participant and index.
pub(crate) struct Keys {
    options: KeyOptions,
    shared: Ring,
    participants: BTreeMap<String, Ring>,
}

type Ring = BTreeMap<i32, Key>;

/// A key, and what has been derived of the steps ahead.
struct Key {
    step: Step,
    ahead: Vec<Step>,
}

struct Step {
    material: Vec<u8>,
    cipher: LessSafeKey,
}

impl Keys {
    pub(crate) fn new(mut options: KeyOptions) -> Self {
        options.window = options.window.min(WINDOW_MAX);
        options.ring_size = options.ring_size.clamp(1, RING_MAX);
        Self {
            options,
            shared: Ring::new(),
            participants: BTreeMap::new(),
        }
    }

    /// Keeps a key for everybody; says whether the index is in the ring.
    pub(crate) fn set_shared(&mut self, index: i32, material: Vec<u8>) -> bool {
        self.set(None, index, material)
    }

    /// Keeps a key for one participant; says whether there is room for it.
    pub(crate) fn set_own(&mut self, participant: &str, index: i32, material: Vec<u8>) -> bool {
        self.set(Some(participant), index, material)
    }

    fn set(&mut self, participant: Option<&str>, index: i32, material: Vec<u8>) -> bool {
        if !(0..self.options.ring_size).contains(&index) {
            return false;
        }
        let Ok(step) = self.options.step(material) else {
            return false;
        };
        let key = Key {
            step,
            ahead: Vec::new(),
        };
        let ring = match participant {
            None => &mut self.shared,
            Some(participant) => {
                let full = self.participants.len() >= PARTICIPANTS_MAX;
                if full && !self.participants.contains_key(participant) {
                    return false;
                }
                self.participants.entry(participant.to_owned()).or_default()
            }
        };
        ring.insert(index, key);
        true
    }

    /// The material of a key for everybody.
    pub(crate) fn shared(&self, index: i32) -> Option<Vec<u8>> {
        Some(self.shared.get(&index)?.step.material.clone())
    }

    /// The material of a participant's key.
    pub(crate) fn own(&self, participant: &str, index: i32) -> Option<Vec<u8>> {
        let ring = self.participants.get(participant)?;
        Some(ring.get(&index)?.step.material.clone())
    }

    /// Goes on to the next step of the key for everybody, and gives its material.
    pub(crate) fn ratchet_shared(&mut self, index: i32) -> Option<Vec<u8>> {
        let next = self.options.ratchet(&self.shared(index)?).ok()?;
        self.set_shared(index, next.clone()).then_some(next)
    }

    /// Goes on to the next step of a participant's key, and gives its material.
    pub(crate) fn ratchet_own(&mut self, participant: &str, index: i32) -> Option<Vec<u8>> {
        let next = self.options.ratchet(&self.own(participant, index)?).ok()?;
        self.set_own(participant, index, next.clone())
            .then_some(next)
    }

    /// Encrypts a message; its tag is at its end.
    pub(crate) fn encrypt(
        &mut self,
        participant: &str,
        index: i32,
        iv: [u8; IV_BYTES],
        message: &[u8],
    ) -> Result<Vec<u8>, EncryptionError> {
        let (_, key) = self.key(participant, index)?;
        let mut sealed = message.to_vec();
        key.step
            .cipher
            .seal_in_place_append_tag(Nonce::from(&iv), Aad::empty(), &mut sealed)
            .map_err(|_| EncryptionError::Cipher)?;
        Ok(sealed)
    }

    /// Decrypts a message, with a step ahead of the key if need be, which then becomes the key.
    pub(crate) fn decrypt(
        &mut self,
        participant: &str,
        index: i32,
        iv: &[u8],
        message: &[u8],
    ) -> Result<Vec<u8>, EncryptionError> {
        let iv = iv.try_into().map_err(|_| EncryptionError::Iv(iv.len()))?;
        let (options, key) = self.key(participant, index)?;
        if let Some(opened) = key.step.open(iv, message) {
            return Ok(opened);
        }
        for ahead in 0..options.window {
            if key.ahead.len() <= ahead {
                let last = key.ahead.last().unwrap_or(&key.step);
                let step = options.step(options.ratchet(&last.material)?)?;
                key.ahead.push(step);
            }
            if let Some(opened) = key.ahead[ahead].open(iv, message) {
                key.step = key.ahead.remove(ahead);
                // Those before it are of the past.
                key.ahead.drain(..ahead);
                return Ok(opened);
            }
        }
        Err(EncryptionError::Undecryptable)
    }

    fn key(
        &mut self,
        participant: &str,
        index: i32,
    ) -> Result<(&KeyOptions, &mut Key), EncryptionError> {
        let ring = match self.options.shared {
            true => Some(&mut self.shared),
            false => self.participants.get_mut(participant),
        };
        let key = ring.and_then(|ring| ring.get_mut(&index));
        Ok((&self.options, key.ok_or(EncryptionError::NoKey(index))?))
    }
}

impl KeyOptions {
    fn step(&self, material: Vec<u8>) -> Result<Step, EncryptionError> {
        let mut key = [0; KEY_BYTES];
        self.derive(&material, &mut key)?;
        let cipher = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| EncryptionError::Cipher)?;
        Ok(Step {
            material,
            cipher: LessSafeKey::new(cipher),
        })
    }

    /// The material of the next step.
    fn ratchet(&self, material: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let mut next = vec![0; RATCHETED_BYTES];
        self.derive(material, &mut next)?;
        Ok(next)
    }

    fn derive(&self, material: &[u8], key: &mut [u8]) -> Result<(), EncryptionError> {
        match self.derivation {
            Derivation::Pbkdf2 => {
                pbkdf2::derive(
                    pbkdf2::PBKDF2_HMAC_SHA256,
                    ROUNDS,
                    &self.salt,
                    material,
                    key,
                );
                Ok(())
            }
            Derivation::Hkdf => hkdf::Salt::new(hkdf::HKDF_SHA256, &self.salt)
                .extract(material)
                .expand(&[&HKDF_INFO], Length(key.len()))
                .and_then(|output| output.fill(key))
                .map_err(|_| EncryptionError::Cipher),
        }
    }
}

impl Step {
    fn open(&self, iv: [u8; IV_BYTES], message: &[u8]) -> Option<Vec<u8>> {
        let mut opened = message.to_vec();
        let length = self
            .cipher
            .open_in_place(Nonce::from(&iv), Aad::empty(), &mut opened)
            .ok()?
            .len();
        opened.truncate(length);
        Some(opened)
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: [u8; IV_BYTES] = [7; IV_BYTES];

    fn keys(shared: bool, derivation: Derivation) -> Keys {
        Keys::new(KeyOptions {
            shared,
            window: 4,
            salt: b"LKFrameEncryptionKey".to_vec(),
            ring_size: 16,
            derivation,
        })
    }

    #[test]
    fn what_one_side_encrypts_the_other_decrypts() {
        for derivation in [Derivation::Pbkdf2, Derivation::Hkdf] {
            let [mut left, mut right] = [(); 2].map(|()| keys(true, derivation));
            for side in [&mut left, &mut right] {
                assert!(side.set_shared(3, b"a passphrase".to_vec()));
            }
            let sealed = left.encrypt("left", 3, IV, b"hello").unwrap();
            assert_eq!(sealed.len(), 5 + 16);
            assert_eq!(right.decrypt("left", 3, &IV, &sealed).unwrap(), b"hello");
        }
    }

    /// Made with Python's `hashlib.pbkdf2_hmac` and `cryptography`'s AESGCM.
    #[test]
    fn a_message_of_another_implementation_is_decrypted() {
        let mut keys = keys(true, Derivation::Pbkdf2);
        keys.set_shared(0, b"password".to_vec());
        let sealed = VECTOR
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect::<Vec<u8>>();
        assert_eq!(keys.decrypt("x", 0, &IV, &sealed).unwrap(), b"hello");
    }

    #[test]
    fn keys_of_participants_are_apart() {
        let mut keys = keys(false, Derivation::Hkdf);
        assert!(keys.set_own("left", 0, vec![1; 32]));
        assert!(keys.set_own("right", 0, vec![2; 32]));
        let sealed = keys.encrypt("left", 0, IV, b"hello").unwrap();
        assert_eq!(
            keys.decrypt("right", 0, &IV, &sealed),
            Err(EncryptionError::Undecryptable)
        );
        assert_eq!(
            keys.encrypt("nobody", 0, IV, b""),
            Err(EncryptionError::NoKey(0))
        );
        assert_eq!(
            keys.encrypt("left", 1, IV, b""),
            Err(EncryptionError::NoKey(1))
        );
        assert!(!keys.set_own("left", 16, vec![1]), "beyond the ring");
        assert!(!keys.set_own("left", -1, vec![1]), "before the ring");
    }

    #[test]
    fn a_receiver_follows_a_ratcheted_key_within_the_window_and_never_back() {
        let [mut left, mut right] = [(); 2].map(|()| keys(true, Derivation::Hkdf));
        for side in [&mut left, &mut right] {
            side.set_shared(0, b"a passphrase".to_vec());
        }
        let old = left.encrypt("left", 0, IV, b"old").unwrap();
        let mut material = None;
        for _ in 0..3 {
            material = left.ratchet_shared(0);
        }
        let new = left.encrypt("left", 0, IV, b"new").unwrap();
        assert_eq!(right.decrypt("left", 0, &IV, &new).unwrap(), b"new");
        assert_eq!(right.shared(0), material);
        assert_eq!(
            right.decrypt("left", 0, &IV, &old),
            Err(EncryptionError::Undecryptable)
        );
        assert_eq!(right.decrypt("left", 0, &IV, &new).unwrap(), b"new");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut keys = keys(true, Derivation::Hkdf);
        keys.set_shared(0, vec![1; 16]);
        for message in [&b""[..], &[0; 15], &[0; 64]] {
            assert_eq!(
                keys.decrypt("x", 0, &IV, message),
                Err(EncryptionError::Undecryptable)
            );
        }
        assert_eq!(
            keys.decrypt("x", 0, &[0; 11], &[0; 64]),
            Err(EncryptionError::Iv(11))
        );
    }

    const VECTOR: &str = "130f0fecb66b11a66337d82eb7cbe54e466d8ee5c1";
}
