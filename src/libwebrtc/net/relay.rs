//! An address that a TURN server lends (RFC 8656), without a socket or a clock: the allocation, a channel for each address
//! of the peer, and what travels through them.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use turn_client_proto::{
    api::{Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    client::TurnClient,
    prelude::*,
    stun::Instant as ClientInstant,
    tcp::TurnClientTcp,
    types::{TransportType, TurnCredentials},
    udp::TurnClientUdp,
};

use super::framing::{NoMessage, TurnCutter, pad};

/// Addresses of the peer at most; further ones are not reached over this server.
const CHANNELS_MAX: usize = 64;
/// Datagrams at most that wait for their channel; the oldest goes first.
const WAITING_MAX: usize = 32;
/// How often the client is asked for more in a row; it never needs that often.
const STEPS_MAX: usize = 64;

/// Something has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RelayEvent {
    /// The server lends this address.
    Allocated(SocketAddr),
    /// A datagram of the peer has arrived at it.
    Received {
        source: SocketAddr,
        contents: Vec<u8>,
    },
    /// The server lends nothing, or nothing any more.
    Failed(&'static str),
}

/// The state of a channel to an address of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Asked,
    Open,
    Refused,
}

/// An address that is lent, or asked for.
#[derive(Debug)]
pub(super) struct Relay {
    client: TurnClient,
    start: Instant,
    transport: TransportType,
    local: SocketAddr,
    server: SocketAddr,
    address: Option<SocketAddr>,
    channels: Vec<(SocketAddr, Channel)>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The client does not know of the padding that messages have in a stream, so that it is given them one by one.
    cutter: Option<TurnCutter>,
    timeout: Option<Instant>,
    over: bool,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<RelayEvent>,
}

