//! Conversations in other frameworks' shapes, there and back.

use std::collections::BTreeSet;

use context::{ConvertError, Format, Item, LivekitItem, Sidecar};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

const FORMATS: [Format; 7] = Format::ALL;

fn items(values: Value) -> Vec<LivekitItem> {
    let Value::Array(values) = values else {
        panic!("no array");
    };
    values
        .into_iter()
        .map(|value| LivekitItem::new(value).expect("an item"))
        .collect()
}

fn values(items: &[LivekitItem]) -> Vec<Value> {
    items.iter().cloned().map(LivekitItem::into_value).collect()
}

/// A conversation with a bit of everything.
fn conversation() -> Vec<LivekitItem> {
    items(json!([
        {"id": "item_0", "type": "message", "role": "developer", "content": ["be nice"], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1763714480.123456},
        {"id": "item_1", "type": "message", "role": "user", "content": ["look", {"id": "img_1", "type": "image_content", "image": "data:image/png;base64,AAAA", "inference_detail": "high", "inference_width": 3}, "there"], "interrupted": false, "transcript_confidence": 0.5, "extra": {}, "metrics": {"started_speaking_at": 1.5, "e2e_latency": 0.25}, "created_at": 1763714481.5},
        {"id": "item_2", "type": "message", "role": "assistant", "content": ["let me see"], "interrupted": true, "extra": {"a_b": {"c_d": null}}, "metrics": {}, "created_at": 1763714482.0},
        {"id": "item_2/fnc_0", "type": "function_call", "call_id": "k1", "name": "book", "arguments": "{\"day\": 1}", "created_at": 1763714482.5, "extra": {"google": {"thought_signature": "c2ln"}}},
        {"id": "item_3", "type": "function_call", "call_id": "k2", "name": "look", "arguments": "no json", "group_id": "item_2", "created_at": 1763714482.5, "extra": {}},
        {"id": "item_4", "type": "function_call", "call_id": "k3", "name": "slow", "arguments": "{}", "created_at": 1763714482.6, "extra": {}},
        {"id": "item_5", "type": "function_call_output", "name": "look", "call_id": "k2", "output": "Müller", "is_error": true, "created_at": 1763714483.0, "reply_required": false},
        {"id": "item_6", "type": "function_call_output", "name": "book", "call_id": "k1", "output": "{\"ok\": true}", "is_error": false, "created_at": 1763714484.0, "reply_required": true},
        {"id": "item_7", "type": "message", "role": "assistant", "content": ["done", {"type": "cache_breakpoint"}], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1763714485.0},
        {"id": "item_8", "type": "agent_handoff", "old_agent_id": "a", "new_agent_id": "b", "created_at": 1763714486.0},
        {"id": "item_9", "type": "message", "role": "user", "content": [{"type": "audio_content", "frame": [], "transcript": "thanks"}], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1763714487.0},
        {"id": "item_10", "type": "agent_config_update", "instructions": "new", "tools_added": ["x"], "created_at": 1763714488.0}
    ]))
}

fn back(format: Format, messages: &[Value], sidecar: Option<&Sidecar>) -> context::Imported {
    format.import(messages, sidecar, "in_").expect("readable")
}

#[test]
fn what_comes_back_unchanged_is_equal() {
    let items = conversation();
    for format in FORMATS {
        let out = format.export(&items);
        let json = serde_json::to_string(&out.sidecar).expect("JSON");
        let sidecar: Sidecar = serde_json::from_str(&json).expect("a sidecar");
        let back = back(format, &out.messages, Some(&sidecar));
        assert_eq!(values(&back.items), values(&items), "{format:?}");
        assert_eq!(back.lost, [], "{format:?}");
    }
}

