//! The task that has a side room: an agent's, or a person's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use call::{Digit, DispatchId, Epoch, HandoffId, NoAnswer};
use context::{Incoming, REMOTE_SESSION_TOPIC, SessionMessage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::duties::{Duties, Duty, Input, Word};
use super::ear::Line;
use super::human::{self, Human, Keys};
use crate::clock;
use crate::rtc::{
    ConnectOptions, Connection, IncomingAudio, IncomingBytes, Participant, ParticipantKind,
    RoomEvent, Sender,
};
use crate::telemetry::Hash;
use audio::Recording;

/// The largest message of a session: a whole history.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages that may be on their way at the same time; one more is not read.
const MESSAGES_MAX: usize = 64;
/// The longest that a message or a digit may take to leave.
const SEND_MAX: Duration = Duration::from_secs(2);
/// What every id of a request begins with, for whoever reads along.
const REQUEST_PREFIX: &str = "baton-";
/// How long a packet of a briefing lasts.
const PACKET: Duration = Duration::from_millis(20);
/// The attribute by which the SIP bridge says how far a phone call is.
const SIP_CALL_STATUS: &str = "sip.callStatus";
/// The name of the track that the agent takes for the caller's microphone.
const TRACK_NAME: &str = "caller";
/// What a person is told in writing is a text stream of this topic.
const BRIEFING_TOPIC: &str = "baton.briefing";

/// Who is to be in the room.
#[derive(Clone, Debug)]
pub enum Beside {
    /// An agent that knows nothing of Baton.
    Agent,
    /// A person.
    Human {
        /// What its keys mean.
        keys: Keys,
        /// What it hears until it accepts.
        briefing: Option<Recording>,
    },
}

/// What the call wants of whoever is there.
#[derive(Clone, Debug)]
pub enum Order {
    /// To be ready for this handoff.
    Prepare(HandoffId),
    /// To know that somebody has accepted for it; only of a person.
    Accepted(HandoffId),
    /// To read this, if it can; only of a person.
    Brief(String),
    /// To hear this instead of what it hears until it accepts; only of a person.
    Speak(Recording),
    /// To have the baton.
    Grant(Epoch),
    /// To hear the caller no more.
    Supersede,
    /// To stop.
    Revoke(Epoch),
    /// To give a sign of life.
    Ask,
    /// To be told of a key that the caller has pressed.
    Press(Digit),
}

/// What comes from the side room.
#[derive(Debug)]
pub enum Said {
    /// The room is there; this is the way into it.
    Open(Line),
    /// What the agent would say if it spoke the protocol.
    Word(Word),
    /// A track of the agent's can be read.
    Sounds {
        /// Which.
        track_sid: String,
        /// Its packets.
        audio: IncomingAudio,
    },
    /// Items of the agent's history, in order; they may have come before.
    Items(Vec<Incoming>),
    /// The agent has pressed a key for the caller's side.
    Pressed(Digit),
    /// Whoever is rung into it has not answered the phone: nothing more will come of it.
    Unanswered(NoAnswer),
    /// The room could not be had, or is gone: nothing more will come of it.
    Gone(String),
}

/// Joins a side room with a token that makes it, and carries on until the orders end or the room is gone.
pub async fn run(
    dispatch: DispatchId,
    (url, access_token): (String, worker::Secret),
    options: ConnectOptions,
    beside: Beside,
    mut orders: mpsc::Receiver<Order>,
    said: mpsc::Sender<(DispatchId, Said)>,
) {
    let side = match open(&url, access_token.expose(), options).await {
        Ok((connection, line)) => {
            info!(room = %Hash::of(&connection.room_name()), dispatch = dispatch.0, "side room joined");
            let sender = connection.sender();
            let side = SideRoom {
                dispatch,
                connection,
                sender,
                said,
                agent: None,
                reader: None,
                resident: Resident::new(beside, line.clone()),
                messages: VecDeque::new(),
            };
            side.say(Said::Open(line)).await;
            side
        }
        Err(error) => {
            // The call's task is gone only when the call is over.
            let _ = said.send((dispatch, Said::Gone(error))).await;
            return;
        }
    };
    side.carry_on(&mut orders).await;
}

async fn open(
    url: &str,
    access_token: &str,
    options: ConnectOptions,
) -> Result<(Connection, Line), String> {
    let connection = Connection::join(url, access_token, options)
        .await
        .map_err(|error| error.to_string())?;
    match connection.publish_track(TRACK_NAME).await {
        Ok(track) => Ok((connection, Arc::new(track))),
        Err(error) => {
            connection.close().await;
            Err(error.to_string())
        }
    }
}

struct SideRoom {
    dispatch: DispatchId,
    connection: Connection,
    sender: Sender,
    said: mpsc::Sender<(DispatchId, Said)>,
    /// The first that came of those who may be meant; nobody else is taken for it.
    agent: Option<String>,
    /// The same, if it is on no phone.
    reader: Option<String>,
    resident: Resident,
    /// In the order in which they began.
    messages: VecDeque<IncomingBytes>,
}

/// What is done for whoever is there.
enum Resident {
    Agent(Duties),
    Human {
        human: Human,
        line: Line,
        briefing: Option<Recording>,
        /// What plays it.
        playing: Option<JoinHandle<()>>,
    },
}

impl Resident {
    fn new(beside: Beside, line: Line) -> Self {
        match beside {
            Beside::Agent => Self::Agent(Duties::default()),
            Beside::Human { keys, briefing } => Self::Human {
                human: Human::new(keys),
                line,
                briefing,
                playing: None,
            },
        }
    }

    /// Whether a participant of this kind may be meant.
    fn may_be(&self, kind: ParticipantKind) -> bool {
        match (self, kind) {
            (Self::Agent(_), ParticipantKind::Agent)
            | (Self::Human { .. }, ParticipantKind::Sip | ParticipantKind::Standard) => true,
            (
                Self::Agent(_),
                ParticipantKind::Sip | ParticipantKind::Standard | ParticipantKind::Other,
            )
            | (Self::Human { .. }, ParticipantKind::Agent | ParticipantKind::Other) => false,
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if let Self::Human {
            playing: Some(playing),
            ..
        } = self
        {
            playing.abort();
        }
    }
}

/// What wakes the task.
enum Wake {
    Order(Option<Order>),
    Event(Box<RoomEvent>),
    Message(Option<Vec<u8>>),
    Due,
}

impl SideRoom {
    async fn carry_on(mut self, orders: &mut mpsc::Receiver<Order>) {
        loop {
            let due = match &self.resident {
                Resident::Agent(duties) => duties.poll_timeout(),
                Resident::Human { .. } => None,
            };
            let wake = {
                let messages = &mut self.messages;
                // Every arm only receives, and loses nothing when another one is taken.
                tokio::select! {
                    order = orders.recv() => Wake::Order(order),
                    event = self.connection.next_event() => Wake::Event(Box::new(event)),
                    message = next_message(messages) => Wake::Message(message),
                    () = async {
                        match due {
                            Some(due) => tokio::time::sleep_until(due.into()).await,
                            None => std::future::pending().await,
                        }
                    } => Wake::Due,
                }
            };
            match wake {
                Wake::Order(Some(order)) => self.ordered(order).await,
                Wake::Order(None) => break,
                Wake::Event(event) => match *event {
                    RoomEvent::Closed(closed) => {
                        self.say(Said::Gone(format!("{closed:?}"))).await;
                        break;
                    }
                    event => self.happened(event).await,
                },
                Wake::Message(message) => {
                    self.messages.pop_front();
                    match message {
                        Some(message) => self.heard(&message).await,
                        None => debug!("a message of a session was too large or broke off"),
                    }
                }
                Wake::Due => {
                    let mut out = Vec::new();
                    if let Resident::Agent(duties) = &mut self.resident {
                        duties.handle_timeout(clock::now(), &mut out);
                    }
                    self.carry_out(out).await;
                }
            }
        }
        self.connection.close().await;
    }

    async fn ordered(&mut self, order: Order) {
        let (input, of_human) = match order {
            Order::Prepare(handoff) => (Input::Prepare(handoff), human::Input::Prepare(handoff)),
            Order::Accepted(handoff) => {
                return self.tell_human(human::Input::Accepted(handoff)).await;
            }
            Order::Brief(text) => return self.brief_in_writing(&text).await,
            Order::Speak(speech) => return self.brief_anew(speech),
            Order::Grant(epoch) => (Input::Grant(epoch), human::Input::Grant(epoch)),
            Order::Supersede => (Input::Supersede, human::Input::Supersede),
            Order::Revoke(epoch) => (Input::Revoke(epoch), human::Input::Revoke(epoch)),
            Order::Ask => (Input::Ask, human::Input::Ask),
            Order::Press(digit) => {
                let Some(agent) = self.agent.clone() else {
                    return;
                };
                let pressing = self.sender.press(&agent, digit.as_char());
                if !matches!(timeout(SEND_MAX, pressing).await, Ok(Ok(()))) {
                    warn!("a digit did not reach the side room");
                }
                return;
            }
        };
        self.tell(input).await;
        self.tell_human(of_human).await;
    }

    async fn happened(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Joined(participant) => {
                if self.agent.is_none() && self.resident.may_be(participant.kind) {
                    self.agent = Some(participant.identity.clone());
                    let reads = participant.kind == ParticipantKind::Standard;
                    self.reader = reads.then(|| participant.identity.clone());
                }
                if self.is_agent(&participant) {
                    self.tell(Input::Joined).await;
                    self.may_have_come(&participant).await;
                }
            }
            RoomEvent::AttributesChanged(participant) if self.is_agent(&participant) => {
                self.may_have_come(&participant).await;
            }
            RoomEvent::Left(participant) if self.is_agent(&participant) => {
                self.tell(Input::Left).await;
                let left = match call_status(&participant) {
                    Some("hangup") => human::Input::HungUp,
                    Some(_) | None => human::Input::Left,
                };
                self.tell_human(left).await;
            }
            RoomEvent::AudioPublished { participant, .. } if self.is_agent(&participant) => {
                self.tell(Input::Published).await;
                if let Resident::Human { human, .. } = &self.resident
                    && human.is_listened_to()
                {
                    self.listen();
                }
            }
            RoomEvent::AudioSubscribed {
                participant,
                track_sid,
                audio,
            } if self.is_agent(&participant) => {
                self.say(Said::Sounds { track_sid, audio }).await;
                self.tell(Input::Subscribed).await;
            }
            RoomEvent::AudioUnsubscribed { participant, .. } if self.is_agent(&participant) => {
                self.tell(Input::Unsubscribed).await;
            }
            RoomEvent::Dtmf {
                sender: Some(sender),
                digit,
            } if self.is_agent(&sender) => {
                let Some(digit) = Digit::new(digit) else {
                    return;
                };
                match &self.resident {
                    Resident::Agent(_) => self.say(Said::Pressed(digit)).await,
                    Resident::Human { .. } => self.tell_human(human::Input::Pressed(digit)).await,
                }
            }
            RoomEvent::ByteStream {
                sender,
                topic,
                stream,
            } if topic == REMOTE_SESSION_TOPIC && self.agent.as_ref() == Some(&sender) => {
                if self.messages.len() < MESSAGES_MAX {
                    self.messages.push_back(stream);
                } else {
                    warn!("a session says more than is read");
                }
            }
            RoomEvent::Left(_)
            | RoomEvent::AudioPublished { .. }
            | RoomEvent::Unpublished { .. }
            | RoomEvent::AudioSubscribed { .. }
            | RoomEvent::AudioUnsubscribed { .. }
            | RoomEvent::Data { .. }
            | RoomEvent::ByteStream { .. }
            | RoomEvent::Dtmf { .. }
            | RoomEvent::AttributesChanged(_)
            | RoomEvent::Speaking(_)
            | RoomEvent::ProgramSubscribed
            | RoomEvent::Reconnecting
            | RoomEvent::Reconnected
            | RoomEvent::Closed(_) => {}
        }
    }

    async fn heard(&mut self, message: &[u8]) {
        match SessionMessage::decode(message) {
            Ok(SessionMessage::Answer {
                request,
                items,
                error,
            }) => {
                if let Some(error) = error {
                    debug!(request, error, "a session refused a request");
                }
                let number = request.strip_prefix(REQUEST_PREFIX).map(str::parse);
                // Others may ask the same session, and everybody hears its answers.
                let Some(Ok(number)) = number else {
                    return;
                };
                if !items.is_empty() {
                    self.say(Said::Items(items)).await;
                }
                self.tell(Input::Answered(number)).await;
            }
            Ok(SessionMessage::Added(item)) => self.say(Said::Items(vec![item])).await,
            Ok(SessionMessage::ToolsRan) => self.tell(Input::ToolsRan).await,
            Ok(SessionMessage::Other) => {}
            Err(error) => debug!(%error, "a message is none of a session's"),
        }
    }

    async fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        if let Resident::Agent(duties) = &mut self.resident {
            duties.handle(clock::now(), input, &mut out);
        }
        self.carry_out(out).await;
    }

    /// A person whose phone rings has not come yet.
    async fn may_have_come(&mut self, participant: &Participant) {
        match call_status(participant) {
            None | Some("active") => self.tell_human(human::Input::Came).await,
            Some("hangup") => self.tell_human(human::Input::HungUp).await,
            Some(_) => {}
        }
    }

    async fn tell_human(&mut self, input: human::Input) {
        let mut duties = Vec::new();
        if let Resident::Human { human, .. } = &mut self.resident {
            human.handle(input, &mut duties);
        }
        for duty in duties {
            match duty {
                human::Duty::Say(word) => self.say(Said::Word(word)).await,
                human::Duty::Brief(on) => self.brief(on),
                human::Duty::Listen => self.listen(),
                human::Duty::Pass(digit) => self.say(Said::Pressed(digit)).await,
            }
        }
    }

    /// Lets the person hear its briefing, or cease to.
    fn brief(&mut self, on: bool) {
        let Resident::Human {
            line,
            briefing,
            playing,
            ..
        } = &mut self.resident
        else {
            return;
        };
        if let Some(before) = playing.take() {
            before.abort();
        }
        if let Some(briefing) = briefing.as_ref().filter(|_| on) {
            *playing = Some(tokio::spawn(play(line.clone(), briefing.clone())));
        }
    }

    /// The person hears this from now on, if it is being asked, or else when it will be.
    fn brief_anew(&mut self, speech: Recording) {
        if let Resident::Human {
            human, briefing, ..
        } = &mut self.resident
        {
            *briefing = Some(speech);
            if human.is_asked() {
                self.brief(true);
            }
        }
    }

    /// A phone has no screen that it could be sent to.
    async fn brief_in_writing(&self, text: &str) {
        let (Some(reader), Resident::Human { .. }) = (&self.reader, &self.resident) else {
            return;
        };
        let sending = self.sender.send_text(reader, BRIEFING_TOPIC, text);
        if !matches!(timeout(SEND_MAX, sending).await, Ok(Ok(()))) {
            warn!("a briefing did not reach the person");
        }
    }

    fn listen(&mut self) {
        if let Some(agent) = &self.agent {
            self.connection.set_listening(agent, true);
        }
    }

    async fn carry_out(&mut self, duties: Vec<Duty>) {
        for duty in duties {
            match duty {
                Duty::Say(word) => self.say(Said::Word(word)).await,
                Duty::Listen => self.listen(),
                Duty::Ask { id, request } => {
                    let Some(agent) = &self.agent else {
                        continue;
                    };
                    let message = request.encode(&format!("{REQUEST_PREFIX}{id}"));
                    let sending = self.sender.send_bytes(agent, REMOTE_SESSION_TOPIC, message);
                    if !matches!(timeout(SEND_MAX, sending).await, Ok(Ok(()))) {
                        debug!(id, "a request did not reach the session");
                    }
                }
            }
        }
    }

    fn is_agent(&self, participant: &Participant) -> bool {
        self.agent.as_ref() == Some(&participant.identity)
    }

    async fn say(&self, said: Said) {
        // The call's task is gone only when the call is over.
        let _ = self.said.send((self.dispatch, said)).await;
    }
}

/// How far the phone call of a participant is, if it is one.
fn call_status(participant: &Participant) -> Option<&str> {
    let status = participant.attributes.get(SIP_CALL_STATUS);
    status.map(String::as_str)
}

/// Plays it over and over, until it is aborted.
async fn play(line: Line, recording: Recording) {
    let mut ticks = interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for packet in recording.packets().iter().cycle() {
        ticks.tick().await;
        line.send(packet.clone(), None);
    }
}

async fn next_message(messages: &mut VecDeque<IncomingBytes>) -> Option<Vec<u8>> {
    match messages.front_mut() {
        Some(message) => message.whole(MESSAGE_BYTES_MAX).await,
        None => std::future::pending().await,
    }
}
