//! Our own participant: one connection to one room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use livekit::data_stream::api::{SendByteOptions, SendTextOptions};
use livekit::options::{AudioEncoding, TrackPublishOptions};
use livekit::participant::{ParticipantKind as Kind, ParticipantTrackPermission};
use livekit::prelude::{
    DataPacket, DisconnectReason, LocalParticipant, LocalTrack, RemoteAudioTrack,
    RemoteParticipant, RemoteTrack, RemoteTrackPublication, Room, RoomEvent as Event, RoomOptions,
    SipDTMF, TrackKind, TrackSource,
};
use livekit::webrtc::media_stream_track::RtcTrackState;
use livekit::webrtc::stats::RtcStats;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{
    Closed, IncomingAudio, IncomingBytes, Participant, ParticipantKind, ProgramTrack, RoomEvent,
    RtcError,
};

/// How to join.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The longest that joining may take.
    pub join_timeout: Duration,
    /// The longest that publishing may take.
    pub publish_timeout: Duration,
    /// Bits per second of the program track.
    pub program_bitrate_bps: u64,
}

/// Our participant in a room. Dropping it without [`Connection::close`] leaves the room without a word.
pub struct Connection {
    room: Arc<Room>,
    events: mpsc::UnboundedReceiver<Event>,
    /// Translated and not yet read; never more than one LiveKit event brings.
    pending: VecDeque<RoomEvent>,
    /// Everybody who was reported as joined and not as left, by identity.
    present: BTreeMap<String, Participant>,
    /// Who was taken from us without the server's word: they have left, or our own full reconnect is about to begin.
    doubtful: Vec<Participant>,
    /// Whether our connection is being restored. A resume may become a full reconnect, which takes everybody from us
    /// for a moment; who has really left meanwhile is seen at its end.
    reconnecting: bool,
    /// The audio tracks of those present, as they were subscribed last, by sid.
    tracks: BTreeMap<String, RemoteAudioTrack>,
    unanswered: Option<Unanswered>,
    options: ConnectOptions,
}

/// A subscription of which nothing has come yet.
struct Unanswered {
    /// When it is asked for again.
    at: Instant,
    pause: Duration,
}

/// How often it is looked whether a packet has come.
const PULSE_INTERVAL: Duration = Duration::from_millis(50);

/// The name under which the program track is published.
const PROGRAM_NAME: &str = "program";

/// How long it stays open whether a leave without a reason is the start of our own full reconnect.
const DOUBT: Duration = Duration::from_millis(100);

/// How long nothing may have come of a subscription before it is asked for again, first and at most.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(1);
const ASK_AGAIN_LAST: Duration = Duration::from_secs(8);

impl Unanswered {
    fn after(pause: Duration) -> Self {
        Self {
            at: Instant::now() + pause,
            pause,
        }
    }
}

impl Connection {
    /// Joins the room of `access_token`, subscribed to nothing, with no track of ours open to anybody.
    pub async fn join(
        url: &str,
        access_token: &str,
        options: ConnectOptions,
    ) -> Result<Self, RtcError> {
        let mut room_options = RoomOptions::default();
        room_options.auto_subscribe = false;
        let joining = Room::connect(url, access_token, room_options);
        let (room, events) = tokio::time::timeout(options.join_timeout, joining)
            .await
            .map_err(|_| RtcError::JoinTimeout(options.join_timeout.as_secs()))?
            .map_err(RtcError::Join)?;
        Ok(Self {
            room: Arc::new(room),
            events,
            pending: VecDeque::new(),
            present: BTreeMap::new(),
            doubtful: Vec::new(),
            reconnecting: false,
            tracks: BTreeMap::new(),
            unanswered: None,
            options,
        })
    }

    /// Our own identity.
    pub fn identity(&self) -> String {
        self.room.local_participant().identity().to_string()
    }

    /// The room's name, which may carry the caller's phone number.
    pub fn room_name(&self) -> String {
        self.room.name()
    }

    /// The room's session id, `RM_...`, if the server has told it: a room that was closed and made anew has another.
    pub fn room_sid(&self) -> Option<String> {
        self.room.maybe_sid().map(String::from)
    }

    /// Publishes the program track.
    pub async fn publish_program(&self) -> Result<ProgramTrack, RtcError> {
        self.publish_track(PROGRAM_NAME).await
    }

