//! The conversation and the shared state of one call in use: who may write, who reads, and how far each reader is.
//!
//! Writers are checked here: only the holder, in the epoch of its grant, adds items; whoever has written an item may
//! replace it later, and may add the result of a tool call of its own, since both become known only after a handoff. So
//! does what was heard of the message that the last holder was saying, and what the caller had said to it and nobody has
//! answered yet: it may add both until it has let go. The state is written by the holder freely and by others by
//! compare-and-set, each within its scopes.
//!
//! Every reader has a [`Feed`] of its own from its first preparation on. Nothing is copied for one that is slow: what it
//! has yet to get is what lies between its feed and what was taken for it with [`Conversation::poll_send`].
//!
//! What changes is pushed as a [`Record`] for the journal, in the order in which it must be replayed.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::exchange::{
    Answer, Applied, Effect, Granting, Handed, Incoming, IncomingPatch, ItemRefusal, Outgoing,
    PatchOutcome, Record, RecordError, RefusedItem,
};
use crate::feed::{Feed, FilterPlan, Window};
use crate::item::{ID_BYTES_MAX, Item, ItemId, Kind, Role};
use crate::log::{AppendError, Appended, Author, ContextLog, Head, LogLimits, Position};
use crate::made::{self, UnixMillis};
use crate::merge::{Patch, PatchLimits};
use crate::schema::StateSchema;
use crate::scope::Scopes;
use crate::state::{Outcome, PatchError, SharedState, StateVersion, Writer};
use crate::tools::{RunningCall, ToolPolicies};

/// Answers and changes that may wait for one reader; one more and it counts as [overrun](Effect::Overrun).
const PENDING_MAX: usize = 1_024;
/// Changes of the state that may wait for one reader; beyond them it gets the whole view instead.
const PENDING_PATCHES_MAX: usize = 64;
/// The longest that an announced id is repeated in a refusal, in characters: no good id is longer.
const REPEATED_CHARS_MAX: usize = ID_BYTES_MAX;

/// Bounds of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationLimits {
    /// Of the conversation.
    pub log: LogLimits,
    /// Of the shared state.
    pub state: PatchLimits,
}

/// One call's conversation and state, with its readers and writers.
#[derive(Debug)]
pub struct Conversation {
    limits: ConversationLimits,
    log: ContextLog,
    state: SharedState,
    holder: Option<Holding>,
    /// Who has given the baton away and may still add what it has said.
    leaving: Option<Author>,
    readers: BTreeMap<Author, Reader>,
    summing: Option<Summing>,
}

/// A summary that is being made, or was, for an instance that is to be prepared.
#[derive(Debug)]
struct Summing {
    author: Author,
    /// What it sums up ends here.
    start: Position,
    /// `None` while it is being made; in it, whether there is one.
    made: Option<Option<Item>>,
}

/// Who has the baton.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holding {
    author: Author,
    specialist: String,
    epoch: u64,
    /// The epoch in which it got the baton: a grant that was only renewed does not make older writing stale.
    since: u64,
}

/// An instance of a specialist.
#[derive(Debug)]
struct Reader {
    scopes: Scopes,
    feed: Option<Feed>,
    /// By which plan it gets a feed, once the summary for it is made or given up.
    awaits: Option<FilterPlan>,
    /// Whether what comes now is for it: while it is prepared, and while it has the baton.
    live: bool,
    /// Whether it takes the conversation at all; one that does not is never behind.
    takes_part: bool,
    /// How far its feed went when it was prepared last.
    prepared: Position,
    /// What was taken for it.
    sent: Position,
    /// What it has confirmed.
    applied: Head,
    /// The version that it knows when all that is pending has reached it.
    told: StateVersion,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
enum Pending {
    Answer(Answer),
    Patch {
        base: StateVersion,
        version: StateVersion,
        patch: Patch,
    },
    /// The whole view, as it is when it is taken.
    View,
}

impl Conversation {
    /// An empty conversation and an empty state.
    pub fn new(limits: ConversationLimits, schema: Option<StateSchema>) -> Self {
        Self {
            limits,
            log: ContextLog::new(limits.log),
            state: SharedState::new(limits.state, schema),
            holder: None,
            leaving: None,
            readers: BTreeMap::new(),
            summing: None,
        }
    }

