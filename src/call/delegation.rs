//! Delegations: the baton goes to another for a task, and comes back with the result. This page is their specification.
//!
//! A holder delegates by a request like any other that says what the target is to do. From the end of that handoff on the
//! delegation is open: the target, now the holder, is the *delegate*, and the one that asked, the *delegator*, stays in the
//! room whatever its configuration says. A delegate may delegate in turn; the open ones lie on each other, and only the
//! topmost, whose delegate has the baton, can end with a result.
//!
//! | what happens | the delegator is told | the baton |
//! |---|---|---|
//! | the delegate finishes with a result | the result | goes to the delegator |
//! | the same, and the delegator is gone | the result stands in the conversation | goes to another instance of the delegator |
//! | the delegate is lost | [`DelegationFailure::Lost`] | goes to whom a rule for lost holders or the route names, else to the delegator |
//! | `Timer::Delegation` | [`DelegationFailure::TimedOut`] | goes to the delegator, unless it is on its way elsewhere |
//! | it goes to the delegator without a result | [`DelegationFailure::NoResult`] | is there |
//! | it goes to somebody else | [`DelegationFailure::Elsewhere`] | is there |
//! | an operator's hold | nothing: it stays open | goes to the delegate again, or elsewhere as above |
//!
//! The end of a delegation is said once, right before the grant that ends it, so that the delegator knows the result when it
//! has the baton; the tool call by which it asked gets its output there, and until then is neither waited for nor cancelled
//! by any handoff. Should the switch of that grant be undone, the delegation has ended all the same. Whoever lies on one that
//! ends has ended with it.
//!
//! A route's fallbacks may take a task in the place of its target. A result needs no route, and goes to nobody in the
//! delegator's place; where a route fits, it says how the baton moves. Beyond the limits a request is refused:
//!
//! | what | limit | beyond it |
//! |---|---|---|
//! | a task or result | [`PAYLOAD_BYTES_MAX`] bytes of JSON | [`RefuseReason::BadPayload`] |
//! | delegations in each other | [`DELEGATIONS_MAX`] | [`RefuseReason::TooDeep`] |
//! | a result from whoever has no task | | [`RefuseReason::NoDelegation`] |

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::event::{Asker, HandoffRequest, Target};
use crate::ids::{DispatchId, HandoffId, RequestId, SpecialistName};
use crate::outcome::{DelegationFailure, PayloadError, RefuseReason};
use crate::phase::{Cause, Handoff, Phase};
use crate::snapshot::{Stage, WasAt};

/// The longest task or result, in bytes: with all that goes along it fits into one frame of the protocol.
pub const PAYLOAD_BYTES_MAX: usize = 8_192;

/// How many delegations may be open in each other.
pub const DELEGATIONS_MAX: usize = 8;

/// A task or a result: a JSON value of at most [`PAYLOAD_BYTES_MAX`] bytes. It may be personal: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(Arc<str>);

/// What a request has to do with a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegating {
    /// The target is to do this and to come back with a result.
    Task(Result<Payload, PayloadError>),
    /// This is the result of what the asker was to do; it goes to whoever delegated that, whatever target is named.
    Result(Result<Payload, PayloadError>),
}

/// What a handoff has to do with a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// It opens one.
    Task {
        /// Who delegates.
        by: DispatchId,
        /// Its name.
        by_name: SpecialistName,
        /// What is to be done.
        task: Payload,
    },
    /// It ends one.
    Result {
        /// The handoff that opened it.
        delegation: HandoffId,
        /// What has come of it.
        result: Payload,
    },
}

/// A delegation that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The handoff that opened it.
    pub handoff: HandoffId,
    /// The delegator.
    pub by: DispatchId,
    /// Its name.
    pub by_name: SpecialistName,
    /// The delegate.
    pub to: DispatchId,
    /// The delegator's number for the request.
    pub request: RequestId,
    /// The tool call by which it asked.
    pub tool_call: Option<String>,
}

/// The open delegations, the outermost first.
#[derive(Debug, Default)]
pub(crate) struct Delegations {
    open: Vec<(Delegation, Instant)>,
}

