//! Minor versions understand one another. A newer peer is made here from the protocol's own description: every message
//! has a field more, every enum a value more, every choice a variant more.

use std::time::Instant;

use call::{CallId, Epoch, RequestId, Target, Targets};
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value,
};
use wire::{
    Body, ContextItem, Frame, HandoffRequest, Heartbeat, Link, LinkConfig, LinkEvent, RejectReason,
    RevokeMode, Seq, Side, StreamId, VERSION, Version,
};

const NEW_FIELD: i32 = 1_000;
const NEW_VARIANT: i32 = 1_001;
const NEW_VALUE: i32 = 99;
const NEWER: Version = Version { major: 1, minor: 7 };

/// The envelope as a newer minor version describes it.
fn newer_envelope() -> MessageDescriptor {
    let mut files = FileDescriptorSet::decode(wire::DESCRIPTORS).unwrap();
    for file in &mut files.file {
        for message in &mut file.message_type {
            add_fields(message);
        }
        for enumeration in &mut file.enum_type {
            enumeration.value.push(EnumValueDescriptorProto {
                name: Some(format!("{}_FROM_THE_FUTURE", enumeration.name())),
                number: Some(NEW_VALUE),
                options: None,
            });
        }
    }
    DescriptorPool::from_file_descriptor_set(files)
        .unwrap()
        .get_message_by_name("baton.v1.Envelope")
        .unwrap()
}

fn add_fields(message: &mut DescriptorProto) {
    let field = |name: &str, number, oneof_index| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        oneof_index,
        ..FieldDescriptorProto::default()
    };
    message.field.push(field("new_field", NEW_FIELD, None));
    if !message.oneof_decl.is_empty() {
        message
            .field
            .push(field("new_variant", NEW_VARIANT, Some(0)));
    }
}

/// Sets the new field of a message, and of all that are in it.
fn modernize(message: &mut DynamicMessage) {
    let descriptor = message.descriptor();
    for field in descriptor.fields() {
        if !message.has_field(&field) {
            continue;
        }
        match (field.kind(), message.get_field_mut(&field)) {
            (Kind::Message(_), Value::Message(inner)) => modernize(inner),
            (Kind::Message(_), Value::List(inner)) => {
                for inner in inner {
                    if let Value::Message(inner) = inner {
                        modernize(inner);
                    }
                }
            }
            _ => {}
        }
    }
    message.set_field_by_number(
        NEW_FIELD as u32,
        Value::String("from the future".to_owned()),
    );
}

fn newer(frame: &Frame) -> DynamicMessage {
    DynamicMessage::decode(newer_envelope(), frame.encode().as_slice()).unwrap()
}

fn frame(version: Version, seq: Option<u64>, body: Option<Body>) -> Frame {
    Frame {
        version,
        call: CallId::from("call-17"),
        epoch: Epoch(4),
        stream: StreamId(2),
        seq: seq.map(Seq),
        ack: None,
        body,
    }
}

/// The body without what it cannot understand.
fn without_unknown(body: Body) -> Body {
    match body {
        Body::ContextAppend { mut items } => {
            for item in &mut items {
                assert!(!item.unknown.is_empty(), "{item:?}");
                item.unknown.clear();
            }
            Body::ContextAppend { items }
        }
        other => other,
    }
}

/// Puts a variant that does not exist here into the choice of the frame's body.
fn with_new_variant(frame: &Frame, body: &str) -> Vec<u8> {
    let mut message = newer(frame);
    let Value::Message(inner) = message.get_field_by_name_mut(body).unwrap() else {
        panic!("{body} is no message");
    };
    inner.set_field_by_number(NEW_VARIANT as u32, Value::String("new".to_owned()));
    message.encode_to_vec()
}

/// A Baton that has heard a specialist of a newer version.
fn baton() -> Link {
    let config = LinkConfig::new(Side::Orchestrator, CallId::from("call-17"), StreamId(1));
    let mut baton = Link::new(config);
    let mut hello = crate::samples::hello();
    hello.versions = vec![NEWER, Version { major: 2, minor: 3 }];
    hello.seen = None;
    hello.oldest = Seq(1);
    let mut message = newer(&frame(NEWER, None, Some(Body::Hello(hello))));
    modernize(&mut message);
    let events = give(&mut baton, &message.encode_to_vec());
    assert!(
        matches!(
            events[..],
            [LinkEvent::Received {
                body: Body::Hello(_),
                ..
            }]
        ),
        "{events:?}"
    );
    baton.welcome(Epoch(4), Targets::default());
    baton
}

fn give(link: &mut Link, packet: &[u8]) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    link.handle_frame(Instant::now(), packet, &mut events);
    events
}

#[test]
fn every_body_of_a_newer_minor_version_is_understood() {
    for (name, body) in crate::samples::bodies() {
        let old = frame(NEWER, Some(3), Some(body));
        let mut message = newer(&old);
        modernize(&mut message);
        let bytes = message.encode_to_vec();
        assert!(bytes.len() > old.encode().len() + 15, "{name}");
        let mut read = Frame::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        read.body = read.body.map(without_unknown);
        assert_eq!(read, old, "{name}");
    }
}

