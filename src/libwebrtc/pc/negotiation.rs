//! Offers and answers, as the W3C and RFC 8829 describe them.

use std::time::Instant;

use super::{
    Direction, Event, MediaKind, PcError, Peer, ReceiverChange, Transceiver, TransceiverId,
    extensions,
};
use crate::sdp::{
    Codec, Credentials, Description, Extension, Section, SectionKind, Setup, Ssrc, Transport,
};

/// The role of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DescriptionKind {
    /// Proposes a session.
    Offer,
    /// Answers for the time being; not supported.
    ProvisionalAnswer,
    /// Answers an offer.
    Answer,
    /// Takes the pending offer back.
    Rollback,
}

/// The state of the negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalingState {
    /// None under way.
    Stable,
    /// Our offer waits for an answer.
    HaveLocalOffer,
    /// The peer's offer waits for our answer.
    HaveRemoteOffer,
    /// The connection is closed.
    Closed,
}

/// What an offer is to contain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OfferOptions {
    pub(crate) ice_restart: bool,
    pub(crate) receive_audio: bool,
    pub(crate) receive_video: bool,
}

/// A description as it was set, and its meaning.
#[derive(Debug, Clone)]
struct Described {
    kind: DescriptionKind,
    text: String,
    meaning: Description,
}

/// A media section of the session.
#[derive(Debug, Clone)]
struct Line {
    mid: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Media(TransceiverId),
    Application,
    /// A section of a kind that is not supported, or of a transceiver that was taken back.
    Unusable(SectionKind),
}

/// The offer that waits for its answer.
#[derive(Debug)]
struct Pending {
    offer: Described,
    local: bool,
    /// How many lines there were before.
    lines: usize,
}

/// The state of the negotiation, and what came of the last one.
#[derive(Debug)]
pub(super) struct Negotiation {
    closed: bool,
    origin: (u64, u64),
    credentials: Credentials,
    fingerprint: String,
    /// What the next offer of this side uses instead of `credentials`.
    restart: Option<Credentials>,
    pending: Option<Pending>,
    local: Option<Described>,
    remote: Option<Described>,
    lines: Vec<Line>,
    /// Whether this side begins the DTLS handshake, once that is settled.
    active: Option<bool>,
    /// Whether this side decides on the way, once that is settled.
    controlling: Option<bool>,
    /// Whether the last agreement changed the credentials of this side.
    restarted: bool,
}

impl Negotiation {
    pub(super) fn new(credentials: Credentials, fingerprint: String) -> Self {
        Self {
            closed: false,
            origin: (u64::from(rand::random::<u32>()), 0),
            credentials,
            fingerprint,
            restart: None,
            pending: None,
            local: None,
            remote: None,
            lines: Vec::new(),
            active: None,
            controlling: None,
            restarted: false,
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.pending = None;
        self.restart = None;
    }

    /// Whether there is a description that candidates of the peer belong to, and no newer one on its way to replace it.
    pub(super) fn takes_candidates(&self) -> bool {
        self.remote.is_some() && self.pending.as_ref().is_none_or(|pending| pending.local)
    }

    /// The section that candidates of this side are told for.
    pub(super) fn first_mid(&self) -> String {
        self.lines
            .first()
            .map_or_else(|| "0".to_owned(), |line| line.mid.clone())
    }

    /// The credentials of the agent of this side, and whether it decides on the way.
    pub(super) fn ice(&self) -> (&Credentials, bool) {
        (&self.credentials, self.controlling.unwrap_or(false))
    }

    /// The certificate of this side, as descriptions name it.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The certificate that the peer has announced.
    pub(super) fn peer_fingerprint(&self) -> Option<&str> {
        let remote = self.remote.as_ref()?.meaning.transport.as_ref()?;
        Some(&remote.fingerprint)
    }

    pub(super) fn dtls_active(&self) -> Option<bool> {
        self.active
    }

    fn state(&self) -> SignalingState {
        match (&self.pending, self.closed) {
            (_, true) => SignalingState::Closed,
            (None, false) => SignalingState::Stable,
            (Some(pending), false) if pending.local => SignalingState::HaveLocalOffer,
            (Some(_), false) => SignalingState::HaveRemoteOffer,
        }
    }

    fn new_mid(&self, also: &[Section]) -> String {
        let used = |mid: &str| {
            self.lines.iter().any(|line| line.mid == mid)
                || also.iter().any(|section| section.mid == mid)
        };
        let start = self.lines.len() + also.len();
        let mut number = start;
        loop {
            let mid = number.to_string();
            if !used(&mid) {
                return mid;
            }
            number += 1;
        }
    }
}

impl Peer {
    /// The state of the negotiation.
    pub(crate) fn signaling_state(&self) -> SignalingState {
        self.negotiation.state()
    }

