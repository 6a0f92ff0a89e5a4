"""The changes of the state that Baton has not answered yet."""

import asyncio

from baton.bodies import StateAccepted, StateConflict, StateDenied, StateResult
from baton.errors import BatonError
from baton.memory import Memory
from baton.specialist.agent import CallOverError, StateConflictError, StateError, StateForbiddenError

PATCHES_MAX = 64
"""Changes of the state that may wait for their answer."""
WRITE_MAX_SECS = 30.0
"""How long a change of the state waits for Baton's answer, unless it is told otherwise."""


class StateBusyError(StateError):
    """Too many changes of the state wait for their answer."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} changes of the state wait for their answer, which is the limit: await some of them first")


class Pending:
    """One of them."""

    def __init__(self, merge_patch: bytes) -> None:
        self.merge_patch = merge_patch
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # Who asked may have gone away, and nobody is told then.
        self.answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    def answered(self, version: int) -> None:
        self.answer.set_result(version)

    def failed(self, error: BatonError) -> None:
        self.answer.set_exception(error)


class Patches:
    """Those of one call. What Baton has taken goes into `memory`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pending: dict[int, Pending] = {}
        self._last = 0

    def begin(self, merge_patch: bytes) -> tuple[int, Pending]:
        """Another one, with its number. Raises `StateBusyError`."""
        if len(self._pending) >= PATCHES_MAX:
            raise StateBusyError(PATCHES_MAX)
        self._last += 1
        pending = self._pending[self._last] = Pending(merge_patch)
        return self._last, pending

    def drop(self, number: int) -> None:
        """It is not sent."""
        del self._pending[number]

    def answered(self, result: StateResult) -> None:
        """Baton has decided. Whoever asked may have stopped waiting: what Baton has taken is in the state all the same."""
        pending = self._pending.pop(result.patch, None)
        match result.outcome:
            case StateAccepted(version):
                if pending is not None:
                    self._memory.merge(pending.merge_patch, version)
                    pending.answered(version)
            case StateConflict(version, current):
                self._memory.replace_state(current, version)
                if pending is not None:
                    pending.failed(StateConflictError(version))
            case StateDenied(path, reason):
                if pending is not None:
                    pending.failed(StateForbiddenError(path, reason))

    def over(self) -> None:
        """The call is over."""
        for pending in self._pending.values():
            pending.failed(CallOverError())
        self._pending.clear()
