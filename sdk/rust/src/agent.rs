//! What an agent is told, and what it can do.

use std::sync::Arc;
use std::time::Duration;

use call::{CallId, Epoch, HandoffId, Opening, SpecialistName, Target, Targets};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use wire::{FailKind, RefuseKind};

use crate::keys::Keys;
use crate::listener::{CallerAudio, Listener};
use crate::memory::{Conversation, Shared, State};
use crate::summary::Summaries;
use crate::voice::{Speaker, Voice};

/// What a specialist does in one call. Every hook has a default that does nothing.
///
/// Hooks run one at a time, on a task of their own: none of them holds up the protocol. A hook whose reason is gone is
/// dropped where it awaits; work that must go on has a task of its own.
pub trait Agent: Send + 'static {
    /// The specialist is in the room and has said Hello.
    fn joined(&mut self, _call: &Call) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The baton may come soon: load what is needed, and return when the first word could be said. Dropped if the
    /// handoff is called off.
    ///
    /// # Errors
    /// If the specialist does not want the baton now; the one who has it keeps it.
    fn prepare(
        &mut self,
        _call: &Call,
        _preparation: Preparation,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// The baton is here: from now on the caller hears this specialist, and it hears the caller. Dropped when the baton
    /// goes.
    fn granted(&mut self, call: &Call, grant: Grant) -> impl Future<Output = ()> + Send;

    /// The baton is gone. The specialist stays in the room until it is told to leave.
    fn revoked(&mut self, _call: &Call) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What is known of a handoff before it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    /// Its number in the call.
    pub handoff: HandoffId,
    /// Who has the baton, if anybody does.
    pub from: Option<SpecialistName>,
    /// Why it moves.
    pub reason: String,
    /// Whether this specialist is to speak first.
    pub opening: Opening,
    /// The caller's identity in the room, once there is a caller.
    pub caller: Option<String>,
    /// What it is delegated to do, which it ends with [`Call::complete`]; nothing if the baton is not to come back.
    pub task: Option<Value>,
    /// The trace of the call, for spans of its own, as the W3C's Trace Context has it; nothing if the call is not traced.
    pub traceparent: Option<String>,
}

/// The baton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The epoch that starts with it.
    pub epoch: Epoch,
    /// Whether this specialist is to speak first.
    pub opening: Opening,
    /// The handoff it comes from; `None` if the specialist had the baton before, and has it again.
    pub handoff: Option<HandoffId>,
}

/// The specialist does not want to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in a sentence; at most 512 characters of it are kept.
    pub reason: String,
}

/// A handoff that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffDone {
    /// Its number in the call.
    pub handoff: HandoffId,
    /// Who has the baton.
    pub holder: SpecialistName,
    /// Since which epoch.
    pub epoch: Epoch,
}

/// Why a handoff did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoffError {
    /// The specialist does not have the baton, and only who has it can hand it off.
    #[error("the specialist does not have the baton")]
    NoBaton,
    /// It was not tried.
    #[error("the handoff was refused: {detail}")]
    Refused {
        /// Why.
        reason: RefuseKind,
        /// The same as a sentence.
        detail: String,
    },
    /// It was tried in vain; the specialist still has the baton.
    #[error("the handoff failed: {detail}")]
    Failed {
        /// Why.
        reason: FailKind,
        /// The same as a sentence.
        detail: String,
    },
    /// Too many requests of this specialist are open.
    #[error("{limit} requests are open, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// It cannot be sent.
    #[error("the request cannot be sent: {detail}")]
    NotSent {
        /// Why.
        detail: String,
    },
    /// The call is over for this specialist.
    #[error("the call is over")]
    CallOver,
}

/// Why a delegation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// The baton did not go there.
    #[error(transparent)]
    Handoff(#[from] HandoffError),
    /// It went, and no result came of it.
    #[error("the delegation has no result: {why}")]
    NoResult {
        /// Why, in Baton's words.
        why: String,
    },
    /// What came is no JSON.
    #[error("the result of the delegation is no json")]
    NotJson,
}

/// A request as an agent makes it.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) target: Target,
    pub(crate) reason: String,
    pub(crate) tool_call: Option<String>,
    /// What the target is to do, as JSON.
    pub(crate) task: Option<Vec<u8>>,
    /// What came of the asker's own task, as JSON.
    pub(crate) result: Option<Vec<u8>>,
}

