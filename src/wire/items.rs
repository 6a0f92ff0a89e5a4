//! Context items, which Baton hands on: what a newer minor version has added to an item must survive that.

use prost::Message;

use crate::body::ContextItem;
use crate::fields::fields;
use crate::pb;

/// The fields of a `ContextItem` that this version knows.
const KNOWN: std::ops::RangeInclusive<u64> = 1..=5;
/// `Envelope.context_append`, and `ContextAppend.items` in it.
const APPEND_FIELD: u64 = 40;
const ITEMS_FIELD: u64 = 1;

/// `baton.v1.ContextAppend` with its items still encoded: on the wire, bytes and messages are the same.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(crate) struct ContextAppend {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) items: Vec<Vec<u8>>,
}

pub(crate) fn write(items: Vec<ContextItem>) -> ContextAppend {
    ContextAppend {
        items: items.into_iter().map(write_item).collect(),
    }
}

pub(crate) fn read(append: ContextAppend) -> Result<Vec<ContextItem>, prost::DecodeError> {
    let ContextAppend { items } = append;
    items.iter().map(|item| read_item(item)).collect()
}

/// How many context items an envelope has, counted before any memory is spent on them.
pub(crate) fn count(envelope: &[u8]) -> usize {
    fields(envelope)
        .filter(|field| field.number == APPEND_FIELD)
        .filter_map(|field| field.content)
        .flat_map(fields)
        .filter(|field| field.number == ITEMS_FIELD)
        .count()
}

fn write_item(item: ContextItem) -> Vec<u8> {
    let ContextItem {
        id,
        position,
        chat_item,
        framework,
        framework_json,
        unknown,
    } = item;
    let known = pb::ContextItem {
        id,
        position: position.unwrap_or(0),
        chat_item,
        framework,
        framework_json,
    };
    let mut bytes = known.encode_to_vec();
    bytes.extend(unknown);
    bytes
}

fn read_item(bytes: &[u8]) -> Result<ContextItem, prost::DecodeError> {
    let pb::ContextItem {
        id,
        position,
        chat_item,
        framework,
        framework_json,
    } = pb::ContextItem::decode(bytes)?;
    Ok(ContextItem {
        id,
        position: (position != 0).then_some(position),
        chat_item,
        framework,
        framework_json,
        unknown: fields(bytes)
            .filter(|field| !KNOWN.contains(&field.number))
            .flat_map(|field| field.whole.iter().copied())
            .collect(),
    })
}
