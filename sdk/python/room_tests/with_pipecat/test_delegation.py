"""A bot of Pipecat that has another one do something, and that does something for another one."""

import asyncio
import json
import tempfile

from delegating import ANSWER, TASK, set_up
from stage import until
from test_handoff import bot, told


def test_a_model_delegates_and_goes_on_with_the_result() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            delegates = json.dumps({"billing": "Knows who calls"})
            make = lambda stage: bot(stage, folder, AGENT_DELEGATES=delegates)  # noqa: E731
            async with set_up("payments", "billing", "billing", make) as (stage, payments, partners, phone):
                await phone.hears(500)
                await asyncio.sleep(1.5)
                await phone.room.local_participant.send_text("delegate billing", topic="test.says")
                await until("billing has the baton", lambda: partners and partners[0].grants == 1)
                billing = partners[0]
                assert billing.tasks == [TASK]
                assert billing.outputs() == [], "the call that delegates has no output yet"
                await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 2)
                since = asyncio.get_running_loop().time()
                await billing.call.complete(ANSWER, "it is known")
                await until("payments goes on", lambda: phone.hears_since(since) > 500)
                await asyncio.sleep(1.5)
                await phone.room.local_participant.send_text("handoff billing", topic="test.says")
                await until("billing has the baton again", lambda: billing.grants == 2)
                await until("billing knows", lambda: len(billing.outputs()) == 2)
                assert billing.outputs()[0] == ANSWER, "the result, and nothing in its place"
                assert billing.tasks == [TASK, None]
                await phone.hang_up()
                await until("payments has left", lambda: told(payments, "ended"))
                messages = told(payments, "ended")[0]["messages"]
                results = [each["content"] for each in messages if each["role"] == "tool"]
                assert results[0] == ANSWER and len(results) == 2, messages
                assert f"the tool said {len(ANSWER)} characters" in json.dumps(messages)

    asyncio.run(scenario())


def test_a_model_is_delegated_to_and_ends_its_task_with_a_result() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            make = lambda stage: bot(stage, folder)  # noqa: E731
            async with set_up("front", "payments", "front", make) as (stage, payments, partners, phone):
                await until("front has the baton", lambda: partners and partners[0].grants == 1)
                front = partners[0]
                delegating = asyncio.create_task(front.call.delegate("payments", TASK))
                await until("payments has the baton", lambda: len(stage.lines("handoff done")) == 2)
                said = f"I was told: {TASK}"
                await until("payments has said its task", lambda: said in json.dumps(told(payments, "context")))
                await phone.room.local_participant.send_text(f"complete {ANSWER}", topic="test.says")
                async with asyncio.timeout(45.0):
                    assert await delegating == ANSWER
                await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 3)
                await until("front knows what was said", lambda: said in front.texts())

                # Without a task it says nothing of one.
                await front.call.handoff("payments", "a plain handoff")
                again = asyncio.get_running_loop().time()
                await until("payments speaks", lambda: phone.hears_since(again) > 500)
                await phone.hang_up()
                await until("payments has left", lambda: told(payments, "ended"))
                messages = told(payments, "ended")[0]["messages"]
                assert not any(each["role"] == "system" for each in messages), messages
                assert sum(said in str(each.get("content")) for each in messages) == 1, messages

    asyncio.run(scenario())
