//! A relay in front of the server's media port, which loses and delays the packets of a voice on their way to who listens.
//!
//! The server tells its participants the relay's address as its own. Only RTP from the server is touched, and that only once a pattern is
//! given: ICE, DTLS and RTCP pass as they come, and so does all that participants send. Encryption leaves the header of RTP readable.
//! The server keeps the sequence numbers of the speaker, so that a packet has the same place in the pattern of each listener; one that
//! is sent again has the fate of the first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::pattern::{Fate, Pattern};

const DATAGRAM_MAX: usize = 2_048;
/// Participants at most; what comes from others is not forwarded.
const FLOWS_MAX: usize = 16;
/// Places before the first one of the pattern are those of packets that are still under way when it is given.
const BEHIND: u16 = 1 << 15;

/// What became of the packets to one participant, by their places in the pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    pub(crate) lost: BTreeSet<u16>,
    pub(crate) passed: BTreeSet<u16>,
    /// Copies of packets that had come before.
    pub(crate) again: u32,
    pub(crate) payload_types: BTreeSet<u8>,
}

/// A relay, which ends when this value is dropped.
pub(crate) struct Relay {
    state: Arc<Mutex<State>>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// The speaker's newest sequence number.
    newest: u16,
    pattern: Option<(Arc<Pattern>, u16)>,
    served: HashMap<SocketAddr, Served>,
}

impl Relay {
    /// Relays between `listen` and the server's media port.
    pub(crate) async fn start(listen: SocketAddr, server: SocketAddr) -> Result<Self> {
        let front = UdpSocket::bind(listen)
            .await
            .with_context(|| format!("the relay cannot have {listen}"))?;
        let state = Arc::new(Mutex::new(State::default()));
        let running = tokio::spawn(run(Arc::new(front), server, state.clone()));
        Ok(Self { state, running })
    }

    /// From the speaker's next packet on, `pattern` holds.
    pub(crate) fn apply(&self, pattern: Pattern) {
        let mut state = locked(&self.state);
        let first = state.newest.wrapping_add(1);
        state.pattern = Some((Arc::new(pattern), first));
    }

