"""A call in which one agent is delegated to: an agent of a framework, and one by hand in the test's own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit.protocol.agent_pb import agent_session as pb
from stage import Stage, staged, until

from baton.kit.phone import Phone
from baton.kit.server import Program
from baton.specialist import Agent, Call, Granting, Preparation, Specialist

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
