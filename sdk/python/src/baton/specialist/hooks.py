"""Runs an agent's hooks, one at a time, on a task of its own."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from baton.bodies import ContextItem
from baton.ids import HandoffId
from baton.specialist.agent import Agent, Call, Granting, Preparation, RefusalError
from baton.specialist.tasks import ended
from baton.specialist.trace import join

CUES_MAX = 64
"""Cues that may wait for an agent. A cue is only late if a hook awaits for long without reason."""

logger = logging.getLogger("baton")


class StuckError(Exception):
    """The agent does not return from its hooks."""

    def __init__(self) -> None:
        super().__init__(f"the agent is stuck: {CUES_MAX} cues wait for it")


@dataclass(frozen=True, slots=True)
class _Prepare:
    preparation: Preparation


@dataclass(frozen=True, slots=True)
class _Granted:
    grant: Granting


@dataclass(frozen=True, slots=True)
class _Revoked:
    heard: asyncio.Future[None]
    """Done when the agent has fallen silent."""


_Cue = _Prepare | _Granted | _Revoked


class Hooks:
    """The job's end of an agent."""

    def __init__(
        self,
        agent: Agent,
        call: Call,
        prepared: Callable[[HandoffId, str | None], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._agent = agent
        self._call = call
        self._prepared = prepared
        self._failed = failed
        self._cues: asyncio.Queue[tuple[_Cue, int]] = asyncio.Queue(CUES_MAX)
        self._reason = 0
        self._running: asyncio.Task[Any] | None = None
        self._runs_for: int | None = None
        self._digit = 0
        self._task = asyncio.create_task(self._run(), name="baton: agent")

    def prepare(self, preparation: Preparation) -> None:
        """Has the agent prepare."""
        self._renew()
        self._cue(_Prepare(preparation))

    def granted(self, grant: Granting) -> None:
        """Tells it of a grant."""
        self._renew()
        self._cue(_Granted(grant))

    def finishing(self) -> None:
        """Tells it that the baton will go."""
        self._told(lambda: self._agent.finishing(self._call))

    def revoked(self) -> asyncio.Future[None]:
        """Tells it that the baton is gone; done when it has fallen silent, and has said what was heard."""
        self._renew()
        heard = asyncio.get_running_loop().create_future()
        self._cue(_Revoked(heard))
        return heard

    def digit(self, number: int, digit: str) -> None:
        """Tells it of a key of the caller's, once."""
        if number > self._digit:
            self._digit = number
            self._told(lambda: self._agent.digit(self._call, digit))

    async def summarize(self) -> str | None:
        """Has it make a summary."""
        return await self._agent.summarize(self._call)

    def items(self, items: tuple[ContextItem, ...]) -> None:
        """Tells it what others have said."""
        if items:
            self._told(lambda: self._agent.items(self._call, items))

    def state_changed(self, patch: dict[str, Any]) -> None:
        """Tells it of a change."""
        self._told(lambda: self._agent.state_changed(self._call, patch))

    def cancel(self) -> None:
        """The preparation was called off."""
        self._renew()

    async def stop(self) -> None:
        """Ends the agent's task."""
        await ended(self._task)

    def _told(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:
            self._failed(error)

    def _renew(self) -> None:
        """What runs for a preparation or a grant has lost its reason."""
        self._reason += 1
        if self._running is not None and self._runs_for is not None and self._runs_for < self._reason:
            self._running.cancel()

    def _cue(self, cue: _Cue) -> None:
        try:
            self._cues.put_nowait((cue, self._reason))
        except asyncio.QueueFull:
            self._failed(StuckError())

    async def _run(self) -> None:
        try:
            await self._agent.joined(self._call)
            while True:
                cue, reason = await self._cues.get()
                match cue:
                    case _Prepare(preparation):
                        await self._prepare(preparation, reason)
                    case _Granted(grant):
                        await self._while_reason(self._agent.granted(self._call, grant), reason)
                    case _Revoked(heard):
                        await self._agent.revoked(self._call)
                        if not heard.done():
                            heard.set_result(None)
        except Exception as error:
            logger.exception("the agent failed")
            self._failed(error)

    async def _prepare(self, preparation: Preparation, reason: int) -> None:
        refusal = None
        join(preparation.traceparent)
        try:
            if not await self._while_reason(self._agent.prepare(self._call, preparation), reason):
                return
        except RefusalError as error:
            refusal = error.reason
        self._prepared(preparation.handoff, refusal)

    async def _while_reason(self, hook: Coroutine[Any, Any, None], reason: int) -> bool:
        """Runs a hook while its reason holds, and says whether it came to its end."""
        if reason != self._reason:
            hook.close()
            return False
        self._runs_for = reason
        self._running = running = asyncio.ensure_future(hook)
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError:
            await ended(running)
            raise
        finally:
            self._running = self._runs_for = None
        if running.cancelled():
            return False
        running.result()
        return True
