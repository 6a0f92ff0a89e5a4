//! The sockets, streams and lent addresses of a connection, and which of them a datagram takes.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Help, Policy, Server,
    carrier::{self, ARRIVALS_MAX, Arrival, CarrierId, Destination, OUT_MAX},
    connection::ConnectionConfig,
    framing::{Deframer, frame},
    gather::{Socket, gather},
    relay::{Relay, RelayEvent},
    stun::Question,
};
use crate::pc::{Carrier, Loopback, Origin, Peer, Transmit};

/// Datagrams that are read from a socket before anything else gets its turn.
const BURST: usize = 64;
/// Carriers per connection at most.
const CARRIERS_MAX: usize = 32;
/// When an address that could not be used is tried again: a new IPv6 address is of no use at first.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often that is tried.
const RETRIES_MAX: u8 = 3;
/// How long closed carriers may take to send what waits.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a carrier is for.
enum Role {
    /// A stream to the peer.
    Stream {
        remote: SocketAddr,
        local: Option<SocketAddr>,
        deframer: Deframer,
    },
    /// A server that lends an address.
    Relay {
        server: Server,
        relay: Option<Box<Relay>>,
    },
    /// The addresses of a STUN server are looked up.
    Lookup { server: Server },
}

struct CarrierHandle {
    out: mpsc::Sender<Vec<u8>>,
    role: Role,
}

/// See the module.
pub(super) struct Paths {
    sockets: Vec<Arc<Socket>>,
    carriers: BTreeMap<CarrierId, CarrierHandle>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<(CarrierId, Arrival)>,
    receiver: mpsc::Receiver<(CarrierId, Arrival)>,
    /// What has been taken out of `receiver` already.
    arrived: VecDeque<(CarrierId, Arrival)>,
    next: CarrierId,
    /// Where STUN servers were found, by their URL.
    stun: Vec<(String, SocketAddr)>,
    questions: Vec<(String, Question)>,
    retry: Option<Instant>,
    retries: u8,
}