    /// What this side described in the last finished negotiation.
    pub(crate) fn current_local(&self) -> Option<(DescriptionKind, String)> {
        self.negotiation
            .local
            .as_ref()
            .map(|d| (d.kind, d.text.clone()))
    }

    /// What the peer described in the last finished negotiation.
    pub(crate) fn current_remote(&self) -> Option<(DescriptionKind, String)> {
        self.negotiation
            .remote
            .as_ref()
            .map(|d| (d.kind, d.text.clone()))
    }

    /// Has the next offer seek the way anew.
    pub(crate) fn restart_ice(&mut self) {
        if !self.closed {
            self.negotiation.restart = Some(new_credentials());
            self.negotiation_needed();
        }
    }

    pub(super) fn negotiation_needed(&mut self) {
        let waiting = self.events.contains(&Event::NegotiationNeeded);
        if !waiting && self.negotiation.pending.is_none() {
            self.events.push_back(Event::NegotiationNeeded);
        }
    }

    /// Describes what this side wishes. Nothing changes until the description is set.
    pub(crate) fn create_offer(&mut self, options: OfferOptions) -> Result<String, PcError> {
        self.check_open()?;
        if self.negotiation.state() == SignalingState::HaveRemoteOffer {
            return Err(PcError::State("an offer of the peer is pending"));
        }
        if options.ice_restart {
            self.negotiation.restart = Some(new_credentials());
        }
        self.ensure_receiver(MediaKind::Audio, options.receive_audio)?;
        self.ensure_receiver(MediaKind::Video, options.receive_video)?;
        let mut sections: Vec<Section> = Vec::new();
        for line in &self.negotiation.lines {
            let section = match &line.content {
                Content::Media(id) => match self.transceivers.get(id) {
                    Some(transceiver) => self.offered(transceiver, line.mid.clone()),
                    None => unusable(SectionKind::Audio, line.mid.clone()),
                },
                Content::Application => application(line.mid.clone()),
                Content::Unusable(kind) => unusable(kind.clone(), line.mid.clone()),
            };
            sections.push(section);
        }
        let fresh = self
            .transceivers
            .iter()
            .filter(|(_, t)| t.mid.is_none() && !t.stopped);
        for (_, transceiver) in fresh {
            let mid = self.negotiation.new_mid(&sections);
            sections.push(self.offered(transceiver, mid));
        }
        let has_application = sections
            .iter()
            .any(|section| section.kind == SectionKind::Application);
        if self.channels.wanted && !has_application {
            sections.push(application(self.negotiation.new_mid(&sections)));
        }
        let credentials = self
            .negotiation
            .restart
            .as_ref()
            .unwrap_or(&self.negotiation.credentials);
        let transport = Transport {
            credentials: credentials.clone(),
            fingerprint: self.negotiation.fingerprint.clone(),
            setup: Setup::ActPass,
            ice_lite: false,
        };
        self.negotiation.origin.1 += 1;
        let description = Description {
            origin: self.negotiation.origin,
            transport: Some(transport),
            sections,
        };
        Ok(description.to_string())
    }

    fn ensure_receiver(&mut self, kind: MediaKind, wanted: bool) -> Result<(), PcError> {
        let exists = self
            .transceivers
            .values()
            .any(|t| t.kind == kind && !t.stopped && t.direction.receives());
        if wanted && !exists {
            self.insert_transceiver(kind, Direction::RecvOnly)?;
        }
        Ok(())
    }

