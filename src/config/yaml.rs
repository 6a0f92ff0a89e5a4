//! A YAML document as a tree in which every key and value knows its file, line and column.
//!
//! Plain data only: mappings, lists and scalars. Anchors, aliases, tags, second documents and nesting beyond
//! [`DEPTH_MAX`] are refused. What the values mean is decided by the reader, never here.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::{Mark, Problem};

/// Nested mappings and lists that a document may have.
pub(super) const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that `5`, `true` and `null` are not strings.
    pub(super) plain: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) node: Node,
}

impl Node {
    /// Whether the value is absent (`null`, `~` or nothing at all), which always means "the default".
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => {
                scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::List(_) | Value::Mapping(_) => false,
        }
    }

    /// An unquoted scalar: a number or a word of YAML's own.
    pub(super) fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.plain => Some(&scalar.text),
            Value::Scalar(_) | Value::List(_) | Value::Mapping(_) => None,
        }
    }

    /// A string: quoted, or plain and neither a number nor a word of YAML's own.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar)
                if scalar.plain && (scalar.boolean().is_some() || scalar.is_number()) =>
            {
                None
            }
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::List(_) | Value::Mapping(_) => None,
        }
    }

    /// What the value is, in the words of a message: ``the number `5` ``.
    pub(super) fn kind(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar(_) if self.is_null() => "nothing".to_owned(),
            Value::Scalar(scalar) if scalar.plain && scalar.boolean().is_some() => {
                format!("`{}`", scalar.text)
            }
            Value::Scalar(scalar) if scalar.plain && scalar.is_number() => {
                format!("the number `{}`", scalar.text)
            }
            Value::Scalar(scalar) => format!("the text `{}`", scalar.excerpt()),
        }
    }
}

impl Scalar {
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        self.text.contains(|letter: char| letter.is_ascii_digit())
            && self.text.parse::<f64>().is_ok()
    }

    /// The text cut to a length that fits a message.
    pub(super) fn excerpt(&self) -> String {
        const LENGTH_MAX: usize = 60;
        let line = self.text.lines().next().unwrap_or_default();
        if line.len() == self.text.len() && line.chars().count() <= LENGTH_MAX {
            return self.text.clone();
        }
        line.chars().take(LENGTH_MAX).chain("...".chars()).collect()
    }
}

/// Parses one file into its top-level mapping; what is wrong goes to `problems`.
///
/// A syntax error ends the parse, so the answer is then empty; everything else that is refused is skipped.
pub(super) fn parse(text: &str, file: usize, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        file,
        problems,
    };
    match builder.document() {
        Ok(entries) => entries,
        Err(error) => {
            let at = builder.mark(*error.marker());
            problems.push(Problem::error(
                at,
                "",
                format!("not valid YAML: {}", error.info()),
            ));
            Vec::new()
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: usize,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut documents = 0;
        let mut entries = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.mark(span.start);
                        self.problems.push(
                            Problem::error(at, "", "a second document in one file").help(
                                "remove the `---`, or move what follows it to a file of its own",
                            ),
                        );
                        return Ok(entries);
                    }
                }
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    let Some(node) = self.node(event, span, 0)? else {
                        continue;
                    };
                    if node.is_null() {
                        continue;
                    }
                    let kind = node.kind();
                    match node.value {
                        Value::Mapping(found) => entries = found,
                        Value::List(_) | Value::Scalar(_) => self.problems.push(Problem::error(
                            node.at,
                            "",
                            format!("expected a mapping of options, found {kind}"),
                        )),
                    }
                }
            }
        }
        Ok(entries)
    }

    /// Builds the node that `event` opens, or none when it had to be refused.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
    ) -> Result<Option<Node>, ScanError> {
        let at = self.mark(span.start);
        if depth > DEPTH_MAX {
            return Err(ScanError::new(
                span.start,
                format!("nested more than {DEPTH_MAX} levels deep"),
            ));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decorations(at, anchor, tag.is_some());
                Value::Scalar(Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_decorations(at, anchor, tag.is_some());
                Value::List(self.list(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_decorations(at, anchor, tag.is_some());
                Value::Mapping(self.mapping(depth)?)
            }
            Event::Alias(_) => {
                self.problems.push(
                    Problem::error(at, "", "aliases are not supported").help("write the value out"),
                );
                return Ok(None);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Ok(None),
        };
        Ok(Some(Node { at, value }))
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.extend(self.node(event, span, depth + 1)?);
        }
        Ok(items)
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Entry>, ScanError> {
        let mut entries = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let value = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            match (key.value, value) {
                (Value::Scalar(scalar), Some(node)) => entries.push(Entry {
                    key: scalar.text,
                    at: key.at,
                    node,
                }),
                (Value::Scalar(_), None) => {}
                (Value::List(_) | Value::Mapping(_), _) => {
                    self.problems.push(Problem::error(
                        key.at,
                        "",
                        "the name of an option must be plain text",
                    ));
                }
            }
        }
        Ok(entries)
    }

    fn refuse_decorations(&mut self, at: Mark, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.problems.push(
                Problem::error(at, "", "anchors are not supported")
                    .help("write the value out where it is used"),
            );
        }
        if tagged {
            self.problems.push(
                Problem::error(at, "", "tags are not supported")
                    .help("remove the word that starts with `!`"),
            );
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        self.parser.next_event().transpose()
    }

    fn mark(&self, marker: Marker) -> Mark {
        Mark {
            file: self.file,
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}
