//! Whom the program listens to, by what the call's phase asks for: the holder before a change, its silence, the caller's.

use std::time::Duration;

use call::{Event, Identity, Phase};

use super::program::Order;
use super::task::Task;

impl Task {
    /// Tells the program what the call's phase asks of it: whom to listen to, and whether somebody should be heard.
    pub(super) async fn direct_program(&mut self) {
        let outgoing = match self.call.phase() {
            Phase::Preparing { from, .. } | Phase::Ready { from, .. } => from.as_ref(),
            Phase::Idle { .. } | Phase::Switching { .. } | Phase::Active { .. } => None,
        };
        let metered = self.post.is_metered();
        if metered != self.metered {
            self.metered = metered;
            self.program.order(Order::Meter(metered)).await;
        }
        let holder = self.call.phase().holder();
        let attended = outgoing.or_else(|| holder.filter(|_| metered));
        let attended = attended.map(|holder| holder.identity.clone());
        let attended = attended.map(|identity| self.peers.source(&identity));
        if attended != self.attended {
            self.attended = attended;
            self.program.order(Order::Attend(attended)).await;
        }
        let holder = holder.map(|holder| holder.identity.clone());
        let watched = holder.map(|identity| self.peers.source(&identity));
        if watched != self.watched {
            self.watched = watched;
            self.watch_anew().await;
        }
        self.overhear_caller().await;
        let voice_due = self.call.voice_is_due();
        if voice_due != self.voice_due {
            self.voice_due = voice_due;
            self.program.order(Order::ExpectVoice(voice_due)).await;
        }
    }

    /// The holder's silence counts from now on.
    pub(super) async fn watch_anew(&mut self) {
        let quiet_ms = self.deps.plan.config().timers.holder_quiet_ms;
        let limit = Duration::from_millis(quiet_ms);
        let watched = self.watched.map(|source| (source, limit));
        self.program.order(Order::Watch(watched)).await;
    }

    /// Something has come of a holder that was doubted.
    pub(super) fn heard(&mut self, identity: Identity) {
        self.doubt = None;
        self.tell(Event::Heard { identity });
    }

    /// Listens to the caller while a change is near that waits for its silence, or somebody looks at the levels, and at no
    /// other time.
    async fn overhear_caller(&mut self) {
        let awaited = match self.call.phase() {
            Phase::Preparing {
                from: Some(_),
                handoff,
                ..
            }
            | Phase::Ready {
                from: Some(_),
                handoff,
                ..
            } => handoff.splice.awaits_caller(),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Switching { .. }
            | Phase::Active { .. } => false,
        };
        let caller = (awaited || self.metered)
            .then(|| self.call.snapshot().caller)
            .flatten();
        let caller = caller.map(|caller| caller.identity);
        // One that publishes nothing says nothing.
        let caller = caller.filter(|caller| {
            self.overheard.as_ref() == Some(caller)
                || !self.connection.audio_tracks(caller.as_str()).is_empty()
        });
        if caller == self.overheard {
            return;
        }
        if let Some(before) = self.overheard.clone() {
            self.stop_overhearing(before.as_str()).await;
        }
        if let Some(caller) = &caller {
            self.connection.set_listening(caller.as_str(), true);
            // What is read for a side room already is not subscribed to once more.
            if self.sides.want_caller() {
                self.overhear(caller).await;
            }
        }
        self.voices.caller(caller.is_some());
        let source = caller.as_ref().map(|caller| self.peers.source(caller));
        self.program.order(Order::Overhear(source)).await;
        self.overheard = caller;
    }
}
