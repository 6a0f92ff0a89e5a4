//! From what was seen to what is wrong, in words. Pure.

use std::fmt;

/// The server stops offering jobs to a worker from this load on.
const LOAD_MAX: f64 = 0.7;
/// Tokens name the time; the server allows little more than this.
const SKEW_SECS_WARN: u64 = 5;
const SKEW_SECS_MAX: u64 = 60;

/// What was seen. What could not be asked, because something before it failed, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) url: String,
    pub(super) agent_name: String,
    pub(super) server: Option<Server>,
    /// How far the server's clock is from this one's, in seconds.
    pub(super) skew_secs: Option<u64>,
    pub(super) health_at: String,
    pub(super) worker: Option<Worker>,
    pub(super) sip: Option<Sip>,
    pub(super) room: Option<Room>,
    /// The agent names of the configured specialists.
    pub(super) specialists: Vec<String>,
}

/// How the server answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Server {
    Unreachable { why: String },
    KeyRefused,
    Failing { why: String },
    Answers,
}

/// What the health page of the Baton on this machine says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worker {
    /// Nothing answers there.
    Absent,
    /// Something answers there that is no Baton.
    Stranger,
    There {
        agent_name: String,
        registered: bool,
        load: f64,
        active: u64,
        max: u64,
        draining: bool,
    },
}

/// The SIP dispatch rules.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sip {
    Unavailable { why: String },
    Rules(Vec<Rule>),
}

/// A dispatch rule, with the agents that it names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) agents: Vec<String>,
}

/// One room.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Room {
    Absent {
        name: String,
    },
    There {
        name: String,
        people: Vec<Person>,
        dispatches: Vec<Dispatch>,
    },
}

/// A participant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Person {
    pub(super) identity: String,
    pub(super) kind: Kind,
    pub(super) audio_tracks: usize,
    pub(super) by_baton: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Caller,
    Agent,
    Other,
}

/// A dispatch in a room.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dispatch {
    pub(super) agent_name: String,
    pub(super) jobs: usize,
    /// What a job of it failed with.
    pub(super) failed: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Fine,
    Odd,
    Wrong,
}

/// One thing that is right, odd or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    what: String,
    help: Option<&'static str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Fine => "fine ",
            Level::Odd => "odd  ",
            Level::Wrong => "wrong",
        };
        writeln!(f, "{level}  {}", self.what)?;
        match self.help {
            Some(help) => writeln!(f, "       {help}"),
            None => Ok(()),
        }
    }
}

fn fine(what: String) -> Finding {
    Finding {
        level: Level::Fine,
        what,
        help: None,
    }
}

fn odd(what: String, help: &'static str) -> Finding {
    Finding {
        level: Level::Odd,
        what,
        help: Some(help),
    }
}

fn wrong(what: String, help: &'static str) -> Finding {
    Finding {
        level: Level::Wrong,
        what,
        help: Some(help),
    }
}

/// Everything that was seen, in the order of a call's way.
pub(super) fn diagnose(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(seen.server.as_ref().map(|server| of_server(seen, server)));
    findings.extend(seen.skew_secs.map(of_clock));
    if let Some(worker) = &seen.worker {
        of_worker(seen, worker, &mut findings);
    }
    if let Some(sip) = &seen.sip {
        of_sip(seen, sip, &mut findings);
    }
    if let Some(room) = &seen.room {
        of_room(seen, room, &mut findings);
    }
    findings
}

fn of_server(seen: &Seen, server: &Server) -> Finding {
    let url = &seen.url;
    match server {
        Server::Unreachable { why } => wrong(
            format!("nothing answers at {url}: {why}"),
            "check LIVEKIT_URL, that the server runs, and that its port (7880 by default) is open from here",
        ),
        Server::KeyRefused => wrong(
            format!("the server at {url} refuses the API key or secret"),
            "LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair from the server's `keys`",
        ),
        Server::Failing { why } => wrong(
            format!("the server at {url} cannot answer: {why}"),
            "look at the server's own log",
        ),
        Server::Answers => fine(format!("the server at {url} takes the API key")),
    }
}

fn of_clock(secs: u64) -> Finding {
    const HELP: &str =
        "tokens name the time of the one who made them; have both machines follow NTP";
    let what = format!("this machine's clock and the server's are {secs} s apart");
    match secs {
        0..SKEW_SECS_WARN => fine(what),
        SKEW_SECS_WARN..SKEW_SECS_MAX => odd(what, HELP),
        _ => wrong(what, HELP),
    }
}

