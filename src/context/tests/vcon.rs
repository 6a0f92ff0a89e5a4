//! A finished call as a vCon. What the IETF's own tools say of one is checked by `cargo xtask packages vcon`.

use context::{
    CallRecord, LivekitItem, Packet, PacketTelephony, RecordedGrant, Recording, UnixMillis,
    VconError,
};
use serde_json::{Value, json};

const UUID: &str = "019aa5c4-6a40-8000-8000-000000000001";

fn packet(items: Value) -> Packet {
    let Value::Array(items) = items else {
        panic!("no array");
    };
    let items = items
        .into_iter()
        .map(|item| LivekitItem::new(item).expect("an item"));
    let mut packet = Packet::new(items.collect());
    packet.telephony = Some(PacketTelephony {
        caller_number: Some("+15550199".into()),
        called_number: Some("+15550100".into()),
        ..PacketTelephony::default()
    });
    packet
}

fn call() -> Packet {
    packet(json!([
        {"id": "u1", "type": "message", "role": "user", "content": ["my invoice is wrong"], "created_at": 1763714481.5},
        {"id": "a1", "type": "message", "role": "assistant", "content": ["let me", "see"], "interrupted": true, "created_at": 1763714483.0},
        {"id": "c1", "type": "function_call", "call_id": "k", "name": "f", "arguments": "{}", "created_at": 1763714483.5},
        {"id": "o1", "type": "function_call_output", "call_id": "k", "output": "r", "created_at": 1763714484.0},
        {"id": "h1", "type": "agent_handoff", "old_agent_id": "triage", "new_agent_id": "billing", "created_at": 1763714485.0},
        {"id": "s1", "type": "message", "role": "assistant", "content": ["an invoice"], "extra": {"is_summary": true}, "created_at": 1763714485.0},
        {"id": "a2", "type": "message", "role": "assistant", "content": ["It was 3 € too much. 🎉"]},
        {"id": "i2", "type": "message", "role": "system", "content": ["be nice"]},
        {"id": "u2", "type": "message", "role": "user", "content": [{"type": "image_content", "image": "https://example.com/a.png"}]}
    ]))
}

fn record() -> CallRecord {
    let grant = |specialist: &str, unix_ms| RecordedGrant {
        specialist: specialist.into(),
        unix_ms,
    };
    CallRecord {
        started_unix_ms: 1_763_714_480_000,
        ended_unix_ms: 1_763_714_500_250,
        subject: Some("an invoice".into()),
        grants: vec![
            grant("triage", 1_763_714_480_300),
            grant("billing", 1_763_714_485_000),
            grant("billing", 1_763_714_486_000),
        ],
        recordings: Vec::new(),
    }
}

fn recording() -> Recording {
    Recording {
        url: "https://example.com/call.ogg".into(),
        content_hash: "sha512-AAAA".into(),
        mediatype: Some("audio/ogg".into()),
        started_unix_ms: 1_763_714_480_100,
        duration_ms: Some(20_150),
    }
}

fn vcon(packet: &Packet, record: &CallRecord) -> Value {
    let vcon = packet.to_vcon(record, UUID, UnixMillis(1_763_714_600_000));
    let vcon = vcon.expect("a vCon");
    assert_it_refers_only_to_what_is_there(&vcon);
    vcon
}

