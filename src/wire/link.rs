//! A reliable, ordered stream in each direction between two processes.
//!
//! Pure: bytes and `now` go in, bytes and events come out. After every call that takes `now`, call
//! [`Link::poll_transmit`] until it gives nothing more, then wait until [`Link::poll_timeout`] at most.
//!
//! A specialist says Hello, again and again until Baton's Welcome; after each reconnect it does so anew. Nothing
//! sequenced leaves before. Hello and Welcome carry what either side has seen of the other's stream, and what it can
//! still send of its own, so that a stream goes on where it stopped, also with another process at the other end.

use std::collections::VecDeque;
use std::time::Instant;

use call::{Epoch, Targets};
use prost::Message;

use crate::body::{Body, Heartbeat, Hello, Reject, Terms, Welcome};
use crate::codec;
use crate::direction::Side;
use crate::frame::{Frame, Position, Seq, StreamId, Version};
use crate::handshake::{Handshake, Standing, fitting};
use crate::inbound::{Held, Inbound, Taken};
use crate::link_config::LinkConfig;
use crate::link_event::{LinkCounts, LinkEvent, SendError, Transmit};
use crate::outbound::Outbound;
use crate::reason::RejectReason;
use crate::{FRAME_BYTES_MAX, VERSION, pb};

/// An ack that takes the most bytes.
const LARGEST_ACK: Position = Position {
    stream: StreamId(u64::MAX),
    seq: Seq(u64::MAX),
};

/// How many given-up streams of a peer are remembered, so that late frames do not revive them.
const RETIRED_MAX: usize = 8;

/// One side of the protocol with one peer.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    epoch: Epoch,
    version: Version,
    handshake: Handshake,
    terms: Terms,
    outbound: Outbound,
    inbound: Option<Inbound>,
    retired: VecDeque<StreamId>,
    ack: Ack,
    heartbeat: Option<Heartbeat>,
    reject: Option<Reject>,
    reject_not_before: Option<Instant>,
    /// Whether the peer is to be asked for a sign of life.
    asks: bool,
    unresponsive_said: bool,
}

#[derive(Debug, Default)]
struct Ack {
    unsaid: u32,
    due: Option<Instant>,
}

impl Link {
    /// A link to a peer of which nothing is known yet.
    pub fn new(config: LinkConfig) -> Self {
        Self {
            outbound: Outbound::new(config.stream),
            config,
            epoch: Epoch(0),
            version: VERSION,
            handshake: Handshake::Nothing,
            terms: Terms::default(),
            inbound: None,
            retired: VecDeque::new(),
            ack: Ack::default(),
            heartbeat: None,
            reject: None,
            reject_not_before: None,
            asks: false,
            unresponsive_said: false,
        }
    }

    /// Specialist: says Hello until it is welcomed. To be called after every connect and reconnect; it resumes the
    /// streams. `attempt`, `seen` and `oldest` are filled in here.
    pub fn hello(&mut self, now: Instant, hello: Hello) {
        debug_assert_eq!(
            self.config.side,
            Side::Specialist,
            "only a specialist says hello"
        );
        self.unresponsive_said = false;
        self.handshake
            .say(now, hello, self.config.hello_resend_first);
    }

    /// Baton: answers the last Hello, once and again when it is repeated, and says to whom the specialist may hand the
    /// baton; the last of [`Targets::named`] are left out if there are more than fit into a frame. Without a Hello it
    /// does nothing.
    pub fn welcome(&mut self, epoch: Epoch, targets: Targets) {
        debug_assert_eq!(
            self.config.side,
            Side::Orchestrator,
            "only baton says welcome"
        );
        self.epoch = self.epoch.max(epoch);
        self.handshake.answer(fitting(targets));
    }

    /// Baton: what every Welcome says from here on.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Baton: says that it is alive, once, on the lossy channel, if the peer was welcomed.
    pub fn heartbeat(&mut self, epoch: Epoch, heartbeat: Heartbeat) {
        self.epoch = self.epoch.max(epoch);
        if self.is_established() {
            self.heartbeat = Some(heartbeat);
        }
    }

