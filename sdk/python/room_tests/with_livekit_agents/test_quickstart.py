"""The quickstart of docs/specialists-python.md works as it is written: started by its own command, and as `lk agent dev` does."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import pytest
from quickstart import HERE, LIVEKIT_AGENTS, ROOT, carried_out, commands, written

from baton.kit.server import Program

SOURCE = ROOT / "sdk/python/src"


@pytest.mark.parametrize("command", commands(LIVEKIT_AGENTS)[::3], ids=" ".join)
def test_the_page_leads_to_a_call(command: list[str]) -> None:
    asyncio.run(carried_out(LIVEKIT_AGENTS, sys.executable, command, [SOURCE]))


def test_a_console_talks_to_an_agent_that_starts_without_baton() -> None:
    """As `lk agent console` does: the agent connects to it."""

    async def scenario() -> None:
        connected = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            if await reader.read(1):
                connected.set()
            await reader.read()

        console = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = console.sockets[0].getsockname()[1]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            written(LIVEKIT_AGENTS, folder)
            file = folder / LIVEKIT_AGENTS.file
            code = file.read_text()
            assert code.count("ctx=ctx)") == 1
            file.write_text(code.replace("ctx=ctx)", "ctx=ctx, without_baton=True)"))
            paths = os.pathsep.join(map(str, (HERE, HERE / LIVEKIT_AGENTS.folder, SOURCE)))
            environment = {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "LIVEKIT_URL": "ws://127.0.0.1:1"}
            keys = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "a-secret-that-is-long-enough-for-it"}
            command = ["-m", "livekit.agents", "console", str(file), "--connect-addr", f"127.0.0.1:{port}"]
            agent = Program("console", [sys.executable, *command], folder / "log", {**environment, **keys})
            await agent.start()
            try:
                # What it hears and says is the console's.
                await agent.wait_for("TCP Console", 60.0)
                async with asyncio.timeout(30.0):
                    await connected.wait()
            finally:
                print(agent.log()[-3_000:])
                await agent.stop()
                console.close()

    asyncio.run(scenario())
