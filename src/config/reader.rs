//! The walk from a YAML tree to typed values, which collects every problem instead of stopping at the first.
//!
//! A section of the file is read by asking for its options one by one: each question names the option, what it may be
//! and its default. So the questions are the description of the file: a key that nobody asked for is unknown, and a
//! walk over an empty file lists every option ([`Reader::options`]). A value that is refused is replaced by its default, for
//! the walk to go on; [`Reader::problems`] then keeps the result from being used.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use super::{
    option::{Kind, OptionSpec, Refusal},
    problem::{Mark, Problem, near_match},
    yaml::{Entry, Node, Value},
};

/// The state of one walk.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    pub(super) options: Vec<OptionSpec>,
    /// Paths that must not be left out; only with `listing`.
    pub(super) required: Vec<String>,
    /// Paths of lists and mappings of names, with how many entries they may have; only with `listing`.
    pub(super) entries_max: Vec<(String, usize)>,
    /// Where the items of each list are, by the list's name.
    pub(super) items: Vec<(&'static str, Mark)>,
    /// Also walks one nameless item of every mapping of names and every list, so that its options are listed.
    pub(super) listing: bool,
    /// Whether files that the configuration names are looked at.
    pub(super) files_read: bool,
    /// Part of the configuration could not be parsed, so that nothing is said to be missing.
    pub(super) incomplete: bool,
}

impl Reader {
    /// Reads the whole file: `entries` is its top-level mapping.
    pub(super) fn root<T>(
        &mut self,
        entries: &[Entry],
        read: impl FnOnce(&mut Section<'_, '_>) -> T,
    ) -> T {
        let start = Mark {
            file: 0,
            line: 1,
            column: 1,
        };
        self.section(String::new(), Some(start), Some(entries), read)
    }

    fn section<'n, T>(
        &mut self,
        path: String,
        at: Option<Mark>,
        entries: Option<&'n [Entry]>,
        read: impl FnOnce(&mut Section<'_, 'n>) -> T,
    ) -> T {
        let given = entries.is_some();
        let entries = entries.unwrap_or_default();
        let mut section = Section {
            reader: self,
            path,
            at,
            given,
            entries,
            asked: Vec::with_capacity(32),
            forbidden: Vec::new(),
        };
        section.refuse_duplicates();
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }
}

/// One mapping of the file while it is read.
pub(super) struct Section<'r, 'n> {
    reader: &'r mut Reader,
    path: String,
    at: Option<Mark>,
    /// Not so if something else stands in its place, which is then the only thing to report.
    given: bool,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
    forbidden: Vec<&'static str>,
}

