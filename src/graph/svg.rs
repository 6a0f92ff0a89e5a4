//! The graph as a picture that needs nothing else.

use std::fmt::{self, Display, Write as _};

use super::{
    Graph, Node, NodeKind,
    layout::{self, Layout, Path, Point, Size},
};

const MARGIN: f64 = 28.0;
const HEADER_HEIGHT: f64 = 44.0;
const TITLE_PX: f64 = 14.0;
const NOTE_PX: f64 = 11.0;
/// Of a label; an arrow runs between two lines.
const LINE_HEIGHT: f64 = 18.0;
const NODE_HEIGHT: f64 = 46.0;
const CHIP_HEIGHT: f64 = 28.0;
const CHIP_GAP: f64 = 30.0;
const WIDTH_MIN: f64 = 560.0;
/// Above the chain of fallbacks.
const FOOTER_GAP: f64 = 40.0;

const STYLE: &str = "\
text{font-family:sans-serif;fill:#1f2933}\
.t{font-size:14px;font-weight:bold}\
.n,.l{font-size:11px;fill:#52606d}\
.h{font-size:18px;font-weight:bold}\
.node{fill:#f0f4f8;stroke:#829ab1;stroke-width:1.2}\
.entry{fill:#e3f8ff;stroke:#127fbf;stroke-width:2}\
.unused{fill:#fff;stroke:#cbd2d9;stroke-dasharray:3 3}\
.any{fill:#fffbea;stroke:#cb6e17;stroke-width:1.2}\
.caller{fill:#127fbf;stroke:none}\
.caller+text{fill:#fff}\
.chip{fill:#fff;stroke:#9aa5b1}\
.end{fill:#f5f7fa;stroke:#cbd2d9}\
.bg{fill:#fff}\
path{fill:none;stroke:#486581;stroke-width:1.5}\
.back{stroke:#9aa5b1;stroke-dasharray:5 4;stroke-width:1.2}\
marker path{fill:#486581;stroke:none}\
.tip-back path{fill:#9aa5b1;stroke:none}";

pub(super) fn write(graph: &Graph) -> String {
    let layout = arrange(graph);
    let chips = chips(graph);
    let chip_lines = rows(&chips, layout.size.width.max(WIDTH_MIN));
    let inner = layout.size.width.max(WIDTH_MIN);
    let footer = FOOTER_GAP + chip_lines as f64 * (CHIP_HEIGHT + 10.0) + 10.0;
    let width = inner + 2.0 * MARGIN;
    let height = HEADER_HEIGHT + layout.size.height + footer + 2.0 * MARGIN;
    let mut page = Page(String::new());
    page.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="img">"#
    ));
    page.line(format_args!(
        "<title>Who may hand the baton to whom</title>"
    ));
    page.line(format_args!("<style>{STYLE}</style>"));
    for (id, class) in [("tip", "tip"), ("tip-back", "tip-back")] {
        page.line(format_args!(
            r#"<marker id="{id}" class="{class}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8Z"/></marker>"#
        ));
    }
    page.line(format_args!(
        r#"<rect class="bg" width="100%" height="100%"/>"#
    ));
    let left = MARGIN;
    page.text(
        "h",
        "start",
        left,
        MARGIN + 14.0,
        "Who may hand the baton to whom",
    );
    let shift = (inner - layout.size.width) / 2.0;
    page.line(format_args!(
        r#"<g transform="translate({:.1} {:.1})">"#,
        left + shift,
        MARGIN + HEADER_HEIGHT
    ));
    // The caller's arrows come first; the last node is the caller.
    let entries = graph.entries.iter().map(|entry| (false, &entry.label));
    let others = graph.arrows.iter().map(|arrow| (arrow.back, &arrow.label));
    let drawn: Vec<_> = layout.arrows.iter().zip(entries.chain(others)).collect();
    for (path, (back, _)) in &drawn {
        page.arrow(path, *back);
    }
    for (path, (_, label)) in drawn {
        if !label.is_empty() {
            page.label(path.label, label);
        }
    }
    for (node, (at, size)) in graph.nodes.iter().zip(&layout.nodes) {
        page.node(node, *at, *size);
    }
    if let Some((at, size)) = layout.nodes.last() {
        page.chip("caller", *at, *size, "caller");
    }
    page.line(format_args!("</g>"));
    let top = MARGIN + HEADER_HEIGHT + layout.size.height + FOOTER_GAP;
    page.fallbacks(&chips, Point { x: left, y: top }, inner);
    page.line(format_args!("</svg>"));
    page.0
}

/// The caller is a node as well, in front of all others.
fn arrange(graph: &Graph) -> Layout {
    let size = |node: &Node| {
        let title = width(&node.title, TITLE_PX) * 1.08;
        Size {
            width: title.max(width(&node.note, NOTE_PX)) + 28.0,
            height: NODE_HEIGHT,
        }
    };
    let nodes = graph.nodes.iter().map(|node| layout::Node {
        rank: node.distance + 1,
        size: size(node),
    });
    let caller = layout::Node {
        rank: 0,
        size: Size {
            width: 66.0,
            height: 30.0,
        },
    };
    let nodes: Vec<layout::Node> = nodes.chain([caller]).collect();
    let caller = nodes.len() - 1;
    let entries = graph.entries.iter().map(|entry| layout::Arrow {
        from: caller,
        to: entry.to,
        label: (!entry.label.is_empty()).then(|| label_size(&entry.label)),
    });
    let arrows = graph.arrows.iter().map(|arrow| layout::Arrow {
        from: arrow.from,
        to: arrow.to,
        label: Some(label_size(&arrow.label)),
    });
    let arrows: Vec<layout::Arrow> = entries.chain(arrows).collect();
    layout::arrange(&nodes, &arrows)
}

