//! What a call tells the shell to do.
//!
//! Commands are carried out in their order. Those that act on the call carry its epoch at the time, never an older one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::announce::Clip;
use crate::config::{Opening, RouteNumber, Splice};
use crate::delegation::{Delegation, Payload};
use crate::event::{Asker, Misbehaviour, ParticipantKind};
use crate::ids::{
    AgentName, Digit, DispatchId, Epoch, HandoffId, Identity, RequestId, SpecialistName,
};
use crate::outcome::{
    DelegationFailure, EndReason, FailReason, LossReason, Outcome, RefuseReason, RejectReason,
    RemoveReason, SteerRefusal,
};
use crate::phase::{Handoff, PhaseName};
use crate::targets::Targets;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Create a dispatch for this agent, with a fresh ticket in its metadata. A dispatch that is still being created
    /// when [`Command::DeleteDispatch`] or [`Command::Ended`] comes is deleted once it is there.
    Dispatch {
        /// Its number.
        dispatch: DispatchId,
        /// Who is meant.
        specialist: SpecialistName,
        /// The agent name to dispatch.
        agent_name: AgentName,
    },
    /// Delete this dispatch; said once for every [`Command::Dispatch`] unless the room is gone.
    DeleteDispatch {
        /// Which.
        dispatch: DispatchId,
    },
    /// Have the caller's phone call this address instead (SIP's REFER), and report
    /// [`Event::Transferred`](crate::Event::Transferred) or [`Event::Unanswered`](crate::Event::Unanswered). The call bounds
    /// the wait itself.
    Transfer {
        /// Its number; there is no [`Command::Dispatch`] of it, and no deletion.
        dispatch: DispatchId,
        /// Which address is meant.
        specialist: SpecialistName,
        /// Whose phone.
        caller: Identity,
        /// How long it may ring there, in milliseconds.
        answer_timeout_ms: u64,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// Answer a Hello; repeated for a repeated Hello.
    Welcome {
        /// Whom.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
        /// To whom it may hand the baton.
        targets: Targets,
    },
    /// Have a specialist prepare for a handoff; it also starts to hear the caller. After a full reconnect it is said
    /// again for the same handoff.
    Prepare {
        /// Whom.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
        /// Who holds the baton now, or was put aside for it, if anybody.
        from: Option<SpecialistName>,
        /// Why it is handed off.
        reason: String,
        /// Whether it will speak first.
        opening: Opening,
        /// By which route, if a route was asked.
        route: Option<RouteNumber>,
        /// What it is to do, if the baton is to come back with a result.
        task: Option<Payload>,
    },
    /// Have a summary of the conversation made for the target, and report
    /// [`Event::SummarySettled`](crate::Event::SummarySettled) when it has it, or what its route gives it in place of one. It is
    /// said when the handoff begins, so that it is made while the target prepares.
    AwaitSummary {
        /// The holder, whose part of the call is to be summed up.
        identity: Identity,
        /// For whom.
        target: DispatchId,
        /// The call's epoch.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
        /// By which route.
        route: Option<RouteNumber>,
        /// How long it is awaited, in milliseconds.
        wait_ms: u64,
    },
    /// The summary is awaited no longer: the target gets what its route gives it in place of one.
    ForgoSummary {
        /// For which handoff.
        handoff: HandoffId,
    },
    /// Report [`Event::ToolsSettled`](crate::Event::ToolsSettled) when no tool call of the holder runs that is to be
    /// waited for on this route. The call bounds the wait itself; what still runs at the grant is cancelled or adopted.
    AwaitTools {
        /// Whose tools.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
        /// By which route, if a route was asked.
        route: Option<RouteNumber>,
        /// The tool calls that are not waited for.
        except: Vec<String>,
    },
    /// Report [`Event::JournalSettled`](crate::Event::JournalSettled) when everything that was recorded so far is durable, or
    /// cannot be; at once where there is no journal. The call bounds the wait itself.
    AwaitJournal {
        /// The call's epoch.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
    },
    /// Report [`Event::TailApplied`](crate::Event::TailApplied) when the target has applied all of the conversation. The
    /// call bounds the wait itself.
    AwaitTail {
        /// The target.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
    },
    /// An operator has accepted for this person: what it hears of the call until it accepts ends, and it is heard as if it had
    /// done so itself.
    Accepted {
        /// Who.
        identity: Identity,
        /// The call's epoch, which the handoff will raise.
        epoch: Epoch,
        /// Which handoff.
        handoff: HandoffId,
    },
    /// Report [`Event::SpliceReached`](crate::Event::SpliceReached) when this source may be cut.
    WatchSplice {
        /// Whose utterance is to end.
        identity: Identity,
        /// The call's epoch, which the handoff will raise.
        epoch: Epoch,
        /// For which handoff.
        handoff: HandoffId,
        /// What counts as a splice point. The call bounds the wait itself.
        splice: Splice,
    },
    /// Put what is known of the caller elsewhere into the state, then report
    /// [`Event::EntryStateSettled`](crate::Event::EntryStateSettled). The call bounds the wait itself.
    AskEntryState,
    /// Answer the phone: open the program track to the caller. Said once, and only where it does not open at once.
    Answer,
    /// Have the caller hear this once, and report [`Event::Announced`](crate::Event::Announced) when it is over. The call bounds
    /// the wait itself. Nobody is admitted before that.
    Announce {
        /// What.
        clip: Clip,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// Give the baton: from here this one alone may answer, write and hand off.
    Grant {
        /// Whom.
        identity: Identity,
        /// The epoch that starts with it.
        epoch: Epoch,
        /// The handoff it completes; `None` renews a grant after a failed switch or a full reconnect.
        handoff: Option<HandoffId>,
        /// Whether it speaks first.
        opening: Opening,
        /// The tool calls that go on: those that asked for this handoff and for delegations.
        except: Vec<String>,
    },
    /// Tell the old holder that another one is granted the baton: it is heard until its Revoke, and hears the caller no
    /// longer. It comes right before that grant.
    Supersede {
        /// Whom.
        identity: Identity,
        /// The epoch that starts with the grant.
        epoch: Epoch,
    },
    /// Tell the holder of a key that the caller has pressed. It may be said again with the same number, to whoever holds
    /// then; it follows the grant.
    Dtmf {
        /// Whom.
        identity: Identity,
        /// The epoch of its grant.
        epoch: Epoch,
        /// Grows with every digit of the call, from 1.
        number: u64,
        /// Which key.
        digit: Digit,
    },
    /// Take the baton away for good: it stops sounding and says Released with this epoch.
    Revoke {
        /// Whom.
        identity: Identity,
        /// The call's epoch, newer than the one that is taken away.
        epoch: Epoch,
    },
    /// Have a specialist leave the room.
    Release {
        /// Whom.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// Remove a participant by force.
    Remove {
        /// Whom.
        identity: Identity,
        /// Why.
        reason: RemoveReason,
    },
    /// Let the mixer play this source for this epoch and report its
    /// [`Event::FirstFrame`](crate::Event::FirstFrame). Beside another admitted source it is not heard until
    /// [`Command::Fade`]; alone it is heard at once. Admitting an admitted source again moves it to the new epoch
    /// without a gap, at full level.
    Admit {
        /// Whose frames.
        identity: Identity,
        /// For which epoch.
        epoch: Epoch,
    },
    /// Crossfade and report [`Event::FadeDone`](crate::Event::FadeDone).
    Fade {
        /// Who fades out.
        from: Identity,
        /// Who fades in, also if it does not sound yet.
        to: Identity,
        /// The epoch of `to`.
        epoch: Epoch,
        /// Length in milliseconds; 0 cuts.
        ms: u32,
    },
    /// Play this source no more, at once; it ends a fade that it takes part in.
    Drop {
        /// Whose frames.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// These participants of kind AGENT may hear the caller, and no others. Said on each change, and again whenever
    /// somebody joins, publishes or reconnects: to be reconciled, never set once.
    CallerAudience {
        /// Who.
        allowed: BTreeSet<Identity>,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// The caller is to be unsubscribed from these participants' tracks; said together with
    /// [`Command::CallerAudience`] while there are any.
    Shut {
        /// Whose tracks. At most [`SHUT_MAX`](crate::SHUT_MAX).
        identities: BTreeSet<Identity>,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// Ask the holder for a sign of life, again and again for `holder_answer_ms`, and report [`Event::Heard`](crate::Event::Heard)
    /// and [`Event::ServerHeard`](crate::Event::ServerHeard).
    AskHolder {
        /// Whom.
        identity: Identity,
        /// The call's epoch.
        epoch: Epoch,
    },
    /// Tell an asker what became of its request.
    HandoffResult {
        /// Whom.
        asker: Asker,
        /// Its own number for the request.
        request: RequestId,
        /// The call's epoch.
        epoch: Epoch,
        /// What became of it.
        outcome: Outcome,
    },
    /// Tell whoever has delegated how that ended, and give the tool call that asked its output. The baton follows, if it comes
    /// back.
    DelegationResult {
        /// Whom; nobody if it is gone.
        identity: Option<Identity>,
        /// The call's epoch.
        epoch: Epoch,
        /// The handoff that began it.
        handoff: HandoffId,
        /// Its own number for the request.
        request: RequestId,
        /// The tool call.
        tool_call: Option<String>,
        /// The result, or why there is none.
        outcome: Result<Payload, DelegationFailure>,
    },
    /// Tell an operator what became of its wish, if it did not become a handoff.
    SteerResult {
        /// Its own number for the request.
        request: RequestId,
        /// The call's epoch.
        epoch: Epoch,
        /// Whether it was done.
        outcome: Result<(), SteerRefusal>,
    },
    /// An event had no place here and changed nothing. With an identity, its sender is to be told.
    Reject {
        /// The sender, if it was a specialist.
        identity: Option<Identity>,
        /// The call's epoch.
        epoch: Epoch,
        /// Why.
        reason: RejectReason,
    },
    /// For the log, the metrics, the timeline and the journal.
    Record(Fact),
    /// The call is over; no command follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// A change of the call that is worth a record. The facts of a call, in their order, are what its
/// [`Memory`](crate::Memory) is made of; they are stored, so names are never used again for something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The phase changed.
    Phase {
        /// To which.
        phase: PhaseName,
        /// In which epoch.
        epoch: Epoch,
    },
    /// This participant is the caller.
    CallerPinned {
        /// Who.
        identity: Identity,
        /// Of which kind.
        kind: ParticipantKind,
    },
    /// It is decided who takes the call.
    EntryChosen {
        /// Who.
        specialist: SpecialistName,
        /// By which entry rule, from 0; `None` if none fits.
        rule: Option<usize>,
        /// How many rules were passed over because their conditions have no answer.
        unanswered: u32,
    },
    /// The phone is answered.
    Answered,
    /// The caller hears a prepared sound.
    Announced {
        /// Which.
        clip: Clip,
    },
    /// The caller hears the program track, or is taken to.
    CallerListening,
    /// The caller is away and may come back.
    CallerAway,
    /// The caller is back.
    CallerBack,
    /// The call goes on in another process: everybody counts as away, and the epoch is a newer one.
    Resumed {
        /// The new epoch.
        epoch: Epoch,
    },
    /// A specialist was dispatched.
    Dispatched {
        /// By which dispatch.
        dispatch: DispatchId,
        /// Its name.
        specialist: SpecialistName,
    },
    /// A specialist is in the room.
    SpecialistJoined {
        /// By which dispatch.
        dispatch: DispatchId,
        /// Its name.
        specialist: SpecialistName,
        /// Its identity.
        identity: Identity,
    },
    /// A specialist's connection broke; it may come back.
    SpecialistAway {
        /// By which dispatch.
        dispatch: DispatchId,
    },
    /// A specialist is back and has said Hello.
    SpecialistBack {
        /// By which dispatch.
        dispatch: DispatchId,
    },
    /// A specialist was told to leave, or removed.
    SpecialistLeaving {
        /// By which dispatch.
        dispatch: DispatchId,
    },
    /// A specialist is no longer part of the call.
    SpecialistGone {
        /// By which dispatch.
        dispatch: DispatchId,
    },
    /// A handoff has begun.
    HandoffStarted {
        /// What is known of it.
        handoff: Handoff,
        /// From whom, if anybody has the baton.
        from: Option<SpecialistName>,
    },
    /// A handoff's target is known.
    HandoffTarget {
        /// Which handoff.
        handoff: HandoffId,
        /// The target's dispatch.
        dispatch: DispatchId,
    },
    /// A request for a handoff was refused.
    HandoffRefused {
        /// Who asked.
        asker: Asker,
        /// Why not.
        reason: RefuseReason,
    },
    /// A handoff's target is ready.
    HandoffReady {
        /// Which handoff.
        handoff: HandoffId,
    },
    /// The baton is about to be given: this is the grant's record, which must be durable before it takes effect.
    GrantAnnounced {
        /// To whom.
        dispatch: DispatchId,
        /// By which handoff.
        handoff: HandoffId,
        /// The epoch that will start.
        epoch: Epoch,
    },
    /// The baton was given, anew or again.
    Granted {
        /// By which dispatch the new holder came.
        dispatch: DispatchId,
        /// The handoff that this completes; `None` renews a grant.
        handoff: Option<HandoffId>,
        /// To whom.
        specialist: SpecialistName,
        /// Its identity.
        identity: Identity,
        /// The epoch that started.
        epoch: Epoch,
    },
    /// An operator has put the caller on hold: nobody has the baton.
    Held {
        /// By which dispatch it came that had it.
        dispatch: DispatchId,
        /// Its name.
        specialist: SpecialistName,
        /// The epoch that started with it.
        epoch: Epoch,
    },
    /// The new holder's first frame has arrived.
    FirstFrame {
        /// In which epoch.
        epoch: Epoch,
    },
    /// A handoff is complete.
    HandoffDone {
        /// Which.
        handoff: HandoffId,
        /// The epoch of its grant.
        epoch: Epoch,
    },
    /// The caller was transferred to the handoff's target, and the call is over here.
    Transferred {
        /// Which handoff.
        handoff: HandoffId,
    },
    /// A handoff has failed.
    HandoffFailed {
        /// Which.
        handoff: HandoffId,
        /// Why.
        reason: FailReason,
    },
    /// Nobody has the baton any more.
    HolderLost {
        /// Who had it.
        specialist: SpecialistName,
        /// What happened.
        reason: LossReason,
    },
    /// All fallbacks have failed; they are tried again later.
    NobodyLeft {
        /// How often that has happened since somebody had the baton.
        round: u32,
    },
    /// The baton has gone for a task, and is to come back with its result.
    DelegationBegan {
        /// What is known of it.
        delegation: Delegation,
    },
    /// A delegation is over.
    DelegationEnded {
        /// The handoff that began it.
        handoff: HandoffId,
        /// Why it has no result; `None` if it has one.
        failure: Option<DelegationFailure>,
    },
    /// The caller has heard nobody for too long.
    DeadAirBegan {
        /// In which phase.
        phase: PhaseName,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The caller hears somebody again, or nobody is awaited any more.
    DeadAirEnded {
        /// In which epoch.
        epoch: Epoch,
        /// Whether it was no dead air, only slow.
        false_start: bool,
    },
    /// A rule asks for a handoff.
    RuleFired {
        /// Its place among the rules, from 0.
        rule: usize,
    },
    /// A participant did what it must not.
    Misbehaved {
        /// Who.
        identity: Identity,
        /// What it did.
        what: Misbehaviour,
        /// How often that has happened in this call.
        count: u64,
    },
}
