"""Tasks that are tracked: none is lost, none outlives its owner."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("baton")


CANCEL_AGAIN_SECS = 1.0
"""How soon a task that goes on is cancelled again."""
ENDED_MAX_SECS = 5.0
"""How long a task may go on after it was cancelled first."""


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks, and waits until they have ended.

    A cancellation can be lost: Python 3.11's `asyncio.wait_for` swallows one that comes in the step in which its work is done, and
    an agent's own code may catch it. So it is said again, and a task that goes on all the same is given up after `ENDED_MAX_SECS`.
    """
    deadline = asyncio.get_running_loop().time() + ENDED_MAX_SECS
    going_on = set(tasks)
    while going_on and asyncio.get_running_loop().time() < deadline:
        for task in going_on:
            task.cancel()
        _, going_on = await asyncio.wait(going_on, timeout=CANCEL_AGAIN_SECS)
    for task in going_on:
        logger.error("%s goes on though it was cancelled", task.get_name())


class Tasks:
    """Running tasks of one owner. An exception of one is logged; it harms no other."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Starts a task."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def stop(self) -> None:
        """Cancels all, but the one that asks, and waits until they have ended."""
        await ended(*(task for task in self._running if task is not asyncio.current_task()))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)
