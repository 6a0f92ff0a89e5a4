//! Conversations in the shapes of other frameworks, there and back.
//!
//! A format says how items become its messages and how they are read again; what it does not carry is never decided
//! by hand. It is the difference between an item and what is read back from its message, and it goes into the
//! [`Sidecar`], by the item's id. So a conversation that went out and comes back unchanged is equal to what it was, and
//! what a foreign message has that LiveKit's items cannot hold is the difference between it and the message that is
//! written back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::chat::{Chat, Dialect};
use crate::delta::{Misfit, apply, delta, only_in};
use crate::grouping::{Group, group_calls};
use crate::item::LIVEKIT;
use crate::langchain::Langchain;
use crate::livekit::{LivekitItem, NoLivekitItem};
use crate::livekit_js::LivekitJs;
use crate::order::{Ids, Order};
use crate::realtime::Realtime;
use crate::responses::Responses;

/// A framework's way to write a conversation down: an array of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `ChatContext.toJSON().items` of `@livekit/agents`.
    LivekitJs,
    /// The `messages` of OpenAI's Chat Completions.
    OpenaiChat,
    /// The `input` items of OpenAI's Responses.
    OpenaiResponses,
    /// OpenAI's Realtime: `conversation.item.create` events.
    OpenaiRealtime,
    /// The messages of Pipecat's `LLMContext`.
    Pipecat,
    /// LangChain's `messages_to_dict`.
    Langchain,
    /// CrewAI's `LLMMessage`s.
    Crewai,
}

/// There is no such format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {name:?}; there are {}", Format::names())]
pub struct NoFormat {
    /// What was asked for.
    pub name: String,
}

/// A conversation in another format.
#[derive(Clone, PartialEq)]
pub struct Exported {
    /// The messages.
    pub messages: Vec<Value>,
    /// What has to go along for the way back.
    pub sidecar: Sidecar,
    /// What is not in the messages: lost to whoever reads only them.
    pub left_out: Vec<LeftOut>,
}

/// What the messages do not say of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The item.
    pub item: String,
    /// Its fields; none if the whole item is left out.
    pub fields: Vec<String>,
}

/// What a format cannot carry, by item.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The format that it goes along with.
    pub format: Format,
    /// All items, in their order.
    pub(crate) order: Vec<String>,
    pub(crate) messages: Vec<Carried>,
    /// The items that are in no message.
    pub(crate) aside: BTreeMap<String, Value>,
}

/// One message, and what it leaves unsaid.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Hash of the message, to know it again.
    digest: String,
    pub(crate) items: Vec<CarriedItem>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CarriedItem {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Value>,
}

/// A conversation that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The items.
    pub items: Vec<LivekitItem>,
    /// What the messages say and the items do not.
    pub lost: Vec<Lost>,
}

/// Something that LiveKit's items cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Which message, from 0.
    pub message: usize,
    /// A JSON pointer into it; empty if nothing of the message was understood.
    pub path: String,
}

/// Why a conversation cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConvertError {
    /// The sidecar goes along with another format.
    #[error("the sidecar belongs to {}, not to {}", found.name(), format.name())]
    WrongSidecar {
        /// What is being read.
        format: Format,
        /// What the sidecar is for.
        found: Format,
    },
    /// The sidecar is damaged.
    #[error("the sidecar's part of item {item} is damaged")]
    DamagedSidecar {
        /// The item.
        item: String,
    },
    /// Something was read that is no item.
    #[error("message {message} makes no item")]
    NoItem {
        /// Which message, from 0.
        message: usize,
        /// What is wrong with it.
        #[source]
        source: NoLivekitItem,
    },
}

/// How a format writes and reads.
pub(crate) trait Shape {
    /// Which items go into which message, in the order of the messages. What is in none is left out.
    fn group(&self, items: &[LivekitItem]) -> Vec<Group>;

    /// The message of these items.
    fn render(&self, items: &[&LivekitItem]) -> Value;

    /// The message that stands for the result of a call that is still running.
    fn running(&self, _call: &LivekitItem) -> Option<Value> {
        None
    }

