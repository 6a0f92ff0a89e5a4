//! The requests about calls that have ended: each takes what came, asks `admin`, and writes the answer.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::App;
use super::problem::Problem;
use super::said::{TimelineQuery, at_most, place};
use crate::admin::{Access, PAGE_MAX, PastCall, PastList, TimelinePage};

/// Which ended calls to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PastQuery {
    /// Only calls whose id or room contains this text, as far as the credential shows them.
    text: Option<String>,
    /// At most so many, the newest.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Calls that have ended, the newest end first.
#[utoipa::path(
    get, path = "/past", tag = "past", params(PastQuery),
    responses(
        (status = 200, body = PastList),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not show this"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "No journal is kept"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The journal cannot be read now"),
    ),
)]
pub(super) async fn list(
    State(app): State<App>,
    access: Access,
    query: Result<Query<PastQuery>, QueryRejection>,
) -> Result<Json<PastList>, Problem> {
    let Query(PastQuery { text, limit }) =
        query.map_err(|error| Problem::invalid(StatusCode::BAD_REQUEST, error.body_text()))?;
    let limit = at_most(limit, PAGE_MAX)?;
    let found = app.admin.past(&access, text.as_deref(), limit).await?;
    Ok(Json(found))
}

/// One call that has ended.
#[utoipa::path(
    get, path = "/past/{id}", tag = "past", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = PastCall),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such ended call, or the credential does not show it"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "No journal is kept"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The journal cannot be read now"),
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<PastCall>, Problem> {
    Ok(Json(app.admin.past_call(&access, &id).await?))
}

/// What has happened in a call that has ended.
#[utoipa::path(
    get, path = "/past/{id}/timeline", tag = "past", params(("id" = String, Path, description = "The call's id"), TimelineQuery),
    responses(
        (status = 200, body = TimelinePage),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not show this"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such ended call, or the credential does not show it"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "No journal is kept"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The journal cannot be read now"),
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
    let found = app.admin.past_timeline(&access, &id, after, limit).await?;
    Ok(Json(found))
}

/// Conversation and state of a call that has ended, as a portable packet.
#[utoipa::path(
    get, path = "/past/{id}/packet", tag = "past", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = Object, description = "A packet, see proto/packet.schema.json"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not show this"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such ended call, or the credential does not show it"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "No journal is kept"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The journal cannot be read now"),
    ),
)]
pub(super) async fn packet(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let packet = app.admin.past_packet(&access, &id).await?;
    // Maps with names as keys, and finite numbers: always JSON.
    Ok(Json(serde_json::to_value(packet).unwrap_or_default()))
}

/// A call that has ended as a vCon, the IETF's container for conversations.
#[utoipa::path(
    get, path = "/past/{id}/vcon", tag = "past", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = Object, content_type = "application/vcon+json", description = "A vCon"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not show this"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such ended call, or the credential does not show it"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is out of bounds"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "No journal is kept"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The journal cannot be read now"),
    ),
)]
pub(super) async fn vcon(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<impl IntoResponse + use<>, Problem> {
    let vcon = app.admin.past_vcon(&access, &id).await?;
    Ok((
        [(header::CONTENT_TYPE, "application/vcon+json")],
        Json(vcon),
    ))
}