    /// What each participant that was sent RTP got while a pattern held.
    pub(crate) fn served(&self) -> Vec<Served> {
        locked(&self.state).served.values().cloned().collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl State {
    /// The fate of a packet from the server.
    fn fate(&mut self, to: SocketAddr, packet: &[u8]) -> Fate {
        let passes = Fate::After(std::time::Duration::ZERO);
        let (Some((pattern, first)), Some(header)) = (&self.pattern, RtpHeader::read(packet))
        else {
            return passes;
        };
        let place = header.sequence.wrapping_sub(*first);
        if place >= BEHIND {
            return passes;
        }
        let fate = pattern.fate(place);
        let served = self.served.entry(to).or_default();
        served.payload_types.insert(header.payload_type);
        let seen = match fate {
            Fate::Lost => &mut served.lost,
            Fate::After(_) => &mut served.passed,
        };
        served.again += u32::from(!seen.insert(place));
        fate
    }
}

struct RtpHeader {
    payload_type: u8,
    sequence: u16,
}

impl RtpHeader {
    /// Of an RTP packet; RTCP, STUN and DTLS are none (RFC 7983, RFC 5761).
    fn read(packet: &[u8]) -> Option<Self> {
        let &[first, second, high, low, ..] = packet else {
            return None;
        };
        let payload_type = second & 0x7f;
        let is_rtp = (128..192).contains(&first) && !(64..96).contains(&payload_type);
        (is_rtp && packet.len() >= 12).then_some(Self {
            payload_type,
            sequence: u16::from_be_bytes([high, low]),
        })
    }
}

/// Gives every participant a socket of its own towards the server.
async fn run(front: Arc<UdpSocket>, server: SocketAddr, state: Arc<Mutex<State>>) {
    let mut back: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut flows = JoinSet::new();
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        // A socket whose last packet was refused says so here, and goes on.
        let Ok((length, from)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        let packet = &buffer[..length];
        if let Some(header) = RtpHeader::read(packet) {
            locked(&state).newest = header.sequence;
        }
        let socket = match back.get(&from) {
            Some(socket) => socket.clone(),
            None if back.len() == FLOWS_MAX => continue,
            None => {
                let Ok(socket) = connected(server).await else {
                    continue;
                };
                let socket = Arc::new(socket);
                back.insert(from, socket.clone());
                flows.spawn(down(front.clone(), socket.clone(), from, state.clone()));
                socket
            }
        };
        // What cannot be sent is lost, as on any network.
        socket.send(packet).await.ok();
    }
}

async fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// Hands one participant what the server sends it, when its time has come.
async fn down(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    to: SocketAddr,
    state: Arc<Mutex<State>>,
) {
    let mut waiting: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let due = waiting.first_key_value().map(|((due, _), _)| *due);
        let is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => future::pending().await,
            }
        };
        // Both can be begun anew at any time.
        tokio::select! {
            received = back.recv(&mut buffer) => {
                let Ok(length) = received else { continue };
                let packet = &buffer[..length];
                match locked(&state).fate(to, packet) {
                    Fate::Lost => {}
                    Fate::After(delay) => {
                        count += 1;
                        waiting.insert((Instant::now() + delay, count), packet.to_vec());
                    }
                }
            }
            () = is_due => {}
        }
        while let Some(first) = waiting.first_entry()
            && first.key().0 <= Instant::now()
        {
            let packet = first.remove();
            // As above.
            front.send_to(&packet, to).await.ok();
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pattern::CONDITIONS;

    const LIMIT: Duration = Duration::from_secs(20);

    fn rtp(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet
    }

    fn loopback() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    /// A server that sends to each participant; the second one is a listener alone.
    struct Line {
        relay: Relay,
        server: UdpSocket,
        speaker: UdpSocket,
        listener: UdpSocket,
        listener_at: SocketAddr,
    }

    impl Line {
        async fn new() -> Result<Self> {
            let server = UdpSocket::bind(loopback()).await?;
            let at = UdpSocket::bind(loopback()).await?.local_addr()?;
            let relay = Relay::start(at, server.local_addr()?).await?;
            let [speaker, listener] = [
                UdpSocket::bind(loopback()).await?,
                UdpSocket::bind(loopback()).await?,
            ];
            speaker.connect(at).await?;
            listener.connect(at).await?;
            listener.send(b"hello").await?;
            let mut buffer = [0; 64];
            let (_, listener_at) =
                tokio::time::timeout(LIMIT, server.recv_from(&mut buffer)).await??;
            Ok(Self {
                relay,
                server,
                speaker,
                listener,
                listener_at,
            })
        }

        /// Has the speaker send a packet, and the server hand it to the listener.
        async fn say(&self, sequence: u16) -> Result<()> {
            self.speaker.send(&rtp(sequence)).await?;
            let mut buffer = [0; 64];
            let (length, _) =
                tokio::time::timeout(LIMIT, self.server.recv_from(&mut buffer)).await??;
            self.server
                .send_to(&buffer[..length], self.listener_at)
                .await?;
            Ok(())
        }

        async fn heard(&self) -> Result<Vec<u8>> {
            let mut buffer = [0; 64];
            let length = tokio::time::timeout(LIMIT, self.listener.recv(&mut buffer)).await??;
            Ok(buffer[..length].to_vec())
        }
    }

    #[tokio::test]
    async fn what_the_pattern_loses_never_comes_and_the_rest_does() -> Result<()> {
        let line = Line::new().await?;
        line.say(u16::MAX - 9).await?;
        assert_eq!(line.heard().await?, rtp(u16::MAX - 9));
        let pattern = CONDITIONS[2].pattern();
        line.relay.apply(pattern.clone());
        let mut expected = Vec::new();
        for place in 0..100_u16 {
            let sequence = (u16::MAX - 8).wrapping_add(place);
            line.say(sequence).await?;
            if pattern.fate(place) != Fate::Lost {
                expected.push(rtp(sequence));
            }
        }
        // Sent again, it is lost again.
        line.say((u16::MAX - 8).wrapping_add(39)).await?;
        for packet in expected {
            assert_eq!(line.heard().await?, packet);
        }
        let control = [0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        line.server.send_to(&control, line.listener_at).await?;
        assert_eq!(line.heard().await?, control);
        let served = line.relay.served();
        assert_eq!(served.len(), 1);
        let first: Vec<u16> = served[0].lost.iter().copied().take(4).collect();
        assert_eq!(first, [39, 63, 75, 83]);
        assert_eq!(served[0].lost.len() + served[0].passed.len(), 100);
        assert_eq!(served[0].again, 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_delayed_comes_when_its_time_has_come() -> Result<()> {
        let line = Line::new().await?;
        let pattern = CONDITIONS[7].pattern();
        line.relay.apply(pattern.clone());
        line.say(1).await?;
        let start = std::time::Instant::now();
        line.heard().await?;
        let Fate::After(delay) = pattern.fate(0) else {
            anyhow::bail!("jitter loses nothing");
        };
        assert!(delay > Duration::from_millis(5), "{delay:?} shows nothing");
        assert!(start.elapsed() + Duration::from_millis(5) >= delay);
        Ok(())
    }
}
