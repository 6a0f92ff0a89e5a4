//! Peer connections.

use std::{
    collections::HashMap,
    fmt::{self, Debug},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    MediaType, RtcError,
    api::{slot::Slot, stats_report},
    data_channel::{DataChannel, DataChannelInit},
    ice_candidate::IceCandidate,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    net::{Connection, EventSink},
    pc::{self, ChannelId, Event, MediaKind},
    peer_connection_factory::RtcConfiguration,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverInit},
    session_description::SessionDescription,
    stats::RtcStats,
};

/// The state of a connection as a whole.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum PeerConnectionState {
    /// Nothing has been tried.
    New,
    /// A way to the peer is being sought, or the handshake runs.
    Connecting,
    /// The peer is reached and the keys are agreed.
    Connected,
    /// The peer does not answer; it may again.
    Disconnected,
    /// The peer cannot be reached.
    Failed,
    /// Closed by this side.
    Closed,
}

/// The state of the way to the peer.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceConnectionState {
    /// Nothing has been tried.
    New,
    /// A way is being sought.
    Checking,
    /// A way has been found.
    Connected,
    /// The best way has been found.
    Completed,
    /// There is no way.
    Failed,
    /// The peer does not answer; it may again.
    Disconnected,
    /// Closed by this side.
    Closed,
    /// Never reported.
    Max,
}

/// The state of collecting local addresses.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceGatheringState {
    /// Not begun.
    New,
    /// Under way.
    Gathering,
    /// Done.
    Complete,
}

/// The state of a negotiation.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SignalingState {
    /// None under way.
    Stable,
    /// Our offer waits for an answer.
    HaveLocalOffer,
    /// Our offer waits, and a provisional answer is set by us.
    HaveLocalPrAnswer,
    /// The peer's offer waits for our answer.
    HaveRemoteOffer,
    /// The peer's provisional answer is set.
    HaveRemotePrAnswer,
    /// The connection is closed.
    Closed,
}

/// What an offer is to contain.
#[derive(Debug, Clone, Default)]
pub struct OfferOptions {
    /// Whether the way to the peer is to be sought anew.
    pub ice_restart: bool,
    /// Whether an audio section to receive is added when there is none.
    pub offer_to_receive_audio: bool,
    /// Whether a video section to receive is added when there is none.
    pub offer_to_receive_video: bool,
}

/// What an answer is to contain.
#[derive(Debug, Clone, Default)]
pub struct AnswerOptions {}

/// Limits of the bandwidth estimate in bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitrateSettings {
    /// Lower limit.
    pub min_bitrate_bps: Option<u64>,
    /// First estimate.
    pub start_bitrate_bps: Option<u64>,
    /// Upper limit.
    pub max_bitrate_bps: Option<u64>,
}

/// A server that helps to find a way has failed.
#[derive(Debug, Clone)]
pub struct IceCandidateError {
    /// The local address.
    pub address: String,
    /// The local port.
    pub port: i32,
    /// The server.
    pub url: String,
    /// The STUN error code, or one above 700.
    pub error_code: i32,
    /// What happened.
    pub error_text: String,
}

/// The peer has begun to use a media section.
#[derive(Debug, Clone)]
pub struct TrackEvent {
    /// The receiver.
    pub receiver: RtpReceiver,
    /// The streams that the track belongs to.
    pub streams: Vec<MediaStream>,
    /// The track.
    pub track: MediaStreamTrack,
    /// The transceiver.
    pub transceiver: RtpTransceiver,
}

