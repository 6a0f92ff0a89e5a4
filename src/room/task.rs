//! The call's task: one loop, in which everything that concerns the call comes by, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio::{DeadAir, Input, Recording, SourceId};
use call::{
    Answer, Asker, Call, CallId, CallerFacts, Clip, Command, Departure, Digit, DispatchId,
    EndReason, Event, HandoffId, HandoffRequest, Identity, LocalTime, Misbehaviour, NoAnswer,
    ParticipantKind,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Span, debug, field, info, warn};
use wire::Ready;
use worker::{JobSignals, Place};

use super::CallDeps;
use super::conversation::Talk;
use super::desk::{Answers, Ask, Post};
use super::figures::Figures;
use super::gates::Gates;
use super::homecoming::Homecoming;
use super::journal::Journal;
use super::outbox::Outbox;
use super::peers::{Peers, Said};
use super::program::{Order, Program, Report};
use super::recording::{Recorded, Recorder};
use super::seats::CallSeats;
use super::sides::Sides;
use super::stored::{Opened, Rebuilt, Stored};
use super::summary::NoSummary;
use super::voices::Voices;
use crate::clock;
use crate::rtc::{self, Closed, Connection, RoomEvent};
use crate::telemetry::{CallTrace, Hash, Redacted};

/// Results of requests to the server that may wait for the loop; each request waits for its place.
const DONE_MAX: usize = 64;
/// How often the specialists hear that Baton lives, at most and at least.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);
/// How often a quiet holder is asked for a sign of life: on the lossy channel, where one question in a row may be lost.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// The attribute by which the SIP bridge says how far a phone call is.
const SIP_CALL_STATUS: &str = "sip.callStatus";

/// What a request to the server has come to.
#[derive(Debug)]
pub(super) enum Done {
    /// What was recorded before a handoff's grant is durable, or cannot be.
    Journaled { handoff: HandoffId },
    /// What is known of the caller elsewhere, if anything.
    LookedUp { known: Option<Vec<u8>> },
    /// A dispatch was made, or not.
    Dispatched {
        dispatch: DispatchId,
        made: Result<String, String>,
    },
    /// The caller's phone was answered elsewhere, or not.
    Transferred {
        dispatch: DispatchId,
        transferred: Result<(), NoAnswer>,
    },
    /// Something has come from the server since the holder was asked.
    ServerHeard,
    /// The egress records a track, records it no more, or has refused.
    Recording {
        recorded: Recorded,
        answer: Result<Option<String>, ()>,
    },
    /// The summary for a person is there as a sound.
    ReadOut {
        identity: Identity,
        speech: Recording,
    },
    /// A webhook has made a summary, or not.
    Summarized {
        handoff: HandoffId,
        summary: Result<String, NoSummary>,
    },
}

/// A holder that is asked for a sign of life.
pub(super) struct Doubt {
    pub(super) identity: Identity,
    pub(super) ask_at: Instant,
    pub(super) until: Instant,
}

