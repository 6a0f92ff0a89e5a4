//! A real LiveKit server on free ports of the loopback interface.

use kit::server::{LivekitServer, ServerOptions};
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol as proto;
use tokio::time::{Duration, sleep};
use worker::{Secret, WorkerConfig, WorkerHandle};

use super::soon;

pub(crate) const API_KEY: &str = "testkey";
pub(crate) const API_SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

pub(crate) struct Server(LivekitServer);

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None)
    }

    pub(crate) async fn start_on(port: u16) -> Self {
        Self::start_with(Some(port))
    }

    fn start_with(port: Option<u16>) -> Self {
        let options = ServerOptions {
            api_key: API_KEY.to_owned(),
            api_secret: API_SECRET.to_owned(),
            port,
            ..ServerOptions::default()
        };
        Self(LivekitServer::start_with(options).unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    pub(crate) fn config(&self, agent_name: &str, max_jobs: u32) -> WorkerConfig {
        let url = self.0.url();
        WorkerConfig {
            agent_name: agent_name.to_owned(),
            max_jobs,
            ..WorkerConfig::new(url, API_KEY, Secret::new(API_SECRET))
        }
    }

    /// Asks for an agent in a room, which is created if it does not exist.
    pub(crate) async fn dispatch(&self, agent_name: &str, room: &str, metadata: &str) {
        let request = proto::CreateAgentDispatchRequest {
            agent_name: agent_name.to_owned(),
            room: room.to_owned(),
            metadata: metadata.to_owned(),
            ..Default::default()
        };
        self.dispatches().create_dispatch(request).await.unwrap();
    }

    pub(crate) async fn delete_dispatch(&self, dispatch_id: &str, room: &str) {
        let deleted = self.dispatches().delete_dispatch(dispatch_id, room).await;
        deleted.unwrap();
    }

    fn dispatches(&self) -> AgentDispatchClient {
        AgentDispatchClient::with_api_key(&self.0.api_url(), API_KEY, API_SECRET)
    }

    pub(crate) fn kill(mut self) {
        self.0.kill();
    }
}

/// Waits until a worker is registered and the server has taken note everywhere: the news spreads
/// inside the server after the worker has its answer, and a dispatch before that finds nobody.
pub(crate) async fn settled(handle: &WorkerHandle) {
    assert!(soon("registration", handle.registered()).await);
    sleep(Duration::from_millis(500)).await;
}
