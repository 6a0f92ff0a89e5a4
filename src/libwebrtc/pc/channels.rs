//! Data channels.
//!
//! A channel exists here from the moment it is made. str0m is told of it when there is an SCTP association for it, so
//! that channels which are made and closed before the first negotiation leave no trace.

use std::collections::BTreeMap;

use str0m::channel::{ChannelConfig, ChannelId as EngineId, Reliability};

use super::{Event, MESSAGE_SIZE_MAX, PcError, Peer};

/// The size of message that may be sent when the peer names none, in bytes (RFC 8841).
const PEER_MESSAGE_SIZE_DEFAULT: u64 = 65_536;
/// Channels per connection at most.
const CHANNELS_MAX: usize = 1_024;

/// A data channel of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChannelId(u32);

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelState {
    /// Not usable yet.
    Connecting,
    /// Usable.
    Open,
    /// Being closed.
    Closing,
    /// Closed for good.
    Closed,
}

/// How a channel is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelInit {
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) ordered: bool,
    pub(crate) max_lifetime_ms: Option<u16>,
    pub(crate) max_retransmits: Option<u16>,
    /// The stream, when both sides make the channel.
    pub(crate) negotiated: Option<u16>,
}

impl ChannelInit {
    fn config(&self) -> ChannelConfig {
        let reliability = match (self.max_retransmits, self.max_lifetime_ms) {
            (Some(retransmits), _) => Reliability::MaxRetransmits { retransmits },
            (None, Some(lifetime)) => Reliability::MaxPacketLifetime { lifetime },
            (None, None) => Reliability::Reliable,
        };
        ChannelConfig {
            label: self.label.clone(),
            ordered: self.ordered,
            reliability,
            negotiated: self.negotiated,
            protocol: self.protocol.clone(),
        }
    }
}

#[derive(Debug)]
struct Channel {
    init: ChannelInit,
    state: ChannelState,
    engine: Option<EngineId>,
    /// Bytes handed to str0m, less those reported as drained.
    buffered: u64,
    counts: Counts,
}

/// Messages and bytes, for statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

/// All channels of a connection.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// Whether a channel was ever made: the media section for them stays.
    pub(crate) wanted: bool,
    /// Whether str0m has an SCTP association, up or coming up.
    association: bool,
    peer_message_size: Option<u64>,
    by_id: BTreeMap<ChannelId, Channel>,
    opened: u32,
    closed: u32,
}

impl Channels {
    pub(super) fn close_all(&mut self) {
        for channel in self.by_id.values_mut() {
            if channel.state != ChannelState::Closed {
                channel.state = ChannelState::Closed;
                self.closed += u32::from(channel.engine.is_some());
            }
        }
    }

    /// How many were opened and closed.
    pub(super) fn totals(&self) -> (u32, u32) {
        (self.opened, self.closed)
    }

    /// Identifier, label, protocol, state and counts of every channel.
    pub(super) fn rows(
        &self,
    ) -> impl Iterator<Item = (ChannelId, &ChannelInit, ChannelState, Counts)> {
        self.by_id
            .iter()
            .map(|(id, c)| (*id, &c.init, c.state, c.counts))
    }

    fn by_engine(&self, engine: EngineId) -> Option<ChannelId> {
        self.by_id
            .iter()
            .find(|(_, c)| c.engine == Some(engine))
            .map(|(id, _)| *id)
    }
}

impl Peer {
    /// Makes a channel. The first one needs a negotiation.
    pub(crate) fn create_channel(&mut self, init: ChannelInit) -> Result<ChannelId, PcError> {
        self.check_open()?;
        let live = |c: &&Channel| c.state != ChannelState::Closed;
        let count = self.channels.by_id.values().filter(live).count();
        let taken =
            self.channels.by_id.values().filter(live).any(|channel| {
                init.negotiated.is_some() && channel.init.negotiated == init.negotiated
            });
        if taken || count >= CHANNELS_MAX {
            return Err(PcError::ChannelId(init.negotiated));
        }
        let id = ChannelId(self.new_id());
        let channel = Channel {
            init,
            state: ChannelState::Connecting,
            engine: None,
            buffered: 0,
            counts: Counts::default(),
        };
        self.channels.by_id.insert(id, channel);
        if !self.channels.wanted {
            self.channels.wanted = true;
            self.negotiation_needed();
        }
        self.open_waiting_channels();
        Ok(id)
    }

    /// The state of a channel; one that is not known is closed.
    pub(crate) fn channel_state(&self, id: ChannelId) -> ChannelState {
        self.channels
            .by_id
            .get(&id)
            .map_or(ChannelState::Closed, |channel| channel.state)
    }

    /// The bytes that wait to be sent or acknowledged.
    pub(crate) fn channel_buffered(&self, id: ChannelId) -> u64 {
        self.channels
            .by_id
            .get(&id)
            .map_or(0, |channel| channel.buffered)
    }

    /// The number of the stream of a channel, once there is one.
    pub(crate) fn channel_stream(&self, id: ChannelId) -> Option<u16> {
        self.channels.by_id.get(&id)?.init.negotiated
    }

