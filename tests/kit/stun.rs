//! A STUN server on the loopback interface, which tells clients the address that they come from (RFC 8489).
//!
//! LiveKit's server names public ones to its clients unless it is told of others, and a client on a machine that does not reach those
//! asks again and again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon the server's thread sees that it is to end.
const END_WITHIN: Duration = Duration::from_millis(200);
const HEADER_BYTES: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_RESPONSE: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A server that ends when this value is dropped.
#[derive(Debug)]
pub struct StunServer {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StunServer {
    /// Starts a server.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(END_WITHIN))?;
        let address = socket.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = answer(&buffer[..length], from) {
                    // A client that is gone needs no answer.
                    socket.send_to(&answer, from).ok();
                }
            }
        });
        Ok(Self {
            address,
            over,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The lines of a LiveKit server's section `rtc` that have it name this server to its clients.
    pub fn rtc_yaml(&self) -> String {
        format!("stun_servers:\n- {}\n", self.address)
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            thread.join().ok();
        }
    }
}

/// The answer to a question; `None` if it is none.
fn answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let header = request.get(..HEADER_BYTES)?;
    let IpAddr::V4(address) = from.ip() else {
        return None;
    };
    if header[..2] != BINDING_REQUEST || header[4..8] != COOKIE {
        return None;
    }
    let port = from.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let mut answer = BINDING_RESPONSE.to_vec();
    // An attribute of 8 bytes and its header, and the transaction as it came.
    answer.extend([0, 12]);
    answer.extend(&header[4..]);
    answer.extend(XOR_MAPPED_ADDRESS);
    answer.extend([0, 8, 0, 1]);
    answer.extend(port.to_be_bytes());
    answer.extend((0..4).map(|at| address.octets()[at] ^ COOKIE[at]));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample response of RFC 5769, 2.2, tells 192.0.2.1:32853; its attribute is `00 01 a1 47 e1 12 a6 43`.
    #[test]
    fn the_address_is_told_as_in_the_standards_example() {
        let mut request = [0; HEADER_BYTES];
        request[..2].copy_from_slice(&BINDING_REQUEST);
        request[4..8].copy_from_slice(&COOKIE);
        request[8..].copy_from_slice(b"transaction!");
        let from = SocketAddr::from(([192, 0, 2, 1], 32_853));
        let answer = answer(&request, from).expect("it is a question");
        assert_eq!(answer[..4], [1, 1, 0, 12]);
        assert_eq!(answer[4..20], request[4..]);
        let told = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(answer[24..], told);
        assert_eq!(super::answer(&request[..19], from), None);
        assert_eq!(super::answer(&answer, from), None);
    }

    #[test]
    fn a_client_is_told_its_address() -> io::Result<()> {
        let server = StunServer::start()?;
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = [7; HEADER_BYTES];
        request[..4].copy_from_slice(&[0, 1, 0, 0]);
        request[4..8].copy_from_slice(&COOKIE);
        client.send_to(b"what?", server.address())?;
        client.send_to(&request, server.address())?;
        let mut buffer = [0; 100];
        let (length, _) = client.recv_from(&mut buffer)?;
        let port = u16::from_be_bytes([buffer[26], buffer[27]]) ^ 0x2112;
        assert_eq!((length, port), (32, client.local_addr()?.port()));
        Ok(())
    }
}