/// Everything that belongs to one call.
pub(super) struct Task {
    pub(super) deps: Arc<CallDeps>,
    pub(super) room: String,
    pub(super) connection: Connection,
    pub(super) call: Call,
    pub(super) journal: Journal,
    pub(super) peers: Peers,
    pub(super) sides: Sides,
    pub(super) talk: Talk,
    pub(super) gates: Gates,
    pub(super) program: Program,
    pub(super) outbox: Outbox,
    /// LiveKit's ids of the dispatches that were made and not yet withdrawn.
    pub(super) dispatch_ids: BTreeMap<DispatchId, String>,
    /// Dispatches that are to be withdrawn as soon as they are there.
    pub(super) unwanted: BTreeSet<DispatchId>,
    pub(super) seats: CallSeats,
    pub(super) requests: JoinSet<()>,
    pub(super) done: mpsc::Sender<Done>,
    pub(super) voices: Voices,
    /// Whose levels are known exactly.
    pub(super) attended: Option<SourceId>,
    /// Whether the program tells how loud who is.
    pub(super) metered: bool,
    /// Whose silence is told.
    pub(super) watched: Option<SourceId>,
    /// The holder that is asked for a sign of life.
    pub(super) doubt: Option<Doubt>,
    /// The caller, while it is listened to.
    pub(super) overheard: Option<Identity>,
    /// Tracks that the caller hears without us, one of each specialist at most: they are not read.
    pub(super) direct: BTreeMap<Identity, String>,
    /// Tracks that are read.
    pub(super) read: BTreeSet<String>,
    /// Specialists whose Hello waits until their voice can go by us again.
    pub(super) homecoming: BTreeMap<Identity, Homecoming>,
    /// Whether the program knows that somebody should be heard.
    pub(super) voice_due: bool,
    /// To whom the program track is open.
    pub(super) listeners: BTreeSet<String>,
    /// Whether the phone is answered: before, the program track is not opened to the caller.
    pub(super) answered: bool,
    /// What was told of the caller last.
    pub(super) caller_facts: Arc<CallerFacts>,
    /// Whether somebody has subscribed to the program track.
    pub(super) program_subscribed: bool,
    reconnecting: bool,
    heartbeat_at: Instant,
    signals: JobSignals,
    pub(super) done_in: mpsc::Receiver<Done>,
    commands: Vec<Command>,
    pub(super) ended: Option<EndReason>,
    pub(super) post: Post,
    pub(super) answers: Answers,
    pub(super) figures: Figures,
    pub(super) recorder: Recorder,
    pub(super) trace: CallTrace,
    /// Whether the call may stand elsewhere than it was published.
    pub(super) unpublished: bool,
    /// The job's metadata, for conditions; nothing is known of it in a call that was resumed.
    pub(super) metadata: String,
    pub(super) told_time: Option<LocalTime>,
    pub(super) caller_talks: bool,
}

impl Task {
    /// A call that begins.
    pub(super) fn begin(
        deps: Arc<CallDeps>,
        connection: Connection,
        program: Program,
        signals: JobSignals,
        metadata: String,
        place: Place,
    ) -> Self {
        let id = CallId::from(super::tickets::fresh_ticket().as_str());
        let opened = Opened {
            orchestrator: connection.identity().into(),
            room_sid: connection.room_sid(),
            entry: deps.plan.config().entry.clone(),
        };
        let room = connection.room_name();
        info!(room = %Hash::of(&room), call = %id, "call begun");
        let (plan, now) = (deps.plan.clone(), clock::now());
        let mut commands = Vec::new();
        // One that is turned away is nothing to go on with.
        let journals = deps.journals.as_ref().filter(|_| place == Place::Taken);
        let journal = Journal::begin(journals, &id, &room, opened);
        let busy_clip = deps.clips.contains_key(&Clip::Busy);
        let (call, answered) = match (place, plan.config().answer) {
            (Place::Taken, Answer::AtOnce) => (Call::new(plan, id, now, &mut commands), true),
            (Place::Taken, Answer::EntryReady { .. }) => {
                (Call::new(plan, id, now, &mut commands), false)
            }
            (Place::None, _) => {
                let call = Call::turn_away(plan, id, busy_clip, now, &mut commands);
                (call, busy_clip)
            }
        };
        let begun = Self::new(deps, connection, program, signals, journal, call, commands);
        Self {
            metadata,
            answered,
            ..begun
        }
    }

