"""A call in which one agent is delegated to: an agent of a framework, and one by hand in the test's own process."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from livekit.protocol.agent_pb import agent_session as pb
from stage import Stage, staged, until

from baton.kit.phone import Phone
from baton.kit.server import Program
from baton.specialist import Agent, Call, Granting, Preparation, Specialist

Make = Callable[..., Program]
"""Makes the program of a specialist in a stage, with its log in a folder, and more of its environment."""
TASK = "find out who it is"
ANSWER = "Ada"


class Partner(Agent):
    """Delegates when it is told to, and notes what it is to do."""

    def __init__(self, call: Call, partners: "list[Partner]") -> None:
        self.call = call
        self.tasks: list[Any] = []
        self.grants = 0
        partners.append(self)

    async def prepare(self, call: Call, preparation: Preparation) -> None:
        self.tasks.append(preparation.task)

    async def granted(self, call: Call, grant: Granting) -> None:
        self.grants += 1

    def outputs(self) -> list[str]:
        """What tools gave in the call, as far as it is known here."""
        return [each.function_call_output.output for each in self._items("function_call_output")]

    def texts(self) -> list[str]:
        """What was said in the call, as far as it is known here."""
        return [part.text for each in self._items("message") for part in each.message.content]

    def _items(self, kind: str) -> list[Any]:
        items = [pb.ChatContext.ChatItem.FromString(item.chat_item) for item in self.call.memory.items]
        return [item for item in items if item.WhichOneof("item") == kind]


@asynccontextmanager
async def set_up(entry: str, other: str, mine: str, program: Any) -> AsyncIterator[tuple[Stage, Program, list[Partner], Phone]]:
    """A call of `entry` and `other`, of which `mine` is in this process and the other one is made by `program`."""
    async with staged([entry, other]) as stage:
        agent: Program = program(stage)
        await agent.start()
        stop = asyncio.Event()
        partners: list[Partner] = []
        server = stage.server
        specialist = Specialist(
            mine, url=server.url, api_key=server.api_key, api_secret=server.api_secret, drain_grace_secs=2
        )
        running = asyncio.create_task(specialist.run(lambda call: Partner(call, partners), stop))
        try:
            await until("both are registered", lambda: server.log().count("worker registered") == 3, 90.0)
            phone = await stage.dial()
            yield stage, agent, partners, phone
        finally:
            print(agent.log()[-8_000:])
            await agent.stop()
            stop.set()
            await asyncio.wait_for(running, 10)


async def goes_on_with_the_result(name: str, make: Make) -> None:
    """A model has another one do something, and goes on with the result."""
    delegates = json.dumps({"billing": "Knows who calls"})
    with tempfile.TemporaryDirectory() as folder:
        program = lambda stage: make(stage, folder, AGENT_DELEGATES=delegates)  # noqa: E731
        async with set_up(name, "billing", "billing", program) as (stage, _, partners, phone):
            await phone.hears(500)
            await asyncio.sleep(1.5)
            say = phone.room.local_participant.send_text
            await say("delegate billing", topic="test.says")
            await until("billing has the baton", lambda: partners and partners[0].grants == 1)
            billing = partners[0]
            assert billing.tasks == [TASK]
            assert billing.outputs() == [], "the call that delegates has no output yet"
            await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 2)
            since = asyncio.get_running_loop().time()
            await billing.call.complete(ANSWER, "it is known")
            await until(f"{name} goes on", lambda: phone.hears_since(since) > 500)
            await asyncio.sleep(1.5)
            await say("handoff billing", topic="test.says")
            await until("billing has the baton again", lambda: billing.grants == 2)
            await until("billing knows", lambda: len(billing.outputs()) == 2)
            assert billing.outputs()[0] == ANSWER, "the result, and nothing in its place"
            assert f"the tool said {len(ANSWER)} characters" in billing.texts(), "the model went on with it"
            assert billing.tasks == [TASK, None]
            await phone.hang_up()


async def ends_its_task_with_a_result(name: str, make: Make) -> None:
    """A model is delegated to, ends its task with a result, and knows nothing of a task when it has none."""
    with tempfile.TemporaryDirectory() as folder:
        program = lambda stage: make(stage, folder)  # noqa: E731
        async with set_up("front", name, "front", program) as (stage, _, partners, phone):
            await until("front has the baton", lambda: partners and partners[0].grants == 1)
            front = partners[0]
            since = asyncio.get_running_loop().time()
            delegating = asyncio.create_task(front.call.delegate(name, TASK))
            await until(f"{name} says its task", lambda: phone.hears_since(since) > 500)
            await asyncio.sleep(1.5)
            say = phone.room.local_participant.send_text
            await say(f"complete {ANSWER}", topic="test.says")
            async with asyncio.timeout(45.0):
                assert await delegating == ANSWER
            await until("that handoff is done", lambda: len(stage.lines("handoff done")) == 3)
            told = "I was told"
            await until("front knows what was said", lambda: any(told in each and TASK in each for each in front.texts()))

            await front.call.handoff(name, "a plain handoff")
            again = asyncio.get_running_loop().time()
            await until(f"{name} speaks", lambda: phone.hears_since(again) > 300)
            await asyncio.sleep(1.5)
            texts = len(front.texts())
            await say("handoff front", topic="test.says")
            await until("front has the baton again", lambda: front.grants == 3)
            await until("front knows what was said since", lambda: len(front.texts()) > texts)
            assert sum(told in each for each in front.texts()) == 1, front.texts()
            await phone.hang_up()