    /// Takes in what was journaled, before anybody has joined.
    ///
    /// # Errors
    /// If it is not the next record, or beyond the bounds.
    pub fn replay(&mut self, record: Record) -> Result<(), RecordError> {
        match record {
            Record::Item {
                position,
                author,
                item,
            } => {
                let expected = Position(self.log.head().position.0 + 1);
                if position != expected {
                    return Err(RecordError::OutOfOrder {
                        expected,
                        found: position,
                    });
                }
                self.log.append(item, author)?;
            }
            Record::Patch { version, patch } => self.state.replay(version, &patch)?,
        }
        Ok(())
    }

    /// Takes in the state as a whole, as of a version.
    ///
    /// # Errors
    /// It is beyond the bounds.
    pub fn restore_state(
        &mut self,
        version: StateVersion,
        document: &Patch,
    ) -> Result<(), RecordError> {
        Ok(self.state.replay_whole(version, document)?)
    }

    /// Who had the baton when the journal ends, since which epoch.
    pub fn restore_holder(&mut self, author: Author, specialist: &str, since: u64) {
        self.holder = Some(Holding {
            author,
            specialist: specialist.to_owned(),
            epoch: since,
            since,
        });
    }

    /// All of the conversation.
    pub fn log(&self) -> &ContextLog {
        &self.log
    }

    /// The shared state.
    pub fn state(&self) -> &SharedState {
        &self.state
    }

    /// An instance of a specialist has said Hello, for the first time or again. It gets the state as it may see it.
    pub fn joined(&mut self, author: Author, scopes: Scopes) {
        if self.readers.contains_key(&author) {
            return;
        }
        let mut reader = Reader {
            scopes,
            feed: None,
            awaits: None,
            live: false,
            takes_part: true,
            prepared: Position(0),
            sent: Position(0),
            applied: Head::default(),
            told: StateVersion(0),
            pending: VecDeque::new(),
        };
        if self.state.version() > StateVersion(0) {
            reader.told = self.state.version();
            reader.pending.push_back(Pending::View);
        }
        self.readers.insert(author, reader);
    }

    /// An instance is gone for good.
    pub fn left(&mut self, author: Author) {
        self.readers.remove(&author);
        self.released(author);
    }

    /// An instance is another process now, which has nothing: it gets all of it anew.
    pub fn restarted(&mut self, author: Author) {
        if let Some(reader) = self.readers.get_mut(&author) {
            if let Some(feed) = &mut reader.feed {
                feed.restart(&self.log);
                if reader.live {
                    feed.pump(&self.log);
                }
                reader.prepared = reader.prepared.min(feed.log().head().position);
            }
            reader.sent = Position(0);
            reader.applied = Head::default();
            reader.pending.clear();
            reader.told = self.state.version();
            reader.pending.push_back(Pending::View);
        }
    }

    /// An instance is to be prepared: it gets the conversation so far, and from here on what comes. One that had it before
    /// gets what it has missed. Gives what it must have applied before it is ready: nothing while a [summary is
    /// made](Conversation::summing) for it.
    pub fn prepare(&mut self, author: Author, plan: FilterPlan) -> Option<Handed> {
        let reader = self.readers.get_mut(&author)?;
        reader.live = true;
        reader.prepared = Position(0);
        match &mut reader.feed {
            Some(feed) => {
                feed.replan(plan);
                feed.pump(&self.log);
            }
            None => {
                reader.awaits = Some(plan);
                if !self.is_summing(author) {
                    self.begin_feed(author);
                }
            }
        }
        let handed = self.handed(author)?;
        if let Some(reader) = self.readers.get_mut(&author) {
            reader.prepared = handed.head.position;
        }
        Some(handed)
    }

    /// A summary of the conversation so far is about to be made for this instance, which is to be prepared or is already; false
    /// if it has the conversation and needs none.
    pub fn summing(&mut self, author: Author) -> bool {
        let reader = self.readers.get(&author);
        if reader.is_some_and(|reader| reader.feed.is_some()) {
            return false;
        }
        self.summing = Some(Summing {
            author,
            start: self.log.head().position,
            made: None,
        });
        true
    }