    /// A call that another process has begun.
    pub(super) fn resume(
        deps: Arc<CallDeps>,
        connection: Connection,
        program: Program,
        signals: JobSignals,
        id: CallId,
        mut journal: Journal,
    ) -> Self {
        let mut commands = Vec::new();
        let Rebuilt {
            opened: _,
            memory,
            tickets,
            dispatch_ids,
            unreadable,
            said,
        } = journal.take_rebuilt();
        if unreadable > 0 {
            warn!(unreadable, "records of the journal were left out");
        }
        let holder = memory.holder.and_then(|holder| {
            let specialist = memory.specialists.get(&holder)?;
            Some((holder, specialist.specialist.clone(), memory.epoch))
        });
        let specialists: Vec<_> = memory
            .specialists
            .iter()
            .map(|(dispatch, specialist)| (*dispatch, specialist.clone()))
            .collect();
        let call = Call::resume(deps.plan.clone(), id, memory, clock::now(), &mut commands);
        let mut task = Self::new(deps, connection, program, signals, journal, call, commands);
        for (dispatch, ticket) in tickets {
            task.peers.expect(dispatch, ticket);
        }
        for (dispatch, remembered) in specialists {
            // It is there, whether or not it is one too many.
            task.seats.take(dispatch, &remembered.specialist, None);
            if task.is_beside(&remembered.specialist) {
                task.close_side_of(&remembered.specialist, dispatch);
            } else if let Some(identity) = remembered.identity {
                task.peers.link_to(identity);
            }
        }
        let refused = task.talk.replay(said);
        if refused > 0 {
            warn!(refused, "records of the conversation were left out");
        }
        if let Some((dispatch, specialist, epoch)) = holder {
            task.talk
                .restore_holder(dispatch, specialist.as_str(), epoch);
        }
        task.dispatch_ids = dispatch_ids;
        task
    }

    fn new(
        deps: Arc<CallDeps>,
        connection: Connection,
        program: Program,
        signals: JobSignals,
        journal: Journal,
        call: Call,
        commands: Vec<Command>,
    ) -> Self {
        let room = connection.room_name();
        let (done, done_in) = mpsc::channel(DONE_MAX);
        let post = deps.desk.open(&room, call.snapshot(), deps.views.clone());
        let trace = deps.traces.of_call(call.id().as_str());
        let seats = CallSeats::new(deps.seats.clone());
        let span = Span::current();
        span.record("call", call.id().as_str());
        if let Some(trace) = trace.id() {
            span.record("trace", field::display(trace));
        }
        Self {
            peers: Peers::new(call.id().clone(), deps.terms.clone(), deps.metrics.clone()),
            program,
            sides: Sides::default(),
            talk: Talk::new(&deps.context, &deps.terms),
            outbox: Outbox::start(connection.sender()),
            deps,
            room,
            connection,
            call,
            journal,
            gates: Gates::default(),
            dispatch_ids: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            seats,
            requests: JoinSet::new(),
            done,
            voices: Voices::default(),
            attended: None,
            metered: false,
            watched: None,
            doubt: None,
            overheard: None,
            direct: BTreeMap::new(),
            read: BTreeSet::new(),
            homecoming: BTreeMap::new(),
            voice_due: false,
            listeners: BTreeSet::new(),
            answered: true,
            caller_facts: Arc::default(),
            program_subscribed: false,
            reconnecting: false,
            heartbeat_at: clock::now(),
            signals,
            done_in,
            commands,
            ended: None,
            post,
            answers: Answers::default(),
            figures: Figures::default(),
            recorder: Recorder::default(),
            trace,
            unpublished: false,
            metadata: String::new(),
            told_time: None,
            caller_talks: false,
        }
    }

