"""An agent of LiveKit Agents that has another one do something, and that does something for another one."""

import asyncio
import json
import tempfile
from typing import Any

from delegating import ANSWER, TASK, set_up
from stage import until
from test_handoff import told, worker


def said(program: Any) -> list[str]:
    return [each["text"] or "" for each in told(program, "item")]


def test_a_model_delegates_and_goes_on_with_the_result() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            delegates = json.dumps({"billing": "Knows who calls"})
            make = lambda stage: worker(stage, folder, AGENT_DELEGATES=delegates)  # noqa: E731
            async with set_up("triage", "billing", "billing", make) as (stage, triage, partners, phone):
                await phone.hears(500)
                assert told(triage, "started")[0]["tools"] == ["look_up", "handoff", "delegate"]
                await phone.room.local_participant.send_text("delegate billing", topic="test.says")
                await until("billing has the baton", lambda: partners and partners[0].grants == 1)
                billing = partners[0]
                assert billing.tasks == [TASK]
                assert billing.outputs() == [], "the call that delegates has no output yet"
                await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 2)
                await billing.call.complete(ANSWER, "it is known")
                result = f"the tool said {len(ANSWER)} characters"
                await until("triage goes on with the result", lambda: result in said(triage))
                await phone.room.local_participant.send_text("handoff billing", topic="test.says")
                await until("billing has the baton again", lambda: billing.grants == 2)
                await until("billing knows", lambda: len(billing.outputs()) == 2)
                assert billing.outputs() == [ANSWER, "billing takes over"], "the result, and nothing in its place"
                assert billing.tasks == [TASK, None]
                await phone.hang_up()

    asyncio.run(scenario())


def test_a_model_is_delegated_to_and_ends_its_task_with_a_result() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            make = lambda stage: worker(stage, folder)  # noqa: E731
            async with set_up("front", "triage", "front", make) as (stage, triage, partners, phone):
                await until("front has the baton", lambda: partners and partners[0].grants == 1)
                front = partners[0]
                delegating = asyncio.create_task(front.call.delegate("triage", TASK))
                await until("triage knows its task", lambda: any(TASK in each for each in said(triage)))
                await phone.room.local_participant.send_text(f"complete {ANSWER}", topic="test.says")
                async with asyncio.timeout(45.0):
                    assert await delegating == ANSWER
                await until("front has the baton again", lambda: front.grants == 2)

                # Without a task it says nothing of one.
                before = len(said(triage))
                # The result is there before the change is done.
                await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 3)
                await front.call.handoff("triage", "a plain handoff")
                await until("triage speaks", lambda: len(said(triage)) > before)
                assert not any("I was told" in each for each in said(triage)[before:])
                await phone.hang_up()

    asyncio.run(scenario())
