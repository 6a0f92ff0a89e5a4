//! What conversation and state cost, without a server: `cargo xtask bench context` builds and starts it.
//!
//! Both ends of the protocol's stream run over a channel in virtual time; only what is called CPU is measured on this
//! machine. `bench [--items N] [--out FILE]`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use call::{CallId, Epoch, SpecialistName, Targets, Ticket};
use context::{
    Author, Conversation, ConversationLimits, FilterPlan, Granting, Incoming, IncomingPatch, Item,
    LivekitItem, Mirror, Native, Outgoing, Patch, PatchLimits, Position, Scopes, StateVersion,
    ToolPolicies, UnixMillis,
};
use serde_json::{Value, json};
use wire::{
    Assembled, Assembly, Body, ChunkLimits, Chunks, ChunksProgress, ContextItem, Hello, Link,
    LinkConfig, LinkEvent, SendError, Seq, Side, StatePatch, StreamId, VERSION,
};

type Failure = Box<dyn std::error::Error>;

/// The channel: as far as a region is wide, and as fast as an ordinary line.
const DELAY: Duration = Duration::from_millis(20);
const BYTES_PER_SEC: f64 = 10e6 / 8.0;
/// As Baton batches them.
const BATCH_BYTES: usize = 12_000;
const CALLS: [(&str, usize); 3] = [("1 min", 18_000), ("10 min", 80_000), ("40 min", 184_000)];
const ITEM_BYTES: usize = 460;
const FIELDS: usize = 120;
const PATCHES: usize = 5_000;
const HOLDER: Author = Author(1);
const READER: Author = Author(2);
const EPOCH: u64 = 1;

/// Baton with its conversation, a specialist with its mirror, and the channel between them.
struct Stage {
    now: Instant,
    conversation: Conversation,
    mirror: Mirror,
    links: [Link; 2],
    assembly: Assembly,
    transfer: Option<Chunks>,
    transfers: u64,
    /// Until when each direction of the line is taken.
    line: [Instant; 2],
    under_way: Vec<(Instant, usize, Vec<u8>)>,
    written: usize,
    batch_bytes: usize,
    /// What has been sent by both.
    packets: u64,
    bytes: u64,
}

fn main() -> Result<(), Failure> {
    let mut items = 20_000;
    let mut out = PathBuf::from("target/bench/context.json");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--items" => items = value.parse()?,
            "--out" => out = value.into(),
            _ => return Err(format!("there is no argument {word}").into()),
        }
    }
    println!(
        "simulated line: {} ms each way, {:.0} Mbit/s",
        DELAY.as_millis(),
        BYTES_PER_SEC * 8.0 / 1e6
    );
    println!(
        "{:<8} {:>7} {:>9}  {:>22}  {:>22}",
        "call", "items", "bytes", "replicated: grant to", "whole at the handoff:"
    );
    println!(
        "{:<8} {:>7} {:>9}  {:>22}  {:>22}",
        "", "", "", "applied, ms", "grant to applied, ms"
    );
    let mut calls = Vec::new();
    for (name, bytes) in CALLS {
        let (count, held, replicated) = handoff(bytes, true)?;
        let (_, _, whole) = handoff(bytes, false)?;
        println!(
            "{name:<8} {count:>7} {held:>9}  {:>22.1}  {:>22.1}",
            ms(replicated),
            ms(whole)
        );
        calls.push(json!({
            "call": name, "items": count, "bytes": held, "replicated_grant_to_applied_ms": ms(replicated),
            "whole_at_handoff_grant_to_applied_ms": ms(whole),
        }));
    }
    let appends = appends(items)?;
    println!("\n{items} appends to one reader: {appends:#}");
    let patches = patches()?;
    println!("{PATCHES} patches of {FIELDS} fields to one reader: {patches:#}");
    let report = json!({
        "line": {"simulated": true, "delay_ms": DELAY.as_millis() as u64, "bytes_per_sec": BYTES_PER_SEC},
        "handoffs": calls, "appends": appends, "patches": patches,
    });
    write(&out, &report)
}

fn write(out: &Path, report: &Value) -> Result<(), Failure> {
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, format!("{report:#}\n"))?;
    println!("written to {}", out.display());
    Ok(())
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// From the grant, which follows the last item at once, until the new holder has applied all of the conversation. Either
/// it had been prepared, and all but the last item was there; or it gets all of it only now, as one body.
fn handoff(bytes: usize, replicated: bool) -> Result<(usize, usize, Duration), Failure> {
    let mut stage = Stage::new()?;
    if replicated {
        stage.prepare();
    }
    let mut held = 0;
    while held < bytes {
        held += stage.append()?;
        stage.pass(Duration::from_millis(50))?;
    }
    stage.append()?;
    let count = stage.written;
    let granted = stage.now;
    if !replicated {
        stage.batch_bytes = usize::MAX;
        stage.prepare();
    }
    stage.grant();
    stage.until_applied()?;
    Ok((count, held, stage.now - granted))
}

