//! The specialists of a call as peers of the protocol: whose frames are heard, and one link to each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use audio::SourceId;
use call::Asker;
use call::{
    CallId, Delegating, DispatchId, Epoch, Event, HandoffRequest, Identity, Misbehaviour, Payload,
    PhaseName, RejectReason, SpecialistName, Targets, Ticket,
};
use serde_json::Value;
use tracing::{debug, warn};
use wire::{
    Admission, Assembled, Assembly, AssemblyError, Body, ChunkLimits, Chunks, ChunksProgress,
    DispatchBinding, DispatchMetadata, Heartbeat, Link, LinkConfig, LinkEvent, MetadataError,
    Ready, Reject, SendError, SenderKind, SenderView, Side, StreamId, Terms, Verdict,
};

use super::tickets::fresh_number;
use crate::rtc;
use crate::telemetry::{Hash, Metrics};

/// Frames in a row that are none of the protocol, after which a specialist counts as sending garbage.
const GARBAGE_MAX: u32 = 50;
/// What counts packets whose sender the server has not announced, or never will.
const UNKNOWN_SENDER: &str = "unknown_sender";

/// Everybody who speaks the protocol in one call.
#[derive(Debug)]
pub(super) struct Peers {
    call: CallId,
    /// What every Welcome says.
    terms: Terms,
    admission: Admission,
    links: BTreeMap<Identity, Peer>,
    /// Numbers for the mixer; a name keeps its number for the whole call.
    sources: Vec<Identity>,
    lost: BTreeSet<Identity>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Peer {
    link: Link,
    /// Frames that were no frames since the last good one.
    garbage: u32,
    /// Bodies of it that come in pieces.
    assembly: Assembly,
    /// A body that goes to it in pieces; one at a time, and nothing of the conversation beside it.
    transfer: Option<Chunks>,
    transfers: u64,
}

/// What a specialist has said.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// Something for the core.
    Event(Event),
    /// That it is ready: the core is told whether that counts.
    Ready { identity: Identity, ready: Ready },
    /// That it has taken its grant, and from when on it hears the caller.
    Granted {
        identity: Identity,
        epoch: Epoch,
        preroll_ms: Option<u32>,
    },
    /// Something for the conversation or the state.
    Written {
        identity: Identity,
        epoch: Epoch,
        body: Body,
    },
    /// That it has begun to say something, or has nothing more to say.
    Speech { identity: Identity, speaking: bool },
    /// That the caller hears this track of it without us, until we read the fresh one. Its Hello follows.
    Open {
        identity: Identity,
        track_sid: String,
        fresh_sid: String,
    },
    /// That it is another process than before.
    Restarted { identity: Identity },
}

impl Peer {
    fn new(call: &CallId, terms: &Terms) -> Self {
        let stream = StreamId(fresh_number());
        let config = LinkConfig::new(Side::Orchestrator, call.clone(), stream);
        let mut link = Link::new(config);
        link.set_terms(terms.clone());
        Self {
            link,
            garbage: 0,
            assembly: Assembly::new(chunk_limits(terms)),
            transfer: None,
            transfers: 0,
        }
    }
}

impl Peers {
    /// Nobody yet.
    pub(super) fn new(call: CallId, terms: Terms, metrics: Metrics) -> Self {
        Self {
            call,
            terms,
            admission: Admission::new(),
            links: BTreeMap::new(),
            sources: Vec::new(),
            lost: BTreeSet::new(),
            metrics,
        }
    }

    /// A dispatch is about to be made with this ticket.
    pub(super) fn expect(&mut self, dispatch: DispatchId, ticket: Ticket) {
        self.admission.expect(dispatch, ticket);
    }

    /// This participant may have been spoken to by a former process: what it is to be told waits for its Hello.
    pub(super) fn link_to(&mut self, identity: Identity) {
        let peer = Peer::new(&self.call, &self.terms);
        self.links.entry(identity).or_insert(peer);
    }

