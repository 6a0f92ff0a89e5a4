//! Prepared sounds that the caller hears once: at the call's opening, on the way to another specialist, and where there is no
//! place for the call.
//!
//! Nobody has the baton while one is heard, and nobody is granted it before it is over: so it never speaks over anybody, and
//! nobody over it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::call::{Call, Turn};
use crate::command::{Command, Fact};
use crate::config::{CLIP_MS_MAX, RouteNumber};
use crate::outcome::{EndReason, RejectReason};
use crate::phase::Phase;
use crate::ready::Awaited;

/// Which prepared sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// That of the call's opening, see [`CallConfig::opening_clip`](crate::CallConfig::opening_clip).
    Opening,
    /// That of a route, see [`Route::announces`](crate::Route::announces).
    Route(RouteNumber),
    /// What a caller hears for whom there is no place, see [`Call::turn_away`].
    Busy,
}

/// What is being heard, and until when at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcing {
    clip: Clip,
    pub(crate) until: Instant,
}

impl Call {
    /// The caller hears: what is prepared for its first moment begins.
    pub(crate) fn open_call(&mut self, turn: &mut Turn<'_>) {
        if let Some(clip) = self.opening.take() {
            self.play(turn, clip);
        }
    }

    /// Begins the announcement of the handoff under way, if it has one that was not heard yet. Nobody has the baton.
    pub(crate) fn announce_handoff(&mut self, turn: &mut Turn<'_>) {
        let (Phase::Preparing { handoff, .. } | Phase::Ready { handoff, .. }) = &mut self.phase
        else {
            return;
        };
        if let Some(number) = handoff
            .route
            .filter(|_| std::mem::take(&mut handoff.announces))
        {
            self.play(turn, Clip::Route(number));
        }
    }

    /// The sound is over, or could not be played.
    pub(crate) fn announced(&mut self, turn: &mut Turn<'_>, clip: Clip) {
        match self.announcing {
            Some(announcing) if announcing.clip == clip => self.announcement_over(turn),
            Some(_) | None => self.reject(turn, None, RejectReason::Unexpected),
        }
    }

    /// It is over, or has taken too long.
    pub(crate) fn announcement_over(&mut self, turn: &mut Turn<'_>) {
        let Some(Announcing { clip, until: _ }) = self.announcing.take() else {
            return;
        };
        match clip {
            Clip::Busy if matches!(self.phase, Phase::Idle { .. }) => {
                self.end(turn, EndReason::Full);
            }
            // An operator has found somebody for the call meanwhile.
            Clip::Busy | Clip::Opening | Clip::Route(_) => {
                self.await_no_longer(turn, &[Awaited::Announcement]);
            }
        }
    }

    fn play(&mut self, turn: &mut Turn<'_>, clip: Clip) {
        let until = turn.after(CLIP_MS_MAX);
        self.announcing = Some(Announcing { clip, until });
        turn.record(Fact::Announced { clip });
        turn.push(Command::Announce {
            clip,
            epoch: self.epoch,
        });
    }
}
