//! The calls of this process for whoever looks on from outside: what each has published, and a way to ask something of it.
//!
//! A call's task publishes its snapshot whenever something has changed, and takes [`Ask`]s in its loop. Whoever looks on reads
//! the newest publication, or follows the changes from a number on; neither ever waits for the task, nor the task for
//! them: the lock is held for as long as it takes to copy a pointer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use call::{
    CallId, Fact, Identity, Outcome, PersonAnswer, RequestId, Snapshot, SpecialistName, Splice,
    SteerRefusal, Target,
};
use context::{Conversation, Head, Item, Mask, PatchOutcome, Scopes, StateVersion};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;

/// Asks that may wait for a call's task; one more is refused, since its call is stuck or flooded.
const ASKS_MAX: usize = 16;
/// Changes that are kept for whoever resumes; an older place is gone.
const CHANGES_MAX: usize = 1_024;

/// How long levels are measured after somebody asked for them.
const METERED: Duration = Duration::from_secs(3);
/// What has happened in a call is kept up to so many; an older one is gone.
const HAPPENINGS_MAX: usize = 4_096;

/// What is known of one call at one moment.
#[derive(Clone, Debug)]
pub struct Published {
    /// The room's name, which carries the caller's number.
    pub room: String,
    /// When the call began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// When this was published, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The same moment on the clock of the snapshot's deadlines.
    pub at: Instant,
    /// Where the call stands.
    pub snapshot: Snapshot,
    /// Whether a track of it is recorded.
    pub recorded: bool,
}

/// Conversation, state and timeline of a call, as far as they have come.
#[derive(Clone, Default)]
pub struct Said {
    /// The items in the order in which they came in: the item at index N has position N + 1. One with a known id
    /// replaces the earlier one.
    pub items: Vec<Item>,
    /// Where the conversation stands.
    pub head: Head,
    /// The version of the state.
    pub version: StateVersion,
    /// The state.
    pub state: Arc<Map<String, Value>>,
    /// What has happened, in its order.
    pub happened: VecDeque<Happening>,
}

/// Something that has happened in a call.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Grows by one with each in this call, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What.
    pub what: Happened,
}

/// What may happen in a call.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are facts, so a box would save no memory and cost an allocation each"
)]
pub enum Happened {
    /// The core has changed.
    Fact(Fact),
    /// The caller or the holder has begun or ceased to speak; no journal has it.
    Talking {
        /// Who.
        identity: Identity,
        /// Whether it speaks now.
        talking: bool,
    },
}

/// How far a call has come, for whoever waits for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The position of the newest item of the conversation.
    pub position: u64,
    /// The version of the state.
    pub version: u64,
    /// The number of the newest happening.
    pub happening: u64,
}

/// What a specialist may see and write of a call.
#[derive(Clone, Debug)]
pub struct View {
    /// Of the state.
    pub scopes: Scopes,
    /// What it is kept from of the conversation.
    pub masks: Vec<Mask>,
}

/// The views of a call's specialists.
pub type Views = BTreeMap<SpecialistName, View>;

/// How loud who is in a call. It is measured while somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// When it was measured, in milliseconds since 1970; 0 if it was not yet.
    pub unix_ms: u64,
    /// The loudest 10 ms of the last 100 of each voice, in dBFS; whoever is not among them is silent.
    pub voices: Vec<(Identity, f32)>,
}

/// The levels of a call, and until when somebody wants to know them.
#[derive(Debug, Default)]
struct Gauge {
    wanted_until: Option<Instant>,
    levels: Levels,
}

/// Something that was published.
#[derive(Clone, Debug)]
pub struct Change {
    /// Grows by one with every change in this process, from 1.
    pub id: u64,
    /// What became of the call.
    pub kind: ChangeKind,
    /// The call as it was then.
    pub published: Arc<Published>,
    /// How it was written, for whoever follows; written once however many they are.
    pub written: Arc<Written>,
}

/// A change as it was written down for the first who was told of it.
#[derive(Debug, Default)]
pub struct Written {
    /// For who may see personal data.
    pub whole: OnceLock<Arc<str>>,
    /// For who may not.
    pub masked: OnceLock<Arc<str>>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Opened,
    /// It goes on.
    Changed,
    /// It is over.
    Closed,
}

