"""Links, one step at a time. Times are whole milliseconds, so that they can be compared."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from ends import config
from samples import HELLO

from baton import (
    VERSION,
    Body,
    BodyTooLargeError,
    CallId,
    ContextAppend,
    ContextItem,
    Continue,
    EncodeError,
    Epoch,
    Frame,
    Grant,
    Granted,
    HandoffId,
    Heartbeat,
    Hello,
    Identity,
    Link,
    LinkConfig,
    LinkEvent,
    NotSequencedError,
    Position,
    Received,
    Reject,
    Rejected,
    RejectReason,
    Seq,
    Side,
    StreamId,
    Terms,
    Unresponsive,
    Version,
    Welcome,
    WindowFullError,
    WrongDirectionError,
)

BATON = StreamId(1_000)
SPECIALIST = StreamId(2_000)
CALL = CallId("call-17")


def link(side: Side, stream: int) -> Link:
    return Link(config(side, CALL, StreamId(stream)))


def transmits(end: Link, now: float) -> list[bytes]:
    """All packets that are to be sent now."""
    packets = []
    while (transmit := end.poll_transmit(now)) is not None:
        packets.append(transmit.payload)
    return packets


def give(end: Link, now: float, packets: Sequence[bytes]) -> list[LinkEvent]:
    return [event for packet in packets for event in end.handle_frame(now, packet)]


def bodies(events: list[LinkEvent]) -> list[Body]:
    return [event.body for event in events if isinstance(event, Received)]


def rejected(events: list[LinkEvent]) -> list[RejectReason]:
    return [event.reason for event in events if isinstance(event, Rejected)]


def due(end: Link) -> float:
    time = end.poll_timeout()
    assert time is not None
    return time


def grant(epoch: int) -> Grant:
    return Grant(Epoch(epoch), Continue(), HandoffId(1))


def granted(epoch: int) -> Granted:
    return Granted(Epoch(epoch))


def greet(now: float, baton: Link, specialist: Link) -> None:
    specialist.hello(now, HELLO)
    (said,) = bodies(give(baton, now, transmits(specialist, now)))
    assert isinstance(said, Hello)
    baton.welcome(Epoch(0))
    assert isinstance(bodies(give(specialist, now, transmits(baton, now)))[0], Welcome)
    assert specialist.is_established and baton.is_established


def test_a_welcome_says_what_holds_in_the_call() -> None:
    baton, specialist = link(Side.ORCHESTRATOR, BATON), link(Side.SPECIALIST, SPECIALIST)
    terms = Terms(preroll_ms=250, orchestrator_timeout_ms=0, body_bytes_max=1 << 20)
    baton.set_terms(terms)
    specialist.hello(0, HELLO)
    give(baton, 0, transmits(specialist, 0))
    baton.welcome(Epoch(0))
    (welcome,) = bodies(give(specialist, 0, transmits(baton, 0)))
    assert isinstance(welcome, Welcome) and welcome.terms == terms


def pair(now: float) -> tuple[Link, Link]:
    """Two ends that have greeted one another."""
    baton, specialist = link(Side.ORCHESTRATOR, BATON), link(Side.SPECIALIST, SPECIALIST)
    greet(now, baton, specialist)
    return baton, specialist


def test_hello_is_said_again_until_it_is_welcomed() -> None:
    specialist = link(Side.SPECIALIST, SPECIALIST)
    specialist.hello(0, HELLO)
    times: list[float] = []
    while len(times) < 8:
        now = due(specialist)
        assert len(transmits(specialist, now)) == 1
        times.append(now)
    assert times == [0, 50, 150, 350, 750, 1_550, 2_550, 3_550]


def test_hello_carries_where_both_streams_stand() -> None:
    baton, specialist = pair(0)
    baton.send(0, Epoch(1), grant(1))
    give(specialist, 0, transmits(baton, 0))
    specialist.send(0, Epoch(1), granted(1))
    specialist.hello(0, replace(HELLO, attempt=77, seen=None, oldest=Seq(9)))
    said = Frame.decode(transmits(specialist, 0)[0]).body
    assert said == replace(HELLO, attempt=2, seen=Position(BATON, Seq(1)), oldest=Seq(1))


def test_a_repeated_hello_is_given_once_and_answered_each_time() -> None:
    baton, specialist = link(Side.ORCHESTRATOR, BATON), link(Side.SPECIALIST, SPECIALIST)
    specialist.hello(0, HELLO)
    packets = transmits(specialist, 0)
    assert len(give(baton, 0, packets)) == 1
    assert give(baton, 0, packets) == [], "not yet answered"
    baton.welcome(Epoch(0))
    assert len(transmits(baton, 0)) == 1
    assert give(baton, 0, packets) == []
    assert len(transmits(baton, 0)) == 1, "welcomed again"


def test_nothing_of_the_stream_leaves_before_the_welcome() -> None:
    baton, specialist = link(Side.ORCHESTRATOR, BATON), link(Side.SPECIALIST, SPECIALIST)
    baton.send(0, Epoch(1), grant(1))
    specialist.send(0, Epoch(0), granted(1))
    assert transmits(baton, 0) == []
    assert transmits(specialist, 0) == []
    greet(0, baton, specialist)
    # `greet` has carried the grant with the Welcome.
    assert bodies(give(baton, 0, transmits(specialist, 0))) == [granted(1)]


def test_a_frame_is_sent_again_until_it_is_acked_each_time_later() -> None:
    baton, _ = pair(0)
    baton.send(0, Epoch(1), grant(1))
    times: list[float] = []
    events: list[LinkEvent] = []
    while len(times) < 8:
        now = due(baton)
        events += baton.handle_timeout(now)
        for packet in transmits(baton, now):
            assert Frame.decode(packet).body == grant(1)
            times.append(now)
    assert times == [0, 200, 600, 1_400, 3_000, 6_200, 11_200, 16_200]
    assert events == [Unresponsive()], "said once, after ten seconds"


def test_an_ack_ends_resending_and_heals_an_unresponsive_peer() -> None:
    baton, specialist = pair(0)
    baton.send(0, Epoch(1), grant(1))
    packets = transmits(baton, 0)
    late = 11_000
    assert baton.handle_timeout(late) == [Unresponsive()]

    give(specialist, late, packets)
    give(baton, late, transmits(specialist, late + 20))
    assert (baton.waiting, baton.poll_timeout()) == (0, None)

    baton.send(late, Epoch(1), grant(2))
    transmits(baton, late)
    assert baton.handle_timeout(late + 11_000) == [Unresponsive()], "said anew"


def test_acks_wait_for_a_frame_that_takes_them_along() -> None:
    baton, specialist = pair(0)
    baton.send(0, Epoch(1), grant(1))
    give(specialist, 0, transmits(baton, 0))
    assert transmits(specialist, 0) == []
    assert specialist.poll_timeout() == 20

    specialist.send(0, Epoch(1), granted(1))
    (packet,) = transmits(specialist, 3)
    assert Frame.decode(packet).ack == Position(BATON, Seq(1))
    assert transmits(specialist, 25) == []
    give(baton, 0, [packet])
    assert baton.waiting == 0


def test_every_second_frame_is_acked_at_once() -> None:
    baton, specialist = pair(0)
    for epoch in (1, 2):
        baton.send(0, Epoch(epoch), grant(epoch))
    give(specialist, 0, transmits(baton, 0))
    (packet,) = transmits(specialist, 0)
    ack = Frame.decode(packet)
    assert (ack.seq, ack.body, ack.ack) == (None, None, Position(BATON, Seq(2)))


def test_order_is_restored_and_repetitions_vanish() -> None:
    baton, specialist = pair(0)
    for epoch in range(1, 5):
        baton.send(0, Epoch(epoch), grant(epoch))
    packets = transmits(baton, 0)
    events = give(specialist, 0, [packets[at] for at in (3, 1, 1, 0, 3, 2, 0)])
    assert bodies(events) == [grant(epoch) for epoch in range(1, 5)]
    assert rejected(events) == []


def test_a_full_window_pushes_back_until_an_ack() -> None:
    baton, specialist = pair(0)
    for epoch in range(1, 65):
        baton.send(0, Epoch(epoch), grant(epoch))
    with pytest.raises(WindowFullError, match="^64 frames wait for their ack"):
        baton.send(0, Epoch(65), grant(65))
    give(specialist, 0, transmits(baton, 0))
    give(baton, 0, transmits(specialist, 0))
    assert baton.send(0, Epoch(65), grant(65)) == 65


def append(size: int) -> ContextAppend:
    return ContextAppend((ContextItem("item", None, b"\x07" * size),))


def test_a_body_that_makes_too_large_a_frame_is_refused() -> None:
    baton, specialist = pair(0)
    with pytest.raises(BodyTooLargeError, match="^context_append makes a frame of 150.. bytes, the limit is 14999$"):
        baton.send(0, Epoch(1), append(15_000))
    # The largest that is taken fits, whatever the ack beside it.
    for size in range(15_000, 14_000, -1):
        try:
            baton.send(0, Epoch(2**64 - 1), append(size))
        except BodyTooLargeError:
            continue
        break
    packets = transmits(baton, 0)
    assert len(packets[0]) <= 14_999
    assert bodies(give(specialist, 0, packets)) == [append(size)]


def test_only_what_is_ones_own_to_say_is_sent() -> None:
    baton, specialist = pair(0)
    with pytest.raises(WrongDirectionError, match="^grant is not for the specialist to send$"):
        specialist.send(0, Epoch(1), grant(1))
    with pytest.raises(WrongDirectionError, match="^granted is not for the orchestrator to send$"):
        baton.send(0, Epoch(1), granted(1))
    with pytest.raises(NotSequencedError, match="^hello is not sequenced"):
        specialist.send(0, Epoch(1), HELLO)
    with pytest.raises(WrongDirectionError):
        baton.hello(0, HELLO)
    with pytest.raises(WrongDirectionError):
        specialist.welcome(Epoch(1))


def test_a_value_that_cannot_be_sent_leaves_the_link_as_it_was() -> None:
    baton, specialist = pair(0)
    with pytest.raises(EncodeError):
        specialist.send(0, Epoch(1), granted(-1))
    with pytest.raises(EncodeError):
        specialist.send(0, Epoch(-1), granted(1))
    with pytest.raises(EncodeError):
        baton.welcome(Epoch(2**64))
    with pytest.raises(EncodeError):
        specialist.hello(0, replace(HELLO, track_sid="\ud800"))
    assert specialist.waiting == 0 and specialist.is_established
    specialist.send(0, Epoch(1), granted(1))
    assert bodies(give(baton, 0, transmits(specialist, 0))) == [granted(1)]


def test_a_link_of_nonsense_is_not_made() -> None:
    for stream in (0, -1, 2**64):
        with pytest.raises(ValueError, match="draw a random number"):
            LinkConfig(side=Side.SPECIALIST, call=CALL, stream=StreamId(stream))
    with pytest.raises(ValueError, match="at least 1"):
        LinkConfig(side=Side.SPECIALIST, call=CALL, stream=StreamId(1), window_frames_max=0)


FROM_SPECIALIST = Frame(VERSION, CALL, Epoch(1), SPECIALIST, Seq(1), None, granted(1))
"""A frame of the specialist, to be forged."""


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"\xff\xfe\xfd", RejectReason.MALFORMED),
        (b"", RejectReason.MALFORMED),
        (bytes(15_000), RejectReason.TOO_LARGE),
        (replace(FROM_SPECIALIST, version=Version(2, 0)).encode(), RejectReason.UNSUPPORTED_VERSION),
        (replace(FROM_SPECIALIST, call=CallId("call-18")).encode(), RejectReason.WRONG_CALL),
        (replace(FROM_SPECIALIST, stream=StreamId(77)).encode(), RejectReason.WRONG_STREAM),
        (replace(FROM_SPECIALIST, seq=Seq(66)).encode(), RejectReason.OUT_OF_WINDOW),
        (replace(FROM_SPECIALIST, body=None).encode(), RejectReason.UNKNOWN_BODY),
        (replace(FROM_SPECIALIST, body=grant(1)).encode(), RejectReason.WRONG_DIRECTION),
        (replace(FROM_SPECIALIST, body=HELLO).encode(), RejectReason.MALFORMED),
        (replace(FROM_SPECIALIST, seq=None).encode(), RejectReason.MALFORMED),
        (
            replace(FROM_SPECIALIST, seq=None, body=None, ack=Position(BATON, Seq(9))).encode(),
            RejectReason.MALFORMED,
        ),
    ],
)
def test_each_bad_frame_is_rejected_with_its_reason(packet: bytes, reason: RejectReason) -> None:
    baton, _ = pair(0)
    events = give(baton, 0, [packet])
    assert rejected(events) == [reason]
    assert bodies(events) == []
    answers = [Frame.decode(answer).body for answer in transmits(baton, 0)]
    assert [answer.reason for answer in answers if isinstance(answer, Reject)] == [reason]


def test_an_ack_of_the_very_next_frame_is_refused_and_harms_nothing() -> None:
    baton, _ = pair(0)
    ack = replace(FROM_SPECIALIST, seq=None, body=None, ack=Position(BATON, Seq(1))).encode()
    assert rejected(give(baton, 0, [ack])) == [RejectReason.MALFORMED]
    baton.send(0, Epoch(1), grant(1))
    assert rejected(give(baton, 0, [ack])) == []
    assert baton.waiting == 0


def test_as_much_is_held_back_as_was_said() -> None:
    baton, _ = pair(0)
    events = give(baton, 0, [replace(FROM_SPECIALIST, seq=Seq(seq)).encode() for seq in (64, 65)])
    assert rejected(events) == [RejectReason.OUT_OF_WINDOW]
    events = give(baton, 0, [replace(FROM_SPECIALIST, seq=Seq(seq)).encode() for seq in range(1, 64)])
    assert len(bodies(events)) == 64
    assert baton.seen == Position(SPECIALIST, Seq(64))


def test_a_flood_of_garbage_is_answered_once_a_second() -> None:
    baton, _ = pair(0)
    answers = 0
    for now in range(2_500):
        assert len(give(baton, now, [b"\xff"])) == 1, "each is counted"
        answers += len(transmits(baton, now))
    assert answers == 3


def test_a_stream_goes_on_behind_an_unknown_body() -> None:
    baton, _ = pair(0)
    packets = [replace(FROM_SPECIALIST, body=None).encode(), replace(FROM_SPECIALIST, seq=Seq(2)).encode()]
    assert bodies(give(baton, 0, packets)) == [granted(1)]
    assert baton.seen == Position(SPECIALIST, Seq(2))


def test_rejects_do_not_answer_one_another() -> None:
    baton, specialist = pair(0)
    give(baton, 0, [b"\xff"])
    (said,) = bodies(give(specialist, 0, transmits(baton, 0)))
    assert isinstance(said, Reject)
    assert transmits(specialist, 0) == []


def test_a_peer_of_a_newer_minor_version_is_spoken_to_in_ours() -> None:
    baton = link(Side.ORCHESTRATOR, BATON)

    def hello(*versions: Version) -> bytes:
        return replace(FROM_SPECIALIST, seq=None, body=replace(HELLO, versions=versions)).encode()

    events = give(baton, 0, [hello(Version(2, 3), Version(3, 0))])
    assert rejected(events) == [RejectReason.UNSUPPORTED_VERSION]
    events = give(baton, 0, [hello(Version(2, 3), Version(1, 7))])
    assert (rejected(events), len(bodies(events))) == ([], 1)
    assert baton.version == VERSION


def test_who_speaks_another_version_learns_it_though_it_is_not_welcomed() -> None:
    baton = link(Side.ORCHESTRATOR, BATON)
    specialist = link(Side.SPECIALIST, SPECIALIST)
    specialist.hello(0, replace(HELLO, versions=(Version(9, 0),)))
    give(baton, 0, transmits(specialist, 0))
    refusal = transmits(baton, 0)
    (body,) = bodies(give(specialist, 0, refusal))
    assert isinstance(body, Reject) and body.reason is RejectReason.UNSUPPORTED_VERSION
    # Who has said no Hello is not spoken to.
    assert bodies(give(link(Side.SPECIALIST, SPECIALIST), 0, refusal)) == []


def test_after_a_reconnect_both_streams_go_on_where_they_stopped() -> None:
    baton, specialist = pair(0)
    baton.send(0, Epoch(1), grant(1))
    give(specialist, 0, transmits(baton, 0))
    # The connection breaks: nothing of this arrives.
    baton.send(0, Epoch(1), grant(2))
    specialist.send(0, Epoch(1), granted(1))
    transmits(baton, 0)
    transmits(specialist, 0)

    now = 90
    specialist.hello(now, HELLO)
    (said,) = bodies(give(baton, now, transmits(specialist, now)))
    assert isinstance(said, Hello)
    baton.welcome(Epoch(1))
    welcome, *rest = bodies(give(specialist, now, transmits(baton, now)))
    assert isinstance(welcome, Welcome)
    assert rest == [grant(2)]
    assert bodies(give(baton, now, transmits(specialist, now))) == [granted(1)]


def test_another_baton_process_gets_what_the_first_had_not_acked() -> None:
    first, specialist = pair(0)
    for epoch in (1, 2, 3):
        specialist.send(0, Epoch(epoch), granted(epoch))
    give(first, 0, transmits(specialist, 0)[:2])
    give(specialist, 0, transmits(first, 0))
    assert specialist.waiting == 1

    second = link(Side.ORCHESTRATOR, 3_000)
    greet(0, second, specialist)
    assert bodies(give(second, 0, transmits(specialist, 0))) == [granted(3)]
    second.send(0, Epoch(4), grant(4))
    assert bodies(give(specialist, 0, transmits(second, 0))) == [grant(4)]

    first.send(0, Epoch(1), grant(1))
    events = give(specialist, 0, transmits(first, 0))
    assert rejected(events) == [RejectReason.WRONG_STREAM], "the first is given up"


def test_another_specialist_process_does_not_get_what_was_meant_for_the_first() -> None:
    baton, _ = pair(0)
    baton.send(0, Epoch(1), grant(1))
    second = link(Side.SPECIALIST, 4_000)
    greet(0, baton, second)
    assert baton.waiting == 0
    assert baton.acked == 0, "what was given up was not acked"
    baton.send(0, Epoch(2), grant(2))
    assert bodies(give(second, 0, transmits(baton, 0))) == [grant(2)]


def test_heartbeats_are_lossy_and_never_sent_again() -> None:
    baton, specialist = pair(0)
    heartbeat = Heartbeat(Identity("agent"), Epoch(1), None)
    baton.heartbeat(Epoch(1), heartbeat)
    transmit = baton.poll_transmit(0)
    assert transmit is not None and not transmit.reliable
    assert baton.poll_transmit(0) is None
    assert baton.poll_timeout() is None
    assert bodies(give(specialist, 0, [transmit.payload])) == [heartbeat]


def test_no_more_than_the_last_few_streams_given_up_are_remembered() -> None:
    baton = link(Side.ORCHESTRATOR, BATON)
    hello: Callable[[int], bytes] = lambda stream: replace(
        FROM_SPECIALIST, stream=StreamId(stream), seq=None, body=HELLO
    ).encode()
    for stream in range(1, 11):
        assert len(bodies(give(baton, 0, [hello(stream)]))) == 1
    assert rejected(give(baton, 0, [hello(2)])) == [RejectReason.WRONG_STREAM]
    assert len(bodies(give(baton, 0, [hello(1)]))) == 1, "forgotten"


def test_seconds_are_the_unit_unless_another_is_chosen() -> None:
    specialist = Link(LinkConfig(side=Side.SPECIALIST, call=CALL, stream=SPECIALIST))
    specialist.hello(100.0, HELLO)
    transmits(specialist, 100.0)
    assert due(specialist) == pytest.approx(100.050)
