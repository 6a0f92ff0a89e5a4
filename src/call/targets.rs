//! To whom a specialist may hand the baton, as it is told when it joins.

use crate::config::Names;
use crate::ids::SpecialistName;
use crate::plan::Plan;

/// How many targets a specialist is told of; it may ask for others all the same.
pub const TARGETS_MAX: usize = 32;
/// The longest description that a specialist is told, in bytes; the rest is cut off.
pub const DESCRIPTION_BYTES_MAX: usize = 300;

/// To whom a specialist may hand the baton.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// To whom routes lead, in their order, each once. At most [`TARGETS_MAX`].
    pub named: Vec<NamedTarget>,
    /// Whether it may hand back to whoever held the baton before.
    pub previous: bool,
}

/// Somebody to hand the baton to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTarget {
    /// Its name.
    pub name: SpecialistName,
    /// What it is for, in a line; empty if nothing is said of it.
    pub description: String,
}

impl Plan {
    /// To whom `from` may hand the baton. Conditions are not looked at: they may hold later.
    pub fn targets(&self, from: &SpecialistName) -> Targets {
        let config = self.config();
        let mut named: Vec<NamedTarget> = Vec::new();
        for route in config
            .routes
            .iter()
            .filter(|route| route.from.contains(from))
        {
            let mut add = |name: &SpecialistName| {
                if named.len() < TARGETS_MAX
                    && name != from
                    && named.iter().all(|target| target.name != *name)
                {
                    let own = self
                        .specialist(name)
                        .and_then(|to| to.description.as_deref());
                    let description = route.description.as_deref().or(own).unwrap_or_default();
                    named.push(NamedTarget {
                        name: name.clone(),
                        description: cut(description).to_owned(),
                    });
                }
            };
            match &route.to {
                Names::Any => config.specialists.keys().for_each(&mut add),
                Names::Only(names) => names.iter().for_each(&mut add),
            }
        }
        Targets {
            named,
            previous: config.hand_back,
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(DESCRIPTION_BYTES_MAX)]
}
