//! A real LiveKit server on free ports of the loopback interface.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol as proto;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};
use worker::{Secret, WorkerConfig, WorkerHandle};

use super::{free_port, soon};

pub(crate) const API_KEY: &str = "testkey";
pub(crate) const API_SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    pub(crate) async fn start_on(port: u16) -> Self {
        let (udp, tcp) = (free_port(), free_port());
        let config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys: {{{API_KEY}: {API_SECRET}}}\n\
             rtc: {{udp_port: {udp}, tcp_port: {tcp}, node_ip: 127.0.0.1, use_external_ip: false}}\n\
             logging: {{level: warn}}\n"
        );
        let child = Command::new(program())
            .arg("--config-body")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("livekit-server starts; `cargo xtask test` installs it");
        let server = Self { child, port };
        soon("server", async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn config(&self, agent_name: &str, max_jobs: u32) -> WorkerConfig {
        let url = format!("ws://127.0.0.1:{}", self.port);
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
        let host = format!("http://127.0.0.1:{}", self.port);
        AgentDispatchClient::with_api_key(&host, API_KEY, API_SECRET)
    }

    pub(crate) fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Either fails only if the process is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until a worker is registered and the server has taken note everywhere: the news spreads
/// inside the server after the worker has its answer, and a dispatch before that finds nobody.
pub(crate) async fn settled(handle: &WorkerHandle) {
    assert!(soon("registration", handle.registered()).await);
    sleep(Duration::from_millis(500)).await;
}

fn program() -> PathBuf {
    match std::env::var_os("LIVEKIT_SERVER") {
        Some(path) => path.into(),
        None => {
            let tools = "../../target/tools/livekit-server";
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(tools)
        }
    }
}