    /// What this side offers for a transceiver.
    fn offered(&self, transceiver: &Transceiver, mid: String) -> Section {
        let mut section = Section::new(transceiver.kind.section(), mid);
        let codecs = match transceiver.kind {
            MediaKind::Audio => &self.audio_codecs,
            MediaKind::Video => &self.video_codecs,
        };
        section.codecs = match transceiver.preferred.is_empty() {
            true => codecs.clone(),
            false => Codec::prefer(codecs, &transceiver.preferred),
        };
        section.extensions = extensions(transceiver.kind);
        if transceiver.stopped {
            section.rejected = true;
            return section;
        }
        section.direction = transceiver.direction;
        describe_sender(&mut section, transceiver);
        section
    }

    /// Describes what this side accepts of the pending offer of the peer.
    pub(crate) fn create_answer(&mut self) -> Result<String, PcError> {
        self.check_open()?;
        let Some(Pending {
            offer,
            local: false,
            ..
        }) = &self.negotiation.pending
        else {
            return Err(PcError::State("no offer of the peer is pending"));
        };
        let remote = &offer.meaning;
        let sections: Vec<Section> = remote
            .sections
            .iter()
            .zip(&self.negotiation.lines)
            .map(|(theirs, line)| self.answered(theirs, line))
            .collect();
        let theirs = remote.transport.as_ref().ok_or_else(no_transport)?;
        let restarted = self
            .negotiation
            .remote
            .as_ref()
            .and_then(|old| old.meaning.transport.as_ref())
            .is_some_and(|old| old.credentials != theirs.credentials);
        let credentials = match restarted {
            true => new_credentials(),
            false => self.negotiation.credentials.clone(),
        };
        let setup = match (self.negotiation.active, theirs.setup) {
            (Some(true), _) | (None, Setup::ActPass | Setup::Passive) => Setup::Active,
            (Some(false), _) | (None, Setup::Active) => Setup::Passive,
        };
        let transport = Transport {
            credentials,
            fingerprint: self.negotiation.fingerprint.clone(),
            setup,
            ice_lite: false,
        };
        self.negotiation.origin.1 += 1;
        let description = Description {
            origin: self.negotiation.origin,
            transport: Some(transport),
            sections,
        };
        Ok(description.to_string())
    }

    fn answered(&self, theirs: &Section, line: &Line) -> Section {
        let id = match &line.content {
            Content::Media(id) => *id,
            Content::Application => {
                let mut section = application(line.mid.clone());
                section.rejected = theirs.rejected;
                section.protocol = theirs.protocol.clone();
                return section;
            }
            Content::Unusable(kind) => {
                let mut section = unusable(kind.clone(), line.mid.clone());
                section.protocol = theirs.protocol.clone();
                section.formats = theirs.formats.clone();
                return section;
            }
        };
        let mut section = Section::new(theirs.kind.clone(), line.mid.clone());
        section.protocol = theirs.protocol.clone();
        section.formats = theirs.formats.clone();
        let Some(transceiver) = self.transceivers.get(&id) else {
            section.rejected = true;
            return section;
        };
        let known = match transceiver.kind {
            MediaKind::Audio => &self.audio_codecs,
            MediaKind::Video => &self.video_codecs,
        };
        section.codecs = Codec::intersect(known, &theirs.codecs);
        if !transceiver.preferred.is_empty() {
            section.codecs = Codec::prefer(&section.codecs, &transceiver.preferred);
        }
        if theirs.rejected || transceiver.stopped || section.codecs.iter().all(Codec::is_auxiliary)
        {
            section.codecs.clear();
            section.rejected = true;
            return section;
        }
        let ours = extensions(transceiver.kind);
        section.extensions = theirs
            .extensions
            .iter()
            .filter(|extension| ours.iter().any(|own| own.uri == extension.uri))
            .cloned()
            .collect();
        section.direction = Direction::of(
            transceiver.direction.sends() && theirs.direction.receives(),
            transceiver.direction.receives() && theirs.direction.sends(),
        );
        describe_sender(&mut section, transceiver);
        section
    }

