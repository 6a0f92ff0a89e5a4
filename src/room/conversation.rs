//! Conversation and state in the call: what specialists write goes to the crate `context`, and what they are to get comes
//! from there, as fast as their links take it.
//!
//! Nothing is queued here for one that is slow: it waits in the conversation, which is bounded, until the link has room.

use std::collections::BTreeMap;
use std::time::Instant;

use call::{
    CallConfig, DelegationFailure, DispatchId, Epoch, Event, HandoffId, Identity, Payload,
    RouteNumber, SpecialistName,
};
use context::{
    Answer, Applied, Author, Conversation, ConversationLimits, Effect, FilterPlan, Granting,
    Handed, Head, Incoming, IncomingPatch, Item, ItemRefusal, LogHash, Native, Outgoing,
    PatchOutcome, Position, Record, Scopes, SharedState, StateSchema, StateVersion, ToolPolicies,
    UnixMillis,
};
use tracing::{debug, warn};
use wire::{
    Body, ContextItem, ContextRefusal, ContextRefuseKind, Packet, StateOutcome, StatePatch,
    StateResult, Terms,
};

use super::desk::{View, Views};
use super::peers::chunk_limits;
use super::stored::{Said, Stored};
use super::summary::{Summarizer, Summing};
use super::task::Task;
use crate::clock;
use crate::telemetry::Hash;

/// Items that go into one body: what fits into a frame, if they are small.
const BATCH_BYTES: usize = 12_000;
/// What an item needs beside its own bytes to travel as a body.
const ITEM_OVERHEAD_BYTES: usize = 64 * 1024;

/// What the configuration says of conversation and state.
#[derive(Debug, Default)]
pub struct ContextRules {
    /// Bounds.
    pub limits: ConversationLimits,
    /// What the state has to look like.
    pub schema: Option<StateSchema>,
    /// By the route's number.
    pub routes: Vec<RouteContext>,
    /// What a specialist may see and write of the state; all of it where nothing is said.
    pub scopes: BTreeMap<SpecialistName, Scopes>,
}

/// What a route says of the conversation.
#[derive(Debug, Clone)]
pub struct RouteContext {
    /// What the target gets of it.
    pub filter: FilterPlan,
    /// Who makes the summary, if the target gets one.
    pub summarizer: Summarizer,
    /// What becomes of the holder's running tools.
    pub tools: ToolPolicies,
}

/// Conversation and state of one call.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) conversation: Conversation,
    /// The summary that is being made.
    pub(super) summing: Option<Summing>,
    /// The handoff that waits for running tools.
    tools: Option<HandoffId>,
    /// The handoff that waits for its target to have all, and the target.
    tail: Option<(HandoffId, Author)>,
    /// The route of the handoff under way, and the tool calls that it does not wait for.
    under_way: (Option<RouteNumber>, Vec<String>),
}

impl Default for RouteContext {
    fn default() -> Self {
        Self {
            filter: FilterPlan::default(),
            summarizer: Summarizer::Leaving,
            tools: ToolPolicies::default(),
        }
    }
}

impl ContextRules {
    /// What each specialist may see of a call: the state by its scopes, the conversation behind the masks of every route of
    /// `config` that leads to it.
    pub fn views(&self, config: &CallConfig) -> Views {
        let view = |name: &SpecialistName| {
            let leading = config.routes.iter().zip(&self.routes);
            let leading = leading.filter(|(route, _)| route.to.contains(name));
            let masks = leading.flat_map(|(_, context)| context.filter.masks.iter().cloned());
            View {
                masks: masks.collect(),
                scopes: self.scopes.get(name).cloned().unwrap_or_else(Scopes::all),
            }
        };
        let names = config.specialists.keys();
        names.map(|name| (name.clone(), view(name))).collect()
    }

    pub(super) fn route(&self, number: Option<RouteNumber>) -> RouteContext {
        number
            .and_then(|number| self.routes.get(number.0))
            .cloned()
            .unwrap_or_default()
    }
}