    /// The summary for this instance is made; `None` if there is none to be had. An instance that waits for it gets the
    /// conversation now.
    pub fn summed(&mut self, author: Author, summary: Option<Item>) {
        let Some(summing) = self.summing.as_mut().filter(|one| one.author == author) else {
            return;
        };
        summing.made = Some(summary);
        self.begin_feed(author);
    }

    /// What is to be summed up for somebody who gets the conversation by this plan: all of it, behind its masks.
    pub fn to_sum_up(&self, plan: &FilterPlan) -> Vec<Item> {
        let all = FilterPlan {
            window: Window::All,
            ..plan.clone()
        };
        let feed = Feed::new(all, None, &self.log, None);
        let entries = feed.log().conversation();
        entries.map(|entry| entry.item().clone()).collect()
    }

    /// What an instance takes over as things stand.
    pub fn handed(&self, author: Author) -> Option<Handed> {
        let feed = self.readers.get(&author)?.feed.as_ref()?;
        Some(Handed {
            head: feed.log().head(),
            state: self.state.version(),
        })
    }

    /// An instance says that it is ready, and with which head; no head is of one that takes no part in the conversation.
    /// Gives whether that counts.
    pub fn ready(&mut self, author: Author, head: Option<Head>) -> bool {
        let Some(reader) = self.readers.get_mut(&author) else {
            return false;
        };
        let Some(head) = head else {
            reader.takes_part = false;
            return true;
        };
        reader.takes_part = true;
        let prepared = reader.prepared;
        match self.applied(author, head) {
            Applied::Current => true,
            Applied::Behind => head.position >= prepared,
            Applied::Diverged => false,
        }
    }

    /// An instance says how far it is.
    pub fn applied(&mut self, author: Author, head: Head) -> Applied {
        let Some(reader) = self.readers.get_mut(&author) else {
            return Applied::Behind;
        };
        let Some(feed) = &reader.feed else {
            return Applied::Behind;
        };
        match feed.log().missed(head) {
            Ok(missed) => {
                reader.applied = head;
                reader.sent = reader.sent.max(head.position);
                match missed.is_empty() {
                    true => Applied::Current,
                    false => Applied::Behind,
                }
            }
            Err(_) => {
                reader.applied = Head::default();
                reader.sent = Position(0);
                Applied::Diverged
            }
        }
    }

    /// Whether an instance has confirmed all that its feed has.
    pub fn is_current(&self, author: Author) -> bool {
        self.readers.get(&author).is_none_or(|reader| {
            let head = reader.feed.as_ref().map(|feed| feed.log().head());
            let current = head.map_or(reader.awaits.is_none(), |head| head == reader.applied);
            !reader.takes_part || current
        })
    }

    /// The baton moves. What still runs and is not to be adopted is cancelled, and an item says who has the baton.
    pub fn granted(&mut self, granting: Granting<'_>, out: &mut Vec<Effect>) {
        let Granting {
            author,
            specialist,
            epoch,
            tools,
            except,
            at,
        } = granting;
        let still = self.holder.as_ref().filter(|one| one.author == author);
        let holding = Holding {
            author,
            specialist: specialist.to_owned(),
            epoch,
            since: still.map_or(epoch, |still| still.since),
        };
        let before = self.holder.replace(holding);
        let parted = before.as_ref().map(|before| before.author);
        self.leaving = parted
            .filter(|parted| *parted != author)
            .or(self.leaving)
            .filter(|leaving| *leaving != author);
        if let Some(reader) = self.readers.get_mut(&author) {
            reader.live = true;
        }
        // Whoever grants has waited for long enough.
        self.begin_feed(author);
        if before
            .as_ref()
            .is_some_and(|before| before.author == author)
        {
            return;
        }
        for call in self.doomed(tools, except) {
            if let Ok(item) = call.cancelled(at) {
                self.write_own(item, out);
            }
        }
        let from = before.as_ref().map(|before| before.specialist.as_str());
        if let Ok(item) = made::handoff(&format!("baton/{epoch}"), from, specialist, at) {
            self.write_own(item, out);
        }
        self.pump();
    }

    /// An instance no longer has the baton: what comes now is not for it.
    pub fn parked(&mut self, author: Author) {
        if let Some(reader) = self.readers.get_mut(&author) {
            reader.live = false;
            reader.awaits = None;
        }
        self.summing.take_if(|summing| summing.author == author);
    }