#[test]
fn openai_chat_is_what_livekit_itself_sends() {
    let out = Format::OpenaiChat.export(&conversation());
    assert_eq!(
        Value::Array(out.messages),
        json!([
            {"role": "developer", "content": "be nice"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
                {"type": "text", "text": "there"}
            ]},
            {"role": "assistant", "content": "let me see", "tool_calls": [
                {"id": "k1", "type": "function", "function": {"name": "book", "arguments": "{\"day\": 1}"}},
                {"id": "k2", "type": "function", "function": {"name": "look", "arguments": "no json"}}
            ]},
            {"role": "tool", "tool_call_id": "k2", "content": "Müller"},
            {"role": "tool", "tool_call_id": "k1", "content": "{\"ok\": true}"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "thanks"}
        ])
    );
}

#[test]
fn what_was_heard_beside_an_image_is_said() {
    let items = items(
        json!([{"id": "u", "type": "message", "role": "user", "content": [
            {"type": "image_content", "image": "data:image/png;base64,AA"},
            {"type": "audio_content", "frame": [], "transcript": "look here"}
        ]}]),
    );
    for format in FORMATS {
        let out = format.export(&items).messages;
        assert!(out[0].to_string().contains("look here"), "{format:?}");
    }
}

#[test]
fn what_is_left_out_is_listed() {
    let out = Format::OpenaiChat.export(&conversation());
    let of = |item: &str| {
        let left = out.left_out.iter().find(|left| left.item == item);
        left.map(|left| left.fields.clone())
    };
    assert_eq!(of("item_0"), Some(vec!["created_at".into(), "id".into()]));
    assert_eq!(
        of("item_2"),
        Some(vec![
            "created_at".into(),
            "extra".into(),
            "id".into(),
            "interrupted".into()
        ])
    );
    assert_eq!(of("item_8"), Some(vec![]), "a handoff is in no message");
    assert_eq!(of("item_4"), Some(vec![]), "nor a call without a result");
}

#[test]
fn pipecat_keeps_one_call_a_message_and_says_what_runs() {
    let out = Format::Pipecat.export(&conversation());
    let tools: Vec<&Value> = out.messages[3..9].iter().collect();
    assert_eq!(
        json!(tools),
        json!([
            {"role": "assistant", "tool_calls": [{"id": "k1", "type": "function", "function": {"name": "book", "arguments": "{\"day\": 1}"}}]},
            {"role": "tool", "tool_call_id": "k1", "content": "{\"ok\": true}"},
            {"role": "assistant", "tool_calls": [{"id": "k2", "type": "function", "function": {"name": "look", "arguments": "no json"}}]},
            {"role": "tool", "tool_call_id": "k2", "content": "Müller"},
            {"role": "assistant", "tool_calls": [{"id": "k3", "type": "function", "function": {"name": "slow", "arguments": "{}"}}]},
            {"role": "tool", "content": "IN_PROGRESS", "tool_call_id": "k3"}
        ])
    );
}

#[test]
fn pipecats_running_and_late_tools_are_read() {
    let late = |status: &str| {
        let payload = json!({"type": "async_tool", "status": status, "tool_call_id": "k1", "description": "d", "result": "\"CANCELLED: gone\""});
        json!({"role": if status == "started" { "tool" } else { "developer" }, "content": payload.to_string()})
    };
    let started = json!({"role": "tool", "tool_call_id": "k1", "content": json!({"type": "async_tool", "status": "running", "tool_call_id": "k1", "description": "d"}).to_string()});
    let messages = [
        json!({"role": "assistant", "tool_calls": [{"id": "k1", "type": "function", "function": {"name": "slow", "arguments": "{}"}}]}),
        started,
        late("running"),
        late("finished"),
        json!({"llm": "anthropic", "message": {"thinking": "..."}}),
        json!({"role": "tool", "tool_call_id": "k9", "content": "CANCELLED"}),
    ];
    let read = back(Format::Pipecat, &messages, None);
    let kinds: Vec<&str> = read
        .items
        .iter()
        .map(|item| item.fields()["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "function_call",
            "message",
            "function_call_output",
            "function_call_output"
        ]
    );
    assert_eq!(read.items[2].fields()["name"], "slow");
    assert_eq!(read.items[3].fields()["is_error"], true);
    assert!(
        read.lost
            .iter()
            .any(|lost| lost.message == 4 && lost.path.is_empty()),
        "{:?}",
        read.lost
    );
}

