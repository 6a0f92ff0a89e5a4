"""What an agent is told, and what it can do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from livekit import rtc

from baton.bodies import (
    HandoffDone,
    HandoffFailed,
    HandoffOutcome,
    HandoffRefused,
    Opening,
    Target,
    ToPrevious,
    ToSpecialist,
)
from baton.bodies import ContextItem
from baton.errors import BatonError
from baton.ids import Epoch, HandoffId, SpecialistName
from baton.memory import Memory
from baton.reasons import FailReason, RefuseReason
from baton.specialist.caller import Listener
from baton.specialist.voice import Voice


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is known of a handoff before it happens."""

    handoff: HandoffId
    """Its number in the call."""
    source: SpecialistName | None
    """Who has the baton, if anybody does."""
    reason: str
    """Why it moves."""
    opening: Opening
    """Whether this specialist is to speak first."""
    task: Any = None
    """What it is delegated to do; it ends that with `Call.complete`. `None` if the baton is not to come back."""
    traceparent: str | None = None
    """The trace of the call, as the W3C's Trace Context has it; `None` if the call is not traced.

    Where `opentelemetry-api` is installed, spans that the hooks start are part of it already.
    """


@dataclass(frozen=True, slots=True)
class Granting:
    """The baton."""

    epoch: Epoch
    """The epoch that starts with it."""
    opening: Opening
    """Whether this specialist is to speak first."""
    handoff: HandoffId | None
    """The handoff it comes from; `None` if the specialist had the baton before, and has it again."""


class Agent:
    """What a specialist does in one call. Every hook has a default that does nothing.

    Hooks run one at a time. A hook whose reason is gone is cancelled where it awaits; work that must go on has a task of
    its own. An exception of a hook but `RefusalError` ends the specialist's part in the call.
    """

    async def joined(self, call: "Call") -> None:
        """The specialist is in the room and has said Hello."""

    async def prepare(self, call: "Call", preparation: Preparation) -> None:
        """The baton may come soon: load what is needed, and return when the first word could be said. Cancelled if the
        handoff is called off. Raise `RefusalError` to leave the baton where it is."""

    async def granted(self, call: "Call", grant: Granting) -> None:
        """The baton is here: from now on the caller hears this specialist, and it hears the caller. Cancelled when the
        baton goes."""

    def digit(self, call: "Call", digit: str) -> None:
        """The caller has pressed a key of the phone: one of `baton.DTMF_DIGITS`. Only the holder is told, each once."""

    def items(self, call: "Call", items: tuple[ContextItem, ...]) -> None:
        """Others have said or done this; `Call.memory` has it already."""

    def state_changed(self, call: "Call", patch: dict[str, Any]) -> None:
        """The shared state was changed by somebody else; `Call.memory` has it already."""

    async def summarize(self, call: "Call") -> str | None:
        """Makes a summary of the conversation for the one who takes over; `None` for none."""
        return None

    def finishing(self, call: "Call") -> None:
        """The baton will be taken at the end of the utterance: nothing new can be said from here on."""

    async def revoked(self, call: "Call") -> None:
        """The baton is gone. The specialist stays in the room until it is told to leave."""

    async def left(self, call: "Call") -> None:
        """The specialist's part in the call is over. Given two seconds."""


class RefusalError(BatonError):
    """The specialist does not want to be prepared: raise it in `Agent.prepare`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """Why, in a sentence; at most 512 characters of it are kept."""


class HandoffError(BatonError):
    """A handoff did not happen. The specialist has the baton as before, but for `CallOverError`."""


class NotHolderError(HandoffError):
    """Only who has the baton can hand it off."""

    def __init__(self) -> None:
        super().__init__("the specialist does not have the baton, and only who has it can hand it off: wait for `granted`")


class HandoffRefusedError(HandoffError):
    """It was not tried."""

    def __init__(self, refused: HandoffRefused) -> None:
        super().__init__(f"the handoff was refused: {refused.detail}")
        self.reason: RefuseReason = refused.reason
        """Why."""
        self.detail = refused.detail
        """The same as a sentence."""


class UnknownTargetError(HandoffRefusedError):
    """No specialist has that name in Baton's configuration, or no route leads there."""


