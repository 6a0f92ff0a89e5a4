//! The requests about what was said in a call and what is known in it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::App;
use super::problem::Problem;
use crate::admin::{
    Access, ContextPage, LevelsView, PatchAnswer, PatchWish, StateView, TimelinePage,
};

/// The largest whole number that every JSON reader keeps as it is.
const PLACE_MAX: u64 = 9_007_199_254_740_991;

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContextQuery {
    /// Only items after this position: `next` of an earlier page.
    #[serde(default)]
    #[param(required = false, maximum = 9_007_199_254_740_991_i64)]
    after: u64,
    /// At most so many, 500 at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// The conversation of a call.
#[utoipa::path(
    get, path = "/calls/{id}/context", tag = "said", params(("id" = String, Path, description = "The call's id"), ContextQuery),
    responses(
        (status = 200, body = ContextPage),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn context(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    query: Result<Query<ContextQuery>, QueryRejection>,
) -> Result<Json<ContextPage>, Problem> {
    let Query(ContextQuery { after, limit }) =
        query.map_err(|error| Problem::invalid(StatusCode::BAD_REQUEST, error.body_text()))?;
    let (after, limit) = (place(after)?, at_most(limit, 500)?);
    Ok(Json(app.admin.context(&access, &id, after, limit)?))
}

/// The shared state of a call.
#[utoipa::path(
    get, path = "/calls/{id}/state", tag = "said", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = StateView),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn state(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<StateView>, Problem> {
    Ok(Json(app.admin.state(&access, &id)?))
}

/// Change the shared state, if nothing that the patch touches has changed since its base version.
#[utoipa::path(
    patch, path = "/calls/{id}/state", tag = "said", params(("id" = String, Path, description = "The call's id")),
    request_body = PatchWish,
    responses(
        (status = 200, body = PatchAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is no JSON"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The state has changed since; `current` and `version` are what it is now"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The patch is not allowed; the detail says where and why"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn patch(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<PatchWish>, JsonRejection>,
) -> Result<Json<PatchAnswer>, Problem> {
    let Json(wish) = wish.map_err(|error| Problem::invalid(error.status(), error.body_text()))?;
    Ok(Json(app.admin.patch_state(&access, &id, wish).await?))
}

/// Conversation and state as a portable packet, as `baton packet` takes and converts it.
#[utoipa::path(
    get, path = "/calls/{id}/packet", tag = "said", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = Object, description = "A packet, see proto/packet.schema.json"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn packet(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let packet = app.admin.packet(&access, &id)?;
    // Maps with names as keys, and finite numbers: always JSON.
    Ok(Json(serde_json::to_value(packet).unwrap_or_default()))
}

/// How loud the caller and the specialists are that Baton listens to, for a picture that moves.
#[utoipa::path(
    get, path = "/calls/{id}/levels", tag = "said", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = LevelsView),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn levels(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<LevelsView>, Problem> {
    Ok(Json(app.admin.levels(&access, &id)?))
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// Only entries after this number: `next` of an earlier page.
    #[serde(default)]
    #[param(required = false, maximum = 9_007_199_254_740_991_i64)]
    pub(super) after: u64,
    /// At most so many, 1,000 at most.
    #[param(minimum = 1, maximum = 1_000)]
    pub(super) limit: Option<usize>,
}

/// What has happened in a call: who had the baton when, and why.
#[utoipa::path(
    get, path = "/calls/{id}/timeline", tag = "said", params(("id" = String, Path, description = "The call's id"), TimelineQuery),
    responses(
        (status = 200, body = TimelinePage),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
    ),
)]
pub(super) async fn timeline(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    query: Result<Query<TimelineQuery>, QueryRejection>,
) -> Result<Json<TimelinePage>, Problem> {
    let Query(TimelineQuery { after, limit }) =
        query.map_err(|error| Problem::invalid(StatusCode::BAD_REQUEST, error.body_text()))?;
    let (after, limit) = (place(after)?, at_most(limit, 1_000)?);
    Ok(Json(app.admin.timeline(&access, &id, after, limit)?))
}

/// Checks a place to go on from: no call has so many.
pub(super) fn place(after: u64) -> Result<u64, Problem> {
    if after > PLACE_MAX {
        let what = format!("`after` is a number from 0 to {PLACE_MAX}");
        return Err(Problem::invalid(StatusCode::UNPROCESSABLE_ENTITY, what));
    }
    Ok(after)
}

/// Checks a limit that is given.
pub(super) fn at_most(limit: Option<usize>, max: usize) -> Result<Option<usize>, Problem> {
    if limit.is_some_and(|limit| !(1..=max).contains(&limit)) {
        let what = format!("`limit` is a number from 1 to {max}");
        return Err(Problem::invalid(StatusCode::UNPROCESSABLE_ENTITY, what));
    }
    Ok(limit)
}
