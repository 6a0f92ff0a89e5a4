"""Specialists that break one duty each, so that the kit can be seen to find each out."""

import asyncio
from typing import Any

from said import Speaker, tone

from baton.bodies import Wait
from baton.ids import Epoch
from baton.specialist import Agent, Call, Granting, Job, Preparation
from baton.specialist.agent import StateError

LONG = "x" * 200


def break_joining() -> None:
    """Has every job look for its fault before it joins: then it is too late."""
    join = Job.join

    async def joins(job: Job) -> None:
        if _fault(job.call) == "open":

            async def nothing() -> None:
                pass

            job.connection.close_permission = nothing  # type: ignore[method-assign]
        await join(job)

    Job.join = joins  # type: ignore[method-assign]


def broken(call: Call, fault: str) -> Agent:
    job: Any = call._wishes

    def nothing(*_: object) -> None:
        pass

    match fault:
        case "never-ready":
            return NeverReady()
        case "ungated":
            return Ungated()
        case "mute":
            return Agent()
        case "eager":
            return Eager()
        case "secretive":
            return Secretive()
        case "touchy":
            return Touchy()
        case "forgets":
            job.memory.take = nothing_taken(job.memory)
        case "sounds-on":
            job.voice.close = nothing
            return SoundsOn()
        case "deaf":
            job._put_down = nothing
            job.voice.close = nothing
            return SoundsOn()
        case "gullible":
            return Gullible()
        case "lets-go":
            job.orchestrator_joined = nothing
        case "stays-away":
            job.reconnected = nothing
        case "stays":
            job._end = nothing
    return Speaker()


class NeverReady(Speaker):
    async def prepare(self, call: Call, preparation: Preparation) -> None:
        await asyncio.Event().wait()


class Ungated(Speaker):
    async def prepare(self, call: Call, preparation: Preparation) -> None:
        call.voice.open()
        call.voice.set_audible(True)
        self.task = asyncio.ensure_future(call.voice.say(tone(LONG, call.voice.sample_rate)))


class Eager(Speaker):
    async def granted(self, call: Call, grant: Granting) -> None:
        await self.say(call, "good morning" if isinstance(grant.opening, Wait) else "well")


class Secretive(Speaker):
    async def say(self, call: Call, words: str) -> None:
        await call.voice.say(tone(words, call.voice.sample_rate))


class Touchy(Speaker):
    async def granted(self, call: Call, grant: Granting) -> None:
        try:
            await call.patch({"mood": "good"})
        except StateError as error:
            raise RuntimeError("how dare you") from error


class SoundsOn(Speaker):
    async def granted(self, call: Call, grant: Granting) -> None:
        async def on() -> None:
            with call.voice.utterance() as utterance:
                call.voice.finished = _at_once  # type: ignore[method-assign]
                while True:
                    await utterance.write(tone(LONG, call.voice.sample_rate))

        self.task = asyncio.ensure_future(on())


class Gullible(Speaker):
    async def revoked(self, call: Call) -> None:
        call._wishes._standing._fence = Epoch(0)  # type: ignore[attr-defined]


async def _at_once() -> None:
    pass


def nothing_taken(memory: Any) -> Any:
    take = memory.take

    def taken(items: Any) -> Any:
        result = take(items)
        memory._hash = bytes(32)
        return result

    return taken


def _fault(call: Call) -> str | None:
    return call.metadata.get("fault") if isinstance(call.metadata, dict) else None
