"""EndCallTool ends the specialist's part, not the room."""

import asyncio
import tempfile

from scenes import Silent
from stage import staged, together, until
from test_handoff import told, worker

from baton.specialist import Call


def test_end_call_hands_back_to_whoever_had_the_baton_before() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["reception", "triage"]) as stage:
                triage = worker(stage, folder)
                grants: list[Call] = []
                async with together(stage, triage, "reception", lambda call: Silent(call, grants)):
                    phone = await stage.dial()
                    await until("reception has the baton", lambda: len(grants) == 1)
                    since = asyncio.get_running_loop().time()
                    await grants[0].handoff("triage", "a test moves on")
                    await until("triage is heard", lambda: phone.hears_since(since) > 300)
                    await asyncio.sleep(1.5)
                    await phone.room.local_participant.send_text("good bye", topic="test.says")
                    await until("reception has the baton again", lambda: len(grants) == 2)
                    await until("triage has left", lambda: told(triage, "ended"))
                    assert phone.room.isconnected(), "the room is there"
                    await phone.hang_up()

    asyncio.run(scenario())
