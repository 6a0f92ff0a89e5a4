//! The requests about a call that waits or needs somebody else: each takes what came, asks `admin`, and writes the answer.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;
use crate::admin::{Access, EscalationWish, HandoffAnswer, HoldAnswer, ResumeWish, RungAnswer};

/// Put the caller on hold: nobody has the baton, and the filler is heard.
#[utoipa::path(
    post, path = "/calls/{id}/hold", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = HoldAnswer),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn hold(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<HoldAnswer>, Problem> {
    Ok(Json(app.admin.hold(&access, &id).await?))
}

/// End the hold: who had the baton before has it again.
#[utoipa::path(
    post, path = "/calls/{id}/resume", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    request_body = ResumeWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton is back"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is no JSON"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is wrong"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "It was tried in vain; `reason` says why"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn resume(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<ResumeWish>, JsonRejection>,
) -> Result<(StatusCode, Json<HandoffAnswer>), Problem> {
    let Json(wish) = wish.map_err(|error| Problem::invalid(error.status(), error.body_text()))?;
    Ok(with_status(app.admin.resume(&access, &id, wish).await?))
}

/// Move the baton to whom the configuration names as `escalation`.
#[utoipa::path(
    post, path = "/calls/{id}/escalate", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    request_body = EscalationWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton has moved"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is no JSON"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is wrong"),
        (status = 501, body = Problem, content_type = "application/problem+json", description = "The configuration names nobody to escalate to"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "It was tried in vain; `reason` says why"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn escalate(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<EscalationWish>, JsonRejection>,
) -> Result<(StatusCode, Json<HandoffAnswer>), Problem> {
    let Json(wish) = wish.map_err(|error| Problem::invalid(error.status(), error.body_text()))?;
    Ok(with_status(app.admin.escalate(&access, &id, wish).await?))
}

/// Accept the call for the person that is rung and there, as its key does. How the handoff goes on, the changes of the call tell.
#[utoipa::path(
    post, path = "/calls/{id}/accept", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = RungAnswer),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn accept(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<RungAnswer>, Problem> {
    Ok(Json(app.admin.accept(&access, &id).await?))
}

/// Decline the call for the person that is rung, whether it is there or not. For whoever asked for it that is no answer.
#[utoipa::path(
    post, path = "/calls/{id}/decline", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = RungAnswer),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn decline(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<RungAnswer>, Problem> {
    Ok(Json(app.admin.decline(&access, &id).await?))
}

/// Have the person that has the baton give it back to whoever had it before, as its key does.
#[utoipa::path(
    post, path = "/calls/{id}/hand_back", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    request_body = ResumeWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton is back"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is no JSON"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential does not steer this call"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is refused; `reason` says why"),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "The call ended before it answered"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is wrong"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "It was tried in vain; `reason` says why"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The call is busy"),
    ),
)]
pub(super) async fn hand_back(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<ResumeWish>, JsonRejection>,
) -> Result<(StatusCode, Json<HandoffAnswer>), Problem> {
    let Json(wish) = wish.map_err(|error| Problem::invalid(error.status(), error.body_text()))?;
    Ok(with_status(app.admin.hand_back(&access, &id, wish).await?))
}

pub(super) fn with_status(answer: HandoffAnswer) -> (StatusCode, Json<HandoffAnswer>) {
    let status = match answer {
        HandoffAnswer::Done { .. } => StatusCode::OK,
        HandoffAnswer::UnderWay => StatusCode::ACCEPTED,
    };
    (status, Json(answer))
}
