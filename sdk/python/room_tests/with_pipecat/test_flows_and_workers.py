"""A bot that is a flow, and one of several workers on a bus: the handoff stays among their functions, whoever sets those."""

import asyncio
import tempfile
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.flows import NodeConfig
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext
from pipecat.services.llm_service import FunctionCallParams
from stage import staged, together, until
from telling import described
from test_handoff import bot, told

from baton.bodies import Continue, Greet, Say, Wait
from baton.pipecat.session import _opened
from baton.pipecat.tools import keep
from baton.specialist import Agent, Call, Granting

DEVELOPER = 0
SCENES = {
    # Who was asked with which functions, in order: at first, after a step, and when the baton comes again.
    "flowing.py": [("amount", ["take_amount"]), ("confirm", ["confirmed"])],
    "working.py": [("greeter", ["to_teller"]), ("teller", ["pay"])],
}


class Opening(Agent):
    """The entry, which hands off when it is told to."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    async def granted(self, call: Call, grant: Granting) -> None:
        self.calls.append(call)
        if len(self.calls) == 1:
            await call.patch({"name": "Ada"})


@pytest.mark.parametrize("file", SCENES)
def test_the_handoff_stays_among_the_functions_at_every_step(file: str) -> None:
    async def scenario() -> None:
        (first, its), (second, then) = SCENES[file]
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "payments"]) as stage:
                payments = bot(stage, folder, file)
                calls: list[Call] = []

                def asked() -> list[tuple[str, list[str]]]:
                    return [(each["node"], each["tools"]) for each in told(payments, "asked")]

                async with together(stage, payments, "triage", lambda _: Opening(calls)):
                    phone = await stage.dial()
                    await until("triage has the baton", lambda: calls)
                    await calls[0].handoff("payments", "to pay")
                    await phone.hears(500)
                    await asyncio.sleep(1.5)
                    say = phone.room.local_participant.send_text
                    await say("twelve", topic="test.says")
                    await phone.hears(500)
                    await until("it is one step on", lambda: (second, [*then, "handoff"]) in asked())
                    await asyncio.sleep(1.5)
                    await say("handoff triage", topic="test.says")
                    await until("triage has the baton again", lambda: len(stage.lines("handoff done")) == 3)
                    assert asked()[0] == (first, [*its, "handoff"])
                    items = [described(item.chat_item) for item in calls[0].memory.items]
                    assert not [item for item in items if item.get("role") == DEVELOPER], "tasks are the bot's own"
                    (call, _), (output, _) = (of_kind(items, kind) for kind in ("function_call", "function_call_output"))
                    assert call["call_id"] == output["call_id"]
                    assert "1200" in output["output"]

                    # It goes on where it was.
                    before = len(asked())
                    await calls[1].handoff("payments", "to pay, after all")
                    await until("it goes on", lambda: len(asked()) > before)
                    assert asked()[before] == (second, [*then, "handoff"])
                    await phone.hears(300)
                    await phone.hang_up()

    asyncio.run(scenario())


def of_kind(items: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [item for item in items if item["kind"] == kind]


async def look_up(params: FunctionCallParams, number: str) -> None:
    """Looks up who calls.

    Args:
        number: The phone number.
    """


def test_a_context_keeps_its_own_tools_beside_ours() -> None:
    ours = FunctionSchema("handoff", "", {}, [])
    theirs = FunctionSchema("pay", "", {}, [])
    context = LLMContext(tools=ToolsSchema([look_up, theirs], custom_tools={AdapterType.OPENAI: [{"type": "search"}]}))
    keep(context, {ours.name: ours})

    def tools() -> ToolsSchema:
        assert isinstance(context.tools, ToolsSchema)
        return context.tools

    assert [tool.name for tool in tools().standard_tools] == ["look_up", "pay", "handoff"]
    assert [wrapper.function for wrapper in tools().direct_functions] == [look_up], "it has its handler still"
    assert tools().custom_tools == {AdapterType.OPENAI: [{"type": "search"}]}
    context.set_tools(context.tools)
    assert [tool.name for tool in tools().standard_tools] == ["look_up", "pay", "handoff"]
    context.set_tools([theirs])
    assert [tool.name for tool in tools().standard_tools] == ["pay", "handoff"]
    context.set_tools(NOT_GIVEN)
    assert [tool.name for tool in tools().standard_tools] == ["handoff"]


def test_a_flow_begins_with_a_word_only_where_the_opening_is_to() -> None:
    action = {"type": "tts_say", "text": "hello"}
    node = NodeConfig(task_messages=[], pre_actions=[{"type": "function", "handler": print}, action])
    for opening in (Greet(), Continue()):
        assert _opened(node, opening) is node
    for opening in (Wait(), Say("welcome")):
        silent = _opened(node, opening)
        assert (silent["respond_immediately"], len(silent["pre_actions"])) == (False, 1)
    assert "respond_immediately" not in node
