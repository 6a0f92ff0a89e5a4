"""The frames in `proto/vectors`, which the Rust crate `wire` writes: bytes, and the same as canonical protobuf JSON."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from samples import BODIES, FRAMES

from baton import (
    ContextAppend,
    ContextItem,
    DecodeError,
    EncodeError,
    Epoch,
    FailReason,
    Frame,
    FrameTooLargeError,
    Granted,
    HandoffFailed,
    HandoffId,
    HandoffRefused,
    HandoffResult,
    Heartbeat,
    Identity,
    MalformedError,
    Phase,
    Refuse,
    RefuseReason,
    Reject,
    RejectReason,
    RequestId,
    Seq,
    Side,
    StreamId,
    UnsupportedVersionError,
    Version,
)
from baton.v1 import control_pb2, envelope_pb2

VECTORS = Path(__file__).parents[3] / "proto/vectors"


def stored(name: str) -> dict[str, Any]:
    vector: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return vector


def test_there_is_a_frame_for_each_vector_and_a_vector_for_each_body() -> None:
    assert {path.name for path in VECTORS.iterdir()} == {f"{name}.json" for name in FRAMES}
    fields = envelope_pb2.Envelope.DESCRIPTOR.oneofs_by_name["body"].fields
    assert {field.name for field in fields} == {body.NAME for body in BODIES.values()}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_what_its_vector_says(name: str) -> None:
    frame, vector = FRAMES[name], stored(name)
    data = bytes.fromhex(vector["bytes"])
    assert frame.encode() == data
    assert Frame.decode(data) == frame
    # The JSON says as much as the bytes do.
    from_json = json_format.ParseDict(vector["envelope"], envelope_pb2.Envelope())
    assert Frame.decode(from_json.SerializeToString()) == frame
    assert json_format.MessageToDict(envelope_pb2.Envelope.FromString(data)) == vector["envelope"]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_goes_the_way_its_vector_says(name: str) -> None:
    body = BODIES[name]
    assert name.startswith(body.NAME)
    senders = [side.value for side in Side if side.sends(body)]
    assert stored(name)["from"] == ("either" if len(senders) == 2 else senders[0])


def test_every_reason_and_phase_is_read_as_it_was_written() -> None:
    for reject in RejectReason:
        frame = replace(FRAMES["reject"], body=Reject(reject, "", None))
        assert Frame.decode(frame.encode()) == frame
    for phase in (None, *Phase):
        frame = replace(FRAMES["heartbeat"], body=Heartbeat(None, Epoch(0), phase))
        assert Frame.decode(frame.encode()) == frame
    for refuse in RefuseReason:
        result = HandoffResult(RequestId(1), HandoffRefused(refuse, ""))
        frame = replace(FRAMES["handoff_result-refused"], body=result)
        assert Frame.decode(frame.encode()) == frame
    for fail in FailReason:
        result = HandoffResult(RequestId(1), HandoffFailed(HandoffId(1), fail, ""))
        frame = replace(FRAMES["handoff_result-failed"], body=result)
        assert Frame.decode(frame.encode()) == frame


def test_every_number_of_the_protocol_has_a_name_here() -> None:
    for generated, named in (
        (envelope_pb2.RejectReason, len(RejectReason)),
        (envelope_pb2.Phase, len(Phase) + 1),
        (control_pb2.RefuseReason, len(RefuseReason)),
        (control_pb2.FailReason, len(FailReason)),
    ):
        assert len(generated.keys()) == named


def test_a_reason_of_a_newer_minor_version_is_unknown() -> None:
    message = envelope_pb2.Envelope.FromString(FRAMES["reject"].encode())
    setattr(message.reject, "reason", 999)
    body = Frame.decode(message.SerializeToString()).body
    assert isinstance(body, Reject)
    assert body.reason is RejectReason.UNKNOWN


def test_a_body_of_a_newer_minor_version_is_read_as_unknown() -> None:
    frame = replace(FRAMES["hello"], version=Version(1, 9), seq=Seq(5), body=None)
    # Field 200, length-delimited, two bytes: a body that does not exist yet.
    assert Frame.decode(frame.encode() + bytes([0xC2, 0x0C, 0x02, 0x08, 0x01])) == frame


def test_a_variant_of_a_newer_minor_version_is_an_unknown_body_in_a_stream() -> None:
    for name in ("handoff_request", "handoff_result-done", "state_result-denied"):
        message = envelope_pb2.Envelope.FromString(FRAMES[name].encode())
        body = getattr(message, message.WhichOneof("body") or "")
        body.ClearField(body.DESCRIPTOR.oneofs[0].name)
        assert Frame.decode(message.SerializeToString()) == replace(FRAMES[name], body=None)


def test_unknown_fields_of_every_shape_survive_in_a_context_item() -> None:
    # Fields 100 to 104: a varint, eight bytes, a string, a group with a group in it, four bytes.
    unknown = (
        b"\xa0\x06\x96\x01"
        b"\xa9\x06\x01\x02\x03\x04\x05\x06\x07\x08"
        b"\xb2\x06\x02hi"
        b"\xbb\x06\x08\x01\x13\x0a\x01\xff\x14\xbc\x06"
        b"\xc5\x06\x01\x02\x03\x04"
    )
    items = (ContextItem("item_1", 3, b"", unknown=unknown), ContextItem("item_2", None, b""))
    frame = replace(FRAMES["context_append"], body=ContextAppend(items))
    data = frame.encode()
    assert unknown in data
    assert Frame.decode(data) == frame


def test_another_major_version_is_refused_by_name() -> None:
    frame = replace(FRAMES["hello"], version=Version(2, 0))
    with pytest.raises(UnsupportedVersionError, match="^protocol version 2.0, only major version 1 is understood$"):
        Frame.decode(frame.encode())


def test_a_packet_of_15_000_bytes_is_refused_unread() -> None:
    with pytest.raises(FrameTooLargeError, match="^15000 bytes, the limit is 14999$"):
        Frame.decode(bytes(15_000))


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda message: message.ClearField("version"), "it has no version"),
        (lambda message: message.ClearField("stream"), "its stream is 0"),
        (lambda message: message.welcome.ClearField("version"), "welcome.version is missing"),
        (lambda message: message.handoff_request.SetInParent(), "handoff_request.target is missing"),
        (lambda message: message.handoff_result.SetInParent(), "handoff_result.outcome is missing"),
        (lambda message: message.state_result.SetInParent(), "state_result.outcome is missing"),
    ],
)
def test_what_every_version_has_must_be_there(change: Any, detail: str) -> None:
    message = envelope_pb2.Envelope.FromString(FRAMES["welcome"].encode())
    change(message)
    with pytest.raises(MalformedError, match=f"^no valid frame: {detail}$"):
        Frame.decode(message.SerializeToString())


def test_no_bytes_raise_anything_else() -> None:
    draw = random.Random(17)
    read = 0
    for _ in range(5_000):
        try:
            Frame.decode(draw.randbytes(draw.randrange(400)))
            read += 1
        except DecodeError:
            pass
    assert read < 5_000


def test_damaged_frames_do_no_harm() -> None:
    """What is read from a damaged frame can be written and read again, and means the same."""
    draw = random.Random(18)
    whole = [frame.encode() for frame in FRAMES.values()]
    read = 0
    for _ in range(10_000):
        data = bytearray(draw.choice(whole))
        data[draw.randrange(len(data))] = draw.randrange(256)
        cut = draw.choice((0, draw.randrange(20)))
        del data[len(data) - cut :]
        try:
            frame = Frame.decode(bytes(data))
        except DecodeError:
            continue
        read += 1
        assert Frame.decode(frame.encode()) == frame
    assert read > 1_000


@pytest.mark.parametrize(
    "frame",
    [
        replace(FRAMES["granted"], epoch=Epoch(2**64)),
        replace(FRAMES["granted"], stream=StreamId(-1)),
        replace(FRAMES["granted"], body=Granted(Epoch(-1))),
        replace(FRAMES["granted"], body=Refuse(HandoffId(1), "\ud800")),
        replace(FRAMES["granted"], body=Heartbeat(Identity("a"), "4", None)),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_fits_no_field_is_named(frame: Frame) -> None:
    with pytest.raises(EncodeError, match="^(the frame|granted|refuse|heartbeat) cannot be encoded: "):
        frame.encode()
