//! The keys that the caller presses, as Baton tells them to the holder.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use call::Digit;
use tokio::sync::Notify;

/// Keys that wait for a reader; beyond them the oldest are dropped.
const KEYS_MAX: usize = 32;

/// The keys that the caller presses while the specialist has the baton, each once. Clones take from the same keys.
#[derive(Debug, Clone)]
pub struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    keys: VecDeque<Digit>,
    over: bool,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// The next key: one of `0` to `9`, `*`, `#` and `A` to `D`; `None` when the call is over for this specialist.
    /// Cancel-safe.
    pub async fn next(&self) -> Option<char> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(key) = state.keys.pop_front() {
                    return Some(key.as_char());
                }
                if state.over {
                    return None;
                }
            }
            changed.await;
        }
    }

    pub(crate) fn push(&self, key: Digit) {
        let mut state = self.lock();
        if state.keys.len() == KEYS_MAX {
            state.keys.pop_front();
        }
        state.keys.push_back(key);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The baton is gone: what nobody has read is not for the next turn.
    pub(crate) fn clear(&self) {
        self.lock().keys.clear();
    }

    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.shared.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: char) -> Digit {
        Digit::new(key).expect("a key of a phone")
    }

    #[tokio::test]
    async fn keys_come_in_order_and_end_with_the_call() {
        let keys = Keys::new();
        let reader = tokio::spawn({
            let keys = keys.clone();
            async move {
                let mut read = String::new();
                while let Some(key) = keys.next().await {
                    read.push(key);
                }
                read
            }
        });
        for pressed in "42#".chars() {
            keys.push(key(pressed));
            tokio::task::yield_now().await;
        }
        keys.end();
        assert_eq!(reader.await.ok().as_deref(), Some("42#"));
    }

    #[tokio::test]
    async fn of_too_many_keys_the_oldest_are_dropped() {
        let keys = Keys::new();
        keys.push(key('1'));
        for _ in 0..KEYS_MAX {
            keys.push(key('2'));
        }
        assert_eq!(keys.next().await, Some('2'));
        keys.clear();
        keys.end();
        assert_eq!(keys.next().await, None);
    }
}
