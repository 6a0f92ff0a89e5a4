//! Converts a conversation from standard input to standard output, for checks against the real frameworks.
//!
//! `convert export FORMAT` takes LiveKit's items and gives messages and sidecar; `convert import FORMAT` takes those and
//! gives the items.

use std::io::{Read, stdin};

use context::{Format, LivekitItem, Sidecar};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [action, format] = arguments.as_slice() else {
        return Err("usage: convert export|import FORMAT".into());
    };
    let format: Format = serde_json::from_value(json!(format))?;
    let mut input = String::new();
    stdin().read_to_string(&mut input)?;
    let input: Value = serde_json::from_str(&input)?;
    let output = match action.as_str() {
        "export" => export(format, input)?,
        "import" => import(format, &input)?,
        other => return Err(format!("there is no action {other}").into()),
    };
    println!("{output}");
    Ok(())
}

fn export(format: Format, input: Value) -> Result<Value, Failure> {
    let items: Vec<Value> = serde_json::from_value(input)?;
    let items = items
        .into_iter()
        .map(LivekitItem::new)
        .collect::<Result<Vec<_>, _>>()?;
    let out = format.export(&items);
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
