//! What was said in a call and what is known in it: the conversation, the shared state, the packet of both.

use std::sync::Arc;
use std::time::Duration;

use call::CallId;
use context::{LivekitItem, Packet, PacketState, PatchOutcome, Scopes, StateVersion, masked};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{Access, Admin, AdminError};
use crate::room::{Ask, View};

const VIEW: &str = "a token whose `baton.view_as` names a specialist of the call";
/// The most items in one answer.
const ITEMS_MAX: usize = 500;
/// How long a call may take to answer a patch.
const PATCH_MAX: Duration = Duration::from_secs(5);

/// Items of a conversation in the order in which they came in.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ContextPage {
    /// The items. One with a known id replaces the earlier one, at the earlier one's place in the conversation.
    pub items: Vec<ItemView>,
    /// There are more: ask for those after this position.
    pub next: Option<u64>,
    /// The position of the newest item.
    pub head: u64,
    /// The hash of the conversation up to there, in hex, by which specialists confirm what they have.
    pub hash: String,
}

/// One item of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ItemView {
    /// Its place in the log, from 1.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// The item as `livekit-agents` writes it; absent if it is of a kind that is unknown here.
    #[schema(value_type = Option<Object>)]
    pub item: Option<Value>,
}

/// The shared state of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StateView {
    /// Grows with every change.
    pub version: u64,
    /// The document.
    #[schema(value_type = Object)]
    pub document: Map<String, Value>,
}

/// A change of the shared state.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchWish {
    /// The version that the patch was made against.
    #[serde(deserialize_with = "super::whole::number")]
    pub base_version: u64,
    /// A JSON merge patch (RFC 7396).
    #[schema(value_type = Object)]
    pub patch: Map<String, Value>,
}

/// A change that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PatchAnswer {
    /// The version of the state that has it.
    pub version: u64,
}

impl Admin {
    /// The conversation after a position, at most `limit` items of it.
    ///
    /// # Errors
    /// When the visitor may not see what is said in the call, or there is none.
    pub fn context(
        &self,
        access: &Access,
        id: &str,
        after: u64,
        limit: Option<usize>,
    ) -> Result<ContextPage, AdminError> {
        let id = self.steered(access, id)?;
        let view = self.view(access, &id)?;
        let limit = limit.unwrap_or(ITEMS_MAX).clamp(1, ITEMS_MAX);
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let found = self.desk.said(&id, |said| {
            let page = said.items.get(start..).unwrap_or_default();
            let page = &page[..page.len().min(limit)];
            let seen = match &view {
                // A result may be in the page, and its call before it.
                Some(view) => masked(&said.items, &view.masks)
                    .into_iter()
                    .skip(start)
                    .take(limit)
                    .collect(),
                None => page.iter().cloned().map(Some).collect::<Vec<_>>(),
            };
            (page.len() as u64, seen, said.head)
        });
        let (length, items, head) = found.ok_or_else(|| no_call(&id))?;
        let last = after.saturating_add(length);
        let items = items.iter().zip(after.saturating_add(1)..);
        let items = items.filter_map(|(item, position)| Some((item.as_ref()?, position)));
        Ok(ContextPage {
            items: items
                .map(|(item, position)| ItemView {
                    position,
                    id: item.id().to_string(),
                    item: LivekitItem::try_from(item)
                        .ok()
                        .map(LivekitItem::into_value),
                })
                .collect(),
            next: (last < head.position.0).then_some(last),
            head: head.position.0,
            hash: head.hash.to_string(),
        })
    }

    /// The shared state.
    ///
    /// # Errors
    /// When the visitor may not see what is known in the call, or there is none.
    pub fn state(&self, access: &Access, id: &str) -> Result<StateView, AdminError> {
        let id = self.steered(access, id)?;
        let view = self.view(access, &id)?;
        let found = self
            .desk
            .said(&id, |said| (said.version, Arc::clone(&said.state)));
        let (version, document) = found.ok_or_else(|| no_call(&id))?;
        Ok(StateView {
            version: version.0,
            document: match view {
                Some(view) => view.scopes.view(&document),
                None => Arc::unwrap_or_clone(document),
            },
        })
    }

