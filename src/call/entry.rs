//! Who takes the call, and when its phone is answered.
//!
//! Where one specialist takes every call it is dispatched at once, while the caller may still be on its way. Entry rules
//! want to know the caller first: they are looked at when its attributes are there and what is known of it elsewhere has
//! been told, or has taken too long. What they choose holds for the whole call, in every process that runs it.

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::caller::{Caller, Hears};
use crate::command::{Command, Fact};
use crate::config::{Answer, EntryRule, Opening};
use crate::event::ParticipantKind;
use crate::handoff::Asked;
use crate::ids::{CallId, SpecialistName};
use crate::phase::{Cause, Phase};
use crate::plan::Plan;
use crate::recovery::Recovery;
use crate::timer::Timer;

/// The longest wait for the attributes of a caller that is there, in milliseconds; they come with it.
const FACTS_WAIT_MS: u64 = 1_000;

/// Whether it is known who takes the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// There is no caller yet, whose timer bounds this.
    Caller,
    /// What is known of the caller has yet to be told.
    Facts { until: Instant },
    /// What is known of the caller elsewhere has yet to be told.
    State { until: Instant },
    /// The configuration alone says who.
    Fixed,
    /// The entry rules have decided.
    Chosen(SpecialistName),
}

/// Whether the phone is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// It rings, if there is a caller.
    Rings { until: Option<Instant> },
    /// It is.
    Answered,
}

impl Entry {
    pub(crate) fn new(plan: &Plan) -> Self {
        match plan.entry_depends() {
            false => Self::Fixed,
            true => Self::Caller,
        }
    }

    /// The same where a former process has seen the caller, who has to come back first.
    pub(crate) fn resumed(plan: &Plan, caller_seen: bool, turn: &Turn<'_>) -> Self {
        match Self::new(plan) {
            Self::Caller if caller_seen => Self::Facts {
                until: turn.after(plan.timers().caller_return_ms + FACTS_WAIT_MS),
            },
            entry => entry,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Facts { until } | Self::State { until } => Some((*until, Timer::Entry)),
            Self::Caller | Self::Fixed | Self::Chosen(_) => None,
        }
    }

    /// Whether it is known.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Fixed | Self::Chosen(_) => true,
            Self::Caller | Self::Facts { .. } | Self::State { .. } => false,
        }
    }
}

impl Ring {
    pub(crate) fn new(answer: Answer) -> Self {
        match answer {
            Answer::AtOnce => Self::Answered,
            Answer::EntryReady { .. } => Self::Rings { until: None },
        }
    }

    pub(crate) fn poll_timeout(self) -> Option<(Instant, Timer)> {
        match self {
            Self::Rings { until } => Some((until?, Timer::Ring)),
            Self::Answered => None,
        }
    }
}

impl Call {
    /// Who takes the call, as far as that is known.
    pub(crate) fn entry(&self) -> &SpecialistName {
        match &self.entry {
            Entry::Chosen(name) => name,
            Entry::Caller | Entry::Facts { .. } | Entry::State { .. } | Entry::Fixed => {
                &self.plan.config().entry
            }
        }
    }

    /// Begins the entry's handoff, which is one like any other, from nobody.
    pub(crate) fn enter_call(&mut self, turn: &mut Turn<'_>) {
        let entry = self.entry().clone();
        self.recovery = Recovery::new(entry.clone());
        let route = Self::unrouted(Opening::Greet);
        let (reason, asked) = ("entry".to_owned(), Asked::default());
        self.begin(turn, None, Cause::Entry, entry, reason, route, asked);
    }

    /// The caller is pinned: its phone rings from now on, and what is known of it is about to be told.
    pub(crate) fn entry_caller_pinned(&mut self, turn: &mut Turn<'_>, kind: ParticipantKind) {
        match self.entry {
            Entry::Caller | Entry::Facts { .. } | Entry::State { .. } => {
                let until = turn.after(FACTS_WAIT_MS);
                self.entry = Entry::Facts { until };
            }
            Entry::Fixed | Entry::Chosen(_) => {}
        }
        let (Ring::Rings { .. }, Answer::EntryReady { ring_max_ms }) =
            (self.ring, self.plan.config().answer)
        else {
            return;
        };
        match kind {
            ParticipantKind::Sip => {
                let until = Some(turn.after(ring_max_ms));
                self.ring = Ring::Rings { until };
            }
            ParticipantKind::Standard | ParticipantKind::Agent | ParticipantKind::Other => {
                self.answer_phone(turn);
            }
        }
    }

