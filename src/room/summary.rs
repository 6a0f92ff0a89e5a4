//! Summaries of a conversation for the one that takes over: asked of the leaving specialist or of a webhook, while the new
//! one prepares. Whoever it is asked of, it is bounded in time and size, and what fails has the route's fallback for it.

use std::time::{Duration, Instant};

use call::{DispatchId, Event, HandoffId, Identity, RouteNumber};
use context::{Format, Item, LivekitItem, UnixMillis};
use serde_json::{Value, json};
use tracing::{debug, info, warn};
use wire::Body;

use super::conversation::author;
use super::task::{Done, Task};
use super::webhooks::{WebhookError, Webhooks};
use crate::clock;

/// The longest summary, in bytes.
const SUMMARY_BYTES_MAX: usize = 64 * 1024;
/// The longest answer of a webhook, in bytes: a summary in JSON, in which every byte may be escaped.
const ANSWER_BYTES_MAX: usize = 8 * SUMMARY_BYTES_MAX;

/// Who makes the summaries of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summarizer {
    /// The specialist that hands over.
    Leaving,
    /// Whoever answers at this URL.
    Webhook(String),
}

/// A summary that is being made.
#[derive(Debug)]
pub(super) struct Summing {
    handoff: HandoffId,
    target: DispatchId,
    /// Of whom it was asked; a webhook if of nobody.
    asked: Option<DispatchId>,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSummary {
    #[error("whoever was to make it is gone")]
    Gone,
    #[error("it has none to give: {0}")]
    Declined(String),
    #[error("it is empty")]
    Empty,
    #[error("it has {bytes} bytes, more than {SUMMARY_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the webhook did not answer within {wait_ms} ms")]
    TimedOut { wait_ms: u64 },
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("the answer is no JSON with a text `summary`, of at most {ANSWER_BYTES_MAX} bytes")]
    NoAnswer,
}

impl Task {
    /// Has a summary made for a target, unless it needs none.
    pub(super) fn summary_wanted(
        &mut self,
        now: Instant,
        holder: &Identity,
        target: DispatchId,
        handoff: HandoffId,
        route: Option<RouteNumber>,
        wait_ms: u64,
    ) {
        let rules = self.deps.context.route(route);
        if !self.talk.conversation.summing(author(target)) {
            return self.tell(Event::SummarySettled { handoff });
        }
        let asked = match &rules.summarizer {
            Summarizer::Leaving => self.peers.dispatch_of(holder),
            Summarizer::Webhook(_) => None,
        };
        self.talk.summing = Some(Summing {
            handoff,
            target,
            asked,
        });
        match rules.summarizer {
            Summarizer::Leaving => {
                let request = Body::SummaryRequest {
                    request: handoff.0,
                    deadline_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
                };
                self.peers.send(now, holder, self.call.epoch(), &request);
            }
            Summarizer::Webhook(url) => {
                let items = self.talk.conversation.to_sum_up(&rules.filter);
                let snapshot = self.call.snapshot();
                let under_way = snapshot.phase.handoff();
                let asked = json!({
                    "call_id": self.call.id().as_str(),
                    "handoff": handoff.0,
                    "from": snapshot.phase.holder().map(|holder| holder.specialist.as_str()),
                    "to": under_way.map(|handoff| handoff.to.as_str()),
                    "reason": under_way.map(|handoff| handoff.reason.as_str()),
                    "messages": messages(&items),
                });
                let (webhooks, done) = (self.deps.webhooks.clone(), self.done.clone());
                self.requests.spawn(async move {
                    let limit = Duration::from_millis(wait_ms);
                    let summary =
                        tokio::time::timeout(limit, summary_of(&webhooks, &url, &asked)).await;
                    let summary = summary.unwrap_or(Err(NoSummary::TimedOut { wait_ms }));
                    // The loop is gone only when the call is over.
                    let _ = done.send(Done::Summarized { handoff, summary }).await;
                });
            }
        }
    }

    /// A specialist answers a request for a summary.
    pub(super) fn summary_given(
        &mut self,
        writer: DispatchId,
        request: u64,
        summary: Result<String, String>,
    ) {
        let summing = self.talk.summing.as_ref();
        if summing.is_some_and(|one| one.asked == Some(writer) && one.handoff.0 == request) {
            self.summary_made(HandoffId(request), summary.map_err(NoSummary::Declined));
        } else {
            debug!(request, "a summary that nobody waits for");
        }
    }

    /// A summary is made, or cannot be.
    pub(super) fn summary_made(&mut self, handoff: HandoffId, summary: Result<String, NoSummary>) {
        let Some(Summing { target, .. }) = self
            .talk
            .summing
            .take_if(|summing| summing.handoff == handoff)
        else {
            return;
        };
        let item = summary.and_then(|text| match text.len() {
            0 => Err(NoSummary::Empty),
            bytes if bytes > SUMMARY_BYTES_MAX => Err(NoSummary::TooLong { bytes }),
            bytes => {
                info!(handoff = handoff.0, bytes, "summary made");
                let id = format!("baton/summary/{handoff}");
                let item = context::summary(&id, &text, UnixMillis(clock::unix_ms()));
                item.map_err(|error| NoSummary::Declined(error.to_string()))
            }
        });
        let item = item
            .inspect_err(|error| warn!(handoff = handoff.0, %error, "no summary"))
            .ok();
        if let Some(item) = &item {
            let under_way = self.call.phase().handoff();
            let route = under_way.and_then(|handoff| handoff.route);
            self.brief_summary(target, item, route);
        }
        self.talk.conversation.summed(author(target), item);
        self.tell(Event::SummarySettled { handoff });
    }

    /// The summary is awaited no longer.
    pub(super) fn summary_forgone(&mut self, handoff: HandoffId) {
        let late = self.talk.summing.take_if(|one| one.handoff == handoff);
        if let Some(Summing { target, .. }) = late {
            warn!(handoff = handoff.0, "no summary in time");
            self.talk.conversation.summed(author(target), None);
        }
    }

    /// A specialist is gone: what only it could say is not waited for.
    pub(super) fn summary_left(&mut self, dispatch: DispatchId) {
        let summing = self.talk.summing.as_ref();
        let lost = summing.filter(|summing| summing.asked == Some(dispatch));
        if let Some(handoff) = lost.map(|summing| summing.handoff) {
            self.summary_made(handoff, Err(NoSummary::Gone));
        }
    }
}

/// Asks a webhook for a summary and gives its text.
async fn summary_of(webhooks: &Webhooks, url: &str, asked: &Value) -> Result<String, NoSummary> {
    let answer = webhooks.ask(url, asked, ANSWER_BYTES_MAX).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| NoSummary::NoAnswer)?;
    let summary = answer.get("summary").and_then(Value::as_str);
    summary.map(str::to_owned).ok_or(NoSummary::NoAnswer)
}

/// What was said, as the messages that language models take.
fn messages(items: &[Item]) -> Vec<Value> {
    let items = items
        .iter()
        .filter_map(|item| LivekitItem::try_from(item).ok());
    Format::OpenaiChat
        .export(&items.collect::<Vec<_>>())
        .messages
}