impl Payload {
    /// Takes a JSON value.
    ///
    /// # Errors
    /// If it is too long, or no JSON.
    pub fn new(json: &[u8]) -> Result<Self, PayloadError> {
        if json.len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadError::TooLarge { bytes: json.len() });
        }
        // Parsed for good, since that bounds the depth too.
        serde_json::from_slice::<serde_json::Value>(json).map_err(|error| {
            PayloadError::NotJson {
                column: error.column(),
            }
        })?;
        let text = std::str::from_utf8(json).map_err(|error| PayloadError::NotJson {
            column: error.valid_up_to(),
        })?;
        Ok(Self(text.into()))
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Delegation {
    /// The one that a handoff has opened, if it has.
    fn opened(handoff: &Handoff, to: DispatchId) -> Option<Self> {
        let Errand::Task { by, by_name, .. } = handoff.errand.as_deref()? else {
            return None;
        };
        let Cause::Request { request, .. } = handoff.cause else {
            return None;
        };
        Some(Self {
            handoff: handoff.id,
            by: *by,
            by_name: by_name.clone(),
            to,
            request,
            tool_call: handoff.tool_call.clone(),
        })
    }
}

impl Delegations {
    /// Those that were open in a former process, each with all of its time.
    pub(crate) fn resumed(open: Vec<Delegation>, until: Instant) -> Self {
        let open = open.into_iter().map(|one| (one, until));
        Self {
            open: open.collect(),
        }
    }

    pub(crate) fn open(&self) -> impl DoubleEndedIterator<Item = &Delegation> {
        self.open.iter().map(|(delegation, _)| delegation)
    }

    /// When the first of them has lasted too long.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.open.iter().map(|(_, until)| *until).min()
    }

    fn topmost(&self) -> Option<&Delegation> {
        self.open.last().map(|(delegation, _)| delegation)
    }
}

impl Call {
    /// What the handoff that is asked for has to do with a delegation. The asker is known to be entitled to a handoff.
    pub(crate) fn errand(
        &self,
        asker: &Asker,
        delegating: Option<Delegating>,
    ) -> Result<Option<Errand>, RefuseReason> {
        let Some(delegating) = delegating else {
            return Ok(None);
        };
        let (Asker::Specialist { .. }, Some(holder)) = (asker, self.phase.holder()) else {
            return Err(RefuseReason::NoDelegation);
        };
        let bad = |error| RefuseReason::BadPayload { error };
        match delegating {
            Delegating::Task(_) if self.delegations.open.len() >= DELEGATIONS_MAX => {
                Err(RefuseReason::TooDeep {
                    max: DELEGATIONS_MAX,
                })
            }
            Delegating::Task(task) => Ok(Some(Errand::Task {
                by: holder.dispatch,
                by_name: holder.specialist.clone(),
                task: task.map_err(bad)?,
            })),
            Delegating::Result(result) => match self.delegations.topmost() {
                Some(topmost) if topmost.to == holder.dispatch => Ok(Some(Errand::Result {
                    delegation: topmost.handoff,
                    result: result.map_err(bad)?,
                })),
                Some(_) | None => Err(self.still_coming(holder.dispatch)),
            },
        }
    }

    /// Why there is nothing to finish: the handoff that brings the task is not done yet, or there is none.
    fn still_coming(&self, holder: DispatchId) -> RefuseReason {
        let handoff = self.phase.handoff();
        let coming = handoff.filter(|one| match one.errand.as_deref() {
            Some(Errand::Task { by, .. }) => *by != holder,
            Some(Errand::Result { .. }) | None => false,
        });
        coming.map_or(RefuseReason::NoDelegation, |handoff| {
            RefuseReason::InProgress {
                handoff: handoff.id,
                target: handoff.to.clone(),
            }
        })
    }

    /// To whom a result goes.
    pub(crate) fn delegator(&self, of: HandoffId) -> Option<&SpecialistName> {
        let mut open = self.delegations.open();
        let delegation = open.find(|one| one.handoff == of)?;
        Some(&delegation.by_name)
    }

    /// The instance of this specialist that waits for a result.
    pub(crate) fn waiting_delegator(&self, name: &SpecialistName) -> Option<DispatchId> {
        let mut open = self.delegations.open().rev();
        Some(open.find(|one| one.by_name == *name)?.by)
    }

    /// Who is to have the baton when the delegate is lost.
    pub(crate) fn delegator_of_lost(&self) -> Option<&SpecialistName> {
        let topmost = self.delegations.topmost()?;
        self.is_lost(topmost.to).then_some(&topmost.by_name)
    }

    /// Whether this one has delegated, or is about to, and waits.
    pub(crate) fn delegates(&self, dispatch: DispatchId) -> bool {
        let about_to = self.phase.handoff().and_then(|one| one.errand.as_deref());
        let about_to = about_to.is_some_and(|errand| match errand {
            Errand::Task { by, .. } => *by == dispatch,
            Errand::Result { .. } => false,
        });
        about_to || self.delegations.open().any(|one| one.by == dispatch)
    }