impl Talk {
    /// Takes in what a former process has journaled; what it could not take.
    pub(super) fn replay(&mut self, said: Vec<Said>) -> u64 {
        let mut refused = 0;
        for said in said {
            let taken = match said {
                Said::Record(record) => self.conversation.replay(record),
                Said::State(version, document) => {
                    self.conversation.restore_state(version, &document)
                }
            };
            if let Err(error) = taken {
                debug!(%error, "record of the conversation left out");
                refused += 1;
            }
        }
        refused
    }

    /// Somebody has the baton since this epoch, from a former process.
    pub(super) fn restore_holder(&mut self, dispatch: DispatchId, name: &str, epoch: Epoch) {
        self.conversation
            .restore_holder(author(dispatch), name, epoch.0);
    }

    /// All of it, to be journaled anew.
    pub(super) fn stored(&self) -> Vec<Stored> {
        let entries = self.conversation.log().entries().iter();
        let items =
            entries.map(|entry| Stored::item(entry.position(), entry.author(), entry.item()));
        let state = self.conversation.state();
        let document = serde_json::Value::Object(state.document().clone()).to_string();
        let state = (state.version() > StateVersion(0)).then_some(Stored::State {
            version: state.version().0,
            document,
        });
        items.chain(state).collect()
    }

    /// Nothing has been said yet.
    pub(super) fn new(rules: &ContextRules, terms: &Terms) -> Self {
        let mut limits = rules.limits;
        let body_bytes_max = chunk_limits(terms).body_bytes_max;
        limits.log.item_bytes_max = body_bytes_max.saturating_sub(ITEM_OVERHEAD_BYTES);
        Self {
            conversation: Conversation::new(limits, rules.schema.clone()),
            summing: None,
            tools: None,
            tail: None,
            under_way: (None, Vec::new()),
        }
    }
}

impl Talk {
    /// The shared state.
    pub(super) fn state(&self) -> &SharedState {
        self.conversation.state()
    }
}

impl Task {
    /// A specialist has been welcomed: it gets the state as it may see it.
    pub(super) fn talk_joined(&mut self, identity: &Identity) {
        let Some(dispatch) = self.dispatch_of(identity) else {
            return;
        };
        let snapshot = self.call.snapshot();
        let specialist = snapshot.specialists.get(&dispatch);
        let scopes = specialist.and_then(|view| self.deps.context.scopes.get(&view.specialist));
        let scopes = scopes.cloned().unwrap_or_else(Scopes::all);
        self.talk.conversation.joined(author(dispatch), scopes);
    }

    /// A dispatch is over.
    pub(super) fn talk_left(&mut self, dispatch: DispatchId) {
        self.talk.conversation.left(author(dispatch));
        self.summary_left(dispatch);
        // What only it could bring is not waited for.
        self.talk_settle();
    }

    /// A handoff has failed: its target is not told what comes.
    pub(super) fn talk_called_off(&mut self) {
        let holder = self.call.phase().holder().map(|holder| holder.dispatch);
        let readers = self.peers.dispatches();
        for dispatch in readers.into_iter().filter(|one| Some(*one) != holder) {
            self.talk.conversation.parked(author(dispatch));
        }
        self.talk.tools = None;
        self.talk.tail = None;
        self.talk.summing = None;
    }

    /// A specialist is to be prepared; what it is to take over.
    pub(super) fn talk_prepare(
        &mut self,
        identity: &Identity,
        route: Option<RouteNumber>,
    ) -> Option<Packet> {
        let dispatch = self.dispatch_of(identity)?;
        self.talk.under_way = (route, Vec::new());
        let filter = self.deps.context.route(route).filter;
        let prepared = self.talk.conversation.prepare(author(dispatch), filter);
        prepared.map(packet)
    }

