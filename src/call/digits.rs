//! The keys that the caller presses: whose count, and who gets them.
//!
//! Digits are broadcast in the room and anybody can send one: only the pinned caller's count. Each goes to the holder,
//! and again to whoever is granted the baton before a holder has taken its grant: a digit that is pressed through a
//! switch reaches the one that the caller then hears, and one that is pressed while nobody holds waits for the next. A
//! digit that sets off a rule is given to nobody. Rules wait for the end of a switch, and so does a digit for which there is one.

use std::collections::VecDeque;

use crate::call::{Call, Turn};
use crate::command::Command;
use crate::ids::{Digit, Epoch, Identity};
use crate::outcome::RejectReason;
use crate::phase::{Holder, Phase};
use crate::snapshot::Stage;

/// Digits that wait for a holder at most; beyond them the oldest are forgotten.
pub(crate) const DIGITS_MAX: usize = 32;

/// Digits that a call may have before it is resumed, as a power of two: days of a key held down.
const EPOCH_SHIFT: u32 = 24;

/// The digits of a call.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    /// The number of the last one that was pressed.
    pressed: u64,
    /// Those that no holder has for certain, with their numbers.
    waiting: VecDeque<(u64, Digit)>,
    /// Those that were pressed in a switch and may set off a rule when it is over, at most as many.
    held: VecDeque<Digit>,
}

impl Digits {
    /// Those of a call that goes on in another process, which does not know how many there were: the numbers go on far
    /// beyond any that can have been given in an earlier epoch.
    pub(crate) fn resumed(epoch: Epoch) -> Self {
        Self {
            pressed: epoch.0 << EPOCH_SHIFT,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
        }
    }
}

impl Call {
    /// Somebody has pressed a key.
    pub(crate) fn pressed(&mut self, turn: &mut Turn<'_>, identity: &Identity, digit: Digit) {
        if self.caller.identity() != Some(identity) {
            self.counts.digits_forged += 1;
            self.reject(turn, None, RejectReason::NotCaller);
            return;
        }
        if let Phase::Switching { to, .. } = &self.phase
            && (!self.digits.held.is_empty() || self.has_digit_rule(turn.now, to, digit))
        {
            if self.digits.held.len() == DIGITS_MAX {
                self.digits.held.pop_front();
            }
            return self.digits.held.push_back(digit);
        }
        self.take_digit(turn, digit);
    }

    /// What was pressed in a switch, once it is over.
    pub(crate) fn take_held_digits(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Switching { .. }) {
            return;
        }
        for digit in std::mem::take(&mut self.digits.held) {
            self.take_digit(turn, digit);
        }
    }

    fn take_digit(&mut self, turn: &mut Turn<'_>, digit: Digit) {
        if self.digit_rule(turn, digit) {
            return;
        }
        self.digits.pressed += 1;
        let number = self.digits.pressed;
        // One that is away gets it with its renewed grant, or its successor does.
        let taken =
            self.phase
                .holder()
                .and_then(|holder| match self.roster.stage(holder.dispatch)? {
                    Stage::Holding { take_until } => Some((holder, take_until.is_none())),
                    Stage::Dispatched { .. }
                    | Stage::Joined { .. }
                    | Stage::Waiting
                    | Stage::Preparing { .. }
                    | Stage::Ready { .. }
                    | Stage::Outgoing
                    | Stage::Settling { .. }
                    | Stage::Parked { .. }
                    | Stage::Leaving { .. }
                    | Stage::Away { .. } => None,
                });
        if let Some((holder, _)) = taken {
            turn.push(Command::Dtmf {
                identity: holder.identity.clone(),
                epoch: holder.epoch,
                number,
                digit,
            });
        }
        if !taken.is_some_and(|(_, taken)| taken) {
            if self.digits.waiting.len() == DIGITS_MAX {
                self.digits.waiting.pop_front();
            }
            self.digits.waiting.push_back((number, digit));
        }
    }

    /// Gives a new holder what nobody has for certain; it follows the grant.
    pub(crate) fn give_digits(&self, turn: &mut Turn<'_>, holder: &Holder) {
        for &(number, digit) in &self.digits.waiting {
            turn.push(Command::Dtmf {
                identity: holder.identity.clone(),
                epoch: holder.epoch,
                number,
                digit,
            });
        }
    }

    /// The holder has taken its grant, and with it what was given to it.
    pub(crate) fn digits_taken(&mut self) {
        self.digits.waiting.clear();
    }
}
