//! The requests about a call that waits or needs somebody else: each takes what came, asks `admin`, and writes the answer.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa::IntoResponses;

use super::App;
use super::problem::Problem;
use crate::admin::{Access, EscalationWish, HandoffAnswer, HoldAnswer, RungAnswer, WaitWish};

/// How each wish about a call may be turned down; only the interface's description is made of it.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "its variants are read by the derive")]
pub(super) enum NotSteered {
    /// No valid credential
    #[response(status = 401, content_type = "application/problem+json")]
    Unknown(Problem),
    /// The credential does not steer this call
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such call, or the credential does not show it
    #[response(status = 404, content_type = "application/problem+json")]
    NoCall(Problem),
    /// It is refused; `reason` says why
    #[response(status = 409, content_type = "application/problem+json")]
    Refused(Problem),
    /// The call ended before it answered
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(Problem),
    /// The call is busy
    #[response(status = 503, content_type = "application/problem+json")]
    Busy(Problem),
}

/// How a body may be one that is not read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "its variants are read by the derive")]
pub(super) enum NotRead {
    /// The body is no JSON
    #[response(status = 400, content_type = "application/problem+json")]
    NoJson(Problem),
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not said to be JSON
    #[response(status = 415, content_type = "application/problem+json")]
    NotSaid(Problem),
    /// A field is wrong
    #[response(status = 422, content_type = "application/problem+json")]
    WrongField(Problem),
}

/// What a handoff may come to beside the baton's moving.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "its variants are read by the derive")]
pub(super) enum InVain {
    /// It was tried in vain; `reason` says why
    #[response(status = 502, content_type = "application/problem+json")]
    Tried(Problem),
}

/// Put the caller on hold: nobody has the baton, and the filler is heard.
#[utoipa::path(
    post, path = "/calls/{id}/hold", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, body = HoldAnswer),
        NotSteered,
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
    request_body = WaitWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton is back"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        NotSteered,
        NotRead,
        InVain,
    ),
)]
pub(super) async fn resume(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<WaitWish>, JsonRejection>,
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
        (status = 501, body = Problem, content_type = "application/problem+json", description = "The configuration names nobody to escalate to"),
        NotSteered,
        NotRead,
        InVain,
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
        NotSteered,
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
        NotSteered,
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
    request_body = WaitWish,
    responses(
        (status = 200, body = HandoffAnswer, description = "The baton is back"),
        (status = 202, body = HandoffAnswer, description = "It is under way still"),
        NotSteered,
        NotRead,
        InVain,
    ),
)]
pub(super) async fn hand_back(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    wish: Result<Json<WaitWish>, JsonRejection>,
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
