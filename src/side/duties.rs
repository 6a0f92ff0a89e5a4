//! What an SDK would do for a specialist, done for an agent that has none. Pure: time and what happens come in, duties go out.
//!
//! | what the core says | what becomes of it |
//! |---|---|
//! | Prepare | ready as soon as the agent's track is published |
//! | Grant | its track is subscribed to; until then the agent waits, so that what it says first is heard |
//! | Grant, once more | hearing and sounding are switched on in its session |
//! | Supersede | hearing is switched off |
//! | Revoke | both are switched off, and it is released |
//! | asks for a sign of life | its session is pinged |
//!
//! Switching goes by the session's remote protocol, which is there once its history has been answered. What the caller
//! hears does not rest on it: that is for the mixer to say, and an agent that cannot be switched off is only not relayed.

use std::time::{Duration, Instant};

use call::{Epoch, HandoffId};
use context::SessionRequest;

/// After how long a history that was not answered is asked for again, and how often.
const HISTORY_RETRY: Duration = Duration::from_secs(1);
const HISTORY_RETRIES_MAX: u32 = 60;
/// The longest that switching a session is waited for.
const SWITCH_MAX: Duration = Duration::from_millis(500);

/// What happens in the side room, and what the core wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The agent is in the room.
    Joined,
    /// The agent has left it.
    Left,
    /// It has published a track.
    Published,
    /// Its track can be read.
    Subscribed,
    /// Its track can no longer be read.
    Unsubscribed,
    /// Its session has answered this request.
    Answered(u64),
    /// Its session has run tools.
    ToolsRan,
    /// It is to be ready.
    Prepare(HandoffId),
    /// It has the baton.
    Grant(Epoch),
    /// Another one has it, and this one is still heard.
    Supersede,
    /// It is heard no more.
    Revoke(Epoch),
    /// It is to give a sign of life.
    Ask,
}

/// What the agent would say if it spoke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// That it is there.
    Joined,
    /// That it has gone, and may come back.
    Left,
    /// That it is ready.
    Ready(HandoffId),
    /// That it has taken its grant.
    Granted(Epoch),
    /// That it has stopped.
    Released(Epoch),
    /// That it lives.
    Alive,
    /// That it does not want the call; only of a person.
    Declined(HandoffId),
    /// That it gives the baton back; only of a person.
    HandsBack,
    /// That it has gone for good; only of a person.
    HungUp,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Say this for it.
    Say(Word),
    /// Subscribe to its tracks.
    Listen,
    /// Ask this of its session.
    Ask { id: u64, request: SessionRequest },
}

/// How it stands with one agent.
#[derive(Debug, Default)]
pub(super) struct Duties {
    present: bool,
    published: bool,
    listening: bool,
    subscribed: bool,
    prepare: Option<HandoffId>,
    holds: Option<Holding>,
    /// Whether its session answers.
    session: bool,
    /// Whether its session hears and sounds, as far as it was told.
    hears: On,
    sounds: On,
    newest_request: u64,
    history: Option<History>,
    /// Whether there is more in its history than was asked for.
    history_behind: bool,
    /// The request whose answer is a sign of life.
    ping: Option<u64>,
    switching: Option<Switching>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    epoch: Epoch,
    taken: bool,
}

#[derive(Clone, Copy, Debug)]
struct History {
    request: u64,
    again_at: Instant,
    tried: u32,
}

/// A switch that is waited for, and what is said then.
#[derive(Clone, Copy, Debug)]
struct Switching {
    request: u64,
    until: Instant,
    then: Word,
}

/// On, as a session is when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct On(bool);

impl Default for On {
    fn default() -> Self {
        Self(true)
    }
}

