//! Whose packets are heard.
//!
//! Heard is a participant of kind AGENT that has shown, in a Hello, the ticket of a dispatch that Baton made; from then
//! on it is known by the sid and identity that the server stamps on its packets. A packet whose sender is not known yet
//! is dropped without a word: a participant that has just joined sends such for up to 3 s, and Hello is said again.

use std::collections::{BTreeMap, BTreeSet};

use call::{DispatchId, Identity, Ticket};

use crate::body::Body;
use crate::frame::Frame;

/// How many tickets are known at once in a call; when there are more, the oldest dispatch is forgotten.
pub const TICKETS_MAX: usize = 256;

/// For how many identities it is remembered that they were ignored; when there are more, they are forgotten, and
/// [`Verdict::Ignored`] says `first` again.
const IGNORED_MAX: usize = 64;

/// Who may speak in a call.
#[derive(Debug, Default)]
pub struct Admission {
    dispatches: BTreeMap<DispatchId, Dispatch>,
    ignored: BTreeSet<(Identity, IgnoreReason)>,
    counts: AdmissionCounts,
}

/// The sender of a packet, as the server stamped it.
#[derive(Debug, Clone, Copy)]
pub struct SenderView<'a> {
    /// Its identity.
    pub identity: &'a Identity,
    /// Its session's sid; it changes with a full reconnect.
    pub sid: &'a str,
    /// Its kind.
    pub kind: SenderKind,
}

/// A participant's kind, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderKind {
    /// Of kind AGENT.
    Agent,
    /// Of any other kind.
    Other,
}

/// What to do with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It comes from the specialist of this dispatch: give it to its link.
    Heard {
        /// Which dispatch.
        dispatch: DispatchId,
        /// Whether the participant was bound by this very packet, for the first time or with a new sid.
        bound: bool,
    },
    /// Its sender is not known yet: drop it without a word.
    Unknown,
    /// Drop it.
    Ignored {
        /// Why.
        reason: IgnoreReason,
        /// Whether it is the first from this sender for this reason: worth a line in the log.
        first: bool,
    },
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum IgnoreReason {
    /// Its sender is no agent: the caller, or somebody else.
    #[error("the sender is no agent")]
    NotAgent,
    /// Its sender has not shown a ticket, and this is no Hello either.
    #[error("the sender has not shown a ticket")]
    NoTicket,
    /// It shows a ticket of no dispatch.
    #[error("the ticket is of no dispatch of this call")]
    WrongTicket,
    /// It shows a ticket that somebody else has shown, or its sender has shown another.
    #[error("the ticket is bound to another identity, or the identity to another ticket")]
    TicketTaken,
}

impl IgnoreReason {
    /// The reason's name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAgent => "not_agent",
            Self::NoTicket => "no_ticket",
            Self::WrongTicket => "wrong_ticket",
            Self::TicketTaken => "ticket_taken",
        }
    }
}

/// How many packets were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// From bound specialists.
    pub heard: u64,
    /// From senders that were not known.
    pub unknown: u64,
    /// From participants that are no agents.
    pub not_agent: u64,
    /// From agents without a ticket.
    pub no_ticket: u64,
    /// With the ticket of no dispatch.
    pub wrong_ticket: u64,
    /// With somebody else's ticket.
    pub ticket_taken: u64,
}

#[derive(Debug)]
struct Dispatch {
    ticket: Ticket,
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    identity: Identity,
    sid: String,
}

impl Admission {
    /// Nobody is heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A dispatch was made with this ticket. To be said before the dispatch is sent.
    pub fn expect(&mut self, dispatch: DispatchId, ticket: Ticket) {
        if self.dispatches.len() >= TICKETS_MAX {
            self.dispatches.pop_first();
        }
        let bound = None;
        self.dispatches.insert(dispatch, Dispatch { ticket, bound });
    }

    /// A dispatch is over: its ticket is worth nothing any more.
    pub fn forget(&mut self, dispatch: DispatchId) {
        self.dispatches.remove(&dispatch);
    }

