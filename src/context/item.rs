//! One item of the conversation: LiveKit's protobuf, and beside it the framework's own JSON.
//!
//! The bytes are kept as they came, since protobuf maps have no order and encoding them anew would change the hash.

use std::fmt;
use std::sync::Arc;

use livekit_protocol::agent::{ChatRole, chat_context::ChatItem, chat_context::chat_item};
use prost::Message;
use sha2::{Digest, Sha256};

/// The longest id of an item or of a tool call, in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// An item's id, kept from the framework.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(Arc<str>);

/// A tool call's id, which its result repeats.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolCallId(Arc<str>);

/// An item. Cheap to clone.
#[derive(Clone)]
pub struct Item(Arc<Content>);

struct Content {
    id: ItemId,
    kind: Kind,
    chat_item: ChatItem,
    encoded: Box<[u8]>,
    native: Option<Native>,
    digest: [u8; 32],
}

/// The framework's own form of an item, in which nothing is lost between equals.
#[derive(Clone, PartialEq, Eq)]
pub struct Native {
    /// Which framework's, such as [`LIVEKIT`].
    pub framework: String,
    /// The item as JSON text.
    pub json: Vec<u8>,
}

/// [`Native::framework`] of `livekit-agents` for Python: its `model_dump`, seconds and snake case.
pub const LIVEKIT: &str = "livekit";

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something said, or instructions.
    Message {
        /// Who said it.
        role: Role,
    },
    /// A tool is called.
    Call {
        /// The call.
        call: ToolCallId,
        /// The tool.
        tool: String,
    },
    /// What came of a call.
    Output {
        /// The call.
        call: ToolCallId,
    },
    /// Another agent took over.
    Handoff,
    /// Instructions or tools changed.
    ConfigUpdate,
}

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    Developer,
    /// Instructions.
    System,
    /// The caller.
    User,
    /// A specialist.
    Assistant,
}

