"""The connection of an agent is lost so that it has to be made anew: the server terminates the agent's job then."""

import asyncio
import signal
import tempfile

from scenes import Standby
from stage import ROOM, staged, together, until
from test_handoff import told, worker



def test_the_call_goes_on_after_a_full_reconnect_with_all_that_was_acked() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "standby"], fallback="standby") as stage:
                server = stage.server
                environment = await server.agents_environment()
                triage = worker(stage, folder, LIVEKIT_URL=environment["LIVEKIT_URL"])
                contexts: list[list[str]] = []
                grants: list[float] = []
                line = server.line
                assert line is not None
                async with together(stage, triage, "standby", lambda _: Standby(contexts, grants)):
                    phone = await stage.dial()
                    await phone.hears(500)
                    await asyncio.sleep(1.5)
                    await phone.room.local_participant.send_text("who am i", topic="test.says")
                    await until("it answers", lambda: len(told(triage, "item")) >= 3)
                    await asyncio.sleep(1.0)
                    taken = len(stage.lines("item taken"))
                    line.refuse(ROOM)
                    # It has given up resuming then.
                    await until("it begins anew", lambda: "restarting connection" in triage.log())
                    line.refuse(ROOM, False)
                    since = asyncio.get_running_loop().time()
                    await until("somebody has the baton", lambda: grants or "as a new participant" in triage.log())
                    print("the fallback" if grants else "the agent itself", f"goes on; {taken} items")
                    await phone.room.local_participant.send_text("who am i", topic="test.says")
                    await until("the caller is answered", lambda: phone.hears_since(since) > 300)
                    assert "failed to reconnect" not in triage.log(), "it was no reconnect"
                    assert not contexts or len(contexts[0]) >= taken
                    await phone.hang_up()
                    # What the server has ended of it may hang.
                    triage.signal_group(signal.SIGKILL)

    asyncio.run(scenario())
