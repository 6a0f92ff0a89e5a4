"""An agent of LiveKit Agents in a call of the real Baton."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import telling
from scenes import Silent
from stage import Stage, staged, together, until

from baton.kit.server import Program
from baton.specialist import Call

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


def worker(stage: Stage, folder: str, file: str = "triage.py", **environment: str) -> Program:
    return Program(
        file,
        [sys.executable, str(HERE / file), "start"],
        Path(folder) / f"{file}.log",
        {**stage.server.environment, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **environment},
    )


def told(program: Program, kind: str) -> list[dict[str, Any]]:
    return telling.told(program.log(), kind)


def test_an_agent_greets_hands_off_and_is_told_of_a_refusal() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "billing"]) as stage:
                triage = worker(stage, folder)
                grants: list[Call] = []
                async with together(stage, triage, "billing", lambda call: Silent(call, grants)):
                    phone = await stage.dial()
                    await phone.hears(500)
                    assert told(triage, "started")[0]["tools"] == ["look_up", "handoff"]
                    say = phone.room.local_participant.send_text

                    await say("handoff nowhere", topic="test.says")
                    await until(
                        "the refusal is answered",
                        lambda: any("the tool said" in (each["text"] or "") for each in told(triage, "item")),
                    )
                    await asyncio.sleep(1.5)
                    await say("handoff billing", topic="test.says")
                    await until("billing has the baton", lambda: len(grants) == 1)
                    await until("triage knows", lambda: "revoked, epoch 2" in triage.log())
                    loop = asyncio.get_running_loop()
                    await asyncio.sleep(0.3)
                    since = loop.time()
                    await say("who am i", topic="test.says")
                    await asyncio.sleep(1.0)
                    assert phone.hears_since(since) == 0, "triage is silent without the baton"

                    await grants[0].hand_back("done")
                    await phone.hears(300)
                    await phone.hang_up()
                    await until("triage has left", lambda: told(triage, "ended"))

    asyncio.run(scenario())
