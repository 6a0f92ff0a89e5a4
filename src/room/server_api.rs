//! LiveKit's server API, as far as a call needs it: dispatches, subscriptions of others, removals.
//!
//! Every request is bounded in time. It is made with the API key: the token of an assignment may do none of this.

use std::collections::HashMap;
use std::time::Duration;

use call::NoAnswer;
use livekit_api::services::SipCallError;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::egress::{
    EgressClient, EgressListFilter, EgressListOptions, TrackEgressOutput,
};
use livekit_api::services::room::RoomClient;
use livekit_api::services::sip::{
    CreateSIPParticipantOptions, SIPClient, TransferSIPParticipantOptions,
};
use livekit_api::services::{ServerError, ServerErrorCode};
use livekit_protocol::{
    CreateAgentDispatchRequest, DirectFileOutput, RoomAgentDispatch, RoomConfiguration, egress_info,
};
use livekit_token::{AccessToken, AccessTokenError, VideoGrants};
use worker::Secret;

use crate::rtc::{Participant, ParticipantKind};

/// The longest one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where an egress has to be found first, for which the server asks around for 10 s and longer.
const EGRESS_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a side room lives, in seconds, once Baton has left it without closing it.
const SIDE_DEPARTURE_SECS: u32 = 10;
/// How long a token of our own may be used to join; the server renews it while we are in the room.
const TOKEN_TTL: Duration = Duration::from_secs(3_600);

/// In a side room of a person no agent belongs; an agent that is named there keeps out those that take every room.
const NOBODY: &str = "baton-nobody";

/// How to ring a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The id of an outbound trunk.
    pub trunk: String,
    /// Whom to ring.
    pub number: String,
    /// How long it may ring.
    pub limit: Duration,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{request} failed")]
pub struct ServerApiError {
    /// Which one.
    pub request: &'static str,
    #[source]
    source: livekit_api::services::ServiceError,
}

/// A phone that did not answer: a person's that was rung, or the one that the caller's was to call.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The phone's side has said why.
    #[error("the phone's side answered {code} {status}")]
    Answered {
        /// SIP's number for it.
        code: i32,
        /// SIP's words for it.
        status: String,
    },
    /// It has rung for as long as it might.
    #[error("it was not answered")]
    Unanswered,
    /// The server refused it, or could not do it.
    #[error("{request} failed: {source}")]
    Server {
        /// Which request.
        request: &'static str,
        #[source]
        source: livekit_api::services::ServiceError,
    },
}

impl RingError {
    fn new(request: &'static str, error: livekit_api::services::ServiceError) -> Self {
        let answered = SipCallError::from_error(&error);
        let code = answered.as_ref().and_then(SipCallError::sip_status_code);
        match (code, answered) {
            (Some(code), Some(answered)) => Self::Answered {
                code,
                status: answered.sip_status().unwrap_or_default().to_owned(),
            },
            (None, _) | (_, None) if is_too_late(&error) => Self::Unanswered,
            (None, _) | (_, None) => Self::Server {
                request,
                source: error,
            },
        }
    }

    /// What it means for the call, if it might ring for `limit`. SIP's numbers are those of RFC 3261.
    pub fn how(&self, limit: Duration) -> NoAnswer {
        let after_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Answered {
                code: 486 | 600, ..
            } => NoAnswer::Busy,
            Self::Answered { code: 603, .. } => NoAnswer::Declined,
            // Too long, not there at this time, or called off since nobody answered.
            Self::Answered {
                code: 408 | 480 | 487,
                ..
            }
            | Self::Unanswered => NoAnswer::TimedOut { after_ms },
            Self::Answered { .. } | Self::Server { .. } => NoAnswer::Unreachable {
                detail: self.to_string(),
            },
        }
    }
}

/// Whether the server has waited in vain, and not for want of somebody to ask.
fn is_too_late(error: &livekit_api::services::ServiceError) -> bool {
    match error {
        livekit_api::services::ServiceError::Twirp(ServerError::Twirp(error)) => {
            error.code == ServerErrorCode::DEADLINE_EXCEEDED
        }
        livekit_api::services::ServiceError::Twirp(ServerError::Request(error)) => {
            error.is_timeout()
        }
        _ => false,
    }
}

/// A client of the server API, shared by every call of a process.
#[derive(Debug)]
pub struct ServerApi {
    rooms: RoomClient,
    sip: SIPClient,
    egress: EgressClient,
    dispatches: AgentDispatchClient,
    url: String,
    api_key: String,
    api_secret: Secret,
}

