//! A mock of two services behind LiveKit's server, SIP and egress: it stands in front of a real server, answers
//! `TransferSIPParticipant` and the requests of track egresses in its place, and passes everything else on. Neither service runs
//! in these tests; what the real server says without them is tested beside it.
//!
//! A request is read as the real server reads it, by LiveKit's own schema. A refusal has the form in which the server gives it: a
//! Twirp error, of SIP with `sip_status_code` and `sip_status` in its `meta`, as LiveKit's own client expects it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use livekit_protocol::{
    EgressInfo, ListEgressRequest, ListEgressResponse, StopEgressRequest, TrackEgressRequest,
    TransferSipParticipantRequest, TransferSipParticipantResponse, egress_info,
};
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const HEAD_BYTES_MAX: usize = 64 << 10;
const TRANSFER: &str = "/twirp/livekit.SIP/TransferSIPParticipant";
const EGRESS: &str = "/twirp/livekit.Egress/";

/// What the caller's phone reports of the call that it was to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reports {
    Answered,
    /// SIP's number and words.
    Refused(u16, &'static str),
    /// Nothing, until the service gives up.
    Nothing,
}

/// Runs until it is dropped.
pub(crate) struct Services {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    to: u16,
    reports: Mutex<VecDeque<Reports>>,
    asked: Mutex<Vec<TransferSipParticipantRequest>>,
    egresses: Mutex<Vec<Egress>>,
}

/// A recording of a track.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    pub(crate) asked: TrackEgressRequest,
    pub(crate) runs: bool,
}

impl Services {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            reports: Mutex::default(),
            asked: Mutex::default(),
            egresses: Mutex::default(),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, accepting.clone()));
            }
        });
        Self { port, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The next phone reports this.
    pub(crate) fn reports(&self, next: Reports) {
        self.shared.reports.lock().unwrap().push_back(next);
    }

    /// Every recording that was asked for.
    pub(crate) fn egresses(&self) -> Vec<Egress> {
        self.shared.egresses.lock().unwrap().clone()
    }

    /// Every transfer that was asked for.
    pub(crate) fn asked(&self) -> Vec<TransferSipParticipantRequest> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection: a stream that is passed on, or one request, after which it is closed.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if read.len() > HEAD_BYTES_MAX || client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..head_end]).into_owned();
    if !head.starts_with("POST ") {
        let mut server = TcpStream::connect(("127.0.0.1", shared.to)).await.ok()?;
        server.write_all(&read).await.ok()?;
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return Some(());
    }
    let length = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        })
        .unwrap_or(0);
    while read.len() < head_end + length {
        if client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = &read[head_end..];
    let answer = if path == TRANSFER {
        assert_authorized(&head);
        transferred(&shared, body).await
    } else if let Some(method) = path.strip_prefix(EGRESS) {
        assert_authorized(&head);
        recorded(&shared, method, body)
    } else {
        let mut server = TcpStream::connect(("127.0.0.1", shared.to)).await.ok()?;
        let asked = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(asked.as_bytes()).await.ok()?;
        server.write_all(body).await.ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.ok()?;
        answer
    };
    client.write_all(&answer).await.ok()?;
    client.shutdown().await.ok()
}

fn assert_authorized(head: &str) {
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/protobuf"),
        "{head}"
    );
    assert!(head.contains("authorization: bearer "), "{head}");
}

fn recorded(shared: &Shared, method: &str, body: &[u8]) -> Vec<u8> {
    let mut egresses = shared.egresses.lock().unwrap();
    let info = |number: usize, egress: &Egress| EgressInfo {
        egress_id: format!("EG_{number}"),
        room_name: egress.asked.room_name.clone(),
        request: Some(egress_info::Request::Track(egress.asked.clone())),
        ..EgressInfo::default()
    };
    let said = match method {
        "ListEgress" => {
            let ListEgressRequest {
                room_name, active, ..
            } = ListEgressRequest::decode(body).unwrap();
            assert!(active && !room_name.is_empty());
            let running = egresses.iter().enumerate();
            let running = running.filter(|(_, egress)| egress.runs);
            let items = running.map(|(number, egress)| info(number, egress));
            let items = items.collect();
            ListEgressResponse {
                items,
                ..ListEgressResponse::default()
            }
            .encode_to_vec()
        }
        "StartTrackEgress" => {
            let asked = TrackEgressRequest::decode(body).unwrap();
            egresses.push(Egress { asked, runs: true });
            let number = egresses.len() - 1;
            info(number, &egresses[number]).encode_to_vec()
        }
        "StopEgress" => {
            let StopEgressRequest { egress_id } = StopEgressRequest::decode(body).unwrap();
            let number = egress_id.strip_prefix("EG_").unwrap().parse().unwrap();
            let egress: &mut Egress = &mut egresses[number];
            if !std::mem::take(&mut egress.runs) {
                let error = json!({"code": "failed_precondition", "msg": "egress with status EGRESS_COMPLETE cannot be stopped"});
                let body = error.to_string();
                return answer(
                    "412 Precondition Failed",
                    "application/json",
                    body.as_bytes(),
                );
            }
            info(number, &egresses[number]).encode_to_vec()
        }
        other => panic!("{other} is never asked"),
    };
    answer("200 OK", "application/protobuf", &said)
}

async fn transferred(shared: &Shared, body: &[u8]) -> Vec<u8> {
    let request = TransferSipParticipantRequest::decode(body).unwrap();
    shared.asked.lock().unwrap().push(request);
    let reports = shared.reports.lock().unwrap().pop_front();
    match reports.expect("a transfer was expected") {
        Reports::Answered => {
            let body = TransferSipParticipantResponse::default().encode_to_vec();
            answer("200 OK", "application/protobuf", &body)
        }
        Reports::Refused(code, status) => {
            let error = json!({
                "code": "unavailable",
                "msg": format!("twirp error unknown: sip status: {code}: {status}"),
                "meta": {"sip_status_code": code.to_string(), "sip_status": status},
            });
            let body = error.to_string();
            answer(
                "503 Service Unavailable",
                "application/json",
                body.as_bytes(),
            )
        }
        Reports::Nothing => std::future::pending().await,
    }
}

fn answer(status: &str, form: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {form}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
