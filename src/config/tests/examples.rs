//! The worked examples, each as a whole call: the core on a virtual clock, in a world where specialists do as they are told.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use call::{
    Asker, Call, CallConfig, Command, Departure, Digit, Event, HandoffRequest, Identity, LocalTime,
    Outcome, ParticipantKind, Plan, RequestId, Target,
};
use serde_json::{Value as Json, json};

use crate::{Loaded, load};

const CALLER: &str = "sip_+15550199";

struct World {
    call: Call,
    now: Instant,
    /// What specialists still have to do.
    todo: VecDeque<Event>,
    /// Specialists that do not come.
    absent: BTreeSet<String>,
    outcome: Option<Outcome>,
    requests: u64,
    version: u64,
}

fn example(name: &str) -> Loaded {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../config/examples/{name}.yaml"));
    load(&path).unwrap_or_else(|report| panic!("{name} is refused:\n{report}"))
}

impl World {
    /// The caller is in the room, and the entry specialist has the baton.
    fn new(example: &str, time: &str) -> Self {
        let config: CallConfig = self::example(example).config.call;
        let entry = config.entry.to_string();
        let plan = Plan::new(config).expect("what was loaded is a plan");
        let now = Instant::now();
        let mut out = Vec::new();
        let call = Call::new(Arc::new(plan), "call-1".into(), now, &mut out);
        let mut world = Self {
            call,
            now,
            todo: VecDeque::new(),
            absent: BTreeSet::new(),
            outcome: None,
            requests: 0,
            version: 0,
        };
        world.obey(out);
        world.clock(time);
        let identity = Identity::from(CALLER);
        world.on(Event::ParticipantJoined {
            identity: identity.clone(),
            kind: ParticipantKind::Sip,
        });
        world.on(Event::CallerListening { identity });
        assert_eq!(world.holder(), entry);
        world
    }

    fn holder(&self) -> String {
        let holder = self.call.phase().holder();
        holder.map_or_else(String::new, |holder| holder.specialist.to_string())
    }

    fn clock(&mut self, time: &str) {
        let (weekday, clock) = time.split_once('-').expect("a weekday and a time");
        let weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let weekday = weekdays.iter().position(|known| *known == weekday);
        let (hour, minute) = clock.split_once(':').expect("a time");
        let time = LocalTime {
            weekday: weekday
                .and_then(|day| u8::try_from(day).ok())
                .expect("a weekday"),
            hour: hour.parse().expect("an hour"),
            minute: minute.parse().expect("a minute"),
            ..LocalTime::default()
        };
        self.on(Event::Clock { time });
    }

    fn state(&mut self, state: Json) {
        self.version += 1;
        let (state, version) = (Arc::new(state), self.version);
        self.on(Event::StateChanged { state, version });
    }

    fn presses(&mut self, key: char) {
        let digit = Digit::new(key).expect("it is a key");
        let identity = Identity::from(CALLER);
        self.on(Event::DtmfPressed { identity, digit });
    }

    fn talks(&mut self, identity: Identity, talking: bool) {
        self.on(Event::Talking { identity, talking });
    }

    fn holder_identity(&self) -> Identity {
        let holder = self.call.phase().holder();
        holder.expect("somebody has the baton").identity.clone()
    }

    /// The holder asks for a handoff; what it is told in the end.
    fn asks(&mut self, to: Target) -> Outcome {
        self.requests += 1;
        self.outcome = None;
        let asker = Asker::Specialist {
            identity: self.holder_identity(),
            epoch: self.call.epoch(),
        };
        self.on(Event::HandoffRequested(HandoffRequest {
            asker,
            request: RequestId(self.requests),
            target: to,
            reason: "the caller asks for it".to_owned(),
            tool_call: None,
            splice: None,
            delegating: None,
        }));
        for _ in 0..50 {
            if let Some(outcome) = self.outcome.take() {
                return outcome;
            }
            self.fire();
        }
        panic!("no answer");
    }

    fn goes(&mut self, to: &str) {
        let outcome = self.asks(Target::Specialist(to.into()));
        assert!(
            matches!(outcome, Outcome::Done { .. }),
            "to {to}: {outcome:?}"
        );
        assert_eq!(self.holder(), to);
    }

