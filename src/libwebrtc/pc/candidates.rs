//! The ways to the peer: addresses of this side, and those that the peer has told.
//!
//! An address of this side is one of a socket, one that a STUN server has seen, one that a TURN server lends, or a stream
//! that this side has opened to the peer. Streams are only ever opened by this side: a server cannot call back through
//! what made UDP impossible.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use str0m::{
    Candidate,
    net::{Protocol, TcpType},
};

use super::{ConnectionState, Event, GatheringState, IceState, PcError, Peer};
use crate::sdp;

/// Candidates of the peer at most; str0m checks each against every local one.
const CANDIDATES_MAX: usize = 64;
/// Addresses of this side at most.
const LOCAL_MAX: usize = 32;
/// How long UDP has a head start before streams are opened.
const DIAL_AFTER: Duration = Duration::from_millis(150);
/// The pause before a stream that has broken is opened again.
const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// How often a stream to one address is opened while no way stands.
const DIALS_MAX: u8 = 5;
/// What is told as the port of a stream that this side opens (RFC 6544, 4.5).
const DISCARD_PORT: u16 = 9;

/// How a helping server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream in TLS.
    Tls,
}

/// Where an address of this side comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A socket of this machine; `told` says whether the peer may know it.
    Socket { told: bool },
    /// What a STUN server has seen of a socket.
    Reflexive { base: SocketAddr },
    /// An address that a TURN server lends, which is spoken to over `carrier`.
    Relay { carrier: Carrier },
    /// A stream that this side has opened.
    Stream,
}

/// Which addresses of this very machine are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loopback {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

/// An address of this side.
#[derive(Debug)]
struct Local {
    address: SocketAddr,
    origin: Origin,
    candidate: Candidate,
}

/// An address of the peer, and how the peer has told it.
#[derive(Debug)]
struct Remote {
    protocol: Protocol,
    address: SocketAddr,
    text: String,
}

/// What is known of an address that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CandidateReport {
    pub(crate) address: SocketAddr,
    /// Whether it is one end of a stream.
    pub(crate) stream: bool,
    /// The standard's word for where it comes from.
    pub(crate) kind: CandidateKind,
    pub(crate) priority: u32,
    pub(crate) foundation: String,
    pub(crate) related: Option<SocketAddr>,
    /// How the server that lends it is spoken to.
    pub(crate) carrier: Option<Carrier>,
}

/// Where an address comes from, as the standard has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateKind {
    Host,
    ServerReflexive,
    /// Only the other side has seen it.
    PeerReflexive,
    Relayed,
}

impl CandidateReport {
    /// Reads what was told of an address; one that was not told has been seen by the other side.
    fn read(address: SocketAddr, stream: bool, text: Option<&str>) -> Self {
        let words: Vec<&str> = text.unwrap_or_default().split(' ').collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let related = || {
            let ip = after("raddr")?.parse().ok()?;
            Some(SocketAddr::new(ip, after("rport")?.parse().ok()?))
        };
        Self {
            address,
            stream,
            kind: match after("typ") {
                Some("host") => CandidateKind::Host,
                Some("srflx") => CandidateKind::ServerReflexive,
                Some("relay") => CandidateKind::Relayed,
                _ => CandidateKind::PeerReflexive,
            },
            priority: word(3).parse().unwrap_or_default(),
            foundation: word(0).trim_start_matches("candidate:").to_owned(),
            related: related(),
            carrier: None,
        }
    }
}

/// An address of the peer to which a stream can be opened.
#[derive(Debug, Clone, Copy)]
struct Dial {
    remote: SocketAddr,
    /// When, unless a way stands by then; `None` while one is being opened or is open.
    at: Option<Instant>,
    count: u8,
}

/// What is known of the ways to the peer.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) gathering: GatheringState,
    gather: bool,
    locals: Vec<Local>,
    remotes: Vec<Remote>,
    dials: Vec<Dial>,
    loopback: Loopback,
}

impl Candidates {
    /// A negotiation has replaced the credentials: what the peer has told is void.
    pub(super) fn forget_peer(&mut self) {
        self.remotes.clear();
        self.dials.clear();
    }

    /// When the next stream is to be opened.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        self.dials.iter().filter_map(|dial| dial.at).min()
    }

    /// What is known of an address of this side.
    pub(super) fn describe_local(&self, address: SocketAddr, stream: bool) -> CandidateReport {
        let same =
            |local: &&Local| local.address == address && stream == (local.origin == Origin::Stream);
        let local = self.locals.iter().find(same);
        let text = local.map(|local| local.candidate.to_sdp_string());
        CandidateReport {
            carrier: local.and_then(|local| match local.origin {
                Origin::Relay { carrier } => Some(carrier),
                Origin::Socket { .. } | Origin::Reflexive { .. } | Origin::Stream => None,
            }),
            ..CandidateReport::read(address, stream, text.as_deref())
        }
    }

    /// What is known of an address of the peer.
    pub(super) fn describe_remote(&self, address: SocketAddr, stream: bool) -> CandidateReport {
        let same = |remote: &&Remote| {
            remote.address == address && stream == (remote.protocol != Protocol::Udp)
        };
        let told = self.remotes.iter().find(same);
        CandidateReport::read(address, stream, told.map(|remote| remote.text.as_str()))
    }
}

