//! A caller as LiveKit's SIP bridge presents one: it subscribes to every audio track, mixes what it receives every
//! 20 ms, and keeps it. A line that is silent is heard as such; its own tone goes to whoever may hear it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use kit::bridge::{BridgeMixer, TICK_MS, TICK_SAMPLES};
use kit::probe::{self, Expected, ProbeError, Verdict, Voice};
use kit::sweep::Sweep;
use kit::tone::Tone;
use livekit::SimulateScenario;
use livekit::data_stream::api::StreamReader as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    DataPacket, LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, RemoteTrackPublication,
    Room, RoomEvent, RoomOptions, SipDTMF, TrackKind, TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::encoded::EncodedAudioStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::{BILLING_HZ, CALLER_HZ, ROGUE_HZ, TONE_DBFS, TRIAGE_HZ, until};

const SAMPLE_RATE_HZ: u32 = 48_000;
/// All tones that a caller may hear.
const TONES_HZ: [u32; 4] = [TRIAGE_HZ, BILLING_HZ, ROGUE_HZ, CALLER_HZ];
/// How long a decoder may go on without packets where nothing is to be concealed: what the jitter buffer holds.
const CONCEALED_MAX: Duration = Duration::from_millis(60);
/// How long somebody has to be heard alone to count as heard.
const LOOK_MS: usize = 300;

/// A participant that listens to everything it gets.
pub(crate) struct Caller {
    room: Arc<Room>,
    ear: Arc<Mutex<Ear>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A live subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) identity: String,
    pub(crate) track: String,
}

struct Packet {
    at: Instant,
    sequence: u64,
    rtp_time_48k: u64,
    payload: Bytes,
}

#[derive(Default)]
struct Ear {
    mixer: BridgeMixer,
    samples: Vec<i16>,
    subscriptions: BTreeMap<String, Heard>,
    /// Everything that was ever subscribed to.
    history: Vec<Heard>,
    /// Ticks in which more than one track sounded, by the end of the recording before each.
    doubled: Vec<usize>,
    /// Every packet of each subscription, in the order of `history`.
    packets: Vec<Vec<Packet>>,
    reconnects: u32,
    /// The keys that others have pressed for it.
    keys: String,
    /// Text streams that were sent to it, with their topics.
    texts: Vec<(String, String)>,
    /// Whether what no packet brings is left out, and not invented by the decoder.
    conceals_nothing: bool,
    /// When the last packet of each track came.
    packet_at: BTreeMap<String, Instant>,
}

impl Caller {
    pub(crate) async fn dial(url: &str, access_token: &str) -> Self {
        let caller = Self::listen_in(url, access_token).await;
        publish_tone(&caller.room, CALLER_HZ).await;
        caller
    }

    /// Joins without a track of its own.
    pub(crate) async fn listen_in(url: &str, access_token: &str) -> Self {
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let (room, events) = Room::connect(url, access_token, options).await.unwrap();
        let room = Arc::new(room);
        let ear = Arc::new(Mutex::new(Ear::default()));
        let listening = Listening {
            room: room.clone(),
            ear: ear.clone(),
            readers: BTreeMap::new(),
        };
        let tasks = vec![
            tokio::spawn(tick(ear.clone())),
            tokio::spawn(listening.run(events)),
        ];
        Self { room, ear, tasks }
    }

    /// From here on a track whose packets stop is silent, as it is on the bridge: no decoder goes on with it by itself.
    pub(crate) fn conceal_nothing(&self) {
        lock(&self.ear).conceals_nothing = true;
    }

    pub(crate) fn identity(&self) -> String {
        self.room.local_participant().identity().to_string()
    }

    /// What it is subscribed to now.
    pub(crate) fn subscriptions(&self) -> Vec<Heard> {
        lock(&self.ear).subscriptions.values().cloned().collect()
    }

