//! The call itself: its state, and where each event and each timer goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::TEXT_CHARS_MAX;
use crate::announce::{Announcing, Clip};
use crate::caller::Caller;
use crate::command::{Command, Fact};
use crate::config::Opening;
use crate::delegation::Delegations;
use crate::digits::Digits;
use crate::entry::{Entry, Ring};
use crate::event::{Event, ParticipantKind};
use crate::gates::Gates;
use crate::human::Kept;
use crate::ids::{CallId, DispatchId, Epoch, HandoffId, Identity, SpecialistName};
use crate::known::Known;
use crate::outcome::{EndReason, RejectReason};
use crate::phase::{IdleWait, Phase, SwitchStep};
use crate::plan::Plan;
use crate::prewarm::Warm;
use crate::ready::Awaited;
use crate::recovery::Recovery;
use crate::roster::Roster;
use crate::snapshot::{Counts, Snapshot};
use crate::timer::Timer;
use crate::triggers::Watch;

/// One call: give it events and the time, carry out its commands.
///
/// It never fails and never panics on any event. After [`Command::Ended`] it is inert.
#[derive(Debug)]
pub struct Call {
    pub(crate) plan: Arc<Plan>,
    pub(crate) id: CallId,
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) caller: Caller,
    pub(crate) entry: Entry,
    pub(crate) ring: Ring,
    pub(crate) roster: Roster,
    pub(crate) gates: Gates,
    pub(crate) recovery: Recovery,
    pub(crate) known: Known,
    pub(crate) watch: Watch,
    /// Who holds the baton, or held it last.
    pub(crate) last: Option<SpecialistName>,
    /// Who held it before `last`.
    pub(crate) previous: Option<SpecialistName>,
    /// How often each specialist was handed the baton; at most as many as there are specialists.
    pub(crate) visits: BTreeMap<SpecialistName, u32>,
    pub(crate) warm: Warm,
    pub(crate) digits: Digits,
    pub(crate) delegations: Delegations,
    pub(crate) counts: Counts,
    pub(crate) newest_dispatch: DispatchId,
    pub(crate) newest_handoff: HandoffId,
    /// Who has the baton again, should the handoff under way fail.
    pub(crate) kept: Option<Kept>,
    /// What the caller is to hear first.
    pub(crate) opening: Option<Clip>,
    /// What it hears from us; nobody has the baton then.
    pub(crate) announcing: Option<Announcing>,
    /// There is no place for it.
    pub(crate) turned_away: bool,
    /// The epoch whose grant was recorded ahead last.
    pub(crate) announced: Epoch,
    /// Whether dead air has begun and not ended.
    pub(crate) dead_air: bool,
    pub(crate) ended: Option<EndReason>,
}

impl Call {
    /// Starts a call: the residents are dispatched, and the entry specialist unless that depends on the caller, who is
    /// awaited. The program track has been published before.
    pub fn new(plan: Arc<Plan>, id: CallId, now: Instant, out: &mut Vec<Command>) -> Self {
        let mut turn = Turn { now, out };
        let mut call = Self::fresh(plan, id, &turn);
        call.start(&mut turn);
        call.reconcile(&mut turn);
        call
    }

    /// A call for which there is no place: nobody is dispatched, and the caller hears [`Clip::Busy`] if `busy_clip` says that
    /// there is one; then the call ends. Without, it ends as soon as there is a caller, whose phone still rings.
    pub fn turn_away(
        plan: Arc<Plan>,
        id: CallId,
        busy_clip: bool,
        now: Instant,
        out: &mut Vec<Command>,
    ) -> Self {
        let mut turn = Turn { now, out };
        let mut call = Self {
            entry: Entry::Fixed,
            ring: Ring::Answered,
            opening: busy_clip.then_some(Clip::Busy),
            turned_away: true,
            ..Self::fresh(plan, id, &turn)
        };
        call.reconcile(&mut turn);
        call
    }

