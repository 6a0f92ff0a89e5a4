//! The job's side of conversation and state: what comes in is applied and confirmed, what the agent writes goes out as
//! fast as the link takes it, and is said again to a Baton that has not answered it.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use call::Epoch;
use context::{Item, Native, Patch, PatchLimits, Position, StateVersion};
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::warn;
use wire::{
    Assembled, Assembly, Body, ChunkLimits, Chunks, ChunksProgress, ContextItem, ContextRefusal,
    Link, SendError, Side, StateOutcome, StatePatch, StreamId, Terms,
};

use crate::memory::{AppendError, PatchError, Shared, Snapshot, Write};

/// Writes that may wait for their answers; the agent waits beyond them.
const WRITES_MAX: usize = 64;
/// The longest that a grant is kept from the agent because the end of the conversation is still on its way.
pub(crate) const TAIL_MAX: Duration = Duration::from_secs(2);

/// Conversation and state of a job.
#[derive(Debug)]
pub(crate) struct Talk {
    shared: Shared,
    /// Baton's process, by its stream.
    stream: Option<StreamId>,
    limits: ChunkLimits,
    assembly: Assembly,
    /// Something was applied and is not confirmed.
    unconfirmed: bool,
    outgoing: VecDeque<(Epoch, Body)>,
    transfer: Option<(Epoch, Chunks)>,
    transfers: u64,
    items: VecDeque<WaitingItems>,
    patches: VecDeque<WaitingPatch>,
    newest_patch: u64,
}

#[derive(Debug)]
struct WaitingItems {
    epoch: Epoch,
    items: Vec<Item>,
    open: BTreeSet<String>,
    refused: Option<AppendError>,
    reply: oneshot::Sender<Result<(), AppendError>>,
}

#[derive(Debug)]
struct WaitingPatch {
    epoch: Epoch,
    patch: StatePatch,
    reply: oneshot::Sender<Result<u64, PatchError>>,
}

impl Talk {
    pub(crate) fn new(shared: Shared) -> Self {
        let limits = ChunkLimits::new(Side::Specialist);
        Self {
            shared,
            stream: None,
            assembly: Assembly::new(limits.clone()),
            limits,
            unconfirmed: false,
            outgoing: VecDeque::new(),
            transfer: None,
            transfers: 0,
            items: VecDeque::new(),
            patches: VecDeque::new(),
            newest_patch: 0,
        }
    }

    /// Whether another write may come.
    pub(crate) fn takes_writes(&self) -> bool {
        self.items.len() + self.patches.len() < WRITES_MAX
    }

    /// How many items are here.
    pub(crate) fn position(&self) -> u64 {
        self.shared.lock().head().position.0
    }

    /// How many items are here, and their hash.
    pub(crate) fn head(&self) -> (u64, Vec<u8>) {
        let head = self.shared.lock().head();
        (head.position.0, head.hash.0.to_vec())
    }

    /// The body itself, or the one of which this was the last piece; nothing while there is more to come.
    pub(crate) fn whole(&mut self, body: Body) -> Option<Body> {
        let Body::ContextChunk(chunk) = body else {
            return Some(body);
        };
        match self.assembly.take(chunk) {
            Ok(Assembled::Whole(body)) => Some(body),
            Ok(Assembled::More | Assembled::PassedOver) => None,
            Err(error) => {
                warn!(%error, "a body in pieces was refused");
                None
            }
        }
    }

    /// Baton has welcomed us. To a new process everything is said again that the last one has not answered.
    pub(crate) fn welcomed(&mut self, link: &Link, terms: &Terms) {
        let stream = link.seen().map(|seen| seen.stream);
        let known = std::mem::replace(&mut self.stream, stream);
        if known == stream {
            return;
        }
        self.limits = ChunkLimits::new(Side::Specialist).with_terms(terms);
        self.assembly = Assembly::new(self.limits.clone());
        if known.is_none() {
            return;
        }
        self.transfer = None;
        self.outgoing.clear();
        for waiting in &self.items {
            self.outgoing
                .push_back((waiting.epoch, append(&waiting.items)));
        }
        for waiting in &self.patches {
            let body = Body::StatePatch(waiting.patch.clone());
            self.outgoing.push_back((waiting.epoch, body));
        }
        self.unconfirmed = true;
    }

