//! What a ready target waits for before the switch.

use call::{
    Awaited, Command, Departure, Event, Fact, Phase, PhaseName, RejectReason, Route, Splice, Timer,
};

use crate::harness::{Bench, config, grant, target};

/// A call in which billing has said that it is ready, and nothing is answered by itself.
fn ready() -> Bench {
    let mut bench = Bench::active(config());
    bench.settles = false;
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    bench
}

fn awaited(bench: &Bench) -> Vec<Awaited> {
    match bench.call.phase() {
        Phase::Ready { wait, .. } => wait.awaited().collect(),
        Phase::Idle { .. }
        | Phase::Preparing { .. }
        | Phase::Switching { .. }
        | Phase::Active { .. } => Vec::new(),
    }
}

fn tools_settled(bench: &mut Bench) -> Vec<Command> {
    let handoff = bench.handoff();
    bench.on(Event::ToolsSettled { handoff })
}

fn tail_applied(bench: &mut Bench) -> Vec<Command> {
    let handoff = bench.handoff();
    bench.on(Event::TailApplied { handoff })
}

#[test]
fn tools_then_the_splice_point_then_the_tail_are_awaited() {
    let mut bench = ready();
    assert_eq!(awaited(&bench), [Awaited::Tools]);
    let out = tools_settled(&mut bench);
    assert!(matches!(out[..], [Command::WatchSplice { .. }]), "{out:?}");
    assert_eq!(awaited(&bench), [Awaited::Splice]);
    let out = bench.splices();
    assert!(
        matches!(&out[..], [Command::AwaitTail { identity, .. }, Command::AwaitJournal { .. }] if identity.as_str() == "agent-billing-2"),
        "{out:?}"
    );
    assert_eq!(awaited(&bench), [Awaited::Tail]);
    let out = tail_applied(&mut bench);
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn the_grant_is_recorded_ahead_and_takes_effect_when_that_is_durable() {
    let announced = |out: &[Command]| {
        out.iter().find_map(|command| match command {
            Command::Record(Fact::GrantAnnounced { epoch, .. }) => Some(epoch.0),
            _ => None,
        })
    };
    let mut bench = Bench::active(config());
    bench.journals = false;
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(
        announced(&out),
        Some(2),
        "while the splice point is awaited"
    );
    let out = bench.splices();
    assert_eq!((announced(&out), grant(&out)), (None, None));
    assert_eq!(awaited(&bench), [Awaited::Journal]);
    let handoff = bench.handoff();
    let out = bench.on(Event::JournalSettled { handoff });
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_journal_that_does_not_answer_holds_nothing_up_for_long() {
    let mut bench = Bench::active(config());
    bench.journals = false;
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.splices();
    let at = bench.at_ms();
    let out = bench.fire_until(Timer::Journal);
    assert_eq!(bench.at_ms() - at, 1_000);
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_grant_is_announced_anew_when_the_epoch_has_moved() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    let triage = bench.identity("triage");
    bench.leaves(triage, call::Departure::MayReturn);
    let mut records = bench.log.iter().filter_map(|(_, command)| match command {
        Command::Record(Fact::GrantAnnounced { epoch, .. }) => Some(epoch.0),
        _ => None,
    });
    assert_eq!(records.next_back(), Some(bench.epoch().0));
    assert_eq!(bench.holder().as_deref(), Some("billing"));
}

#[test]
fn each_wait_has_a_bound_of_its_own() {
    let mut bench = ready();
    let mut at = bench.at_ms();
    for (timer, ms) in [
        (Timer::Tools, 5_000),
        (Timer::Splice, 3_000),
        (Timer::Tail, 500),
    ] {
        assert_eq!(bench.fire().map(|(fired, _)| fired), Some(timer));
        assert_eq!(bench.at_ms() - at, ms);
        at = bench.at_ms();
    }
    assert_eq!(bench.phase(), PhaseName::Switching);
}

#[test]
fn what_is_not_awaited_yet_or_any_more_is_rejected() {
    let mut bench = ready();
    let stale = |out: Vec<Command>| {
        matches!(
            out[..],
            [Command::Reject {
                reason: RejectReason::StaleHandoff { .. },
                ..
            }]
        )
    };
    assert!(stale(bench.splices()));
    assert!(stale(tail_applied(&mut bench)));
    assert!(!stale(tools_settled(&mut bench)));
    assert!(stale(tools_settled(&mut bench)));
    assert_eq!(awaited(&bench), [Awaited::Splice]);
}

#[test]
fn a_target_that_has_not_applied_the_conversation_is_not_ready() {
    let mut bench = Bench::active(config());
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    let (identity, handoff) = (bench.identity("billing"), bench.handoff());
    let out = bench.on(Event::Ready {
        identity,
        handoff,
        applied: false,
    });
    assert!(
        matches!(
            out[..],
            [Command::Reject {
                reason: RejectReason::ContextNotApplied,
                ..
            }]
        ),
        "{out:?}"
    );
    assert_eq!(bench.phase(), PhaseName::Preparing);
    bench.gets_ready("billing");
    assert_eq!(bench.phase(), PhaseName::Ready);
}

#[test]
fn tools_and_splice_point_of_a_holder_that_is_gone_are_not_awaited() {
    for departure in [Departure::MayReturn, Departure::Final] {
        let mut bench = ready();
        let triage = bench.identity("triage");
        let out = bench.leaves(triage, departure);
        assert!(
            out.iter()
                .any(|command| matches!(command, Command::AwaitTail { .. })),
            "{out:?}"
        );
        assert_eq!(
            grant(&tail_applied(&mut bench)),
            Some(("agent-billing-2".to_owned(), 2))
        );
    }
}

#[test]
fn a_route_may_wait_for_no_tools() {
    let mut config = config();
    config.routes = vec![Route {
        tools_wait_ms: 0,
        splice: Splice::Now,
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    bench.settles = false;
    bench.asks("triage", target("billing"));
    bench.comes("billing");
    bench.gets_ready("billing");
    assert_eq!(awaited(&bench), [Awaited::Tail]);
}

/// A call whose routes want a summary within `wait_ms`, and in which triage has asked for billing.
fn summed(wait_ms: u64) -> (Bench, Vec<Command>) {
    let mut config = config();
    config.routes = vec![Route {
        summary_wait_ms: wait_ms,
        tools_wait_ms: 0,
        splice: Splice::Now,
        ..Route::default()
    }];
    let mut bench = Bench::active(config);
    let out = bench.asks("triage", target("billing"));
    (bench, out)
}

fn asks_for_summary(out: &[Command]) -> bool {
    out.iter()
        .any(|command| matches!(command, Command::AwaitSummary { .. }))
}

fn forgone(out: &[Command]) -> bool {
    out.iter()
        .any(|command| matches!(command, Command::ForgoSummary { .. }))
}

#[test]
fn a_summary_is_asked_for_at_once_and_awaited_once_the_target_is_ready() {
    let (mut bench, out) = summed(2_000);
    assert!(asks_for_summary(&out), "{out:?}");
    bench.pass_ms(300);
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(grant(&out), None);
    assert_eq!(awaited(&bench), [Awaited::Summary]);
    let handoff = bench.handoff();
    let out = bench.on(Event::SummarySettled { handoff });
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_summary_that_is_made_while_the_target_prepares_costs_nothing() {
    let (mut bench, _) = summed(2_000);
    let handoff = bench.call.phase().handoff().expect("it has begun").id;
    bench.on(Event::SummarySettled { handoff });
    bench.comes("billing");
    let out = bench.gets_ready("billing");
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
    let again = bench.on(Event::SummarySettled { handoff });
    assert!(matches!(
        again[..],
        [Command::Reject {
            reason: RejectReason::StaleHandoff { .. },
            ..
        }]
    ));
}

#[test]
fn a_summary_that_takes_too_long_is_forgone_whether_the_target_is_ready_or_not() {
    let (mut bench, _) = summed(2_000);
    let began = bench.at_ms();
    bench.comes("billing");
    bench.pass_ms(700);
    bench.gets_ready("billing");
    let out = bench.fire_until(Timer::Summary);
    assert_eq!(bench.at_ms() - began, 2_000, "since the handoff began");
    assert!(forgone(&out), "{out:?}");
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));

    let (mut bench, _) = summed(1_000);
    bench.comes("billing");
    let out = bench.fire_until(Timer::Summary);
    assert!(forgone(&out), "{out:?}");
    assert_eq!(bench.phase(), PhaseName::Preparing);
    let out = bench.gets_ready("billing");
    assert_eq!(grant(&out), Some(("agent-billing-2".to_owned(), 2)));
}

#[test]
fn a_target_that_reconnects_keeps_the_first_deadline_of_its_summary() {
    let (mut bench, _) = summed(2_000);
    let began = bench.at_ms();
    bench.comes("billing");
    bench.gets_ready("billing");
    bench.pass_ms(500);
    let billing = bench.identity("billing");
    bench.leaves(billing, Departure::MayReturn);
    assert_eq!(bench.phase(), PhaseName::Preparing);
    bench.returns("billing");
    bench.gets_ready("billing");
    assert_eq!(awaited(&bench), [Awaited::Summary]);
    bench.fire_until(Timer::Summary);
    assert_eq!(bench.at_ms() - began, 2_000);
}

#[test]
fn nobody_sums_up_where_nobody_has_the_baton_or_the_route_wants_none() {
    let (bench, _) = summed(2_000);
    let entry: Vec<Command> = bench
        .log
        .iter()
        .filter(|(_, command)| matches!(command, Command::AwaitSummary { .. }))
        .map(|(_, command)| command.clone())
        .collect();
    assert_eq!(entry.len(), 1, "not for the entry");
    let (_, out) = summed(0);
    assert!(!asks_for_summary(&out), "{out:?}");
}
