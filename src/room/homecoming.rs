//! Specialists that have reached the caller by themselves while no Baton was there: their voice comes back to us without being
//! heard twice.

use std::time::{Duration, Instant};

use call::{Event, Identity};
use tracing::info;

use super::program::Order;
use super::task::Task;
use crate::telemetry::Hash;

/// The longest that a specialist which the caller hears without us is kept waiting: less than its time to return.
const HOMECOMING_MAX: Duration = Duration::from_secs(1);

/// A specialist that the caller hears without us. As soon as it is welcomed its voice goes by its fresh track.
pub(super) struct Homecoming {
    fresh_sid: String,
    pub(super) until: Instant,
}

impl Task {
    /// A specialist has reached the caller by itself while we were away: what the caller hears from it is not played too.
    pub(super) async fn leave_unread(
        &mut self,
        now: Instant,
        identity: Identity,
        track_sid: String,
        fresh_sid: String,
    ) {
        let its = self.connection.audio_tracks(identity.as_str());
        if !its.contains(&track_sid) {
            return;
        }
        info!(identity = %Hash::of(identity.as_str()), "the caller hears it without baton, until it says otherwise");
        self.direct.insert(identity.clone(), track_sid.clone());
        let until = now + HOMECOMING_MAX;
        self.homecoming
            .insert(identity, Homecoming { fresh_sid, until });
        self.program.order(Order::Detach { track_sid }).await;
    }

    pub(super) fn is_coming_home(&self, identity: &Identity) -> bool {
        self.homecoming.contains_key(identity)
    }

    /// Lets a specialist come back whose voice can go by us again: we read its fresh track, and the caller hears ours.
    pub(super) fn come_home(&mut self, now: Instant) {
        let (read, heard) = (&self.read, self.program_subscribed);
        let stands = |_: &Identity, Homecoming { fresh_sid, until }: &mut Homecoming| {
            (heard && read.contains(fresh_sid)) || *until <= now
        };
        let home: Vec<_> = self.homecoming.extract_if(.., stands).collect();
        for (identity, _) in home {
            self.tell(Event::Hello { identity });
        }
    }
}