    /// Asks an established peer for a sign of life, once, on the lossy channel: a number that it has had is acked at once by
    /// whoever lives. Until it has acked anything there is nothing to ask with.
    pub fn ask(&mut self) {
        self.asks = self.is_established() && self.outbound.oldest() > Seq(1);
    }

    /// Puts a body into the stream. It is sent at once if the peers have greeted one another, else as soon as they have.
    ///
    /// # Errors
    /// If the window is full, the frame would be too large, or the body is none of this side's stream.
    pub fn send(&mut self, now: Instant, epoch: Epoch, body: &Body) -> Result<Seq, SendError> {
        let name = body.name();
        if !self.config.side.sends(body) {
            return Err(SendError::WrongDirection { body: name });
        }
        if !is_sequenced(body) {
            return Err(SendError::NotSequenced { body: name });
        }
        if self.outbound.len() >= self.window() {
            return Err(SendError::WindowFull {
                limit: self.window(),
            });
        }
        let seq = self.outbound.next();
        let envelope = self.envelope(epoch, Some(seq), Some(LARGEST_ACK), Some(body));
        let bytes = envelope.encoded_len();
        if bytes > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge {
                body: name,
                bytes,
                limit: FRAME_BYTES_MAX,
            });
        }
        self.epoch = self.epoch.max(epoch);
        self.outbound.push(now, envelope, self.config.resend_first);
        Ok(seq)
    }

    /// Takes a packet of the peer, and pushes what it means.
    pub fn handle_frame(&mut self, now: Instant, bytes: &[u8], events: &mut Vec<LinkEvent>) {
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.reject(now, error.reject_reason(), error.to_string(), None, events);
                return;
            }
        };
        if frame.call != self.config.call {
            let detail = "the frame belongs to another call".to_owned();
            self.reject(now, RejectReason::WrongCall, detail, frame.seq, events);
            return;
        }
        // A former process of the peer may have had what the present one has not.
        if let Some(position) = frame.ack
            && self.follows(frame.stream)
        {
            self.handle_ack(now, position, frame.seq, events);
        }
        match (frame.seq, frame.body) {
            (Some(seq), body) => {
                let held = Held {
                    epoch: frame.epoch,
                    body,
                };
                self.handle_sequenced(now, frame.stream, seq, held, events);
            }
            (None, Some(body)) => {
                self.handle_unsequenced(now, frame.stream, frame.epoch, body, events);
            }
            (None, None) => {}
        }
    }

    /// Says what a passed time means. To be called when [`Link::poll_timeout`] is reached; calling it more often is fine.
    pub fn handle_timeout(&mut self, now: Instant, events: &mut Vec<LinkEvent>) {
        let Some(deadline) = self.unresponsive_at() else {
            return;
        };
        if deadline <= now {
            self.unresponsive_said = true;
            events.push(LinkEvent::Unresponsive);
        }
    }

    /// The next packet to send now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let standing = Standing {
            seen: self.seen(),
            oldest: self.outbound.oldest(),
            version: self.version,
            terms: &self.terms,
        };
        if let Some(body) = self.handshake.poll(now, &self.config, standing) {
            return Some(self.unsequenced(Some(&body), true));
        }
        if self.is_established() {
            let ack = self.inbound.as_ref().map(Inbound::position);
            if let Some(envelope) = self.outbound.poll(now, self.config.resend_max) {
                envelope.ack = ack.map(Into::into);
                envelope.version = Some(self.version.into());
                let payload = envelope.encode_to_vec();
                self.ack = Ack::default();
                return Some(Transmit {
                    payload,
                    reliable: true,
                });
            }
        }
        if let Some(reject) = self.reject.take() {
            return Some(self.unsequenced(Some(&Body::Reject(reject)), true));
        }
        if let Some(heartbeat) = self.heartbeat.take() {
            return Some(self.unsequenced(Some(&Body::Heartbeat(heartbeat)), false));
        }
        if std::mem::take(&mut self.asks) {
            let had = Seq(self.outbound.oldest().0 - 1);
            let ack = self.inbound.as_ref().map(Inbound::position);
            let envelope = self.envelope(self.epoch, Some(had), ack, None);
            return Some(Transmit {
                payload: envelope.encode_to_vec(),
                reliable: false,
            });
        }
        if self.ack.due.is_some_and(|due| due <= now) {
            return Some(self.unsequenced(None, true));
        }
        None
    }

    /// When there will be something to do, if nothing else happens before. It may lie in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let resend = self
            .is_established()
            .then(|| self.outbound.next_due())
            .flatten();
        [
            self.handshake.next_due(),
            resend,
            self.ack.due,
            self.unresponsive_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether the peers have greeted one another since the last connect.
    pub fn is_established(&self) -> bool {
        self.handshake.is_done()
    }

    /// How many frames wait for their ack.
    pub fn waiting(&self) -> usize {
        self.outbound.len()
    }

    /// The last of this side's frames that a peer has acked; 0 if none was.
    pub fn acked(&self) -> Seq {
        self.outbound.last_acked()
    }

    /// What became of this side's frames since this was asked last.
    pub fn take_counts(&mut self) -> LinkCounts {
        self.outbound.take_counts()
    }

    /// How many may wait.
    pub fn window(&self) -> usize {
        self.config.window_frames_max.max(1)
    }

    /// What was delivered of the peer's stream.
    pub fn seen(&self) -> Option<Position> {
        self.inbound.as_ref().map(Inbound::position)
    }

    /// The version that both speak; this side's own until they have greeted one another.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What a frame has room for beside its header, in bytes.
    pub(crate) fn body_bytes_max(&self, epoch: Epoch) -> usize {
        let header = self.envelope(epoch, Some(Seq(u64::MAX)), Some(LARGEST_ACK), None);
        FRAME_BYTES_MAX.saturating_sub(header.encoded_len())
    }

    fn handle_ack(
        &mut self,
        now: Instant,
        position: Position,
        seq: Option<Seq>,
        events: &mut Vec<LinkEvent>,
    ) {
        match self.outbound.acked(now, position) {
            Some(true) => self.unresponsive_said = false,
            Some(false) => {}
            None => {
                let detail = format!("it acks {}, which was never sent", position.seq);
                self.reject(now, RejectReason::Malformed, detail, seq, events);
            }
        }
    }

    fn handle_sequenced(
        &mut self,
        now: Instant,
        stream: StreamId,
        seq: Seq,
        held: Held,
        events: &mut Vec<LinkEvent>,
    ) {
        // Before the first greeting a frame may have overtaken it: it will be sent again.
        let Some(inbound) = &mut self.inbound else {
            return;
        };
        if inbound.position().stream != stream {
            self.reject_stream(now, stream, Some(seq), events);
            return;
        }
        match inbound.take(seq, held, self.config.held_frames_max) {
            Taken::Repeated => self.ack.due = Some(now),
            Taken::TooFar => {
                let detail = format!(
                    "seq {seq} is more than {} beyond {}",
                    self.config.held_frames_max,
                    inbound.position().seq
                );
                self.reject(now, RejectReason::OutOfWindow, detail, Some(seq), events);
            }
            Taken::New => {
                self.deliver(now, events);
                self.ack_later(now);
            }
        }
    }

    fn deliver(&mut self, now: Instant, events: &mut Vec<LinkEvent>) {
        while let Some((seq, Held { epoch, body })) = self.inbound.as_mut().and_then(Inbound::next)
        {
            let Some(body) = body else {
                let detail = "the body is unknown here".to_owned();
                self.reject(now, RejectReason::UnknownBody, detail, Some(seq), events);
                continue;
            };
            if !is_sequenced(&body) {
                let detail = format!("{} is not sequenced", body.name());
                self.reject(now, RejectReason::Malformed, detail, Some(seq), events);
            } else if self.check_direction(now, &body, Some(seq), events) {
                events.push(LinkEvent::Received { epoch, body });
            }
        }
    }

    fn handle_unsequenced(
        &mut self,
        now: Instant,
        stream: StreamId,
        epoch: Epoch,
        body: Body,
        events: &mut Vec<LinkEvent>,
    ) {
        if !self.check_direction(now, &body, None, events) {
            return;
        }
        match body {
            Body::Hello(hello) => self.handle_hello(now, stream, epoch, hello, events),
            Body::Welcome(welcome) => self.handle_welcome(now, stream, epoch, welcome, events),
            Body::Heartbeat(_) => {
                if self.follows(stream) {
                    events.push(LinkEvent::Received { epoch, body });
                }
            }
            Body::Reject(_) => {
                // It may be all that answers a Hello: a stream is announced by a Welcome.
                let unanswered = self.inbound.is_none() && self.handshake.saying_since().is_some();
                if self.follows(stream) || unanswered {
                    events.push(LinkEvent::Received { epoch, body });
                }
            }
            Body::Prepare(_)
            | Body::CancelPrepare { .. }
            | Body::Ready(_)
            | Body::Refuse { .. }
            | Body::Grant { .. }
            | Body::Granted { .. }
            | Body::Revoke(_)
            | Body::Released { .. }
            | Body::Speech { .. }
            | Body::Leave
            | Body::HandoffRequest(_)
            | Body::HandoffResult(_)
            | Body::ContextAppend { .. }
            | Body::ContextChunk(_)
            | Body::StatePatch(_)
            | Body::StateResult(_)
            | Body::ContextApplied { .. }
            | Body::ContextResult { .. }
            | Body::SummaryRequest { .. }
            | Body::SummaryResult { .. }
            | Body::DelegationResult { .. }
            | Body::Dtmf(_)
            | Body::Supersede { .. } => {
                let detail = format!("{} without a seq", body.name());
                self.reject(now, RejectReason::Malformed, detail, None, events);
            }
        }
    }

    fn handle_hello(
        &mut self,
        now: Instant,
        stream: StreamId,
        epoch: Epoch,
        hello: Hello,
        events: &mut Vec<LinkEvent>,
    ) {
        let Some(version) = common_version(&hello.versions) else {
            let detail = format!("it does not speak major version {}", VERSION.major);
            self.reject(now, RejectReason::UnsupportedVersion, detail, None, events);
            return;
        };
        let known_stream = self.seen().map(|position| position.stream);
        if known_stream == Some(stream) {
            if !self.handshake.is_new(hello.attempt) {
                return;
            }
        } else if self.retired.contains(&stream) {
            self.reject_stream(now, stream, None, events);
            return;
        } else if known_stream.is_some() {
            // Another process, which was never told what the last one was.
            self.outbound.give_up();
        }
        self.version = version;
        self.handshake = Handshake::Heard {
            attempt: hello.attempt,
        };
        self.resume(now, hello.seen);
        self.follow(stream, hello.oldest);
        events.push(LinkEvent::Received {
            epoch,
            body: Body::Hello(hello),
        });
    }

    fn handle_welcome(
        &mut self,
        now: Instant,
        stream: StreamId,
        epoch: Epoch,
        welcome: Welcome,
        events: &mut Vec<LinkEvent>,
    ) {
        if !self.handshake.is_answered_by(&welcome) || self.retired.contains(&stream) {
            return;
        }
        let Some(version) = common_version(&[welcome.version]) else {
            let detail = format!("version {} is not spoken here", welcome.version);
            self.reject(now, RejectReason::UnsupportedVersion, detail, None, events);
            return;
        };
        self.version = version;
        self.handshake = Handshake::Welcomed {
            attempt: welcome.attempt,
        };
        self.resume(now, welcome.seen);
        self.follow(stream, welcome.oldest);
        events.push(LinkEvent::Received {
            epoch,
            body: Body::Welcome(welcome),
        });
    }

    /// Goes on with what the peer has not seen.
    fn resume(&mut self, now: Instant, seen: Option<Position>) {
        if let Some(position) = seen {
            // A position beyond what was sent is nonsense, and harmless: it acks nothing.
            self.outbound.acked(now, position);
        }
        self.unresponsive_said = false;
        self.outbound.resend_all(now, self.config.resend_first);
    }

    fn follows(&self, stream: StreamId) -> bool {
        self.seen()
            .is_some_and(|position| position.stream == stream)
    }

    /// Follows this stream of the peer from here on.
    fn follow(&mut self, stream: StreamId, oldest: Seq) {
        match &self.inbound {
            Some(inbound) if inbound.position().stream == stream => {}
            Some(inbound) => {
                if self.retired.len() == RETIRED_MAX {
                    self.retired.pop_front();
                }
                self.retired.push_back(inbound.position().stream);
                self.inbound = Some(Inbound::new(stream, oldest));
            }
            None => self.inbound = Some(Inbound::new(stream, oldest)),
        }
    }

    fn ack_later(&mut self, now: Instant) {
        let gap = self.inbound.as_ref().is_some_and(Inbound::has_gap);
        self.ack.unsaid += 1;
        let due = if gap || self.ack.unsaid >= 2 {
            now
        } else {
            now + self.config.ack_delay
        };
        self.ack.due = Some(self.ack.due.map_or(due, |before| before.min(due)));
    }

    fn check_direction(
        &mut self,
        now: Instant,
        body: &Body,
        seq: Option<Seq>,
        events: &mut Vec<LinkEvent>,
    ) -> bool {
        let right = self.config.side.peer().sends(body);
        if !right {
            let detail = format!("{} goes the wrong way", body.name());
            self.reject(now, RejectReason::WrongDirection, detail, seq, events);
        }
        right
    }

    fn reject_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        seq: Option<Seq>,
        events: &mut Vec<LinkEvent>,
    ) {
        let detail = if self.retired.contains(&stream) {
            "the stream was given up"
        } else {
            "the stream was never announced"
        };
        self.reject(
            now,
            RejectReason::WrongStream,
            detail.to_owned(),
            seq,
            events,
        );
    }

    fn reject(
        &mut self,
        now: Instant,
        reason: RejectReason,
        detail: String,
        seq: Option<Seq>,
        events: &mut Vec<LinkEvent>,
    ) {
        if self.reject_not_before.is_none_or(|time| time <= now) {
            self.reject_not_before = Some(now + self.config.reject_interval);
            self.reject = Some(Reject {
                reason,
                detail: detail.clone(),
                seq,
            });
        }
        events.push(LinkEvent::Rejected {
            reason,
            detail,
            seq,
        });
    }

    fn unresponsive_at(&self) -> Option<Instant> {
        if self.unresponsive_said {
            return None;
        }
        let unacked_since = self
            .is_established()
            .then(|| self.outbound.waiting_since())
            .flatten();
        let since = self.handshake.saying_since().or(unacked_since);
        since.map(|since| since + self.config.unresponsive_after)
    }

    fn unsequenced(&mut self, body: Option<&Body>, reliable: bool) -> Transmit {
        let ack = self.inbound.as_ref().map(Inbound::position);
        self.ack = Ack::default();
        Transmit {
            payload: self.envelope(self.epoch, None, ack, body).encode_to_vec(),
            reliable,
        }
    }

    fn envelope(
        &self,
        epoch: Epoch,
        seq: Option<Seq>,
        ack: Option<Position>,
        body: Option<&Body>,
    ) -> pb::Envelope {
        codec::envelope(
            &self.config.call,
            epoch,
            self.version,
            self.outbound.stream,
            seq,
            ack,
            body,
        )
    }
}