    /// A target is ready, and says with which head.
    pub(super) fn talk_ready(&mut self, identity: &Identity, items: u64, hash: &[u8]) -> bool {
        let Some(dispatch) = self.dispatch_of(identity) else {
            return false;
        };
        // Without a hash it takes no part in the conversation.
        let Some(head) = (!hash.is_empty()).then(|| head(items, hash)) else {
            return self.talk.conversation.ready(author(dispatch), None);
        };
        head.is_some_and(|head| self.talk.conversation.ready(author(dispatch), Some(head)))
    }

    /// Tells the core when no tool runs that is to be waited for; at once, if it is so.
    pub(super) fn talk_await_tools(
        &mut self,
        handoff: HandoffId,
        route: Option<RouteNumber>,
        except: Vec<String>,
    ) {
        self.talk.under_way = (route, except);
        self.talk.tools = Some(handoff);
        self.talk_settle();
    }

    /// Tells the core when a target has applied all of the conversation; at once, if it is so.
    pub(super) fn talk_await_tail(&mut self, handoff: HandoffId, identity: &Identity) {
        let target = self.dispatch_of(identity).map(author);
        // Of one that is not bound nothing is known, and nothing is waited for.
        self.talk.tail = Some((handoff, target.unwrap_or(Author(0))));
        self.talk_settle();
    }

    /// The baton moves; what the one that gets it takes over with it. All of that is on its way to it already.
    pub(super) fn talk_granted(
        &mut self,
        now: Instant,
        identity: &Identity,
        epoch: Epoch,
        except: &[String],
    ) -> Option<Packet> {
        let dispatch = self.dispatch_of(identity)?;
        let snapshot = self.call.snapshot();
        let specialist = &snapshot.specialists.get(&dispatch)?.specialist;
        let (route, _) = std::mem::take(&mut self.talk.under_way);
        let tools = self.deps.context.route(route).tools;
        let mut effects = Vec::new();
        self.talk.conversation.granted(
            Granting {
                author: author(dispatch),
                specialist: specialist.as_str(),
                epoch: epoch.0,
                tools: &tools,
                except,
                at: UnixMillis(clock::unix_ms()),
            },
            &mut effects,
        );
        self.talk_carry_out(effects);
        self.talk_send(now);
        self.talk.conversation.handed(author(dispatch)).map(packet)
    }

    /// A delegation is over: the tool call by which it was asked for gets its output.
    pub(super) fn talk_delegated(
        &mut self,
        call: &str,
        outcome: &Result<Payload, DelegationFailure>,
    ) {
        let (output, is_error) = match outcome {
            Ok(result) => (spoken(result), false),
            Err(failure) => (format!("failed: {failure}"), true),
        };
        let mut effects = Vec::new();
        let at = UnixMillis(clock::unix_ms());
        self.talk
            .conversation
            .answer_call(call, output, is_error, at, &mut effects);
        self.talk_carry_out(effects);
    }

    /// A specialist has had the baton.
    pub(super) fn talk_parked(&mut self, identity: &Identity) {
        if let Some(dispatch) = self.dispatch_of(identity) {
            self.talk.conversation.parked(author(dispatch));
        }
    }

    /// A specialist has let go of the baton.
    pub(super) fn talk_released(&mut self, identity: &Identity) {
        if let Some(dispatch) = self.dispatch_of(identity) {
            self.talk.conversation.released(author(dispatch));
        }
    }

    /// A specialist is another process now.
    pub(super) fn talk_restarted(&mut self, identity: &Identity) {
        if let Some(dispatch) = self.dispatch_of(identity) {
            self.talk.conversation.restarted(author(dispatch));
        }
    }

