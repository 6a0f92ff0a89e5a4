//! LiveKit's server API, as far as a call needs it: dispatches, subscriptions of others, removals.
//!
//! Every request is bounded in time. It is made with the API key: the token of an assignment may do none of this.

use std::time::Duration;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;
use livekit_protocol::CreateAgentDispatchRequest;

/// The longest one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{request} failed")]
pub struct ServerApiError {
    /// Which one.
    pub request: &'static str,
    #[source]
    source: livekit_api::services::ServiceError,
}

/// A client of the server API, shared by every call of a process.
#[derive(Debug)]
pub struct ServerApi {
    rooms: RoomClient,
    dispatches: AgentDispatchClient,
}

impl ServerApi {
    /// A client for the server at `url`, a `ws`, `wss`, `http` or `https` URL.
    pub fn new(url: &str, api_key: &str, api_secret: &str) -> Self {
        let host = http_url(url);
        Self {
            rooms: RoomClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(REQUEST_TIMEOUT),
            dispatches: AgentDispatchClient::with_api_key(&host, api_key, api_secret)
                .with_request_timeout(REQUEST_TIMEOUT),
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
        let listed = self.rooms.list_rooms(vec![room.to_owned()]).await;
        listed
            .map(|rooms| !rooms.is_empty())
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
