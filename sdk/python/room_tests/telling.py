"""What an agent of a test says about itself: a line of JSON behind a mark, on its log."""

import asyncio
import json
import logging
import math
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livekit.protocol.agent_pb import agent_session as pb

if TYPE_CHECKING:
    # An agent that knows nothing of Baton uses this, too.
    from baton.bodies import ContextItem
    from baton.specialist import Call

MARK = "told "
ALOUD = {
    "triage": "I look for somebody who can help you with that, which may take a moment or two",
    "payments": "It is paid. I look for somebody who can help you with that. That may take a moment or two.",
}
"""What each says while it hands off, long enough to be cut."""


def tell(kind: str, **what: Any) -> None:
    """Says something."""
    text = json.dumps({"kind": kind, **what}, default=str)
    # In hex, since a log in JSON would quote it once more.
    logging.getLogger("agent").info("%s%s", MARK, text.encode().hex())


def told(log: str, kind: str | None) -> list[dict[str, Any]]:
    """All of a kind that was said, or all."""
    found = []
    for line in log.splitlines():
        _, mark, rest = line.partition(MARK)
        digits = rest.split('"')[0].strip()
        if not mark or not digits or any(digit not in "0123456789abcdef" for digit in digits):
            continue
        entry = json.loads(bytes.fromhex(digits))
        if kind is None or entry["kind"] == kind:
            found.append(entry)
    return found


class Telling:
    """What an agent says about itself while it does: each line of its log is read once."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._said: dict[str, list[dict[str, Any]]] = {}

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All of a kind until now."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new, _, _ = file.read().rpartition(b"\n")
        self._read += len(new) + bool(new)
        for line in new.decode(errors="replace").splitlines():
            for entry in told(line, None):
                self._said.setdefault(entry["kind"], []).append(entry)
        return self._said.get(kind, [])


Own = Callable[[list[dict[str, Any]]], list[str]]
"""What differs between what a framework has of the conversation and these items."""


async def tell_context(call: "Call", own: Own | None = None) -> None:
    """Says what is new of the conversation and the state, and whenever the baton comes or goes; and, when nothing has been new for a
    while, what the framework has otherwise."""
    before: tuple[Any, ...] = ()
    forms: dict[str, bytes] = {}
    written: set[str] = set()
    append = call.append

    def appended(*items: "ContextItem") -> None:
        written.update(item.id for item in items)
        append(*items)

    call.append = appended  # type: ignore[method-assign]
    looked, since = True, 0.0
    while True:
        items = call.memory.items
        new = [item for item in items if forms.get(item.id) != item.chat_item]
        now = (call.holds, call.memory.state_version)
        if new or now != before:
            before, looked, since = now, False, time.monotonic()
            forms |= {item.id: item.chat_item for item in new}
            changed = [described(item.chat_item) | {"own": item.id in written} for item in new]
            tell("context", specialist=call.specialist, holds=call.holds, changed=changed, state=call.memory.state, at=time.time())
        elif own is not None and call.holds and not looked and time.monotonic() - since > OWN_SECS:
            looked = True
            differs = own([described(item.chat_item) for item in items])
            if differs:
                # It may be on its way.
                await asyncio.sleep(OWN_SECS)
                items = call.memory.items
                differs = own([described(item.chat_item) for item in items])
            if call.holds:
                tell("own", items=len(items), differs=differs, at=time.time())
        await asyncio.sleep(0.1)


OWN_SECS = 0.7
"""How long nothing is new until a framework has to have it all."""


class Ear:
    """Tells tones of the caller's apart by their pitch."""

    def __init__(self) -> None:
        self._loud = array("h")
        self._quiet_secs = 0.0

    def hear(self, data: bytes, rate: int) -> None:
        """Takes a frame."""
        samples = array("h", data)
        if max(samples, default=0) > _AUDIBLE:
            self._loud.extend(samples)
            self._quiet_secs = 0.0
            return
        self._quiet_secs += len(samples) / rate
        if self._quiet_secs >= _QUIET_SECS and self._loud:
            loud, self._loud = self._loud, array("h")
            secs = len(loud) / rate
            rises = [at for at in range(1, len(loud)) if loud[at - 1] < 0 <= loud[at]]
            if len(rises) > 1:
                hz = (len(rises) - 1) * rate / (rises[-1] - rises[0])
                tell("word", hz=hz, ms=secs * 1_000, at=time.time())


_AUDIBLE = 1_000
_QUIET_SECS = 0.04


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
