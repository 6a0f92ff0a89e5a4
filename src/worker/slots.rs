//! Which slots are taken, by what, and until when. Pure: time comes in as an argument.
//!
//! A slot is reserved when an offer is accepted and taken when its assignment comes, so a burst of
//! offers fills the worker to exactly its size. Beyond its size there may be slots for jobs that are to be turned away. A reservation ends by itself after
//! [`RESERVATION_MAX`]: then the job went elsewhere, or its room is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long an accepted offer may wait for its assignment. The server gives up after 3 s.
pub(crate) const RESERVATION_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Slots {
    max: u32,
    beyond: u32,
    draining: bool,
    taken: BTreeMap<String, Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Reserved {
        until: Instant,
        place: Place,
    },
    Running(Place),
    /// Taken by the application itself: the server knows nothing of it.
    Adopted,
}

/// Whether there is a place for a job that has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There is: it is to be run.
    Taken,
    /// All were taken when the job was offered: it is to be turned away.
    None,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// All are taken.
    #[error("all {max} slots are taken")]
    Full {
        /// How many there are.
        max: u32,
    },
    /// No more jobs are taken.
    #[error("the worker is draining")]
    Draining,
    /// The job has one.
    #[error("the job is already here")]
    Known,
    /// There is no worker any more.
    #[error("the worker has stopped")]
    Stopped,
}

impl Slots {
    /// So many slots, and so many more for jobs that are to be turned away.
    pub(crate) fn new(max: u32, beyond: u32) -> Self {
        Self {
            max,
            beyond,
            draining: false,
            taken: BTreeMap::new(),
        }
    }

    pub(crate) fn active(&self) -> u32 {
        u32::try_from(self.taken.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn running(&self) -> u32 {
        self.active() - self.reserved()
    }

    pub(crate) fn reserved(&self) -> u32 {
        let reserved = self.taken.values().filter(|slot| match slot {
            Slot::Reserved { .. } => true,
            Slot::Running(_) | Slot::Adopted => false,
        });
        u32::try_from(reserved.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn running_ids(&self) -> impl Iterator<Item = &str> {
        let running = self
            .taken
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Running(_)));
        running.map(|(job_id, _)| job_id.as_str())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.active() >= self.max.saturating_add(self.beyond)
    }

    /// Jobs that have a place.
    pub(crate) fn placed(&self) -> u32 {
        let placed = self.taken.values().filter(|slot| match slot {
            Slot::Reserved { place, .. } | Slot::Running(place) => *place == Place::Taken,
            Slot::Adopted => true,
        });
        u32::try_from(placed.count()).unwrap_or(u32::MAX)
    }

    fn place(&self) -> Place {
        match self.placed() < self.max {
            true => Place::Taken,
            false => Place::None,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether an offer of this job could be accepted.
    pub(crate) fn vacancy(&self, job_id: &str) -> Result<(), NoSlot> {
        if self.taken.contains_key(job_id) {
            return Err(NoSlot::Known);
        }
        if self.draining {
            return Err(NoSlot::Draining);
        }
        if self.is_full() {
            return Err(NoSlot::Full { max: self.max });
        }
        Ok(())
    }

    /// Keeps a slot for an offer that is being accepted.
    pub(crate) fn reserve(&mut self, now: Instant, job_id: &str) -> Result<(), NoSlot> {
        self.vacancy(job_id)?;
        let until = now + RESERVATION_MAX;
        let place = self.place();
        self.taken
            .insert(job_id.to_owned(), Slot::Reserved { until, place });
        Ok(())
    }

    /// Turns a reservation into a running job. An assignment whose reservation has ended gets a
    /// slot if there is one.
    pub(crate) fn assign(&mut self, job_id: &str) -> Result<Place, NoSlot> {
        match self.taken.get_mut(job_id) {
            Some(Slot::Reserved { place, .. }) => {
                let place = *place;
                self.taken.insert(job_id.to_owned(), Slot::Running(place));
                Ok(place)
            }
            Some(Slot::Running(_) | Slot::Adopted) => Err(NoSlot::Known),
            None => {
                self.vacancy(job_id)?;
                let place = self.place();
                self.taken.insert(job_id.to_owned(), Slot::Running(place));
                Ok(place)
            }
        }
    }

    /// Takes a slot for a job that the server has not assigned.
    pub(crate) fn adopt(&mut self, job_id: &str) -> Result<(), NoSlot> {
        self.vacancy(job_id)?;
        if self.place() == Place::None {
            return Err(NoSlot::Full { max: self.max });
        }
        self.taken.insert(job_id.to_owned(), Slot::Adopted);
        Ok(())
    }

    /// Frees a slot; whether the server knows of its job.
    pub(crate) fn release(&mut self, job_id: &str) -> bool {
        self.taken.remove(job_id) != Some(Slot::Adopted)
    }

    /// When [`Slots::expire`] has something to do next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.taken.values().filter_map(|slot| match slot {
            Slot::Reserved { until, .. } => Some(*until),
            Slot::Running(_) | Slot::Adopted => None,
        });
        deadlines.min()
    }

    /// Releases the reservations that have ended and returns their jobs.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<String> {
        self.release_where(|until| until <= now)
    }

