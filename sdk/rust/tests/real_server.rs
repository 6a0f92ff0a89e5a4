//! A specialist against a real LiveKit server, with the test in the place of Baton.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baton_specialist::{
    Agent, Call, Grant, HandoffError, Misbehaviour, NoBaton, Preparation, Refusal, Specialist,
};
use call::{DispatchId, Epoch, HandoffId, Identity, NamedTarget, Opening, Target, Targets};
use futures_util::StreamExt;
use kit::server::LivekitServer;
use kit::token::{JoinToken, Kind};
use livekit::options::TrackPublishOptions;
use livekit::participant::ParticipantKind;
use livekit::prelude::{
    DataPacket, LocalAudioTrack, LocalTrack, RemoteTrack, Room, RoomEvent, RoomOptions, TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol::CreateAgentDispatchRequest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use wire::{
    Admission, Body, DispatchBinding, DispatchMetadata, HandoffOutcome, HandoffResult, Link,
    LinkConfig, LinkEvent, Prepare, RefuseKind, RejectReason, Revoke, RevokeMode, SenderKind,
    SenderView, Side, StreamId, Verdict, Version,
};

const ROOM: &str = "call-1";
const BATON: &str = "baton-1";
const PATIENCE: Duration = Duration::from_secs(20);

/// What a specialist's hooks have seen.
#[derive(Debug, PartialEq)]
enum Seen {
    Joined(serde_json::Value),
    Prepared(Preparation),
    Granted(Epoch),
    Revoked,
    Handoff(Result<(), String>),
}

/// Sounds while it has the baton, and reports when it hears the caller sound.
struct Tone {
    seen: mpsc::UnboundedSender<Seen>,
    heard: mpsc::UnboundedSender<Instant>,
    handoff: bool,
    reconnects: bool,
    rogue: bool,
}

/// What the specialist is told in its Welcome.
fn targets() -> Targets {
    Targets {
        named: vec![NamedTarget {
            name: "billing".into(),
            description: "Invoices".to_owned(),
        }],
        previous: true,
    }
}

impl Agent for Tone {
    async fn joined(&mut self, call: &Call) {
        self.seen
            .send(Seen::Joined(call.metadata().clone()))
            .unwrap();
        if self.rogue {
            let speaker = call.speaker();
            tokio::spawn(async move { while speaker.write(&tone()).await.is_ok() {} });
        } else {
            assert_eq!(call.speaker().write(&[0; 480]).await, Err(NoBaton));
        }
        let (mut listener, heard) = (call.listen(), self.heard.clone());
        tokio::spawn(async move {
            while let Some(frame) = listener.next().await {
                if sounds(&frame[..]) {
                    let _ = heard.send(Instant::now());
                }
            }
        });
        if self.reconnects {
            let call = call.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(2_500)).await;
                call.reconnect().await;
            });
        }
    }

    async fn prepare(&mut self, call: &Call, preparation: Preparation) -> Result<(), Refusal> {
        assert_eq!(call.targets(), targets());
        let refused = preparation.reason == "refuse this";
        self.seen.send(Seen::Prepared(preparation)).unwrap();
        if refused {
            let reason = "no".to_owned();
            return Err(Refusal { reason });
        }
        Ok(())
    }

    async fn granted(&mut self, call: &Call, grant: Grant) {
        self.seen.send(Seen::Granted(grant.epoch)).unwrap();
        if self.handoff {
            let handed = call.handoff("nobody", "a try").await;
            let handed = handed.map(|_| ()).map_err(|error| match error {
                HandoffError::Refused { reason, detail } => format!("{reason}: {detail}"),
                other => format!("{other:?}"),
            });
            self.seen.send(Seen::Handoff(handed)).unwrap();
        }
        let tone = tone();
        while call.speaker().write(&tone).await.is_ok() {}
    }

    async fn revoked(&mut self, _call: &Call) {
        self.seen.send(Seen::Revoked).unwrap();
    }
}

