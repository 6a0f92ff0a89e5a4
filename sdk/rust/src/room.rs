//! The room as LiveKit presents it: the only module that names the `livekit` crate.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use livekit::DisconnectReason;
use livekit::options::TrackPublishOptions;
use livekit::participant::{ParticipantKind, ParticipantTrackPermission};
use livekit::prelude::{
    DataPacket, LocalAudioTrack, LocalParticipant, LocalTrack, RemoteAudioTrack, RemoteParticipant,
    RemoteTrack, RemoteTrackPublication, Room, RoomError, RoomEvent, RoomOptions, TrackKind,
    TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::media_stream_track::RtcTrackState;
use livekit::webrtc::stats::RtcStats;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::builder::Misbehaviour;
use crate::listener::CallerAudio;
use crate::vigil::Sample;
use crate::voice::Voice;
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// The name of our first track.
const VOICE: &str = "voice";
/// The longest that joining may take.
const JOIN_MAX: Duration = Duration::from_secs(15);
/// The longest that publishing may take.
const PUBLISH_MAX: Duration = Duration::from_secs(10);
/// The longest that one packet may take to leave.
const SEND_MAX: Duration = Duration::from_secs(5);
/// The longest that leaving may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Packets that may wait to be sent; beyond them one is lost, as in the network, and sent again by the link.
const PACKETS_MAX: usize = 256;
/// The longest that counting packets may take.
const SAMPLE_MAX: Duration = Duration::from_millis(500);
/// How long no track of the caller's may have come before it is asked for again, first and at most.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(1);
const ASK_AGAIN_LAST: Duration = Duration::from_secs(8);
/// How long nothing is said when the voice moves from one track to another, in frames: a caller who hears the one directly and
/// the other by way of Baton, each through a buffer of its own, does not hear both. LiveKit's SIP bridge holds up to 100 ms of a
/// track, and what comes by Baton may meet an empty buffer there.
const MOVE_FRAMES: u32 = 12;

/// Our participant in a room, with one audio track, or two while the voice moves from one to the other.
pub(crate) struct Connection {
    room: Arc<Room>,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    orchestrator: String,
    misbehaviour: Misbehaviour,
    outlets: Arc<Mutex<Outlets>>,
    /// Tracks of ours made so far: each has a name of its own.
    made: u32,
    /// Of the caller, once known; it stays when the caller is away.
    caller: Option<String>,
    wants_caller: bool,
    ears: BTreeMap<String, DropGuard>,
    /// Tracks of the caller that were subscribed before they were wanted: no event will tell of them again.
    subscribed: Vec<CallerTrack>,
    /// The audio tracks that are published, as they were subscribed last.
    tracks: BTreeMap<String, RemoteAudioTrack>,
    unanswered: Option<Unanswered>,
}

/// A wish for the caller of which nothing has come yet.
#[derive(Debug)]
struct Unanswered {
    /// When it is said again.
    at: Instant,
    pause: Duration,
}

/// A track of ours, and what it is fed from.
#[derive(Debug, Clone)]
struct Outlet {
    source: NativeAudioSource,
    track: LocalAudioTrack,
}

/// Where the voice goes.
#[derive(Debug)]
struct Outlets {
    voice: Outlet,
    /// Published beside it, and silent so far.
    fresh: Option<Outlet>,
    /// Where the voice has been, silent until it is taken away.
    former: Option<Outlet>,
    /// Frames for which nothing is said.
    pause: u32,
}

/// To whom our tracks are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// To Baton.
    Baton,
    /// The voice's track to the caller as well.
    Caller,
}

/// Something that happened in the room, as far as it matters to a specialist.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A packet of Baton's.
    Packet(Arc<Vec<u8>>),
    /// Baton's participant is another one: after its own full reconnect, or in another process.
    NewBaton,
    /// Somebody has subscribed to the fresh track, which is open to Baton alone.
    FreshTaken,
    /// A track of the caller's can be heard.
    Caller(CallerTrack),
    /// The connection is being restored.
    Reconnecting,
    /// The connection is back.
    Reconnected,
    /// The connection has ended for good.
    Ended(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The call is over, or our part in it.
    Over,
    /// Something went wrong, in LiveKit's words.
    Broken(String),
}

