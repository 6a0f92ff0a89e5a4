//! Streams to the peer, and sockets and streams to the servers that help: each is a task of its own that ends with its
//! channel.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::engine::LOOKUPS_MAX;
use crate::pc::Carrier;

/// How long finding and connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long writing one datagram to a stream may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read from a stream at once, in bytes.
const READ_BYTES: usize = 8 * 1024;
/// Datagrams that wait to be sent; further ones are dropped, as a full socket drops them.
pub(super) const OUT_MAX: usize = 256;
/// Pieces that wait to be read, over all carriers of a connection; then they wait in the sockets.
pub(super) const ARRIVALS_MAX: usize = 128;
/// Addresses of a server that are tried.
const ADDRESSES_MAX: usize = 4;

/// A number for a carrier.
pub(super) type CarrierId = u32;

/// What a carrier connects to.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// A stream to an address of the peer.
    Peer(SocketAddr),
    /// A server that lends addresses.
    Server {
        host: String,
        port: u16,
        carrier: Carrier,
    },
    /// The addresses of a server are only looked up.
    Lookup { host: String, port: u16 },
}

/// Something from a carrier.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It is connected.
    Opened {
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// A datagram, or a piece of a stream.
    Bytes(Vec<u8>),
    /// The addresses of a server.
    Found(Vec<SocketAddr>),
    /// It has ended.
    Closed(String),
}

/// Runs a carrier until either side closes it.
pub(super) async fn run(
    id: CarrierId,
    destination: Destination,
    arrivals: mpsc::Sender<(CarrierId, Arrival)>,
    mut out: mpsc::Receiver<Vec<u8>>,
) {
    // The connection may be gone while this one waits for a server.
    let ended = tokio::select! {
        ended = carry(id, destination, &arrivals, &mut out) => ended,
        () = arrivals.closed() => return,
    };
    let reason = match ended {
        Ok(Some(addresses)) => Arrival::Found(addresses),
        Ok(None) => Arrival::Closed("closed".to_owned()),
        Err(error) => Arrival::Closed(error.to_string()),
    };
    // Nobody listens any more when the connection is closed.
    arrivals.send((id, reason)).await.ok();
}

async fn carry(
    id: CarrierId,
    destination: Destination,
    arrivals: &mpsc::Sender<(CarrierId, Arrival)>,
    out: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<Option<Vec<SocketAddr>>> {
    match destination {
        Destination::Peer(remote) => {
            let stream = limited(TcpStream::connect(remote)).await?;
            let opened = opened(&stream)?;
            arrivals.send((id, opened)).await.ok();
            pump(id, stream, arrivals, out).await?;
        }
        Destination::Lookup { host, port } => return find(&host, port).await.map(Some),
        Destination::Server {
            host,
            port,
            carrier,
        } => {
            let addresses = find(&host, port).await?;
            match carrier {
                Carrier::Udp => {
                    let socket = connected_socket(&addresses).await?;
                    let opened = Arrival::Opened {
                        local: socket.local_addr()?,
                        remote: socket.peer_addr()?,
                    };
                    arrivals.send((id, opened)).await.ok();
                    pump_datagrams(id, &socket, arrivals, out).await?;
                }
                Carrier::Tcp => {
                    let stream = limited(TcpStream::connect(&addresses[..])).await?;
                    let opened = opened(&stream)?;
                    arrivals.send((id, opened)).await.ok();
                    pump(id, stream, arrivals, out).await?;
                }
                Carrier::Tls => {
                    let stream = limited(TcpStream::connect(&addresses[..])).await?;
                    let opened = opened(&stream)?;
                    let name = ServerName::try_from(host).map_err(io::Error::other)?;
                    let connector = TlsConnector::from(tls()?);
                    let stream = limited(connector.connect(name, stream)).await?;
                    arrivals.send((id, opened)).await.ok();
                    pump(id, stream, arrivals, out).await?;
                }
            }
        }
    }
    Ok(None)
}

async fn limited<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "timed out")))
}

/// The addresses of a host. The names are looked up on a thread of the runtime, not on the one that drives connections.
async fn find(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let addresses = limited(look_up(host.to_owned(), port)).await?;
    match addresses.is_empty() {
        true => Err(io::Error::other("the host has no address")),
        false => Ok(addresses),
    }
}

/// A look-up cannot be called off. One that nobody waits for any more keeps its place until it ends, and the next ones wait here, where
/// they can be dropped: else dead name servers would gather them without end.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    static PLACES: Semaphore = Semaphore::const_new(LOOKUPS_MAX);
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    let looking = spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        drop(place);
        found.map(|found| found.take(ADDRESSES_MAX).collect())
    });
    looking.await.map_err(io::Error::other)?
}

fn opened(stream: &TcpStream) -> io::Result<Arrival> {
    stream.set_nodelay(true)?;
    Ok(Arrival::Opened {
        local: stream.local_addr()?,
        remote: stream.peer_addr()?,
    })
}

async fn connected_socket(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let mut last = None;
    for address in addresses {
        let any = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the host has no address")))
}

async fn pump(
    id: CarrierId,
    stream: impl AsyncRead + AsyncWrite,
    arrivals: &mpsc::Sender<(CarrierId, Arrival)>,
    out: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = reader.read(&mut buffer).await?;
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let arrival = Arrival::Bytes(buffer[..length].to_vec());
            if arrivals.send((id, arrival)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some(bytes) = out.recv().await {
            limit_write(writer.write_all(&bytes)).await?;
            limit_write(writer.flush()).await?;
        }
        limit_write(writer.shutdown()).await
    };
    // Whichever ends first ends both: nothing is to be kept of a stream of which one half is gone.
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

async fn limit_write<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(WRITE_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "nothing is read")))
}

async fn pump_datagrams(
    id: CarrierId,
    socket: &UdpSocket,
    arrivals: &mpsc::Sender<(CarrierId, Arrival)>,
    out: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // Both receive only, so that whichever is dropped loses nothing.
        tokio::select! {
            received = socket.recv(&mut buffer) => {
                // A refused datagram is reported here; the server may come back.
                let Ok(length) = received else { continue };
                let arrival = Arrival::Bytes(buffer[..length].to_vec());
                if arrivals.send((id, arrival)).await.is_err() {
                    return Ok(());
                }
            }
            bytes = out.recv() => match bytes {
                Some(bytes) => { socket.send(&bytes).await.ok(); }
                None => return Ok(()),
            },
        }
    }
}

/// TLS as this machine trusts it.
fn tls() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    });
    config.clone().map_err(io::Error::other)
}