    fn fresh(plan: Arc<Plan>, id: CallId, turn: &Turn<'_>) -> Self {
        let entry = plan.config().entry.clone();
        let opening = plan.config().opening_clip.then_some(Clip::Opening);
        Self {
            caller: Caller::Awaited {
                until: turn.after(plan.timers().caller_join_timeout_ms),
            },
            entry: Entry::new(&plan),
            ring: Ring::new(plan.config().answer),
            plan,
            id,
            epoch: Epoch(0),
            phase: Phase::Idle {
                wait: IdleWait::Nothing,
            },
            roster: Roster::default(),
            gates: Gates {
                repeat: true,
                ..Gates::default()
            },
            recovery: Recovery::new(entry),
            known: Known::new(turn.now),
            watch: Watch::new(turn.now),
            last: None,
            previous: None,
            visits: BTreeMap::new(),
            warm: Warm::default(),
            digits: Digits::default(),
            delegations: Delegations::default(),
            counts: Counts::default(),
            newest_dispatch: DispatchId(0),
            newest_handoff: HandoffId(0),
            kept: None,
            opening,
            announcing: None,
            turned_away: false,
            announced: Epoch(0),
            dead_air: false,
            ended: None,
        }
    }

    /// Takes an event; pushes what is to be done.
    pub fn handle_event(&mut self, now: Instant, event: Event, out: &mut Vec<Command>) {
        if self.ended.is_some() {
            return;
        }
        let mut turn = Turn { now, out };
        self.dispatch_event(&mut turn, event);
        if self.ended.is_none() {
            self.apply_rules(&mut turn);
            self.prewarm(&mut turn);
            self.transfer_if_due(&mut turn);
        }
        if self.ended.is_none() {
            self.reconcile(&mut turn);
        }
    }

