//! Handles that the application and the driver share.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{frames::FrameQueue, sink::PcmSink, source::PcmSource};

/// Who drives a connection, as its tracks see it. It may be called from any thread.
pub(crate) trait Driver: Send + Sync {
    /// A track wants to be polled again. Locks of this module may be held: it does no more than set a flag or notify a task.
    fn wake(&self);

    /// A track has a packet to send, at once if that can be done on this thread. No lock of this module is held.
    fn send(&self) {
        self.wake();
    }
}

impl<F: Fn() + Send + Sync> Driver for F {
    fn wake(&self) {
        self();
    }
}

/// The most sinks that one track feeds; a further one is refused.
pub(crate) const SINKS_MAX: usize = 64;

/// A track of sound that this side makes. Clones are the same track.
#[derive(Clone)]
pub(crate) struct LocalAudio {
    inner: Arc<Local>,
}

struct Local {
    source: PcmSource,
    enabled: AtomicBool,
}

impl LocalAudio {
    /// A new track of what `source` yields. Several tracks may share a source.
    pub(crate) fn new(source: PcmSource) -> Self {
        Self {
            inner: Arc::new(Local {
                source,
                enabled: AtomicBool::new(true),
            }),
        }
    }

    /// Where the sound comes from.
    pub(crate) fn source(&self) -> &PcmSource {
        &self.inner.source
    }

    /// Whether the track carries sound; a disabled one carries silence.
    pub(crate) fn enabled(&self) -> bool {
        self.inner.enabled.load(Ordering::Relaxed)
    }

    /// Switches the sound on or off; returns whether that changed anything.
    pub(crate) fn set_enabled(&self, enabled: bool) -> bool {
        self.inner.enabled.swap(enabled, Ordering::Relaxed) != enabled
    }

    /// Also hands the sound to `sink`, until the sink is closed or dropped. Returns false if the source has too many.
    pub(crate) fn add_sink(&self, sink: &Arc<PcmSink>) -> bool {
        self.inner.source.subscribe(sink.clone())
    }
}

impl fmt::Debug for LocalAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAudio")
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

/// A track of sound that arrives from the other side. Clones are the same track.
///
/// It outlives the receiver that feeds it: without one its sinks just get nothing.
#[derive(Clone)]
pub(crate) struct RemoteAudio {
    inner: Arc<Remote>,
}

struct Remote {
    enabled: AtomicBool,
    /// Counts changes of the sinks and taps, so that the receiver looks at the lists only then. It is changed under the lock.
    generation: AtomicU64,
    state: Mutex<RemoteState>,
}

struct RemoteState {
    sinks: Vec<Weak<PcmSink>>,
    taps: Vec<Weak<FrameQueue>>,
    /// Streams that have begun on this track.
    streams: u64,
    driver: Option<Arc<dyn Driver>>,
}

impl RemoteAudio {
    /// A new track without sinks.
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Remote {
                enabled: AtomicBool::new(true),
                generation: AtomicU64::new(0),
                state: Mutex::new(RemoteState {
                    sinks: Vec::new(),
                    taps: Vec::new(),
                    streams: 0,
                    driver: None,
                }),
            }),
        }
    }

    /// Whether the sinks get the sound; if not, they get silence.
    pub(crate) fn enabled(&self) -> bool {
        self.inner.enabled.load(Ordering::Relaxed)
    }

    /// Switches the sound on or off; returns whether that changed anything.
    pub(crate) fn set_enabled(&self, enabled: bool) -> bool {
        self.inner.enabled.swap(enabled, Ordering::Relaxed) != enabled
    }

    /// Hands the sound to `sink`, until the sink is closed or dropped. Returns false if there are too many.
    pub(crate) fn add_sink(&self, sink: &Arc<PcmSink>) -> bool {
        let mut state = self.inner.state.lock();
        state.sinks.retain(|sink| sink.strong_count() > 0);
        if state.sinks.len() >= SINKS_MAX {
            return false;
        }
        state.sinks.push(Arc::downgrade(sink));
        self.inner.generation.fetch_add(1, Ordering::Release);
        let driver = state.driver.clone();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        true
    }

    /// Hands the packets to `tap` as they come, until the tap is closed or dropped. Returns false if there are too many.
    pub(crate) fn add_tap(&self, tap: &Arc<FrameQueue>) -> bool {
        let mut state = self.inner.state.lock();
        state.taps.retain(|tap| tap.strong_count() > 0);
        if state.taps.len() >= SINKS_MAX {
            return false;
        }
        state.taps.push(Arc::downgrade(tap));
        self.inner.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Counts a stream that begins; returns its number, from 1.
    pub(crate) fn begin_stream(&self) -> u64 {
        let mut state = self.inner.state.lock();
        state.streams += 1;
        state.streams
    }

    /// Sets whom to wake when a sink is added.
    pub(crate) fn set_driver(&self, driver: Option<Arc<dyn Driver>>) {
        let old = std::mem::replace(&mut self.inner.state.lock().driver, driver);
        drop(old);
    }

    /// Copies the open sinks and taps if they have changed since `generation`; returns the new generation.
    pub(crate) fn listeners_since(
        &self,
        generation: u64,
        sinks: &mut Vec<Arc<PcmSink>>,
        taps: &mut Vec<Arc<FrameQueue>>,
    ) -> u64 {
        if self.inner.generation.load(Ordering::Acquire) == generation {
            return generation;
        }
        let mut state = self.inner.state.lock();
        sinks.clear();
        sinks.extend(state.sinks.iter().filter_map(Weak::upgrade));
        state.sinks.retain(|sink| sink.strong_count() > 0);
        taps.clear();
        taps.extend(state.taps.iter().filter_map(Weak::upgrade));
        state.taps.retain(|tap| tap.strong_count() > 0);
        self.inner.generation.load(Ordering::Acquire)
    }
}

impl Default for RemoteAudio {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RemoteAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAudio")
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}
