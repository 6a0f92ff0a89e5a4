"""The handoffs that a specialist has asked for, and the results that it waits for."""

import asyncio
from collections.abc import Callable
from typing import Any

from baton.bodies import (
    DelegationResult,
    HandoffAccepted,
    HandoffDone,
    HandoffFailed,
    HandoffOutcome,
    HandoffRefused,
    HandoffRequest,
    HandoffResult,
    Target,
)
from baton.ids import Epoch, RequestId
from baton.specialist.agent import CallOverError, DelegationError, HandoffError, Request, TooManyRequestsError, outcome_error
from baton.specialist.payload import decoded, encoded

REQUESTS_MAX = 8
"""Handoffs that an agent may ask for at the same time."""
REFUSAL_MAX_SECS = 0.5
"""How long it may take to learn that a handoff is under way, or refused: Baton says either at once."""
TEXT_CHARS_MAX = 512
"""The longest reason that is sent, in characters."""


class Asked:
    """A handoff that was asked for."""

    def __init__(self, asking: HandoffRequest, epoch: Epoch) -> None:
        loop = asyncio.get_running_loop()
        self.asking = asking
        self.number = asking.request
        self.epoch = epoch
        """Under which it was asked for last."""
        self.first: asyncio.Future[HandoffAccepted] = loop.create_future()
        self.last: asyncio.Future[HandoffDone] = loop.create_future()
        for future in (self.first, self.last):
            # Who asked may have gone away, and nobody is told then.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def under_way(self) -> None:
        await asyncio.wait((self.first,), timeout=REFUSAL_MAX_SECS)
        if self.first.done():
            self.first.result()

    async def done(self) -> HandoffDone:
        return await asyncio.shield(self.last)

    def answered(self, outcome: HandoffOutcome) -> bool:
        """Whether it was the last word."""
        match outcome:
            case HandoffAccepted():
                if not self.first.done():
                    self.first.set_result(outcome)
                return False
            case HandoffDone():
                if not self.first.done():
                    self.first.set_result(HandoffAccepted(outcome.handoff))
                if not self.last.done():
                    self.last.set_result(outcome)
            case HandoffRefused() | HandoffFailed():
                self.fail(outcome_error(outcome))
        return True

    def fail(self, error: HandoffError) -> None:
        for future in (self.first, self.last):
            if not future.done():
                future.set_exception(error)


class Requests:
    """Those of one call."""

    def __init__(self) -> None:
        self._open: dict[RequestId, Asked] = {}
        self._last = 0
        self._delegations: dict[RequestId, asyncio.Future[Any]] = {}
        self._told: list[Callable[[HandoffOutcome], None]] = []

    def on_outcome(self, told: Callable[[HandoffOutcome], None]) -> None:
        """Tells of every outcome."""
        self._told.append(told)

    def next(self, target: Target, reason: str, tool_call: str | None, delegation: Any, result: Any) -> HandoffRequest:
        """What to ask for. Raises `TooManyRequestsError` or `UnserialisableError`."""
        if len(self._open) >= REQUESTS_MAX:
            raise TooManyRequestsError(REQUESTS_MAX)
        return HandoffRequest(
            RequestId(self._last + 1),
            target,
            reason[:TEXT_CHARS_MAX],
            tool_call,
            None if delegation is None else encoded("the task", delegation),
            None if result is None else encoded("the result", result),
        )

    def asked(self, asking: HandoffRequest, epoch: Epoch) -> Asked:
        """It was sent under this epoch."""
        self._last = asking.request
        asked = self._open[asking.request] = Asked(asking, epoch)
        return asked

    def again(self, epoch: Epoch) -> list[HandoffRequest]:
        """What to ask for once more. The baton was granted anew, as by a Baton that was started again: what was asked for before is not
        answered under the epoch that was."""
        stale = [each for each in self._open.values() if each.epoch != epoch]
        for each in stale:
            each.epoch = epoch
        return [each.asking for each in stale]

    def answered(self, result: HandoffResult) -> None:
        """Baton says what became of one."""
        asked = self._open.get(result.request)
        if asked is not None and asked.answered(result.outcome):
            del self._open[result.request]
        for told in self._told:
            told(result.outcome)

    async def delegation(self, request: Request) -> Any:
        """What comes of a delegation. Raises `HandoffError` or `DelegationError`."""
        if not isinstance(request, Asked):
            raise TypeError("it is no request of this job")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._delegations[request.number] = future
        try:
            await request.done()
            return await future
        finally:
            self._delegations.pop(request.number, None)

    def delegation_ended(self, result: DelegationResult) -> None:
        """Baton brings the result of one, or none."""
        future = self._delegations.get(result.request)
        if future is None or future.done():
            return
        if result.result is None:
            future.set_exception(DelegationError(result.failed))
        else:
            future.set_result(decoded(result.result))

    def over(self) -> None:
        """The call is over."""
        for asked in self._open.values():
            asked.fail(CallOverError())
        self._open.clear()
        for waiting in self._delegations.values():
            if not waiting.done():
                waiting.set_exception(CallOverError())
