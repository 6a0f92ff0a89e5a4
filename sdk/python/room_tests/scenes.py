"""Scenes that are played with each framework: a specialist of it, and what others see and hear of it."""

import asyncio
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit import rtc
from stage import Stage, server, staged, together, until
from telling import described, told, tone

from baton.kit.checks import CHECKS, Target
from baton.kit.report import check_all, table
from baton.kit.server import Program
from baton.specialist import Agent, Call, Granting

FALLBACK_MAX_SECS = 20.0
"""How long the fallback is waited for."""
HEARD_MAX_SECS = 2.0
"""From the kill until it is heard. LiveKit's server keeps a participant whose process was killed for some 20 s; Baton asks."""
Make = Callable[[Stage, str], Program]
"""Makes the program of a specialist, whose log is in the folder."""


class Silent(Agent):
    """Another specialist, that says nothing."""

    def __init__(self, call: Call, grants: list[Call]) -> None:
        self.grants = grants

    async def granted(self, call: Call, grant: Granting) -> None:
        self.grants.append(call)


class Standby(Agent):
    """Says something when it has the baton, and keeps what it was told until then."""

    def __init__(self, contexts: list[list[str]], grants: list[float]) -> None:
        self.contexts = contexts
        self.grants = grants

    async def granted(self, call: Call, grant: Granting) -> None:
        self.grants.append(asyncio.get_running_loop().time())
        self.contexts.append([item.id for item in call.memory.items])
        rate = call.voice.sample_rate
        samples = tone("somebody else is here and goes on with it", 700, rate)
        await call.voice.say(rtc.AudioFrame(samples, rate, 1, len(samples) // 2))


async def the_fallback_goes_on(name: str, make: Make) -> None:
    """The process is killed while it speaks: the fallback goes on, with all that was acked."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged([name, "standby"], fallback="standby") as stage:
            agent = make(stage, folder)
            contexts: list[list[str]] = []
            grants: list[float] = []
            async with together(stage, agent, "standby", lambda _: Standby(contexts, grants)):
                phone = await stage.dial()
                await phone.hears(500)
                await asyncio.sleep(1.5)
                # A long answer, in whose middle it dies.
                await phone.room.local_participant.send_text("tell me " + "more " * 20, topic="test.says")
                await phone.hears(300)
                taken = len(stage.lines("item taken"))
                loop = asyncio.get_running_loop()
                killed = loop.time()
                agent.signal_group(signal.SIGKILL)
                await until("the fallback has the baton", lambda: len(contexts) == 1, FALLBACK_MAX_SECS)
                # From the grant on it is the fallback that is heard.
                heard = lambda: next((when for when, _, _ in phone.heard if when > grants[0] + 0.05), None)  # noqa: E731
                await until("the fallback is heard", lambda: heard() is not None, FALLBACK_MAX_SECS)
                heard_secs = (heard() or 0.0) - killed
                print(f"heard {heard_secs:.2f} s after the kill, {len(contexts[0])} of {taken} items known")
                assert len(contexts[0]) >= taken
                assert heard_secs <= HEARD_MAX_SECS
                await phone.hang_up()


async def the_next_one_gets_a_summary(name: str, make: Make) -> None:
    """The model sums the conversation up for the one who takes over, where the route is to give no more."""
    with tempfile.TemporaryDirectory() as folder:
        route = ", context: summary, summary: {last_items: 1, timeout_ms: 10000, fallback: none}"
        async with staged([name, "billing"], route=route) as stage:
            first = make(stage, folder)
            grants: list[Call] = []
            async with together(stage, first, "billing", lambda call: Silent(call, grants)):
                phone = await stage.dial()
                await phone.hears(500)
                await asyncio.sleep(1.5)
                await phone.room.local_participant.send_text("handoff billing", topic="test.says")
                await until("billing has the baton", lambda: len(grants) == 1)

                def texts() -> list[Any]:
                    return [described(item.chat_item).get("text") for item in grants[0].memory.items]

                await until("the summary is there", lambda: any(text and "the sum of " in text[0] for text in texts()))
                # What was said at first is in it alone.
                assert [f"hello, this is {name}"] not in texts(), texts()
                await phone.hang_up()


async def what_cannot_be_shared_is_told(name: str, make: Make) -> None:
    """What may not be shared, and what cannot, is told, and nothing else ends."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged([name], each=", state_fields: [read notes]") as stage:
            agent = make(stage, folder)
            await agent.start()
            errors = lambda: told(agent.log(), "error")  # noqa: E731
            try:
                await until("both are registered", lambda: stage.server.log().count("worker registered") == 2, 90.0)
                phone = await stage.dial()
                await phone.hears(500)
                await asyncio.sleep(1.5)
                say = phone.room.local_participant.send_text
                await say("share notes", topic="test.says")
                await until("the first is refused", lambda: len(errors()) == 1)
                await say("share notes badly", topic="test.says")
                await until("the second is refused", lambda: len(errors()) == 2)
                forbidden, unserialisable = errors()
                assert forbidden["type"] == "StateForbiddenError"
                assert "/notes may not be written" in forbidden["text"] and "see the scopes" in forbidden["text"]
                assert unserialisable["type"] == "UnserialisableError"
                assert "Caller.notes cannot be shared" in unserialisable["text"] and "mark it as local" in unserialisable["text"]
                since = asyncio.get_running_loop().time()
                await say("are you there", topic="test.says")
                await until("it goes on", lambda: phone.hears_since(since) > 300)
                await phone.hang_up()
            finally:
                print(agent.log()[-6_000:])
                await agent.stop()


async def the_kit_passes(name: str, command: list[str], source: str) -> None:
    """Every check of the kit passes for a specialist that this command starts."""
    with tempfile.TemporaryDirectory() as folder:
        async with server() as livekit:
            environment = {**await livekit.agents_environment(), "PYTHONPATH": source}
            agent = Program(name, command, Path(folder) / "log", environment)
            await agent.start()
            try:
                await until("it is registered", lambda: "worker registered" in livekit.log(), 60.0)
                keys = {"api_key": livekit.api_key, "api_secret": livekit.api_secret}
                target = Target(url=livekit.url, **keys, agent_name=name, line=livekit.line)
                outcomes = await check_all(target, CHECKS, 3)
                assert all(outcome.passed for outcome in outcomes), table(outcomes)
            finally:
                print(agent.log()[-6_000:])
                await agent.stop()
