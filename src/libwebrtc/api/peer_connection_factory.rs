//! The factory of connections and tracks.

use std::fmt::{self, Debug};

use crate::{
    MediaType, RtcError,
    api::stats_report,
    net::{ConnectionConfig, Policy, Server},
    pc::MediaKind,
    peer_connection::PeerConnection,
    rtp_parameters::RtpCapabilities,
};

/// Servers that are used at most; further ones are left out.
const SERVERS_MAX: usize = 8;

/// A server that helps to find a way to the peer.
#[derive(Debug, Clone)]
pub struct IceServer {
    /// Its addresses, such as `turn:host:port?transport=udp`.
    pub urls: Vec<String>,
    /// The user, for TURN.
    pub username: String,
    /// The password, for TURN.
    pub password: String,
}

/// When local addresses are collected.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum ContinualGatheringPolicy {
    /// At the start only.
    GatherOnce,
    /// For as long as the connection lives.
    GatherContinually,
}

/// Which ways to the peer may be used.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceTransportsType {
    /// Those over a TURN server.
    Relay,
    /// Those that do not tell the peer an address of this machine.
    NoHost,
    /// Any.
    All,
}

/// How connections find their way.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RtcConfiguration {
    /// The servers that help.
    pub ice_servers: Vec<IceServer>,
    /// When local addresses are collected.
    pub continual_gathering_policy: ContinualGatheringPolicy,
    /// Which ways may be used.
    pub ice_transport_type: IceTransportsType,
    /// Whether the SCTP handshake may travel in the descriptions; this engine does not offer that.
    pub enable_sctp_snap: bool,
}

impl Default for RtcConfiguration {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            continual_gathering_policy: ContinualGatheringPolicy::GatherContinually,
            ice_transport_type: IceTransportsType::All,
            enable_sctp_snap: false,
        }
    }
}

impl RtcConfiguration {
    pub(crate) fn to_inner(&self) -> ConnectionConfig {
        let servers = self.ice_servers.iter().flat_map(|server| {
            let parse = |url: &String| {
                let parsed = Server::parse(url, &server.username, &server.password);
                if parsed.is_none() {
                    tracing::debug!(url, "a server that cannot be used is left out");
                }
                parsed
            };
            server.urls.iter().filter_map(parse)
        });
        ConnectionConfig {
            policy: match self.ice_transport_type {
                IceTransportsType::Relay => Policy::Relay,
                IceTransportsType::NoHost => Policy::NoHost,
                IceTransportsType::All => Policy::All,
            },
            servers: servers.take(SERVERS_MAX).collect(),
            continually: self.continual_gathering_policy
                == ContinualGatheringPolicy::GatherContinually,
        }
    }
}

/// Makes connections and tracks.
#[derive(Clone, Default)]
pub struct PeerConnectionFactory {}

impl PeerConnectionFactory {
    /// The same factory: received audio is delivered as early as its jitter allows in any case.
    pub fn with_zero_playout_delay() -> Self {
        Self {}
    }

    /// The same factory; neither option changes anything here.
    pub fn with_options(_zero_playout_delay: bool, _enable_warp: bool) -> Self {
        Self {}
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When the engine's thread cannot be started.
    pub fn create_peer_connection(
        &self,
        config: RtcConfiguration,
    ) -> Result<PeerConnection, RtcError> {
        PeerConnection::open(&config)
    }

    /// What can be negotiated for sending.
    pub fn get_rtp_sender_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        Self::capabilities(media_type)
    }

    /// What can be negotiated for receiving.
    pub fn get_rtp_receiver_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        Self::capabilities(media_type)
    }

    fn capabilities(media_type: MediaType) -> RtpCapabilities {
        match media_type {
            MediaType::Audio => stats_report::capabilities(MediaKind::Audio),
            MediaType::Video => stats_report::capabilities(MediaKind::Video),
            MediaType::Data | MediaType::Unsupported => RtpCapabilities {
                codecs: Vec::new(),
                header_extensions: Vec::new(),
            },
        }
    }
}

impl Debug for PeerConnectionFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnectionFactory").finish()
    }
}

/// What the factory offers beside connections.
pub mod native {
    use super::PeerConnectionFactory;
    use crate::{
        audio::track::LocalAudio,
        audio_source::native::NativeAudioSource,
        audio_track::RtcAudioTrack,
        net::{AudioTrack, VideoTrack},
        video_source::native::NativeVideoSource,
        video_track::RtcVideoTrack,
    };