/// A subscribed track of the caller's.
#[derive(Debug)]
pub(crate) struct CallerTrack {
    sid: String,
    track: RemoteAudioTrack,
}

/// Why a room cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// It took too long.
    #[error("{what} took longer than {limit_secs} s")]
    TooLong {
        /// What did.
        what: &'static str,
        /// The limit.
        limit_secs: u64,
    },
    /// LiveKit says no.
    #[error("{what} failed: {source}")]
    Failed {
        /// What did.
        what: &'static str,
        /// LiveKit's reason.
        source: RoomError,
    },
}

impl Connection {
    /// Joins, subscribed to nothing.
    pub(crate) async fn join(
        url: &str,
        access_token: &str,
        orchestrator: &str,
        misbehaviour: Misbehaviour,
    ) -> Result<Self, ConnectionError> {
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let joining = Room::connect(url, access_token, options);
        let (room, events) = within("joining the room", JOIN_MAX, joining).await?;
        let outlets = Outlets {
            voice: Outlet::new(VOICE),
            fresh: None,
            former: None,
            pause: 0,
        };
        Ok(Self {
            room: Arc::new(room),
            events,
            orchestrator: orchestrator.to_owned(),
            misbehaviour,
            outlets: Arc::new(Mutex::new(outlets)),
            made: 1,
            caller: None,
            wants_caller: false,
            ears: BTreeMap::new(),
            subscribed: Vec::new(),
            tracks: BTreeMap::new(),
            unanswered: None,
        })
    }

    /// Closes our tracks to everybody but Baton. To be done before anything is published, and after each reconnect.
    pub(crate) async fn close_permission(&self) -> Result<(), ConnectionError> {
        self.permit(Permission::Baton).await
    }

    /// Says to whom our tracks are open. Whoever is not named and was subscribed is so no longer.
    pub(crate) async fn permit(&self, permission: Permission) -> Result<(), ConnectionError> {
        let baton = ParticipantTrackPermission {
            participant_identity: self.orchestrator.clone().into(),
            allow_all: true,
            allowed_track_sids: Vec::new(),
        };
        let caller = self
            .caller
            .clone()
            .filter(|_| permission == Permission::Caller);
        let caller = caller.map(|caller| ParticipantTrackPermission {
            participant_identity: caller.into(),
            allow_all: false,
            allowed_track_sids: self.track_sid().try_into().into_iter().collect(),
        });
        let allowed = std::iter::once(baton).chain(caller).collect();
        let participant = self.room.local_participant();
        let changing =
            participant.set_track_subscription_permissions(self.misbehaviour.open_to_all, allowed);
        within("changing the track permission", SEND_MAX, changing).await
    }

    /// Whether there is a caller to open a track to.
    pub(crate) fn has_caller(&self) -> bool {
        self.caller.is_some()
    }

    /// Publishes the voice, and returns the track's sid. DTX is off, so that Baton's buffers are filled before the
    /// first word.
    pub(crate) async fn publish(&self) -> Result<(), ConnectionError> {
        let outlet = self.outlets().voice.clone();
        self.publish_outlet(&outlet).await
    }

    /// Publishes a fresh track beside the voice's, for the voice to move to; does nothing if there is one.
    pub(crate) async fn publish_fresh(&mut self) -> Result<(), ConnectionError> {
        if self.outlets().fresh.is_some() {
            return Ok(());
        }
        self.made += 1;
        let outlet = Outlet::new(&format!("{VOICE}-{}", self.made));
        self.publish_outlet(&outlet).await?;
        // Fed with silence from here on: the server makes nothing of a track without packets.
        self.outlets().fresh = Some(outlet);
        Ok(())
    }

    /// Moves the voice to the fresh track, after a pause; the former one is silent from here on, until it is
    /// [taken away](Connection::take_former_away).
    pub(crate) fn move_voice(&self) {
        let mut outlets = self.outlets();
        if let Some(fresh) = outlets.fresh.take() {
            let former = std::mem::replace(&mut outlets.voice, fresh);
            outlets.former = Some(former);
            outlets.pause = MOVE_FRAMES;
        }
    }

