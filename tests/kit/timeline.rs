//! Draws a call as an SVG: a lane for what the caller heard, one for each specialist.
//!
//! Every panel shows the same lanes over another stretch of time, so that the whole call and one
//! handoff, magnified, stand below each other. The picture needs no font and no script of its own.

use std::fmt::Write as _;

const WIDTH: f64 = 1_600.0;
const MARGIN: f64 = 24.0;
const RIGHT_MARGIN: f64 = 40.0;
const NAMES_WIDTH: f64 = 150.0;
const LANE_HEIGHT: f64 = 46.0;
const CALLER_HEIGHT: f64 = 86.0;
const LANE_GAP: f64 = 10.0;
const HEADER_HEIGHT: f64 = 100.0;
const PANEL_HEAD: f64 = 62.0;
const AXIS_HEIGHT: f64 = 42.0;
/// Above the band of loudness in the middle of the caller's lane.
const LABEL_BELOW_TOP: f64 = 18.0;
/// A label is drawn if its span is this wide per letter.
const LETTER_WIDTH: f64 = 6.6;
/// Colours that stay apart for the colour-blind as well.
const VOICE_COLOURS: [&str; 5] = ["#2f6fb5", "#e08214", "#7b4fa3", "#4a8f3c", "#8a6d3b"];
const WORDS_COLOUR: &str = "#7d8794";
const FILLER_COLOUR: &str = "#c9b458";
const HOLD_COLOUR: &str = "#aab4c0";
const SILENCE_COLOUR: &str = "#ffffff";
const BAD_COLOUR: &str = "#c9252d";

/// A picture of one call.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The line on top.
    pub title: String,
    /// The line below it: the verdict.
    pub subtitle: String,
    /// Whether the subtitle is good news.
    pub ok: bool,
    /// What the caller heard.
    pub caller: Vec<Span>,
    /// Peak of what the caller heard in each 10 ms, 0 to 1.
    pub loudness: Vec<f32>,
    /// The specialists, from top to bottom.
    pub lanes: Vec<Lane>,
    /// Moments that are worth a line across all lanes.
    pub marks: Vec<Mark>,
    /// The stretches of time to draw, the whole call first.
    pub panels: Vec<Panel>,
}

/// One specialist.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Who.
    pub name: String,
    /// What it did.
    pub spans: Vec<Span>,
}

/// A stretch of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Start, in milliseconds from the start of the recording.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
    /// What happened.
    pub kind: SpanKind,
    /// What is written into it where there is room.
    pub label: String,
}

/// What a stretch stands for. The numbers are indices of voices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The caller heard this voice.
    Heard(usize),
    /// The caller heard words, whose nobody can tell from the recording.
    Words,
    /// The caller heard both, within a fade.
    Fade(usize, usize),
    /// The caller heard the filler, as nobody spoke.
    Filler,
    /// The caller heard nobody although somebody should have been heard.
    Silence,
    /// The caller heard somebody who did not hold the baton.
    Leak,
    /// A specialist builds its pipeline.
    Preparing(usize),
    /// A specialist waits for the grant.
    Ready(usize),
    /// A specialist holds the baton.
    Holding(usize),
    /// Nobody does.
    Hold,
}

/// A moment.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When, in milliseconds from the start of the recording.
    pub at_ms: u64,
    /// What is written at it, in panels short enough.
    pub label: String,
}

/// A stretch of time to draw.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its heading.
    pub title: String,
    /// Start in milliseconds.
    pub start_ms: u64,
    /// End in milliseconds.
    pub end_ms: u64,
}

impl Timeline {
    /// The picture as an SVG document.
    pub fn svg(&self) -> String {
        let panel_height = self.panel_height();
        let height = HEADER_HEIGHT + panel_height * self.panels.len() as f64 + MARGIN;
        let mut svg = Svg::new(WIDTH, height);
        self.header(&mut svg);
        for (index, panel) in self.panels.iter().enumerate() {
            let top = HEADER_HEIGHT + panel_height * index as f64;
            Drawing {
                timeline: self,
                panel,
                top,
            }
            .draw(&mut svg, index);
        }
        svg.finish()
    }