    /// Declares the methods for audio devices, all of which give the value that says there are none.
    macro_rules! without_devices {
        ($($(#[$doc:meta])* fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)? { $value:expr })+) => {
            /// Tracks, and the audio devices of the machine.
            ///
            /// This engine has no devices: counts are zero and wishes are refused.
            pub trait PeerConnectionFactoryExt {
                /// Makes a video track of a source.
                fn create_video_track(&self, label: &str, source: NativeVideoSource) -> RtcVideoTrack;
                /// Makes an audio track of a source.
                fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack;
                /// Makes a track of a microphone: there is none, so that the track is silent and a warning is logged.
                fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack;
                $($(#[$doc])* fn $name(&self $(, $argument: $type)*) $(-> $result)?;)+
            }

            impl PeerConnectionFactoryExt for PeerConnectionFactory {
                fn create_video_track(&self, label: &str, _source: NativeVideoSource) -> RtcVideoTrack {
                    RtcVideoTrack::new(VideoTrack::new(label))
                }

                fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack {
                    RtcAudioTrack::new(AudioTrack::local(label, LocalAudio::new(source.handle())))
                }

                fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack {
                    tracing::warn!("this engine has no audio devices: the track will be silent");
                    RtcAudioTrack::new(AudioTrack::silent(label))
                }

                $(fn $name(&self $(, $argument: $type)*) $(-> $result)? {
                    $(let _: $type = $argument;)*
                    $value
                })+
            }
        };
    }

    without_devices! {
        /// The number of loudspeakers.
        fn playout_devices(&self) -> i16 { 0 }
        /// The number of microphones.
        fn recording_devices(&self) -> i16 { 0 }
        /// The name of a loudspeaker.
        fn playout_device_name(&self, index: u16) -> String { String::new() }
        /// The name of a microphone.
        fn recording_device_name(&self, index: u16) -> String { String::new() }
        /// The identifier of a loudspeaker.
        fn playout_device_guid(&self, index: u16) -> String { String::new() }
        /// The identifier of a microphone.
        fn recording_device_guid(&self, index: u16) -> String { String::new() }
        /// Chooses a loudspeaker.
        fn set_playout_device(&self, index: u16) -> bool { false }
        /// Chooses a microphone.
        fn set_recording_device(&self, index: u16) -> bool { false }
        /// Chooses a loudspeaker.
        fn set_playout_device_by_guid(&self, guid: &str) -> bool { false }
        /// Chooses a microphone.
        fn set_recording_device_by_guid(&self, guid: &str) -> bool { false }
        /// Stops recording.
        fn stop_recording(&self) -> bool { false }
        /// Prepares recording.
        fn init_recording(&self) -> bool { false }
        /// Starts recording.
        fn start_recording(&self) -> bool { false }
        /// Whether recording is prepared.
        fn recording_is_initialized(&self) -> bool { false }
        /// Stops playing.
        fn stop_playout(&self) -> bool { false }
        /// Prepares playing.
        fn init_playout(&self) -> bool { false }
        /// Starts playing.
        fn start_playout(&self) -> bool { false }
        /// Whether playing is prepared.
        fn playout_is_initialized(&self) -> bool { false }
        /// Whether the hardware cancels echo.
        fn builtin_aec_is_available(&self) -> bool { false }
        /// Whether the hardware controls gain.
        fn builtin_agc_is_available(&self) -> bool { false }
        /// Whether the hardware suppresses noise.
        fn builtin_ns_is_available(&self) -> bool { false }
        /// Has the hardware cancel echo.
        fn enable_builtin_aec(&self, enable: bool) -> bool { false }
        /// Has the hardware control gain.
        fn enable_builtin_agc(&self, enable: bool) -> bool { false }
        /// Has the hardware suppress noise.
        fn enable_builtin_ns(&self, enable: bool) -> bool { false }
        /// Allows recording.
        fn set_adm_recording_enabled(&self, enabled: bool) { () }
        /// Whether recording is allowed.
        fn adm_recording_enabled(&self) -> bool { false }
        /// Allows playing.
        fn set_adm_playout_enabled(&self, enabled: bool) { () }
        /// Whether playing is allowed.
        fn adm_playout_enabled(&self) -> bool { false }
        /// Takes hold of the devices.
        fn acquire_platform_adm(&self) -> bool { false }
        /// Lets go of the devices.
        fn release_platform_adm(&self) { () }
        /// How many hold the devices.
        fn platform_adm_ref_count(&self) -> i32 { 0 }
        /// Whether anybody holds the devices.
        fn is_platform_adm_active(&self) -> bool { false }
    }
}