    /// Publishes a track as a microphone, with DTX and RED off: it must never starve, and never skip.
    pub async fn publish_track(&self, name: &str) -> Result<ProgramTrack, RtcError> {
        let track = ProgramTrack::new(name);
        let options = TrackPublishOptions {
            audio_encoding: Some(AudioEncoding {
                max_bitrate: self.options.program_bitrate_bps,
            }),
            dtx: false,
            red: false,
            source: TrackSource::Microphone,
            ..Default::default()
        };
        let participant = self.room.local_participant();
        let publishing = participant.publish_track(LocalTrack::Audio(track.track.clone()), options);
        tokio::time::timeout(self.options.publish_timeout, publishing)
            .await
            .map_err(|_| RtcError::PublishTimeout(self.options.publish_timeout.as_secs()))?
            .map_err(RtcError::Publish)?;
        Ok(track)
    }

    /// Subscribes to, or unsubscribes from, every audio track of `identity`.
    pub fn set_listening(&mut self, identity: &str, listening: bool) {
        let participants = self.room.remote_participants();
        let Some(remote) = participants.get(&identity.to_owned().into()) else {
            return;
        };
        for publication in remote.track_publications().into_values() {
            if publication.kind() != TrackKind::Audio {
                continue;
            }
            // Of a track that just goes on `livekit` tells neither this nor that.
            let changes = publication.is_desired() != listening;
            let goes_on = publication.track().is_none() && changes;
            if changes && listening {
                self.unanswered = Some(Unanswered::after(ASK_AGAIN_FIRST));
            }
            publication.set_subscribed(listening);
            let Some(track) = self.track_of(&publication).filter(|_| goes_on) else {
                continue;
            };
            let participant = participant(remote);
            let track_sid = publication.sid().to_string();
            self.pending.push_back(match listening {
                true => RoomEvent::AudioSubscribed {
                    participant,
                    track_sid,
                    audio: IncomingAudio::new(&track),
                },
                false => RoomEvent::AudioUnsubscribed {
                    participant,
                    track_sid,
                },
            });
        }
    }

    /// The packets of every audio track of `identity` that we are subscribed to, from now on, with the track's sid; whoever else
    /// reads them goes on.
    pub fn read_audio(&self, identity: &str) -> Vec<(String, IncomingAudio)> {
        let participants = self.room.remote_participants();
        let Some(participant) = participants.get(&identity.to_owned().into()) else {
            return Vec::new();
        };
        let publications = participant.track_publications().into_values();
        publications
            .filter(RemoteTrackPublication::is_desired)
            .filter_map(|publication| {
                let track = self.track_of(&publication)?;
                Some((publication.sid().to_string(), IncomingAudio::new(&track)))
            })
            .collect()
    }

    /// The track of a subscription, also where `livekit` knows of none: it forgets the track when the subscription ends, and tells
    /// of no other when the next one begins before the server has taken the track away. That one then just goes on.
    fn track_of(&self, publication: &RemoteTrackPublication) -> Option<RemoteAudioTrack> {
        let track = match publication.track() {
            Some(RemoteTrack::Audio(track)) => Some(track),
            Some(RemoteTrack::Video(_)) | None => {
                self.tracks.get(publication.sid().as_str()).cloned()
            }
        };
        track.filter(|track| track.rtc_track().state() == RtcTrackState::Live)
    }

    /// Subscribes once more to what nothing has come of: `livekit` may have sent the end of one subscription after the beginning of
    /// the next.
    fn ask_again(&mut self) {
        let Some(Unanswered { pause, .. }) = self.unanswered.take() else {
            return;
        };
        let participants = self.room.remote_participants().into_values();
        let publications =
            participants.flat_map(|remote| remote.track_publications().into_values());
        let unheard: Vec<_> = publications
            .filter(|publication| publication.kind() == TrackKind::Audio)
            .filter(|publication| publication.is_desired() && self.track_of(publication).is_none())
            .collect();
        if unheard.is_empty() {
            return;
        }
        tracing::debug!(
            tracks = unheard.len(),
            "subscribing again to what has not come"
        );
        for publication in unheard {
            publication.set_subscribed(true);
        }
        if pause < ASK_AGAIN_LAST {
            self.unanswered = Some(Unanswered::after(pause * 2));
        }
    }

    /// A way to send that does not hold up whoever reads the events.
    pub fn sender(&self) -> Sender {
        Sender {
            participant: self.room.local_participant(),
        }
    }

