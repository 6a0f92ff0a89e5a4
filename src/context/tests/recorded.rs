//! Conversations recorded from the real frameworks (`tests/packages`): forty minutes, sixty tool calls, some at once,
//! images, interruptions, Unicode. What comes back is equal, or listed as lost.

use std::collections::BTreeMap;
use std::fs;

use context::{Format, LivekitItem, Lost, Packet};
use serde_json::{Value, json};

/// What the ids of the calls in Pipecat's recording begin with whose results came later.
const LATE_CALLS: &str = "call_28_";

fn recorded(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../tests/packages/recorded/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

fn livekit() -> Vec<LivekitItem> {
    let items = recorded("livekit").into_iter();
    items
        .map(|item| LivekitItem::new(item).expect("an item"))
        .collect()
}

fn values(items: &[LivekitItem]) -> Vec<Value> {
    items.iter().cloned().map(LivekitItem::into_value).collect()
}

/// How often each field is lost, and how many messages as a whole.
fn counted(lost: &[Lost]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for lost in lost {
        *counts.entry(lost.path.as_str()).or_default() += 1;
    }
    counts
}

/// The messages without what was listed as lost, without what is empty, and without the notes about a tool that went on
/// while the conversation did: it is a call with its result, and `there_and_back` cannot compare them.
fn without(messages: &[Value], lost: &[Lost]) -> Vec<Value> {
    let mut messages = messages.to_vec();
    for message in messages
        .iter_mut()
        .filter(|message| is_of_late_tool(message))
    {
        *message = Value::Null;
    }
    for lost in lost {
        let message = &mut messages[lost.message];
        match lost.path.as_str() {
            "" => *message = Value::Null,
            path => {
                if let Some(field) = message.pointer_mut(path) {
                    *field = Value::Null;
                }
            }
        }
    }
    let messages = messages.iter().filter(|message| !message.is_null());
    messages.map(bare).collect()
}

/// What means the same is the same: words in one part or as they are, and a default or nothing.
fn bare(value: &Value) -> Value {
    match value {
        Value::Array(parts)
            if parts
                .iter()
                .all(|part| part.is_null() || part["type"] == "text") =>
        {
            let words = parts.iter().filter_map(|part| part["text"].as_str());
            words.collect::<Vec<_>>().join("\n").into()
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), bare(value)));
            let kept = fields.filter(|(name, value)| {
                !is_nothing(value) && (name, value) != (&"detail".to_owned(), &json!("auto"))
            });
            Value::Object(kept.collect())
        }
        Value::Array(parts) => parts.iter().map(bare).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_of_late_tool(message: &Value) -> bool {
    let content = message["content"].as_str().unwrap_or_default();
    let call = message["tool_call_id"].as_str().unwrap_or_default();
    content.contains("\"async_tool\"") || call.starts_with(LATE_CALLS)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Reads a recording of another framework and writes it again: all that was not listed as lost must be there.
fn there_and_back(format: Format, name: &str) -> Vec<Lost> {
    let messages = recorded(name);
    let read = format.import(&messages, None, "in_").expect("readable");
    let again = format.export(&read.items).messages;
    let (before, after) = (without(&messages, &read.lost), without(&again, &[]));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after, before);
    }
    assert_eq!(after.len(), before.len());
    read.lost
}

#[test]
fn a_session_of_livekit_comes_back_from_every_framework_as_it_was() {
    let items = livekit();
    assert!(items.len() > 250 && items.iter().filter(|item| item.is_call()).count() >= 60);
    for format in Format::ALL {
        let out = format.export(&items);
        let read = format
            .import(&out.messages, Some(&out.sidecar), "in_")
            .expect("readable");
        assert_eq!(values(&read.items), values(&items), "{format:?}");
        assert_eq!(read.lost, [], "{format:?}");
    }
}

#[test]
fn a_session_of_livekit_goes_through_all_frameworks_in_a_row() {
    let packet = Packet::new(livekit());
    let mut through = packet.clone();
    for format in Format::ALL {
        let (foreign, ..) = through.in_format(Some(format), "in_").expect("readable");
        let bytes = foreign.to_protobuf().expect("writable");
        through = Packet::from_protobuf(&bytes, 1 << 20).expect("a packet");
    }
    let (back, _, lost) = through.in_format(None, "in_").expect("readable");
    assert!(back == packet);
    assert_eq!(lost, []);
}

#[test]
fn what_pipecat_said_last_comes_after_what_livekit_said_before() {
    let items = livekit();
    let out = Format::Pipecat.export(&items);
    let theirs = recorded("pipecat");
    let messages = [&out.messages[..], &theirs[1..9]].concat();
    let read = Format::Pipecat
        .import(&messages, Some(&out.sidecar), "in_")
        .expect("readable");
    assert_eq!(values(&read.items)[..items.len()], values(&items));
    assert_eq!(
        read.items[items.len()].fields()["content"],
        theirs[1]["content"]
            .as_str()
            .map(|said| json!([said]))
            .expect("words")
    );
}

#[test]
fn a_thread_of_langgraph_comes_back_but_for_what_is_listed() {
    let lost = there_and_back(Format::Langchain, "langchain");
    // What the model thought, and what it cost.
    let listed = [("/data/content/0", 7), ("/data/usage_metadata", 94)];
    assert_eq!(counted(&lost), BTreeMap::from(listed));
}

#[test]
fn a_pipeline_of_pipecat_comes_back_but_for_what_is_listed() {
    let lost = there_and_back(Format::Pipecat, "pipecat");
    // Messages for one provider alone, and how Pipecat words that a late tool is done.
    let listed = [("", 7), ("/content", 3), ("/role", 3)];
    assert_eq!(counted(&lost), BTreeMap::from(listed));
    let items = Format::Pipecat.import(&recorded("pipecat"), None, "in_");
    let items = items.expect("readable").items;
    let output = |call: &str| {
        let mut items = items.iter().map(LivekitItem::fields);
        let output =
            items.find(|item| item["type"] == "function_call_output" && item["call_id"] == call);
        output.map(|output| (output["output"].clone(), output["is_error"].clone()))
    };
    assert_eq!(
        output("call_28_2"),
        Some((json!("{\"late\": true}"), json!(false)))
    );
    assert_eq!(output("call_16_1"), Some((json!("CANCELLED"), json!(true))));
}

#[test]
fn a_crew_of_crewai_comes_back_but_for_what_is_listed() {
    let lost = there_and_back(Format::Crewai, "crewai");
    assert_eq!(counted(&lost), BTreeMap::from([("/cache_breakpoint", 2)]));
}

#[test]
fn every_framework_becomes_every_other() {
    for (from, name) in [
        (Format::Langchain, "langchain"),
        (Format::Pipecat, "pipecat"),
        (Format::Crewai, "crewai"),
    ] {
        let read = from.import(&recorded(name), None, "in_").expect("readable");
        let calls = read.items.iter().filter(|item| item.is_call()).count();
        for to in Format::ALL {
            let out = to.export(&read.items);
            let back = to.import(&out.messages, Some(&out.sidecar), "x_");
            assert_eq!(
                values(&back.expect("readable").items),
                values(&read.items),
                "{from:?} to {to:?}"
            );
            let bare = to.import(&out.messages, None, "x_").expect("readable");
            let there = bare.items.iter().filter(|item| item.is_call()).count();
            assert!(there >= calls - 1, "{from:?} to {to:?}: {there} of {calls}");
        }
    }
}
