"""EndCallTool ends the specialist's part, not the room."""

import asyncio
import tempfile

from scenes import Silent
from stage import staged, until
from test_handoff import told, worker

from baton.specialist import Call, Specialist


def test_end_call_hands_back_to_whoever_had_the_baton_before() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["reception", "triage"]) as stage:
                triage = worker(stage, folder)
                await triage.start()
                stop = asyncio.Event()
                grants: list[Call] = []
                server = stage.server
                keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
                reception = Specialist("reception", **keys, drain_grace_secs=2)
                running = asyncio.create_task(reception.run(lambda call: Silent(call, grants), stop))
                try:
                    await until("both are registered", lambda: server.log().count("worker registered") == 3, 90.0)
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
                finally:
                    print(triage.log()[-5_000:])
                    await triage.stop()
                    stop.set()
                    await asyncio.wait_for(running, 20)

    asyncio.run(scenario())
