//! Links, one step at a time.

use std::time::{Duration, Instant};

use call::{CallId, Epoch, HandoffId, Identity, NamedTarget, Opening, Targets};
use wire::{
    Body, ContextItem, Frame, Heartbeat, Hello, Link, LinkConfig, LinkCounts, LinkEvent, Position,
    RejectReason, SendError, Seq, Side, StreamId, Terms, VERSION, Version,
};

const BATON: StreamId = StreamId(1_000);
const SPECIALIST: StreamId = StreamId(2_000);

fn link(side: Side, stream: StreamId) -> Link {
    Link::new(LinkConfig::new(side, CallId::from("call-17"), stream))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// All packets that are to be sent now.
fn transmits(link: &mut Link, now: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| link.poll_transmit(now).map(|transmit| transmit.payload)).collect()
}

fn frames(packets: &[Vec<u8>]) -> Vec<Frame> {
    packets
        .iter()
        .map(|packet| Frame::decode(packet).unwrap())
        .collect()
}

fn give(link: &mut Link, now: Instant, packets: &[Vec<u8>]) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    for packet in packets {
        link.handle_frame(now, packet, &mut events);
    }
    events
}

fn bodies(events: &[LinkEvent]) -> Vec<Body> {
    events
        .iter()
        .filter_map(|event| match event {
            LinkEvent::Received { body, .. } => Some(body.clone()),
            LinkEvent::Rejected { .. } | LinkEvent::Unresponsive => None,
        })
        .collect()
}

fn rejected(events: &[LinkEvent]) -> Vec<RejectReason> {
    events
        .iter()
        .filter_map(|event| match event {
            LinkEvent::Rejected { reason, .. } => Some(*reason),
            LinkEvent::Received { .. } | LinkEvent::Unresponsive => None,
        })
        .collect()
}

fn grant(epoch: u64) -> Body {
    Body::Grant {
        epoch: Epoch(epoch),
        opening: Opening::Continue,
        handoff: Some(HandoffId(1)),
        packet: None,
    }
}

fn granted(epoch: u64) -> Body {
    Body::Granted {
        epoch: Epoch(epoch),
        preroll_ms: None,
    }
}

/// Two ends that have greeted one another.
fn pair(now: Instant) -> (Link, Link) {
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    greet(now, &mut baton, &mut specialist);
    (baton, specialist)
}

fn greet(now: Instant, baton: &mut Link, specialist: &mut Link) {
    specialist.hello(now, crate::samples::hello());
    let packets = transmits(specialist, now);
    let events = give(baton, now, &packets);
    assert!(
        matches!(bodies(&events)[..], [Body::Hello(_)]),
        "{events:?}"
    );
    baton.welcome(Epoch(0), Targets::default());
    let packets = transmits(baton, now);
    let events = give(specialist, now, &packets);
    assert!(matches!(bodies(&events)[0], Body::Welcome(_)), "{events:?}");
    assert!(specialist.is_established() && baton.is_established());
}

#[test]
fn hello_is_said_again_until_it_is_welcomed() {
    let start = Instant::now();
    let mut specialist = link(Side::Specialist, SPECIALIST);
    specialist.hello(start, crate::samples::hello());
    let mut times = Vec::new();
    while times.len() < 8 {
        let now = specialist.poll_timeout().unwrap();
        assert_eq!(transmits(&mut specialist, now).len(), 1);
        times.push((now - start).as_millis());
    }
    assert_eq!(times, [0, 50, 150, 350, 750, 1_550, 2_550, 3_550]);
}

#[test]
fn a_welcome_says_what_holds_in_the_call() {
    let now = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    let terms = Terms {
        preroll_ms: Some(250),
        orchestrator_timeout_ms: Some(0),
        body_bytes_max: Some(1 << 20),
    };
    baton.set_terms(terms.clone());
    specialist.hello(now, crate::samples::hello());
    let packets = transmits(&mut specialist, now);
    give(&mut baton, now, &packets);
    baton.welcome(Epoch(0), Targets::default());
    let packets = transmits(&mut baton, now);
    let events = give(&mut specialist, now, &packets);
    assert!(
        matches!(&bodies(&events)[..], [Body::Welcome(welcome)] if welcome.terms == terms),
        "{events:?}"
    );
}