impl<'n> Section<'_, 'n> {
    /// Whether files that the configuration names are looked at.
    pub(super) fn reads_files(&self) -> bool {
        self.reader.files_read
    }

    /// How many problems there are so far, to see whether more came up.
    pub(super) fn problems(&self) -> usize {
        self.reader.problems.len()
    }

    /// Warns of the part called `name` among those that are `key`.
    pub(super) fn warn_at(&mut self, key: &str, name: &str, message: &str) {
        let parts = match self.find(key).map(|node| &node.value) {
            Some(Value::Mapping(entries)) => entries.as_slice(),
            Some(Value::List(_) | Value::Scalar(_)) | None => &[],
        };
        let at = parts
            .iter()
            .find(|entry| entry.key == name)
            .map(|entry| entry.at);
        let path = format!("{}.{name}", self.path_of(key));
        self.reader
            .problems
            .push(Problem::warning(at, path, message));
    }

    /// Warns of the option `key`.
    pub(super) fn warn(&mut self, key: &str, message: &str, help: &str) {
        let at = self.find(key).map(|node| node.at);
        let path = self.path_of(key);
        let problem = Problem::warning(at, path, message).help(help);
        self.reader.problems.push(problem);
    }

    /// Refuses the value of the option `key`.
    pub(super) fn refuse(&mut self, key: &str, message: String) {
        let at = self.find(key).map(|node| node.at);
        let path = self.path_of(key);
        self.reader.problems.push(Problem::error(at, path, message));
    }

    /// Reports something about the section as a whole.
    pub(super) fn report(&mut self, problem: impl FnOnce(Option<Mark>, String) -> Problem) {
        self.reader
            .problems
            .push(problem(self.at, self.path.clone()));
    }

    /// Reads any value. `read` gets the node and says why it cannot be used; `kind` and `default` are asked for only where they are
    /// listed, since most options of most routes are left out.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn() -> Kind,
        default: impl Fn() -> Option<String>,
        read: impl FnOnce(&'n Node) -> Result<T, Refusal>,
    ) -> Option<T> {
        if self.reader.listing {
            self.reader.options.push(OptionSpec {
                path: self.path_of(key),
                kind: kind(),
                default: default(),
            });
        }
        let node = self.ask(key)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let path = self.path_of(key);
                self.reader.problems.push(refusal.at(node.at, path));
                None
            }
        }
    }

    /// A whole number of any unsigned type that holds `range`.
    pub(super) fn integer<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T
    where
        T: Copy + PartialOrd + TryFrom<i128> + TryInto<u64> + fmt::Display,
    {
        self.number(key, range, Some(default)).unwrap_or(default)
    }

    fn number<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: Option<T>,
    ) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i128> + TryInto<u64> + fmt::Display,
    {
        let bound = |value: T| value.try_into().unwrap_or(u64::MAX);
        let kind = || Kind::Integer(bound(*range.start())..=bound(*range.end()));
        let default = || default.map(|default| default.to_string());
        self.value(key, kind, default, |node| {
            let number = node.plain().and_then(|text| text.parse::<i128>().ok());
            let number = number.ok_or_else(|| match &node.value {
                Value::Scalar(scalar) if !scalar.plain && scalar.is_number() => {
                    Refusal::expected(&kind(), node).help("remove the quotes")
                }
                Value::Scalar(_) | Value::List(_) | Value::Mapping(_) => {
                    Refusal::expected(&kind(), node)
                }
            })?;
            let fitting = T::try_from(number)
                .ok()
                .filter(|value| range.contains(value));
            fitting.ok_or_else(|| {
                Refusal::new(format!("{number} is out of range, expected {}", kind()))
            })
        })
    }

    /// A whole number that may be left out.
    pub(super) fn optional_integer<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i128> + TryInto<u64> + fmt::Display,
    {
        self.number(key, range, None)
    }

    /// A level in dBFS or LUFS.
    pub(super) fn level(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i32>,
        default: i32,
    ) -> i32 {
        self.some_level(key, range, Some(default))
            .unwrap_or(default)
    }

    /// A level that may be left out.
    pub(super) fn optional_level(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i32>,
    ) -> Option<i32> {
        self.some_level(key, range, None)
    }

    fn some_level(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i32>,
        default: Option<i32>,
    ) -> Option<i32> {
        let kind = || Kind::Level(range.clone());
        let default = || default.map(|default| default.to_string());
        self.value(key, kind, default, |node| {
            let number = node.plain().and_then(|text| text.parse::<i32>().ok());
            let number = number.ok_or_else(|| Refusal::expected(&kind(), node))?;
            Some(number)
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    Refusal::new(format!("{number} is out of range, expected {}", kind()))
                })
        })
    }

    /// One of `words`, each with the value it stands for; `default` is one of them.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: &'static str,
    ) -> T {
        let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let meant = |word: &str| {
            words
                .iter()
                .find(|(name, _)| *name == word)
                .map(|(_, value)| *value)
        };
        let kind = || Kind::Choice(names());
        let default_word = || Some(default.to_owned());
        let chosen = self.value(key, kind, default_word, |node| {
            let refusal = || Refusal::expected(&kind(), node);
            let word = node.text().ok_or_else(refusal)?;
            meant(word).ok_or_else(|| refusal().did_you_mean(word, &names()))
        });
        chosen
            .or_else(|| meant(default))
            .expect("the default is one of the words")
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let read = self.value(
            key,
            || Kind::Boolean,
            || Some(default.to_string()),
            |node| match &node.value {
                Value::Scalar(scalar) if scalar.plain => scalar
                    .boolean()
                    .ok_or_else(|| Refusal::expected(&Kind::Boolean, node)),
                Value::Scalar(_) | Value::List(_) | Value::Mapping(_) => {
                    Err(Refusal::expected(&Kind::Boolean, node))
                }
            },
        );
        read.unwrap_or(default)
    }

    /// Text that may be left out; `form` says what it must look like.
    pub(super) fn text(&mut self, key: &'static str, form: &'static str) -> Option<String> {
        self.parsed(key, form, None, |text| Ok(text.to_owned()))
    }

    /// Text that is turned into something; `default` is how the default would be written.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        form: &'static str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let kind = || Kind::Text(form);
        self.value(
            key,
            kind,
            || default.map(str::to_owned),
            |node| {
                if let Some(text) = node.text() {
                    if text.trim().is_empty() {
                        return Err(Refusal::new(format!("expected {form}, found empty text")));
                    }
                    return parse(text);
                }
                let refusal = Refusal::expected(&kind(), node);
                match &node.value {
                    Value::Scalar(scalar) if parse(&scalar.text).is_ok() => {
                        Err(refusal.help("put it in quotes"))
                    }
                    Value::Scalar(_) | Value::List(_) | Value::Mapping(_) => Err(refusal),
                }
            },
        )
    }

    /// The name of one of `known`.
    pub(super) fn specialist(&mut self, key: &'static str, known: &[&str]) -> Option<String> {
        let known = self.known(known);
        let kind = || Kind::Specialist;
        self.value(key, kind, || None, |node| specialist_of(node, kind, &known))
    }

    /// The name of one of `known`, or `previous`.
    pub(super) fn target(&mut self, key: &'static str, known: &[&str]) -> Option<String> {
        let known = self.known(known);
        let kind = || Kind::Target;
        self.value(
            key,
            kind,
            || None,
            |node| {
                let known = Known {
                    after: &["previous"],
                    ..known
                };
                specialist_of(node, kind, &known)
            },
        )
    }

    /// A name of `known`, or a list of them; none for all of them (`*`), which is also what a refused value gives.
    pub(super) fn specialists(&mut self, key: &'static str, known: &[&str]) -> Option<Vec<String>> {
        let kind = || Kind::Specialists;
        let known = self.known(known);
        let nodes = self.value(
            key,
            kind,
            || None,
            |node| match &node.value {
                Value::Scalar(_) if node.text() == Some("*") => Ok(None),
                Value::Scalar(_) => Ok(Some(vec![node])),
                Value::List(items) if items.is_empty() => Err(Refusal::new("the list is empty")
                    .help("name a specialist, or write \"*\" for all")),
                Value::List(items) => Ok(Some(items.iter().collect())),
                Value::Mapping(_) => Err(Refusal::expected(&kind(), node)),
            },
        )??;
        Some(self.each(key, nodes, |node| specialist_of(node, kind, &known)))
    }

    /// A list of names of `known` and of `words`; none if it is left out.
    pub(super) fn chain(
        &mut self,
        key: &'static str,
        words: &'static [&'static str],
        default: &[&str],
        known: &[&str],
    ) -> Option<Vec<String>> {
        let kind = || Kind::Chain(words);
        let known = self.known(known);
        let default = || Some(format!("[{}]", default.join(", ")));
        let nodes = self.value(key, kind, default, |node| match &node.value {
            Value::List(items) => Ok(items.iter().collect()),
            Value::Scalar(_) | Value::Mapping(_) => Err(Refusal::expected(&kind(), node)),
        })?;
        let known = Known {
            before: words,
            ..known
        };
        Some(self.each(key, nodes, |node| specialist_of(node, kind, &known)))
    }

    /// A list of texts, each of which is turned into something; empty if it is left out.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        form: &'static str,
        max: usize,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Vec<T> {
        let kind = || Kind::Texts(form);
        let nodes = self.value(
            key,
            kind,
            || Some("[]".to_owned()),
            |node| match &node.value {
                Value::List(items) if items.len() > max => Err(Refusal::new(format!(
                    "{} entries, at most {max} are allowed",
                    items.len()
                ))),
                Value::List(items) => Ok(items.iter().collect::<Vec<_>>()),
                Value::Scalar(_) | Value::Mapping(_) => Err(Refusal::expected(&kind(), node)),
            },
        );
        self.each(key, nodes.unwrap_or_default(), |node| match node.text() {
            Some(text) => parse(text),
            None => Err(Refusal::expected(&Kind::Text(form), node)),
        })
    }

    /// Reads the items of a list, reporting those that are refused and leaving them out.
    fn each<T>(
        &mut self,
        key: &str,
        nodes: Vec<&'n Node>,
        read: impl Fn(&Node) -> Result<T, Refusal>,
    ) -> Vec<T> {
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            match read(node) {
                Ok(value) => values.push(value),
                Err(refusal) => self
                    .reader
                    .problems
                    .push(refusal.at(node.at, self.path_of(key))),
            }
        }
        values
    }

    /// Says that a required option is missing, when it is not there at all.
    pub(super) fn require(&mut self, key: &'static str, help: impl Into<String>) {
        if self.reader.listing {
            let path = self.path_of(key);
            self.reader.required.push(path);
        }
        if self.given && !self.reader.incomplete && self.find(key).is_none() {
            let path = self.path_of(key);
            self.reader
                .problems
                .push(Problem::error(self.at, path, "missing, and there is no default").help(help));
        }
    }

    /// Says that a required mapping is missing or empty.
    pub(super) fn require_some(&mut self, key: &'static str, help: impl Into<String>) {
        match self.find(key) {
            Some(Node {
                at,
                value: Value::Mapping(entries),
            }) if entries.is_empty() => {
                let problem = Problem::error(*at, self.path_of(key), "it is empty").help(help);
                self.reader.problems.push(problem);
            }
            Some(_) => {}
            None => self.require(key, help),
        }
    }

    /// Refuses an option that must never stand in the file.
    pub(super) fn forbid(&mut self, key: &'static str, message: &str, help: &str) {
        self.forbidden.push(key);
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
            let path = self.path_of(key);
            self.reader
                .problems
                .push(Problem::error(entry.at, path, message).help(help));
        }
    }

    /// Reads a part that is a mapping of options; left out, its options all have their defaults.
    pub(super) fn part<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'n>) -> T,
    ) -> T {
        let path = self.path_of(key);
        let (at, entries) = match self.ask(key) {
            Some(node) => (
                Some(node.at),
                self.mapping_of(node, &path, "a mapping of options"),
            ),
            None => (None, Some([].as_slice())),
        };
        self.reader.section(path, at, entries, read)
    }

    /// Reads a mapping of names to at most `max` parts. An entry whose name `check` refuses is read all the same, for its own problems.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        max: usize,
        check: impl Fn(&str) -> Result<(), Refusal>,
        mut read: impl FnMut(&str, &mut Section<'_, 'n>) -> T,
    ) -> BTreeMap<String, T> {
        let path = self.path_of(key);
        if self.reader.listing {
            self.reader.entries_max.push((path.clone(), max));
            self.reader
                .section(format!("{path}.*"), None, None, |section| {
                    read("*", section)
                });
        }
        let Some(node) = self.ask(key) else {
            return BTreeMap::new();
        };
        let entries = self
            .mapping_of(node, &path, "a mapping of names")
            .unwrap_or_default();
        if !self.within(node, &path, entries.len(), max) {
            return BTreeMap::new();
        }
        self.reader.problems.extend(duplicates(entries, &path));
        let mut parts = BTreeMap::new();
        for entry in entries {
            let path = format!("{path}.{}", entry.key);
            if let Err(refusal) = check(&entry.key) {
                self.reader
                    .problems
                    .push(refusal.at(entry.at, path.clone()));
            }
            let options = match &entry.node {
                node if node.is_null() => Some([].as_slice()),
                node => self.mapping_of(node, &path, "a mapping of options"),
            };
            let part = self
                .reader
                .section(path, Some(entry.at), options, |section| {
                    read(&entry.key, section)
                });
            parts.insert(entry.key.clone(), part);
        }
        parts
    }

    /// Reads a list of at most `max` parts; none if it is left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Section<'_, 'n>) -> T,
    ) -> Option<Vec<T>> {
        let path = self.path_of(key);
        if self.reader.listing {
            self.reader.entries_max.push((path.clone(), max));
            self.reader
                .section(format!("{path}[]"), None, None, &mut read);
        }
        let node = self.ask(key)?;
        let Value::List(items) = &node.value else {
            let message = format!("expected a list, found {}", node.kind());
            let help = format!(
                "write `{key}:`, and below it each item on a line of its own that starts with `- `"
            );
            self.reader
                .problems
                .push(Problem::error(node.at, path, message).help(help));
            return None;
        };
        if !self.within(node, &path, items.len(), max) {
            return None;
        }
        let read_item = |(index, item): (usize, &'n Node)| {
            self.reader.items.push((key, item.at));
            let path = format!("{path}[{index}]");
            let options = self.mapping_of(item, &path, "a mapping of options");
            self.reader.section(path, Some(item.at), options, &mut read)
        };
        Some(items.iter().enumerate().map(read_item).collect())
    }

    /// Whether there are at most `max` entries; more are not even looked at.
    fn within(&mut self, node: &Node, path: &str, count: usize, max: usize) -> bool {
        if count > max {
            let message = format!("{count} entries, at most {max} are allowed");
            self.reader
                .problems
                .push(Problem::error(node.at, path, message));
        }
        count <= max
    }

    fn mapping_of(&mut self, node: &'n Node, path: &str, expected: &str) -> Option<&'n [Entry]> {
        if let Value::Mapping(entries) = &node.value {
            return Some(entries);
        }
        let message = format!("expected {expected}, found {}", node.kind());
        self.reader
            .problems
            .push(Problem::error(node.at, path, message));
        None
    }

    /// The names of specialists, which are in order, unless not all of them could be read.
    fn known<'k>(&self, names: &'k [&'k str]) -> Known<'k> {
        Known {
            before: &[],
            names: if self.reader.incomplete { &[] } else { names },
            after: &[],
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
            .filter(|node| !node.is_null())
    }

    fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    fn refuse_duplicates(&mut self) {
        self.reader
            .problems
            .extend(duplicates(self.entries, &self.path));
    }

    fn refuse_unknown(&mut self) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if self.asked.contains(&key) || self.forbidden.contains(&key) {
                continue;
            }
            let allowed = self.asked.join(", ");
            let near = near_match(key, self.asked.iter().copied());
            let hint = match (place_of(key), near) {
                (Some(place), _) => format!("its place is {place}; "),
                (None, Some(near)) => format!("did you mean `{near}`? "),
                (None, None) => String::new(),
            };
            let help = format!("{hint}allowed here: {allowed}");
            self.reader
                .problems
                .push(Problem::error(entry.at, self.path_of(key), "unknown option").help(help));
        }
    }
}

