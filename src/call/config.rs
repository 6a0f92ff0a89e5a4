//! What a call is told before it starts: specialists, routes, timers, fallbacks.
//!
//! [`CallConfig`] is plain data, filled in by the configuration; [`Plan`](crate::Plan) is the same after it has been checked, and
//! is shared by all calls that started under it. Defaults are here and nowhere else.

use std::collections::BTreeMap;

use rules::Condition;
use serde::{Deserialize, Serialize};

use crate::event::Target;
use crate::ids::{AgentName, Digit, SpecialistName};

/// How many specialists a call may know.
pub const SPECIALISTS_MAX: usize = 1_024;
/// How many routes a call may know.
pub const ROUTES_MAX: usize = 16_384;
/// How many rules a call may know.
pub const RULES_MAX: usize = 256;
/// How many fallbacks a route may name.
pub const ROUTE_FALLBACKS_MAX: usize = 16;
/// How many entry rules a call may know.
pub const ENTRY_RULES_MAX: usize = 1_024;
/// The longest crossfade, in milliseconds.
pub const FADE_MS_MAX: u32 = 2_000;
/// The longest that a prepared sound may be, in milliseconds; one that is not over by then is waited for no longer.
pub const CLIP_MS_MAX: u64 = 60_000;
/// The longest any timer may be set to, in milliseconds: a day.
pub const TIMER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Everything that one call needs to know, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallConfig {
    /// Who takes the call, unless an entry rule says otherwise.
    pub entry: SpecialistName,
    /// Who takes which call: the first rule that fits decides. At most [`ENTRY_RULES_MAX`].
    pub entry_rules: Vec<EntryRule>,
    /// How long what is known of the caller elsewhere is waited for before the entry rules are looked at, in milliseconds;
    /// `None` if nobody is asked.
    pub entry_state_ms: Option<u64>,
    /// When the phone is answered.
    pub answer: Answer,
    /// Whether there is a prepared sound for a caller that hears before anybody can speak; see [`Clip`](crate::Clip).
    pub opening_clip: bool,
    /// Who can hold the baton. At most [`SPECIALISTS_MAX`].
    pub specialists: BTreeMap<SpecialistName, SpecialistConfig>,
    /// Who may follow whom: the first route that matches decides. At most [`ROUTES_MAX`].
    pub routes: Vec<Route>,
    /// Handoffs that nobody asks for: the first rule that applies fires. At most [`RULES_MAX`].
    pub rules: Vec<Rule>,
    /// Whether the holder may hand back to the previous one without a route that says so.
    pub hand_back: bool,
    /// Whom to try, in this order, when nobody holds the baton any more.
    pub fallbacks: Vec<Fallback>,
    /// To whom an operator escalates.
    pub escalation: Option<SpecialistName>,
    /// How long every wait may last.
    pub timers: Timers,
    /// What is bounded by count.
    pub limits: Limits,
}

impl CallConfig {
    /// A configuration with these specialists, any route allowed and the defaults for the rest.
    pub fn new(
        entry: SpecialistName,
        specialists: impl IntoIterator<Item = (SpecialistName, SpecialistConfig)>,
    ) -> Self {
        Self {
            entry,
            entry_rules: Vec::new(),
            entry_state_ms: None,
            answer: Answer::AtOnce,
            opening_clip: false,
            specialists: specialists.into_iter().collect(),
            routes: vec![Route::default()],
            rules: Vec::new(),
            hand_back: true,
            fallbacks: vec![
                Fallback::AnotherInstance,
                Fallback::Previous,
                Fallback::Entry,
            ],
            escalation: None,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

/// Some calls, and who takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRule {
    /// What must hold of the caller, the state and the clock. A rule whose condition has no answer is passed over.
    pub when: Option<Condition>,
    /// Of the calls of which it holds, how many in a hundred it takes; which ones, the call's id decides.
    pub share_percent: u8,
    /// Who takes them.
    pub to: SpecialistName,
}

/// When the phone is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As soon as there is a call.
    AtOnce,
    /// When somebody is ready to speak. A caller that has no phone is let in at once.
    EntryReady {
        /// The longest that it rings, in milliseconds; then it is answered all the same.
        ring_max_ms: u64,
    },
}

/// A newer deployment of a specialist, which takes a share of its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The name that its workers registered under.
    pub agent_name: AgentName,
    /// Of a hundred calls, how many it takes; which ones, the call's id decides.
    pub share_percent: u8,
}