    /// Takes what Baton says of conversation and state; gives back what is none of it.
    pub(crate) fn hear(&mut self, body: Body) -> Option<Body> {
        match body {
            Body::ContextAppend { items } => self.take_items(items),
            Body::StatePatch(patch) => self.take_patch(&patch),
            Body::ContextResult { kept, refused } => self.answered_items(&kept, refused),
            Body::StateResult(result) => self.answered_patch(result.patch, result.outcome),
            other => return Some(other),
        }
        None
    }

    /// Answers a request for a summary.
    pub(crate) fn sum_up(&mut self, epoch: Epoch, request: u64, outcome: Result<String, String>) {
        let body = Body::SummaryResult { request, outcome };
        self.outgoing.push_back((epoch, body));
    }

    /// Takes what the agent writes, in the epoch in which it stands.
    pub(crate) fn write(&mut self, epoch: Epoch, write: Write) {
        match write {
            Write::Items { items, reply } => {
                let open = items.iter().map(|item| item.id().to_string()).collect();
                self.outgoing.push_back((epoch, append(&items)));
                self.items.push_back(WaitingItems {
                    epoch,
                    items,
                    open,
                    refused: None,
                    reply,
                });
            }
            Write::Patch { base, patch, reply } => {
                self.newest_patch += 1;
                let patch = StatePatch {
                    patch: self.newest_patch,
                    base_version: base,
                    merge_patch: Value::Object(patch).to_string().into_bytes(),
                    version: None,
                };
                let body = Body::StatePatch(patch.clone());
                self.outgoing.push_back((epoch, body));
                self.patches.push_back(WaitingPatch {
                    epoch,
                    patch,
                    reply,
                });
            }
        }
    }

    /// Puts into the link what has room: half of the window at most, so that the baton's own words never wait.
    pub(crate) fn send(&mut self, now: Instant, epoch: Epoch, link: &mut Link) {
        if self.unconfirmed && link.is_established() {
            let (context_items, context_hash) = self.head();
            let applied = Body::ContextApplied {
                context_items,
                context_hash,
            };
            // With a full window it is said later.
            self.unconfirmed = link.send(now, epoch, &applied).is_err();
        }
        while link.waiting() < link.window().div_ceil(2) {
            if let Some((epoch, transfer)) = &mut self.transfer {
                match transfer.send(now, *epoch, link) {
                    Ok(ChunksProgress::Done) => self.transfer = None,
                    Ok(ChunksProgress::Waiting) => return,
                    Err(error) => {
                        warn!(%error, "a body in pieces was not sent");
                        self.transfer = None;
                    }
                }
                continue;
            }
            let Some((epoch, body)) = self.outgoing.pop_front() else {
                return;
            };
            match link.send(now, epoch, &body) {
                Ok(_) => {}
                Err(SendError::WindowFull { .. }) => {
                    self.outgoing.push_front((epoch, body));
                    return;
                }
                Err(error) => {
                    self.transfers += 1;
                    match Chunks::new(&self.limits, self.transfers, &body) {
                        Ok(transfer) => self.transfer = Some((epoch, transfer)),
                        Err(too_large) => {
                            warn!(%error, "a body was not sent");
                            self.not_sent(&body, &too_large.to_string());
                        }
                    }
                }
            }
        }
    }

    fn take_items(&mut self, items: Vec<ContextItem>) {
        let mut mirror = self.shared.lock();
        for item in items {
            let ContextItem {
                id,
                position,
                chat_item,
                framework,
                framework_json,
                unknown: _,
            } = item;
            let native = (!framework.is_empty()).then_some(Native {
                framework,
                json: framework_json,
            });
            let parsed = Item::parse(&id, &chat_item, native, self.limits.body_bytes_max);
            let taken = parsed.map_err(|error| error.to_string()).and_then(|item| {
                let position = Position(position.unwrap_or(0));
                mirror
                    .take(position, item)
                    .map_err(|error| error.to_string())
            });
            if let Err(error) = taken {
                // What is confirmed then shows Baton what is missing.
                warn!(error, "an item was not taken");
                break;
            }
        }
        drop(mirror);
        self.unconfirmed = true;
        self.shared.say_changed();
    }

