//! JSON as the interpreter takes it, up to the limits.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde_json::Value as Json;

use crate::{TEXT_BYTES_MAX, VALUES_MAX};

/// There is more than an expression may be given.
pub(crate) struct TooLarge;

/// What may still be given.
pub(crate) struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            values: VALUES_MAX,
            bytes: TEXT_BYTES_MAX,
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.values = self.values.checked_sub(1).ok_or(TooLarge)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }

    /// Numbers that are whole are whole numbers, whatever their sign.
    pub(crate) fn value(&mut self, json: &Json) -> Result<Value, TooLarge> {
        self.take(json.as_str().map_or(0, str::len))?;
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(Arc::new(text.clone())),
            Json::Array(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
                Value::List(Arc::new(items?))
            }
            Json::Object(fields) => {
                let mut map = HashMap::with_capacity(fields.len());
                for (name, value) in fields {
                    self.take(name.len())?;
                    map.insert(Key::from(name.clone()), self.value(value)?);
                }
                Value::Map(Map { map: Arc::new(map) })
            }
        })
    }
}