    /// Takes the track away on which the voice was before, if it is still there.
    pub(crate) async fn take_former_away(&self) -> Result<(), ConnectionError> {
        let former = self.outlets().former.take();
        let sid = former.map(|former| self.sid_of(&former.track.name()));
        let Some(Ok(sid)) = sid.map(TryInto::try_into) else {
            return Ok(());
        };
        let participant = self.room.local_participant();
        let unpublishing = participant.unpublish_track(&sid);
        within("taking a track away", PUBLISH_MAX, unpublishing)
            .await
            .map(drop)
    }

    fn outlets(&self) -> std::sync::MutexGuard<'_, Outlets> {
        // Nothing panics while it is held.
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish_outlet(&self, outlet: &Outlet) -> Result<(), ConnectionError> {
        let options = TrackPublishOptions {
            dtx: self.misbehaviour.stock_track,
            red: self.misbehaviour.stock_track,
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let participant = self.room.local_participant();
        let track = LocalTrack::Audio(outlet.track.clone());
        let publishing = participant.publish_track(track, options);
        within("publishing the audio track", PUBLISH_MAX, publishing).await?;
        Ok(())
    }

    /// The sid of the room, if the server has told it: a room that was closed and made anew has another.
    pub(crate) fn room_sid(&self) -> Option<String> {
        self.room.maybe_sid().map(String::from)
    }

    /// The sid of our participant; another one after a full reconnect.
    pub(crate) fn sid(&self) -> String {
        self.room.local_participant().sid().to_string()
    }

    /// The sid of the voice's track, as published last.
    pub(crate) fn track_sid(&self) -> String {
        let name = self.outlets().voice.track.name();
        self.sid_of(&name)
    }

    /// The sid of the fresh track; empty if there is none.
    pub(crate) fn fresh_sid(&self) -> String {
        let name = self
            .outlets()
            .fresh
            .as_ref()
            .map(|fresh| fresh.track.name());
        name.map_or_else(String::new, |name| self.sid_of(&name))
    }

    fn sid_of(&self, name: &str) -> String {
        let publications = self.room.local_participant().track_publications();
        let mut named = publications.into_iter();
        named
            .find(|(_, publication)| publication.name() == name)
            .map_or_else(String::new, |(sid, _)| sid.into())
    }

    /// Subscribes to Baton's program track, to see that its packets come. What is in them is not looked at.
    pub(crate) fn want_program(&self, wanted: bool) {
        for publication in self.program() {
            if publication.is_desired() != wanted {
                publication.set_subscribed(wanted);
            }
        }
    }

    fn program(&self) -> Vec<RemoteTrackPublication> {
        audio_of(&self.room, &self.orchestrator)
    }

    /// Counts the packets that have come; `None` if that cannot be done just now.
    /// It is a future of its own, so that nothing else waits for it.
    pub(crate) fn sample(&self) -> impl Future<Output = Option<Sample>> + Send + use<> {
        let program = self.program().into_iter();
        let tracks: Vec<_> = program.filter_map(|each| self.track_of(&each)).collect();
        let room = self.room.clone();
        let counting = async move {
            let mut program = None;
            for track in tracks {
                for stats in track.get_stats().await.ok()? {
                    if let RtcStats::InboundRtp(inbound) = stats {
                        *program.get_or_insert(0) += inbound.received.packets_received;
                    }
                }
            }
            let stats = room.get_stats().await.ok()?;
            let both = stats.publisher_stats.iter().chain(&stats.subscriber_stats);
            let counts = both.filter_map(|stats| match stats {
                RtcStats::CandidatePair(pair) => Some(pair.candidate_pair.packets_received),
                _ => None,
            });
            Some(Sample {
                program,
                all: counts.sum(),
            })
        };
        async move { timeout(SAMPLE_MAX, counting).await.ok()? }
    }

    /// Sends the voice, 10 ms after 10 ms, until the guard is dropped.
    pub(crate) fn start_voice(&self, voice: Voice, audible: Arc<AtomicBool>) -> DropGuard {
        let stop = CancellationToken::new();
        let outlets = self.outlets.clone();
        let speaking = stop.clone();
        tokio::spawn(async move {
            let _ = speaking
                .run_until_cancelled(speak(outlets, voice, audible))
                .await;
        });
        stop.drop_guard()
    }

    /// Starts to send packets to Baton: reliably if the flag is set. It ends when the sender is dropped.
    pub(crate) fn start_outbox(&self) -> mpsc::Sender<(Vec<u8>, bool)> {
        let (packets, waiting) = mpsc::channel(PACKETS_MAX);
        let participant = self.room.local_participant();
        tokio::spawn(send_all(participant, self.orchestrator.clone(), waiting));
        packets
    }

    /// Subscribes to the caller, or no longer.
    pub(crate) fn want_caller(&mut self, wanted: bool) {
        if wanted == self.wants_caller {
            return;
        }
        self.wants_caller = wanted;
        if !wanted {
            self.ears.clear();
            self.subscribed.clear();
        }
        self.apply_wish();
    }

    /// Gives what this track says to the listeners while `audible` is set, and else to the pre-roll, while the track is
    /// wanted.
    pub(crate) fn hear(
        &mut self,
        track: &CallerTrack,
        caller: CallerAudio,
        audible: Arc<AtomicBool>,
    ) {
        if !self.wants_caller {
            return;
        }
        let stream =
            NativeAudioStream::new(track.track.rtc_track(), SAMPLE_RATE_HZ.cast_signed(), 1);
        let stop = CancellationToken::new();
        let hearing = stop.clone();
        tokio::spawn(async move {
            let _ = hearing
                .run_until_cancelled(hear(stream, caller, audible))
                .await;
        });
        self.ears.insert(track.sid.clone(), stop.drop_guard());
    }

    /// The next thing that matters. After [`Happening::Ended`] there is none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Happening {
        loop {
            if let Some(track) = self.subscribed.pop() {
                return Happening::Caller(track);
            }
            let next = match &self.unanswered {
                None => self.events.recv().await,
                Some(unanswered) => match timeout_at(unanswered.at, self.events.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.ask_again();
                        continue;
                    }
                },
            };
            let Some(event) = next else {
                return Happening::Ended(Ending::Broken("the event stream ended".to_owned()));
            };
            if let Some(happening) = self.translate(event) {
                return happening;
            }
        }
    }

    /// Has the connection made anew.
    #[cfg(feature = "misbehave")]
    pub(crate) async fn reconnect(&self) {
        let scenario = livekit::SimulateScenario::FullReconnect;
        if let Err(error) = self.room.simulate_scenario(scenario).await {
            debug!(%error, "no reconnect");
        }
    }

    /// Leaves the room.
    pub(crate) async fn close(self) {
        match timeout(CLOSE_MAX, self.room.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "leaving the room failed"),
            Err(_) => debug!("leaving the room took too long"),
        }
    }

    fn translate(&mut self, event: RoomEvent) -> Option<Happening> {
        match event {
            RoomEvent::DataReceived {
                payload,
                topic: Some(topic),
                participant: Some(sender),
                ..
            } => {
                // The server stamps the sender; nobody but Baton is listened to.
                let from_baton = topic == wire::TOPIC
                    && sender.kind() == ParticipantKind::Agent
                    && sender.identity().as_str() == self.orchestrator;
                from_baton.then_some(Happening::Packet(payload))
            }
            RoomEvent::ParticipantConnected(participant)
                if participant.kind() == ParticipantKind::Agent
                    && participant.identity().as_str() == self.orchestrator =>
            {
                Some(Happening::NewBaton)
            }
            RoomEvent::ParticipantConnected(_) | RoomEvent::TrackPublished { .. } => {
                self.apply_wish();
                None
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                publication,
                participant,
            } => {
                let sid = publication.sid().to_string();
                self.tracks.insert(sid.clone(), track.clone());
                let is_caller = self.caller.as_deref() == Some(participant.identity().as_str());
                is_caller.then_some(Happening::Caller(CallerTrack { sid, track }))
            }
            RoomEvent::TrackUnsubscribed { publication, .. } => {
                // An earlier subscription may be said to have ended when the next one has begun.
                if self.track_of(&publication).is_none() {
                    self.ears.remove(publication.sid().as_str());
                }
                None
            }
            RoomEvent::TrackUnpublished { publication, .. } => {
                let sid = publication.sid();
                self.tracks.remove(sid.as_str());
                self.ears.remove(sid.as_str());
                None
            }
            RoomEvent::LocalTrackSubscribed { track } => {
                let outlets = self.outlets();
                let fresh = outlets.fresh.as_ref();
                let is_fresh = fresh.is_some_and(|fresh| fresh.track.name() == track.name());
                is_fresh.then_some(Happening::FreshTaken)
            }
            RoomEvent::Reconnecting => Some(Happening::Reconnecting),
            RoomEvent::Reconnected => {
                self.apply_wish();
                Some(Happening::Reconnected)
            }
            RoomEvent::Disconnected { reason } => Some(Happening::Ended(ending(reason))),
            // LiveKit's enum is open, and the rest is no concern of a specialist's.
            _ => None,
        }
    }

    /// Says once more that the caller is wanted: `livekit` loses such a request while a full reconnect is under way, and
    /// Baton keeps the caller from a specialist until it has said Hello.
    pub(crate) fn repeat_wish(&self) {
        let participants = self.room.remote_participants();
        let Some(caller) = self.caller.clone().filter(|_| self.wants_caller) else {
            return;
        };
        let Some(caller) = participants.get(&caller.into()) else {
            return;
        };
        for publication in caller.track_publications().into_values() {
            if publication.kind() == TrackKind::Audio {
                publication.set_subscribed(true);
            }
        }
    }

    /// Whether the caller is here and has a track to hear.
    pub(crate) fn caller_has_audio(&self) -> bool {
        let participants = self.room.remote_participants();
        let caller = self.caller.clone().map(Into::into);
        let Some(caller) = caller.and_then(|caller| participants.get(&caller)) else {
            return false;
        };
        let mut publications = caller.track_publications().into_values();
        publications.any(|publication| publication.kind() == TrackKind::Audio)
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

    /// Says once more that the caller is wanted, if it still is and nothing has come of it: `livekit` may have sent the end of one
    /// subscription after the beginning of the next.
    fn ask_again(&mut self) {
        let Some(Unanswered { pause, .. }) = self.unanswered.take() else {
            return;
        };
        let unheard: Vec<_> = self
            .caller_audio()
            .filter(|publication| publication.is_desired() && self.track_of(publication).is_none())
            .collect();
        if unheard.is_empty() || !self.wants_caller {
            return;
        }
        debug!("no track of the caller's has come, asking again");
        for publication in unheard {
            publication.set_subscribed(true);
        }
        if pause < ASK_AGAIN_LAST {
            self.unanswered = Some(Unanswered::after(pause * 2));
        }
    }

    fn caller_audio(&self) -> impl Iterator<Item = RemoteTrackPublication> + use<> {
        let caller = self.caller.as_deref();
        let tracks = caller.map(|caller| audio_of(&self.room, caller));
        tracks.unwrap_or_default().into_iter()
    }

    fn apply_wish(&mut self) {
        let participants = self.room.remote_participants();
        if self.caller.is_none() && self.wants_caller {
            self.caller = caller_among(participants.values());
        }
        let Some(caller) = &self.caller else { return };
        let Some(caller) = participants.get(&caller.clone().into()) else {
            return;
        };
        for publication in caller.track_publications().into_values() {
            if publication.kind() != TrackKind::Audio {
                continue;
            }
            // Baton subscribes us too, and may have been first.
            let sid = publication.sid().to_string();
            if self.wants_caller
                && !self.ears.contains_key(&sid)
                && let Some(track) = self.track_of(&publication)
            {
                self.subscribed.push(CallerTrack { sid, track });
            }
            if publication.is_desired() != self.wants_caller {
                publication.set_subscribed(self.wants_caller);
                self.unanswered = Some(Unanswered::after(ASK_AGAIN_FIRST));
            }
        }
    }
}

