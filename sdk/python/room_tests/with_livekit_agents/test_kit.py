"""The kit passes an agent of LiveKit Agents."""

import asyncio
import sys
import tempfile
from pathlib import Path

from stage import server, until

from baton.kit.checks import CHECKS, Target
from baton.kit.report import check_all, table
from baton.kit.server import Program

HERE = Path(__file__).parent


def test_an_agent_does_its_duties() -> None:
    async def scenario() -> None:
        async with server() as livekit:
            with tempfile.TemporaryDirectory() as folder:
                environment = {**await livekit.agents_environment(), "PYTHONPATH": str(HERE.parents[1] / "src")}
                command = [sys.executable, str(HERE / "triage.py"), "start"]
                agent = Program("triage", command, Path(folder) / "log", environment)
                await agent.start()
                try:
                    await until("it is registered", lambda: "worker registered" in livekit.log(), 60.0)
                    keys = {"api_key": livekit.api_key, "api_secret": livekit.api_secret}
                    target = Target(url=livekit.url, **keys, agent_name="triage", line=livekit.line)
                    outcomes = await check_all(target, CHECKS, 3)
                    assert all(outcome.passed for outcome in outcomes), table(outcomes)
                finally:
                    print(agent.log()[-6_000:])
                    await agent.stop()

    asyncio.run(scenario())
