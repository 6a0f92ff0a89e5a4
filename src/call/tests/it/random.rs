//! Properties that hold whatever happens: random files, and random sequences of right, late, repeated and nonsensical events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use call::{
    Asker, Awaited, CallConfig, Clip, Command, DELEGATIONS_MAX, Delegating, Departure, DispatchId,
    Epoch, Event, Fact, HandoffId, HandoffRequest, Identity, LocalTime, Memory, NoAnswer,
    ParticipantKind, Payload, PersonAnswer, Phase, RequestId, Snapshot, SpecialistKind,
    SpecialistName, Stage, SwitchStep, Target,
};
use proptest::prelude::*;
use serde_json::json;

use crate::caller::nothing_left;
use crate::files::{files, read};
use crate::harness::{Bench, CALLER};
use crate::steps::{Step, steps};

/// No handoff may take longer than all of its timers together, in milliseconds, with those of a caller that is late.
const HANDOFF_MS_MAX: u128 = 60_000 + 10_000 + 5_000 + 40_000;

/// A call under test, with what was seen of it.
struct Watch {
    bench: Bench,
    instances_max: usize,
    checked: usize,
    epoch: Epoch,
    granted: Epoch,
    mixer: Vec<(Identity, Epoch)>,
    audience: BTreeSet<Identity>,
    dispatched: BTreeSet<DispatchId>,
    deleted: BTreeSet<DispatchId>,
    asked: BTreeMap<RequestId, usize>,
    running: Option<(HandoffId, u128)>,
    requests: u64,
    /// The delegations that have begun and not ended, and how many have ended, with a result and without.
    open: BTreeSet<HandoffId>,
    results: u64,
    failures: u64,
    /// The prepared sound that was begun last.
    announcing: Option<Clip>,
    /// The addresses that the caller's phone was asked to call.
    referred: BTreeSet<DispatchId>,
}

impl Watch {
    fn new(config: CallConfig) -> Self {
        let instances_max = config.limits.instances_max;
        let mut watch = Self {
            bench: Bench::new(config),
            instances_max,
            checked: 0,
            epoch: Epoch(0),
            granted: Epoch(0),
            mixer: Vec::new(),
            audience: BTreeSet::new(),
            dispatched: BTreeSet::new(),
            deleted: BTreeSet::new(),
            asked: BTreeMap::new(),
            running: None,
            requests: 0,
            open: BTreeSet::new(),
            results: 0,
            failures: 0,
            announcing: None,
            referred: BTreeSet::new(),
        };
        watch.bench.settles = false;
        watch.check();
        watch
    }

    fn on(&mut self, event: Event) {
        let request = match &event {
            Event::HandoffRequested(request) => Some(request.request),
            Event::HoldRequested { request }
            | Event::ResumeRequested { request }
            | Event::HandBackRequested { request }
            | Event::PersonAnswered { request, .. } => Some(*request),
            _ => None,
        };
        if let Event::Announced { clip } = &event {
            self.announcing.take_if(|announcing| announcing == clip);
        }
        let over = self.bench.call.ended().is_some();
        let out = self.bench.on(event);
        let rejected = out
            .iter()
            .any(|command| matches!(command, Command::Reject { .. }));
        if let Some(request) = request.filter(|_| !rejected && !over) {
            let results = self.asked.insert(request, 0);
            assert_eq!(results, None, "a request was taken twice\n{}", self.text());
        }
        self.check();
    }

    fn fire(&mut self) {
        self.sounds_end();
        self.bench.fire();
        self.check();
    }

    /// When time passes, a sound ends by itself or by its timer: which, is told apart in tests of their own.
    fn sounds_end(&mut self) {
        if let Some(clip) = self.announcing {
            self.on(Event::Announced { clip });
        }
    }

