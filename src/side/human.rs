//! What an SDK would do for a specialist, done for a person. Pure.
//!
//! | what the core says | what becomes of it |
//! |---|---|
//! | Prepare | the person hears what it is about, over and over, and is ready when it accepts |
//! | Accepted | an operator has accepted for it: as if it had, but for the word of it |
//! | Grant | it is taken at once: who has accepted is there |
//! | Revoke | it is released at once |
//! | asks for a sign of life | given for it, as long as its participant is there |
//!
//! A key is a word to Baton only where it can be one: the keys that accept and decline while it is asked, and the one that gives
//! the baton back while it has it. Every other key is for the caller.

use call::{Digit, Epoch, HandoffId};

use super::duties::Word;

/// The keys of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Accepts the call.
    pub accept: Digit,
    /// Declines it.
    pub decline: Digit,
    /// Gives the baton back to whoever had it before.
    pub hand_back: Digit,
}

/// What happens in the side room, and what is wanted of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The person is there, and hears.
    Came,
    /// It has left for good.
    HungUp,
    /// Its connection is gone.
    Left,
    /// It has pressed a key.
    Pressed(Digit),
    /// It is to accept, or not.
    Prepare(HandoffId),
    /// Somebody has accepted this for it, and Baton knows.
    Accepted(HandoffId),
    /// It has the baton.
    Grant(Epoch),
    /// Another one has it.
    Supersede,
    /// It is heard no more.
    Revoke(Epoch),
    /// It is to give a sign of life.
    Ask,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Say this for it.
    Say(Word),
    /// Let it hear what it is about, or cease to.
    Brief(bool),
    /// Subscribe to its voice.
    Listen,
    /// Press this key for the caller.
    Pass(Digit),
}

/// How it stands with one person.
#[derive(Debug)]
pub(super) struct Human {
    keys: Keys,
    present: bool,
    asked: Option<HandoffId>,
    holds: bool,
    /// Whether it has accepted, so that it is heard by whoever has the call.
    accepted: bool,
}

