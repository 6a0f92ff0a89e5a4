//! The state machine of one call: who holds the baton, and how it moves. This page is the specification of a handoff.
//!
//! Pure: no clock, no I/O, no randomness. [`Call::handle_event`] and [`Call::handle_timeout`] take the time and push
//! [`Command`]s into the caller's vector; [`Call::poll_timeout`] says when to come back. Nothing is queued between two
//! calls, no event makes it fail, and after [`Command::Ended`] it is inert.
//!
//! # The baton
//!
//! At most one specialist has the baton: it alone may answer, write and hand off. Each grant starts an [`Epoch`], one
//! more than the last; an epoch is never used twice, and no command carries an older one than a command before it.
//!
//! # Phases
//!
//! | phase | what happens | on | goes to |
//! |---|---|---|---|
//! | `Idle` | nobody has the baton, the call holds | `Timer::Hold`, `Timer::Held`, or a request by an operator | `Preparing`, or the end |
//! | `Preparing` | the target is dispatched if absent, joins, says Hello, gets Prepare; the holder goes on as before | `Ready` | `Ready` |
//! | | | refusal, loss, `Timer::Join`, `Hello`, `Ready`, `Return` of the target | `Active` with the old holder, else the next fallback |
//! | `Ready` | what the switch needs is awaited, see below | nothing of it is left | `Switching` |
//! | | | the target reconnects | `Preparing` |
//! | | | loss of the target | as in `Preparing` |
//! | `Switching`, await sound | the epoch is raised, the new one admitted and granted; the old one is still heard | `FirstFrame`; `Granted` if there is no old one or the opening is to wait; `Timer::Switch` if the grant was taken | fade, or `Active` if there is no old one |
//! | | | loss of the new one, `Timer::Switch` if the grant was not taken | `Active` with the old one in a new epoch; from nobody, the next fallback |
//! | | | loss of the old one | goes on alone |
//! | `Switching`, fading | both are heard | `FadeDone`, `Timer::Fade`, loss of the old one | `Active` with the new one; the old one is dropped and revoked |
//! | | | loss of the new one, `Timer::Grant` | `Active` with the old one in a new epoch |
//! | `Active` | one has the baton | a request | `Preparing` |
//! | | | the holder's loss, `Timer::Grant` | the next fallback |
//!
//! The call's start is a handoff from nobody to the entry specialist, and so is the attempt of a fallback. Where an
//! [`EntryRule`] may decide who that is, the call is `Idle` until the caller is known and what is known of it elsewhere has
//! come, `Timer::Entry` at the latest; the choice is a fact, so another process answers the call alike. In every
//! phase `Stop`, `RoomClosed`, `TakenOver` and the caller's loss end the call.
//!
//! # What a ready target waits for
//!
//! Four steps, each begun when nothing of the one before is open. Everything in them has a bound of its own, and a wait
//! that is over by its bound is over like any other.
//!
//! | step | what is awaited | until | bound |
//! |---|---|---|---|
//! | work | from nobody: a caller that hears | the caller hears | `Timer::CallerListen` |
//! | | the summary that the route wants for the target, made since the handoff began | `SummarySettled` | `Timer::Summary`, since then |
//! | | the holder's tools, if the route waits for any | `ToolsSettled`, the holder away or lost | `Timer::Tools` |
//! | moment | a splice point in the holder's speech, or the caller's | `SpliceReached`, the holder away or lost | `Timer::Splice` |
//! | announcement | the end of a prepared sound, see below | `Announced` | `Timer::Announcement`, since it began |
//! | tail | the target has applied all of the conversation | `TailApplied` | `Timer::Tail` |
//! | | the grant's record, made with the first step, is durable | `JournalSettled` | `Timer::Journal` |
//!
//! Whoever makes the summary, it takes nothing from the caller's time as long as it takes no longer than the target needs to get
//! ready. Without one in time the target gets what its route says in its place ([`Command::ForgoSummary`]).
//!
//! `Ready` itself counts only from a target that has applied the conversation up to where it was when it was prepared;
//! so the tail is what has been said since.
//!
//! # A request
//!
//! Only the holder in its own epoch, an operator or a rule may ask; anything else is a [`Command::Reject`]. A request
//! that may be made is answered by exactly one [`Command::HandoffResult`]: refused ([`RefuseReason`]: another is under
//! way, no such target, no route, ...), failed ([`FailReason`]; the baton is where it was) or done.
//!
//! A route may have a condition, a [`Condition`] over what the shell has told of the caller, the state and the clock:
//! a route whose condition does not hold is passed over, and one that has no answer refuses the request.
//!
//! A route may name others to be tried in the place of its target ([`Route::fallback`]). Whatever fails before the switch, or in it
//! with the old holder still there, then goes on to the next of them: for the asker it is the same request, and the holder has the
//! baton all the while. Only when all have failed is the request answered as failed.
//!
//! A [`Rule`] asks without being asked: for a key, a silence, a change of the state, too long a time, failed handoffs.
//! It needs no route; where one fits, it says how the baton moves. Rules are looked at only while the call is
//! `Active`; a key that is pressed in a switch waits for its end.
//!
//! A request may come with a task, for which the baton is to come back with a result; what becomes of such a delegation is
//! specified with [`Delegation`], in its module.
//!
//! # One specialist
//!
//! [`Stage`] tells its life. It is bound to its dispatch by a ticket, which the shell checks; nobody else is heard. What
//! settles after a switch is the old holder alone: it has `revoke_timeout_ms` to say Released, then leaves, parks or
//! stays as configured; if it keeps silent it is removed. The call is `Active` meanwhile, and the next handoff, even
//! back to that specialist, need not wait for it.
//!
//! A *full reconnect* is a leave and a return under the same identity within `specialist_return_ms`, Hello included.
//! A holder that leaves is silenced at once and does not hear the caller; it stays the holder by name, so that nobody
//! else gets the baton, and when it says Hello again it is granted a new epoch. What it had under way in the old one is
//! stale. A target is prepared again and keeps its first deadline. In a switch nobody is waited for.
//!
//! A grant that was renewed, or that was followed by sound before it was taken, must be taken within
//! `switch_timeout_ms`; otherwise the holder is lost. So a participant that sounds but does not answer cannot keep it.
//!
//! One may be dispatched before anybody asks for it: at the start ([`Lifetime::Resident`]), or when a handoff to it has become likely
//! ([`Lifetime::Prewarmed`]). It waits then; one that is no longer likely to be needed rests as after a handoff.
//!
//! # A silent holder
//!
//! A process that is killed says no farewell. Its packets stop, those of silence too, and its participant stays in the room
//! for as long as the server waits. So a holder of which nothing has come for `holder_quiet_ms`, no packet of its tracks and
//! no frame, is asked for a sign of life ([`Command::AskHolder`]), and is lost after `holder_answer_ms` more:
//!
//! | what comes meanwhile | what it means | then |
//! |---|---|---|
//! | a packet or a frame of it, be it an ack | it lives: its program is stalled, or says nothing | the doubt is over; it may be asked anew |
//! | its leave | it reconnects, or its end is seen | as above: it is away, and waited for |
//! | nothing of it, though something from the server | it is dead, or its network is | it is lost, and removed, so that it cannot come back as if nothing had been |
//! | nothing, not even from the server | Baton's own network is broken | it is asked anew when its silence is told again: a broken Baton loses nobody |
//! | Baton's own connection is restored | the same, and known | the doubt is over |
//!
//! A network that breaks and comes back sooner than that costs its holder nothing. One that is away for longer costs it the
//! baton, since the caller has heard nobody for all that time.
//!
//! # When nobody has the baton
//!
//! The fallbacks are tried in their order, each specialist once a round: those that rules name for it, those of the route by which
//! the lost one came, then those of the configuration, by default another instance of the lost one, the previous holder, the
//! entry specialist. When all have failed the call holds for `hold_ms` and tries again, at most
//! `hold_rounds_max` times; then it ends. So does a call that loses more than `losses_max` holders.
//!
//! An operator may put the caller on hold while the call is `Active`: the epoch is raised, the holder revoked and kept, and
//! nobody has the baton until the operator resumes, hands over, or `Timer::Held` has whoever had it go on. That the
//! caller then hears the filler is no dead air. A hold does not outlive its process: then it is over.
//!
//! # A person
//!
//! A person ([`SpecialistKind::Human`]) is a target like any other, whose Ready is its acceptance of the call:
//!
//! | what | of a specialist | of a person |
//! |---|---|---|
//! | until it has joined, said Hello and is ready | `join_timeout_ms`, `hello_timeout_ms`, `ready_timeout_ms` | `accept_timeout_ms` for all of it |
//! | the holder meanwhile | talks with the caller | until a splice point; then it is put aside, and the caller is on hold |
//! | the target refuses, leaves, cannot be had, is too late | a [`FailReason`] of each | [`FailReason::NoAnswer`], with what happened ([`NoAnswer`]) |
//! | then, and if nobody whom the route names in its place takes over, the baton | is with the holder still | goes back to the one that was put aside, before any fallback of the configuration |
//! | the switch is complete with | its first frame, or its grant | its grant: nobody has to speak first |
//! | it is lost as the holder | another instance may be tried | it is not rung again; the other fallbacks are tried |
//! | it gives the baton back | by a request, where a route leads | by a sign ([`Event::HandedBack`]), to whoever had it before |
//!
//! An operator may answer in its place ([`Event::PersonAnswered`]), and give the baton back for it ([`Event::HandBackRequested`]):
//!
//! | the person | accept | decline | hand back |
//! |---|---|---|---|
//! | is rung, and not there | [`SteerRefusal::NotThere`] | it is rung no longer: [`NoAnswer::Declined`] | [`SteerRefusal::NoPersonHolds`] |
//! | is there, and has not answered | is ready, as by its key ([`Command::Accepted`]) | [`NoAnswer::Declined`] | [`SteerRefusal::NoPersonHolds`] |
//! | has accepted, or has the baton | [`SteerRefusal::AlreadyAccepted`] | [`SteerRefusal::AlreadyAccepted`] | as by its key, once it has the baton |
//! | nobody is rung | [`SteerRefusal::NobodyRung`] | [`SteerRefusal::NobodyRung`] | [`SteerRefusal::NoPersonHolds`] |
//!
//! Whoever is put aside is revoked, and kept whatever its configuration says, until the person has the baton or it has it again
//! itself, to go on where it was.
//!
//! # A SIP address
//!
//! A SIP address ([`SpecialistKind::Sip`]) is a target to which the call leaves: the caller's phone is asked to call it, by
//! SIP's REFER. Nobody is dispatched, and nothing is prepared.
//!
//! | what | then |
//! |---|---|
//! | a handoff to it begins | the holder is put aside at a splice point, as for a person, and what the route announces is heard |
//! | the caller hears, and nothing is announced any more | [`Command::Transfer`], once; an unanswered phone is answered before |
//! | the phone was answered there ([`Event::Transferred`]) | the asker is told, and the call ends: [`EndReason::Transferred`] |
//! | the address is busy, declines, does not answer, cannot be had ([`Event::Unanswered`]) | as if a person had not answered, each with its [`NoAnswer`] |
//! | no word within `answer_timeout_ms` and a little more (`Timer::Join`) | [`NoAnswer::TimedOut`] |
//! | the caller is on no phone | [`NoAnswer::NoPhone`], before anybody is put aside if that is known |
//! | the caller leaves before the word comes | that is waited for as long as for a caller that may return |
//! | the process is killed meanwhile | nobody knows whether the phone was asked: it is not asked again, and `Timer::Join` decides |
//!
//! # Prepared sounds
//!
//! The caller hears each [`Clip`] alone: it begins when nobody has the baton, and nobody is granted the baton while it is heard.
//!
//! | which | begins | and then |
//! |---|---|---|
//! | that of a route ([`Route::announces`]) | at a splice point, when the holder is put aside as for a person, whether or not the target is ready | the target is granted, or whoever takes its place; if nobody does, the one that was put aside |
//! | that of the opening ([`CallConfig::opening_clip`]) | with the caller's first moment of hearing, unless its phone rang until somebody was ready | the entry specialist is granted |
//! | that of a call for which there is no place ([`Call::turn_away`]) | with the same moment | the call ends ([`EndReason::Full`]) |
//!
//! A handoff that fails before its splice point is not heard of. A sound is heard once for a request, whoever is tried.
//!
//! # The caller
//!
//! The first SIP participant, else the first STANDARD one, pinned by identity: see the table.
//!
//! | who joins | no caller yet | caller is there | caller is away |
//! |---|---|---|---|
//! | SIP | is the caller | only in the place of a STANDARD one before the first grant | the same, or if it is the pinned one: back |
//! | STANDARD | is the caller | nobody | if it is the pinned one: back |
//! | AGENT, others | nobody | nobody | nobody |
//!
//! A caller that left for good ends the call at once; another may return within `caller_return_ms`.
//!
//! A phone may ring until somebody is ready ([`Answer::EntryReady`]), `Timer::Ring` at the latest: until then the program
//! track is closed to it, and it is not waited for to hear.
//!
//! # Digits
//!
//! A key that somebody else than the pinned caller presses is counted and ignored. The holder gets each digit, with its
//! number in the call; one that was not taken for certain is given again to whoever is granted next, so that a digit
//! pressed through a switch, or while nobody holds, is not lost. A specialist takes each number once.
//!
//! # The gates
//!
//! The mixer plays what was admitted: the holder, and in a switch the old one beside it; nothing else, never three. The
//! caller is heard by the holder and by a target that has said Hello, and by nobody who is away, parked or being
//! switched from. That is said on each change and again whenever somebody joins, publishes or reconnects. Whoever
//! misbehaves is shut and counted; a specialist is also removed, which is a loss like any other.
//!
//! # In another process
//!
//! What outlives a process is the call's [`Memory`]: a fold of its facts, so whoever keeps those can have it again.
//! [`Call::resume`] goes on from there, in a newer epoch. Everybody counts as away and is waited for as after a broken
//! connection: the caller `caller_return_ms`, each specialist `specialist_return_ms`, Hello included. The holder is still
//! the holder, and is granted a new epoch when it is back; anybody else who may think that it has the baton is revoked.
//!
//! | the handoff under way | goes on |
//! |---|---|
//! | `Preparing`, `Ready` | with the same number and target, which is prepared again |
//! | `Switching` | as one that is done: the new one is the holder, the old one rests |
//! | none, and nobody has the baton | with the next fallback |
//!
//! Delegations stay open, each with all of its time.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! |---|---|---|
//! | specialists dispatched and not gone | `instances_max` | the handoff fails |
//! | handoffs on request | `handoffs_max` | refused |
//! | handoffs to one specialist, but for an operator's | its own `handoffs_max` | refused |
//! | calls that a specialist is in, of those that the shell counts | its own `calls_max` | the handoff fails |
//! | a prepared sound | [`CLIP_MS_MAX`] | it is waited for no longer |
//! | specialists that a route names in its target's place | [`ROUTE_FALLBACKS_MAX`] | cannot be configured |
//! | lost holders | `losses_max` | the call ends |
//! | rounds of fallbacks | `hold_rounds_max` | the call ends |
//! | participants shut | [`SHUT_MAX`] | removed instead |
//! | a peer's text | [`TEXT_CHARS_MAX`] characters | cut off |
//! | targets that a specialist is told of | [`TARGETS_MAX`] | not told |
//! | digits that wait for a holder | 32 | the oldest are forgotten |
//! | sources in the mixer | 2 | cannot be built |
//! | delegations in each other | [`DELEGATIONS_MAX`] | refused |
//! | a task or a result of one | [`PAYLOAD_BYTES_MAX`] bytes | refused |