/// One specialist: how it gets into the room and what becomes of it after a handoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialistConfig {
    /// What it is.
    pub kind: SpecialistKind,
    /// The name its worker registered under.
    pub agent_name: AgentName,
    /// A newer deployment that takes a share of the calls.
    pub canary: Option<Canary>,
    /// When it is dispatched.
    pub lifetime: Lifetime,
    /// For [`Lifetime::Prewarmed`], what must hold for a handoff to it to be likely; without it, that a route to it is open.
    pub prewarm_when: Option<Condition>,
    /// What it does once it has given the baton away.
    pub after: After,
    /// How often a specialist or a rule may hand it the baton in one call; `None` for any number. See [`RefuseReason`].
    ///
    /// [`RefuseReason`]: crate::RefuseReason::TooManyTo
    pub handoffs_max: Option<u32>,
    /// In how many calls at a time it may be, of those that the shell knows of; `None` for any number. The shell counts, see
    /// [`Event::DispatchFull`](crate::Event::DispatchFull).
    pub calls_max: Option<u32>,
    /// What it is for, in a line, for operators and for specialists that may hand off to it.
    pub description: Option<String>,
}

impl SpecialistConfig {
    /// A specialist on demand that is parked for a minute after a handoff.
    pub fn new(agent_name: AgentName) -> Self {
        Self {
            kind: SpecialistKind::Baton,
            agent_name,
            canary: None,
            lifetime: Lifetime::OnDemand,
            prewarm_when: None,
            after: After::Park { park_ms: 60_000 },
            handoffs_max: None,
            calls_max: None,
            description: None,
        }
    }
}

/// What a specialist is. The core treats all alike: for one that does not speak the protocol, the shell does what an SDK would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialistKind {
    /// An agent with Baton's SDK, in the room of the call.
    Baton,
    /// An agent of LiveKit Agents that knows nothing of Baton, in a side room.
    LivekitAgent,
    /// A person, in a side room: on a phone that is dialled, or with any client of LiveKit.
    Human {
        /// How long it may take until the person has accepted the call, in milliseconds, from when it is rung.
        accept_timeout_ms: u64,
    },
    /// A SIP address that the caller's phone is to call instead: the call leaves. Nobody is dispatched.
    Sip {
        /// How long the address may take to answer, in milliseconds, from when the phone is asked to call it.
        answer_timeout_ms: u64,
    },
}

/// When a specialist is dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// At the call's start, whether it is needed or not.
    Resident,
    /// When a handoff to it becomes likely; when it no longer is, it rests as after a handoff.
    Prewarmed,
    /// When a handoff names it.
    OnDemand,
}

/// What a specialist does once it has given the baton away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It leaves the room.
    Leave,
    /// It stays for `park_ms` milliseconds, then leaves.
    Park {
        /// How long it stays, in milliseconds.
        park_ms: u64,
    },
    /// It stays until the call ends.
    Stay,
}

/// Whom to try when nobody holds the baton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// A new instance of the specialist that was lost.
    AnotherInstance,
    /// The specialist that held the baton before the lost one.
    Previous,
    /// The entry specialist.
    Entry,
    /// This specialist.
    Specialist(SpecialistName),
}

/// A permission to hand off, and how it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Holders it applies to.
    pub from: Names,
    /// Targets it applies to.
    pub to: Names,
    /// What must hold; a route whose condition does not hold is passed over.
    pub when: Option<Condition>,
    /// Where the old voice may be cut.
    pub splice: Splice,
    /// Length of the crossfade in milliseconds; 0 cuts.
    pub fade_ms: u32,
    /// Whether the new one speaks first.
    pub opening: Opening,
    /// How long a ready target waits for the holder's tools, in milliseconds; 0 does not wait.
    pub tools_wait_ms: u64,
    /// How long a summary of the conversation may take to be made, in milliseconds from the start of the handoff; 0 has none
    /// made. See [`Command::AwaitSummary`](crate::Command::AwaitSummary).
    pub summary_wait_ms: u64,
    /// Whether there is a prepared sound that the caller hears on the way: the holder is put aside for it at a splice point,
    /// and the target is granted the baton when it is over.
    pub announces: bool,
    /// Whom to try, in this order, when the target does not take the baton, and before [`CallConfig::fallbacks`] when it is lost
    /// while it has it. At most [`ROUTE_FALLBACKS_MAX`].
    pub fallback: Vec<Fallback>,
    /// When to take it, in a line, for the holder; in place of the target's own description.
    pub description: Option<String>,
}

/// A route's place among [`CallConfig::routes`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteNumber(pub usize);

