//! Specialists that know nothing of Baton, in rooms beside the call's: to the core they are like any other.
//!
//! What the core wants of one goes to its side room as an [`Order`]; what its side room says comes back as the events that
//! an agent with an SDK would have caused. Its sound goes to the program as any source's does, and the caller's voice is
//! led to the one that has the baton.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use call::{
    AgentName, CallId, Departure, DispatchId, Epoch, Event, Identity, SpecialistKind,
    SpecialistName,
};
use context::Incoming;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};
use wire::{Body, ContextItem};

use super::CallDeps;
use super::briefing::Briefing;
use super::program::Order as ProgramOrder;
use super::server_api::Dial;
use super::task::Task;
use crate::clock;
use crate::rtc::IncomingAudio;
use crate::side::{self, Beside, Ear, Line, Order, Said, Word};
use crate::telemetry::Hash;

/// Orders that may wait for a side room, which carries out each within the time of a send.
const ORDERS_MAX: usize = 64;
/// What side rooms have said and the call's task has not heard; a full channel makes the side room wait.
const SAID_MAX: usize = 64;

/// The side rooms of one call.
#[derive(Debug)]
pub(super) struct Sides {
    sides: BTreeMap<DispatchId, Side>,
    /// Dispatches of this kind that the core has not deleted.
    dispatches: BTreeSet<DispatchId>,
    /// Dispatches that wait for the caller, whom a side room is to show. At most as many as specialists.
    waiting: Vec<(DispatchId, SpecialistName, Option<AgentName>)>,
    ear: Ear,
    /// What reads the caller's track.
    listening: Option<AbortHandle>,
    /// To whose room the caller's voice is led.
    led_to: Option<DispatchId>,
    said: mpsc::Receiver<(DispatchId, Said)>,
    say: mpsc::Sender<(DispatchId, Said)>,
}

#[derive(Debug)]
struct Side {
    /// The name under which the core knows the agent.
    identity: Identity,
    orders: mpsc::Sender<Order>,
    line: Option<Line>,
    joined: bool,
    /// The epoch of its newest grant.
    epoch: Epoch,
    /// The person to ring into which room, once that is there.
    to_ring: Option<(String, Dial)>,
    /// What waits for the person to answer.
    ringing: Option<AbortHandle>,
    /// What a person is told in writing; nothing is ever told to an agent.
    briefing: Option<Briefing>,
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(ringing) = &self.ringing {
            ringing.abort();
        }
    }
}

impl Default for Sides {
    fn default() -> Self {
        let (say, said) = mpsc::channel(SAID_MAX);
        Self {
            sides: BTreeMap::new(),
            dispatches: BTreeSet::new(),
            waiting: Vec::new(),
            ear: Ear::default(),
            listening: None,
            led_to: None,
            said,
            say,
        }
    }
}

impl Sides {
    /// What a side room says next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(DispatchId, Said)> {
        self.said.recv().await
    }

    /// Whether this is an agent in a side room.
    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.dispatch_of(identity).is_some()
    }

    /// The dispatch of an agent in a side room.
    pub(super) fn dispatch_of(&self, identity: &Identity) -> Option<DispatchId> {
        let mut sides = self.sides.iter();
        let side = sides.find(|(_, side)| side.identity == *identity);
        side.map(|(dispatch, _)| *dispatch)
    }

    /// The name of whoever is in the side room of this dispatch.
    pub(super) fn identity_of(&self, dispatch: DispatchId) -> Option<Identity> {
        self.sides.get(&dispatch).map(|side| side.identity.clone())
    }

    /// What a person is told in writing; none if this is no person in a side room.
    pub(super) fn briefing_mut(&mut self, identity: &Identity) -> Option<&mut Briefing> {
        let mut sides = self.sides.values_mut();
        let side = sides.find(|side| side.identity == *identity)?;
        side.briefing.as_mut()
    }

    /// Hands an order to an agent in a side room; gives whether it is one.
    pub(super) fn order(&mut self, identity: &Identity, order: Order) -> bool {
        let Some(dispatch) = self.dispatch_of(identity) else {
            return false;
        };
        let Some(side) = self.sides.get_mut(&dispatch) else {
            return false;
        };
        if side.orders.try_send(order.clone()).is_err() {
            // What is in a briefing is personal.
            warn!(%identity, "a side room does not take its orders");
        }
        match order {
            Order::Grant(epoch) => {
                side.epoch = epoch;
                self.led_to = Some(dispatch);
                self.ear.lead_to(side.line.clone());
            }
            Order::Supersede | Order::Revoke(_) => {
                if self.led_to == Some(dispatch) {
                    self.lead_to_nobody();
                }
            }
            Order::Prepare(_)
            | Order::Accepted(_)
            | Order::Brief(_)
            | Order::Speak(_)
            | Order::Press(_)
            | Order::Ask => {}
        }
        true
    }

    /// The caller is heard in no side room.
    pub(super) fn lead_to_nobody(&mut self) {
        self.led_to = None;
        self.ear.lead_to(None);
    }

    /// Whether somebody in a side room is to hear the caller, now or later.
    pub(super) fn want_caller(&self) -> bool {
        !self.sides.is_empty()
    }

    fn close(&mut self, dispatch: DispatchId) {
        self.waiting.retain(|(waiting, ..)| *waiting != dispatch);
        if self.led_to == Some(dispatch) {
            self.lead_to_nobody();
        }
        self.sides.remove(&dispatch);
    }
}

