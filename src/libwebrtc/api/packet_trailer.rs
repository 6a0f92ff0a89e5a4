//! Metadata attached to video frames: as there are no frames, handlers do nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    peer_connection_factory::PeerConnectionFactory, rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// A point on a frame's way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishTimingStage {
    /// Handed to the encoder.
    EncoderUpload,
    /// Encoded.
    EncoderOutput,
    /// Handed to the packetizer.
    WebrtcPacketize,
}

/// A point on a frame's way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeTimingStage {
    /// Put together from packets.
    WebrtcReceive,
    /// Handed to the decoder.
    DecoderUpload,
    /// Decoded.
    DecoderOutput,
}

/// A frame has reached a point on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimingEvent {
    /// The point.
    pub stage: PublishTimingStage,
    /// When, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// When the frame was captured, in microseconds since the Unix epoch.
    pub capture_timestamp_us: u64,
    /// The application's number for the frame.
    pub frame_id: Option<u32>,
}

/// A frame has reached a point on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeTimingEvent {
    /// The point.
    pub stage: SubscribeTimingStage,
    /// When, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// When the frame was captured, in microseconds since the Unix epoch.
    pub capture_timestamp_us: u64,
    /// The application's number for the frame.
    pub frame_id: Option<u32>,
}

/// Told of frames on their way out.
pub type PublishTimingObserver = Arc<dyn Fn(PublishTimingEvent) + Send + Sync + 'static>;
/// Told of frames on their way in.
pub type SubscribeTimingObserver = Arc<dyn Fn(SubscribeTimingEvent) + Send + Sync + 'static>;

/// Would attach metadata to frames, or take it off.
#[derive(Clone, Default)]
pub struct PacketTrailerHandler {
    enabled: Arc<AtomicBool>,
}

impl PacketTrailerHandler {
    /// Switches the handler on or off.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether the handler is switched on.
    pub fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// The metadata of a received frame: always none.
    pub fn lookup_frame_metadata(&self, _rtp_timestamp: u32) -> Option<(u64, u32, Vec<u8>)> {
        None
    }

    /// Accepts an observer, which is never called.
    pub fn set_publish_timing_observer(&self, _observer: Option<PublishTimingObserver>) {}

    /// Accepts an observer, which is never called.
    pub fn set_subscribe_timing_observer(&self, _observer: Option<SubscribeTimingObserver>) {}
}

/// A handler for frames that are sent.
pub fn create_sender_handler(
    _factory: &PeerConnectionFactory,
    _sender: &RtpSender,
) -> PacketTrailerHandler {
    PacketTrailerHandler::default()
}

/// A handler for frames that are received.
pub fn create_receiver_handler(
    _factory: &PeerConnectionFactory,
    _receiver: &RtpReceiver,
) -> PacketTrailerHandler {
    PacketTrailerHandler::default()
}