/// Called when the state of the connection changes.
pub type OnConnectionChange = Box<dyn FnMut(PeerConnectionState) + Send + Sync>;
/// Called when the peer opens a data channel.
pub type OnDataChannel = Box<dyn FnMut(DataChannel) + Send + Sync>;
/// Called with each local address.
pub type OnIceCandidate = Box<dyn FnMut(IceCandidate) + Send + Sync>;
/// Called when a helping server fails.
pub type OnIceCandidateError = Box<dyn FnMut(IceCandidateError) + Send + Sync>;
/// Called when the state of the way changes.
pub type OnIceConnectionChange = Box<dyn FnMut(IceConnectionState) + Send + Sync>;
/// Called when the state of gathering changes.
pub type OnIceGatheringChange = Box<dyn FnMut(IceGatheringState) + Send + Sync>;
/// Called when something waits to be negotiated.
pub type OnNegotiationNeeded = Box<dyn FnMut(u32) + Send + Sync>;
/// Called when the state of the negotiation changes.
pub type OnSignalingChange = Box<dyn FnMut(SignalingState) + Send + Sync>;
/// Called when the peer begins to use a media section.
pub type OnTrack = Box<dyn FnMut(TrackEvent) + Send + Sync>;

/// A connection to a peer. Clones are the same connection; it closes when the last one is dropped.
#[derive(Clone)]
pub struct PeerConnection {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Arc<Connection>,
    channels: Mutex<HashMap<ChannelId, DataChannel>>,
    connection_change: Slot<OnConnectionChange>,
    data_channel: Slot<OnDataChannel>,
    ice_candidate: Slot<OnIceCandidate>,
    ice_candidate_error: Slot<OnIceCandidateError>,
    ice_connection_change: Slot<OnIceConnectionChange>,
    ice_gathering_change: Slot<OnIceGatheringChange>,
    negotiation_needed: Slot<OnNegotiationNeeded>,
    signaling_change: Slot<OnSignalingChange>,
    track: Slot<OnTrack>,
}

impl PeerConnection {
    pub(crate) fn open(config: &RtcConfiguration) -> Result<Self, RtcError> {
        let connection = Connection::open(config.to_inner())?;
        let inner = Arc::new(Inner {
            connection,
            channels: Mutex::default(),
            connection_change: Slot::default(),
            data_channel: Slot::default(),
            ice_candidate: Slot::default(),
            ice_candidate_error: Slot::default(),
            ice_connection_change: Slot::default(),
            ice_gathering_change: Slot::default(),
            negotiation_needed: Slot::default(),
            signaling_change: Slot::default(),
            track: Slot::default(),
        });
        let sink: Arc<dyn EventSink> = inner.clone();
        inner.connection.start(Arc::downgrade(&sink));
        Ok(Self { inner })
    }

    fn connection(&self) -> &Arc<Connection> {
        &self.inner.connection
    }

