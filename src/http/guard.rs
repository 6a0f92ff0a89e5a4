//! Who may come in: LiveKit's access tokens, and the operator's own token out of a file.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{header, request::Parts};
use livekit_api::access_token::TokenVerifier;
use sha2::{Digest, Sha256};
use worker::Secret;

use super::App;
use super::problem::Problem;
use crate::admin::Access;

/// The attribute of a LiveKit access token that names the specialist as which its bearer sees what is said and known in a call.
const VIEW_AS: &str = "baton.view_as";

/// Tells what a credential allows.
#[derive(Clone, Debug)]
pub struct Guard {
    livekit: TokenVerifier,
    /// The digest of the operator's token, so that comparing takes the same time whatever is guessed.
    operator: Option<[u8; 32]>,
}

impl Guard {
    /// Takes access tokens signed with this key and secret, and `operator`, if there is one.
    pub fn new(api_key: &str, api_secret: &Secret, operator: Option<&Secret>) -> Self {
        Self {
            livekit: TokenVerifier::with_api_key(api_key, api_secret.expose()),
            operator: operator.map(|token| Sha256::digest(token.expose()).into()),
        }
    }

    /// What the value of an `Authorization` header allows.
    ///
    /// # Errors
    /// When there is none, or it is not one of ours, or no longer.
    pub(crate) fn access(&self, authorization: Option<&str>) -> Result<Access, Problem> {
        let Some(authorization) = authorization else {
            let what =
                "send `Authorization: Bearer` with a LiveKit access token or the operator's token";
            return Err(Problem::unauthorized(what));
        };
        let token = match authorization.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => {
                return Err(Problem::unauthorized(
                    "the `Authorization` header is no `Bearer` token",
                ));
            }
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        if self.operator == Some(digest) {
            return Ok(Access::operator());
        }
        match self.livekit.verify(token) {
            Ok(claims) => {
                let video = claims.video;
                let access = Access::grants(video.room_list, video.room_admin, &video.room);
                Ok(match claims.attributes.get(VIEW_AS) {
                    Some(specialist) => access.seeing_as(specialist),
                    None => access,
                })
            }
            Err(_) => Err(Problem::unauthorized(
                "the token is not signed with this server's key, or has expired",
            )),
        }
    }
}

impl<S> FromRequestParts<S> for Access
where
    App: FromRef<S>,
    S: Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_ref(state);
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap_or_default());
        app.guard.access(header)
    }
}