class HandoffFailedError(HandoffError):
    """It was tried in vain."""

    def __init__(self, failed: HandoffFailed) -> None:
        super().__init__(f"the handoff failed: {failed.detail}")
        self.reason: FailReason = failed.reason
        """Why."""
        self.detail = failed.detail
        """The same as a sentence."""


class DelegationError(BatonError):
    """A delegation ended without a result."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the delegation has no result: {why}")
        self.why = why
        """Why, in Baton's words."""


class TooManyRequestsError(HandoffError):
    """Too many requests of this specialist are open."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are open, which is the limit: await one of them first")
        self.limit = limit
        """The limit."""


class NotSentError(HandoffError):
    """The request cannot be sent."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the request cannot be sent: {detail}")


class CallOverError(HandoffError):
    """The call is over for this specialist."""

    def __init__(self) -> None:
        super().__init__("the call is over for this specialist")


def outcome_error(outcome: HandoffRefused | HandoffFailed) -> HandoffError:
    """The exception for an outcome that is none."""
    match outcome:
        case HandoffRefused(RefuseReason.UNKNOWN_TARGET | RefuseReason.NO_ROUTE):
            return UnknownTargetError(outcome)
        case HandoffRefused():
            return HandoffRefusedError(outcome)
        case HandoffFailed():
            return HandoffFailedError(outcome)


class Request(Protocol):
    """A handoff that was asked for."""

    async def under_way(self) -> None:
        """Returns when it is being tried. Raises `HandoffError` if it is refused."""

    async def done(self) -> HandoffDone:
        """Returns when the baton has moved. Raises `HandoffError` if it will not."""


class StateError(BatonError):
    """A change of the shared state was not accepted; the state is as it was."""


class StateConflictError(StateError):
    """Somebody else has changed what the patch touches."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"somebody else has changed the state meanwhile, to version {version}: look at `call.memory.state`, which is "
            "up to date, and decide again"
        )
        self.version = version
        """The version as it is."""


class StateForbiddenError(StateError):
    """The specialist may not write that."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path or '/'} may not be written: {reason}; see the scopes of this specialist in Baton's configuration")
        self.path = path
        """A JSON pointer to the field."""
        self.reason = reason
        """Why, in Baton's words."""


class StateTimeoutError(StateError):
    """Baton has not answered, and may have the change or get it yet."""

    def __init__(self, limit_secs: float) -> None:
        super().__init__(
            f"the change of the state was not answered within {limit_secs:g} s, and may be accepted yet: look at "
            "`call.memory.state` before it is tried again"
        )
        self.limit_secs = limit_secs
        """How long was waited."""