    fn refused(&mut self, to: &str) -> String {
        match self.asks(Target::Specialist(to.into())) {
            Outcome::Refused(reason) => reason.code().to_owned(),
            outcome @ (Outcome::Done { .. } | Outcome::Failed { .. }) => {
                panic!("to {to}: {outcome:?}")
            }
        }
    }

    fn on(&mut self, event: Event) {
        self.todo.push_back(event);
        self.run();
    }

    fn run(&mut self) {
        // Far more than any script needs; a world that never comes to rest is broken.
        for _ in 0..10_000 {
            let Some(event) = self.todo.pop_front() else {
                return;
            };
            let mut out = Vec::new();
            self.call.handle_event(self.now, event, &mut out);
            self.obey(out);
        }
        panic!("it goes on for ever");
    }

    fn fire(&mut self) {
        let Some((at, _)) = self.call.poll_timeout() else {
            return;
        };
        self.now = self.now.max(at);
        let mut out = Vec::new();
        self.call.handle_timeout(self.now, &mut out);
        self.obey(out);
        self.run();
    }

    fn pass(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while self.call.poll_timeout().is_some_and(|(at, _)| at <= end) {
            self.fire();
        }
        self.now = end;
    }

    /// Every participant does what it is told, at once.
    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Dispatch {
                    dispatch,
                    specialist,
                    ..
                } => {
                    if self.absent.contains(specialist.as_str()) {
                        continue;
                    }
                    let identity = Identity::from(format!("agent-{specialist}-{dispatch}"));
                    self.todo.push_back(Event::SpecialistJoined {
                        dispatch,
                        identity: identity.clone(),
                    });
                    self.todo.push_back(Event::Hello { identity });
                }
                Command::Prepare {
                    identity, handoff, ..
                } => self.todo.push_back(Event::Ready {
                    identity,
                    handoff,
                    applied: true,
                }),
                Command::AwaitTools { handoff, .. } => {
                    self.todo.push_back(Event::ToolsSettled { handoff });
                }
                Command::AwaitJournal { handoff, .. } => {
                    self.todo.push_back(Event::JournalSettled { handoff });
                }
                Command::AwaitTail { handoff, .. } => {
                    self.todo.push_back(Event::TailApplied { handoff });
                }
                Command::WatchSplice { handoff, .. } => {
                    self.todo.push_back(Event::SpliceReached { handoff });
                }
                Command::Grant {
                    identity, epoch, ..
                } => {
                    let granted = identity.clone();
                    self.todo.push_back(Event::Granted {
                        identity: granted,
                        epoch,
                    });
                    self.todo.push_back(Event::FirstFrame { identity, epoch });
                }
                Command::Fade { epoch, .. } => self.todo.push_back(Event::FadeDone { epoch }),
                Command::Revoke { identity, epoch } => {
                    self.todo.push_back(Event::Released { identity, epoch });
                }
                Command::Release { identity, .. } | Command::Remove { identity, .. } => {
                    self.todo.push_back(Event::ParticipantLeft {
                        identity,
                        departure: Departure::Final,
                    });
                }
                Command::HandoffResult { asker, outcome, .. } => match asker {
                    Asker::Specialist { .. } => self.outcome = Some(outcome),
                    Asker::Operator | Asker::Rule => {}
                },
                // What else is commanded concerns the mixer, the gates and the log.
                _ => {}
            }
        }
    }

    /// The caller hangs up, and nothing is left.
    fn ends(mut self) {
        self.on(Event::ParticipantLeft {
            identity: CALLER.into(),
            departure: Departure::Final,
        });
        assert_eq!(self.call.ended(), Some(call::EndReason::CallerGone));
        assert_eq!(self.call.poll_timeout(), None);
        assert!(self.call.snapshot().specialists.is_empty());
    }
}

#[test]
fn the_examples_are_accepted_without_a_warning() {
    for name in ["bank", "clinic", "it-support"] {
        let loaded = example(name);
        assert_eq!(loaded.report.findings, [], "{name}");
    }
}

