//! A handoff that works, from request to settled, and requests that are refused.

use call::{
    After, Asker, Command, Epoch, Event, HandoffId, Names, Opening, Outcome, PhaseName,
    RefuseReason, RejectReason, RequestId, Route, Splice, Stage, Target, Timer,
};

use crate::harness::{Bench, config, grant, outcome, rejected, target};

#[test]
fn the_main_handoff_and_back() {
    let mut bench = Bench::active(config());
    bench.pass_ms(4_000);
    bench.asks("triage", target("billing"));
    bench.pass_ms(300);
    bench.comes("billing");
    bench.pass_ms(200);
    bench.gets_ready("billing");
    bench.pass_ms(700);
    bench.splices();
    bench.pass_ms(15);
    bench.takes("billing");
    bench.pass_ms(20);
    bench.sounds("billing");
    bench.pass_ms(120);
    bench.faded();
    bench.pass_ms(10);
    bench.released("triage");
    bench.pass_ms(5_000);
    bench.asks("billing", Target::Previous);
    bench.gets_ready("triage");
    bench.splices();
    bench.takes("triage");
    bench.sounds("triage");
    bench.faded();
    bench.released("billing");
    bench.on(Event::Stop);
    insta::assert_snapshot!(bench.text.join("\n"));
}

#[test]
fn nothing_changes_for_the_caller_while_the_target_prepares() {
    let mut bench = Bench::active(config());
    let mut out = bench.asks("triage", target("billing"));
    out.extend(bench.comes("billing"));
    out.extend(bench.gets_ready("billing"));
    let touches_sound = |command: &Command| {
        matches!(
            command,
            Command::Admit { .. }
                | Command::Drop { .. }
                | Command::Fade { .. }
                | Command::Revoke { .. }
        )
    };
    assert!(!out.iter().any(touches_sound), "{out:#?}");
    assert_eq!(bench.admitted(), ["agent-triage-1"]);
    assert_eq!(bench.audience(), ["agent-billing-2", "agent-triage-1"]);
    assert_eq!(bench.holder().as_deref(), Some("triage"));
    assert_eq!(bench.epoch(), Epoch(1));
}

#[test]
fn the_old_source_stays_until_the_new_one_sounds() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    assert_eq!(bench.holder().as_deref(), Some("billing"));
    assert_eq!(bench.admitted(), ["agent-triage-1", "agent-billing-2"]);
    assert_eq!(
        bench.audience(),
        ["agent-billing-2"],
        "only the new one hears the caller"
    );
    assert_eq!(
        bench.takes("billing"),
        [],
        "a taken grant alone moves no sound"
    );
    let out = bench.sounds("billing");
    assert!(out.contains(&Command::Fade {
        from: "agent-triage-1".into(),
        to: "agent-billing-2".into(),
        epoch: Epoch(2),
        ms: 120
    }));
    assert_eq!(bench.admitted().len(), 2);
    bench.faded();
    assert_eq!(bench.admitted(), ["agent-billing-2"]);
}

#[test]
fn hand_back_finds_the_parked_specialist_ready_at_once() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let out = bench.asks("billing", Target::Previous);
    let prepared = |command: &Command| matches!(command, Command::Prepare { identity, .. } if identity.as_str() == "agent-triage-1");
    assert!(out.iter().any(prepared), "{out:?}");
    bench.gets_ready("triage");
    let out = bench.splices();
    assert_eq!(grant(&out), Some(("agent-triage-1".to_owned(), 3)));
}

#[test]
fn a_holder_may_hand_back_before_the_old_one_has_settled() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.sounds("billing");
    bench.faded();
    bench.asks("billing", Target::Previous);
    bench.gets_ready("triage");
    assert!(
        !rejected(&bench.released("triage")),
        "its answer to the revoke is still in order"
    );
    assert_eq!(
        grant(&bench.splices()),
        Some(("agent-triage-1".to_owned(), 3))
    );
}

