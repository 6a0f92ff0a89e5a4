//! The requests about calls: each takes what came, asks `admin`, and writes the answer.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::problem::Problem;
use super::steer::with_status;
use crate::admin::{
    Access, AdminError, CallList, CallView, Filter, HandoffAnswer, HandoffWish, WorkerView,
};

/// Which calls to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only calls in this phase.
    phase: Option<PhaseWord>,
    /// Only calls whose baton is with this specialist.
    holder: Option<String>,
    /// Only calls whose id, room or caller contains this text, as far as the credential shows them.
    text: Option<String>,
    /// Only calls after this id: `next` of an earlier page.
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A phase of a call.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PhaseWord {
    Idle,
    Preparing,
    Ready,
    Switching,
    Active,
}

impl PhaseWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Switching => "switching",
            Self::Active => "active",
        }
    }
}

/// The calls of this process that the credential shows, in the order of their ids.
#[utoipa::path(
    get, path = "/calls", tag = "calls", params(ListQuery),
    responses(
        (status = 200, body = CallList),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential shows no call"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
    ),
)]
pub(super) async fn list(
    State(app): State<App>,
    access: Access,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<CallList>, Problem> {
    let Query(ListQuery {
        phase,
        holder,
        text,
        after,
        limit,
    }) = query.map_err(|error| Problem::invalid(StatusCode::BAD_REQUEST, error.body_text()))?;
    if limit == Some(0) || limit.is_some_and(|limit| limit > crate::admin::PAGE_MAX) {
        let what = format!("`limit` is a number from 1 to {}", crate::admin::PAGE_MAX);
        return Err(AdminError::Invalid { what }.into());
    }
    let filter = Filter {
        phase: phase.map(|phase| phase.as_str().to_owned()),
        holder,
        text,
        after,
        limit,
    };
    Ok(Json(app.admin.calls(&access, &filter)?))
}

/// One call.
#[utoipa::path(
    get, path = "/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = CallView),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<CallView>, Problem> {
    Ok(Json(app.admin.call(&access, &id)?))
}

/// Move the baton, if the call's rules allow it, and wait for what becomes of it.
#[utoipa::path(
    post, path = "/calls/{id}/handoffs", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    request_body = HandoffWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton has moved"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is no JSON"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The rules refuse it; `reason` says which"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is wrong"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "It was tried in vain; `reason` says why"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn hand_off(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<HandoffWish>, JsonRejection>,
) -> Result<(StatusCode, Json<HandoffAnswer>), Problem> {
    let Json(wish) = wish.map_err(|error| Problem::invalid(error.status(), error.body_text()))?;
    Ok(with_status(app.admin.hand_off(&access, &id, wish).await?))
}

/// End a call.
#[utoipa::path(
    delete, path = "/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 204, description = "It ends"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn end(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.admin.end(&access, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This process as a worker.
#[utoipa::path(
    get, path = "/worker", tag = "process",
    responses(
        (status = 200, body = WorkerView),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential shows no call"),
    ),
)]
pub(super) async fn worker(
    State(app): State<App>,
    access: Access,
) -> Result<Json<WorkerView>, Problem> {
    Ok(Json(app.admin.worker(&access)?))
}

/// Take no more calls, let the running ones finish, and end the process.
#[utoipa::path(
    post, path = "/drain", tag = "process",
    responses(
        (status = 202, description = "It drains"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential is not the operator's"),
    ),
)]
pub(super) async fn drain(State(app): State<App>, access: Access) -> Result<StatusCode, Problem> {
    app.admin.drain(&access)?;
    Ok(StatusCode::ACCEPTED)
}
