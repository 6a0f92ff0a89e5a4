//! Asking somebody else's service over HTTP: one client for all calls, every answer bounded.

use std::sync::Arc;

use rustls::crypto::ring;
use serde_json::Value;

/// A client for webhooks, shared by every call of a process.
#[derive(Clone, Debug)]
pub struct Webhooks(reqwest::Client);

/// Why there is no client for webhooks.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// No protocol of TLS can be spoken.
    #[error("no client for webhooks: {0}")]
    Tls(#[from] rustls::Error),
    /// It cannot be built.
    #[error("no client for webhooks")]
    Client(#[from] reqwest::Error),
}

/// Why a webhook has not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebhookError {
    #[error("the webhook could not be asked: {0}")]
    NotAsked(String),
    #[error("the webhook answered with status {0}")]
    Status(u16),
    #[error("the webhook answered with more than {0} bytes")]
    TooLong(usize),
}

impl Webhooks {
    /// A client that trusts the system's roots, or those of `SSL_CERT_FILE`, and follows no redirects.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self, WebhooksError> {
        let mut roots = rustls::RootCertStore::empty();
        // Where there are none, a webhook at https fails when it is asked, and one at http does not care.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(client))
    }

    /// Posts JSON and gives the answer, of at most `bytes_max`. How long that may take is bounded by whoever asks.
    pub(super) async fn ask(
        &self,
        url: &str,
        asked: &Value,
        bytes_max: usize,
    ) -> Result<Vec<u8>, WebhookError> {
        // What an error says of the URL is left out: it may hold a secret.
        let not_asked =
            |error: reqwest::Error| WebhookError::NotAsked(error.without_url().to_string());
        let request = self.0.post(url).header("content-type", "application/json");
        let request = request.body(asked.to_string());
        let mut response = request.send().await.map_err(not_asked)?;
        if !response.status().is_success() {
            return Err(WebhookError::Status(response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(not_asked)? {
            if answer.len() + piece.len() > bytes_max {
                return Err(WebhookError::TooLong(bytes_max));
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }
}
