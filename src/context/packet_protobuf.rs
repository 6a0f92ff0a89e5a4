//! The protobuf form of a packet, `baton.v1.HandoffPacket`. It says the same as the JSON form: each is made out of the
//! other without loss.

use prost::Message as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::item::{Item, LIVEKIT, Native};
use crate::livekit::LivekitItem;
use crate::packet::{
    PACKET_VERSION, Packet, PacketContext, PacketError, PacketOpening, PacketRoute, PacketState,
    PacketTelephony, PacketTurn,
};
use crate::pb::handoff_packet as pb;
use crate::pb::{ContextItem, HandoffPacket, Nothing, Opening, opening};

impl Packet {
    /// The packet as protobuf.
    ///
    /// # Errors
    /// If one of its items is none. An item carries itself twice, as protobuf and as JSON.
    pub fn to_protobuf(&self) -> Result<Vec<u8>, PacketError> {
        let Self {
            version,
            call_id,
            context,
            state,
            route,
            opening,
            turn,
            telephony,
            other,
        } = self.clone();
        let packet = HandoffPacket {
            version,
            call_id,
            context: Some(write_context(context)?),
            state: Some(state.into()),
            route: Some(route.into()),
            opening: Some(opening.into()),
            turn: Some(turn.into()),
            telephony: telephony.map(Into::into),
            more: write_more(&other),
        };
        Ok(packet.encode_to_vec())
    }

    /// Reads the protobuf form of a packet, of at most `bytes_max` bytes.
    pub fn from_protobuf(bytes: &[u8], bytes_max: usize) -> Result<Self, PacketError> {
        if bytes.len() > bytes_max {
            return Err(PacketError::TooLarge {
                bytes: bytes.len(),
                max: bytes_max,
            });
        }
        let HandoffPacket {
            version,
            call_id,
            context,
            state,
            route,
            opening,
            turn,
            telephony,
            more,
        } = HandoffPacket::decode(bytes).map_err(PacketError::NoProtobuf)?;
        if version != PACKET_VERSION {
            return Err(PacketError::Version {
                found: version.into(),
            });
        }
        let more = read_more(&more, "more")?;
        if !more.is_empty() {
            let mut hollow = Self::new(Vec::new());
            hollow.other.clone_from(&more);
            unambiguous(true, &hollow, "more")?;
        }
        Ok(Self {
            version,
            call_id,
            context: read_context(context.ok_or(PacketError::Part("context"))?)?,
            state: state
                .map(PacketState::try_from)
                .transpose()?
                .unwrap_or_default(),
            route: route
                .map(PacketRoute::try_from)
                .transpose()?
                .unwrap_or_default(),
            opening: opening
                .map(PacketOpening::try_from)
                .transpose()?
                .unwrap_or_default(),
            turn: turn
                .map(PacketTurn::try_from)
                .transpose()?
                .unwrap_or_default(),
            telephony: telephony.map(PacketTelephony::try_from).transpose()?,
            other: more,
        })
    }
}

fn write_context(context: PacketContext) -> Result<pb::Context, PacketError> {
    Ok(match context {
        PacketContext::Livekit { items } => pb::Context::Livekit(pb::Items {
            items: items
                .into_iter()
                .enumerate()
                .map(|(index, item)| write_item(index, item))
                .collect::<Result<_, _>>()?,
        }),
        PacketContext::Foreign {
            format,
            messages,
            sidecar,
        } => pb::Context::Foreign(pb::Messages {
            format: format.name().to_owned(),
            messages: messages.iter().map(write_json).collect(),
            sidecar: sidecar.as_ref().map(write_json).unwrap_or_default(),
        }),
    })
}

fn read_context(context: pb::Context) -> Result<PacketContext, PacketError> {
    Ok(match context {
        pb::Context::Livekit(pb::Items { items }) => PacketContext::of(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| read_item(index, item))
                .collect::<Result<_, _>>()?,
        ),
        pb::Context::Foreign(pb::Messages {
            format,
            messages,
            sidecar,
        }) => PacketContext::Foreign {
            format: format.parse().map_err(PacketError::Format)?,
            messages: messages
                .iter()
                .map(|message| read_json(message, "context.messages"))
                .collect::<Result<_, _>>()?,
            sidecar: match sidecar.as_slice() {
                [] => None,
                sidecar => Some(read_json(sidecar, "context.sidecar")?),
            },
        },
    })
}

fn write_item(index: usize, item: Value) -> Result<ContextItem, PacketError> {
    let item = LivekitItem::new(item).map_err(|source| PacketError::Item { index, source })?;
    let item = Item::try_from(&item).map_err(|source| PacketError::Unwritable { index, source })?;
    let Native { framework, json } = match item.native() {
        Some(native) => native.clone(),
        None => Native {
            framework: String::new(),
            json: Vec::new(),
        },
    };
    Ok(ContextItem {
        id: item.id().as_str().to_owned(),
        position: 0,
        chat_item: item.encoded().to_vec(),
        framework,
        framework_json: json,
    })
}

fn read_item(index: usize, item: ContextItem) -> Result<LivekitItem, PacketError> {
    let ContextItem {
        id,
        position: _,
        chat_item,
        framework,
        framework_json,
    } = item;
    if framework == LIVEKIT {
        let json = read_json(&framework_json, "context.items")?;
        return LivekitItem::new(json).map_err(|source| PacketError::Item { index, source });
    }
    let item = Item::parse(&id, &chat_item, None, usize::MAX)
        .map_err(|source| PacketError::Unwritable { index, source })?;
    LivekitItem::try_from(&item).map_err(|source| PacketError::Item { index, source })
}

