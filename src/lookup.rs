//! Asks somebody outside, over HTTP, what is known of a caller. The answer is an object of JSON and nothing else is made of it
//! here; what is said of a caller is personal data and never part of an error.

use std::sync::Arc;
use std::time::Duration;

use call::{CallId, CallerFacts};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use worker::Secret;

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Whom to ask, and for how long.
#[derive(Debug)]
pub struct Lookup {
    client: Client,
    url: String,
    token: Option<Secret>,
    timeout: Duration,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum LookupSetupError {
    /// There is no TLS to be had.
    #[error("cannot set up TLS for the caller's lookup")]
    Tls(#[from] rustls::Error),
    /// There is no client to be had.
    #[error("cannot set up the caller's lookup")]
    Client(#[from] reqwest::Error),
}

/// Why nothing more is known of a caller.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// It cannot be reached.
    #[error("no answer")]
    Http(#[source] reqwest::Error),
    /// It does not want to answer.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// It answers with too much.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// It answers with something else.
    #[error("the answer is no object of JSON")]
    NoObject,
}

impl Lookup {
    /// A client for this address.
    ///
    /// # Errors
    /// When there is no TLS or no client to be had.
    pub fn new(
        url: &str,
        token: Option<Secret>,
        timeout: Duration,
    ) -> Result<Self, LookupSetupError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            // A caller's number goes nowhere but to the address that was configured.
            .redirect(Policy::none())
            .build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            token,
            timeout,
        })
    }

    /// What is known of this caller.
    ///
    /// # Errors
    /// When there is no answer in time, or none that can be used.
    pub async fn ask(
        &self,
        call: &CallId,
        caller: &CallerFacts,
    ) -> Result<Map<String, Value>, LookupError> {
        match timeout(self.timeout, self.answer(question(call, caller))).await {
            Ok(answer) => answer,
            Err(_) => Err(LookupError::Timeout(self.timeout)),
        }
    }

    async fn answer(&self, question: Vec<u8>) -> Result<Map<String, Value>, LookupError> {
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(question);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        // The address may carry a credential of its own.
        let hidden = |error: reqwest::Error| LookupError::Http(error.without_url());
        let response = request.send().await.map_err(hidden)?;
        if !response.status().is_success() {
            return Err(LookupError::Status(response.status()));
        }
        let body = read(response).await?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(known)) => Ok(known),
            Ok(_) | Err(_) => Err(LookupError::NoObject),
        }
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, LookupError> {
    let mut body = Vec::new();
    let hidden = |error: reqwest::Error| LookupError::Http(error.without_url());
    while let Some(chunk) = response.chunk().await.map_err(hidden)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(LookupError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn question(call: &CallId, caller: &CallerFacts) -> Vec<u8> {
    let CallerFacts {
        kind,
        room,
        metadata,
        attributes,
    } = caller;
    let attribute = |name: &str| attributes.get(name).map_or("", String::as_str);
    let question = json!({
        "call": call.as_str(),
        "room": room,
        "metadata": metadata,
        "caller": {
            "kind": kind,
            "number": attribute("sip.phoneNumber"),
            "called": attribute("sip.trunkPhoneNumber"),
            "trunk": attribute("sip.trunkID"),
            "attributes": attributes,
        },
    });
    question.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, response::Redirect, routing::post};
    use tokio::net::TcpListener;

    use super::*;

    /// A server of the test's own, that answers at several paths.
    async fn serve() -> String {
        let echo = |headers: HeaderMap, body: String| async move {
            let asked: Value = serde_json::from_str(&body).expect("the question is JSON");
            let token = headers
                .get("authorization")
                .map(|token| token.to_str().map(str::to_owned));
            json!({"number": asked["caller"]["number"], "call": asked["call"], "token": token.and_then(Result::ok)}).to_string()
        };
        let router = Router::new()
            .route("/echo", post(echo))
            .route("/list", post(|| async { "[1]" }))
            .route(
                "/huge",
                post(|| async { format!("{{\"a\": \"{}\"}}", "x".repeat(ANSWER_BYTES_MAX)) }),
            )
            .route("/away", post(|| async { Redirect::temporary("/echo") }))
            .route(
                "/slow",
                post(|| async { std::future::pending::<String>().await }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn asked(url: &str, timeout_ms: u64) -> Result<Map<String, Value>, LookupError> {
        let token = Some(Secret::from("hush"));
        let lookup = Lookup::new(url, token, Duration::from_millis(timeout_ms)).expect("a client");
        let caller = CallerFacts {
            attributes: [("sip.phoneNumber".to_owned(), "+15550199".to_owned())].into(),
            ..CallerFacts::default()
        };
        lookup.ask(&CallId::from("call-1"), &caller).await
    }

    #[tokio::test]
    async fn what_is_known_of_a_caller_comes_back() {
        let known = asked(&format!("{}/echo", serve().await), 20_000)
            .await
            .expect("it answers");
        let expected = json!({"number": "+15550199", "call": "call-1", "token": "Bearer hush"});
        assert_eq!(Value::Object(known), expected);
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_an_error_without_the_address() {
        let server = serve().await;
        let mut said = String::new();
        for (path, timeout_ms) in [
            ("list", 20_000),
            ("huge", 20_000),
            ("away", 20_000),
            ("nothing", 20_000),
            ("slow", 200),
        ] {
            let error = asked(&format!("{server}/{path}"), timeout_ms)
                .await
                .expect_err(path);
            said.push_str(&format!("{path}: {error}\n"));
        }
        let expected = "list: the answer is no object of JSON\n\
            huge: the answer has more than 65536 bytes\n\
            away: the answer is 307 Temporary Redirect\n\
            nothing: the answer is 404 Not Found\n\
            slow: no answer within 200 ms\n";
        assert_eq!(said, expected);
        let nobody = asked("http://127.0.0.1:1/secret-path", 20_000)
            .await
            .expect_err("nobody listens");
        assert!(!format!("{nobody:?}").contains("secret-path"), "{nobody:?}");
    }
}