    /// A way to learn whether anything comes from the server, of whatever kind.
    pub fn pulse(&self) -> Pulse {
        Pulse {
            room: self.room.clone(),
        }
    }

    /// Everybody in the room now but us.
    pub fn participants(&self) -> Vec<Participant> {
        self.room
            .remote_participants()
            .values()
            .map(participant)
            .collect()
    }

    /// The audio tracks that `identity` has published, as track sids.
    pub fn audio_tracks(&self, identity: &str) -> Vec<String> {
        let participants = self.room.remote_participants();
        let Some(participant) = participants.get(&identity.to_owned().into()) else {
            return Vec::new();
        };
        let publications = participant.track_publications().into_values();
        publications
            .filter(|publication| publication.kind() == TrackKind::Audio)
            .map(|publication| publication.sid().to_string())
            .collect()
    }

    /// The sid of the program track, once it is published.
    pub fn program_sid(&self) -> Option<String> {
        let publications = self.room.local_participant().track_publications();
        let mut publications = publications.into_values();
        let program = publications.find(|publication| publication.name() == PROGRAM_NAME)?;
        Some(program.sid().to_string())
    }

    /// The next event. After [`RoomEvent::Closed`] there is none. Cancel-safe.
    pub async fn next_event(&mut self) -> RoomEvent {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            let doubt = (!self.doubtful.is_empty()).then(|| Instant::now() + DOUBT);
            let unanswered = self.unanswered.as_ref().map(|unanswered| unanswered.at);
            let next = match doubt.into_iter().chain(unanswered).min() {
                None => self.events.recv().await,
                Some(until) => match timeout_at(until, self.events.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        if doubt == Some(until) {
                            self.believe_doubtful();
                        } else {
                            self.ask_again();
                        }
                        continue;
                    }
                },
            };
            match next {
                Some(event) => self.translate(event),
                None => {
                    return RoomEvent::Closed(Closed::Other("the event stream ended".to_owned()));
                }
            }
        }
    }

    /// Leaves the room in an orderly way.
    pub async fn close(self) {
        if let Err(error) = self.room.close().await {
            tracing::debug!(%error, "leaving the room failed");
        }
    }

    fn translate(&mut self, event: Event) {
        match event {
            Event::Connected {
                participants_with_tracks,
            } => {
                for (remote, publications) in participants_with_tracks {
                    self.join_of(participant(&remote));
                    for publication in publications
                        .into_iter()
                        .filter(|publication| publication.kind() == TrackKind::Audio)
                    {
                        let track_sid = publication.sid().to_string();
                        self.pending.push_back(RoomEvent::AudioPublished {
                            participant: participant(&remote),
                            track_sid,
                        });
                    }
                }
            }
            Event::ParticipantConnected(remote) => self.join_of(participant(&remote)),
            Event::ParticipantDisconnected(remote) => match remote.disconnect_reason() {
                DisconnectReason::UnknownReason if self.reconnecting => {}
                DisconnectReason::UnknownReason => self.doubtful.push(participant(&remote)),
                _ => self.leave_of(participant(&remote)),
            },
            Event::TrackPublished {
                publication,
                participant: remote,
            } if publication.kind() == TrackKind::Audio => {
                let track_sid = publication.sid().to_string();
                self.pending.push_back(RoomEvent::AudioPublished {
                    participant: participant(&remote),
                    track_sid,
                });
            }
            Event::TrackUnpublished {
                publication,
                participant: remote,
            } => {
                let track_sid = publication.sid().to_string();
                if self.tracks.remove(&track_sid).is_some() {
                    self.pending.push_back(RoomEvent::AudioUnsubscribed {
                        participant: participant(&remote),
                        track_sid: track_sid.clone(),
                    });
                }
                self.pending.push_back(RoomEvent::Unpublished {
                    participant: participant(&remote),
                    track_sid,
                });
            }
            Event::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                publication,
                participant: remote,
            } => {
                let track_sid = publication.sid().to_string();
                let audio = IncomingAudio::new(&track);
                self.tracks.insert(track_sid.clone(), track);
                self.pending.push_back(RoomEvent::AudioSubscribed {
                    participant: participant(&remote),
                    track_sid,
                    audio,
                });
            }
            Event::TrackUnsubscribed {
                publication,
                participant: remote,
                ..
            } => {
                // Subscribed anew meanwhile; if it is no longer published, that is said next.
                if publication.is_desired() && self.track_of(&publication).is_some() {
                    return;
                }
                let track_sid = publication.sid().to_string();
                self.pending.push_back(RoomEvent::AudioUnsubscribed {
                    participant: participant(&remote),
                    track_sid,
                });
            }
            Event::DataReceived {
                payload,
                topic: Some(topic),
                participant: sender,
                ..
            } => {
                let payload = std::sync::Arc::unwrap_or_clone(payload);
                self.pending.push_back(RoomEvent::Data {
                    sender: sender.as_ref().map(participant),
                    topic,
                    payload,
                });
            }
            Event::ByteStreamOpened {
                reader,
                topic,
                participant_identity,
            } => {
                if let Some(reader) = reader.take() {
                    self.pending.push_back(RoomEvent::ByteStream {
                        sender: participant_identity.to_string(),
                        topic,
                        stream: IncomingBytes::new(reader),
                    });
                }
            }
            Event::SipDTMFReceived {
                digit: Some(digit),
                participant: sender,
                ..
            } => {
                let mut digits = digit.chars();
                if let (Some(digit), None) = (digits.next(), digits.next()) {
                    self.pending.push_back(RoomEvent::Dtmf {
                        sender: sender.as_ref().map(participant),
                        digit,
                    });
                }
            }
            Event::LocalTrackSubscribed { .. } => {
                self.pending.push_back(RoomEvent::ProgramSubscribed)
            }
            Event::ParticipantAttributesChanged {
                participant: livekit::participant::Participant::Remote(remote),
                ..
            } => {
                self.pending
                    .push_back(RoomEvent::AttributesChanged(participant(&remote)));
            }
            Event::ActiveSpeakersChanged { speakers } => {
                let identities = speakers
                    .iter()
                    .map(|speaker| speaker.identity().to_string());
                self.pending
                    .push_back(RoomEvent::Speaking(identities.collect()));
            }
            Event::Reconnecting => {
                self.doubtful.clear();
                self.reconnecting = true;
                self.pending.push_back(RoomEvent::Reconnecting);
            }
            Event::Reconnected => {
                self.reconnecting = false;
                self.subscribe_anew();
                let here: BTreeSet<String> = self
                    .participants()
                    .into_iter()
                    .map(|participant| participant.identity)
                    .collect();
                let gone: Vec<_> = self
                    .present
                    .values()
                    .filter(|known| !here.contains(&known.identity))
                    .cloned()
                    .collect();
                gone.into_iter()
                    .for_each(|participant| self.leave_of(participant));
                self.pending.push_back(RoomEvent::Reconnected);
            }
            Event::Disconnected { reason } => {
                self.pending.push_back(RoomEvent::Closed(closed(reason)))
            }
            // LiveKit's enum is open, and the rest (video, chat, metadata, quality) is no concern of a call's.
            _ => {}
        }
    }

    /// Says once more what we are subscribed to: `livekit` loses such a request while a full reconnect is under way.
    fn subscribe_anew(&self) {
        for participant in self.room.remote_participants().into_values() {
            for publication in participant.track_publications().into_values() {
                if publication.kind() == TrackKind::Audio && publication.is_desired() {
                    publication.set_subscribed(true);
                }
            }
        }
    }

    /// Reports a join. A participant that is seen anew under another sid has left before.
    fn join_of(&mut self, joined: Participant) {
        if let Some(known) = self
            .present
            .get(&joined.identity)
            .filter(|known| known.sid != joined.sid)
            .cloned()
        {
            self.leave_of(known);
        }
        self.present.insert(joined.identity.clone(), joined.clone());
        self.pending.push_back(RoomEvent::Joined(joined));
    }

    /// Reports a leave, unless the identity is present under a newer sid.
    fn leave_of(&mut self, left: Participant) {
        if self
            .present
            .get(&left.identity)
            .is_some_and(|known| known.sid == left.sid)
        {
            self.present.remove(&left.identity);
            self.pending.push_back(RoomEvent::Left(left));
        }
    }

    fn believe_doubtful(&mut self) {
        for participant in std::mem::take(&mut self.doubtful) {
            self.leave_of(participant);
        }
    }
}

