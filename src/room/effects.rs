//! Carries out what the core commands: frames, gates, the mixer, requests to the server. What fails comes back as an event.

use std::error::Error as _;
use std::time::{Duration, Instant};

use audio::{Curve, Epoch, Fade, Input};
use call::{
    Asker, Cause, Command, DispatchId, EndReason, Event, Fact, Handoff, HandoffId, Identity, Phase,
    SpecialistName, Splice,
};
use tracing::{debug, error, info, warn};
use wire::{Body, Dtmf, HandoffOutcome, HandoffResult, Prepare, Revoke, RevokeMode};

use super::desk::Happened;
use super::program::{Matched, Order};
use super::sides::reference;
use super::stored::Stored;
use super::task::{Done, Doubt, Task};
use super::tickets::fresh_ticket;
use crate::clock;
use crate::rtc::ParticipantKind;
use crate::side;
use crate::telemetry::Hash;

impl Task {
    /// Carries out one command; a command that ends the call gives the reason.
    pub(super) async fn carry_out(&mut self, now: Instant, command: Command) -> Option<EndReason> {
        match command {
            Command::Dispatch {
                dispatch,
                specialist,
                agent_name,
            } => {
                let max = self
                    .deps
                    .plan
                    .specialist(&specialist)
                    .and_then(|one| one.calls_max);
                if !self.seats.take(dispatch, &specialist, max) {
                    let max = max.unwrap_or(0);
                    warn!(%specialist, max, "specialist is in as many calls as it may be");
                    self.tell(Event::DispatchFull { dispatch, max });
                } else if self.is_beside(&specialist) {
                    self.dispatch_beside(dispatch, &specialist, agent_name);
                } else {
                    self.dispatch(dispatch, &specialist, agent_name.as_str());
                }
            }
            Command::Transfer {
                dispatch,
                specialist,
                caller,
                answer_timeout_ms,
                epoch: _,
            } => self.transfer(dispatch, &specialist, &caller, answer_timeout_ms),
            Command::DeleteDispatch { dispatch } => {
                self.seats.free(dispatch);
                if !self.close_side(dispatch) {
                    self.withdraw(dispatch);
                }
                self.talk_left(dispatch);
            }
            Command::Welcome {
                identity,
                epoch,
                targets,
            } => {
                // One in a side room was not told of us, and knows nothing to be welcomed to.
                if !self.sides.has(&identity) {
                    self.peers.welcome(&identity, epoch, targets);
                    self.talk_joined(&identity);
                    self.open_program().await;
                }
            }
            Command::Prepare {
                identity,
                epoch,
                handoff,
                from,
                reason,
                opening,
                route,
                task,
            } => {
                let packet = self.talk_prepare(&identity, route);
                if self.sides.order(&identity, side::Order::Prepare(handoff)) {
                    self.brief(&identity, handoff, from.as_ref(), &reason);
                    return None;
                }
                let prepare = Prepare {
                    handoff,
                    from,
                    reason,
                    opening,
                    packet,
                    caller: self.call.snapshot().caller.map(|caller| caller.identity),
                    delegation_input: task.map(|task| task.as_str().as_bytes().to_vec()),
                    traceparent: self.trace.traceparent(),
                };
                self.peers
                    .send(now, &identity, epoch, &Body::Prepare(prepare));
            }
            Command::AwaitSummary {
                identity,
                target,
                epoch: _,
                handoff,
                route,
                wait_ms,
            } => self.summary_wanted(now, &identity, target, handoff, route, wait_ms),
            Command::ForgoSummary { handoff } => self.summary_forgone(handoff),
            Command::AwaitTools {
                identity: _,
                epoch: _,
                handoff,
                route,
                except,
            } => self.talk_await_tools(handoff, route, except),
            Command::AwaitTail {
                identity,
                epoch: _,
                handoff,
            } => self.talk_await_tail(handoff, &identity),
            Command::AwaitJournal { epoch: _, handoff } => self.await_journal(handoff),
            Command::WatchSplice {
                identity,
                epoch: _,
                handoff,
                splice,
            } => self.watch_splice(&identity, handoff, splice),
            Command::Accepted {
                identity,
                epoch: _,
                handoff,
            } => {
                self.sides.order(&identity, side::Order::Accepted(handoff));
            }
            Command::AskEntryState => self.look_up(),
            Command::Announce { clip, epoch: _ } => match self.deps.clips.get(&clip).cloned() {
                Some(announcement) => {
                    self.program
                        .order(Order::Announce(clip, announcement))
                        .await
                }
                None => self.tell(Event::Announced { clip }),
            },
            Command::Answer => {
                self.answered = true;
                self.open_program().await;
            }
            Command::Grant {
                identity,
                epoch,
                handoff,
                opening,
                except,
            } => {
                let packet = self.talk_granted(now, &identity, epoch, &except);
                if self.sides.order(&identity, side::Order::Grant(epoch)) {
                    return None;
                }
                self.sides.lead_to_nobody();
                let grant = Body::Grant {
                    epoch,
                    opening,
                    handoff,
                    packet,
                };
                self.peers.send(now, &identity, epoch, &grant);
            }
            Command::Supersede { identity, epoch } => {
                self.figures.superseded(clock::now());
                if self.sides.order(&identity, side::Order::Supersede) {
                    return None;
                }
                self.peers
                    .send(now, &identity, epoch, &Body::Supersede { epoch });
            }
            Command::Dtmf {
                identity,
                epoch,
                number,
                digit,
            } => {
                if self.sides.order(&identity, side::Order::Press(digit)) {
                    return None;
                }
                let dtmf = Dtmf { number, digit };
                self.peers.send(now, &identity, epoch, &Body::Dtmf(dtmf));
            }
            Command::Revoke { identity, epoch } => {
                self.talk_parked(&identity);
                let source = self.peers.source(&identity);
                self.voices.forget(source);
                if self.sides.order(&identity, side::Order::Revoke(epoch)) {
                    return None;
                }
                self.peers.send(
                    now,
                    &identity,
                    epoch,
                    &Body::Revoke(Revoke {
                        epoch,
                        mode: RevokeMode::Cut,
                    }),
                );
            }
            Command::Release { identity, epoch } => {
                if !self.leave_side(&identity) {
                    self.peers.send(now, &identity, epoch, &Body::Leave);
                }
            }
            Command::Remove { identity, reason } => {
                warn!(identity = %Hash::of(identity.as_str()), %reason, "participant removed");
                if !self.leave_side(&identity) {
                    self.remove(&identity);
                }
            }
            Command::Admit { identity, epoch } => {
                let input = self.input(&identity, epoch);
                self.program.order(Order::Admit(input)).await;
            }
            Command::Fade {
                from,
                to,
                epoch,
                ms,
            } => {
                let fade = match self.deps.curve {
                    Curve::EqualPower => Fade::equal_power(ms),
                    Curve::Linear => Fade::linear(ms),
                    Curve::Cut => Fade::CUT,
                };
                let fade = if self.deps.faults.fade_off {
                    Fade::CUT
                } else {
                    fade
                };
                let (from, to) = (self.peers.source(&from), self.input(&to, epoch));
                let matched = self.matched();
                self.program
                    .order(Order::Fade {
                        from,
                        to,
                        fade,
                        matched,
                    })
                    .await;
            }
            Command::Drop { identity, epoch: _ } => {
                let source = self.peers.source(&identity);
                self.program.order(Order::Drop { source }).await;
            }
            Command::CallerAudience { allowed, epoch: _ } => self.gates.set_audience(now, allowed),
            Command::AskHolder { identity, epoch: _ } => {
                self.sides.order(&identity, side::Order::Ask);
                self.ask_holder(now, identity);
            }
            Command::Shut {
                identities,
                epoch: _,
            } => self.gates.set_shut(now, identities),
            Command::HandoffResult {
                asker,
                request,
                epoch,
                outcome,
            } => {
                debug!(?outcome, "handoff result");
                match asker {
                    Asker::Specialist { identity, .. } => {
                        let outcome = HandoffOutcome::from(&outcome);
                        self.peers.send(
                            now,
                            &identity,
                            epoch,
                            &Body::HandoffResult(HandoffResult { request, outcome }),
                        );
                    }
                    Asker::Operator => {
                        // Whoever is answered and looks at once sees what it has brought about.
                        self.show_desk();
                        self.answers.answer(request, outcome);
                    }
                    Asker::Rule => {}
                }
            }
            Command::DelegationResult {
                identity,
                epoch,
                handoff: _,
                request,
                tool_call,
                outcome,
            } => {
                if let Some(call) = tool_call {
                    self.talk_delegated(&call, &outcome);
                }
                // One in a side room cannot have asked.
                let identity = identity.filter(|identity| !self.sides.has(identity));
                if let Some(identity) = identity {
                    let outcome = outcome
                        .map(|result| result.as_str().as_bytes().to_vec())
                        .map_err(|failure| failure.to_string());
                    let body = Body::DelegationResult { request, outcome };
                    self.peers.send(now, &identity, epoch, &body);
                }
            }
            Command::SteerResult {
                request,
                epoch: _,
                outcome,
            } => {
                debug!(?outcome, "steer result");
                self.show_desk();
                self.answers.answer_steered(request, outcome);
            }
            Command::Reject {
                identity,
                epoch,
                reason,
            } => {
                debug!(%reason, "event rejected");
                let named = wire::RejectReason::from(&reason);
                self.deps.metrics.rejected(named.as_str());
                if let Some(identity) = identity {
                    self.peers.reject(now, &identity, epoch, &reason);
                }
            }
            Command::Record(fact) => {
                if matches!(fact, Fact::HandoffFailed { .. }) {
                    self.talk_called_off();
                }
                if let Fact::HandoffStarted { handoff, from: _ } = &fact {
                    self.accept(now, handoff);
                }
                self.note(now, &fact);
                self.journal.fact(self.call.epoch(), &fact);
                if let Fact::Granted { epoch, .. } = fact
                    && !self.journal.is_announced(epoch)
                {
                    self.journal.settle().await;
                }
            }
            Command::Ended { reason } => return Some(reason),
        }
        None
    }

