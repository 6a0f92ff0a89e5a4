//! The portable handoff packet: all that a successor needs, in one JSON document, whatever framework it is written in.
//!
//! The conversation is in it as LiveKit's items, or in another format with its sidecar. Fields that are not known here
//! are kept, but for those right inside `context` and `opening`, so that a packet of a later minor version goes through
//! unharmed. `proto/packet.schema.json` is its JSON Schema.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::convert::{ConvertError, Format, LeftOut, Lost, NoFormat, Sidecar};
use crate::item::{ItemError, LIVEKIT};
use crate::livekit::{LivekitItem, NoLivekitItem};

/// The version of packets written here. Another one is refused.
pub const PACKET_VERSION: u32 = 1;

/// The JSON Schema of a packet.
pub const PACKET_SCHEMA: &str = include_str!("../../proto/packet.schema.json");

/// A call that is handed over.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Packet {
    /// [`PACKET_VERSION`].
    pub version: u32,
    /// The call, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// What was said and done.
    pub context: PacketContext,
    /// What is known.
    #[serde(default)]
    pub state: PacketState,
    /// From whom to whom, and why.
    #[serde(default)]
    pub route: PacketRoute,
    /// Whether the successor speaks first.
    #[serde(default)]
    pub opening: PacketOpening,
    /// Where in the conversation it is.
    #[serde(default)]
    pub turn: PacketTurn,
    /// The caller's line; nothing if the caller is not on the telephone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telephony: Option<PacketTelephony>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The conversation.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub enum PacketContext {
    /// As LiveKit's items.
    Livekit {
        /// The items, oldest first.
        items: Vec<Value>,
    },
    /// As another framework's messages.
    #[serde(untagged)]
    Foreign {
        /// Which.
        format: Format,
        /// The messages.
        messages: Vec<Value>,
        /// What the messages cannot carry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sidecar: Option<Sidecar>,
    },
}

/// The shared state, as far as the successor may read it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketState {
    /// Its version.
    pub version: u64,
    /// The document.
    pub document: Map<String, Value>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// From whom to whom.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketRoute {
    /// Who had the baton; nothing if nobody had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in the asker's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Whether the successor speaks first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PacketOpening {
    /// It goes on where the conversation stands.
    #[default]
    Continue,
    /// It greets.
    Greet,
    /// It waits for the caller.
    Wait,
    /// It says this.
    Say {
        /// The words.
        text: String,
    },
}

