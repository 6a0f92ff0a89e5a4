//! The shared state of a call: one JSON document with a version.
//!
//! The holder of the baton writes freely; everybody else by compare-and-set: a patch is refused if something that it
//! touches has changed since the version that it was made against. It never knows who asks: whether somebody is the
//! holder comes in, and old epochs are fenced before.

use std::fmt;

use serde_json::{Map, Value};

use crate::merge::{Patch, PatchLimits, deeper_than};
use crate::schema::{StateSchema, Violation};
use crate::scope::{Place, Scopes, pointer};
use crate::stamp::Stamp;

/// Counts the accepted patches that changed something. Version 0 is the empty document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateVersion(pub u64);

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// What it may read and write.
    pub scopes: &'a Scopes,
    /// Whether it has the baton, and so may write against any version.
    pub holder: bool,
}

/// The document.
pub struct SharedState {
    document: Map<String, Value>,
    version: StateVersion,
    stamps: Stamp,
    /// The length of the document as JSON text, in bytes, a comma too many at most.
    bytes: usize,
    limits: PatchLimits,
    schema: Option<StateSchema>,
}

/// What became of a patch that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It made a version, which everybody who may see something of it must be told.
    Changed(Change),
    /// All was as the patch wants it; there is no new version.
    Unchanged(StateVersion),
}

/// An accepted patch.
#[derive(Clone, PartialEq)]
pub struct Change {
    version: StateVersion,
    patch: Patch,
    /// The fields of the document that the patch touches, as they were and as they are.
    before: Map<String, Value>,
    after: Map<String, Value>,
}

/// Why a patch was refused. The state is as it was.
#[derive(thiserror::Error, PartialEq)]
pub enum PatchError {
    /// Something that the patch touches has changed since.
    #[error(
        "the patch was made against version {base}, and version {version} has changed what it touches"
    )]
    Conflict {
        /// What the patch was made against.
        base: StateVersion,
        /// The version of the document now.
        version: StateVersion,
        /// The document now, as the writer may see it.
        current: Map<String, Value>,
    },
    /// The patch was made against a version that does not exist.
    #[error("the patch was made against version {base}, but the state is at {version}")]
    AheadOfState {
        /// What the patch claims.
        base: StateVersion,
        /// The version of the document.
        version: StateVersion,
    },
    /// The writer may not write a field.
    #[error("the field {path} is out of scope for writing")]
    Denied {
        /// A JSON pointer to the field.
        path: String,
    },
    /// The document would break its schema.
    #[error("the field {:?} would break the schema: {}", .0.path, .0.reason)]
    Invalid(Violation),
    /// The document would be too large.
    #[error("the state would have {bytes} bytes, over the limit of {max}")]
    TooLarge {
        /// The length it would have.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// Why a record cannot be replayed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    /// It is not the next one.
    #[error("version {found} was to be replayed after version {version}")]
    OutOfOrder {
        /// The version of the document.
        version: StateVersion,
        /// The version of the record.
        found: StateVersion,
    },
    /// The document is beyond the bounds.
    #[error(
        "a state of {bytes} bytes is over the limit of {max}, or nested deeper than {depth_max}"
    )]
    OutOfBounds {
        /// Its length.
        bytes: usize,
        /// The largest length.
        max: usize,
        /// The largest depth.
        depth_max: usize,
    },
}

impl StateVersion {
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for StateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// No values: they do not belong into logs.
impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// No values: they do not belong into logs.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("version", &self.version)
            .field("patch", &self.patch)
            .finish_non_exhaustive()
    }
}

/// No values: they do not belong into logs.
impl fmt::Debug for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatchError({self})")
    }
}

impl SharedState {
    /// An empty document.
    pub fn new(limits: PatchLimits, schema: Option<StateSchema>) -> Self {
        Self {
            document: Map::new(),
            version: StateVersion(0),
            stamps: Stamp::default(),
            bytes: "{}".len(),
            limits,
            schema,
        }
    }

    /// The document of a snapshot. What was written before it counts as changed by it: a patch made against an older
    /// version conflicts. The schema is not asked: it may be newer than the snapshot.
    pub fn restore(
        document: Map<String, Value>,
        version: StateVersion,
        limits: PatchLimits,
        schema: Option<StateSchema>,
    ) -> Result<Self, ReplayError> {
        let out_of_bounds = |bytes| ReplayError::OutOfBounds {
            bytes,
            max: limits.document_bytes_max,
            depth_max: limits.depth_max,
        };
        if deeper_than(&document, limits.depth_max) {
            return Err(out_of_bounds(0));
        }
        let mut plain = Map::new();
        Patch::between(&Map::new(), &document).inspect(|patch| patch.apply_to(&mut plain));
        let bytes = fields_bytes(&plain) + "{}".len();
        if bytes > limits.document_bytes_max {
            return Err(out_of_bounds(bytes));
        }
        Ok(Self {
            document: plain,
            version,
            stamps: Stamp::all(version.0),
            bytes,
            limits,
            schema,
        })
    }

