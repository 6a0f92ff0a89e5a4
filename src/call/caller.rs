//! Who the caller is: pinned by identity, once.
//!
//! A phone comes before a browser: until the baton is granted for the first time, a SIP participant takes the place of
//! a STANDARD one; after that nobody does. While the pinned caller is away only its own identity, of the same kind,
//! is taken for it.

use std::time::Instant;

use crate::call::{Call, Turn};
use crate::command::Fact;
use crate::event::{Departure, ParticipantKind};
use crate::ids::{Epoch, Identity};
use crate::outcome::EndReason;
use crate::snapshot::CallerView;
use crate::timer::Timer;

/// The caller's part of a call.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Nobody yet.
    Awaited { until: Instant },
    /// In the room.
    Present {
        identity: Identity,
        kind: ParticipantKind,
        hears: Hears,
    },
    /// Away; may come back.
    Away {
        identity: Identity,
        kind: ParticipantKind,
        heard: bool,
        until: Instant,
    },
}

/// Whether the caller hears the program track.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hears {
    /// Not yet; that is waited for.
    NotYet { until: Instant },
    /// It does, or that is no longer waited for.
    Yes,
}

impl Caller {
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Awaited { .. } => None,
            Self::Present { identity, .. } | Self::Away { identity, .. } => Some(identity),
        }
    }

    /// Whether it is known to be on no phone.
    pub(crate) fn has_no_phone(&self) -> bool {
        match self {
            Self::Awaited { .. } => false,
            Self::Present { kind, .. } | Self::Away { kind, .. } => *kind != ParticipantKind::Sip,
        }
    }

    /// Whether somebody can be granted the baton for it.
    pub(crate) fn hears(&self) -> bool {
        match self {
            Self::Present {
                hears: Hears::Yes, ..
            } => true,
            Self::Present {
                hears: Hears::NotYet { .. },
                ..
            }
            | Self::Awaited { .. }
            | Self::Away { .. } => false,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Awaited { until } => Some((*until, Timer::CallerJoin)),
            Self::Present {
                hears: Hears::NotYet { until },
                ..
            } => Some((*until, Timer::CallerListen)),
            Self::Present {
                hears: Hears::Yes, ..
            } => None,
            Self::Away { until, .. } => Some((*until, Timer::CallerReturn)),
        }
    }

    pub(crate) fn view(&self) -> Option<CallerView> {
        match self {
            Self::Awaited { .. } => None,
            Self::Present {
                identity,
                kind,
                hears,
            } => Some(CallerView {
                identity: identity.clone(),
                kind: *kind,
                present: true,
                listening: matches!(hears, Hears::Yes),
            }),
            Self::Away { identity, kind, .. } => Some(CallerView {
                identity: identity.clone(),
                kind: *kind,
                present: false,
                listening: false,
            }),
        }
    }
}

impl Call {
    /// Somebody who could be a caller is in the room.
    pub(crate) fn person_joined(
        &mut self,
        turn: &mut Turn<'_>,
        identity: Identity,
        kind: ParticipantKind,
    ) {
        match &self.caller {
            Caller::Awaited { .. } => self.pin_caller(turn, identity, kind),
            Caller::Present {
                kind: ParticipantKind::Standard,
                ..
            }
            | Caller::Away {
                kind: ParticipantKind::Standard,
                ..
            } if kind == ParticipantKind::Sip && self.epoch == Epoch(0) => {
                self.pin_caller(turn, identity, kind);
            }
            Caller::Away {
                identity: pinned,
                kind: pinned_kind,
                heard,
                ..
            } if *pinned == identity && *pinned_kind == kind => {
                let hears = match heard {
                    true => Hears::Yes,
                    false => Hears::NotYet {
                        until: self.listens_by(turn),
                    },
                };
                self.caller = Caller::Present {
                    identity,
                    kind,
                    hears,
                };
                turn.record(Fact::CallerBack);
                self.caller_may_hear(turn);
            }
            Caller::Present { .. } | Caller::Away { .. } => {}
        }
    }

    /// The caller hears the program track, or is taken to.
    pub(crate) fn caller_listens(&mut self, turn: &mut Turn<'_>) {
        if let Caller::Present { hears, .. } = &mut self.caller {
            if matches!(hears, Hears::NotYet { .. }) {
                turn.record(Fact::CallerListening);
            }
            *hears = Hears::Yes;
            self.open_call(turn);
            self.caller_may_hear(turn);
        }
    }

    pub(crate) fn caller_left(&mut self, turn: &mut Turn<'_>, departure: Departure) {
        let Caller::Present {
            identity,
            kind,
            hears,
        } = &self.caller
        else {
            return;
        };
        match departure {
            // A phone that has called another address leaves, perhaps before that is known here.
            Departure::Final if !self.is_transferring() => self.end(turn, EndReason::CallerGone),
            Departure::Final | Departure::MayReturn => {
                self.caller = Caller::Away {
                    identity: identity.clone(),
                    kind: *kind,
                    heard: matches!(hears, Hears::Yes),
                    until: turn.after(self.plan.timers().caller_return_ms),
                };
                turn.record(Fact::CallerAway);
            }
        }
    }

    fn pin_caller(&mut self, turn: &mut Turn<'_>, identity: Identity, kind: ParticipantKind) {
        let until = self.listens_by(turn);
        turn.record(Fact::CallerPinned {
            identity: identity.clone(),
            kind,
        });
        self.caller = Caller::Present {
            identity,
            kind,
            hears: Hears::NotYet { until },
        };
        self.entry_caller_pinned(turn, kind);
        if self.turned_away && self.opening.is_none() && self.announcing.is_none() {
            self.end(turn, EndReason::Full);
        }
    }
}
