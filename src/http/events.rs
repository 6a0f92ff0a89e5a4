//! Live changes as server-sent events, with resume by `Last-Event-ID`.
//!
//! A stream keeps nothing but its place: it reads what came after it from the desk, and sleeps until there is more. Who
//! resumes at a place that is no longer kept gets an event `reset` first, and looks at the list again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State, rejection::QueryRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::problem::Problem;
use super::{App, STREAMS_MAX};
use crate::admin::{Access, Admin, AdminError, ChangeView, Told};

/// Changes that are taken from the desk at once.
const BATCH_MAX: usize = 64;
/// A quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The number of the last change that was seen, as `change` of a list or the id of an event; the header
    /// `Last-Event-ID` has precedence. Without either, the stream begins with what is new.
    after: Option<u64>,
}

/// Changes of every call that the credential shows.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen")),
    responses(
        (status = 200, content_type = "text/event-stream", body = ChangeView, description = "Events `opened`, `changed`, `closed` with a change as JSON, and `reset` when changes were missed"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The place is no number"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The credential shows no call"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many streams are open"),
    ),
)]
pub(super) async fn all(
    State(app): State<App>,
    access: Access,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    if !access.is_any() {
        let needs = "a LiveKit token with roomList or roomAdmin, or the operator's token";
        return Err(AdminError::NotAllowed { needs }.into());
    }
    let place = place(&headers, query)?;
    follow(app, access, None, place)
}

/// Changes of one call.
#[utoipa::path(
    get, path = "/calls/{id}/events", tag = "events",
    params(
        ("id" = String, Path, description = "The call's id"), EventsQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = ChangeView, description = "As of all calls; it ends with `closed`"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The place is no number"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "No valid credential"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such call, or the credential does not show it"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many streams are open"),
    ),
)]
pub(super) async fn of_one(
    State(app): State<App>,
    access: Access,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = place(&headers, query)?;
    app.admin.call(&access, &id)?;
    follow(app, access, Some(id), place)
}

/// Where a stream stands.
struct Follower {
    admin: Admin,
    access: Access,
    of: Option<String>,
    seen: u64,
    newest: watch::Receiver<u64>,
    waiting: std::vec::IntoIter<Event>,
    ended: bool,
    close: CancellationToken,
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
}

fn follow(
    app: App,
    access: Access,
    of: Option<String>,
    place: Option<u64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit = Arc::clone(&app.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::too_many_streams(STREAMS_MAX))?;
    let newest = app.admin.watch();
    let seen = place.unwrap_or(*newest.borrow());
    let follower = Follower {
        admin: app.admin,
        access,
        of,
        seen,
        newest,
        waiting: Vec::new().into_iter(),
        ended: false,
        close: app.close,
        permit,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.newest.mark_unchanged();
            let more = self.read();
            if self.waiting.len() > 0 || more {
                continue;
            }
            // Both arms are cancel-safe: neither takes anything.
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = self.close.cancelled() => return None,
            }
        }
    }

    /// Takes in what has come; whether there may be more.
    fn read(&mut self) -> bool {
        let found = self
            .admin
            .changes(&self.access, self.of.as_deref(), self.seen, BATCH_MAX);
        let more = found.seen != self.seen;
        self.seen = found.seen;
        self.ended =
            self.of.is_some() && found.changes.iter().any(|change| change.kind == "closed");
        let mut events = Vec::with_capacity(found.changes.len() + 1);
        if found.torn {
            events.push(Event::default().event("reset").data("{}"));
        }
        events.extend(found.changes.iter().map(event));
        self.waiting = events.into_iter();
        more
    }
}

/// A change as an event.
fn event(change: &Told) -> Event {
    Event::default()
        .id(change.id.to_string())
        .event(change.kind)
        .data(&change.json)
}

fn place(
    headers: &HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Option<u64>, Problem> {
    let bad = |detail: String| Problem::invalid(StatusCode::BAD_REQUEST, detail);
    let Query(EventsQuery { after }) = query.map_err(|error| bad(error.body_text()))?;
    match headers.get("last-event-id") {
        None => Ok(after),
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map(Some)
            .ok_or_else(|| bad("`Last-Event-ID` is not the id of an event".to_owned())),
    }
}

/// Room for so many streams.
pub(super) fn streams() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(STREAMS_MAX))
}