    /// How the voices of the handoff under way are matched, if they are.
    fn matched(&self) -> Option<Matched> {
        let Phase::Switching {
            from: Some(from),
            to,
            handoff,
            step: _,
        } = self.call.phase()
        else {
            return None;
        };
        let loudness = &self.deps.loudness;
        loudness.matches(handoff.route).then(|| Matched {
            from_lufs: loudness.lufs(&from.specialist),
            to_lufs: loudness.lufs(&to.specialist),
        })
    }

    /// Logs and counts a change of the call.
    fn note(&mut self, now: Instant, fact: &Fact) {
        record(fact);
        self.post.note(Happened::Fact(fact.clone()));
        let metrics = &self.deps.metrics;
        if let Some(figures) = self.figures.note(now, fact) {
            figures.log();
            metrics.handoff(&figures);
            self.trace.handoff(&figures);
        }
        if let Fact::Phase { phase, epoch: _ } = fact {
            self.trace.phase(phase.as_str());
        }
        if matches!(fact, Fact::DeadAirBegan { .. }) {
            metrics.dead_air();
            self.trace.dead_air_began();
        }
        if matches!(fact, Fact::DeadAirEnded { .. }) {
            self.trace.dead_air_ended();
        }
        if matches!(
            fact,
            Fact::DeadAirEnded {
                false_start: true,
                ..
            }
        ) {
            metrics.false_start();
        }
        if matches!(fact, Fact::HolderLost { .. }) {
            metrics.holder_lost();
        }
        if matches!(fact, Fact::NobodyLeft { .. }) {
            metrics.nobody_left();
        }
        if matches!(fact, Fact::Misbehaved { .. }) {
            metrics.misbehaved();
        }
    }