    /// Sets a description of this side.
    pub(crate) fn set_local(
        &mut self,
        now: Instant,
        kind: DescriptionKind,
        text: &str,
    ) -> Result<(), PcError> {
        self.check_open()?;
        self.now = now;
        let before = self.negotiation.state();
        match kind {
            DescriptionKind::Rollback if before == SignalingState::HaveLocalOffer => {
                self.roll_back()
            }
            DescriptionKind::Offer if before != SignalingState::HaveRemoteOffer => {
                let offer = described(kind, text)?;
                self.roll_back();
                self.set_local_offer(offer)?;
            }
            DescriptionKind::Answer if before == SignalingState::HaveRemoteOffer => {
                let answer = described(kind, text)?;
                let pending = self.negotiation.pending.take();
                let Some(Pending { offer, lines, .. }) = pending else {
                    return Ok(());
                };
                if let Err(error) = self.commit(&answer.meaning, &offer.meaning, false) {
                    let pending = Pending {
                        offer,
                        local: false,
                        lines,
                    };
                    self.negotiation.pending = Some(pending);
                    return Err(error);
                }
                self.negotiation.local = Some(answer);
                self.negotiation.remote = Some(offer);
                self.use_waiting_candidates();
            }
            DescriptionKind::Offer
            | DescriptionKind::Answer
            | DescriptionKind::ProvisionalAnswer
            | DescriptionKind::Rollback => {
                return Err(PcError::State(
                    "the local description does not fit the negotiation",
                ));
            }
        }
        self.begin_gathering();
        self.signaling_changed(before);
        Ok(())
    }

    fn set_local_offer(&mut self, offer: Described) -> Result<(), PcError> {
        let lines = self.negotiation.lines.len();
        let sections = &offer.meaning.sections;
        let fits = |(section, line): (&Section, &Line)| section.mid == line.mid;
        if sections.len() < lines || !sections.iter().zip(&self.negotiation.lines).all(fits) {
            return Err(PcError::Sdp("the offer has lost a section".to_owned()));
        }
        for section in &sections[lines..] {
            let content = match media_kind(&section.kind) {
                Some(kind) => {
                    let found = self.transceivers.iter_mut().find(|(_, transceiver)| {
                        transceiver.kind == kind
                            && transceiver.mid.is_none()
                            && !transceiver.stopped
                    });
                    match found {
                        Some((id, transceiver)) => {
                            transceiver.mid = Some(section.mid.clone());
                            Content::Media(*id)
                        }
                        None => Content::Unusable(section.kind.clone()),
                    }
                }
                None if section.kind == SectionKind::Application => Content::Application,
                None => Content::Unusable(section.kind.clone()),
            };
            self.negotiation.lines.push(Line {
                mid: section.mid.clone(),
                content,
            });
        }
        self.negotiation.pending = Some(Pending {
            offer,
            local: true,
            lines,
        });
        Ok(())
    }

    /// Sets a description of the peer.
    pub(crate) fn set_remote(
        &mut self,
        now: Instant,
        kind: DescriptionKind,
        text: &str,
    ) -> Result<(), PcError> {
        self.check_open()?;
        self.now = now;
        let before = self.negotiation.state();
        match kind {
            DescriptionKind::Rollback if before == SignalingState::HaveRemoteOffer => {
                self.roll_back();
            }
            DescriptionKind::Offer => {
                let offer = described(kind, text)?;
                self.roll_back();
                self.set_remote_offer(offer)?;
            }
            DescriptionKind::Answer if before == SignalingState::HaveLocalOffer => {
                let old = self.negotiation.remote.as_ref();
                if old.is_some_and(|old| old.text == text) {
                    // The answer of the last negotiation, set again, cancels the pending offer.
                    self.roll_back();
                } else {
                    self.set_remote_answer(described(kind, text)?)?;
                }
            }
            DescriptionKind::Answer
            | DescriptionKind::ProvisionalAnswer
            | DescriptionKind::Rollback => {
                return Err(PcError::State(
                    "the remote description does not fit the negotiation",
                ));
            }
        }
        self.signaling_changed(before);
        Ok(())
    }

