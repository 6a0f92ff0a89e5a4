//! Asks a STUN server what address the datagrams of a socket come from (RFC 8489), without a socket or a clock.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use turn_client_proto::types::stun::{
    attribute::XorMappedAddress,
    message::{Message, MessageClass},
};

/// The pauses after each request; after the last the server is given up.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
    Duration::from_millis(2_000),
];
const MAGIC_COOKIE: u32 = 0x2112_A442;

/// A question from one socket to one server.
#[derive(Debug)]
pub(super) struct Question {
    /// The socket's address.
    pub(super) socket: SocketAddr,
    pub(super) server: SocketAddr,
    request: [u8; 20],
    sent: usize,
    next: Instant,
}

impl Question {
    /// A question to be asked from now on; `transaction` must be unpredictable.
    pub(super) fn new(
        now: Instant,
        socket: SocketAddr,
        server: SocketAddr,
        transaction: [u8; 12],
    ) -> Self {
        let mut request = [0; 20];
        // A binding request without attributes.
        request[1] = 1;
        request[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        request[8..].copy_from_slice(&transaction);
        Self {
            socket,
            server,
            request,
            sent: 0,
            next: now,
        }
    }

    /// When [`Question::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// What is to be sent now; an error when the server does not answer.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<Option<&[u8]>, NoAnswer> {
        if now < self.next {
            return Ok(None);
        }
        let pause = PAUSES.get(self.sent).ok_or(NoAnswer)?;
        self.sent += 1;
        self.next = now + *pause;
        Ok(Some(&self.request))
    }

    /// Reads a datagram that came from the server; `None` when it is not the answer.
    pub(super) fn answer(&self, datagram: &[u8]) -> Option<SocketAddr> {
        if datagram.get(4..20)? != &self.request[4..] {
            return None;
        }
        let message = Message::from_bytes(datagram).ok()?;
        if message.class() != MessageClass::Success {
            return None;
        }
        let mapped = message.attribute::<XorMappedAddress>().ok()?;
        Some(mapped.addr(message.transaction_id()))
    }
}

/// A server has not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoAnswer;

#[cfg(test)]
mod tests {
    use super::*;

    fn question(now: Instant) -> Question {
        let [socket, server] = ["192.0.2.1:1000", "192.0.2.2:3478"].map(|a| a.parse().unwrap());
        Question::new(now, socket, server, *b"unforeseen!!")
    }

    /// The answer that RFC 5769 gives as an example, with our transaction: 192.0.2.1:32853.
    fn answer() -> Vec<u8> {
        let mut answer = vec![0x01, 0x01, 0, 12, 0x21, 0x12, 0xa4, 0x42];
        answer.extend_from_slice(b"unforeseen!!");
        answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        answer
    }

    #[test]
    fn the_answer_names_the_address() {
        let question = question(Instant::now());
        let mapped = question.answer(&answer()).unwrap();
        assert_eq!(mapped, "192.0.2.1:32853".parse().unwrap());
    }

    #[test]
    fn anything_else_is_no_answer() {
        let question = question(Instant::now());
        let whole = answer();
        for end in 0..whole.len() {
            assert_eq!(question.answer(&whole[..end]), None, "{end} bytes");
        }
        let mut other = whole.clone();
        other[10] ^= 1;
        assert_eq!(question.answer(&other), None);
    }

    #[test]
    fn a_silent_server_is_given_up_after_its_last_chance() {
        let mut now = Instant::now();
        let start = now;
        let mut question = question(now);
        let mut requests = 0;
        while let Ok(request) = question.handle_timeout(now) {
            requests += usize::from(request.is_some());
            now = question.poll_timeout();
        }
        assert_eq!(requests, PAUSES.len());
        assert_eq!(now - start, PAUSES.iter().sum::<Duration>());
    }
}
