//! A read-only view of a call, for the log, the interfaces and the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::event::ParticipantKind;
use crate::ids::{CallId, DispatchId, Epoch, Identity, SpecialistName};
use crate::outcome::EndReason;
use crate::phase::Phase;

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub call: CallId,
    /// Its phase with the phase's data.
    pub phase: Phase,
    /// The newest epoch.
    pub epoch: Epoch,
    /// The caller, once there is one.
    pub caller: Option<CallerView>,
    /// Every specialist that was dispatched and is not gone.
    pub specialists: BTreeMap<DispatchId, SpecialistView>,
    /// Sources that the mixer plays, in the order of their admission, each with its epoch.
    pub admitted: Vec<(Identity, Epoch)>,
    /// Who may hear the caller, besides Baton.
    pub audience: BTreeSet<Identity>,
    /// Whose tracks the caller is kept from.
    pub shut: BTreeSet<Identity>,
    /// Who held the baton before the holder.
    pub previous: Option<SpecialistName>,
    /// The person that is rung and has not answered.
    pub rung: Option<SpecialistName>,
    /// Whether whoever has the baton is a person.
    pub person_holds: bool,
    /// What was counted.
    pub counts: Counts,
    /// Why it ended, if it did.
    pub ended: Option<EndReason>,
}

/// The caller of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerView {
    /// Its identity.
    pub identity: Identity,
    /// Its kind.
    pub kind: ParticipantKind,
    /// Whether it is in the room.
    pub present: bool,
    /// Whether it hears the program track.
    pub listening: bool,
}

/// A specialist in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialistView {
    /// Its name.
    pub specialist: SpecialistName,
    /// Its identity, once it has joined.
    pub identity: Option<Identity>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a specialist is, from its dispatch until it is gone.
///
/// `Dispatched -> Joined -> Waiting -> Preparing -> Ready -> Holding -> Outgoing -> Settling -> Parked -> Leaving`; from
/// `Parked` and `Waiting` it can be prepared again, and from each stage with a connection it can go `Away` and come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its dispatch is out.
    Dispatched {
        /// How long it is waited for.
        until: Instant,
    },
    /// It is in the room; its Hello is awaited.
    Joined {
        /// How long.
        until: Instant,
    },
    /// It has said Hello and was not yet needed.
    Waiting,
    /// It prepares.
    Preparing {
        /// How long.
        until: Instant,
    },
    /// It is ready for the grant.
    Ready {
        /// When it had to be: should it reconnect now, it has no longer than that to be ready again, so that a handoff
        /// ends however often its target comes and goes.
        until: Instant,
    },
    /// It has the baton.
    Holding {
        /// Until when it must take its grant; `None` once it has.
        take_until: Option<Instant>,
    },
    /// It had the baton and is heard until the new one sounds.
    Outgoing,
    /// It was told to stop; its Released is awaited.
    Settling {
        /// The Revoke's epoch.
        epoch: Epoch,
        /// How long.
        until: Instant,
        /// Whether it leaves afterwards whatever its configuration says.
        leave: bool,
    },
    /// It had the baton and may be needed again.
    Parked {
        /// How long it stays; `None` is until the end.
        until: Option<Instant>,
    },
    /// It was told to leave.
    Leaving {
        /// How long that is waited for.
        until: Instant,
        /// Whether it was removed by force already.
        removed: bool,
    },
    /// Its connection is gone; it may come back.
    Away {
        /// How long it is waited for, Hello included.
        until: Instant,
        /// Whether it is in the room again, its Hello awaited.
        back: bool,
        /// What it was.
        was: WasAt,
    },
}

/// What a specialist that is away was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasAt {
    /// Not needed yet.
    Waiting,
    /// Preparing, or ready.
    Preparing {
        /// Its time to get ready.
        until: Instant,
    },
    /// It has the baton, and may not sound.
    Holding,
    /// It had the baton.
    Parked {
        /// How long it would have stayed.
        until: Option<Instant>,
    },
}

/// What a call counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Handoffs started on request.
    pub handoffs_started: u32,
    /// Handoffs that reached their target, the entry and recoveries included.
    pub handoffs_done: u64,
    /// Handoffs that failed.
    pub handoffs_failed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Events that were rejected.
    pub rejected: u64,
    /// Reports of misbehaviour.
    pub misbehaved: u64,
    /// Holders that were lost.
    pub losses: u32,
    /// Times that the caller heard nobody for too long.
    pub dead_airs: u64,
    /// Those of them that were none, only slow.
    pub false_starts: u64,
    /// Digits of somebody else than the caller.
    pub digits_forged: u64,
    /// Requests that were refused because a condition had no answer.
    pub conditions_failed: u64,
    /// Rules that asked for a handoff.
    pub rules_fired: u64,
}
