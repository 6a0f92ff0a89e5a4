//! The corpus of the fuzz targets, and what once broke one of them. `BATON_WRITE_CORPUS=1 cargo test -p context --test
//! corpus` writes its start anew: parts of what real frameworks have recorded.
//!
//! Each entry is also damaged in many ways, the same ones in every run; `BATON_DAMAGES=100000` makes more of them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use context::{Format, LivekitItem, Packet};
use serde_json::{Value, json};

#[path = "../fuzz/checks.rs"]
mod checks;

const DAMAGES: usize = 30;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// Runs a target over its corpus, which has at least these entries, and over damaged copies of it.
fn replay(target: &str, check: fn(&[u8]), entries: &[(String, Vec<u8>)]) {
    if env::var_os("BATON_WRITE_CORPUS").is_some() {
        fs::create_dir_all(corpus(target)).expect("writable");
        for (name, bytes) in entries {
            fs::write(corpus(target).join(name), bytes).expect("writable");
        }
    }
    let mut stored = Vec::new();
    for entry in fs::read_dir(corpus(target)).expect("a corpus") {
        stored.push(fs::read(entry.expect("an entry").path()).expect("readable"));
    }
    assert!(stored.len() >= entries.len(), "{target} lacks entries");
    let damages = env::var("BATON_DAMAGES")
        .ok()
        .and_then(|number| number.parse().ok());
    let mut random = Random(17);
    for entry in &stored {
        check(entry);
        for _ in 0..damages.unwrap_or(DAMAGES) {
            let other = &stored[random.below(stored.len())];
            check(&random.damaged(entry, other));
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Some bytes replaced, left out, repeated, or taken from another entry, so that much of it still is JSON.
    fn damaged(&mut self, entry: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = entry.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                break;
            }
            let (at, end) = self.range(&bytes);
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] = b"0129-.e\"tn{}[],:"[self.below(16)],
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let repeated = bytes[at..end].to_vec();
                    bytes.splice(at..at, repeated);
                }
                4 => {
                    let (from, to) = self.range(other);
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
                _ => self.swap_words(&mut bytes),
            }
        }
        bytes
    }

    /// Puts one quoted word where another one was: names of fields, types and ids get mixed up, and it stays JSON.
    fn swap_words(&mut self, bytes: &mut Vec<u8>) {
        let quotes: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'"').collect();
        let pairs = quotes.len() / 2;
        if pairs < 2 {
            return;
        }
        let (one, other) = (2 * self.below(pairs), 2 * self.below(pairs));
        let word = bytes[quotes[other]..=quotes[other + 1]].to_vec();
        bytes.splice(quotes[one]..=quotes[one + 1], word);
    }

    fn range(&mut self, bytes: &[u8]) -> (usize, usize) {
        let at = self.below(bytes.len());
        let end = (at + 1 + self.below(24)).min(bytes.len());
        (at.min(end), end)
    }
}

fn recorded(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../tests/packages/recorded/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

/// A call, its result, an interruption, an image and a handoff are in each of these.
fn livekit() -> Vec<Value> {
    let items = recorded("livekit");
    let image = items.iter().position(|item| {
        item["content"]
            .as_array()
            .is_some_and(|parts| parts.len() > 1)
    });
    let image = image.expect("an image");
    let handoff = items
        .iter()
        .rposition(|item| item["type"] == "agent_handoff")
        .expect("a handoff");
    let cut = items
        .iter()
        .position(|item| item["interrupted"] == true)
        .expect("an interruption");
    [
        &items[..8],
        &items[image..image + 1],
        &items[cut - 1..=cut],
        &items[handoff - 2..=handoff],
    ]
    .concat()
}

fn packet() -> Packet {
    let items = livekit().into_iter();
    let mut packet = Packet::new(
        items
            .map(|item| LivekitItem::new(item).expect("an item"))
            .collect(),
    );
    let more = json!({
        "version": 1, "call_id": "call-17", "context": {"format": "livekit", "items": []},
        "state": {"version": 7, "document": {"name": "Ann", "open": [1, null]}, "later": 1},
        "route": {"from": "triage", "to": "billing", "reason": "an invoice"}, "opening": {"kind": "say", "text": "Hello"},
        "turn": {"epoch": 3, "caller_speaking": true, "partial_transcript": "and", "language": "de", "adopted_calls": ["k"]},
        "telephony": {"caller_number": "+15550199", "called_number": "+15550100", "identity": "sip_1", "attributes": {"sip.callID": "x"}, "dtmf": "12#"},
        "later": {"a": 1.5}
    });
    let more = Packet::from_value(more).expect("a packet");
    packet = Packet {
        context: packet.context,
        ..more
    };
    packet
}

fn packets() -> Vec<(String, Packet)> {
    let mut packets = vec![("livekit".to_owned(), packet())];
    for format in Format::ALL {
        let (foreign, ..) = packet().in_format(Some(format), "in_").expect("readable");
        packets.push((format.name().to_owned(), foreign));
    }
    packets
}

/// A byte for the format, and the rest.
fn with_format(format: Format, rest: &Value) -> Vec<u8> {
    let at = Format::ALL
        .iter()
        .position(|known| *known == format)
        .expect("known");
    [&[at as u8], rest.to_string().as_bytes()].concat()
}

#[test]
fn the_corpus_of_packets_does_no_harm() {
    let entries: Vec<_> = packets()
        .into_iter()
        .map(|(name, packet)| (name, packet.to_json().into_bytes()))
        .collect();
    replay("packet_json", checks::packet_json, &entries);
}

#[test]
fn the_corpus_of_packets_as_protobuf_does_no_harm() {
    let entries: Vec<_> = packets()
        .into_iter()
        .map(|(name, packet)| (name, packet.to_protobuf().expect("writable")))
        .collect();
    replay("packet_protobuf", checks::packet_protobuf, &entries);
}

#[test]
fn the_corpus_of_items_does_no_harm() {
    let entries = [(
        "livekit".to_owned(),
        Value::Array(livekit()).to_string().into_bytes(),
    )];
    replay("items", checks::items, &entries);
}

#[test]
fn the_corpus_of_messages_does_no_harm() {
    let items: Vec<LivekitItem> = livekit()
        .into_iter()
        .map(|item| LivekitItem::new(item).expect("an item"))
        .collect();
    let mut entries = Vec::new();
    for format in Format::ALL {
        let messages = Value::Array(format.export(&items).messages);
        entries.push((format.name().to_owned(), with_format(format, &messages)));
    }
    for (format, name, range) in [
        (Format::Langchain, "langchain", 0..24),
        (Format::Pipecat, "pipecat", 128..154),
        (Format::Crewai, "crewai", 0..9),
    ] {
        let messages = Value::Array(recorded(name)[range].to_vec());
        entries.push((format!("recorded-{name}"), with_format(format, &messages)));
    }
    replay("messages", checks::messages, &entries);
}

#[test]
fn the_corpus_of_sidecars_does_no_harm() {
    let items: Vec<LivekitItem> = livekit()
        .into_iter()
        .map(|item| LivekitItem::new(item).expect("an item"))
        .collect();
    let entries: Vec<_> = Format::ALL
        .into_iter()
        .map(|format| {
            let out = format.export(&items);
            let both = json!([out.sidecar, out.messages]);
            (format.name().to_owned(), with_format(format, &both))
        })
        .collect();
    replay("sidecar", checks::sidecar, &entries);
}
