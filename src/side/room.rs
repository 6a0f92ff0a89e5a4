//! The task that has a side room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use call::{Digit, DispatchId, Epoch, HandoffId};
use context::{Incoming, REMOTE_SESSION_TOPIC, SessionMessage};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::duties::{Duties, Duty, Input, Word};
use super::ear::Line;
use crate::clock;
use crate::rtc::{
    ConnectOptions, Connection, IncomingAudio, IncomingBytes, Participant, ParticipantKind,
    RoomEvent, Sender,
};
use crate::telemetry::Hash;

/// The largest message of a session: a whole history.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages that may be on their way at the same time; one more is not read.
const MESSAGES_MAX: usize = 64;
/// The longest that a message or a digit may take to leave.
const SEND_MAX: Duration = Duration::from_secs(2);
/// What every id of a request begins with, for whoever reads along.
const REQUEST_PREFIX: &str = "baton-";
/// The name of the track that the agent takes for the caller's microphone.
const TRACK_NAME: &str = "caller";

/// What the call wants of the agent.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// To be ready for this handoff.
    Prepare(HandoffId),
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
    /// The room could not be had, or is gone: nothing more will come of it.
    Gone(String),
}

/// Joins a side room with a token that makes it, and carries on until the orders end or the room is gone.
pub async fn run(
    dispatch: DispatchId,
    (url, access_token): (String, worker::Secret),
    options: ConnectOptions,
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
                duties: Duties::default(),
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
    /// The first agent that came; nobody else is taken for it.
    agent: Option<String>,
    duties: Duties,
    /// In the order in which they began.
    messages: VecDeque<IncomingBytes>,
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
            let due = self.duties.poll_timeout();
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
                    let mut duties = Vec::new();
                    self.duties.handle_timeout(clock::now(), &mut duties);
                    self.carry_out(duties).await;
                }
            }
        }
        self.connection.close().await;
    }

    async fn ordered(&mut self, order: Order) {
        let input = match order {
            Order::Prepare(handoff) => Input::Prepare(handoff),
            Order::Grant(epoch) => Input::Grant(epoch),
            Order::Supersede => Input::Supersede,
            Order::Revoke(epoch) => Input::Revoke(epoch),
            Order::Ask => Input::Ask,
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
    }

    async fn happened(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Joined(participant) => {
                if self.agent.is_none() && participant.kind == ParticipantKind::Agent {
                    self.agent = Some(participant.identity.clone());
                }
                if self.is_agent(&participant) {
                    self.tell(Input::Joined).await;
                }
            }
            RoomEvent::Left(participant) if self.is_agent(&participant) => {
                self.tell(Input::Left).await;
            }
            RoomEvent::AudioPublished { participant, .. } if self.is_agent(&participant) => {
                self.tell(Input::Published).await;
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
                if let Some(digit) = Digit::new(digit) {
                    self.say(Said::Pressed(digit)).await;
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
        let mut duties = Vec::new();
        self.duties.handle(clock::now(), input, &mut duties);
        self.carry_out(duties).await;
    }

    async fn carry_out(&mut self, duties: Vec<Duty>) {
        for duty in duties {
            match duty {
                Duty::Say(word) => self.say(Said::Word(word)).await,
                Duty::Listen => {
                    if let Some(agent) = &self.agent {
                        self.connection.set_listening(agent, true);
                    }
                }
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

async fn next_message(messages: &mut VecDeque<IncomingBytes>) -> Option<Vec<u8>> {
    match messages.front_mut() {
        Some(message) => message.whole(MESSAGE_BYTES_MAX).await,
        None => std::future::pending().await,
    }
}
