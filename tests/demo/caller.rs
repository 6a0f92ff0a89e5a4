//! A caller as LiveKit's SIP bridge presents one: it subscribes to every audio track, mixes what it
//! receives every 20 ms, and keeps it. What it keeps is what everything is judged by.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use kit::bridge::{BridgeMixer, TICK_MS, TICK_SAMPLES};
use kit::sweep::Sweep;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, RemoteTrackPublication, Room,
    RoomEvent, RoomOptions, TrackKind, TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::encoded::EncodedAudioStream;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::TONE_DBFS;
use crate::arrivals::Arrivals;
use crate::journal::now_us;

const SAMPLE_RATE_HZ: u32 = 48_000;
/// What waits of the caller's own voice.
const QUEUE_MS: u32 = 100;
/// An hour: a demo that takes longer is stopped from growing.
const SAMPLES_MAX: usize = 3_600 * SAMPLE_RATE_HZ as usize;

/// What a caller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing, as somebody who listens.
    Silent,
    /// A sweep all the time, of which each part can be told from every other.
    Sweeping,
}

/// A caller in a room.
pub(crate) struct Caller {
    room: Arc<Room>,
    ear: Arc<Mutex<Ear>>,
    /// When the caller began to join, in microseconds since the Unix epoch.
    pub(crate) dialled_us: u64,
    tasks: Vec<JoinHandle<()>>,
}

/// What a caller has heard and seen.
#[derive(Default)]
pub(crate) struct Ear {
    mixer: BridgeMixer,
    /// Everything that came, before it was buffered and mixed.
    pub(crate) arrivals: Arrivals,
    /// Everything heard, from the first tick on.
    pub(crate) heard: Vec<i16>,
    /// Moment of the first sample, in microseconds since the Unix epoch.
    pub(crate) started_us: u64,
    /// When the first audio track was published, as the caller saw it.
    pub(crate) track_published_us: Option<u64>,
    /// When the first audio subscription stood, which is when the bridge answers the phone.
    pub(crate) answered_us: Option<u64>,
    /// Ticks that came more than one tick late: the machine was busy.
    pub(crate) late_ticks: u64,
}

impl Caller {
    /// Joins, and begins to listen.
    ///
    /// # Errors
    /// When the room cannot be joined or the caller's own track not published.
    pub(crate) async fn dial(url: &str, access_token: &str, line: Line) -> Result<Self> {
        let dialled_us = now_us();
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let (room, events) = Room::connect(url, access_token, options)
            .await
            .context("the caller cannot join")?;
        let room = Arc::new(room);
        let ear = Arc::new(Mutex::new(Ear {
            started_us: now_us(),
            ..Ear::default()
        }));
        let mut tasks = vec![tokio::spawn(tick(ear.clone()))];
        tasks.push(tokio::spawn(
            Listening::new(room.clone(), ear.clone()).run(events),
        ));
        tasks.push(tokio::spawn(publish_voice(room.clone(), line)));
        Ok(Self {
            room,
            ear,
            dialled_us,
            tasks,
        })
    }

    /// What it has heard so far.
    pub(crate) fn ear<T>(&self, look: impl FnOnce(&Ear) -> T) -> T {
        look(&self.ear.lock())
    }

    /// Identity of this caller.
    pub(crate) fn identity(&self) -> String {
        self.room.local_participant().identity().to_string()
    }