    /// A dispatch is over. Its participant is heard no more; what it is still to be told is sent until it has left.
    pub(super) fn forget(&mut self, dispatch: DispatchId) {
        self.admission.forget(dispatch);
    }

    /// A participant has left the room: a link of nobody is dropped.
    pub(super) fn left(&mut self, identity: &Identity) {
        if self.admission.dispatch_of(identity).is_none()
            && let Some(mut peer) = self.links.remove(identity)
        {
            self.metrics.frames(peer.link.take_counts());
        }
    }

    /// The identities of all bound specialists.
    pub(super) fn identities(&self) -> Vec<String> {
        let bound = self
            .links
            .keys()
            .filter(|identity| self.admission.dispatch_of(identity).is_some());
        bound.map(Identity::to_string).collect()
    }

    /// The metadata of a dispatch.
    ///
    /// # Errors
    /// When the operator's own metadata makes it too long.
    pub(super) fn metadata(
        &self,
        orchestrator: &str,
        ticket: Ticket,
        specialist: &SpecialistName,
        operators: Option<&str>,
    ) -> Result<String, MetadataError> {
        // The operator's metadata is JSON if it can be read as such, else a string.
        let metadata = operators.map_or(Value::Null, |text| {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        });
        let baton = DispatchBinding {
            call: self.call.clone(),
            ticket,
            orchestrator: orchestrator.into(),
            specialist: specialist.clone(),
        };
        DispatchMetadata { baton, metadata }.to_json()
    }

    /// The mixer's number of a participant.
    pub(super) fn source(&mut self, identity: &Identity) -> SourceId {
        let known = self.sources.iter().position(|known| known == identity);
        let index = known.unwrap_or_else(|| {
            self.sources.push(identity.clone());
            self.sources.len() - 1
        });
        SourceId(u32::try_from(index).expect("a call has fewer than 2^32 participants"))
    }

    /// The participant of a mixer's number.
    pub(super) fn identity(&self, source: SourceId) -> Option<Identity> {
        self.sources.get(source.0 as usize).cloned()
    }