impl Peer {
    /// The state of gathering.
    pub(crate) fn gathering_state(&self) -> GatheringState {
        self.candidates.gathering
    }

    /// Whether local addresses are to be collected now; asks once.
    pub(crate) fn take_gather_request(&mut self) -> bool {
        std::mem::take(&mut self.candidates.gather)
    }

    /// Whether the peer has an address of this very machine.
    pub(crate) fn wants_loopback(&self) -> Loopback {
        self.candidates.loopback
    }

    /// Collects addresses at the first description of this side, and tells them again when the credentials change.
    pub(super) fn begin_gathering(&mut self) {
        let restart = self.restart_offered();
        if self.candidates.gathering != GatheringState::New && !restart {
            return;
        }
        self.candidates.gathering = GatheringState::Gathering;
        self.candidates.gather = true;
        self.events
            .push_back(Event::Gathering(GatheringState::Gathering));
        if !restart {
            return;
        }
        // The server ties a stream to the credentials that came over it first, so that none can be used again.
        let streams: Vec<SocketAddr> = self
            .candidates
            .locals
            .iter()
            .filter(|local| local.origin == Origin::Stream)
            .map(|local| local.address)
            .collect();
        for address in streams {
            self.remove_local_address(self.now, address);
        }
        let texts: Vec<String> = self.candidates.locals.iter().filter_map(told).collect();
        for text in texts {
            self.tell(text);
        }
    }

    /// Adds an address of this side. What is known, invalid or too much is left out.
    pub(crate) fn add_local(&mut self, address: SocketAddr, origin: Origin) {
        let known = |local: &Local| local.address == address && local.origin == origin;
        let candidates = &self.candidates;
        if self.closed
            || candidates.locals.len() >= LOCAL_MAX
            || candidates.locals.iter().any(known)
        {
            return;
        }
        let candidate = match origin {
            Origin::Socket { .. } => Candidate::host(address, Protocol::Udp),
            Origin::Reflexive { base } => Candidate::server_reflexive(address, base, Protocol::Udp),
            // Which socket leads to the server is for the owner of the sockets to know.
            Origin::Relay { carrier: _ } => Candidate::relayed(address, address, Protocol::Udp),
            Origin::Stream => Candidate::builder()
                .tcp()
                .host(address)
                .tcptype(TcpType::Active)
                .build(),
        };
        let Ok(candidate) = candidate else {
            return;
        };
        // None when a better one has the same base, as with a STUN server that sees the socket's own address.
        let Some(candidate) = self.rtc.add_local_candidate(candidate) else {
            return;
        };
        let local = Local {
            address,
            origin,
            candidate: candidate.clone(),
        };
        let text = told(&local);
        self.candidates.locals.push(local);
        if let Some(text) = text {
            self.tell(text);
        }
    }

    /// An address of this side is gone, and what was seen of it by others.
    pub(crate) fn remove_local_address(&mut self, now: Instant, address: SocketAddr) {
        let gone = |local: &Local| {
            local.address == address
                || matches!(local.origin, Origin::Reflexive { base } if base == address)
        };
        let (gone, left) = std::mem::take(&mut self.candidates.locals)
            .into_iter()
            .partition(gone);
        self.candidates.locals = left;
        let gone: Vec<Local> = gone;
        for local in gone {
            // A stream that has broken is opened again.
            if local.origin != Origin::Stream {
                self.address_gone(now, local.address);
            }
            self.rtc.direct_api().invalidate_candidate(&local.candidate);
        }
    }

    fn tell(&mut self, text: String) {
        let mid = self.negotiation.first_mid();
        self.events.push_back(Event::Candidate {
            mid,
            index: 0,
            text,
        });
    }

    /// A local address cannot be had, or a helping server failed.
    pub(crate) fn address_failed(&mut self, address: SocketAddr, url: String, text: String) {
        self.events
            .push_back(Event::CandidateError { address, url, text });
    }

    /// All local addresses have been added.
    pub(crate) fn gathering_done(&mut self) {
        if self.candidates.gathering == GatheringState::Gathering {
            self.candidates.gathering = GatheringState::Complete;
            self.events
                .push_back(Event::Gathering(GatheringState::Complete));
        }
    }

