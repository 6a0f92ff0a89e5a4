//! Errors as RFC 9457 has them: `application/problem+json`, each with a code for programs.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::admin::AdminError;

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// A URN that names the kind of error: `urn:baton:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of error in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    detail: Box<str>,
    /// The kind of error, for programs.
    code: &'static str,
    /// Why the rules refused, or why it was tried in vain, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The version of the state now, if a patch came too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The state now, if a patch came too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    current: Option<Box<Map<String, Value>>>,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:baton:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into().into_boxed_str(),
            code,
            reason: None,
            version: None,
            current: None,
        }
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "no valid credential",
            detail,
        )
    }

    pub(super) fn invalid(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "invalid", "the request is not valid", detail)
    }

    pub(super) fn no_page(path: &str) -> Self {
        let detail = format!("there is nothing at {path}; see /api/v1/openapi.json");
        Self::new(StatusCode::NOT_FOUND, "no_page", "nothing is here", detail)
    }

    pub(super) fn wrong_method(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "the method is not allowed here",
            detail,
        )
    }

    pub(super) fn too_many_streams(max: usize) -> Self {
        let detail = format!("{max} event streams are open, which is the limit");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            "too many event streams",
            detail,
        )
    }

    pub(super) fn too_many_sessions(max: usize) -> Self {
        let detail = format!("{max} sessions of the agents' protocol are open, which is the limit");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_sessions",
            "too many sessions",
            detail,
        )
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        let detail = error.to_string();
        let (status, title) = match &error {
            AdminError::NoCall { id: _ } => (StatusCode::NOT_FOUND, "there is no such call"),
            AdminError::NotAllowed { needs: _ } => {
                (StatusCode::FORBIDDEN, "the credential does not allow this")
            }
            AdminError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the call is busy"),
            AdminError::CallEnded => (StatusCode::GONE, "the call has ended"),
            AdminError::Invalid { what: _ } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the request is not valid")
            }
            AdminError::Conflict { .. } => (StatusCode::CONFLICT, "the state has changed since"),
            AdminError::Refused { .. } => (StatusCode::CONFLICT, "the call's rules refuse this"),
            AdminError::Journal { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the journal cannot be read",
            ),
            AdminError::NotConfigured { .. } => (
                StatusCode::NOT_IMPLEMENTED,
                "the configuration says nothing of this",
            ),
            AdminError::Failed { .. } => (
                StatusCode::BAD_GATEWAY,
                "it was tried in vain, everything is as before",
            ),
        };
        let problem = Self::new(status, error.code(), title, detail);
        match error {
            AdminError::Refused { code, .. } | AdminError::Failed { code, .. } => Self {
                reason: Some(code),
                ..problem
            },
            AdminError::Conflict {
                base: _,
                version,
                current,
            } => Self {
                version: Some(version),
                current: Some(Box::new(current)),
                ..problem
            },
            AdminError::NoCall { .. }
            | AdminError::NotAllowed { .. }
            | AdminError::Busy
            | AdminError::CallEnded
            | AdminError::NotConfigured { .. }
            | AdminError::Journal { .. }
            | AdminError::Invalid { .. } => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
