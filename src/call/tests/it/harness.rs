//! A call on a virtual clock that steps to `poll_timeout` exactly, and short words for what happens to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use call::{
    AgentName, Asker, Call, CallConfig, CallId, Command, Delegating, Departure, DispatchId, Epoch,
    Event, FailReason, HandoffId, HandoffRequest, Identity, Memory, NoAnswer, Outcome,
    ParticipantKind, PhaseName, Plan, RequestId, SpecialistConfig, SpecialistName, Target, Timer,
};

pub(crate) const CALLER: &str = "sip_+15550199";

/// Three specialists, anyone to anyone.
pub(crate) fn config() -> CallConfig {
    let specialist = |name: &str| {
        (
            SpecialistName::from(name),
            SpecialistConfig::new(AgentName::from(format!("{name}-agent"))),
        )
    };
    CallConfig::new(
        "triage".into(),
        ["triage", "billing", "support"].map(specialist),
    )
}

pub(crate) struct Bench {
    pub(crate) call: Call,
    plan: Arc<Plan>,
    /// What the facts so far come to.
    pub(crate) memory: Memory,
    start: Instant,
    now: Instant,
    /// Every command so far, with its time in milliseconds.
    pub(crate) log: Vec<(u128, Command)>,
    /// What was put in, and what came out, as text.
    pub(crate) text: Vec<String>,
    requests: u64,
    /// Whether tools are done and the target has all of the conversation as soon as it is asked for.
    pub(crate) settles: bool,
    /// Whether every record is durable at once.
    pub(crate) journals: bool,
}

impl Bench {
    pub(crate) fn new(config: CallConfig) -> Self {
        let start = Instant::now();
        let mut out = Vec::new();
        let plan = Arc::new(Plan::new(config).expect("the test's configuration is valid"));
        let call = Call::new(plan.clone(), CallId::from("call-1"), start, &mut out);
        let memory = Memory {
            lost: Some(plan.config().entry.clone()),
            ..Memory::default()
        };
        let mut bench = Self {
            call,
            plan,
            memory,
            start,
            now: start,
            log: Vec::new(),
            text: Vec::new(),
            requests: 0,
            settles: true,
            journals: true,
        };
        bench.keep("start", out);
        bench
    }

    /// A call in which the entry specialist has the baton in epoch 1.
    pub(crate) fn active(config: CallConfig) -> Self {
        let mut bench = Self::new(config);
        bench.caller_hears();
        bench.comes("triage");
        bench.goes_on("triage");
        bench
    }

    /// It gets ready and takes the baton, and the handoff is over.
    pub(crate) fn goes_on(&mut self, name: &str) {
        self.gets_ready(name);
        self.takes(name);
        assert_eq!(self.holder().as_deref(), Some(name));
        assert_eq!(self.phase(), PhaseName::Active);
    }