    /// Hands a message over.
    pub(crate) fn send(&mut self, id: ChannelId, binary: bool, data: &[u8]) -> Result<(), PcError> {
        self.check_open()?;
        let limit = self
            .channels
            .peer_message_size
            .unwrap_or(PEER_MESSAGE_SIZE_DEFAULT);
        if data.len() as u64 > limit {
            return Err(PcError::State("the message is larger than the peer takes"));
        }
        let channel = self
            .channels
            .by_id
            .get_mut(&id)
            .ok_or(PcError::Unknown("channel"))?;
        if channel.state != ChannelState::Open {
            return Err(PcError::State("the channel is not open"));
        }
        let engine = channel.engine.ok_or(PcError::Unknown("channel"))?;
        let mut writer = self
            .rtc
            .channel(engine)
            .ok_or(PcError::Unknown("channel"))?;
        let written = writer.write(binary, data);
        if !written.map_err(|error| PcError::Engine(error.to_string()))? {
            return Err(PcError::State("the send buffer is full"));
        }
        channel.buffered += data.len() as u64;
        channel.counts.messages_sent += 1;
        channel.counts.bytes_sent += data.len() as u64;
        Ok(())
    }

    /// Begins to close a channel.
    pub(crate) fn close_channel(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.by_id.get_mut(&id) else {
            return;
        };
        match (channel.state, channel.engine) {
            (ChannelState::Closing | ChannelState::Closed, _) => {}
            (ChannelState::Connecting, None) => self.channel_closed(id),
            (_, None) => self.channel_closed(id),
            (_, Some(engine)) => {
                channel.state = ChannelState::Closing;
                self.events.push_back(Event::ChannelState {
                    id,
                    state: ChannelState::Closing,
                });
                self.rtc.direct_api().close_data_channel(engine);
            }
        }
    }

    /// What this side announces as the largest message.
    pub(super) fn message_size_max() -> u64 {
        MESSAGE_SIZE_MAX.into()
    }

    /// The SCTP association has been negotiated.
    pub(super) fn association_begun(&mut self, peer_message_size: Option<u64>) {
        self.channels.association = true;
        self.channels.peer_message_size = match peer_message_size {
            Some(0) => Some(u64::MAX),
            other => other,
        };
        self.open_waiting_channels();
    }

    fn open_waiting_channels(&mut self) {
        if !self.channels.association {
            return;
        }
        for channel in self.channels.by_id.values_mut() {
            if channel.state == ChannelState::Connecting && channel.engine.is_none() {
                let config = channel.init.config();
                channel.engine = Some(self.rtc.direct_api().create_data_channel(config));
            }
        }
    }

    pub(super) fn channel_opened(&mut self, engine: EngineId, label: String) {
        let id = self.channels.by_engine(engine);
        let id = id.unwrap_or_else(|| self.channel_from_peer(engine, label));
        let Some(channel) = self.channels.by_id.get_mut(&id) else {
            return;
        };
        channel.state = ChannelState::Open;
        if channel.init.negotiated.is_none() {
            channel.init.negotiated = self.rtc.direct_api().sctp_stream_id_by_channel_id(engine);
        }
        self.channels.opened += 1;
        self.events.push_back(Event::ChannelState {
            id,
            state: ChannelState::Open,
        });
    }

    fn channel_from_peer(&mut self, engine: EngineId, label: String) -> ChannelId {
        let id = ChannelId(self.new_id());
        let config = self
            .rtc
            .channel(engine)
            .and_then(|channel| channel.config().cloned());
        let config = config.unwrap_or_default();
        let (max_lifetime_ms, max_retransmits) = match config.reliability {
            Reliability::Reliable => (None, None),
            Reliability::MaxPacketLifetime { lifetime } => (Some(lifetime), None),
            Reliability::MaxRetransmits { retransmits } => (None, Some(retransmits)),
        };
        let init = ChannelInit {
            label: label.clone(),
            protocol: config.protocol,
            ordered: config.ordered,
            max_lifetime_ms,
            max_retransmits,
            negotiated: None,
        };
        let channel = Channel {
            init,
            state: ChannelState::Connecting,
            engine: Some(engine),
            buffered: 0,
            counts: Counts::default(),
        };
        self.channels.by_id.insert(id, channel);
        self.channels.wanted = true;
        self.events.push_back(Event::ChannelAdded { id, label });
        id
    }

    pub(super) fn channel_message(&mut self, engine: EngineId, binary: bool, data: Vec<u8>) {
        let Some(id) = self.channels.by_engine(engine) else {
            return;
        };
        if let Some(channel) = self.channels.by_id.get_mut(&id) {
            channel.counts.messages_received += 1;
            channel.counts.bytes_received += data.len() as u64;
        }
        self.events
            .push_back(Event::ChannelMessage { id, binary, data });
    }

    pub(super) fn engine_channel_closed(&mut self, engine: EngineId) {
        if let Some(id) = self.channels.by_engine(engine) {
            self.channel_closed(id);
        }
    }

    fn channel_closed(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.by_id.remove(&id) else {
            return;
        };
        self.channels.closed += u32::from(channel.engine.is_some());
        self.events.push_back(Event::ChannelState {
            id,
            state: ChannelState::Closed,
        });
    }

    /// Reports how far the send buffers have shrunk since they were last looked at.
    pub(super) fn report_drained(&mut self) {
        for (id, channel) in &mut self.channels.by_id {
            if channel.buffered == 0 {
                continue;
            }
            let Some(mut engine) = channel.engine.and_then(|engine| self.rtc.channel(engine))
            else {
                continue;
            };
            let left = engine.buffered_amount() as u64;
            let bytes = channel.buffered.saturating_sub(left);
            if bytes > 0 {
                channel.buffered -= bytes;
                self.events
                    .push_back(Event::ChannelDrained { id: *id, bytes });
            }
        }
    }
}