fn of_worker(seen: &Seen, worker: &Worker, findings: &mut Vec<Finding>) {
    let (at, name) = (&seen.health_at, &seen.agent_name);
    let (agent_name, registered, load, active, max, draining) = match worker {
        Worker::Absent => {
            return findings.push(odd(
                format!("no Baton serves its health page at {at} (`server.health_bind`)"),
                "if none runs elsewhere either, no worker is there when a room is made, and the job is dropped after 3 s: `baton start`",
            ));
        }
        Worker::Stranger => {
            return findings.push(wrong(
                format!("something else than Baton answers at {at} (`server.health_bind`)"),
                "`baton start` cannot take this port; choose another one, or stop what has it",
            ));
        }
        Worker::There {
            agent_name,
            registered,
            load,
            active,
            max,
            draining,
        } => (agent_name, *registered, *load, *active, *max, *draining),
    };
    if agent_name != name {
        findings.push(wrong(
            format!("the Baton at {at} is registered as `{agent_name}`, not as `{name}`"),
            "LIVEKIT_AGENT_NAME or `server.agent_name` differ between it and this command",
        ));
    }
    if !registered {
        findings.push(wrong(
            format!("the Baton at {at} is not registered at the server"),
            "its log says why: a wrong key, a server that does not answer",
        ));
    } else if draining {
        findings.push(wrong(
            format!("the Baton at {at} is being stopped and takes no calls"),
            "start another one",
        ));
    } else if load >= LOAD_MAX {
        findings.push(wrong(
            format!("the Baton at {at} has a load of {load:.2}, with {active} of {max} calls; from {LOAD_MAX} on the server offers it none"),
            "raise `server.max_calls`, or start another Baton; a caller hears the phone ring until then",
        ));
    } else {
        findings.push(fine(format!(
            "the Baton at {at} is registered, with {active} of {max} calls"
        )));
    }
}

fn of_sip(seen: &Seen, sip: &Sip, findings: &mut Vec<Finding>) {
    let name = &seen.agent_name;
    let rules = match sip {
        Sip::Unavailable { why } => {
            return findings.push(odd(
                format!("the SIP dispatch rules cannot be read: {why}"),
                "phone calls need LiveKit's SIP service and Redis; web callers name `baton` in their token's room configuration",
            ));
        }
        Sip::Rules(rules) => rules,
    };
    if rules.is_empty() {
        findings.push(odd(
            "there is no SIP dispatch rule, so no phone call gets a room".to_owned(),
            "make one with `room_config: {agents: [{agent_name: baton}]}`",
        ));
    }
    for Rule { id, agents } in rules {
        let listed = agents.join(", ");
        findings.push(if agents.contains(name) && agents.len() == 1 {
            fine(format!("dispatch rule {id} asks for `{name}`"))
        } else if agents.contains(name) {
            odd(
                format!("dispatch rule {id} asks for {listed}: more than `{name}`"),
                "specialists are dispatched by Baton; one that comes by itself is not bound to a call and is not heard",
            )
        } else if agents.is_empty() {
            wrong(
                format!("dispatch rule {id} names no agent"),
                "add `room_config: {agents: [{agent_name: baton}]}` to it",
            )
        } else {
            wrong(
                format!("dispatch rule {id} asks for {listed}, not for `{name}`"),
                "add Baton's name to its `room_config.agents`; naming any agent there switches unnamed dispatch off",
            )
        });
    }
}

fn of_room(seen: &Seen, room: &Room, findings: &mut Vec<Finding>) {
    let (name, people, dispatches) = match room {
        Room::Absent { name } => {
            return findings.push(odd(
                format!("there is no room `{name}` now"),
                "ask while the call is there; an empty room is closed after its `empty_timeout`",
            ));
        }
        Room::There {
            name,
            people,
            dispatches,
        } => (name, people, dispatches),
    };
    let ours: Vec<&Dispatch> = dispatches
        .iter()
        .filter(|dispatch| dispatch.agent_name == seen.agent_name)
        .collect();
    let agent = &seen.agent_name;
    if ours.is_empty() {
        findings.push(wrong(
            format!("room `{name}` has no dispatch for `{agent}`"),
            "`room_config` counts only when the room is made: a room that exists already ignores it; dispatch Baton with `lk dispatch create`",
        ));
    }
    for Dispatch { jobs, failed, .. } in ours {
        findings.push(match (jobs, failed) {
            (_, Some(why)) => wrong(
                format!("the job of `{agent}` in room `{name}` has failed: {why}"),
                "Baton's log has more, by the hash of the room",
            ),
            (0, None) => wrong(
                format!("room `{name}` asked for `{agent}`, and no worker took the job"),
                "no Baton was registered when the room was made, or all were full; the job is dropped after 3 s",
            ),
            (_, None) => fine(format!("room `{name}` has a job of `{agent}`")),
        });
    }
    for Dispatch {
        agent_name, jobs, ..
    } in dispatches
    {
        if *agent_name != *agent && *jobs == 0 {
            findings.push(wrong(
                format!("room `{name}` asked for `{agent_name}`, and no worker took the job"),
                "is a worker registered under this name? the list of jobs may lag by some seconds",
            ));
        }
        if agent_name.is_empty()
            || (*agent_name != *agent && !seen.specialists.contains(agent_name))
        {
            findings.push(odd(
                format!("room `{name}` has a dispatch for `{agent_name}`, which is no specialist of the configuration"),
                "only agents that Baton has dispatched can hold the baton",
            ));
        }
    }
    if !people.iter().any(|person| person.kind == Kind::Caller) {
        findings.push(wrong(
            format!("room `{name}` has no caller: nobody in it is of kind SIP or STANDARD"),
            "a caller's token must not be one of kind agent, ingress or egress",
        ));
    }
    for person in people {
        let Person {
            identity,
            kind,
            audio_tracks,
            by_baton,
        } = person;
        if *kind == Kind::Agent && !by_baton && *audio_tracks > 0 {
            findings.push(wrong(
                format!("agent `{identity}` in room `{name}` has a track that nobody gates"),
                "it was not dispatched by Baton, and the caller may hear it: take it out of the dispatch rule, or use an SDK of Baton's",
            ));
        }
    }
}