    /// Replaces the helping servers and the transport policy; they are used from the next gathering on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn set_configuration(&self, config: RtcConfiguration) -> Result<(), RtcError> {
        self.connection().configure(config.to_inner())?;
        Ok(())
    }

    /// Checks limits of the bandwidth estimate. Audio needs no estimate, so that they have no effect.
    ///
    /// # Errors
    /// When they contradict each other, or the connection is closed.
    pub fn set_bitrate(&self, settings: BitrateSettings) -> Result<(), RtcError> {
        let BitrateSettings {
            min_bitrate_bps,
            start_bitrate_bps,
            max_bitrate_bps,
        } = settings;
        self.connection().read(|state| state.peer.check_open())?;
        let ordered: Vec<u64> = [min_bitrate_bps, start_bitrate_bps, max_bitrate_bps]
            .into_iter()
            .flatten()
            .collect();
        if !ordered.is_sorted() {
            return Err(pc::PcError::State("bit rates must grow from minimum to maximum").into());
        }
        Ok(())
    }

    /// Describes the session that this side wishes; nothing changes until it is set as the local description.
    ///
    /// # Errors
    /// When the connection is closed, or an offer of the peer is pending.
    pub async fn create_offer(
        &self,
        options: OfferOptions,
    ) -> Result<SessionDescription, RtcError> {
        let options = pc::OfferOptions {
            ice_restart: options.ice_restart,
            receive_audio: options.offer_to_receive_audio,
            receive_video: options.offer_to_receive_video,
        };
        let text = self
            .connection()
            .with(|state, _| state.peer.create_offer(options))?;
        Ok(SessionDescription::new(
            pc::DescriptionKind::Offer.into(),
            text,
        ))
    }

    /// Describes what this side accepts of the peer's offer.
    ///
    /// # Errors
    /// When the connection is closed, or no offer of the peer is pending.
    pub async fn create_answer(
        &self,
        _options: AnswerOptions,
    ) -> Result<SessionDescription, RtcError> {
        let text = self
            .connection()
            .with(|state, _| state.peer.create_answer())?;
        Ok(SessionDescription::new(
            pc::DescriptionKind::Answer.into(),
            text,
        ))
    }

    /// Sets what this side has offered or answered. The addresses of this machine are collected from then on.
    ///
    /// # Errors
    /// When it does not fit the state of the negotiation, or cannot be read.
    pub async fn set_local_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        let kind = desc.sdp_type().kind();
        self.connection()
            .settle(|state, now| state.set_local(now, kind, desc.as_str()))
            .await
            .map_err(Into::into)
    }

    /// Sets what the peer has offered or answered. The callbacks that follow from it have run when this returns.
    ///
    /// # Errors
    /// When it does not fit the state of the negotiation, or cannot be read.
    pub async fn set_remote_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        let kind = desc.sdp_type().kind();
        self.connection()
            .settle(|state, now| state.set_remote(now, kind, desc.as_str()))
            .await
            .map_err(Into::into)
    }

    /// Adds an address of the peer.
    ///
    /// # Errors
    /// When there is no remote description, or the candidate cannot be read.
    pub async fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), RtcError> {
        self.connection()
            .with(|state, _| state.peer.add_candidate(candidate.as_str()))?;
        Ok(())
    }

    /// Makes a data channel.
    ///
    /// # Errors
    /// When the connection is closed, or the number of a negotiated channel is in use.
    pub fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, RtcError> {
        let init = init.to_inner(label);
        // The map is locked around the call so that no event of the channel finds it missing.
        let mut channels = self.inner.channels.lock();
        let id = self
            .connection()
            .with(|state, _| state.peer.create_channel(init))?;
        let channel = DataChannel::new(self.connection().clone(), id, label.to_owned());
        channels.insert(id, channel.clone());
        Ok(channel)
    }

    /// Adds a track to be sent, over a transceiver that is free or a new one.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn add_track<T: AsRef<str>>(
        &self,
        track: MediaStreamTrack,
        streams_ids: &[T],
    ) -> Result<RtpSender, RtcError> {
        let streams = streams_ids
            .iter()
            .map(|id| id.as_ref().to_owned())
            .collect();
        let id = self
            .connection()
            .with(|state, _| state.add_track(track.inner(), streams))?;
        Ok(RtpSender::new(self.connection().clone(), id))
    }

    /// Stops sending a track; the transceiver stays.
    ///
    /// # Errors
    /// When the connection is closed, or the sender is not of this connection.
    pub fn remove_track(&self, sender: RtpSender) -> Result<(), RtcError> {
        self.connection()
            .with(|state, _| state.remove_track(sender.transceiver_id()))?;
        Ok(())
    }

    /// What is known of the connection.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(stats_report::connection(&self.connection().report(None)))
    }

    /// Adds a transceiver that sends a track.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let track = track.inner();
        self.new_transceiver(track.kind(), Some(track), init)
    }

    /// Adds a transceiver without a track.
    ///
    /// # Errors
    /// When the connection is closed, or the kind is neither audio nor video.
    pub fn add_transceiver_for_media(
        &self,
        media_type: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let kind = match media_type {
            MediaType::Audio => MediaKind::Audio,
            MediaType::Video => MediaKind::Video,
            MediaType::Data | MediaType::Unsupported => {
                return Err(RtcError::unsupported(
                    "a transceiver that is neither audio nor video",
                ));
            }
        };
        self.new_transceiver(kind, None, init)
    }

    fn new_transceiver(
        &self,
        kind: MediaKind,
        track: Option<crate::net::Track>,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let RtpTransceiverInit {
            direction,
            stream_ids,
            send_encodings,
        } = init;
        let encodings: Vec<_> = send_encodings.iter().map(stats_report::encoding).collect();
        let id = self.connection().with(|state, _| {
            state.add_transceiver(kind, track, direction.to_inner(), stream_ids, encodings)
        })?;
        Ok(RtpTransceiver::new(self.connection().clone(), id))
    }

    /// Closes the connection at once. No callback runs for it.
    pub fn close(&self) {
        self.connection().close();
        let channels = std::mem::take(&mut *self.inner.channels.lock());
        drop(channels);
    }

    /// Has the next offer seek the way to the peer anew.
    pub fn restart_ice(&self) {
        self.connection().with(|state, _| state.peer.restart_ice());
    }

    /// The state of the connection as a whole.
    pub fn connection_state(&self) -> PeerConnectionState {
        self.connection()
            .read(|state| state.peer.connection_state())
            .into()
    }

    /// The state of the way to the peer.
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.connection()
            .read(|state| state.peer.ice_state())
            .into()
    }

    /// The state of collecting local addresses.
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.connection()
            .read(|state| state.peer.gathering_state())
            .into()
    }

    /// The state of the negotiation.
    pub fn signaling_state(&self) -> SignalingState {
        self.connection()
            .read(|state| state.peer.signaling_state())
            .into()
    }

    /// What this side described in the last finished negotiation.
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        let (kind, text) = self.connection().read(|state| state.peer.current_local())?;
        Some(SessionDescription::new(kind.into(), text))
    }

    /// What the peer described in the last finished negotiation.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        let (kind, text) = self
            .connection()
            .read(|state| state.peer.current_remote())?;
        Some(SessionDescription::new(kind.into(), text))
    }

    /// The senders of all transceivers.
    pub fn senders(&self) -> Vec<RtpSender> {
        self.ids()
            .map(|id| RtpSender::new(self.connection().clone(), id))
            .collect()
    }

    /// The receivers of all transceivers.
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.ids()
            .map(|id| RtpReceiver::new(self.connection().clone(), id))
            .collect()
    }

    /// All transceivers that are not stopped.
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        self.ids()
            .map(|id| RtpTransceiver::new(self.connection().clone(), id))
            .collect()
    }

    fn ids(&self) -> impl Iterator<Item = pc::TransceiverId> + use<> {
        self.connection()
            .read(|state| state.peer.transceiver_ids())
            .into_iter()
    }

    /// Sets the callback for the state of the connection.
    pub fn on_connection_state_change(&self, f: Option<OnConnectionChange>) {
        self.inner.connection_change.set(f);
    }

    /// Sets the callback for channels that the peer opens.
    pub fn on_data_channel(&self, f: Option<OnDataChannel>) {
        self.inner.data_channel.set(f);
    }

    /// Sets the callback for local addresses.
    pub fn on_ice_candidate(&self, f: Option<OnIceCandidate>) {
        self.inner.ice_candidate.set(f);
    }

    /// Sets the callback for failing helping servers.
    pub fn on_ice_candidate_error(&self, f: Option<OnIceCandidateError>) {
        self.inner.ice_candidate_error.set(f);
    }

    /// Sets the callback for the state of the way.
    pub fn on_ice_connection_state_change(&self, f: Option<OnIceConnectionChange>) {
        self.inner.ice_connection_change.set(f);
    }

    /// Sets the callback for the state of gathering.
    pub fn on_ice_gathering_state_change(&self, f: Option<OnIceGatheringChange>) {
        self.inner.ice_gathering_change.set(f);
    }

    /// Sets the callback for something that waits to be negotiated.
    pub fn on_negotiation_needed(&self, f: Option<OnNegotiationNeeded>) {
        self.inner.negotiation_needed.set(f);
    }

    /// Sets the callback for the state of the negotiation.
    pub fn on_signaling_state_change(&self, f: Option<OnSignalingChange>) {
        self.inner.signaling_change.set(f);
    }

    /// Sets the callback for media sections that the peer begins to use.
    pub fn on_track(&self, f: Option<OnTrack>) {
        self.inner.track.set(f);
    }
}