#[test]
fn langchain_writes_what_messages_to_dict_writes() {
    let out = Format::Langchain.export(&conversation());
    assert_eq!(
        out.messages[2],
        json!({"type": "ai", "data": {
            "content": "let me see", "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null,
            "id": "item_2", "usage_metadata": null,
            "tool_calls": [{"name": "book", "args": {"day": 1}, "id": "k1", "type": "tool_call"}],
            "invalid_tool_calls": [{"name": "look", "args": "no json", "id": "k2", "error": null, "type": "invalid_tool_call"}]
        }})
    );
    assert_eq!(
        out.messages[3],
        json!({"type": "tool", "data": {
            "content": "Müller", "additional_kwargs": {}, "response_metadata": {}, "type": "tool", "name": "look",
            "id": "item_5", "tool_call_id": "k2", "artifact": null, "status": "error"
        }})
    );
    assert_eq!(
        out.messages[0]["data"]["additional_kwargs"],
        json!({"__openai_role__": "developer"})
    );
}

#[test]
fn what_livekit_cannot_hold_is_listed() {
    let messages = [json!({"type": "ai", "data": {
        "content": [{"type": "text", "text": "hi"}, {"type": "reasoning", "text": "hm"}], "id": "run-1",
        "usage_metadata": {"total_tokens": 3}, "tool_calls": [], "name": "bot"
    }})];
    let read = back(Format::Langchain, &messages, None);
    assert_eq!(read.items[0].id(), "run-1");
    let paths: BTreeSet<&str> = read.lost.iter().map(|lost| lost.path.as_str()).collect();
    assert!(
        paths.contains("/data/usage_metadata") && paths.contains("/data/name"),
        "{paths:?}"
    );
    assert!(
        paths.contains("/data/content/1"),
        "the reasoning is gone: {paths:?}"
    );

    let read = back(
        Format::OpenaiResponses,
        &[json!({"type": "reasoning", "summary": []})],
        None,
    );
    assert_eq!((read.items.len(), read.lost.len()), (0, 1));
}

#[test]
fn javascript_has_camel_case_and_milliseconds() {
    let out = Format::LivekitJs.export(&conversation());
    assert_eq!(
        out.messages[1],
        json!({
            "id": "item_1", "type": "message", "role": "user", "interrupted": false, "createdAt": 1763714481500_u64,
            "transcriptConfidence": 0.5, "metrics": {"startedSpeakingAt": 1.5, "e2eLatency": 0.25},
            "content": ["look", {"id": "img_1", "type": "image_content", "image": "data:image/png;base64,AAAA", "inferenceDetail": "high", "inferenceWidth": 3}, "there"]
        })
    );
    assert_eq!(
        out.messages[3],
        json!({
            "id": "item_2/fnc_0", "type": "function_call", "callId": "k1", "name": "book", "args": "{\"day\": 1}",
            "createdAt": 1763714482500_u64, "extra": {"google": {"thought_signature": "c2ln"}}, "thoughtSignature": "c2ln"
        })
    );
    assert_eq!(
        out.messages[2]["extra"],
        json!({"a_b": {"c_d": null}}),
        "its own names are kept"
    );
    let read = back(Format::LivekitJs, &out.messages[..4], None);
    assert_eq!(read.items[3].fields()["created_at"], json!(1763714482.5));
    assert_eq!(read.lost, []);
}

