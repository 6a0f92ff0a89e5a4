//! What one specialist gets of the conversation: first what its filter leaves of the past, then what comes.
//!
//! A feed is a log of its own, with its own positions and hashes, so that its reader can tell what it has applied
//! without knowing what was left out. A tool call goes into it only together with its result. The result that somebody else
//! gives to the reader's own call goes into it alone, whatever the window: the reader has the call already.

use std::collections::BTreeSet;

use crate::item::{Item, Kind, Role};
use crate::log::{Author, ContextLog, Entry, LogLimits, Position};
use crate::mask::{self, Mask};

/// What a specialist gets of the conversation.
#[derive(Clone, Debug)]
pub struct FilterPlan {
    /// How much of the past.
    pub window: Window,
    /// Whether the instructions of others go along: their system and developer messages, and their updates of
    /// instructions and tools.
    pub instructions: bool,
    /// What is kept from it, of past and present. They are applied in this order.
    pub masks: Vec<Mask>,
}

/// How much of the past a specialist gets. What comes after the feed was made is not past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Everything.
    All,
    /// The last so many messages, calls and results. A result whose call is older is left out.
    LastItems(usize),
    /// What came after the last handoff.
    SinceLastHandoff,
    /// What was said, and no tool calls; not later either.
    MessagesOnly,
    /// Nothing, and later nothing but handoffs.
    None,
    /// A summary, then the last so many items.
    Summary {
        /// How many items follow the summary.
        last_items: usize,
        /// What goes along if there is no summary.
        fallback: Box<Window>,
    },
}

/// What one reader gets.
#[derive(Clone, Debug)]
pub struct Feed {
    plan: FilterPlan,
    window: Window,
    reader: Option<Author>,
    /// Where the past ends.
    start: Position,
    /// How far the log has been read.
    read: Position,
    /// The calls that were running where the past ends; their results come later.
    running: BTreeSet<Position>,
    /// The summary that came first, if there was one.
    summary: Option<Item>,
    /// What the reader itself wrote up to here it no longer has.
    forgotten: Position,
    out: ContextLog,
}

impl Default for FilterPlan {
    fn default() -> Self {
        Self {
            window: Window::All,
            instructions: false,
            masks: Vec::new(),
        }
    }
}

impl Window {
    /// The window without the summary, which is one of its own or is not there.
    fn resolved(self, summarized: bool) -> Self {
        match self {
            Self::Summary { last_items, .. } if summarized => Self::LastItems(last_items),
            Self::Summary { fallback, .. } => fallback.resolved(false),
            Self::All
            | Self::LastItems(_)
            | Self::SinceLastHandoff
            | Self::MessagesOnly
            | Self::None => self,
        }
    }
}

impl Feed {
    /// A feed of the conversation so far. `reader` is the instance that reads: it has its own items already. `summary`
    /// is the [summary](crate::summary) that was made for it, if it is ready and its plan asks for one.
    ///
    /// Make the feed before the handoff's own item is in the log: that one ends the past.
    pub fn new(
        plan: FilterPlan,
        reader: Option<Author>,
        log: &ContextLog,
        summary: Option<&Item>,
    ) -> Self {
        Self::since(plan, reader, log, log.head().position, summary)
    }

    /// The same with a past that ended at `start`; what has come since is taken in with the next [`Feed::pump`].
    pub fn since(
        plan: FilterPlan,
        reader: Option<Author>,
        log: &ContextLog,
        start: Position,
        summary: Option<&Item>,
    ) -> Self {
        let summary = summary.filter(|_| matches!(plan.window, Window::Summary { .. }));
        let mut feed = Self {
            window: plan.window.clone().resolved(summary.is_some()),
            plan,
            reader,
            start,
            read: start,
            running: BTreeSet::new(),
            summary: summary.cloned(),
            forgotten: Position(0),
            out: ContextLog::new(LogLimits::default()),
        };
        feed.begin(log);
        feed
    }

    /// The reader is another process now, which has nothing, not even what it wrote: the feed begins anew.
    pub fn restart(&mut self, log: &ContextLog) {
        self.forgotten = log.head().position;
        self.begin(log);
    }

