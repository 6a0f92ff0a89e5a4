"""Whether an answer is owed to the caller that nobody else will give.

What the caller says just before the baton moves is heard by the one that loses it, whose analyzers may not have told the end of the turn
by then: its words come with the conversation, without an answer. Whoever takes over answers them, unless the caller goes on speaking: then
that is the turn, and it gets its answer as any other.
"""

from collections.abc import Iterable, Sequence

from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import ContextItem

QUIET_SECS = 1.2
"""How long neither the caller nor the agent has said anything until it is clear that no other turn comes. A turn whose speech is over is still
on its way through an ear that takes that long."""
LATE_MAX_SECS = 4.0
"""How long after a grant words of the caller's may come that were said to the one before."""


class Owed:
    """What is owed in one hold of the baton, from its grant on. Times are of any one clock, in seconds."""

    def __init__(self, now: float, known: Sequence[ContextItem], opening_answers: bool) -> None:
        """`known` is the conversation at the grant; `opening_answers` whether the opening is made of it."""
        self._granted = self._quiet_since = now
        self._known = {item.id for item in known}
        self._owed = not opening_answers and awaits_answer(known)

    def arrived(self, now: float, items: Iterable[ContextItem]) -> None:
        """These came from others."""
        for item in items:
            if item.id not in self._known and now - self._granted <= LATE_MAX_SECS and _said_by(item) == pb.USER:
                self._owed = True
                self._quiet_since = now
            self._known.add(item.id)

    def said(self, now: float, items: Iterable[ContextItem]) -> None:
        """These are the agent's own: a turn of the caller's among them gets its own answer."""
        if any(_said_by(item) == pb.USER for item in items):
            self._owed = False
        self._quiet_since = now

    def due(self, now: float, busy: bool) -> bool:
        """Whether it is to answer now; `busy` says that the caller speaks, or the agent. It is told once."""
        if busy:
            self._quiet_since = now
        due = self._owed and not busy and now - self._quiet_since >= QUIET_SECS
        if due:
            self._owed = False
        return due


def awaits_answer(items: Sequence[ContextItem]) -> bool:
    """Whether the last thing in a conversation is the caller's: nobody has said anything since, and no tool was called."""
    for item in reversed(items):
        chat = pb.ChatContext.ChatItem.FromString(item.chat_item)
        match chat.WhichOneof("item"):
            case "message" if chat.message.role in (pb.USER, pb.ASSISTANT):
                return bool(chat.message.role == pb.USER)
            case "function_call" | "function_call_output":
                return False
            case _:
                continue
    return False


def _said_by(item: ContextItem) -> int | None:
    chat = pb.ChatContext.ChatItem.FromString(item.chat_item)
    return int(chat.message.role) if chat.WhichOneof("item") == "message" else None
