//! A holder of which nothing comes any more: a process that was killed says no farewell, and its participant stays in the
//! room for as long as the server waits for its packets.

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::Command;
use crate::ids::{DispatchId, Identity};
use crate::outcome::{LossReason, RemoveReason};
use crate::snapshot::Stage;

/// A doubt whether a holder lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// How long its answer is waited for.
    pub(crate) until: Instant,
    /// Whether anything has come from the server since it was asked.
    server_heard: bool,
}

impl Call {
    /// Nothing has come of a specialist for some time: if it has the baton, it is asked.
    pub(crate) fn quiet(&mut self, turn: &mut Turn<'_>, identity: Identity) {
        let Some(dispatch) = self.roster.bound(&identity) else {
            return;
        };
        let holds = matches!(self.roster.stage(dispatch), Some(Stage::Holding { .. }));
        let doubted = self
            .roster
            .find(dispatch)
            .is_some_and(|instance| instance.quiet.is_some());
        if !holds || doubted {
            return;
        }
        let until = turn.after(self.plan.timers().holder_answer_ms);
        if let Some(instance) = self.roster.find_mut(dispatch) {
            instance.quiet = Some(Quiet {
                until,
                server_heard: false,
            });
        }
        let epoch = self.epoch;
        turn.push(Command::AskHolder { identity, epoch });
    }

    /// Something has come of it after all.
    pub(crate) fn heard(&mut self, identity: &Identity) {
        let bound = self.roster.bound(identity);
        if let Some(instance) = bound.and_then(|dispatch| self.roster.find_mut(dispatch)) {
            instance.quiet = None;
        }
    }

    pub(crate) fn server_heard(&mut self) {
        for instance in self.roster.iter_mut() {
            if let Some(quiet) = &mut instance.quiet {
                quiet.server_heard = true;
            }
        }
    }

    /// Baton's own connection is away: nobody's silence means anything.
    pub(crate) fn reconnecting(&mut self) {
        for instance in self.roster.iter_mut() {
            instance.quiet = None;
        }
    }

    pub(crate) fn answer_timed_out(&mut self, turn: &mut Turn<'_>, dispatch: DispatchId) {
        let Some(instance) = self.roster.find_mut(dispatch) else {
            return;
        };
        // If not even the server was heard, it is asked anew when its silence is told again.
        if instance
            .quiet
            .take()
            .is_some_and(|quiet| quiet.server_heard)
        {
            let timers = self.plan.timers();
            let after_ms = timers.holder_quiet_ms + timers.holder_answer_ms;
            let loss = LossReason::Silent { after_ms };
            self.expel(turn, dispatch, RemoveReason::Unresponsive, loss);
        }
    }
}