    /// Waits until the first subscription stands.
    ///
    /// # Errors
    /// When it takes longer than `within`.
    pub(crate) async fn answered(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.ear(|ear| ear.answered_us.is_none()) {
            if Instant::now() >= deadline {
                bail!("the phone rang for {within:?}: no audio track was published");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Hangs up.
    pub(crate) async fn hang_up(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // The call is over either way.
        let _ = self.room.close().await;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Mixes and records, for ever. A late tick is made up for, as the bridge does.
async fn tick(ear: Arc<Mutex<Ear>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut out = [0; TICK_SAMPLES];
    loop {
        let due = ticks.tick().await;
        let late = due.elapsed() > Duration::from_millis(TICK_MS);
        let mut ear = ear.lock();
        ear.late_ticks += u64::from(late);
        ear.mixer.tick(&mut out);
        if ear.heard.len() < SAMPLES_MAX {
            ear.heard.extend_from_slice(&out);
        }
    }
}

/// The task that follows the room's events.
struct Listening {
    room: Arc<Room>,
    ear: Arc<Mutex<Ear>>,
    readers: BTreeMap<String, JoinHandle<()>>,
    /// Set while a full reconnect is under way.
    lost_tracks: bool,
}

impl Listening {
    fn new(room: Arc<Room>, ear: Arc<Mutex<Ear>>) -> Self {
        Self {
            room,
            ear,
            readers: BTreeMap::new(),
            lost_tracks: false,
        }
    }

    async fn run(mut self, mut events: UnboundedReceiver<RoomEvent>) {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::Connected {
                    participants_with_tracks,
                } => {
                    for publication in participants_with_tracks.iter().flat_map(|(_, all)| all) {
                        self.subscribe(publication);
                    }
                }
                RoomEvent::TrackPublished { publication, .. } => self.subscribe(&publication),
                RoomEvent::Reconnecting => {
                    // Only a full reconnect begins by taking everybody else away.
                    self.lost_tracks = self.room.remote_participants().is_empty();
                }
                RoomEvent::Reconnected if self.lost_tracks => self.subscribe_to_all(),
                RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    ..
                } => {
                    self.listen(track).await;
                }
                RoomEvent::TrackUnsubscribed { track, .. } => self.stop(&track.sid().to_string()),
                RoomEvent::TrackUnpublished { publication, .. } => {
                    self.stop(&publication.sid().to_string());
                }
                // The bridge follows nothing else, and LiveKit may add events.
                _ => {}
            }
        }
    }

    fn subscribe(&self, publication: &RemoteTrackPublication) {
        if publication.kind() == TrackKind::Audio {
            self.ear
                .lock()
                .track_published_us
                .get_or_insert_with(now_us);
            publication.set_subscribed(true);
        }
    }

    fn subscribe_to_all(&self) {
        for participant in self.room.remote_participants().into_values() {
            participant
                .track_publications()
                .values()
                .for_each(|each| self.subscribe(each));
        }
    }

    async fn listen(&mut self, track: RemoteAudioTrack) {
        let sid = track.sid().to_string();
        self.stop(&sid);
        let first = {
            let mut ear = self.ear.lock();
            let first = ear.answered_us.is_none();
            ear.answered_us.get_or_insert_with(now_us);
            first
        };
        let reader = tokio::spawn(read(self.ear.clone(), sid.clone(), track));
        self.readers.insert(sid, reader);
        if first {
            let status = HashMap::from([("sip.callStatus".to_owned(), "active".to_owned())]);
            // Without the right to do so the status stays what it was, and nothing depends on it.
            let _ = self.room.local_participant().set_attributes(status).await;
        }
    }

    fn stop(&mut self, sid: &str) {
        if let Some(reader) = self.readers.remove(sid) {
            reader.abort();
        }
        self.ear.lock().mixer.remove(sid);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.readers.values().for_each(JoinHandle::abort);
    }
}

async fn read(ear: Arc<Mutex<Ear>>, sid: String, track: RemoteAudioTrack) {
    let mut packets = EncodedAudioStream::new(track.rtc_track());
    let mut stream = NativeAudioStream::new(track.rtc_track(), SAMPLE_RATE_HZ as i32, 1);
    let name: Arc<str> = sid.as_str().into();
    loop {
        // Cancel-safe: streams of packets and of frames.
        tokio::select! {
            packet = packets.next() => match packet {
                Some(packet) => ear.lock().arrivals.push(&name, packet),
                None => return,
            },
            frame = stream.next() => match frame {
                Some(frame) => ear.lock().mixer.push(&sid, &frame.data),
                None => return,
            },
        }
    }
}

/// Publishes the caller's own track, and speaks on it for ever.
async fn publish_voice(room: Arc<Room>, line: Line) {
    let options = AudioSourceOptions::default();
    let source = NativeAudioSource::new(options, SAMPLE_RATE_HZ, 1, QUEUE_MS);
    let track = LocalAudioTrack::create_audio_track("sip", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..Default::default()
    };
    if let Err(error) = room
        .local_participant()
        .publish_track(LocalTrack::Audio(track), options)
        .await
    {
        eprintln!("the caller's own track cannot be published: {error}");
        return;
    }
    match line {
        Line::Silent => {}
        Line::Sweeping => {
            let mut sweep = Sweep::new(TONE_DBFS);
            play(&source, |samples| sweep.fill(samples)).await;
        }
    }
}

/// Says what `fill` makes, 20 ms at a time and for as long as the source takes it; its queue lets that through in real time.
pub(crate) async fn play(source: &NativeAudioSource, mut fill: impl FnMut(&mut [i16])) {
    loop {
        let mut samples = vec![0; TICK_SAMPLES];
        fill(&mut samples);
        let frame = AudioFrame {
            samples_per_channel: samples.len() as u32,
            data: samples.into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
        };
        if source.capture_frame(&frame).await.is_err() {
            return;
        }
    }
}
