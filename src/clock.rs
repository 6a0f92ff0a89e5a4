//! The only place that reads time. It follows tokio's clock, so that tests can stop it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, for measuring durations and for the state machines.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, for what is told to others with a begin and an end.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since 1970 in UTC, for what leaves the process; 0 where the machine's clock stands before that.
pub fn unix_ms() -> u64 {
    let since_1970 = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