impl Human {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            present: false,
            asked: None,
            holds: false,
            accepted: false,
        }
    }

    /// Whether its voice is wanted.
    pub(super) fn is_listened_to(&self) -> bool {
        self.accepted
    }

    /// Whether it is to accept, or not.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn handle(&mut self, input: Input, out: &mut Vec<Duty>) {
        match input {
            Input::Came if !self.present => {
                self.present = true;
                out.push(Duty::Say(Word::Joined));
            }
            Input::Came => {}
            Input::HungUp => self.gone(Word::HungUp, out),
            Input::Left => self.gone(Word::Left, out),
            Input::Pressed(key) => match self.asked {
                Some(_) if key == self.keys.accept => self.decided(true, out),
                Some(_) if key == self.keys.decline => self.decided(false, out),
                Some(_) => {}
                None if self.holds && key == self.keys.hand_back => {
                    out.push(Duty::Say(Word::HandsBack));
                }
                None if self.holds => out.push(Duty::Pass(key)),
                None => {}
            },
            Input::Prepare(handoff) => {
                self.asked = Some(handoff);
                out.push(Duty::Brief(true));
            }
            Input::Accepted(handoff) => {
                if self.asked.take_if(|asked| *asked == handoff).is_some() {
                    out.push(Duty::Brief(false));
                }
                // Even one that has just declined by its key: the two have crossed, and Baton has this one.
                self.accepted = true;
                out.push(Duty::Listen);
            }
            Input::Grant(epoch) => {
                self.holds = true;
                out.push(Duty::Say(Word::Granted(epoch)));
            }
            Input::Supersede => self.holds = false,
            Input::Revoke(epoch) => {
                self.holds = false;
                out.push(Duty::Say(Word::Released(epoch)));
            }
            Input::Ask if self.present => out.push(Duty::Say(Word::Alive)),
            Input::Ask => {}
        }
    }

    fn decided(&mut self, accepts: bool, out: &mut Vec<Duty>) {
        let Some(handoff) = self.asked.take() else {
            return;
        };
        out.push(Duty::Brief(false));
        self.accepted = accepts;
        if accepts {
            out.push(Duty::Listen);
            out.push(Duty::Say(Word::Ready(handoff)));
        } else {
            out.push(Duty::Say(Word::Declined(handoff)));
        }
    }

    fn gone(&mut self, word: Word, out: &mut Vec<Duty>) {
        if self.asked.take().is_some() {
            out.push(Duty::Brief(false));
        }
        self.holds = false;
        // One that was never there has not left: whoever rings it knows more.
        if std::mem::take(&mut self.present) {
            out.push(Duty::Say(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDOFF: HandoffId = HandoffId(7);
    const EPOCH: Epoch = Epoch(3);

    fn key(key: char) -> Digit {
        Digit::new(key).expect("a key of a phone")
    }

    fn keys() -> Keys {
        Keys {
            accept: key('1'),
            decline: key('2'),
            hand_back: key('*'),
        }
    }

    fn after(inputs: &[Input]) -> (Human, Vec<Duty>) {
        let mut human = Human::new(keys());
        let mut out = Vec::new();
        for input in inputs {
            out.clear();
            human.handle(*input, &mut out);
        }
        (human, out)
    }

    #[test]
    fn it_is_ready_when_it_accepts_and_not_before() {
        let (_, out) = after(&[Input::Came, Input::Prepare(HANDOFF)]);
        assert_eq!(out, [Duty::Brief(true)]);
        let accepted = [
            Duty::Brief(false),
            Duty::Listen,
            Duty::Say(Word::Ready(HANDOFF)),
        ];
        let pressed = |pressed| {
            after(&[
                Input::Came,
                Input::Prepare(HANDOFF),
                Input::Pressed(key(pressed)),
            ])
            .1
        };
        assert_eq!(pressed('1'), accepted);
        assert_eq!(
            pressed('2'),
            [Duty::Brief(false), Duty::Say(Word::Declined(HANDOFF))]
        );
        let out = pressed('3');
        assert_eq!(
            out,
            [],
            "no other key means anything, and none reaches the caller"
        );
    }

    #[test]
    fn what_is_pressed_before_it_is_asked_accepts_nothing() {
        let (_, out) = after(&[Input::Came, Input::Pressed(key('1'))]);
        assert_eq!(out, []);
        let (_, out) = after(&[
            Input::Came,
            Input::Prepare(HANDOFF),
            Input::Pressed(key('2')),
            Input::Pressed(key('1')),
        ]);
        assert_eq!(out, [], "nor after it has declined");
    }

    #[test]
    fn what_is_accepted_for_it_needs_no_key() {
        let prepared = [Input::Came, Input::Prepare(HANDOFF)];
        let accepted = [prepared[0], prepared[1], Input::Accepted(HANDOFF)];
        let (mut human, out) = after(&accepted);
        assert_eq!(out, [Duty::Brief(false), Duty::Listen]);
        assert!(human.is_listened_to());
        let mut out = Vec::new();
        human.handle(Input::Pressed(key('2')), &mut out);
        assert_eq!(out, [], "its keys come too late");
        let declined = [prepared[0], prepared[1], Input::Pressed(key('2'))];
        let (mut human, _) = after(&declined);
        human.handle(Input::Accepted(HANDOFF), &mut out);
        assert_eq!(out, [Duty::Listen]);
    }

    #[test]
    fn with_the_baton_its_keys_are_the_callers_but_for_one() {
        let talking = [
            Input::Came,
            Input::Prepare(HANDOFF),
            Input::Pressed(key('1')),
            Input::Grant(EPOCH),
        ];
        let (mut human, out) = after(&talking);
        assert_eq!(out, [Duty::Say(Word::Granted(EPOCH))]);
        let mut out = Vec::new();
        human.handle(Input::Pressed(key('1')), &mut out);
        human.handle(Input::Pressed(key('*')), &mut out);
        assert_eq!(out, [Duty::Pass(key('1')), Duty::Say(Word::HandsBack)]);
        out.clear();
        human.handle(Input::Supersede, &mut out);
        human.handle(Input::Pressed(key('5')), &mut out);
        assert_eq!(out, [], "without it, they are nobody's");
    }

    #[test]
    fn one_that_was_never_there_does_not_leave() {
        let (_, out) = after(&[Input::HungUp]);
        assert_eq!(out, []);
        let (_, out) = after(&[Input::Came, Input::Prepare(HANDOFF), Input::HungUp]);
        assert_eq!(out, [Duty::Brief(false), Duty::Say(Word::HungUp)]);
    }
}
