//! The one thread that drives all connections.

use std::{
    future::Future,
    io,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

use super::pace::Pace;
use crate::pc::PcError;

/// Names that are looked up at the same time.
pub(super) const LOOKUPS_MAX: usize = 4;
/// How long a thread for names stays when there is none to be found.
const LOOKUP_KEEP_ALIVE: Duration = Duration::from_millis(500);

/// Starts the thread if it does not run yet, and a task on it.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), PcError> {
    handle()?.spawn(task);
    Ok(())
}

/// The runtime of the thread.
pub(super) fn handle() -> Result<&'static Handle, PcError> {
    static HANDLE: OnceLock<Result<Handle, String>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| start().map_err(|error| error.to_string()));
    handle
        .as_ref()
        .map_err(|error| PcError::Engine(error.clone()))
}

fn start() -> io::Result<Handle> {
    let pace = Mutex::new(Pace::default());
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // For the names of servers alone; when they are slow to be found, further ones wait.
        .max_blocking_threads(LOOKUPS_MAX)
        .thread_name("lookup")
        .thread_keep_alive(LOOKUP_KEEP_ALIVE)
        .on_thread_park(move || {
            let pause = pace.lock().pause(Instant::now());
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        })
        .build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("webrtc".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