/// The changes after some place.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// In their order.
    pub changes: Vec<Change>,
    /// Changes before these were asked for and are no longer there.
    pub torn: bool,
}

/// Something that is asked of a call. A call that ends drops the answer's sender.
#[derive(Debug)]
pub enum Ask {
    /// Move the baton.
    Handoff {
        /// To whom.
        target: Target,
        /// Why.
        reason: String,
        /// Overrides the route's splice point.
        splice: Option<Splice>,
        /// What became of it.
        answer: oneshot::Sender<Outcome>,
    },
    /// Put the caller on hold.
    Hold {
        /// What became of it.
        answer: oneshot::Sender<Steered>,
    },
    /// End the hold.
    Resume {
        /// What became of it.
        answer: oneshot::Sender<Steered>,
    },
    /// Move the baton to whom the configuration names for that.
    Escalate {
        /// Why.
        reason: String,
        /// Overrides the route's splice point.
        splice: Option<Splice>,
        /// What became of it.
        answer: oneshot::Sender<Steered>,
    },
    /// Answer for the person that is rung.
    Answer {
        /// What it wants.
        wish: PersonAnswer,
        /// What became of it.
        answer: oneshot::Sender<Steered>,
    },
    /// Have the person that has the baton give it back.
    HandBack {
        /// What became of it.
        answer: oneshot::Sender<Steered>,
    },
    /// Change the shared state.
    Patch {
        /// What the visitor may see and write.
        scopes: Scopes,
        /// The version that the patch was made against.
        base: StateVersion,
        /// A JSON merge patch.
        json: Vec<u8>,
        /// What became of it.
        answer: oneshot::Sender<PatchOutcome>,
    },
    /// End the call.
    End {
        /// That it ends.
        answer: oneshot::Sender<()>,
    },
}

/// What became of an operator's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steered {
    /// It is done, and was no handoff: the caller is on hold, the person is answered for.
    Done,
    /// It became a handoff, and this of it.
    Moved(Outcome),
    /// It was not tried.
    Refused(SteerRefusal),
}

/// Why a call could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no such call in this process.
    #[error("there is no such call")]
    NoCall,
    /// The call's task does not take more at the moment.
    #[error("the call has {ASKS_MAX} requests waiting, which is the limit")]
    Busy,
}

/// Every call of this process.
#[derive(Debug)]
pub struct Desk {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: BTreeMap<CallId, Open>,
    changes: VecDeque<Change>,
    newest: u64,
}

#[derive(Clone, Debug)]
struct Open {
    published: Arc<Published>,
    said: Arc<Mutex<Said>>,
    gauge: Arc<Mutex<Gauge>>,
    views: Arc<Views>,
    reached: watch::Receiver<Reached>,
    asks: mpsc::Sender<Ask>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            newest: watch::Sender::new(0),
        }
    }
}

impl Desk {
    /// Puts a call on the desk; it is taken off when the post is dropped.
    pub fn open(self: &Arc<Self>, room: &str, snapshot: Snapshot, views: Arc<Views>) -> Post {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let unix_ms = clock::unix_ms();
        let published = Arc::new(Published {
            room: room.to_owned(),
            started_unix_ms: unix_ms,
            unix_ms,
            at: clock::now(),
            snapshot,
            recorded: false,
        });
        let said = Arc::<Mutex<Said>>::default();
        let gauge = Arc::<Mutex<Gauge>>::default();
        let reached = watch::Sender::default();
        self.record(ChangeKind::Opened, &published, |inner| {
            let open = Open {
                published: published.clone(),
                said: said.clone(),
                gauge: gauge.clone(),
                views,
                reached: reached.subscribe(),
                asks,
            };
            inner.calls.insert(published.snapshot.call.clone(), open);
        });
        Post {
            desk: self.clone(),
            published,
            said,
            gauge,
            reached,
            asks: receiver,
        }
    }

    /// The newest publication of every call, by the calls' ids.
    pub fn calls(&self) -> Vec<Arc<Published>> {
        let inner = self.inner.lock();
        inner
            .calls
            .values()
            .map(|open| open.published.clone())
            .collect()
    }

