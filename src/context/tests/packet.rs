//! The handoff packet: there and back, in every format, and what is refused.

use std::collections::BTreeMap;
use std::error::Error as _;

use context::{
    Format, LivekitItem, PACKET_SCHEMA, Packet, PacketContext, PacketError, PacketOpening,
    PacketTelephony,
};
use serde_json::{Value, json};

fn packet() -> Packet {
    let items = [
        json!({"id": "u", "type": "message", "role": "user", "content": ["hi"], "created_at": 1.25}),
        json!({"id": "c", "type": "function_call", "call_id": "k", "name": "f", "arguments": "{}"}),
        json!({"id": "o", "type": "function_call_output", "call_id": "k", "name": "f", "output": "r", "is_error": false}),
        json!({"id": "h", "type": "agent_handoff", "new_agent_id": "billing"}),
    ];
    let items = items.map(|item| LivekitItem::new(item).expect("an item"));
    let mut packet = Packet::new(items.into());
    packet.call_id = Some("call-1".into());
    packet.state.version = 7;
    packet.state.document.insert("name".into(), "Ann".into());
    packet.route.to = Some("billing".into());
    packet.route.reason = "an invoice".into();
    packet.opening = PacketOpening::Say {
        text: "Hello".into(),
    };
    packet.turn.epoch = Some(3);
    packet.turn.adopted_calls = vec!["k9".into()];
    packet.telephony = Some(PacketTelephony {
        caller_number: Some("+15550199".into()),
        attributes: BTreeMap::from([("sip.callID".into(), "x".into())]),
        ..PacketTelephony::default()
    });
    packet
}

fn assert_fits_the_schema(packet: &Packet) {
    let schema: Value = serde_json::from_str(PACKET_SCHEMA).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let json: Value = serde_json::from_str(&packet.to_json()).expect("JSON");
    let problems: Vec<String> = schema
        .iter_errors(&json)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(problems, Vec::<String>::new());
}

fn parse(json: &Value) -> Result<Packet, PacketError> {
    Packet::parse(json.to_string().as_bytes(), 10_000)
}

#[test]
fn a_packet_is_the_same_after_json() {
    let packet = packet();
    let again = Packet::parse(packet.to_json().as_bytes(), 10_000).expect("a packet");
    assert!(again == packet);
    assert_fits_the_schema(&packet);
}

#[test]
fn a_packet_is_the_same_after_each_format() {
    let packet = packet();
    for format in Format::ALL {
        let (foreign, left_out, _) = packet.in_format(Some(format), "in_").expect("readable");
        assert_fits_the_schema(&foreign);
        assert!(format == Format::LivekitJs || !left_out.is_empty());
        let again = Packet::parse(foreign.to_json().as_bytes(), 10_000).expect("a packet");
        assert!(again == foreign, "{format:?}");
        let (back, _, lost) = again.in_format(None, "in_").expect("readable");
        assert!(back == packet, "{format:?}");
        assert_eq!(lost, []);
    }
}

#[test]
fn a_packet_is_the_same_as_protobuf() {
    let mut packet = packet();
    packet
        .other
        .insert("new".into(), json!({"big": u64::MAX, "small": 1e-7}));
    packet.turn.other.insert("mood".into(), "good".into());
    let formats = Format::ALL.into_iter().map(Some).chain([None]);
    for format in formats {
        let (packet, ..) = packet.in_format(format, "in_").expect("readable");
        let bytes = packet.to_protobuf().expect("writable");
        let again = Packet::from_protobuf(&bytes, 10_000).expect("a packet");
        assert!(again == packet, "{format:?}");
        assert_eq!(again.to_json(), packet.to_json(), "{format:?}");
    }
}

#[test]
fn protobuf_that_is_no_packet_is_refused_with_the_reason() {
    let bytes = packet().to_protobuf().expect("writable");
    let error = |bytes: &[u8]| Packet::from_protobuf(bytes, 10_000).expect_err("no packet");
    assert!(matches!(error(&bytes[..40]), PacketError::NoProtobuf(_)));
    assert!(matches!(error(&[8, 2]), PacketError::Version { found: 2 }));
    assert!(matches!(error(&[]), PacketError::Version { found: 0 }));
    assert!(matches!(error(&[8, 1]), PacketError::Part("context")));
    // A conversation of no messages in a format without a name.
    assert!(matches!(error(&[8, 1, 34, 0]), PacketError::Format(_)));
    // No items, and a state whose document is "x".
    let no_document = [8, 1, 26, 0, 42, 3, 18, 1, b'x'];
    assert!(matches!(
        error(&no_document),
        PacketError::Part("state.document")
    ));
    assert!(matches!(
        Packet::from_protobuf(&bytes, 10),
        Err(PacketError::TooLarge { max: 10, .. })
    ));
}