    /// Adds an address of the peer. It waits when the description that it belongs to is not in effect yet.
    pub(crate) fn add_candidate(&mut self, text: &str) -> Result<(), PcError> {
        self.check_open()?;
        let text = sdp::candidate_text(text);
        if text.is_empty() {
            return Ok(());
        }
        if self.negotiation.takes_candidates() {
            return self.use_candidate(text);
        }
        if self.waiting_candidates.len() < CANDIDATES_MAX {
            self.waiting_candidates.push(text.to_owned());
        }
        Ok(())
    }

    pub(super) fn use_waiting_candidates(&mut self) {
        for text in std::mem::take(&mut self.waiting_candidates) {
            if let Err(error) = self.use_candidate(&text) {
                tracing::debug!(%error, "a waiting candidate is of no use");
            }
        }
    }

    pub(super) fn use_candidate(&mut self, text: &str) -> Result<(), PcError> {
        let candidate = Candidate::from_sdp_string(text)
            .map_err(|error| PcError::Candidate(error.to_string()))?;
        let address = candidate.addr();
        match (candidate.proto(), candidate.tcptype()) {
            (Protocol::Udp, _) => {}
            // A peer that opens streams itself would have to be listened for.
            (Protocol::Tcp, Some(TcpType::Passive | TcpType::So)) if address.port() != 0 => {}
            (Protocol::Tcp | Protocol::SslTcp | Protocol::Tls, _) => return Ok(()),
        }
        let protocol = candidate.proto();
        let known = |remote: &Remote| remote.protocol == protocol && remote.address == address;
        // Every description repeats what was told before.
        if self.candidates.remotes.iter().any(known)
            || self.candidates.remotes.len() >= CANDIDATES_MAX
        {
            return Ok(());
        }
        self.candidates.remotes.push(Remote {
            protocol,
            address,
            text: text.to_owned(),
        });
        match address.ip() {
            IpAddr::V4(ip) => self.candidates.loopback.v4 |= ip.is_loopback(),
            IpAddr::V6(ip) => self.candidates.loopback.v6 |= ip.is_loopback(),
        }
        let known = |dial: &Dial| dial.remote == address;
        if candidate.proto() == Protocol::Tcp && !self.candidates.dials.iter().any(known) {
            self.candidates.dials.push(Dial {
                remote: address,
                at: Some(self.now + DIAL_AFTER),
                count: 0,
            });
        }
        self.rtc.add_remote_candidate(candidate);
        Ok(())
    }

    /// The next address of the peer to which a stream is to be opened now.
    pub(crate) fn poll_dial(&mut self, now: Instant) -> Option<SocketAddr> {
        if !self.seeks_way() {
            return None;
        }
        let due = |dial: &&mut Dial| dial.at.is_some_and(|at| at <= now);
        let dial = self.candidates.dials.iter_mut().find(due)?;
        dial.at = None;
        dial.count += 1;
        Some(dial.remote)
    }

    /// A stream to the peer could not be opened, or has broken.
    pub(crate) fn stream_failed(&mut self, now: Instant, remote: SocketAddr) {
        let same = |dial: &&mut Dial| dial.remote == remote;
        if let Some(dial) = self.candidates.dials.iter_mut().find(same) {
            dial.at = (dial.count < DIALS_MAX).then(|| now + REDIAL_AFTER);
        }
    }

    /// Whether there is something to reach and no way to it yet.
    fn seeks_way(&self) -> bool {
        let found = matches!(
            self.transport.ice,
            IceState::Connected | IceState::Completed
        );
        let seeking = match self.connection_state() {
            ConnectionState::Connecting | ConnectionState::Disconnected => true,
            ConnectionState::New
            | ConnectionState::Connected
            | ConnectionState::Failed
            | ConnectionState::Closed => false,
        };
        seeking && !found
    }

    /// When a stream is to be opened.
    pub(super) fn dial_timeout(&self) -> Option<Instant> {
        let next = self.candidates.next_dial();
        next.filter(|_| self.seeks_way())
    }
}

/// What the peer is told of an address, if anything.
fn told(local: &Local) -> Option<String> {
    let candidate = match local.origin {
        Origin::Socket { told: false } => return None,
        Origin::Socket { told: true } | Origin::Reflexive { .. } | Origin::Relay { .. } => {
            local.candidate.to_sdp_string()
        }
        Origin::Stream => {
            let address = SocketAddr::new(local.address.ip(), DISCARD_PORT);
            let candidate = Candidate::builder()
                .tcp()
                .host(address)
                .tcptype(TcpType::Active)
                .build();
            candidate.ok()?.to_sdp_string()
        }
    };
    // The fragment is that of the time at which the address was added.
    let text = candidate
        .split_once(" ufrag ")
        .map_or(candidate.as_str(), |(text, _)| text);
    Some(text.to_owned())
}
