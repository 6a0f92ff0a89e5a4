//! The specialists of a call, by their dispatch.
//!
//! Holds at most `instances_max` of them: one more is not dispatched.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::{DispatchId, Epoch, Identity, SpecialistName};
use crate::silence::Quiet;
use crate::snapshot::{SpecialistView, Stage};
use crate::timer::Timer;

/// One specialist that was dispatched and is not gone.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) specialist: SpecialistName,
    pub(crate) identity: Option<Identity>,
    pub(crate) stage: Stage,
    /// A Revoke that was not answered yet.
    pub(crate) revoked: Option<Epoch>,
    /// Whether its dispatch was deleted.
    pub(crate) deleted: bool,
    /// Whether it has ever had the baton.
    pub(crate) held: bool,
    /// Whether it may take itself for the holder, as one of a former process may: it is revoked when it is back.
    pub(crate) unsure: bool,
    /// Whether it is a SIP address, and what became of it.
    pub(crate) refer: Refer,
    /// Until when a person that is rung may accept the call; `None` for all others.
    pub(crate) accept_by: Option<Instant>,
    /// Whether it is doubted that it lives; counts while it has the baton.
    pub(crate) quiet: Option<Quiet>,
}

/// Whether the caller's phone is to call one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refer {
    /// No: it is no address.
    Never,
    /// When it is time.
    Later,
    /// It was asked to, or may have been by a former process.
    Asked,
}

impl Instance {
    pub(crate) fn dispatched(specialist: SpecialistName, until: Instant) -> Self {
        Self {
            specialist,
            identity: None,
            stage: Stage::Dispatched { until },
            revoked: None,
            deleted: false,
            held: false,
            unsure: false,
            refer: Refer::Never,
            accept_by: None,
            quiet: None,
        }
    }

    /// It is a SIP address: nothing was dispatched that could be deleted.
    pub(crate) fn await_transfer(&mut self, until: Instant, refer: Refer) {
        self.stage = Stage::Dispatched { until };
        self.deleted = true;
        self.refer = refer;
    }

    /// Whether it is in the room, as far as the call knows.
    pub(crate) fn present(&self) -> bool {
        match self.stage {
            Stage::Dispatched { .. } | Stage::Away { back: false, .. } => false,
            Stage::Joined { .. }
            | Stage::Waiting
            | Stage::Preparing { .. }
            | Stage::Ready { .. }
            | Stage::Holding { .. }
            | Stage::Outgoing
            | Stage::Settling { .. }
            | Stage::Parked { .. }
            | Stage::Leaving { .. }
            | Stage::Away { back: true, .. } => true,
        }
    }

    /// If it was away, it is in the room again.
    pub(crate) fn mark_back(&mut self) {
        if let Stage::Away { back, .. } = &mut self.stage {
            *back = true;
        }
    }

    /// Whether it may hear the caller.
    pub(crate) fn hears(&self) -> bool {
        match self.stage {
            Stage::Preparing { .. } | Stage::Ready { .. } | Stage::Holding { .. } => true,
            Stage::Dispatched { .. }
            | Stage::Joined { .. }
            | Stage::Waiting
            | Stage::Outgoing
            | Stage::Settling { .. }
            | Stage::Parked { .. }
            | Stage::Leaving { .. }
            | Stage::Away { .. } => false,
        }
    }

    fn deadline(&self, dispatch: DispatchId) -> Option<(Instant, Timer)> {
        match self.stage {
            Stage::Dispatched { until } => Some((until, Timer::Join(dispatch))),
            Stage::Joined { until } => Some((until, Timer::Hello(dispatch))),
            Stage::Preparing { until } => Some((until, Timer::Ready(dispatch))),
            Stage::Holding { take_until } => {
                let taking = take_until.map(|until| (until, Timer::Grant(dispatch)));
                let quiet = self
                    .quiet
                    .map(|quiet| (quiet.until, Timer::Answer(dispatch)));
                [taking, quiet].into_iter().flatten().min()
            }
            Stage::Settling { until, .. } => Some((until, Timer::Settle(dispatch))),
            Stage::Parked { until } => until.map(|until| (until, Timer::Park(dispatch))),
            Stage::Leaving { until, .. } => Some((until, Timer::Leave(dispatch))),
            Stage::Away { until, .. } => Some((until, Timer::Return(dispatch))),
            Stage::Waiting | Stage::Ready { .. } | Stage::Outgoing => None,
        }
    }
}

/// All specialists of a call.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    instances: BTreeMap<DispatchId, Instance>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    pub(crate) fn insert(&mut self, dispatch: DispatchId, instance: Instance) {
        self.instances.insert(dispatch, instance);
    }

    pub(crate) fn remove(&mut self, dispatch: DispatchId) -> Option<Instance> {
        self.instances.remove(&dispatch)
    }

    pub(crate) fn find(&self, dispatch: DispatchId) -> Option<&Instance> {
        self.instances.get(&dispatch)
    }

    pub(crate) fn find_mut(&mut self, dispatch: DispatchId) -> Option<&mut Instance> {
        self.instances.get_mut(&dispatch)
    }

    pub(crate) fn stage(&self, dispatch: DispatchId) -> Option<Stage> {
        self.find(dispatch).map(|instance| instance.stage)
    }

    pub(crate) fn identity(&self, dispatch: DispatchId) -> Option<Identity> {
        self.find(dispatch)
            .and_then(|instance| instance.identity.clone())
    }

    pub(crate) fn set_stage(&mut self, dispatch: DispatchId, stage: Stage) {
        if let Some(instance) = self.instances.get_mut(&dispatch) {
            instance.stage = stage;
        }
    }

    /// The dispatch that this identity is bound to.
    pub(crate) fn bound(&self, identity: &Identity) -> Option<DispatchId> {
        self.instances
            .iter()
            .find(|(_, instance)| instance.identity.as_ref() == Some(identity))
            .map(|(dispatch, _)| *dispatch)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DispatchId, &Instance)> {
        self.instances
            .iter()
            .map(|(dispatch, instance)| (*dispatch, instance))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.instances.values_mut()
    }

    /// Empties the roster.
    pub(crate) fn take(&mut self) -> BTreeMap<DispatchId, Instance> {
        std::mem::take(&mut self.instances)
    }

    /// The earliest deadline of any specialist.
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.iter()
            .filter_map(|(dispatch, instance)| instance.deadline(dispatch))
            .min()
    }

    pub(crate) fn views(&self) -> BTreeMap<DispatchId, SpecialistView> {
        let view = |instance: &Instance| SpecialistView {
            specialist: instance.specialist.clone(),
            identity: instance.identity.clone(),
            stage: instance.stage,
        };
        self.iter()
            .map(|(dispatch, instance)| (dispatch, view(instance)))
            .collect()
    }
}