#[test]
fn the_splice_wait_is_bounded() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::WatchSplice { .. }))
    );
    let ready_at = bench.at_ms();
    let out = bench.fire_until(Timer::Splice);
    assert_eq!(bench.at_ms() - ready_at, 3_000);
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_route_that_says_now_does_not_wait() {
    let mut config = config();
    config.routes = vec![Route {
        splice: Splice::Now,
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    assert_eq!(
        grant(&bench.gets_ready("billing")),
        Some(("agent-billing-2".to_owned(), 2))
    );
}

#[test]
fn one_that_waits_for_the_caller_is_switched_to_on_its_grant_alone() {
    let mut config = config();
    config.routes = vec![Route {
        opening: Opening::Wait,
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    bench.switches_to("triage", "billing");
    let out = bench.takes("billing");
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Fade { .. })),
        "{out:?}"
    );
}

#[test]
fn one_that_took_its_grant_and_stays_silent_goes_on_after_the_switch_timeout() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    let out = bench.fire_until(Timer::Switch);
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Fade { .. })),
        "{out:?}"
    );
    let out = bench.fire_until(Timer::Fade);
    assert!(
        matches!(outcome(&out), Some(Outcome::Done { .. })),
        "{out:?}"
    );
    assert_eq!(bench.epoch(), Epoch(2));
}