    fn keep(&mut self, input: &str, out: Vec<Command>) -> Vec<Command> {
        let at = self.at_ms();
        self.text.push(format!("{at:>6} > {input}"));
        for command in &out {
            self.text.push(format!("{at:>6}     {command:?}"));
            self.log.push((at, command.clone()));
            if let Command::Record(fact) = command {
                let stored = serde_json::to_string(fact).expect("a fact can be stored");
                let read = serde_json::from_str(&stored).expect("what was stored can be read");
                assert_eq!(*fact, read);
                self.memory.apply(&read);
            }
        }
        out
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The process is killed, and another one goes on from the facts.
    pub(crate) fn restarts(&mut self) -> Vec<Command> {
        let mut out = Vec::new();
        let (plan, id) = (self.plan.clone(), self.call.id().clone());
        self.call = Call::resume(plan, id, self.memory.clone(), self.now, &mut out);
        self.keep("restart", out)
    }

    /// A specialist of a former process is seen, and says Hello.
    pub(crate) fn returns(&mut self, name: &str) -> Vec<Command> {
        let identity = self.identity(name);
        self.joins(identity.as_str(), ParticipantKind::Agent);
        self.on(Event::Hello { identity })
    }

    pub(crate) fn at_ms(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    pub(crate) fn on(&mut self, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        let input = format!("{event:?}");
        self.call.handle_event(self.now, event, &mut out);
        let out = self.keep(&input, out);
        self.settle(out)
    }

    /// Answers what an idle shell can answer at once.
    fn settle(&mut self, mut out: Vec<Command>) -> Vec<Command> {
        let asked = out.iter().filter_map(|command| match command {
            Command::AwaitTools { handoff, .. } => Some(Event::ToolsSettled { handoff: *handoff }),
            Command::AwaitTail { handoff, .. } => Some(Event::TailApplied { handoff: *handoff }),
            _ => None,
        });
        let mut asked: Vec<Event> = asked.filter(|_| self.settles).collect();
        asked.extend(out.iter().filter_map(|command| match command {
            Command::AwaitJournal { handoff, .. } if self.journals => {
                Some(Event::JournalSettled { handoff: *handoff })
            }
            _ => None,
        }));
        for event in asked {
            out.extend(self.on(event));
        }
        out
    }

    /// Steps to the next timer and fires it.
    pub(crate) fn fire(&mut self) -> Option<(Timer, Vec<Command>)> {
        let (deadline, timer) = self.call.poll_timeout()?;
        self.now = self.now.max(deadline);
        let mut out = Vec::new();
        self.call.handle_timeout(self.now, &mut out);
        let input = format!("{timer:?}");
        let out = self.keep(&input, out);
        Some((timer, self.settle(out)))
    }

    /// Fires timers until this one has fired.
    pub(crate) fn fire_until(&mut self, wanted: Timer) -> Vec<Command> {
        for _ in 0..100 {
            match self.fire() {
                Some((timer, out)) if timer == wanted => return out,
                Some(_) => {}
                None => break,
            }
        }
        panic!("{wanted:?} never fired:\n{}", self.text.join("\n"));
    }

    /// Lets time pass, firing what is due on the way.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self
            .call
            .poll_timeout()
            .is_some_and(|(deadline, _)| deadline <= end)
        {
            self.fire();
        }
        self.now = end;
    }

    pub(crate) fn phase(&self) -> PhaseName {
        self.call.phase().name()
    }

    pub(crate) fn holder(&self) -> Option<String> {
        self.call
            .phase()
            .holder()
            .map(|holder| holder.specialist.to_string())
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.call.epoch()
    }

    pub(crate) fn admitted(&self) -> Vec<String> {
        self.call
            .snapshot()
            .admitted
            .iter()
            .map(|(identity, _)| identity.to_string())
            .collect()
    }

    pub(crate) fn audience(&self) -> Vec<String> {
        self.call
            .snapshot()
            .audience
            .iter()
            .map(Identity::to_string)
            .collect()
    }

    pub(crate) fn joins(&mut self, identity: &str, kind: ParticipantKind) -> Vec<Command> {
        self.on(Event::ParticipantJoined {
            identity: identity.into(),
            kind,
        })
    }

    pub(crate) fn leaves(
        &mut self,
        identity: impl Into<Identity>,
        departure: Departure,
    ) -> Vec<Command> {
        self.on(Event::ParticipantLeft {
            identity: identity.into(),
            departure,
        })
    }

    pub(crate) fn caller_hears(&mut self) -> Vec<Command> {
        self.joins(CALLER, ParticipantKind::Sip);
        self.on(Event::CallerListening {
            identity: CALLER.into(),
        })
    }

    /// The newest dispatch of this specialist.
    pub(crate) fn dispatch(&self, name: &str) -> DispatchId {
        let newest = self
            .log
            .iter()
            .rev()
            .find_map(|(_, command)| match command {
                Command::Dispatch {
                    dispatch,
                    specialist,
                    ..
                } if specialist.as_str() == name => Some(*dispatch),
                _ => None,
            });
        newest.unwrap_or_else(|| panic!("{name} was not dispatched"))
    }

    /// The identity under which the newest instance of this specialist is in the room.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        Identity::from(format!("agent-{name}-{}", self.dispatch(name)))
    }

    pub(crate) fn joined(&mut self, name: &str) -> Vec<Command> {
        let (dispatch, identity) = (self.dispatch(name), self.identity(name));
        self.on(Event::SpecialistJoined { dispatch, identity })
    }

    pub(crate) fn hello(&mut self, name: &str) -> Vec<Command> {
        let identity = self.identity(name);
        self.on(Event::Hello { identity })
    }

    /// The specialist joins and says Hello.
    pub(crate) fn comes(&mut self, name: &str) -> Vec<Command> {
        self.joined(name);
        self.hello(name)
    }

