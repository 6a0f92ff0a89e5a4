//! The life of a specialist: reconnects, residents, tickets, settling and leaving.

use call::{
    After, Command, Departure, DispatchId, Epoch, Event, Identity, Lifetime, ParticipantKind,
    PhaseName, RejectReason, RemoveReason, Stage, Timer,
};

use crate::harness::{Bench, CALLER, config, grant, rejected, target};

fn comes_back(bench: &mut Bench, name: &str) -> Vec<Command> {
    let identity = bench.identity(name);
    bench.joins(identity.as_str(), ParticipantKind::Agent);
    bench.hello(name)
}

#[test]
fn a_holder_that_reconnects_sounds_again_only_with_a_new_grant() {
    let mut bench = Bench::active(config());
    let out = bench.leaves(bench.identity("triage"), Departure::MayReturn);
    assert!(
        out.contains(&Command::Drop {
            identity: "agent-triage-1".into(),
            epoch: Epoch(1)
        }),
        "{out:?}"
    );
    assert_eq!(
        bench.audience(),
        Vec::<String>::new(),
        "it does not hear the caller while it reconnects"
    );
    bench.pass_ms(100);
    let out = bench.joins("agent-triage-1", ParticipantKind::Agent);
    assert_eq!(grant(&out), None, "being in the room is not enough");
    let out = bench.hello("triage");
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 2)));
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
    let old = bench.on(Event::FirstFrame {
        identity: "agent-triage-1".into(),
        epoch: Epoch(1),
    });
    assert!(rejected(&old));
    bench.pass_ms(1_999);
    bench.takes("triage");
    bench.pass_ms(60_000);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    bench.hands_off("triage", "billing");
}

#[test]
fn a_holder_may_reconnect_while_its_successor_prepares() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.leaves(bench.identity("triage"), Departure::MayReturn);
    comes_back(&mut bench, "triage");
    bench.takes("triage");
    assert_eq!(bench.phase(), PhaseName::Preparing);
    bench.comes("billing");
    bench.gets_ready("billing");
    assert_eq!(
        grant(&bench.splices()),
        Some(("agent-billing-2".to_owned(), 3))
    );
    assert_eq!(bench.admitted(), ["agent-triage-1", "agent-billing-2"]);
}

#[test]
fn a_holder_that_is_away_is_not_waited_for_when_its_successor_is_ready() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.leaves(bench.identity("triage"), Departure::MayReturn);
    let out = bench.gets_ready("billing");
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
    assert_eq!(bench.admitted(), ["agent-billing-2"]);
    bench.takes("billing");
    assert_eq!(bench.phase(), PhaseName::Active);
    let out = comes_back(&mut bench, "triage");
    assert_eq!(grant(&out), None, "it is a parked specialist now");
    let stage = bench.call.snapshot().specialists[&DispatchId(1)].stage;
    assert!(matches!(stage, Stage::Parked { .. }), "{stage:?}");
}

#[test]
fn a_holder_that_goes_away_at_the_splice_is_switched_from_at_once() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    let out = bench.leaves(bench.identity("triage"), Departure::MayReturn);
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_target_that_reconnects_is_prepared_again_within_its_time() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.leaves(bench.identity("billing"), Departure::MayReturn);
    assert_eq!(
        bench.phase(),
        PhaseName::Preparing,
        "it is not ready any more"
    );
    let out = comes_back(&mut bench, "billing");
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Prepare { .. })),
        "{out:?}"
    );
    bench.gets_ready("billing");
    assert_eq!(
        grant(&bench.splices()),
        Some(("agent-billing-2".to_owned(), 2))
    );
}

#[test]
fn an_old_holder_that_reconnects_in_the_switch_is_no_longer_heard() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.leaves(bench.identity("triage"), Departure::MayReturn);
    assert_eq!(bench.admitted(), ["agent-billing-2"]);
    assert_eq!(bench.phase(), PhaseName::Active);
    comes_back(&mut bench, "triage");
    assert_eq!(bench.admitted(), ["agent-billing-2"]);
}

#[test]
fn a_parked_specialist_that_reconnects_stays_parked() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    bench.leaves("agent-triage-1", Departure::MayReturn);
    comes_back(&mut bench, "triage");
    bench.asks("billing", target("triage"));
    assert_eq!(bench.dispatch("triage"), DispatchId(1), "it is used again");
    bench.gets_ready("triage");
}

#[test]
fn a_parked_specialist_that_is_away_is_replaced_when_needed() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    bench.leaves("agent-triage-1", Departure::MayReturn);
    bench.asks("billing", target("triage"));
    assert_eq!(bench.dispatch("triage"), DispatchId(3));
    let back = bench.on(Event::SpecialistJoined {
        dispatch: DispatchId(1),
        identity: "agent-triage-1".into(),
    });
    assert!(
        matches!(
            back[0],
            Command::Remove {
                reason: RemoveReason::NotExpected,
                ..
            }
        ),
        "{back:?}"
    );
}