    /// Passes the past on; what has come since is taken in with the next [`Feed::pump`].
    fn begin(&mut self, log: &ContextLog) {
        let start = self.start;
        let was_running = |entry: &&Entry| {
            let output = log.output_of(entry.place());
            let is_call = matches!(entry.item().kind(), Kind::Call { .. });
            is_call && output.is_none_or(|output| output.place() > start)
        };
        let past = log.conversation().filter(|entry| entry.place() <= start);
        self.running = past.filter(was_running).map(Entry::place).collect();
        self.read = start;
        // What leaves is derived entry by entry from a log that is bounded itself.
        let limits = LogLimits {
            item_bytes_max: usize::MAX,
            log_bytes_max: usize::MAX,
        };
        self.out = ContextLog::new(limits);
        let summary = self.summary.as_ref();
        if let Some(summary) = summary.and_then(|item| mask::apply(&self.plan.masks, item, None)) {
            self.send(summary);
        }
        for item in self.past(log) {
            self.send(item);
        }
    }

    /// Takes in what has come since, and gives the entries that the reader gets of it.
    pub fn pump(&mut self, log: &ContextLog) -> &[Entry] {
        let before = self.out.entries().len();
        let read = usize::try_from(self.read.0).unwrap_or(usize::MAX);
        for entry in log.entries().get(read..).unwrap_or_default() {
            self.take(log, entry);
        }
        self.read = log.head().position;
        self.out.entries().get(before..).unwrap_or_default()
    }

    /// What is new from here on goes by another plan. What the reader has, it keeps; of the new window only counts what
    /// it says of the time after the past, since the past is over.
    pub fn replan(&mut self, plan: FilterPlan) {
        self.window = plan.window.clone().resolved(true);
        self.plan = plan;
    }

    /// All that the reader gets: its positions and hashes are what it confirms.
    pub fn log(&self) -> &ContextLog {
        &self.out
    }

    /// What the window and the masks leave of the past, in its order.
    fn past(&self, log: &ContextLog) -> Vec<Item> {
        let until = self.start;
        let past = log.conversation().filter(|entry| entry.place() <= until);
        let all: Vec<&Entry> = past.collect();
        let start = match &self.window {
            Window::SinceLastHandoff => all
                .iter()
                .rposition(|entry| *entry.item().kind() == Kind::Handoff)
                .map_or(0, |index| index + 1),
            Window::None => all.len(),
            Window::All | Window::MessagesOnly | Window::LastItems(_) | Window::Summary { .. } => 0,
        };
        let wanted: Vec<(&Entry, Item)> = all[start..]
            .iter()
            .filter(|entry| !self.is_own(entry))
            .filter(|entry| self.wants(entry.item().kind()) || self.answers_own(log, entry))
            .filter(|entry| !self.running.contains(&entry.place()))
            .filter_map(|entry| Some((*entry, self.masked_past(log, entry)?)))
            .collect();
        let last = match &self.window {
            Window::LastItems(count) => last_items(&wanted, *count),
            Window::All
            | Window::SinceLastHandoff
            | Window::MessagesOnly
            | Window::None
            | Window::Summary { .. } => 0,
        };
        let wanted = &wanted[last..];
        let places: BTreeSet<Position> = wanted.iter().map(|(entry, _)| entry.place()).collect();
        wanted
            .iter()
            .filter(|(entry, _)| match entry.item().kind() {
                Kind::Call { .. } => log
                    .output_of(entry.place())
                    .is_some_and(|output| places.contains(&output.place())),
                Kind::Output { .. } => log
                    .call_of(entry.place())
                    .is_some_and(|call| self.has_made(log, call) || places.contains(&call.place())),
                Kind::Message { .. } | Kind::Handoff | Kind::ConfigUpdate => true,
            })
            .map(|(_, item)| item.clone())
            .collect()
    }

    /// The item behind the masks; nothing if it, or its other half, is dropped or missing.
    fn masked_past(&self, log: &ContextLog, entry: &Entry) -> Option<Item> {
        let half = match entry.item().kind() {
            Kind::Call { .. } => log.output_of(entry.place()),
            Kind::Output { .. } => log.call_of(entry.place()),
            Kind::Message { .. } | Kind::Handoff | Kind::ConfigUpdate => {
                return mask::apply(&self.plan.masks, entry.item(), None);
            }
        }?;
        let tool = mask::tool_of(entry.item()).or(mask::tool_of(half.item()));
        mask::apply(&self.plan.masks, half.item(), tool)?;
        mask::apply(&self.plan.masks, entry.item(), tool)
    }