impl Relay {
    /// Asks a server for an address, over a connected socket, or a stream if `stream`.
    pub(super) fn new(
        now: Instant,
        stream: bool,
        local: SocketAddr,
        server: SocketAddr,
        username: &str,
        password: &str,
    ) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(username, password));
        // Given up after about 8 s instead of 40: by then the peer has given up as well.
        config.set_request_retransmits(
            Duration::from_millis(250),
            Duration::from_secs(2),
            6,
            Duration::from_secs(2),
        );
        let client = match stream {
            true => TurnClientTcp::allocate(local, server, config).into(),
            false => TurnClientUdp::allocate(local, server, config).into(),
        };
        let mut relay = Self {
            client,
            start: now,
            transport: match stream {
                true => TransportType::Tcp,
                false => TransportType::Udp,
            },
            local,
            server,
            address: None,
            channels: Vec::new(),
            waiting: VecDeque::new(),
            cutter: stream.then(TurnCutter::default),
            timeout: None,
            over: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        relay.advance(now);
        relay
    }

    /// The address that is lent.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Bytes have arrived from the server: a datagram, or a piece of the stream.
    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: Vec<u8>) {
        if self.over {
            return;
        }
        let Some(mut cutter) = self.cutter.take() else {
            self.handle_message(now, bytes);
            self.advance(now);
            return;
        };
        let mut messages = Vec::new();
        let cut = cutter.push(&bytes, |message| messages.push(message.to_vec()));
        self.cutter = Some(cutter);
        for message in messages {
            self.handle_message(now, message);
        }
        match cut {
            Ok(()) => self.advance(now),
            Err(NoMessage) => self.fail("the server speaks another language"),
        }
    }

    fn handle_message(&mut self, now: Instant, message: Vec<u8>) {
        // An empty one would be taken for the end of the stream.
        if message.is_empty() {
            return;
        }
        let at = self.instant(now);
        let transmit = Transmit::new(message, self.transport, self.server, self.local);
        let mut received = match self.client.recv(transmit, at) {
            TurnRecvRet::PeerData(data) => Some((data.peer, data.data().to_vec())),
            TurnRecvRet::Handled | TurnRecvRet::Ignored(_) | TurnRecvRet::PeerIcmp { .. } => None,
        };
        for _ in 0..STEPS_MAX {
            if let Some((source, contents)) = received.take() {
                self.events
                    .push_back(RelayEvent::Received { source, contents });
            }
            let Some(data) = self.client.poll_recv(at) else {
                break;
            };
            received = Some((data.peer, data.data().to_vec()));
        }
    }

    /// Sends a datagram to an address of the peer; the first one waits until the server has opened a channel.
    pub(super) fn send(&mut self, now: Instant, destination: SocketAddr, contents: &[u8]) {
        let Some(address) = self.address.filter(|_| !self.over) else {
            return;
        };
        // The server lends addresses of one family.
        if address.is_ipv4() != destination.is_ipv4() {
            return;
        }
        match self.channel(destination) {
            Some(Channel::Open) => self.send_now(now, destination, contents),
            Some(Channel::Refused) => {}
            Some(Channel::Asked) => self.wait(destination, contents),
            None if self.channels.len() < CHANNELS_MAX => {
                let at = self.instant(now);
                let asked = self
                    .client
                    .bind_channel(TransportType::Udp, destination, at);
                let channel = match asked {
                    Ok(()) => Channel::Asked,
                    Err(_) => Channel::Refused,
                };
                self.channels.push((destination, channel));
                self.wait(destination, contents);
                self.advance(now);
            }
            None => {}
        }
    }

    /// Gives the address back.
    pub(super) fn close(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let at = self.instant(now);
        if self.client.delete(at).is_ok() {
            self.advance(now);
        }
        self.over = true;
        self.timeout = None;
    }

    /// When [`Relay::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.timeout.is_some_and(|at| at <= now) {
            self.advance(now);
        }
    }

    /// What is to be sent to the server.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What has happened.
    pub(super) fn poll_event(&mut self) -> Option<RelayEvent> {
        self.events.pop_front()
    }

    fn channel(&self, destination: SocketAddr) -> Option<Channel> {
        let known = |(address, _): &&(SocketAddr, Channel)| *address == destination;
        self.channels
            .iter()
            .find(known)
            .map(|(_, channel)| *channel)
    }

    fn wait(&mut self, destination: SocketAddr, contents: &[u8]) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((destination, contents.to_vec()));
    }

    fn send_now(&mut self, now: Instant, destination: SocketAddr, contents: &[u8]) {
        let at = self.instant(now);
        let built = self
            .client
            .send_to(TransportType::Udp, destination, contents, at);
        if let Ok(Some(transmit)) = built {
            let mut message = transmit.build().data;
            if self.cutter.is_some() {
                pad(&mut message);
            }
            self.transmits.push_back(message);
        }
    }

    /// The client counts from the time at which this was made.
    fn instant(&self, now: Instant) -> ClientInstant {
        let nanos = now.saturating_duration_since(self.start).as_nanos();
        ClientInstant::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// Has the client do all that is due.
    fn advance(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let at = self.instant(now);
        self.timeout = None;
        for _ in 0..STEPS_MAX {
            while let Some(transmit) = self.client.poll_transmit(at) {
                self.transmits.push_back(transmit.data.to_vec());
            }
            while let Some(event) = self.client.poll_event() {
                self.client_event(now, event);
            }
            match self.client.poll(at) {
                TurnPollRet::WaitUntil(next) if next > at => {
                    self.timeout = Some(now + next.duration_since(at));
                    return;
                }
                TurnPollRet::WaitUntil(_) => {}
                // Streams between the server and the peer are not asked for.
                TurnPollRet::AllocateTcpSocket { .. } | TurnPollRet::TcpClose { .. } => {}
                TurnPollRet::Closed => {
                    self.fail("the server does not answer, or has ended the allocation");
                    return;
                }
            }
        }
        self.timeout = Some(now + Duration::from_millis(10));
    }

    fn client_event(&mut self, now: Instant, event: TurnEvent) {
        match event {
            TurnEvent::AllocationCreated(_, address) => {
                self.address = Some(address);
                self.events.push_back(RelayEvent::Allocated(address));
            }
            TurnEvent::AllocationCreateFailed(_) => self.fail("the server lends no address"),
            TurnEvent::ChannelCreated(_, peer) => {
                self.set_channel(peer, Channel::Open);
                for (destination, contents) in std::mem::take(&mut self.waiting) {
                    match destination == peer {
                        true => self.send_now(now, destination, &contents),
                        false => self.waiting.push_back((destination, contents)),
                    }
                }
            }
            TurnEvent::ChannelCreateFailed(_, peer) => {
                self.set_channel(peer, Channel::Refused);
                self.waiting.retain(|(destination, _)| *destination != peer);
            }
            // A channel brings its permission along, and streams are not asked for.
            TurnEvent::PermissionCreated(..)
            | TurnEvent::PermissionCreateFailed(..)
            | TurnEvent::TcpConnected(_)
            | TurnEvent::TcpConnectFailed(_) => {}
        }
    }

    fn set_channel(&mut self, peer: SocketAddr, state: Channel) {
        for (address, channel) in &mut self.channels {
            if *address == peer {
                *channel = state;
            }
        }
    }

    fn fail(&mut self, reason: &'static str) {
        if !self.over {
            self.over = true;
            self.timeout = None;
            self.waiting.clear();
            self.events.push_back(RelayEvent::Failed(reason));
        }
    }
}