    fn set_remote_offer(&mut self, offer: Described) -> Result<(), PcError> {
        let lines = self.negotiation.lines.len();
        let sections = offer.meaning.sections.clone();
        if offer.meaning.transport.is_none() {
            return Err(no_transport());
        }
        let fits = |(section, line): (&Section, &Line)| section.mid == line.mid;
        if sections.len() < lines || !sections.iter().zip(&self.negotiation.lines).all(fits) {
            return Err(PcError::Sdp(
                "the offer has lost or replaced a section".to_owned(),
            ));
        }
        for section in &sections[lines..] {
            if sections
                .iter()
                .filter(|other| other.mid == section.mid)
                .count()
                > 1
            {
                return Err(PcError::Sdp("two sections have the same mid".to_owned()));
            }
        }
        let first = self.negotiation.remote.is_none() && self.negotiation.local.is_none();
        if first {
            self.take_over_numbers(&sections);
        }
        for section in &sections[lines..] {
            let content = match media_kind(&section.kind) {
                Some(kind) => Content::Media(self.transceiver_for(kind, section)?),
                None if section.kind == SectionKind::Application => Content::Application,
                None => Content::Unusable(section.kind.clone()),
            };
            self.negotiation.lines.push(Line {
                mid: section.mid.clone(),
                content,
            });
        }
        self.negotiation.pending = Some(Pending {
            offer,
            local: false,
            lines,
        });
        for (index, section) in sections.iter().enumerate() {
            let Content::Media(id) = self.negotiation.lines[index].content else {
                continue;
            };
            let wanted = self
                .transceivers
                .get(&id)
                .is_some_and(|t| t.direction.receives());
            let receives = wanted && !section.rejected && section.direction.sends();
            self.update_receiver(id, section, receives);
        }
        Ok(())
    }

    /// The transceiver for a section that the peer has added: one of ours that waits for a section, or a new one.
    fn transceiver_for(
        &mut self,
        kind: MediaKind,
        section: &Section,
    ) -> Result<TransceiverId, PcError> {
        let waiting = self.transceivers.iter().find(|(_, transceiver)| {
            transceiver.kind == kind
                && transceiver.mid.is_none()
                && !transceiver.stopped
                && transceiver.direction.sends()
                && section.direction.receives()
        });
        let id = match waiting.map(|(id, _)| *id) {
            Some(id) => id,
            None => self.insert_transceiver(kind, Direction::RecvOnly)?,
        };
        self.transceiver_mut(id)?.mid = Some(section.mid.clone());
        Ok(id)
    }

    /// Uses the numbers that the peer's first offer has for codecs and extensions.
    fn take_over_numbers(&mut self, sections: &[Section]) {
        for section in sections {
            match section.kind {
                SectionKind::Audio => Codec::renumber(&mut self.audio_codecs, &section.codecs),
                SectionKind::Video => Codec::renumber(&mut self.video_codecs, &section.codecs),
                SectionKind::Application | SectionKind::Other(_) => {}
            }
        }
    }

    fn set_remote_answer(&mut self, answer: Described) -> Result<(), PcError> {
        let Some(pending) = self.negotiation.pending.take() else {
            return Ok(());
        };
        let sections = &pending.offer.meaning.sections;
        let same = sections.len() == answer.meaning.sections.len()
            && sections
                .iter()
                .zip(&answer.meaning.sections)
                .all(|(ours, theirs)| ours.mid == theirs.mid && ours.kind == theirs.kind);
        let result = match same {
            true => self.commit(&pending.offer.meaning, &answer.meaning, true),
            false => Err(PcError::Sdp(
                "the answer does not have the sections of the offer".into(),
            )),
        };
        if let Err(error) = result {
            self.negotiation.pending = Some(pending);
            return Err(error);
        }
        self.negotiation.restart = None;
        self.negotiation.local = Some(pending.offer);
        self.negotiation.remote = Some(answer);
        self.use_waiting_candidates();
        Ok(())
    }

    /// Takes the pending offer back, whoever made it.
    fn roll_back(&mut self) {
        let Some(Pending { lines, local, .. }) = self.negotiation.pending.take() else {
            return;
        };
        for line in self.negotiation.lines.drain(lines..) {
            let Content::Media(id) = line.content else {
                continue;
            };
            let Some(transceiver) = self.transceivers.get_mut(&id) else {
                continue;
            };
            transceiver.mid = None;
            if local {
                continue;
            }
            if transceiver.end_receiving() {
                self.receiver_changes
                    .push_back(ReceiverChange::Ended { id });
            }
            if transceiver.local_track.is_none() && !transceiver.direction.sends() {
                self.transceivers.remove(&id);
            }
        }
    }