#[test]
fn what_javascript_wrote_is_the_same_after_python() {
    // As `@livekit/agents` 1.9.0 wrote it.
    let messages = [
        json!({"id":"item_890c1884-447","type":"message","role":"user","content":["hi",{"id":"img_ef9d3d37-247","type":"image_content","image":"data:image/png;base64,AA","inferenceDetail":"low"}],"interrupted":false,"createdAt":1763714481500_u64,"extra":{"a_b":1}}),
        json!({"id":"item_af716d8c-6bd","type":"message","role":"assistant","content":["hello"],"interrupted":true,"createdAt":1795254207744_u64,"metrics":{"llmNodeTtft":0.5,"startedSpeakingAt":1763714481.5}}),
        json!({"id":"item_a4d6e104-7a1","type":"function_call","callId":"k","name":"f","args":"{\"a\":1}","extra":{"google":{"thoughtSignature":"s"}},"groupId":"g","thoughtSignature":"s","createdAt":1795254207744_u64}),
        json!({"id":"item_efd9aeec-f4e","type":"function_call_output","name":"f","callId":"k","output":"r","isError":true,"createdAt":1795254207744_u64}),
        json!({"id":"item_eb9dcd2c-39b","type":"agent_handoff","newAgentId":"b","oldAgentId":"a","createdAt":1795254207744_u64}),
        json!({"id":"item_d55b0178-a77","type":"agent_config_update","instructions":"new","toolsAdded":["x"],"createdAt":1795254207744_u64}),
    ];
    let read = back(Format::LivekitJs, &messages, None);
    assert_eq!(read.lost, []);
    assert_eq!(read.items[1].fields()["created_at"], json!(1795254207.744));
    assert_eq!(Format::LivekitJs.export(&read.items).messages, messages);
}