    /// The items of a message, in the order in which `render` takes them; nothing if it is not understood. An item
    /// without an id gets one.
    fn read(&self, message: &Value) -> Option<Vec<Map<String, Value>>>;
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LivekitJs,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiRealtime,
        Self::Pipecat,
        Self::Langchain,
        Self::Crewai,
    ];

    /// Its name in packets and sidecars.
    pub fn name(self) -> &'static str {
        match self {
            Self::LivekitJs => "livekit_js",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::OpenaiRealtime => "openai_realtime",
            Self::Pipecat => "pipecat",
            Self::Langchain => "langchain",
            Self::Crewai => "crewai",
        }
    }

    fn names() -> String {
        let names = [LIVEKIT].into_iter().chain(Self::ALL.map(Self::name));
        names.collect::<Vec<_>>().join(", ")
    }

    fn shape(self) -> Box<dyn Shape> {
        match self {
            Self::LivekitJs => Box::new(LivekitJs),
            Self::OpenaiChat => Box::new(Chat(Dialect::Openai)),
            Self::OpenaiResponses => Box::new(Responses),
            Self::OpenaiRealtime => Box::new(Realtime),
            Self::Pipecat => Box::new(Chat(Dialect::Pipecat)),
            Self::Langchain => Box::new(Langchain),
            Self::Crewai => Box::new(Chat(Dialect::Crewai)),
        }
    }

    /// Writes a conversation. Tool calls and results go along in pairs, or not at all; a format that knows running
    /// calls gets those too.
    pub fn export(self, items: &[LivekitItem]) -> Exported {
        let shape = self.shape();
        let mut messages = Vec::new();
        let mut carried = Vec::new();
        let mut left_out = Vec::new();
        let mut said = BTreeSet::new();
        for group in shape.group(items) {
            let (message, indexes) = match group {
                Group::Items(indexes) => {
                    let group: Vec<&LivekitItem> = indexes.iter().map(|i| &items[*i]).collect();
                    (shape.render(&group), indexes)
                }
                Group::Running(call) => match shape.running(&items[call]) {
                    Some(message) => (message, Vec::new()),
                    None => continue,
                },
            };
            let read = shape.read(&message).unwrap_or_default();
            let mut parts = Vec::new();
            for (nth, index) in indexes.iter().enumerate() {
                let item = &items[*index];
                let base = read.get(nth).cloned().unwrap_or_default();
                let named = crate::livekit::text(&base, "id") == item.id();
                let rest = delta(
                    &with_id(base, item.id()),
                    &Value::Object(item.fields().clone()),
                );
                left_out.extend(missing(item.id(), named, rest.as_ref()));
                said.insert(*index);
                parts.push(CarriedItem {
                    id: item.id().to_owned(),
                    rest,
                });
            }
            carried.push(Carried {
                digest: digest(&message),
                items: parts,
            });
            messages.push(message);
        }
        let unsaid = items
            .iter()
            .enumerate()
            .filter(|(index, _)| !said.contains(index));
        let aside: BTreeMap<String, Value> = unsaid
            .map(|(_, item)| (item.id().to_owned(), Value::Object(item.fields().clone())))
            .collect();
        left_out.extend(aside.keys().map(|id| LeftOut {
            item: id.clone(),
            fields: Vec::new(),
        }));
        Exported {
            messages,
            sidecar: Sidecar {
                format: self,
                order: items.iter().map(|item| item.id().to_owned()).collect(),
                messages: carried,
                aside,
            },
            left_out,
        }
    }

    /// Reads a conversation. With the sidecar of what went out, messages that are as they were become the items they
    /// were made of; others are read, and get ids that begin with `id_prefix`, unless they bring one.
    pub fn import(
        self,
        messages: &[Value],
        sidecar: Option<&Sidecar>,
        id_prefix: &str,
    ) -> Result<Imported, ConvertError> {
        if let Some(sidecar) = sidecar
            && sidecar.format != self
        {
            return Err(ConvertError::WrongSidecar {
                format: self,
                found: sidecar.format,
            });
        }
        let shape = self.shape();
        let digests: Vec<String> = messages.iter().map(digest).collect();
        let known = sidecar.map_or_else(Vec::new, |sidecar| align(&digests, &sidecar.messages));
        let mut order = Order::of(sidecar)?;
        let mut lost = Vec::new();
        let mut ids = Ids::new(id_prefix, sidecar);
        for (index, message) in messages.iter().enumerate() {
            let read = shape.read(message);
            let carried = known.get(index).copied().flatten();
            if let Some(carried) = carried {
                let mut read = read.unwrap_or_default().into_iter();
                for part in &carried.items {
                    let base = read.next().unwrap_or_default();
                    order.known(&part.id, restored(part, base)?);
                }
                continue;
            }
            let Some(read) = read else {
                lost.push(Lost {
                    message: index,
                    path: String::new(),
                });
                continue;
            };
            let mut items = Vec::new();
            for fields in read {
                let item = LivekitItem::new(Value::Object(ids.named(fields)));
                items.push(item.map_err(|source| ConvertError::NoItem {
                    message: index,
                    source,
                })?);
            }
            group_calls(&mut items);
            if !items.is_empty() {
                let again = shape.render(&items.iter().collect::<Vec<_>>());
                let mut paths = Vec::new();
                only_in(message, Some(&again), "", &mut paths);
                lost.extend(paths.into_iter().map(|path| Lost {
                    message: index,
                    path,
                }));
            }
            order.fresh(items);
        }
        Ok(Imported {
            items: order.finish(),
            lost,
        })
    }
}