impl Inner {
    fn channel(&self, id: ChannelId) -> Option<DataChannel> {
        self.channels.lock().get(&id).cloned()
    }

    fn channel_opened(&self, id: ChannelId, label: String) {
        let channel = DataChannel::new(self.connection.clone(), id, label);
        self.channels.lock().insert(id, channel.clone());
        self.data_channel.call(|f| f(channel));
    }

    fn track_added(&self, id: pc::TransceiverId) {
        let transceiver = RtpTransceiver::new(self.connection.clone(), id);
        let receiver = transceiver.receiver();
        // A later description may have taken the track away again already.
        let Some(track) = receiver.track() else {
            return;
        };
        let streams = receiver.streams();
        self.track.call(|f| {
            f(TrackEvent {
                receiver,
                streams,
                track,
                transceiver,
            })
        });
    }
}

impl EventSink for Inner {
    fn deliver(&self, event: Event) {
        match event {
            Event::Connection(state) => self.connection_change.call(|f| f(state.into())),
            Event::Ice(state) => self.ice_connection_change.call(|f| f(state.into())),
            Event::Gathering(state) => self.ice_gathering_change.call(|f| f(state.into())),
            Event::Signaling(state) => self.signaling_change.call(|f| f(state.into())),
            Event::NegotiationNeeded => self.negotiation_needed.call(|f| f(0)),
            Event::Candidate { mid, index, text } => {
                self.ice_candidate
                    .call(|f| f(IceCandidate::new(mid, index, text)));
            }
            Event::CandidateError { address, url, text } => {
                self.ice_candidate_error.call(|f| {
                    f(IceCandidateError {
                        address: address.ip().to_string(),
                        port: address.port().into(),
                        url,
                        error_code: 701,
                        error_text: text,
                    });
                });
            }
            Event::ChannelAdded { id, label } => self.channel_opened(id, label),
            Event::ChannelState { id, state } => {
                if let Some(channel) = self.channel(id) {
                    channel.state_changed(state);
                    if state == pc::ChannelState::Closed {
                        self.channels.lock().remove(&id);
                    }
                }
            }
            Event::ChannelMessage { id, binary, data } => {
                if let Some(channel) = self.channel(id) {
                    channel.received(&data, binary);
                }
            }
            Event::ChannelDrained { id, bytes } => {
                if let Some(channel) = self.channel(id) {
                    channel.drained(bytes);
                }
            }
            Event::TrackAdded(id) => self.track_added(id),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("state", &self.connection_state())
            .field("ice_state", &self.ice_connection_state())
            .finish()
    }
}

impl From<pc::ConnectionState> for PeerConnectionState {
    fn from(state: pc::ConnectionState) -> Self {
        match state {
            pc::ConnectionState::New => Self::New,
            pc::ConnectionState::Connecting => Self::Connecting,
            pc::ConnectionState::Connected => Self::Connected,
            pc::ConnectionState::Disconnected => Self::Disconnected,
            pc::ConnectionState::Failed => Self::Failed,
            pc::ConnectionState::Closed => Self::Closed,
        }
    }
}

impl From<pc::IceState> for IceConnectionState {
    fn from(state: pc::IceState) -> Self {
        match state {
            pc::IceState::New => Self::New,
            pc::IceState::Checking => Self::Checking,
            pc::IceState::Connected => Self::Connected,
            pc::IceState::Completed => Self::Completed,
            pc::IceState::Disconnected => Self::Disconnected,
            pc::IceState::Failed => Self::Failed,
            pc::IceState::Closed => Self::Closed,
        }
    }
}

impl From<pc::GatheringState> for IceGatheringState {
    fn from(state: pc::GatheringState) -> Self {
        match state {
            pc::GatheringState::New => Self::New,
            pc::GatheringState::Gathering => Self::Gathering,
            pc::GatheringState::Complete => Self::Complete,
        }
    }
}

impl From<pc::SignalingState> for SignalingState {
    fn from(state: pc::SignalingState) -> Self {
        match state {
            pc::SignalingState::Stable => Self::Stable,
            pc::SignalingState::HaveLocalOffer => Self::HaveLocalOffer,
            pc::SignalingState::HaveRemoteOffer => Self::HaveRemoteOffer,
            pc::SignalingState::Closed => Self::Closed,
        }
    }
}