    /// Goes on in another process; nothing of what was known to the mixer or the server's gates is left.
    fn restart(&mut self) {
        if self.bench.call.ended().is_some() {
            return;
        }
        let before = self.bench.memory.clone();
        self.mixer.clear();
        self.announcing = None;
        self.audience.clear();
        // A deletion may not have reached the server: it is made again.
        let known = &before.specialists;
        self.deleted
            .retain(|dispatch| !known.contains_key(dispatch));
        self.bench.restarts();
        let after = self.bench.memory.clone();
        assert!(after.epoch > before.epoch, "{}", self.text());
        let settled = before
            .handoff
            .as_ref()
            .is_none_or(|running| !running.granted);
        if settled && before.holder.is_some() {
            let leaving = |memory: &Memory| {
                let specialists = memory.specialists.iter();
                specialists
                    .filter(|(_, specialist)| specialist.leaving)
                    .map(|(dispatch, _)| *dispatch)
                    .collect::<BTreeSet<_>>()
            };
            assert!(leaving(&after).is_superset(&leaving(&before)));
            let mut expected = before;
            expected.epoch = after.epoch;
            // Those that have no task any more leave, if they are configured so.
            expected.specialists.clone_from(&after.specialists);
            assert_eq!(after, expected, "{}", self.text());
        }
        self.check();
    }

    fn text(&self) -> String {
        self.bench.text.join("\n")
    }

    /// Checks everything that was commanded since, and where the call stands.
    fn check(&mut self) {
        let new: Vec<(u128, Command)> = self.bench.log[self.checked..].to_vec();
        self.checked = self.bench.log.len();
        for (at, command) in new {
            self.check_command(&command, at);
        }
        let snapshot = self.bench.call.snapshot();
        if snapshot.ended.is_none() {
            let remembered = self.bench.call.memory();
            assert_eq!(self.bench.memory, remembered, "{}", self.text());
        }
        self.check_standing(&snapshot);
        self.check_progress(&snapshot);
    }

    fn check_command(&mut self, command: &Command, at: u128) {
        if let Some(epoch) = epoch_of(command) {
            assert!(
                epoch >= self.epoch,
                "{command:?} at {at} carries an old epoch\n{}",
                self.text()
            );
            self.epoch = epoch;
        }
        match command {
            Command::Grant {
                epoch, identity, ..
            } => {
                assert!(
                    *epoch > self.granted,
                    "an epoch was granted twice\n{}",
                    self.text()
                );
                self.granted = *epoch;
                assert!(
                    self.mixer.contains(&(identity.clone(), *epoch)),
                    "granted but not admitted\n{}",
                    self.text()
                );
            }
            Command::Dtmf {
                identity, epoch, ..
            } => assert!(
                *epoch == self.granted && self.mixer.contains(&(identity.clone(), *epoch)),
                "a digit for somebody who was not granted\n{}",
                self.text()
            ),
            Command::Announce { clip, .. } => {
                assert!(self.mixer.is_empty(), "somebody speaks\n{}", self.text());
                self.announcing = Some(*clip);
            }
            Command::Admit { identity, epoch } => {
                assert_eq!(self.announcing, None, "a sound is heard\n{}", self.text());
                self.mixer.retain(|(admitted, _)| admitted != identity);
                self.mixer.push((identity.clone(), *epoch));
                assert!(self.mixer.len() <= 2, "three sources\n{}", self.text());
            }
            Command::Drop { identity, .. } => {
                let before = self.mixer.len();
                self.mixer.retain(|(admitted, _)| admitted != identity);
                assert!(
                    self.mixer.len() < before,
                    "dropped what was not admitted\n{}",
                    self.text()
                );
            }
            Command::Fade { from, to, .. } => {
                let playing: Vec<&Identity> =
                    self.mixer.iter().map(|(identity, _)| identity).collect();
                assert_eq!(playing, [from, to], "{}", self.text());
            }
            Command::CallerAudience { allowed, .. } => self.audience = allowed.clone(),
            Command::Dispatch { dispatch, .. } => {
                assert!(
                    self.dispatched.insert(*dispatch),
                    "dispatched twice\n{}",
                    self.text()
                );
            }
            Command::DeleteDispatch { dispatch } => {
                assert!(self.dispatched.contains(dispatch), "{}", self.text());
                assert!(
                    self.deleted.insert(*dispatch),
                    "deleted twice\n{}",
                    self.text()
                );
            }
            // A rule counts its own requests.
            Command::HandoffResult {
                asker: Asker::Rule, ..
            } => {}
            Command::Record(Fact::DelegationBegan { delegation }) => {
                assert!(self.open.insert(delegation.handoff), "{}", self.text());
                assert!(self.open.len() <= DELEGATIONS_MAX, "{}", self.text());
            }
            Command::DelegationResult {
                handoff, outcome, ..
            } => {
                self.results += u64::from(outcome.is_ok());
                self.failures += u64::from(outcome.is_err());
                assert!(
                    self.open.remove(handoff),
                    "a delegation ends that is not open\n{}",
                    self.text()
                );
            }
            Command::HandoffResult { request, .. } | Command::SteerResult { request, .. } => {
                *self.asked.entry(*request).or_default() += 1
            }
            Command::Transfer { dispatch, .. } => {
                assert!(self.mixer.is_empty(), "somebody speaks\n{}", self.text());
                assert_eq!(self.announcing, None, "a sound is heard\n{}", self.text());
                assert!(
                    self.referred.insert(*dispatch),
                    "asked twice\n{}",
                    self.text()
                );
            }
            Command::Welcome { .. }
            | Command::Prepare { .. }
            | Command::AwaitSummary { .. }
            | Command::ForgoSummary { .. }
            | Command::AwaitTools { .. }
            | Command::AwaitTail { .. }
            | Command::AwaitJournal { .. }
            | Command::WatchSplice { .. }
            | Command::Accepted { .. }
            | Command::Supersede { .. }
            | Command::Revoke { .. }
            | Command::AskEntryState
            | Command::Answer
            | Command::Release { .. }
            | Command::Remove { .. }
            | Command::Shut { .. }
            | Command::AskHolder { .. }
            | Command::Reject { .. }
            | Command::Record(_)
            | Command::Ended { .. } => {}
        }
    }