/// 100 ms of 500 Hz.
fn tone() -> Vec<i16> {
    (0..4_800)
        .map(|at| {
            ((f64::from(at) * 500.0 / 48_000.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16
        })
        .collect()
}

fn sounds(samples: &[i16]) -> bool {
    samples.iter().any(|sample| sample.unsigned_abs() > 2_000)
}

/// The test in the place of Baton.
struct Baton {
    room: Room,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    admission: Admission,
    link: Link,
    specialist: Option<Identity>,
    inbox: Vec<Body>,
    /// What was refused, by a test that expects it.
    refused: Option<Vec<RejectReason>>,
    /// Times at which the specialist's track sounded.
    sound: mpsc::UnboundedReceiver<Instant>,
    sounded: mpsc::UnboundedSender<Instant>,
    tracks: u32,
}

struct Scene {
    server: LivekitServer,
    baton: Baton,
    caller: Room,
    caller_events: mpsc::UnboundedReceiver<RoomEvent>,
    seen: mpsc::UnboundedReceiver<Seen>,
    heard: mpsc::UnboundedReceiver<Instant>,
    specialist: JoinHandle<()>,
}

impl Scene {
    async fn start(make: impl Fn(&mut Tone)) -> Self {
        Self::start_misbehaved(make, Misbehaviour::default()).await
    }

    async fn start_misbehaved(make: impl Fn(&mut Tone), misbehaviour: Misbehaviour) -> Self {
        let server = LivekitServer::start().unwrap();
        let join = |token: JoinToken| {
            let (url, token) = (server.url(), server.join_token(&token).unwrap());
            async move {
                Room::connect(&url, &token, RoomOptions::default())
                    .await
                    .unwrap()
            }
        };
        let (caller, caller_events) = join(JoinToken::new(ROOM, "caller")).await;
        let (room, events) = join(JoinToken::new(ROOM, BATON).kind(Kind::Agent)).await;
        publish_tone(&caller).await;

        let (seen_in, seen) = mpsc::unbounded_channel();
        let (heard_in, heard) = mpsc::unbounded_channel();
        let mut agent = Tone {
            seen: seen_in,
            heard: heard_in,
            handoff: false,
            reconnects: false,
            rogue: misbehaviour.ungated,
        };
        make(&mut agent);
        let (handoff, reconnects) = (agent.handoff, agent.reconnects);
        let specialist = Specialist::builder("billing")
            .url(server.url())
            .api_key(server.api_key(), server.api_secret())
            .misbehave(misbehaviour)
            .build()
            .unwrap();
        let running = specialist.run(move |_| Tone {
            seen: agent.seen.clone(),
            heard: agent.heard.clone(),
            handoff,
            reconnects,
            rogue: misbehaviour.ungated,
        });
        let specialist = tokio::spawn(async move { running.await.unwrap() });

        let (sounded, sound) = mpsc::unbounded_channel();
        let config = LinkConfig::new(Side::Orchestrator, "c-1".into(), StreamId(7));
        let mut baton = Baton {
            room,
            events,
            admission: Admission::new(),
            link: Link::new(config),
            specialist: None,
            inbox: Vec::new(),
            refused: misbehaviour.version.map(|_| Vec::new()),
            sound,
            sounded,
            tracks: 0,
        };
        baton.dispatch(&server).await;
        Self {
            server,
            baton,
            caller,
            caller_events,
            seen,
            heard,
            specialist,
        }
    }

    async fn next_seen(&mut self) -> Seen {
        let Self { baton, seen, .. } = self;
        let next = async {
            loop {
                tokio::select! {
                    seen = seen.recv() => return seen.unwrap(),
                    () = baton.step() => {}
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a hook runs")
    }

    /// Prepares and grants.
    async fn grant(&mut self, epoch: u64) {
        let handoff = HandoffId(epoch);
        self.baton.send(&prepare(handoff, "a reason"));
        assert!(matches!(self.next_seen().await, Seen::Prepared(_)));
        let ready = self.baton.next_body().await;
        assert!(matches!(ready, Body::Ready(ready) if ready.handoff == handoff));
        self.baton.send(&Body::Grant {
            epoch: Epoch(epoch),
            opening: Opening::Greet,
            handoff: Some(handoff),
            packet: None,
        });
        assert_eq!(self.next_seen().await, Seen::Granted(Epoch(epoch)));
        let granted = self.baton.next_body().await;
        let of_this = matches!(granted, Body::Granted { epoch: Epoch(said), preroll_ms: Some(_) } if said == epoch);
        assert!(of_this, "{granted:?}");
    }

    /// The tracks that the caller could subscribe to, although it subscribes to all.
    fn caller_subscriptions(&mut self) -> usize {
        let mut count = 0;
        while let Ok(event) = self.caller_events.try_recv() {
            count += usize::from(matches!(event, RoomEvent::TrackSubscribed { .. }));
        }
        count
    }

    async fn end(self) {
        self.specialist.abort();
        self.caller.close().await.unwrap();
        self.baton.room.close().await.unwrap();
        drop(self.server);
    }
}

impl Baton {
    async fn dispatch(&mut self, server: &LivekitServer) {
        let metadata = DispatchMetadata {
            baton: DispatchBinding {
                call: "c-1".into(),
                ticket: "a-ticket".into(),
                orchestrator: BATON.into(),
                specialist: "billing".into(),
            },
            metadata: serde_json::json!({"tenant": "acme"}),
        };
        self.admission.expect(DispatchId(1), "a-ticket".into());
        let client = AgentDispatchClient::with_api_key(
            &server.api_url(),
            server.api_key(),
            server.api_secret(),
        );
        client
            .create_dispatch(CreateAgentDispatchRequest {
                agent_name: "billing".to_owned(),
                room: ROOM.to_owned(),
                metadata: metadata.to_json().unwrap(),
                ..Default::default()
            })
            .await
            .unwrap();
    }

    fn send(&mut self, body: &Body) {
        let epoch = match body {
            Body::Grant { epoch, .. } => *epoch,
            _ => Epoch(0),
        };
        self.link.send(Instant::now(), epoch, body).unwrap();
    }

    async fn next_body(&mut self) -> Body {
        let next = async {
            while self.inbox.is_empty() {
                self.step().await;
            }
            self.inbox.remove(0)
        };
        timeout(PATIENCE, next)
            .await
            .expect("the specialist says something")
    }

    /// Works on for a time.
    async fn idle(&mut self, time: Duration) {
        let work = async {
            loop {
                self.step().await;
            }
        };
        let _ = timeout(time, work).await;
    }

    async fn step(&mut self) {
        let now = Instant::now();
        while let Some(transmit) = self.link.poll_transmit(now) {
            let Some(specialist) = &self.specialist else {
                break;
            };
            let packet = DataPacket {
                payload: transmit.payload,
                topic: Some(wire::TOPIC.to_owned()),
                reliable: transmit.reliable,
                destination_identities: vec![specialist.as_str().to_owned().into()],
            };
            let _ = self.room.local_participant().publish_data(packet).await;
        }
        let wake_at = self
            .link
            .poll_timeout()
            .unwrap_or(now + Duration::from_millis(50));
        let wake_at = wake_at.min(now + Duration::from_millis(50));
        tokio::select! {
            event = self.events.recv() => self.happened(event.unwrap()),
            () = tokio::time::sleep_until(wake_at.into()) => {
                self.link.handle_timeout(Instant::now(), &mut Vec::new());
            }
        }
    }

    fn happened(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::DataReceived {
                payload,
                participant,
                ..
            } => {
                let sender = participant.map(|sender| {
                    assert_eq!(sender.kind(), ParticipantKind::Agent);
                    (
                        Identity::from(sender.identity().to_string()),
                        sender.sid().to_string(),
                    )
                });
                let view = sender.as_ref().map(|(identity, sid)| SenderView {
                    identity,
                    sid,
                    kind: SenderKind::Agent,
                });
                let Verdict::Heard { .. } = self.admission.judge(view, &payload) else {
                    return;
                };
                self.specialist = sender.map(|(identity, _)| identity);
                let mut events = Vec::new();
                self.link
                    .handle_frame(Instant::now(), &payload, &mut events);
                for event in events {
                    match event {
                        LinkEvent::Received { body, .. } => {
                            if matches!(body, Body::Hello(_)) {
                                self.link.welcome(Epoch(0), targets());
                            }
                            // When it speaks is not what these tests are about.
                            if !matches!(body, Body::Speech { .. }) {
                                self.inbox.push(body);
                            }
                        }
                        LinkEvent::Rejected { reason, .. } => match &mut self.refused {
                            Some(refused) => refused.push(reason),
                            None => panic!("{reason}"),
                        },
                        LinkEvent::Unresponsive => panic!("{event:?}"),
                    }
                }
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } => {
                if participant.kind() != ParticipantKind::Agent {
                    return;
                }
                self.tracks += 1;
                let sounded = self.sounded.clone();
                tokio::spawn(async move {
                    let mut stream = NativeAudioStream::new(track.rtc_track(), 48_000, 1);
                    while let Some(frame) = stream.next().await {
                        if sounds(&frame.data) {
                            let _ = sounded.send(Instant::now());
                        }
                    }
                });
            }
            _ => {}
        }
    }

    /// How often the specialist's track has sounded since the last look, in 10 ms frames.
    fn sounded(&mut self) -> usize {
        count(&mut self.sound)
    }
}

fn count(times: &mut mpsc::UnboundedReceiver<Instant>) -> usize {
    std::iter::from_fn(|| times.try_recv().ok()).count()
}

fn prepare(handoff: HandoffId, reason: &str) -> Body {
    Body::Prepare(Prepare {
        handoff,
        from: None,
        reason: reason.to_owned(),
        opening: Opening::Greet,
        packet: None,
        caller: None,
        delegation_input: None,
        traceparent: None,
    })
}

fn revoke(epoch: u64, mode: RevokeMode) -> Body {
    Body::Revoke(Revoke {
        epoch: Epoch(epoch),
        mode,
    })
}

async fn publish_tone(room: &Room) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 200);
    let track =
        LocalAudioTrack::create_audio_track("caller", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        red: false,
        ..TrackPublishOptions::default()
    };
    let participant = room.local_participant();
    participant
        .publish_track(LocalTrack::Audio(track), options)
        .await
        .unwrap();
    tokio::spawn(async move {
        let samples = tone();
        loop {
            let frame = AudioFrame {
                data: samples.as_slice().into(),
                sample_rate: 48_000,
                num_channels: 1,
                samples_per_channel: 4_800,
            };
            source.capture_frame(&frame).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_sounds_and_listens_with_the_baton_alone() {
    let mut scene = Scene::start(|_| {}).await;
    let hello = scene.baton.next_body().await;
    assert!(
        matches!(&hello, Body::Hello(hello) if !hello.track_sid.is_empty()),
        "{hello:?}"
    );
    assert_eq!(
        scene.next_seen().await,
        Seen::Joined(serde_json::json!({"tenant": "acme"}))
    );
    scene.baton.idle(Duration::from_secs(1)).await;
    assert_eq!(scene.baton.tracks, 1, "baton may subscribe");
    assert_eq!((scene.baton.sounded(), count(&mut scene.heard)), (0, 0));

    scene.grant(1).await;
    scene.baton.idle(Duration::from_secs(2)).await;
    let (sounded, heard) = (scene.baton.sounded(), count(&mut scene.heard));
    assert!(
        sounded > 150 && heard > 150,
        "sounded {sounded}, heard {heard}"
    );

    scene.baton.send(&revoke(2, RevokeMode::Cut));
    assert_eq!(scene.next_seen().await, Seen::Revoked);
    assert_eq!(
        scene.baton.next_body().await,
        Body::Released { epoch: Epoch(2) }
    );
    scene.baton.idle(Duration::from_millis(300)).await;
    let _ = (scene.baton.sounded(), count(&mut scene.heard));
    scene.baton.idle(Duration::from_secs(1)).await;
    assert_eq!((scene.baton.sounded(), count(&mut scene.heard)), (0, 0));

    scene.grant(3).await;
    scene.baton.idle(Duration::from_secs(1)).await;
    assert!(
        scene.baton.sounded() > 60 && count(&mut scene.heard) > 30,
        "it comes back"
    );
    assert_eq!(
        scene.caller_subscriptions(),
        0,
        "the track was never open to the caller"
    );
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_is_asked_for_and_a_preparation_refused() {
    let mut scene = Scene::start(|agent| agent.handoff = true).await;
    assert!(matches!(scene.baton.next_body().await, Body::Hello(_)));
    assert!(matches!(scene.next_seen().await, Seen::Joined(_)));
    scene.baton.send(&prepare(HandoffId(9), "refuse this"));
    assert!(matches!(scene.next_seen().await, Seen::Prepared(_)));
    let refuse = Body::Refuse {
        handoff: HandoffId(9),
        reason: "no".to_owned(),
    };
    assert_eq!(scene.baton.next_body().await, refuse);

    scene.grant(1).await;
    let Body::HandoffRequest(request) = scene.baton.next_body().await else {
        panic!("no request")
    };
    assert_eq!(request.target, Target::Specialist("nobody".into()));
    scene.baton.send(&Body::HandoffResult(HandoffResult {
        request: request.request,
        outcome: HandoffOutcome::Refused {
            reason: RefuseKind::UnknownTarget,
            detail: "there is no specialist \"nobody\"".to_owned(),
        },
    }));
    let expected = "unknown_target: there is no specialist \"nobody\"".to_owned();
    assert_eq!(scene.next_seen().await, Seen::Handoff(Err(expected)));

    let specialist = scene.baton.specialist.clone().unwrap().as_str().to_owned();
    scene.baton.send(&Body::Leave);
    let gone = async {
        while scene
            .baton
            .room
            .remote_participants()
            .contains_key(&specialist.clone().into())
        {
            scene.baton.step().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it leaves");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reconnect_silences_until_the_baton_is_granted_again() {
    let mut scene = Scene::start(|agent| agent.reconnects = true).await;
    assert!(matches!(scene.baton.next_body().await, Body::Hello(_)));
    assert!(matches!(scene.next_seen().await, Seen::Joined(_)));
    scene.grant(1).await;

    let hello = scene.baton.next_body().await;
    assert!(
        matches!(&hello, Body::Hello(hello) if hello.attempt == 2),
        "{hello:?}"
    );
    assert_eq!(scene.next_seen().await, Seen::Revoked);
    scene.baton.idle(Duration::from_millis(300)).await;
    assert!(scene.baton.sounded() > 50, "it sounded before");
    scene.baton.idle(Duration::from_secs(1)).await;
    assert_eq!(scene.baton.sounded(), 0);

    scene.baton.send(&Body::Grant {
        epoch: Epoch(2),
        opening: Opening::Continue,
        handoff: None,
        packet: None,
    });
    assert_eq!(scene.next_seen().await, Seen::Granted(Epoch(2)));
    scene.baton.idle(Duration::from_secs(2)).await;
    assert!(scene.baton.sounded() > 100, "it sounds again");
    assert!(scene.baton.tracks >= 2, "on a track published anew");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rogue_is_open_to_the_caller_and_sounds_without_the_baton() {
    let misbehaviour = Misbehaviour {
        open_to_all: true,
        ungated: true,
        ignores_revoke: true,
        ..Misbehaviour::default()
    };
    let mut scene = Scene::start_misbehaved(|_| {}, misbehaviour).await;
    assert!(matches!(scene.baton.next_body().await, Body::Hello(_)));
    scene.baton.idle(Duration::from_secs(2)).await;
    assert!(scene.baton.sounded() > 100);
    assert_eq!(scene.caller_subscriptions(), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_of_another_version_fails_and_says_what_to_do() {
    let misbehaviour = Misbehaviour {
        version: Some(Version {
            major: 99,
            minor: 0,
        }),
        ..Misbehaviour::default()
    };
    let said = Said::default();
    let log = said.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || log.clone())
        .init();
    let mut scene = Scene::start_misbehaved(|_| {}, misbehaviour).await;
    let failed = "call failed reason=\"it does not speak major version 1; build the specialist with a version of \
                  baton-specialist that speaks baton's own\"";
    let step = async {
        while !said.has(failed) {
            scene.baton.step().await;
        }
    };
    timeout(PATIENCE, step).await.expect("the job fails");
    let refused = scene.baton.refused.take().unwrap();
    assert!(refused.contains(&RejectReason::UnsupportedVersion));
    scene.end().await;
}

/// What this process has logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
