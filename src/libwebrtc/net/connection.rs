//! A connection, as its users and its driver share it.

use std::{
    future::poll_fn,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{ConnectionReport, Server, State, driver, engine};
use crate::{
    audio::track::Driver,
    pc::{Event, PcError, TransceiverId},
};

/// Which ways to the peer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Any.
    All,
    /// Those that do not tell the peer an address of this machine.
    NoHost,
    /// Those over an address that a server lends.
    Relay,
}

/// How a connection finds its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionConfig {
    pub(crate) policy: Policy,
    /// The servers that help.
    pub(crate) servers: Arc<[Server]>,
    /// Whether addresses that appear later are used.
    pub(crate) continually: bool,
}

/// Told of what happens, on the engine's thread and without any lock held. It must not block.
pub(crate) trait EventSink: Send + Sync {
    /// Takes an event.
    fn deliver(&self, event: Event);
}

/// A connection.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// Wakes the driver. Apart, so that media sources can hold it without holding the connection.
    changes: Arc<Changes>,
}

/// Whether there is something new for the driver, which alone waits for it.
struct Changes {
    there: AtomicBool,
    driver: AtomicWaker,
    connection: Weak<Connection>,
}

impl Driver for Changes {
    fn wake(&self) {
        self.note();
    }

    /// Waking the driver's thread costs more than sending a packet.
    fn send(&self) {
        let connection = self.connection.upgrade();
        if !connection.is_some_and(|connection| connection.try_send()) {
            self.note();
        }
    }
}

impl Changes {
    fn note(&self) {
        self.there.store(true, Ordering::Release);
        self.driver.wake();
    }

    fn take(&self) -> bool {
        self.there.swap(false, Ordering::AcqRel)
    }

    /// Whether there are changes, which are left for [`Self::take`].
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.driver.register(context.waker());
        match self.there.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Connection {
    /// A connection whose driver does not run yet.
    pub(crate) fn open(config: ConnectionConfig) -> Result<Arc<Self>, PcError> {
        engine::handle()?;
        Ok(Arc::new_cyclic(|connection| {
            let changes = Arc::new(Changes {
                there: AtomicBool::new(false),
                driver: AtomicWaker::new(),
                connection: connection.clone(),
            });
            let state = State::new(Instant::now(), config, changes.clone());
            Self {
                state: Mutex::new(state),
                changes,
            }
        }))
    }

    /// Starts the driver, which tells `sink` for as long as somebody else holds it.
    pub(crate) fn start(self: &Arc<Self>, sink: Weak<dyn EventSink>) {
        if let Err(error) = engine::spawn(driver::run(self.clone(), sink)) {
            tracing::error!(%error, "a connection cannot be driven");
        }
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Changes the state, and has the driver carry out what follows.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let result = change(&mut self.state.lock(), Instant::now());
        self.changes.note();
        result
    }

    /// Changes the state, and returns when the events that follow have been delivered.
    pub(crate) async fn settle<R>(
        &self,
        change: impl FnOnce(&mut State, Instant) -> Result<R, PcError>,
    ) -> Result<R, PcError> {
        let (done, delivered) = oneshot::channel();
        let result = self.with(|state, now| {
            let result = change(state, now)?;
            state.notify_settled(done);
            Ok(result)
        })?;
        // An error means that the driver has ended, after which nothing is delivered.
        delivered.await.ok();
        Ok(result)
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, config: ConnectionConfig) -> Result<(), PcError> {
        self.with(|state, _| state.configure(config))
    }

    /// Closes the connection; the driver ends soon after.
    pub(crate) fn close(&self) {
        self.with(|state, now| state.close(now));
    }

    /// What is known of the connection, or of one transceiver of it.
    pub(crate) fn report(&self, only: Option<TransceiverId>) -> ConnectionReport {
        self.read(|state| state.report(only))
    }

    /// Waits until somebody has changed the state, or has something for it to send.
    pub(super) async fn changed(&self) {
        poll_fn(|context| self.changes.poll(context)).await;
    }

    /// Sends on this thread what sources have for it, if nobody is at work on the state. Says whether nothing is left for the driver.
    fn try_send(&self) -> bool {
        let state = self.state.try_lock();
        state.is_some_and(|mut state| state.send_now(Instant::now()))
    }

    /// Whether there are changes, all of which are about to be looked at.
    pub(super) fn take_changes(&self) -> bool {
        self.changes.take()
    }

    /// Runs the driver's share without waking the driver.
    pub(super) fn drive<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_change_that_has_woken_the_driver_is_still_there_when_it_looks() {
        let changes = Changes {
            there: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            connection: Weak::new(),
        };
        let context = Context::from_waker(Waker::noop());
        assert!(changes.poll(&context).is_pending());
        changes.note();
        assert!(changes.poll(&context).is_ready());
        assert!(changes.take());
        assert!(changes.poll(&context).is_pending());
    }
}
