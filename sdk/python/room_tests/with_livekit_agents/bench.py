"""What the adapter costs LiveKit Agents, for each item of a conversation and each frame of sound."""

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, utils
from livekit.agents.voice import room_io
from measuring import frame, line, report
from scripted import ScriptedLLM

from baton import CallId, DispatchBinding, DispatchMetadata, Identity, SpecialistName, Ticket
from baton.livekit_agents import Participation
from baton.specialist.caller import Listener
from baton.specialist.voice import Voice

RATE = 24_000
BEFORE = 200
"""Items that the conversation has already."""
METADATA = DispatchMetadata(DispatchBinding(CallId("c"), Ticket("t"), Identity("baton"), SpecialistName("s")))


async def measured(items_count: int, frames_count: int) -> list[dict[str, Any]]:
    """The report."""

    async def turns(session: AgentSession[Any], part: Participation | None) -> int:
        for each in range(items_count // 2):
            await session.run(user_input=f"I would like to pay invoice number {each}, please")
        if part is not None:
            # They are not sent: who is not welcomed keeps what it has to say.
            part._job._outlet._waiting.clear()
        return items_count // 2 * 2

    async def session() -> AgentSession[Any]:
        made = AgentSession[Any](llm=ScriptedLLM(lambda _: "You have paid it already."))
        for each in range(BEFORE):
            made.history.insert(llm.ChatMessage(role="user", content=[f"I would like to pay invoice number {each}, please"]))
        await made.start(Agent(instructions=""))
        return made

    alone, shared = await session(), await session()
    ctx: Any = SimpleNamespace(room=rtc.Room(), shutdown=lambda **_: None)
    part = Participation(shared, Agent(instructions=""), ctx, METADATA, room_io.RoomOptions(), None, None, None, None, None, {})
    part._running.set_result(None)
    part._sync()
    shared.on("conversation_item_added", lambda _: part._sync())
    by_item = await line("item", lambda: turns(alone, None), lambda: turns(shared, part))
    for each in (alone, shared):
        await each.aclose()

    spoken = frame(RATE)

    async def said_alone() -> int:
        source = rtc.AudioSource(RATE, 1, queue_size_ms=200)
        for _ in range(frames_count):
            await source.capture_frame(spoken)
        await source.aclose()
        return frames_count

    async def said() -> int:
        voice = Voice(RATE)
        voice.open()
        voice.set_audible(True)
        with voice.utterance() as utterance:
            for _ in range(frames_count):
                await utterance.write(spoken)
        await voice.source.aclose()
        return frames_count

    by_frame_said = await line("frame that is said", said_alone, said, 2)

    async def heard_alone() -> int:
        # What LiveKit's own input is made of.
        channel = utils.aio.Chan[rtc.AudioFrame]()
        for _ in range(frames_count * 10):
            channel.send_nowait(spoken)
            await channel.recv()
        return frames_count * 10

    async def heard() -> int:
        listener = Listener(50)
        for _ in range(frames_count * 10):
            listener.push(spoken)
            await listener.__anext__()
        return frames_count * 10

    return [by_item, by_frame_said, await line("frame that is heard", heard_alone, heard)]


if __name__ == "__main__":
    report(asyncio.run(measured(int(sys.argv[1]), int(sys.argv[2]))))