    /// Whether the description that has just been set changes the credentials of this side.
    pub(super) fn restart_offered(&self) -> bool {
        match &self.negotiation.pending {
            Some(Pending {
                offer, local: true, ..
            }) => offer
                .meaning
                .transport
                .as_ref()
                .is_some_and(|transport| transport.credentials != self.negotiation.credentials),
            Some(_) => false,
            None => self.negotiation.restarted,
        }
    }

    fn signaling_changed(&mut self, before: SignalingState) {
        let state = self.negotiation.state();
        if state != before {
            self.events.push_back(Event::Signaling(state));
        }
        let unassigned = self
            .transceivers
            .values()
            .any(|t| t.mid.is_none() && !t.stopped);
        if state == SignalingState::Stable && before != state && unassigned {
            self.negotiation_needed();
        }
    }

    /// Puts an agreement into effect.
    fn commit(
        &mut self,
        local: &Description,
        remote: &Description,
        offered: bool,
    ) -> Result<(), PcError> {
        let ours = local.transport.as_ref().ok_or_else(no_transport)?;
        let theirs = remote.transport.as_ref().ok_or_else(no_transport)?;
        // Seen from the peer; in its answer to an offer, "actpass" is not allowed, and most mean "active" by it.
        let setup = match (offered, ours.setup, theirs.setup) {
            (true, _, Setup::Passive) => Setup::Passive,
            (true, _, Setup::Active | Setup::ActPass) => Setup::Active,
            (false, Setup::Active | Setup::ActPass, _) => Setup::Passive,
            (false, Setup::Passive, _) => Setup::Active,
        };
        let answer = if offered { remote } else { local };
        let sections = local
            .sections
            .iter()
            .zip(&remote.sections)
            .zip(&answer.sections)
            .map(|((ours, theirs), answer)| agreed(ours, theirs, answer))
            .collect();
        let agreement = Description {
            origin: remote.origin,
            transport: Some(Transport {
                setup,
                ..theirs.clone()
            }),
            sections,
        };
        self.accept(&agreement.to_string())?;

        self.negotiation
            .active
            .get_or_insert(setup == Setup::Passive);
        self.negotiation
            .controlling
            .get_or_insert(offered || theirs.ice_lite);
        let restarted = self.negotiation.credentials != ours.credentials;
        self.negotiation.restarted = restarted;
        self.negotiation.credentials = ours.credentials.clone();
        for (index, section) in agreement.sections.iter().enumerate() {
            let Content::Media(id) = self.negotiation.lines[index].content else {
                continue;
            };
            self.commit_media(id, section, &remote.sections[index], offered);
        }
        self.transport_agreed(restarted);
        for section in &remote.sections {
            for candidate in &section.candidates {
                // A candidate of a kind that cannot be used does not spoil the rest.
                self.use_candidate(candidate).ok();
            }
        }
        let channels = agreement
            .sections
            .iter()
            .position(|s| s.kind == SectionKind::Application && !s.rejected);
        if let Some(index) = channels {
            self.association_begun(remote.sections[index].max_message_size);
        }
        Ok(())
    }

