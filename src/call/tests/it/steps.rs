//! Random steps of a call: what the properties in `random` are held to, with the files of `files`.

use call::{Departure, Misbehaviour, ParticipantKind};
use proptest::prelude::*;

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
    /// A phone was answered, or not.
    Rung {
        dispatch: u64,
        answered: bool,
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
        1 => (0..8_u64, prop::bool::weighted(0.2))
            .prop_map(|(dispatch, answered)| Step::Rung { dispatch, answered }),
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
