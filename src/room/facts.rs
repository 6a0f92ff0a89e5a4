//! What conditions may ask for, told to the core: the caller, the shared state, the clock, and who speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use audio::SourceId;
use call::{CallerFacts, Event, Identity, LocalTime};
use context::{PatchOutcome, Scopes};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use tracing::{debug, info, warn};

use super::desk::Happened;
use super::task::{Done, Task};
use crate::clock;
use crate::rtc;
use crate::telemetry::Redacted;

/// Attributes of a caller that are kept, and bytes of each name and value; what is beyond is left out.
const ATTRIBUTES_MAX: usize = 64;
const ATTRIBUTE_BYTES_MAX: usize = 1_024;

impl Task {
    /// Tells what is known of the caller, if that is who this is.
    pub(super) fn know_caller(&mut self, participant: &rtc::Participant) {
        let caller = self.call.snapshot().caller;
        if caller.is_none_or(|caller| caller.identity.as_str() != participant.identity) {
            return;
        }
        let facts = CallerFacts {
            kind: match participant.kind {
                rtc::ParticipantKind::Sip => "sip",
                rtc::ParticipantKind::Standard => "standard",
                rtc::ParticipantKind::Agent | rtc::ParticipantKind::Other => "other",
            }
            .to_owned(),
            room: self.room.clone(),
            metadata: self.metadata.clone(),
            attributes: bounded(&participant.attributes),
        };
        let facts = Arc::new(facts);
        self.caller_facts = facts.clone();
        self.tell(Event::CallerKnown { facts });
    }

    /// Asks elsewhere what is known of the caller.
    pub(super) fn look_up(&mut self) {
        if self.deps.lookup.is_none() {
            return self.tell(Event::EntryStateSettled);
        }
        let (deps, call, caller, done) = (
            self.deps.clone(),
            self.call.id().clone(),
            self.caller_facts.clone(),
            self.done.clone(),
        );
        self.requests.spawn(async move {
            let Some(lookup) = &deps.lookup else { return };
            let known = match lookup.ask(&call, &caller).await {
                Ok(known) => Some(Value::Object(known).to_string().into_bytes()),
                Err(error) => {
                    deps.metrics.lookup_failed();
                    warn!(error = &error as &dyn Error, "caller not looked up");
                    None
                }
            };
            // The loop is gone only when the call is over.
            let _ = done.send(Done::LookedUp { known }).await;
        });
    }

    /// What was found out becomes part of the state, also when the call has not waited for it.
    pub(super) fn looked_up(&mut self, known: Option<Vec<u8>>) {
        if let Some(known) = known {
            let base = self.talk.state().version();
            match self.talk_patched(&Scopes::all(), base, &known) {
                PatchOutcome::Accepted(version) => {
                    info!(version = version.0, "caller looked up");
                }
                PatchOutcome::Conflict { .. } => warn!("what is known of the caller is outdated"),
                PatchOutcome::Denied { path, reason } => {
                    self.deps.metrics.lookup_failed();
                    warn!("what is known of the caller is refused");
                    debug!(path = ?Redacted(&path), reason = ?Redacted(&reason), "refused");
                }
            }
        }
        self.tell(Event::EntryStateSettled);
    }

    /// Tells the time, once a minute.
    pub(super) fn tell_time(&mut self) {
        let time = local_time(clock::unix_ms(), &self.deps.time_zone);
        if self.told_time != Some(time) {
            self.told_time = Some(time);
            self.tell(Event::Clock { time });
        }
    }

    /// A patch was accepted.
    pub(super) fn tell_state(&mut self) {
        let state = self.talk.state();
        let version = state.version().0;
        let state = Arc::new(Value::Object(state.document().clone()));
        self.tell(Event::StateChanged { state, version });
    }

    /// The server says who speaks; of the caller there is no other word, since its audio goes past us.
    pub(super) fn speakers(&mut self, speakers: &BTreeSet<String>) {
        let Some(caller) = self.call.snapshot().caller else {
            return;
        };
        let talking = speakers.contains(caller.identity.as_str());
        if std::mem::replace(&mut self.caller_talks, talking) != talking {
            self.tell_talking(caller.identity, talking);
        }
    }

    /// A source of the mixer speaks, or has ceased to.
    pub(super) fn source_talks(&mut self, source: SourceId, talking: bool) {
        if let Some(identity) = self.peers.identity(source) {
            self.tell_talking(identity, talking);
        }
    }

    fn tell_talking(&mut self, identity: Identity, talking: bool) {
        self.post.note(Happened::Talking {
            identity: identity.clone(),
            talking,
        });
        self.tell(Event::Talking { identity, talking });
    }
}

fn bounded(attributes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    attributes
        .iter()
        .filter(|(name, value)| name.len().max(value.len()) <= ATTRIBUTE_BYTES_MAX)
        .take(ATTRIBUTES_MAX)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn local_time(unix_ms: u64, zone: &TimeZone) -> LocalTime {
    let millisecond = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::UNIX_EPOCH);
    let zoned = timestamp.to_zoned_datetime(zone.clone());
    LocalTime {
        year: zoned.year(),
        month: zoned.month(),
        day: zoned.day(),
        hour: zoned.hour(),
        minute: zoned.minute(),
        weekday: u8::try_from(zoned.weekday().to_monday_zero_offset()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_zone() {
        let zone = TimeZone::get("Europe/Berlin").expect("it is known");
        // Sunday 2026-03-29 01:00 UTC, when the clocks there go from 2 to 3.
        let time = local_time(1_774_746_000_000, &zone);
        let expected = LocalTime {
            year: 2026,
            month: 3,
            day: 29,
            hour: 3,
            minute: 0,
            weekday: 6,
        };
        assert_eq!(time, expected);
    }
}
