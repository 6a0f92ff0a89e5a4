//! What a specialist may read and write of the shared state, by field path.
//!
//! The rule with the longest path decides; of two equally long ones that both match, the one that names its fields
//! sooner beats the one with a `*`. It never looks at a document: a scope is the same whatever the state holds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// The longest field path, in segments.
const SEGMENTS_MAX: usize = 64;

/// What somebody may do with a field. Who may write may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// The field does not exist for it.
    None,
    /// It sees the field.
    Read,
    /// It sees and changes the field.
    Write,
}

/// A path to a field: `customer.card.number`, or as a JSON pointer `/customer/card/number`.
///
/// A segment `*` stands for every field, or every element of an array. The empty path is the whole document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<String>);

/// Why a text is no field path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldPathError {
    /// Two dots in a row, or a dot at an end.
    #[error("the field path {0:?} has an empty segment")]
    EmptySegment(String),
    /// `~` in a JSON pointer that is neither `~0` nor `~1`.
    #[error("the field path {0:?} has a ~ that is followed neither by 0 nor by 1")]
    BadEscape(String),
    /// It goes too deep.
    #[error("the field path {path:?} has more than {max} segments")]
    TooLong {
        /// The text.
        path: String,
        /// The largest number of segments.
        max: usize,
    },
}

/// Why rules make no scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScopeError {
    /// Two rules for one path.
    #[error("the field path {0} has two rules")]
    Duplicate(FieldPath),
}

/// The rules of one specialist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    default: Access,
    rules: Rule,
}

/// A node of the tree of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    access: Option<Access>,
    fields: BTreeMap<String, Rule>,
    any: Option<Box<Rule>>,
    /// The least that any rule under this node grants.
    least_below: Option<Access>,
}

/// A place in a document, and what the rules say of it.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    access: Access,
    /// The rules that may still say something further down, the most telling first.
    rules: Vec<&'a Rule>,
}

impl FieldPath {
    /// The segments, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|segment| unescape(segment).ok_or(FieldPathError::BadEscape(text.into())))
                .collect::<Result<_, _>>()?,
            None if text.is_empty() => Vec::new(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        if !text.starts_with('/') && segments.iter().any(String::is_empty) {
            return Err(FieldPathError::EmptySegment(text.into()));
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(FieldPathError::TooLong {
                path: text.into(),
                max: SEGMENTS_MAX,
            });
        }
        Ok(Self(segments))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&pointer(&self.0))
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", pointer(&self.0))
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::all()
    }
}

impl Scopes {
    /// The scope of somebody who may do everything.
    pub fn all() -> Self {
        Self {
            default: Access::Write,
            rules: Rule::default(),
        }
    }

    /// The scope of these rules; a field that no rule matches has `default`.
    pub fn new(
        default: Access,
        rules: impl IntoIterator<Item = (FieldPath, Access)>,
    ) -> Result<Self, ScopeError> {
        let mut root = Rule::default();
        for (path, access) in rules {
            if !root.insert(&path.0, access) {
                return Err(ScopeError::Duplicate(path));
            }
        }
        Ok(Self {
            default,
            rules: root,
        })
    }

    /// What may be done with the field at these segments.
    pub fn access<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Access {
        segments
            .into_iter()
            .fold(self.root(), |place, segment| place.child(segment))
            .access
    }

    /// The document as somebody with this scope sees it.
    pub fn view(&self, document: &Map<String, Value>) -> Map<String, Value> {
        self.root().visible_fields(document)
    }

    pub(crate) fn root(&self) -> Place<'_> {
        Place {
            access: self.rules.access.unwrap_or(self.default),
            rules: vec![&self.rules],
        }
    }
}

impl<'a> Place<'a> {
    pub(crate) fn child(&self, segment: &str) -> Place<'a> {
        let rules: Vec<&Rule> = self
            .rules
            .iter()
            .flat_map(|rule| [rule.fields.get(segment), rule.any.as_deref()])
            .flatten()
            .collect();
        let access = rules.iter().find_map(|rule| rule.access);
        Place {
            access: access.unwrap_or(self.access),
            rules,
        }
    }

    pub(crate) fn readable(&self) -> bool {
        self.access >= Access::Read
    }

    /// Whether the field may be replaced or deleted, with all that it may ever hold. It does not depend on what it
    /// holds now, so that the answer tells nothing of it.
    pub(crate) fn wholly_writable(&self) -> bool {
        self.access == Access::Write
            && self
                .rules
                .iter()
                .all(|rule| rule.least_below.is_none_or(|least| least == Access::Write))
    }

    /// What is seen of a value here, or nothing.
    pub(crate) fn visible(&self, value: &Value) -> Option<Value> {
        if self.rules.is_empty() {
            return self.readable().then(|| value.clone());
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.readable().then(|| value.clone())
            }
            Value::Object(fields) => {
                let seen = self.visible_fields(fields);
                (self.readable() || !seen.is_empty()).then_some(Value::Object(seen))
            }
            // An element that is not seen leaves a null, so that the others keep their places.
            Value::Array(elements) => {
                let seen: Vec<Option<Value>> = elements
                    .iter()
                    .enumerate()
                    .map(|(index, element)| self.child(&index.to_string()).visible(element))
                    .collect();
                let any = self.readable() || seen.iter().any(Option::is_some);
                any.then(|| seen.into_iter().map(Option::unwrap_or_default).collect())
            }
        }
    }

    fn visible_fields(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        fields
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), self.child(name).visible(value)?)))
            .collect()
    }
}

impl Rule {
    /// Adds a rule; false if the path has one.
    fn insert(&mut self, segments: &[String], access: Access) -> bool {
        let Some((first, rest)) = segments.split_first() else {
            return self.access.replace(access).is_none();
        };
        self.least_below = Some(self.least_below.map_or(access, |least| least.min(access)));
        let next = if first == "*" {
            self.any.get_or_insert_default()
        } else {
            self.fields.entry(first.clone()).or_default()
        };
        next.insert(rest, access)
    }
}

/// The JSON pointer (RFC 6901) of these segments.
pub(crate) fn pointer<S: AsRef<str>>(segments: &[S]) -> String {
    segments
        .iter()
        .map(|segment| {
            let escaped = segment.as_ref().replace('~', "~0").replace('/', "~1");
            format!("/{escaped}")
        })
        .collect()
}

fn unescape(segment: &str) -> Option<String> {
    let mut plain = String::with_capacity(segment.len());
    let mut chars = segment.chars();
    while let Some(char) = chars.next() {
        match char {
            '~' => plain.push(match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            other => plain.push(other),
        }
    }
    Some(plain)
}
