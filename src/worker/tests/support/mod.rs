//! What the tests of the worker share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

pub(crate) mod child;
pub(crate) mod fake;
pub(crate) mod server;

/// How long a test waits for what must happen; far longer than it takes, for busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, and fails the test if it takes longer than [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
