//! `baton mcp`: the protocol over standard input and output, carried to a running Baton's `/mcp` and back.

use std::time::Duration;

use rmcp::service::{RoleClient, RoleServer};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use worker::Secret;

/// Messages of the client that are on their way at the same time; with more, its input is read no further.
const UNDER_WAY_MAX: usize = 64;
/// How long answers may still take when the client has closed its input.
const LAST_ANSWERS: Duration = Duration::from_secs(70);

/// Why the bridge could not go on.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A message did not reach Baton.
    #[error("baton at {url} does not take it: {reason}")]
    Remote {
        /// Where Baton was sought.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The client does not read.
    #[error("the client takes no answers: {0}")]
    Client(#[source] std::io::Error),
}

/// Carries messages between a client's streams and Baton at `url`, until the client closes its input.
///
/// # Errors
/// When Baton cannot be reached or does not take the token, or the client does not read.
pub async fn bridge(
    input: impl AsyncRead + Send + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    url: &str,
    token: &Secret,
) -> Result<(), BridgeError> {
    let config =
        StreamableHttpClientTransportConfig::with_uri(url).auth_header(token.expose().to_owned());
    let mut baton = StreamableHttpClientTransport::from_config(config);
    let mut client = AsyncRwTransport::<RoleServer, _, _>::new(input, output);
    let remote = |reason: String| BridgeError::Remote {
        url: url.to_owned(),
        reason,
    };
    let mut sending = JoinSet::new();
    let mut open = true;
    while open || !sending.is_empty() {
        // Each arm is cancel-safe: two receive from queues, a line that is half read is kept, and a task that is not
        // joined stays in the set.
        tokio::select! {
            message = Transport::<RoleServer>::receive(&mut client), if open && sending.len() < UNDER_WAY_MAX => {
                match message {
                    Some(message) => {
                        sending.spawn(Transport::<RoleClient>::send(&mut baton, message));
                    }
                    None => open = false,
                }
            }
            message = Transport::<RoleClient>::receive(&mut baton) => {
                let Some(message) = message else {
                    return Err(remote("the connection is over".to_owned()));
                };
                Transport::<RoleServer>::send(&mut client, message)
                    .await
                    .map_err(BridgeError::Client)?;
            }
            Some(sent) = sending.join_next() => match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(remote(error.to_string())),
                Err(error) => return Err(remote(error.to_string())),
            },
            () = tokio::time::sleep(LAST_ANSWERS), if !open => break,
        }
    }
    // Tells Baton that the session is over; it notices by itself if that does not arrive.
    let _ = tokio::time::timeout(
        Duration::from_secs(2),
        Transport::<RoleClient>::close(&mut baton),
    )
    .await;
    Ok(())
}
