//! Data channels.

use std::{
    fmt::{self, Debug},
    str::Utf8Error,
    sync::Arc,
};

use serde::Serialize;
use thiserror::Error;

use crate::{
    api::slot::Slot,
    net::Connection,
    pc::{ChannelId, ChannelInit, ChannelState},
    rtp_parameters::Priority,
};

/// How a channel is to be made.
#[derive(Clone, Debug)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order in which they were sent.
    pub ordered: bool,
    /// For how many milliseconds a message is sent again when it is lost; for ever when absent.
    pub max_retransmit_time: Option<i32>,
    /// How often a message is sent again when it is lost; for ever when absent.
    pub max_retransmits: Option<i32>,
    /// The sub-protocol, a name of the application's choice.
    pub protocol: String,
    /// Whether both sides make the channel, with the same `id`, instead of announcing it.
    pub negotiated: bool,
    /// The stream of a negotiated channel; -1 lets the engine choose.
    pub id: i32,
    /// Accepted, without effect.
    pub priority: Option<Priority>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_retransmit_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: -1,
            priority: None,
        }
    }
}

impl DataChannelInit {
    pub(crate) fn to_inner(&self, label: &str) -> ChannelInit {
        ChannelInit {
            label: label.to_owned(),
            protocol: self.protocol.clone(),
            ordered: self.ordered,
            max_lifetime_ms: self
                .max_retransmit_time
                .and_then(|ms| u16::try_from(ms).ok()),
            max_retransmits: self
                .max_retransmits
                .and_then(|count| u16::try_from(count).ok()),
            negotiated: self
                .negotiated
                .then(|| u16::try_from(self.id).ok())
                .flatten(),
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, Error)]
pub enum DataChannelError {
    /// The channel is not open, the message too large, or the send buffer full.
    #[error("failed to send data, dc not open? send buffer is full ?")]
    Send,
    /// A text message must be UTF-8.
    #[error("only utf8 strings can be sent")]
    Utf8(#[from] Utf8Error),
}

/// The state of a channel.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
pub enum DataChannelState {
    /// Not usable yet.
    Connecting,
    /// Usable.
    Open,
    /// Being closed.
    Closing,
    /// Closed for good.
    Closed,
}

impl From<ChannelState> for DataChannelState {
    fn from(state: ChannelState) -> Self {
        match state {
            ChannelState::Connecting => Self::Connecting,
            ChannelState::Open => Self::Open,
            ChannelState::Closing => Self::Closing,
            ChannelState::Closed => Self::Closed,
        }
    }
}

/// A received message.
#[derive(Debug)]
pub struct DataBuffer<'a> {
    /// Its content.
    pub data: &'a [u8],
    /// Whether it is bytes rather than text.
    pub binary: bool,
}

/// Called when the state has changed.
pub type OnStateChange = Box<dyn FnMut(DataChannelState) + Send + Sync>;
/// Called with each message.
pub type OnMessage = Box<dyn FnMut(DataBuffer) + Send + Sync>;
/// Called with the number of bytes by which the send buffer has shrunk.
pub type OnBufferedAmountChange = Box<dyn FnMut(u64) + Send + Sync>;

/// A channel for messages. Clones are the same channel.
#[derive(Clone)]
pub struct DataChannel {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Arc<Connection>,
    id: ChannelId,
    label: String,
    state_change: Slot<OnStateChange>,
    message: Slot<OnMessage>,
    buffered_amount_change: Slot<OnBufferedAmountChange>,
}

impl DataChannel {
    pub(crate) fn new(connection: Arc<Connection>, id: ChannelId, label: String) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection,
                id,
                label,
                state_change: Slot::default(),
                message: Slot::default(),
                buffered_amount_change: Slot::default(),
            }),
        }
    }

    /// Hands a message over; it is sent when the network allows.
    ///
    /// # Errors
    /// When the channel is not open, the peer would not take a message of this size, the send buffer is full, or
    /// a text message is not UTF-8.
    pub fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        if !binary {
            std::str::from_utf8(data)?;
        }
        let id = self.inner.id;
        self.inner
            .connection
            .with(|state, _| state.peer.send(id, binary, data))
            .map_err(|_| DataChannelError::Send)
    }

    /// The number of the stream, or -1 while it has none.
    pub fn id(&self) -> i32 {
        let id = self.inner.id;
        self.inner
            .connection
            .read(|state| state.peer.channel_stream(id))
            .map_or(-1, i32::from)
    }

    /// The name that the channel was made with.
    pub fn label(&self) -> String {
        self.inner.label.clone()
    }

    /// The state.
    pub fn state(&self) -> DataChannelState {
        let id = self.inner.id;
        self.inner
            .connection
            .read(|state| state.peer.channel_state(id))
            .into()
    }

    /// Closes the channel; messages still in the send buffer may be lost.
    pub fn close(&self) {
        let id = self.inner.id;
        self.inner
            .connection
            .with(|state, _| state.peer.close_channel(id));
    }

    /// How many bytes wait to be sent or acknowledged.
    pub fn buffered_amount(&self) -> u64 {
        let id = self.inner.id;
        self.inner
            .connection
            .read(|state| state.peer.channel_buffered(id))
    }

    /// Sets the callback for changes of state.
    pub fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.inner.state_change.set(callback);
    }

    /// Sets the callback for messages.
    pub fn on_message(&self, callback: Option<OnMessage>) {
        self.inner.message.set(callback);
    }

    /// Sets the callback for the send buffer getting shorter.
    pub fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.inner.buffered_amount_change.set(callback);
    }

    pub(crate) fn state_changed(&self, state: ChannelState) {
        self.inner.state_change.call(|f| f(state.into()));
    }

    pub(crate) fn received(&self, data: &[u8], binary: bool) {
        self.inner.message.call(|f| f(DataBuffer { data, binary }));
    }

    pub(crate) fn drained(&self, bytes: u64) {
        self.inner.buffered_amount_change.call(|f| f(bytes));
    }
}

impl Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("id", &self.id())
            .field("label", &self.inner.label)
            .field("state", &self.state())
            .finish()
    }
}