    /// The newest publication of one call.
    pub fn call(&self, id: &CallId) -> Option<Arc<Published>> {
        let inner = self.inner.lock();
        inner.calls.get(id).map(|open| open.published.clone())
    }

    /// Looks at what was said in a call; `read` is to be quick.
    pub fn said<T>(&self, id: &CallId, read: impl FnOnce(&Said) -> T) -> Option<T> {
        let said = self.inner.lock().calls.get(id)?.said.clone();
        let said = said.lock();
        Some(read(&said))
    }

    /// What a specialist of a call may see of it; nothing if the call has none of that name.
    pub fn view(&self, id: &CallId, specialist: &SpecialistName) -> Option<View> {
        let views = self.inner.lock().calls.get(id)?.views.clone();
        views.get(specialist).cloned()
    }

    /// How loud who is in a call. It is measured from now on for as long as a visitor may take to ask again.
    pub fn levels(&self, id: &CallId) -> Option<Levels> {
        let gauge = self.inner.lock().calls.get(id)?.gauge.clone();
        let mut gauge = gauge.lock();
        gauge.wanted_until = Some(clock::now() + METERED);
        Some(gauge.levels.clone())
    }

    /// How far a call has come, and a way to wait for more; it closes with the call.
    pub fn reached(&self, id: &CallId) -> Option<watch::Receiver<Reached>> {
        let inner = self.inner.lock();
        inner.calls.get(id).map(|open| open.reached.clone())
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.inner.lock().calls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks something of a call; the answer comes on the ask's own channel.
    ///
    /// # Errors
    /// When there is no such call, or when too many asks of it are waiting.
    pub fn ask(&self, id: &CallId, ask: Ask) -> Result<(), AskError> {
        let asks = self
            .inner
            .lock()
            .calls
            .get(id)
            .map(|open| open.asks.clone())
            .ok_or(AskError::NoCall)?;
        asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::NoCall,
        })
    }

    /// The number of the newest change, and a way to wait for the next.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// What has changed after the change `seen`, at most `limit` of it.
    pub fn changes_after(&self, seen: u64, limit: usize) -> Changes {
        let inner = self.inner.lock();
        let first = inner
            .changes
            .front()
            .map_or(inner.newest + 1, |change| change.id);
        // A number from before this process, or from the future, is no place to go on from.
        let torn = seen.saturating_add(1) < first || seen > inner.newest;
        let skip = usize::try_from((seen + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        Changes {
            changes: inner
                .changes
                .iter()
                .skip(if torn { 0 } else { skip })
                .take(limit)
                .cloned()
                .collect(),
            torn,
        }
    }

    fn record(&self, kind: ChangeKind, published: &Arc<Published>, edit: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        edit(&mut inner);
        inner.newest += 1;
        let change = Change {
            id: inner.newest,
            kind,
            published: published.clone(),
            written: Arc::default(),
        };
        if inner.changes.len() == CHANGES_MAX {
            inner.changes.pop_front();
        }
        inner.changes.push_back(change);
        self.newest.send_replace(inner.newest);
    }
}

/// A call's own place at the desk.
#[derive(Debug)]
pub struct Post {
    desk: Arc<Desk>,
    published: Arc<Published>,
    said: Arc<Mutex<Said>>,
    gauge: Arc<Mutex<Gauge>>,
    reached: watch::Sender<Reached>,
    asks: mpsc::Receiver<Ask>,
}

impl Post {
    /// Publishes where the call stands, if that is news.
    pub fn publish(&mut self, snapshot: Snapshot, recorded: bool) {
        if snapshot == self.published.snapshot && recorded == self.published.recorded {
            return;
        }
        self.published = Arc::new(Published {
            room: self.published.room.clone(),
            started_unix_ms: self.published.started_unix_ms,
            unix_ms: clock::unix_ms(),
            at: clock::now(),
            snapshot,
            recorded,
        });
        let published = &self.published;
        self.desk.record(ChangeKind::Changed, published, |inner| {
            if let Some(open) = inner.calls.get_mut(&published.snapshot.call) {
                open.published = published.clone();
            }
        });
    }

    /// Publishes what is new in the conversation and the state.
    pub fn follow(&self, conversation: &Conversation) {
        let (log, state) = (conversation.log(), conversation.state());
        let mut said = self.said.lock();
        let known = said.items.len();
        let new = log.entries().get(known..).unwrap_or_default();
        said.items
            .extend(new.iter().map(|entry| entry.item().clone()));
        said.head = log.head();
        if said.version != state.version() {
            said.version = state.version();
            said.state = Arc::new(state.document().clone());
        }
        let (position, version) = (said.head.position.0, said.version.0);
        drop(said);
        self.reached.send_if_modified(|reached| {
            let before = *reached;
            (reached.position, reached.version) = (position, version);
            *reached != before
        });
    }

    /// Adds to what has happened.
    pub fn note(&self, what: Happened) {
        let mut said = self.said.lock();
        if said.happened.len() == HAPPENINGS_MAX {
            said.happened.pop_front();
        }
        let number = self.reached.borrow().happening + 1;
        said.happened.push_back(Happening {
            number,
            unix_ms: clock::unix_ms(),
            what,
        });
        drop(said);
        self.reached
            .send_modify(|reached| reached.happening = number);
    }

    /// Whether somebody wants to know how loud who is.
    pub fn is_metered(&self) -> bool {
        let now = clock::now();
        let mut gauge = self.gauge.lock();
        let wanted = gauge.wanted_until.is_some_and(|until| now < until);
        if !wanted && gauge.wanted_until.take().is_some() {
            gauge.levels = Levels::default();
        }
        wanted
    }

    /// Shows how loud who is.
    pub fn show_levels(&self, voices: Vec<(Identity, f32)>) {
        let mut gauge = self.gauge.lock();
        // What was measured for somebody who has gone since is nobody's.
        if gauge.wanted_until.is_some() {
            gauge.levels = Levels {
                unix_ms: clock::unix_ms(),
                voices,
            };
        }
    }

    /// The next ask. Cancel-safe: it receives from a queue.
    pub async fn ask(&mut self) -> Option<Ask> {
        self.asks.recv().await
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let published = &self.published;
        self.desk.record(ChangeKind::Closed, published, |inner| {
            inner.calls.remove(&published.snapshot.call);
        });
    }
}

/// What was said does not belong into logs.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Said({} items, state {})",
            self.items.len(),
            self.version
        )
    }
}