/// Many items, as fast as this machine makes them.
fn appends(items: usize) -> Result<Value, Failure> {
    let mut stage = Stage::new()?;
    stage.prepare();
    let resident = resident_bytes();
    let start = Instant::now();
    for _ in 0..items {
        stage.append()?;
        stage.pump()?;
        if stage.links[0].waiting() >= stage.links[0].window() {
            stage.pass(2 * DELAY)?;
        }
    }
    stage.until_applied()?;
    let took = start.elapsed();
    let grown = resident_bytes().saturating_sub(resident);
    Ok(json!({
        "cpu_us_per_item": took.as_secs_f64() * 1e6 / items as f64,
        "items_per_sec": (items as f64 / took.as_secs_f64()).round(),
        "item_bytes": ITEM_BYTES,
        "resident_bytes_per_item_both_ends": grown / items.max(1),
        "packets": stage.packets, "sent_bytes": stage.bytes,
    }))
}

fn patches() -> Result<Value, Failure> {
    let mut stage = Stage::new()?;
    stage.prepare();
    let start = Instant::now();
    for number in 0..PATCHES {
        let patch =
            json!({format!("field_{}", number % FIELDS): {"value": number, "by": "holder"}});
        let mut effects = Vec::new();
        let json = patch.to_string();
        let patch = IncomingPatch {
            number: number as u64,
            base: StateVersion(number as u64),
            json: json.as_bytes(),
        };
        stage.conversation.patch(HOLDER, EPOCH, patch, &mut effects);
        stage.drop_answers();
        stage.pump()?;
        if stage.links[0].waiting() >= stage.links[0].window() {
            stage.pass(2 * DELAY)?;
        }
    }
    while stage.mirror.version() != stage.conversation.state().version() {
        stage.pass(DELAY)?;
    }
    let took = start.elapsed();
    let view = stage.conversation.state().view(&Scopes::all());
    if *stage.mirror.state() != view || view.len() != FIELDS {
        return Err("the state of both ends differs".into());
    }
    Ok(json!({
        "cpu_us_per_patch": took.as_secs_f64() * 1e6 / PATCHES as f64,
        "patches_per_sec": (PATCHES as f64 / took.as_secs_f64()).round(),
        "packets": stage.packets, "sent_bytes": stage.bytes,
    }))
}

/// What this process has in memory, as the kernel counts it; 0 where it does not say.
fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4_096
}

impl Stage {
    /// A holder that writes, and a specialist that is there and gets nothing yet.
    fn new() -> Result<Self, Failure> {
        let now = Instant::now();
        let link = |side, stream| {
            Link::new(LinkConfig::new(
                side,
                CallId::from("bench"),
                StreamId(stream),
            ))
        };
        let mut conversation = Conversation::new(ConversationLimits::default(), None);
        conversation.joined(HOLDER, Scopes::all());
        conversation.joined(READER, Scopes::all());
        let mut stage = Self {
            now,
            conversation,
            mirror: Mirror::new(ConversationLimits::default().log),
            links: [link(Side::Orchestrator, 1), link(Side::Specialist, 2)],
            assembly: Assembly::new(ChunkLimits::new(Side::Specialist)),
            transfer: None,
            transfers: 0,
            line: [now; 2],
            under_way: Vec::new(),
            written: 0,
            batch_bytes: BATCH_BYTES,
            packets: 0,
            bytes: 0,
        };
        stage.hold(HOLDER, "first", EPOCH);
        stage.links[1].hello(now, hello());
        stage.pass(4 * DELAY)?;
        Ok(stage)
    }

    fn prepare(&mut self) {
        self.conversation.prepare(READER, FilterPlan::default());
    }

    fn grant(&mut self) {
        self.hold(READER, "second", EPOCH + 1);
    }

    fn hold(&mut self, author: Author, specialist: &str, epoch: u64) {
        let granting = Granting {
            author,
            specialist,
            epoch,
            tools: &ToolPolicies::default(),
            except: &[],
            at: UnixMillis(1_763_714_480_000),
        };
        self.conversation.granted(granting, &mut Vec::new());
    }

    /// The holder says something. Returns how many bytes that are.
    fn append(&mut self) -> Result<usize, Failure> {
        let number = self.written;
        self.written += 1;
        let words = format!("{number}: {}", "and so on ".repeat(9));
        let item = LivekitItem::new(json!({
            "id": format!("item_{number:012}"), "type": "message", "role": if number.is_multiple_of(2) { "user" } else { "assistant" },
            "content": [words], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1_763_714_480.5,
        }))?;
        let item = Item::try_from(&item)?;
        let bytes = item.bytes();
        let incoming = Incoming {
            id: item.id().as_str().to_owned(),
            chat_item: item.encoded().to_vec(),
            native: item.native().cloned(),
        };
        self.conversation
            .append(HOLDER, EPOCH, vec![incoming], &mut Vec::new());
        self.drop_answers();
        Ok(bytes)
    }

    /// The holder sits beside Baton: what it is answered needs no line.
    fn drop_answers(&mut self) {
        while self.conversation.poll_send(HOLDER, BATCH_BYTES).is_some() {}
    }

