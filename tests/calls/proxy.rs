//! A TCP proxy in front of a server that can cut the signal connections which pass through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes everything on until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    to: u16,
    cuts: watch::Sender<u32>,
    /// Signal connections that are still to be refused.
    refuse: AtomicU32,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            cuts: watch::Sender::new(0),
            refuse: AtomicU32::new(0),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, accepting.clone()));
            }
        });
        Self { port, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Cuts all signal connections, and the next `refuse` ones before they stand: a resume fails, and a full
    /// reconnect follows.
    pub(crate) fn cut_signal(&self, refuse: u32) {
        self.shared.refuse.store(refuse, Ordering::SeqCst);
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: TcpStream, shared: Arc<Shared>) {
    let mut start = [0; 8];
    let Ok(length) = client.peek(&mut start).await else {
        return;
    };
    let is_signal = start[..length].starts_with(b"GET /rtc");
    let mut cuts = shared.cuts.subscribe();
    if is_signal {
        let refused = shared
            .refuse
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if refused.is_ok() {
            return;
        }
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", shared.to)).await else {
        return;
    };
    // Cancel-safe in that both connections end with the first of the two.
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed(), if is_signal => {}
    }
}