    /// Runs until the call has ended and nothing of it is left.
    pub(super) async fn run(mut self) -> EndReason {
        // A call that is resumed knows what was said.
        self.talk_publish();
        if self.talk.state().version().0 > 0 {
            self.tell_state();
        }
        self.tell_time();
        self.settle().await;
        let mut stop_heard = false;
        while self.ended.is_none() {
            let wake_at = self.wake_at();
            // Every arm only receives, from a channel or a timer, and loses nothing when another one is taken.
            tokio::select! {
                event = self.connection.next_event() => self.room_event(event).await,
                report = self.program.report() => match report {
                    Some(report) => self.program_report(report),
                    None => self.tell(Event::Stop),
                },
                Some(done) = self.done_in.recv() => self.request_done(done),
                Some((dispatch, said)) = self.sides.next() => self.side_said(dispatch, said).await,
                Some(ask) = self.post.ask() => self.asked(ask),
                // Nothing but a place in the set; what came of the request has been told.
                Some(_) = self.requests.join_next() => {}
                () = self.signals.stopping(), if !stop_heard => {
                    stop_heard = true;
                    self.tell(Event::Stop);
                }
                () = self.journal.fenced() => {
                    warn!("another process has taken over the call");
                    self.tell(Event::TakenOver);
                }
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            self.settle().await;
        }
        self.farewell().await
    }

    /// Brings everything up to now: timers, commands, gates, frames.
    async fn settle(&mut self) {
        if self.journal.has_lapsed(clock::now()) && self.is_taken_over().await {
            self.end_taken_over().await;
            return;
        }
        let now = clock::now();
        self.come_home(now);
        while self.call.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.call.handle_timeout(now, &mut self.commands);
            self.unpublished = true;
        }
        self.carry_out_commands(now).await;
        self.open_sides();
        self.direct_program().await;
        if self.gates.take_due(now) {
            self.apply_gates();
        }
        self.journal
            .handle_timeout(now, self.call.epoch(), || self.talk.stored());
        if self.heartbeat_at <= now {
            self.heartbeat_at = now + self.heartbeat_interval();
            self.tell_time();
            self.record(now);
            let holder = self
                .call
                .phase()
                .holder()
                .map(|holder| holder.identity.clone());
            self.peers
                .heartbeat(holder.as_ref(), self.call.epoch(), self.call.phase().name());
        }
        self.transmit(now);
        // Whoever was found to be lost just now.
        self.carry_out_commands(now).await;
        self.show_desk();
    }

    /// Whether the call went on elsewhere while this process stood still. Nothing is done before that is known: what is due here, and what
    /// has come meanwhile, would be done to another one's call.
    async fn is_taken_over(&mut self) -> bool {
        warn!("the lease has ended unrenewed, the store is asked whose the call is");
        let (now, epoch) = (clock::now(), self.call.epoch());
        let conversation = || self.talk.stored();
        self.journal.is_taken_over(now, epoch, conversation).await
    }

    async fn end_taken_over(&mut self) {
        warn!("another process has taken over the call");
        self.commands.clear();
        self.tell(Event::TakenOver);
        self.carry_out_commands(clock::now()).await;
        self.show_desk();
    }

    /// Shows the desk what has changed.
    pub(super) fn show_desk(&mut self) {
        if std::mem::take(&mut self.unpublished) {
            let recorded = self.recorder.is_on();
            self.post.publish(self.call.snapshot(), recorded);
        }
    }

    /// Twice in the time after which a holder reaches the caller without us.
    fn heartbeat_interval(&self) -> Duration {
        match self.deps.terms.orchestrator_timeout_ms {
            Some(0) | None => HEARTBEAT_MAX,
            Some(ms) => (Duration::from_millis(ms.into()) / 2).clamp(HEARTBEAT_MIN, HEARTBEAT_MAX),
        }
    }

    fn wake_at(&self) -> Instant {
        let timers = [
            self.call.poll_timeout().map(|(at, _)| at),
            self.gates.poll_timeout(),
            self.journal.poll_timeout(),
            self.peers.poll_timeout(),
            self.doubt.as_ref().map(|doubt| doubt.ask_at),
            self.homecoming.values().map(|home| home.until).min(),
        ];
        timers
            .into_iter()
            .flatten()
            .fold(self.heartbeat_at, Instant::min)
    }

