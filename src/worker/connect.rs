//! Opening the worker's WebSocket and registering on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_token::{AccessToken, AccessTokenError, VideoGrants};
use prost::Message as _;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use crate::config::{Permissions, WorkerConfig};

/// How long opening the connection and registering may take together.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// How long the token of one connection is valid: long enough for clocks that differ.
const TOKEN_TTL: Duration = Duration::from_secs(600);
/// The largest message taken from the server. A job carries metadata of at most 64 kB or so.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The interval of pings, as told to the server, in seconds.
pub(crate) const PING_INTERVAL_SECS: u32 = 10;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection on which the worker is registered.
pub(crate) struct Registered {
    pub(crate) socket: Socket,
    pub(crate) worker_id: String,
    pub(crate) server_version: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot reach the server at {host}: {cause}")]
    Unreachable { host: String, cause: String },
    #[error("no answer from the server at {host} within {} s", CONNECT_MAX.as_secs())]
    Timeout { host: String },
    #[error("the server does not know the api key {api_key:?}")]
    KeyUnknown { api_key: String },
    #[error("the api secret does not match the api key {api_key:?}")]
    SecretMismatch { api_key: String },
    #[error("the server does not accept the api key {api_key:?} (http status {status})")]
    Unauthorized { api_key: String, status: u16 },
    #[error("the server at {host} answered with http status {status}, it is no livekit server")]
    NotLiveKit { host: String, status: u16 },
    #[error("the server closed the connection before it registered the worker")]
    Closed,
    #[error("the worker's token could not be signed")]
    Token(#[from] AccessTokenError),
    #[error("no root certificates were found for a tls connection: {reason}")]
    NoRoots { reason: String },
    #[error("the worker's configuration cannot be used for a connection: {reason}")]
    Config { reason: String },
}

impl ConnectError {
    /// Whether only a change of the keys, here or on the server, can help.
    pub(crate) fn is_about_keys(&self) -> bool {
        match self {
            Self::KeyUnknown { .. } | Self::SecretMismatch { .. } | Self::Unauthorized { .. } => {
                true
            }
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotLiveKit { .. }
            | Self::Closed
            | Self::Token(_)
            | Self::NoRoots { .. }
            | Self::Config { .. } => false,
        }
    }
}

/// Connects and registers; gives up after 15 s.
pub(crate) async fn connect(config: &WorkerConfig) -> Result<Registered, ConnectError> {
    let url = config.socket_url().map_err(|error| ConnectError::Config {
        reason: error.to_string(),
    })?;
    let host = url.authority().to_owned();
    let attempt = async {
        let mut socket = open(config, &url, &host).await?;
        let answer = register(config, &host, &mut socket).await?;
        Ok(Registered {
            socket,
            worker_id: answer.worker_id,
            server_version: answer
                .server_info
                .map(|info| info.version)
                .unwrap_or_default(),
        })
    };
    match timeout(CONNECT_MAX, attempt).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout { host }),
    }
}

async fn open(config: &WorkerConfig, url: &url::Url, host: &str) -> Result<Socket, ConnectError> {
    let not_usable = |reason: String| ConnectError::Config { reason };
    let bearer = format!("Bearer {}", sign(config)?);
    let mut bearer =
        HeaderValue::try_from(bearer).map_err(|error| not_usable(error.to_string()))?;
    bearer.set_sensitive(true);
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| not_usable(error.to_string()))?;
    request.headers_mut().insert(AUTHORIZATION, bearer);

    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let connector = match url.scheme() {
        "wss" => Connector::Rustls(Arc::new(tls_config()?)),
        _ => Connector::Plain,
    };
    // Offers are small and urgent, so Nagle's algorithm is off.
    let opened = connect_async_tls_with_config(request, Some(limits), true, Some(connector)).await;
    match opened {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(refused(config, host, response.status().as_u16(), body))
        }
        Err(error) => Err(ConnectError::Unreachable {
            host: host.to_owned(),
            cause: error.to_string(),
        }),
    }
}

