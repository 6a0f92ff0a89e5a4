//! What a call writes into its journal, and a call that is read back from one. This is the one place that knows the form.
//!
//! A payload is JSON: `v`, the version, and `record`. Names are those of the types here and of
//! [`Fact`]: they are added to, and never change their meaning. What cannot be read (a newer Baton's, or damage) is left
//! out and counted. The payloads carry personal data and tickets, and are never logged.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use call::{DispatchId, EndReason, Fact, Identity, Memory, SpecialistName, Ticket};
use context::{Author, Item, Native, Patch, PatchLimits, Position, StateVersion};
use serde::{Deserialize, Serialize};
use store::{Kind, Record};

/// The version of the form.
const VERSION: u32 = 1;
/// What was accepted once is not measured again; the conversation that takes it in has bounds of its own.
const STORED_PATCH: PatchLimits = PatchLimits {
    patch_bytes_max: usize::MAX,
    depth_max: 64,
    document_bytes_max: usize::MAX,
};

/// One payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stored {
    /// The call began.
    Opened(Opened),
    /// Something has changed in the core.
    Fact(Fact),
    /// A dispatch is about to be made with this ticket.
    Expected {
        /// Which.
        dispatch: DispatchId,
        /// Its ticket.
        ticket: Ticket,
    },
    /// A dispatch was made.
    Dispatched {
        /// Which.
        dispatch: DispatchId,
        /// LiveKit's id of it.
        id: String,
    },
    /// All of the above so far. What follows is the conversation anew, item by item, and the state.
    Snapshot(Box<Rebuilt>),
    /// An item of the conversation, new or replaced.
    Item(StoredItem),
    /// An accepted patch of the shared state.
    Patch {
        /// The version that it made.
        version: u64,
        /// The JSON merge patch.
        patch: String,
    },
    /// The whole of the shared state.
    State {
        /// Its version.
        version: u64,
        /// The JSON document.
        document: String,
    },
    /// The call ended.
    Ended(EndReason),
}

/// An item as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredItem {
    position: u64,
    author: Option<u64>,
    id: String,
    /// An encoded `ChatItem`, in base64.
    chat_item: String,
    framework: Option<String>,
    /// The framework's own JSON.
    framework_json: Option<String>,
}

/// What of a conversation was read back, in its order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// An item or a patch.
    Record(context::Record),
    /// The state as a whole.
    State(StateVersion, Patch),
}

/// What is known of a call from its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Under which identity Baton is in the room.
    pub orchestrator: Identity,
    /// The room's session id, if the server has told it.
    pub room_sid: Option<String>,
    /// The entry specialist.
    pub entry: SpecialistName,
}

/// A call as its journal tells it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rebuilt {
    /// Its beginning, if that was read.
    pub opened: Option<Opened>,
    /// The core.
    pub memory: Memory,
    /// The tickets of dispatches that are not over.
    pub tickets: BTreeMap<DispatchId, Ticket>,
    /// LiveKit's ids of dispatches that are not over.
    pub dispatch_ids: BTreeMap<DispatchId, String>,
    /// Records that could not be read.
    #[serde(skip)]
    pub unreadable: u64,
    /// The conversation and the state.
    #[serde(skip)]
    pub(crate) said: Vec<Said>,
}

#[derive(Serialize, Deserialize)]
struct Payload<T> {
    v: u32,
    record: T,
}

/// Why a payload cannot be read. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// A form that is not known here.
    #[error("payload version {found} is not known, {VERSION} is")]
    Version {
        /// Which.
        found: u32,
    },
    /// Not of that form.
    #[error("the payload is malformed at column {column}")]
    Malformed {
        /// Where.
        column: usize,
    },
}

