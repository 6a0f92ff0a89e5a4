//! The graph as text for Mermaid.

use std::fmt::Write as _;

use super::{Graph, Node, NodeKind};

pub(super) fn write(graph: &Graph) -> String {
    let mut text = "flowchart LR\n    caller([\"caller\"])\n".to_owned();
    for (place, node) in graph.nodes.iter().enumerate() {
        push(&mut text, 1, &format!("n{place}{}", shape(node)));
    }
    for entry in &graph.entries {
        let line = match entry.label.as_slice() {
            [] => format!("caller ==> n{}", entry.to),
            label => format!("caller == \"{}\" ==> n{}", lines(label), entry.to),
        };
        push(&mut text, 1, &line);
    }
    for arrow in &graph.arrows {
        let label = lines(&arrow.label);
        let (open, close) = if arrow.back {
            ("-.", ".->")
        } else {
            ("--", "-->")
        };
        let line = format!("n{} {open} \"{label}\" {close} n{}", arrow.from, arrow.to);
        push(&mut text, 1, &line);
    }
    push(
        &mut text,
        1,
        "subgraph fallbacks[\"when the holder is lost\"]",
    );
    push(&mut text, 2, "direction LR");
    for (place, fallback) in graph.fallbacks.iter().enumerate() {
        push(
            &mut text,
            2,
            &format!("f{place}[\"{}\"]", escaped(fallback)),
        );
    }
    for place in 1..graph.fallbacks.len() {
        push(&mut text, 2, &format!("f{} --> f{place}", place - 1));
    }
    push(&mut text, 1, "end");
    text
}

fn push(text: &mut String, indent: usize, line: &str) {
    writeln!(text, "{}{line}", "    ".repeat(indent)).expect("a string takes any text");
}

fn shape(node: &Node) -> String {
    let label = format!(
        "<b>{}</b><br/>{}",
        escaped(&node.title),
        escaped(&node.note)
    );
    match node.kind {
        NodeKind::Entry | NodeKind::Specialist | NodeKind::Unused => format!("[\"{label}\"]"),
        NodeKind::Any => format!("{{{{\"{label}\"}}}}"),
    }
}

fn lines(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    lines.join("<br/>")
}

/// Text in which nothing means anything to Mermaid.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' => {
                write!(escaped, "#{};", u32::from(letter)).expect("a string takes any text");
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