/// The error for an HTTP answer instead of a WebSocket. The body is looked at and never shown: of a
/// wrong secret, it repeats the token.
fn refused(config: &WorkerConfig, host: &str, status: u16, body: &[u8]) -> ConnectError {
    let api_key = config.api_key.clone();
    if status != 401 && status != 403 {
        let host = host.to_owned();
        return ConnectError::NotLiveKit { host, status };
    }
    let says = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    if says(b"invalid API key") {
        ConnectError::KeyUnknown { api_key }
    } else if says(b"invalid token") {
        ConnectError::SecretMismatch { api_key }
    } else {
        ConnectError::Unauthorized { api_key, status }
    }
}

fn sign(config: &WorkerConfig) -> Result<String, AccessTokenError> {
    let grants = VideoGrants {
        agent: true,
        ..VideoGrants::default()
    };
    AccessToken::with_api_key(&config.api_key, config.api_secret.expose())
        .with_ttl(TOKEN_TTL)
        .with_grants(grants)
        .to_jwt()
}

/// The system's roots, or those of `SSL_CERT_FILE`. The provider is named because a process may
/// hold two, and rustls would not choose.
fn tls_config() -> Result<rustls::ClientConfig, ConnectError> {
    let no_roots = |reason: String| ConnectError::NoRoots { reason };
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() {
            "the system has none".to_owned()
        } else {
            reasons.join(", ")
        };
        return Err(no_roots(reason));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_roots(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

async fn register(
    config: &WorkerConfig,
    host: &str,
    socket: &mut Socket,
) -> Result<proto::RegisterWorkerResponse, ConnectError> {
    let broken = |error: tungstenite::Error| ConnectError::Unreachable {
        host: host.to_owned(),
        cause: error.to_string(),
    };
    let request = proto::RegisterWorkerRequest {
        r#type: proto::JobType::JtRoom as i32,
        agent_name: config.agent_name.clone(),
        deployment: config.deployment.clone(),
        version: config.version.clone(),
        ping_interval: PING_INTERVAL_SECS,
        allowed_permissions: Some(permissions(config.permissions)),
        ..Default::default()
    };
    let frame = encode(ToServer::Register(request));
    socket.send(frame).await.map_err(broken)?;
    while let Some(frame) = socket.next().await {
        match decode(frame.map_err(broken)?) {
            Frame::Message(message) => match *message {
                FromServer::Register(answer) => return Ok(answer),
                FromServer::Availability(_)
                | FromServer::Assignment(_)
                | FromServer::Termination(_)
                | FromServer::Pong(_)
                | FromServer::GoAway(_) => {}
            },
            Frame::Closed(_) => return Err(ConnectError::Closed),
            Frame::Unknown | Frame::Garbage(_) | Frame::Control => {}
        }
    }
    Err(ConnectError::Closed)
}

fn permissions(given: Permissions) -> proto::ParticipantPermission {
    let Permissions {
        can_publish,
        can_subscribe,
        can_publish_data,
        can_update_metadata,
        hidden,
    } = given;
    proto::ParticipantPermission {
        can_publish,
        can_subscribe,
        can_publish_data,
        can_update_metadata,
        hidden,
        ..Default::default()
    }
}

pub(crate) fn encode(message: ToServer) -> Message {
    let message = proto::WorkerMessage {
        message: Some(message),
    };
    Message::Binary(message.encode_to_vec().into())
}

/// A WebSocket frame from the server, as far as this worker understands it.
pub(crate) enum Frame {
    Message(Box<FromServer>),
    /// A message of a kind that this version of the protocol does not know.
    Unknown,
    /// No message of the protocol, and why.
    Garbage(String),
    /// A ping or pong of the WebSocket itself, answered by the library.
    Control,
    /// The server closes the connection, with its reason.
    Closed(String),
}

pub(crate) fn decode(frame: Message) -> Frame {
    match frame {
        Message::Binary(bytes) => match proto::ServerMessage::decode(bytes) {
            Ok(proto::ServerMessage {
                message: Some(message),
            }) => Frame::Message(Box::new(message)),
            Ok(proto::ServerMessage { message: None }) => Frame::Unknown,
            Err(error) => Frame::Garbage(error.to_string()),
        },
        Message::Text(text) => Frame::Garbage(format!("{} bytes of text", text.len())),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Frame::Control,
        Message::Close(frame) => Frame::Closed(
            frame
                .map(|frame| frame.reason.to_string())
                .filter(|reason| !reason.is_empty())
                .unwrap_or_else(|| "no reason given".to_owned()),
        ),
    }
}
