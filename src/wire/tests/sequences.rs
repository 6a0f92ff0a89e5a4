//! Scripted exchanges in `proto/sequences`, which other languages' SDKs read: every packet of a conversation, a shared
//! state, a body in pieces and a reconnect, and what each end has received of them in the end.
//!
//! `BATON_WRITE_VECTORS=1 cargo test -p wire sequences` writes them anew.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use call::{CallId, Epoch, Targets};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use wire::{
    Assembled, Assembly, Body, ChunkLimits, Chunks, ChunksProgress, ContextItem, Frame, Link,
    LinkConfig, LinkEvent, Side, StreamId, VERSION,
};

use crate::samples;

const EPOCH: Epoch = Epoch(4);
/// How long a packet takes.
const DELAY: Duration = Duration::from_millis(10);
/// How long each step of a script is waited for.
const STEP: Duration = Duration::from_millis(60);

/// What happens next.
enum Step {
    /// A body of the samples is sent; the end follows from which may send it.
    Say(&'static str),
    /// The specialist appends an item of so many bytes, in pieces.
    Pieces(usize),
    /// From here on packets are lost.
    Cut,
    /// The specialist is back.
    Reconnect,
}

struct End {
    side: Side,
    link: Link,
    assembly: Assembly,
    received: Vec<Value>,
}

struct Exchange {
    start: Instant,
    now: Instant,
    cut: bool,
    ends: [End; 2],
    /// When it arrives, at which end, and what it is.
    under_way: Vec<(Instant, usize, Vec<u8>)>,
    packets: Vec<Value>,
}

impl End {
    fn new(side: Side, stream: u64) -> Self {
        let config = LinkConfig::new(side, CallId::from("call-17"), StreamId(stream));
        Self {
            side,
            link: Link::new(config),
            assembly: Assembly::new(ChunkLimits::new(side)),
            received: Vec::new(),
        }
    }

    fn take(&mut self, event: LinkEvent) {
        let LinkEvent::Received { epoch, body } = event else {
            panic!("{event:?}");
        };
        if matches!(body, Body::Hello(_)) {
            self.link.welcome(EPOCH, Targets::default());
        }
        let body = match body {
            Body::ContextChunk(chunk) => match self.assembly.take(chunk).unwrap() {
                Assembled::Whole(body) => body,
                Assembled::More | Assembled::PassedOver => return,
            },
            body => body,
        };
        self.received
            .push(json!({"epoch": epoch.0, "body": canonical(&body)}));
    }
}

impl Exchange {
    fn new() -> Self {
        let start = Instant::now();
        let mut exchange = Self {
            start,
            now: start,
            cut: false,
            ends: [
                End::new(Side::Orchestrator, 1_001),
                End::new(Side::Specialist, 2_002),
            ],
            under_way: Vec::new(),
            packets: Vec::new(),
        };
        exchange.hello();
        exchange.pass(STEP);
        exchange
    }

    fn hello(&mut self) {
        let mut hello = samples::hello();
        hello.seen = None;
        self.ends[1].link.hello(self.now, hello);
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Say(name) => {
                let mut bodies = samples::bodies().into_iter();
                let (_, body) = bodies.find(|(known, _)| known == name).unwrap();
                let from = usize::from(!Side::Orchestrator.sends(&body));
                self.ends[from].link.send(self.now, EPOCH, &body).unwrap();
            }
            Step::Pieces(bytes) => {
                let body = large(*bytes);
                let mut chunks =
                    Chunks::new(&ChunkLimits::new(Side::Specialist), 1, &body).unwrap();
                let sent = chunks.send(self.now, EPOCH, &mut self.ends[1].link);
                assert_eq!(sent.unwrap(), ChunksProgress::Done);
            }
            Step::Cut => self.cut = true,
            Step::Reconnect => {
                self.cut = false;
                self.hello();
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.send();
            let arrival = self.under_way.iter().map(|(at, ..)| *at).min();
            let due = self.ends.iter().filter_map(|end| end.link.poll_timeout());
            let next = due.chain(arrival).min().filter(|next| *next <= until);
            let Some(next) = next else {
                break;
            };
            self.now = next.max(self.now);
            let mut events = Vec::new();
            for end in &mut self.ends {
                end.link.handle_timeout(self.now, &mut events);
            }
            assert_eq!(events, []);
            while let Some(at) = self.under_way.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to, packet) = self.under_way.remove(at);
                let end = &mut self.ends[to];
                end.link.handle_frame(self.now, &packet, &mut events);
                events.drain(..).for_each(|event| end.take(event));
            }
        }
        self.now = until;
    }

    fn send(&mut self) {
        for from in 0..2 {
            while let Some(transmit) = self.ends[from].link.poll_transmit(self.now) {
                let at = self.now - self.start;
                self.packets.push(json!({
                    "at_ms": at.as_millis() as u64, "from": name(self.ends[from].side),
                    "lost": self.cut, "bytes": hex(&transmit.payload),
                }));
                if !self.cut {
                    self.under_way
                        .push((self.now + DELAY, 1 - from, transmit.payload));
                }
            }
        }
    }
}

