"""Types for what could be swapped: names, identities, numbers."""

from dataclasses import dataclass
from typing import NewType

CallId = NewType("CallId", str)
"""Baton's id of a call."""

Identity = NewType("Identity", str)
"""A participant's identity in the room."""

SpecialistName = NewType("SpecialistName", str)
"""A specialist's name in Baton's configuration."""

Epoch = NewType("Epoch", int)
"""Grows with every grant; what carries an older one is refused. 64 bits, 0 before the first grant."""

HandoffId = NewType("HandoffId", int)
"""Baton's number for a handoff, 64 bits, from 1."""

RequestId = NewType("RequestId", int)
"""A specialist's number for its request, 64 bits, from 1."""

StreamId = NewType("StreamId", int)
"""One direction between two processes, for as long as both live: a random number of 64 bits other than 0."""

Seq = NewType("Seq", int)
"""A frame's place in its stream, 64 bits, from 1."""

U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """The secret that binds a participant to a dispatch of Baton's. It shows in no `repr` and no message."""

    value: str

    def __repr__(self) -> str:
        return "Ticket(...)"
