//! A mock of LiveKit's SIP service: it stands in front of a real server, answers `TransferSIPParticipant` in its place, and
//! passes everything else on. No SIP service runs in these tests; what the real server says without one is tested beside it.
//!
//! A request is read as the real server reads it, by LiveKit's own schema. A refusal has the form in which the server gives a
//! SIP status: a Twirp error with `sip_status_code` and `sip_status` in its `meta`, as LiveKit's own client expects it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use livekit_protocol::{TransferSipParticipantRequest, TransferSipParticipantResponse};
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const HEAD_BYTES_MAX: usize = 64 << 10;
const TRANSFER: &str = "/twirp/livekit.SIP/TransferSIPParticipant";

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
pub(crate) struct SipService {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    to: u16,
    reports: Mutex<VecDeque<Reports>>,
    asked: Mutex<Vec<TransferSipParticipantRequest>>,
}

impl SipService {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            reports: Mutex::default(),
            asked: Mutex::default(),
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

    /// Every transfer that was asked for.
    pub(crate) fn asked(&self) -> Vec<TransferSipParticipantRequest> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for SipService {
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
    let answer = if head.starts_with(&format!("POST {TRANSFER} ")) {
        transferred(&shared, &head, &read[head_end..]).await
    } else {
        let mut server = TcpStream::connect(("127.0.0.1", shared.to)).await.ok()?;
        let asked = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(asked.as_bytes()).await.ok()?;
        server.write_all(&read[head_end..]).await.ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.ok()?;
        answer
    };
    client.write_all(&answer).await.ok()?;
    client.shutdown().await.ok()
}

async fn transferred(shared: &Shared, head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/protobuf"),
        "{head}"
    );
    assert!(head.contains("authorization: bearer "), "{head}");
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
