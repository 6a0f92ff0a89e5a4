"""A specialist's process: its settings, its worker, its calls."""

import asyncio
import inspect
import os
import signal

from livekit import rtc

from baton.metadata import DispatchMetadata
from baton.specialist.agent import MakeAgent
from baton.specialist.caller import Hearing
from baton.specialist.job import Job
from baton.specialist.patches import WRITE_MAX_SECS
from baton.specialist.room import ConnectionLostError
from baton.specialist.worker import Assignment, Worker, WorkerError


class Specialist:
    """A specialist, ready to take calls.

    What is not given comes from LiveKit's environment variables: `LIVEKIT_URL`, `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET`.
    `agent_name` is the name under which Baton dispatches it, `write_timeout_secs` how long a change of the state waits for Baton's answer. Raises `WorkerError` if something is missing.
    """

    def __init__(
        self,
        agent_name: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        max_calls: int = 20,
        drain_grace_secs: float = 3_600,
        sample_rate: int = 48_000,
        hearing: Hearing | None = None,
        write_timeout_secs: float = WRITE_MAX_SECS,
    ) -> None:
        self._sample_rate = sample_rate
        self._hearing = hearing or Hearing()
        self._write_timeout_secs = write_timeout_secs
        self._drain_grace_secs = drain_grace_secs
        self._make: MakeAgent | None = None
        self._worker = Worker(
            agent_name=agent_name,
            url=url or _environment("LIVEKIT_URL"),
            api_key=api_key or _environment("LIVEKIT_API_KEY"),
            api_secret=api_secret or _environment("LIVEKIT_API_SECRET"),
            max_jobs=max_calls,
            decide=_participant_name,
            work=self._call,
        )

    async def run(self, make: MakeAgent, stop: asyncio.Event | None = None) -> None:
        """Takes calls until SIGTERM or SIGINT (or `stop`), then lets the running ones finish, for the grace period at
        most; a second signal ends at once. `make` makes the agent of each call. Raises `WorkerError`."""
        self._make = make
        stop = stop or asyncio.Event()
        cut = asyncio.Event()
        loop = asyncio.get_running_loop()

        def signalled() -> None:
            (cut if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        await self._worker.run(stop)
        draining = asyncio.ensure_future(self._worker.drain(self._drain_grace_secs))
        second = asyncio.ensure_future(cut.wait())
        await asyncio.wait((draining, second), return_when=asyncio.FIRST_COMPLETED)
        for waiting in (draining, second):
            waiting.cancel()
        await asyncio.gather(draining, second, return_exceptions=True)

    async def _call(self, given: Assignment) -> None:
        if self._make is None:
            raise WorkerError("no call is taken before `run`")
        metadata = DispatchMetadata.parse(given.metadata)
        job = Job(
            rtc.Room(),
            metadata,
            sample_rate=self._sample_rate,
            hearing=self._hearing,
            write_timeout_secs=self._write_timeout_secs,
        )
        await job.connection.join(given.url, given.token)
        async with asyncio.timeout(5.0):
            sid = await job.connection.room.sid
        if given.room_sid and sid != given.room_sid:
            # A room that was closed meanwhile is made anew by joining it, and nobody is in it.
            await job.connection.close()
            raise ConnectionLostError("the room is gone: it was closed before it could be joined")
        await job.join()
        made = self._make(job.call)
        agent = await made if inspect.isawaitable(made) else made
        await job.run(agent)


def _participant_name(metadata: str) -> str:
    """Takes what Baton has dispatched, and nothing else: without a ticket there is nobody to talk to."""
    return DispatchMetadata.parse(metadata).baton.specialist


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise WorkerError(f"{name} is not set")
    return value