fn label_size(lines: &[String]) -> Size {
    let widest = lines.iter().map(|line| width(line, NOTE_PX));
    Size {
        width: widest.fold(0.0, f64::max) + 10.0,
        height: lines.len() as f64 * LINE_HEIGHT + 2.0,
    }
}

/// About how wide text is, in any font without serifs.
fn width(text: &str, size_px: f64) -> f64 {
    text.chars().count() as f64 * size_px * 0.58
}

/// The fallbacks with their widths.
fn chips(graph: &Graph) -> Vec<(&str, f64)> {
    let fallbacks = graph.fallbacks.iter();
    fallbacks
        .map(|text| (text.as_str(), width(text, NOTE_PX) + 24.0))
        .collect()
}

/// How many rows the chips take.
fn rows(chips: &[(&str, f64)], inner: f64) -> usize {
    let mut rows = 1;
    let mut x = 0.0;
    for (_, width) in chips {
        if x > 0.0 && x + width > inner {
            rows += 1;
            x = 0.0;
        }
        x += width + CHIP_GAP;
    }
    rows
}

struct Page(String);

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes any text");
        self.0.push('\n');
    }

    fn text(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
        let text = Escaped(text);
        self.line(format_args!(
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    fn arrow(&mut self, path: &Path, back: bool) {
        let mut line = String::new();
        for (index, pair) in path.points.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            if index == 0 {
                let _ = write!(line, "M{:.1} {:.1}", a.x, a.y);
            }
            if index % 2 == 1 {
                let _ = write!(line, "L{:.1} {:.1}", b.x, b.y);
                continue;
            }
            let bend = (b.x - a.x) / 2.0;
            let (c, d) = (a.x + bend, b.x - bend);
            let _ = write!(
                line,
                "C{c:.1} {:.1} {d:.1} {:.1} {:.1} {:.1}",
                a.y, b.y, b.x, b.y
            );
        }
        let (class, tip) = if back {
            ("back", "tip-back")
        } else {
            ("route", "tip")
        };
        self.line(format_args!(
            r#"<path class="{class}" marker-end="url(#{tip})" d="{line}"/>"#
        ));
    }

    fn label(&mut self, at: Point, lines: &[String]) {
        let Size { width, height } = label_size(lines);
        let top = at.y - height / 2.0;
        if lines.len() == 1 {
            self.rect("bg", at, Size { width, height }, 0.0);
        }
        for (index, line) in lines.iter().enumerate() {
            let y = top + LINE_HEIGHT * index as f64 + 13.5;
            self.text("l", "middle", at.x, y, line);
        }
    }

    fn node(&mut self, node: &Node, at: Point, size: Size) {
        let class = match node.kind {
            NodeKind::Entry => "node entry",
            NodeKind::Specialist => "node",
            NodeKind::Unused => "node unused",
            NodeKind::Any => "node any",
        };
        self.rect(class, at, size, 8.0);
        self.text("t", "middle", at.x, at.y - 3.0, &node.title);
        self.text("n", "middle", at.x, at.y + 14.0, &node.note);
    }

    fn chip(&mut self, class: &str, at: Point, size: Size, text: &str) {
        self.rect(class, at, size, size.height / 2.0);
        self.text("n", "middle", at.x, at.y + 4.0, text);
    }

    fn rect(&mut self, class: &str, at: Point, Size { width, height }: Size, round: f64) {
        let (x, y) = (at.x - width / 2.0, at.y - height / 2.0);
        self.line(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{round:.0}"/>"#
        ));
    }

    fn fallbacks(&mut self, chips: &[(&str, f64)], at: Point, inner: f64) {
        self.text("n", "start", at.x, at.y, "When the holder is lost:");
        let mut x = at.x;
        let mut y = at.y + 14.0 + CHIP_HEIGHT / 2.0;
        for (index, (text, width)) in chips.iter().enumerate() {
            if x > at.x && x + width > at.x + inner {
                x = at.x;
                y += CHIP_HEIGHT + 10.0;
            }
            let last = index + 1 == chips.len();
            let size = Size {
                width: *width,
                height: CHIP_HEIGHT,
            };
            let middle = Point {
                x: x + width / 2.0,
                y,
            };
            self.chip(if last { "end" } else { "chip" }, middle, size, text);
            x += width;
            if !last {
                let (start, end) = (x + 4.0, x + CHIP_GAP - 4.0);
                self.line(format_args!(
                    r#"<path class="route" marker-end="url(#tip)" d="M{start:.1} {y:.1}L{end:.1} {y:.1}"/>"#
                ));
            }
            x += CHIP_GAP;
        }
    }
}

/// Text in which nothing means anything to XML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                letter if letter.is_control() => f.write_char(' ')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
