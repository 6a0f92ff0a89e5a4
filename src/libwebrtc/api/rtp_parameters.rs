//! Parameters and capabilities of RTP senders and receivers.

use crate::rtp_transceiver::RtpTransceiverDirection;

/// How important a stream is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Priority {
    /// Less than most.
    VeryLow,
    /// Usual.
    Low,
    /// More than most.
    Medium,
    /// Most.
    High,
}

/// What a video encoder gives up first when it must.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum DegradationPreference {
    /// Neither frame rate nor resolution.
    MaintainFramerateAndResolution,
    /// The resolution.
    MaintainFramerate,
    /// The frame rate.
    MaintainResolution,
    /// Some of both.
    #[default]
    Balanced,
}

/// A header extension in use.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionParameters {
    /// Its name.
    pub uri: String,
    /// Its number in this session.
    pub id: i32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// What a sender or receiver works with.
#[derive(Debug, Clone, Default)]
pub struct RtpParameters {
    /// The codecs, the preferred one first.
    pub codecs: Vec<RtpCodecParameters>,
    /// The header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// The encodings of a sender.
    pub encodings: Vec<RtpEncodingParameters>,
    /// The control protocol.
    pub rtcp: RtcpParameters,
    pub(crate) degradation_preference: Option<DegradationPreference>,
}

impl RtpParameters {
    /// Sets what is given up first. No video is encoded, so that this is kept and has no effect.
    pub fn set_degradation_preference(&mut self, preference: DegradationPreference) {
        self.degradation_preference = Some(preference);
    }

    /// What is given up first, if that has been set.
    pub fn degradation_preference(&self) -> Option<DegradationPreference> {
        self.degradation_preference
    }
}

/// A codec in use.
#[derive(Debug, Clone, Default)]
pub struct RtpCodecParameters {
    /// Its number in this session.
    pub payload_type: u8,
    /// Its name, such as `audio/opus`.
    pub mime_type: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: Option<u64>,
    /// Channels of an audio codec.
    pub channels: Option<u16>,
}

/// The control protocol of a sender or receiver.
#[derive(Debug, Clone, Default)]
pub struct RtcpParameters {
    /// The canonical name.
    pub cname: String,
    /// Whether reduced-size packets are used.
    pub reduced_size: bool,
}

/// One encoding of a sender.
#[derive(Debug, Clone)]
pub struct RtpEncodingParameters {
    /// Whether it is sent.
    pub active: bool,
    /// Upper limit in bits per second.
    pub max_bitrate: Option<u64>,
    /// Upper limit in frames per second.
    pub max_framerate: Option<f64>,
    /// How important it is.
    pub priority: Priority,
    /// Its name among several.
    pub rid: String,
    /// The factor by which pictures are made smaller.
    pub scale_resolution_down_by: Option<f64>,
    /// The scalability mode, such as `L1T3`.
    pub scalability_mode: Option<String>,
    /// Whether `ssrc` means anything.
    pub has_ssrc: bool,
    /// The number of its RTP stream.
    pub ssrc: u32,
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self {
            active: true,
            max_bitrate: None,
            max_framerate: None,
            priority: Priority::Low,
            rid: String::new(),
            scale_resolution_down_by: None,
            scalability_mode: None,
            has_ssrc: false,
            ssrc: 0,
        }
    }
}

/// A codec that the engine can negotiate.
#[derive(Debug, Clone)]
pub struct RtpCodecCapability {
    /// Channels of an audio codec.
    pub channels: Option<u16>,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: Option<u64>,
    /// Its name, such as `audio/opus`.
    pub mime_type: String,
    /// Its parameters as SDP writes them.
    pub sdp_fmtp_line: Option<String>,
}

/// A header extension that the engine can negotiate.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionCapability {
    /// Its name.
    pub uri: String,
    /// In which direction.
    pub direction: RtpTransceiverDirection,
}

/// What the engine can negotiate.
#[derive(Debug, Clone)]
pub struct RtpCapabilities {
    /// The codecs, the preferred one first.
    pub codecs: Vec<RtpCodecCapability>,
    /// The header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionCapability>,
}