    fn take_patch(&mut self, patch: &StatePatch) {
        let limits = PatchLimits {
            patch_bytes_max: self.limits.body_bytes_max,
            ..PatchLimits::default()
        };
        let (base, version) = (patch.base_version, patch.version.unwrap_or(0));
        let parsed = Patch::parse(&patch.merge_patch, &limits);
        let taken = parsed.map_err(|error| error.to_string()).and_then(|patch| {
            let mut mirror = self.shared.lock();
            mirror
                .take_state(StateVersion(base), StateVersion(version), &patch)
                .map_err(|error| error.to_string())
        });
        match taken {
            Ok(()) => self.shared.say_changed(),
            Err(error) => warn!(error, "a change of the state was not taken"),
        }
    }

    fn answered_items(&mut self, kept: &[String], refused: Vec<ContextRefusal>) {
        let mut answers: Vec<(&str, Option<AppendError>)> = Vec::new();
        answers.extend(kept.iter().map(|id| (id.as_str(), None)));
        let errors = refused.iter().map(|refusal| {
            let error = AppendError::Refused {
                id: refusal.id.clone(),
                reason: refusal.reason,
                detail: refusal.detail.clone(),
            };
            (refusal.id.as_str(), Some(error))
        });
        answers.extend(errors);
        for (id, error) in answers {
            let mut waiting = self.items.iter_mut();
            let Some(waiting) = waiting.find(|waiting| waiting.open.contains(id)) else {
                continue;
            };
            if error.is_none() {
                let item = waiting.items.iter().rfind(|item| item.id().as_str() == id);
                if let Some(item) = item {
                    self.shared.lock().note_own(item.clone());
                }
            }
            waiting.open.remove(id);
            waiting.refused = waiting.refused.take().or(error);
        }
        while self
            .items
            .front()
            .is_some_and(|waiting| waiting.open.is_empty())
        {
            let Some(done) = self.items.pop_front() else {
                break;
            };
            // Nobody waits for it any more if it cannot be given.
            let _ = done.reply.send(done.refused.map_or(Ok(()), Err));
        }
        self.shared.say_changed();
    }

    fn answered_patch(&mut self, number: u64, outcome: StateOutcome) {
        let place = self
            .patches
            .iter()
            .position(|waiting| waiting.patch.patch == number);
        let Some(waiting) = place.and_then(|place| self.patches.remove(place)) else {
            return;
        };
        let answer = match outcome {
            StateOutcome::Accepted { version } => Ok(version),
            StateOutcome::Conflict { version, current } => {
                let document = match serde_json::from_slice(&current) {
                    Ok(Value::Object(document)) => document,
                    Ok(_) | Err(_) => self.shared.snapshot().document,
                };
                Err(PatchError::Conflict {
                    current: Snapshot { version, document },
                })
            }
            StateOutcome::Denied { path, reason } => Err(PatchError::Denied { path, reason }),
        };
        let _ = waiting.reply.send(answer);
    }

    fn not_sent(&mut self, body: &Body, detail: &str) {
        let detail = detail.to_owned();
        match body {
            Body::ContextAppend { items } => {
                let first = items.first().map(|item| item.id.as_str());
                let place = self.items.iter().position(|waiting| {
                    waiting.items.first().map(|item| item.id().as_str()) == first
                });
                if let Some(waiting) = place.and_then(|place| self.items.remove(place)) {
                    let _ = waiting.reply.send(Err(AppendError::NotSent { detail }));
                }
            }
            Body::StatePatch(patch) => {
                let place = self
                    .patches
                    .iter()
                    .position(|waiting| waiting.patch.patch == patch.patch);
                if let Some(waiting) = place.and_then(|place| self.patches.remove(place)) {
                    let _ = waiting.reply.send(Err(PatchError::NotSent { detail }));
                }
            }
            other => warn!(body = other.name(), detail, "not sent"),
        }
    }
}

fn append(items: &[Item]) -> Body {
    let items = items.iter().map(|item| {
        let (framework, framework_json) = item.native().map_or_else(Default::default, |native| {
            (native.framework.clone(), native.json.clone())
        });
        ContextItem {
            id: item.id().to_string(),
            position: None,
            chat_item: item.encoded().to_vec(),
            framework,
            framework_json,
            unknown: Vec::new(),
        }
    });
    Body::ContextAppend {
        items: items.collect(),
    }
}
