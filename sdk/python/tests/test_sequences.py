"""The scripted exchanges in `proto/sequences`, which the Rust crate `wire` writes: an end that gets the packets of the
other one has received in the end what the script says."""

import json
from pathlib import Path
from typing import Any

import pytest
from ends import config
from google.protobuf import json_format
from samples import HELLO

from baton import (
    Assembly,
    Body,
    CallId,
    ChunkLimits,
    ContextChunk,
    Epoch,
    Frame,
    Hello,
    Link,
    Received,
    Side,
    StreamId,
)
from baton.frame import encode_body
from baton.v1 import envelope_pb2

SEQUENCES = sorted((Path(__file__).parents[3] / "proto/sequences").iterdir())


def canonical(body: Body) -> dict[str, Any]:
    """A body as the one field of an envelope in canonical JSON."""
    fields = json_format.MessageToDict(envelope_pb2.Envelope.FromString(encode_body(body)))
    return {name: value for name, value in fields.items() if name != "version"}


def say(link: Link, now: int, frame: Frame) -> None:
    """Says what the end of the script says. What it has said before and says again, the link does by itself."""
    if isinstance(frame.body, Hello):
        link.hello(now, HELLO)
    elif frame.seq is not None and frame.seq == link.acked + link.waiting + 1:
        assert frame.body is not None
        link.send(now, Epoch(frame.epoch), frame.body)
    while link.poll_transmit(now) is not None:
        pass


@pytest.mark.parametrize("path", SEQUENCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("side", list(Side), ids=lambda side: side.value)
def test_an_end_has_received_what_the_script_says(path: Path, side: Side) -> None:
    sequence: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    link = Link(config(side, CallId(sequence["call_id"]), StreamId(sequence["streams"][side.value])))
    assembly = Assembly(ChunkLimits(side=side))
    received: list[dict[str, Any]] = []
    for packet in sequence["packets"]:
        data = bytes.fromhex(packet["bytes"])
        if packet["from"] == side.value:
            say(link, packet["at_ms"], Frame.decode(data))
            continue
        if packet["lost"]:
            continue
        for event in link.handle_frame(packet["at_ms"] + sequence["delay_ms"], data):
            assert isinstance(event, Received)
            body: Body | None = event.body
            if isinstance(body, Hello):
                link.welcome(Epoch(4))
            if isinstance(body, ContextChunk):
                body = assembly.take(body)
            if body is not None:
                received.append({"epoch": event.epoch, "body": canonical(body)})
    assert received == sequence[f"{side.value}_received"]