    /// What is known of the caller was told.
    pub(crate) fn entry_caller_known(&mut self, turn: &mut Turn<'_>) {
        let Entry::Facts { .. } = self.entry else {
            return;
        };
        match self.plan.config().entry_state_ms {
            None => self.choose_entry(turn),
            Some(wait_ms) => {
                let until = turn.after(wait_ms);
                self.entry = Entry::State { until };
                turn.push(Command::AskEntryState);
            }
        }
    }

    /// What is known of the caller elsewhere was told, or cannot be.
    pub(crate) fn entry_state_settled(&mut self, turn: &mut Turn<'_>) {
        if let Entry::State { .. } = self.entry {
            self.choose_entry(turn);
        }
    }

    /// Looks at the entry rules with what is known by now.
    pub(crate) fn choose_entry(&mut self, turn: &mut Turn<'_>) {
        let plan = self.plan.clone();
        let config = plan.config();
        let mut unanswered = 0;
        let mut fits = |(number, rule): &(usize, &EntryRule)| {
            let EntryRule {
                when,
                share_percent,
                to,
            } = rule;
            if !takes_share(&self.id, &number.to_string(), *share_percent) {
                return false;
            }
            let Some(condition) = when else { return true };
            let facts = self.facts(turn.now, None, to, "entry");
            condition.evaluate(&facts).unwrap_or_else(|_| {
                unanswered += 1;
                false
            })
        };
        let mut rules = config.entry_rules.iter().enumerate();
        let chosen = rules.find(|rule| fits(rule));
        let specialist = chosen.map_or(&config.entry, |(_, rule)| &rule.to).clone();
        self.counts.conditions_failed += u64::from(unanswered);
        turn.record(Fact::EntryChosen {
            specialist: specialist.clone(),
            rule: chosen.map(|(number, _)| number),
            unanswered,
        });
        self.entry = Entry::Chosen(specialist);
        if self.last.is_none() && matches!(self.phase, Phase::Idle { .. }) {
            self.enter_call(turn);
        }
    }

    /// Answers the phone, unless that is done. From now on the caller is expected to hear.
    pub(crate) fn answer_phone(&mut self, turn: &mut Turn<'_>) {
        if self.ring == Ring::Answered {
            return;
        }
        self.ring = Ring::Answered;
        turn.record(Fact::Answered);
        turn.push(Command::Answer);
        let listens_by = self.listens_by(turn);
        if let Caller::Present {
            hears: Hears::NotYet { until },
            ..
        } = &mut self.caller
        {
            *until = listens_by;
        }
    }

    /// Until when a caller that is there is waited for to hear: it cannot while its phone rings.
    pub(crate) fn listens_by(&self, turn: &Turn<'_>) -> Instant {
        let listen_ms = self.plan.timers().caller_listen_timeout_ms;
        match (self.ring, self.plan.config().answer) {
            (Ring::Rings { .. }, Answer::EntryReady { ring_max_ms }) => {
                turn.after(ring_max_ms.saturating_add(listen_ms))
            }
            (Ring::Rings { .. } | Ring::Answered, _) => turn.after(listen_ms),
        }
    }
}

/// Whether a call is among the `percent` in a hundred that something of this name takes. The same call always is or never
/// is, and shares of different names are independent.
pub(crate) fn takes_share(call: &CallId, name: &str, percent: u8) -> bool {
    // FNV-1a, then the finalizer of SplitMix64, since the low bits of the first are not mixed well.
    let bytes = call.as_str().bytes().chain([0]).chain(name.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) % 100 < u64::from(percent)
}
