//! What a specialist of the demo says about itself: a line of JSON per event, on standard output.
//!
//! From these lines come the moments of requests and grants and the lanes of the timeline. Whether
//! there was silence or a leak is never read from them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One event and when it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Microseconds since the Unix epoch.
    pub(crate) at_us: u64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What happened to a specialist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// It is in the room.
    Joined,
    /// It is to build its pipeline.
    Preparing { handoff: u64 },
    /// It could speak now.
    Ready { handoff: u64 },
    /// It has the baton.
    Granted { epoch: u64 },
    /// It no longer has it.
    Revoked,
    /// It has asked for a handoff.
    Requested { to: String },
    /// So many items of the conversation are here as it takes the baton, Baton's own apart, with this hash.
    Knows { items: u64, hash: String },
    /// The same as it asks for a handoff.
    Leaves { items: u64, hash: String },
    /// A handoff that it asked for did not happen.
    Failed { why: String },
    /// It has heard the caller, from this place of its sweep to that one, since its grant.
    HeardCaller { begin_ms: f64, end_ms: f64 },
    /// It begins its tone of the measured part.
    ToneBegan { epoch: u64 },
    /// It has ended the last tone: the measured part is over.
    Finished,
}

impl Entry {
    /// Writes the event of this moment to standard output.
    pub(crate) fn say(event: Event) {
        let entry = Self {
            at_us: now_us(),
            event,
        };
        // Strings and numbers always serialize.
        if let Ok(line) = serde_json::to_string(&entry) {
            println!("{line}");
        }
    }

    /// The events among the lines of a log; everything else in it is skipped.
    pub(crate) fn read(log: &str) -> Vec<Self> {
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_among_other_lines() {
        let log = "{\"level\":\"info\",\"message\":\"registered\"}\nnoise\n\
                   {\"at_us\":5,\"event\":\"granted\",\"epoch\":3}\n{\"at_us\":9,\"event\":\"revoked\"}\n";
        let granted = Entry {
            at_us: 5,
            event: Event::Granted { epoch: 3 },
        };
        assert_eq!(
            Entry::read(log),
            [
                granted,
                Entry {
                    at_us: 9,
                    event: Event::Revoked
                }
            ]
        );
    }
}
