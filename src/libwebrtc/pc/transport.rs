//! The transport: ICE, DTLS, and str0m's inputs and outputs.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    Event as EngineEvent, IceConnectionState, IceCreds, Input, Output, Reason,
    net::{Protocol, Receive},
};

use super::{Event, Peer, earliest, since};

/// How often the way is checked once it stands; str0m's default.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// After this long without a packet the peer is taken for unreachable: two checks and a bit.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// After this long without a way the connection has failed. str0m has no such state.
const SEARCH_MAX: Duration = Duration::from_secs(15);

/// How long after the address in use is gone the connection has failed. A server may go on sending to it for much longer,
/// and only a restart, for which the application looks out, tells it otherwise.
const MOVED_MAX: Duration = Duration::from_millis(500);

/// After this long without anything but checks, nobody is woken for str0m's statistics alone: they wait for the next datagram, but no
/// longer than `COUNT_LATE_MAX`. What str0m wants to do right after them waits along, which is nothing that was begun just now.
const QUIET: Duration = Duration::from_secs(3);
const COUNT_LATE_MAX: Duration = Duration::from_millis(1_500);

/// The state of the connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ConnectionState {
    /// Nothing has been tried.
    #[default]
    New,
    /// A way is being sought, or the handshake runs.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum IceState {
    /// Nothing has been tried.
    #[default]
    New,
    /// A way is being sought.
    Checking,
    /// A way has been found.
    Connected,
    /// The best way has been found.
    Completed,
    /// The peer does not answer; it may again.
    Disconnected,
    /// There is no way.
    Failed,
    /// Closed by this side.
    Closed,
}

/// The state of collecting local addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum GatheringState {
    /// Not begun.
    #[default]
    New,
    /// Under way.
    Gathering,
    /// Done.
    Complete,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    /// Whether it goes over the stream between the two addresses.
    pub(crate) stream: bool,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) contents: Vec<u8>,
}

/// What is known of the transport.
#[derive(Debug, Default)]
pub(super) struct TransportState {
    connection: ConnectionState,
    pub(super) ice: IceState,
    /// Since when a way is being sought.
    searching: Option<Instant>,
    /// Datagrams, of all kinds.
    pub(super) packets_sent: u64,
    pub(super) packets_received: u64,
    /// What is in them.
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Since when the address that was in use is gone.
    moved: Option<Instant>,
    /// When the last packet came.
    heard: Option<Instant>,
    /// When str0m wants to be called.
    timeout: Option<Instant>,
    /// When something else than a check of the way came or left last.
    busy: Option<Instant>,
    /// The peer has said farewell, or str0m has given up.
    over: bool,
}

impl Peer {
    /// The state as a whole.
    pub(crate) fn connection_state(&self) -> ConnectionState {
        if self.closed {
            ConnectionState::Closed
        } else {
            self.transport.connection
        }
    }

    /// The state of the way.
    pub(crate) fn ice_state(&self) -> IceState {
        if self.closed {
            IceState::Closed
        } else {
            self.transport.ice
        }
    }

    /// Both sides have agreed, on new credentials perhaps.
    pub(super) fn transport_agreed(&mut self, restarted: bool) {
        let (credentials, controlling) = self.negotiation.ice();
        let credentials = IceCreds {
            ufrag: credentials.ufrag.clone(),
            pass: credentials.password.clone(),
        };
        let mut direct = self.rtc.direct_api();
        direct.set_local_ice_credentials(credentials);
        direct.set_ice_controlling(controlling);
        if restarted {
            self.candidates.forget_peer();
            self.transport.moved = None;
        }
        let state = self.transport.connection;
        if state == ConnectionState::New || (restarted && state != ConnectionState::Connected) {
            self.transport.searching = Some(self.now);
            self.set_connection_state(ConnectionState::Connecting);
        }
    }

    /// An address of this side is gone.
    pub(super) fn address_gone(&mut self, now: Instant, address: SocketAddr) {
        let pair = self.counters.peer.as_ref();
        let pair = pair.and_then(|peer| peer.selected_candidate_pair.as_ref());
        let in_use = pair.is_some_and(|pair| pair.local.addr == address);
        if in_use && self.transport.connection == ConnectionState::Connected {
            self.transport.moved = Some(now);
        }
    }

