"""The model of an agent sums the conversation up for the one who takes over, where the route is to give no more."""

import asyncio
import tempfile
from typing import Any

from stage import staged, until
from telling import described
from test_handoff import Silent, worker

from baton.specialist import Call, Specialist


def test_the_next_one_gets_a_summary_that_the_model_has_made() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            route = ", context: summary, summary: {last_items: 1, timeout_ms: 10000, fallback: none}"
            async with staged(["triage", "billing"], route=route) as stage:
                first = worker(stage, folder)
                await first.start()
                stop = asyncio.Event()
                grants: list[Call] = []
                server = stage.server
                keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
                billing = Specialist("billing", **keys, drain_grace_secs=2)
                running = asyncio.create_task(billing.run(lambda call: Silent(call, grants), stop))
                try:
                    await until("both are registered", lambda: server.log().count("worker registered") == 3, 90.0)
                    phone = await stage.dial()
                    await phone.hears(500)
                    await asyncio.sleep(1.5)
                    await phone.room.local_participant.send_text("handoff billing", topic="test.says")
                    await until("billing has the baton", lambda: len(grants) == 1)

                    def texts() -> list[Any]:
                        return [described(item.chat_item).get("text") for item in grants[0].memory.items]

                    await until("the summary is there", lambda: any(text and "the sum of " in text[0] for text in texts()))
                    # What was said at first is in it alone.
                    assert ["hello, this is triage"] not in texts(), texts()
                    await phone.hang_up()
                finally:
                    print(first.log()[-6_000:])
                    await first.stop()
                    stop.set()
                    await asyncio.wait_for(running, 10)

    asyncio.run(scenario())
