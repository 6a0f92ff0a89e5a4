//! What each fuzz target does with its bytes. The tests of `context` run the same over the corpus.

#![allow(dead_code, reason = "a target needs one of them")]

use std::collections::BTreeSet;

use context::{CallRecord, Format, LivekitItem, Packet, Sidecar, UnixMillis};
use serde_json::Value;

const BYTES_MAX: usize = 1 << 20;

/// What is read as a packet is the same when it was written and read again, in both of its forms.
pub(crate) fn packet_json(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes, BYTES_MAX) {
        both_forms(&packet);
    }
}

/// The same of the protobuf form.
pub(crate) fn packet_protobuf(bytes: &[u8]) {
    if let Ok(packet) = Packet::from_protobuf(bytes, BYTES_MAX) {
        both_forms(&packet);
    }
}

fn both_forms(packet: &Packet) {
    let json = packet.to_json();
    let Ok(again) = Packet::parse(json.as_bytes(), usize::MAX) else {
        panic!("a packet cannot be read again");
    };
    assert!(again == *packet);
    if let Ok(protobuf) = packet.to_protobuf() {
        let Ok(again) = Packet::from_protobuf(&protobuf, usize::MAX) else {
            panic!("a packet cannot be read again from protobuf");
        };
        assert!(again == *packet);
    }
    if let Ok((items, _)) = packet.items("in_") {
        let record = CallRecord::of(&items);
        let _ = record.map(|record| packet.to_vcon(&record, "", UnixMillis(0)));
    }
}

/// LiveKit's items come back from every format as they were.
pub(crate) fn items(bytes: &[u8]) {
    let Ok(values) = serde_json::from_slice::<Vec<Value>>(bytes) else {
        return;
    };
    let mut ids = BTreeSet::new();
    let items: Vec<LivekitItem> = values
        .into_iter()
        .filter_map(|value| LivekitItem::new(value).ok())
        .filter(|item| ids.insert(item.id().to_owned()))
        .collect();
    for format in Format::ALL {
        come_back(format, &items);
    }
}

/// A byte for the format, and messages. What is read of them can be written, and comes back as it was read.
pub(crate) fn messages(bytes: &[u8]) {
    let Some((format, messages)) = split(bytes) else {
        return;
    };
    let Ok(messages) = serde_json::from_slice::<Vec<Value>>(messages) else {
        return;
    };
    let Ok(read) = format.import(&messages, None, "in_") else {
        return;
    };
    assert!(read.lost.iter().all(|lost| lost.message < messages.len()));
    for format in Format::ALL {
        come_back(format, &read.items);
    }
}

/// A byte for the format, then an array of the sidecar and the messages.
pub(crate) fn sidecar(bytes: &[u8]) {
    let Some((format, rest)) = split(bytes) else {
        return;
    };
    let Ok((sidecar, messages)) = serde_json::from_slice::<(Sidecar, Vec<Value>)>(rest) else {
        return;
    };
    if let Ok(read) = format.import(&messages, Some(&sidecar), "in_") {
        let _ = format.export(&read.items);
    }
}

fn split(bytes: &[u8]) -> Option<(Format, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
    Some((format, rest))
}

fn come_back(format: Format, items: &[LivekitItem]) {
    let out = format.export(items);
    let Ok(back) = format.import(&out.messages, Some(&out.sidecar), "in_") else {
        panic!("{format:?} cannot be read again");
    };
    assert!(back.items == items, "{format:?} is not equal");
}