    fn input(&mut self, identity: &Identity, epoch: call::Epoch) -> Input {
        Input {
            source: self.peers.source(identity),
            epoch: Epoch(epoch.0),
        }
    }

    fn watch_splice(&mut self, identity: &Identity, handoff: HandoffId, splice: Splice) {
        let holder = self.peers.source(identity);
        self.voices.watch(handoff, holder, splice);
        self.look_for_splice();
    }

    /// Tells the core of a splice point, if this moment is the one that is waited for.
    pub(super) fn look_for_splice(&mut self) {
        if let Some(handoff) = self.voices.take_reached() {
            self.tell(Event::SpliceReached { handoff });
        }
    }

    /// Dispatches a specialist with a fresh ticket.
    fn dispatch(&mut self, dispatch: DispatchId, specialist: &SpecialistName, agent_name: &str) {
        let ticket = fresh_ticket();
        self.peers.expect(dispatch, ticket.clone());
        let expected = Stored::Expected {
            dispatch,
            ticket: ticket.clone(),
        };
        self.journal.keep(self.call.epoch(), expected);
        let operators = self.deps.metadata.get(specialist).map(String::as_str);
        let metadata =
            self.peers
                .metadata(&self.connection.identity(), ticket, specialist, operators);
        let (deps, room, agent_name, done) = (
            self.deps.clone(),
            self.room.clone(),
            agent_name.to_owned(),
            self.done.clone(),
        );
        let connected = self.is_connected();
        self.requests.spawn(async move {
            let made = match metadata {
                Err(error) => Err(error.to_string()),
                // While our own connection is away the room may be gone, and a dispatch would create it anew.
                Ok(_) if !connected && !deps.server.room_lives(&room).await.unwrap_or(false) => {
                    Err("the room does not live".to_owned())
                }
                Ok(metadata) => deps
                    .server
                    .create_dispatch(&room, &agent_name, metadata)
                    .await
                    .map_err(|error| {
                        let cause = error
                            .source()
                            .map(|source| format!(": {source}"))
                            .unwrap_or_default();
                        format!("{error}{cause}")
                    }),
            };
            // The loop is gone only when the call is over and its farewell took too long.
            let _ = done.send(Done::Dispatched { dispatch, made }).await;
        });
    }

