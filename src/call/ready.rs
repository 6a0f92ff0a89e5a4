//! A target that is ready: what is still waited for before the switch, each with a bound of its own.
//!
//! It goes in steps, and each begins when nothing of the one before is left: first what takes long and happens out of
//! the caller's sight (a caller that hears, a summary, running tools), then the moment (the splice point), then the end of the
//! conversation, which is a round trip at most and does not depend on how long the call has been. The grant is recorded
//! with the first step and must be durable with the last: as a rule it has been for long.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::config::TIMER_MS_MAX;
use crate::entry::Ring;
use crate::ids::{DispatchId, HandoffId, Identity};
use crate::outcome::RejectReason;
use crate::phase::{Handoff, Holder, Phase};
use crate::timer::Timer;

/// The longest wait for the journal, in milliseconds. It is no option: a store that needs a part of this for a record is in
/// trouble by its own measure, and says so.
const JOURNAL_WAIT_MS: u64 = 1_000;

/// What a ready target may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// A caller that hears; the caller's timers bound it.
    Caller,
    /// A summary of the conversation, which has been in the making since the handoff began.
    Summary,
    /// The results of the holder's tool calls.
    Tools,
    /// A splice point in the old voice.
    Splice,
    /// The end of a prepared sound; a timer of the call bounds it.
    Announcement,
    /// The target has applied all of the conversation.
    Tail,
    /// The record of the grant, and all that it rests on, is durable.
    Journal,
}

/// For what a ready target waits, and until when each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyWait {
    step: ReadyStep,
    open: BTreeMap<Awaited, Option<Instant>>,
}

/// How far a ready target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadyStep {
    /// What takes long.
    Work,
    /// The moment to switch.
    Moment,
    /// What the caller is to hear before.
    Announcement,
    /// The end of the conversation.
    Tail,
}

impl Awaited {
    /// What bounds it, if it is not bounded elsewhere.
    pub(crate) fn timer(self) -> Option<Timer> {
        match self {
            Self::Caller | Self::Announcement => None,
            Self::Summary => Some(Timer::Summary),
            Self::Tools => Some(Timer::Tools),
            Self::Splice => Some(Timer::Splice),
            Self::Tail => Some(Timer::Tail),
            Self::Journal => Some(Timer::Journal),
        }
    }
}

impl ReadyStep {
    fn next(self) -> Option<Self> {
        match self {
            Self::Work => Some(Self::Moment),
            Self::Moment => Some(Self::Announcement),
            Self::Announcement => Some(Self::Tail),
            Self::Tail => None,
        }
    }
}

impl ReadyWait {
    /// How far it is.
    pub fn step(&self) -> ReadyStep {
        self.step
    }

    /// What is waited for at this moment.
    pub fn awaited(&self) -> impl Iterator<Item = Awaited> {
        self.open.keys().copied()
    }

    /// Whether this is waited for at this moment.
    pub fn awaits(&self, what: Awaited) -> bool {
        self.open.contains_key(&what)
    }

    /// Until when this is waited for, if it is and has a bound.
    pub(crate) fn until(&self, what: Awaited) -> Option<Instant> {
        self.open.get(&what).copied().flatten()
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let bounded = self.open.iter();
        bounded
            .filter_map(|(what, until)| Some(((*until)?, what.timer()?)))
            .min()
    }
}

impl Call {
    /// The target is ready: enters the phase, and leaves it at once if nothing is to be waited for.
    pub(crate) fn await_switch(&mut self, turn: &mut Turn<'_>) {
        let Phase::Preparing {
            from,
            target,
            handoff,
            summary,
            hold: _,
        } = &self.phase
        else {
            return;
        };
        let summary = summary.map(|until| (Awaited::Summary, Some(until)));
        let ready = Phase::Ready {
            from: from.clone(),
            target: *target,
            handoff: handoff.clone(),
            wait: ReadyWait {
                step: ReadyStep::Work,
                open: summary.into_iter().collect(),
            },
        };
        self.enter(turn, ready);
        self.take_up(turn, ReadyStep::Work);
        self.advance(turn);
    }

    /// Something that was awaited has come; for a handoff that is not waiting for it, that is rejected.
    pub(crate) fn has_come(&mut self, turn: &mut Turn<'_>, got: HandoffId, what: Awaited) {
        if let Phase::Preparing {
            handoff,
            hold: Some(_),
            ..
        } = &self.phase
            && handoff.id == got
            && what == Awaited::Splice
        {
            return self.put_aside(turn);
        }
        let awaited = match &self.phase {
            Phase::Ready { handoff, wait, .. } => handoff.id == got && wait.awaits(what),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => false,
        };
        if !awaited {
            self.reject(turn, None, RejectReason::StaleHandoff { got });
            return;
        }
        self.await_no_longer(turn, &[what]);
    }

    /// These are waited for no longer: they have come, have taken too long, or make no sense any more.
    pub(crate) fn await_no_longer(&mut self, turn: &mut Turn<'_>, what: &[Awaited]) {
        if let Phase::Ready { wait, .. } = &mut self.phase {
            wait.open.retain(|open, _| !what.contains(open));
            self.advance(turn);
        }
    }

    /// Has a summary made for a target, if its route wants one and somebody has the baton; until when it is awaited.
    pub(crate) fn await_summary(
        &self,
        turn: &mut Turn<'_>,
        from: Option<&Holder>,
        target: DispatchId,
        handoff: &Handoff,
        wait_ms: u64,
    ) -> Option<Instant> {
        let identity = from?.identity.clone();
        let wait_ms = wait_ms.min(TIMER_MS_MAX);
        if wait_ms == 0 {
            return None;
        }
        turn.push(Command::AwaitSummary {
            identity,
            target,
            epoch: self.epoch,
            handoff: handoff.id,
            route: handoff.route,
            wait_ms,
        });
        Some(turn.after(wait_ms))
    }