#[test]
fn what_is_unknown_in_a_context_item_survives_being_handed_on() {
    let item = |id: &str| ContextItem {
        id: id.to_owned(),
        position: None,
        chat_item: b"chat".to_vec(),
        framework: "livekit-python".to_owned(),
        framework_json: b"{}".to_vec(),
        unknown: Vec::new(),
    };
    let items = vec![item("item_1"), item("item_2")];
    let mut message = newer(&frame(
        VERSION,
        Some(1),
        Some(Body::ContextAppend { items }),
    ));
    modernize(&mut message);
    let mut handed_on = Frame::decode(&message.encode_to_vec()).unwrap();
    let Some(Body::ContextAppend { items }) = &mut handed_on.body else {
        panic!("{handed_on:?}");
    };
    // What Baton does to an item.
    items[1].position = Some(2);
    let read = DynamicMessage::decode(newer_envelope(), handed_on.encode().as_slice()).unwrap();
    let json = serde_json::to_value(&read).unwrap();
    let items = &json["contextAppend"]["items"];
    assert_eq!(items[0]["newField"], "from the future");
    assert_eq!(items[1]["newField"], "from the future");
    assert_eq!(
        (&items[1]["id"], &items[1]["position"]),
        (&"item_2".into(), &"2".into())
    );
}

#[test]
fn unknown_fields_of_every_shape_survive_in_a_context_item() {
    // Fields 100 to 104: a varint, eight bytes, a string, a group with a group in it, four bytes.
    let unknown = [
        &[0xa0, 0x06, 0x96, 0x01][..],
        &[0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xb2, 0x06, 2, b'h', b'i'],
        &[
            0xbb, 0x06, 0x08, 0x01, 0x13, 0x0a, 0x01, 0xff, 0x14, 0xbc, 0x06,
        ],
        &[0xc5, 0x06, 1, 2, 3, 4],
    ]
    .concat();
    let items = vec![ContextItem {
        id: "item_1".to_owned(),
        position: Some(3),
        chat_item: Vec::new(),
        framework: String::new(),
        framework_json: Vec::new(),
        unknown,
    }];
    let frame = frame(VERSION, Some(1), Some(Body::ContextAppend { items }));
    assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
}

#[test]
fn a_variant_of_a_newer_minor_version_does_not_hold_up_the_stream() {
    let mut baton = baton();
    let request = |request| {
        Body::HandoffRequest(HandoffRequest {
            request: RequestId(request),
            target: Target::Previous,
            reason: String::new(),
            tool_call: None,
            delegation_input: None,
            delegation_result: None,
        })
    };
    let bytes = with_new_variant(&frame(NEWER, Some(1), Some(request(1))), "handoff_request");
    let events = give(&mut baton, &bytes);
    assert!(
        matches!(
            events[..],
            [LinkEvent::Rejected {
                reason: RejectReason::UnknownBody,
                seq: Some(Seq(1)),
                ..
            }]
        ),
        "{events:?}"
    );
    let next = frame(NEWER, Some(2), Some(request(2)));
    assert_eq!(
        give(&mut baton, &next.encode()),
        [LinkEvent::Received {
            epoch: Epoch(4),
            body: request(2)
        }]
    );
    assert_eq!(baton.seen().unwrap().seq, Seq(2), "both are acked");
}

#[test]
fn unknown_variants_of_results_are_unknown_bodies() {
    for (name, body) in crate::samples::bodies() {
        if matches!(body.name(), "handoff_result" | "state_result") {
            let name_of_field = body.name();
            let bytes = with_new_variant(&frame(NEWER, Some(1), Some(body)), name_of_field);
            let read = Frame::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read, frame(NEWER, Some(1), None), "{name}");
        }
    }
}

#[test]
fn unknown_values_of_enums_have_a_safe_meaning() {
    let read = |body: Body, field: &str| {
        let name = body.name();
        let mut message = newer(&frame(NEWER, Some(1), Some(body)));
        let Value::Message(inner) = message.get_field_by_name_mut(name).unwrap() else {
            panic!("{name} is no message");
        };
        inner.set_field_by_name(field, Value::EnumNumber(NEW_VALUE));
        Frame::decode(&message.encode_to_vec())
            .unwrap()
            .body
            .unwrap()
    };
    for (_, body) in crate::samples::bodies() {
        match body.clone() {
            Body::Heartbeat(heartbeat) => assert_eq!(
                read(body, "phase"),
                Body::Heartbeat(Heartbeat {
                    phase: None,
                    ..heartbeat
                })
            ),
            Body::Reject(mut reject) => {
                reject.reason = RejectReason::Unknown;
                assert_eq!(read(body, "reason"), Body::Reject(reject));
            }
            Body::Revoke(mut revoke) => {
                revoke.mode = RevokeMode::Cut;
                assert_eq!(read(body, "mode"), Body::Revoke(revoke));
            }
            _ => {}
        }
    }
}

#[test]
fn a_newer_specialist_is_answered_in_the_version_that_both_speak() {
    let mut baton = baton();
    assert_eq!(baton.version(), VERSION);
    let welcome = baton.poll_transmit(Instant::now()).unwrap();
    let welcome = Frame::decode(&welcome.payload).unwrap();
    assert_eq!(welcome.version, VERSION);
    assert!(
        matches!(&welcome.body, Some(Body::Welcome(welcome)) if welcome.version == VERSION),
        "{welcome:?}"
    );
}

#[test]
fn a_specialist_understands_the_welcome_of_a_newer_baton() {
    let config = LinkConfig::new(Side::Specialist, CallId::from("call-17"), StreamId(9));
    let mut specialist = Link::new(config);
    specialist.hello(Instant::now(), crate::samples::hello());
    let mut welcome = crate::samples::bodies()
        .into_iter()
        .find_map(|(_, body)| match body {
            Body::Welcome(welcome) => Some(welcome),
            _ => None,
        })
        .unwrap();
    welcome.attempt = 1;
    let mut message = newer(&frame(VERSION, None, Some(Body::Welcome(welcome))));
    modernize(&mut message);
    give(&mut specialist, &message.encode_to_vec());
    assert!(specialist.is_established());
    assert_eq!(specialist.version(), VERSION);
}