impl Stored {
    /// The kind of record that it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Opened(_) => Kind::Opened,
            Self::Fact(Fact::Granted { .. } | Fact::GrantAnnounced { .. }) => Kind::Grant,
            Self::Fact(Fact::Phase { .. }) => Kind::Phase,
            Self::Fact(_) | Self::Expected { .. } | Self::Dispatched { .. } => Kind::Core,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::Item(_) => Kind::ContextItem,
            Self::Patch { .. } | Self::State { .. } => Kind::StatePatch,
            Self::Ended(_) => Kind::Ended,
        }
    }

    /// A change of the conversation or the state.
    pub(crate) fn said(record: &context::Record) -> Self {
        match record {
            context::Record::Item {
                position,
                author,
                item,
            } => Self::item(*position, *author, item),
            context::Record::Patch { version, patch } => Self::Patch {
                version: version.0,
                patch: patch.to_json(),
            },
        }
    }

    /// An item at its place.
    pub(crate) fn item(position: Position, author: Option<Author>, item: &Item) -> Self {
        let native = item.native();
        Self::Item(StoredItem {
            position: position.0,
            author: author.map(|author| author.0),
            id: item.id().to_string(),
            chat_item: BASE64_STANDARD.encode(item.encoded()),
            framework: native.map(|native| native.framework.clone()),
            framework_json: native.map(|native| String::from_utf8_lossy(&native.json).into_owned()),
        })
    }

    /// The stored bytes.
    pub(crate) fn payload(&self) -> Bytes {
        let payload = Payload {
            v: VERSION,
            record: self,
        };
        serde_json::to_vec(&payload)
            .expect("maps in it have keys that are numbers, and nothing else in it can fail")
            .into()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Another version, or no payload at all.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, PayloadError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let malformed = |error: serde_json::Error| PayloadError::Malformed {
            column: error.column(),
        };
        let Version { v } = serde_json::from_slice(payload).map_err(malformed)?;
        if v != VERSION {
            return Err(PayloadError::Version { found: v });
        }
        let Payload { v: _, record } = serde_json::from_slice(payload).map_err(malformed)?;
        Ok(record)
    }
}

impl Rebuilt {
    /// Takes the next record in.
    pub(crate) fn take(&mut self, record: &Record) {
        match Stored::read(&record.entry.payload) {
            Ok(stored) => {
                match said_of(&stored) {
                    Some(Ok(said)) => self.said.push(said),
                    Some(Err(())) => self.unreadable += 1,
                    None => {}
                }
                self.apply(stored);
            }
            Err(error) => {
                tracing::debug!(seq = record.seq, %error, "record left out");
                self.unreadable += 1;
            }
        }
        // Also of a record that cannot be read: its epoch is never used again.
        self.memory.epoch = self.memory.epoch.max(call::Epoch(record.entry.epoch));
    }

    pub(crate) fn apply(&mut self, stored: Stored) {
        match stored {
            Stored::Opened(opened) => {
                self.memory.lost = Some(opened.entry.clone());
                self.opened = Some(opened);
            }
            Stored::Fact(fact) => {
                self.memory.apply(&fact);
                if let Fact::SpecialistGone { dispatch } = fact {
                    self.tickets.remove(&dispatch);
                    self.dispatch_ids.remove(&dispatch);
                }
            }
            Stored::Expected { dispatch, ticket } => {
                self.tickets.insert(dispatch, ticket);
            }
            Stored::Dispatched { dispatch, id } => {
                self.dispatch_ids.insert(dispatch, id);
            }
            Stored::Snapshot(snapshot) => {
                let unreadable = self.unreadable;
                *self = *snapshot;
                self.unreadable = unreadable;
            }
            Stored::Item(_) | Stored::Patch { .. } | Stored::State { .. } | Stored::Ended(_) => {}
        }
    }
}

/// What of the conversation a payload is, if it is of it.
pub(super) fn said_of(stored: &Stored) -> Option<Result<Said, ()>> {
    let patch = |json: &str| Patch::parse(json.as_bytes(), &STORED_PATCH).map_err(|_| ());
    match stored {
        Stored::Item(item) => Some(item.read().map(Said::Record).ok_or(())),
        Stored::Patch {
            version,
            patch: json,
        } => Some(patch(json).map(|patch| {
            Said::Record(context::Record::Patch {
                version: StateVersion(*version),
                patch,
            })
        })),
        Stored::State { version, document } => {
            Some(patch(document).map(|document| Said::State(StateVersion(*version), document)))
        }
        Stored::Opened(_)
        | Stored::Fact(_)
        | Stored::Expected { .. }
        | Stored::Dispatched { .. }
        | Stored::Snapshot(_)
        | Stored::Ended(_) => None,
    }
}