#[test]
fn a_repeated_hello_is_given_once_and_answered_each_time() {
    let now = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    specialist.hello(now, crate::samples::hello());
    let packets = transmits(&mut specialist, now);
    assert_eq!(give(&mut baton, now, &packets).len(), 1);
    assert_eq!(give(&mut baton, now, &packets), [], "not yet answered");
    baton.welcome(Epoch(0), Targets::default());
    assert_eq!(transmits(&mut baton, now).len(), 1);
    assert_eq!(give(&mut baton, now, &packets), []);
    assert_eq!(transmits(&mut baton, now).len(), 1, "welcomed again");
}

#[test]
fn nothing_of_the_stream_leaves_before_the_welcome() {
    let now = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    baton.send(now, Epoch(1), &grant(1)).unwrap();
    specialist.send(now, Epoch(0), &granted(1)).unwrap();
    assert_eq!(transmits(&mut baton, now).len(), 0);
    assert_eq!(transmits(&mut specialist, now).len(), 0);
    greet(now, &mut baton, &mut specialist);
    // `greet` has carried the grant with the Welcome.
    let events = give(&mut baton, now, &transmits(&mut specialist, now));
    assert_eq!(bodies(&events), [granted(1)]);
}

#[test]
fn a_frame_is_sent_again_until_it_is_acked_each_time_later() {
    let start = Instant::now();
    let (mut baton, _) = pair(start);
    baton.send(start, Epoch(1), &grant(1)).unwrap();
    let mut times = Vec::new();
    let mut events = Vec::new();
    while times.len() < 8 {
        let now = baton.poll_timeout().unwrap();
        baton.handle_timeout(now, &mut events);
        for frame in frames(&transmits(&mut baton, now)) {
            assert_eq!(frame.body, Some(grant(1)));
            times.push((now - start).as_millis());
        }
    }
    assert_eq!(times, [0, 200, 600, 1_400, 3_000, 6_200, 11_200, 16_200]);
    assert_eq!(
        events,
        [LinkEvent::Unresponsive],
        "said once, after ten seconds"
    );
}

#[test]
fn an_ack_ends_resending_and_heals_an_unresponsive_peer() {
    let start = Instant::now();
    let (mut baton, mut specialist) = pair(start);
    baton.send(start, Epoch(1), &grant(1)).unwrap();
    let packets = transmits(&mut baton, start);
    let late = start + Duration::from_secs(11);
    let mut events = Vec::new();
    baton.handle_timeout(late, &mut events);
    assert_eq!(events, [LinkEvent::Unresponsive]);

    give(&mut specialist, late, &packets);
    let acks = transmits(&mut specialist, late + millis(20));
    give(&mut baton, late, &acks);
    assert_eq!((baton.waiting(), baton.poll_timeout()), (0, None));

    baton.send(late, Epoch(1), &grant(2)).unwrap();
    transmits(&mut baton, late);
    let later = late + Duration::from_secs(11);
    events.clear();
    baton.handle_timeout(later, &mut events);
    assert_eq!(events, [LinkEvent::Unresponsive], "said anew");
}

#[test]
fn what_became_of_frames_is_counted_until_it_is_taken() {
    let start = Instant::now();
    let (mut baton, mut specialist) = pair(start);
    baton.take_counts();
    baton.send(start, Epoch(1), &grant(1)).unwrap();
    transmits(&mut baton, start);
    let later = start + millis(300);
    let again = transmits(&mut baton, later);
    give(&mut specialist, later, &again);
    let acks = transmits(&mut specialist, later + millis(20));
    give(&mut baton, later, &acks);
    let (acked, resent) = (1, 1);
    assert_eq!(baton.take_counts(), LinkCounts { acked, resent });
    assert_eq!(baton.take_counts(), LinkCounts::default());
}

