//! Which side says what.

use crate::body::Body;

/// Who somebody is in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Baton.
    Orchestrator,
    /// A specialist.
    Specialist,
}

impl Side {
    /// Whether this side may send such a body.
    pub fn sends(self, body: &Body) -> bool {
        match (Direction::of(body), self) {
            (Direction::Both, Self::Orchestrator | Self::Specialist)
            | (Direction::ToSpecialist, Self::Orchestrator)
            | (Direction::ToOrchestrator, Self::Specialist) => true,
            (Direction::ToSpecialist, Self::Specialist)
            | (Direction::ToOrchestrator, Self::Orchestrator) => false,
        }
    }

    /// The other side.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Orchestrator => Self::Specialist,
            Self::Specialist => Self::Orchestrator,
        }
    }
}

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From Baton to a specialist.
    ToSpecialist,
    /// From a specialist to Baton.
    ToOrchestrator,
    /// Either way.
    Both,
}

impl Direction {
    /// Which way this body goes.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Welcome(_)
            | Body::Heartbeat(_)
            | Body::Prepare(_)
            | Body::CancelPrepare { .. }
            | Body::Grant { .. }
            | Body::Revoke(_)
            | Body::Leave
            | Body::HandoffResult(_)
            | Body::StateResult(_)
            | Body::ContextResult { .. }
            | Body::SummaryRequest { .. }
            | Body::DelegationResult { .. }
            | Body::Dtmf(_)
            | Body::Supersede { .. } => Self::ToSpecialist,
            Body::Hello(_)
            | Body::Ready(_)
            | Body::Refuse { .. }
            | Body::Granted { .. }
            | Body::Released { .. }
            | Body::Speech { .. }
            | Body::HandoffRequest(_)
            | Body::ContextApplied { .. }
            | Body::SummaryResult { .. } => Self::ToOrchestrator,
            Body::Reject(_)
            | Body::ContextAppend { .. }
            | Body::ContextChunk(_)
            | Body::StatePatch(_) => Self::Both,
        }
    }
}
