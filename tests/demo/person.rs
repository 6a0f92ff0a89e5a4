//! The people of somebody else's configuration, played by the demo: each comes into the side room that Baton has opened for it,
//! accepts by its key, sounds a tone of its own, and gives the call back when it is told to.
//!
//! Only that a person has the baton, and when, is taken from Baton's log; what the caller heard of it is judged from the recording,
//! as of everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use call::{Digit, SpecialistName};
use kit::server::LivekitServer;
use kit::token::JoinToken;
use kit::tone::Tone;
use livekit::SipDTMF;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, RoomOptions, TrackSource};
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit_api::services::room::RoomClient;
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinHandle};

use crate::TONE_DBFS;
use crate::caller::play;
use crate::cast::{Granted, Holder};

const SAMPLE_RATE_HZ: u32 = 48_000;
const QUEUE_MS: u32 = 100;
/// How often it is looked whether somebody is rung, and how often the key is pressed that accepts: one that comes before the
/// question is no answer to it.
const LOOK: Duration = Duration::from_millis(200);

/// How the demo plays one person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub(crate) tone_hz: u32,
    pub(crate) accept: Digit,
    pub(crate) hand_back: Digit,
}

/// A person in its side room.
pub(crate) struct Person {
    pub(crate) name: SpecialistName,
    room: Room,
    hand_back: Digit,
    speaking: AbortHandle,
}

impl Person {
    async fn come(url: &str, token: &str, name: SpecialistName, role: Role) -> Result<Self> {
        let (room, _events) = Room::connect(url, token, RoomOptions::default())
            .await
            .with_context(|| format!("{name} cannot join its side room"))?;
        let options = AudioSourceOptions::default();
        let source = NativeAudioSource::new(options, SAMPLE_RATE_HZ, 1, QUEUE_MS);
        let track =
            LocalAudioTrack::create_audio_track("voice", RtcAudioSource::Native(source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        room.local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await
            .with_context(|| format!("{name} cannot publish its voice"))?;
        let mut tone = Tone::new(role.tone_hz, TONE_DBFS, SAMPLE_RATE_HZ)?;
        let speaking = async move { play(&source, |samples| tone.fill(samples)).await };
        Ok(Self {
            name,
            room,
            hand_back: role.hand_back,
            speaking: tokio::spawn(speaking).abort_handle(),
        })
    }

    /// Gives the caller back to whoever had it before.
    pub(crate) async fn hand_back(&self) {
        self.press(self.hand_back).await;
    }

    async fn press(&self, key: Digit) {
        let key = key.as_char();
        let dtmf = SipDTMF {
            code: key.to_digit(10).unwrap_or_default(),
            digit: key.to_string(),
            ..SipDTMF::default()
        };
        // Its room is closed for it once the call is over.
        let _ = self.room.local_participant().publish_dtmf(dtmf).await;
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

/// Everybody who may be rung in one call; they leave when it is dropped.
pub(crate) struct People(JoinHandle<()>);

impl People {
    /// Waits for whoever is rung in the call of this room, plays each, and tells of those that have the baton.
    pub(crate) fn wait(
        server: &LivekitServer,
        room: &str,
        roles: BTreeMap<SpecialistName, Role>,
        baton_log: &Path,
        granted: UnboundedSender<Granted>,
    ) -> Self {
        let watch = Watch {
            rooms: RoomClient::with_api_key(
                &server.api_url(),
                server.api_key(),
                server.api_secret(),
            ),
            url: server.url(),
            credentials: (server.api_key().to_owned(), server.api_secret().to_owned()),
            room: room.to_owned(),
            roles,
            baton_log: baton_log.to_owned(),
            granted,
        };
        Self(tokio::spawn(watch.run()))
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Watch {
    rooms: RoomClient,
    url: String,
    credentials: (String, String),
    room: String,
    roles: BTreeMap<SpecialistName, Role>,
    baton_log: PathBuf,
    granted: UnboundedSender<Granted>,
}

impl Watch {
    async fn run(self) {
        if self.roles.is_empty() {
            return;
        }
        let mut known: BTreeMap<String, Arc<Person>> = BTreeMap::new();
        let mut holding = BTreeSet::new();
        loop {
            tokio::time::sleep(LOOK).await;
            // A server that cannot tell is asked again in a moment.
            let listed = self.rooms.list_rooms(Vec::new()).await.unwrap_or_default();
            let open: BTreeSet<String> = listed.into_iter().map(|room| room.name).collect();
            known.retain(|room, _| open.contains(room));
            for room in &open {
                if !known.contains_key(room)
                    && let Some((name, role)) = self.rung_into(room)
                {
                    match self.come(room, name, role).await {
                        Ok(person) => {
                            known.insert(room.clone(), Arc::new(person));
                        }
                        Err(error) => eprintln!("{error:#}"),
                    }
                }
            }
            for (room, person) in &known {
                if holding.contains(room) {
                    continue;
                }
                if !self.has_baton(room) {
                    if let Some(role) = self.roles.get(&person.name) {
                        person.press(role.accept).await;
                    }
                    continue;
                }
                holding.insert(room.clone());
                // Nobody listens any more once the demo is over.
                let _ = self.granted.send(Granted {
                    holder: Holder::Person(person.clone()),
                    at: Instant::now(),
                    renewed: false,
                });
            }
        }
    }

    /// Who is rung into this room, if it is a person's side room of the call.
    fn rung_into(&self, room: &str) -> Option<(SpecialistName, Role)> {
        let (name, _dispatch) = self.beside(room)?.rsplit_once("--")?;
        let name = SpecialistName::from(name);
        let role = *self.roles.get(&name)?;
        Some((name, role))
    }

    /// What a side room's name says beside that of the call's room: who, and by which dispatch.
    fn beside<'r>(&self, room: &'r str) -> Option<&'r str> {
        room.strip_prefix(self.room.as_str())?.strip_prefix("--")
    }

    async fn come(&self, room: &str, name: SpecialistName, role: Role) -> Result<Person> {
        let (key, secret) = &self.credentials;
        let token = JoinToken::new(room, name.as_str()).sign(key, secret)?;
        Person::come(&self.url, &token, name, role).await
    }

    /// Whether Baton has given the baton to whoever is in this room.
    fn has_baton(&self, room: &str) -> bool {
        let log = std::fs::read_to_string(&self.baton_log).unwrap_or_default();
        let identity = self.beside(room);
        log.lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok())
            .any(|line| line["message"] == "granted" && line["identity"].as_str() == identity)
    }
}