fn run(steps: &[Step]) -> Value {
    let mut exchange = Exchange::new();
    for step in steps {
        exchange.carry_out(step);
        exchange.pass(STEP);
    }
    // Long enough for the last ack.
    exchange.pass(Duration::from_secs(1));
    assert!(exchange.ends.iter().all(|end| end.link.waiting() == 0));
    let [orchestrator, specialist] = exchange.ends;
    json!({
        "call_id": "call-17", "streams": {"orchestrator": 1_001, "specialist": 2_002}, "delay_ms": DELAY.as_millis() as u64,
        "packets": exchange.packets, "orchestrator_received": orchestrator.received,
        "specialist_received": specialist.received,
    })
}

fn scripts() -> Vec<(&'static str, Vec<Step>)> {
    use Step::{Cut, Pieces, Reconnect, Say};
    let conversation = [
        "prepare",
        "context_append",
        "context_applied",
        "ready",
        "grant",
        "granted",
        "context_append",
        "context_result",
        "handoff_request",
        "handoff_result-accepted",
        "revoke-finish",
        "released",
    ];
    let state = [
        "state_patch",
        "state_result-accepted",
        "state_patch",
        "state_result-conflict",
        "state_patch",
        "state_result-denied",
    ];
    vec![
        ("conversation", conversation.map(Say).into()),
        ("state", state.map(Say).into()),
        ("pieces", vec![Say("grant"), Pieces(20_000), Say("granted")]),
        (
            "reconnect",
            vec![
                Say("granted"),
                Cut,
                Say("state_patch"),
                Say("grant"),
                Reconnect,
                Say("released"),
            ],
        ),
    ]
}

/// A body that fills several frames, and whose bytes another language can make: 0, 1, 2, ... 250, 0, 1, ...
fn large(bytes: usize) -> Body {
    Body::ContextAppend {
        items: vec![ContextItem {
            id: "item_large".to_owned(),
            position: None,
            chat_item: (0..bytes).map(|at| (at % 251) as u8).collect(),
            framework: String::new(),
            framework_json: Vec::new(),
            unknown: Vec::new(),
        }],
    }
}

/// A body as the one field of an envelope in canonical JSON.
fn canonical(body: &Body) -> Value {
    let frame = Frame {
        version: VERSION,
        call: CallId::from(""),
        epoch: Epoch(0),
        stream: StreamId(1),
        seq: None,
        ack: None,
        body: Some(body.clone()),
    };
    let envelope = DescriptorPool::decode(wire::DESCRIPTORS)
        .unwrap()
        .get_message_by_name("baton.v1.Envelope")
        .unwrap();
    // A frame has a limit, and a body in pieces is larger.
    let message = DynamicMessage::decode(envelope, frame.encode().as_slice()).unwrap();
    let mut json = serde_json::to_value(&message).unwrap();
    let fields = json.as_object_mut().unwrap();
    for header in ["version", "stream"] {
        fields.remove(header);
    }
    json
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Orchestrator => "orchestrator",
        Side::Specialist => "specialist",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn exchanges_are_what_the_sequences_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/sequences");
    let write = env::var_os("BATON_WRITE_VECTORS").is_some();
    let scripts = scripts();
    for (name, steps) in &scripts {
        let sequence = run(steps);
        let path = folder.join(format!("{name}.json"));
        if write {
            fs::create_dir_all(&folder).unwrap();
            let text = serde_json::to_string_pretty(&sequence).unwrap();
            fs::write(&path, text + "\n").unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored, sequence, "{name}");
    }
    let stored = fs::read_dir(&folder).unwrap().count();
    assert_eq!(stored, scripts.len(), "a sequence without a script");
}