    pub(crate) fn summary_settled(&mut self, turn: &mut Turn<'_>, got: HandoffId) {
        match &mut self.phase {
            Phase::Preparing {
                handoff,
                summary: summary @ Some(_),
                ..
            } if handoff.id == got => *summary = None,
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => self.has_come(turn, got, Awaited::Summary),
        }
    }

    pub(crate) fn summary_timed_out(&mut self, turn: &mut Turn<'_>) {
        let Some(handoff) = self.phase.handoff().map(|handoff| handoff.id) else {
            return;
        };
        turn.push(Command::ForgoSummary { handoff });
        if let Phase::Preparing { summary, .. } = &mut self.phase {
            *summary = None;
        }
        self.await_no_longer(turn, &[Awaited::Summary]);
    }

    /// The holder no longer sounds: neither its tools nor a splice point in its speech are waited for.
    pub(crate) fn no_holder_to_await(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        if let Phase::Ready {
            from: Some(from), ..
        } = &self.phase
            && from.dispatch == dispatch
        {
            self.await_no_longer(turn, &[Awaited::Tools, Awaited::Splice]);
        }
    }

    /// The caller hears now: an entry specialist that is ready may start.
    pub(crate) fn caller_may_hear(&mut self, turn: &mut Turn<'_>) {
        if self.caller.hears() {
            self.await_no_longer(turn, &[Awaited::Caller]);
        }
    }

    /// Goes on to the next step, and after the last one to the switch, as far as nothing is open.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        while let Phase::Ready { wait, .. } = &mut self.phase
            && wait.open.is_empty()
        {
            let Some(next) = wait.step.next() else {
                return self.start_switch(turn);
            };
            wait.step = next;
            self.take_up(turn, next);
        }
    }

    /// Opens what this step waits for.
    fn take_up(&mut self, turn: &mut Turn<'_>, step: ReadyStep) {
        let Phase::Ready {
            from,
            target,
            handoff,
            ..
        } = &self.phase
        else {
            return;
        };
        let sounding = from.as_ref().filter(|holder| self.holds(holder));
        let sounding = sounding.map(|holder| holder.identity.clone());
        let (from_nobody, target, handoff) = (from.is_none(), *target, handoff.clone());
        match step {
            ReadyStep::Work => {
                self.announce(turn, target, handoff.id);
                if from_nobody && !self.caller.hears() {
                    if self.ring != Ring::Answered {
                        // It need not be told to wait.
                        self.opening = None;
                    }
                    self.answer_phone(turn);
                    self.open(Awaited::Caller, None);
                }
                if let Some(holder) = sounding {
                    self.await_tools(turn, holder, &handoff);
                }
            }
            ReadyStep::Moment => {
                if let Some(holder) = sounding {
                    self.await_splice(turn, holder, &handoff);
                }
            }
            ReadyStep::Announcement => {
                if handoff.announces {
                    self.put_aside(turn);
                }
                if self.announcing.is_some() {
                    self.open(Awaited::Announcement, None);
                }
            }
            ReadyStep::Tail => {
                let until = turn.after(self.plan.timers().tail_timeout_ms);
                let Some(identity) = self.roster.identity(target) else {
                    return;
                };
                self.open(Awaited::Tail, Some(until));
                turn.push(Command::AwaitTail {
                    identity,
                    epoch: self.epoch,
                    handoff: handoff.id,
                });
                self.announce(turn, target, handoff.id);
                self.open(Awaited::Journal, Some(turn.after(JOURNAL_WAIT_MS)));
                turn.push(Command::AwaitJournal {
                    epoch: self.epoch,
                    handoff: handoff.id,
                });
            }
        }
    }

    /// Records the grant ahead, so that it becomes durable while the rest is awaited; anew if the epoch has moved since.
    fn announce(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId, handoff: HandoffId) {
        let epoch = self.epoch.next();
        if self.announced == epoch {
            return;
        }
        self.announced = epoch;
        turn.record(Fact::GrantAnnounced {
            dispatch,
            handoff,
            epoch,
        });
    }

    fn await_tools(&mut self, turn: &mut Turn<'_>, identity: Identity, handoff: &Handoff) {
        let wait_ms = handoff.tools_wait_ms.min(TIMER_MS_MAX);
        if wait_ms == 0 {
            return;
        }
        let asking = handoff.tool_call.clone().into_iter();
        self.open(Awaited::Tools, Some(turn.after(wait_ms)));
        turn.push(Command::AwaitTools {
            identity,
            epoch: self.epoch,
            handoff: handoff.id,
            route: handoff.route,
            except: asking.chain(self.delegating_calls()).collect(),
        });
    }

    fn await_splice(&mut self, turn: &mut Turn<'_>, identity: Identity, handoff: &Handoff) {
        let wait_ms = handoff.splice.max_wait_ms().min(TIMER_MS_MAX);
        if wait_ms == 0 {
            return;
        }
        self.open(Awaited::Splice, Some(turn.after(wait_ms)));
        turn.push(Command::WatchSplice {
            identity,
            epoch: self.epoch,
            handoff: handoff.id,
            splice: handoff.splice,
        });
    }

    fn open(&mut self, what: Awaited, until: Option<Instant>) {
        if let Phase::Ready { wait, .. } = &mut self.phase {
            wait.open.insert(what, until);
        }
    }
}
