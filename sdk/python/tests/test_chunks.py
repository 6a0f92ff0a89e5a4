"""Bodies in pieces: what is assembled, and what is refused."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from ends import config
from samples import HELLO

from baton import (
    FRAME_BYTES_MAX,
    VERSION,
    Assembly,
    AssemblyError,
    Body,
    BodyTooLargeError,
    CallId,
    ChunkLimits,
    Chunks,
    ContextAppend,
    ContextChunk,
    ContextItem,
    Continue,
    Epoch,
    Frame,
    Grant,
    Granted,
    Leave,
    Link,
    NotDivisibleError,
    Received,
    RejectReason,
    Side,
    StreamId,
    WholeTooLargeError,
)

LIMITS = ChunkLimits(side=Side.SPECIALIST)


def body(size: int) -> ContextAppend:
    text = bytes(range(251)) * (size // 251 + 1)
    return ContextAppend((ContextItem("item_1", None, b"", "livekit-python", text[:size]),))


def pair(call: str = "call-17") -> tuple[Link, Link]:
    """Two ends that have greeted one another."""
    baton = Link(config(Side.ORCHESTRATOR, CallId(call), StreamId(1)))
    specialist = Link(config(Side.SPECIALIST, CallId(call), StreamId(2)))
    specialist.hello(0, HELLO)
    carry(specialist, baton)
    baton.welcome(Epoch(1))
    carry(baton, specialist)
    return baton, specialist


def carry(source: Link, to: Link, now: float = 0) -> list[ContextChunk]:
    """Brings all that is to be sent to the peer, and returns the chunks that it was given."""
    chunks = []
    while (transmit := source.poll_transmit(now)) is not None:
        assert len(transmit.payload) <= FRAME_BYTES_MAX
        for event in to.handle_frame(now, transmit.payload):
            assert isinstance(event, Received), event
            if isinstance(event.body, ContextChunk):
                chunks.append(event.body)
    return chunks


def pieces(transfer: int, sent: Body) -> list[ContextChunk]:
    """The pieces of a body, as a specialist sends them."""
    baton, specialist = pair()
    chunks = Chunks(LIMITS, transfer, sent)
    made = []
    done = False
    while not done:
        done = chunks.send(0, Epoch(1), specialist)
        made += carry(specialist, baton)
        carry(baton, specialist)
    return made


def whole(transfer: int, data: bytes) -> ContextChunk:
    """One piece that is the whole of some bytes."""
    return ContextChunk(transfer, 0, len(data), hashlib.sha256(data).digest(), data)


def envelope(inner: Body | None) -> bytes:
    """An envelope with a body and nothing else that counts."""
    return Frame(VERSION, CallId(""), Epoch(0), StreamId(1), None, None, inner).encode()


def assembly() -> Assembly:
    return Assembly(ChunkLimits(side=Side.ORCHESTRATOR))


def assemble(this: Assembly, parts: list[ContextChunk]) -> Body:
    """Assembles pieces of which only the last may complete something."""
    *before, last = parts
    for piece in before:
        assert this.take(piece) is None
    made = this.take(last)
    assert made is not None
    return made


def test_a_body_of_eight_mebibytes_comes_out_as_it_went_in() -> None:
    sent = body((8 << 20) - 100)
    parts = pieces(1, sent)
    assert len(parts) <= (8 << 20) // 14_800
    this = assembly()
    assert assemble(this, parts) == sent
    assert (this.transfers, this.held_bytes) == (0, 0)


def test_pieces_fill_their_frames() -> None:
    parts = pieces(1, body(100_000))
    assert len(parts) == 7
    assert all(len(piece.data) > 14_800 for piece in parts[:6])


def test_chunks_leave_half_of_the_window_to_others() -> None:
    baton, specialist = pair()
    chunks = Chunks(LIMITS, 1, body(2_000_000))
    assert not chunks.send(0, Epoch(1), specialist)
    assert specialist.waiting == 32
    sent_bytes = chunks.sent_bytes
    assert not chunks.send(0, Epoch(1), specialist)
    assert chunks.sent_bytes == sent_bytes, "nothing was acked"
    for _ in range(32):
        specialist.send(0, Epoch(1), Granted(Epoch(1)))
    carry(specialist, baton)
    carry(baton, specialist)
    chunks.send(0, Epoch(1), specialist)
    assert chunks.sent_bytes > sent_bytes


def test_a_call_id_that_fills_the_frame_leaves_no_room_for_chunks() -> None:
    _, specialist = pair("x" * 14_880)
    with pytest.raises(BodyTooLargeError, match="context_chunk"):
        Chunks(LIMITS, 1, body(20_000)).send(0, Epoch(1), specialist)


@pytest.mark.parametrize("refused", [Leave(), HELLO, whole(1, b"\x01")])
def test_only_what_is_ones_own_and_divisible_is_cut_up(refused: Body) -> None:
    with pytest.raises(NotDivisibleError, match=f"^{refused.NAME} does not travel in pieces"):
        Chunks(LIMITS, 1, refused)


def test_what_is_too_large_even_in_pieces_is_refused() -> None:
    with pytest.raises(WholeTooLargeError, match="^context_append has 83886.. bytes, the limit is 8388608$"):
        Chunks(LIMITS, 1, body(8 << 20))


def test_a_restarted_transfer_starts_at_its_first_piece() -> None:
    sent = body(40_000)
    chunks = Chunks(LIMITS, 1, sent)
    _, specialist = pair()
    chunks.send(0, Epoch(1), specialist)
    assert chunks.sent_bytes == chunks.total_bytes

    baton, specialist = pair()
    chunks.restart()
    assert chunks.send(0, Epoch(1), specialist)
    assert assemble(assembly(), carry(specialist, baton)) == sent


def test_a_body_that_another_baton_process_has_half_of_is_sent_again() -> None:
    first, specialist = pair()
    sent = body(70_000)
    chunks = Chunks(LIMITS, 1, sent)
    assert chunks.send(0, Epoch(1), specialist)
    # Two pieces arrive and are acked, then the process dies.
    for _ in range(2):
        transmit = specialist.poll_transmit(0)
        assert transmit is not None
        first.handle_frame(0, transmit.payload)
    carry(first, specialist)
    assert (specialist.acked, specialist.waiting) == (2, 3)
    assert not chunks.is_acked(specialist)

    second = Link(config(Side.ORCHESTRATOR, CallId("call-17"), StreamId(3)))
    this = assembly()
    specialist.hello(0, HELLO)
    carry(specialist, second)
    second.welcome(Epoch(2))
    carry(second, specialist)
    rest = carry(specialist, second)
    with pytest.raises(AssemblyError, match="goes on at byte"):
        this.take(rest[0])
    assert [this.take(piece) for piece in rest[1:]] == [None, None]

    chunks.restart()
    chunks.send(0, Epoch(2), specialist)
    assert not chunks.is_acked(specialist)
    assert assemble(this, carry(specialist, second)) == sent
    carry(second, specialist)
    carry(second, specialist, now=50)
    assert chunks.is_acked(specialist)


def test_transfers_may_be_mixed() -> None:
    bodies = [body(40_000), body(50_000)]
    first, second = pieces(1, bodies[0]), pieces(2, bodies[1])
    this = assembly()
    wholes = []
    for at in range(4):
        for piece in first[at : at + 1] + second[at : at + 1]:
            if (made := this.take(piece)) is not None:
                wholes.append(made)
    assert wholes == bodies


def test_a_declared_size_over_the_bound_is_refused_before_anything_is_held() -> None:
    this = assembly()
    for total in ((8 << 20) + 1, 2**64 - 1):
        with pytest.raises(AssemblyError, match=f"^transfer 1 declares {total} bytes, the limit is 8388608$") as caught:
            this.take(replace(whole(1, bytes(10)), total_bytes=total))
        assert caught.value.reject_reason is RejectReason.TOO_LARGE
    assert (this.transfers, this.held_bytes) == (0, 0)


def test_one_transfer_too_many_is_refused_and_the_others_go_on() -> None:
    this = assembly()
    sent = body(40_000)
    first = pieces(1, sent)
    this.take(first[0])
    this.take(pieces(2, sent)[0])
    third = pieces(3, sent)
    with pytest.raises(AssemblyError, match="^transfer 3 is one too many, 2 at once is the limit$") as caught:
        this.take(third[0])
    assert caught.value.reject_reason is RejectReason.OUT_OF_WINDOW
    assert [this.take(piece) for piece in third[1:]] == [None, None], "passed over"
    assert assemble(this, first[1:]) == sent


def test_a_transfer_refused_in_the_middle_is_passed_over_and_may_start_anew() -> None:
    this = assembly()
    sent = body(60_000)
    good = pieces(1, sent)
    this.take(good[0])
    with pytest.raises(AssemblyError, match="goes on at byte"):
        this.take(good[2])
    assert this.held_bytes == 0
    assert this.take(good[3]) is None
    assert assemble(this, good) == sent


GOOD = pieces(7, body(40_000))
HAD = len(GOOD[0].data)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda piece: replace(piece, offset=HAD + 1), f"goes on at byte {HAD + 1}, only {HAD} bytes are there"),
        (lambda piece: replace(piece, offset=HAD - 1), f"goes back to byte {HAD - 1}, {HAD} bytes are there"),
        (lambda piece: replace(piece, data=b""), "has an empty piece"),
        (lambda piece: replace(piece, total_bytes=1), "declares another size or hash than before"),
        (lambda piece: replace(piece, sha256=bytes(32)), "declares another size or hash than before"),
        (lambda piece: replace(piece, data=bytes(40_000)), f"reaches byte {HAD + 40_000}, it declares"),
    ],
)
def test_each_bad_piece_is_refused_by_name(change: Callable[[ContextChunk], ContextChunk], detail: str) -> None:
    this = assembly()
    this.take(GOOD[0])
    with pytest.raises(AssemblyError, match=f"^transfer 7 {detail}") as caught:
        this.take(change(GOOD[1]))
    assert caught.value.reject_reason is RejectReason.MALFORMED
    assert this.held_bytes == 0


def test_a_transfer_starts_at_its_start_and_with_a_hash() -> None:
    with pytest.raises(AssemblyError, match=f"^transfer 7 goes on at byte {HAD}, only 0 bytes are there$"):
        assembly().take(GOOD[1])
    with pytest.raises(AssemblyError, match="^transfer 7 has a hash of 31 bytes, a SHA-256 has 32$"):
        assembly().take(replace(GOOD[0], sha256=bytes(31)))


def test_a_wrong_hash_is_refused() -> None:
    damaged = bytes([GOOD[1].data[0] ^ 1]) + GOOD[1].data[1:]
    with pytest.raises(AssemblyError, match="^transfer 7 has another hash than it declares$"):
        assemble(assembly(), [GOOD[0], replace(GOOD[1], data=damaged), GOOD[2]])


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (envelope(Grant(Epoch(9), Continue(), None)), RejectReason.WRONG_DIRECTION, "is grant, which goes the wrong way"),
        (envelope(HELLO), RejectReason.MALFORMED, "is hello, which does not travel in pieces"),
        (envelope(whole(2, b"\x01")), RejectReason.MALFORMED, "is context_chunk, which does not travel in pieces"),
        (envelope(None), RejectReason.UNKNOWN_BODY, "is a body that is unknown here"),
        (b"\xff" * 40, RejectReason.MALFORMED, "is no body: no valid frame"),
        # Version 2.0 and nothing else.
        (b"\x0a\x02\x08\x02", RejectReason.MALFORMED, "is no body: protocol version 2.0, only major version 1"),
        # Version 1.0 and a handoff request without a target.
        (b"\x0a\x02\x08\x01\x8a\x02\x00", RejectReason.UNKNOWN_BODY, "is a body that is unknown here"),
    ],
)
def test_what_is_assembled_is_held_to_the_rules_of_a_frame(data: bytes, reason: RejectReason, detail: str) -> None:
    with pytest.raises(AssemblyError, match=f"^transfer 1 {detail}") as caught:
        assembly().take(whole(1, data))
    assert caught.value.reject_reason is reason


def test_items_that_take_more_memory_than_bytes_are_counted_before_they_are_read() -> None:
    append = ContextAppend((ContextItem("", None, b""),) * 65_537)
    with pytest.raises(AssemblyError, match="^transfer 1 has more than 65536 context items, which is the limit$") as caught:
        assembly().take(whole(1, envelope(append)))
    assert caught.value.reject_reason is RejectReason.TOO_LARGE
    fits = ContextAppend(append.items[1:])
    assert assembly().take(whole(1, envelope(fits))) == fits


@pytest.mark.parametrize(
    "hides",
    [
        # Field 200, a group that ends at once.
        b"\xc3\x0c\xc4\x0c",
        # Field 200, the number 1, very often.
        b"\xc0\x0c\x01" * 65,
    ],
)
def test_an_envelope_that_hides_its_items_is_not_read(hides: bytes) -> None:
    append = envelope(ContextAppend((ContextItem("", None, b""),) * 65_537))
    with pytest.raises(AssemblyError, match="context items"):
        assembly().take(whole(1, hides + append))


def test_another_process_of_the_peer_starts_with_nothing() -> None:
    this = assembly()
    this.take(GOOD[0])
    this.clear()
    assert assemble(this, GOOD) == body(40_000)


@pytest.mark.parametrize("seed", range(20))
def test_no_pieces_break_the_bounds(seed: int) -> None:
    draw = random.Random(seed)
    this = Assembly(ChunkLimits(side=Side.ORCHESTRATOR, body_bytes_max=1_000))
    for _ in range(500):
        data = draw.randbytes(draw.randrange(64))
        offset = draw.choice((0, this.held_bytes, draw.randrange(64)))
        piece = ContextChunk(draw.randrange(5), offset, draw.choice((200, 1_200)), bytes(32), data)
        try:
            this.take(piece)
        except AssemblyError:
            pass
        assert this.transfers <= 2 and this.held_bytes <= 2_000
