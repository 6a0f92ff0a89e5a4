//! The resources of a call: `call://{id}/context`, `/state` and `/timeline`, and what follows their changes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use rmcp::ErrorData;
use rmcp::model::{Resource, ResourceContents, ResourceTemplate};
use serde::Serialize;
use tokio::task::{AbortHandle, JoinSet};

use super::tools::problem;
use crate::admin::{Access, Admin, AdminError, Moved};

/// Resources that one session may follow.
pub(super) const FOLLOWED_MAX: usize = 32;
const JSON: &str = "application/json";

/// A part of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Context,
    State,
    Timeline,
}

/// A resource's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    call: String,
    part: Part,
}

impl Part {
    const ALL: [Self; 3] = [Self::Context, Self::State, Self::Timeline];

    fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::State => "state",
            Self::Timeline => "timeline",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Context => "What was said in the call, the newest 500 items",
            Self::State => "The shared variables of the call, with their version",
            Self::Timeline => "What has happened in the call: who had the baton when, and why",
        }
    }

    fn is_in(self, moved: Moved) -> bool {
        match self {
            Self::Context => moved.context,
            Self::State => moved.state,
            Self::Timeline => moved.timeline,
        }
    }
}

impl Place {
    /// Takes an address apart; `None` if it is none of ours.
    pub(super) fn parse(uri: &str) -> Option<Self> {
        let (call, part) = uri.strip_prefix("call://")?.rsplit_once('/')?;
        let part = Part::ALL.into_iter().find(|known| known.name() == part)?;
        (!call.is_empty()).then(|| Self {
            call: call.to_owned(),
            part,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call://{}/{}", self.call, self.part.name())
    }
}

/// What addresses there are.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    Part::ALL
        .into_iter()
        .map(|part| {
            let name = part.name();
            ResourceTemplate::new(format!("call://{{id}}/{name}"), name)
                .with_description(part.description())
                .with_mime_type(JSON)
        })
        .collect()
}

/// The resources of these calls.
pub(super) fn of_calls<'a>(calls: impl Iterator<Item = &'a str>) -> Vec<Resource> {
    calls
        .flat_map(|call| {
            Part::ALL.into_iter().map(move |part| {
                let place = Place {
                    call: call.to_owned(),
                    part,
                };
                Resource::new(place.to_string(), part.name())
                    .with_description(part.description())
                    .with_mime_type(JSON)
            })
        })
        .collect()
}

/// The text of a resource.
pub(super) fn read(
    admin: &Admin,
    access: &Access,
    uri: &str,
) -> Result<ResourceContents, ErrorData> {
    let Place { call, part } = Place::parse(uri).ok_or_else(|| not_found(uri))?;
    let text = match part {
        Part::Context => {
            // The newest ones: what is read of a long conversation is its end.
            let head = admin.context(access, &call, u64::MAX, Some(1));
            head.and_then(|page| admin.context(access, &call, page.head.saturating_sub(500), None))
                .and_then(text)
        }
        Part::State => admin.state(access, &call).and_then(text),
        Part::Timeline => admin.timeline(access, &call, 0, None).and_then(text),
    };
    let text = text.map_err(|error| error_data(&error))?;
    Ok(ResourceContents::text(text, uri).with_mime_type(JSON))
}

fn text<T: Serialize>(view: T) -> Result<String, AdminError> {
    serde_json::to_string(&view).map_err(|error| AdminError::Invalid {
        what: error.to_string(),
    })
}

pub(super) fn not_found(uri: &str) -> ErrorData {
    let message = format!("there is no {uri}; a resource is call://ID/context, state or timeline");
    ErrorData::resource_not_found(message, None)
}

pub(super) fn error_data(error: &AdminError) -> ErrorData {
    match error {
        AdminError::NoCall { .. } => {
            ErrorData::resource_not_found(error.to_string(), Some(problem(error)))
        }
        AdminError::NotAllowed { .. }
        | AdminError::Busy
        | AdminError::CallEnded
        | AdminError::Invalid { .. }
        | AdminError::Conflict { .. }
        | AdminError::Refused { .. }
        | AdminError::NotConfigured { .. }
        | AdminError::Journal { .. }
        | AdminError::Failed { .. } => {
            ErrorData::invalid_request(error.to_string(), Some(problem(error)))
        }
    }
}

/// Tells of each change of a resource until its call is over or `tell` says that nobody listens.
pub(super) async fn follow<F>(
    admin: &Admin,
    access: &Access,
    place: &Place,
    mut tell: impl FnMut(String) -> F,
) where
    F: Future<Output = bool>,
{
    let Ok(mut follow) = admin.follow(access, &place.call) else {
        return;
    };
    while let Some(moved) = follow.moved().await {
        if place.part.is_in(moved) && !tell(place.to_string()).await {
            return;
        }
    }
}

/// Follows several resources at once, until all of their calls are over.
pub(super) async fn follow_all<F>(
    admin: &Admin,
    access: &Access,
    places: &[Place],
    tell: impl Fn(String) -> F,
) where
    F: Future<Output = bool>,
{
    let mut all: FuturesUnordered<_> = places
        .iter()
        .map(|place| follow(admin, access, place, &tell))
        .collect();
    while all.next().await.is_some() {}
}

/// What a session follows by `resources/subscribe`; it ends with the session.
#[derive(Debug, Default)]
pub(super) struct Followed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tasks: JoinSet<()>,
    by_uri: BTreeMap<String, AbortHandle>,
}

impl Followed {
    /// Begins to follow a resource, unless it is followed already; whether there was room for it.
    pub(super) fn begin(
        &self,
        uri: String,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let mut inner = self.0.lock();
        while inner.tasks.try_join_next().is_some() {}
        inner.by_uri.retain(|_, task| !task.is_finished());
        if inner.by_uri.contains_key(&uri) {
            return true;
        }
        if inner.by_uri.len() >= FOLLOWED_MAX {
            return false;
        }
        let task = inner.tasks.spawn(task);
        inner.by_uri.insert(uri, task);
        true
    }

    pub(super) fn end(&self, uri: &str) {
        if let Some(task) = self.0.lock().by_uri.remove(uri) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn an_address_names_a_call_and_one_of_its_parts() {
        let place = Place::parse("call://room_x~1/state").expect("it is one");
        assert_eq!(place.to_string(), "call://room_x~1/state");
        for wrong in [
            "",
            "call://",
            "call:///state",
            "call://a/words",
            "http://a/state",
            "call://a",
        ] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