    fn check_standing(&self, snapshot: &Snapshot) {
        let text = || self.text();
        let holding: Vec<DispatchId> = snapshot
            .specialists
            .iter()
            .filter(|(_, view)| matches!(view.stage, Stage::Holding { .. }))
            .map(|(dispatch, _)| *dispatch)
            .collect();
        assert!(holding.len() <= 1, "two holders\n{}", text());
        let holder = snapshot.phase.holder();
        if let Some(dispatch) = holding.first() {
            assert_eq!(
                holder.map(|holder| holder.dispatch),
                Some(*dispatch),
                "{}",
                text()
            );
            assert_eq!(
                holder.map(|holder| holder.epoch),
                Some(snapshot.epoch),
                "{}",
                text()
            );
        }
        let expected: Vec<(Identity, Epoch)> = match &snapshot.phase {
            Phase::Switching { from, to, .. } => from
                .iter()
                .chain([to])
                .map(|holder| (holder.identity.clone(), holder.epoch))
                .collect(),
            Phase::Idle { .. }
            | Phase::Preparing { .. }
            | Phase::Ready { .. }
            | Phase::Active { .. } => {
                let sounding = holder.filter(|_| !holding.is_empty());
                sounding
                    .iter()
                    .map(|holder| (holder.identity.clone(), holder.epoch))
                    .collect()
            }
        };
        if snapshot.ended != Some(call::EndReason::RoomClosed) {
            assert_eq!(self.mixer, expected, "{}", text());
        }
        assert_eq!(snapshot.admitted, expected, "{}", text());
        let may_hear = |identity: &Identity| {
            let target = snapshot
                .phase
                .target()
                .and_then(|target| snapshot.specialists[&target].identity.clone());
            holder.is_some_and(|holder| holder.identity == *identity)
                || target.as_ref() == Some(identity)
        };
        if snapshot.ended.is_none() {
            assert_eq!(self.audience, snapshot.audience, "{}", text());
            assert!(
                self.audience.iter().all(may_hear),
                "a stranger hears the caller\n{}",
                text()
            );
        }
        assert!(
            snapshot.specialists.len() <= self.instances_max,
            "{}",
            text()
        );
        let open: BTreeSet<DispatchId> =
            self.dispatched.difference(&self.deleted).copied().collect();
        if snapshot.ended.is_none() {
            assert!(
                open.iter()
                    .all(|dispatch| snapshot.specialists.contains_key(dispatch)),
                "{}",
                text()
            );
        }
        assert!(
            self.asked.values().all(|results| *results <= 1),
            "answered twice\n{}",
            text()
        );
    }