#[test]
fn a_fade_that_is_never_reported_done_is_taken_for_done() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.takes("billing");
    bench.sounds("billing");
    let out = bench.fire_until(Timer::Fade);
    assert!(
        out.iter()
            .any(|command| matches!(command, Command::Revoke { .. })),
        "{out:?}"
    );
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn a_second_request_is_refused_while_one_runs() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    for _phase in ["preparing", "ready", "switching"] {
        let refused = Some(Outcome::Refused(RefuseReason::InProgress {
            handoff: HandoffId(2),
            target: "billing".into(),
        }));
        assert_eq!(
            outcome(&bench.request(Asker::Operator, target("support"))),
            refused
        );
        match bench.phase() {
            PhaseName::Preparing => {
                bench.comes("billing");
                bench.gets_ready("billing");
            }
            PhaseName::Ready => {
                bench.splices();
            }
            PhaseName::Switching => {}
            PhaseName::Idle | PhaseName::Active => panic!("the handoff is over"),
        }
    }
    assert_eq!(bench.phase(), PhaseName::Switching);
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn a_repeated_request_is_not_taken_for_a_second_one() {
    let mut bench = Bench::active(config());
    let asker = Asker::Specialist {
        identity: bench.identity("triage"),
        epoch: Epoch(1),
    };
    let request = call::HandoffRequest {
        asker,
        request: RequestId(7),
        target: target("billing"),
        reason: String::new(),
        tool_call: None,
        splice: None,
        delegating: None,
    };
    // After a restart of Baton the same is asked for under a new epoch.
    let again = call::HandoffRequest {
        asker: Asker::Specialist {
            identity: bench.identity("triage"),
            epoch: Epoch(9),
        },
        ..request.clone()
    };
    bench.on(Event::HandoffRequested(request.clone()));
    for repeated in [request, again] {
        let out = bench.on(Event::HandoffRequested(repeated));
        assert!(
            matches!(
                &out[..],
                [Command::Reject {
                    reason: RejectReason::Duplicate,
                    ..
                }]
            ),
            "{out:?}"
        );
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_with_a_reason() {
    let mut config = config();
    config.routes = vec![Route {
        from: Names::Any,
        to: Names::Only(vec!["billing".into()]),
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    let mut refused = |target| match outcome(&bench.asks("triage", target)) {
        Some(Outcome::Refused(reason)) => reason.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    let lines = [
        refused(target("biling")),
        refused(target("zzz")),
        refused(target("triage")),
        refused(target("support")),
        refused(Target::Previous),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    there is no specialist "biling", did you mean "billing"
    there is no specialist "zzz"
    triage holds the baton already
    no route leads from triage to support; from triage one can reach ["billing"]
    nobody held the baton before
    "#);
}

#[test]
fn only_the_holder_may_ask_and_only_with_its_epoch() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let mut asked = |identity: call::Identity, epoch| {
        let out = bench.request(
            Asker::Specialist {
                identity,
                epoch: Epoch(epoch),
            },
            target("support"),
        );
        match &out[..] {
            [
                Command::Reject {
                    identity, reason, ..
                },
            ] => (identity.is_some(), reason.clone()),
            other => panic!("not rejected: {other:?}"),
        }
    };
    let stale = RejectReason::StaleEpoch {
        got: Epoch(1),
        current: Epoch(2),
    };
    assert_eq!(asked("agent-triage-1".into(), 1), (true, stale.clone()));
    assert_eq!(
        asked("agent-triage-1".into(), 2),
        (true, RejectReason::NotHolder)
    );
    assert_eq!(asked("agent-billing-2".into(), 1), (true, stale));
    assert_eq!(asked("stranger".into(), 2), (false, RejectReason::Unbound));
    assert_eq!(bench.phase(), PhaseName::Active);
}

#[test]
fn the_number_of_handoffs_is_bounded() {
    let mut config = config();
    config.limits.handoffs_max = 1;
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    let refused = Some(Outcome::Refused(RefuseReason::TooMany { max: 1 }));
    assert_eq!(outcome(&bench.asks("billing", Target::Previous)), refused);
}

#[test]
fn hand_back_without_a_route_can_be_switched_off() {
    let mut config = config();
    config.hand_back = false;
    config.routes = vec![Route {
        to: Names::Only(vec!["billing".into()]),
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    bench.hands_off("triage", "billing");
    let out = bench.asks("billing", Target::Previous);
    assert!(
        matches!(
            outcome(&out),
            Some(Outcome::Refused(RefuseReason::NoRoute { .. }))
        ),
        "{out:?}"
    );
}

#[test]
fn after_a_handoff_the_old_one_leaves_parks_or_stays() {
    for (after, expected) in [
        (After::Leave, "leaving"),
        (After::Park { park_ms: 500 }, "parked"),
        (After::Stay, "staying"),
    ] {
        let mut config = config();
        config
            .specialists
            .get_mut(&"triage".into())
            .expect("triage is configured")
            .after = after;
        let mut bench = Bench::active(config);
        bench.hands_off("triage", "billing");
        let triage = call::DispatchId(1);
        let stage = bench.call.snapshot().specialists[&triage].stage;
        let name = match stage {
            Stage::Leaving { .. } => "leaving",
            Stage::Parked { until: Some(_) } => "parked",
            Stage::Parked { until: None } => "staying",
            other => panic!("unexpected {other:?}"),
        };
        assert_eq!(name, expected);
        if expected == "parked" {
            let out = bench.fire_until(Timer::Park(triage));
            let released = |command: &Command| matches!(command, Command::Release { .. });
            assert!(out.iter().any(released), "{out:?}");
            assert_eq!(bench.at_ms(), 500);
        }
    }
}

#[test]
fn events_of_old_epochs_and_handoffs_change_nothing() {
    let mut bench = Bench::active(config());
    bench.hands_off("triage", "billing");
    let before = bench.call.snapshot();
    let (triage, billing) = (bench.identity("triage"), bench.identity("billing"));
    let stale = [
        Event::Granted {
            identity: triage.clone(),
            epoch: Epoch(1),
        },
        Event::Granted {
            identity: billing.clone(),
            epoch: Epoch(2),
        },
        Event::Granted {
            identity: triage.clone(),
            epoch: Epoch(2),
        },
        Event::Granted {
            identity: billing.clone(),
            epoch: Epoch(99),
        },
        Event::Released {
            identity: triage.clone(),
            epoch: Epoch(1),
        },
        Event::Released {
            identity: billing.clone(),
            epoch: Epoch(2),
        },
        Event::FirstFrame {
            identity: triage.clone(),
            epoch: Epoch(1),
        },
        Event::FirstFrame {
            identity: triage.clone(),
            epoch: Epoch(2),
        },
        Event::FadeDone { epoch: Epoch(1) },
        Event::FadeDone { epoch: Epoch(2) },
        Event::SpliceReached {
            handoff: HandoffId(2),
        },
        Event::Ready {
            identity: billing.clone(),
            handoff: HandoffId(2),
            applied: true,
        },
        Event::Ready {
            identity: triage,
            handoff: HandoffId(1),
            applied: true,
        },
        Event::ToolsSettled {
            handoff: HandoffId(2),
        },
        Event::TailApplied {
            handoff: HandoffId(2),
        },
        Event::PrepareRefused {
            identity: billing,
            handoff: HandoffId(2),
            detail: String::new(),
        },
    ];
    for event in stale {
        let text = format!("{event:?}");
        let out = bench.on(event);
        assert!(
            matches!(&out[..], [Command::Reject { .. }]),
            "{text}: {out:?}"
        );
    }
    let mut after = bench.call.snapshot();
    assert_eq!(after.counts.rejected, before.counts.rejected + 16);
    after.counts = before.counts;
    assert_eq!(after, before);
}