#[test]
fn whoever_lives_answers_a_question_at_once() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    baton.ask();
    assert_eq!(
        transmits(&mut baton, now),
        Vec::<Vec<u8>>::new(),
        "nothing was acked that could be asked with"
    );
    baton.send(now, Epoch(1), &grant(1)).unwrap();
    give(&mut specialist, now, &transmits(&mut baton, now));
    let later = now + millis(20);
    give(&mut baton, later, &transmits(&mut specialist, later));
    for _ in 0..3 {
        baton.ask();
        let question = transmits(&mut baton, later);
        assert_eq!(question.len(), 1);
        assert_eq!(frames(&question)[0].body, None);
        assert_eq!(give(&mut specialist, later, &question), []);
        let answer = transmits(&mut specialist, later);
        let ack = Position {
            stream: BATON,
            seq: Seq(1),
        };
        assert_eq!(frames(&answer)[0].ack, Some(ack));
        assert_eq!(give(&mut baton, later, &answer), []);
    }
    assert_eq!(
        transmits(&mut baton, later),
        Vec::<Vec<u8>>::new(),
        "asked once"
    );
}

#[test]
fn acks_wait_for_a_frame_that_takes_them_along() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    baton.send(now, Epoch(1), &grant(1)).unwrap();
    give(&mut specialist, now, &transmits(&mut baton, now));
    assert_eq!(transmits(&mut specialist, now).len(), 0);
    assert_eq!(specialist.poll_timeout(), Some(now + millis(20)));

    specialist.send(now, Epoch(1), &granted(1)).unwrap();
    let packets = transmits(&mut specialist, now + millis(3));
    let [frame] = &frames(&packets)[..] else {
        panic!("{packets:?}")
    };
    let ack = Position {
        stream: BATON,
        seq: Seq(1),
    };
    assert_eq!(frame.ack, Some(ack));
    assert_eq!(transmits(&mut specialist, now + millis(25)).len(), 0);
    give(&mut baton, now, &packets);
    assert_eq!(baton.waiting(), 0);
}

#[test]
fn every_second_frame_is_acked_at_once() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    for epoch in 1..=2 {
        baton.send(now, Epoch(epoch), &grant(epoch)).unwrap();
    }
    give(&mut specialist, now, &transmits(&mut baton, now));
    let acks = frames(&transmits(&mut specialist, now));
    assert!(
        matches!(&acks[..], [Frame { seq: None, body: None, ack: Some(ack), .. }] if ack.seq == Seq(2))
    );
}

#[test]
fn order_is_restored_and_repetitions_vanish() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    for epoch in 1..=4 {
        baton.send(now, Epoch(epoch), &grant(epoch)).unwrap();
    }
    let packets = transmits(&mut baton, now);
    let shuffled: Vec<_> = [3, 1, 1, 0, 3, 2, 0]
        .map(|at: usize| packets[at].clone())
        .into();
    let events = give(&mut specialist, now, &shuffled);
    assert_eq!(bodies(&events), [1, 2, 3, 4].map(grant));
    assert_eq!(rejected(&events), []);
}

#[test]
fn a_full_window_pushes_back_until_an_ack() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    for epoch in 1..=64 {
        baton.send(now, Epoch(epoch), &grant(epoch)).unwrap();
    }
    let refused = baton.send(now, Epoch(65), &grant(65));
    assert_eq!(refused, Err(SendError::WindowFull { limit: 64 }));
    give(&mut specialist, now, &transmits(&mut baton, now));
    give(&mut baton, now, &transmits(&mut specialist, now));
    assert_eq!(baton.send(now, Epoch(65), &grant(65)), Ok(Seq(65)));
}