#[test]
fn realtime_has_an_event_for_each_item() {
    let out = Format::OpenaiRealtime.export(&conversation());
    assert_eq!(
        out.messages[2],
        json!({"type": "conversation.item.create", "item": {
            "id": "item_2", "type": "message", "role": "assistant", "status": "incomplete",
            "content": [{"type": "output_text", "text": "let me see"}]
        }})
    );
    assert_eq!(out.messages[0]["item"]["role"], "system");
    let read = back(
        Format::OpenaiRealtime,
        &[
            json!({"type": "conversation.item.done", "item": {"id": "x", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_audio", "transcript": "hello"}]}}),
        ],
        None,
    );
    assert_eq!(read.items[0].fields()["content"], json!(["hello"]));
}

#[test]
fn crewai_writes_null_for_an_answer_of_calls_and_names_the_tool() {
    let out = Format::Crewai.export(&items(json!([
        {"id": "s", "type": "message", "role": "developer", "content": ["x"]},
        {"id": "c", "type": "function_call", "call_id": "k", "name": "f", "arguments": "{}"},
        {"id": "o", "type": "function_call_output", "call_id": "k", "name": "f", "output": "r", "is_error": false}
    ])));
    assert_eq!(
        Value::Array(out.messages),
        json!([
            {"role": "system", "content": "x"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "k", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "k", "content": "r", "name": "f"}
        ])
    );
}

#[test]
fn calls_that_came_in_one_message_stay_one_answer() {
    let messages = [
        json!({"role": "assistant", "content": "hm", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
        ]}),
        json!({"role": "tool", "tool_call_id": "a", "content": "1"}),
        json!({"role": "tool", "tool_call_id": "b", "content": "2"}),
    ];
    let read = back(Format::OpenaiChat, &messages, None);
    assert_eq!(read.lost, []);
    assert_eq!(Format::OpenaiChat.export(&read.items).messages, messages);
}

#[test]
fn a_changed_message_is_read_anew_and_the_others_are_restored() {
    let items = conversation();
    for format in FORMATS {
        let mut out = format.export(&items);
        let changed = out.messages.len() - 1;
        let text = out.messages[changed]
            .to_string()
            .replace("thanks", "many thanks")
            .replace("new", "newer");
        out.messages[changed] = serde_json::from_str(&text).expect("JSON");
        let back = back(format, &out.messages, Some(&out.sidecar));
        let ids: BTreeSet<&str> = back.items.iter().map(LivekitItem::id).collect();
        assert_eq!(ids.len(), back.items.len(), "{format:?}: ids are unique");
        assert_eq!(values(&back.items)[..8], values(&items)[..8], "{format:?}");
    }
}

#[test]
fn a_result_without_a_name_stays_without_one() {
    let items = items(json!([
        {"id": "c", "type": "function_call", "call_id": "k", "name": "f", "arguments": "{}"},
        {"id": "o", "type": "function_call_output", "call_id": "k", "output": "r"}
    ]));
    for format in FORMATS {
        let out = format.export(&items);
        let back = back(format, &out.messages, Some(&out.sidecar));
        assert_eq!(values(&back.items), values(&items), "{format:?}");
    }
}

#[test]
fn a_foreign_or_damaged_sidecar_is_refused() {
    let out = Format::OpenaiChat.export(&conversation());
    assert_eq!(
        Format::Pipecat.import(&out.messages, Some(&out.sidecar), "in_"),
        Err(ConvertError::WrongSidecar {
            format: Format::Pipecat,
            found: Format::OpenaiChat
        })
    );
    let json = serde_json::to_string(&out.sidecar).expect("JSON");
    let damaged: Sidecar =
        serde_json::from_str(&json.replace("\"put\"", "\"pat\"")).expect("a sidecar");
    assert!(matches!(
        Format::OpenaiChat.import(&out.messages, Some(&damaged), "in_"),
        Err(ConvertError::DamagedSidecar { .. })
    ));
}

#[test]
fn an_item_of_the_log_and_its_json_are_one() {
    for item in conversation() {
        let made = Item::try_from(&item).expect("an item");
        assert_eq!(made.id().as_str(), item.id());
        assert_eq!(LivekitItem::try_from(&made).expect("JSON"), item);
        // Without the JSON, the protobuf says what it can.
        let bare = Item::new(made.chat_item().clone(), None).expect("an item");
        let json = LivekitItem::try_from(&bare).expect("JSON");
        for name in [
            "id",
            "type",
            "role",
            "call_id",
            "arguments",
            "output",
            "new_agent_id",
            "interrupted",
            "instructions",
        ] {
            assert_eq!(
                json.fields().get(name),
                item.fields().get(name),
                "{name} of {}",
                item.id()
            );
        }
        let (Some(a), Some(b)) = (
            json.fields()["created_at"].as_f64(),
            item.fields()["created_at"].as_f64(),
        ) else {
            panic!("no time");
        };
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }
}

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "hi",
        "hi",
        "grüß\n",
        "IN_PROGRESS",
        "CANCELLED",
        "{\"a\": 1}",
        "{\"type\": \"async_tool\", \"status\": \"finished\"}",
        "🎉 \"q\"",
    ])
    .prop_map(str::to_owned)
}

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => words().prop_map(Value::from),
        1 => (any::<bool>(), prop::option::of(0..3_u8)).prop_map(|(data, width)| {
            let mut part = json!({"id": "img", "type": "image_content", "image": if data { "data:image/png;base64,AA" } else { "https://example.com/a.png" }, "inference_detail": "low"});
            if let Some(width) = width {
                part["inference_width"] = width.into();
            }
            part
        }),
        1 => prop::option::of(words()).prop_map(|text| match text {
            Some(text) => json!({"type": "audio_content", "frame": [], "transcript": text}),
            None => json!({"type": "audio_content", "frame": [{"data": "AA"}]}),
        }),
        1 => Just(json!({"type": "cache_breakpoint"})),
    ]
}