impl Task {
    /// The dispatch that a specialist is bound to, wherever it is.
    pub(super) fn dispatch_of(&self, identity: &Identity) -> Option<DispatchId> {
        let here = self.peers.dispatch_of(identity);
        here.or_else(|| self.sides.dispatch_of(identity))
    }

    /// Whether a specialist gets a side room.
    pub(super) fn is_beside(&self, specialist: &SpecialistName) -> bool {
        let kind = self.deps.plan.specialist(specialist).map(|one| one.kind);
        match kind {
            Some(SpecialistKind::LivekitAgent | SpecialistKind::Human { .. }) => true,
            Some(SpecialistKind::Baton | SpecialistKind::Sip { .. }) | None => false,
        }
    }

    /// Dispatches a specialist into a room of its own, as soon as there is a caller to show it.
    pub(super) fn dispatch_beside(
        &mut self,
        dispatch: DispatchId,
        specialist: &SpecialistName,
        agent_name: AgentName,
    ) {
        let is_human = self.deps.humans.contains_key(specialist);
        let waiting = (
            dispatch,
            specialist.clone(),
            (!is_human).then_some(agent_name),
        );
        self.sides.dispatches.insert(dispatch);
        self.sides.waiting.push(waiting);
        self.open_sides();
    }

    /// Opens the side rooms that were waiting, if there is a caller.
    pub(super) fn open_sides(&mut self) {
        if self.sides.waiting.is_empty() {
            return;
        }
        let caller = self.call.snapshot().caller;
        let Some(caller) = caller.filter(|caller| caller.present) else {
            return;
        };
        let present = self.connection.participants().into_iter();
        let shown = |one: &crate::rtc::Participant| one.identity == caller.identity.as_str();
        let Some(shown) = present.into_iter().find(shown) else {
            return;
        };
        for (dispatch, specialist, agent_name) in std::mem::take(&mut self.sides.waiting) {
            let room = room_beside(&self.room, &specialist, dispatch);
            let metadata = self.deps.metadata.get(&specialist).cloned();
            let access_token = self.deps.server.side_token(
                &room,
                &shown,
                agent_name.as_ref().map(AgentName::as_str),
                metadata.unwrap_or_default(),
            );
            let access_token = match access_token {
                Ok(access_token) => access_token,
                Err(error) => {
                    let detail = error.to_string();
                    self.tell(Event::DispatchFailed { dispatch, detail });
                    continue;
                }
            };
            let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
            let mut side = Side {
                identity: Identity::from(format!(
                    "{specialist}--{dispatch}",
                    dispatch = dispatch.0
                )),
                orders,
                line: None,
                joined: false,
                epoch: Epoch(0),
                to_ring: None,
                ringing: None,
                briefing: None,
            };
            let human = self.deps.humans.get(&specialist);
            side.briefing = human.map(|_| Briefing::default());
            let beside = human.map_or(Beside::Agent, |human| human.beside.clone());
            let dial = human.and_then(|human| human.dial.clone());
            side.to_ring = dial.map(|dial| (room.clone(), dial));
            self.sides.sides.insert(dispatch, side);
            let url = self.deps.server.url().to_owned();
            let options = super::connect_options(&self.deps);
            let (deps, say) = (self.deps.clone(), self.sides.say.clone());
            self.requests.spawn(async move {
                side::run(
                    dispatch,
                    (url, access_token),
                    options,
                    beside,
                    orders_in,
                    say,
                )
                .await;
                if let Err(error) = deps.server.delete_room(&room).await {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "side room not closed, it goes when nobody is in it"
                    );
                }
            });
        }
        self.hear_caller(caller.identity.as_str());
    }

    /// Reads the caller's track while somebody in a side room may need it.
    pub(super) fn hear_caller(&mut self, identity: &str) {
        let caller = self.call.snapshot().caller;
        let is_caller = caller.is_some_and(|caller| caller.identity.as_str() == identity);
        if !is_caller || !self.sides.want_caller() {
            return;
        }
        self.connection.set_listening(identity, true);
        if self.sides.listening.is_none()
            && let Some((_, audio)) = self.connection.read_audio(identity).into_iter().next()
        {
            self.lead_caller(audio);
        }
    }

    fn lead_caller(&mut self, audio: IncomingAudio) {
        if let Some(before) = self.sides.listening.take() {
            before.abort();
        }
        let listening = self.requests.spawn(self.sides.ear.listen(audio));
        self.sides.listening = Some(listening);
    }

    /// Has the program read the caller's track beside the side rooms.
    pub(super) async fn overhear(&mut self, caller: &Identity) {
        let source = self.peers.source(caller);
        for (track_sid, audio) in self.connection.read_audio(caller.as_str()) {
            self.program
                .order(ProgramOrder::Attach {
                    source,
                    track_sid,
                    audio,
                })
                .await;
        }
    }

    /// Has the program read the caller's track no more, which side rooms may still need.
    pub(super) async fn stop_overhearing(&mut self, caller: &str) {
        if !self.sides.want_caller() {
            self.connection.set_listening(caller, false);
            return;
        }
        for track_sid in self.connection.audio_tracks(caller) {
            self.program.order(ProgramOrder::Detach { track_sid }).await;
        }
    }

    /// The caller's track can be read; gives it back if it is not the caller's, or for no side room.
    pub(super) async fn caller_heard(
        &mut self,
        identity: &str,
        audio: IncomingAudio,
    ) -> Option<IncomingAudio> {
        let caller = self.call.snapshot().caller;
        let caller = caller.filter(|caller| caller.identity.as_str() == identity);
        let Some(caller) = caller.filter(|_| self.sides.want_caller()) else {
            return Some(audio);
        };
        self.lead_caller(audio);
        if self.overheard.as_ref() == Some(&caller.identity) {
            self.overhear(&caller.identity).await;
        }
        None
    }

    /// A dispatch is deleted: its side room is closed, if it still has one. Gives whether it was of this kind.
    pub(super) fn close_side(&mut self, dispatch: DispatchId) -> bool {
        self.sides.close(dispatch);
        self.sides.dispatches.remove(&dispatch)
    }

    /// An agent in a side room is to leave, or to be gone: its room is closed. Gives whether it is one.
    pub(super) fn leave_side(&mut self, identity: &Identity) -> bool {
        let Some(dispatch) = self.sides.dispatch_of(identity) else {
            return false;
        };
        self.sides.close(dispatch);
        self.tell(Event::ParticipantLeft {
            identity: identity.clone(),
            departure: Departure::Final,
        });
        true
    }

    /// Closes every side room.
    pub(super) fn close_sides(&mut self) {
        self.sides = Sides::default();
    }

    /// Closes the side room that a former process has left.
    pub(super) fn close_side_of(&mut self, specialist: &SpecialistName, dispatch: DispatchId) {
        let room = room_beside(&self.room, specialist, dispatch);
        let deps = self.deps.clone();
        self.requests.spawn(async move {
            if let Err(error) = deps.server.delete_room(&room).await {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "side room of a former process not closed"
                );
            }
        });
    }

    /// Takes what a side room says.
    pub(super) async fn side_said(&mut self, dispatch: DispatchId, said: Said) {
        let Some(side) = self.sides.sides.get_mut(&dispatch) else {
            debug!(dispatch = dispatch.0, "the last words of a side room");
            return;
        };
        let identity = side.identity.clone();
        match said {
            Said::Open(line) => {
                side.line = Some(line.clone());
                if let Some((room, dial)) = side.to_ring.take() {
                    side.ringing = Some(ring(
                        &mut self.requests,
                        self.deps.clone(),
                        self.call.id(),
                        (dispatch, room, identity.clone(), dial),
                        self.sides.say.clone(),
                    ));
                }
                if self.sides.led_to == Some(dispatch) {
                    self.sides.ear.lead_to(Some(line));
                }
            }
            Said::Word(word) => {
                side.joined |= word == Word::Joined;
                self.side_word(dispatch, identity, word);
            }
            Said::Sounds { track_sid, audio } => {
                let source = self.peers.source(&identity);
                self.program
                    .order(ProgramOrder::Attach {
                        source,
                        track_sid,
                        audio,
                    })
                    .await;
            }
            Said::Items(items) => {
                let epoch = side.epoch;
                let items = items.into_iter().map(item).collect();
                self.talk_received(&identity, epoch, Body::ContextAppend { items });
            }
            Said::Pressed(digit) => {
                let holds = self.call.phase().holder();
                if holds.is_some_and(|holder| holder.dispatch == dispatch)
                    && let Some(caller) = self.call.snapshot().caller
                {
                    self.outbox.press(caller.identity.as_str(), digit.as_char());
                }
            }
            Said::Unanswered(how) => {
                info!(dispatch = dispatch.0, %how, "a person has not answered the phone");
                let joined = side.joined;
                self.sides.close(dispatch);
                match joined {
                    // It has come by another way meanwhile.
                    true => self.tell(Event::ParticipantLeft {
                        identity,
                        departure: Departure::Final,
                    }),
                    false => self.tell(Event::Unanswered { dispatch, how }),
                }
            }
            Said::Gone(detail) => {
                warn!(dispatch = dispatch.0, detail, "a side room is gone");
                let joined = side.joined;
                self.sides.close(dispatch);
                match joined {
                    true => self.tell(Event::ParticipantLeft {
                        identity,
                        departure: Departure::Final,
                    }),
                    false => self.tell(Event::DispatchFailed { dispatch, detail }),
                }
            }
        }
    }

    /// What an agent with an SDK would have said.
    fn side_word(&mut self, dispatch: DispatchId, identity: Identity, word: Word) {
        match word {
            Word::Joined => {
                debug!(identity = %Hash::of(identity.as_str()), "agent in its side room");
                self.tell(Event::SpecialistJoined {
                    dispatch,
                    identity: identity.clone(),
                });
                self.tell(Event::Hello { identity });
            }
            Word::Left => self.tell(Event::ParticipantLeft {
                identity,
                departure: Departure::MayReturn,
            }),
            Word::Ready(handoff) => self.tell(Event::Ready {
                identity,
                handoff,
                // Nothing of the conversation can be given to it.
                applied: true,
            }),
            Word::Alive => self.heard(identity),
            Word::Declined(handoff) => self.tell(Event::PrepareRefused {
                identity,
                handoff,
                detail: "declined".to_owned(),
            }),
            Word::HandsBack => self.tell(Event::HandedBack { identity }),
            Word::HungUp => self.tell(Event::ParticipantLeft {
                identity,
                departure: Departure::Final,
            }),
            Word::Granted(epoch) => {
                // It hears the caller from here on.
                self.figures.taken(clock::now(), epoch, Some(0));
                self.tell(Event::Granted { identity, epoch });
            }
            Word::Released(epoch) => {
                self.talk_released(&identity);
                self.tell(Event::Released { identity, epoch });
            }
        }
    }
}

