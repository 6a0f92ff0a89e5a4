//! Frames from whom they must not come, and frames that are none.

use std::time::{Duration, Instant};

use call::{CallId, Epoch, Identity, RequestId, Target};
use kit::server::LivekitServer;
use kit::token::{JoinToken, Kind};
use livekit::prelude::{DataPacket, Room, RoomEvent, RoomOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};
use wire::{
    Body, DispatchMetadata, Frame, HandoffRequest, Hello, Link, LinkConfig, Seq, Side, StreamId,
    VERSION,
};
use worker::{Answer, Assignment, Participant, Secret, WorkerConfig, WorkerHandle};

use crate::baton::Config;
use crate::stage::{ROOM, Stage};
use crate::{BILLING_HZ, PATIENCE, TRIAGE_HZ, until};

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_the_caller_of_strangers_and_of_the_hidden_move_nothing() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let call: CallId = triage.call().await.id().into();
    let stranger = stage
        .join(JoinToken::new(ROOM, "stranger").kind(Kind::Agent))
        .await;
    let hidden = JoinToken::new(ROOM, "hidden").kind(Kind::Agent).hidden();
    let hidden = stage.join(hidden).await;
    // What a newcomer sends is dropped without a word until the server has announced it.
    sleep(Duration::from_secs(3)).await;

    let frame = |seq, body| {
        let frame = Frame {
            version: VERSION,
            call: call.clone(),
            epoch: Epoch(1),
            stream: StreamId(99),
            seq,
            ack: None,
            body: Some(body),
        };
        frame.encode()
    };
    let hello = frame(None, Body::Hello(hello("billing", "a guess")));
    let request = frame(
        Some(Seq(1)),
        Body::HandoffRequest(HandoffRequest {
            request: RequestId(1),
            target: Target::Specialist("billing".into()),
            reason: "a forged request".to_owned(),
            tool_call: None,
            delegation_input: None,
            delegation_result: None,
        }),
    );
    let mark = caller.mark();
    for forger in [&caller, &stranger, &hidden] {
        for _ in 0..3 {
            forger.send(hello.clone(), true).await;
            forger.send(request.clone(), true).await;
            forger.send(request.clone(), false).await;
            forger.send(b"no frame at all".to_vec(), true).await;
            forger.send(Vec::new(), true).await;
        }
    }
    until("those that are seen are noticed", || {
        stage.baton.count("frames ignored") == 3
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    let mut reasons: Vec<_> = stage
        .baton
        .lines("frames ignored")
        .iter()
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    let refused = |reason: &str| {
        let (_, metrics) = stage.baton.page("/metrics");
        let line = format!("baton_packets_ignored_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
        count.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    until("each frame is counted", || {
        refused("not_agent") == 15 && refused("unknown_sender") >= 15
    })
    .await;
    assert_eq!((refused("wrong_ticket"), refused("no_ticket")), (3, 12));
    let expected = [
        "the sender has not shown a ticket",
        "the sender is no agent",
        "the ticket is of no dispatch of this call",
    ];
    assert_eq!(reasons, expected, "each once, however many there were");
    assert_eq!((triage.grants(), billing.preparations()), (vec![1], 0));
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );

    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_that_sends_garbage_loses_itself_and_no_call() {
    let config = Config::new(&["triage", "billing"]).resident("clumsy");
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let (_worker, mut assignments) = raw_worker(&stage.server, "clumsy").await;
    let caller = stage.dial().await;
    let assignment = timeout(PATIENCE, assignments.recv())
        .await
        .unwrap()
        .unwrap();
    let mut clumsy = RawSpecialist::join(assignment).await;
    clumsy.until_welcome().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();

    // Valid up to its end, and too long by a byte.
    for _ in 0..5 {
        clumsy.send(vec![0; wire::FRAME_BYTES_MAX + 1], true).await;
    }
    until("they are refused", || {
        stage.baton.count("frame rejected") == 5
    })
    .await;
    let rejected = stage.baton.lines("frame rejected");
    assert!(
        rejected.iter().all(|line| line["reason"] == "too_large"),
        "{rejected:?}"
    );
    assert!(!stage.baton.said("agent misbehaved"), "a few are no crime");

    for byte in 0..80_u8 {
        clumsy.send(vec![byte; 40], byte % 2 == 0).await;
    }
    until("it is noticed", || stage.baton.said("agent misbehaved")).await;
    assert_eq!(stage.baton.lines("agent misbehaved")[0]["what"], "Garbage");
    clumsy.until_removed().await;
    until("the caller sees it go", || {
        !caller.others().contains(&clumsy.identity)
    })
    .await;

    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );
    assert_eq!(triage.grants(), [1]);
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
}

fn hello(specialist: &str, ticket: &str) -> Hello {
    Hello {
        attempt: 1,
        ticket: ticket.into(),
        specialist: specialist.into(),
        sdk_name: "a test".to_owned(),
        sdk_version: String::new(),
        versions: vec![VERSION],
        track_sid: String::new(),
        open_track_sid: String::new(),
        seen: None,
        oldest: Seq(1),
    }
}

/// A worker that takes every job and leaves the rest to the test.
async fn raw_worker(
    server: &LivekitServer,
    name: &str,
) -> (WorkerHandle, tokio::sync::mpsc::Receiver<Assignment>) {
    let secret = Secret::from(server.api_secret().to_owned());
    let mut config = WorkerConfig::new(server.url(), server.api_key(), secret)
        .with_policy(|_| Answer::Accept(Participant::default()));
    config.agent_name = name.to_owned();
    let (handle, assignments) = worker::start(config).unwrap();
    assert!(timeout(PATIENCE, handle.registered()).await.unwrap());
    (handle, assignments)
}

/// A specialist that speaks the protocol by hand.
struct RawSpecialist {
    identity: String,
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
    baton: Identity,
    link: Link,
    _assignment: Assignment,
}

impl RawSpecialist {
    async fn join(assignment: Assignment) -> Self {
        let metadata = DispatchMetadata::parse(&assignment.job.metadata)
            .unwrap()
            .baton;
        let token = assignment.access_token.expose();
        let (room, events) = Room::connect(&assignment.url, token, RoomOptions::default())
            .await
            .unwrap();
        let config = LinkConfig::new(Side::Specialist, metadata.call, StreamId(5));
        let mut link = Link::new(config);
        let greeting = hello(metadata.specialist.as_str(), metadata.ticket.as_str());
        link.hello(Instant::now(), greeting);
        Self {
            identity: room.local_participant().identity().to_string(),
            room,
            events,
            baton: metadata.orchestrator,
            link,
            _assignment: assignment,
        }
    }

    async fn until_welcome(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.link.is_established() {
            assert!(Instant::now() < deadline, "baton has not said welcome");
            while let Some(transmit) = self.link.poll_transmit(Instant::now()) {
                self.send(transmit.payload, transmit.reliable).await;
            }
            let event = timeout(Duration::from_millis(50), self.events.recv()).await;
            if let Ok(Some(RoomEvent::DataReceived { payload, .. })) = event {
                self.link
                    .handle_frame(Instant::now(), &payload, &mut Vec::new());
            }
            self.link.handle_timeout(Instant::now(), &mut Vec::new());
        }
    }

    async fn until_removed(&mut self) {
        let removed = async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, RoomEvent::Disconnected { .. }) {
                    return;
                }
            }
        };
        timeout(PATIENCE, removed).await.expect("it is removed");
    }

    async fn send(&self, payload: Vec<u8>, reliable: bool) {
        let packet = DataPacket {
            payload,
            topic: Some(wire::TOPIC.to_owned()),
            reliable,
            destination_identities: vec![self.baton.to_string().into()],
        };
        // Once it is removed, nothing more can be sent.
        let _ = self.room.local_participant().publish_data(packet).await;
    }
}