/// A request whose result somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Answers {
    newest: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Handoff(oneshot::Sender<Outcome>),
    Steer(oneshot::Sender<Steered>),
}

impl Waiting {
    fn is_closed(&self) -> bool {
        match self {
            Self::Handoff(answer) => answer.is_closed(),
            Self::Steer(answer) => answer.is_closed(),
        }
    }
}

impl Answers {
    /// A number for a request, under which its outcome will be answered.
    pub(super) fn expect(&mut self, answer: oneshot::Sender<Outcome>) -> RequestId {
        self.wait(Waiting::Handoff(answer))
    }

    /// The same for what may not become a handoff.
    pub(super) fn expect_steered(&mut self, answer: oneshot::Sender<Steered>) -> RequestId {
        self.wait(Waiting::Steer(answer))
    }

    fn wait(&mut self, answer: Waiting) -> RequestId {
        self.newest += 1;
        // Whoever has gone away is no longer waited for.
        self.waiting.retain(|_, answer| !answer.is_closed());
        self.waiting.insert(self.newest, answer);
        RequestId(self.newest)
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, request: RequestId, outcome: Outcome) {
        // Whoever asked may have stopped waiting.
        match self.waiting.remove(&request.0) {
            Some(Waiting::Handoff(answer)) => _ = answer.send(outcome),
            Some(Waiting::Steer(answer)) => _ = answer.send(Steered::Moved(outcome)),
            None => {}
        }
    }

    /// Answers a request that became no handoff.
    pub(super) fn answer_steered(&mut self, request: RequestId, outcome: Result<(), SteerRefusal>) {
        let steered = match outcome {
            Ok(()) => Steered::Done,
            Err(refusal) => Steered::Refused(refusal),
        };
        if let Some(Waiting::Steer(answer)) = self.waiting.remove(&request.0) {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(steered);
        }
    }
}