fn audio_of(room: &Room, identity: &str) -> Vec<RemoteTrackPublication> {
    let participants = room.remote_participants();
    let participant = participants.get(&identity.to_owned().into());
    let tracks = participant.map(RemoteParticipant::track_publications);
    let tracks = tracks.unwrap_or_default().into_values();
    tracks
        .filter(|publication| publication.kind() == TrackKind::Audio)
        .collect()
}

/// The caller: the phone that has been here longest, else the web client.
fn caller_among<'a>(participants: impl Iterator<Item = &'a RemoteParticipant>) -> Option<String> {
    participants
        .filter_map(|participant| {
            let rank = match participant.kind() {
                ParticipantKind::Sip => 0,
                ParticipantKind::Standard => 1,
                ParticipantKind::Agent
                | ParticipantKind::Ingress
                | ParticipantKind::Egress
                | ParticipantKind::Connector
                | ParticipantKind::Bridge => return None,
            };
            Some((
                rank,
                participant.joined_at(),
                participant.identity().to_string(),
            ))
        })
        .min()
        .map(|(_, _, identity)| identity)
}

fn ending(reason: DisconnectReason) -> Ending {
    match reason {
        DisconnectReason::ClientInitiated
        | DisconnectReason::ParticipantRemoved
        | DisconnectReason::RoomDeleted
        | DisconnectReason::RoomClosed => Ending::Over,
        other => Ending::Broken(format!("{other:?}")),
    }
}

