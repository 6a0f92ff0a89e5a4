//! The frames in `proto/vectors`, which other languages' SDKs read: bytes, and the same as canonical protobuf JSON.
//!
//! `BATON_WRITE_VECTORS=1 cargo test -p wire vectors` writes them anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use call::{CallId, Epoch};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use wire::{DecodeError, Frame, Position, Seq, Side, StreamId, VERSION, Version};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors")
}

fn descriptor() -> MessageDescriptor {
    DescriptorPool::decode(wire::DESCRIPTORS)
        .unwrap()
        .get_message_by_name("baton.v1.Envelope")
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn frames() -> Vec<(String, Frame)> {
    let frame = |seq, body| Frame {
        version: VERSION,
        call: CallId::from("call-17"),
        epoch: Epoch(4),
        stream: StreamId(0xfedc_ba98_7654_3210),
        seq,
        ack: Some(Position {
            stream: StreamId(0x0123_4567_89ab_cdef),
            seq: Seq(41),
        }),
        body,
    };
    let mut frames: Vec<_> = crate::samples::bodies()
        .into_iter()
        .map(|(name, body)| {
            let sequenced = !matches!(body.name(), "hello" | "welcome" | "heartbeat");
            assert!(name.starts_with(body.name()), "{name}");
            (
                name.to_owned(),
                frame(sequenced.then_some(Seq(42)), Some(body)),
            )
        })
        .collect();
    frames.push(("ack".to_owned(), frame(None, None)));
    frames
}

fn vector(frame: &Frame) -> Value {
    let bytes = frame.encode();
    let envelope = DynamicMessage::decode(descriptor(), bytes.as_slice()).unwrap();
    let from = match &frame.body {
        Some(body) if Side::Orchestrator.sends(body) && Side::Specialist.sends(body) => "either",
        Some(body) if Side::Orchestrator.sends(body) => "orchestrator",
        Some(_) => "specialist",
        None => "either",
    };
    json!({
        "from": from,
        "bytes": hex(&bytes),
        "envelope": serde_json::to_value(&envelope).unwrap(),
    })
}

#[test]
fn frames_are_what_the_vectors_say() {
    let write = env::var_os("BATON_WRITE_VECTORS").is_some();
    let mut names = BTreeSet::new();
    for (name, frame) in frames() {
        let path = folder().join(format!("{name}.json"));
        let vector = vector(&frame);
        if write {
            fs::create_dir_all(folder()).unwrap();
            let text = serde_json::to_string_pretty(&vector).unwrap();
            fs::write(&path, text + "\n").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let stored: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stored, vector, "{name}");

        let bytes = unhex(stored["bytes"].as_str().unwrap());
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame), "{name}");
        // The JSON says as much as the bytes do.
        let from_json: DynamicMessage =
            serde::de::DeserializeSeed::deserialize(descriptor(), stored["envelope"].clone())
                .unwrap();
        assert_eq!(
            Frame::decode(&from_json.encode_to_vec()),
            Ok(frame),
            "{name}"
        );
        names.insert(format!("{name}.json"));
    }
    let stored: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        stored, names,
        "a vector of no frame, or a frame of no vector"
    );
}

#[test]
fn every_body_has_a_vector() {
    let bodies: BTreeSet<_> = descriptor()
        .oneofs()
        .find(|oneof| oneof.name() == "body")
        .unwrap()
        .fields()
        .map(|field| field.name().to_owned())
        .collect();
    let sampled: BTreeSet<_> = crate::samples::bodies()
        .iter()
        .map(|(_, body)| body.name().to_owned())
        .collect();
    assert_eq!(bodies, sampled);
}

#[test]
fn a_body_of_a_newer_minor_version_is_read_as_unknown() {
    let (_, mut frame) = frames().remove(0);
    frame.version = Version { major: 1, minor: 9 };
    frame.seq = Some(Seq(5));
    frame.body = None;
    let mut bytes = frame.encode();
    // Field 200, length-delimited, two bytes: a body that does not exist yet.
    bytes.extend([0xc2, 0x0c, 0x02, 0x08, 0x01]);
    assert_eq!(Frame::decode(&bytes), Ok(frame));
}

#[test]
fn another_major_version_is_refused_by_name() {
    let (_, mut frame) = frames().remove(0);
    frame.version = Version { major: 2, minor: 0 };
    let error = Frame::decode(&frame.encode()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "protocol version 2.0, only major version 1 is understood"
    );
}

#[test]
fn a_packet_of_15_000_bytes_is_refused_unread() {
    let error = Frame::decode(&vec![0; 15_000]).unwrap_err();
    assert_eq!(
        error,
        DecodeError::TooLarge {
            bytes: 15_000,
            limit: 14_999
        }
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = Frame::decode(&bytes);
    }

    /// What is read from a damaged frame can be written and read again, and means the same.
    #[test]
    fn damaged_frames_do_no_harm(which in 0usize..29, at in 0usize..200, value in proptest::num::u8::ANY, cut in 0usize..200) {
        let frames = frames();
        let mut bytes = frames[which % frames.len()].1.encode();
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len().saturating_sub(cut % 20));
        if let Ok(frame) = Frame::decode(&bytes) {
            proptest::prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }
}