#[test]
fn a_body_that_makes_too_large_a_frame_is_refused() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    let append = |bytes: usize| Body::ContextAppend {
        items: vec![ContextItem {
            id: "item".to_owned(),
            position: None,
            chat_item: vec![7; bytes],
            framework: String::new(),
            framework_json: Vec::new(),
            unknown: Vec::new(),
        }],
    };
    let error = baton.send(now, Epoch(1), &append(15_000)).unwrap_err();
    assert!(
        matches!(
            error,
            SendError::TooLarge {
                body: "context_append",
                bytes: 15_001..,
                limit: 14_999
            }
        ),
        "{error}"
    );
    // The largest that is taken fits, whatever the ack beside it.
    let largest = (14_000..15_000)
        .rev()
        .find(|bytes| baton.send(now, Epoch(u64::MAX), &append(*bytes)).is_ok())
        .unwrap();
    let packets = transmits(&mut baton, now);
    assert!(packets[0].len() <= 14_999);
    assert_eq!(
        bodies(&give(&mut specialist, now, &packets)),
        [append(largest)]
    );
}

#[test]
fn only_what_is_ones_own_to_say_is_sent() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    assert_eq!(
        specialist.send(now, Epoch(1), &grant(1)),
        Err(SendError::WrongDirection { body: "grant" })
    );
    assert_eq!(
        baton.send(now, Epoch(1), &granted(1)),
        Err(SendError::WrongDirection { body: "granted" })
    );
    assert_eq!(
        specialist.send(now, Epoch(1), &Body::Hello(crate::samples::hello())),
        Err(SendError::NotSequenced { body: "hello" })
    );
}

/// A frame of the specialist, with a little changed.
fn forged(change: impl FnOnce(&mut Frame)) -> Vec<u8> {
    let mut frame = Frame {
        version: VERSION,
        call: CallId::from("call-17"),
        epoch: Epoch(1),
        stream: SPECIALIST,
        seq: Some(Seq(1)),
        ack: None,
        body: Some(granted(1)),
    };
    change(&mut frame);
    frame.encode()
}

#[test]
fn each_bad_frame_is_rejected_with_its_reason() {
    let now = Instant::now();
    let cases: [(&str, Vec<u8>, RejectReason); 10] = [
        ("garbage", b"\xff\xfe\xfd".to_vec(), RejectReason::Malformed),
        ("empty", Vec::new(), RejectReason::Malformed),
        ("oversized", vec![0; 15_000], RejectReason::TooLarge),
        (
            "other major",
            forged(|frame| frame.version = Version { major: 2, minor: 0 }),
            RejectReason::UnsupportedVersion,
        ),
        (
            "other call",
            forged(|frame| frame.call = CallId::from("call-18")),
            RejectReason::WrongCall,
        ),
        (
            "other stream",
            forged(|frame| frame.stream = StreamId(77)),
            RejectReason::WrongStream,
        ),
        (
            "far ahead",
            forged(|frame| frame.seq = Some(Seq(66))),
            RejectReason::OutOfWindow,
        ),
        (
            "unknown body",
            forged(|frame| frame.body = None),
            RejectReason::UnknownBody,
        ),
        (
            "wrong way",
            forged(|frame| frame.body = Some(grant(1))),
            RejectReason::WrongDirection,
        ),
        (
            "ack of nothing",
            forged(|frame| {
                frame.seq = None;
                frame.body = None;
                frame.ack = Some(Position {
                    stream: BATON,
                    seq: Seq(9),
                });
            }),
            RejectReason::Malformed,
        ),
    ];
    for (name, packet, reason) in cases {
        let (mut baton, _) = pair(now);
        let events = give(&mut baton, now, &[packet]);
        assert_eq!(rejected(&events), [reason], "{name}");
        assert_eq!(bodies(&events), [], "{name}");
        let answers = frames(&transmits(&mut baton, now));
        let told = answers.iter().find_map(|frame| match &frame.body {
            Some(Body::Reject(reject)) => Some(reject.reason),
            _ => None,
        });
        assert_eq!(told, Some(reason), "{name}");
    }
}

