//! When each part of the state last changed, so that a compare-and-set conflicts only over what it touches.
//!
//! A reader with a narrow scope does not learn of every version, so comparing whole-document versions would make its
//! writes conflict for reasons that it cannot see. It never misses a change; at worst it sees one too many, as after a
//! deletion beside a field that nobody has written before.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// When one node of the document changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    /// The version that last replaced the node as a whole, or deleted one of its fields.
    whole: u64,
    /// The version that last changed anything in or under it.
    within: u64,
    fields: BTreeMap<String, Stamp>,
}

impl Stamp {
    /// All that is there, last changed by this version.
    pub(crate) fn all(version: u64) -> Self {
        Self {
            whole: version,
            within: version,
            fields: BTreeMap::new(),
        }
    }

    /// Whether something that the patch would replace or delete has changed after `base`. `document` is what the patch
    /// has not touched yet.
    pub(crate) fn changed_since(
        &self,
        base: u64,
        document: &Map<String, Value>,
        patch: &Map<String, Value>,
    ) -> bool {
        patch.iter().any(|(name, value)| {
            let Some(stamp) = self.fields.get(name) else {
                return self.whole > base;
            };
            match (document.get(name), value) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    stamp.changed_since(base, old, new)
                }
                (_, _) => stamp.within > base,
            }
        })
    }

    /// Notes that `version` made `patch` out of `document`, which it has not touched yet.
    pub(crate) fn note(
        &mut self,
        version: u64,
        document: &Map<String, Value>,
        patch: &Map<String, Value>,
    ) {
        self.within = version;
        let inherited = self.whole;
        for (name, value) in patch {
            match (document.get(name), value) {
                (None, Value::Null) => {}
                (Some(_), Value::Null) => {
                    self.fields.remove(name);
                    self.whole = version;
                }
                (Some(Value::Object(old)), Value::Object(new)) => {
                    let stamp = self.fields.entry(name.clone());
                    stamp
                        .or_insert_with(|| Self::all(inherited))
                        .note(version, old, new);
                }
                (Some(_) | None, _) => {
                    self.fields.insert(name.clone(), Self::all(version));
                }
            }
        }
    }
}
