//! Summaries that Baton asks of the specialist that hands over, for the one that takes over.

use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tracing::debug;

use crate::agent::Wish;

/// Requests that may wait for a reader; beyond them the oldest are passed over, and Baton goes on without.
pub(crate) const REQUESTS_MAX: usize = 8;

/// Baton's requests for summaries. While nobody holds one of these, each request is declined at once.
#[derive(Debug)]
pub struct Summaries {
    requests: broadcast::Receiver<(u64, Duration)>,
    wishes: mpsc::Sender<Wish>,
}

/// The baton is about to go, and whoever takes it gets a summary in place of the conversation: sum up what was said.
#[derive(Debug)]
pub struct SummaryRequest {
    /// How long Baton waits for it.
    pub limit: Duration,
    request: u64,
    wishes: mpsc::Sender<Wish>,
}

impl Summaries {
    pub(crate) fn new(
        requests: broadcast::Receiver<(u64, Duration)>,
        wishes: mpsc::Sender<Wish>,
    ) -> Self {
        Self { requests, wishes }
    }

    /// The next request; `None` when the call is over for this specialist. Cancel-safe.
    pub async fn next(&mut self) -> Option<SummaryRequest> {
        loop {
            match self.requests.recv().await {
                Ok((request, limit)) => {
                    let wishes = self.wishes.clone();
                    return Some(SummaryRequest {
                        limit,
                        request,
                        wishes,
                    });
                }
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    debug!(count, "requests for summaries passed over");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl SummaryRequest {
    /// Gives the summary, of at most 64 KiB.
    pub async fn answer(self, summary: String) {
        self.give(Ok(summary)).await;
    }

    /// Says why there is none: Baton goes on without, at once.
    pub async fn decline(self, reason: String) {
        self.give(Err(reason)).await;
    }

    async fn give(self, outcome: Result<String, String>) {
        let request = self.request;
        // The job is over if nobody receives it.
        let _ = self.wishes.send(Wish::Summary { request, outcome }).await;
    }
}