    /// An instance has let go of the baton: it has said all that it was saying.
    pub fn released(&mut self, author: Author) {
        self.leaving = self.leaving.filter(|leaving| *leaving != author);
    }

    /// Whether a tool call runs that a handoff has to wait for.
    pub fn waits_for_tools(&self, tools: &ToolPolicies, except: &[String]) -> bool {
        let running = tools.sort(&self.log).wait;
        running.iter().any(|call| {
            let asks = except.iter().any(|except| except == call.call.as_str());
            !asks && self.is_attended(call)
        })
    }

    /// Baton itself gives a tool call that runs its output; whoever has it already gives it in vain.
    pub fn answer_call(
        &mut self,
        call: &str,
        output: String,
        is_error: bool,
        at: UnixMillis,
        out: &mut Vec<Effect>,
    ) {
        let running = ToolPolicies::default().sort(&self.log).wait;
        let Some(running) = running.iter().find(|one| one.call.as_str() == call) else {
            return;
        };
        if let Ok(item) = running.answered(output, is_error, at) {
            self.write_own(item, out);
        }
        self.pump();
    }

    /// Takes items of a writer, in the epoch in which it believes to be.
    pub fn append(
        &mut self,
        author: Author,
        epoch: u64,
        items: Vec<Incoming>,
        out: &mut Vec<Effect>,
    ) {
        let (mut kept, mut refused) = (Vec::new(), Vec::new());
        for incoming in items {
            let announced = incoming.id.clone();
            match self.write(author, epoch, incoming, out) {
                Ok(id) => kept.push(id),
                Err(reason) => refused.push(RefusedItem {
                    id: announced.chars().take(REPEATED_CHARS_MAX).collect(),
                    reason,
                }),
            }
        }
        self.pump();
        self.answer(author, Answer::Items { kept, refused }, out);
    }

    /// Takes a patch of a writer, in the epoch in which it believes to be.
    pub fn patch(
        &mut self,
        author: Author,
        epoch: u64,
        patch: IncomingPatch<'_>,
        out: &mut Vec<Effect>,
    ) {
        let Some(reader) = self.readers.get(&author) else {
            return;
        };
        let holder = self
            .holder
            .as_ref()
            .is_some_and(|holder| holder.author == author && holder.epoch == epoch);
        let scopes = reader.scopes.clone();
        let outcome = self.apply(&scopes, holder, patch.base, patch.json, out);
        let answer = Answer::Patch {
            number: patch.number,
            outcome,
        };
        self.answer(author, answer, out);
    }

    /// Takes a patch of somebody outside of the call, who sees and may write what `scopes` say, by compare-and-set.
    pub fn patch_from_outside(
        &mut self,
        scopes: &Scopes,
        base: StateVersion,
        json: &[u8],
        out: &mut Vec<Effect>,
    ) -> PatchOutcome {
        self.apply(scopes, false, base, json, out)
    }

    /// The next thing to send to a reader; items of about `bytes_max` bytes at once, and always at least one.
    pub fn poll_send(&mut self, author: Author, bytes_max: usize) -> Option<Outgoing> {
        let reader = self.readers.get_mut(&author)?;
        match reader.pending.pop_front() {
            Some(Pending::Answer(answer)) => return Some(Outgoing::Answer(answer)),
            Some(Pending::Patch {
                base,
                version,
                patch,
            }) => {
                return Some(Outgoing::State {
                    base,
                    version,
                    json: patch.to_json(),
                });
            }
            Some(Pending::View) => {
                reader.told = self.state.version();
                // What waits behind it is in the view.
                reader
                    .pending
                    .retain(|pending| matches!(pending, Pending::Answer(_)));
                return Some(Outgoing::State {
                    base: StateVersion(0),
                    version: reader.told,
                    json: Value::Object(self.state.view(&reader.scopes)).to_string(),
                });
            }
            None => {}
        }
        let entries = reader.feed.as_ref()?.log().entries();
        let start = usize::try_from(reader.sent.0).ok()?;
        let mut bytes = 0;
        let mut items = Vec::new();
        for entry in entries.get(start..)? {
            bytes += entry.item().bytes();
            if bytes > bytes_max && !items.is_empty() {
                break;
            }
            items.push((entry.position(), entry.item().clone()));
        }
        reader.sent = items.last()?.0;
        Some(Outgoing::Items(items))
    }

