//! One end of a connection on str0m and a socket alone: what our engine is measured beside, since it stands on str0m.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// No datagram is larger.
pub const DATAGRAM_BYTES: usize = 2_048;
/// The payload type of Opus that str0m offers.
const OPUS: u8 = 111;
/// A timeout of a socket that is zero would be none at all.
const PAUSE_MIN: Duration = Duration::from_micros(50);

/// An end, which sends and receives one stream of Opus packets.
pub struct Bare {
    rtc: Rtc,
    address: SocketAddr,
    mid: Option<Mid>,
    /// An offer that waits for its answer.
    offered: Option<SdpPendingOffer>,
    sent: u64,
}

/// What an end has come to.
pub enum Came {
    /// A packet, of which this is the payload.
    Packet(Arc<[u8]>),
    /// Nothing; it wants to be called then.
    Due(Instant),
}

/// An end that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// str0m refuses something.
    #[error(transparent)]
    Engine(#[from] str0m::RtcError),
    /// The socket does not do what it should.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What should not happen on one machine.
    #[error("{0}")]
    Odd(&'static str),
}

/// A socket on the loopback interface.
///
/// # Errors
/// When there is no free port.
pub fn socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
}

impl Bare {
    /// Two ends that know of one another, at the addresses of their sockets. They are connected as soon as both have been driven.
    ///
    /// # Errors
    /// [`BareError`], when str0m does not accept what it has offered itself.
    pub fn pair(near: SocketAddr, far: SocketAddr) -> Result<(Self, Self), BareError> {
        let (mut near, mut far) = (Self::new(near)?, Self::new(far)?);
        let mut api = far.rtc.sdp_api();
        let mid = api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = api.apply().ok_or(BareError::Odd("there is no offer"))?;
        let answer = near.rtc.sdp_api().accept_offer(offer)?;
        far.rtc.sdp_api().accept_answer(pending, answer)?;
        (near.mid, far.mid) = (Some(mid), Some(mid));
        Ok((near, far))
    }

    /// An end at the address of its socket that knows nobody yet.
    ///
    /// # Errors
    /// [`BareError::Odd`], when nothing can be received at that address.
    pub fn new(address: SocketAddr) -> Result<Self, BareError> {
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, true)
            .set_rtp_mode(true)
            .build(Instant::now());
        let candidate = Candidate::host(address, "udp");
        rtc.add_local_candidate(candidate.map_err(|_| BareError::Odd("it is no address"))?);
        Ok(Self {
            rtc,
            address,
            mid: None,
            offered: None,
            sent: 0,
        })
    }

    /// Offers to send the track of that name, and to receive so many further ones. Returns the description; [`Self::answered`] takes the
    /// answer to it.
    ///
    /// # Errors
    /// [`BareError::Odd`], when there is nothing to offer.
    pub fn offer(&mut self, track: &str, receive: u32) -> Result<String, BareError> {
        let mut api = self.rtc.sdp_api();
        if self.mid.is_none() {
            let (stream, track) = (Some(track.to_owned()), Some(track.to_owned()));
            let direction = Direction::SendOnly;
            self.mid = Some(api.add_media(MediaKind::Audio, direction, stream, track, None));
        }
        for _ in 0..receive {
            api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = api.apply().ok_or(BareError::Odd("there is no offer"))?;
        self.offered = Some(pending);
        Ok(offer.to_sdp_string())
    }

    /// Takes the answer to what was offered.
    ///
    /// # Errors
    /// [`BareError`], when nothing was offered, or the answer does not fit.
    pub fn answered(&mut self, description: &str) -> Result<(), BareError> {
        let answer = SdpAnswer::from_sdp_string(description);
        let answer = answer.map_err(|_| BareError::Odd("the answer cannot be read"))?;
        let pending = self.offered.take();
        let pending = pending.ok_or(BareError::Odd("nothing was offered"))?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Takes an address of the other side, as SDP has it. One that str0m has no use for is left out.
    pub fn add_candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// Whether packets can be sent.
    pub fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// How many packets have been sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends an Opus packet of so many samples at 48 kHz; it leaves with the next [`Self::poll`].
    ///
    /// # Errors
    /// [`BareError::Odd`], when the stream is gone.
    pub fn send(&mut self, payload: impl Into<Arc<[u8]>>, samples: u32) -> Result<(), BareError> {
        let now = Instant::now();
        let mut direct = self.rtc.direct_api();
        let stream = self.mid.and_then(|mid| direct.stream_tx_by_mid(mid, None));
        let stream = stream.ok_or(BareError::Odd("there is no stream"))?;
        let sequence = SeqNo::from(self.sent);
        // The clock of RTP wraps at 32 bits.
        #[expect(clippy::cast_possible_truncation)]
        let time = (self.sent as u32).wrapping_mul(samples);
        let packet = RtpWrite::new(OPUS.into(), sequence, time, now, payload);
        stream.write_rtp(packet);
        self.sent += 1;
        self.rtc.handle_input(Input::Timeout(now))?;
        Ok(())
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// [`BareError`], when it is none of WebRTC's.
    pub fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), BareError> {
        let contents = datagram.try_into();
        let receive = Receive {
            proto: Protocol::Udp,
            source,
            destination: self.address,
            contents: contents.map_err(|_| BareError::Odd("it is no datagram of WebRTC"))?,
        };
        self.rtc
            .handle_input(Input::Receive(Instant::now(), receive))?;
        Ok(())
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`BareError::Engine`].
    pub fn handle_timeout(&mut self) -> Result<(), BareError> {
        self.rtc.handle_input(Input::Timeout(Instant::now()))?;
        Ok(())
    }

    /// Sends what there is to send over the socket, until a packet has come or there is nothing more to do.
    ///
    /// # Errors
    /// [`BareError`].
    pub fn poll(&mut self, socket: &UdpSocket) -> Result<Came, BareError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Transmit(transmit) => {
                    socket.send_to(&transmit.contents, transmit.destination)?;
                }
                Output::Event(Event::RtpPacket(packet)) => return Ok(Came::Packet(packet.payload)),
                Output::Event(_) => {}
                Output::Timeout(due) => return Ok(Came::Due(due)),
            }
        }
    }

    /// Does what is due, and waits for a packet, but no longer than this.
    ///
    /// # Errors
    /// [`BareError`].
    pub fn next(
        &mut self,
        socket: &UdpSocket,
        until: Instant,
    ) -> Result<Option<Arc<[u8]>>, BareError> {
        let mut buffer = [0; DATAGRAM_BYTES];
        loop {
            let due = match self.poll(socket)? {
                Came::Packet(payload) => return Ok(Some(payload)),
                Came::Due(due) => due,
            };
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            match received(socket, &mut buffer, due.min(until), now)? {
                Some((length, source)) => self.receive(source, &buffer[..length])?,
                None => self.handle_timeout()?,
            }
        }
    }
}

/// Waits for a datagram, but no longer than this.
///
/// # Errors
/// When the socket does not do what it should.
pub fn received(
    socket: &UdpSocket,
    buffer: &mut [u8],
    until: Instant,
    now: Instant,
) -> io::Result<Option<(usize, SocketAddr)>> {
    let pause = until.saturating_duration_since(now).max(PAUSE_MIN);
    socket.set_read_timeout(Some(pause))?;
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}