impl Duties {
    pub(super) fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Duty>) {
        match input {
            Input::Joined => {
                self.present = true;
                out.push(Duty::Say(Word::Joined));
            }
            Input::Left => {
                // A session that comes back is another one. Its numbers are not used twice.
                *self = Self {
                    newest_request: self.newest_request,
                    ..Self::default()
                };
                out.push(Duty::Say(Word::Left));
            }
            Input::Published => {
                self.published = true;
                if self.listening {
                    out.push(Duty::Listen);
                }
                self.ready(out);
            }
            Input::Subscribed => {
                self.subscribed = true;
                if !self.session && self.history.is_none() {
                    self.ask_history(now, 0, out);
                }
                self.take(now, out);
            }
            Input::Unsubscribed => self.subscribed = false,
            Input::Answered(request) => self.answered(now, request, out),
            Input::ToolsRan => match self.history {
                Some(_) => self.history_behind = true,
                None => self.ask_history(now, 0, out),
            },
            Input::Prepare(handoff) => {
                self.prepare = Some(handoff);
                self.ready(out);
            }
            Input::Grant(epoch) => {
                self.settle(out);
                self.holds = Some(Holding {
                    epoch,
                    taken: false,
                });
                if !self.listening {
                    self.listening = true;
                    out.push(Duty::Listen);
                }
                self.take(now, out);
            }
            Input::Supersede => {
                self.settle(out);
                self.holds = None;
                self.switch(now, On(false), self.sounds, None, out);
            }
            Input::Revoke(epoch) => {
                self.settle(out);
                self.holds = None;
                let released = Word::Released(epoch);
                self.switch(now, On(false), On(false), Some(released), out);
            }
            // What does not answer yet is as alive as its participant: the server says when that is gone.
            Input::Ask if !self.session => out.push(Duty::Say(Word::Alive)),
            Input::Ask => self.ping = Some(self.ask(SessionRequest::Ping, out)),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let history = self.history.map(|history| history.again_at);
        let switching = self.switching.map(|switching| switching.until);
        history.into_iter().chain(switching).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Duty>) {
        if let Some(history) = self.history.take_if(|history| history.again_at <= now)
            && history.tried < HISTORY_RETRIES_MAX
        {
            self.ask_history(now, history.tried + 1, out);
        }
        if self
            .switching
            .is_some_and(|switching| switching.until <= now)
        {
            self.settle(out);
        }
    }

    fn ready(&mut self, out: &mut Vec<Duty>) {
        if self.present
            && self.published
            && let Some(handoff) = self.prepare.take()
        {
            out.push(Duty::Say(Word::Ready(handoff)));
        }
    }

    /// Takes the grant, if it can be taken.
    fn take(&mut self, now: Instant, out: &mut Vec<Duty>) {
        let Some(holding) = &mut self.holds else {
            return;
        };
        if self.subscribed && !holding.taken {
            holding.taken = true;
            let granted = Word::Granted(holding.epoch);
            self.switch(now, On(true), On(true), Some(granted), out);
        }
    }

    /// Has the session hear and sound, or not, and then says something; at once if there is nothing to wait for.
    fn switch(
        &mut self,
        now: Instant,
        hears: On,
        sounds: On,
        then: Option<Word>,
        out: &mut Vec<Duty>,
    ) {
        let input = (hears != self.hears).then_some(hears.0);
        let output = (sounds != self.sounds).then_some(sounds.0);
        // What does not answer yet starts with both on, and is told as soon as it does.
        if !self.session || (input.is_none() && output.is_none()) {
            out.extend(then.map(Duty::Say));
            return;
        }
        (self.hears, self.sounds) = (hears, sounds);
        let request = self.ask(SessionRequest::Audio { input, output }, out);
        self.switching = then.map(|then| Switching {
            request,
            until: now + SWITCH_MAX,
            then,
        });
    }

    /// Waits for no switch any longer. What was released is not relayed, whether the session has answered or not; a grant
    /// is not taken without an answer.
    fn settle(&mut self, out: &mut Vec<Duty>) {
        if let Some(Switching {
            then: then @ Word::Released(_),
            ..
        }) = self.switching.take()
        {
            out.push(Duty::Say(then));
        }
    }

    fn answered(&mut self, now: Instant, request: u64, out: &mut Vec<Duty>) {
        if let Some(switched) = self
            .switching
            .take_if(|switching| switching.request == request)
        {
            out.push(Duty::Say(switched.then));
        }
        if self.ping.take_if(|ping| *ping == request).is_some() {
            out.push(Duty::Say(Word::Alive));
        }
        if self
            .history
            .take_if(|history| history.request == request)
            .is_none()
        {
            return;
        }
        if std::mem::take(&mut self.history_behind) {
            self.ask_history(now, 0, out);
        }
        if !self.session {
            self.session = true;
            if self.holds.is_none() {
                self.switch(now, On(false), On(false), None, out);
            }
        }
    }

    fn ask_history(&mut self, now: Instant, tried: u32, out: &mut Vec<Duty>) {
        let request = self.ask(SessionRequest::History, out);
        self.history = Some(History {
            request,
            again_at: now + HISTORY_RETRY,
            tried,
        });
    }

    fn ask(&mut self, request: SessionRequest, out: &mut Vec<Duty>) -> u64 {
        self.newest_request += 1;
        out.push(Duty::Ask {
            id: self.newest_request,
            request,
        });
        self.newest_request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Epoch = Epoch(1);
    const LATER: Epoch = Epoch(3);

    struct Agent {
        duties: Duties,
        now: Instant,
    }

    impl Agent {
        fn new() -> Self {
            Self {
                duties: Duties::default(),
                now: Instant::now(),
            }
        }

        fn then(&mut self, input: Input) -> Vec<Duty> {
            let mut out = Vec::new();
            self.duties.handle(self.now, input, &mut out);
            out
        }

        /// Goes to the next timeout.
        fn later(&mut self) -> Vec<Duty> {
            let mut out = Vec::new();
            self.now = self.duties.poll_timeout().expect("something is waited for");
            self.duties.handle_timeout(self.now, &mut out);
            out
        }

        /// One that has had its first grant and whose session answers.
        fn granted() -> Self {
            let mut agent = Self::new();
            for input in [
                Input::Joined,
                Input::Published,
                Input::Prepare(HandoffId(1)),
                Input::Grant(FIRST),
                Input::Subscribed,
                Input::Answered(1),
            ] {
                agent.then(input);
            }
            agent
        }
    }

    fn say(word: Word) -> Duty {
        Duty::Say(word)
    }

    fn audio(id: u64, input: Option<bool>, output: Option<bool>) -> Duty {
        let request = SessionRequest::Audio { input, output };
        Duty::Ask { id, request }
    }

    fn history(id: u64) -> Duty {
        let request = SessionRequest::History;
        Duty::Ask { id, request }
    }

    #[test]
    fn it_is_ready_once_its_track_is_there_and_heard_only_from_the_grant_on() {
        let mut agent = Agent::new();
        assert_eq!(agent.then(Input::Joined), [say(Word::Joined)]);
        assert_eq!(agent.then(Input::Prepare(HandoffId(7))), []);
        assert_eq!(
            agent.then(Input::Published),
            [say(Word::Ready(HandoffId(7)))]
        );
        assert_eq!(agent.then(Input::Grant(FIRST)), [Duty::Listen]);
        assert_eq!(
            agent.then(Input::Subscribed),
            [history(1), say(Word::Granted(FIRST))]
        );
        assert_eq!(agent.then(Input::Answered(1)), []);
    }

    #[test]
    fn a_history_is_asked_for_until_it_is_answered() {
        let mut agent = Agent::new();
        agent.then(Input::Joined);
        agent.then(Input::Subscribed);
        assert_eq!(agent.later(), [history(2)]);
        agent.then(Input::Answered(1));
        assert_eq!(agent.later(), [history(3)], "an answer that came too late");
        agent.then(Input::Answered(3));
        assert_eq!(agent.duties.poll_timeout(), None);
    }

    #[test]
    fn without_the_baton_it_is_switched_off_and_with_it_on_again() {
        let mut agent = Agent::granted();
        assert_eq!(agent.then(Input::Supersede), [audio(2, Some(false), None)]);
        assert_eq!(
            agent.then(Input::Revoke(Epoch(2))),
            [audio(3, None, Some(false))]
        );
        assert_eq!(
            agent.then(Input::Answered(3)),
            [say(Word::Released(Epoch(2)))]
        );
        assert_eq!(
            agent.then(Input::Grant(LATER)),
            [audio(4, Some(true), Some(true))]
        );
        assert_eq!(agent.then(Input::Answered(4)), [say(Word::Granted(LATER))]);
    }

    #[test]
    fn a_session_that_does_not_answer_is_released_and_takes_no_grant() {
        let mut agent = Agent::granted();
        agent.then(Input::Revoke(Epoch(2)));
        assert_eq!(agent.later(), [say(Word::Released(Epoch(2)))]);
        agent.then(Input::Grant(LATER));
        assert_eq!(agent.later(), []);
    }

    #[test]
    fn one_that_was_revoked_before_it_answered_is_switched_off_when_it_does() {
        let mut agent = Agent::new();
        agent.then(Input::Joined);
        agent.then(Input::Published);
        agent.then(Input::Grant(FIRST));
        agent.then(Input::Subscribed);
        assert_eq!(
            agent.then(Input::Revoke(Epoch(2))),
            [say(Word::Released(Epoch(2)))]
        );
        assert_eq!(
            agent.then(Input::Answered(1)),
            [audio(2, Some(false), Some(false))]
        );
    }

    #[test]
    fn tools_that_ran_while_a_history_is_awaited_have_it_asked_for_once_more() {
        let mut agent = Agent::granted();
        assert_eq!(agent.then(Input::ToolsRan), [history(2)]);
        assert_eq!(agent.then(Input::ToolsRan), []);
        assert_eq!(agent.then(Input::Answered(2)), [history(3)]);
    }

    #[test]
    fn a_sign_of_life_is_the_sessions_answer_if_it_answers_at_all() {
        let mut agent = Agent::granted();
        let request = SessionRequest::Ping;
        assert_eq!(agent.then(Input::Ask), [Duty::Ask { id: 2, request }]);
        assert_eq!(agent.then(Input::Answered(2)), [say(Word::Alive)]);
        assert_eq!(agent.then(Input::Answered(2)), []);
        assert_eq!(Agent::new().then(Input::Ask), [say(Word::Alive)]);
    }

    #[test]
    fn one_that_comes_back_starts_from_the_beginning() {
        let mut agent = Agent::granted();
        assert_eq!(agent.then(Input::Left), [say(Word::Left)]);
        assert_eq!(agent.then(Input::Joined), [say(Word::Joined)]);
        assert_eq!(agent.then(Input::Published), []);
        assert_eq!(agent.then(Input::Grant(LATER)), [Duty::Listen]);
        assert_eq!(
            agent.then(Input::Subscribed),
            [history(2), say(Word::Granted(LATER))]
        );
    }
}
