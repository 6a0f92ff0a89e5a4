//! What one JSON value has that another has not, so that the one can be made out of the other again.

use serde_json::{Map, Value, json};

/// A delta cannot be applied: it is damaged, or belongs to another value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a difference does not fit what it is applied to")]
pub(crate) struct Misfit;

/// What turns `from` into `to`; nothing if they are equal.
///
/// `{"=": value}` replaces, `{"put": {name: value}, "set": {name: delta}, "unset": [name]}` changes an object, and
/// `{"at": {index: delta}}` changes an array of the same length.
pub(crate) fn delta(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    Some(match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let (mut put, mut set) = (Map::new(), Map::new());
            for (name, new) in to {
                match from.get(name).map(|old| delta(old, new)) {
                    Some(None) => {}
                    Some(Some(Value::Object(change))) if !change.contains_key("=") => {
                        set.insert(name.clone(), change.into());
                    }
                    Some(Some(_)) | None => {
                        put.insert(name.clone(), new.clone());
                    }
                }
            }
            let unset: Vec<&String> = from.keys().filter(|name| !to.contains_key(*name)).collect();
            let mut change = Map::new();
            for (name, part) in [("put", put), ("set", set)] {
                if !part.is_empty() {
                    change.insert(name.to_owned(), part.into());
                }
            }
            if !unset.is_empty() {
                change.insert("unset".to_owned(), json!(unset));
            }
            Value::Object(change)
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            let at: Map<String, Value> = from
                .iter()
                .zip(to)
                .enumerate()
                .filter_map(|(index, (old, new))| Some((index.to_string(), delta(old, new)?)))
                .collect();
            json!({"at": at})
        }
        (_, to) => json!({"=": to}),
    })
}

/// Applies a delta.
pub(crate) fn apply(mut value: Value, delta: &Value) -> Result<Value, Misfit> {
    let delta = delta.as_object().ok_or(Misfit)?;
    if let Some(new) = delta.get("=") {
        return Ok(new.clone());
    }
    for (part, change) in delta {
        match part.as_str() {
            "at" => {
                let elements = value.as_array_mut().ok_or(Misfit)?;
                for (index, change) in change.as_object().ok_or(Misfit)? {
                    let index: usize = index.parse().map_err(|_| Misfit)?;
                    let slot = elements.get_mut(index).ok_or(Misfit)?;
                    *slot = apply(slot.take(), change)?;
                }
            }
            "put" => {
                let fields = value.as_object_mut().ok_or(Misfit)?;
                fields.extend(change.as_object().ok_or(Misfit)?.clone());
            }
            "set" => {
                let fields = value.as_object_mut().ok_or(Misfit)?;
                for (name, change) in change.as_object().ok_or(Misfit)? {
                    let slot = fields.get_mut(name).ok_or(Misfit)?;
                    *slot = apply(slot.take(), change)?;
                }
            }
            "unset" => {
                let fields = value.as_object_mut().ok_or(Misfit)?;
                for name in change.as_array().ok_or(Misfit)? {
                    fields.remove(name.as_str().ok_or(Misfit)?);
                }
            }
            _ => return Err(Misfit),
        }
    }
    Ok(value)
}

/// The JSON pointers of what `value` has and `other` has not, or has differently. Nulls and what is empty are nothing.
pub(crate) fn only_in(value: &Value, other: Option<&Value>, at: &str, found: &mut Vec<String>) {
    if Some(value) == other || is_nothing(value) {
        return;
    }
    match (value, other) {
        (Value::Object(fields), Some(Value::Object(others))) => {
            for (name, inner) in fields {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                only_in(inner, others.get(name), &format!("{at}/{escaped}"), found);
            }
        }
        (Value::Array(elements), Some(Value::Array(others))) => {
            for (index, inner) in elements.iter().enumerate() {
                only_in(inner, others.get(index), &format!("{at}/{index}"), found);
            }
        }
        (Value::Array(parts), Some(Value::String(words))) => {
            for (index, part) in parts.iter().enumerate() {
                not_in_words(part, words, &format!("{at}/{index}"), found);
            }
        }
        (_, _) => found.push(at.to_owned()),
    }
}

/// What a part of a content has beside words that are among these.
fn not_in_words(part: &Value, words: &str, at: &str, found: &mut Vec<String>) {
    let said = match part {
        Value::String(text) => Some(text),
        Value::Object(fields) => match fields.get("text") {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    if !said.is_some_and(|text| words.contains(text.as_str())) {
        found.push(at.to_owned());
    } else if let Value::Object(fields) = part {
        for (name, value) in fields {
            if !["type", "text"].contains(&name.as_str()) && !is_nothing(value) {
                found.push(format!("{at}/{name}"));
            }
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