/// Whether the server's packets reach us.
#[derive(Debug)]
pub struct Pulse {
    room: Arc<Room>,
}

impl Pulse {
    /// Resolves when a packet comes from the server: of a track, of a data channel or of the transport itself. It never does
    /// while the network between is broken, so wait for it with a limit.
    pub async fn beat(&self) {
        let before = self.packets().await;
        loop {
            tokio::time::sleep(PULSE_INTERVAL).await;
            let now = self.packets().await;
            if before.is_some() && now != before {
                return;
            }
        }
    }

    /// The packets of every kind so far; `None` if that cannot be said just now.
    async fn packets(&self) -> Option<u64> {
        let stats = self.room.get_stats().await.ok()?;
        let both = stats.publisher_stats.iter().chain(&stats.subscriber_stats);
        let counts = both.filter_map(|stats| match stats {
            RtcStats::CandidatePair(pair) => Some(pair.candidate_pair.packets_received),
            _ => None,
        });
        Some(counts.sum())
    }
}

/// The sending side of a [`Connection`].
#[derive(Clone, Debug)]
pub struct Sender {
    participant: LocalParticipant,
}

impl Sender {
    /// Opens our tracks to exactly these identities, present or yet to come.
    pub async fn allow_subscribers(&self, identities: &BTreeSet<String>) -> Result<(), RtcError> {
        let permissions = identities
            .iter()
            .map(|identity| ParticipantTrackPermission {
                participant_identity: identity.clone().into(),
                allow_all: true,
                allowed_track_sids: Vec::new(),
            })
            .collect();
        self.participant
            .set_track_subscription_permissions(false, permissions)
            .await
            .map_err(RtcError::Permission)
    }