    /// Whether there is something to send to a reader.
    pub fn has_to_send(&self, author: Author) -> bool {
        self.readers.get(&author).is_some_and(|reader| {
            let head = reader.feed.as_ref().map(|feed| feed.log().head().position);
            !reader.pending.is_empty() || head.is_some_and(|head| head > reader.sent)
        })
    }

    fn is_summing(&self, author: Author) -> bool {
        let summing = self.summing.as_ref();
        summing.is_some_and(|one| one.author == author && one.made.is_none())
    }

    /// Gives an instance that has none the conversation, with the summary if there is one.
    fn begin_feed(&mut self, author: Author) {
        let Some(reader) = self.readers.get_mut(&author) else {
            return;
        };
        let Some(plan) = reader.awaits.take() else {
            return;
        };
        let summing = self.summing.take_if(|one| one.author == author);
        let start = summing.as_ref().map(|summing| summing.start);
        let start = start.unwrap_or(self.log.head().position);
        let summary = summing.and_then(|summing| summing.made).flatten();
        let mut feed = Feed::since(plan, Some(author), &self.log, start, summary.as_ref());
        feed.pump(&self.log);
        reader.feed = Some(feed);
    }

    fn apply(
        &mut self,
        scopes: &Scopes,
        holder: bool,
        base: StateVersion,
        json: &[u8],
        out: &mut Vec<Effect>,
    ) -> PatchOutcome {
        let patch = match Patch::parse(json, &self.limits.state) {
            Ok(patch) => patch,
            Err(error) => {
                return PatchOutcome::Denied {
                    path: String::new(),
                    reason: error.to_string(),
                };
            }
        };
        match self.state.apply(Writer { scopes, holder }, base, patch) {
            Ok(Outcome::Unchanged(version)) => PatchOutcome::Accepted(version),
            Ok(Outcome::Changed(change)) => {
                let version = change.version();
                for reader in self.readers.values_mut() {
                    if let Some(seen) = change.seen_by(&reader.scopes) {
                        reader.changed(version, seen);
                    }
                }
                out.push(Effect::Journal(Record::Patch {
                    version,
                    patch: change.patch().clone(),
                }));
                PatchOutcome::Accepted(version)
            }
            Err(error) => refusal(error),
        }
    }

    fn write(
        &mut self,
        author: Author,
        epoch: u64,
        incoming: Incoming,
        out: &mut Vec<Effect>,
    ) -> Result<ItemId, ItemRefusal> {
        let Incoming {
            id,
            chat_item,
            native,
        } = incoming;
        let item = Item::parse(&id, &chat_item, native, self.limits.log.item_bytes_max)?;
        match self.log.current(item.id()) {
            // Said again after a reconnect.
            Some(current) if *current.item() == item => return Ok(item.id().clone()),
            Some(current) if current.author() == Some(author) => {}
            Some(_) => return Err(ItemRefusal::NotOwn),
            None if self.answers_own_call(author, &item) => {}
            None if self.was_saying(author, &item) => {}
            None => self.may_add(author, epoch)?,
        }
        let id = item.id().clone();
        self.write_as(Some(author), item, out)?;
        Ok(id)
    }

    fn may_add(&self, author: Author, epoch: u64) -> Result<(), ItemRefusal> {
        match &self.holder {
            Some(holder)
                if holder.author == author && (holder.since..=holder.epoch).contains(&epoch) =>
            {
                Ok(())
            }
            Some(holder) if holder.author == author => Err(ItemRefusal::StaleEpoch {
                got: epoch,
                current: holder.epoch,
            }),
            Some(_) | None => Err(ItemRefusal::NotHolder),
        }
    }

    /// Whether the item is what was said by, or to, one that has just given the baton away.
    fn was_saying(&self, author: Author, item: &Item) -> bool {
        let said = matches!(
            item.kind(),
            Kind::Message {
                role: Role::Assistant | Role::User
            }
        );
        said && self.leaving == Some(author)
    }