/// Where in the file the option of this name stands, if there is exactly one.
fn place_of(key: &str) -> Option<String> {
    let mut places = super::options().into_iter().filter_map(|option| {
        let (part, name) = option.path.rsplit_once('.').unwrap_or(("", &option.path));
        (name == key).then(|| part.to_owned())
    });
    match (places.next()?.as_str(), places.next()) {
        (_, Some(_)) => None,
        ("", None) => Some("the top level of the file".to_owned()),
        (part, None) => Some(format!("in `{part}`")),
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn duplicates(entries: &[Entry], path: &str) -> Vec<Problem> {
    // Most mappings are small, and nothing has to be kept of them.
    const COMPARED_MAX: usize = 16;
    let twice = |index: usize| {
        let earlier = &entries[..index];
        earlier.iter().any(|entry| entry.key == entries[index].key)
    };
    if entries.len() <= COMPARED_MAX && !(0..entries.len()).any(twice) {
        return Vec::new();
    }
    let mut first: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in entries {
        if let Some(earlier) = first.get(entry.key.as_str()) {
            let path = joined(path, &entry.key);
            problems.push(Problem::duplicate(entry.at, path, *earlier));
        } else {
            first.insert(&entry.key, entry.at);
        }
    }
    problems
}

/// Names that may be written in a place.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// Words of Baton's own, listed before the names of specialists, and after them.
    before: &'a [&'a str],
    /// In order. Empty if they are not known: there is then something else to report.
    names: &'a [&'a str],
    after: &'a [&'a str],
}

impl Known<'_> {
    fn contains(&self, name: &str) -> bool {
        self.names.binary_search(&name).is_ok()
            || self.before.contains(&name)
            || self.after.contains(&name)
    }
}

fn specialist_of(
    node: &Node,
    kind: impl Fn() -> Kind,
    known: &Known<'_>,
) -> Result<String, Refusal> {
    let name = node
        .text()
        .ok_or_else(|| Refusal::expected(&kind(), node))?;
    if known.names.is_empty() || known.contains(name) {
        return Ok(name.to_owned());
    }
    let listed = [known.before, known.names, known.after].concat();
    Err(Refusal::unknown_specialist(name, &listed))
}