    fn panel_height(&self) -> f64 {
        let lanes = (LANE_HEIGHT + LANE_GAP) * self.lanes.len() as f64;
        PANEL_HEAD + CALLER_HEIGHT + LANE_GAP + lanes + AXIS_HEIGHT
    }

    fn header(&self, svg: &mut Svg) {
        svg.text(MARGIN, 38.0, "title", &self.title);
        let verdict = if self.ok { "good" } else { "bad" };
        svg.text(MARGIN, 62.0, verdict, &self.subtitle);
        let first = VOICE_COLOURS[0];
        let mut left = MARGIN;
        let keys: [(&str, &str, &str); 9] = [
            ("words", WORDS_COLOUR, ""),
            ("heard, holding", first, ""),
            ("ready", first, "opacity=\"0.45\""),
            ("preparing", first, "opacity=\"0.18\""),
            ("fade", "url(#fade-0-1)", ""),
            (
                "silence at a change",
                SILENCE_COLOUR,
                "stroke=\"#c9252d\" stroke-width=\"1.5\"",
            ),
            ("leak", BAD_COLOUR, ""),
            ("filler", FILLER_COLOUR, ""),
            ("hold", HOLD_COLOUR, ""),
        ];
        for (name, fill, style) in keys {
            svg.rect(left, 77.0, 16.0, 12.0, fill, style);
            svg.text(left + 22.0, 88.0, "key", name);
            left += 22.0 + LETTER_WIDTH * name.len() as f64 + 26.0;
        }
    }
}

/// One panel at its place.
struct Drawing<'a> {
    timeline: &'a Timeline,
    panel: &'a Panel,
    top: f64,
}

