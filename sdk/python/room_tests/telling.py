"""What an agent of a test says about itself: a line of JSON behind a mark, on its log."""

import asyncio
import json
import logging
import math
from array import array
from typing import TYPE_CHECKING, Any

from livekit.protocol.agent_pb import agent_session as pb

if TYPE_CHECKING:
    # An agent that knows nothing of Baton uses this, too.
    from baton.specialist import Call

MARK = "told "


def tell(kind: str, **what: Any) -> None:
    """Says something."""
    text = json.dumps({"kind": kind, **what}, default=str)
    # In hex, since a log in JSON would quote it once more.
    logging.getLogger("agent").info("%s%s", MARK, text.encode().hex())


def told(log: str, kind: str) -> list[dict[str, Any]]:
    """All of a kind that was said."""
    found = []
    for line in log.splitlines():
        _, mark, rest = line.partition(MARK)
        digits = rest.split('"')[0].strip()
        if not mark or not digits or any(digit not in "0123456789abcdef" for digit in digits):
            continue
        entry = json.loads(bytes.fromhex(digits))
        if entry["kind"] == kind:
            found.append(entry)
    return found


async def tell_context(call: "Call") -> None:
    """Says what is known of the conversation and the state whenever the baton comes, and whenever something is new."""
    before: tuple[Any, ...] = ()
    while True:
        items = call.memory.items
        now = (call.holds, len(items), hash(tuple(item.chat_item for item in items)), call.memory.state_version)
        if now != before:
            before = now
            known = [described(item.chat_item) for item in items]
            tell("context", holds=call.holds, items=known, state=call.memory.state)
        await asyncio.sleep(0.1)


def tone(text: str, hz: int, rate: int) -> bytes:
    """A sentence, as a tone: 50 ms for each character. It swells and fades, since the edge of a tone sounds at every pitch."""
    count = len(text) * rate // 20
    edge = rate // 25
    samples = array("h")
    for at in range(count):
        level = min(1.0, at / edge, (count - 1 - at) / edge)
        samples.append(int(9_000 * level * math.sin(2 * math.pi * hz * at / rate)))
    return samples.tobytes()


def described(chat_item: bytes) -> dict[str, Any]:
    """All of an item that no framework may lose."""
    chat = pb.ChatContext.ChatItem.FromString(chat_item)
    kind = chat.WhichOneof("item")
    if kind is None:
        return {"kind": "unknown"}
    item = getattr(chat, kind)
    result: dict[str, Any] = {"kind": kind, "id": item.id, "created_at": item.created_at.ToNanoseconds()}
    match kind:
        case "message":
            text = [part.text for part in item.content]
            result |= {"role": item.role, "text": text, "interrupted": item.interrupted}
        case "function_call":
            result |= {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        case "function_call_output":
            result |= {"call_id": item.call_id, "name": item.name, "output": item.output, "is_error": item.is_error}
        case _:
            pass
    return result