    /// What it has ever been subscribed to.
    pub(crate) fn history(&self) -> Vec<Heard> {
        lock(&self.ear).history.clone()
    }

    /// Everybody else in the room.
    pub(crate) fn others(&self) -> BTreeSet<String> {
        let others = self.room.remote_participants();
        others.into_keys().map(|identity| identity.0).collect()
    }

    /// What the packets of its first track left out since a mark: numbers, and time in milliseconds.
    pub(crate) fn left_out(&self, mark: usize) -> (u64, u64) {
        let ear = lock(&self.ear);
        let pairs = ear.packets.first().map_or(&[][..], |all| &all[mark..]);
        let pairs = pairs.windows(2);
        pairs.fold((0, 0), |(numbers, ms), pair| {
            let [before, after] = pair else {
                return (numbers, ms);
            };
            let skipped = (after.rtp_time_48k - before.rtp_time_48k).saturating_sub(960) / 48;
            let missing = (after.sequence - before.sequence).saturating_sub(1);
            (numbers + missing, ms + skipped)
        })
    }

    /// What the packets of its first track say since a mark, one after another, without a jitter buffer that could make it better
    /// or worse.
    pub(crate) fn decoded(&self, mark: usize) -> Vec<i16> {
        let ear = lock(&self.ear);
        decode(ear.packets.first().into_iter().flatten().skip(mark))
    }

    /// Judges the packets that have come since, of all its subscriptions one after another. A packet that is late or lost within a
    /// crossfade is concealed by a decoder that has to play something, which makes both voices last longer than they were sent:
    /// two such packets are 20 ms of a leak that there never was.
    pub(crate) fn judge_received(&self, since: Instant, holders_hz: &[u32]) -> Verdict {
        let ear = lock(&self.ear);
        let subscriptions = ear.packets.iter();
        let samples: Vec<i16> = subscriptions
            .flat_map(|packets| decode(packets.iter().filter(|packet| packet.at >= since)))
            .collect();
        judge(&samples, holders_hz).unwrap()
    }

    /// Packets of its first track so far.
    pub(crate) fn packets(&self) -> usize {
        lock(&self.ear).packets.first().map_or(0, Vec::len)
    }

    /// Times that a track had run dry at the bridge's mixer, which makes the caller wait for three packets.
    pub(crate) fn starved(&self) -> u64 {
        lock(&self.ear).mixer.starved()
    }

    /// Waits until this tone and no other is heard, for a while.
    pub(crate) async fn hears(&self, hz: u32) {
        let what = format!("{hz} Hz alone is heard");
        until(&what, || self.hears_now(hz)).await;
    }

    fn hears_now(&self, hz: u32) -> bool {
        let heard = self.heard_ms(LOOK_MS);
        heard.iter().all(|(&tone_hz, &ms)| match tone_hz == hz {
            true => ms >= LOOK_MS as u64 * 4 / 5,
            false => ms < 20,
        })
    }

