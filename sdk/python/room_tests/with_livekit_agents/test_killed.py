"""The process of an agent is killed while it speaks."""

import asyncio
import signal
import tempfile

from livekit import rtc
from stage import staged, until
from telling import tone
from test_handoff import worker

from baton.specialist import Agent, Call, Granting, Specialist

FALLBACK_MAX_SECS = 20.0
"""How long the fallback is waited for."""
HEARD_MAX_SECS = 2.0
"""From the kill until it is heard. LiveKit's server keeps a participant whose process was killed for some 20 s; Baton asks."""


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


def test_the_fallback_goes_on_with_all_that_was_acked() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "standby"], fallback="standby") as stage:
                triage = worker(stage, folder)
                await triage.start()
                contexts: list[list[str]] = []
                grants: list[float] = []
                stop = asyncio.Event()
                server = stage.server
                keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
                standby = Specialist("standby", **keys, drain_grace_secs=2)
                running = asyncio.create_task(standby.run(lambda _: Standby(contexts, grants), stop))
                try:
                    await until("both are registered", lambda: server.log().count("worker registered") == 3, 90.0)
                    phone = await stage.dial()
                    await phone.hears(500)
                    await asyncio.sleep(1.5)
                    # A long answer, in whose middle it dies.
                    await phone.room.local_participant.send_text("tell me " + "more " * 20, topic="test.says")
                    await phone.hears(300)
                    taken = len(stage.lines("item taken"))
                    loop = asyncio.get_running_loop()
                    killed = loop.time()
                    triage.signal_group(signal.SIGKILL)
                    await until("the fallback has the baton", lambda: len(contexts) == 1, FALLBACK_MAX_SECS)
                    # From the grant on it is the fallback that is heard.
                    heard: list[float] = []
                    while not heard:
                        await asyncio.sleep(0.02)
                        heard = [when for when, _, _ in phone.heard if when > grants[0] + 0.05]
                    print(f"heard {heard[0] - killed:.2f} s after the kill, {len(contexts[0])} of {taken} items known")
                    assert len(contexts[0]) >= taken
                    assert heard[0] - killed <= HEARD_MAX_SECS
                    await phone.hang_up()
                finally:
                    await triage.stop()
                    stop.set()
                    await asyncio.wait_for(running, 20)

    asyncio.run(scenario())