    /// Takes a packet on the protocol's topic; what it means for the call is returned in order.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        sender: Option<&rtc::Participant>,
        payload: &[u8],
    ) -> Vec<Said> {
        let identity = sender.map(|sender| Identity::from(sender.identity.as_str()));
        let view = sender
            .zip(identity.as_ref())
            .map(|(sender, identity)| SenderView {
                identity,
                sid: &sender.sid,
                kind: match sender.kind {
                    rtc::ParticipantKind::Agent => SenderKind::Agent,
                    rtc::ParticipantKind::Standard
                    | rtc::ParticipantKind::Sip
                    | rtc::ParticipantKind::Other => SenderKind::Other,
                },
            });
        let (dispatch, bound) = match self.admission.judge(view, payload) {
            Verdict::Heard { dispatch, bound } => (dispatch, bound),
            Verdict::Unknown => {
                // Somebody hidden, or somebody who has just joined: no line for each of these.
                self.metrics.ignored(UNKNOWN_SENDER);
                return Vec::new();
            }
            Verdict::Ignored { reason, first } => {
                self.metrics.ignored(reason.code());
                // The last frames of a specialist whose dispatch is over are nothing to look into.
                let is_old = identity
                    .as_ref()
                    .is_some_and(|identity| self.links.contains_key(identity));
                if first && !is_old {
                    let sender = identity.map(|identity| Hash::of(identity.as_str()));
                    warn!(?sender, %reason, "frames ignored");
                }
                return Vec::new();
            }
        };
        let Some(identity) = identity else {
            return Vec::new();
        };
        let mut said = Vec::new();
        if bound {
            said.push(Said::Event(Event::SpecialistJoined {
                dispatch,
                identity: identity.clone(),
            }));
        }
        self.deliver(now, &identity, payload, &mut said);
        said
    }

    fn deliver(&mut self, now: Instant, identity: &Identity, payload: &[u8], out: &mut Vec<Said>) {
        let (call, terms) = (&self.call, &self.terms);
        let new = || Peer::new(call, terms);
        let peer = self.links.entry(identity.clone()).or_insert_with(new);
        let stream = peer.link.seen().map(|seen| seen.stream);
        let (mut said, mut refused) = (Vec::new(), Vec::new());
        peer.link.handle_frame(now, payload, &mut said);
        if stream.is_some() && stream != peer.link.seen().map(|seen| seen.stream) {
            peer.assembly = Assembly::new(chunk_limits(terms));
            peer.transfer = None;
            out.push(Said::Restarted {
                identity: identity.clone(),
            });
        }
        for said in said {
            match said {
                LinkEvent::Received { epoch, body } => {
                    peer.garbage = 0;
                    match peer.whole(identity, body) {
                        Ok(Some(body)) => {
                            if let Body::Hello(hello) = &body
                                && !hello.open_track_sid.is_empty()
                            {
                                out.push(Said::Open {
                                    identity: identity.clone(),
                                    track_sid: hello.open_track_sid.clone(),
                                    fresh_sid: hello.track_sid.clone(),
                                });
                            }
                            out.extend(meaning(identity, epoch, body));
                        }
                        Ok(None) => {}
                        Err(error) => refused.push(error),
                    }
                }
                LinkEvent::Rejected {
                    reason,
                    detail,
                    seq: _,
                } => {
                    debug!(%identity, %reason, detail, "frame rejected");
                    self.metrics.rejected(reason.as_str());
                    peer.garbage = peer.garbage.saturating_add(1);
                    if peer.garbage == GARBAGE_MAX {
                        out.push(Said::Event(Event::Misbehaved {
                            identity: identity.clone(),
                            what: Misbehaviour::Garbage,
                        }));
                    }
                }
                LinkEvent::Unresponsive => {
                    self.lost.insert(identity.clone());
                }
            }
        }
        for error in refused {
            debug!(%identity, %error, "a body in pieces was refused");
            let reason = error.reject_reason();
            self.metrics.rejected(reason.as_str());
            let reject = Reject {
                reason,
                detail: error.to_string(),
                seq: None,
            };
            self.send(now, identity, Epoch(0), &Body::Reject(reject));
        }
    }

    /// The dispatch that a participant is bound to.
    pub(super) fn dispatch_of(&self, identity: &Identity) -> Option<DispatchId> {
        self.admission.dispatch_of(identity)
    }

    /// The participant that is bound to a dispatch.
    pub(super) fn identity_of(&self, dispatch: DispatchId) -> Option<Identity> {
        let mut identities = self.links.keys();
        let bound = identities.find(|identity| self.dispatch_of(identity) == Some(dispatch));
        bound.cloned()
    }

    /// Every bound participant that has said Hello, with its dispatch.
    pub(super) fn readers(&self) -> Vec<(Identity, DispatchId)> {
        let identities = self.links.keys();
        identities
            .filter_map(|identity| Some((identity.clone(), self.dispatch_of(identity)?)))
            .collect()
    }

    /// Every dispatch of [`Peers::readers`].
    pub(super) fn dispatches(&self) -> Vec<DispatchId> {
        let readers = self.readers().into_iter();
        readers.map(|(_, dispatch)| dispatch).collect()
    }

    /// Sends on what goes in pieces, and says whether there is room for more of the conversation. That takes half of the
    /// window at most, so that what moves the baton never waits for a place.
    pub(super) fn has_room(&mut self, now: Instant, identity: &Identity, epoch: Epoch) -> bool {
        let Some(peer) = self.links.get_mut(identity) else {
            return false;
        };
        if let Some(transfer) = &mut peer.transfer {
            match transfer.send(now, epoch, &mut peer.link) {
                Ok(ChunksProgress::Done) => peer.transfer = None,
                Ok(ChunksProgress::Waiting) => return false,
                Err(error) => {
                    warn!(%identity, %error, "body not sent");
                    self.lost.insert(identity.clone());
                    return false;
                }
            }
        }
        peer.link.is_established() && peer.link.waiting() < peer.link.window().div_ceil(2)
    }

    /// Sends a body of any size to one that [has room](Peers::has_room).
    pub(super) fn send_large(
        &mut self,
        now: Instant,
        identity: &Identity,
        epoch: Epoch,
        body: &Body,
    ) {
        let Some(peer) = self.links.get_mut(identity) else {
            return;
        };
        let error = match peer.link.send(now, epoch, body) {
            Ok(_) => return,
            Err(SendError::TooLarge { .. }) => {
                peer.transfers += 1;
                let limits = chunk_limits(&self.terms);
                match Chunks::new(&limits, peer.transfers, body) {
                    Ok(transfer) => {
                        peer.transfer = Some(transfer);
                        return;
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        warn!(%identity, error, "body not sent");
        self.lost.insert(identity.clone());
    }

    /// Answers a Hello.
    pub(super) fn welcome(&mut self, identity: &Identity, epoch: Epoch, targets: Targets) {
        if let Some(peer) = self.links.get_mut(identity) {
            peer.link.welcome(epoch, targets);
        }
    }

    /// Puts a body into the stream to a specialist. One that cannot take more counts as lost.
    pub(super) fn send(&mut self, now: Instant, identity: &Identity, epoch: Epoch, body: &Body) {
        let Some(peer) = self.links.get_mut(identity) else {
            debug!(%identity, body = body.name(), "nobody to send this to");
            return;
        };
        if let Err(error) = peer.link.send(now, epoch, body) {
            warn!(%identity, %error, "frame not sent");
            self.lost.insert(identity.clone());
        }
    }

    /// Tells a specialist that what it said had no place in the call; the stream goes on.
    pub(super) fn reject(
        &mut self,
        now: Instant,
        identity: &Identity,
        epoch: Epoch,
        reason: &RejectReason,
    ) {
        let reject = Reject {
            reason: reason.into(),
            detail: reason.to_string(),
            seq: None,
        };
        self.send(now, identity, epoch, &Body::Reject(reject));
    }

    /// Says to everybody that Baton lives.
    pub(super) fn heartbeat(&mut self, holder: Option<&Identity>, epoch: Epoch, phase: PhaseName) {
        for peer in self.links.values_mut() {
            self.metrics.frames(peer.link.take_counts());
            peer.link.heartbeat(
                epoch,
                Heartbeat {
                    holder: holder.cloned(),
                    epoch,
                    phase: Some(phase),
                },
            );
        }
    }

    /// Asks a specialist for a sign of life.
    pub(super) fn ask(&mut self, identity: &Identity) {
        if let Some(peer) = self.links.get_mut(identity) {
            peer.link.ask();
        }
    }

    /// The next packet to send, to whom, and whether reliably.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<(Identity, Vec<u8>, bool)> {
        self.links.iter_mut().find_map(|(identity, peer)| {
            let transmit = peer.link.poll_transmit(now)?;
            Some((identity.clone(), transmit.payload, transmit.reliable))
        })
    }

    /// When a link wants to be asked again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.links
            .values()
            .filter_map(|peer| peer.link.poll_timeout())
            .min()
    }

    /// Lets the links know that time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let mut said = Vec::new();
        for (identity, peer) in &mut self.links {
            peer.link.handle_timeout(now, &mut said);
            if said.drain(..).any(|event| event == LinkEvent::Unresponsive) {
                self.lost.insert(identity.clone());
            }
        }
    }

    /// Who no longer answers; each is named once.
    pub(super) fn take_lost(&mut self) -> BTreeSet<Identity> {
        std::mem::take(&mut self.lost)
    }

    /// Whether everything that was sent has been acked.
    pub(super) fn is_all_acked(&self) -> bool {
        self.links.values().all(|peer| peer.link.waiting() == 0)
    }
}

