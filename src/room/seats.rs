//! In how many calls of this process each specialist is, where the configuration bounds that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use call::{DispatchId, SpecialistName};
use parking_lot::Mutex;

/// The calls that each specialist is in; shared by the calls of a process, whatever configuration they began with.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<Mutex<BTreeMap<SpecialistName, u32>>>);

/// Those that one call has. They are free again when it is dropped.
#[derive(Debug, Default)]
pub(super) struct CallSeats {
    all: Seats,
    taken: BTreeMap<SpecialistName, BTreeSet<DispatchId>>,
}

impl CallSeats {
    pub(super) fn new(all: Seats) -> Self {
        Self {
            all,
            taken: BTreeMap::new(),
        }
    }

    /// Takes a seat for a dispatch of a specialist, one for all of its dispatches in this call; false if it is in `max` others.
    pub(super) fn take(
        &mut self,
        dispatch: DispatchId,
        specialist: &SpecialistName,
        max: Option<u32>,
    ) -> bool {
        if let Some(dispatches) = self.taken.get_mut(specialist) {
            dispatches.insert(dispatch);
            return true;
        }
        let mut all = self.all.0.lock();
        let calls = all.entry(specialist.clone()).or_default();
        if max.is_some_and(|max| *calls >= max) {
            return false;
        }
        *calls += 1;
        let dispatches = BTreeSet::from([dispatch]);
        self.taken.insert(specialist.clone(), dispatches);
        true
    }

    /// A dispatch is over.
    pub(super) fn free(&mut self, dispatch: DispatchId) {
        for dispatches in self.taken.values_mut() {
            dispatches.remove(&dispatch);
        }
        let left = self
            .taken
            .extract_if(.., |_, dispatches| dispatches.is_empty());
        for (specialist, _) in left {
            self.all.give_back(&specialist);
        }
    }
}

impl Drop for CallSeats {
    fn drop(&mut self) {
        for specialist in self.taken.keys() {
            self.all.give_back(specialist);
        }
    }
}

impl Seats {
    fn give_back(&self, specialist: &SpecialistName) {
        let mut all = self.0.lock();
        if let Some(calls) = all.get_mut(specialist) {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                all.remove(specialist);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_one_seat_of_a_specialist_until_all_of_its_dispatches_are_over() {
        let all = Seats::default();
        let billing = SpecialistName::from("billing");
        let (mut one, mut other) = (CallSeats::new(all.clone()), CallSeats::new(all.clone()));
        assert!(one.take(DispatchId(1), &billing, Some(1)));
        assert!(
            one.take(DispatchId(2), &billing, Some(1)),
            "another instance"
        );
        assert!(!other.take(DispatchId(1), &billing, Some(1)));
        assert!(
            other.take(DispatchId(1), &billing, None),
            "nothing bounds it"
        );
        other.free(DispatchId(1));
        one.free(DispatchId(1));
        assert!(!other.take(DispatchId(2), &billing, Some(1)));
        one.free(DispatchId(2));
        assert!(other.take(DispatchId(3), &billing, Some(1)));
        drop(other);
        assert!(
            one.take(DispatchId(3), &billing, Some(1)),
            "a call that ends frees its seats"
        );
        drop(one);
        assert!(all.0.lock().is_empty());
    }
}