    /// The tool calls by which delegations were asked for that are open.
    pub(crate) fn delegating_calls(&self) -> impl Iterator<Item = String> {
        let calls = self.delegations.open();
        calls.filter_map(|delegation| delegation.tool_call.clone())
    }

    /// A handoff is done: if it came with a task, a delegation is open.
    pub(crate) fn open_delegation(
        &mut self,
        turn: &mut Turn<'_>,
        handoff: &Handoff,
        to: DispatchId,
    ) {
        let Some(delegation) = Delegation::opened(handoff, to) else {
            return;
        };
        let until = turn.after(self.plan.timers().delegation_timeout_ms);
        self.delegations.open.push((delegation.clone(), until));
        turn.record(Fact::DelegationBegan { delegation });
    }

    /// The baton is about to be granted: ends what cannot go on with this one as the holder.
    pub(crate) fn end_delegations(
        &mut self,
        turn: &mut Turn<'_>,
        handoff: &Handoff,
        to: DispatchId,
    ) {
        let result = match handoff.errand.as_deref() {
            Some(Errand::Result { delegation, result }) => Some((*delegation, result.clone())),
            Some(Errand::Task { .. }) => return,
            None => None,
        };
        while let Some(topmost) = self.delegations.topmost() {
            let outcome = match &result {
                Some((delegation, result)) if *delegation == topmost.handoff => Ok(result.clone()),
                Some(_) | None if topmost.to == to => return,
                Some(_) | None if self.is_lost(topmost.to) => Err(DelegationFailure::Lost),
                Some(_) | None if topmost.by == to => Err(DelegationFailure::NoResult),
                Some(_) | None => Err(DelegationFailure::Elsewhere {
                    to: handoff.to.clone(),
                }),
            };
            self.end_topmost(turn, outcome);
        }
    }

    /// A delegation has lasted too long: it ends with all that lie on it, and the baton goes back.
    pub(crate) fn delegation_timed_out(&mut self, turn: &mut Turn<'_>) {
        let after_ms = self.plan.timers().delegation_timeout_ms;
        let open = &self.delegations.open;
        let Some(index) = open.iter().position(|(_, until)| *until <= turn.now) else {
            return;
        };
        let to = open[index].0.by_name.clone();
        while self.delegations.open.len() > index {
            self.end_topmost(turn, Err(DelegationFailure::TimedOut { after_ms }));
        }
        if let Phase::Active { holder } = &self.phase
            && holder.specialist != to
        {
            let request = HandoffRequest {
                asker: Asker::Rule,
                request: self.next_rule_request(),
                target: Target::Specialist(to),
                reason: "the delegation has taken too long".to_owned(),
                tool_call: None,
                splice: None,
                delegating: None,
            };
            self.requested_to_return(turn, request);
        }
    }

    fn end_topmost(&mut self, turn: &mut Turn<'_>, outcome: Result<Payload, DelegationFailure>) {
        let Some((delegation, _)) = self.delegations.open.pop() else {
            return;
        };
        let Delegation {
            handoff,
            by,
            by_name: _,
            to: _,
            request,
            tool_call,
        } = delegation;
        let failure = outcome.as_ref().err().cloned();
        turn.record(Fact::DelegationEnded { handoff, failure });
        turn.push(Command::DelegationResult {
            identity: self.roster.identity(by).filter(|_| !self.is_lost(by)),
            epoch: self.epoch,
            handoff,
            request,
            tool_call,
            outcome,
        });
        self.rest_delegator(turn, by);
    }

    /// A delegator waits no longer: it does what its configuration says, unless it has got the baton or is about to.
    fn rest_delegator(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        if self.delegates(dispatch) {
            return;
        }
        match self.roster.stage(dispatch) {
            Some(Stage::Parked { until: None }) => self.rest(turn, dispatch),
            Some(Stage::Away {
                until,
                back,
                was: WasAt::Parked { until: None },
            }) => self.rest_away(turn, dispatch, until, back),
            Some(_) | None => {}
        }
    }

    /// Whether it can never have the baton again.
    fn is_lost(&self, dispatch: DispatchId) -> bool {
        matches!(
            self.roster.stage(dispatch),
            None | Some(Stage::Leaving { .. } | Stage::Settling { leave: true, .. })
        )
    }
}