impl Default for Route {
    /// Anyone to anyone.
    fn default() -> Self {
        Self {
            from: Names::Any,
            to: Names::Any,
            when: None,
            splice: Splice::default(),
            fade_ms: 120,
            opening: Opening::Continue,
            tools_wait_ms: 5_000,
            summary_wait_ms: 0,
            announces: false,
            fallback: Vec::new(),
            description: None,
        }
    }
}

/// A handoff that nobody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What sets it off.
    pub on: Trigger,
    /// Holders it applies to.
    pub from: Names,
    /// What else must hold.
    pub when: Option<Condition>,
    /// To whom the baton goes.
    pub to: Target,
    /// Why, for the one that takes over.
    pub reason: String,
}

/// What sets a rule off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The caller presses this key.
    Digit(Digit),
    /// The holder has spoken, and the caller has not answered for so long.
    CallerSilent {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// It is the holder's turn to speak, and it has not for so long.
    HolderSilent {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The holder has had the baton for so long.
    HolderFor {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// So many handoffs on request have failed since the holder has the baton.
    HandoffsFailed {
        /// How many, at least 1.
        count: u32,
    },
    /// The holder is lost: the target is tried before the fallbacks.
    HolderFailed,
    /// The rule's condition has become true; it is looked at whenever the state changes or the baton moves.
    State,
}

impl Trigger {
    /// The time after which it is set off, if time does that.
    pub(crate) fn ms(self) -> Option<u64> {
        match self {
            Self::CallerSilent { ms } | Self::HolderSilent { ms } | Self::HolderFor { ms } => {
                Some(ms)
            }
            Self::Digit(_) | Self::HandoffsFailed { .. } | Self::HolderFailed | Self::State => None,
        }
    }
}

/// Some specialists, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Every specialist.
    Any,
    /// These.
    Only(Vec<SpecialistName>),
}

impl Names {
    /// Whether `name` is among them.
    pub fn contains(&self, name: &SpecialistName) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// Where the old voice may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splice {
    /// At once.
    Now,
    /// When the old holder is at the end of an utterance, or after `max_wait_ms` milliseconds.
    EndOfUtterance {
        /// The longest wait, in milliseconds.
        max_wait_ms: u64,
        /// What becomes of what it still has to say.
        #[serde(default)]
        rest: Rest,
    },
    /// When the caller does not speak, or after `max_wait_ms` milliseconds.
    CallerSilent {
        /// The longest wait, in milliseconds.
        max_wait_ms: u64,
        /// What becomes of what the old holder still has to say.
        rest: Rest,
    },
}

/// What becomes of what the old holder still has to say at a splice point. At the end of the wait it is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It is said: the splice point is where the old holder has, by its own word, nothing more to say.
    #[default]
    Finish,
    /// It is not: any pause will do, or no pause at all where only the caller is waited for.
    Cut,
}

impl Splice {
    /// Whether the caller's silence is waited for.
    pub fn awaits_caller(self) -> bool {
        match self {
            Self::Now | Self::EndOfUtterance { .. } => false,
            Self::CallerSilent { .. } => true,
        }
    }

    /// The longest wait, in milliseconds; 0 if there is none.
    pub fn max_wait_ms(self) -> u64 {
        match self {
            Self::Now => 0,
            Self::EndOfUtterance {
                max_wait_ms,
                rest: _,
            }
            | Self::CallerSilent {
                max_wait_ms,
                rest: _,
            } => max_wait_ms,
        }
    }
}

impl Default for Splice {
    fn default() -> Self {
        Self::EndOfUtterance {
            max_wait_ms: 3_000,
            rest: Rest::Finish,
        }
    }
}

/// Whether the new holder speaks first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// It goes on where the conversation stands, and sounds by itself.
    Continue,
    /// It greets.
    Greet,
    /// It waits for the caller: its grant alone completes the switch, no first frame is awaited.
    Wait,
    /// It says this.
    Say(String),
}

