//! Where items go that come back: the known ones where they were, the new ones after those that they followed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::convert::{ConvertError, Sidecar};
use crate::grouping::{Origin, name_outputs};
use crate::livekit::{LivekitItem, text};

/// The order in which known and new items come together: known ones as they were, new ones after those that they
/// followed.
pub(crate) struct Order<'a> {
    order: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
    known: BTreeMap<usize, LivekitItem>,
    /// New items, by how many known places come before them.
    fresh: BTreeMap<usize, Vec<LivekitItem>>,
    /// How many places are behind.
    behind: usize,
    /// The places of the items that were in messages, so that what comes after all of them comes last.
    last: usize,
}

impl<'a> Order<'a> {
    pub(crate) fn of(sidecar: Option<&'a Sidecar>) -> Result<Self, ConvertError> {
        let order: Vec<&str> = sidecar
            .map(|sidecar| sidecar.order.iter().map(String::as_str).collect())
            .unwrap_or_default();
        let places: HashMap<&str, usize> =
            order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let mut known = BTreeMap::new();
        let mut last = 0;
        if let Some(sidecar) = sidecar {
            for (id, value) in &sidecar.aside {
                let item = LivekitItem::new(value.clone()).ok();
                let place = places.get(id.as_str()).copied();
                let (Some(place), Some(item)) = (place, item) else {
                    return Err(ConvertError::DamagedSidecar { item: id.clone() });
                };
                known.insert(place, item);
            }
            let said = sidecar.messages.iter().flat_map(|message| &message.items);
            let ends = said.filter_map(|part| places.get(part.id.as_str()));
            last = ends.map(|place| place + 1).max().unwrap_or(0);
        }
        Ok(Self {
            order,
            places,
            known,
            fresh: BTreeMap::new(),
            behind: 0,
            last,
        })
    }

    pub(crate) fn known(&mut self, id: &str, item: LivekitItem) {
        // An id that the order does not have is not from this sidecar's making; it goes where it is read.
        match self.places.get(id) {
            Some(place) => {
                self.behind = self.behind.max(place + 1);
                self.known.insert(*place, item);
            }
            None => self.fresh(vec![item]),
        }
    }

    pub(crate) fn fresh(&mut self, items: Vec<LivekitItem>) {
        let behind = if self.behind == self.last {
            self.order.len()
        } else {
            self.behind
        };
        self.fresh.entry(behind).or_default().extend(items);
    }

    pub(crate) fn finish(mut self) -> Vec<LivekitItem> {
        let mut items = Vec::new();
        for place in 0..=self.order.len() {
            let fresh = self.fresh.remove(&place).unwrap_or_default();
            items.extend(fresh.into_iter().map(|item| (Origin::Fresh, item)));
            let known = self.known.remove(&place);
            items.extend(known.map(|item| (Origin::Known, item)));
        }
        name_outputs(items)
    }
}

/// Gives ids to items that have none.
pub(crate) struct Ids<'a> {
    prefix: &'a str,
    next: usize,
    taken: BTreeSet<String>,
}

impl<'a> Ids<'a> {
    pub(crate) fn new(prefix: &'a str, sidecar: Option<&Sidecar>) -> Self {
        let taken = sidecar.map(|sidecar| sidecar.order.iter().cloned().collect());
        Self {
            prefix,
            next: 0,
            taken: taken.unwrap_or_default(),
        }
    }

    /// The fields with an id that nobody else has.
    pub(crate) fn named(&mut self, mut fields: Map<String, Value>) -> Map<String, Value> {
        let own = text(&fields, "id").to_owned();
        let id = if own.is_empty() || self.taken.contains(&own) {
            loop {
                let id = format!("{}{}", self.prefix, self.next);
                self.next += 1;
                if !self.taken.contains(&id) {
                    break id;
                }
            }
        } else {
            own
        };
        self.taken.insert(id.clone());
        fields.insert("id".to_owned(), id.into());
        fields
    }
}
