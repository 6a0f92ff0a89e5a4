//! A callback of the application, called without any lock held.

use parking_lot::Mutex;

/// Holds one callback. While it runs it is out of the slot, so that it may replace or remove itself, and a call
/// made meanwhile from inside it is dropped rather than deadlocked.
pub(crate) struct Slot<F> {
    inner: Mutex<Inner<F>>,
}

struct Inner<F> {
    callback: Option<F>,
    /// Counts replacements, to tell whether the callback that has just run is still wanted.
    generation: u64,
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                callback: None,
                generation: 0,
            }),
        }
    }
}

impl<F> Slot<F> {
    /// Replaces the callback. The old one is dropped after the lock is released.
    pub(crate) fn set(&self, callback: Option<F>) {
        let mut inner = self.inner.lock();
        inner.generation += 1;
        let old = std::mem::replace(&mut inner.callback, callback);
        drop(inner);
        drop(old);
    }

    /// Runs `call` on the callback, if there is one.
    pub(crate) fn call(&self, call: impl FnOnce(&mut F)) {
        let mut inner = self.inner.lock();
        let Some(mut callback) = inner.callback.take() else {
            return;
        };
        let generation = inner.generation;
        drop(inner);
        call(&mut callback);
        let mut inner = self.inner.lock();
        if inner.generation == generation {
            inner.callback = Some(callback);
        }
    }
}
