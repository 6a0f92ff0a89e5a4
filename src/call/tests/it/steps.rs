//! Random steps of a call, and random configurations: what the properties in `random` are held to.

use call::{
    After, Answer, CallConfig, Condition, Departure, EntryRule, Fallback, Lifetime, Misbehaviour,
    Names, Opening, ParticipantKind, Route, Rule, SpecialistKind, Splice, Target, Trigger,
};
use proptest::prelude::*;

use crate::harness::{config, target};

/// One random step. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Whatever brings the call on.
    Help,
    /// Time passes, and due timers fire.
    Pass(u64),
    /// The next timer fires.
    Fire,
    Ask {
        who: usize,
        epoch: u64,
        target: usize,
        repeat: bool,
        /// 0 and 1 for a task, 2 and 3 for a result.
        delegating: usize,
    },
    /// An operator puts the caller on hold, ends the hold, answers for a person, or hands back for it.
    Steer {
        wish: u8,
    },
    Joined {
        dispatch: u64,
        who: usize,
    },
    Participant {
        who: usize,
        kind: ParticipantKind,
    },
    Left {
        who: usize,
        departure: Departure,
    },
    Hello {
        who: usize,
    },
    Ready {
        who: usize,
        handoff: u64,
        applied: bool,
    },
    Settled {
        handoff: u64,
    },
    Summed {
        handoff: u64,
    },
    Applied {
        handoff: u64,
    },
    Refuse {
        who: usize,
        handoff: u64,
    },
    Granted {
        who: usize,
        epoch: u64,
    },
    Released {
        who: usize,
        epoch: u64,
    },
    Frame {
        who: usize,
        epoch: u64,
    },
    Faded {
        epoch: u64,
    },
    Splice {
        handoff: u64,
    },
    DispatchFailed {
        dispatch: u64,
    },
    DispatchFull {
        dispatch: u64,
    },
    /// A prepared sound is over.
    Sounded,
    Bad {
        who: usize,
        what: Misbehaviour,
    },
    Silent {
        who: usize,
    },
    Quiet {
        who: usize,
    },
    Heard {
        who: usize,
    },
    ServerHeard,
    Reconnecting,
    Listening {
        who: usize,
    },
    Pressed {
        who: usize,
    },
    Published {
        who: usize,
    },
    Reconnected,
    /// A person gives the baton back.
    HandBack {
        who: usize,
    },
    /// The process is killed, and another one goes on.
    Restart,
    Talking {
        who: usize,
        talking: bool,
    },
    State {
        verified: bool,
        version: u64,
    },
    Hour(i8),
    Known,
    EntryState,
    Stop,
    Closed,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = prop_oneof![1 => 0..4_usize, 6 => 4..8_usize];
    // How far behind the newest number; 3 is one ahead of it.
    let back = prop_oneof![3 => Just(0_u64), 2 => 1..4_u64];
    let kind = prop_oneof![
        Just(ParticipantKind::Sip),
        Just(ParticipantKind::Standard),
        Just(ParticipantKind::Agent),
        Just(ParticipantKind::Other)
    ];
    let departure = prop_oneof![6 => Just(Departure::MayReturn), 1 => Just(Departure::Final)];
    let what = prop_oneof![
        Just(Misbehaviour::OpenTrack),
        Just(Misbehaviour::SoundsWithoutBaton)
    ];
    let step = prop_oneof![
        120 => Just(Step::Help),
        6 => (0..2_500_u64).prop_map(Step::Pass),
        3 => Just(Step::Fire),
        24 => (who.clone(), back.clone(), 0..5_usize, prop::bool::weighted(0.1), 0..6_usize)
            .prop_map(|(who, epoch, target, repeat, delegating)| Step::Ask {
                who, epoch, target, repeat, delegating,
            }),
        4 => (0..5_u8).prop_map(|wish| Step::Steer { wish }),
        3 => (0..8_u64, who.clone()).prop_map(|(dispatch, who)| Step::Joined { dispatch, who }),
        6 => (who.clone(), kind).prop_map(|(who, kind)| Step::Participant { who, kind }),
        6 => (who.clone(), departure).prop_map(|(who, departure)| Step::Left { who, departure }),
        6 => who.clone().prop_map(|who| Step::Hello { who }),
        3 => (who.clone(), back.clone(), prop::bool::weighted(0.8))
            .prop_map(|(who, handoff, applied)| Step::Ready { who, handoff, applied }),
        2 => back.clone().prop_map(|handoff| Step::Settled { handoff }),
        2 => back.clone().prop_map(|handoff| Step::Summed { handoff }),
        2 => back.clone().prop_map(|handoff| Step::Applied { handoff }),
        2 => (who.clone(), back.clone()).prop_map(|(who, handoff)| Step::Refuse { who, handoff }),
        3 => (who.clone(), back.clone()).prop_map(|(who, epoch)| Step::Granted { who, epoch }),
        3 => (who.clone(), back.clone()).prop_map(|(who, epoch)| Step::Released { who, epoch }),
        3 => (who.clone(), back.clone()).prop_map(|(who, epoch)| Step::Frame { who, epoch }),
        2 => back.clone().prop_map(|epoch| Step::Faded { epoch }),
        2 => back.prop_map(|handoff| Step::Splice { handoff }),
        1 => (0..8_u64).prop_map(|dispatch| Step::DispatchFailed { dispatch }),
        1 => (0..8_u64).prop_map(|dispatch| Step::DispatchFull { dispatch }),
        2 => Just(Step::Sounded),
        1 => (who.clone(), what).prop_map(|(who, what)| Step::Bad { who, what }),
        1 => who.clone().prop_map(|who| Step::Silent { who }),
        3 => who.clone().prop_map(|who| Step::Quiet { who }),
        2 => who.clone().prop_map(|who| Step::Heard { who }),
        2 => Just(Step::ServerHeard),
        1 => Just(Step::Reconnecting),
        2 => who.clone().prop_map(|who| Step::Listening { who }),
        4 => who.clone().prop_map(|who| Step::Pressed { who }),
        1 => who.clone().prop_map(|who| Step::Published { who }),
        1 => Just(Step::Reconnected),
        2 => who.clone().prop_map(|who| Step::HandBack { who }),
        2 => Just(Step::Restart),
        6 => (who.clone(), any::<bool>()).prop_map(|(who, talking)| Step::Talking { who, talking }),
        4 => (any::<bool>(), 0..9_u64)
            .prop_map(|(verified, version)| Step::State { verified, version }),
        1 => (0..24_i8).prop_map(Step::Hour),
        4 => Just(Step::Known),
        4 => Just(Step::EntryState),
    ];
    let last = prop_oneof![3 => Just(Step::Help), 1 => Just(Step::Stop), 1 => Just(Step::Closed)];
    (prop::collection::vec(step, 1..250), last).prop_map(|(mut steps, last)| {
        steps.push(last);
        steps
    })
}