    fn check_progress(&mut self, snapshot: &Snapshot) {
        let now = self.bench.at_ms();
        let running = snapshot.phase.handoff().map(|handoff| handoff.id);
        match (self.running, running) {
            (Some((old, since)), Some(new)) if old == new => {
                assert!(
                    now - since <= HANDOFF_MS_MAX,
                    "handoff {new} does not end\n{}",
                    self.text()
                );
            }
            _ => self.running = running.map(|id| (id, now)),
        }
        let answerable = usize::from(snapshot.phase.handoff().is_some());
        let open = self.asked.values().filter(|results| **results == 0).count();
        assert!(
            open <= answerable,
            "a request is left without an answer\n{}",
            self.text()
        );
        if running.is_some() {
            assert!(
                self.bench.call.poll_timeout().is_some(),
                "a handoff waits without a timer\n{}",
                self.text()
            );
        }
    }

    /// The identity of this number: people, a stranger, or the specialist of a dispatch.
    fn who(&self, who: usize) -> Identity {
        match who {
            0 => CALLER.into(),
            1 => "sip_+15550777".into(),
            2 => "web".into(),
            3 => "stranger".into(),
            number => {
                let newest = self.dispatched.len();
                // Mostly those that are in the room now.
                agent(DispatchId((newest.saturating_sub(number - 4)) as u64))
            }
        }
    }

    fn epoch(&self, back: u64) -> Epoch {
        Epoch(behind(self.bench.epoch().0, back))
    }

    fn handoff(&self, back: u64) -> HandoffId {
        let newest = self
            .bench
            .log
            .iter()
            .rev()
            .find_map(|(_, command)| match command {
                Command::Record(call::Fact::HandoffStarted { handoff, .. }) => Some(handoff.id.0),
                _ => None,
            });
        HandoffId(behind(newest.unwrap_or(0), back))
    }

