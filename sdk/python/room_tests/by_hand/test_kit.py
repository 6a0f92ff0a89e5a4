"""The kit passes a good specialist, and finds out one that breaks a duty."""

import asyncio
import sys
import tempfile
from pathlib import Path

from stage import server, until

from baton.kit.checks import CHECKS, Target
from baton.kit.report import Outcome, check, check_all, table
from baton.kit.server import Program

HERE = Path(__file__).parent
FAULTS = {
    "joins-closed": "open",
    "gets-ready": "never-ready",
    "silent-before": "ungated",
    "opens-as-told": "mute",
    "waits-as-told": "eager",
    "context-complete": "forgets",
    "streams-context": "secretive",
    "finishes": "sounds-on",
    "cut-at-once": "deaf",
    "ignores-stale": "gullible",
    "state-refused": "touchy",
    "reconnects": "stays-away",
    "survives-baton": "lets-go",
    "leaves": "stays",
}


def test_a_good_specialist_passes_and_each_broken_duty_is_found_out() -> None:
    assert set(FAULTS) == set(CHECKS)

    async def scenario() -> None:
        async with server() as livekit:
            with tempfile.TemporaryDirectory() as folder:
                environment = {**await livekit.agents_environment(), "PYTHONPATH": str(HERE.parents[1] / "src")}
                agent = Program("said", [sys.executable, str(HERE / "said.py")], Path(folder) / "log", environment)
                await agent.start()
                try:
                    await until("it is registered", lambda: "registered as said" in agent.log())
                    keys = {"api_key": livekit.api_key, "api_secret": livekit.api_secret}
                    target = Target(url=livekit.url, **keys, agent_name="said", line=livekit.line)
                    good = await check_all(target, CHECKS, 4)
                    assert all(outcome.passed for outcome in good), table(good)
                    broken = await asyncio.gather(*(found_out(target, name, slots) for name in CHECKS))
                    assert not any(outcome.passed for outcome in broken), table(broken)
                finally:
                    print(agent.log()[-6_000:])
                    await agent.stop()

    slots = asyncio.Semaphore(5)
    asyncio.run(scenario())


async def found_out(target: Target, name: str, slots: asyncio.Semaphore) -> Outcome:
    async with slots:
        faulty = Target(
            url=target.url,
            api_key=target.api_key,
            api_secret=target.api_secret,
            agent_name=target.agent_name,
            metadata={"fault": FAULTS[name]},
            line=target.line,
        )
        return await check(faulty, name)