pub(crate) fn configs() -> impl Strategy<Value = CallConfig> {
    let after = prop_oneof![
        Just(After::Leave),
        Just(After::Park { park_ms: 700 }),
        Just(After::Stay)
    ];
    let splice = prop_oneof![Just(Splice::Now), Just(Splice::default())];
    let opening = prop_oneof![Just(Opening::Continue), Just(Opening::Wait)];
    (
        prop::collection::vec(after, 3),
        splice,
        opening,
        2..6_usize,
        1..8_u32,
        any::<bool>(),
        prop::option::weighted(0.3, conditions()),
        prop::collection::vec(rules(), 0..6),
        entries(),
        (
            chains(),
            lifetimes(),
            prop::option::weighted(0.2, 1..4_u32),
            0..4_u8,
        ),
    )
        .prop_map(
            |(
                afters,
                splice,
                opening,
                instances_max,
                losses_max,
                open,
                when,
                rules,
                entries,
                (fallback, lifetimes, handoffs_max, clips),
            )| {
                let mut config = config();
                let (entry_rules, entry_state_ms, answer) = entries;
                config.entry_rules = entry_rules;
                config.entry_state_ms = entry_state_ms;
                config.answer = answer;
                config.rules = rules;
                config.opening_clip = clips == 1;
                config.limits.cool_down_ms = if open { 0 } else { 1_000 };
                for (specialist, after) in config.specialists.values_mut().zip(afters) {
                    specialist.after = after;
                    specialist.handoffs_max = handoffs_max;
                }
                for (specialist, (lifetime, when)) in config.specialists.values_mut().zip(lifetimes)
                {
                    specialist.lifetime = lifetime;
                    specialist.prewarm_when = when;
                }
                let to = match open {
                    true => Names::Any,
                    false => Names::Only(vec!["billing".into(), "support".into()]),
                };
                config.routes = vec![Route {
                    to,
                    splice,
                    opening,
                    when,
                    // Half of them: those that do not splice at once.
                    tools_wait_ms: if splice == Splice::Now { 0 } else { 5_000 },
                    summary_wait_ms: if open { 2_000 } else { 0 },
                    announces: clips > 1,
                    fallback,
                    ..Route::default()
                }];
                // Half of them: one is a person.
                if config.routes[0].opening == Opening::Wait
                    && let Some(support) = config.specialists.get_mut(&"support".into())
                {
                    support.kind = SpecialistKind::Human {
                        accept_timeout_ms: 9_000,
                    };
                }
                config.limits.instances_max = instances_max;
                config.limits.losses_max = losses_max;
                config
            },
        )
}