impl Drop for Peers {
    /// What came after the last heartbeat counts as well.
    fn drop(&mut self) {
        for peer in self.links.values_mut() {
            self.metrics.frames(peer.link.take_counts());
        }
    }
}

impl Peer {
    /// The body itself, or the one of which this was the last piece.
    fn whole(&mut self, identity: &Identity, body: Body) -> Result<Option<Body>, AssemblyError> {
        let Body::ContextChunk(chunk) = body else {
            return Ok(Some(body));
        };
        match self.assembly.take(chunk)? {
            Assembled::Whole(body) => Ok(Some(body)),
            Assembled::More => Ok(None),
            Assembled::PassedOver => {
                debug!(%identity, "a piece of a refused body is passed over");
                Ok(None)
            }
        }
    }
}

/// What a specialist's word means, if anything.
/// The bounds of what travels in pieces.
pub(super) fn chunk_limits(terms: &Terms) -> ChunkLimits {
    ChunkLimits::new(Side::Orchestrator).with_terms(terms)
}

fn meaning(identity: &Identity, epoch: Epoch, body: Body) -> Option<Said> {
    match body {
        Body::Ready(ready) => Some(Said::Ready {
            identity: identity.clone(),
            ready,
        }),
        Body::Granted { epoch, preroll_ms } => Some(Said::Granted {
            identity: identity.clone(),
            epoch,
            preroll_ms,
        }),
        Body::ContextAppend { .. }
        | Body::StatePatch(_)
        | Body::ContextApplied { .. }
        | Body::SummaryResult { .. } => Some(Said::Written {
            identity: identity.clone(),
            epoch,
            body,
        }),
        Body::Speech { speaking } => Some(Said::Speech {
            identity: identity.clone(),
            speaking,
        }),
        other => event(identity, epoch, other).map(Said::Event),
    }
}