/// Where in the conversation a handoff falls.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketTurn {
    /// The epoch that the handoff starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Whether the caller is speaking.
    #[serde(default)]
    pub caller_speaking: bool,
    /// What the caller has said so far of a turn that is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_transcript: Option<String>,
    /// The language spoken, as BCP 47 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The ids of the tool calls whose results the successor will receive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted_calls: Vec<String>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The caller's line.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketTelephony {
    /// The caller's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_number: Option<String>,
    /// The number that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_number: Option<String>,
    /// The caller's identity in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// LiveKit's attributes of the line, such as `sip.callID`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The keys that were pressed, in their order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtmf: String,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Why something is no packet.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// It is too large.
    #[error("a packet of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is no JSON.
    #[error("a packet is no JSON")]
    NoJson(#[source] serde_json::Error),
    /// It is no JSON of a packet.
    #[error("a packet cannot be read at {path}")]
    NoPacket {
        /// Where, as `context.format`; a dot if it is wrong as a whole.
        path: String,
        /// What is wrong there.
        #[source]
        source: serde_json::Error,
    },
    /// It is no protobuf of a packet.
    #[error("a packet cannot be read as protobuf")]
    NoProtobuf(#[source] prost::DecodeError),
    /// It is in a format that there is not.
    #[error("the packet's conversation cannot be read")]
    Format(#[source] NoFormat),
    /// A part of its protobuf is missing, or is not the JSON that it should be.
    #[error("the packet's {0} is missing or is no valid JSON")]
    Part(&'static str),
    /// A part of its protobuf has among its further fields one that it has already.
    #[error("the packet's {0} has a field that is known by that name")]
    Twice(&'static str),
    /// One of its items is none that could be written.
    #[error("item {index} of the packet cannot be written")]
    Unwritable {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: ItemError,
    },
    /// It is of another version.
    #[error("a packet has version {found}, not {PACKET_VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// One of its items is none.
    #[error("item {index} of the packet is none")]
    Item {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: NoLivekitItem,
    },
    /// Its conversation cannot be read.
    #[error("the packet's conversation cannot be read")]
    Context(#[source] ConvertError),
}

impl Packet {
    /// A packet of these items, and nothing else yet.
    pub fn new(items: Vec<LivekitItem>) -> Self {
        Self {
            version: PACKET_VERSION,
            call_id: None,
            context: PacketContext::of(items),
            state: PacketState::default(),
            route: PacketRoute::default(),
            opening: PacketOpening::default(),
            turn: PacketTurn::default(),
            telephony: None,
            other: Map::new(),
        }
    }

    /// Reads a packet of at most `bytes_max` bytes. Its version is looked at before the rest.
    pub fn parse(json: &[u8], bytes_max: usize) -> Result<Self, PacketError> {
        if json.len() > bytes_max {
            return Err(PacketError::TooLarge {
                bytes: json.len(),
                max: bytes_max,
            });
        }
        let value: Value = serde_json::from_slice(json).map_err(PacketError::NoJson)?;
        Self::from_value(value)
    }

    /// Reads a packet that has been parsed as JSON. Its version is looked at before the rest.
    pub fn from_value(value: Value) -> Result<Self, PacketError> {
        match value.get("version").and_then(Value::as_u64) {
            Some(found) if found != u64::from(PACKET_VERSION) => {
                return Err(PacketError::Version { found });
            }
            Some(_) | None => {}
        }
        serde_path_to_error::deserialize(value).map_err(|error| PacketError::NoPacket {
            path: error.path().to_string(),
            source: error.into_inner(),
        })
    }

    /// The packet as JSON text.
    pub fn to_json(&self) -> String {
        // Maps with names as keys, and finite numbers: always JSON.
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// The conversation as LiveKit's items, and what of it they cannot hold. New items get ids that begin with
    /// `id_prefix`.
    pub fn items(&self, id_prefix: &str) -> Result<(Vec<LivekitItem>, Vec<Lost>), PacketError> {
        match &self.context {
            PacketContext::Livekit { items } => {
                let items = items.iter().cloned().enumerate().map(|(index, item)| {
                    LivekitItem::new(item).map_err(|source| PacketError::Item { index, source })
                });
                Ok((items.collect::<Result<_, _>>()?, Vec::new()))
            }
            PacketContext::Foreign {
                format,
                messages,
                sidecar,
            } => {
                let read = format
                    .import(messages, sidecar.as_ref(), id_prefix)
                    .map_err(PacketError::Context)?;
                Ok((read.items, read.lost))
            }
        }
    }

    /// The packet with its conversation in another format, LiveKit's if none is given; and what its messages do not
    /// say. What the packet's own messages say and LiveKit's items cannot hold is in the second list.
    pub fn in_format(
        &self,
        format: Option<Format>,
        id_prefix: &str,
    ) -> Result<(Self, Vec<LeftOut>, Vec<Lost>), PacketError> {
        let (items, lost) = self.items(id_prefix)?;
        let (context, left_out) = match format {
            None => (PacketContext::of(items), Vec::new()),
            Some(format) => {
                let out = format.export(&items);
                let context = PacketContext::Foreign {
                    format,
                    messages: out.messages,
                    sidecar: Some(out.sidecar),
                };
                (context, out.left_out)
            }
        };
        let packet = Self {
            context,
            ..self.clone()
        };
        Ok((packet, left_out, lost))
    }
}

impl<'de> Deserialize<'de> for PacketContext {
    /// Says which format there is not, and which part is missing; a derived one would not.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            format: String,
            items: Option<Vec<Value>>,
            messages: Option<Vec<Value>>,
            sidecar: Option<Sidecar>,
        }
        let Raw {
            format,
            items,
            messages,
            sidecar,
        } = Raw::deserialize(deserializer)?;
        if format == LIVEKIT {
            let items = items.ok_or_else(|| de::Error::missing_field("items"))?;
            return Ok(Self::Livekit { items });
        }
        Ok(Self::Foreign {
            format: format.parse().map_err(de::Error::custom)?,
            messages: messages.ok_or_else(|| de::Error::missing_field("messages"))?,
            sidecar,
        })
    }
}

impl PacketContext {
    pub(crate) fn of(items: Vec<LivekitItem>) -> Self {
        Self::Livekit {
            items: items.into_iter().map(LivekitItem::into_value).collect(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Livekit { items } => items.len(),
            Self::Foreign { messages, .. } => messages.len(),
        }
    }
}

/// What was said, and who called, does not belong into logs.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("call_id", &self.call_id)
            .field("messages", &self.context.len())
            .field("state_version", &self.state.version)
            .finish_non_exhaustive()
    }
}