    /// Takes what a specialist has written.
    pub(super) fn talk_received(&mut self, identity: &Identity, epoch: Epoch, body: Body) {
        let Some(dispatch) = self.dispatch_of(identity) else {
            return;
        };
        let (writer, mut effects) = (author(dispatch), Vec::new());
        match body {
            Body::ContextAppend { items } => {
                let items = items.into_iter().map(incoming).collect();
                self.talk
                    .conversation
                    .append(writer, epoch.0, items, &mut effects);
            }
            Body::StatePatch(StatePatch {
                patch,
                base_version,
                merge_patch,
                version: _,
            }) => {
                let patch = IncomingPatch {
                    number: patch,
                    base: StateVersion(base_version),
                    json: &merge_patch,
                };
                self.talk
                    .conversation
                    .patch(writer, epoch.0, patch, &mut effects);
            }
            Body::ContextApplied {
                context_items,
                context_hash,
            } => {
                let applied = head(context_items, &context_hash);
                let applied = applied.map(|head| self.talk.conversation.applied(writer, head));
                match applied {
                    Some(Applied::Current | Applied::Behind) => {}
                    Some(Applied::Diverged) | None => {
                        warn!(%identity, "a specialist has another conversation, it gets all of it anew");
                    }
                }
            }
            Body::SummaryResult { request, outcome } => {
                self.summary_given(dispatch, request, outcome);
            }
            other => debug!(%identity, body = other.name(), "not for the conversation"),
        }
        self.talk_carry_out(effects);
        self.talk_settle();
    }

    /// Gives every link what it has room for.
    pub(super) fn talk_send(&mut self, now: Instant) {
        let epoch = self.call.epoch();
        for (identity, dispatch) in self.peers.readers() {
            while self.peers.has_room(now, &identity, epoch) {
                let Some(outgoing) = self
                    .talk
                    .conversation
                    .poll_send(author(dispatch), BATCH_BYTES)
                else {
                    break;
                };
                if is_conflict(&outgoing) {
                    self.deps.metrics.state_conflict();
                }
                self.peers
                    .send_large(now, &identity, epoch, &body_of(outgoing));
            }
        }
    }

    fn talk_carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Journal(record) => {
                    self.journal.keep(self.call.epoch(), Stored::said(&record));
                    self.talk_changed(&record);
                }
                Effect::Overrun(writer) => {
                    let lost = self.peers.identity_of(DispatchId(writer.0));
                    if let Some(identity) = lost {
                        warn!(identity = %Hash::of(identity.as_str()), "a specialist writes and does not read");
                        self.tell(Event::Unresponsive { identity });
                    }
                }
            }
        }
        self.talk_publish();
    }

    /// Shows at the desk what is new.
    pub(super) fn talk_publish(&self) {
        self.post.follow(&self.talk.conversation);
    }

    /// Takes a change of the state from outside of the call.
    pub(super) fn talk_patched(
        &mut self,
        scopes: &Scopes,
        base: StateVersion,
        json: &[u8],
    ) -> PatchOutcome {
        let mut effects = Vec::new();
        let outcome = self
            .talk
            .conversation
            .patch_from_outside(scopes, base, json, &mut effects);
        self.talk_carry_out(effects);
        if matches!(outcome, PatchOutcome::Conflict { .. }) {
            self.deps.metrics.state_conflict();
        }
        outcome
    }

    /// An item or a patch was taken: it is durable before the next grant takes effect.
    fn talk_changed(&mut self, record: &Record) {
        match record {
            Record::Item { position, item, .. } => {
                debug!(position = position.0, "item taken");
                let native = item.native().map_or(0, |native| native.json.len());
                let bytes = item.encoded().len() + native;
                self.deps.metrics.context_grown(bytes);
            }
            Record::Patch { version, .. } => {
                debug!(version = version.0, "state changed");
                self.tell_state();
            }
        }
    }

    /// Tells the core what it waits for, once that is so.
    fn talk_settle(&mut self) {
        if let Some(handoff) = self.talk.tools {
            let (route, except) = &self.talk.under_way;
            let tools = self.deps.context.route(*route).tools;
            let talk = &self.talk.conversation;
            if !talk.waits_for_tools(&tools, except) {
                self.talk.tools = None;
                self.tell(Event::ToolsSettled { handoff });
            }
        }
        if let Some((handoff, target)) = self.talk.tail
            && self.talk.conversation.is_current(target)
        {
            self.talk.tail = None;
            self.tell(Event::TailApplied { handoff });
        }
    }
}