async fn within<T>(
    what: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, RoomError>>,
) -> Result<T, ConnectionError> {
    timeout(limit, future)
        .await
        .map_err(|_| ConnectionError::TooLong {
            what,
            limit_secs: limit.as_secs(),
        })?
        .map_err(|source| ConnectionError::Failed { what, source })
}

impl Unanswered {
    fn after(pause: Duration) -> Self {
        Self {
            at: Instant::now() + pause,
            pause,
        }
    }
}

impl Outlet {
    fn new(name: &str) -> Self {
        let processing = AudioSourceOptions {
            echo_cancellation: false,
            noise_suppression: false,
            auto_gain_control: false,
        };
        // No queue: the voice has its own, which can be emptied at once.
        let source = NativeAudioSource::new(processing, SAMPLE_RATE_HZ, 1, 0);
        let track =
            LocalAudioTrack::create_audio_track(name, RtcAudioSource::Native(source.clone()));
        Self { source, track }
    }
}

async fn speak(outlets: Arc<Mutex<Outlets>>, voice: Voice, audible: Arc<AtomicBool>) {
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut samples = [0; FRAME_SAMPLES];
    loop {
        ticks.tick().await;
        let (speaks, silent, pauses) = {
            let mut outlets = outlets.lock().unwrap_or_else(PoisonError::into_inner);
            let pauses = outlets.pause > 0;
            outlets.pause = outlets.pause.saturating_sub(1);
            let silent = outlets.fresh.as_ref().or(outlets.former.as_ref());
            let silent = silent.map(|outlet| outlet.source.clone());
            (outlets.voice.source.clone(), silent, pauses)
        };
        voice.next_frame(audible.load(Ordering::Acquire) && !pauses, &mut samples);
        feed(&speaks, &samples).await;
        if let Some(silent) = silent {
            feed(&silent, &[0; FRAME_SAMPLES]).await;
        }
    }
}

