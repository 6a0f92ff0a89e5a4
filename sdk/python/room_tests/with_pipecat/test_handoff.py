"""A bot of Pipecat in a call of the real Baton."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import telling
from stage import Stage, staged, together, until

from baton.kit.server import Program
from baton.specialist import Agent, Call, Granting

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


def bot(stage: Stage, folder: str, file: str = "payments.py", **environment: str) -> Program:
    return Program(
        file,
        [sys.executable, str(HERE / file)],
        Path(folder) / f"{file}.log",
        {**stage.server.environment, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **environment},
    )


def told(program: Program, kind: str) -> list[dict[str, Any]]:
    return telling.told(program.log(), kind)


class Asking(Agent):
    """The entry, that hands off at once, and counts what comes back."""

    def __init__(self, grants: list[int]) -> None:
        self.grants = grants

    async def granted(self, call: Call, grant: Granting) -> None:
        self.grants.append(int(grant.epoch))
        if len(self.grants) == 1:
            await call.handoff("payments", "to pay")
        await asyncio.Event().wait()


def test_a_bot_greets_calls_a_function_hands_off_and_is_told_of_a_refusal() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "payments"]) as stage:
                payments = bot(stage, folder)
                grants: list[int] = []
                async with together(stage, payments, "triage", lambda call: Asking(grants)):
                    phone = await stage.dial()
                    await phone.hears(500)
                    say = phone.room.local_participant.send_text
                    await asyncio.sleep(1.5)
                    for words in ("handoff nowhere", "pay"):
                        since = asyncio.get_running_loop().time()
                        await say(words, topic="test.says")
                        await until(f"{words} is answered", lambda since=since: phone.hears_since(since) > 500)
                        await asyncio.sleep(1.5)
                    await say("handoff triage", topic="test.says")
                    await until("triage has the baton", lambda: grants == [1, 3])
                    await until("payments knows", lambda: "revoked, epoch 3" in payments.log())
                    since = asyncio.get_running_loop().time() + 0.3
                    await say("who am i", topic="test.says")
                    await asyncio.sleep(1.3)
                    assert phone.hears_since(since) == 0, "payments is silent without the baton"
                    await phone.hang_up()
                    await until("payments has left", lambda: told(payments, "ended"))
                    messages = told(payments, "ended")[0]["messages"]
                    results = [each["content"] for each in messages if each["role"] == "tool"]
                    assert len(results) == 3, messages
                    assert 'no specialist' in results[0]
                    assert json.loads(results[1]) == {"paid": 1250}
                    assert json.loads(results[2]) == {"result": "triage takes over"}

    asyncio.run(scenario())