    /// The dispatch that this participant is bound to.
    pub fn dispatch_of(&self, identity: &Identity) -> Option<DispatchId> {
        self.dispatches
            .iter()
            .find(|(_, dispatch)| {
                dispatch
                    .bound
                    .as_ref()
                    .is_some_and(|bound| bound.identity == *identity)
            })
            .map(|(id, _)| *id)
    }

    /// The participant that is bound to this dispatch.
    pub fn identity_of(&self, dispatch: DispatchId) -> Option<&Identity> {
        let bound = self.dispatches.get(&dispatch)?.bound.as_ref()?;
        Some(&bound.identity)
    }

    /// Judges a packet.
    pub fn judge(&mut self, sender: Option<SenderView<'_>>, payload: &[u8]) -> Verdict {
        let Some(sender) = sender else {
            self.counts.unknown += 1;
            return Verdict::Unknown;
        };
        if sender.kind != SenderKind::Agent {
            return self.ignore(sender, IgnoreReason::NotAgent);
        }
        let known = self.dispatch_of(sender.identity);
        if let Some(dispatch) = known
            && self.is_bound_to(dispatch, sender.sid)
        {
            self.counts.heard += 1;
            return Verdict::Heard {
                dispatch,
                bound: false,
            };
        }
        let Some(ticket) = ticket_of(payload) else {
            return self.ignore(sender, IgnoreReason::NoTicket);
        };
        match self.bind(sender, known, &ticket) {
            Ok(dispatch) => {
                self.counts.heard += 1;
                Verdict::Heard {
                    dispatch,
                    bound: true,
                }
            }
            Err(reason) => self.ignore(sender, reason),
        }
    }

    /// What was judged so far.
    pub fn counts(&self) -> AdmissionCounts {
        self.counts
    }

    fn is_bound_to(&self, dispatch: DispatchId, sid: &str) -> bool {
        self.dispatches
            .get(&dispatch)
            .and_then(|dispatch| dispatch.bound.as_ref())
            .is_some_and(|bound| bound.sid == sid)
    }

    fn bind(
        &mut self,
        sender: SenderView<'_>,
        known: Option<DispatchId>,
        ticket: &Ticket,
    ) -> Result<DispatchId, IgnoreReason> {
        let (id, dispatch) = self
            .dispatches
            .iter_mut()
            .find(|(_, dispatch)| dispatch.ticket == *ticket)
            .ok_or(IgnoreReason::WrongTicket)?;
        let taken = dispatch
            .bound
            .as_ref()
            .is_some_and(|bound| bound.identity != *sender.identity);
        if taken || known.is_some_and(|known| known != *id) {
            return Err(IgnoreReason::TicketTaken);
        }
        dispatch.bound = Some(Bound {
            identity: sender.identity.clone(),
            sid: sender.sid.to_owned(),
        });
        Ok(*id)
    }

    fn ignore(&mut self, sender: SenderView<'_>, reason: IgnoreReason) -> Verdict {
        let count = match reason {
            IgnoreReason::NotAgent => &mut self.counts.not_agent,
            IgnoreReason::NoTicket => &mut self.counts.no_ticket,
            IgnoreReason::WrongTicket => &mut self.counts.wrong_ticket,
            IgnoreReason::TicketTaken => &mut self.counts.ticket_taken,
        };
        *count += 1;
        if self.ignored.len() >= IGNORED_MAX {
            self.ignored.clear();
        }
        let first = self.ignored.insert((sender.identity.clone(), reason));
        Verdict::Ignored { reason, first }
    }
}

/// The ticket that a packet shows, if it is a Hello that shows one.
fn ticket_of(payload: &[u8]) -> Option<Ticket> {
    let frame = Frame::decode(payload).ok()?;
    let Some(Body::Hello(hello)) = frame.body else {
        return None;
    };
    (!hello.ticket.as_str().is_empty()).then_some(hello.ticket)
}
