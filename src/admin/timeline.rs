//! What has happened in a call, and how to wait for more of it.

use call::Fact;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{Access, Admin, AdminError};
use crate::room::{Happened, Happening, Reached};

/// The most entries in one answer.
const ENTRIES_MAX: usize = 1_000;

/// What has happened in a call, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimelinePage {
    /// What has happened. A running call keeps the newest 4,096 of it, its journal all.
    pub entries: Vec<TimelineEntry>,
    /// There is more: ask for what comes after this number.
    pub next: Option<u64>,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Grows with each entry of the call.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What: phase, granted, handoff_started, handoff_done, dead_air_began and so on; of a running call also talking.
    pub what: String,
    /// What is known of it, by names that depend on `what`.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// What of a call has moved since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The conversation.
    pub context: bool,
    /// The state.
    pub state: bool,
    /// The timeline.
    pub timeline: bool,
}

/// Waits for a call to move.
#[derive(Debug)]
pub struct Follow {
    receiver: watch::Receiver<Reached>,
    seen: Reached,
}

impl Admin {
    /// What has happened in a running call after an entry, at most `limit` of it.
    ///
    /// # Errors
    /// When the visitor may not see what happens in the call, or there is none.
    pub fn timeline(
        &self,
        access: &Access,
        id: &str,
        after: u64,
        limit: Option<usize>,
    ) -> Result<TimelinePage, AdminError> {
        let id = self.steered(access, id)?;
        let limit = limit.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
        let found = self.desk.said(&id, |said| {
            let newer = said.happened.iter().filter(|entry| entry.number > after);
            let newest = said.happened.back().map_or(0, |entry| entry.number);
            (newer.take(limit).cloned().collect::<Vec<_>>(), newest)
        });
        let (happened, newest) = found.ok_or_else(|| AdminError::NoCall { id: id.to_string() })?;
        let last = happened.last().map_or(after, |entry| entry.number);
        let entries = happened.iter().map(TimelineEntry::new);
        Ok(TimelinePage {
            entries: entries.collect(),
            next: (last < newest).then_some(last),
        })
    }

    /// Waits for what moves in a running call from now on.
    ///
    /// # Errors
    /// When the visitor may not see what happens in the call, or there is none.
    pub fn follow(&self, access: &Access, id: &str) -> Result<Follow, AdminError> {
        let id = self.steered(access, id)?;
        let receiver = self
            .desk
            .reached(&id)
            .ok_or_else(|| AdminError::NoCall { id: id.to_string() })?;
        let seen = *receiver.borrow();
        Ok(Follow { receiver, seen })
    }
}

impl Follow {
    /// What has moved since the last answer; `None` once the call is over. Cancel-safe: what was not answered is
    /// answered the next time.
    pub async fn moved(&mut self) -> Option<Moved> {
        loop {
            let now = *self.receiver.borrow_and_update();
            let seen = self.seen;
            if now != seen {
                self.seen = now;
                return Some(Moved {
                    context: now.position != seen.position,
                    state: now.version != seen.version,
                    timeline: now.happening != seen.happening,
                });
            }
            self.receiver.changed().await.ok()?;
        }
    }
}

impl TimelineEntry {
    /// A happening as it is shown: its name, and what it carries.
    pub(super) fn new(happening: &Happening) -> Self {
        let Happening {
            number,
            unix_ms,
            what,
        } = happening;
        let (what, data) = match what {
            Happened::Fact(fact) => Self::of_fact(fact),
            Happened::Talking { identity, talking } => {
                let data = [("identity", json!(identity)), ("talking", json!(talking))];
                let data = data.map(|(name, value)| (name.to_owned(), value));
                ("talking".to_owned(), Map::from_iter(data))
            }
        };
        Self {
            number: *number,
            unix_ms: *unix_ms,
            what,
            data,
        }
    }

    fn of_fact(fact: &Fact) -> (String, Map<String, Value>) {
        // A fact's stored form: its name alone, or an object of its name and what it carries.
        match serde_json::to_value(fact) {
            Ok(Value::String(name)) => (name, Map::new()),
            Ok(Value::Object(fact)) => match fact.into_iter().next() {
                Some((name, Value::Object(mut data))) => {
                    leave_out_task(&mut data);
                    (name, data)
                }
                Some((name, _)) => (name, Map::new()),
                None => ("unknown".to_owned(), Map::new()),
            },
            Ok(_) | Err(_) => ("unknown".to_owned(), Map::new()),
        }
    }
}

/// What a specialist is to do, and what came of it, is the conversation's: who looks at the handoff alone does not see it.
fn leave_out_task(fact: &mut Map<String, Value>) {
    let errand = fact
        .get_mut("handoff")
        .and_then(|handoff| handoff.get_mut("errand"))
        .and_then(Value::as_object_mut);
    for kind in errand.into_iter().flat_map(|errand| errand.values_mut()) {
        if let Some(kind) = kind.as_object_mut() {
            kind.remove("task");
            kind.remove("result");
        }
    }
}

#[cfg(test)]
mod tests {
    use call::{Errand, Handoff, HandoffId, Opening, Payload, Splice};

    use super::*;

    #[test]
    fn a_task_is_not_shown_with_the_handoff_that_carries_it() {
        let fact = Fact::HandoffStarted {
            handoff: Handoff {
                id: HandoffId(2),
                cause: call::Cause::Recovery,
                to: "billing".into(),
                reason: "to check".to_owned(),
                splice: Splice::Now,
                fade_ms: 0,
                opening: Opening::Continue,
                route: None,
                tools_wait_ms: 0,
                tool_call: None,
                announces: false,
                fallback: Vec::new(),
                errand: Some(Box::new(Errand::Task {
                    by: call::DispatchId(1),
                    by_name: "triage".into(),
                    task: Payload::new(br#"{"card":"4111"}"#).expect("it is json"),
                })),
            },
            from: None,
        };
        let stored = json!(fact).to_string();
        assert!(stored.contains("4111"), "the journal has it: {stored}");
        let (name, data) = TimelineEntry::of_fact(&fact);
        assert_eq!(name, "handoff_started");
        let shown = json!(data).to_string();
        assert!(!shown.contains("4111"), "{shown}");
        assert!(shown.contains("to check") && shown.contains("triage"));
    }
}