    /// Whether the item is the result of a tool call that runs and is the author's own.
    fn answers_own_call(&self, author: Author, item: &Item) -> bool {
        let Kind::Output { call } = item.kind() else {
            return false;
        };
        self.log.in_flight().into_iter().any(|entry| {
            let same =
                matches!(entry.item().kind(), Kind::Call { call: running, .. } if running == call);
            same && entry.author() == Some(author)
        })
    }

    /// An item of Baton's own. Its bounds are those of everybody; one that finds no room is left out.
    fn write_own(&mut self, item: Item, out: &mut Vec<Effect>) {
        let _ = self.write_as(None, item, out);
    }

    fn write_as(
        &mut self,
        author: Option<Author>,
        item: Item,
        out: &mut Vec<Effect>,
    ) -> Result<(), AppendError> {
        match self.log.append(item.clone(), author)? {
            Appended::Added(position) | Appended::Replaced(position) => {
                out.push(Effect::Journal(Record::Item {
                    position,
                    author,
                    item,
                }));
            }
            Appended::Known => {}
        }
        Ok(())
    }

    /// The running calls whose result is not to be had any more.
    fn doomed(&self, tools: &ToolPolicies, except: &[String]) -> Vec<RunningCall> {
        let running = tools.sort(&self.log);
        let all = running.wait.into_iter().chain(running.cancel);
        let adopted = running.adopt.into_iter();
        let asks = |call: &RunningCall| except.iter().any(|one| one == call.call.as_str());
        let unattended = adopted.filter(|call| !self.is_attended(call));
        all.filter(|call| !asks(call) || !self.is_attended(call))
            .chain(unattended)
            .collect()
    }

    /// Whether whoever made a call is still there to have its result.
    fn is_attended(&self, call: &RunningCall) -> bool {
        let author = self.log.entry(call.place).and_then(|entry| entry.author());
        author.is_some_and(|author| self.readers.contains_key(&author))
    }

    /// Passes on what is new to whom it is for.
    fn pump(&mut self) {
        for reader in self.readers.values_mut().filter(|reader| reader.live) {
            if let Some(feed) = &mut reader.feed {
                feed.pump(&self.log);
            }
        }
    }

    fn answer(&mut self, author: Author, answer: Answer, out: &mut Vec<Effect>) {
        let Some(reader) = self.readers.get_mut(&author) else {
            return;
        };
        // Answers to items in a row are one answer.
        if let (
            Some(Pending::Answer(Answer::Items { kept, refused })),
            Answer::Items {
                kept: more_kept,
                refused: more_refused,
            },
        ) = (reader.pending.back_mut(), &answer)
            && kept.len() + refused.len() < PENDING_MAX
        {
            kept.extend(more_kept.iter().cloned());
            refused.extend(more_refused.iter().cloned());
            return;
        }
        if reader.pending.len() >= PENDING_MAX {
            out.push(Effect::Overrun(author));
            return;
        }
        reader.pending.push_back(Pending::Answer(answer));
    }
}

impl Reader {
    fn changed(&mut self, version: StateVersion, patch: Patch) {
        let is_patch = |pending: &&Pending| matches!(pending, Pending::Patch { .. });
        let viewed = self
            .pending
            .iter()
            .any(|pending| matches!(pending, Pending::View));
        if viewed {
            return;
        }
        if self.pending.iter().filter(is_patch).count() >= PENDING_PATCHES_MAX {
            self.pending
                .retain(|pending| !matches!(pending, Pending::Patch { .. }));
            self.pending.push_front(Pending::View);
            return;
        }
        let base = std::mem::replace(&mut self.told, version);
        self.pending.push_back(Pending::Patch {
            base,
            version,
            patch,
        });
    }
}

fn refusal(error: PatchError) -> PatchOutcome {
    let reason = error.to_string();
    match error {
        PatchError::Conflict {
            base: _,
            version,
            current,
        } => PatchOutcome::Conflict { version, current },
        PatchError::Denied { path } => PatchOutcome::Denied { path, reason },
        PatchError::Invalid(violation) => PatchOutcome::Denied {
            path: violation.path,
            reason,
        },
        PatchError::AheadOfState { .. } | PatchError::TooLarge { .. } => PatchOutcome::Denied {
            path: String::new(),
            reason,
        },
    }
}
