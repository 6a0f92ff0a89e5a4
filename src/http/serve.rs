//! The listener: bounded in connections, and in how long a client may take to say what it wants.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{CONNECTIONS_MAX, HEAD_MAX};

/// How long open requests may go on once the listener closes.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// After an error of the operating system (too many open files, for one) the listener tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the interface cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ServeError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// A bound listener with what it will serve.
#[derive(Debug)]
pub struct ApiServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl ApiServer {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound, a taken port among others.
    pub async fn bind(address: SocketAddr, router: Router) -> Result<Self, ServeError> {
        let bound = TcpListener::bind(address)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => Ok(Self {
                listener,
                address,
                router,
            }),
            Err(source) => Err(ServeError { address, source }),
        }
    }

    /// The address that is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `close` is cancelled; open requests may then go on for a second.
    pub async fn serve(self, close: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let open = GracefulShutdown::new();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX);
        loop {
            // Both arms are cancel-safe: a place that is not used is free again, a connection not yet accepted stays.
            let (stream, place) = tokio::select! {
                accepted = accept(&self.listener, &places) => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        debug!(error = &error as &dyn std::error::Error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = close.cancelled() => break,
            };
            let service = TowerToHyperService::new(self.router.clone());
            let connection = builder
                .serve_connection(TokioIo::new(stream), service)
                .into_owned();
            let connection = open.watch(connection);
            // Tracked by `open`; it ends with its client, at the latest a second after `close`.
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(error, "connection ended");
                }
                drop(place);
            });
        }
        let _ = tokio::time::timeout(CLOSE_MAX, open.shutdown()).await;
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