    async fn carry_out_commands(&mut self, now: Instant) {
        // A command may bring an event of its own, and that further commands.
        while !self.commands.is_empty() {
            for command in std::mem::take(&mut self.commands) {
                if let Some(reason) = self.carry_out(now, command).await {
                    self.ended = Some(reason);
                }
            }
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        debug!(event = ?Redacted(&event), "event");
        self.unpublished = true;
        self.call
            .handle_event(clock::now(), event, &mut self.commands);
    }

    /// Somebody at the desk wants something.
    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Handoff {
                target,
                reason,
                splice,
                answer,
            } => {
                let request = self.answers.expect(answer);
                self.tell(Event::HandoffRequested(HandoffRequest {
                    asker: Asker::Operator,
                    request,
                    target,
                    reason,
                    splice,
                    tool_call: None,
                    delegating: None,
                }));
            }
            Ask::Hold { answer } => {
                let request = self.answers.expect_steered(answer);
                self.tell(Event::HoldRequested { request });
            }
            Ask::Resume { answer } => {
                let request = self.answers.expect_steered(answer);
                self.tell(Event::ResumeRequested { request });
            }
            Ask::Escalate {
                reason,
                splice,
                answer,
            } => {
                let request = self.answers.expect_steered(answer);
                self.tell(Event::EscalationRequested {
                    request,
                    reason,
                    splice,
                });
            }
            Ask::Answer { wish, answer } => {
                let request = self.answers.expect_steered(answer);
                self.tell(Event::PersonAnswered {
                    request,
                    answer: wish,
                });
            }
            Ask::HandBack { answer } => {
                let request = self.answers.expect_steered(answer);
                self.tell(Event::HandBackRequested { request });
            }
            Ask::Patch {
                scopes,
                base,
                json,
                answer,
            } => {
                let outcome = self.talk_patched(&scopes, base, &json);
                // Whoever asked may have stopped waiting.
                let _ = answer.send(outcome);
            }
            Ask::End { answer } => {
                info!("the call is ended by an operator");
                self.tell(Event::Stop);
                // Whoever asked may have stopped waiting.
                let _ = answer.send(());
            }
        }
    }

    pub(super) fn transmit(&mut self, now: Instant) {
        self.peers.handle_timeout(now);
        self.talk_send(now);
        self.doubt.take_if(|doubt| doubt.until <= now);
        if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.ask_at <= now) {
            doubt.ask_at = now + ASK_INTERVAL;
            self.peers.ask(&doubt.identity);
        }
        while let Some((identity, payload, reliable)) = self.peers.poll_transmit(now) {
            self.outbox.frame(identity.as_str(), payload, reliable);
        }
        for identity in self.peers.take_lost() {
            self.tell(Event::Unresponsive { identity });
        }
    }

    async fn room_event(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Joined(participant) => self.joined(participant).await,
            RoomEvent::Left(participant) => self.left(&participant),
            RoomEvent::AudioPublished { participant, .. } => self.published(&participant),
            RoomEvent::Unpublished {
                participant: _,
                track_sid,
            } => self.direct.retain(|_, direct| *direct != track_sid),
            RoomEvent::AudioSubscribed {
                participant,
                track_sid,
                audio,
            } => {
                debug!(identity = %Hash::of(&participant.identity), "audio subscribed");
                if self.direct.values().any(|direct| *direct == track_sid) {
                    return;
                }
                let Some(audio) = self.caller_heard(&participant.identity, audio).await else {
                    return;
                };
                self.read.insert(track_sid.clone());
                let source = self.peers.source(&Identity::from(participant.identity));
                self.program
                    .order(Order::Attach {
                        source,
                        track_sid,
                        audio,
                    })
                    .await;
            }
            RoomEvent::AudioUnsubscribed {
                participant,
                track_sid,
            } => {
                debug!(identity = %Hash::of(&participant.identity), "audio unsubscribed");
                self.read.remove(&track_sid);
                self.program.order(Order::Detach { track_sid }).await;
            }
            RoomEvent::Data {
                sender,
                topic,
                payload,
            } if topic == wire::TOPIC => self.frame(sender.as_ref(), &payload).await,
            RoomEvent::Data { .. } | RoomEvent::ByteStream { .. } => {}
            RoomEvent::Dtmf { sender, digit } => self.pressed(sender.as_ref(), digit),
            RoomEvent::AttributesChanged(participant) => {
                self.know_caller(&participant);
                self.caller_may_listen(&participant);
            }
            RoomEvent::Speaking(speakers) => self.speakers(&speakers),
            RoomEvent::ProgramSubscribed => {
                self.program_subscribed = true;
                for participant in self.connection.participants() {
                    self.caller_may_listen(&participant);
                }
            }
            RoomEvent::Reconnecting => {
                self.reconnecting = true;
                self.doubt = None;
                self.tell(Event::Reconnecting);
            }
            RoomEvent::Reconnected => {
                self.reconnecting = false;
                self.watch_anew().await;
                self.tell(Event::Reconnected);
            }
            RoomEvent::Closed(closed) => {
                let event = match &closed {
                    Closed::RoomGone => {
                        info!("the room was closed");
                        Event::RoomClosed
                    }
                    Closed::Replaced => {
                        warn!("another process has taken over the call");
                        Event::TakenOver
                    }
                    Closed::Removed => {
                        warn!("removed from the room");
                        Event::RoomClosed
                    }
                    Closed::Other(reason) => {
                        warn!(reason, "the connection to the room is lost");
                        Event::RoomClosed
                    }
                };
                self.tell(event);
            }
        }
    }

    async fn joined(&mut self, participant: rtc::Participant) {
        let identity = Identity::from(participant.identity.as_str());
        let kind = kind(participant.kind);
        match kind {
            ParticipantKind::Sip | ParticipantKind::Standard => {
                self.tell(Event::ParticipantJoined { identity, kind });
                self.know_caller(&participant);
                self.open_program().await;
                self.caller_may_listen(&participant);
            }
            ParticipantKind::Agent | ParticipantKind::Other => {
                self.tell(Event::ParticipantJoined { identity, kind })
            }
        }
    }

    /// Opens the program track to the caller and to the specialists that speak our protocol, and to nobody else.
    pub(super) async fn open_program(&mut self) {
        let caller = self
            .call
            .snapshot()
            .caller
            .map(|caller| caller.identity.to_string())
            .filter(|_| self.answered);
        let listeners: BTreeSet<String> =
            caller.into_iter().chain(self.peers.identities()).collect();
        if listeners != self.listeners {
            self.listeners.clone_from(&listeners);
            self.outbox.subscribers(listeners).await;
        }
    }

    fn caller_may_listen(&mut self, participant: &rtc::Participant) {
        let active = participant
            .attributes
            .get(SIP_CALL_STATUS)
            .is_none_or(|status| status == "active");
        if self.program_subscribed && active && participant.kind != rtc::ParticipantKind::Agent {
            self.tell(Event::CallerListening {
                identity: Identity::from(participant.identity.as_str()),
            });
        }
    }

    pub(super) fn left(&mut self, participant: &rtc::Participant) {
        // A full reconnect looks like a leave of one's own will; only a phone says that it has hung up.
        let hung_up = participant
            .attributes
            .get(SIP_CALL_STATUS)
            .is_some_and(|status| status == "hangup");
        let departure = if hung_up {
            Departure::Final
        } else {
            Departure::MayReturn
        };
        let identity = Identity::from(participant.identity.as_str());
        self.tell(Event::ParticipantLeft {
            identity: identity.clone(),
            departure,
        });
        self.direct.remove(&identity);
        self.homecoming.remove(&identity);
        self.peers.left(&identity);
    }

    fn published(&mut self, participant: &rtc::Participant) {
        if participant.kind == rtc::ParticipantKind::Agent {
            // Every agent's track is read, so that one that sounds without the baton is noticed.
            self.connection.set_listening(&participant.identity, true);
        }
        self.hear_caller(&participant.identity);
        self.tell(Event::TrackPublished {
            identity: Identity::from(participant.identity.as_str()),
        });
    }

    pub(super) async fn frame(&mut self, sender: Option<&rtc::Participant>, payload: &[u8]) {
        let now = clock::now();
        let of_doubted = |doubt: &mut Doubt| {
            sender.is_some_and(|sender| sender.identity == doubt.identity.as_str())
        };
        if let Some(doubt) = self.doubt.take_if(of_doubted) {
            self.heard(doubt.identity);
            self.watch_anew().await;
        }
        for said in self.peers.receive(now, sender, payload) {
            match said {
                Said::Event(Event::Hello { identity }) if self.is_coming_home(&identity) => {}
                Said::Event(event) => {
                    if let Event::Released { identity, .. } = &event {
                        self.talk_released(identity);
                    }
                    self.tell(event);
                }
                Said::Ready { identity, ready } => {
                    let Ready {
                        handoff,
                        context_items,
                        context_hash,
                    } = ready;
                    let applied = self.talk_ready(&identity, context_items, &context_hash);
                    self.tell(Event::Ready {
                        identity,
                        handoff,
                        applied,
                    });
                }
                Said::Granted {
                    identity,
                    epoch,
                    preroll_ms,
                } => {
                    self.figures.taken(now, epoch, preroll_ms);
                    self.tell(Event::Granted { identity, epoch });
                }
                Said::Written {
                    identity,
                    epoch,
                    body,
                } => self.talk_received(&identity, epoch, body),
                Said::Speech { identity, speaking } => {
                    debug!(%identity, speaking, "speech");
                    let source = self.peers.source(&identity);
                    self.voices.says(source, speaking);
                    self.look_for_splice();
                }
                Said::Restarted { identity } => {
                    let source = self.peers.source(&identity);
                    self.voices.says(source, false);
                    self.talk_restarted(&identity);
                }
                Said::Open {
                    identity,
                    track_sid,
                    fresh_sid,
                } => self.leave_unread(now, identity, track_sid, fresh_sid).await,
            }
        }
    }

    /// Digits are broadcast in the room: whose count, the core says. One whose sender the server has not announced is
    /// nobody's.
    fn pressed(&mut self, sender: Option<&rtc::Participant>, key: char) {
        let Some((sender, digit)) = sender.zip(Digit::new(key)) else {
            debug!(
                known = sender.is_some(),
                "a digit of nobody or none, ignored"
            );
            return;
        };
        self.tell(Event::DtmfPressed {
            identity: Identity::from(sender.identity.as_str()),
            digit,
        });
    }

    fn program_report(&mut self, report: Report) {
        match report {
            Report::FirstSound(input) => {
                if let Some(identity) = self.peers.identity(input.source) {
                    self.tell(Event::FirstFrame {
                        identity,
                        epoch: call::Epoch(input.epoch.0),
                    });
                }
            }
            Report::FirstHeard(Input { epoch, .. }) => info!(epoch = epoch.0, "heard"),
            Report::FadeDone(switch) => {
                if let (Some(_), Some(to)) = (switch.from, switch.to) {
                    self.tell(Event::FadeDone {
                        epoch: call::Epoch(to.epoch.0),
                    });
                }
            }
            Report::UtteranceBegan(input) => {
                self.voices.sounds(input.source, true);
                self.source_talks(input.source, true);
            }
            Report::UtteranceEnded(input) => {
                self.voices.sounds(input.source, false);
                self.source_talks(input.source, false);
                self.look_for_splice();
            }
            Report::Overheard(_, speaks) if self.overheard.is_some() => {
                self.voices.caller(speaks);
                self.look_for_splice();
            }
            // Of a change that is no longer near.
            Report::Overheard(..) => {}
            Report::Levels(levels) => {
                let levels = levels.into_iter();
                let known =
                    levels.filter_map(|(source, dbfs)| Some((self.peers.identity(source)?, dbfs)));
                self.post.show_levels(known.collect());
            }
            Report::Announced(clip) => self.tell(Event::Announced { clip }),
            Report::Switched(sound) => self.figures.heard(sound),
            Report::Learned(source, lufs) => {
                let identity = self.peers.identity(source);
                let specialists = self.call.snapshot().specialists;
                let mut specialists = specialists.into_values();
                let learned =
                    specialists.find(|view| identity.is_some() && view.identity == identity);
                if let Some(view) = learned {
                    debug!(specialist = %view.specialist, lufs, "loudness learned");
                    self.deps.loudness.learn(view.specialist, lufs);
                }
            }
            Report::DeadAir(DeadAir::Began) => self.tell(Event::DeadAirBegan),
            Report::DeadAir(DeadAir::Ended { false_start }) => {
                self.tell(Event::DeadAirEnded { false_start });
            }
            Report::Quiet(source) => {
                if let Some(identity) = self.peers.identity(source).filter(|_| !self.reconnecting) {
                    self.tell(Event::Quiet { identity });
                }
            }
            Report::Heard(source) => {
                if let Some(identity) = self.peers.identity(source) {
                    self.heard(identity);
                }
            }
            Report::Intrusion(source) => {
                // One in a side room cannot be heard but through us, and knows of no baton. A holder that is to be granted anew,
                // after a restart of ours, may have reached the caller by itself.
                let holder = self.call.phase().holder();
                let holder = holder.map(|holder| holder.identity.clone());
                if let Some(identity) = self.peers.identity(source)
                    && !self.sides.has(&identity)
                    && Some(&identity) != holder.as_ref()
                {
                    warn!(identity = %Hash::of(identity.as_str()), "an agent sounds without the baton");
                    self.tell(Event::Misbehaved {
                        identity,
                        what: Misbehaviour::SoundsWithoutBaton,
                    });
                }
            }
            Report::Ended(source) => {
                self.voices.forget(source);
                self.source_talks(source, false);
                self.look_for_splice();
            }
        }
    }

    fn request_done(&mut self, done: Done) {
        match done {
            Done::LookedUp { known } => self.looked_up(known),
            Done::Journaled { handoff } => self.tell(Event::JournalSettled { handoff }),
            Done::ServerHeard => self.tell(Event::ServerHeard),
            Done::Transferred {
                dispatch,
                transferred: Ok(()),
            } => self.tell(Event::Transferred { dispatch }),
            Done::Transferred {
                dispatch,
                transferred: Err(how),
            } => {
                info!(dispatch = dispatch.0, %how, "the caller was not transferred");
                self.tell(Event::Unanswered { dispatch, how });
            }
            Done::Summarized { handoff, summary } => self.summary_made(handoff, summary),
            Done::ReadOut { identity, speech } => self.brief_aloud(&identity, speech),
            Done::Recording { recorded, answer } => {
                self.recording_answered(clock::now(), recorded, answer);
            }
            Done::Dispatched {
                dispatch,
                made: Ok(id),
            } => {
                if self.unwanted.remove(&dispatch) {
                    self.delete_dispatch(id);
                } else {
                    let made = Stored::Dispatched {
                        dispatch,
                        id: id.clone(),
                    };
                    self.journal.keep(self.call.epoch(), made);
                    self.dispatch_ids.insert(dispatch, id);
                }
            }
            Done::Dispatched {
                dispatch,
                made: Err(detail),
            } => {
                self.unwanted.remove(&dispatch);
                self.peers.forget(dispatch);
                self.tell(Event::DispatchFailed { dispatch, detail });
            }
        }
    }

    /// Whether the room is known to live at this moment.
    pub(super) fn is_connected(&self) -> bool {
        !self.reconnecting
    }
}

fn kind(kind: rtc::ParticipantKind) -> ParticipantKind {
    match kind {
        rtc::ParticipantKind::Sip => ParticipantKind::Sip,
        rtc::ParticipantKind::Standard => ParticipantKind::Standard,
        rtc::ParticipantKind::Agent => ParticipantKind::Agent,
        rtc::ParticipantKind::Other => ParticipantKind::Other,
    }
}