/// How long every wait of a call may last, in milliseconds. Each is named by a [`Timer`](crate::Timer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// From the call's start until a caller is in the room; then the call ends.
    pub caller_join_timeout_ms: u64,
    /// From the caller's arrival until it hears the program track; then the entry specialist is granted anyway.
    pub caller_listen_timeout_ms: u64,
    /// How long a caller may be away and come back under its identity.
    pub caller_return_ms: u64,
    /// From a dispatch until its specialist is in the room.
    pub join_timeout_ms: u64,
    /// From a specialist's joining until its Hello.
    pub hello_timeout_ms: u64,
    /// From Prepare until Ready.
    pub ready_timeout_ms: u64,
    /// From the splice point until the target has applied the end of the conversation.
    pub tail_timeout_ms: u64,
    /// From the grant until the new one's first frame.
    pub switch_timeout_ms: u64,
    /// How much longer than its length a crossfade may take.
    pub fade_slack_ms: u64,
    /// From Revoke until Released; then the specialist is removed.
    pub revoke_timeout_ms: u64,
    /// From Release until the specialist has left; then it is removed.
    pub leave_timeout_ms: u64,
    /// How long a specialist may be away (a full reconnect) and come back under its identity.
    pub specialist_return_ms: u64,
    /// From the last packet or frame of a holder until it is asked whether it lives. Opus in silence, as libwebrtc sends it, says something every 200 ms.
    pub holder_quiet_ms: u64,
    /// From that question until the holder is lost.
    pub holder_answer_ms: u64,
    /// How long nobody holds the baton before the fallbacks are tried once more.
    pub hold_ms: u64,
    /// How long an operator's hold lasts before whoever had the baton goes on by itself.
    pub held_max_ms: u64,
    /// From the beginning of a delegation until its result; then it ends without, and the baton goes back.
    pub delegation_timeout_ms: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            caller_join_timeout_ms: 60_000,
            caller_listen_timeout_ms: 10_000,
            caller_return_ms: 5_000,
            join_timeout_ms: 10_000,
            hello_timeout_ms: 5_000,
            ready_timeout_ms: 10_000,
            tail_timeout_ms: 500,
            switch_timeout_ms: 2_000,
            fade_slack_ms: 500,
            revoke_timeout_ms: 1_000,
            leave_timeout_ms: 5_000,
            specialist_return_ms: 3_000,
            holder_quiet_ms: 400,
            holder_answer_ms: 500,
            hold_ms: 2_000,
            held_max_ms: 600_000,
            delegation_timeout_ms: 600_000,
        }
    }
}

impl Timers {
    /// Every timer with its name in the configuration.
    pub fn named(&self) -> [(&'static str, u64); 17] {
        let Self {
            caller_join_timeout_ms,
            caller_listen_timeout_ms,
            caller_return_ms,
            join_timeout_ms,
            hello_timeout_ms,
            ready_timeout_ms,
            tail_timeout_ms,
            switch_timeout_ms,
            fade_slack_ms,
            revoke_timeout_ms,
            leave_timeout_ms,
            specialist_return_ms,
            holder_quiet_ms,
            holder_answer_ms,
            hold_ms,
            held_max_ms,
            delegation_timeout_ms,
        } = *self;
        [
            ("caller_join_timeout_ms", caller_join_timeout_ms),
            ("caller_listen_timeout_ms", caller_listen_timeout_ms),
            ("caller_return_ms", caller_return_ms),
            ("join_timeout_ms", join_timeout_ms),
            ("hello_timeout_ms", hello_timeout_ms),
            ("ready_timeout_ms", ready_timeout_ms),
            ("tail_timeout_ms", tail_timeout_ms),
            ("switch_timeout_ms", switch_timeout_ms),
            ("fade_slack_ms", fade_slack_ms),
            ("revoke_timeout_ms", revoke_timeout_ms),
            ("leave_timeout_ms", leave_timeout_ms),
            ("specialist_return_ms", specialist_return_ms),
            ("holder_quiet_ms", holder_quiet_ms),
            ("holder_answer_ms", holder_answer_ms),
            ("hold_ms", hold_ms),
            ("held_max_ms", held_max_ms),
            ("delegation_timeout_ms", delegation_timeout_ms),
        ]
    }
}

/// What a call bounds by count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handoffs that may be started on request in one call; further requests are refused.
    pub handoffs_max: u32,
    /// Specialists dispatched and not yet gone; a handoff that needs one more fails.
    pub instances_max: usize,
    /// Holders that may be lost in one call; the next loss ends it.
    pub losses_max: u32,
    /// How often the fallbacks are tried again after all of them failed; then the call ends.
    pub hold_rounds_max: u32,
    /// How long a holder must have had the baton before it goes back to where it came from, in milliseconds, unless an
    /// operator asks; 0 for no time. So two specialists do not throw a caller to and fro.
    pub cool_down_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handoffs_max: 1_000,
            instances_max: 32,
            losses_max: 8,
            hold_rounds_max: 2,
            cool_down_ms: 0,
        }
    }
}