    fn until_applied(&mut self) -> Result<(), Failure> {
        let head = self
            .conversation
            .handed(READER)
            .ok_or("nothing was prepared")?
            .head;
        let deadline = self.now + Duration::from_secs(60);
        while self.mirror.head() != head {
            if self.now > deadline {
                return Err("the conversation never arrived".into());
            }
            self.pass(Duration::from_micros(100))?;
        }
        Ok(())
    }

    /// Gives the link what it takes.
    fn pump(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(mut chunks) = self.transfer.take() {
                match chunks.send(self.now, Epoch(EPOCH), &mut self.links[0])? {
                    ChunksProgress::Done => {}
                    ChunksProgress::Waiting => {
                        self.transfer = Some(chunks);
                        return Ok(());
                    }
                }
            }
            if self.links[0].waiting() >= self.links[0].window() {
                return Ok(());
            }
            let Some(outgoing) = self.conversation.poll_send(READER, self.batch_bytes) else {
                return Ok(());
            };
            let Some(body) = body(outgoing) else {
                continue;
            };
            match self.links[0].send(self.now, Epoch(EPOCH), &body) {
                Ok(_) => {}
                Err(SendError::TooLarge { .. }) => {
                    self.transfers += 1;
                    let limits = ChunkLimits::new(Side::Orchestrator);
                    self.transfer = Some(Chunks::new(&limits, self.transfers, &body)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now + time;
        loop {
            if self.links[0].is_established() {
                self.pump()?;
            }
            self.send();
            let arrival = self.under_way.iter().map(|(at, ..)| *at).min();
            let due = self.links.iter().filter_map(Link::poll_timeout);
            let Some(next) = due.chain(arrival).min().filter(|next| *next <= until) else {
                break;
            };
            self.now = next.max(self.now);
            let mut events = Vec::new();
            for link in &mut self.links {
                link.handle_timeout(self.now, &mut events);
            }
            while let Some(at) = self.under_way.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to, packet) = self.under_way.remove(at);
                self.links[to].handle_frame(self.now, &packet, &mut events);
                for event in events.drain(..) {
                    self.take(event)?;
                }
            }
        }
        self.now = until;
        Ok(())
    }

    fn send(&mut self) {
        for from in 0..2 {
            while let Some(transmit) = self.links[from].poll_transmit(self.now) {
                let bytes = transmit.payload.len();
                self.packets += 1;
                self.bytes += bytes as u64;
                let free = self.line[from].max(self.now);
                self.line[from] = free + Duration::from_secs_f64(bytes as f64 / BYTES_PER_SEC);
                self.under_way
                    .push((self.line[from] + DELAY, 1 - from, transmit.payload));
            }
        }
    }

    fn take(&mut self, event: LinkEvent) -> Result<(), Failure> {
        let LinkEvent::Received { body, .. } = event else {
            return Err(format!("unexpected: {event:?}").into());
        };
        let body = match body {
            Body::ContextChunk(chunk) => match self.assembly.take(chunk)? {
                Assembled::Whole(body) => body,
                Assembled::More | Assembled::PassedOver => return Ok(()),
            },
            body => body,
        };
        match body {
            Body::Hello(_) => self.links[0].welcome(Epoch(EPOCH), Targets::default()),
            Body::ContextAppend { items } => {
                for item in items {
                    let position = item.position.ok_or("an item without a place")?;
                    let native = Native {
                        framework: item.framework,
                        json: item.framework_json,
                    };
                    let item = Item::parse(&item.id, &item.chat_item, Some(native), usize::MAX)?;
                    self.mirror.take(Position(position), item)?;
                }
            }
            Body::StatePatch(patch) => {
                let version = StateVersion(patch.version.ok_or("a change without a version")?);
                let merge = Patch::parse(&patch.merge_patch, &PatchLimits::default())?;
                self.mirror
                    .take_state(StateVersion(patch.base_version), version, &merge)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn body(outgoing: Outgoing) -> Option<Body> {
    match outgoing {
        Outgoing::Items(items) => Some(Body::ContextAppend {
            items: items
                .iter()
                .map(|(position, item)| on_the_wire(*position, item))
                .collect(),
        }),
        Outgoing::State {
            base,
            version,
            json,
        } => Some(Body::StatePatch(StatePatch {
            patch: 0,
            base_version: base.0,
            merge_patch: json.into_bytes(),
            version: Some(version.0),
        })),
        Outgoing::Answer(_) => None,
    }
}

fn on_the_wire(position: Position, item: &Item) -> ContextItem {
    let native = item.native();
    ContextItem {
        id: item.id().as_str().to_owned(),
        position: Some(position.0),
        chat_item: item.encoded().to_vec(),
        framework: native
            .map(|native| native.framework.clone())
            .unwrap_or_default(),
        framework_json: native.map(|native| native.json.clone()).unwrap_or_default(),
        unknown: Vec::new(),
    }
}

fn hello() -> Hello {
    Hello {
        attempt: 0,
        ticket: Ticket::from("bench"),
        specialist: SpecialistName::from("second"),
        sdk_name: "bench".to_owned(),
        sdk_version: "1".to_owned(),
        versions: vec![VERSION],
        track_sid: String::new(),
        open_track_sid: String::new(),
        seen: None,
        oldest: Seq(1),
    }
}
