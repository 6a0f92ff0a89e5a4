//! Every finding there is, in words.

use super::Diagnosis;
use super::diagnose::{Dispatch, Kind, Person, Room, Rule, Seen, Server, Sip, Worker, diagnose};

fn seen() -> Seen {
    Seen {
        url: "wss://livekit.example.com".to_owned(),
        agent_name: "baton".to_owned(),
        health_at: "0.0.0.0:8081".to_owned(),
        specialists: vec!["triage".to_owned(), "billing".to_owned()],
        ..Seen::default()
    }
}

fn said(several: impl IntoIterator<Item = Seen>) -> String {
    let said = several
        .into_iter()
        .map(|seen| Diagnosis(diagnose(&seen)).to_string());
    said.collect()
}

fn worker(agent_name: &str, registered: bool, load: f64, draining: bool) -> Worker {
    Worker::There {
        agent_name: agent_name.to_owned(),
        registered,
        load,
        active: 8,
        max: 10,
        draining,
    }
}

fn dispatch(agent_name: &str, jobs: usize, failed: Option<&str>) -> Dispatch {
    Dispatch {
        agent_name: agent_name.to_owned(),
        jobs,
        failed: failed.map(str::to_owned),
    }
}

fn person(identity: &str, kind: Kind, audio_tracks: usize, by_baton: bool) -> Person {
    Person {
        identity: identity.to_owned(),
        kind,
        audio_tracks,
        by_baton,
    }
}

#[test]
fn the_server_and_the_clocks() {
    let servers = [
        Server::Answers,
        Server::KeyRefused,
        Server::Unreachable {
            why: "connection refused".to_owned(),
        },
        Server::Failing {
            why: "unavailable: no nodes".to_owned(),
        },
    ];
    let servers = servers.map(|server| Seen {
        server: Some(server),
        ..seen()
    });
    let clocks = [0, 5, 60].map(|secs| Seen {
        skew_secs: Some(secs),
        ..seen()
    });
    insta::assert_snapshot!(said(servers.into_iter().chain(clocks)));
}

#[test]
fn the_baton_on_this_machine() {
    let workers = [
        worker("baton", true, 0.1, false),
        worker("baton", true, 0.8, false),
        worker("baton", true, 0.1, true),
        worker("baton", false, 0.0, false),
        worker("other", true, 0.1, false),
        Worker::Absent,
        Worker::Stranger,
    ];
    insta::assert_snapshot!(said(workers.map(|worker| Seen {
        worker: Some(worker),
        ..seen()
    })));
}

#[test]
fn the_dispatch_rules() {
    let rule = |agents: &[&str]| Rule {
        id: "SDR_1".to_owned(),
        agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
    };
    let rules = [
        Sip::Rules(vec![rule(&["baton"])]),
        Sip::Rules(vec![
            rule(&["baton", "triage"]),
            rule(&[]),
            rule(&["triage"]),
        ]),
        Sip::Rules(Vec::new()),
        Sip::Unavailable {
            why: "unimplemented: no SIP".to_owned(),
        },
    ];
    insta::assert_snapshot!(said(rules.map(|sip| Seen {
        sip: Some(sip),
        ..seen()
    })));
}

#[test]
fn a_room() {
    let room = |dispatches: Vec<Dispatch>, people: Vec<Person>| Room::There {
        name: "call-1".to_owned(),
        people,
        dispatches,
    };
    let caller = || person("sip_+15550199", Kind::Caller, 1, false);
    let rooms = [
        room(
            vec![dispatch("baton", 1, None), dispatch("triage", 1, None)],
            vec![caller(), person("agent-1", Kind::Agent, 1, true)],
        ),
        room(Vec::new(), vec![person("web", Kind::Other, 0, false)]),
        room(
            vec![dispatch("baton", 0, None), dispatch("triage", 0, None)],
            vec![caller()],
        ),
        room(
            vec![
                dispatch("baton", 1, Some("the room is gone")),
                dispatch("", 1, None),
            ],
            vec![caller(), person("agent-2", Kind::Agent, 1, false)],
        ),
        Room::Absent {
            name: "call-1".to_owned(),
        },
    ];
    insta::assert_snapshot!(said(rooms.map(|room| Seen {
        room: Some(room),
        ..seen()
    })));
}

#[test]
fn what_is_odd_makes_no_one_ill() {
    let ill = |worker| {
        Diagnosis(diagnose(&Seen {
            worker: Some(worker),
            ..seen()
        }))
        .is_ill()
    };
    assert!(!ill(Worker::Absent) && ill(Worker::Stranger));
}