impl ServerApi {
    /// A client for the server at `url`, a `ws`, `wss`, `http` or `https` URL.
    pub fn new(url: &str, api_key: &str, api_secret: &str) -> Self {
        let host = http_url(url);
        Self {
            rooms: RoomClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(REQUEST_TIMEOUT),
            sip: SIPClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(REQUEST_TIMEOUT),
            egress: EgressClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(EGRESS_TIMEOUT),
            dispatches: AgentDispatchClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(REQUEST_TIMEOUT),
            url: url.to_owned(),
            api_key: api_key.to_owned(),
            api_secret: Secret::new(api_secret.to_owned()),
        }
    }

    /// The server's address, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token to join `room` as an agent, with the rights of an assignment's token.
    ///
    /// # Errors
    /// When the key, the secret, the room or the identity is empty.
    pub fn join_token(&self, room: &str, identity: &str) -> Result<Secret, AccessTokenError> {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            can_update_own_metadata: Some(true),
            agent: true,
            ..VideoGrants::default()
        };
        AccessToken::with_api_key(&self.api_key, self.api_secret.expose())
            .with_ttl(TOKEN_TTL)
            .with_identity(identity)
            .with_kind("agent")
            .with_grants(grants)
            .to_jwt()
            .map(Secret::new)
    }

    /// A token to join `room` as the caller whose token it is like, which also makes the room and has `agent_name` dispatched into it,
    /// or no agent at all.
    ///
    /// # Errors
    /// When the key, the secret, the room or the identity is empty.
    pub fn side_token(
        &self,
        room: &str,
        caller: &Participant,
        agent_name: Option<&str>,
        metadata: String,
    ) -> Result<Secret, AccessTokenError> {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            ..VideoGrants::default()
        };
        // Nobody else is to be dispatched into it, whatever workers there are.
        let config = RoomConfiguration {
            departure_timeout: SIDE_DEPARTURE_SECS,
            agents: vec![RoomAgentDispatch {
                agent_name: agent_name.unwrap_or(NOBODY).to_owned(),
                metadata,
                ..RoomAgentDispatch::default()
            }],
            ..RoomConfiguration::default()
        };
        let kind = match caller.kind {
            ParticipantKind::Sip => "sip",
            ParticipantKind::Standard | ParticipantKind::Agent | ParticipantKind::Other => {
                "standard"
            }
        };
        AccessToken::with_api_key(&self.api_key, self.api_secret.expose())
            .with_ttl(TOKEN_TTL)
            .with_identity(&caller.identity)
            .with_kind(kind)
            .with_attributes(&caller.attributes)
            .with_grants(grants)
            .with_room_config(config)
            .to_jwt()
            .map(Secret::new)
    }

    /// Closes a room, whoever is in it.
    pub async fn delete_room(&self, room: &str) -> Result<(), ServerApiError> {
        let deleted = self.rooms.delete_room(room).await;
        deleted.map_err(|source| ServerApiError {
            request: "DeleteRoom",
            source,
        })
    }

    /// Rings a person into `room`, as `identity`; returns when it has answered.
    ///
    /// # Errors
    /// With what the phone's side said, if it said anything: busy, declined, no such number.
    pub async fn ring(
        &self,
        room: &str,
        identity: &str,
        dial: Dial,
        headers: HashMap<String, String>,
    ) -> Result<(), RingError> {
        let Dial {
            trunk,
            number,
            limit,
        } = dial;
        let options = CreateSIPParticipantOptions {
            participant_identity: identity.to_owned(),
            wait_until_answered: Some(true),
            hide_phone_number: Some(true),
            ringing_timeout: Some(limit),
            headers: Some(headers),
            ..CreateSIPParticipantOptions::default()
        };
        let rung = self
            .sip
            .create_sip_participant(trunk, number, room.to_owned(), options, None)
            .await;
        rung.map(|_| ())
            .map_err(|error| RingError::new("CreateSIPParticipant", error))
    }

    /// Has the phone of `identity` call `address` in place of its call here; returns when that was answered.
    ///
    /// # Errors
    /// With what the phone's side said, if it said anything: busy, declined, no such number.
    pub async fn transfer(
        &self,
        room: &str,
        identity: &str,
        address: String,
        limit: Duration,
        headers: HashMap<String, String>,
    ) -> Result<(), RingError> {
        let options = TransferSIPParticipantOptions {
            ringing_timeout: Some(limit),
            headers: Some(headers),
            ..TransferSIPParticipantOptions::default()
        };
        let transferred = self
            .sip
            .transfer_sip_participant(room.to_owned(), identity.to_owned(), address, options)
            .await;
        transferred.map_err(|error| RingError::new("TransferSIPParticipant", error))
    }

    /// Has a track recorded to the file `path`; returns the egress's id. One that was asked for before and runs goes on.
    pub async fn record(
        &self,
        room: &str,
        track_sid: &str,
        path: String,
    ) -> Result<String, ServerApiError> {
        let of_room = EgressListOptions {
            filter: EgressListFilter::Room(room.to_owned()),
            active: true,
            ..EgressListOptions::default()
        };
        let running = self.egress.list_egress(of_room).await;
        let running = running.map_err(|source| ServerApiError {
            request: "ListEgress",
            source,
        })?;
        let of_track = running.into_iter().find(|info| {
            matches!(&info.request, Some(egress_info::Request::Track(track)) if track.track_id == track_sid)
        });
        if let Some(info) = of_track {
            return Ok(info.egress_id);
        }
        let file = DirectFileOutput {
            filepath: path,
            ..DirectFileOutput::default()
        };
        let output = TrackEgressOutput::File(Box::new(file));
        let started = self
            .egress
            .start_track_egress(room, output, track_sid)
            .await;
        started
            .map(|info| info.egress_id)
            .map_err(|source| ServerApiError {
                request: "StartTrackEgress",
                source,
            })
    }

    /// Ends a recording; one that has ended already is fine.
    pub async fn stop_recording(&self, egress: &str) -> Result<(), ServerApiError> {
        match self.egress.stop_egress(egress).await {
            Ok(_) => Ok(()),
            Err(livekit_api::services::ServiceError::Twirp(ServerError::Twirp(error)))
                if matches!(
                    error.code.as_str(),
                    ServerErrorCode::NOT_FOUND | ServerErrorCode::FAILED_PRECONDITION
                ) =>
            {
                Ok(())
            }
            Err(source) => Err(ServerApiError {
                request: "StopEgress",
                source,
            }),
        }
    }

    /// Asks for `agent_name` in `room`; returns the dispatch's id. A room that is gone is created anew by this.
    pub async fn create_dispatch(
        &self,
        room: &str,
        agent_name: &str,
        metadata: String,
    ) -> Result<String, ServerApiError> {
        let request = CreateAgentDispatchRequest {
            room: room.to_owned(),
            agent_name: agent_name.to_owned(),
            metadata,
            ..Default::default()
        };
        let created = self.dispatches.create_dispatch(request).await;
        created
            .map(|dispatch| dispatch.id)
            .map_err(|source| ServerApiError {
                request: "CreateDispatch",
                source,
            })
    }

    /// Withdraws a dispatch.
    pub async fn delete_dispatch(
        &self,
        room: &str,
        dispatch_id: &str,
    ) -> Result<(), ServerApiError> {
        let deleted = self.dispatches.delete_dispatch(dispatch_id, room).await;
        deleted.map(|_| ()).map_err(|source| ServerApiError {
            request: "DeleteDispatch",
            source,
        })
    }

    /// Takes `track_sids` to or from the ears of `identity`. A success proves only that the server has read the request.
    pub async fn set_subscribed(
        &self,
        room: &str,
        identity: &str,
        track_sids: Vec<String>,
        subscribed: bool,
    ) -> Result<(), ServerApiError> {
        let updated = self
            .rooms
            .update_subscriptions(room, identity, track_sids, subscribed)
            .await;
        updated.map_err(|source| ServerApiError {
            request: "UpdateSubscriptions",
            source,
        })
    }

    /// Removes a participant from the room.
    pub async fn remove(&self, room: &str, identity: &str) -> Result<(), ServerApiError> {
        let removed = self.rooms.remove_participant(room, identity).await;
        removed.map_err(|source| ServerApiError {
            request: "RemoveParticipant",
            source,
        })
    }

    /// Whether a room of this name lives.
    pub async fn room_lives(&self, room: &str) -> Result<bool, ServerApiError> {
        Ok(self.find_room(room).await?.is_some())
    }

    /// The session id of the room of this name, if it lives.
    pub async fn find_room(&self, room: &str) -> Result<Option<String>, ServerApiError> {
        let listed = self.rooms.list_rooms(vec![room.to_owned()]).await;
        listed
            .map(|rooms| rooms.into_iter().next().map(|room| room.sid))
            .map_err(|source| ServerApiError {
                request: "ListRooms",
                source,
            })
    }
}

fn http_url(url: &str) -> String {
    match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => url.to_owned(),
    }
}