#[test]
fn one_that_is_in_the_room_again_but_says_nothing_is_removed() {
    let mut bench = Bench::active(config());
    bench.leaves("agent-triage-1", Departure::MayReturn);
    bench.joins("agent-triage-1", ParticipantKind::Agent);
    let out = bench.fire_until(Timer::Return(DispatchId(1)));
    let removed = Command::Remove {
        identity: "agent-triage-1".into(),
        reason: RemoveReason::Unresponsive,
    };
    assert!(out.contains(&removed), "{out:?}");
    assert_eq!(bench.holder(), None);
}

#[test]
fn residents_are_dispatched_at_the_start_and_used_when_needed() {
    let mut config = config();
    config
        .specialists
        .get_mut(&"billing".into())
        .expect("billing is configured")
        .lifetime = Lifetime::Resident;
    let mut bench = Bench::active(config);
    bench.comes("billing");
    let out = bench.asks("triage", target("billing"));
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Prepare { .. })),
        "{out:?}"
    );
    assert!(
        !out.iter()
            .any(|command| matches!(command, Command::Dispatch { .. })),
        "{out:?}"
    );
}

#[test]
fn a_hello_is_welcomed_as_often_as_it_is_said() {
    let mut bench = Bench::active(config());
    for _ in 0..3 {
        let out = bench.hello("triage");
        assert_eq!(
            out,
            [Command::Welcome {
                identity: "agent-triage-1".into(),
                epoch: Epoch(1),
                targets: bench.plan().targets(&"triage".into()),
            }]
        );
    }
}

#[test]
fn strangers_and_the_caller_are_not_heard() {
    let mut bench = Bench::active(config());
    for identity in ["stranger", CALLER] {
        let identity = Identity::from(identity);
        for event in [
            Event::Hello {
                identity: identity.clone(),
            },
            Event::Granted {
                identity: identity.clone(),
                epoch: Epoch(1),
            },
            Event::Ready {
                identity: identity.clone(),
                handoff: call::HandoffId(1),
                applied: true,
            },
            Event::Released {
                identity: identity.clone(),
                epoch: Epoch(1),
            },
        ] {
            let out = bench.on(event);
            let [
                Command::Reject {
                    identity: None,
                    reason: RejectReason::Unbound,
                    ..
                },
            ] = &out[..]
            else {
                panic!("not rejected in silence: {out:?}");
            };
        }
    }
}

#[test]
fn a_ticket_binds_one_identity() {
    let mut bench = Bench::active(config());
    let dispatch = DispatchId(1);
    let out = bench.on(Event::SpecialistJoined {
        dispatch,
        identity: "copycat".into(),
    });
    assert!(matches!(out[0], Command::Remove { .. }), "{out:?}");
    bench.asks("triage", target("billing"));
    let dispatch = bench.dispatch("billing");
    for identity in [CALLER, "agent-triage-1"] {
        let out = bench.on(Event::SpecialistJoined {
            dispatch,
            identity: identity.into(),
        });
        assert!(rejected(&out), "{out:?}");
    }
}

#[test]
fn one_that_ignores_a_revoke_is_removed() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.sounds("billing");
    bench.faded();
    let out = bench.fire_until(Timer::Settle(DispatchId(1)));
    assert_eq!(bench.at_ms(), 1_000);
    let removed = Command::Remove {
        identity: "agent-triage-1".into(),
        reason: RemoveReason::IgnoredRevoke,
    };
    assert!(out.contains(&removed), "{out:?}");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn one_that_does_not_leave_is_removed_and_then_forgotten() {
    let mut config = config();
    config
        .specialists
        .get_mut(&"triage".into())
        .expect("triage is configured")
        .after = After::Leave;
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    let out = bench.fire_until(Timer::Leave(DispatchId(1)));
    assert!(
        matches!(
            out[0],
            Command::Remove {
                reason: RemoveReason::DidNotLeave,
                ..
            }
        ),
        "{out:?}"
    );
    bench.fire_until(Timer::Leave(DispatchId(1)));
    assert!(
        !bench
            .call
            .snapshot()
            .specialists
            .contains_key(&DispatchId(1))
    );
}

#[test]
fn a_renewed_grant_is_not_taken_by_a_late_answer_to_the_old_one() {
    let mut bench = Bench::active(config());
    bench.leaves(bench.identity("triage"), Departure::MayReturn);
    comes_back(&mut bench, "triage");
    let late = bench.on(Event::Granted {
        identity: "agent-triage-1".into(),
        epoch: Epoch(1),
    });
    assert!(rejected(&late), "{late:?}");
    bench.fire_until(Timer::Grant(DispatchId(1)));
    assert_eq!(bench.holder(), None);
}
