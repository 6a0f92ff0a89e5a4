//! A server and Baton, and what the server's API says of them.

use kit::server::{LivekitServer, ServerOptions};
use kit::token::JoinToken;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;

use crate::baton::{Baton, Config, Credentials};
use crate::caller::Caller;
use crate::cast::{Cast, Script};

/// The room of a test with one call.
pub(crate) const ROOM: &str = "call-_+15550123_a1";
/// Its caller's number.
pub(crate) const PHONE: &str = "+15550123";

pub(crate) struct Stage {
    pub(crate) baton: Baton,
    pub(crate) server: LivekitServer,
}

impl Stage {
    /// Starts a server and a registered Baton.
    pub(crate) async fn set(config: &Config) -> Self {
        Self::set_with_faults(config, "").await
    }

    /// The same with something of Baton switched off.
    pub(crate) async fn set_with_faults(config: &Config, faults: &str) -> Self {
        Self::set_with(config, &[("BATON_TEST_FAULTS", faults)]).await
    }

    /// The same with an environment for Baton.
    pub(crate) async fn set_with(config: &Config, environment: &[(&str, &str)]) -> Self {
        let server = LivekitServer::start().unwrap();
        let baton = Baton::start(config, &credentials(&server), environment).await;
        baton.registered().await;
        Self { baton, server }
    }

    /// The same with rooms that are closed 2 s after the last one who is no agent has left.
    pub(crate) async fn set_with_short_lived_rooms(config: &Config) -> Self {
        let options = ServerOptions {
            extra_yaml: "room:\n  empty_timeout: 2\n  departure_timeout: 2\n".to_owned(),
            ..ServerOptions::default()
        };
        Self::set_on(LivekitServer::start_with(options).unwrap(), config).await
    }

    pub(crate) async fn set_on(server: LivekitServer, config: &Config) -> Self {
        let baton = Baton::start(config, &credentials(&server), &[]).await;
        baton.registered().await;
        Self { baton, server }
    }

    pub(crate) async fn cast(&self, name: &'static str, hz: u32) -> Cast {
        Script::new(name, hz).start(&self.server).await
    }

    /// A phone call, whose room asks for Baton as a SIP dispatch rule has it.
    pub(crate) async fn dial(&self) -> Caller {
        self.dial_into(ROOM, PHONE).await
    }

    pub(crate) async fn dial_into(&self, room: &str, phone: &str) -> Caller {
        let token = JoinToken::sip_caller(room, phone).dispatch("baton", "");
        let token = self.server.join_token(&token).unwrap();
        Caller::dial(&self.server.url(), &token).await
    }

    /// The same with a caller that sweeps.
    pub(crate) async fn dial_sweeping(&self) -> Caller {
        let caller = self.dial_silent().await;
        caller.sweep().await;
        caller
    }

    /// The same with a caller that says nothing yet.
    pub(crate) async fn dial_silent(&self) -> Caller {
        let token = JoinToken::sip_caller(ROOM, PHONE).dispatch("baton", "");
        self.join(token).await
    }

    /// Somebody else in the same room.
    pub(crate) async fn join(&self, token: JoinToken) -> Caller {
        let token = self.server.join_token(&token).unwrap();
        Caller::listen_in(&self.server.url(), &token).await
    }

    pub(crate) fn rooms(&self) -> RoomClient {
        let server = &self.server;
        RoomClient::with_api_key(&server.api_url(), server.api_key(), server.api_secret())
    }

    pub(crate) fn dispatches(&self) -> AgentDispatchClient {
        let server = &self.server;
        AgentDispatchClient::with_api_key(&server.api_url(), server.api_key(), server.api_secret())
    }

    /// Removes the newest agent whose name is this from the room, by force.
    pub(crate) async fn remove(&self, name: &str) {
        let there = self.rooms().list_participants(ROOM).await.unwrap();
        let named = there
            .into_iter()
            .filter(|participant| participant.name == name)
            .max_by_key(|participant| participant.joined_at_ms)
            .unwrap();
        self.rooms()
            .remove_participant(ROOM, &named.identity)
            .await
            .unwrap();
    }

    pub(crate) async fn room_names(&self) -> Vec<String> {
        let rooms = self.rooms().list_rooms(Vec::new()).await.unwrap();
        rooms.into_iter().map(|room| room.name).collect()
    }

    /// The agent names of the room's dispatches.
    pub(crate) async fn dispatched(&self, room: &str) -> Vec<String> {
        let listed = self.dispatches().list_dispatch(room).await.unwrap();
        listed
            .into_iter()
            .filter(|dispatch| {
                dispatch
                    .state
                    .as_ref()
                    .is_none_or(|state| state.deleted_at == 0)
            })
            .map(|dispatch| dispatch.agent_name)
            .collect()
    }
}

pub(crate) fn credentials(server: &LivekitServer) -> Credentials {
    Credentials {
        url: server.url(),
        api_key: server.api_key().to_owned(),
        api_secret: server.api_secret().to_owned(),
    }
}
