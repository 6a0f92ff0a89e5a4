//! The gates: which sources the caller may hear, and who may hear the caller.
//!
//! The mixer's admissions change with the grant; the subscriptions to the caller are computed anew after every event,
//! and said again whenever a participant joins, publishes or reconnects, for a gate set once loses against the server.

use std::collections::BTreeSet;

use crate::SHUT_MAX;
use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::event::Misbehaviour;
use crate::ids::{Epoch, Identity};
use crate::outcome::{LossReason, RejectReason, RemoveReason};

/// What was last told to the shell.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    /// Sources that the mixer plays: one, or two during a switch.
    pub(crate) admitted: Vec<(Identity, Epoch)>,
    /// Who may hear the caller.
    pub(crate) audience: BTreeSet<Identity>,
    /// Whose tracks the caller is kept from. At most [`SHUT_MAX`].
    pub(crate) shut: BTreeSet<Identity>,
    /// Whether it is to be said again although nothing changed.
    pub(crate) repeat: bool,
}

impl Call {
    /// Lets the mixer play a source in the current epoch.
    pub(crate) fn admit(&mut self, turn: &mut Turn<'_>, identity: &Identity) {
        self.gates
            .admitted
            .retain(|(admitted, _)| admitted != identity);
        self.gates.admitted.push((identity.clone(), self.epoch));
        turn.push(Command::Admit {
            identity: identity.clone(),
            epoch: self.epoch,
        });
    }

    /// Silences a source, if it was admitted.
    pub(crate) fn drop_source(&mut self, turn: &mut Turn<'_>, identity: &Identity) {
        let before = self.gates.admitted.len();
        self.gates
            .admitted
            .retain(|(admitted, _)| admitted != identity);
        if self.gates.admitted.len() < before {
            turn.push(Command::Drop {
                identity: identity.clone(),
                epoch: self.epoch,
            });
        }
    }

    /// Says who may hear the caller, if that changed or is to be repeated.
    pub(crate) fn reconcile(&mut self, turn: &mut Turn<'_>) {
        let hearing = self.roster.iter().filter(|(_, instance)| instance.hears());
        let allowed: BTreeSet<Identity> = hearing
            .filter_map(|(_, instance)| instance.identity.clone())
            .collect();
        let repeat = std::mem::take(&mut self.gates.repeat);
        if !repeat && allowed == self.gates.audience {
            return;
        }
        self.gates.audience = allowed.clone();
        turn.push(Command::CallerAudience {
            allowed,
            epoch: self.epoch,
        });
        if !self.gates.shut.is_empty() {
            turn.push(Command::Shut {
                identities: self.gates.shut.clone(),
                epoch: self.epoch,
            });
        }
    }

    /// A participant does what it must not: the caller is kept from it, and a specialist is removed.
    pub(crate) fn misbehaved(
        &mut self,
        turn: &mut Turn<'_>,
        identity: Identity,
        what: Misbehaviour,
    ) {
        if self.caller.identity() == Some(&identity) {
            self.reject(turn, None, RejectReason::IdentityTaken);
            return;
        }
        self.counts.misbehaved += 1;
        turn.record(Fact::Misbehaved {
            identity: identity.clone(),
            what,
            count: self.counts.misbehaved,
        });
        self.gates.repeat = true;
        let reason = RemoveReason::Misbehaved(what);
        let room_left = self.gates.shut.len() < SHUT_MAX;
        if room_left {
            self.gates.shut.insert(identity.clone());
        }
        match self.roster.bound(&identity) {
            Some(dispatch) => self.expel(turn, dispatch, reason, LossReason::Misbehaved(what)),
            None if room_left => {}
            None => turn.push(Command::Remove { identity, reason }),
        }
    }
}