    /// Changes the shared state by compare-and-set.
    ///
    /// # Errors
    /// When the visitor may not, what the patch touches has changed since, or the state's bounds or schema refuse it.
    pub async fn patch_state(
        &self,
        access: &Access,
        id: &str,
        wish: PatchWish,
    ) -> Result<PatchAnswer, AdminError> {
        let id = self.steered(access, id)?;
        let view = self.view(access, &id)?;
        let PatchWish {
            base_version: base,
            patch,
        } = wish;
        let (answer, outcome) = oneshot::channel();
        let ask = Ask::Patch {
            scopes: view.map_or_else(Scopes::all, |view| view.scopes),
            base: StateVersion(base),
            json: Value::Object(patch).to_string().into_bytes(),
            answer,
        };
        self.desk
            .ask(&id, ask)
            .map_err(|error| AdminError::asking(error, id.as_str()))?;
        match tokio::time::timeout(PATCH_MAX, outcome).await {
            Ok(Ok(PatchOutcome::Accepted(version))) => Ok(PatchAnswer { version: version.0 }),
            Ok(Ok(PatchOutcome::Conflict { version, current })) => Err(AdminError::Conflict {
                base,
                version: version.0,
                current,
            }),
            // A version that is still to come is none that the patch could have been made against.
            Ok(Ok(PatchOutcome::Denied { .. }))
                if self.state(access, id.as_str())?.version < base =>
            {
                let StateView { version, document } = self.state(access, id.as_str())?;
                Err(AdminError::Conflict {
                    base,
                    version,
                    current: document,
                })
            }
            Ok(Ok(PatchOutcome::Denied { path, reason })) => {
                let at = if path.is_empty() {
                    String::new()
                } else {
                    format!(" at {path}")
                };
                Err(AdminError::Invalid {
                    what: format!("the patch is refused{at}: {reason}"),
                })
            }
            Ok(Err(_)) => Err(AdminError::CallEnded),
            Err(_) => Err(AdminError::Busy),
        }
    }

    /// Conversation and state as a portable packet, the conversation as it stands after all replacements.
    ///
    /// # Errors
    /// When the visitor may not see what is said in the call, or there is none.
    pub fn packet(&self, access: &Access, id: &str) -> Result<Packet, AdminError> {
        let id = self.steered(access, id)?;
        let view = self.view(access, &id)?;
        let found = self.desk.said(&id, |said| {
            let document = match &view {
                Some(view) => view.scopes.view(&said.state),
                None => said.state.as_ref().clone(),
            };
            let state = PacketState {
                version: said.version.0,
                document,
                ..PacketState::default()
            };
            let items = match &view {
                Some(view) => masked(&said.items, &view.masks)
                    .into_iter()
                    .flatten()
                    .collect(),
                None => said.items.clone(),
            };
            (items, state)
        });
        let (items, state) = found.ok_or_else(|| no_call(&id))?;
        // An item that replaces another stands at the other's place.
        let mut order: Vec<&context::Item> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for item in &items {
            let place = *places.entry(item.id()).or_insert(order.len());
            match order.get_mut(place) {
                Some(earlier) => *earlier = item,
                None => order.push(item),
            }
        }
        let items = order
            .into_iter()
            .filter_map(|item| LivekitItem::try_from(item).ok())
            .collect();
        Ok(Packet {
            call_id: Some(id.to_string()),
            state,
            ..Packet::new(items)
        })
    }
}

impl Admin {
    /// What the visitor may see of what is said and known in a call, if that is not all.
    fn view(&self, access: &Access, id: &CallId) -> Result<Option<View>, AdminError> {
        let Some(specialist) = access.view() else {
            return Ok(None);
        };
        match self.desk.view(id, specialist) {
            Some(view) => Ok(Some(view)),
            None => Err(AdminError::NotAllowed { needs: VIEW }),
        }
    }
}

fn no_call(id: &CallId) -> AdminError {
    AdminError::NoCall { id: id.to_string() }
}
