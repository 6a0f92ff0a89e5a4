//! End-to-end encryption: not there yet. What is asked to encrypt refuses, so that nothing leaves in the clear by mistake.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use thiserror::Error;

use crate::{
    native::packet_trailer::PacketTrailerHandler, peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver, rtp_sender::RtpSender,
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

/// Encryption is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("end-to-end encryption is not supported by this engine")]
pub struct Unsupported;

/// Keys by participant (none for everybody) and index.
type Keys = BTreeMap<(Option<String>, i32), Vec<u8>>;

/// Keeps keys.
#[derive(Clone)]
pub struct KeyProvider {
    keys: Arc<Mutex<Keys>>,
}

impl KeyProvider {
    /// An empty provider.
    pub fn new(_options: KeyProviderOptions) -> Self {
        Self {
            keys: Arc::default(),
        }
    }

    /// Keeps a key for everybody.
    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.lock().insert((None, key_index), key);
        true
    }

    /// Would derive the next key; gives none.
    pub fn ratchet_shared_key(&self, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    /// The key for everybody.
    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().get(&(None, key_index)).cloned()
    }

    /// Keeps a key for one participant.
    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        self.keys
            .lock()
            .insert((Some(participant_id), key_index), key);
        true
    }

    /// Would derive the next key; gives none.
    pub fn ratchet_key(&self, _participant_id: String, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    /// The key of one participant.
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys
            .lock()
            .get(&(Some(participant_id), key_index))
            .cloned()
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

/// Would encrypt messages; refuses instead.
#[derive(Clone)]
pub struct DataPacketCryptor;

impl DataPacketCryptor {
    /// A cryptor that refuses.
    pub fn new(_algorithm: EncryptionAlgorithm, _key_provider: KeyProvider) -> Self {
        Self
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always [`Unsupported`].
    pub fn encrypt(
        &self,
        _participant_id: &str,
        _key_index: u32,
        _data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn std::error::Error>> {
        Err(Unsupported.into())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always [`Unsupported`].
    pub fn decrypt(
        &self,
        _participant_id: &str,
        _encrypted_packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        Err(Unsupported.into())
    }
}