/// Whether a body is a part of the stream.
pub(crate) fn is_sequenced(body: &Body) -> bool {
    match body {
        Body::Hello(_) | Body::Welcome(_) | Body::Heartbeat(_) => false,
        Body::Reject(_)
        | Body::Prepare(_)
        | Body::CancelPrepare { .. }
        | Body::Ready(_)
        | Body::Refuse { .. }
        | Body::Grant { .. }
        | Body::Granted { .. }
        | Body::Revoke(_)
        | Body::Released { .. }
        | Body::Speech { .. }
        | Body::Leave
        | Body::HandoffRequest(_)
        | Body::HandoffResult(_)
        | Body::ContextAppend { .. }
        | Body::ContextChunk(_)
        | Body::StatePatch(_)
        | Body::StateResult(_)
        | Body::ContextApplied { .. }
        | Body::ContextResult { .. }
        | Body::SummaryRequest { .. }
        | Body::SummaryResult { .. }
        | Body::DelegationResult { .. }
        | Body::Dtmf(_)
        | Body::Supersede { .. } => true,
    }
}

/// The newest version that both sides speak.
fn common_version(versions: &[Version]) -> Option<Version> {
    versions
        .iter()
        .filter(|version| version.major == VERSION.major)
        .map(|version| (*version).min(VERSION))
        .max()
}
