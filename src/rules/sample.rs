//! A value that a JSON Schema describes, to try expressions on.

use serde_json::{Map, Value as Json};

/// Nested schemas that are followed.
const DEPTH_MAX: usize = 16;

/// A document with every field that `schema` names, each with its default, its first allowed value, or one of its type.
///
/// References are not followed, and of alternatives the first counts: what comes of them is null.
pub fn sample(schema: &Json) -> Json {
    of(schema, DEPTH_MAX)
}

fn of(schema: &Json, depth: usize) -> Json {
    let allowed = || schema.get("enum").and_then(|allowed| allowed.get(0));
    if let Some(value) = schema
        .get("default")
        .filter(|value| !value.is_null())
        .or_else(|| schema.get("const"))
        .or_else(allowed)
    {
        return value.clone();
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Json::Null;
    };
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(alternatives).and_then(|several| several.get(0)) {
            return of(first, depth);
        }
    }
    let properties = schema.get("properties").and_then(Json::as_object);
    match kind(schema) {
        Some("boolean") => Json::Bool(false),
        Some("integer") => schema
            .get("minimum")
            .and_then(Json::as_i64)
            .unwrap_or(0)
            .into(),
        Some("number") => schema
            .get("minimum")
            .and_then(Json::as_f64)
            .unwrap_or(0.0)
            .into(),
        Some("string") => Json::String(String::new()),
        Some("array") => {
            let item = schema.get("items").map(|items| of(items, depth));
            Json::Array(item.into_iter().collect())
        }
        Some("object") | None if properties.is_some() => {
            let fields = properties.into_iter().flatten();
            Json::Object(
                fields
                    .map(|(name, field)| (name.clone(), of(field, depth)))
                    .collect(),
            )
        }
        Some("object") => Json::Object(Map::new()),
        Some(_) | None => Json::Null,
    }
}

/// The type, or the first of several that is not null.
fn kind(schema: &Json) -> Option<&str> {
    match schema.get("type")? {
        Json::Array(several) => several
            .iter()
            .filter_map(Json::as_str)
            .find(|kind| *kind != "null"),
        one => one.as_str(),
    }
}