fn chains() -> impl Strategy<Value = Vec<Fallback>> {
    let fallback = prop_oneof![
        Just(Fallback::AnotherInstance),
        Just(Fallback::Previous),
        Just(Fallback::Entry),
        Just(Fallback::Specialist("support".into())),
    ];
    prop::collection::vec(fallback, 0..4)
}

/// Three specialists' lifetimes, and what makes those that are prewarmed likely.
fn lifetimes() -> impl Strategy<Value = Vec<(Lifetime, Option<Condition>)>> {
    let lifetime = prop_oneof![
        3 => Just(Lifetime::OnDemand),
        1 => Just(Lifetime::Resident),
        2 => Just(Lifetime::Prewarmed),
    ];
    prop::collection::vec((lifetime, prop::option::of(conditions())), 3)
}

/// Most calls have the same entry, and are answered at once.
fn entries() -> impl Strategy<Value = (Vec<EntryRule>, Option<u64>, Answer)> {
    let names: &[&str] = &["triage", "billing", "support"];
    let rule = (
        prop::option::of(conditions()),
        0..=100_u8,
        prop::sample::select(names),
    )
        .prop_map(|(when, share_percent, to)| EntryRule {
            when,
            share_percent,
            to: to.into(),
        });
    let answer = prop_oneof![
        2 => Just(Answer::AtOnce),
        1 => (1..9_000_u64).prop_map(|ring_max_ms| Answer::EntryReady { ring_max_ms }),
    ];
    let rules = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(rule, 1..4)];
    (rules, prop::option::weighted(0.2, 1..3_000_u64), answer)
}

fn conditions() -> impl Strategy<Value = Condition> {
    let sources: &[&str] = &[
        "state.verified",
        "!has(state.verified) || state.verified",
        "time.hour >= 8 && time.hour < 18",
        "attempt <= 2 && from != to",
        "call.handoffs < 3",
        "state.never.there == 1",
    ];
    prop::sample::select(sources)
        .prop_map(|source| Condition::compile(source, None).expect("it compiles"))
}

fn rules() -> impl Strategy<Value = Rule> {
    let on = prop_oneof![
        (1..3_000_u64).prop_map(|ms| Trigger::CallerSilent { ms }),
        (1..3_000_u64).prop_map(|ms| Trigger::HolderSilent { ms }),
        (1..9_000_u64).prop_map(|ms| Trigger::HolderFor { ms }),
        (1..3_u32).prop_map(|count| Trigger::HandoffsFailed { count }),
        Just(Trigger::HolderFailed),
        Just(Trigger::State),
    ];
    let names: &[&str] = &["triage", "billing", "support"];
    let to = prop_oneof![
        3 => prop::sample::select(names).prop_map(target),
        1 => Just(Target::Previous),
    ];
    let from = prop::option::of(prop::sample::select(names));
    (on, from, prop::option::of(conditions()), to).prop_map(|(on, from, when, to)| Rule {
        on,
        from: from.map_or(Names::Any, |from| Names::Only(vec![from.into()])),
        when,
        to,
        reason: "a rule".to_owned(),
    })
}