    fn take(&mut self, step: Step) {
        let event = match step {
            Step::Help => return self.help(),
            Step::Pass(ms) => {
                self.sounds_end();
                self.bench.pass_ms(ms);
                return self.check();
            }
            Step::Fire => return self.fire(),
            Step::Ask {
                who,
                epoch,
                target,
                repeat,
                delegating,
            } => {
                self.requests += u64::from(!repeat);
                let asker = match who {
                    0..2 => Asker::Operator,
                    2..6 => Asker::Specialist {
                        identity: self
                            .bench
                            .call
                            .phase()
                            .holder()
                            .map_or("nobody".into(), |h| h.identity.clone()),
                        epoch: self.epoch(epoch),
                    },
                    _ => Asker::Specialist {
                        identity: self.who(who),
                        epoch: self.epoch(epoch),
                    },
                };
                let target = match target {
                    0 => Target::Specialist("triage".into()),
                    1 => Target::Specialist("billing".into()),
                    2 => Target::Specialist("support".into()),
                    3 => Target::Specialist("nobody".into()),
                    _ => Target::Previous,
                };
                // A number is used once by an honest shell, or again while its request is under way.
                let request = RequestId(self.requests);
                if repeat && self.asked.contains_key(&request) {
                    return;
                }
                let reason = "why not".to_owned();
                Event::HandoffRequested(HandoffRequest {
                    asker,
                    request,
                    target,
                    reason,
                    tool_call: None,
                    splice: None,
                    delegating: match delegating {
                        0 | 1 => Some(Delegating::Task(Payload::new(b"{}"))),
                        2 | 3 => Some(Delegating::Result(Payload::new(b"1"))),
                        _ => None,
                    },
                })
            }
            Step::Steer { wish } => {
                self.requests += 1;
                let request = RequestId(self.requests);
                match wish {
                    0 => Event::HoldRequested { request },
                    1 => Event::ResumeRequested { request },
                    2 => Event::PersonAnswered {
                        request,
                        answer: PersonAnswer::Accept,
                    },
                    3 => Event::PersonAnswered {
                        request,
                        answer: PersonAnswer::Decline,
                    },
                    _ => Event::HandBackRequested { request },
                }
            }
            Step::Joined { dispatch, who } => Event::SpecialistJoined {
                dispatch: DispatchId(dispatch),
                identity: self.who(who),
            },
            Step::Participant { who, kind } => Event::ParticipantJoined {
                identity: self.who(who),
                kind,
            },
            Step::Left { who, departure } => Event::ParticipantLeft {
                identity: self.who(who),
                departure,
            },
            Step::Hello { who } => Event::Hello {
                identity: self.who(who),
            },
            Step::Ready {
                who,
                handoff,
                applied,
            } => Event::Ready {
                identity: self.who(who),
                handoff: self.handoff(handoff),
                applied,
            },
            Step::Settled { handoff } => Event::ToolsSettled {
                handoff: self.handoff(handoff),
            },
            Step::Summed { handoff } => Event::SummarySettled {
                handoff: self.handoff(handoff),
            },
            Step::Applied { handoff } => Event::TailApplied {
                handoff: self.handoff(handoff),
            },
            Step::Refuse { who, handoff } => Event::PrepareRefused {
                identity: self.who(who),
                handoff: self.handoff(handoff),
                detail: "no".to_owned(),
            },
            Step::Granted { who, epoch } => Event::Granted {
                identity: self.who(who),
                epoch: self.epoch(epoch),
            },
            Step::Released { who, epoch } => Event::Released {
                identity: self.who(who),
                epoch: self.epoch(epoch),
            },
            Step::Frame { who, epoch } => Event::FirstFrame {
                identity: self.who(who),
                epoch: self.epoch(epoch),
            },
            Step::Faded { epoch } => Event::FadeDone {
                epoch: self.epoch(epoch),
            },
            Step::Splice { handoff } => Event::SpliceReached {
                handoff: self.handoff(handoff),
            },
            Step::DispatchFailed { dispatch } => Event::DispatchFailed {
                dispatch: DispatchId(dispatch),
                detail: "no".to_owned(),
            },
            Step::DispatchFull { dispatch } => Event::DispatchFull {
                dispatch: DispatchId(dispatch),
                max: 1,
            },
            Step::Rung {
                dispatch,
                answered: true,
            } => Event::Transferred {
                dispatch: DispatchId(dispatch),
            },
            Step::Rung {
                dispatch,
                answered: false,
            } => Event::Unanswered {
                dispatch: DispatchId(dispatch),
                how: NoAnswer::Busy,
            },
            Step::Sounded => {
                return self.sounds_end();
            }
            Step::Bad { who, what } => Event::Misbehaved {
                identity: self.who(who),
                what,
            },
            Step::Silent { who } => Event::Unresponsive {
                identity: self.who(who),
            },
            Step::Quiet { who } => Event::Quiet {
                identity: self.who(who),
            },
            Step::Heard { who } => Event::Heard {
                identity: self.who(who),
            },
            Step::ServerHeard => Event::ServerHeard,
            Step::Reconnecting => Event::Reconnecting,
            Step::Listening { who } => Event::CallerListening {
                identity: self.who(who),
            },
            Step::Pressed { who } => Event::DtmfPressed {
                identity: self.who(who),
                digit: call::Digit::new('0').expect("a key of a phone"),
            },
            Step::Published { who } => Event::TrackPublished {
                identity: self.who(who),
            },
            Step::Reconnected => Event::Reconnected,
            Step::HandBack { who } => Event::HandedBack {
                identity: self.who(who),
            },
            Step::Restart => return self.restart(),
            Step::Talking { who, talking } => Event::Talking {
                identity: self.who(who),
                talking,
            },
            Step::State { verified, version } => Event::StateChanged {
                state: Arc::new(json!({ "verified": verified })),
                version,
            },
            Step::Hour(hour) => Event::Clock {
                time: LocalTime {
                    hour,
                    ..LocalTime::default()
                },
            },
            Step::Known => Event::CallerKnown {
                facts: Arc::default(),
            },
            Step::EntryState => Event::EntryStateSettled,
            Step::Stop => Event::Stop,
            Step::Closed => Event::RoomClosed,
        };
        self.on(event);
    }