/// What comes of a delegation: JSON, or why there is none.
pub(crate) type Delegated = Result<Vec<u8>, String>;

/// One call, as a specialist sees it. Clones are the same call.
#[derive(Debug, Clone)]
pub struct Call {
    shared: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: CallId,
    specialist: SpecialistName,
    metadata: Value,
    voice: Voice,
    caller: CallerAudio,
    targets: watch::Receiver<Targets>,
    keys: Keys,
    summaries: broadcast::WeakSender<(u64, Duration)>,
    wishes: mpsc::Sender<Wish>,
    conversation: Conversation,
    state: State,
}

/// What an agent wants of its job.
#[derive(Debug)]
pub(crate) enum Wish {
    /// It is ready, or does not want to be prepared.
    Prepared {
        handoff: HandoffId,
        answer: Result<(), Refusal>,
    },
    /// It wants to hand off.
    Handoff {
        asking: Asking,
        reply: oneshot::Sender<Result<HandoffDone, HandoffError>>,
        /// Who waits for what comes of the task.
        delegated: Option<oneshot::Sender<Delegated>>,
    },
    /// It has summed up the call, or will not.
    Summary {
        request: u64,
        outcome: Result<String, String>,
    },
    /// It wants its connection to be made anew.
    #[cfg(feature = "misbehave")]
    Reconnect,
}