/// Whether it tells a specialist that its change of the state came too late.
fn is_conflict(outgoing: &Outgoing) -> bool {
    matches!(
        outgoing,
        Outgoing::Answer(Answer::Patch {
            outcome: PatchOutcome::Conflict { .. },
            ..
        })
    )
}

/// A result as a model reads it: JSON, but for a text, which stands for itself.
fn spoken(result: &Payload) -> String {
    serde_json::from_str::<String>(result.as_str()).unwrap_or_else(|_| result.as_str().to_owned())
}

/// The conversation knows an instance by the number of its dispatch.
pub(super) fn author(dispatch: DispatchId) -> Author {
    Author(dispatch.0)
}

fn head(items: u64, hash: &[u8]) -> Option<Head> {
    Some(Head {
        position: Position(items),
        hash: LogHash(hash.try_into().ok()?),
    })
}

fn packet(handed: Handed) -> Packet {
    let Handed { head, state } = handed;
    Packet {
        context_items: head.position.0,
        context_hash: head.hash.0.to_vec(),
        state_version: state.0,
    }
}

fn incoming(item: ContextItem) -> Incoming {
    let ContextItem {
        id,
        position: _,
        chat_item,
        framework,
        framework_json,
        unknown: _,
    } = item;
    let native = (!framework.is_empty()).then_some(Native {
        framework,
        json: framework_json,
    });
    Incoming {
        id,
        chat_item,
        native,
    }
}

fn outgoing_item(position: Position, item: &Item) -> ContextItem {
    let (framework, framework_json) = item.native().map_or_else(Default::default, |native| {
        (native.framework.clone(), native.json.clone())
    });
    ContextItem {
        id: item.id().to_string(),
        position: Some(position.0),
        chat_item: item.encoded().to_vec(),
        framework,
        framework_json,
        unknown: Vec::new(),
    }
}

fn body_of(outgoing: Outgoing) -> Body {
    match outgoing {
        Outgoing::Items(items) => Body::ContextAppend {
            items: items
                .iter()
                .map(|(position, item)| outgoing_item(*position, item))
                .collect(),
        },
        Outgoing::State {
            base,
            version,
            json,
        } => Body::StatePatch(StatePatch {
            patch: 0,
            base_version: base.0,
            merge_patch: json.into_bytes(),
            version: Some(version.0),
        }),
        Outgoing::Answer(Answer::Items { kept, refused }) => Body::ContextResult {
            kept: kept.iter().map(ToString::to_string).collect(),
            refused: refused
                .into_iter()
                .map(|refused| ContextRefusal {
                    detail: refused.reason.to_string(),
                    reason: refuse_kind(&refused.reason),
                    id: refused.id,
                })
                .collect(),
        },
        Outgoing::Answer(Answer::Patch { number, outcome }) => Body::StateResult(StateResult {
            patch: number,
            outcome: match outcome {
                PatchOutcome::Accepted(version) => StateOutcome::Accepted { version: version.0 },
                PatchOutcome::Conflict { version, current } => StateOutcome::Conflict {
                    version: version.0,
                    current: serde_json::Value::Object(current).to_string().into_bytes(),
                },
                PatchOutcome::Denied { path, reason } => StateOutcome::Denied { path, reason },
            },
        }),
    }
}

fn refuse_kind(refusal: &ItemRefusal) -> ContextRefuseKind {
    match refusal {
        ItemRefusal::NotHolder => ContextRefuseKind::NotHolder,
        ItemRefusal::StaleEpoch { .. } => ContextRefuseKind::StaleEpoch,
        ItemRefusal::Malformed(_) => ContextRefuseKind::Malformed,
        ItemRefusal::TooLarge(_) => ContextRefuseKind::TooLarge,
        ItemRefusal::Full(_) => ContextRefuseKind::Full,
        ItemRefusal::ChangesKind(_) => ContextRefuseKind::ChangesKind,
        ItemRefusal::NotOwn => ContextRefuseKind::NotOwn,
    }
}