    /// Has the caller's phone call an address.
    fn transfer(
        &mut self,
        dispatch: DispatchId,
        specialist: &SpecialistName,
        caller: &Identity,
        answer_timeout_ms: u64,
    ) {
        let Some(address) = self.deps.addresses.get(specialist).cloned() else {
            let detail = "the configuration has no address for it".to_owned();
            return self.tell(Event::DispatchFailed { dispatch, detail });
        };
        info!(%specialist, "transferring the caller");
        let limit = Duration::from_millis(answer_timeout_ms);
        let headers = reference(self.call.id());
        let (deps, room, caller, done) = (
            self.deps.clone(),
            self.room.clone(),
            caller.to_string(),
            self.done.clone(),
        );
        self.requests.spawn(async move {
            let server = &deps.server;
            let transferred = server
                .transfer(&room, &caller, address, limit, headers)
                .await;
            let transferred = transferred.map_err(|error| error.how(limit));
            // The loop is gone only when the call is over.
            let _ = done
                .send(Done::Transferred {
                    dispatch,
                    transferred,
                })
                .await;
        });
    }

    /// Tells a specialist that asked that its handoff is under way; what becomes of it follows.
    fn accept(&mut self, now: Instant, handoff: &Handoff) {
        let Cause::Request {
            asker: Asker::Specialist { identity, epoch: _ },
            request,
        } = &handoff.cause
        else {
            return;
        };
        let accepted = HandoffResult {
            request: *request,
            outcome: HandoffOutcome::Accepted {
                handoff: handoff.id,
            },
        };
        let epoch = self.call.epoch();
        self.peers
            .send(now, identity, epoch, &Body::HandoffResult(accepted));
    }