    /// Passes on what a new entry of the log brings.
    fn take(&mut self, log: &ContextLog, entry: &Entry) {
        if self.is_own(entry) {
            return;
        }
        if !self.wants(entry.item().kind()) && !self.answers_own(log, entry) {
            return;
        }
        let sent = self.out.current(entry.item().id()).is_some();
        let past = entry.place() <= self.start;
        match entry.item().kind() {
            Kind::Message { .. } | Kind::ConfigUpdate | Kind::Handoff => {
                if sent {
                    self.send_again(entry, None);
                } else if !past && let Some(item) = self.masked(entry.item(), None) {
                    self.send(item);
                }
            }
            Kind::Call { tool, .. } => {
                if sent {
                    self.send_again(entry, Some(tool));
                }
            }
            Kind::Output { .. } => {
                let Some(call) = log.call_of(entry.place()) else {
                    return;
                };
                // What the call was at that time, so that the feed does not depend on when it is pumped.
                let call = log.as_of(call, entry.position());
                let tool = mask::tool_of(call.item());
                if sent {
                    self.send_again(entry, tool);
                } else if self.has_made(log, call) {
                    if let Some(output) = self.masked(entry.item(), tool) {
                        self.send(output);
                    }
                } else if self.may_start(call)
                    && let Some(call) = self.masked(call.item(), tool)
                    && let Some(output) = self.masked(entry.item(), tool)
                {
                    self.send(call);
                    self.send(output);
                }
            }
        }
    }

    /// Whether a call, whose result is here, belongs to the reader.
    fn may_start(&self, call: &Entry) -> bool {
        let after = call.place() > self.start || self.running.contains(&call.place());
        after && self.out.current(call.item().id()).is_none()
    }

    /// Whether it is the result of a call of the reader's own.
    fn answers_own(&self, log: &ContextLog, entry: &Entry) -> bool {
        let call = match entry.item().kind() {
            Kind::Output { .. } => log.call_of(entry.place()),
            Kind::Message { .. } | Kind::Call { .. } | Kind::Handoff | Kind::ConfigUpdate => None,
        };
        call.is_some_and(|call| self.has_made(log, call))
    }

    /// Whether the reader has made this call, whoever has replaced it since.
    fn has_made(&self, log: &ContextLog, call: &Entry) -> bool {
        let first = log.entry(call.place());
        first.is_some_and(|first| self.is_own(first))
    }

    fn is_own(&self, entry: &Entry) -> bool {
        let by_reader = entry.author().is_some() && entry.author() == self.reader;
        by_reader && entry.position() > self.forgotten
    }

    fn masked(&self, item: &Item, tool: Option<&str>) -> Option<Item> {
        mask::apply(&self.plan.masks, item, tool)
    }

    /// An item that the reader has is another one now. If it must not have it any more, it is blanked.
    fn send_again(&mut self, current: &Entry, tool: Option<&str>) {
        let item = self
            .masked(current.item(), tool)
            .or_else(|| mask::blank(current.item()));
        if let Some(item) = item {
            self.send(item);
        }
    }

    fn send(&mut self, item: Item) {
        // Never refused: there is no bound, and an id is of one kind in the log that it comes from. Should a
        // summary's id be taken, its place keeps what was there first.
        let _ = self.out.append(item, None);
    }

    fn wants(&self, kind: &Kind) -> bool {
        let tools = !matches!(self.window, Window::MessagesOnly | Window::None);
        match kind {
            Kind::Handoff => true,
            Kind::Message { role } => {
                let instructions = matches!(role, Role::System | Role::Developer);
                self.window != Window::None && (self.plan.instructions || !instructions)
            }
            Kind::Call { .. } | Kind::Output { .. } => tools,
            Kind::ConfigUpdate => tools && self.plan.instructions,
        }
    }
}

/// Where the last so many messages, calls and results begin.
fn last_items(wanted: &[(&Entry, Item)], count: usize) -> usize {
    let counted = wanted.iter().enumerate().rev();
    counted
        .filter(|(_, (entry, _))| match entry.item().kind() {
            Kind::Message { .. } | Kind::Call { .. } | Kind::Output { .. } => true,
            Kind::Handoff | Kind::ConfigUpdate => false,
        })
        .take(count)
        .last()
        .map_or(wanted.len(), |(index, _)| index)
}