    /// The version of the document.
    pub fn version(&self) -> StateVersion {
        self.version
    }

    /// The whole document. Only the journal may see it like this.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The document as somebody with these scopes sees it.
    pub fn view(&self, scopes: &Scopes) -> Map<String, Value> {
        scopes.view(&self.document)
    }

    /// Applies a patch that was made against version `base`.
    pub fn apply(
        &mut self,
        writer: Writer<'_>,
        base: StateVersion,
        patch: Patch,
    ) -> Result<Outcome, PatchError> {
        if base > self.version {
            return Err(PatchError::AheadOfState {
                base,
                version: self.version,
            });
        }
        let mut path = Vec::new();
        if !may_write(
            &writer.scopes.root(),
            &self.document,
            patch.fields(),
            &mut path,
        ) {
            return Err(PatchError::Denied {
                path: pointer(&path),
            });
        }
        let fields = patch.fields();
        if !writer.holder && self.stamps.changed_since(base.0, &self.document, fields) {
            return Err(PatchError::Conflict {
                base,
                version: self.version,
                current: self.view(writer.scopes),
            });
        }

        let before = self.touched_by(fields);
        let mut after = before.clone();
        patch.apply_to(&mut after);
        if before == after {
            return Ok(Outcome::Unchanged(self.version));
        }
        let bytes = (self.bytes + fields_bytes(&after)).saturating_sub(fields_bytes(&before));
        if bytes > self.limits.document_bytes_max {
            return Err(PatchError::TooLarge {
                bytes,
                max: self.limits.document_bytes_max,
            });
        }
        if let Some(schema) = &self.schema {
            let mut document = self.document.clone();
            patch.apply_to(&mut document);
            schema
                .check(&Value::Object(document), writer.scopes)
                .map_err(PatchError::Invalid)?;
        }

        self.commit(&patch, bytes);
        Ok(Outcome::Changed(Change {
            version: self.version,
            patch,
            before,
            after,
        }))
    }

    /// Takes in the whole document as of a version, in place of every patch up to it.
    ///
    /// # Errors
    /// It is beyond the bounds.
    pub fn replay_whole(
        &mut self,
        version: StateVersion,
        document: &Patch,
    ) -> Result<(), ReplayError> {
        self.version = StateVersion(version.0.saturating_sub(1));
        self.replay(version, document)
    }

    /// Applies a patch that was accepted before, out of the journal. Neither scopes nor schema are asked again.
    pub fn replay(&mut self, version: StateVersion, patch: &Patch) -> Result<(), ReplayError> {
        if version != self.version.next() {
            return Err(ReplayError::OutOfOrder {
                version: self.version,
                found: version,
            });
        }
        let before = self.touched_by(patch.fields());
        let mut after = before.clone();
        patch.apply_to(&mut after);
        let bytes = (self.bytes + fields_bytes(&after)).saturating_sub(fields_bytes(&before));
        if bytes > self.limits.document_bytes_max {
            return Err(ReplayError::OutOfBounds {
                bytes,
                max: self.limits.document_bytes_max,
                depth_max: self.limits.depth_max,
            });
        }
        self.commit(patch, bytes);
        Ok(())
    }

    fn commit(&mut self, patch: &Patch, bytes: usize) {
        self.version = self.version.next();
        self.stamps
            .note(self.version.0, &self.document, patch.fields());
        patch.apply_to(&mut self.document);
        self.bytes = bytes;
    }

    fn touched_by(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let present = fields
            .keys()
            .filter_map(|name| self.document.get_key_value(name));
        present
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl Change {
    /// The version that the patch made.
    pub fn version(&self) -> StateVersion {
        self.version
    }

    /// The whole patch, for the journal.
    pub fn patch(&self) -> &Patch {
        &self.patch
    }

    /// What somebody with these scopes is told: the patch that turns its old view into the new one, or nothing if it
    /// sees no difference.
    pub fn seen_by(&self, scopes: &Scopes) -> Option<Patch> {
        Patch::between(&scopes.view(&self.before), &scopes.view(&self.after))
    }
}

/// Whether the patch writes only what may be written here; if not, `path` leads to the first field that may not.
fn may_write(
    place: &Place<'_>,
    document: &Map<String, Value>,
    patch: &Map<String, Value>,
    path: &mut Vec<String>,
) -> bool {
    let nothing = Map::new();
    patch.iter().all(|(name, value)| {
        path.push(name.clone());
        let place = place.child(name);
        let allowed = match (document.get(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => may_write(&place, old, new, path),
            (None, Value::Object(new)) if !new.is_empty() => may_write(&place, &nothing, new, path),
            (Some(_) | None, _) => place.wholly_writable(),
        };
        if allowed {
            path.pop();
        }
        allowed
    })
}

/// How many bytes these fields have in the JSON text of an object.
fn fields_bytes(fields: &Map<String, Value>) -> usize {
    fields
        .iter()
        .map(|(name, value)| {
            Value::String(name.clone()).to_string().len() + value.to_string().len() + ":,".len()
        })
        .sum()
}