/// Why something is no item.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// It is no `ChatItem`.
    #[error("an item is no chat item")]
    NoChatItem(#[source] prost::DecodeError),
    /// It is of a kind that is not known here.
    #[error("an item is of an unknown kind")]
    UnknownKind,
    /// The id beside it is another than the one in it.
    #[error("an item that is announced as {announced} calls itself {found}")]
    IdMismatch {
        /// The id beside it.
        announced: ItemId,
        /// The id in it.
        found: ItemId,
    },
    /// It has no id, or no call id, or one that is too long.
    #[error("an id of {bytes} bytes is not between 1 and {ID_BYTES_MAX}")]
    BadId {
        /// Its length.
        bytes: usize,
    },
    /// The framework's own form is no JSON.
    #[error("the framework's form of item {id} is no JSON")]
    NoJson {
        /// The item.
        id: ItemId,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// It is too large.
    #[error("an item of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

macro_rules! id_newtype {
    ($name:ident) => {
        impl $name {
            /// The bare string.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}
id_newtype!(ItemId);
id_newtype!(ToolCallId);

impl Item {
    /// Reads an item that came from outside: the id that was announced, an encoded `ChatItem`, and the framework's own
    /// form of it. All of it together has at most `bytes_max` bytes.
    pub fn parse(
        announced: &str,
        chat_item: &[u8],
        native: Option<Native>,
        bytes_max: usize,
    ) -> Result<Self, ItemError> {
        let native_bytes = native.as_ref().map_or(0, Native::bytes);
        let bytes = announced.len() + chat_item.len() + native_bytes;
        if bytes > bytes_max {
            return Err(ItemError::TooLarge {
                bytes,
                max: bytes_max,
            });
        }
        let decoded = ChatItem::decode(chat_item).map_err(ItemError::NoChatItem)?;
        let item = Self::build(decoded, chat_item.into(), native)?;
        if item.id().as_str() != announced {
            return Err(ItemError::IdMismatch {
                announced: announced.into(),
                found: item.id().clone(),
            });
        }
        Ok(item)
    }

    /// An item of our own making.
    pub fn new(chat_item: ChatItem, native: Option<Native>) -> Result<Self, ItemError> {
        let encoded = chat_item.encode_to_vec().into();
        Self::build(chat_item, encoded, native)
    }

    /// The item's id.
    pub fn id(&self) -> &ItemId {
        &self.0.id
    }

    /// What the item is.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The item itself.
    pub fn chat_item(&self) -> &ChatItem {
        &self.0.chat_item
    }

    /// The item as an encoded `ChatItem`.
    pub fn encoded(&self) -> &[u8] {
        &self.0.encoded
    }

    /// The framework's own form.
    pub fn native(&self) -> Option<&Native> {
        self.0.native.as_ref()
    }

    /// How much there is of the item, in bytes.
    pub fn bytes(&self) -> usize {
        let native = self.0.native.as_ref().map_or(0, Native::bytes);
        self.0.id.as_str().len() + self.0.encoded.len() + native
    }

    /// SHA-256 over id, encoded item, framework's name and JSON, each preceded by its length as eight bytes, the
    /// highest first. Two items with the same digest are the same.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    fn build(
        chat_item: ChatItem,
        encoded: Box<[u8]>,
        native: Option<Native>,
    ) -> Result<Self, ItemError> {
        let (id, kind) = describe(&chat_item)?;
        if let Some(native) = &native
            && let Err(source) = serde_json::from_slice::<serde_json::Value>(&native.json)
        {
            return Err(ItemError::NoJson { id, source });
        }
        let digest = digest(&id, &encoded, native.as_ref());
        Ok(Self(Arc::new(Content {
            id,
            kind,
            chat_item,
            encoded,
            native,
            digest,
        })))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Item {}

/// What was said does not belong into logs.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("id", &self.0.id)
            .field("kind", &self.0.kind)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Native({}, {} bytes)", self.framework, self.json.len())
    }
}

impl Native {
    fn bytes(&self) -> usize {
        self.framework.len() + self.json.len()
    }
}

fn describe(chat_item: &ChatItem) -> Result<(ItemId, Kind), ItemError> {
    let item = chat_item.item.as_ref().ok_or(ItemError::UnknownKind)?;
    let (id, kind) = match item {
        chat_item::Item::Message(message) => {
            let role = match message.role() {
                ChatRole::Developer => Role::Developer,
                ChatRole::System => Role::System,
                ChatRole::User => Role::User,
                ChatRole::Assistant => Role::Assistant,
            };
            (&message.id, Kind::Message { role })
        }
        chat_item::Item::FunctionCall(call) => {
            let kind = Kind::Call {
                call: call_id(&call.call_id)?,
                tool: call.name.clone(),
            };
            (&call.id, kind)
        }
        chat_item::Item::FunctionCallOutput(output) => {
            let kind = Kind::Output {
                call: call_id(&output.call_id)?,
            };
            (&output.id, kind)
        }
        chat_item::Item::AgentHandoff(handoff) => (&handoff.id, Kind::Handoff),
        chat_item::Item::AgentConfigUpdate(update) => (&update.id, Kind::ConfigUpdate),
    };
    Ok((ItemId::from(checked(id)?), kind))
}

fn call_id(id: &str) -> Result<ToolCallId, ItemError> {
    checked(id).map(ToolCallId::from)
}

fn checked(id: &str) -> Result<&str, ItemError> {
    if (1..=ID_BYTES_MAX).contains(&id.len()) {
        Ok(id)
    } else {
        Err(ItemError::BadId { bytes: id.len() })
    }
}

fn digest(id: &ItemId, encoded: &[u8], native: Option<&Native>) -> [u8; 32] {
    let (framework, json) = native.map_or(("", &[][..]), |native| {
        (native.framework.as_str(), native.json.as_slice())
    });
    let mut sha = Sha256::new();
    for part in [id.as_str().as_bytes(), encoded, framework.as_bytes(), json] {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        sha.update(length.to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}