impl FromStr for Format {
    type Err = NoFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|format| format.name() == name);
        named.ok_or_else(|| NoFormat {
            name: name.to_owned(),
        })
    }
}

/// What was said does not belong into logs.
impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported")
            .field("messages", &self.messages.len())
            .field("sidecar", &self.sidecar)
            .field("left_out", &self.left_out)
            .finish()
    }
}

/// What was said does not belong into logs.
impl fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecar")
            .field("format", &self.format)
            .field("items", &self.order.len())
            .finish_non_exhaustive()
    }
}

fn with_id(mut fields: Map<String, Value>, id: &str) -> Value {
    fields.insert("id".to_owned(), id.into());
    Value::Object(fields)
}

fn restored(part: &CarriedItem, base: Map<String, Value>) -> Result<LivekitItem, ConvertError> {
    let damaged = || ConvertError::DamagedSidecar {
        item: part.id.clone(),
    };
    let base = with_id(base, &part.id);
    let value = match &part.rest {
        Some(rest) => apply(base, rest).map_err(|Misfit| damaged())?,
        None => base,
    };
    LivekitItem::new(value)
        .ok()
        .filter(|item| item.id() == part.id)
        .ok_or_else(damaged)
}

/// The fields of an item that its message does not carry.
fn missing(id: &str, named: bool, rest: Option<&Value>) -> Option<LeftOut> {
    let changes = ["put", "set"].map(|part| rest.and_then(|rest| rest.get(part)?.as_object()));
    let mut fields: Vec<String> = changes
        .into_iter()
        .flatten()
        .flat_map(Map::keys)
        .cloned()
        .collect();
    if !named {
        fields.push("id".to_owned());
    }
    fields.sort_unstable();
    (!fields.is_empty()).then(|| LeftOut {
        item: id.to_owned(),
        fields,
    })
}

/// Which of the carried messages each message is, first by what both begin and end with, then one after the other.
fn align<'a>(digests: &[String], carried: &'a [Carried]) -> Vec<Option<&'a Carried>> {
    let mut known = vec![None; digests.len()];
    let same = |(digest, carried): &(&String, &Carried)| **digest == carried.digest;
    let head = digests.iter().zip(carried).take_while(same).count();
    let tails = digests[head..]
        .iter()
        .rev()
        .zip(carried[head..].iter().rev());
    let tail = tails.take_while(same).count();
    for index in 0..head {
        known[index] = Some(&carried[index]);
    }
    for index in 1..=tail {
        known[digests.len() - index] = Some(&carried[carried.len() - index]);
    }
    let mut next = head;
    for index in head..digests.len() - tail {
        let rest = &carried[next..carried.len() - tail];
        if let Some(at) = rest
            .iter()
            .position(|carried| carried.digest == digests[index])
        {
            known[index] = Some(&carried[next + at]);
            next += at + 1;
        }
    }
    known
}

/// The first half of the SHA-256 over a message, whatever the order of its fields, and whether nulls are written or not.
fn digest(message: &Value) -> String {
    let mut sha = Sha256::new();
    feed(&mut sha, message);
    let hash = sha.finalize();
    hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn feed(sha: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, _)| name)
                .collect();
            names.sort_unstable();
            sha.update(b"{");
            for name in names {
                sha.update(Value::String(name.clone()).to_string());
                sha.update(b":");
                feed(sha, &fields[name]);
            }
            sha.update(b"}");
        }
        Value::Array(elements) => {
            sha.update(b"[");
            for element in elements {
                feed(sha, element);
                sha.update(b",");
            }
            sha.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            sha.update(value.to_string());
        }
    }
}