fn livekit_item() -> impl Strategy<Value = Value> {
    let role = prop::sample::select(vec![
        "system",
        "developer",
        "user",
        "assistant",
        "assistant",
        "user",
    ]);
    let extra = prop::sample::select(vec![
        json!({}),
        json!({"google": {"thought_signature": "x"}}),
        json!({"google": {"thoughtSignature": "y"}}),
        json!({"k_a": [null, 1.5]}),
    ]);
    let arguments = prop::sample::select(vec!["{}", "{\"b\": 1, \"a\": 1e3}", "[1]", "nope", ""]);
    prop_oneof![
        4 => (role, prop::collection::vec(part(), 0..4), any::<bool>(), extra.clone()).prop_map(|(role, content, interrupted, extra)| json!({"type": "message", "role": role, "content": content, "interrupted": interrupted, "extra": extra, "metrics": {"llm_node_ttft": 0.1}})),
        3 => (0..4_u8, arguments, extra, prop::option::of(0..3_u8)).prop_map(|(key, arguments, extra, group)| {
            let mut call = json!({"type": "function_call", "call_id": format!("k{key}"), "name": "tool", "arguments": arguments, "extra": extra});
            if let Some(group) = group {
                call["group_id"] = format!("g{group}").into();
            }
            call
        }),
        3 => (0..4_u8, words(), any::<bool>()).prop_map(|(key, output, is_error)| json!({"type": "function_call_output", "call_id": format!("k{key}"), "name": "tool", "output": output, "is_error": is_error})),
        1 => Just(json!({"type": "agent_handoff", "new_agent_id": "b"})),
        1 => Just(json!({"type": "agent_config_update", "tools_added": ["x"]})),
    ]
}

fn livekit_items() -> impl Strategy<Value = Vec<LivekitItem>> {
    let timed = (livekit_item(), prop::option::of(1.6e9..1.8e9_f64), 0..3_u8);
    prop::collection::vec(timed, 0..25).prop_map(|list| {
        let numbered = list
            .into_iter()
            .enumerate()
            .map(|(index, (mut value, time, shape))| {
                value["id"] = match shape {
                    0 => format!("item_{index}"),
                    1 => format!("item_{}/fnc_{index}", index / 3),
                    _ => format!("item_that_has_a_rather_long_name_{index}"),
                }
                .into();
                if let Some(time) = time {
                    value["created_at"] = time.into();
                }
                LivekitItem::new(value).expect("an item")
            });
        numbered.collect()
    })
}

