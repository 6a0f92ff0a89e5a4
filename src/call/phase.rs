//! The phases of a handoff. What belongs to a phase is in its variant, and nowhere else.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::config::{Opening, RouteNumber, Splice};
use crate::delegation::Errand;
use crate::event::Asker;
use crate::ids::{DispatchId, Epoch, HandoffId, Identity, RequestId, SpecialistName};
use crate::ready::ReadyWait;

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has the baton, and nobody is being prepared.
    Idle {
        /// What is waited for.
        wait: IdleWait,
    },
    /// A target gets ready. Nothing changes for the caller. The target's own timers bound it.
    Preparing {
        /// Who has the baton.
        from: Option<Holder>,
        /// To whom it is to go.
        target: DispatchId,
        /// How.
        handoff: Handoff,
        /// Until when the summary that is being made is awaited; `None` if none is.
        summary: Option<Instant>,
        /// Until when a splice point in the holder's speech is awaited, at which the caller is put on hold; `None` if it is
        /// not to be.
        hold: Option<Instant>,
    },
    /// The target is ready; what else the switch needs is awaited.
    Ready {
        /// Who has the baton.
        from: Option<Holder>,
        /// To whom it is to go.
        target: DispatchId,
        /// How.
        handoff: Handoff,
        /// For what.
        wait: ReadyWait,
    },
    /// The baton is with `to`; until its first frame and through the fade, `from` is heard too.
    Switching {
        /// Who had the baton, while it sounds.
        from: Option<Holder>,
        /// Who has it.
        to: Holder,
        /// How.
        handoff: Handoff,
        /// How far it got.
        step: SwitchStep,
    },
    /// One has the baton, and no handoff is under way.
    Active {
        /// Who.
        holder: Holder,
    },
}

/// What a call without a holder waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdleWait {
    /// Nothing: the call has ended, or goes on in the same step.
    Nothing,
    /// All fallbacks have failed, and are tried again.
    Fallbacks {
        /// When.
        at: Instant,
    },
    /// An operator has put the caller on hold.
    Held(Hold),
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// By which dispatch it came that had the baton, and is to have it again.
    pub dispatch: DispatchId,
    /// Its name.
    pub specialist: SpecialistName,
    /// When the hold ends by itself.
    pub until: Instant,
}

/// How far a switch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchStep {
    /// The first frame is awaited.
    AwaitSound {
        /// How long.
        until: Instant,
    },
    /// The two are being crossfaded.
    Fading {
        /// When it is taken for done.
        until: Instant,
    },
}

/// The one that has the baton, or had it in this phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// By which dispatch it came.
    pub dispatch: DispatchId,
    /// Its name.
    pub specialist: SpecialistName,
    /// Its identity.
    pub identity: Identity,
    /// The epoch of its grant.
    pub epoch: Epoch,
}

/// One try to move the baton.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// Its number.
    pub id: HandoffId,
    /// Who wanted it.
    pub cause: Cause,
    /// To whom.
    pub to: SpecialistName,
    /// Why.
    pub reason: String,
    /// Where the old voice may be cut.
    pub splice: Splice,
    /// Length of the crossfade in milliseconds.
    pub fade_ms: u32,
    /// Whether the target speaks first.
    pub opening: Opening,
    /// By which route, if a route was asked.
    pub route: Option<RouteNumber>,
    /// How long the holder's tools may take, in milliseconds.
    pub tools_wait_ms: u64,
    /// The holder's tool call that asks for the handoff, which therefore is not waited for.
    pub tool_call: Option<String>,
    /// Whether a prepared sound is still to be heard on the way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announces: bool,
    /// Whom else to try, in this order; at most [`ROUTE_FALLBACKS_MAX`](crate::ROUTE_FALLBACKS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<SpecialistName>,
    /// The delegation that it opens or ends.
    #[serde(default)]
    pub errand: Option<Box<Errand>>,
}

/// What started a handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The call's start.
    Entry,
    /// The loss of a holder, or of the target of such a handoff.
    Recovery,
    /// Somebody asked.
    Request {
        /// Who.
        asker: Asker,
        /// The asker's number for it.
        request: RequestId,
    },
}

/// A phase without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// See [`Phase::Idle`].
    Idle,
    /// See [`Phase::Preparing`].
    Preparing,
    /// See [`Phase::Ready`].
    Ready,
    /// See [`Phase::Switching`].
    Switching,
    /// See [`Phase::Active`].
    Active,
}

impl PhaseName {
    /// The name as it is logged: lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Switching => "switching",
            Self::Active => "active",
        }
    }
}

impl Phase {
    /// Which phase it is.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Idle { .. } => PhaseName::Idle,
            Self::Preparing { .. } => PhaseName::Preparing,
            Self::Ready { .. } => PhaseName::Ready,
            Self::Switching { .. } => PhaseName::Switching,
            Self::Active { .. } => PhaseName::Active,
        }
    }

    /// Who has the baton: one, or nobody.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Idle { .. } => None,
            Self::Preparing { from, .. } | Self::Ready { from, .. } => from.as_ref(),
            Self::Switching { to, .. } => Some(to),
            Self::Active { holder } => Some(holder),
        }
    }

    /// The handoff under way.
    pub fn handoff(&self) -> Option<&Handoff> {
        match self {
            Self::Idle { .. } | Self::Active { .. } => None,
            Self::Preparing { handoff, .. }
            | Self::Ready { handoff, .. }
            | Self::Switching { handoff, .. } => Some(handoff),
        }
    }

    /// Who is being prepared.
    pub fn target(&self) -> Option<DispatchId> {
        match self {
            Self::Preparing { target, .. } | Self::Ready { target, .. } => Some(*target),
            Self::Idle { .. } | Self::Switching { .. } | Self::Active { .. } => None,
        }
    }

    pub(crate) fn holder_mut(&mut self) -> Option<&mut Holder> {
        match self {
            Self::Idle { .. } => None,
            Self::Preparing { from, .. } | Self::Ready { from, .. } => from.as_mut(),
            Self::Switching { to, .. } => Some(to),
            Self::Active { holder } => Some(holder),
        }
    }
}
