//! An optional JSON Schema that every version of the shared state must satisfy.
//!
//! A schema refers only to itself: nothing is ever fetched. Its messages never contain a value of the state.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::scope::{Scopes, pointer};

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct StateSchema(Arc<Validator>);

/// The schema itself is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the schema of the state cannot be used at {path:?}: {reason}")]
pub struct SchemaError {
    /// A JSON pointer into the schema.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

/// How a document breaks the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer to the field; of a field that the writer may not read, the nearest one that it may.
    pub path: String,
    /// What the schema asks for there.
    pub reason: String,
}

impl StateSchema {
    /// Compiles a schema. Patterns are matched in linear time, so look-around and back references are refused.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map(|schema| Self(Arc::new(schema)))
            .map_err(|error| SchemaError {
                path: error.instance_path().to_string(),
                reason: error.to_string(),
            })
    }

    /// Checks a document on behalf of somebody with these scopes.
    pub(crate) fn check(&self, document: &Value, scopes: &Scopes) -> Result<(), Violation> {
        self.0.validate(document).map_err(|error| {
            let path = error.instance_path().to_string();
            let segments: Vec<String> = path
                .split('/')
                .skip(1)
                .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
                .collect();
            let mut place = scopes.root();
            let mut seen = 0;
            for segment in &segments {
                place = place.child(segment);
                if !place.readable() {
                    break;
                }
                seen += 1;
            }
            let reason = if seen == segments.len() {
                error.masked().to_string()
            } else {
                "a field out of scope would break the schema".to_owned()
            };
            Violation {
                path: pointer(&segments[..seen]),
                reason,
            }
        })
    }
}