#[test]
fn a_flood_of_garbage_is_answered_once_a_second() {
    let start = Instant::now();
    let (mut baton, _) = pair(start);
    let mut answers = 0;
    for ms in 0..2_500 {
        let now = start + millis(ms);
        let events = give(&mut baton, now, &[b"\xff".to_vec()]);
        assert_eq!(rejected(&events).len(), 1, "each is counted");
        answers += transmits(&mut baton, now).len();
    }
    assert_eq!(answers, 3);
}

#[test]
fn a_stream_goes_on_behind_an_unknown_body() {
    let now = Instant::now();
    let (mut baton, _) = pair(now);
    let packets = [
        forged(|frame| frame.body = None),
        forged(|frame| frame.seq = Some(Seq(2))),
    ];
    let events = give(&mut baton, now, &packets);
    assert_eq!(bodies(&events), [granted(1)]);
    assert_eq!(baton.seen().map(|position| position.seq), Some(Seq(2)));
}

#[test]
fn rejects_do_not_answer_one_another() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    give(&mut baton, now, &[b"\xff".to_vec()]);
    let events = give(&mut specialist, now, &transmits(&mut baton, now));
    assert!(matches!(bodies(&events)[..], [Body::Reject(_)]));
    assert_eq!(transmits(&mut specialist, now).len(), 0);
}

#[test]
fn a_peer_of_a_newer_minor_version_is_spoken_to_in_ours() {
    let now = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let hello = |versions: &[(u32, u32)]| {
        let versions = versions
            .iter()
            .map(|&(major, minor)| Version { major, minor });
        forged(|frame| {
            frame.seq = None;
            frame.body = Some(Body::Hello(Hello {
                versions: versions.collect(),
                ..crate::samples::hello()
            }));
        })
    };
    let events = give(&mut baton, now, &[hello(&[(2, 3), (3, 0)])]);
    assert_eq!(rejected(&events), [RejectReason::UnsupportedVersion]);
    let events = give(&mut baton, now, &[hello(&[(2, 3), (1, 7)])]);
    assert_eq!((rejected(&events), bodies(&events).len()), (vec![], 1));
    assert_eq!(baton.version(), VERSION);
}

