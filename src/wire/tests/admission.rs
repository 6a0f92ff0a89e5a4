//! Whose packets are heard.

use call::{CallId, DispatchId, Epoch, Identity, Ticket};
use wire::{
    Admission, Body, Frame, Hello, IgnoreReason, SenderKind, SenderView, StreamId, TICKETS_MAX,
    VERSION, Verdict,
};

const DISPATCH: DispatchId = DispatchId(1);

fn packet(body: Option<Body>) -> Vec<u8> {
    let frame = Frame {
        version: VERSION,
        call: CallId::from("call-17"),
        epoch: Epoch(0),
        stream: StreamId(5),
        seq: None,
        ack: None,
        body,
    };
    frame.encode()
}

fn hello(ticket: &str) -> Vec<u8> {
    packet(Some(Body::Hello(Hello {
        ticket: Ticket::from(ticket),
        ..crate::samples::hello()
    })))
}

struct Room(Admission);

impl Room {
    fn new() -> Self {
        let mut admission = Admission::new();
        admission.expect(DISPATCH, Ticket::from("secret"));
        admission.expect(DispatchId(2), Ticket::from("other"));
        Self(admission)
    }

    fn judge(&mut self, identity: &str, sid: &str, kind: SenderKind, payload: &[u8]) -> Verdict {
        let identity = Identity::from(identity);
        let sender = SenderView {
            identity: &identity,
            sid,
            kind,
        };
        self.0.judge(Some(sender), payload)
    }

    fn agent(&mut self, identity: &str, sid: &str, payload: &[u8]) -> Verdict {
        self.judge(identity, sid, SenderKind::Agent, payload)
    }
}

fn ignored(reason: IgnoreReason, first: bool) -> Verdict {
    Verdict::Ignored { reason, first }
}

const fn heard(bound: bool) -> Verdict {
    Verdict::Heard {
        dispatch: DISPATCH,
        bound,
    }
}

#[test]
fn a_ticket_binds_an_agent_for_all_that_it_says_later() {
    let mut room = Room::new();
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    assert_eq!(
        room.agent("a", "PA_1", b"garbage, for the link to reject"),
        heard(false)
    );
    assert_eq!(room.0.dispatch_of(&"a".into()), Some(DISPATCH));
    assert_eq!(room.0.identity_of(DISPATCH), Some(&"a".into()));
}

#[test]
fn a_sender_that_is_not_known_yet_is_dropped_without_a_word() {
    let mut room = Room::new();
    assert_eq!(room.0.judge(None, &hello("secret")), Verdict::Unknown);
    assert_eq!(room.0.dispatch_of(&"a".into()), None);
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    assert_eq!(room.0.counts().unknown, 1);
}

#[test]
fn a_caller_is_not_heard_even_with_a_ticket() {
    let mut room = Room::new();
    for first in [true, false, false] {
        let verdict = room.judge("sip_+15550199", "PA_1", SenderKind::Other, &hello("secret"));
        assert_eq!(verdict, ignored(IgnoreReason::NotAgent, first));
    }
    assert_eq!(room.0.counts().not_agent, 3);
    assert_eq!(room.0.identity_of(DISPATCH), None);
}

#[test]
fn an_agent_without_the_ticket_of_a_dispatch_is_ignored() {
    let mut room = Room::new();
    for payload in [packet(None), b"\xff".to_vec(), hello("")] {
        assert!(matches!(
            room.agent("a", "PA_1", &payload),
            Verdict::Ignored {
                reason: IgnoreReason::NoTicket,
                ..
            }
        ));
    }
    assert_eq!(
        room.agent("a", "PA_1", &hello("guess")),
        ignored(IgnoreReason::WrongTicket, true)
    );
    let counts = room.0.counts();
    assert_eq!(
        (counts.no_ticket, counts.wrong_ticket, counts.heard),
        (3, 1, 0)
    );
}

#[test]
fn a_stolen_ticket_is_worth_nothing() {
    let mut room = Room::new();
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    assert_eq!(
        room.agent("b", "PA_2", &hello("secret")),
        ignored(IgnoreReason::TicketTaken, true)
    );
    assert_eq!(room.agent("a", "PA_1", &packet(None)), heard(false));
}

#[test]
fn nobody_is_bound_twice() {
    let mut room = Room::new();
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    assert_eq!(
        room.agent("a", "PA_2", &hello("other")),
        ignored(IgnoreReason::TicketTaken, true)
    );
}

#[test]
fn a_new_sid_has_to_show_the_ticket_again() {
    let mut room = Room::new();
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    assert_eq!(
        room.agent("a", "PA_2", &packet(None)),
        ignored(IgnoreReason::NoTicket, true)
    );
    assert_eq!(room.agent("a", "PA_2", &hello("secret")), heard(true));
    assert_eq!(
        room.agent("a", "PA_1", &packet(None)),
        ignored(IgnoreReason::NoTicket, false)
    );
}

#[test]
fn a_forgotten_dispatch_is_silent() {
    let mut room = Room::new();
    assert_eq!(room.agent("a", "PA_1", &hello("secret")), heard(true));
    room.0.forget(DISPATCH);
    assert_eq!(
        room.agent("a", "PA_1", &packet(None)),
        ignored(IgnoreReason::NoTicket, true)
    );
    assert_eq!(
        room.agent("a", "PA_1", &hello("secret")),
        ignored(IgnoreReason::WrongTicket, true)
    );
}

#[test]
fn the_oldest_of_too_many_tickets_is_forgotten() {
    let mut room = Room::new();
    for number in 3..=TICKETS_MAX as u64 + 1 {
        room.0
            .expect(DispatchId(number), Ticket::from(number.to_string()));
    }
    assert_eq!(
        room.agent("a", "PA_1", &hello("secret")),
        ignored(IgnoreReason::WrongTicket, true)
    );
    assert!(matches!(
        room.agent("a", "PA_1", &hello("other")),
        Verdict::Heard { bound: true, .. }
    ));
}