    /// Releases all reservations: the connection on which they were made is gone.
    pub(crate) fn forget_reservations(&mut self) -> Vec<String> {
        self.release_where(|_| true)
    }

    fn release_where(&mut self, ended: impl Fn(Instant) -> bool) -> Vec<String> {
        let released = self.taken.extract_if(.., |_, slot| match slot {
            Slot::Reserved { until, .. } => ended(*until),
            Slot::Running(_) | Slot::Adopted => false,
        });
        released.map(|(job_id, _)| job_id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_ends_when_its_time_is_over() {
        let now = Instant::now();
        let later = now + Duration::from_secs(4);
        let mut slots = Slots::new(2, 0);
        assert_eq!(slots.reserve(now, "a"), Ok(()));
        assert_eq!(slots.reserve(later, "b"), Ok(()));
        assert_eq!(slots.reserve(later, "c"), Err(NoSlot::Full { max: 2 }));
        assert_eq!(slots.poll_timeout(), Some(now + RESERVATION_MAX));
        assert!(
            slots
                .expire(now + RESERVATION_MAX - Duration::from_nanos(1))
                .is_empty()
        );
        assert_eq!(slots.expire(now + RESERVATION_MAX), ["a"]);
        assert_eq!((slots.active(), slots.reserved()), (1, 1));
        assert_eq!(slots.poll_timeout(), Some(later + RESERVATION_MAX));
    }

    #[test]
    fn a_running_job_never_expires() {
        let now = Instant::now();
        let mut slots = Slots::new(1, 0);
        assert_eq!(slots.reserve(now, "a"), Ok(()));
        assert_eq!(slots.assign("a"), Ok(Place::Taken));
        assert_eq!(slots.poll_timeout(), None);
        assert!(slots.expire(now + RESERVATION_MAX * 100).is_empty());
        assert!(slots.forget_reservations().is_empty());
        assert_eq!((slots.running(), slots.reserved()), (1, 0));
        slots.release("a");
        assert_eq!(slots.active(), 0);
    }

    #[test]
    fn a_late_assignment_gets_a_slot_only_if_one_is_free() {
        let now = Instant::now();
        let mut slots = Slots::new(1, 0);
        assert_eq!(slots.reserve(now, "a"), Ok(()));
        assert_eq!(slots.expire(now + RESERVATION_MAX), ["a"]);
        assert_eq!(slots.reserve(now, "b"), Ok(()));
        assert_eq!(slots.assign("a"), Err(NoSlot::Full { max: 1 }));
        slots.release("b");
        assert_eq!(slots.assign("a"), Ok(Place::Taken));
        assert_eq!(slots.assign("a"), Err(NoSlot::Known));
    }

    #[test]
    fn an_adopted_job_takes_a_slot_and_is_none_of_the_servers() {
        let mut slots = Slots::new(1, 0);
        assert_eq!(slots.adopt("a"), Ok(()));
        assert_eq!((slots.running(), slots.running_ids().count()), (1, 0));
        assert_eq!(slots.adopt("b"), Err(NoSlot::Full { max: 1 }));
        assert_eq!(
            slots.reserve(Instant::now(), "b"),
            Err(NoSlot::Full { max: 1 })
        );
        assert!(!slots.release("a"));
        assert_eq!(slots.assign("b"), Ok(Place::Taken));
        assert!(slots.release("b"));
    }

    #[test]
    fn a_draining_worker_keeps_its_word() {
        let now = Instant::now();
        let mut slots = Slots::new(2, 0);
        assert_eq!(slots.reserve(now, "a"), Ok(()));
        slots.drain();
        assert_eq!(slots.reserve(now, "b"), Err(NoSlot::Draining));
        assert_eq!(slots.assign("a"), Ok(Place::Taken));
        assert_eq!(slots.assign("b"), Err(NoSlot::Draining));
    }

    #[test]
    fn beyond_its_places_a_worker_takes_jobs_to_turn_them_away() {
        let now = Instant::now();
        let mut slots = Slots::new(1, 1);
        assert_eq!(slots.reserve(now, "a"), Ok(()));
        assert_eq!(slots.reserve(now, "b"), Ok(()));
        assert_eq!((slots.placed(), slots.active()), (1, 2));
        assert_eq!(slots.reserve(now, "c"), Err(NoSlot::Full { max: 1 }));
        assert_eq!(slots.assign("b"), Ok(Place::None));
        assert_eq!(slots.assign("a"), Ok(Place::Taken));
        slots.release("b");
        assert_eq!(slots.adopt("d"), Err(NoSlot::Full { max: 1 }));
        slots.release("a");
        assert_eq!(slots.assign("e"), Ok(Place::Taken));
    }
}