#[test]
fn a_call_to_the_bank() {
    let mut call = World::new("bank", "tue-10:15");
    assert_eq!(call.refused("accounts"), "closed");
    call.goes("identification");
    call.state(json!({"identified": true, "customer": "4711"}));
    assert_eq!(call.holder(), "accounts", "the rule has moved it");
    call.goes("payments");
    call.clock("tue-20:30");
    call.pass(3);
    call.goes("accounts");
    assert_eq!(call.refused("payments"), "cooling_down");
    call.pass(3);
    assert_eq!(call.refused("payments"), "closed");
    call.presses('0');
    assert_eq!(call.holder(), "advisor");
    let advisor = call.holder_identity();
    call.on(Event::HandedBack { identity: advisor });
    assert_eq!(call.holder(), "accounts", "whoever had the baton before");
    call.absent.insert("advisor".to_owned());
    call.pass(3);
    call.presses('0');
    assert_eq!(call.holder(), "", "the caller is on hold");
    call.pass(46);
    assert_eq!(call.holder(), "accounts", "nobody has answered");
    call.ends();
}

#[test]
fn a_call_to_the_bank_in_which_nothing_works() {
    let mut call = World::new("bank", "mon-09:00");
    call.absent.insert("identification".to_owned());
    for _ in 0..3 {
        let outcome = call.asks(Target::Specialist("identification".into()));
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    }
    assert_eq!(call.holder(), "advisor");
    call.ends();
}

#[test]
fn a_caller_whom_the_bank_cannot_identify() {
    let mut call = World::new("bank", "mon-09:00");
    call.goes("identification");
    call.pass(299);
    assert_eq!(call.holder(), "identification");
    call.pass(2);
    assert_eq!(call.holder(), "advisor");
    call.ends();
}

#[test]
fn a_call_to_the_clinic() {
    let mut call = World::new("clinic", "wed-08:00");
    assert_eq!(call.refused("night-desk"), "closed");
    call.goes("appointments");
    assert_eq!(call.refused("prescriptions"), "closed");
    call.state(json!({"patient_number": "A17"}));
    call.goes("prescriptions");
    call.state(json!({"patient_number": "A17", "urgency": 9}));
    assert_eq!(call.holder(), "nurse");
    call.goes("appointments");
    let appointments = call.holder_identity();
    call.on(Event::ParticipantLeft {
        identity: appointments,
        departure: Departure::Final,
    });
    assert_eq!(
        call.holder(),
        "reception",
        "the rule comes before another instance"
    );
    let reception = call.holder_identity();
    call.talks(reception.clone(), true);
    call.talks(reception, false);
    call.pass(16);
    assert_eq!(call.holder(), "nurse");
    call.ends();
}

#[test]
fn a_call_to_the_clinic_in_the_night() {
    let mut call = World::new("clinic", "sat-11:00");
    assert_eq!(call.refused("appointments"), "closed");
    call.goes("night-desk");
    call.ends();
}

#[test]
fn a_call_to_it_support() {
    let mut call = World::new("it-support", "thu-14:00");
    assert_eq!(call.refused("second-level"), "closed");
    call.goes("network");
    assert_eq!(
        call.asks(Target::Previous),
        Outcome::Refused(call::RefuseReason::NoRoute {
            from: "network".into(),
            to: "first-level".into(),
            reachable: vec!["second-level".into(), "security".into()],
        })
    );
    call.state(json!({"ticket": "T-100", "tags": ["vpn"]}));
    call.goes("second-level");
    // One leaves as the next arrives.
    assert_eq!(call.call.snapshot().specialists.len(), 1);
    call.state(json!({"ticket": "T-100", "tags": ["vpn", "security"]}));
    assert_eq!(call.holder(), "security");
    call.ends();
}

#[test]
fn a_specialist_of_it_support_that_falls_silent() {
    let mut call = World::new("it-support", "thu-14:00");
    call.talks(CALLER.into(), true);
    call.pass(30);
    call.talks(CALLER.into(), false);
    call.pass(19);
    assert_eq!(call.holder(), "first-level");
    call.pass(2);
    assert_eq!(call.holder(), "second-level");
    call.ends();
}