mod announce;
mod call;
mod caller;
mod command;
mod config;
mod delegation;
mod digits;
mod entry;
mod event;
mod gates;
mod handoff;
mod hold;
mod human;
mod ids;
mod known;
mod life;
mod loss;
mod memory;
mod near;
mod outcome;
mod phase;
mod plan;
mod prewarm;
mod ready;
mod recovery;
mod request;
mod resume;
mod roster;
mod silence;
mod snapshot;
mod switch;
mod targets;
mod timer;
mod transfer;
mod triggers;

pub use announce::Clip;
pub use call::Call;
pub use command::{Command, Fact};
pub use config::{
    After, Answer, CLIP_MS_MAX, CallConfig, Canary, ENTRY_RULES_MAX, EntryRule, FADE_MS_MAX,
    Fallback, Lifetime, Limits, Names, Opening, ROUTE_FALLBACKS_MAX, ROUTES_MAX, RULES_MAX, Rest,
    Route, RouteNumber, Rule, SPECIALISTS_MAX, SpecialistConfig, SpecialistKind, Splice,
    TIMER_MS_MAX, Timers, Trigger,
};
pub use delegation::{DELEGATIONS_MAX, Delegating, Delegation, Errand, PAYLOAD_BYTES_MAX, Payload};
pub use event::{
    Asker, Departure, Event, HandoffRequest, Misbehaviour, ParticipantKind, PersonAnswer, Target,
};
pub use ids::{
    AgentName, CallId, Digit, DispatchId, Epoch, HandoffId, Identity, RequestId, SpecialistName,
    Ticket,
};
pub use memory::{Memory, RememberedCaller, RememberedHandoff, RememberedSpecialist};
pub use outcome::{
    DelegationFailure, EndReason, FailReason, LossReason, NoAnswer, Outcome, PayloadError,
    RefuseReason, RejectReason, RemoveReason, SteerRefusal,
};
pub use phase::{Cause, Handoff, Hold, Holder, IdleWait, Phase, PhaseName, SwitchStep};
pub use plan::{ConfigError, Plan};
pub use ready::{Awaited, ReadyStep, ReadyWait};
pub use rules::{
    CallerFacts, Condition, ConditionError, EvaluationError, Facts, LocalTime, sample,
};
pub use snapshot::{CallerView, Counts, Snapshot, SpecialistView, Stage, WasAt};
pub use targets::{DESCRIPTION_BYTES_MAX, NamedTarget, TARGETS_MAX, Targets};
pub use timer::Timer;

/// The longest text taken from a peer, in characters; the rest is cut off.
pub const TEXT_CHARS_MAX: usize = 512;

/// How many participants the caller is kept from at most; one more is removed instead.
pub const SHUT_MAX: usize = 64;