    /// Says what a well-behaved world would say next.
    fn help(&mut self) {
        let snapshot = self.bench.call.snapshot();
        match &snapshot.caller {
            None => {
                return self.on(Event::ParticipantJoined {
                    identity: CALLER.into(),
                    kind: ParticipantKind::Sip,
                });
            }
            Some(caller) if !caller.present => {
                let (identity, kind) = (caller.identity.clone(), caller.kind);
                return self.on(Event::ParticipantJoined { identity, kind });
            }
            Some(caller) if !caller.listening => {
                return self.on(Event::CallerListening {
                    identity: caller.identity.clone(),
                });
            }
            Some(_) => {}
        }
        for (dispatch, view) in &snapshot.specialists {
            let identity = view.identity.clone().unwrap_or_else(|| agent(*dispatch));
            let handoff = snapshot
                .phase
                .handoff()
                .map_or(HandoffId(0), |handoff| handoff.id);
            let event = match view.stage {
                Stage::Dispatched { .. } if self.referred.contains(dispatch) => Event::Unanswered {
                    dispatch: *dispatch,
                    how: NoAnswer::Declined,
                },
                Stage::Dispatched { .. } if self.is_address(&view.specialist) => continue,
                Stage::Dispatched { .. } => Event::SpecialistJoined {
                    dispatch: *dispatch,
                    identity,
                },
                Stage::Joined { .. } | Stage::Away { back: true, .. } => Event::Hello { identity },
                Stage::Preparing { .. } => Event::Ready {
                    identity,
                    handoff,
                    applied: true,
                },
                Stage::Holding {
                    take_until: Some(_),
                } => Event::Granted {
                    identity,
                    epoch: snapshot.epoch,
                },
                Stage::Settling { epoch, .. } => Event::Released { identity, epoch },
                Stage::Leaving { .. } => Event::ParticipantLeft {
                    identity,
                    departure: Departure::Final,
                },
                Stage::Away { back: false, .. } => Event::ParticipantJoined {
                    identity,
                    kind: ParticipantKind::Agent,
                },
                Stage::Waiting
                | Stage::Ready { .. }
                | Stage::Holding { take_until: None }
                | Stage::Outgoing
                | Stage::Parked { .. } => continue,
            };
            return self.on(event);
        }
        match &snapshot.phase {
            Phase::Ready { handoff, wait, .. } => {
                let handoff = handoff.id;
                match wait.awaited().next() {
                    Some(Awaited::Summary) => self.on(Event::SummarySettled { handoff }),
                    Some(Awaited::Tools) => self.on(Event::ToolsSettled { handoff }),
                    Some(Awaited::Announcement) => self.sounds_end(),
                    Some(Awaited::Splice) => self.on(Event::SpliceReached { handoff }),
                    Some(Awaited::Tail) => self.on(Event::TailApplied { handoff }),
                    Some(Awaited::Journal) => self.on(Event::JournalSettled { handoff }),
                    // The caller hears already.
                    Some(Awaited::Caller) | None => {}
                }
            }
            Phase::Switching {
                to,
                step: SwitchStep::AwaitSound { .. },
                ..
            } => {
                self.on(Event::FirstFrame {
                    identity: to.identity.clone(),
                    epoch: to.epoch,
                });
            }
            Phase::Switching {
                step: SwitchStep::Fading { .. },
                ..
            } => {
                self.on(Event::FadeDone {
                    epoch: snapshot.epoch,
                });
            }
            Phase::Idle { .. } => self.fire(),
            Phase::Preparing { .. } | Phase::Active { .. } => {}
        }
    }

    fn is_address(&self, specialist: &SpecialistName) -> bool {
        let specialist = self.bench.plan().specialist(specialist);
        specialist.is_some_and(|one| matches!(one.kind, SpecialistKind::Sip { .. }))
    }