    /// Sends one data packet to one participant, by the reliable channel or the lossy one.
    pub async fn send(
        &self,
        identity: &str,
        topic: &str,
        payload: Vec<u8>,
        reliable: bool,
    ) -> Result<(), RtcError> {
        let packet = DataPacket {
            payload,
            topic: Some(topic.to_owned()),
            reliable,
            destination_identities: vec![identity.to_owned().into()],
        };
        self.participant
            .publish_data(packet)
            .await
            .map_err(RtcError::Send)
    }

    /// Sends a message to one participant as a byte stream.
    pub async fn send_bytes(
        &self,
        identity: &str,
        topic: &str,
        message: Vec<u8>,
    ) -> Result<(), RtcError> {
        let mut options = SendByteOptions::new_with_topic(topic);
        options.destination_identities = vec![identity.to_owned().into()];
        let sent = self.participant.send_bytes(message, options).await;
        sent.map(|_| ())
            .map_err(|error| RtcError::SendBytes(error.to_string()))
    }

    /// Sends a message to one participant as a text stream.
    pub async fn send_text(&self, identity: &str, topic: &str, text: &str) -> Result<(), RtcError> {
        let mut options = SendTextOptions::new_with_topic(topic);
        options.destination_identities = vec![identity.to_owned().into()];
        let sent = self.participant.send_text(text, options).await;
        sent.map(|_| ())
            .map_err(|error| RtcError::SendText(error.to_string()))
    }

    /// Presses a key of a phone's pad for one participant.
    pub async fn press(&self, identity: &str, digit: char) -> Result<(), RtcError> {
        let code = match digit {
            '*' => 10,
            '#' => 11,
            'A'..='D' => digit as u32 - 'A' as u32 + 12,
            other => other.to_digit(10).unwrap_or_default(),
        };
        let pressed = SipDTMF {
            code,
            digit: digit.to_string(),
            destination_identities: vec![identity.to_owned().into()],
        };
        self.participant
            .publish_dtmf(pressed)
            .await
            .map_err(RtcError::Send)
    }
}

fn participant(remote: &RemoteParticipant) -> Participant {
    let kind = match remote.kind() {
        Kind::Standard => ParticipantKind::Standard,
        Kind::Sip => ParticipantKind::Sip,
        Kind::Agent => ParticipantKind::Agent,
        Kind::Ingress | Kind::Egress | Kind::Connector | Kind::Bridge => ParticipantKind::Other,
    };
    Participant {
        identity: remote.identity().to_string(),
        sid: remote.sid().to_string(),
        kind,
        attributes: remote.attributes().into_iter().collect(),
    }
}

fn closed(reason: livekit::DisconnectReason) -> Closed {
    use livekit::DisconnectReason;
    match reason {
        DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => Closed::RoomGone,
        DisconnectReason::DuplicateIdentity => Closed::Replaced,
        DisconnectReason::ParticipantRemoved => Closed::Removed,
        other => Closed::Other(format!("{other:?}")),
    }
}