fn assert_it_refers_only_to_what_is_there(vcon: &Value) {
    let length = |name: &str| vcon[name].as_array().expect("a list").len();
    let within = |value: &Value, name: &str| {
        let index = value
            .as_u64()
            .unwrap_or_else(|| panic!("{value} is no index"));
        assert!((index as usize) < length(name), "{value} of {name}");
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for dialog in list(&vcon["dialog"]) {
        list(&dialog["parties"])
            .iter()
            .for_each(|party| within(party, "parties"));
        for event in list(&dialog["party_history"]) {
            within(&event["party"], "parties");
        }
        let inline = dialog.get("body").is_some() && dialog.get("encoding").is_some();
        let outside = dialog.get("url").is_some() && dialog.get("content_hash").is_some();
        assert_eq!(inline || outside, dialog["type"] != "incomplete");
        assert!(dialog["start"].is_string() && dialog["type"].is_string());
    }
    for analysis in list(&vcon["analysis"]) {
        list(&analysis["dialog"])
            .iter()
            .for_each(|dialog| within(dialog, "dialog"));
        assert!(analysis["type"].is_string() && analysis["vendor"].is_string());
    }
    for attachment in list(&vcon["attachments"]) {
        within(&attachment["dialog"], "dialog");
        within(&attachment["party"], "parties");
    }
}

#[test]
fn each_message_is_a_dialog_of_whoever_said_it() {
    let vcon = vcon(&call(), &record());
    assert_eq!(
        vcon["parties"],
        json!([
            {"type": "person", "tel": "+15550199"},
            {"type": "bot", "name": "triage", "tel": "+15550100"},
            {"type": "bot", "name": "billing", "tel": "+15550100"},
            {"type": "bot", "name": "baton"}
        ])
    );
    let said: Vec<Value> = vcon["dialog"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|dialog| json!([dialog["start"], dialog["parties"], dialog["body"]]))
        .collect();
    assert_eq!(
        said,
        [
            json!(["2025-11-21T08:41:21.5Z", [0], "my invoice is wrong"]),
            json!(["2025-11-21T08:41:23Z", [1], "let me\nsee"]),
            json!(["2025-11-21T08:41:25Z", [2], "It was 3 € too much. 🎉"]),
        ]
    );
    assert_eq!(vcon["analysis"][0]["type"], "summary");
    assert_eq!(vcon["subject"], "an invoice");
    assert_eq!(vcon["created_at"], "2025-11-21T08:43:20Z");
}

#[test]
fn who_was_there_when_is_its_first_dialogs_history() {
    let vcon = vcon(&call(), &record());
    let events: Vec<Value> = vcon["dialog"][0]["party_history"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| json!([event["party"], event["event"], event["time"]]))
        .collect();
    assert_eq!(
        events,
        [
            json!([0, "join", "2025-11-21T08:41:20Z"]),
            json!([1, "join", "2025-11-21T08:41:20.3Z"]),
            json!([2, "join", "2025-11-21T08:41:25Z"]),
            json!([1, "drop", "2025-11-21T08:41:25Z"]),
            json!([2, "drop", "2025-11-21T08:41:40.25Z"]),
            json!([0, "drop", "2025-11-21T08:41:40.25Z"]),
        ]
    );
}

#[test]
fn recordings_are_the_dialogs_and_what_was_said_is_their_transcript() {
    let record = CallRecord {
        recordings: vec![recording()],
        ..record()
    };
    let vcon = vcon(&call(), &record);
    let dialog = &vcon["dialog"];
    assert_eq!(dialog.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&dialog[0]["duration"], &dialog[0]["parties"]),
        (&json!(20.15), &json!([0, 1, 2]))
    );
    let transcript = &vcon["analysis"][0];
    assert_eq!(
        (&transcript["type"], &transcript["dialog"]),
        (&json!("transcript"), &json!([0]))
    );
    assert_eq!(
        transcript["body"]["lines"][1],
        json!({"id": "a1", "party": 1, "start": "2025-11-21T08:41:23Z", "text": "let me\nsee", "interrupted": true})
    );
}

#[test]
fn the_packet_comes_out_of_it_as_it_went_in() {
    let packet = call();
    let vcon = vcon(&packet, &record());
    let again = Packet::from_value(vcon["attachments"][0]["body"].clone()).expect("a packet");
    assert!(again == packet);
}

#[test]
fn without_a_record_a_conversation_says_when_it_was() {
    let (items, _) = call().items("x").expect("items");
    let record = CallRecord::of(&items).expect("it has times");
    assert_eq!(
        (record.started_unix_ms, record.ended_unix_ms),
        (1_763_714_481_500, 1_763_714_485_000)
    );
    assert!(CallRecord::of(&[]).is_none());
}

#[test]
fn a_call_in_which_nobody_spoke_is_incomplete() {
    let vcon = vcon(&packet(json!([])), &record());
    assert_eq!(vcon["dialog"][0]["type"], "incomplete");
    assert_eq!(vcon["dialog"][0]["disposition"], "hung-up");
}

#[test]
fn without_grants_and_handoffs_an_agent_has_spoken() {
    let packet =
        packet(json!([{"id": "a", "type": "message", "role": "assistant", "content": ["hi"]}]));
    let record = CallRecord {
        grants: Vec::new(),
        ..record()
    };
    let vcon = vcon(&packet, &record);
    assert_eq!(vcon["parties"][1]["name"], "agent");
    assert_eq!(vcon["dialog"][0]["parties"], json!([1]));
}

#[test]
fn what_cannot_be_in_one_is_refused() {
    let made = |record: &CallRecord| call().to_vcon(record, UUID, UnixMillis(0));
    let far = CallRecord {
        ended_unix_ms: u64::MAX,
        ..record()
    };
    assert!(matches!(
        made(&far),
        Err(VconError::Time { unix_ms: u64::MAX })
    ));
    let mut plain = recording();
    plain.url = "http://example.com/call.ogg".into();
    let unsafe_record = CallRecord {
        recordings: vec![plain],
        ..record()
    };
    assert!(matches!(made(&unsafe_record), Err(VconError::Url { .. })));
    let unreal = json!([{"id": "a", "type": "message", "role": "user", "content": ["x"], "created_at": 1e300}]);
    let vcon = vcon(&packet(unreal), &record());
    assert_eq!(vcon["dialog"][0]["start"], "2025-11-21T08:41:20Z");
}