impl StoredItem {
    fn read(&self) -> Option<context::Record> {
        let Self {
            position,
            author,
            id,
            chat_item,
            framework,
            framework_json,
        } = self;
        let native = framework.clone().zip(framework_json.clone());
        let native = native.map(|(framework, json)| Native {
            framework,
            json: json.into_bytes(),
        });
        let chat_item = BASE64_STANDARD.decode(chat_item).ok()?;
        let item = Item::parse(id, &chat_item, native, usize::MAX).ok()?;
        Some(context::Record::Item {
            position: Position(*position),
            author: author.map(Author),
            item,
        })
    }
}

#[cfg(test)]
mod tests {
    use call::{Epoch, PhaseName};
    use store::Entry;

    use super::*;

    fn opened() -> Stored {
        Stored::Opened(Opened {
            orchestrator: "agent-AJ_1".into(),
            room_sid: Some("RM_1".to_owned()),
            entry: "triage".into(),
        })
    }

    fn facts() -> Vec<Stored> {
        let dispatch = DispatchId(1);
        vec![
            opened(),
            Stored::Expected {
                dispatch,
                ticket: "secret".into(),
            },
            Stored::Fact(Fact::Dispatched {
                dispatch,
                specialist: "triage".into(),
            }),
            Stored::Dispatched {
                dispatch,
                id: "AD_1".to_owned(),
            },
            Stored::Fact(Fact::SpecialistJoined {
                dispatch,
                specialist: "triage".into(),
                identity: "agent-AJ_2".into(),
            }),
            Stored::Fact(Fact::Granted {
                dispatch,
                handoff: None,
                specialist: "triage".into(),
                identity: "agent-AJ_2".into(),
                epoch: Epoch(1),
            }),
            Stored::Fact(Fact::Phase {
                phase: PhaseName::Active,
                epoch: Epoch(1),
            }),
        ]
    }

    fn rebuilt(stored: &[Stored]) -> Rebuilt {
        let mut rebuilt = Rebuilt::default();
        for (seq, stored) in (0..).zip(stored) {
            let entry = Entry {
                kind: stored.kind(),
                epoch: 0,
                unix_ms: 1,
                payload: stored.payload(),
            };
            rebuilt.take(&Record { seq, entry });
        }
        rebuilt
    }

    #[test]
    fn the_stored_form_stays_as_it_is() {
        let lines: Vec<String> = facts()
            .iter()
            .map(|stored| String::from_utf8(stored.payload().to_vec()).expect("JSON is text"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_was_stored_is_read_back() {
        for stored in facts() {
            let read = Stored::read(&stored.payload()).expect("it is readable");
            assert_eq!(read, stored);
        }
    }

    #[test]
    fn a_snapshot_stands_for_everything_before_it() {
        let whole = rebuilt(&facts());
        assert_eq!(whole.memory.holder, Some(DispatchId(1)));
        assert_eq!(whole.tickets.len(), 1);
        assert_eq!(rebuilt(&[Stored::Snapshot(Box::new(whole.clone()))]), whole);
        let after = Stored::Fact(Fact::SpecialistGone {
            dispatch: DispatchId(1),
        });
        let gone = rebuilt(&[Stored::Snapshot(Box::new(whole)), after]);
        assert!(gone.tickets.is_empty() && gone.dispatch_ids.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_counted() {
        let mut rebuilt = rebuilt(&facts());
        let before = rebuilt.memory.clone();
        let payloads = [
            r#"{"v":2,"record":null}"#,
            r#"{"v":1,"record":{"fact":{"of_a_newer_baton":{}}}}"#,
            "{",
            "",
        ];
        for (seq, payload) in (7..).zip(payloads) {
            let entry = Entry {
                kind: Kind::Core,
                epoch: 9,
                unix_ms: 1,
                payload: Bytes::from(payload),
            };
            rebuilt.take(&Record { seq, entry });
        }
        assert_eq!(rebuilt.unreadable, 4);
        let expected = Memory {
            epoch: Epoch(9),
            ..before
        };
        assert_eq!(rebuilt.memory, expected, "only the epoch is minded");
    }
}
