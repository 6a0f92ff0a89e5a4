//! One line for each event, as JSON or as text.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    str::FromStr,
};

use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{MakeWriter, format::Writer, time::FormatTime, time::SystemTime},
    layer::Context,
    registry::LookupSpan,
};

use super::redacted::writing_at;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `{"message": "registered", "level": "INFO", "name": "worker", "timestamp": "..."}`, for machines.
    Json,
    /// `2026-01-31T12:00:00.000000Z INFO worker: registered`, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(format!("expected json or text, found `{other}`")),
        }
    }
}

/// Writes a line for each event, with the fields of the spans around it; an inner field hides an outer one of its name.
#[derive(Debug)]
pub struct LineLayer<W> {
    format: LogFormat,
    writer: W,
}

impl<W> LineLayer<W> {
    /// A layer that writes to what `writer` makes.
    pub fn new(format: LogFormat, writer: W) -> Self {
        Self { format, writer }
    }
}

impl<S, W> Layer<S> for LineLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(Fields(outer)) = span.extensions().get::<Fields>() {
                for (name, value) in outer {
                    fields.set(name, value.clone());
                }
            }
        }
        let level = *event.metadata().level();
        writing_at(level, || event.record(&mut fields));
        let name = fields
            .take_origin()
            .unwrap_or_else(|| event.metadata().target().to_owned());
        let line = match self.format {
            LogFormat::Json => json(level, &name, fields),
            LogFormat::Text => text(level, &name, fields),
        };
        // Where standard error is gone there is nobody left to tell.
        let _ = self
            .writer
            .make_writer_for(event.metadata())
            .write_all(line.as_bytes());
    }
}

/// The fields of an event or span, in the order in which they were given.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.retain(|(given, _)| *given != name);
        self.0.push((name, value.into()));
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(given, _)| *given == name)?;
        match self.0.remove(index).1 {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Takes what the `log` crate's bridge says of a record's origin, if it is one; answers its target.
    fn take_origin(&mut self) -> Option<String> {
        let target = self.take("log.target");
        self.0.retain(|(name, _)| !name.starts_with("log."));
        target
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    /// An error and what it came from, in one text.
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.set(field.name(), text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}

fn json(level: Level, name: &str, mut fields: Fields) -> String {
    let message = fields.take("message").unwrap_or_default();
    let head = [
        ("message", Value::from(message)),
        ("level", Value::from(level.as_str())),
        ("name", Value::from(name)),
        ("timestamp", Value::from(timestamp())),
    ];
    fields
        .0
        .retain(|(name, _)| head.iter().all(|(taken, _)| taken != name));
    let mut line = String::from("{");
    for (name, value) in head.into_iter().chain(fields.0) {
        let comma = if line.len() > 1 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(line, "{comma}{}: {value}", Value::from(name));
    }
    line.push_str("}\n");
    line
}

fn text(level: Level, name: &str, mut fields: Fields) -> String {
    let message = fields.take("message").unwrap_or_default();
    let mut line = format!("{} {level:>5} {name}: {}", timestamp(), escaped(&message));
    for (field, value) in fields.0 {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::String(text) if is_word(&text) => write!(line, " {field}={text}"),
            other => write!(line, " {field}={other}"),
        };
    }
    line.push('\n');
    line
}

/// Whether a value reads well without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "-_.:/+@".contains(letter))
}

/// A message on one line, whatever is in it.
fn escaped(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for letter in message.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