impl Call {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing that a call has, and there is one place for each"
    )]
    pub(crate) fn new(
        id: CallId,
        specialist: SpecialistName,
        metadata: Value,
        voice: Voice,
        caller: CallerAudio,
        targets: watch::Receiver<Targets>,
        keys: Keys,
        summaries: broadcast::WeakSender<(u64, Duration)>,
        wishes: mpsc::Sender<Wish>,
        memory: &Shared,
    ) -> Self {
        Self {
            shared: Arc::new(Inner {
                id,
                specialist,
                metadata,
                voice,
                caller,
                targets,
                keys,
                summaries,
                wishes,
                conversation: memory.conversation(),
                state: memory.state(),
            }),
        }
    }

    /// Baton's id of the call.
    pub fn id(&self) -> &str {
        self.shared.id.as_str()
    }

    /// This specialist's name in Baton's configuration.
    pub fn specialist(&self) -> &str {
        self.shared.specialist.as_str()
    }

    /// The operator's own metadata for this specialist; null if there is none.
    pub fn metadata(&self) -> &Value {
        &self.shared.metadata
    }

    /// To whom routes lead from this specialist, each with a line on when to take it: what a model chooses from. Empty
    /// until Baton has welcomed it, which is before [`Agent::prepare`].
    pub fn targets(&self) -> Targets {
        self.shared.targets.borrow().clone()
    }

    /// What was said in the call, in words and by tools: to be read, and written while the baton is here. All of it that
    /// this specialist may have is here before [`Agent::prepare`], and before [`Agent::granted`]; where the route has it summed
    /// up, before [`Agent::granted`] alone, since the summary is made meanwhile.
    pub fn conversation(&self) -> &Conversation {
        &self.shared.conversation
    }

    /// The state that all specialists of the call share.
    pub fn state(&self) -> &State {
        &self.shared.state
    }

    /// What says things to the caller.
    pub fn speaker(&self) -> Speaker {
        self.shared.voice.speaker()
    }

    /// What hears the caller: while the baton is here, and a moment before it came.
    pub fn listen(&self) -> Listener {
        self.shared.caller.listener()
    }

    /// Resolves when the caller can be heard, and with `whole` the moment before too, at once if there is nothing to hear of it.
    pub(crate) async fn can_hear(&self, whole: bool) {
        self.shared.caller.opened(whole).await;
    }

    /// The keys that the caller presses while the baton is here.
    pub fn dtmf(&self) -> Keys {
        self.shared.keys.clone()
    }

    /// Baton's requests for a summary, which come when this specialist is about to hand over on a route that wants one. Hold it,
    /// and read it in a task of its own, if this specialist makes summaries; `None` if the call is over.
    pub fn summaries(&self) -> Option<Summaries> {
        let requests = self.shared.summaries.upgrade()?.subscribe();
        Some(Summaries::new(requests, self.shared.wishes.clone()))
    }

    /// Asks for the baton to be handed to another specialist, and waits for what becomes of it. When it is done, this
    /// specialist no longer has the baton, and [`Agent::granted`] may be dropped before it learns of it.
    ///
    /// # Errors
    /// If it is refused, fails, or cannot be asked for. A failed handoff changes nothing.
    pub async fn handoff(&self, to: &str, reason: &str) -> Result<HandoffDone, HandoffError> {
        let asking = Asking::new(Target::Specialist(to.into()), reason);
        self.ask(asking).await
    }

    /// The same by a tool call of the model's, with the `call_id` that is in the conversation: Baton does not wait for its result.
    ///
    /// # Errors
    /// As [`Call::handoff`].
    pub async fn handoff_by_tool(
        &self,
        to: &str,
        reason: &str,
        call_id: &str,
    ) -> Result<HandoffDone, HandoffError> {
        let mut asking = Asking::new(Target::Specialist(to.into()), reason);
        asking.tool_call = Some(call_id.to_owned());
        self.ask(asking).await
    }

    /// Hands the baton over for a task, and waits for the result that comes back with it, for as long as Baton's
    /// `timers.delegation_timeout_ms` says. [`Agent::granted`] is dropped when the baton goes: wait in a task of its own. With
    /// the `call_id` of the tool call that asks, Baton gives that call its output.
    ///
    /// # Errors
    /// If the handoff does not happen, or no result comes of it.
    pub async fn delegate(
        &self,
        to: &str,
        reason: &str,
        task: &Value,
        call_id: Option<&str>,
    ) -> Result<Value, DelegationError> {
        let mut asking = Asking::new(Target::Specialist(to.into()), reason);
        asking.tool_call = call_id.map(str::to_owned);
        asking.task = Some(task.to_string().into_bytes());
        let (delegated, result) = oneshot::channel();
        self.ask_for(asking, Some(delegated)).await?;
        let result = result.await.map_err(|_| HandoffError::CallOver)?;
        let json = result.map_err(|why| DelegationError::NoResult { why })?;
        serde_json::from_slice(&json).map_err(|_| DelegationError::NotJson)
    }

    /// Ends the task that was delegated to this specialist: the result goes with the baton to whoever delegated it.
    ///
    /// # Errors
    /// As [`Call::handoff`]; it is refused if nothing is delegated to this specialist.
    pub async fn complete(
        &self,
        result: &Value,
        reason: &str,
    ) -> Result<HandoffDone, HandoffError> {
        let mut asking = Asking::new(Target::Previous, reason);
        asking.result = Some(result.to_string().into_bytes());
        self.ask(asking).await
    }

    /// Asks for the baton to be handed back to whoever had it before; see [`Call::handoff`].
    ///
    /// # Errors
    /// As [`Call::handoff`].
    pub async fn hand_back(&self, reason: &str) -> Result<HandoffDone, HandoffError> {
        self.ask(Asking::new(Target::Previous, reason)).await
    }

    /// Has the connection made anew, as after a loss of the network: a full reconnect.
    #[cfg(feature = "misbehave")]
    pub async fn reconnect(&self) {
        // The job is over if nobody receives it.
        let _ = self.shared.wishes.send(Wish::Reconnect).await;
    }

    async fn ask(&self, asking: Asking) -> Result<HandoffDone, HandoffError> {
        self.ask_for(asking, None).await
    }

    async fn ask_for(
        &self,
        asking: Asking,
        delegated: Option<oneshot::Sender<Delegated>>,
    ) -> Result<HandoffDone, HandoffError> {
        let (reply, answer) = oneshot::channel();
        let wish = Wish::Handoff {
            asking,
            reply,
            delegated,
        };
        let sent = self.shared.wishes.send(wish).await;
        sent.map_err(|_| HandoffError::CallOver)?;
        answer.await.map_err(|_| HandoffError::CallOver)?
    }
}

impl Asking {
    fn new(target: Target, reason: &str) -> Self {
        Self {
            target,
            reason: reason.to_owned(),
            tool_call: None,
            task: None,
            result: None,
        }
    }
}