impl From<PacketState> for pb::State {
    fn from(state: PacketState) -> Self {
        let PacketState {
            version,
            document,
            other,
        } = state;
        Self {
            version,
            document: write_json(&document),
            more: write_more(&other),
        }
    }
}

impl TryFrom<pb::State> for PacketState {
    type Error = PacketError;

    fn try_from(state: pb::State) -> Result<Self, Self::Error> {
        let pb::State {
            version,
            document,
            more,
        } = state;
        let read = Self {
            version,
            document: read_more(&document, "state.document")?,
            other: read_more(&more, "state.more")?,
        };
        unambiguous(!read.other.is_empty(), &read, "state.more")?;
        Ok(read)
    }
}

impl From<PacketRoute> for pb::Route {
    fn from(route: PacketRoute) -> Self {
        let PacketRoute {
            from,
            to,
            reason,
            other,
        } = route;
        Self {
            from,
            to,
            reason,
            more: write_more(&other),
        }
    }
}

impl TryFrom<pb::Route> for PacketRoute {
    type Error = PacketError;

    fn try_from(route: pb::Route) -> Result<Self, Self::Error> {
        let pb::Route {
            from,
            to,
            reason,
            more,
        } = route;
        let read = Self {
            from,
            to,
            reason,
            other: read_more(&more, "route.more")?,
        };
        unambiguous(!read.other.is_empty(), &read, "route.more")?;
        Ok(read)
    }
}

impl From<PacketOpening> for Opening {
    fn from(opening: PacketOpening) -> Self {
        let kind = match opening {
            PacketOpening::Continue => opening::Kind::Continue(Nothing {}),
            PacketOpening::Greet => opening::Kind::Greet(Nothing {}),
            PacketOpening::Wait => opening::Kind::Wait(Nothing {}),
            PacketOpening::Say { text } => opening::Kind::Say(text),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<Opening> for PacketOpening {
    type Error = PacketError;

    fn try_from(opening: Opening) -> Result<Self, Self::Error> {
        Ok(match opening.kind.ok_or(PacketError::Part("opening"))? {
            opening::Kind::Continue(Nothing {}) => Self::Continue,
            opening::Kind::Greet(Nothing {}) => Self::Greet,
            opening::Kind::Wait(Nothing {}) => Self::Wait,
            opening::Kind::Say(text) => Self::Say { text },
        })
    }
}

impl From<PacketTurn> for pb::Turn {
    fn from(turn: PacketTurn) -> Self {
        let PacketTurn {
            epoch,
            caller_speaking,
            partial_transcript,
            language,
            adopted_calls,
            other,
        } = turn;
        Self {
            epoch,
            caller_speaking,
            partial_transcript,
            language,
            adopted_calls,
            more: write_more(&other),
        }
    }
}

impl TryFrom<pb::Turn> for PacketTurn {
    type Error = PacketError;

    fn try_from(turn: pb::Turn) -> Result<Self, Self::Error> {
        let pb::Turn {
            epoch,
            caller_speaking,
            partial_transcript,
            language,
            adopted_calls,
            more,
        } = turn;
        let read = Self {
            epoch,
            caller_speaking,
            partial_transcript,
            language,
            adopted_calls,
            other: read_more(&more, "turn.more")?,
        };
        unambiguous(!read.other.is_empty(), &read, "turn.more")?;
        Ok(read)
    }
}

impl From<PacketTelephony> for pb::Telephony {
    fn from(telephony: PacketTelephony) -> Self {
        let PacketTelephony {
            caller_number,
            called_number,
            identity,
            attributes,
            dtmf,
            other,
        } = telephony;
        Self {
            caller_number,
            called_number,
            identity,
            attributes,
            dtmf,
            more: write_more(&other),
        }
    }
}

impl TryFrom<pb::Telephony> for PacketTelephony {
    type Error = PacketError;

    fn try_from(telephony: pb::Telephony) -> Result<Self, Self::Error> {
        let pb::Telephony {
            caller_number,
            called_number,
            identity,
            attributes,
            dtmf,
            more,
        } = telephony;
        let read = Self {
            caller_number,
            called_number,
            identity,
            attributes,
            dtmf,
            other: read_more(&more, "telephony.more")?,
        };
        unambiguous(!read.other.is_empty(), &read, "telephony.more")?;
        Ok(read)
    }
}

fn write_json(value: &impl Serialize) -> Vec<u8> {
    // Maps with names as keys, and finite numbers: always JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

fn read_json<T: DeserializeOwned>(json: &[u8], part: &'static str) -> Result<T, PacketError> {
    serde_json::from_slice(json).map_err(|_| PacketError::Part(part))
}

/// Nothing is written for an object without fields.
fn write_more(more: &Map<String, Value>) -> Vec<u8> {
    if more.is_empty() {
        Vec::new()
    } else {
        write_json(more)
    }
}

fn read_more(json: &[u8], part: &'static str) -> Result<Map<String, Value>, PacketError> {
    if json.is_empty() {
        Ok(Map::new())
    } else {
        read_json(json, part)
    }
}

/// Fields that are not known here must not have the names of those that are: as JSON they would take their place.
fn unambiguous<T: Serialize + DeserializeOwned + PartialEq>(
    has_more: bool,
    read: &T,
    part: &'static str,
) -> Result<(), PacketError> {
    if !has_more {
        return Ok(());
    }
    let again = serde_json::to_value(read).and_then(serde_json::from_value::<T>);
    match again {
        Ok(again) if again == *read => Ok(()),
        Ok(_) | Err(_) => Err(PacketError::Twice(part)),
    }
}
