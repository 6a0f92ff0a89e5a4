//! The graph as text for Graphviz.

use std::fmt::Write as _;

use super::{Graph, NodeKind};

pub(super) fn write(graph: &Graph) -> String {
    let mut text = "digraph baton {\n".to_owned();
    push(&mut text, "rankdir=LR;");
    push(
        &mut text,
        "node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=12];",
    );
    push(&mut text, "edge [fontname=\"sans-serif\", fontsize=10];");
    push(&mut text, "caller [shape=circle];");
    for (place, node) in graph.nodes.iter().enumerate() {
        let label = quoted(&[node.title.clone(), node.note.clone()]);
        let style = match node.kind {
            NodeKind::Entry => ", penwidth=2",
            NodeKind::Specialist => "",
            NodeKind::Unused => ", color=gray, fontcolor=gray",
            NodeKind::Any => ", shape=hexagon, style=dashed",
        };
        push(&mut text, &format!("n{place} [label={label}{style}];"));
    }
    for entry in &graph.entries {
        let label = match entry.label.as_slice() {
            [] => String::new(),
            label => format!("label={}, ", quoted(label)),
        };
        let line = format!("caller -> n{} [{label}penwidth=2];", entry.to);
        push(&mut text, &line);
    }
    for arrow in &graph.arrows {
        let label = quoted(&arrow.label);
        let style = if arrow.back {
            ", style=dashed, constraint=false"
        } else {
            ""
        };
        let line = format!("n{} -> n{} [label={label}{style}];", arrow.from, arrow.to);
        push(&mut text, &line);
    }
    push(&mut text, "subgraph cluster_fallbacks {");
    push(&mut text, "    label=\"when the holder is lost\";");
    for (place, fallback) in graph.fallbacks.iter().enumerate() {
        let label = quoted(std::slice::from_ref(fallback));
        push(&mut text, &format!("    f{place} [label={label}];"));
    }
    for place in 1..graph.fallbacks.len() {
        push(&mut text, &format!("    f{} -> f{place};", place - 1));
    }
    push(&mut text, "}");
    text.push_str("}\n");
    text
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "    {line}").expect("a string takes any text");
}

fn quoted(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    format!("\"{}\"", lines.join("\\n"))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
