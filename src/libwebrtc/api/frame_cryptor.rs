//! End-to-end encryption: of data packets. What is asked to encrypt frames refuses, so that none leaves in the clear by mistake.

use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

use crate::{
    encryption::{Derivation, KeyOptions, Keys},
    native::packet_trailer::PacketTrailerHandler,
    peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// Called with a participant and the state of its encryption.
pub type OnStateChange = Box<dyn FnMut(String, EncryptionState) + Send + Sync>;

/// How a key is made from a passphrase.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub enum KeyDerivationAlgorithm {
    /// PBKDF2, for passphrases.
    PBKDF2,
    /// HKDF, for keys.
    HKDF,
}

/// How keys are kept.
#[derive(Debug, Clone)]
pub struct KeyProviderOptions {
    /// Whether all participants use the same keys.
    pub shared_key: bool,
    /// How many steps a key may be ratcheted to find a fitting one.
    pub ratchet_window_size: i32,
    /// Salt of the derivation.
    pub ratchet_salt: Vec<u8>,
    /// How many failures are tolerated; negative for any number.
    pub failure_tolerance: i32,
    /// How many keys are kept per participant.
    pub key_ring_size: i32,
    /// How a key is made from a passphrase.
    pub key_derivation_algorithm: KeyDerivationAlgorithm,
}

/// A cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    /// AES in Galois/counter mode.
    AesGcm,
    /// AES in cipher block chaining mode.
    AesCbc,
}

/// The state of a participant's encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionState {
    /// Nothing has happened yet.
    New,
    /// It works.
    Ok,
    /// A frame could not be encrypted.
    EncryptionFailed,
    /// A frame could not be decrypted.
    DecryptionFailed,
    /// There is no key.
    MissingKey,
    /// A newer key has been derived.
    KeyRatcheted,
    /// Something else went wrong.
    InternalError,
}

/// An encrypted message.
#[derive(Debug, Clone)]
pub struct EncryptedPacket {
    /// The ciphertext.
    pub data: Vec<u8>,
    /// The initialisation vector.
    pub iv: Vec<u8>,
    /// Which key was used.
    pub key_index: u32,
}

/// A cipher that no other SDK of LiveKit uses for messages either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("messages are encrypted with AES-GCM alone")]
pub struct Unsupported;

/// Keeps keys. Clones keep the same ones.
#[derive(Clone)]
pub struct KeyProvider {
    keys: Arc<Mutex<Keys>>,
}

impl KeyProvider {
    /// An empty provider.
    pub fn new(options: KeyProviderOptions) -> Self {
        let KeyProviderOptions {
            shared_key,
            ratchet_window_size,
            ratchet_salt,
            failure_tolerance: _,
            key_ring_size,
            key_derivation_algorithm,
        } = options;
        let options = KeyOptions {
            shared: shared_key,
            window: ratchet_window_size.try_into().unwrap_or_default(),
            salt: ratchet_salt,
            ring_size: key_ring_size,
            derivation: match key_derivation_algorithm {
                KeyDerivationAlgorithm::PBKDF2 => Derivation::Pbkdf2,
                KeyDerivationAlgorithm::HKDF => Derivation::Hkdf,
            },
        };
        Self {
            keys: Arc::new(Mutex::new(Keys::new(options))),
        }
    }

    /// Keeps a key for everybody; `false` when the index is not in the ring.
    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.lock().set_shared(key_index, key)
    }

    /// Derives the next key from the one for everybody, which it replaces, and gives its material.
    pub fn ratchet_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().ratchet_shared(key_index)
    }

    /// The material of the key for everybody.
    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().shared(key_index)
    }

    /// Keeps a key for one participant; `false` when the index is not in the ring, or there are too many participants.
    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.lock().set_own(&participant_id, key_index, key)
    }

    /// Derives the next key from a participant's, which it replaces, and gives its material.
    pub fn ratchet_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().ratchet_own(&participant_id, key_index)
    }

    /// The material of a participant's key.
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().own(&participant_id, key_index)
    }

    /// Accepts the marker of frames that the server injects, without effect.
    pub fn set_sif_trailer(&self, _trailer: Vec<u8>) {}
}

/// Would encrypt frames; reports an internal error to its observer instead.
#[derive(Clone)]
pub struct FrameCryptor {
    participant_id: String,
}

impl FrameCryptor {
    /// A cryptor for what is sent.
    pub fn new_for_rtp_sender(
        _factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        sender: RtpSender,
    ) -> Self {
        // What was to be encrypted must not leave in the clear.
        if let Err(error) = sender.set_track(None) {
            tracing::warn!(%error, "frame encryption is not supported, and the track could not be held back");
        } else {
            tracing::warn!("frame encryption is not supported: the track is held back");
        }
        Self { participant_id }
    }

    /// A cryptor for what is received.
    pub fn new_for_rtp_receiver(
        _factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        _receiver: RtpReceiver,
    ) -> Self {
        Self { participant_id }
    }

    /// Accepts the wish, without effect.
    pub fn set_enabled(&self, _enabled: bool) {}

    /// Whether frames are encrypted: never.
    pub fn enabled(&self) -> bool {
        false
    }

    /// Accepts a key index, without effect.
    pub fn set_key_index(&self, _index: i32) {}

    /// The key index: always 0.
    pub fn key_index(&self) -> i32 {
        0
    }

    /// Whose frames these are.
    pub fn participant_id(&self) -> String {
        self.participant_id.clone()
    }

    /// Tells a new observer at once that encryption does not work.
    pub fn on_state_change(&self, handler: Option<OnStateChange>) {
        if let Some(mut handler) = handler {
            handler(self.participant_id.clone(), EncryptionState::InternalError);
        }
    }

    /// Accepts a handler of frame metadata, without effect.
    pub fn set_packet_trailer_handler(&self, _handler: &PacketTrailerHandler) {}
}

/// Encrypts and decrypts messages.
#[derive(Clone)]
pub struct DataPacketCryptor {
    algorithm: EncryptionAlgorithm,
    keys: Arc<Mutex<Keys>>,
}

impl DataPacketCryptor {
    /// A cryptor with the keys of a provider.
    pub fn new(algorithm: EncryptionAlgorithm, key_provider: KeyProvider) -> Self {
        Self {
            algorithm,
            keys: key_provider.keys,
        }
    }

    /// Encrypts a message with a random initialisation vector.
    ///
    /// # Errors
    /// When there is no such key, or the cipher is not AES-GCM.
    pub fn encrypt(
        &self,
        participant_id: &str,
        key_index: u32,
        data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn std::error::Error>> {
        self.check()?;
        let iv = rand::random();
        let index = key_index.try_into()?;
        let data = self.keys.lock().encrypt(participant_id, index, iv, data)?;
        Ok(EncryptedPacket {
            data,
            iv: iv.to_vec(),
            key_index,
        })
    }

    /// Decrypts a message, with a later step of the key if need be.
    ///
    /// # Errors
    /// When there is no such key, no step within the window fits, or the cipher is not AES-GCM.
    pub fn decrypt(
        &self,
        participant_id: &str,
        encrypted_packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        self.check()?;
        let EncryptedPacket {
            data,
            iv,
            key_index,
        } = encrypted_packet;
        let index = (*key_index).try_into()?;
        Ok(self.keys.lock().decrypt(participant_id, index, iv, data)?)
    }

    fn check(&self) -> Result<(), Unsupported> {
        match self.algorithm {
            EncryptionAlgorithm::AesGcm => Ok(()),
            EncryptionAlgorithm::AesCbc => Err(Unsupported),
        }
    }
}