    /// Asks a quiet holder for a sign of life, and the server too: nobody is dead because our own network is.
    fn ask_holder(&mut self, now: Instant, identity: Identity) {
        debug!(%identity, "the holder is quiet, asking it");
        let answer_ms = self.deps.plan.config().timers.holder_answer_ms;
        let limit = Duration::from_millis(answer_ms);
        self.doubt = Some(Doubt {
            identity,
            ask_at: now,
            until: now + limit,
        });
        let (pulse, done) = (self.connection.pulse(), self.done.clone());
        self.requests.spawn(async move {
            if tokio::time::timeout(limit, pulse.beat()).await.is_ok() {
                // The loop is gone only when the call is over.
                let _ = done.send(Done::ServerHeard).await;
            }
        });
    }

    /// Tells the core when everything that was recorded so far is durable.
    fn await_journal(&mut self, handoff: HandoffId) {
        let Some(settled) = self.journal.settling() else {
            return self.tell(Event::JournalSettled { handoff });
        };
        let done = self.done.clone();
        self.requests.spawn(async move {
            settled.await;
            // The loop is gone only when the call is over.
            let _ = done.send(Done::Journaled { handoff }).await;
        });
    }

    fn withdraw(&mut self, dispatch: DispatchId) {
        self.peers.forget(dispatch);
        match self.dispatch_ids.remove(&dispatch) {
            Some(id) => self.delete_dispatch(id),
            None => {
                self.unwanted.insert(dispatch);
            }
        }
    }

    pub(super) fn delete_dispatch(&mut self, id: String) {
        let (deps, room) = (self.deps.clone(), self.room.clone());
        self.requests.spawn(async move {
            if let Err(error) = deps.server.delete_dispatch(&room, &id).await {
                // A dispatch goes with its room.
                debug!(
                    error = &error as &dyn std::error::Error,
                    "dispatch not deleted"
                );
            }
        });
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        let (deps, room, identity) = (self.deps.clone(), self.room.clone(), identity.to_string());
        self.requests.spawn(async move {
            if let Err(error) = deps.server.remove(&room, &identity).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "participant not removed"
                );
            }
        });
    }

    /// One round of the second ring: the caller's track for the agents that may hear it and for no other, and shut tracks
    /// kept from the caller.
    pub(super) fn apply_gates(&mut self) {
        let Some(caller) = self.call.snapshot().caller.map(|caller| caller.identity) else {
            return;
        };
        let caller_tracks = self.connection.audio_tracks(caller.as_str());
        if !caller_tracks.is_empty() {
            for participant in self.connection.participants() {
                let identity = Identity::from(participant.identity.as_str());
                if participant.kind != ParticipantKind::Agent {
                    continue;
                }
                // Also towards open: a request that still kept an agent out may arrive after the agent's own wish, which it
                // would delete.
                let hears = self.gates.may_hear_caller(&identity);
                self.set_subscribed(participant.identity, caller_tracks.clone(), hears);
            }
        }
        let shut: Vec<_> = self.gates.shut().iter().cloned().collect();
        for identity in shut {
            let tracks = self.connection.audio_tracks(identity.as_str());
            if !tracks.is_empty() {
                self.set_subscribed(caller.to_string(), tracks, false);
            }
        }
    }

    fn set_subscribed(&mut self, identity: String, tracks: Vec<String>, subscribed: bool) {
        let (deps, room) = (self.deps.clone(), self.room.clone());
        self.requests.spawn(async move {
            let server = &deps.server;
            if let Err(error) = server
                .set_subscribed(&room, &identity, tracks, subscribed)
                .await
            {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "gate not applied in this round"
                );
            }
        });
    }
}