    /// Fires every timer that is due; pushes what is to be done. Does nothing when none is.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Command>) {
        let mut turn = Turn { now, out };
        while let Some((_, timer)) = self.poll_timeout().filter(|(deadline, _)| *deadline <= now) {
            self.fire(&mut turn, timer);
            if self.ended.is_none() {
                self.apply_rules(&mut turn);
                self.prewarm(&mut turn);
                self.transfer_if_due(&mut turn);
            }
            if self.ended.is_none() {
                self.reconcile(&mut turn);
            }
        }
    }

    /// When [`Call::handle_timeout`] is to be called next, and for what; `None` once the call has ended.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        if self.ended.is_some() {
            return None;
        }
        [
            self.phase_timeout(),
            self.caller.poll_timeout(),
            self.entry.poll_timeout(),
            self.ring.poll_timeout(),
            self.roster.poll_timeout(),
            self.rules_timeout(),
            self.announcing
                .map(|announcing| (announcing.until, Timer::Announcement)),
            self.delegations
                .poll_timeout()
                .map(|until| (until, Timer::Delegation)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Where the call stands.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            call: self.id.clone(),
            phase: self.phase.clone(),
            epoch: self.epoch,
            caller: self.caller.view(),
            specialists: self.roster.views(),
            admitted: self.gates.admitted.clone(),
            audience: self.gates.audience.clone(),
            shut: self.gates.shut.clone(),
            previous: self.previous.clone(),
            rung: self.rung().map(|rung| rung.person),
            person_holds: self
                .phase
                .holder()
                .is_some_and(|holder| self.is_human(holder.dispatch)),
            counts: self.counts,
            ended: self.ended,
        }
    }

    /// The call's name.
    pub fn id(&self) -> &CallId {
        &self.id
    }

    /// The newest epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The phase with its data.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether the caller should hear somebody now: it waits, and nobody has the baton who may sound, or one that is to speak
    /// first has just got it. While a holder talks with the caller, pauses are the two's own.
    pub fn voice_is_due(&self) -> bool {
        if !self.caller.hears() || self.ended.is_some() {
            return false;
        }
        match &self.phase {
            Phase::Idle { .. } => true,
            Phase::Preparing { from, .. } | Phase::Ready { from, .. } => {
                from.as_ref().is_none_or(|holder| !self.holds(holder))
            }
            Phase::Switching { handoff, .. } => handoff.opening != Opening::Wait,
            Phase::Active { holder } => !self.holds(holder),
        }
    }

    /// Why the call ended, if it did.
    pub fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    fn dispatch_event(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::ParticipantJoined { identity, kind } => {
                self.gates.repeat = true;
                match kind {
                    ParticipantKind::Sip | ParticipantKind::Standard => {
                        self.person_joined(turn, identity, kind)
                    }
                    ParticipantKind::Agent => self.agent_joined(&identity),
                    ParticipantKind::Other => {}
                }
            }
            Event::ParticipantLeft {
                identity,
                departure,
            } => {
                self.gates.shut.remove(&identity);
                if self.caller.identity() == Some(&identity) {
                    self.caller_left(turn, departure);
                } else if let Some(dispatch) = self.roster.bound(&identity) {
                    self.specialist_left(turn, dispatch, departure);
                }
            }
            Event::CallerListening { identity } => {
                if self.caller.identity() == Some(&identity) {
                    self.answer_phone(turn);
                    self.caller_listens(turn);
                }
            }
            Event::Reconnecting => self.reconnecting(),
            Event::TrackPublished { .. } | Event::Reconnected => self.gates.repeat = true,
            Event::DispatchFailed { dispatch, detail } => {
                self.dispatch_failed(turn, dispatch, detail)
            }
            Event::SpecialistJoined { dispatch, identity } => {
                self.specialist_joined(turn, dispatch, identity)
            }
            Event::Unanswered { dispatch, how } => self.unanswered(turn, dispatch, how),
            Event::Transferred { dispatch } => self.transferred(turn, dispatch),
            Event::DispatchFull { dispatch, max } => self.dispatch_full(turn, dispatch, max),
            Event::Hello { identity } => self.hello(turn, identity),
            Event::Ready {
                identity,
                handoff,
                applied,
            } => self.ready(turn, identity, handoff, applied),
            Event::PrepareRefused {
                identity,
                handoff,
                detail,
            } => {
                self.prepare_refused(turn, identity, handoff, detail);
            }
            Event::Granted { identity, epoch } => self.granted(turn, identity, epoch),
            Event::Released { identity, epoch } => self.released(turn, identity, epoch),
            Event::HandoffRequested(request) => self.requested(turn, request),
            Event::HandedBack { identity } => self.handed_back(turn, &identity),
            Event::PersonAnswered { request, answer } => {
                self.person_answered(turn, request, answer);
            }
            Event::HandBackRequested { request } => self.hand_back_requested(turn, request),
            Event::HoldRequested { request } => self.hold_requested(turn, request),
            Event::ResumeRequested { request } => self.resume_requested(turn, request),
            Event::EscalationRequested {
                request,
                reason,
                splice,
            } => self.escalation_requested(turn, request, reason, splice),
            Event::SummarySettled { handoff } => self.summary_settled(turn, handoff),
            Event::ToolsSettled { handoff } => self.has_come(turn, handoff, Awaited::Tools),
            Event::TailApplied { handoff } => self.has_come(turn, handoff, Awaited::Tail),
            Event::JournalSettled { handoff } => self.has_come(turn, handoff, Awaited::Journal),
            Event::SpliceReached { handoff } => self.has_come(turn, handoff, Awaited::Splice),
            Event::FirstFrame { identity, epoch } => self.first_frame(turn, &identity, epoch),
            Event::Announced { clip } => self.announced(turn, clip),
            Event::FadeDone { epoch } => self.fade_done(turn, epoch),
            // A caller on hold is to hear the filler.
            Event::DeadAirBegan if self.held().is_some() || self.kept.is_some() => {}
            Event::DeadAirBegan => {
                self.dead_air = true;
                self.counts.dead_airs += 1;
                turn.record(Fact::DeadAirBegan {
                    phase: self.phase.name(),
                    epoch: self.epoch,
                });
            }
            Event::DeadAirEnded { .. } if !std::mem::take(&mut self.dead_air) => {}
            Event::DeadAirEnded { false_start } => {
                self.counts.false_starts += u64::from(false_start);
                turn.record(Fact::DeadAirEnded {
                    epoch: self.epoch,
                    false_start,
                });
            }
            Event::DtmfPressed { identity, digit } => self.pressed(turn, &identity, digit),
            Event::Talking { identity, talking } => self.talks(turn, &identity, talking),
            Event::StateChanged { state, version } => self.known.state_changed(state, version),
            Event::CallerKnown { facts } => {
                self.known.caller = facts;
                self.entry_caller_known(turn);
            }
            Event::EntryStateSettled => self.entry_state_settled(turn),
            Event::Clock { time } => self.known.time = time,
            Event::Unresponsive { identity } => self.unresponsive(turn, &identity),
            Event::Quiet { identity } => self.quiet(turn, identity),
            Event::Heard { identity } => self.heard(&identity),
            Event::ServerHeard => self.server_heard(),
            Event::Misbehaved { identity, what } => self.misbehaved(turn, identity, what),
            Event::Stop => self.end(turn, EndReason::Stopped),
            Event::RoomClosed => self.end(turn, EndReason::RoomClosed),
            Event::TakenOver => self.end(turn, EndReason::TakenOver),
        }
    }

    fn fire(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::CallerJoin => self.end(turn, EndReason::NoCaller),
            Timer::Entry => self.choose_entry(turn),
            Timer::Ring => self.answer_phone(turn),
            Timer::Announcement => self.announcement_over(turn),
            Timer::CallerListen => self.caller_listens(turn),
            Timer::CallerReturn => self.end(turn, EndReason::CallerGone),
            Timer::Summary => self.summary_timed_out(turn),
            Timer::Tools => self.await_no_longer(turn, &[Awaited::Tools]),
            Timer::Splice => self.splice_timed_out(turn),
            Timer::Journal => self.await_no_longer(turn, &[Awaited::Journal]),
            Timer::Tail => self.await_no_longer(turn, &[Awaited::Tail]),
            Timer::Switch => self.switch_timed_out(turn),
            Timer::Fade => self.finish_switch(turn),
            Timer::Hold => self.recover(turn),
            Timer::Held => self.hold_timed_out(turn),
            Timer::Delegation => self.delegation_timed_out(turn),
            Timer::Rule(number) => self.rule_timed_out(turn, number),
            Timer::Join(dispatch) => self.join_timed_out(turn, dispatch),
            Timer::Hello(dispatch) => self.hello_timed_out(turn, dispatch),
            Timer::Ready(dispatch) => self.ready_timed_out(turn, dispatch),
            Timer::Grant(dispatch) => self.grant_timed_out(turn, dispatch),
            Timer::Answer(dispatch) => self.answer_timed_out(turn, dispatch),
            Timer::Settle(dispatch) => self.settle_timed_out(turn, dispatch),
            Timer::Park(dispatch) => self.release(turn, dispatch),
            Timer::Leave(dispatch) => self.leave_timed_out(turn, dispatch),
            Timer::Return(dispatch) => self.return_timed_out(turn, dispatch),
        }
    }

    fn phase_timeout(&self) -> Option<(Instant, Timer)> {
        match &self.phase {
            Phase::Idle { wait } => match wait {
                IdleWait::Nothing => None,
                IdleWait::Fallbacks { at } => Some((*at, Timer::Hold)),
                IdleWait::Held(hold) => Some((hold.until, Timer::Held)),
            },
            Phase::Ready { wait, .. } => wait.poll_timeout(),
            Phase::Switching {
                step: SwitchStep::AwaitSound { until },
                ..
            } => Some((*until, Timer::Switch)),
            Phase::Switching {
                step: SwitchStep::Fading { until },
                ..
            } => Some((*until, Timer::Fade)),
            Phase::Preparing { summary, hold, .. } => {
                let summary = summary.map(|until| (until, Timer::Summary));
                let hold = hold.map(|until| (until, Timer::Splice));
                [summary, hold].into_iter().flatten().min()
            }
            Phase::Active { .. } => None,
        }
    }

    /// Enters a phase, and records it.
    pub(crate) fn enter(&mut self, turn: &mut Turn<'_>, phase: Phase) {
        if phase.name() != self.phase.name() {
            turn.record(Fact::Phase {
                phase: phase.name(),
                epoch: self.epoch,
            });
        }
        self.phase = phase;
    }

    /// Says that an event had no place here.
    pub(crate) fn reject(
        &mut self,
        turn: &mut Turn<'_>,
        identity: Option<&Identity>,
        reason: RejectReason,
    ) {
        self.counts.rejected += 1;
        turn.push(Command::Reject {
            identity: identity.cloned(),
            epoch: self.epoch,
            reason,
        });
    }
}

/// The time of an event, and where its commands go.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Vec<Command>,
}

impl Turn<'_> {
    pub(crate) fn push(&mut self, command: Command) {
        self.out.push(command);
    }

    pub(crate) fn record(&mut self, fact: Fact) {
        self.out.push(Command::Record(fact));
    }

    /// The time in `after_ms` milliseconds. Timers are at most a day, so this stays in range.
    pub(crate) fn after(&self, after_ms: u64) -> Instant {
        self.now + Duration::from_millis(after_ms)
    }
}

/// Cuts a peer's text to [`TEXT_CHARS_MAX`].
pub(crate) fn clip(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}