impl Drawing<'_> {
    fn draw(&self, svg: &mut Svg, index: usize) {
        svg.text(MARGIN, self.top + 24.0, "head", &self.panel.title);
        let top = self.top + PANEL_HEAD;
        let bottom = top + self.timeline.panel_height() - PANEL_HEAD - AXIS_HEIGHT;
        self.axis(svg, top, bottom);
        self.lane(
            svg,
            "caller heard",
            top,
            CALLER_HEIGHT,
            &self.timeline.caller,
        );
        self.waveform(svg, top, index);
        let mut below = top + CALLER_HEIGHT + LANE_GAP;
        for lane in &self.timeline.lanes {
            self.lane(svg, &lane.name, below, LANE_HEIGHT, &lane.spans);
            below += LANE_HEIGHT + LANE_GAP;
        }
        self.marks(svg, top, bottom);
    }

    fn axis(&self, svg: &mut Svg, top: f64, bottom: f64) {
        let step = tick_ms(self.length_ms());
        let first = self.panel.start_ms.div_ceil(step) * step;
        for at_ms in (first..=self.panel.end_ms).step_by(step as usize) {
            let x = self.x(at_ms);
            svg.line(x, top, x, bottom, "#dde1e6", "");
            let label = if step >= 1_000 {
                format!("{} s", at_ms / 1_000)
            } else {
                format!("{:.3} s", at_ms as f64 / 1_000.0)
            };
            svg.text(x, bottom + 18.0, "tick", &label);
        }
    }

    fn lane(&self, svg: &mut Svg, name: &str, top: f64, height: f64, spans: &[Span]) {
        svg.rect(self.left(), top, self.width(), height, "#eef1f4", "");
        svg.text(self.left() - 14.0, top + height / 2.0 + 5.0, "name", name);
        let label_below = if height > LANE_HEIGHT {
            LABEL_BELOW_TOP
        } else {
            height / 2.0 + 5.0
        };
        for span in spans.iter().filter(|span| self.shows(span)) {
            let (left, right) = (self.x(span.start_ms), self.x(span.end_ms));
            // A window of 10 ms is less than a pixel of a whole call, and must still be seen.
            let width = (right - left).max(if span.kind.is_bad() { 2.5 } else { 0.6 });
            let (fill, style) = span.kind.look();
            svg.titled_rect((left, top, width, height), &fill, style, &span.tooltip());
            if !span.label.is_empty() && LETTER_WIDTH * span.label.len() as f64 + 6.0 < width {
                let middle = (left + right) / 2.0;
                svg.text(
                    middle,
                    top + label_below,
                    span.kind.label_class(),
                    &span.label,
                );
            }
        }
    }

    /// The loudness of what the caller heard, as a dark band in its lane.
    fn waveform(&self, svg: &mut Svg, top: f64, panel: usize) {
        let first = (self.panel.start_ms / 10) as usize;
        let last = ((self.panel.end_ms / 10) as usize).min(self.timeline.loudness.len());
        if first >= last {
            return;
        }
        let shown = &self.timeline.loudness[first..last];
        let per_point = (shown.len() as f64 / self.width()).ceil().max(1.0) as usize;
        let middle = top + CALLER_HEIGHT / 2.0;
        let point = |(index, chunk): (usize, &[f32])| {
            let loudest = chunk.iter().copied().fold(0.0_f32, f32::max);
            let x = self.x(((first + index * per_point) * 10) as u64);
            (x, f64::from(loudest.clamp(0.0, 1.0)) * CALLER_HEIGHT * 0.44)
        };
        let points: Vec<(f64, f64)> = shown.chunks(per_point).enumerate().map(point).collect();
        let mut path = String::new();
        for (index, (x, half)) in points.iter().enumerate() {
            let pen = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{pen}{x:.1} {:.1}", middle - half);
        }
        for (x, half) in points.iter().rev() {
            let _ = write!(path, "L{x:.1} {:.1}", middle + half);
        }
        svg.path(&path, &format!("wave-{panel}"));
    }

    fn marks(&self, svg: &mut Svg, top: f64, bottom: f64) {
        let within = |mark: &&Mark| (self.panel.start_ms..=self.panel.end_ms).contains(&mark.at_ms);
        let labelled = self.length_ms() <= 5_000;
        let mut busy_until = f64::MIN;
        let mut row = 0.0;
        for mark in self.timeline.marks.iter().filter(within) {
            let x = self.x(mark.at_ms);
            svg.line(
                x,
                top - 3.0,
                x,
                bottom,
                "#39424e",
                "stroke-dasharray=\"3 3\"",
            );
            if labelled {
                row = if x < busy_until { row + 1.0 } else { 0.0 };
                busy_until = x + LETTER_WIDTH * mark.label.len() as f64 + 8.0;
                svg.text(x + 4.0, top - 6.0 - 13.0 * row, "mark", &mark.label);
            }
        }
    }

    fn shows(&self, span: &Span) -> bool {
        span.start_ms < self.panel.end_ms && span.end_ms > self.panel.start_ms
    }

    fn x(&self, at_ms: u64) -> f64 {
        let at = at_ms.clamp(self.panel.start_ms, self.panel.end_ms) - self.panel.start_ms;
        self.left() + self.width() * at as f64 / self.length_ms() as f64
    }

    fn length_ms(&self) -> u64 {
        self.panel.end_ms.saturating_sub(self.panel.start_ms).max(1)
    }

    fn left(&self) -> f64 {
        MARGIN + NAMES_WIDTH
    }

    fn width(&self) -> f64 {
        WIDTH - MARGIN - RIGHT_MARGIN - NAMES_WIDTH
    }
}