class UnserialisableError(StateError):
    """Something is no JSON."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(
            f"{what} cannot be shared, it is no json: {detail}; mark it as local if it is not for the other specialists"
        )
        self.what = what
        """The field."""


class Wishes(Protocol):
    """What a call asks of its job."""

    def append(self, items: tuple[ContextItem, ...]) -> None:
        """Adds to the conversation."""

    async def patch(self, merge_patch: dict[str, Any], base_version: int | None) -> int:
        """Changes the state."""

    def request(
        self, target: Target, reason: str, tool_call: str | None = None, delegation: Any = None, result: Any = None
    ) -> Request:
        """Asks for a handoff. Raises `HandoffError`."""

    async def delegation(self, request: Request) -> Any:
        """What comes of a delegation."""

    def leave(self) -> None:
        """Leaves the call."""

    def on_outcome(self, told: Callable[[HandoffOutcome], None]) -> None:
        """Tells of every outcome."""


class Call:
    """One call, as a specialist sees it."""

    def __init__(
        self,
        *,
        id: str,
        specialist: SpecialistName,
        metadata: Any,
        room: rtc.Room,
        voice: Voice,
        memory: Memory,
        listen: Callable[[], Listener],
        wishes: Wishes,
        holds: Callable[[], bool],
        hears: Callable[[], bool],
        caller: Callable[[], str | None],
    ) -> None:
        self.id = id
        """Baton's id of the call."""
        self.specialist = specialist
        """This specialist's name in Baton's configuration."""
        self.metadata = metadata
        """The operator's own metadata for this specialist, as JSON gives it; `None` if there is none."""
        self.room = room
        """LiveKit's room. What is published here besides the voice is closed to everybody but Baton too."""
        self.voice = voice
        """What says things to the caller."""
        self.memory = memory
        """The conversation and the shared state, as far as they have come."""
        self.targets: dict[str, str] = {}
        """To whom routes lead from here, each with what it is for; a condition may still refuse a handoff."""
        self.may_hand_back = False
        """Whether it may hand back to whoever had the baton before."""
        self.task: Any = None
        """What is delegated to this specialist, from when it prepares on; `complete` ends it. `None` if nothing is."""
        self._listen = listen
        self._wishes = wishes
        self._holds = holds
        self._hears = hears
        self._caller = caller

    @property
    def holds(self) -> bool:
        """Whether the baton is here."""
        return self._holds()

    @property
    def hears(self) -> bool:
        """Whether what the caller says now is for this specialist. Who is to end its sentence has the baton, and hears no more."""
        return self._hears()

    @property
    def caller(self) -> str | None:
        """The caller's identity, once known."""
        return self._caller()

    def listen(self) -> Listener:
        """What hears the caller, from now on."""
        return self._listen()

    async def handoff(self, to: str, reason: str = "") -> HandoffDone:
        """Asks for the baton to be handed to another specialist, and waits for what becomes of it. When it is done, this
        specialist no longer has the baton, and `Agent.granted` may be cancelled before it learns of it.

        Raises a `HandoffError`; a handoff that fails changes nothing.
        """
        return await self.request(to, reason).done()

    async def hand_back(self, reason: str = "") -> HandoffDone:
        """Asks for the baton to be handed back to whoever had it before; as `handoff`."""
        return await self.request(None, reason).done()

    def request(
        self, to: str | None, reason: str = "", *, tool_call: str | None = None, task: Any = None, result: Any = None
    ) -> Request:
        """Asks for a handoff, to whoever had the baton before if `to` is `None`, and waits for nothing. `tool_call` is the id
        of the model's call by which it asks: Baton does not wait for its result. With `task`, the target is delegated to, and
        Baton gives that call its output; with `result`, this specialist's own task ends. Raises `HandoffError` if it cannot be
        asked for, and `UnserialisableError`."""
        target: Target = ToPrevious() if to is None else ToSpecialist(SpecialistName(to))
        return self._wishes.request(target, reason, tool_call, task, result)

    async def delegate(self, to: str, task: Any, reason: str = "", *, tool_call: str | None = None) -> Any:
        """Hands the baton to another specialist for a task, and returns its result when it has come back: after as long as the task
        takes, or when the call is over. Task and result are JSON. Raises `HandoffError`, `DelegationError` or `UnserialisableError`."""
        request = self._wishes.request(ToSpecialist(SpecialistName(to)), reason, tool_call, delegation=task)
        return await self._wishes.delegation(request)

    async def complete(self, result: Any, reason: str = "") -> HandoffDone:
        """Ends a task that was delegated to this specialist: the result, which is JSON, goes with the baton to whoever
        delegated it. Raises `HandoffError` or `UnserialisableError`."""
        return await self._wishes.request(ToPrevious(), reason, result=result).done()

    def append(self, *items: ContextItem) -> None:
        """Adds to the conversation, or replaces items by their ids, and waits for nothing. Whoever takes over has them."""
        self._wishes.append(items)

    async def patch(self, merge_patch: dict[str, Any], base_version: int | None = None) -> int:
        """Changes the shared state by a JSON merge patch (RFC 7396), made against `base_version`, by default the newest
        that is known here; returns the version that it makes. Raises `StateConflictError`, `StateForbiddenError`,
        `StateTimeoutError`, `UnserialisableError` or `CallOverError`."""
        return await self._wishes.patch(merge_patch, base_version)

    def leave(self) -> None:
        """Leaves the call. If the baton is here, it is lost, and Baton goes on with the route's fallback."""
        self._wishes.leave()


MakeAgent = Callable[[Call], Agent | Awaitable[Agent]]
"""Makes the agent of a call."""