    /// When [`Peer::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let watch = match self.transport.connection {
            ConnectionState::Connected => self.transport.heard.map(|heard| heard + SILENCE_MAX),
            ConnectionState::Connecting | ConnectionState::Disconnected => {
                self.transport.searching.map(|since| since + SEARCH_MAX)
            }
            ConnectionState::New | ConnectionState::Failed | ConnectionState::Closed => None,
        };
        let moved = self.transport.moved.map(|moved| moved + MOVED_MAX);
        let own = earliest(self.dial_timeout(), moved);
        let late = match self.may_count_late() {
            true => COUNT_LATE_MAX,
            false => Duration::ZERO,
        };
        let engine = self.transport.timeout.map(|at| at + late);
        earliest(earliest(engine, watch), own)
    }

    /// Whether str0m wants to be called for its statistics alone, of a connection on which nothing happens.
    fn may_count_late(&self) -> bool {
        self.rtc.last_timeout_reason() == Reason::Stats
            && self.transport.timeout.is_some_and(|at| self.is_quiet(at))
    }

    /// Whether nothing but checks will have come or left for a while at that time. What is due then may be a little late.
    pub(crate) fn is_quiet(&self, at: Instant) -> bool {
        let TransportState {
            connection, busy, ..
        } = self.transport;
        connection == ConnectionState::Connected && busy.is_none_or(|busy| since(at, busy) >= QUIET)
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.now = now;
        self.input(Input::Timeout(now));
        self.drain(now);
    }

    /// A datagram has arrived, over a stream or by itself.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        stream: bool,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &[u8],
    ) {
        if self.closed {
            return;
        }
        self.now = now;
        let (length, check) = (contents.len() as u64, is_check(contents));
        // What is none of STUN, DTLS and SRTP is no concern of ours.
        let Ok(contents) = contents.try_into() else {
            return;
        };
        self.transport.heard = Some(now);
        if !check {
            self.transport.busy = Some(now);
        }
        self.transport.packets_received += 1;
        self.transport.bytes_received += length;
        self.input(Input::Receive(
            now,
            Receive {
                proto: match stream {
                    true => Protocol::Tcp,
                    false => Protocol::Udp,
                },
                source,
                destination,
                contents,
            },
        ));
        self.drain(now);
    }

    /// Something else has been put in: collects what follows from it.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if !self.is_due(now) {
            self.drain(now);
        }
        if self.is_due(now) {
            self.handle_timeout(now);
        }
    }

    /// Whether str0m wants to be called, to send what it was given above all.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.transport.timeout.is_some_and(|at| at <= now)
    }

    /// A packet is to be sent. It leaves only when str0m is told the time.
    pub(super) fn wants_to_send(&mut self, now: Instant) {
        self.transport.timeout = Some(now);
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            self.give_up(&error.to_string());
        }
    }

    fn give_up(&mut self, error: &str) {
        if !self.transport.over {
            tracing::warn!(error, "the transport has failed");
            self.transport.over = true;
        }
    }

    /// Takes everything out of str0m, as it wants after each input.
    pub(super) fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.transport.timeout = (!self.transport.over).then_some(at);
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.transport.packets_sent += 1;
                    self.transport.bytes_sent += transmit.contents.len() as u64;
                    if !is_check(&transmit.contents) {
                        self.transport.busy = Some(now);
                    }
                    self.transmits.push_back(Transmit {
                        stream: transmit.proto != Protocol::Udp,
                        source: transmit.source,
                        destination: transmit.destination,
                        contents: transmit.contents.into(),
                    });
                }
                Ok(Output::Event(event)) => self.engine_event(event),
                Err(error) => {
                    self.give_up(&error.to_string());
                    self.transport.timeout = None;
                    break;
                }
            }
        }
        if !self.closed {
            self.report_drained();
            self.update_connection(now);
        }
    }

    fn engine_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::IceConnectionStateChange(state) => self.set_ice_state(match state {
                IceConnectionState::New => IceState::New,
                IceConnectionState::Checking => IceState::Checking,
                IceConnectionState::Connected => IceState::Connected,
                IceConnectionState::Completed => IceState::Completed,
                IceConnectionState::Disconnected => IceState::Disconnected,
            }),
            EngineEvent::ChannelOpen(id, label) => self.channel_opened(id, label),
            EngineEvent::ChannelData(message) => {
                self.channel_message(message.id, message.binary, message.data);
            }
            EngineEvent::ChannelClose(id) => self.engine_channel_closed(id),
            EngineEvent::RtpPacket(packet) => self.rtp_received(packet),
            // The peer has said farewell. The reason arrives over signalling, so that this is no failure yet.
            EngineEvent::Closed => self.transport.over = true,
            EngineEvent::PeerStats(stats) => self.counters.peer(stats),
            EngineEvent::MediaIngressStats(stats) => self.counters.ingress(stats),
            EngineEvent::MediaEgressStats(stats) => self.counters.egress(stats),
            // Events of modes that are not used, and str0m may add more.
            _ => {}
        }
    }

    fn set_ice_state(&mut self, state: IceState) {
        if self.transport.ice != state {
            self.transport.ice = state;
            self.events.push_back(Event::Ice(state));
        }
    }

    fn set_connection_state(&mut self, state: ConnectionState) {
        if self.transport.connection != state {
            self.transport.connection = state;
            self.events.push_back(Event::Connection(state));
        }
    }

    /// Works out the state as a whole, with the timers that str0m does not have.
    fn update_connection(&mut self, now: Instant) {
        let state = self.transport.connection;
        if state == ConnectionState::New {
            return;
        }
        if let Some(moved) = self.transport.moved {
            if since(now, moved) < MOVED_MAX {
                self.set_connection_state(ConnectionState::Disconnected);
                return;
            }
            self.transport.moved = None;
            self.transport.searching = None;
            self.set_ice_state(IceState::Failed);
            self.set_connection_state(ConnectionState::Failed);
            return;
        }
        let heard = self
            .transport
            .heard
            .is_some_and(|heard| since(now, heard) < SILENCE_MAX);
        let up = !self.transport.over
            && self.rtc.is_connected()
            && self.transport.ice != IceState::Disconnected;
        if up && heard {
            self.transport.searching = None;
            self.set_connection_state(ConnectionState::Connected);
            return;
        }
        if state == ConnectionState::Connected {
            self.transport.searching = Some(now);
            self.set_connection_state(ConnectionState::Disconnected);
            return;
        }
        let expired = self
            .transport
            .searching
            .is_some_and(|from| since(now, from) >= SEARCH_MAX);
        if expired {
            self.transport.searching = None;
            self.set_ice_state(IceState::Failed);
            self.set_connection_state(ConnectionState::Failed);
        }
    }
}

/// Whether a datagram is STUN, as RFC 7983 tells it from the others.
fn is_check(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}