    /// How many of the last `look_ms` milliseconds each tone was heard.
    pub(crate) fn heard_ms(&self, look_ms: usize) -> BTreeMap<u32, u64> {
        let samples = {
            let ear = lock(&self.ear);
            let from = ear.samples.len().saturating_sub(look_ms * 48);
            ear.samples[from..].to_vec()
        };
        let mut heard: BTreeMap<u32, u64> = TONES_HZ.iter().map(|&hz| (hz, 0)).collect();
        match judge(&samples, &[TRIAGE_HZ]) {
            Ok(verdict) => {
                for run in verdict.heard {
                    *heard.get_mut(&TONES_HZ[run.voice]).unwrap() += run.end_ms - run.start_ms;
                }
            }
            Err(ProbeError::TooShort { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        heard
    }

    /// The end of the recording so far.
    pub(crate) fn mark(&self) -> usize {
        lock(&self.ear).samples.len()
    }

    /// Judges what was heard since a mark, with the tones that should follow one another in it.
    pub(crate) fn judge_since(&self, mark: usize, holders_hz: &[u32]) -> Verdict {
        let samples = lock(&self.ear).samples[mark..].to_vec();
        judge(&samples, holders_hz).unwrap()
    }

    /// When this tone is heard for the first time after a mark, in milliseconds from it. A voice that is torn off sounds at
    /// other pitches for a moment: that is no such time.
    pub(crate) fn first_heard_ms(&self, mark: usize, hz: u32) -> u64 {
        let verdict = self.judge_since(mark, &[hz]);
        let mut heard = verdict.heard.iter();
        let first = heard.find(|run| TONES_HZ[run.voice] == hz && run.end_ms - run.start_ms >= 100);
        first.expect("it is heard").start_ms
    }

    /// How long more than one track sounded since a mark, in milliseconds.
    pub(crate) fn doubled_ms(&self, mark: usize) -> u64 {
        let ear = lock(&self.ear);
        let since = ear.doubled.iter().filter(|at| **at >= mark);
        since.count() as u64 * TICK_MS
    }

    /// Every time without this tone since a mark, in milliseconds from it: from and to.
    pub(crate) fn holes(&self, mark: usize, hz: u32) -> Vec<(u64, u64)> {
        let verdict = self.judge_since(mark, &[hz]);
        let heard = verdict.heard.iter().filter(|run| TONES_HZ[run.voice] == hz);
        let (mut holes, mut end_ms) = (Vec::new(), 0);
        for run in heard {
            if run.start_ms > end_ms {
                holes.push((end_ms, run.start_ms));
            }
            end_ms = run.end_ms;
        }
        holes
    }

    /// The longest time without this tone since a mark, in milliseconds.
    pub(crate) fn longest_hole_ms(&self, mark: usize, hz: u32) -> u64 {
        let verdict = self.judge_since(mark, &[hz]);
        let mut end_ms = 0;
        let mut longest = 0;
        let total_ms = (lock(&self.ear).samples.len() - mark) as u64 / 48;
        let heard = verdict.heard.iter().filter(|run| TONES_HZ[run.voice] == hz);
        for run in heard {
            longest = longest.max(run.start_ms - end_ms);
            end_ms = run.end_ms;
        }
        longest.max(total_ms.saturating_sub(end_ms))
    }

    /// Sends a packet on the protocol's topic, to everybody.
    pub(crate) async fn send(&self, payload: Vec<u8>, reliable: bool) {
        let packet = DataPacket {
            payload,
            topic: Some(wire::TOPIC.to_owned()),
            reliable,
            ..DataPacket::default()
        };
        let participant = self.room.local_participant();
        participant.publish_data(packet).await.unwrap();
    }

    /// Sounds a tone to whoever wants to hear it.
    pub(crate) async fn sound(&self, hz: u32) {
        publish_tone(&self.room, hz).await;
    }

    /// Sweeps, so that whoever hears a part of it can tell which.
    pub(crate) async fn sweep(&self) {
        let mut sweep = Sweep::new(TONE_DBFS);
        publish(&self.room, move |samples| sweep.fill(samples)).await;
    }

    /// Presses keys, as the SIP bridge tells of them.
    pub(crate) async fn press(&self, keys: &str) {
        for key in keys.chars() {
            let dtmf = SipDTMF {
                code: key.to_digit(10).unwrap_or_default(),
                digit: key.to_string(),
                ..SipDTMF::default()
            };
            let participant = self.room.local_participant();
            participant.publish_dtmf(dtmf).await.unwrap();
        }
    }

    /// The text streams of a topic that were sent to it, whole ones.
    pub(crate) fn texts(&self, topic: &str) -> Vec<String> {
        let texts = lock(&self.ear).texts.clone();
        let of_topic = texts.into_iter().filter(|(known, _)| known == topic);
        of_topic.map(|(_, text)| text).collect()
    }

    /// The keys that others have pressed for it.
    pub(crate) fn keys(&self) -> String {
        lock(&self.ear).keys.clone()
    }

    /// A full reconnect; returns when it is done.
    pub(crate) async fn reconnect(&self) {
        let before = lock(&self.ear).reconnects;
        let scenario = SimulateScenario::FullReconnect;
        self.room.simulate_scenario(scenario).await.unwrap();
        until("the caller has reconnected", || {
            lock(&self.ear).reconnects > before
        })
        .await;
    }

    /// Hangs up as the SIP bridge does.
    pub(crate) async fn hang_up(self) {
        let status = HashMap::from([("sip.callStatus".to_owned(), "hangup".to_owned())]);
        let participant = self.room.local_participant();
        if let Err(error) = participant.set_attributes(status).await {
            eprintln!("{error} while hanging up");
        }
        // Its room may be closed for it, as a person's is.
        if let Err(error) = self.room.close().await {
            eprintln!("{error} while hanging up");
        }
    }

    /// Leaves without a word of why.
    pub(crate) async fn leave(self) {
        self.room.close().await.unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(ear: &Mutex<Ear>) -> MutexGuard<'_, Ear> {
    ear.lock().unwrap()
}

fn judge(samples: &[i16], holders_hz: &[u32]) -> Result<Verdict, ProbeError> {
    let voices = TONES_HZ.iter().map(|&hz| Voice {
        name: format!("{hz} Hz"),
        hz,
    });
    let holders = holders_hz
        .iter()
        .map(|hz| TONES_HZ.iter().position(|tone| tone == hz).unwrap());
    let expected = Expected {
        voices: voices.collect(),
        holders: holders.collect(),
        fade_ms: 60,
        full_dbfs: TONE_DBFS,
    };
    probe::judge(samples, SAMPLE_RATE_HZ, &expected)
}

async fn tick(ear: Arc<Mutex<Ear>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut out = [0; TICK_SAMPLES];
    loop {
        ticks.tick().await;
        let mut ear = lock(&ear);
        ear.mixer.tick(&mut out);
        if ear.mixer.sounding() > 1 {
            let at = ear.samples.len();
            ear.doubled.push(at);
        }
        ear.samples.extend_from_slice(&out);
    }
}

struct Listening {
    room: Arc<Room>,
    ear: Arc<Mutex<Ear>>,
    readers: BTreeMap<String, JoinHandle<()>>,
}

impl Listening {
    async fn run(mut self, mut events: UnboundedReceiver<RoomEvent>) {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::Connected { .. } => self.subscribe_to_all(),
                RoomEvent::TrackPublished { publication, .. } => subscribe(&publication),
                RoomEvent::Reconnected => {
                    self.subscribe_to_all();
                    lock(&self.ear).reconnects += 1;
                }
                RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    publication,
                    participant,
                } => {
                    let heard = Heard {
                        identity: participant.identity().to_string(),
                        track: publication.name(),
                    };
                    self.listen(publication.sid().to_string(), heard, track)
                        .await;
                }
                RoomEvent::TextStreamOpened { reader, topic, .. } => {
                    if let Some(reader) = reader.take() {
                        let ear = self.ear.clone();
                        tokio::spawn(async move {
                            let text = reader.read_all().await.unwrap();
                            lock(&ear).texts.push((topic, text));
                        });
                    }
                }
                RoomEvent::SipDTMFReceived { digit, .. } => {
                    lock(&self.ear).keys.extend(digit);
                }
                RoomEvent::TrackUnsubscribed { publication, .. } => {
                    self.stop(publication.sid().as_str());
                }
                RoomEvent::TrackUnpublished { publication, .. } => {
                    self.stop(publication.sid().as_str());
                }
                // The bridge follows nothing else, and LiveKit may add events.
                _ => {}
            }
        }
    }

    fn subscribe_to_all(&self) {
        for participant in self.room.remote_participants().into_values() {
            participant
                .track_publications()
                .values()
                .for_each(subscribe);
        }
    }

    async fn listen(&mut self, sid: String, heard: Heard, track: RemoteAudioTrack) {
        self.stop(&sid);
        let number = {
            let mut ear = lock(&self.ear);
            ear.subscriptions.insert(sid.clone(), heard.clone());
            ear.history.push(heard);
            ear.packets.push(Vec::new());
            ear.history.len() - 1
        };
        let tapped = track.clone();
        let reader = tokio::spawn(read(self.ear.clone(), sid.clone(), track));
        self.readers.insert(sid.clone(), reader);
        let taps = EncodedAudioStream::with_capacity(tapped.rtc_track(), 3_000);
        tokio::spawn(tap(self.ear.clone(), sid.clone(), number, taps));
        if number == 0 {
            // The phone is answered.
            let status = HashMap::from([("sip.callStatus".to_owned(), "active".to_owned())]);
            let participant = self.room.local_participant();
            let _ = participant.set_attributes(status).await;
        }
    }

    fn stop(&mut self, sid: &str) {
        if let Some(reader) = self.readers.remove(sid) {
            reader.abort();
        }
        let mut ear = lock(&self.ear);
        ear.mixer.remove(sid);
        ear.packet_at.remove(sid);
        ear.subscriptions.remove(sid);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.readers.values().for_each(JoinHandle::abort);
    }
}

fn subscribe(publication: &RemoteTrackPublication) {
    if publication.kind() == TrackKind::Audio {
        publication.set_subscribed(true);
    }
}

async fn read(ear: Arc<Mutex<Ear>>, sid: String, track: RemoteAudioTrack) {
    let mut stream = NativeAudioStream::new(track.rtc_track(), SAMPLE_RATE_HZ as i32, 1);
    while let Some(frame) = stream.next().await {
        let mut ear = lock(&ear);
        let last = ear.packet_at.get(&sid);
        let fed = last.is_some_and(|at| at.elapsed() < CONCEALED_MAX);
        if fed || !ear.conceals_nothing {
            ear.mixer.push(&sid, &frame.data);
        }
    }
}

async fn tap(ear: Arc<Mutex<Ear>>, sid: String, number: usize, mut packets: EncodedAudioStream) {
    while let Some(packet) = packets.next().await {
        let mut ear = lock(&ear);
        let at = Instant::now();
        ear.packet_at.insert(sid.clone(), at);
        ear.packets[number].push(Packet {
            at,
            sequence: packet.sequence,
            rtp_time_48k: packet.rtp_time_48k,
            payload: packet.payload,
        });
    }
}

fn decode<'a>(packets: impl Iterator<Item = &'a Packet>) -> Vec<i16> {
    let mut decoder = opus::Decoder::new(SAMPLE_RATE_HZ, opus::Channels::Mono).unwrap();
    let mut samples = Vec::new();
    for packet in packets {
        let mut pcm = [0; 5_760];
        let decoded = decoder.decode(&packet.payload, &mut pcm, false).unwrap();
        samples.extend_from_slice(&pcm[..decoded]);
    }
    samples
}

async fn publish_tone(room: &Room, hz: u32) {
    let mut tone = Tone::new(hz, TONE_DBFS, SAMPLE_RATE_HZ).unwrap();
    publish(room, move |samples| tone.fill(samples)).await;
}

async fn publish(room: &Room, mut fill: impl FnMut(&mut [i16]) + Send + 'static) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), SAMPLE_RATE_HZ, 1, 100);
    let track = LocalAudioTrack::create_audio_track("tone", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        dtx: false,
        red: false,
        ..TrackPublishOptions::default()
    };
    let participant = room.local_participant();
    participant
        .publish_track(LocalTrack::Audio(track), options)
        .await
        .unwrap();
    tokio::spawn(async move {
        loop {
            let mut samples = vec![0; SAMPLE_RATE_HZ as usize / 50];
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
    });
}