    /// Nothing more comes from outside: every wait ends by its timer.
    fn run_out(&mut self) {
        for _ in 0..1_000 {
            if self.bench.call.poll_timeout().is_none() {
                break;
            }
            self.fire();
        }
        assert!(
            self.bench.call.poll_timeout().is_none(),
            "it goes on for ever\n{}",
            self.text()
        );
        let phase = self.bench.call.phase();
        let settled = matches!(phase, Phase::Active { .. }) || self.bench.call.ended().is_some();
        assert!(settled, "it hangs in {phase:?}\n{}", self.text());
    }
}

fn agent(dispatch: DispatchId) -> Identity {
    Identity::from(format!("agent-{dispatch}"))
}

fn behind(newest: u64, back: u64) -> u64 {
    match back {
        3 => newest + 1,
        back => newest.saturating_sub(back),
    }
}

fn epoch_of(command: &Command) -> Option<Epoch> {
    match command {
        Command::Welcome { epoch, .. }
        | Command::Prepare { epoch, .. }
        | Command::AwaitSummary { epoch, .. }
        | Command::AwaitTools { epoch, .. }
        | Command::AwaitTail { epoch, .. }
        | Command::AwaitJournal { epoch, .. }
        | Command::WatchSplice { epoch, .. }
        | Command::Announce { epoch, .. }
        | Command::Accepted { epoch, .. }
        | Command::Grant { epoch, .. }
        | Command::Dtmf { epoch, .. }
        | Command::Supersede { epoch, .. }
        | Command::Revoke { epoch, .. }
        | Command::Release { epoch, .. }
        | Command::Admit { epoch, .. }
        | Command::Fade { epoch, .. }
        | Command::Drop { epoch, .. }
        | Command::CallerAudience { epoch, .. }
        | Command::Shut { epoch, .. }
        | Command::AskHolder { epoch, .. }
        | Command::Transfer { epoch, .. }
        | Command::HandoffResult { epoch, .. }
        | Command::DelegationResult { epoch, .. }
        | Command::SteerResult { epoch, .. }
        | Command::Reject { epoch, .. } => Some(*epoch),
        Command::Dispatch { .. }
        | Command::DeleteDispatch { .. }
        | Command::AskEntryState
        | Command::Answer
        | Command::Remove { .. }
        | Command::ForgoSummary { .. }
        | Command::Record(_)
        | Command::Ended { .. } => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// One holder, epochs that grow, two sources only in a switch, an answer to every request, an end to every wait.
    #[test]
    fn whatever_happens_the_invariants_hold(file in files(), steps in steps()) {
        let mut watch = Watch::new(read(&file));
        for step in steps {
            watch.take(step);
        }
        watch.run_out();
        watch.on(Event::Stop);
        if watch.bench.call.ended() != Some(call::EndReason::RoomClosed) {
            nothing_left(&watch.bench);
        }
        let commands = watch.bench.log.len();
        watch.on(Event::Hello { identity: agent(DispatchId(1)) });
        watch.on(Event::SpecialistJoined { dispatch: DispatchId(1), identity: agent(DispatchId(1)) });
        prop_assert_eq!(watch.bench.log.len(), commands, "commands after the end");
    }
}

/// The random steps reach what they are meant to test: were they to stop at the door, the properties would prove nothing.
#[test]
fn random_steps_reach_every_phase() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut done, mut failed, mut refused, mut losses, mut rejected) = (0, 0, 0, 0, 0);
    let (mut results, mut failures) = (0, 0);
    for _ in 0..100 {
        let file = files().new_tree(&mut runner).expect("a file").current();
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        let mut watch = Watch::new(read(&file));
        for step in steps {
            watch.take(step);
        }
        results += watch.results;
        failures += watch.failures;
        let counts = watch.bench.call.snapshot().counts;
        done += counts.handoffs_done;
        failed += counts.handoffs_failed;
        refused += counts.refused;
        losses += u64::from(counts.losses);
        rejected += counts.rejected;
    }
    let reached = format!(
        "{done} done, {failed} failed, {refused} refused, {losses} losses, {rejected} rejected, {results} delegations with a result, {failures} without"
    );
    assert!(
        done > 200
            && failed > 30
            && refused > 150
            && losses > 25
            && rejected > 1_000
            && results > 1
            && failures > 4,
        "{reached}"
    );
}
