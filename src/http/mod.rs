//! The operator's side over HTTP: `/api/v1`, with its OpenAPI document, and the page at `/` that draws what it shows.
//!
//! Every request carries a credential, see [`Guard`]. What it may see and do, and what it means, is `admin`'s to say; here
//! it is only read and written. Errors are `application/problem+json`.
//!
//! # What never happens here
//! - Nothing of a call is shown to who brings no credential.
//! - A client that is slow, silent or greedy costs a bounded place, and no call waits for it.

mod calls;
mod events;
mod guard;
mod page;
mod past;
mod problem;
mod said;
mod serve;
mod steer;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use crate::admin::{
    Admin, CallList, CallView, ChangeView, ContextPage, EscalationWish, HandoffAnswer, HandoffWish,
    HoldAnswer, LevelsView, PastCall, PastList, PatchAnswer, PatchWish, RungAnswer, StateView,
    TimelinePage, WaitWish, WorkerView,
};

use crate::admin::Access;
use crate::mcp;

pub use self::guard::Guard;
pub use self::problem::Problem;
pub use self::serve::{ApiServer, ServeError};

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Event streams at the same time.
pub(crate) const STREAMS_MAX: usize = 256;
/// The longest that a client may take to send the head of a request.
pub(crate) const HEAD_MAX: Duration = Duration::from_secs(10);
/// Connections at the same time; one more waits until one closes.
pub(crate) const CONNECTIONS_MAX: usize = 512;

/// What every request is given.
#[derive(Clone, Debug)]
pub(crate) struct App {
    admin: Admin,
    guard: Arc<Guard>,
    streams: Arc<Semaphore>,
    /// Ends the streams, so that the listener can close.
    close: CancellationToken,
}

/// What a request of the agents' protocol is checked with.
#[derive(Clone, Debug)]
struct Agents {
    app: App,
    sessions: Arc<LocalSessionManager>,
}

impl FromRef<Agents> for App {
    fn from_ref(agents: &Agents) -> Self {
        agents.app.clone()
    }
}

/// The document of the interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Baton",
        description = "See and steer the calls of one Baton process. Each request carries a LiveKit access token (`roomList` to list calls, `roomAdmin` with a room for the call in it) or the operator's token.",
    ),
    servers((url = "/api/v1")),
    paths(
        calls::list, calls::one, calls::end, calls::hand_off, steer::hold, steer::resume, steer::escalate, steer::accept, steer::decline, steer::hand_back, calls::worker, calls::drain, events::all, events::of_one,
        said::context, said::state, said::patch, said::packet, said::timeline, said::levels,
        past::list, past::one, past::timeline, past::packet, past::vcon,
    ),
    components(schemas(CallList, CallView, ChangeView, ContextPage, EscalationWish, HandoffAnswer, HandoffWish, HoldAnswer, LevelsView, PastCall, PastList, PatchAnswer, PatchWish, WaitWish, RungAnswer, StateView, TimelinePage, WorkerView, calls::PhaseWord, Problem)),
    security(("bearer" = [])),
)]
struct Document;

/// The OpenAPI document of `/api/v1`.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", bearer);
    document
}

/// Everything that is served; streams end when `close` is cancelled.
pub fn router(admin: Admin, guard: Guard, close: CancellationToken) -> Router {
    let app = App {
        admin,
        guard: Arc::new(guard),
        streams: events::streams(),
        close,
    };
    let (protocol, sessions) = mcp::service(app.admin.clone(), app.close.clone());
    let agents = Agents {
        app: app.clone(),
        sessions,
    };
    let checked = middleware::from_fn_with_state(agents, check_agent);
    let protocol = Router::new().route_service("/mcp", protocol).layer(checked);
    let api = Router::new()
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::one).delete(calls::end))
        .route("/calls/{id}/handoffs", post(calls::hand_off))
        .route("/calls/{id}/hold", post(steer::hold))
        .route("/calls/{id}/resume", post(steer::resume))
        .route("/calls/{id}/escalate", post(steer::escalate))
        .route("/calls/{id}/accept", post(steer::accept))
        .route("/calls/{id}/decline", post(steer::decline))
        .route("/calls/{id}/hand_back", post(steer::hand_back))
        .route("/calls/{id}/events", get(events::of_one))
        .route("/calls/{id}/context", get(said::context))
        .route("/calls/{id}/state", get(said::state).patch(said::patch))
        .route("/calls/{id}/packet", get(said::packet))
        .route("/calls/{id}/timeline", get(said::timeline))
        .route("/calls/{id}/levels", get(said::levels))
        .route("/past", get(past::list))
        .route("/past/{id}", get(past::one))
        .route("/past/{id}/timeline", get(past::timeline))
        .route("/past/{id}/packet", get(past::packet))
        .route("/past/{id}/vcon", get(past::vcon))
        .route("/events", get(events::all))
        .route("/worker", get(calls::worker))
        .route("/drain", post(calls::drain))
        .route("/openapi.json", get(openapi))
        .method_not_allowed_fallback(wrong_method)
        .with_state(app);
    Router::new()
        .nest("/api/v1", api)
        .merge(protocol)
        .merge(page::router())
        .fallback(no_page)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Lets a request of the agents' protocol through with what its credential allows.
async fn check_agent(
    State(Agents { app: _, sessions }): State<Agents>,
    access: Access,
    mut request: Request,
    next: Next,
) -> Response {
    let begins = !request.headers().contains_key("mcp-session-id");
    if begins && sessions.sessions.read().await.len() >= mcp::SESSIONS_MAX {
        return Problem::too_many_sessions(mcp::SESSIONS_MAX).into_response();
    }
    request.extensions_mut().insert(access);
    next.run(request).await
}

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

async fn no_page(uri: Uri) -> impl IntoResponse {
    Problem::no_page(uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> impl IntoResponse {
    Problem::wrong_method(format!("{} does not take {method}", uri.path()))
}
