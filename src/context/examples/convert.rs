//! Converts a conversation from standard input to standard output, for checks against the real frameworks.
//!
//! `convert export FORMAT` takes LiveKit's items and gives messages and sidecar; `convert import FORMAT` takes those and
//! gives the items. `convert vcon KIND` takes items and gives a vCon, of KIND `recorded` one with recordings.

use std::io::{Read, stdin};

use context::{
    CallRecord, Format, LivekitItem, Packet, RecordedGrant, Recording, Sidecar, UnixMillis,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [action, format] = arguments.as_slice() else {
        return Err("usage: convert export|import|vcon FORMAT".into());
    };
    let mut input = String::new();
    stdin().read_to_string(&mut input)?;
    let input: Value = serde_json::from_str(&input)?;
    let output = match action.as_str() {
        "export" => export(format.parse()?, input)?,
        "import" => import(format.parse()?, &input)?,
        "vcon" => vcon(format == "recorded", input)?,
        other => return Err(format!("there is no action {other}").into()),
    };
    println!("{output}");
    Ok(())
}

fn export(format: Format, input: Value) -> Result<Value, Failure> {
    let out = format.export(&items(input)?);
    Ok(json!({"messages": out.messages, "sidecar": out.sidecar, "left_out": out.left_out}))
}

fn import(format: Format, input: &Value) -> Result<Value, Failure> {
    let messages = input["messages"].as_array().ok_or("no messages")?;
    let sidecar: Option<Sidecar> = serde_json::from_value(input["sidecar"].clone())?;
    let read = format.import(messages, sidecar.as_ref(), "in_")?;
    let items: Vec<Value> = read
        .items
        .into_iter()
        .map(LivekitItem::into_value)
        .collect();
    Ok(json!({"items": items, "lost": read.lost}))
}

fn vcon(with_recordings: bool, input: Value) -> Result<Value, Failure> {
    const START: u64 = 1_763_714_480_000;
    let grant = |specialist: &str, unix_ms| RecordedGrant {
        specialist: specialist.to_owned(),
        unix_ms,
    };
    let recording = Recording {
        url: "https://example.com/call.ogg".to_owned(),
        content_hash: "sha512-GLy6IPaIUM1GqzZqfIPZlWjaDsNgNvZM0iCONNThnH0a75fhUM6cYzLZ5GynSURREvZwmOh54-2lRRieyj82UQ".to_owned(),
        mediatype: Some("audio/ogg".to_owned()),
        started_unix_ms: START,
        duration_ms: Some(2_400_000),
    };
    let record = CallRecord {
        started_unix_ms: START,
        ended_unix_ms: START + 2_400_000,
        subject: Some("an invoice".to_owned()),
        grants: vec![
            grant("triage", START + 300),
            grant("billing", START + 60_000),
        ],
        recordings: with_recordings.then_some(recording).into_iter().collect(),
    };
    let packet = Packet::new(items(input)?);
    let uuid = "019aa5c4-6a40-8000-8000-000000000001";
    Ok(packet.to_vcon(&record, uuid, UnixMillis(START + 2_500_000))?)
}

fn items(input: Value) -> Result<Vec<LivekitItem>, Failure> {
    let items: Vec<Value> = serde_json::from_value(input)?;
    let items = items.into_iter().map(LivekitItem::new);
    Ok(items.collect::<Result<_, _>>()?)
}