#[test]
fn who_speaks_another_version_learns_it_though_it_is_not_welcomed() {
    let now = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    let versions = vec![Version { major: 9, minor: 0 }];
    specialist.hello(
        now,
        Hello {
            versions,
            ..crate::samples::hello()
        },
    );
    give(&mut baton, now, &transmits(&mut specialist, now));
    let refusal = transmits(&mut baton, now);
    let events = give(&mut specialist, now, &refusal);
    let [Body::Reject(reject)] = &bodies(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!(reject.reason, RejectReason::UnsupportedVersion);
    // Who has said no Hello is not spoken to.
    let mut silent = link(Side::Specialist, SPECIALIST);
    assert_eq!(bodies(&give(&mut silent, now, &refusal)).len(), 0);
}

#[test]
fn after_a_reconnect_both_streams_go_on_where_they_stopped() {
    let start = Instant::now();
    let (mut baton, mut specialist) = pair(start);
    baton.send(start, Epoch(1), &grant(1)).unwrap();
    give(&mut specialist, start, &transmits(&mut baton, start));
    // The connection breaks: nothing of this arrives.
    baton.send(start, Epoch(1), &grant(2)).unwrap();
    specialist.send(start, Epoch(1), &granted(1)).unwrap();
    transmits(&mut baton, start);
    transmits(&mut specialist, start);

    let now = start + millis(90);
    specialist.hello(now, crate::samples::hello());
    let events = give(&mut baton, now, &transmits(&mut specialist, now));
    assert!(matches!(bodies(&events)[..], [Body::Hello(_)]));
    baton.welcome(Epoch(1), Targets::default());
    let events = give(&mut specialist, now, &transmits(&mut baton, now));
    assert!(matches!(&bodies(&events)[..], [Body::Welcome(_), body] if *body == grant(2)));
    let events = give(&mut baton, now, &transmits(&mut specialist, now));
    assert_eq!(bodies(&events), [granted(1)]);
}

#[test]
fn another_baton_process_gets_what_the_first_had_not_acked() {
    let now = Instant::now();
    let (mut first, mut specialist) = pair(now);
    for epoch in 1..=3 {
        specialist.send(now, Epoch(epoch), &granted(epoch)).unwrap();
    }
    let packets = transmits(&mut specialist, now);
    give(&mut first, now, &packets[..2]);
    give(&mut specialist, now, &transmits(&mut first, now));
    assert_eq!(specialist.waiting(), 1);

    let mut second = link(Side::Orchestrator, StreamId(3_000));
    greet(now, &mut second, &mut specialist);
    let events = give(&mut second, now, &transmits(&mut specialist, now));
    assert_eq!(bodies(&events), [granted(3)]);
    second.send(now, Epoch(4), &grant(4)).unwrap();
    let events = give(&mut specialist, now, &transmits(&mut second, now));
    assert_eq!(bodies(&events), [grant(4)]);

    first.send(now, Epoch(1), &grant(1)).unwrap();
    let events = give(&mut specialist, now, &transmits(&mut first, now));
    assert_eq!(
        rejected(&events),
        [RejectReason::WrongStream],
        "the first is given up"
    );
}

#[test]
fn another_specialist_process_does_not_get_what_was_meant_for_the_first() {
    let now = Instant::now();
    let (mut baton, first) = pair(now);
    baton.send(now, Epoch(1), &grant(1)).unwrap();
    drop(first);
    let mut second = link(Side::Specialist, StreamId(4_000));
    greet(now, &mut baton, &mut second);
    assert_eq!(baton.waiting(), 0);
    assert_eq!(baton.acked(), Seq(0), "what was given up was not acked");
    baton.send(now, Epoch(2), &grant(2)).unwrap();
    let events = give(&mut second, now, &transmits(&mut baton, now));
    assert_eq!(bodies(&events), [grant(2)]);
}

#[test]
fn heartbeats_are_lossy_and_never_sent_again() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now);
    let heartbeat = Heartbeat {
        holder: Some(Identity::from("agent")),
        epoch: Epoch(1),
        phase: None,
    };
    baton.heartbeat(Epoch(1), heartbeat.clone());
    let transmit = baton.poll_transmit(now).unwrap();
    assert!(!transmit.reliable);
    assert_eq!(baton.poll_transmit(now), None);
    assert_eq!(baton.poll_timeout(), None);
    let events = give(&mut specialist, now, &[transmit.payload]);
    assert_eq!(bodies(&events), [Body::Heartbeat(heartbeat)]);
}

#[test]
fn a_welcome_names_as_many_targets_as_fit_into_a_frame() {
    let start = Instant::now();
    let mut baton = link(Side::Orchestrator, BATON);
    let mut specialist = link(Side::Specialist, SPECIALIST);
    specialist.hello(start, crate::samples::hello());
    give(&mut baton, start, &transmits(&mut specialist, start));
    let named = (0..200).map(|number| NamedTarget {
        name: format!("target-{number}").into(),
        description: "what it is for ".repeat(20),
    });
    let targets = Targets {
        named: named.collect(),
        previous: true,
    };
    baton.welcome(Epoch(0), targets.clone());
    let events = give(&mut specialist, start, &transmits(&mut baton, start));
    let [Body::Welcome(welcome)] = &bodies(&events)[..] else {
        panic!("{events:?}");
    };
    let told = &welcome.targets;
    assert!(told.previous);
    assert!(told.named.len() > 30, "{}", told.named.len());
    assert_eq!(told.named[..], targets.named[..told.named.len()]);
}