/// Rings a person into its side room, which is closed if that fails.
fn ring(
    requests: &mut JoinSet<()>,
    deps: Arc<CallDeps>,
    call: &CallId,
    (dispatch, room, identity, dial): (DispatchId, String, Identity, Dial),
    say: mpsc::Sender<(DispatchId, Said)>,
) -> AbortHandle {
    let headers = reference(call);
    let limit = dial.limit;
    requests.spawn(async move {
        let rung = deps
            .server
            .ring(&room, identity.as_str(), dial, headers)
            .await;
        match rung {
            Ok(()) => info!(dispatch = dispatch.0, "a person has answered the phone"),
            Err(error) => {
                // The call's task is gone only when the call is over.
                let _ = say
                    .send((dispatch, Said::Unanswered(error.how(limit))))
                    .await;
            }
        }
    })
}

/// What the other end of a phone is told of the call, so that its systems can ask for the rest.
pub(super) fn reference(call: &CallId) -> HashMap<String, String> {
    HashMap::from([
        ("X-Baton-Call".to_owned(), call.to_string()),
        ("X-Baton-Packet".to_owned(), packet_path(call)),
    ])
}

/// Where below the operators' interface the packet of a call is.
pub(super) fn packet_path(call: &CallId) -> String {
    format!("/api/v1/calls/{call}/packet")
}

/// The name of a side room. It carries the number of the dispatch, so that it is always a new one.
fn room_beside(room: &str, specialist: &SpecialistName, dispatch: DispatchId) -> String {
    format!("{room}--{specialist}--{number}", number = dispatch.0)
}

fn item(incoming: Incoming) -> ContextItem {
    let Incoming {
        id,
        chat_item,
        native: _,
    } = incoming;
    ContextItem {
        id,
        position: None,
        chat_item,
        framework: String::new(),
        framework_json: Vec::new(),
        unknown: Vec::new(),
    }
}