/// Panics if a tool call is not followed by its results, or a result by nothing that asked for it.
fn assert_answered(messages: &[Value]) {
    let mut open: Vec<String> = Vec::new();
    for message in messages {
        let data = message.get("data").unwrap_or(message);
        if let Some(call) = data.get("tool_call_id").and_then(Value::as_str) {
            let at = open
                .iter()
                .position(|id| id == call)
                .unwrap_or_else(|| panic!("nobody asked for {call}"));
            open.remove(at);
            continue;
        }
        assert!(open.is_empty(), "no results for {open:?}");
        for list in ["tool_calls", "invalid_tool_calls"] {
            let calls = data
                .get(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            open.extend(calls.map(|call| call["id"].as_str().expect("an id").to_owned()));
        }
    }
    assert!(open.is_empty(), "no results for {open:?}");
}

/// The words of all messages of users and agents, and the calls and results, as far as they are in pairs.
fn essence(items: &[LivekitItem]) -> (Vec<String>, BTreeSet<String>) {
    let text = |item: &LivekitItem, name: &str| {
        item.fields()
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut said = Vec::new();
    let mut tools = BTreeSet::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for item in items {
        match text(item, "type").as_str() {
            "message" => {
                let parts = item.fields()["content"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let mut words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                if words.is_empty() {
                    words = parts
                        .iter()
                        .filter_map(|part| part.get("transcript")?.as_str())
                        .filter(|text| !text.is_empty())
                        .collect();
                }
                let words = words.join("\n");
                if !words.trim().is_empty()
                    && ["user", "assistant"].contains(&text(item, "role").as_str())
                {
                    said.push(format!("{}: {}", text(item, "role"), words));
                }
            }
            "function_call" => {
                let arguments = text(item, "arguments");
                let arguments = serde_json::from_str::<Value>(&arguments)
                    .map_or(arguments, |value| value.to_string());
                open.push((
                    text(item, "call_id"),
                    format!("{}({arguments})", text(item, "name")),
                ));
            }
            "function_call_output" => {
                if let Some(at) = open
                    .iter()
                    .rposition(|(id, _)| *id == text(item, "call_id"))
                {
                    let (id, call) = open.remove(at);
                    tools.insert(format!("{id}: {call} = {}", text(item, "output")));
                }
            }
            _ => {}
        }
    }
    (said, tools)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/convert.seeds"))), ..ProptestConfig::default() })]

    #[test]
    fn there_and_back_is_equal(items in livekit_items()) {
        for format in FORMATS {
            let out = format.export(&items);
            let back = back(format, &out.messages, Some(&out.sidecar));
            prop_assert_eq!(values(&back.items), values(&items), "{:?}", format);
        }
    }

    #[test]
    fn no_call_goes_out_without_its_result(items in livekit_items()) {
        for format in [Format::OpenaiChat, Format::Crewai, Format::Langchain, Format::Pipecat] {
            assert_answered(&format.export(&items).messages);
        }
    }

    #[test]
    fn without_the_sidecar_what_was_said_and_done_is_there(items in livekit_items()) {
        for format in FORMATS {
            if format == Format::Pipecat && items.iter().any(|item| item.fields().get("output").is_some_and(|o| o == "IN_PROGRESS")) {
                continue;
            }
            let out = format.export(&items);
            let back = back(format, &out.messages, None);
            let ((mut said, done), (mut expected, expected_done)) = (essence(&back.items), essence(&items));
            // Where the words of an answer go with its calls, they may move before what came between.
            if matches!(format, Format::OpenaiChat | Format::Crewai | Format::Langchain) {
                said.sort();
                expected.sort();
            }
            prop_assert_eq!(said, expected, "{:?}", format);
            prop_assert_eq!(done, expected_done, "{:?}", format);
        }
    }

    #[test]
    fn what_others_add_comes_last_and_what_they_drop_is_gone(items in livekit_items(), drop in any::<prop::sample::Index>()) {
        for format in FORMATS {
            let out = format.export(&items);
            let more = format.export(&context_of_one());
            let mut messages = out.messages.clone();
            messages.extend(more.messages);
            let imported = back(format, &messages, Some(&out.sidecar));
            let all = values(&imported.items);
            prop_assert_eq!(&all[..items.len()], &values(&items)[..], "{:?}", format);
            prop_assert_eq!(&all[items.len()]["content"], &json!(["and now?"]));

            if !out.messages.is_empty() {
                let rest = &out.messages[drop.index(out.messages.len())..];
                let fewer = back(format, rest, Some(&out.sidecar));
                for item in &fewer.items {
                    prop_assert!(items.contains(item), "{:?}: {:?} is new", format, item);
                }
            }
        }
    }

    #[test]
    fn no_input_makes_it_panic(text in "[\\[\\]{}:,\"a-z0-9_ ]{0,60}", which in 0..FORMATS.len(), items in livekit_items(), cut in any::<prop::sample::Index>()) {
        let format = FORMATS[which];
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = format.import(&[value], None, "in_");
        }
        let out = format.export(&items);
        for other in FORMATS {
            let _ = other.import(&out.messages, None, "in_");
        }
        let json = serde_json::to_string(&out.sidecar).expect("JSON");
        let at = cut.index(json.len().max(1));
        let mut bytes = json.into_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = byte.wrapping_add(1);
        }
        if let Ok(sidecar) = serde_json::from_slice::<Sidecar>(&bytes) {
            let _ = format.import(&out.messages, Some(&sidecar), "in_");
        }
    }
}

fn context_of_one() -> Vec<LivekitItem> {
    items(json!([{"id": "new", "type": "message", "role": "user", "content": ["and now?"]}]))
}