impl SpanKind {
    fn look(self) -> (String, &'static str) {
        match self {
            Self::Heard(voice) | Self::Holding(voice) => (colour(voice).to_owned(), ""),
            Self::Words => (WORDS_COLOUR.to_owned(), ""),
            Self::Fade(from, to) => (format!("url(#fade-{}-{})", place(from), place(to)), ""),
            Self::Silence => (
                SILENCE_COLOUR.to_owned(),
                "stroke=\"#c9252d\" stroke-width=\"1.5\"",
            ),
            Self::Leak => (BAD_COLOUR.to_owned(), ""),
            Self::Filler => (FILLER_COLOUR.to_owned(), ""),
            Self::Hold => (HOLD_COLOUR.to_owned(), ""),
            Self::Preparing(voice) => (colour(voice).to_owned(), "opacity=\"0.18\""),
            Self::Ready(voice) => (colour(voice).to_owned(), "opacity=\"0.45\""),
        }
    }

    fn label_class(self) -> &'static str {
        match self {
            Self::Heard(_) | Self::Words | Self::Holding(_) | Self::Leak => "light",
            Self::Fade(..)
            | Self::Silence
            | Self::Filler
            | Self::Preparing(_)
            | Self::Ready(_)
            | Self::Hold => "dark",
        }
    }

    fn is_bad(self) -> bool {
        match self {
            Self::Silence | Self::Leak => true,
            Self::Heard(_)
            | Self::Words
            | Self::Holding(_)
            | Self::Hold
            | Self::Filler
            | Self::Fade(..)
            | Self::Preparing(_)
            | Self::Ready(_) => false,
        }
    }
}

impl Span {
    fn tooltip(&self) -> String {
        let what = match self.kind {
            SpanKind::Heard(_) => "heard",
            SpanKind::Words => "words",
            SpanKind::Fade(..) => "fade",
            SpanKind::Silence => "silence",
            SpanKind::Leak => "leak",
            SpanKind::Preparing(_) => "preparing",
            SpanKind::Ready(_) => "ready",
            SpanKind::Holding(_) => "holding",
            SpanKind::Filler => "heard",
            SpanKind::Hold => "hold",
        };
        let length = self.end_ms.saturating_sub(self.start_ms);
        format!("{what} {} at {} ms, {length} ms", self.label, self.start_ms)
    }
}

