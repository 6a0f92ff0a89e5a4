//! Local addresses and the sockets on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    task::{Context, Poll},
};

use if_addrs::Interface;
use tokio::io::{Interest, unix::AsyncFd};

use crate::pc::{Loopback, Transmit};

/// Sockets per connection at most; further addresses are not used.
const SOCKETS_MAX: usize = 16;

/// A socket and its address.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: SocketAddr,
    /// Watched for arrivals alone: told of room as well, the thread would wake once more after each datagram that it sends.
    io: AsyncFd<UdpSocket>,
}

impl Socket {
    /// A socket on a free port of an address. Must run on a runtime.
    fn open(ip: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        socket.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change; this one's does not"
        )]
        let io = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self {
            address: io.get_ref().local_addr()?,
            io,
        })
    }

    /// Whether something may have arrived; if not, the task is woken when it has.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.io.poll_read_ready(context).map(|_| ())
    }

    /// The next datagram, its length and its sender.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &UdpSocket| socket.recv_from(buffer);
        self.io.try_io(Interest::READABLE, receive)
    }

    /// Whether a datagram is to be sent over this socket.
    pub(super) fn carries(&self, transmit: &Transmit) -> bool {
        !transmit.stream && transmit.source == self.address
    }

    /// Sends a datagram. What cannot be sent is lost, as any datagram may be: the layers above send again what matters.
    pub(super) fn transmit(&self, transmit: &Transmit) {
        if let Err(error) = self.send(&transmit.contents, transmit.destination) {
            tracing::trace!(%error, "a datagram was not sent");
        }
    }

    /// Sends a datagram now or not at all.
    pub(super) fn send(&self, contents: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.io.get_ref().send_to(contents, destination)
    }
}

/// What came of collecting addresses.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) opened: Vec<Socket>,
    pub(super) failed: Vec<(IpAddr, io::Error)>,
    /// Of sockets whose addresses this machine has no longer.
    pub(super) gone: Vec<SocketAddr>,
}

/// Opens sockets on all addresses that have none yet. The loopback address is used when there is no other, or on demand.
pub(super) fn gather(existing: &[Arc<Socket>], loopback: Loopback) -> Gathered {
    let mut gathered = Gathered::default();
    let mut addresses = interface_addresses();
    if addresses.is_empty() || loopback.v4 {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    if loopback.v6 {
        addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    gathered.gone = existing
        .iter()
        .map(|socket| socket.address)
        .filter(|address| !address.ip().is_loopback() && !addresses.contains(&address.ip()))
        .collect();
    let kept = existing.len() - gathered.gone.len();
    for ip in addresses {
        let known = |socket: &Socket| socket.address.ip() == ip;
        if existing.iter().any(|socket| known(socket)) || gathered.opened.iter().any(known) {
            continue;
        }
        if kept + gathered.opened.len() >= SOCKETS_MAX {
            break;
        }
        match Socket::open(ip) {
            Ok(socket) => gathered.opened.push(socket),
            Err(error) => gathered.failed.push((ip, error)),
        }
    }
    gathered
}

/// The addresses of the interfaces that are up, without the loopback, in the order of the interfaces.
pub(super) fn interface_addresses() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces
            .iter()
            .filter(|interface| interface.is_oper_up())
            .map(Interface::ip)
            .filter(reaches_beyond_the_link)
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "the interfaces of this machine cannot be listed");
            Vec::new()
        }
    }
}

/// Link-local addresses would need their interface named along with them, which candidates cannot.
fn reaches_beyond_the_link(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}