    fn commit_media(
        &mut self,
        id: TransceiverId,
        agreed: &Section,
        theirs: &Section,
        offered: bool,
    ) {
        let Some(transceiver) = self.transceivers.get_mut(&id) else {
            return;
        };
        let direction = agreed.direction.reversed();
        transceiver.current = Some(if agreed.rejected {
            Direction::Inactive
        } else {
            direction
        });
        transceiver.codecs = agreed.codecs.clone();
        transceiver.extensions = agreed.extensions.clone();
        let main = transceiver.main_codec().map(|codec| codec.payload_type);
        transceiver.wishes = theirs
            .codecs
            .iter()
            .find(|codec| Some(codec.payload_type) == main)
            .cloned();
        let sends = transceiver.sending();
        let expected = agreed.ssrcs.iter().map(|ssrc| ssrc.main).collect();
        let former = std::mem::replace(&mut transceiver.expected, expected);
        if let Some(mid) = transceiver.mid.as_deref() {
            let retransmits = transceiver.codecs.iter().any(|codec| codec.is("rtx"));
            let retransmission = retransmits.then_some(transceiver.retransmission_ssrc);
            let mid = mid.into();
            let wanted = transceiver.ssrc.into();
            let mut direct = self.rtc.direct_api();
            let existing = direct
                .stream_tx_by_mid(mid, None)
                .map(|stream| stream.ssrc());
            // str0m has given a number of its own choice to what may send, and keeps what sends no longer with all that it holds for
            // retransmission.
            if let Some(other) = existing.filter(|existing| *existing != wanted || !sends) {
                direct.remove_stream_tx(other);
            }
            if sends && existing != Some(wanted) {
                direct.declare_stream_tx(wanted, retransmission.map(Into::into), mid, None);
            }
            // What the peer has ceased to send would be kept as well.
            let ceased = |former: &&u32| !transceiver.expected.contains(former);
            for former in former.iter().filter(ceased) {
                direct.remove_stream_rx((*former).into());
            }
            if transceiver.expected.is_empty() {
                while let Some(stray) = direct.stream_rx_by_mid(mid, None).map(|s| s.ssrc()) {
                    direct.remove_stream_rx(stray);
                }
            }
        }
        if offered {
            self.update_receiver(id, theirs, !agreed.rejected && direction.receives());
        }
    }
}

/// What both sides have agreed on for a section, as the peer would offer it.
fn agreed(ours: &Section, theirs: &Section, answer: &Section) -> Section {
    let mut section = Section::new(theirs.kind.clone(), theirs.mid.clone());
    section.protocol = theirs.protocol.clone();
    section.rejected = ours.rejected || theirs.rejected;
    if section.kind == SectionKind::Application {
        section.sctp_port = theirs.sctp_port.or(Some(5_000));
        section.max_message_size = theirs.max_message_size;
        return section;
    }
    section.codecs = match media_kind(&section.kind) {
        // What is only in an answer was never offered.
        Some(_) => Codec::intersect(&ours.codecs, &answer.codecs),
        None => Vec::new(),
    };
    let is_offered = |e: &&Extension| ours.extensions.iter().any(|own| own.uri == e.uri);
    section.extensions = answer
        .extensions
        .iter()
        .filter(is_offered)
        .cloned()
        .collect();
    if section.rejected {
        return section;
    }
    section.direction = Direction::of(
        theirs.direction.sends() && ours.direction.receives(),
        theirs.direction.receives() && ours.direction.sends(),
    );
    if section.direction.sends() {
        section.ssrcs = theirs.ssrcs.clone();
    }
    section
}

fn described(kind: DescriptionKind, text: &str) -> Result<Described, PcError> {
    let meaning = Description::parse(text)
        .map_err(|error| PcError::Sdp(format!("{error}: {}", error.line())))?;
    Ok(Described {
        kind,
        text: text.to_owned(),
        meaning,
    })
}

fn describe_sender(section: &mut Section, transceiver: &Transceiver) {
    if !section.direction.sends() {
        return;
    }
    let track = transceiver
        .local_track
        .clone()
        .unwrap_or_else(|| section.mid.clone());
    section.cname = Some(track.clone());
    section.track = Some(track);
    section.streams = transceiver.local_streams.clone();
    let retransmits = section.codecs.iter().any(|codec| codec.is("rtx"));
    section.ssrcs = vec![Ssrc {
        main: transceiver.ssrc,
        retransmission: retransmits.then_some(transceiver.retransmission_ssrc),
    }];
}

fn application(mid: String) -> Section {
    let mut section = Section::new(SectionKind::Application, mid);
    section.sctp_port = Some(5_000);
    section.max_message_size = Some(Peer::message_size_max());
    section
}

fn unusable(kind: SectionKind, mid: String) -> Section {
    let mut section = Section::new(kind, mid);
    section.rejected = true;
    section
}

fn media_kind(kind: &SectionKind) -> Option<MediaKind> {
    match kind {
        SectionKind::Audio => Some(MediaKind::Audio),
        SectionKind::Video => Some(MediaKind::Video),
        SectionKind::Application | SectionKind::Other(_) => None,
    }
}

fn new_credentials() -> Credentials {
    let credentials = str0m::IceCreds::new();
    Credentials {
        ufrag: credentials.ufrag,
        password: credentials.pass,
    }
}

fn no_transport() -> PcError {
    PcError::Sdp("ice-ufrag, ice-pwd or fingerprint is missing".to_owned())
}