#[test]
fn an_item_without_its_json_is_read_from_its_protobuf() {
    // Version 1, and one item: the id, and a ChatItem that is a message with that id and nothing else.
    let item = [10, 1, b'u', 26, 5, 10, 3, 10, 1, b'u'];
    let length = u8::try_from(item.len()).expect("short");
    let bytes = [&[8, 1, 26, length + 2, 10, length], &item[..]].concat();
    let packet = Packet::from_protobuf(&bytes, 100).expect("a packet");
    let (items, _) = packet.items("in_").expect("readable");
    assert_eq!((items.len(), items[0].id()), (1, "u"));
    assert_eq!(items[0].fields()["role"], "developer");
}

#[test]
fn a_short_packet_is_enough_and_unknown_fields_survive() {
    let short = json!({"version": 1, "context": {"format": "openai_chat", "messages": [{"role": "user", "content": "hi"}]}, "new": {"a": 1}, "turn": {"mood": "good"}});
    let packet = parse(&short).expect("a packet");
    assert_fits_the_schema(&packet);
    assert_eq!(packet.opening, PacketOpening::Continue);
    let (items, lost) = packet.items("in_").expect("readable");
    assert_eq!((items.len(), items[0].id(), lost.len()), (1, "in_0", 0));
    let json: Value = serde_json::from_str(&packet.to_json()).expect("JSON");
    assert_eq!(
        (&json["new"], &json["turn"]["mood"]),
        (&json!({"a": 1}), &json!("good"))
    );
}

#[test]
fn what_is_no_packet_is_refused_with_the_reason() {
    let context = json!({"format": "livekit", "items": []});
    assert!(matches!(
        parse(&json!({"version": 2, "context": {}})),
        Err(PacketError::Version { found: 2 })
    ));
    let said = |json: Value| {
        let error = parse(&json).expect_err("no packet");
        let source = error.source().map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    assert_eq!(
        said(json!({"context": context})),
        "a packet cannot be read at .: missing field `version`"
    );
    assert_eq!(
        said(json!({"version": 1, "context": {"format": "cobol", "messages": []}})),
        "a packet cannot be read at context: there is no format \"cobol\"; there are livekit, livekit_js, openai_chat, \
         openai_responses, openai_realtime, pipecat, langchain, crewai"
    );
    assert_eq!(
        said(json!({"version": 1, "context": {"format": "livekit"}})),
        "a packet cannot be read at context: missing field `items`"
    );
    assert_eq!(
        said(json!({"version": 1, "context": context, "turn": {"epoch": "three"}})),
        "a packet cannot be read at turn.epoch: invalid type: string \"three\", expected u64"
    );
    assert!(matches!(
        Packet::parse(b"{", 10),
        Err(PacketError::NoJson(_))
    ));
    assert!(matches!(
        Packet::parse(b"{}", 1),
        Err(PacketError::TooLarge { bytes: 2, max: 1 })
    ));

    let broken = json!({"version": 1, "context": {"format": "livekit", "items": [{"id": "x", "type": "message", "role": "user"}]}});
    let error = parse(&broken)
        .expect("readable so far")
        .items("in_")
        .expect_err("no content");
    assert!(matches!(error, PacketError::Item { index: 0, .. }));
    assert_eq!(
        error.source().expect("a source").to_string(),
        "an item has no valid \"content\""
    );
}

#[test]
fn a_packet_does_not_print_what_is_in_it() {
    let shown = format!("{:?}", packet());
    assert!(
        shown.contains("call-1") && !shown.contains("Ann") && !shown.contains("555"),
        "{shown}"
    );
    let (foreign, ..) = packet()
        .in_format(Some(Format::Pipecat), "in_")
        .expect("readable");
    assert!(matches!(
        foreign.context,
        PacketContext::Foreign {
            format: Format::Pipecat,
            ..
        }
    ));
}

#[test]
fn a_further_field_cannot_take_the_place_of_a_known_one() {
    let packets: [fn(&mut Packet); 3] = [
        |packet| drop(packet.other.insert("route".to_owned(), json!({"to": "x"}))),
        |packet| drop(packet.route.other.insert("to".to_owned(), json!("x"))),
        |packet| drop(packet.turn.other.insert("epoch".to_owned(), json!(7))),
    ];
    for (packet, part) in packets.into_iter().zip(["more", "route.more", "turn.more"]) {
        let mut twice = Packet::new(Vec::new());
        packet(&mut twice);
        let protobuf = twice.to_protobuf().expect("it can be written");
        let read = Packet::from_protobuf(&protobuf, 1 << 20).map(|_| ());
        assert!(matches!(read, Err(PacketError::Twice(named)) if named == part));
    }
}