/// What a specialist's word means to the core, if anything.
fn event(identity: &Identity, epoch: Epoch, body: Body) -> Option<Event> {
    let identity = identity.clone();
    match body {
        Body::Hello(_) => Some(Event::Hello { identity }),
        Body::Refuse { handoff, reason } => Some(Event::PrepareRefused {
            identity,
            handoff,
            detail: reason,
        }),
        Body::Released { epoch } => Some(Event::Released { identity, epoch }),
        Body::HandoffRequest(request) => Some(Event::HandoffRequested(HandoffRequest {
            asker: Asker::Specialist { identity, epoch },
            request: request.request,
            target: request.target,
            reason: request.reason,
            tool_call: request.tool_call,
            splice: None,
            delegating: delegating(request.delegation_input, request.delegation_result),
        })),
        Body::Reject(reject) => {
            debug!(%identity, reason = %reject.reason, detail = reject.detail, "a specialist rejected a frame");
            None
        }
        // Not for the core, see `meaning`.
        Body::Ready(_)
        | Body::Granted { .. }
        | Body::Speech { .. }
        | Body::ContextAppend { .. }
        | Body::ContextChunk(_)
        | Body::StatePatch(_)
        | Body::ContextApplied { .. }
        | Body::SummaryResult { .. } => None,
        // The link lets no specialist say these.
        Body::Welcome(_)
        | Body::Heartbeat(_)
        | Body::Prepare(_)
        | Body::CancelPrepare { .. }
        | Body::Grant { .. }
        | Body::Revoke(_)
        | Body::Leave
        | Body::HandoffResult(_)
        | Body::StateResult(_)
        | Body::ContextResult { .. }
        | Body::SummaryRequest { .. }
        | Body::DelegationResult { .. }
        | Body::Dtmf(_)
        | Body::Supersede { .. } => None,
    }
}

