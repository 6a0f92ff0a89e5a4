//! Local addresses and the sockets on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket},
};

use tokio::net::UdpSocket;

/// Sockets per connection at most; further addresses are not used.
const SOCKETS_MAX: usize = 16;

/// A socket and its address.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: SocketAddr,
    pub(super) io: UdpSocket,
}

impl Socket {
    /// A socket on a free port of an address. Must run on a runtime.
    fn open(ip: IpAddr) -> io::Result<Self> {
        let socket = StdSocket::bind(SocketAddr::new(ip, 0))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            address: socket.local_addr()?,
            io: UdpSocket::from_std(socket)?,
        })
    }
}

/// What came of collecting addresses.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) opened: Vec<Socket>,
    pub(super) failed: Vec<(IpAddr, io::Error)>,
}

/// Opens sockets on all addresses that have none yet. The loopback address is used when there is no other, or on demand.
pub(super) fn gather(existing: &[Socket], loopback: bool) -> Gathered {
    let mut gathered = Gathered::default();
    let mut addresses = interface_addresses();
    if addresses.is_empty() || loopback {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    for ip in addresses {
        let known = |socket: &Socket| socket.address.ip() == ip;
        if existing.iter().any(known) || gathered.opened.iter().any(known) {
            continue;
        }
        if existing.len() + gathered.opened.len() >= SOCKETS_MAX {
            break;
        }
        match Socket::open(ip) {
            Ok(socket) => gathered.opened.push(socket),
            Err(error) => gathered.failed.push((ip, error)),
        }
    }
    gathered
}

/// The IPv4 addresses of the interfaces that are up, without the loopback.
fn interface_addresses() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces
            .iter()
            .filter(|interface| !interface.is_loopback())
            .map(if_addrs::Interface::ip)
            .filter(IpAddr::is_ipv4)
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "the interfaces of this machine cannot be listed");
            Vec::new()
        }
    }
}
