//! A server made of one listener, whose every message the test decides.

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::soon;

pub(crate) struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// Waits for the worker to connect and registers it.
    pub(crate) async fn accept(&self) -> FakeSession {
        soon("connect", async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let mut session = FakeSession {
                socket,
                registration: proto::RegisterWorkerRequest::default(),
                report: proto::UpdateWorkerStatus::default(),
            };
            match session.next().await {
                ToServer::Register(registration) => session.registration = registration,
                other => panic!("expected a registration, got {other:?}"),
            }
            session
                .send(FromServer::Register(proto::RegisterWorkerResponse {
                    worker_id: "AW_fake".to_owned(),
                    ..Default::default()
                }))
                .await;
            session
        })
        .await
    }
}

pub(crate) struct FakeSession {
    socket: WebSocketStream<TcpStream>,
    pub(crate) registration: proto::RegisterWorkerRequest,
    /// The last status that was passed over on the way to another message.
    pub(crate) report: proto::UpdateWorkerStatus,
}

impl FakeSession {
    pub(crate) async fn send(&mut self, message: FromServer) {
        let message = proto::ServerMessage {
            message: Some(message),
        };
        self.send_raw(Message::Binary(message.encode_to_vec().into()))
            .await;
    }

    pub(crate) async fn send_raw(&mut self, frame: Message) {
        self.socket.send(frame).await.unwrap();
    }

    pub(crate) async fn offer(&mut self, job_id: &str) {
        let request = proto::AvailabilityRequest {
            job: Some(job(job_id)),
            resuming: false,
        };
        self.send(FromServer::Availability(request)).await;
    }

    pub(crate) async fn assign(&mut self, job_id: &str) {
        let assignment = proto::JobAssignment {
            job: Some(job(job_id)),
            url: None,
            token: "a token".to_owned(),
        };
        self.send(FromServer::Assignment(assignment)).await;
    }

    pub(crate) async fn terminate(&mut self, job_id: &str) {
        let job_id = job_id.to_owned();
        self.send(FromServer::Termination(proto::JobTermination { job_id }))
            .await;
    }

    /// The next message of the worker, pings left out.
    pub(crate) async fn next(&mut self) -> ToServer {
        soon("a message of the worker", async {
            loop {
                let frame = self.socket.next().await.expect("open").unwrap();
                let Message::Binary(bytes) = frame else {
                    continue;
                };
                match proto::WorkerMessage::decode(bytes).unwrap().message {
                    Some(ToServer::Ping(_)) => {}
                    Some(message) => return message,
                    None => panic!("empty message"),
                }
            }
        })
        .await
    }

    /// The next status report.
    pub(crate) async fn next_report(&mut self) -> proto::UpdateWorkerStatus {
        loop {
            if let ToServer::UpdateWorker(report) = self.next().await {
                return report;
            }
        }
    }

    /// The next answer to an offer.
    pub(crate) async fn next_answer(&mut self) -> proto::AvailabilityResponse {
        loop {
            match self.next().await {
                ToServer::Availability(answer) => return answer,
                ToServer::UpdateWorker(report) => self.report = report,
                _ => {}
            }
        }
    }

    /// The next word about a job.
    pub(crate) async fn next_job(&mut self) -> (String, proto::JobStatus, String) {
        loop {
            match self.next().await {
                ToServer::UpdateJob(update) => {
                    let status = update.status();
                    return (update.job_id, status, update.error);
                }
                ToServer::UpdateWorker(report) => self.report = report,
                _ => {}
            }
        }
    }

    /// Offers a job, sees it accepted, assigns it, and sees it running.
    pub(crate) async fn run(&mut self, job_id: &str) {
        self.offer(job_id).await;
        assert!(self.next_answer().await.available);
        self.assign(job_id).await;
        let running = (
            job_id.to_owned(),
            proto::JobStatus::JsRunning,
            String::new(),
        );
        assert_eq!(self.next_job().await, running);
    }
}

fn job(job_id: &str) -> proto::Job {
    proto::Job {
        id: job_id.to_owned(),
        room: Some(proto::Room {
            name: format!("room of {job_id}"),
            sid: "RM_1".to_owned(),
            ..Default::default()
        }),
        metadata: "ticket".to_owned(),
        ..Default::default()
    }
}