/// One line for each change of a call. Identities of callers are personal data, and hashed.
fn record(fact: &Fact) {
    match fact {
        Fact::Phase { phase, epoch } => info!(phase = phase.as_str(), epoch = epoch.0, "phase"),
        Fact::CallerPinned { identity, kind } => {
            info!(caller = %Hash::of(identity.as_str()), kind = ?kind, "caller pinned");
        }
        Fact::EntryChosen {
            specialist,
            rule,
            unanswered,
        } => info!(%specialist, rule, unanswered, "entry chosen"),
        Fact::Answered => info!("phone answered"),
        Fact::Announced { clip } => info!(?clip, "announcement"),
        Fact::CallerListening => info!("caller hears"),
        Fact::CallerAway => info!("caller away"),
        Fact::CallerBack => info!("caller back"),
        Fact::SpecialistJoined {
            dispatch,
            specialist,
            identity,
        } => {
            info!(dispatch = dispatch.0, %specialist, %identity, "specialist joined");
        }
        Fact::Resumed { epoch } => info!(epoch = epoch.0, "call resumed"),
        Fact::Dispatched {
            dispatch,
            specialist,
        } => info!(dispatch = dispatch.0, %specialist, "specialist dispatched"),
        Fact::SpecialistLeaving { dispatch } => {
            info!(dispatch = dispatch.0, "specialist leaving");
        }
        Fact::SpecialistAway { dispatch } => info!(dispatch = dispatch.0, "specialist away"),
        Fact::SpecialistBack { dispatch } => info!(dispatch = dispatch.0, "specialist back"),
        Fact::SpecialistGone { dispatch } => info!(dispatch = dispatch.0, "specialist gone"),
        Fact::HandoffStarted { handoff, from } => {
            let from = from.as_ref().map(SpecialistName::as_str);
            info!(handoff = handoff.id.0, from, to = %handoff.to, "handoff started");
        }
        Fact::HandoffTarget { handoff, dispatch } => {
            debug!(handoff = handoff.0, dispatch = dispatch.0, "handoff target");
        }
        Fact::HandoffRefused { asker: _, reason } => info!(%reason, "handoff refused"),
        Fact::HandoffReady { handoff } => info!(handoff = handoff.0, "handoff ready"),
        Fact::GrantAnnounced {
            dispatch,
            handoff,
            epoch,
        } => debug!(
            handoff = handoff.0,
            dispatch = dispatch.0,
            epoch = epoch.0,
            "grant announced"
        ),
        Fact::Granted {
            dispatch: _,
            handoff: _,
            specialist,
            identity,
            epoch,
        } => info!(%specialist, %identity, epoch = epoch.0, "granted"),
        Fact::Held {
            dispatch: _,
            specialist,
            epoch,
        } => info!(%specialist, epoch = epoch.0, "caller on hold"),
        Fact::FirstFrame { epoch } => info!(epoch = epoch.0, "first frame"),
        Fact::DelegationBegan { delegation } => {
            info!(handoff = delegation.handoff.0, by = %delegation.by_name, "delegated");
        }
        Fact::DelegationEnded { handoff, failure } => {
            let failure = failure.as_ref().map(call::DelegationFailure::code);
            info!(handoff = handoff.0, failure, "delegation over");
        }
        // Their line comes with the handoff's figures.
        Fact::HandoffDone { .. } | Fact::HandoffFailed { .. } => {}
        Fact::Transferred { handoff } => info!(handoff = handoff.0, "caller transferred"),
        Fact::HolderLost { specialist, reason } => warn!(%specialist, %reason, "holder lost"),
        Fact::NobodyLeft { round } => {
            error!(round, "nobody holds the baton, and nobody could be had")
        }
        Fact::DeadAirBegan { phase, epoch } => {
            warn!(phase = phase.as_str(), epoch = epoch.0, "dead air");
        }
        Fact::DeadAirEnded { epoch, false_start } => {
            info!(epoch = epoch.0, false_start, "dead air over");
        }
        Fact::RuleFired { rule } => info!(rule, "rule asks for a handoff"),
        Fact::Misbehaved {
            identity,
            what,
            count,
        } => warn!(%identity, ?what, count, "agent misbehaved"),
    }
}