impl Paths {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(ARRIVALS_MAX);
        Self {
            sockets: Vec::new(),
            carriers: BTreeMap::new(),
            tasks: JoinSet::new(),
            sender,
            receiver,
            arrived: VecDeque::new(),
            next: 0,
            stun: Vec::new(),
            questions: Vec::new(),
            retry: None,
            retries: 0,
        }
    }

    /// Whether there are sockets, but not on every address of this very machine that is wanted.
    pub(super) fn lacks(&self, loopback: Loopback) -> bool {
        let lacks = |ip: IpAddr| !self.sockets.iter().any(|s| s.address.ip() == ip);
        !self.sockets.is_empty()
            && ((loopback.v4 && lacks(Ipv4Addr::LOCALHOST.into()))
                || (loopback.v6 && lacks(std::net::Ipv6Addr::LOCALHOST.into())))
    }

    /// Whether there are streams or servers.
    pub(super) fn has_carriers(&self) -> bool {
        !self.carriers.is_empty()
    }

    /// The sockets.
    pub(super) fn sockets(&self) -> Vec<Arc<Socket>> {
        self.sockets.clone()
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let relays = self.carriers.values().filter_map(|carrier| {
            let Role::Relay { relay, .. } = &carrier.role else {
                return None;
            };
            relay.as_ref()?.poll_timeout()
        });
        let questions = self.questions.iter().map(|(_, q)| q.poll_timeout());
        relays.chain(questions).chain(self.retry).min()
    }

    /// Whether an address that could not be used is to be tried again; asks once.
    pub(super) fn take_retry(&mut self, now: Instant) -> bool {
        self.retry.take_if(|at| *at <= now).is_some()
    }

    /// Whether something has arrived, or a task of this connection has.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let readable = |s: &Arc<Socket>| s.poll_readable(context).is_ready();
        // All are asked, so that each wakes this task.
        let ready = self.sockets.iter().map(readable).filter(|r| *r).count() > 0;
        if !self.carriers.is_empty()
            && let Poll::Ready(Some(arrival)) = self.receiver.poll_recv(context)
        {
            self.arrived.push_back(arrival);
            return Poll::Ready(());
        }
        match ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Collects addresses, and asks the servers for theirs.
    pub(super) fn collect(&mut self, now: Instant, peer: &mut Peer, config: &ConnectionConfig) {
        let told = match config.policy {
            Policy::All => Some(true),
            Policy::NoHost => Some(false),
            Policy::Relay => None,
        };
        if let Some(told) = told {
            self.open_sockets(now, peer, told);
        }
        for server in config.servers.iter() {
            match server.help {
                Help::Stun if config.policy == Policy::Relay => {}
                Help::Stun => self.ask(now, server),
                Help::Turn { .. } => self.borrow(server),
            }
        }
    }

    fn open_sockets(&mut self, now: Instant, peer: &mut Peer, told: bool) {
        let gathered = gather(&self.sockets, peer.wants_loopback());
        for address in gathered.gone {
            self.sockets.retain(|socket| socket.address != address);
            self.questions.retain(|(_, q)| q.socket != address);
            peer.remove_local_address(now, address);
        }
        for socket in gathered.opened {
            peer.add_local(socket.address, Origin::Socket { told });
            self.sockets.push(Arc::new(socket));
        }
        match gathered.failed.is_empty() {
            true => self.retries = 0,
            false if self.retries < RETRIES_MAX => {
                self.retries += 1;
                self.retry = Some(now + RETRY_AFTER);
            }
            false => {}
        }
        for (ip, error) in gathered.failed {
            let address = SocketAddr::new(ip, 0);
            peer.address_failed(address, String::new(), error.to_string());
        }
    }

    /// Whether servers are still being asked.
    pub(super) fn asking(&self) -> bool {
        let asking = |carrier: &CarrierHandle| match &carrier.role {
            Role::Stream { .. } => false,
            Role::Relay { relay, .. } => relay.as_ref().is_none_or(|r| r.address().is_none()),
            Role::Lookup { .. } => true,
        };
        !self.questions.is_empty() || self.carriers.values().any(asking)
    }

    fn ask(&mut self, now: Instant, server: &Server) {
        let known: Vec<SocketAddr> = self
            .stun
            .iter()
            .filter(|(url, _)| *url == server.url)
            .map(|(_, address)| *address)
            .collect();
        if !known.is_empty() {
            for address in known {
                self.question(now, &server.url, address);
            }
            return;
        }
        let looked_up = |carrier: &CarrierHandle| matches!(&carrier.role, Role::Lookup { server: other } if other == server);
        if !self.carriers.values().any(looked_up) {
            let destination = Destination::Lookup {
                host: server.host.clone(),
                port: server.port,
            };
            let server = server.clone();
            self.start(destination, Role::Lookup { server });
        }
    }

    /// Asks a server from each socket that has not asked it.
    fn question(&mut self, now: Instant, url: &str, server: SocketAddr) {
        for socket in &self.sockets {
            let asked =
                |(_, q): &(String, Question)| q.socket == socket.address && q.server == server;
            let possible = socket.address.is_ipv4() == server.is_ipv4()
                // What has no way out of the machine needs no view from outside.
                && socket.address.ip().is_loopback() == server.ip().is_loopback();
            if possible && !self.questions.iter().any(asked) {
                let question = Question::new(now, socket.address, server, rand::random());
                self.questions.push((url.to_owned(), question));
            }
        }
    }

    fn borrow(&mut self, server: &Server) {
        let Help::Turn { carrier, .. } = &server.help else {
            return;
        };
        let lent = |handle: &CarrierHandle| matches!(&handle.role, Role::Relay { server: other, .. } if other == server);
        if self.carriers.values().any(lent) {
            return;
        }
        // The address lent for older credentials may still be in use, but not the one before that.
        let mut older = self.carriers.iter().filter(|(_, handle)| {
            matches!(&handle.role, Role::Relay { server: other, .. } if other.url == server.url)
        });
        if let (Some((oldest, _)), Some(_)) = (older.next(), older.next()) {
            let oldest = *oldest;
            self.carriers.remove(&oldest);
        }
        let destination = Destination::Server {
            host: server.host.clone(),
            port: server.port,
            carrier: *carrier,
        };
        let server = server.clone();
        self.start(
            destination,
            Role::Relay {
                server,
                relay: None,
            },
        );
    }

    /// Opens a stream to an address of the peer.
    pub(super) fn dial(&mut self, remote: SocketAddr) {
        let role = Role::Stream {
            remote,
            local: None,
            deframer: Deframer::default(),
        };
        self.start(Destination::Peer(remote), role);
    }

    fn start(&mut self, destination: Destination, role: Role) {
        if self.carriers.len() >= CARRIERS_MAX {
            return;
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let (out, waiting) = mpsc::channel(OUT_MAX);
        // Those that have ended are let go of.
        while self.tasks.try_join_next().is_some() {}
        self.tasks
            .spawn(carrier::run(id, destination, self.sender.clone(), waiting));
        self.carriers.insert(id, CarrierHandle { out, role });
    }

    /// Hands all that has arrived over to `peer`.
    pub(super) fn receive(&mut self, peer: &mut Peer, buffer: &mut [u8]) {
        for index in 0..self.sockets.len() {
            for _ in 0..BURST {
                let socket = &self.sockets[index];
                let address = socket.address;
                match socket.receive(buffer) {
                    Ok((length, source)) => {
                        self.datagram(peer, source, address, &buffer[..length]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An earlier datagram was refused by the other side; the next may not be.
                    Err(_) => {}
                }
            }
        }
        if self.carriers.is_empty() {
            // What a carrier has left behind is of no use.
            self.arrived.clear();
            return;
        }
        for _ in 0..ARRIVALS_MAX {
            let arrival = self.arrived.pop_front();
            let Some((id, arrival)) = arrival.or_else(|| self.receiver.try_recv().ok()) else {
                break;
            };
            self.arrival(Instant::now(), peer, id, arrival);
        }
    }

    fn datagram(&mut self, peer: &mut Peer, from: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let asked = |(_, q): &(String, Question)| q.server == from && q.socket == to;
        if let Some(index) = self.questions.iter().position(asked)
            && let Some(seen) = self.questions[index].1.answer(contents)
        {
            self.questions.swap_remove(index);
            peer.add_local(seen, Origin::Reflexive { base: to });
            return;
        }
        peer.handle_datagram(Instant::now(), false, from, to, contents);
    }

    fn arrival(&mut self, now: Instant, peer: &mut Peer, id: CarrierId, arrival: Arrival) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        match (arrival, &mut carrier.role) {
            (Arrival::Closed(reason), _) => self.closed(now, peer, id, &reason),
            (
                Arrival::Opened {
                    local: address,
                    remote: _,
                },
                Role::Stream { local, .. },
            ) => {
                *local = Some(address);
                peer.add_local(address, Origin::Stream);
            }
            (Arrival::Opened { local, remote }, Role::Relay { server, relay }) => {
                let Help::Turn {
                    carrier: kind,
                    username,
                    password,
                } = &server.help
                else {
                    return;
                };
                let stream = match kind {
                    Carrier::Udp => false,
                    Carrier::Tcp | Carrier::Tls => true,
                };
                let fresh = Relay::new(now, stream, local, remote, username, password);
                *relay = Some(Box::new(fresh));
                self.follow_relay(now, peer, id);
            }
            (
                Arrival::Bytes(bytes),
                Role::Stream {
                    remote,
                    local: Some(local),
                    deframer,
                },
            ) => {
                let (remote, local) = (*remote, *local);
                let cut = deframer.push(&bytes, |datagram| {
                    peer.handle_datagram(now, true, remote, local, datagram);
                });
                if cut.is_err() {
                    self.closed(now, peer, id, "an overlong frame has arrived");
                }
            }
            (
                Arrival::Bytes(bytes),
                Role::Relay {
                    relay: Some(relay), ..
                },
            ) => {
                relay.handle_bytes(now, bytes);
                self.follow_relay(now, peer, id);
            }
            (Arrival::Found(addresses), Role::Lookup { server }) => {
                let url = server.url.clone();
                self.carriers.remove(&id);
                for address in addresses {
                    self.stun.push((url.clone(), address));
                    self.question(now, &url, address);
                }
            }
            // Out of turn.
            (Arrival::Bytes(_) | Arrival::Found(_) | Arrival::Opened { .. }, _) => {}
        }
    }

    /// A carrier has ended, or is to end.
    fn closed(&mut self, now: Instant, peer: &mut Peer, id: CarrierId, reason: &str) {
        let Some(carrier) = self.carriers.remove(&id) else {
            return;
        };
        match carrier.role {
            Role::Stream { remote, local, .. } => {
                tracing::debug!(reason, "a stream to the peer has ended");
                if let Some(local) = local {
                    peer.remove_local_address(now, local);
                }
                peer.stream_failed(now, remote);
            }
            Role::Relay { server, relay } => {
                if let Some(address) = relay.and_then(|relay| relay.address()) {
                    peer.remove_local_address(now, address);
                }
                failed(peer, server.url, reason);
            }
            Role::Lookup { server } => failed(peer, server.url, reason),
        }
    }

    /// Does what has come of a relay: sends, hands over, tells.
    fn follow_relay(&mut self, now: Instant, peer: &mut Peer, id: CarrierId) {
        let Some(CarrierHandle {
            out,
            role:
                Role::Relay {
                    server:
                        Server {
                            help: Help::Turn { carrier, .. },
                            ..
                        },
                    relay: Some(relay),
                },
        }) = self.carriers.get_mut(&id)
        else {
            return;
        };
        let carrier = *carrier;
        let mut failed = None;
        while let Some(event) = relay.poll_event() {
            match event {
                RelayEvent::Allocated(address) => {
                    peer.add_local(address, Origin::Relay { carrier });
                }
                RelayEvent::Received { source, contents } => {
                    if let Some(address) = relay.address() {
                        peer.handle_datagram(now, false, source, address, &contents);
                    }
                }
                RelayEvent::Failed(reason) => failed = Some(reason),
            }
        }
        while let Some(transmit) = relay.poll_transmit() {
            // A full channel loses datagrams as a full socket does.
            out.try_send(transmit).ok();
        }
        if let Some(reason) = failed {
            self.closed(now, peer, id, reason);
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, peer: &mut Peer) {
        let ids: Vec<CarrierId> = self.carriers.keys().copied().collect();
        for id in ids {
            if let Some(CarrierHandle {
                role: Role::Relay {
                    relay: Some(relay), ..
                },
                ..
            }) = self.carriers.get_mut(&id)
                && relay.poll_timeout().is_some_and(|at| at <= now)
            {
                relay.handle_timeout(now);
                self.follow_relay(now, peer, id);
            }
        }
        let sockets = &self.sockets;
        self.questions.retain_mut(|(url, question)| {
            let server = question.server;
            let socket = question.socket;
            match question.handle_timeout(now) {
                Ok(Some(request)) => {
                    if let Some(socket) = sockets.iter().find(|s| s.address == socket) {
                        socket.send(request, server).ok();
                    }
                    true
                }
                Ok(None) => true,
                Err(_) => {
                    failed(peer, url.clone(), "the server does not answer");
                    false
                }
            }
        });
    }

    /// Sends a datagram the way that it names.
    pub(super) fn send(&mut self, now: Instant, transmit: &Transmit) {
        let Transmit {
            stream,
            source,
            destination,
            contents,
        } = transmit;
        if let Some(socket) = self.sockets.iter().find(|s| s.carries(transmit)) {
            socket.transmit(transmit);
            return;
        }
        for CarrierHandle { out, role } in self.carriers.values_mut() {
            match role {
                Role::Stream {
                    remote,
                    local: Some(local),
                    ..
                } if *stream && local == source && remote == destination => {
                    if let Some(frame) = frame(contents) {
                        out.try_send(frame).ok();
                    }
                    return;
                }
                Role::Relay {
                    relay: Some(relay), ..
                } if !stream && relay.address() == Some(*source) => {
                    relay.send(now, *destination, contents);
                    while let Some(transmit) = relay.poll_transmit() {
                        out.try_send(transmit).ok();
                    }
                    return;
                }
                Role::Stream { .. } | Role::Relay { .. } | Role::Lookup { .. } => {}
            }
        }
    }

    /// Gives lent addresses back and closes everything.
    pub(super) async fn close(mut self) {
        let now = Instant::now();
        for CarrierHandle { out, role } in self.carriers.values_mut() {
            let Role::Relay {
                relay: Some(relay), ..
            } = role
            else {
                continue;
            };
            relay.close(now);
            while let Some(transmit) = relay.poll_transmit() {
                out.try_send(transmit).ok();
            }
        }
        // Each carrier ends when it has sent what waits.
        self.carriers.clear();
        let tasks = &mut self.tasks;
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(CLOSE_TIMEOUT, all).await.ok();
    }
}

fn failed(peer: &mut Peer, url: String, reason: &str) {
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    peer.address_failed(nowhere, url, reason.to_owned());
}