    pub(crate) fn handoff(&self) -> HandoffId {
        let newest = self
            .log
            .iter()
            .rev()
            .find_map(|(_, command)| match command {
                Command::Prepare { handoff, .. } => Some(*handoff),
                _ => None,
            });
        newest.expect("somebody was told to prepare")
    }

    pub(crate) fn gets_ready(&mut self, name: &str) -> Vec<Command> {
        let (identity, handoff) = (self.identity(name), self.handoff());
        let applied = true;
        self.on(Event::Ready {
            identity,
            handoff,
            applied,
        })
    }

    pub(crate) fn splices(&mut self) -> Vec<Command> {
        let handoff = self.handoff();
        self.on(Event::SpliceReached { handoff })
    }

    pub(crate) fn takes(&mut self, name: &str) -> Vec<Command> {
        let (identity, epoch) = (self.identity(name), self.epoch());
        self.on(Event::Granted { identity, epoch })
    }

    pub(crate) fn sounds(&mut self, name: &str) -> Vec<Command> {
        let (identity, epoch) = (self.identity(name), self.epoch());
        self.on(Event::FirstFrame { identity, epoch })
    }

    pub(crate) fn faded(&mut self) -> Vec<Command> {
        let epoch = self.epoch();
        self.on(Event::FadeDone { epoch })
    }

    pub(crate) fn released(&mut self, name: &str) -> Vec<Command> {
        let (identity, epoch) = (self.identity(name), self.epoch());
        self.on(Event::Released { identity, epoch })
    }

    pub(crate) fn asks(&mut self, name: &str, target: Target) -> Vec<Command> {
        let asker = Asker::Specialist {
            identity: self.identity(name),
            epoch: self.epoch(),
        };
        self.request(asker, target)
    }

    pub(crate) fn request(&mut self, asker: Asker, target: Target) -> Vec<Command> {
        self.request_with(asker, target, None, None)
    }

    /// The same with the tool call that asks, and what it has to do with a delegation.
    pub(crate) fn request_with(
        &mut self,
        asker: Asker,
        target: Target,
        tool_call: Option<&str>,
        delegating: Option<Delegating>,
    ) -> Vec<Command> {
        self.requests += 1;
        let request = RequestId(self.requests);
        let reason = "because".to_owned();
        self.on(Event::HandoffRequested(HandoffRequest {
            asker,
            request,
            target,
            reason,
            tool_call: tool_call.map(str::to_owned),
            splice: None,
            delegating,
        }))
    }

    /// From the request to the grant.
    pub(crate) fn switches_to(&mut self, from: &str, to: &str) {
        self.asks(from, target(to));
        if self
            .call
            .phase()
            .target()
            .is_some_and(|target| self.call.snapshot().specialists[&target].identity.is_none())
        {
            self.comes(to);
        }
        self.gets_ready(to);
        self.splices();
    }

    /// A whole handoff.
    pub(crate) fn hands_off(&mut self, from: &str, to: &str) {
        self.switches_to(from, to);
        self.takes(to);
        self.sounds(to);
        self.faded();
        self.released(from);
        assert_eq!(
            self.holder().as_deref(),
            Some(to),
            "{}",
            self.text.join("\n")
        );
    }
}

pub(crate) fn target(name: &str) -> Target {
    Target::Specialist(name.into())
}

/// What the asker was told, if it was.
pub(crate) fn outcome(out: &[Command]) -> Option<Outcome> {
    out.iter().find_map(|command| match command {
        Command::HandoffResult { outcome, .. } => Some(outcome.clone()),
        _ => None,
    })
}

/// Why the one that was called has not answered.
pub(crate) fn no_answer(out: &[Command]) -> NoAnswer {
    match outcome(out) {
        Some(Outcome::Failed {
            reason: FailReason::NoAnswer { how },
            ..
        }) => how,
        other => panic!("{other:?}"),
    }
}

/// Whether anything was rejected.
pub(crate) fn rejected(out: &[Command]) -> bool {
    out.iter()
        .any(|command| matches!(command, Command::Reject { .. }))
}

/// Who was granted the baton, and in which epoch.
pub(crate) fn grant(out: &[Command]) -> Option<(String, u64)> {
    out.iter().find_map(|command| match command {
        Command::Grant {
            identity, epoch, ..
        } => Some((identity.to_string(), epoch.0)),
        _ => None,
    })
}
