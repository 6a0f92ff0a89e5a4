//! JSON merge patches (RFC 7396): reading, applying and making them.
//!
//! A document that is only ever made by merge patches has no null among the fields of its objects (only in arrays,
//! which are values), and between two such documents there is always a patch.

use std::fmt;

use serde_json::{Map, Value};

/// Bounds of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchLimits {
    /// The longest JSON text of a patch, in bytes.
    pub patch_bytes_max: usize,
    /// The deepest that a patch, and so the document, may be nested; a document of plain fields has depth 1.
    pub depth_max: usize,
    /// The longest JSON text of the whole document, in bytes.
    pub document_bytes_max: usize,
}

impl Default for PatchLimits {
    fn default() -> Self {
        Self {
            patch_bytes_max: 64 * 1024,
            depth_max: 16,
            document_bytes_max: 256 * 1024,
        }
    }
}

/// A merge patch of the shared state: an object, within the bounds.
#[derive(Clone, PartialEq)]
pub struct Patch(Map<String, Value>);

/// Why bytes are no patch.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is too long.
    #[error("a patch of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is nested too deeply.
    #[error("a patch is nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// It is no JSON.
    #[error("a patch is no JSON")]
    NoJson(#[source] serde_json::Error),
    /// It is JSON, but no object.
    #[error("a patch is no JSON object")]
    NoObject,
}

impl Patch {
    /// Reads a patch; its length is looked at before anything else.
    pub fn parse(json: &[u8], limits: &PatchLimits) -> Result<Self, ParseError> {
        if json.len() > limits.patch_bytes_max {
            return Err(ParseError::TooLarge {
                bytes: json.len(),
                max: limits.patch_bytes_max,
            });
        }
        let value: Value = serde_json::from_slice(json).map_err(ParseError::NoJson)?;
        let Value::Object(fields) = value else {
            return Err(ParseError::NoObject);
        };
        if deeper_than(&fields, limits.depth_max) {
            return Err(ParseError::TooDeep {
                max: limits.depth_max,
            });
        }
        Ok(Self(fields))
    }

    /// The fields that the patch sets, or deletes with null.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The patch as JSON text.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// The patch that turns `before` into `after`, or nothing if they are equal.
    pub(crate) fn between(before: &Map<String, Value>, after: &Map<String, Value>) -> Option<Self> {
        let fields = difference(before, after);
        (!fields.is_empty()).then_some(Self(fields))
    }

    /// Applies the patch to a document that somebody holds, such as a specialist its view.
    pub fn apply_to(&self, document: &mut Map<String, Value>) {
        merge(document, &self.0);
    }
}

/// Which fields, but not their values: those do not belong into logs.
impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Applies a patch to an object in place.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(fields) => {
                let slot = target.entry(name.clone()).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(inner) = slot {
                    merge(inner, fields);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch: Map<String, Value> = before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .map(|name| (name.clone(), Value::Null))
        .collect();
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), Value::Object(difference(old, new)));
            }
            (Some(_) | None, new) => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    patch
}

/// Whether an object is nested deeper than `max`, without recursion.
pub(crate) fn deeper_than(fields: &Map<String, Value>, max: usize) -> bool {
    let mut open: Vec<(&Value, usize)> = fields.values().map(|value| (value, 1)).collect();
    if max == 0 {
        return true;
    }
    while let Some((value, depth)) = open.pop() {
        let inner: Vec<&Value> = match value {
            Value::Object(fields) => fields.values().collect(),
            Value::Array(elements) => elements.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        };
        if depth == max {
            return true;
        }
        open.extend(inner.into_iter().map(|value| (value, depth + 1)));
    }
    false
}