/// The document under construction.
struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64) -> Self {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <style>.title{{font-size:24px;font-weight:bold;fill:#1d232b}}\
             .good{{font-size:15px;fill:#2c7a3f}}.bad{{font-size:15px;fill:{BAD_COLOUR};font-weight:bold}}\
             .head{{font-size:15px;font-weight:bold;fill:#39424e}}.key{{fill:#39424e}}\
             .name{{text-anchor:end;font-size:14px;font-weight:bold;fill:#39424e}}\
             .tick{{text-anchor:middle;fill:#6b7480}}.mark{{fill:#39424e;font-size:11px}}\
             .light{{text-anchor:middle;fill:#ffffff}}.dark{{text-anchor:middle;fill:#1d232b}}</style>\n\
             <defs>\n"
        );
        for from in 0..VOICE_COLOURS.len() {
            for to in (0..VOICE_COLOURS.len()).filter(|&to| to != from) {
                let _ = writeln!(
                    svg,
                    "<linearGradient id=\"fade-{from}-{to}\"><stop stop-color=\"{}\"/>\
                     <stop offset=\"1\" stop-color=\"{}\"/></linearGradient>",
                    colour(from),
                    colour(to)
                );
            }
        }
        svg.push_str("</defs>\n");
        let mut svg = Self(svg);
        svg.rect(0.0, 0.0, width, height, "#ffffff", "");
        svg
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str, style: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{fill}\" {style}/>"
        );
    }

    fn titled_rect(&mut self, at: (f64, f64, f64, f64), fill: &str, style: &str, title: &str) {
        let (x, y, width, height) = at;
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{fill}\" {style}><title>{}</title></rect>",
            escaped(title)
        );
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, stroke: &str, style: &str) {
        let _ = writeln!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{stroke}\" {style}/>"
        );
    }

    fn path(&mut self, path: &str, id: &str) {
        let _ = writeln!(
            self.0,
            "<path id=\"{id}\" d=\"{path}Z\" fill=\"#1d232b\" opacity=\"0.35\" pointer-events=\"none\"/>"
        );
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>",
            escaped(text)
        );
    }
}

fn place(voice: usize) -> usize {
    voice % VOICE_COLOURS.len()
}

fn colour(voice: usize) -> &'static str {
    VOICE_COLOURS[place(voice)]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A step of the axis that gives about a dozen ticks.
fn tick_ms(length_ms: u64) -> u64 {
    const STEPS: [u64; 11] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
    ];
    STEPS
        .into_iter()
        .find(|step| length_ms / step <= 16)
        .unwrap_or(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_ms: u64, end_ms: u64, kind: SpanKind, label: &str) -> Span {
        Span {
            start_ms,
            end_ms,
            kind,
            label: label.to_owned(),
        }
    }

    fn timeline() -> Timeline {
        Timeline {
            title: "A & B".to_owned(),
            subtitle: "1 handoff".to_owned(),
            ok: true,
            caller: vec![
                span(0, 1_000, SpanKind::Heard(0), "anna"),
                span(1_000, 1_060, SpanKind::Fade(0, 1), ""),
                span(1_060, 2_000, SpanKind::Heard(1), "ben"),
            ],
            loudness: vec![0.5; 200],
            lanes: vec![
                Lane {
                    name: "anna".to_owned(),
                    spans: vec![span(0, 1_060, SpanKind::Holding(0), "epoch 1")],
                },
                Lane {
                    name: "ben".to_owned(),
                    spans: vec![span(900, 1_000, SpanKind::Ready(1), "ready")],
                },
            ],
            marks: vec![Mark {
                at_ms: 1_000,
                label: "grant <2>".to_owned(),
            }],
            panels: vec![
                Panel {
                    title: "the call".to_owned(),
                    start_ms: 0,
                    end_ms: 20_000,
                },
                Panel {
                    title: "the change".to_owned(),
                    start_ms: 900,
                    end_ms: 1_200,
                },
            ],
        }
    }

    #[test]
    fn every_lane_and_panel_is_drawn_and_text_is_escaped() {
        let svg = timeline().svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches(">caller heard</text>").count(), 2);
        assert_eq!(
            svg.matches(">ben</text>").count(),
            4,
            "a name and a label each"
        );
        assert!(svg.contains("A &amp; B"));
        assert!(svg.contains("grant &lt;2&gt;") && !svg.contains("grant <2>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_panel_shows_only_its_own_stretch() {
        let mut timeline = timeline();
        timeline.panels = vec![Panel {
            title: String::new(),
            start_ms: 1_100,
            end_ms: 1_200,
        }];
        let svg = timeline.svg();
        assert!(!svg.contains("holding epoch 1"));
        assert!(svg.contains("heard ben at 1060 ms, 940 ms"));
    }

    #[test]
    fn bad_news_is_seen_however_short() {
        let mut timeline = timeline();
        timeline.caller.push(span(500, 510, SpanKind::Leak, "ben"));
        timeline.panels = vec![Panel {
            title: String::new(),
            start_ms: 0,
            end_ms: 600_000,
        }];
        let leak = timeline
            .svg()
            .lines()
            .find(|line| line.contains("leak ben"))
            .map(str::to_owned);
        assert!(leak.expect("it is drawn").contains("width=\"2.5\""));
    }

    #[test]
    fn an_empty_call_is_a_picture_too() {
        let timeline = Timeline {
            panels: vec![Panel {
                title: String::new(),
                start_ms: 0,
                end_ms: 0,
            }],
            ..Timeline::default()
        };
        assert!(!timeline.svg().contains("NaN"));
    }
}