/// A result comes before a task: who is done delegates nothing any more.
fn delegating(task: Option<Vec<u8>>, result: Option<Vec<u8>>) -> Option<Delegating> {
    match (task, result) {
        (_, Some(result)) => Some(Delegating::Result(Payload::new(&result))),
        (Some(task), None) => Some(Delegating::Task(Payload::new(&task))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::Hello;

    use super::*;

    const EPOCH: Epoch = Epoch(1);

    fn participant(identity: &str, kind: rtc::ParticipantKind) -> rtc::Participant {
        rtc::Participant {
            identity: identity.to_owned(),
            sid: format!("PA_{identity}"),
            kind,
            attributes: Default::default(),
        }
    }

    fn anna() -> rtc::Participant {
        participant("anna", rtc::ParticipantKind::Agent)
    }

    /// The other end, and its Hello with this ticket.
    fn specialist(now: Instant, ticket: &str) -> (Link, Vec<u8>) {
        let config = LinkConfig::new(Side::Specialist, CallId::from("call"), StreamId(7));
        let mut link = Link::new(config);
        link.hello(
            now,
            Hello {
                ticket: ticket.into(),
                specialist: "anna".into(),
                attempt: 0,
                sdk_name: "test".to_owned(),
                sdk_version: "1".to_owned(),
                versions: vec![wire::VERSION],
                track_sid: String::new(),
                open_track_sid: String::new(),
                seen: None,
                oldest: wire::Seq(1),
            },
        );
        let hello = link.poll_transmit(now).expect("a hello is due at once");
        (link, hello.payload)
    }

    fn peers() -> Peers {
        let mut peers = Peers::new(CallId::from("call"), Terms::default(), Metrics::default());
        peers.expect(DispatchId(1), Ticket::from("secret"));
        peers
    }

    #[test]
    fn a_hello_with_the_ticket_binds_its_sender_and_is_answered() {
        let now = Instant::now();
        let mut peers = peers();
        let (_, hello) = specialist(now, "secret");
        let events = peers.receive(now, Some(&anna()), &hello);
        let identity = Identity::from("anna");
        assert_eq!(
            events,
            [
                Said::Event(Event::SpecialistJoined {
                    dispatch: DispatchId(1),
                    identity: identity.clone()
                }),
                Said::Event(Event::Hello {
                    identity: identity.clone()
                }),
            ]
        );
        assert_eq!(
            peers.poll_transmit(now),
            None,
            "the core answers, not the shell"
        );
        peers.welcome(&identity, EPOCH, Targets::default());
        let (to, _, _) = peers.poll_transmit(now).expect("a welcome");
        assert_eq!(to, identity);
    }

    #[test]
    fn nobody_else_is_heard() {
        let now = Instant::now();
        let mut peers = peers();
        let (_, hello) = specialist(now, "secret");
        let (_, forged) = specialist(now, "guessed");
        let caller = participant("sip_+15550199", rtc::ParticipantKind::Sip);
        assert_eq!(
            peers.receive(now, None, &hello),
            [],
            "a sender that is not known yet"
        );
        assert_eq!(
            peers.receive(now, Some(&caller), &hello),
            [],
            "the caller, even with the ticket"
        );
        assert_eq!(
            peers.receive(now, Some(&anna()), &forged),
            [],
            "an agent with another ticket"
        );
        assert_eq!(
            peers.receive(now, Some(&anna()), b"garbage"),
            [],
            "an agent without a ticket"
        );
        assert_eq!(
            peers.receive(now, Some(&anna()), &hello).len(),
            2,
            "nothing of that shuts the right one out"
        );
    }

    #[test]
    fn garbage_is_reported_once_and_a_good_frame_starts_the_count_anew() {
        let now = Instant::now();
        let mut peers = peers();
        let (mut link, hello) = specialist(now, "secret");
        peers.receive(now, Some(&anna()), &hello);
        let identity = Identity::from("anna");
        peers.welcome(&identity, EPOCH, Targets::default());
        let (_, welcome, _) = peers.poll_transmit(now).expect("a welcome");
        link.handle_frame(now, &welcome, &mut Vec::new());
        let flood = |peers: &mut Peers, frames| {
            let flood = (0..frames).flat_map(|_| peers.receive(now, Some(&anna()), b"garbage"));
            flood.collect::<Vec<_>>()
        };
        assert_eq!(flood(&mut peers, GARBAGE_MAX - 1), []);
        link.send(
            now,
            EPOCH,
            &Body::Granted {
                epoch: EPOCH,
                preroll_ms: None,
            },
        )
        .expect("the window is open");
        let granted = link.poll_transmit(now).expect("it is due at once");
        assert_eq!(peers.receive(now, Some(&anna()), &granted.payload).len(), 1);
        assert_eq!(flood(&mut peers, GARBAGE_MAX - 1), []);
        let misbehaved = Said::Event(Event::Misbehaved {
            identity,
            what: Misbehaviour::Garbage,
        });
        assert_eq!(flood(&mut peers, GARBAGE_MAX), [misbehaved]);
    }

    #[test]
    fn a_declared_size_over_the_configured_bound_is_refused_before_anything_is_held() {
        let now = Instant::now();
        let identity = Identity::from("anna");
        let bound = 1 << 20;
        let declare = |total_bytes| {
            let terms = Terms {
                body_bytes_max: Some(bound),
                ..Terms::default()
            };
            let mut peers = Peers::new(CallId::from("call"), terms, Metrics::default());
            peers.expect(DispatchId(1), Ticket::from("secret"));
            let (mut link, hello) = specialist(now, "secret");
            peers.receive(now, Some(&anna()), &hello);
            peers.welcome(&identity, EPOCH, Targets::default());
            let (_, welcome, _) = peers.poll_transmit(now).expect("a welcome");
            let mut said = Vec::new();
            link.handle_frame(now, &welcome, &mut said);
            let told = said.iter().find_map(|event| match event {
                LinkEvent::Received {
                    body: Body::Welcome(welcome),
                    ..
                } => welcome.terms.body_bytes_max,
                _ => None,
            });
            assert_eq!(told, Some(bound));
            let chunk = Body::ContextChunk(wire::ContextChunk {
                transfer: 1,
                offset: 0,
                total_bytes,
                sha256: vec![0; 32],
                data: vec![0; 10],
            });
            link.send(now, EPOCH, &chunk).expect("the window is open");
            while let Some(transmit) = link.poll_transmit(now) {
                peers.receive(now, Some(&anna()), &transmit.payload);
            }
            let mut answers = Vec::new();
            while let Some((_, payload, _)) = peers.poll_transmit(now) {
                link.handle_frame(now, &payload, &mut answers);
            }
            let rejected = answers.iter().find_map(|event| match event {
                LinkEvent::Received {
                    body: Body::Reject(reject),
                    ..
                } => Some(reject.reason),
                _ => None,
            });
            (rejected, peers.links[&identity].assembly.held_bytes())
        };
        assert_eq!(declare(bound.into()), (None, 10));
        let over = (Some(wire::RejectReason::TooLarge), 0);
        assert_eq!(declare(u64::from(bound) + 1), over);
    }

    #[test]
    fn a_specialist_that_acks_nothing_is_lost_once() {
        let now = Instant::now();
        let mut peers = peers();
        let (_, hello) = specialist(now, "secret");
        peers.receive(now, Some(&anna()), &hello);
        let identity = Identity::from("anna");
        peers.welcome(&identity, EPOCH, Targets::default());
        peers.send(now, &identity, EPOCH, &Body::Leave);
        while peers.poll_transmit(now).is_some() {}
        let later = now + Duration::from_secs(60);
        peers.handle_timeout(later);
        assert_eq!(peers.take_lost(), BTreeSet::from([identity]));
        peers.handle_timeout(later);
        assert_eq!(peers.take_lost(), BTreeSet::new());
    }
}
