//! `baton packet` as a user meets it: what it writes, what it says is lost, and how it refuses.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

struct Ran {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.err))
    }

    /// What the tests compare with: the exit code and all that was said.
    fn said(&self) -> String {
        let code = self.code.unwrap_or(-1);
        format!("{code}\n{}{}", String::from_utf8_lossy(&self.out), self.err)
    }
}

/// Runs `baton packet` in a folder, with `input` on its standard input.
fn packet(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_baton"))
        .arg("packet")
        .args(arguments)
        .current_dir(folder)
        .env("COLUMNS", "120")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Who fails over its arguments reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("it ends");
    Ran {
        code: status.code(),
        out: stdout,
        err: String::from_utf8(stderr).expect("what it says is UTF-8"),
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn history() -> Vec<u8> {
    let history = json!({"items": [
        {"id": "item_1", "type": "message", "role": "user", "content": ["my invoice"], "interrupted": false, "extra": {}, "metrics": {}, "created_at": 1763714481.5},
        {"id": "item_2", "type": "function_call", "call_id": "k", "name": "look", "arguments": "{\"id\": 1}", "extra": {}, "created_at": 1763714482.0},
        {"id": "item_3", "type": "function_call_output", "call_id": "k", "name": "look", "output": "3 €", "is_error": false, "reply_required": true, "created_at": 1763714483.0},
        {"id": "item_4", "type": "agent_handoff", "new_agent_id": "billing", "created_at": 1763714484.0},
        {"id": "item_5", "type": "message", "role": "assistant", "content": ["It is 3 €."], "interrupted": true, "extra": {}, "metrics": {}, "created_at": 1763714485.0}
    ]});
    history.to_string().into_bytes()
}

fn whole_packet() -> Value {
    let history: Value = serde_json::from_slice(&history()).expect("JSON");
    json!({
        "version": 1, "call_id": "call-17", "context": {"format": "livekit", "items": history["items"]},
        "state": {"version": 7, "document": {"name": "Ann"}}, "route": {"from": "triage", "to": "billing"},
        "opening": {"kind": "say", "text": "Hello"}, "turn": {"caller_speaking": false, "new": [1]},
        "telephony": {"caller_number": "+15550199"}, "later": {"a": 1.5}
    })
}

#[test]
fn livekits_history_becomes_openais_messages() {
    let ran = packet(
        folder().path(),
        &["convert", "--from", "livekit", "--to", "openai-chat"],
        &history(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.json(),
        json!([
            {"role": "user", "content": "my invoice"},
            {"role": "assistant", "tool_calls": [{"id": "k", "type": "function", "function": {"name": "look", "arguments": "{\"id\": 1}"}}]},
            {"role": "tool", "tool_call_id": "k", "content": "3 €"},
            {"role": "assistant", "content": "It is 3 €."}
        ])
    );
    insta::assert_snapshot!(ran.err, @"lost without `--to-sidecar`: created_at (4), id (4), interrupted (1), name (1), 1 whole item");
}

#[test]
fn every_framework_gives_back_what_it_got_with_its_sidecar() {
    let before: Value = serde_json::from_slice(&history()).expect("JSON");
    for form in [
        "livekit-js",
        "openai-chat",
        "openai-responses",
        "openai-realtime",
        "pipecat",
        "langchain",
        "crewai",
    ] {
        let folder = folder();
        let there = [
            "convert",
            "--from",
            "livekit",
            "--to",
            form,
            "--to-sidecar",
            "side.json",
        ];
        let there = packet(folder.path(), &there, &history());
        assert_eq!(there.code, Some(0), "{form}: {}", there.err);
        let back = [
            "convert",
            "--from",
            form,
            "--from-sidecar",
            "side.json",
            "--to",
            "livekit",
        ];
        let back = packet(folder.path(), &back, &there.out);
        assert_eq!(back.json(), before, "{form}: {}", back.err);
    }
}

#[test]
fn one_framework_becomes_another_without_livekit_between() {
    let folder = folder();
    let langchain = packet(
        folder.path(),
        &["convert", "--from", "livekit", "--to", "langchain"],
        &history(),
    );
    let state = json!({"messages": langchain.json()}).to_string();
    let crewai = packet(
        folder.path(),
        &["convert", "--from", "langchain", "--to", "crewai"],
        state.as_bytes(),
    );
    assert_eq!(
        crewai.json()[2],
        json!({"role": "tool", "tool_call_id": "k", "content": "3 €", "name": "look"})
    );
}

#[test]
fn a_packet_is_the_same_as_protobuf_and_in_any_conversation() {
    let folder = folder();
    let whole = whole_packet();
    let to = |form: &str, more: &[&str], input: &[u8]| {
        let arguments = [&["convert", "--from", "packet", "--to", form], more].concat();
        let ran = packet(folder.path(), &arguments, input);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran
    };
    let protobuf = to("packet-protobuf", &[], whole.to_string().as_bytes());
    assert_ne!(protobuf.out[0], b'{');
    assert_eq!(to("packet", &[], &protobuf.out).json(), whole);
    let pipecat = to(
        "packet-protobuf",
        &["--conversation", "pipecat"],
        &protobuf.out,
    );
    let pipecat = to("packet", &[], &pipecat.out);
    assert_eq!(pipecat.json()["context"]["format"], "pipecat");
    let livekit = to("packet", &["--conversation", "livekit"], &pipecat.out);
    assert_eq!(livekit.json(), whole);
}

#[test]
fn an_import_replaces_the_conversation_and_keeps_the_rest() {
    let folder = folder();
    fs::write(
        folder.path().join("packet.json"),
        whole_packet().to_string(),
    )
    .expect("writable");
    let messages = json!([{"role": "user", "content": "anything else?"}]).to_string();
    let arguments = [
        "import",
        "--from",
        "pipecat",
        "--into",
        "packet.json",
        "--call-id",
        "call-18",
    ];
    let imported = packet(folder.path(), &arguments, messages.as_bytes()).json();
    assert_eq!(
        imported["context"]["items"][0]["content"],
        json!(["anything else?"])
    );
    assert_eq!(imported["context"]["items"][0]["id"], "imported_0");
    assert_eq!(imported["call_id"], "call-18");
    for name in ["state", "route", "opening", "turn", "telephony", "later"] {
        assert_eq!(imported[name], whole_packet()[name], "{name}");
    }
}

#[test]
fn a_finished_call_becomes_a_vcon() {
    let folder = folder();
    let record = json!({"started_unix_ms": 1_763_714_480_000_u64, "ended_unix_ms": 1_763_714_490_000_u64, "subject": "an invoice"});
    fs::write(folder.path().join("call.json"), record.to_string()).expect("writable");
    let whole = whole_packet().to_string();
    let arguments = ["export", "--to", "vcon", "--call", "call.json"];
    let vcon = packet(folder.path(), &arguments, whole.as_bytes()).json();
    assert_eq!(vcon["subject"], "an invoice");
    assert_eq!(vcon["parties"][0]["tel"], "+15550199");
    assert_eq!(vcon["dialog"][1]["body"], "It is 3 €.");
    assert_eq!(vcon["attachments"][0]["body"], whole_packet());
    let uuid = vcon["uuid"].as_str().expect("a UUID");
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"), "{uuid}");
    let without = packet(folder.path(), &["export", "--to", "vcon"], whole.as_bytes()).json();
    assert_eq!(
        without["dialog"][0]["party_history"][0]["time"],
        "2025-11-21T08:41:21.5Z"
    );
}

#[test]
fn check_says_what_is_in_a_packet() {
    let ran = packet(
        folder().path(),
        &["check"],
        whole_packet().to_string().as_bytes(),
    );
    insta::assert_snapshot!(ran.said(), @"
    0
    standard input: a packet of 5 items, 1 tool call among them, 1 field of state at version 7
    ");
    let schema = packet(folder().path(), &["schema"], b"");
    let schema = jsonschema::validator_for(&schema.json()).expect("a schema");
    assert!(schema.is_valid(&whole_packet()));
}

#[test]
fn what_is_lost_is_said_and_strict_refuses_it() {
    let folder = folder();
    let messages = json!([
        {"type": "human", "data": {"content": "hi", "name": "Ann", "id": "1"}},
        {"type": "remove", "data": {"id": "0"}},
        {"type": "ai", "data": {"content": "hello", "id": "2", "usage_metadata": {"total_tokens": 3}}}
    ]);
    let arguments = [
        "import",
        "--from",
        "langchain",
        "--losses",
        "losses.json",
        "--strict",
        "-o",
        "packet.json",
    ];
    let ran = packet(folder.path(), &arguments, messages.to_string().as_bytes());
    insta::assert_snapshot!(ran.said(), @"
    6
    lost, since LiveKit's items cannot hold it: /data/name (1), /data/usage_metadata (1), 1 whole message
    nothing was written, since `--strict` is given
    ");
    assert!(!folder.path().join("packet.json").exists());
    let losses = fs::read_to_string(folder.path().join("losses.json")).expect("losses");
    let losses: Value = serde_json::from_str(&losses).expect("JSON");
    assert_eq!(losses["lost"][1], json!({"message": 1, "path": ""}));

    let arguments = ["convert", "--from", "livekit", "--to", "crewai", "--strict"];
    let ran = packet(folder.path(), &arguments, &history());
    assert_eq!((ran.code, ran.out.len()), (Some(6), 0));
    let arguments = [
        "convert",
        "--from",
        "livekit",
        "--to",
        "crewai",
        "--strict",
        "--to-sidecar",
        "side.json",
    ];
    let ran = packet(folder.path(), &arguments, &history());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn wrong_input_is_refused_with_its_place_and_reason() {
    let folder = folder();
    let said =
        |arguments: &[&str], input: &str| packet(folder.path(), arguments, input.as_bytes()).said();
    insta::assert_snapshot!(said(&["check"], "{\"version\": 1,"), @"
    1
    error: standard input is no packet: a packet is no JSON: EOF while parsing a value at line 1 column 14
    ");
    insta::assert_snapshot!(said(&["check"], "{\"version\": 2}"), @"
    1
    error: standard input is no packet: a packet has version 2, not 1
    ");
    insta::assert_snapshot!(said(&["check"], "not a packet"), @"
    1
    error: standard input is no packet: a packet is no JSON: expected ident at line 1 column 2
    ");
    let broken = json!({"version": 1, "context": {"format": "livekit", "items": [{"id": "x", "type": "message"}]}});
    insta::assert_snapshot!(said(&["check"], &broken.to_string()), @r#"
    1
    error: standard input is no packet: item 0 of the packet is none: an item has no valid "role"
    "#);
    let unknown = json!({"version": 1, "context": {"format": "openai", "messages": []}});
    insta::assert_snapshot!(said(&["check"], &unknown.to_string()), @r#"
    1
    error: standard input is no packet: a packet cannot be read at context: there is no format "openai"; there are livekit, livekit_js, openai_chat, openai_responses, openai_realtime, pipecat, langchain, crewai
    "#);
    insta::assert_snapshot!(said(&["import", "--from", "pipecat"], "{\"history\": []}"), @"
    1
    error: standard input is no array of pipecat messages, nor an object with such an array as `messages`
    ");
    insta::assert_snapshot!(said(&["import", "--from", "livekit"], "[{\"id\": \"x\", \"type\": \"song\"}]"), @r#"
    1
    error: item 0 in standard input is none: an item has no valid "type"
    "#);
    insta::assert_snapshot!(said(&["check", "nowhere.json"], ""), @"
    1
    error: cannot read `nowhere.json`: No such file or directory (os error 2)
    ");
    fs::write(folder.path().join("side.json"), "[]").expect("writable");
    insta::assert_snapshot!(said(&["import", "--from", "pipecat", "--from-sidecar", "side.json"], "[]"), @"
    1
    error: `side.json` is no sidecar: invalid length 0, expected struct Sidecar with 4 elements at line 1 column 2
    ");
    let empty = json!({"version": 1, "context": {"format": "livekit", "items": []}});
    insta::assert_snapshot!(said(&["export", "--to", "vcon"], &empty.to_string()), @"
    1
    error: no item has a time, so `--call` is needed to say when the call was
    ");
    insta::assert_snapshot!(said(&["import", "--from", "vcon"], "{}"), @"
    2
    error: invalid value 'vcon' for '--from <FORM>'
      [possible values: packet, livekit, livekit-js, openai-chat, openai-responses, openai-realtime, pipecat, langchain, crewai]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(said(&["convert", "--from", "livekit", "--to", "openai"], "{}"), @"
    2
    error: invalid value 'openai' for '--to <FORM>'
      [possible values: packet, packet-protobuf, livekit, livekit-js, openai-chat, openai-responses, openai-realtime, pipecat, langchain, crewai, vcon]

      tip: a similar value exists: 'openai-chat'

    For more information, try '--help'.
    ");
}

#[test]
fn a_sidecar_of_another_framework_is_refused() {
    let folder = folder();
    let there = [
        "convert",
        "--from",
        "livekit",
        "--to",
        "pipecat",
        "--to-sidecar",
        "side.json",
    ];
    let there = packet(folder.path(), &there, &history());
    let back = [
        "convert",
        "--from",
        "openai-chat",
        "--from-sidecar",
        "side.json",
        "--to",
        "livekit",
    ];
    let ran = packet(folder.path(), &back, &there.out);
    insta::assert_snapshot!(ran.said(), @"
    1
    error: standard input cannot be converted: the sidecar belongs to pipecat, not to openai_chat
    ");
}

#[test]
fn help_shows_the_forms_and_examples() {
    let folder = folder();
    let help = |arguments: &[&str]| packet(folder.path(), arguments, b"").said();
    insta::assert_snapshot!(help(&["--help"]), @"
    0
    Carry a conversation from one framework to another, as a portable packet or as messages

    Reads and writes the forms of LiveKit Agents, OpenAI, Pipecat, LangChain and CrewAI, and the packet that Baton hands over, with state, route and the caller's line.

    Usage: baton packet <COMMAND>

    Commands:
      convert  Turn a conversation from one framework's form into another's
      import   Make a packet of a framework's conversation
      export   Write a packet's conversation in a framework's form, or the call as a vCon
      check    Say what is in a packet, or what is wrong with it
      schema   Write the JSON Schema of a packet
      help     Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    ");
    insta::assert_snapshot!(help(&["convert", "-h"]), @"
    0
    Turn a conversation from one framework's form into another's

    Usage: baton packet convert [OPTIONS] --from <FORM> --to <FORM> [FILE]

    Arguments:
      [FILE]  What to read; standard input if none or - is given

    Options:
          --from <FORM>          The form of what is read [possible values: packet, livekit, livekit-js, openai-chat, openai-responses, openai-realtime, pipecat, langchain, crewai]
          --to <FORM>            The form of what is written [possible values: packet, packet-protobuf, livekit, livekit-js, openai-chat, openai-responses, openai-realtime, pipecat, langchain, crewai, vcon]
          --from-sidecar <FILE>  The sidecar that was written with the messages
          --id-prefix <TEXT>     What the ids begin with of items that have none [default: imported_]
          --to-sidecar <FILE>    Where to write what the messages cannot carry
          --conversation <FORM>  In a packet, write the conversation in this form, with its sidecar [possible values: livekit, livekit-js, openai-chat, openai-responses, openai-realtime, pipecat, langchain, crewai]
          --losses <FILE>        Where to write all losses one by one, as JSON
          --strict               Write nothing and exit with 6 if something would be lost
          --call <FILE>          For a vCon: when the call was, who had the baton, and its recordings, as JSON
      -o, --output <FILE>        Where to write; standard output if not given
      -h, --help                 Print help (see more with '--help')
      -V, --version              Print version

    Examples:
      baton packet convert --from livekit --to openai-chat history.json
      baton packet convert --from livekit --to pipecat --to-sidecar side.json history.json -o messages.json
      baton packet convert --from pipecat --from-sidecar side.json --to livekit messages.json
    ");
    insta::assert_snapshot!(help(&["export", "--help"]), @r#"
    0
    Write a packet's conversation in a framework's form, or the call as a vCon

    Usage: baton packet export [OPTIONS] --to <FORM> [FILE]

    Arguments:
      [FILE]
              What to read; standard input if none or - is given

    Options:
          --to <FORM>
              The form of what is written

              Possible values:
              - packet:           The portable handoff packet as JSON; read as protobuf too
              - packet-protobuf:  The portable handoff packet as protobuf
              - livekit:          `ChatContext.to_dict` of livekit-agents for Python
              - livekit-js:       `ChatContext.toJSON` of @livekit/agents
              - openai-chat:      The `messages` of OpenAI's Chat Completions
              - openai-responses: The `input` of OpenAI's Responses
              - openai-realtime:  `conversation.item.create` events of OpenAI's Realtime
              - pipecat:          The messages of Pipecat's `LLMContext`
              - langchain:        LangChain's `messages_to_dict`, as LangGraph stores them
              - crewai:           CrewAI's messages
              - vcon:             A finished call as the IETF's vCon; only written

          --to-sidecar <FILE>
              Where to write what the messages cannot carry

          --conversation <FORM>
              In a packet, write the conversation in this form, with its sidecar

              Possible values:
              - livekit:          `ChatContext.to_dict` of livekit-agents for Python
              - livekit-js:       `ChatContext.toJSON` of @livekit/agents
              - openai-chat:      The `messages` of OpenAI's Chat Completions
              - openai-responses: The `input` of OpenAI's Responses
              - openai-realtime:  `conversation.item.create` events of OpenAI's Realtime
              - pipecat:          The messages of Pipecat's `LLMContext`
              - langchain:        LangChain's `messages_to_dict`, as LangGraph stores them
              - crewai:           CrewAI's messages

          --losses <FILE>
              Where to write all losses one by one, as JSON

          --strict
              Write nothing and exit with 6 if something would be lost

          --call <FILE>
              For a vCon: when the call was, who had the baton, and its recordings, as JSON

      -o, --output <FILE>
              Where to write; standard output if not given

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      baton packet export --to crewai packet.json
      baton packet export --to vcon --call call.json packet.json -o call.vcon.json

    The file of `--call`:
      {
        "started_unix_ms": 1763714480000, "ended_unix_ms": 1763714500000, "subject": "an invoice",
        "grants": [{"specialist": "triage", "unix_ms": 1763714480300}],
        "recordings": [{"url": "https://example.com/call.ogg", "content_hash": "sha512-...",
                        "mediatype": "audio/ogg", "started_unix_ms": 1763714480000, "duration_ms": 20000}]
      }
    Only the first two are needed.
    "#);
}