async fn feed(source: &NativeAudioSource, samples: &[i16; FRAME_SAMPLES]) {
    let frame = AudioFrame {
        data: samples.as_slice().into(),
        sample_rate: SAMPLE_RATE_HZ,
        num_channels: 1,
        samples_per_channel: FRAME_SAMPLES as u32,
    };
    if let Err(error) = source.capture_frame(&frame).await {
        tracing::trace!(%error, "frame refused");
    }
}

async fn hear(mut stream: NativeAudioStream, caller: CallerAudio, audible: Arc<AtomicBool>) {
    while let Some(frame) = stream.next().await {
        if let Ok(samples) = <[i16; FRAME_SAMPLES]>::try_from(&*frame.data) {
            caller.push(audible.load(Ordering::Acquire), samples);
        }
    }
}

async fn send_all(
    participant: LocalParticipant,
    orchestrator: String,
    mut waiting: mpsc::Receiver<(Vec<u8>, bool)>,
) {
    while let Some((payload, reliable)) = waiting.recv().await {
        let packet = DataPacket {
            payload,
            topic: Some(wire::TOPIC.to_owned()),
            reliable,
            destination_identities: vec![orchestrator.clone().into()],
        };
        match timeout(SEND_MAX, participant.publish_data(packet)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "packet not sent"),
            Err(_) => debug!("packet not sent in time"),
        }
    }
}
